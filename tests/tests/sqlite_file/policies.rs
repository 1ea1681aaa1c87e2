//! Rows about policies that somebody has got wrong.

use rtmanager::model::{Ceiling, Revocation, Timestamp};
use rtmanager::ports::{PruneBefore, SwapKind};
use rtmanager_tests::contracts::fixture::{artifact, component, scope, signed, spec};

use super::*;

/// What the store says of a generation, a ceiling and the trail.
async fn said(store: &SqliteStore) -> Vec<String> {
    let acme = scope("acme");
    let answers = [
        store.generations().state(&acme).await.map(|_| ()),
        store.access().ceiling(&acme).await.map(|_| ()),
        store.audit().last().await.map(|_| ()),
        store.policies().named(&artifact("keep", "1.0.0").digest).await.map(|_| ()),
    ];
    let corrupt = answers.into_iter().filter_map(|answer| match answer {
        Ok(()) => None,
        Err(StoreError::Corrupt(message)) => Some(message),
        Err(other) => panic!("{other:?}"),
    });
    corrupt.collect()
}

#[tokio::test]
async fn a_bad_row_about_policies_is_corrupt_and_names_table_and_column() {
    let (_directory, file) = place();
    let store = open(&file).await.unwrap();
    store.policies().add(&artifact("keep", "1.0.0"), &component("keep", "1.0.0")).await.unwrap();
    store.generations().stage(&scope("acme"), &spec("1.0.0"), &signed(1)).await.unwrap();
    assert!(said(&store).await.is_empty());
    let mut other = raw(&file).await;
    let mistakes = [
        ("UPDATE policy_generations SET grants = '[\"everything\"]'", "policy_generations", "column grants"),
        (
            "UPDATE policy_generations SET grants = '[]', limits = '{\"memory\": 1}'",
            "policy_generations",
            "column limits",
        ),
        ("UPDATE policy_generations SET limits = '{\"calls\": -1}'", "policy_generations", "column limits"),
        (
            "UPDATE policy_generations SET limits = '{}', settings = '{\"a\": 1}'",
            "policy_generations",
            "column settings",
        ),
        ("UPDATE policy_names SET version = 'one'", "policy_names", "column version"),
        ("INSERT INTO policy_ceilings VALUES ('acme', '{}', '{}', 0, 0)", "policy_ceilings", "column grants"),
        ("UPDATE policy_ceilings SET grants = NULL, retention_days = -1", "policy_ceilings", "column retention_days"),
        (
            "INSERT INTO audit_log VALUES (1, -5, '', '', '', '', '', zeroblob(32), zeroblob(32))",
            "audit_log",
            "column at",
        ),
    ];
    for (mistake, table, column) in mistakes {
        sqlx::raw_sql(mistake).execute(&mut other).await.unwrap();
        let said = said(&store).await;
        let names = |message: &String| message.starts_with(&format!("{table}, ")) && message.contains(column);
        assert!(said.iter().any(names), "{mistake}: {said:?}");
    }
}

#[tokio::test]
async fn a_bad_row_costs_its_own_scope_and_a_bad_revocation_holds() {
    let (_directory, file) = place();
    let store = open(&file).await.unwrap();
    let (generations, access) = (store.generations(), store.access());
    store.policies().add(&artifact("keep", "1.0.0"), &component("keep", "1.0.0")).await.unwrap();
    let names = ["acme", "beta", "gamma", "delta"];
    for of in names.map(scope) {
        for _ in 0..2 {
            generations.stage(&of, &spec("1.0.0"), &signed(1)).await.unwrap();
        }
        generations.swap(&of, None, 1, SwapKind::Bind, None, &signed(1)).await.unwrap();
        access.set_ceiling(&of, Some(&Ceiling::default())).await.unwrap();
    }
    let revoked = Revocation::Generation("acme/2".parse().unwrap());
    generations.revoke(&revoked, &signed(5)).await.unwrap();
    let mut other = raw(&file).await;
    for damage in [
        "UPDATE policy_generations SET grants = '[\"of.the.future\"]' WHERE scope = 'acme' AND number = 2",
        "UPDATE policy_scopes SET rollout = 2, runs = -1, rollout_by = 'x', rollout_reason = 'x', rollout_at = 1
            WHERE scope = 'beta'",
        "UPDATE policy_scopes SET current = -7 WHERE scope = 'gamma'",
        "UPDATE policy_ceilings SET limits = '{\"of\": \"the future\"}' WHERE scope = 'acme'",
        "UPDATE policy_revocations SET at = -1",
    ] {
        sqlx::raw_sql(damage).execute(&mut other).await.unwrap();
    }
    let changes = generations.changed_since(0).await.unwrap();
    assert_eq!(changes.states.iter().map(|state| state.scope.clone()).collect::<Vec<_>>(), [scope("delta")]);
    let unreadable: Vec<_> = changes.unreadable.iter().map(|it| (it.scope.clone().unwrap(), it.current)).collect();
    assert_eq!(unreadable, [(scope("acme"), Some(1)), (scope("beta"), Some(1)), (scope("gamma"), Some(0))]);
    assert!(changes.unreadable[0].reason.contains("column grants"), "{changes:?}");
    assert_eq!(changes.epoch, generations.epoch().await.unwrap());
    assert!(matches!(generations.state(&scope("beta")).await, Err(StoreError::Corrupt(_))));
    assert!(generations.state(&scope("delta")).await.unwrap().is_some());

    let ceilings = access.ceilings_since(0).await.unwrap();
    assert_eq!(ceilings.ceilings.len(), 3);
    let [damage] = &ceilings.unreadable[..] else { panic!("{ceilings:?}") };
    assert_eq!(damage.scope, Some(scope("acme")));
    assert!(damage.reason.contains("column limits"), "{damage:?}");
    let subjects = generations.revoked_since(0, 10).await.unwrap();
    assert_eq!(subjects[0].1, "acme/2", "what is revoked is known though when it was is not");
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_bounded_in_each_scope() {
    let (_directory, file) = place();
    let store = open(&file).await.unwrap();
    let mut other = raw(&file).await;
    for of in ["acme", "zeta"] {
        let fill = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5100)
                INSERT INTO policy_divergences (scope, generation, game_id, run_id, kind, current, candidate, at)
                SELECT '{of}', i % 9, 'g', 'r', 'would_keep', '', '', i FROM n;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
                INSERT INTO policy_history (scope, event, from_generation, to_generation, at, actor, reason)
                SELECT '{of}', CASE WHEN i % 100 = 0 THEN 'bound' ELSE 'rollout_ended' END, 1, i, i, 'a', 'r' FROM n"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&mut other).await.unwrap();
    }
    store.generations().prune(&PruneBefore { staged: at(0), divergences: Timestamp::default() }).await.unwrap();
    let count = async |of: &str, sql: &str| {
        let sql = sql.replace('?', of);
        sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql)).fetch_one(&mut raw(&file).await).await.unwrap()
    };
    for of in ["acme", "zeta"] {
        assert_eq!(count(of, "SELECT count(*) FROM policy_divergences WHERE scope = '?'").await, 5_000);
        assert_eq!(count(of, "SELECT min(at) FROM policy_divergences WHERE scope = '?'").await, 101);
        let asides = "SELECT count(*) FROM policy_history WHERE scope = '?' AND event = 'rollout_ended'";
        assert_eq!(count(of, asides).await, 1_000);
        let bound = "SELECT count(*) FROM policy_history WHERE scope = '?' AND event = 'bound'";
        assert_eq!(count(of, bound).await, 12, "what served stays");
    }
}

#[tokio::test]
async fn what_a_program_of_the_version_before_writes_is_found() {
    let (_directory, file) = place();
    let store = open(&file).await.unwrap();
    let policy = artifact("keep", "1.0.0");
    let digest = policy.digest.as_str();
    let mut other = raw(&file).await;
    let writes = format!(
        "INSERT INTO policies VALUES ('{digest}', 'keep', '1.0.0', '', {}, 100001000000, 'ada ü');
        INSERT INTO policy_components VALUES ('{digest}', x'00');
        INSERT INTO policy_signatures (digest, envelope, hash) VALUES ('{digest}', 'signed', zeroblob(32));
        INSERT INTO policy_generations (scope, number, digest, settings, limits, grants, staged_at, staged_by, reason)
            VALUES ('acme', 1, '{digest}', '{{}}', '{{}}', '[]', 1, 'a', 'r');
        INSERT INTO policy_ceilings VALUES ('acme', '{{}}', NULL, 0, 0);
        UPDATE policy_epoch SET epoch = epoch + 1;
        DELETE FROM policy_ceilings;
        UPDATE policy_epoch SET epoch = epoch + 1",
        policy.size
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(writes)).execute(&mut other).await.unwrap();
    assert_eq!(store.policies().named(&policy.digest).await.unwrap(), std::slice::from_ref(&policy));
    assert_eq!(store.policies().signatures(None, &policy.digest).await.unwrap(), ["signed"]);
    let generation = store.generations().generation(&scope("acme"), 1).await.unwrap().unwrap();
    assert_eq!(generation.spec.called, None);
    let changes = store.access().ceilings_since(1).await.unwrap();
    assert_eq!(changes.ceilings, [(scope("acme"), None)], "taken away in the second change");
    // And what this version writes first is found by that one.
    let other_policy = artifact("keep", "2.0.0");
    store.policies().add(&other_policy, &component("keep", "2.0.0")).await.unwrap();
    store.policies().add_signature(None, &other_policy.digest, "mine").await.unwrap();
    let sql = format!(
        "SELECT count(*) FROM policies p JOIN policy_signatures s USING (digest)
        WHERE p.digest = '{}' AND s.envelope = 'mine'",
        other_policy.digest
    );
    let found = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql)).fetch_one(&mut other).await.unwrap();
    assert_eq!(found, 1);
}

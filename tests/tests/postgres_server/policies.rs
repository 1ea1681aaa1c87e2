//! Rows about policies that somebody has got wrong, and those that nobody needs any more.

use rtmanager::model::{Ceiling, Revocation, Timestamp};
use rtmanager::ports::{PruneBefore, SwapKind};
use rtmanager_tests::contracts::fixture::{artifact, component, scope, signed, spec};

use super::*;

#[tokio::test]
async fn a_bad_row_costs_its_own_scope_and_a_bad_revocation_holds() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    let (generations, access) = (store.generations(), store.access());
    store.policies().add(&artifact("keep", "1.0.0"), &component("keep", "1.0.0")).await.unwrap();
    for of in ["acme", "beta", "gamma", "delta"].map(scope) {
        for _ in 0..2 {
            generations.stage(&of, &spec("1.0.0"), &signed(1)).await.unwrap();
        }
        generations.swap(&of, None, 1, SwapKind::Bind, None, &signed(1)).await.unwrap();
        access.set_ceiling(&of, Some(&Ceiling::default())).await.unwrap();
    }
    generations.revoke(&Revocation::Generation("acme/2".parse().unwrap()), &signed(5)).await.unwrap();
    let mut connection = database.connect().await;
    for damage in [
        "UPDATE policy_generations SET grants = '[\"of.the.future\"]' WHERE scope = 'acme' AND number = 2",
        "UPDATE policy_scopes SET rollout = 2, runs = -1, rollout_by = 'x', rollout_reason = 'x', rollout_at = now()
            WHERE scope = 'beta'",
        "UPDATE policy_scopes SET current = -7 WHERE scope = 'gamma'",
        "UPDATE policy_ceilings SET limits = '{\"of\": \"the future\"}' WHERE scope = 'acme'",
        "UPDATE policy_revocations SET at = '-infinity'",
    ] {
        say(&mut connection, damage).await;
    }
    let changes = generations.changed_since(0).await.unwrap();
    assert_eq!(changes.states.iter().map(|state| state.scope.clone()).collect::<Vec<_>>(), [scope("delta")]);
    let unreadable: Vec<_> = changes.unreadable.iter().map(|it| (it.scope.clone().unwrap(), it.current)).collect();
    assert_eq!(unreadable, [(scope("acme"), Some(1)), (scope("beta"), Some(1)), (scope("gamma"), Some(0))]);
    let ceilings = access.ceilings_since(0).await.unwrap();
    assert_eq!(ceilings.ceilings.len(), 3);
    assert_eq!(ceilings.unreadable.iter().map(|it| it.scope.clone()).collect::<Vec<_>>(), [Some(scope("acme"))]);
    assert_eq!(generations.revoked_since(0, 10).await.unwrap()[0].1, "acme/2");
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_bounded_in_each_scope() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    let mut connection = database.connect().await;
    for fill in [
        "INSERT INTO policy_divergences (scope, generation, game_id, run_id, kind, current, candidate, at)
            SELECT s, i % 9, 'g', 'r', 'would_keep', '', '', to_timestamp(i)
            FROM unnest(ARRAY['acme', 'zeta']) s, generate_series(1, 5100) i ORDER BY s, i",
        "INSERT INTO policy_history (scope, event, from_generation, to_generation, at, actor, reason)
            SELECT s, CASE WHEN i % 100 = 0 THEN 'bound' ELSE 'rollout_ended' END, 1, i, to_timestamp(i), 'a', 'r'
            FROM unnest(ARRAY['acme', 'zeta']) s, generate_series(1, 1200) i ORDER BY s, i",
    ] {
        say(&mut connection, fill).await;
    }
    store.generations().prune(&PruneBefore { staged: at(0), divergences: Timestamp::default() }).await.unwrap();
    for of in ["acme", "zeta"] {
        let sql = format!(
            "SELECT ARRAY[(SELECT count(*) FROM policy_divergences WHERE scope = '{of}'),
                (SELECT count(*) FROM policy_history WHERE scope = '{of}' AND event = 'rollout_ended'),
                (SELECT count(*) FROM policy_history WHERE scope = '{of}' AND event = 'bound')]"
        );
        let left: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
        assert_eq!(left, [5_000, 1_000, 12], "{of}");
    }
}

//! Rows about policies that somebody has got wrong.

use rtmanager_tests::contracts::fixture::{artifact, component, scope, signed, spec};

use super::*;

/// What the store says of a generation, a ceiling and the trail.
async fn said(store: &SqliteStore) -> Vec<String> {
    let acme = scope("acme");
    let answers = [
        store.generations().state(&acme).await.map(|_| ()),
        store.access().ceiling(&acme).await.map(|_| ()),
        store.audit().last().await.map(|_| ()),
        store.policies().get(&artifact("keep", "1.0.0").digest).await.map(|_| ()),
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
        ("UPDATE policies SET version = 'one'", "policies", "column version"),
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

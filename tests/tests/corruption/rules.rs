//! What an admin allows, and whom a scope trusts.

use std::time::Duration;

use rtmanager::access::Caller;
use rtmanager::adapters::memory::SeededRandomness;
use rtmanager::app::Stores;
use rtmanager::model::{Ceiling, LimitOverrides, PolicyArtifact, PolicyDigest, TrustedKey};
use rtmanager::policies::{ABI, Error, Policies, PolicyId};
use rtmanager::ports::StoreError;
use rtmanager::runtime::CompileEngine;
use rtmanager::signing::{Envelope, PublicKey, SigningKey, Statement, TenantScope};
use rtmanager_tests::bound::{artifact, grants, tenant_a};
use rtmanager_tests::desk::{bind, policies};
use rtmanager_tests::fixtures::SOUND;
use rtmanager_tests::place::Place;
use rtmanager_tests::postgres::Database;

use super::damage::Kind::{Count, Flag, Json, Text, Time};
use super::damage::{Column, Damage};
use super::site::{count_panics, panics};
use super::tables::Tables;
use super::{OF_SCOPE, columns};

const TABLES: [&str; 2] = ["policy_ceilings", "policy_keys"];

struct Rules {
    stores: Stores,
    tables: Tables,
    policies: Policies,
    key: SigningKey,
    artifact: PolicyArtifact,
    wrong: Vec<String>,
}

/// Each of their columns to whatever it is damaged to; at least so many times the database takes it.
pub(super) async fn damaged(place: &Place, database: Option<&Database>, at_least: usize) {
    count_panics();
    let before = panics();
    let mut rules = Rules::new(place, database).await;
    let ceiling =
        [("scope", Text), ("limits", Json), ("grants", Json), ("signature_required", Flag), ("retention_days", Count)];
    let key = [
        ("scope", Text),
        ("id", Text),
        ("public_key", Text),
        ("added_at", Time),
        ("added_by", Text),
        ("revoked_at", Time),
    ];
    let mut taken = 0;
    for column in columns("policy_ceilings", OF_SCOPE, &ceiling) {
        taken += rules.damage(&column).await;
    }
    for column in columns("policy_keys", OF_SCOPE, &key) {
        taken += rules.damage(&column).await;
    }
    println!("the database took {taken} damages");
    assert_eq!(rules.wrong, Vec::<String>::new());
    assert!(taken >= at_least, "only {taken} damages were made");
    assert_eq!(panics(), before, "something panicked");
}

impl Rules {
    /// A tenant that takes signed policies only, with one that is, by the one key that it trusts.
    async fn new(place: &Place, database: Option<&Database>) -> Self {
        let stores = place.stores().await;
        let key = SigningKey::generate(&SeededRandomness::new(1)).unwrap();
        let artifact = artifact(SOUND, "sound", stores.clock.now());
        stores.policies.add(&artifact, SOUND).await.unwrap();
        let PolicyArtifact { digest, name, version, .. } = artifact.clone();
        let statement = Statement { digest, name, version, abi: ABI.to_owned(), tenants: TenantScope::Any };
        let envelope = Envelope::sign(&statement, &key).to_json();
        stores.policies.add_signature(artifact.owner.as_ref(), &artifact.digest, &envelope).await.unwrap();
        let ceiling = Ceiling {
            limits: LimitOverrides { calls: Some(100), ..LimitOverrides::default() },
            grants: Some(grants(&["logging", "op-log"])),
            signature_required: true,
            retention_days: 7,
        };
        stores.access.set_ceiling(&tenant_a(), Some(&ceiling)).await.unwrap();
        let public = key.public();
        let trusted = TrustedKey {
            id: public.id().to_string(),
            public_key: public.to_pem(),
            added_at: stores.clock.now(),
            added_by: "tester".to_owned(),
            revoked_at: None,
        };
        stores.access.add_key(&tenant_a(), &trusted).await.unwrap();
        let mut tables = Tables::open(place, database).await;
        for table in TABLES {
            tables.run(&format!("CREATE TABLE copy_{table} AS SELECT * FROM {table}")).await.unwrap();
        }
        let policies = policies(&stores).unwrap();
        let cache = rtmanager::compiler::CodeCache::open(
            &place.code_cache(),
            std::sync::Arc::new(rtmanager::adapters::system_clock::SystemRandomness),
        );
        // So that nothing has to be compiled where the policy is let through.
        let engine = CompileEngine::new().unwrap();
        cache.unwrap().put(&PolicyDigest::of(SOUND), engine.fingerprint(), &engine.compile(SOUND).unwrap());
        let rules = Self { stores, tables, policies, key, artifact, wrong: Vec::new() };
        rules.check(&["logging", "op-log"]).await.expect("what is signed and within the ceiling is let through");
        rules.check(&["logging", "docker.remove"]).await.expect_err("what is not within it is not");
        rules
    }

    async fn check(&self, asked: &[&str]) -> Result<(), Error> {
        let policy = PolicyId::Digest(self.artifact.digest.clone());
        let order = rtmanager::policies::Bind { grants: Some(grants(asked)), ..bind(policy) };
        self.policies.check(&Caller::admin("tester"), &tenant_a(), &order).await.map(|_| ())
    }

    /// How often the database took a damage.
    async fn damage(&mut self, column: &Column) -> usize {
        let original = self.tables.text(column).await;
        let mut taken = 0;
        for damage in Damage::of(column.kind, original.as_deref()) {
            let damaging = self.tables.damaging(column, &damage);
            if self.tables.run(&damaging).await.is_err() {
                continue;
            }
            taken += 1;
            self.judge(column, &format!("{}.{} = {damage}", column.table, column.name)).await;
            let restored =
                TABLES.map(|table| format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM copy_{table}"));
            self.tables.run(&restored.join(";")).await.unwrap();
        }
        taken
    }

    /// Who reads what is damaged is told so, or reads what it says now; and that lets nothing through that only the
    /// damaged text would.
    async fn judge(&mut self, column: &Column, told: &str) {
        let (ceiling, keys) =
            (self.stores.access.ceiling(&tenant_a()).await, self.stores.access.keys(&tenant_a()).await);
        for error in [ceiling.as_ref().err(), keys.as_ref().err()].into_iter().flatten() {
            let named = matches!(error, StoreError::Corrupt(text) if text.contains(column.table));
            self.holds(named, &format!("{told}: {error:?}"));
        }
        let within = self.check(&["logging", "op-log"]).await;
        if let (Ok(()), Ok(Some(Ceiling { signature_required: true, .. })), Ok(keys)) = (&within, &ceiling, &keys) {
            let same = |key: &TrustedKey| {
                PublicKey::from_pem(key.public_key.as_bytes())
                    .is_ok_and(|key| key.to_pem() == self.key.public().to_pem())
            };
            self.holds(keys.iter().any(same), &format!("{told}: another key vouches for it"));
        }
        self.holds(
            ceiling.is_ok() && keys.is_ok() || within.is_err(),
            &format!("{told}: nobody could read it, and it was let through"),
        );
        let beyond = self.check(&["logging", "docker.remove"]).await;
        let wider = matches!(&ceiling, Ok(None | Some(Ceiling { grants: None, .. })));
        self.holds(beyond.is_err() || wider, &format!("{told}: what is beyond the ceiling was let through"));
        if let Ok(Some(ceiling)) = &ceiling {
            let week = Duration::from_secs(7 * 86_400);
            self.holds(column.name == "retention_days" || ceiling.retention() == week, &format!("{told}: {ceiling:?}"));
        }
    }

    fn holds(&mut self, it: bool, told: &str) {
        if !it {
            self.wrong.push(told.to_owned());
        }
    }
}

//! Values for the clauses.

use rtmanager::model::{
    Author, BindingSpec, ContainerId, EngineName, ErrorCode, Fence, GameId, Generation, GenerationId, Grants, Hold,
    Intent, Labels, LimitOverrides, LiveStatus, OP_KIND_CLEANUP, OperationEntry, Outcome, Parked, PolicyArtifact,
    PolicyDigest, PolicyRef, PolicyScope, Registration, RunId, RuntimeRecord, Signed, Status, TenantId, Timestamp,
    TrackedRuntime,
};
use rtmanager::ports::{Disposition, LeaseToken, StatusChange};

use super::Stores;

/// Some hundred thousand seconds after the epoch, and `seconds` more.
pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros((100_000 + seconds) * 1_000_000)
}

pub fn game(name: &str) -> GameId {
    name.parse().unwrap()
}

pub fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub fn engine(name: &str) -> EngineName {
    name.parse().unwrap()
}

/// A container id that ends in `number`.
pub fn container(number: u64) -> ContainerId {
    format!("{number:064x}").parse().unwrap()
}

pub fn run(number: u128) -> RunId {
    RunId::from_bytes(number.to_be_bytes())
}

pub fn token(byte: u8) -> LeaseToken {
    LeaseToken::from_bytes([byte; 32])
}

/// A stopped runtime of tenant `acme` on engine `local`, stopped at 0 s.
pub fn stopped(name: &str, container_number: u64) -> Registration {
    Registration {
        game_id: game(name),
        tenant: tenant("acme"),
        engine: engine("local"),
        status: LiveStatus::Stopped,
        container_id: Some(container(container_number)),
        image_ref: Some("registry.example/game:1".to_owned()),
        labels: Some(Labels::from([("size".to_owned(), "ü \"large\"".to_owned())])),
        started_at: None,
        stopped_at: Some(at(0)),
    }
}

pub fn running(name: &str, container_number: u64) -> Registration {
    Registration {
        status: LiveStatus::Running,
        stopped_at: None,
        started_at: Some(at(0)),
        ..stopped(name, container_number)
    }
}

/// The change that a cleanup of [`stopped`] makes, at 1,000 s under fence 1.
pub fn removal(name: &str, container_number: u64) -> StatusChange {
    StatusChange {
        game_id: game(name),
        expected_status: Status::Stopped,
        expected_container: Some(container(container_number)),
        new_status: Status::Removed,
        at: at(1_000),
        run_id: run(1),
        fence: Fence(1),
        policy: policy(),
    }
}

/// The policy of every run here.
pub fn policy() -> PolicyRef {
    PolicyRef { generation: generation(7), digest: PolicyDigest::of(b"policy") }
}

/// One of acme's.
pub fn generation(number: u64) -> GenerationId {
    GenerationId::numbered(&PolicyScope::Tenant(tenant("acme")), number)
}

pub fn hold(until: Option<Timestamp>) -> Hold {
    Hold { reason: "evidence".to_owned(), actor: "ada".to_owned(), until }
}

/// A failed cleanup of `name`, finished at `number` seconds.
pub fn entry(number: u64, name: &str) -> OperationEntry {
    OperationEntry {
        run_id: run(u128::from(number)),
        game_id: name.to_owned(),
        tenant: Some(tenant("acme")),
        op_kind: OP_KIND_CLEANUP.to_owned(),
        op_source: "admin_rest".to_owned(),
        source_ref: "request-1".to_owned(),
        actor: Some("ada".to_owned()),
        image_ref: Some("registry.example/game:1".to_owned()),
        container_id: Some(container(number)),
        outcome: Outcome::Failure,
        error_code: Some(ErrorCode::CONFLICT),
        error_message: Some("it runs: \u{1f600}".to_owned()),
        started_at: at(number.saturating_sub(1)),
        finished_at: at(number),
        policy: policy(),
        fence: Some(Fence(7)),
        author: Author::Policy,
        fault: None,
    }
}

/// What run `number` says of itself, whose lease ends at 60 s.
pub fn intent(number: u128, name: &str) -> Intent {
    Intent {
        run_id: run(number),
        game_id: game(name),
        op_source: "auto_ttl".to_owned(),
        source_ref: String::new(),
        actor: None,
        policy: policy(),
        started_at: at(0),
        expires_at: at(60),
    }
}

pub async fn register(stores: &Stores, registration: Registration) -> RuntimeRecord {
    stores.records.register(&registration, at(10)).await.unwrap()
}

pub async fn tracked(stores: &Stores, name: &str) -> TrackedRuntime {
    stores.records.get(&game(name)).await.unwrap().unwrap()
}

pub fn wait(until: u64) -> Disposition {
    Disposition::Wait {
        until: at(until),
        reason: "keep: évidence".to_owned(),
        generation: Some(generation(7)),
        failed_attempts: 2,
    }
}

pub fn park() -> Disposition {
    Disposition::Park { parked: Parked { at: at(5), reason: "conflict: it runs".to_owned() }, failed_attempts: 5 }
}

pub async fn dispose(stores: &Stores, name: &str, disposition: Disposition) {
    let version = tracked(stores, name).await.record.version;
    assert!(stores.records.dispose(&game(name), version, &disposition).await.unwrap());
}

/// The scope of a tenant.
pub fn scope(name: &str) -> PolicyScope {
    PolicyScope::Tenant(tenant(name))
}

/// A policy of the platform's, whose component is `NAME VERSION`.
pub fn artifact(name: &str, version: &str) -> PolicyArtifact {
    PolicyArtifact {
        digest: component_digest(name, version),
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        owner: None,
        size: component(name, version).len() as u64,
        pushed_at: at(1),
        pushed_by: "ada ü".to_owned(),
    }
}

/// The bytes of a component, which are no text.
pub fn component(name: &str, version: &str) -> Vec<u8> {
    [&[0, 0xff], format!("{name} {version}").as_bytes()].concat()
}

pub fn component_digest(name: &str, version: &str) -> PolicyDigest {
    PolicyDigest::of(&component(name, version))
}

/// A binding of version `version` of the policy `keep`.
pub fn spec(version: &str) -> BindingSpec {
    BindingSpec {
        digest: component_digest("keep", version),
        called: Some(("keep".parse().unwrap(), version.parse().unwrap())),
        settings: [("retention_days", "30"), ("quiet \"hours\"", "22–6 \u{1f600}\n")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        limits: LimitOverrides {
            memory_bytes: Some(1 << 40),
            guest_time: Some(std::time::Duration::from_millis(1)),
            calls: Some(7),
            ..LimitOverrides::default()
        },
        grants: ["clock", "settings:retention_days"].iter().map(|grant| grant.parse().unwrap()).collect(),
    }
}

pub fn all_of(version: &str) -> BindingSpec {
    BindingSpec { grants: Grants::all(), called: None, ..spec(version) }
}

pub fn signed(seconds: u64) -> Signed {
    Signed { at: at(seconds), actor: "ada".to_owned(), reason: "it keeps \"evidence\"".to_owned() }
}

/// Adds the policy `keep` in this version and stages it.
pub async fn stage(stores: &Stores, of: &PolicyScope, version: &str) -> Generation {
    let policy = artifact("keep", version);
    stores.policies.add(&policy, &component("keep", version)).await.unwrap();
    stores.generations.stage(of, &spec(version), &signed(1)).await.unwrap()
}

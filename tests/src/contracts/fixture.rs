//! Values for the clauses.

use rtmanager::model::{
    Author, ContainerId, EngineName, ErrorCode, Fence, GameId, Hold, Intent, Labels, LiveStatus, OP_KIND_CLEANUP,
    OperationEntry, Outcome, Parked, PolicyDigest, Registration, RunId, RuntimeRecord, Status, TenantId, Timestamp,
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
    }
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
        policy_digest: PolicyDigest::of(b"policy"),
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
        policy_digest: PolicyDigest::of(b"policy"),
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
        generation: Some("7".to_owned()),
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

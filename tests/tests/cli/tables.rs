//! What the commands print, from fixed values.

use rtmanager::access::{Anchor, Break, Flaw, Verification};
use rtmanager::cli::{
    audit_table, explanation, operation_table, pause_table, pruned_text, result_text, runtime_table, token_table,
    verification_text,
};
use rtmanager::explain::{Facts, explain};
use rtmanager::model::{
    ApiToken, AuditEntry, AuditEvent, Author, CleanupState, EntryId, ErrorCode, Fault, Hold, Labels, LoggedOperation,
    OperationEntry, Outcome, Parked, Pause, PauseCause, PauseScope, PolicyDigest, Role, RunId, RuntimeRecord, Status,
    Timestamp, TrackedRuntime,
};
use rtmanager::views::{
    AuditedAction, CleanupResult, NamedToken, Operation, Page, PausedScope, PrunedTrail, Runtime, TrailVerification,
};

const HOUR: u64 = 3_600_000_000;
const NOW: u64 = 1_769_860_800_250_000;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_micros(NOW.checked_add_signed(hours * HOUR as i64).unwrap())
}

fn record(game: &str, status: Status) -> RuntimeRecord {
    RuntimeRecord {
        game_id: game.parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        engine: "local".parse().unwrap(),
        stopped_at: (status == Status::Stopped).then(|| at(-72)),
        status,
        container_id: Some(PolicyDigest::of(game.as_bytes()).as_str().parse().unwrap()),
        image_ref: Some("img:1".to_owned()),
        labels: Labels::new(),
        created_at: at(-100),
        started_at: Some(at(-99)),
        removed_at: None,
        last_op_at: at(-72),
        version: 2,
    }
}

fn stopped(game: &str, cleanup: CleanupState) -> TrackedRuntime {
    TrackedRuntime { record: record(game, Status::Stopped), cleanup }
}

fn hold(reason: &str, until: Option<Timestamp>) -> Option<Hold> {
    Some(Hold { reason: reason.to_owned(), actor: "cli:uid=1000".to_owned(), until })
}

fn wait(until: Timestamp) -> CleanupState {
    CleanupState { wait_until: Some(until), wait_reason: Some("the policy said so".to_owned()), ..Default::default() }
}

fn parked() -> CleanupState {
    let parked = Parked { at: at(-1), reason: "service_unavailable: no answer".to_owned() };
    CleanupState { parked: Some(parked), failed_attempts: 8, ..Default::default() }
}

fn pause(scope: PauseScope, cause: PauseCause, reason: &str) -> Pause {
    Pause { scope, cause, reason: reason.to_owned(), actor: "sweeper".to_owned(), at: at(-2) }
}

#[test]
fn runtimes_are_told_with_what_keeps_them_now() {
    let rows = [
        TrackedRuntime { record: record("running", Status::Running), cleanup: CleanupState::default() },
        stopped("stopped", CleanupState::default()),
        stopped("waiting", wait(at(5))),
        stopped("waited", wait(at(0))),
        stopped("held", CleanupState { hold: hold("evidence", Some(at(1))), ..wait(at(5)) }),
        stopped("held for ever", CleanupState { hold: hold("case 7\n\u{1b}[2J", None), ..Default::default() }),
        stopped("held once", CleanupState { hold: hold("evidence", Some(at(0))), ..Default::default() }),
        stopped("held once, waiting", CleanupState { hold: hold("evidence", Some(at(-1))), ..wait(at(5)) }),
        stopped("parked", parked()),
        stopped("on the next page", CleanupState::default()),
    ];
    let page: Page<Runtime> = Page::of(&rows, 9, |last| last.record.game_id.to_string());
    insta::assert_snapshot!(runtime_table(&page, at(0)));
    assert_eq!(runtime_table(&Page { items: Vec::new(), next: None }, at(0)), "no runtimes\n");
}

fn logged(id: u64, code: Option<ErrorCode>, fault: Option<Fault>) -> LoggedOperation {
    let entry = OperationEntry {
        run_id: RunId::from_bytes([u8::try_from(id).unwrap(); 16]),
        game_id: format!("game-{id}"),
        tenant: Some("acme".parse().unwrap()),
        op_kind: "cleanup_container".to_owned(),
        op_source: "auto_ttl".to_owned(),
        source_ref: String::new(),
        actor: (id == 1).then(|| "cli:uid=1000".to_owned()),
        image_ref: Some("img:1".to_owned()),
        container_id: None,
        outcome: if code.is_some() { Outcome::Failure } else { Outcome::Success },
        error_message: code.as_ref().map(|_| "the container is in use".to_owned()),
        error_code: code,
        started_at: at(-1),
        finished_at: at(0),
        policy: rtmanager_tests::contracts::fixture::policy(),
        fence: Some(rtmanager::model::Fence(7)),
        author: Author::Policy,
        fault,
    };
    LoggedOperation { id: EntryId(id), entry }
}

#[test]
fn operations_are_told_with_their_faults() {
    let fault = Fault { code: ErrorCode::POLICY_TRAP, message: "unreachable\nwas reached".to_owned() };
    let rows = [
        logged(3, Some(ErrorCode::CONFLICT), Some(fault.clone())),
        logged(2, None, Some(fault)),
        logged(1, None, None),
        logged(0, None, None),
    ];
    let page: Page<Operation> = Page::of(&rows, 3, |last| last.id.0.to_string());
    insta::assert_snapshot!(operation_table(&page));
    assert_eq!(operation_table(&Page { items: Vec::new(), next: None }), "no operations\n");
}

#[test]
fn pauses_are_told_by_scope() {
    let pauses = [
        pause(PauseScope::Global, PauseCause::ClockJump, "the wall clock moved by 2h"),
        pause(PauseScope::Engine("local".parse().unwrap()), PauseCause::Breaker { removals: 31 }, "31 of 60 removals"),
        pause(PauseScope::Tenant("acme".parse().unwrap()), PauseCause::Operator, "moving house"),
    ];
    let page = Page { items: pauses.iter().map(PausedScope::from).collect(), next: None };
    insta::assert_snapshot!(pause_table(&page));
}

#[test]
fn an_explanation_names_every_blocker_and_the_last_operation() {
    let facts = Facts {
        tracked: stopped("game-3", CleanupState { hold: hold("evidence", Some(at(48))), ..wait(at(72)) }),
        pauses: vec![pause(PauseScope::Global, PauseCause::Operator, "moving house")],
        leased_until: Some(at(1)),
        has_engine: true,
        retention_floor: std::time::Duration::from_secs(30 * 86_400),
        now: at(0),
    };
    let mut explained = explain(&facts);
    explained.last_operation = Some(Operation::from(&logged(3, Some(ErrorCode::CONFLICT), None)));
    insta::assert_snapshot!(explanation(&explained));

    let tracked = stopped("game-4", CleanupState { hold: hold("evidence", None), ..parked() });
    let endless = Facts { tracked, pauses: Vec::new(), leased_until: None, has_engine: false, ..facts };
    insta::assert_snapshot!(explanation(&explain(&endless)));
}

fn result(outcome: &str, code: Option<ErrorCode>, message: Option<&str>) -> CleanupResult {
    CleanupResult {
        run_id: RunId::from_bytes([7; 16]).to_string(),
        outcome: outcome.to_owned(),
        error_code: code.map(|code| code.to_string()),
        message: message.map(str::to_owned),
        entry_id: Some(3),
        runtime: None,
    }
}

#[test]
fn a_cleanup_is_told_in_a_sentence() {
    let told = [
        result("success", None, None),
        result("success", Some(ErrorCode::REPLAY_NO_OP), None),
        result("failure", Some(ErrorCode::CONFLICT), Some("the runtime is running\u{7}")),
        result("failure", None, None),
    ];
    insta::assert_snapshot!(told.iter().map(result_text).collect::<Vec<_>>().join("---\n"));
}

#[test]
fn tokens_are_told_with_their_ends() {
    let token = |name: &str, role: Role, expires_at, revoked_at, last_used_at| ApiToken {
        name: name.to_owned(),
        hash: [7; 32],
        role,
        created_at: at(-48),
        created_by: "cli:uid=1000".to_owned(),
        expires_at,
        revoked_at,
        last_used_at,
    };
    let tokens = [
        token("acme-ci", Role::Tenant("acme".parse().unwrap()), Some(at(24)), None, Some(at(-3))),
        token("ada", Role::Admin, None, None, None),
        token("old", Role::Viewer, None, Some(at(-1)), None),
        token("past", Role::Viewer, Some(at(-1)), None, Some(at(-2))),
    ];
    let items = tokens.iter().map(|token| NamedToken::new(token, at(0))).collect();
    insta::assert_snapshot!(token_table(&Page { items, next: None }));
    let later = NamedToken::new(&tokens[1], at(24 * 90));
    assert_eq!(later.notice.as_deref(), Some("unused"));
}

#[test]
fn the_trail_is_told_and_whether_it_is_whole() {
    let event = |action: &str, subject: &str, detail: &str| AuditEvent {
        at: at(0),
        actor: "token:ada".to_owned(),
        role: "admin".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    let first = AuditEntry::link(1, [0; 32], event("runtime.hold", "game-1", r#"{"reason":"case 7"}"#));
    let failed = r#"{"code":"not_found","of":1,"outcome":"failed"}"#;
    let second = AuditEntry::link(2, first.hash, event("runtime.hold", "game-1", failed));
    let third = AuditEntry::link(3, second.hash, event("token.revoke", "\u{1b}[2J", "no JSON"));
    let rows = [first, second, third];
    let page: Page<AuditedAction> = Page::of(&rows, 3, |_| unreachable!());
    let whole = Verification { head: Some(Anchor { sequence: 3, hash: [0xab; 32] }), ..Verification::default() };
    let pruned = Verification { pruned: Some(Anchor { sequence: 2, hash: [0xcd; 32] }), ..whole.clone() };
    let broken = |sequence, flaw| Some(Break { sequence, flaw });
    let later = Verification { broken: broken(4, Flaw::Unlinked), ..whole.clone() };
    let first = Verification { broken: broken(1, Flaw::Unreadable("no\ntext".to_owned())), ..Verification::default() };
    let told = [whole, pruned, later, first].map(|found| verification_text(&TrailVerification::from(&found)));
    let gone = PrunedTrail { links: 2, through: Some(format!("2:{}", "cd".repeat(32))) };
    let pruned = [gone, PrunedTrail { links: 0, through: None }].map(|pruned| pruned_text(&pruned));
    insta::assert_snapshot!([audit_table(&page), told.join("---\n"), pruned.join("")].join("---\n"));
}

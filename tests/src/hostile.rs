//! Runs of the hostile policy, and what holds after each of them whatever the policy did.

use rtmanager::adapters::memory::Call;
use rtmanager::lifecycle::{OperationResult, ReviewResult};
use rtmanager::model::{Author, OperationEntry, Outcome, Status, Timestamp};

use crate::fixtures::HOSTILE;
use crate::mock_host::{GAME, MockHost, MockHostBuilder, container, request};

/// What the hostile policy can do in `handle`; the suite `corpus` holds the list to the policy's source.
pub const MODES: [&str; 65] = [
    "honest",
    "trap-before-lease",
    "trap-under-lease",
    "trap-after-load",
    "trap-after-remove",
    "trap-after-update",
    "trap-after-append",
    "busy-loop",
    "deep-recursion",
    "deep-recursion-in-memory",
    "memory-growth",
    "call-flood",
    "giant-log",
    "log-flood",
    "giant-message",
    "entry-flood",
    "lease-flood",
    "claim-success",
    "claim-replay",
    "unproven-entry",
    "host-code",
    "host-code-entry",
    "no-entry",
    "no-entry-after-cleanup",
    "entry-fails-answer-succeeds",
    "entry-succeeds-answer-fails",
    "trap-after-false-entry",
    "two-entries",
    "foreign-entry",
    "malformed-code",
    "long-code",
    "escapes",
    "sleep",
    "exit",
    "panic",
    "environment",
    "files",
    "sockets",
    "random",
    "giant-random",
    "giant-poll",
    "print-flood",
    "handle-flood",
    "remove-before-load",
    "remove-another",
    "remove-by-name",
    "remove-by-prefix",
    "remove-by-path",
    "remove-own",
    "remove-after-release",
    "inspect-another",
    "update-before-load",
    "update-without-proof",
    "update-running-to-removed",
    "update-stopped-to-running",
    "update-stopped-to-other",
    "update-expecting-none",
    "update-after-reload",
    "update-after-release",
    "second-lease",
    "second-lease-after-release",
    "release-twice",
    "keep-lease",
    "forge-lease",
    "drop-lease-twice",
];

/// Likewise in `review`.
pub const REVIEW_MODES: [&str; 14] = [
    "due",
    "keep",
    "giant-reason",
    "escapes",
    "wait",
    "wait-past",
    "wait-for-ever",
    "read",
    "acquire",
    "append",
    "trap",
    "panic",
    "busy-loop",
    "exit",
];

/// A host whose policy misbehaves in `handle`.
pub fn hostile(mode: &str) -> MockHostBuilder {
    MockHost::builder().policy(HOSTILE).setting("mode", mode)
}

/// A host whose policy misbehaves in `review`, and is honest in `handle`.
pub fn hostile_review(mode: &str) -> MockHostBuilder {
    MockHost::builder().policy(HOSTILE).setting("review_mode", mode)
}

/// What a run told its caller and the log.
#[derive(Debug)]
pub struct Told {
    /// The caller was told this.
    pub result: OperationResult,
    /// The log was told this.
    pub entry: OperationEntry,
}

/// Runs the policy over [`GAME`], and checks what no policy can change: the run has one entry, an outcome that
/// the entry or its fault bears out, no record unless it succeeded, and a lease that was given back.
pub async fn run(host: &MockHost) -> Told {
    let result = host.lifecycle.cleanup(request(GAME, "cli")).await;
    let mut entries = host.entries();
    entries.retain(|logged| logged.entry.run_id == result.run_id);
    assert_eq!(entries.len(), 1, "one entry a run: {result:?}");
    let logged = entries.remove(0);
    assert_eq!(result.entry, Some(logged.id));
    let entry = logged.entry;
    let fault = entry.fault.as_ref();
    let outcome = if fault.is_some() { Outcome::Failure } else { entry.outcome };
    let code = fault.map(|fault| &fault.code).or(entry.error_code.as_ref());
    assert_eq!((outcome, code), (result.outcome, result.error_code.as_ref()), "{entry:?}");
    assert_eq!(result.record.is_some(), result.outcome == Outcome::Success);
    assert!(host.no_lease_is_held(), "the lease was not given back");
    Told { result, entry }
}

/// A host with one stopped runtime, [`GAME`] in container 1, after one run of the policy over it.
pub async fn run_over_stopped(builder: MockHostBuilder) -> (MockHost, Told) {
    let host = builder.build();
    host.stopped(GAME, &container(1)).await;
    let told = run(&host).await;
    (host, told)
}

/// Has the sweeper's question put to the policy, about [`GAME`].
pub async fn review(host: &MockHost, dry_run: bool) -> ReviewResult {
    let candidate = host.record(GAME).await.expect("a record");
    host.lifecycle.review(candidate, Timestamp::from_micros(1), dry_run).await
}

impl Told {
    /// The code that the caller was told, or `-`.
    pub fn code(&self) -> &str {
        self.result.error_code.as_ref().map_or("-", |code| code.as_str())
    }

    /// The message that the caller was told.
    pub fn message(&self) -> &str {
        self.result.message.as_deref().unwrap_or_default()
    }

    /// The policy went on to the end, and reports these answers of the host.
    pub fn reports(&self, answers: &str) -> &Self {
        assert_eq!((self.code(), self.message()), ("hostile", answers));
        assert_eq!((self.entry.author, &self.entry.fault), (Author::Policy, &None));
        self
    }

    /// The policy gave no account, so the host wrote one.
    pub fn host_says(&self, code: &str) -> &Self {
        assert_eq!(self.code(), code, "{}", self.message());
        assert_eq!((self.entry.author, &self.entry.fault), (Author::Host, &None));
        assert_eq!(self.entry.error_message.as_deref(), Some(self.message()));
        self
    }

    /// The policy's own account stands, and beside it the fault.
    pub fn stands_beside(&self, code: &str, outcome: Outcome, own_code: Option<&str>) -> &Self {
        assert_eq!(self.code(), code, "{}", self.message());
        assert_eq!(self.entry.author, Author::Policy);
        assert_eq!((self.entry.outcome, self.entry.error_code.as_ref().map(|code| code.as_str())), (outcome, own_code));
        let fault = self.entry.fault.as_ref().expect("a fault beside the account");
        assert_eq!((fault.code.as_str(), fault.message.as_str()), (code, self.message()));
        self
    }

    /// The message names what the test looks for.
    pub fn names(&self, text: &str) -> &Self {
        assert!(self.message().contains(text), "{:?} does not name {text:?}", self.message());
        self
    }
}

/// No effect was even tried on engine or record, and both are as [`MockHost::stopped`] made them.
pub async fn assert_untouched(host: &MockHost) {
    for effect in [Call::EngineRemove, Call::RecordCompareAndSet] {
        assert_eq!(host.script.journal().count(effect), 0, "{effect} was called");
    }
    assert_still_stopped(host).await;
}

/// The record still says stopped and names container 1, which is still there.
pub async fn assert_still_stopped(host: &MockHost) {
    let record = host.record(GAME).await.expect("a record").record;
    assert_eq!((record.status, record.container_id), (Status::Stopped, Some(container(1))));
    assert!(host.has_container(&container(1)), "the container is gone");
}

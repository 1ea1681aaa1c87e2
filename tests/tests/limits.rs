//! Every limit of a run fires, with a code of its own and a message that names it, and the host is as good
//! as new afterwards.
//!
//! Times are asserted from below only: the machine may be busy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::model::Author;
use rtmanager::runtime::{Limits, LoadError, Sandbox, SandboxOptions};
use rtmanager_tests::captured_log::captured_log;
use rtmanager_tests::fixtures;
use rtmanager_tests::hostile::{Told, assert_untouched, hostile, run, run_over_stopped};
use rtmanager_tests::mock_host::{GAME, MockHost, container};

/// Small enough for a test to wait for, large enough for every honest run.
fn small() -> Limits {
    Limits {
        memory_bytes: 8 << 20,
        guest_time: Duration::from_secs(5),
        run_time: Duration::from_secs(20),
        ..Limits::default()
    }
}

/// For what never ends by itself.
fn short() -> Limits {
    Limits { guest_time: Duration::from_millis(200), ..small() }
}

/// Runs a mode under limits over a stopped runtime.
async fn under(limits: Limits, mode: &str) -> (MockHost, Told) {
    run_over_stopped(hostile(mode).limits(limits)).await
}

/// The run ends with this code, an entry of the host's that names the limit, and no effect.
async fn exceeds(limits: Limits, mode: &str, code: &str, limit: &str) {
    let (host, told) = under(limits, mode).await;
    told.host_says(code).names(limit);
    assert_untouched(&host).await;
}

#[tokio::test]
async fn guest_time_ends_a_loop() {
    exceeds(short(), "busy-loop", "policy_deadline_exceeded", "limits.guest_time (200 ms)").await;
}

#[tokio::test]
async fn run_time_ends_a_sleep() {
    let limits = Limits { run_time: Duration::from_millis(300), ..small() };
    exceeds(limits, "sleep", "policy_run_timeout", "limits.run_time (300 ms)").await;
}

/// The sleep is longer than the guest's time, and shorter than the run's.
#[tokio::test]
async fn guest_time_does_not_count_while_the_guest_waits() {
    let builder =
        hostile("sleep").setting("size", "700").limits(Limits { guest_time: Duration::from_millis(500), ..small() });
    let (_, told) = run_over_stopped(builder).await;
    told.reports("slept");
}

#[tokio::test]
async fn stack_bytes_ends_a_recursion() {
    exceeds(small(), "deep-recursion", "policy_stack_exceeded", "limits.stack_bytes").await;
}

#[tokio::test]
async fn a_stack_kept_in_memory_ends_in_a_trap() {
    let (host, told) = under(small(), "deep-recursion-in-memory").await;
    told.host_says("policy_trap");
    assert_untouched(&host).await;
}

#[tokio::test]
async fn memory_bytes_ends_a_growth() {
    exceeds(small(), "memory-growth", "policy_memory_exceeded", "limits.memory_bytes (8388608)").await;
}

#[tokio::test]
async fn bytes_per_call_ends_a_giant_argument() {
    let limits = Limits { memory_bytes: 64 << 20, ..small() };
    exceeds(limits, "giant-log", "policy_bytes_exceeded", "limits.bytes_per_call (1048576)").await;
}

/// What the host makes of it is counted, however little of it is the guest's own.
#[tokio::test]
async fn bytes_per_call_ends_a_list_of_a_million() {
    exceeds(small(), "giant-poll", "policy_bytes_exceeded", "limits.bytes_per_call (1048576)").await;
}

#[tokio::test]
async fn bytes_per_run_ends_a_stream_of_small_arguments() {
    let limits = Limits { bytes_per_run: 1_000, ..small() };
    exceeds(limits, "log-flood", "policy_bytes_exceeded", "limits.bytes_per_run (1000)").await;
}

#[tokio::test]
async fn calls_ends_a_flood_of_calls() {
    let limits = Limits { calls: 100, ..small() };
    exceeds(limits, "call-flood", "policy_calls_exceeded", "limits.calls (100)").await;
}

#[tokio::test]
async fn calls_counts_those_of_wasi() {
    let limits = Limits { calls: 200, ..small() };
    let (host, told) = run_over_stopped(hostile("print-flood").setting("size", "100000000").limits(limits)).await;
    told.host_says("policy_calls_exceeded").names("limits.calls (200)");
    assert_untouched(&host).await;
}

#[tokio::test]
async fn handles_ends_a_flood_of_handles() {
    let limits = Limits { calls: 1_000_000, ..small() };
    exceeds(limits, "handle-flood", "policy_handles_exceeded", "limits.handles (256)").await;
}

#[tokio::test]
async fn randomness_in_bulk_is_refused() {
    let (host, told) = under(small(), "giant-random").await;
    told.host_says("policy_trap");
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_panic_or_an_exit_is_a_trap() {
    for (mode, text) in [("panic", "unreachable"), ("exit", "exit")] {
        let (host, told) = under(small(), mode).await;
        told.host_says("policy_trap").names(text);
        assert_untouched(&host).await;
    }
}

#[tokio::test]
async fn wasi_answers_and_gives_nothing() {
    for (mode, answers) in [
        ("environment", "0 variables, 0 arguments"),
        ("files", "denied, denied, denied"),
        ("random", "32 random bytes"),
        ("print-flood", "output taken"),
    ] {
        let (host, told) = under(small(), mode).await;
        told.reports(answers);
        assert_untouched(&host).await;
    }
    // Each by the reason that the operating system would give.
    let (_, told) = under(small(), "sockets").await;
    assert_eq!(told.code(), "hostile");
    assert!(!told.message().contains("ok"), "{}", told.message());
}

#[tokio::test]
async fn log_lines_drops_what_is_too_much_and_says_so_once() {
    let (guard, log) = captured_log();
    let limits = Limits { log_lines: 7, ..small() };
    let (_, told) = under(limits, "log-flood").await;
    drop(guard);
    told.reports("logged");
    let log = log.text();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" policy: ")).collect();
    assert_eq!(lines.len(), 8, "{log}");
    assert!(lines[6].contains("line 6") && lines[7].contains("limits.log_lines"), "{log}");
}

#[tokio::test]
async fn a_logged_line_is_bounded_and_escaped() {
    let (guard, log) = captured_log();
    run_over_stopped(hostile("giant-log").setting("size", "10000").limits(small())).await;
    drop(guard);
    let log = log.text();
    assert!(log.contains(&format!("{}…", "x".repeat(1024))) && !log.contains(&"x".repeat(1025)), "{log}");
}

#[tokio::test]
async fn a_table_that_grows_too_far_is_refused_by_name() {
    run_malformed(fixtures::GROWING_TABLE, small())
        .await
        .host_says("policy_memory_exceeded")
        .names("limits.table_elements (100000)");
}

#[tokio::test]
async fn a_policy_that_survives_a_refusal_goes_on() {
    run_malformed(fixtures::REFUSED_TABLE, small()).await.host_says("policy_no_entry");
}

#[tokio::test]
async fn hand_made_modules_that_break_the_abi_end_in_faults() {
    for (name, policy, code) in [
        ("sound", fixtures::SOUND, "policy_no_entry"),
        ("endless start", fixtures::ENDLESS_START, "policy_deadline_exceeded"),
        ("trapping start", fixtures::TRAPPING_START, "policy_trap"),
        ("answer out of bounds", fixtures::ANSWER_OUT_OF_BOUNDS, "policy_trap"),
        ("answer of an unknown outcome", fixtures::ANSWER_UNKNOWN_OUTCOME, "policy_trap"),
        ("answer that is not UTF-8", fixtures::ANSWER_NOT_UTF8, "policy_trap"),
        ("argument out of bounds", fixtures::ARGUMENT_OUT_OF_BOUNDS, "policy_trap"),
        ("argument that is not UTF-8", fixtures::ARGUMENT_NOT_UTF8, "policy_trap"),
        ("argument of an unknown level", fixtures::ARGUMENT_UNKNOWN_LEVEL, "policy_trap"),
        ("answer of an unknown option", fixtures::ANSWER_UNKNOWN_OPTION, "policy_trap"),
        ("allocator out of bounds", fixtures::ALLOCATOR_OUT_OF_BOUNDS, "policy_trap"),
        ("endless allocator", fixtures::ENDLESS_ALLOCATOR, "policy_deadline_exceeded"),
        ("endless post-return", fixtures::ENDLESS_POST_RETURN, "policy_deadline_exceeded"),
    ] {
        let limits = if code == "policy_deadline_exceeded" { short() } else { small() };
        let told = run_malformed(policy, limits).await;
        assert_eq!((told.code(), told.entry.author), (code, Author::Host), "{name}: {}", told.message());
    }
}

#[tokio::test]
async fn bytes_per_call_ends_a_giant_answer() {
    let limits = Limits { memory_bytes: 64 << 20, ..small() };
    let host = MockHost::builder().policy(fixtures::ANSWER_GIANT_MESSAGE).limits(limits).build();
    host.stopped(GAME, &container(1)).await;
    run(&host).await.host_says("policy_bytes_exceeded").names("limits.bytes_per_call (1048576)");
}

async fn run_malformed(policy: &[u8], limits: Limits) -> Told {
    let (host, told) = run_over_stopped(MockHost::builder().policy(policy).limits(limits)).await;
    assert_untouched(&host).await;
    told
}

#[test]
fn what_cannot_serve_is_refused_when_loaded_by_naming_what_is_wrong() {
    let sandbox = Sandbox::new(SandboxOptions { limits: small(), ..SandboxOptions::default() }).unwrap();
    for (component, named) in [
        (fixtures::GARBAGE.to_vec(), "not a component"),
        (fixtures::core_module(), "not a component"),
        (fixtures::without_exports(), "galaxy:rtmanager/cleanup@0.1.0"),
        (fixtures::undeclared_import(), "evil:host/shell@1.0.0"),
        (fixtures::unknown_version(), "galaxy:rtmanager/clock@9.0.0"),
        (fixtures::HUGE_MEMORY.to_vec(), "memory"),
        (fixtures::HUGE_TABLE.to_vec(), "table"),
        (fixtures::MANY_MEMORIES.to_vec(), "multiple memories"),
        (fixtures::many_instances(500), "core module instances"),
        (fixtures::many_instances(5_000), "instances"),
        (fixtures::nested_components(90), "galaxy:rtmanager/cleanup@0.1.0"),
    ] {
        let refusal = sandbox.load(&component).map(|_| ()).unwrap_err();
        assert!(refusal.to_string().contains(named), "{refusal} does not name {named}");
        assert!(matches!(refusal, LoadError::Invalid(_) | LoadError::Misfit(_)));
    }
}

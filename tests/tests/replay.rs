//! Recorded runs, played again: the same policy differs in nothing, whatever had happened, and another one in what it
//! would have done otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use proptest::prelude::*;
use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::{
    BoundaryAnswer, BoundaryCall, BoundaryError, ContainerState, Hold, LiveStatus, PolicyDigest, RunJournal, Timestamp,
};
use rtmanager::ports::LeaseToken;
use rtmanager::replay::{Part, Replay, Report};
use rtmanager::runtime::{DEFAULT_POLICY, Policy, Settings};
use rtmanager::session::SessionOptions;
use rtmanager::simulation::Simulator;
use rtmanager::sweeper::SweepRequest;
use rtmanager_tests::fixtures::{C_POLICY, HOSTILE};
use rtmanager_tests::hostile::{MODES, review};
use rtmanager_tests::mock_host::{GAME, IMAGE, MockHost, MockHostBuilder, container, labels, request};
use rtmanager_tests::seeded::seeded;
use rtmanager_tests::sweeping::{RETENTION, Swept, sweep_options};

const SEED: u64 = 31;

static SIMULATOR: LazyLock<Simulator> = LazyLock::new(|| Simulator::new(200_000_000).expect("a sandbox"));

type Given = &'static [(&'static str, &'static str)];

/// Each compiled once.
fn policy(component: &[u8]) -> Policy {
    static LOADED: Mutex<Vec<Policy>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let digest = PolicyDigest::of(component);
    if let Some(policy) = loaded.iter().find(|policy| *policy.digest() == digest) {
        return policy.clone();
    }
    let policy = SIMULATOR.load(component).expect("the policy loads");
    loaded.push(policy.clone());
    policy
}

fn part(component: &[u8], settings: &[(&str, &str)]) -> Part {
    Part {
        policy: policy(component).with_own_places(4),
        settings: Arc::new(settings.iter().copied().collect::<Settings>()),
        grants: None,
        session: Arc::new(SessionOptions::default()),
        assume: true,
    }
}

/// A runtime of its own, whose time passes by itself.
fn played(part: &Part, journals: &[RunJournal]) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut replay = Replay::new().unwrap();
        for journal in journals {
            replay.against_recorded(part, journal).await;
        }
        replay.finish()
    })
}

fn compared(first: &Part, second: &Part, journals: &[RunJournal]) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut replay = Replay::new().unwrap();
        for journal in journals {
            replay.against_each_other(first, second, journal).await;
        }
        replay.finish()
    })
}

/// What a run finds, and what goes wrong in it.
#[derive(Debug, Clone)]
struct Case {
    status: u8,
    state: u8,
    exit_code: i64,
    foreign: bool,
    held: bool,
    leased: bool,
    reviewed: bool,
    missing: bool,
    blank: bool,
    /// At these places of the calls of the ports.
    faults: Vec<(usize, u8)>,
    /// Before which of the looks at the record somebody does what.
    meanwhile: Option<(u32, u8)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let faults = proptest::collection::vec((0..12_usize, 0..7_u8), 0..3);
    let meanwhile = proptest::option::weighted(0.3, (1..4_u32, 0..4_u8));
    let rare = || proptest::bool::weighted(0.1);
    let world = (prop_oneof![8 => Just(0_u8), 3 => 1..3_u8], prop_oneof![6 => Just(0_u8), 3 => 1..7_u8], 0..2_i64);
    let odds = (rare(), rare(), rare(), any::<bool>(), rare(), rare());
    (world, odds, faults, meanwhile).prop_map(|((status, state, exit_code), odds, faults, meanwhile)| {
        let (foreign, held, leased, reviewed, missing, blank) = odds;
        Case { status, state, exit_code, foreign, held, leased, reviewed, missing, blank, faults, meanwhile }
    })
}

/// Records one run of a policy in such a world. tokio's clock is paused, so a call that hangs costs no time.
fn recorded(policy: &[u8], settings: Given, case: &Case) -> Vec<RunJournal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let builder = settings
            .iter()
            .fold(MockHost::builder().policy(policy), |builder, (name, value)| builder.setting(name, value));
        let host = builder.build();
        let candidate = furnished(&host, case).await;
        for (place, failure) in &case.faults {
            host.script.plan().fail_at(*place, Failure::ALL[usize::from(*failure)]);
        }
        if let Some((nth, what)) = case.meanwhile {
            interfere(&host, nth, what);
        }
        let written = host.record_runs();
        match candidate.filter(|_| case.reviewed) {
            Some(candidate) => {
                host.lifecycle.review(candidate, Timestamp::from_micros(1), false).await;
            }
            None => {
                let game = if case.blank { " " } else { GAME };
                host.lifecycle.cleanup(request(game, "cli")).await;
            }
        }
        written.journals()
    })
}

async fn furnished(host: &MockHost, case: &Case) -> Option<rtmanager::model::TrackedRuntime> {
    if case.missing {
        return None;
    }
    let mut labels = labels(GAME);
    if case.foreign {
        labels.insert("rtmanager.owner".to_owned(), "somebody".to_owned());
    }
    host.engine.create(&container(1), IMAGE, labels);
    host.engine.start(&container(1));
    host.engine.stop(&container(1), case.exit_code);
    let states = [
        ContainerState::Exited,
        ContainerState::Running,
        ContainerState::Paused,
        ContainerState::Restarting,
        ContainerState::Dead,
        ContainerState::Created,
    ];
    match states.get(usize::from(case.state)) {
        Some(state) => drop(host.engine.set_state(&container(1), state.clone())),
        None => drop(host.engine.vanish(&container(1))),
    }
    let status = if case.status == 1 { LiveStatus::Running } else { LiveStatus::Stopped };
    host.register(GAME, status, (case.status != 2).then(|| container(1)).as_ref()).await;
    let game = GAME.parse().unwrap();
    if case.held {
        let hold = Hold { reason: "evidence".to_owned(), actor: "ann".to_owned(), until: None };
        host.store.records().set_hold(&game, Some(&hold)).await.unwrap();
    }
    if case.leased {
        let leases = host.store.leases(host.clock.clone());
        leases.try_acquire(&game, &LeaseToken::from_bytes([9; 32]), Duration::from_secs(60)).await.unwrap();
    }
    host.record(GAME).await
}

fn interfere(host: &MockHost, nth: u32, what: u8) {
    let (store, engine, clock) = (host.store.clone(), host.engine.clone(), host.clock.clone());
    let call = [Call::RecordGetForEffect, Call::EngineInspect, Call::EngineRemove, Call::RecordCompareAndSet]
        [usize::try_from(nth).unwrap() % 4];
    host.script.plan().meanwhile(call, 1, async move {
        let game = GAME.parse().unwrap();
        match what {
            0 => drop(engine.vanish(&container(1))),
            1 => drop(store.delete_directly(&game)),
            2 => {
                clock.advance(Duration::from_secs(61));
                store.forget_lease(&game);
            }
            _ => {
                if let Some(tracked) = store.record(&game) {
                    let mut record = tracked.record;
                    record.status = rtmanager::model::Status::Removed;
                    record.container_id = None;
                    record.removed_at = Some(record.last_op_at);
                    store.write_directly(record);
                }
            }
        }
    });
}

/// The policies whose every recorded run is played again.
const POLICIES: [(&[u8], Given); 5] = [
    (DEFAULT_POLICY, &[]),
    (DEFAULT_POLICY, &[("keep_failed_days", "9"), ("protect_label", "keep=always-please")]),
    (C_POLICY, &[]),
    (HOSTILE, &[("mode", "proper"), ("review_mode", "read")]),
    (HOSTILE, &[("mode", "honest")]),
];

#[test]
fn a_policy_that_is_played_over_its_own_runs_differs_in_nothing_whatever_went_wrong() {
    let parts: Vec<_> = POLICIES.iter().map(|(component, settings)| part(component, settings)).collect();
    let runs = std::sync::atomic::AtomicU64::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(seeded(400, SEED));
    let strategy = (cases(), 0..POLICIES.len());
    let outcome = runner.run(&strategy, |(case, which)| {
        let (component, settings) = POLICIES[which];
        let journals = recorded(component, settings, &case);
        let report = played(&parts[which], &journals);
        prop_assert!(report.is_same(), "{report:#?}\n{}", journals[0].to_json().unwrap());
        runs.fetch_add(report.runs, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    });
    outcome.unwrap();
    let runs = runs.into_inner();
    println!("{runs} runs played again");
    assert!(runs > 340, "{runs}: some are the host's fault, most are not");
}

#[test]
fn every_misbehaviour_is_repeated_as_it_was() {
    let case = Case {
        status: 0,
        state: 0,
        exit_code: 0,
        foreign: false,
        held: false,
        leased: false,
        reviewed: false,
        missing: false,
        blank: false,
        faults: Vec::new(),
        meanwhile: None,
    };
    // What depends on real time, on true randomness, or on how an instance is metered.
    let elsewhere = ["busy-loop", "sleep", "random", "memory-growth", "call-flood", "giant-poll", "deep-recursion"];
    let mut played_modes = 0;
    for mode in MODES.iter().filter(|mode| !elsewhere.contains(*mode)) {
        let settings: Given = Box::leak(Box::new([("mode", *mode)]));
        let journals = recorded(HOSTILE, settings, &case);
        let whole: Vec<_> = journals.into_iter().filter(|journal| !journal.is_cut()).collect();
        let report = played(&part(HOSTILE, settings), &whole);
        assert!(report.is_same(), "{mode}: {report:#?}");
        played_modes += report.runs;
    }
    assert!(played_modes > 40, "{played_modes}");
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work)
}

/// A sweep over games of which every third failed, written down.
fn fleet(builder: MockHostBuilder, games: u64) -> Vec<RunJournal> {
    block_on(async {
        let host = builder.build();
        for number in 1..=games {
            let game = format!("game-{number:02}");
            host.engine.create(&container(number), IMAGE, labels(&game));
            host.engine.start(&container(number));
            host.engine.stop(&container(number), i64::from(number % 3 == 0));
            host.register(&game, LiveStatus::Stopped, Some(&container(number))).await;
        }
        host.advance(RETENTION + Duration::from_secs(60));
        let written = host.record_runs();
        Swept::by(&host.sweeper(sweep_options()), &SweepRequest::default()).await;
        let mut journals = written.journals();
        journals.sort_by(|a, b| a.request.game_id.cmp(&b.request.game_id));
        journals
    })
}

#[test]
fn a_fleet_that_was_swept_tells_what_another_policy_would_have_kept() {
    let journals = fleet(MockHost::builder(), 9);
    assert_eq!(journals.len(), 9);
    assert!(played(&part(DEFAULT_POLICY, &[]), &journals).is_same());
    let report = played(&part(DEFAULT_POLICY, &[("keep_failed_days", "60")]), &journals);
    // It looks at exit codes, of which the recording says nothing.
    assert_eq!(report.differences, [("asked_more", 9)].into());
    let unsure = Part { assume: false, ..part(DEFAULT_POLICY, &[("keep_failed_days", "60")]) };
    let report = played(&unsure, &journals);
    assert_eq!(report.would_keep.len(), 9, "what it cannot look at it keeps");
    insta::assert_json_snapshot!(report.examples[0]);
}

#[test]
fn what_one_policy_kept_the_other_would_have_removed() {
    let journals = fleet(MockHost::builder().setting("keep_failed_days", "60"), 9);
    assert!(played(&part(DEFAULT_POLICY, &[("keep_failed_days", "60")]), &journals).is_same());
    let report = played(&part(DEFAULT_POLICY, &[]), &journals);
    assert_eq!(report.would_remove, ["game-03", "game-06", "game-09"]);
    assert!(report.would_keep.is_empty());
    assert_eq!((report.runs, report.differing), (9, 3));
    assert_eq!(report.differences["would_remove"], 3);
    // Whether the lease was free is not known.
    assert_eq!(report.examples[0].asked_more, ["leases.try-acquire: assumed"]);
}

#[test]
fn two_policies_are_held_against_each_other_game_by_game() {
    let journals = fleet(MockHost::builder().setting("keep_failed_days", "1000"), 9);
    let (strict, lax) = (part(DEFAULT_POLICY, &[("keep_failed_days", "60")]), part(DEFAULT_POLICY, &[]));
    let report = compared(&lax, &strict, &journals);
    assert_eq!((report.would_keep.len(), report.would_remove.len()), (3, 0));
    assert_eq!(report.would_keep, ["game-03", "game-06", "game-09"]);
    let other_way = compared(&strict, &lax, &journals);
    assert_eq!(other_way.would_remove, report.would_keep);
    assert!(compared(&strict, &strict, &journals).is_same());
}

#[test]
fn nothing_is_assumed_where_nobody_wants_that() {
    let journals = fleet(MockHost::builder().setting("keep_failed_days", "60"), 3);
    let careful = Part { assume: false, ..part(DEFAULT_POLICY, &[]) };
    let report = played(&careful, &journals);
    assert_eq!((report.differing, report.would_remove.len()), (1, 0));
    let example = &report.examples[0];
    assert_eq!(example.differences, ["other_error", "asked_more"]);
    assert_eq!(example.asked_more, ["leases.try-acquire: unavailable"]);
    assert!(example.second.starts_with("failure service_unavailable"), "{}", example.second);
}

#[test]
fn another_reason_another_time_and_another_error_are_told_apart() {
    let journal_of = |builder: MockHostBuilder| {
        block_on(async {
            let host = builder.build();
            host.stopped(GAME, &container(1)).await;
            let written = host.record_runs();
            review(&host, false).await;
            written.last()
        })
    };
    let hostile = |mode: &'static str| MockHost::builder().policy(HOSTILE).setting("review_mode", mode);
    let kept = journal_of(hostile("keep"));
    let kinds = |journal: &RunJournal, settings: &[(&str, &str)]| -> Vec<&'static str> {
        played(&part(HOSTILE, settings), std::slice::from_ref(journal)).differences.into_keys().collect()
    };
    assert!(kinds(&kept, &[("review_mode", "keep")]).is_empty());
    assert_eq!(kinds(&kept, &[("review_mode", "wait-for-ever")]), ["other_advice"]);
    assert_eq!(kinds(&kept, &[("review_mode", "trap")]), ["other_error"]);
    assert_eq!(kinds(&kept, &[("review_mode", "read")]), ["asked_more", "other_advice"]);
    assert_eq!(kinds(&kept, &[("review_mode", "due")]), ["asked_more", "would_remove"]);
    let removed = journal_of(hostile("due"));
    assert_eq!(kinds(&removed, &[("review_mode", "keep")]), ["would_keep"]);
    assert_eq!(kinds(&removed, &[("mode", "no-entry-after-cleanup")]), ["other_error"]);
}

#[test]
fn rules_hold_in_a_replay_whatever_was_recorded() {
    let journals = block_on(async {
        let host = MockHost::builder().build();
        host.stopped(GAME, &container(1)).await;
        let written = host.record_runs();
        host.cleanup(GAME).await;
        written.journals()
    });
    for (mode, removes) in [("honest", true), ("remove-before-load", false), ("remove-another", false)] {
        let report = played(&part(HOSTILE, &[("mode", mode)]), &journals);
        assert_eq!(report.differences.contains_key("would_keep"), !removes, "{mode}: {report:#?}");
    }
}

#[test]
fn a_container_that_ran_is_not_removed_in_a_replay_either() {
    let journals = block_on(async {
        let host = MockHost::builder().policy(HOSTILE).setting("review_mode", "read").build();
        host.stopped(GAME, &container(1)).await;
        host.engine.set_state(&container(1), ContainerState::Running);
        let written = host.record_runs();
        review(&host, false).await;
        written.journals()
    });
    let report = played(&part(DEFAULT_POLICY, &[]), &journals);
    assert_eq!(report.would_remove, Vec::<String>::new(), "{report:#?}");
    assert!(report.differences.contains_key("other_error"));
}

#[test]
fn journals_that_say_nothing_of_another_policy_are_counted_and_left_out() {
    let mut journals = fleet(MockHost::builder(), 3);
    journals[0].omitted = 1;
    let report = played(&part(DEFAULT_POLICY, &[]), &journals);
    assert_eq!((report.runs, report.skipped["the journal was cut"]), (2, 1));
    assert!(report.is_same());
}

#[test]
fn looks_in_another_order_are_no_difference() {
    let mut journals = fleet(MockHost::builder().setting("keep_failed_days", "60"), 9);
    let looks = |call: &BoundaryCall| {
        matches!(
            call,
            BoundaryCall::Now | BoundaryCall::Settings | BoundaryCall::RecordsGet | BoundaryCall::Inspect { .. }
        )
    };
    let mut turned = 0;
    for journal in &mut journals {
        // Each pair of neighbours that both only look.
        for place in 1..journal.exchanges.len() {
            if looks(&journal.exchanges[place - 1].call) && looks(&journal.exchanges[place].call) {
                journal.exchanges.swap(place - 1, place);
                turned += 1;
            }
        }
    }
    assert!(turned > 5, "{turned}");
    assert!(played(&part(DEFAULT_POLICY, &[("keep_failed_days", "60")]), &journals).is_same());
}

#[test]
fn a_lease_that_another_held_is_held_in_a_replay() {
    let journals = block_on(async {
        let host = MockHost::builder().build();
        host.stopped(GAME, &container(1)).await;
        let leases = host.store.leases(host.clock.clone());
        let game = GAME.parse().unwrap();
        assert!(leases.try_acquire(&game, &LeaseToken::from_bytes([9; 32]), Duration::from_secs(60)).await.unwrap());
        let written = host.record_runs();
        host.cleanup(GAME).await;
        written.journals()
    });
    let taken = journals[0].exchanges.iter().find(|exchange| exchange.call == BoundaryCall::TryAcquire).unwrap();
    assert_ne!(taken.answer, BoundaryAnswer::Error(BoundaryError::Conflict));
    assert_eq!(taken.answer, BoundaryAnswer::Lease(false));
    let report = played(&part(HOSTILE, &[("mode", "honest")]), &journals);
    assert!(report.would_remove.is_empty(), "{report:#?}");
}

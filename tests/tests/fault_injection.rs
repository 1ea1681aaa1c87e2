//! The default policy under every fault at every call, under pairs of faults, late effects, crashes, and others
//! who change the world meanwhile. After each history the invariants hold, and once the faults stop, the job is
//! finished.
//!
//! tokio's clock is paused, so a call that hangs costs no time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::lifecycle::OperationResult;
use rtmanager::model::{LiveStatus, Outcome, Status};
use rtmanager::ports::{Clock as _, LeaseToken};
use rtmanager_tests::invariants::Witness;
use rtmanager_tests::mock_host::{GAME, MockHost, container, request};

/// Past the time to live of a lease that was not given back.
const PAST_TTL: Duration = Duration::from_secs(61);
/// Longer than an import may take.
const TOO_LATE: Duration = Duration::from_secs(31);
const NOTHING: [String; 0] = [];

/// A host with a stopped runtime, and the witness of all that is done to it.
async fn watched() -> (MockHost, Witness) {
    let witness = Witness::default();
    let watch = witness.clone();
    let host = MockHost::builder().wrap(move |world, behind| watch.watch(world, behind)).build();
    host.stopped(GAME, &container(1)).await;
    (host, witness)
}

/// The calls of a run in which nothing goes wrong.
async fn clean_course() -> Vec<Call> {
    let (host, witness) = watched().await;
    let result = host.cleanup(GAME).await;
    assert_eq!(result.outcome, Outcome::Success);
    assert_eq!(witness.violations_at_rest(&host, &[result]), NOTHING);
    host.script.journal().calls()
}

/// Where a call stands in the course, as `FaultPlan::meanwhile` counts: the call and how many such came before.
fn nth(course: &[Call], place: usize) -> (Call, u32) {
    let call = course[place];
    let earlier = course[..place].iter().filter(|made| **made == call).count();
    (call, u32::try_from(earlier).unwrap() + 1)
}

/// Once nothing fails any more, a run finishes the job, and one more changes nothing.
async fn assert_finishes(host: &MockHost, witness: &Witness, mut results: Vec<OperationResult>, history: &str) {
    host.script.plan().mend();
    host.advance(PAST_TTL);
    let finished = host.cleanup(GAME).await;
    assert_eq!(finished.outcome, Outcome::Success, "{history}: {finished:?}");
    assert!(!host.has_container(&container(1)), "{history}");
    let record = host.record(GAME).await;
    assert_eq!(record.as_ref().unwrap().record.status, Status::Removed, "{history}");
    let replay = host.cleanup(GAME).await;
    assert_eq!(replay.error_code.as_ref().unwrap().as_str(), "replay_no_op", "{history}");
    assert_eq!(host.record(GAME).await, record, "{history}: 5: running it twice is running it once");
    results.extend([finished, replay]);
    assert_eq!(witness.violations_at_rest(host, &results), NOTHING, "{history}");
}

#[test]
fn a_clean_course_is_nine_calls() {
    let course = block_on(clean_course());
    let expected = [
        Call::RecordGet,
        Call::LeaseTryAcquire,
        Call::RecordBeginRun,
        Call::EngineInspect,
        Call::RecordGetForEffect,
        Call::EngineRemove,
        Call::RecordCompareAndSet,
        Call::LogAppend,
        Call::LeaseRelease,
    ];
    assert_eq!(course, expected, "the tests below walk over these places");
}

#[tokio::test(start_paused = true)]
async fn every_fault_at_every_call_leaves_the_invariants_whole_and_the_job_to_be_finished() {
    let places = clean_course().await.len();
    let mut codes = BTreeSet::new();
    for place in 0..places {
        for failure in Failure::ALL {
            let history = format!("{failure:?} at {place}");
            let (host, witness) = watched().await;
            host.script.plan().fail_at(place, failure);
            let result = host.cleanup(GAME).await;
            assert_eq!(witness.violations(&host, std::slice::from_ref(&result)), NOTHING, "{history}");
            codes.insert(result.error_code.as_ref().map_or("-", |code| code.as_str()).to_owned());
            assert_finishes(&host, &witness, vec![result], &history).await;
        }
    }
    let all = ["-", "conflict", "internal_error", "not_found", "service_unavailable"];
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), all, "the faults were felt in every way there is");
}

#[tokio::test(start_paused = true)]
async fn every_pair_of_faults_leaves_the_invariants_whole_and_the_job_to_be_finished() {
    // A fault can make a run longer: it reads again, the host writes an entry.
    let places = clean_course().await.len() + 3;
    for first in 0..places {
        for second in first + 1..places {
            for one in Failure::ALL {
                for other in Failure::ALL {
                    let history = format!("{one:?} at {first}, {other:?} at {second}");
                    let (host, witness) = watched().await;
                    host.script.plan().fail_at(first, one);
                    host.script.plan().fail_at(second, other);
                    let result = host.cleanup(GAME).await;
                    assert_finishes(&host, &witness, vec![result], &history).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_lands_after_its_run_has_given_up_breaks_nothing() {
    let course = clean_course().await;
    for place in 0..course.len() {
        let (host, witness) = watched().await;
        let (call, nth) = nth(&course, place);
        host.script.plan().meanwhile(call, nth, tokio::time::sleep(TOO_LATE));
        let result = host.cleanup(GAME).await;
        // A second run overtakes the first one's call; then that lands.
        let overtaking = host.cleanup(GAME).await;
        tokio::time::sleep(TOO_LATE).await;
        assert_finishes(&host, &witness, vec![result, overtaking], &format!("late {call} at {place}")).await;
    }
}

/// What somebody else does at any moment of a run.
#[derive(Debug, Clone, Copy)]
enum Interference {
    Start,
    Vanish,
    DeleteRecord,
    TakeLease,
    NewIncarnation,
}

impl Interference {
    const ALL: [Self; 5] = [Self::Start, Self::Vanish, Self::DeleteRecord, Self::TakeLease, Self::NewIncarnation];

    /// Does it before the call at a place. Answers whether a container was started that must not be removed.
    fn happen_before(self, host: &MockHost, (call, nth): (Call, u32)) -> Arc<AtomicBool> {
        let runs = Arc::new(AtomicBool::new(false));
        let (started, store, engine, clock) =
            (runs.clone(), host.store.clone(), host.engine.clone(), host.clock.clone());
        let (own, new) = (container(1), container(2));
        let running = host.registration(GAME, LiveStatus::Running, Some(&own));
        let anew = host.registration(GAME, LiveStatus::Running, Some(&new));
        let leases = host.store.leases(clock.clone());
        host.script.plan().meanwhile(call, nth, async move {
            match self {
                Self::Start => {
                    started.store(engine.start(&own), Ordering::SeqCst);
                    // A container that is gone can neither be started nor registered as running.
                    if started.load(Ordering::SeqCst) {
                        store.records().register(&running, clock.now()).await.unwrap();
                    }
                }
                Self::Vanish => drop(engine.vanish(&own)),
                Self::DeleteRecord => drop(store.delete_directly(&GAME.parse().unwrap())),
                Self::TakeLease => {
                    clock.advance(PAST_TTL);
                    let token = LeaseToken::from_bytes([9; 32]);
                    leases.try_acquire(&GAME.parse().unwrap(), &token, Duration::from_secs(60)).await.unwrap();
                }
                Self::NewIncarnation => drop(store.records().register(&anew, clock.now()).await.unwrap()),
            }
        });
        runs
    }

    /// What a run comes to once it is over, with the platform having stopped again what it started.
    fn ends_as(self) -> (Outcome, &'static [&'static str]) {
        match self {
            Self::Start | Self::NewIncarnation | Self::Vanish | Self::TakeLease => {
                (Outcome::Success, &["-", "replay_no_op"])
            }
            Self::DeleteRecord => (Outcome::Failure, &["not_found"]),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_do_at_any_moment_never_gets_a_running_container_removed() {
    let course = clean_course().await;
    let mut kept_running = 0;
    for interference in Interference::ALL {
        for place in 0..course.len() {
            let history = format!("{interference:?} before {} at {place}", course[place]);
            let (host, witness) = watched().await;
            let runs = interference.happen_before(&host, nth(&course, place));
            let result = host.cleanup(GAME).await;
            if runs.load(Ordering::SeqCst) {
                kept_running += 1;
                assert!(host.has_container(&container(1)), "{history}: a running container was removed");
            }
            let again = host.cleanup(GAME).await;
            host.advance(PAST_TTL);
            let (stopped, id) = (host.engine.stop(&container(1), 0), host.record(GAME).await);
            if let Some(id) = id.filter(|tracked| tracked.record.status == Status::Running) {
                let id = id.record.container_id.unwrap();
                assert!(stopped || id != container(1), "{history}: the record runs without a container");
                host.register(GAME, LiveStatus::Stopped, Some(&id)).await;
            }
            let last = host.cleanup(GAME).await;
            let (outcome, codes) = interference.ends_as();
            let code = last.error_code.as_ref().map_or("-", |code| code.as_str());
            assert!(last.outcome == outcome && codes.contains(&code), "{history}: {last:?}");
            assert_eq!(witness.violations_at_rest(&host, &[result, again, last]), NOTHING, "{history}");
        }
    }
    assert!(kept_running >= 4, "the container was started in time only {kept_running} times");
}

/// Runs until the call at `place` hangs, as one does in which a process is killed, and kills the process.
fn crash(place: usize, failure: Failure) -> (MockHost, Witness) {
    let process = runtime();
    let (host, witness) = process.block_on(watched());
    host.script.plan().fail_at(place, failure);
    let hung = process.block_on(async {
        let run = host.lifecycle.cleanup(request(GAME, "cli"));
        tokio::time::timeout(Duration::from_millis(1), run).await.is_err()
    });
    assert!(hung, "the run ended before it could crash at {place}");
    drop(process);
    (host, witness)
}

#[test]
fn a_crash_before_or_after_any_call_leaves_the_job_to_the_next_process() {
    let places = block_on(clean_course()).len();
    for place in 0..places {
        for failure in [Failure::Hang, Failure::HangAfterEffect] {
            let history = format!("crash at {place}, {failure:?}");
            let (dead, witness) = crash(place, failure);
            dead.script.plan().mend();
            let host = dead.successor(MockHost::builder());
            block_on(async {
                // At once, most likely while the dead process's lease is still in force.
                let at_once = host.cleanup(GAME).await;
                assert_eq!(witness.violations(&host, std::slice::from_ref(&at_once)), NOTHING, "{history}");
                assert_finishes(&host, &witness, vec![at_once], &history).await;
            });
        }
    }
}

#[test]
fn two_histories_with_the_same_faults_are_the_same() {
    let history = || {
        block_on(async {
            let (host, _) = watched().await;
            host.script.plan().fail_at(5, Failure::LoseReply);
            host.script.plan().fail_at(7, Failure::Hang);
            host.cleanup(GAME).await;
            host.cleanup(GAME).await;
            host.script.journal().entries()
        })
    };
    assert_eq!(history(), history());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

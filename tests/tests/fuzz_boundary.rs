//! Whatever a component passes to an import, or answers: by a model of the canonical ABI it is taken as it is or ends the
//! run with a code of the policy's, and never does it more than the rules allow.
//!
//! A longer search by `RTMANAGER_FUZZ_CASES`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rtmanager::adapters::memory::{ManualClock, MemoryEngine, MemoryStore, SeededRandomness};
use rtmanager::lifecycle::settle;
use rtmanager::metrics::Metrics;
use rtmanager::model::{
    Container, ContainerState, ErrorCode, Fault, GenerationId, Labels, Outcome, PolicyDigest, PolicyRef, PolicyScope,
    RunId, RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};
use rtmanager::ports::Clock as _;
use rtmanager::runtime::{Candidate, Execution, Job, Limits, Policy, Sandbox, SandboxOptions, Settings, Terms};
use rtmanager::session::{Ports, RunContext, Session};
use rtmanager_tests::fixtures::SCRIPTED;
use rtmanager_tests::mock_host::{ENGINE, GAME, IMAGE, container, request};
use rtmanager_tests::seeded::{fuzz_cases, seeded};

#[path = "fuzz_boundary/abi.rs"]
mod abi;
#[path = "fuzz_boundary/image.rs"]
mod image;
#[path = "fuzz_boundary/script.rs"]
mod script;

use abi::{Breaks, expected};
use image::image;
use script::{Call, Optional, SCRATCH, Said, Script, Text, handling, reviewing};

struct World {
    store: MemoryStore,
    engine: MemoryEngine,
    ports: Arc<Ports>,
    tracked: TrackedRuntime,
}

/// A game whose container runs: nothing that a policy does may touch it.
fn world() -> World {
    let clock = Arc::new(ManualClock::default());
    let (store, engine) = (MemoryStore::default(), MemoryEngine::new(clock.clone()));
    let now = clock.now();
    store.write_directly(RuntimeRecord {
        game_id: GAME.parse().unwrap(),
        tenant: TenantId::default(),
        engine: ENGINE.parse().unwrap(),
        status: Status::Running,
        container_id: Some(container(1)),
        image_ref: Some(IMAGE.to_owned()),
        labels: Labels::default(),
        created_at: now,
        started_at: Some(now),
        stopped_at: None,
        removed_at: None,
        last_op_at: now,
        version: 1,
    });
    for n in [1, 2] {
        engine.put(Container {
            id: container(n),
            name: String::new(),
            state: ContainerState::Running,
            exit_code: None,
            created_at: Some(now),
            started_at: Some(now),
            finished_at: None,
            image: IMAGE.to_owned(),
            labels: Labels::default(),
        });
    }
    let ports = Ports {
        records: store.records(),
        operations: store.operation_log(),
        leases: store.leases(clock.clone()),
        engines: BTreeMap::from([(ENGINE.parse().unwrap(), Arc::new(engine.clone()) as _)]),
        clock,
        randomness: Arc::new(SeededRandomness::new(1)),
        metrics: METRICS.clone(),
    };
    let tracked = store.record(&GAME.parse().unwrap()).unwrap();
    World { store, engine, ports: Arc::new(ports), tracked }
}

static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new().unwrap()));
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let options = SandboxOptions { concurrent_runs: 16, ..SandboxOptions::default() };
    Sandbox::repeatable(options, 50_000_000).unwrap().load(SCRIPTED).unwrap()
});

async fn run(world: &World, script: &Script, reviews: bool) -> Execution {
    let candidate = Candidate { runtime: world.tracked.clone(), floor_passed_at: Timestamp::from_micros(0) };
    let offered = reviews.then(|| candidate.runtime.clone());
    let job = match reviews {
        true => Job::Review { candidate: Box::new(candidate), then_handle: false },
        false => Job::Handle,
    };
    let generation = GenerationId::numbered(&PolicyScope::Default, 1);
    let context = RunContext {
        run_id: RunId::from_bytes([3; 16]),
        request: request(GAME, "cli"),
        game: Some(GAME.parse().unwrap()),
        tenant: Some(TenantId::default()),
        policy: PolicyRef { generation, digest: PolicyDigest::of(SCRIPTED) },
        started_at: world.ports.clock.now(),
    };
    let limits = Arc::new(Limits::default());
    let settings: Settings = [("image".to_owned(), image(script))].into_iter().collect();
    let terms = Terms { settings: Arc::new(settings), limits };
    let session = Session::new(world.ports.clone(), Arc::default(), Duration::from_secs(5), context, offered);
    POLICY.execute(session, terms, job, None, &METRICS).await
}

/// What was passed is taken as the ABI says, or the run ends for the policy's own fault.
fn check(script: &Script, reviews: bool) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let world = world();
    let mut execution = runtime.block_on(run(&world, script, reviews));
    let seen = execution.answer.clone();
    match expected(script, reviews) {
        Ok(expected) => prop_assert_eq!(seen.clone(), Ok(expected)),
        Err(Breaks) => {
            let code = seen.as_ref().err().map(|fault: &Fault| fault.code.clone());
            let by_policy = code == Some(ErrorCode::POLICY_TRAP) || code == Some(ErrorCode::POLICY_BYTES);
            prop_assert!(by_policy, "{:?} though the ABI is broken", seen);
        }
    }
    if !reviews {
        let settled = settle(&execution.session, seen);
        prop_assert_eq!(settled.outcome, Outcome::Failure, "nothing was cleaned up");
        if let Some(fault) = &settled.fault {
            runtime.block_on(execution.session.record_fault(fault));
        }
    }
    runtime.block_on(execution.session.release()).unwrap();
    let now = world.ports.clock.now();
    prop_assert_eq!(world.store.leases_held(now), 0);
    prop_assert_eq!(world.store.record(&GAME.parse().unwrap()), Some(world.tracked.clone()));
    prop_assert_eq!(world.engine.containers(), vec![container(1), container(2)]);
    let logged = world.store.logged();
    prop_assert!(logged.len() <= 1, "{} entries", logged.len());
    for logged in logged {
        let entry = logged.entry;
        prop_assert_eq!(entry.outcome, Outcome::Failure);
        let texts = [entry.error_message.as_deref(), entry.image_ref.as_deref()];
        let plain = texts.into_iter().flatten().all(|text| !text.chars().any(char::is_control) && text.len() <= 16_384);
        prop_assert!(plain, "{:?}", texts);
        prop_assert!(entry.error_code.as_ref().is_none_or(|code| ErrorCode::parse(code.as_str()).is_some()));
        prop_assert!(entry.container_id.as_ref().is_none_or(|id| *id == container(1)), "{:?}", entry.container_id);
    }
    Ok(())
}

proptest! {
    #![proptest_config(seeded(fuzz_cases(6_000), 61))]

    #[test]
    fn whatever_a_cleanup_passes_or_answers_is_taken_as_the_abi_says(script in handling()) {
        check(&script, false)?;
    }

    #[test]
    fn whatever_a_review_passes_or_answers_is_taken_as_the_abi_says(script in reviewing()) {
        check(&script, true)?;
    }
}

/// A search in which everything breaks the ABI, or nothing does, finds little.
#[test]
fn some_scripts_break_the_abi_and_most_do_not() {
    let mut runner = TestRunner::new(seeded(1, 62));
    for (strategy, reviews) in [(handling().boxed(), false), (reviewing().boxed(), true)] {
        let scripts = std::iter::repeat_with(|| strategy.new_tree(&mut runner).unwrap().current()).take(2_000);
        let proper = scripts.filter(|script| expected(script, reviews).is_ok()).count();
        assert!((300..1_900).contains(&proper), "{proper} of 2,000 break nothing");
    }
}

#[test]
fn each_call_works_when_it_is_passed_what_the_contract_says() {
    let (id, none) = (Text::Proper(container(1).to_string()), || Optional(0, Text::Raw(0, 0)));
    let text = |text: &str| Text::Proper(text.to_owned());
    let entry = [Optional(1, text("conflict")), Optional(1, text("it runs")), none(), none()];
    let calls = vec![
        Call::Acquire(SCRATCH),
        Call::Record(SCRATCH),
        Call::Inspect(id.clone(), SCRATCH),
        Call::Remove(1, id, SCRATCH),
        Call::Update(1, none(), none(), none(), SCRATCH),
        Call::Append(1, entry, SCRATCH),
        Call::Release(1, SCRATCH),
        Call::Drop(1),
    ];
    let said = Said::Verdict(1, Optional(1, text("conflict")), none());
    let script = Script { calls, said, displaced: 0 };
    check(&script, false).unwrap();
    let world = world();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let Execution { session, answer } = runtime.block_on(run(&world, &script, false));
    let settled = settle(&session, answer);
    assert_eq!(
        (settled.outcome, settled.error_code, settled.fault),
        (Outcome::Failure, Some(ErrorCode::CONFLICT), None)
    );
    let logged = world.store.logged();
    assert_eq!(logged[0].entry.error_message.as_deref(), Some("it runs"));
}

//! A policy of 18 MB, which brings Python along, serves a tenant within the limits that all policies have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtmanager::access::Caller;
use rtmanager::adapters::memory::MemoryEngine;
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::app::App;
use rtmanager::config::{Config, Environment, Loaded, Sources};
use rtmanager::model::{ContainerState, LimitOverrides, LiveStatus, Outcome, Registration, Status};
use rtmanager::policies::{Bind, NewPolicy, PolicyId};
use rtmanager::ports::ContainerEngine;
use rtmanager_tests::mock_host::{ENGINE, IMAGE, container, labels, request};

const GAME: &str = "game-1";

fn config(directory: &Path) -> Config {
    let place = |name: &str| directory.join(name).display().to_string();
    let flags = [
        ("store.path", place("rtmanager.db")),
        ("discovery.enabled", "false".to_owned()),
        ("admission.code_cache", place("code")),
        ("admission.code_key_file", place("code.key")),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let sources = Sources { environment: Environment::default(), file: None, flags };
    let mut config = Loaded::from_sources(&sources).unwrap().config;
    config.admission.compiler.program = env!("CARGO_BIN_EXE_rtmanager-cli").into();
    config
}

fn binding(policy: PolicyId) -> Bind {
    Bind {
        policy,
        settings: [("quiet_hours".to_owned(), "0-0".to_owned())].into(),
        limits: LimitOverrides::default(),
        grants: None,
        reason: "a test".to_owned(),
        expected: None,
        accept_authority: true,
        patience: Duration::from_secs(60),
        leave_behind: false,
    }
}

/// Pushes and binds it as a platform does, and has it clean up.
pub async fn is_admitted_and_cleans_up(component: Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let engine = MemoryEngine::new(Arc::new(SystemClock));
    let port: Arc<dyn ContainerEngine> = Arc::new(engine.clone());
    let app = App::open_with(config(directory.path()), BTreeMap::from([(ENGINE.parse().unwrap(), port)]));
    let app = app.await.unwrap();
    app.watcher.speak();
    app.read_policies().await;
    let watching = tokio::spawn(app.watcher.clone().run_for_ever());

    let (caller, began) = (Caller::admin("tester"), Instant::now());
    let new = NewPolicy {
        name: "keep".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        owner: None,
        component,
        signatures: Vec::new(),
    };
    let pushed = app.policies.push(&caller, new).await.unwrap();
    let uploaded = began.elapsed();
    let bind = binding(PolicyId::Digest(pushed.details.artifact.digest.clone()));
    let bound = app.policies.bind(&caller, &"tenant-a".parse().unwrap(), bind).await.unwrap();
    println!(
        "the policy in Python: upload {uploaded:.1?}, upload to live {:.1?}, {} safety scenarios",
        began.elapsed(),
        bound.scenarios.histories
    );
    assert!(bound.scenarios.histories > 0);

    cleans_up(&app, &engine).await;
    watching.abort();
}

/// Twice, since each run gets an instance of its own.
async fn cleans_up(app: &App, engine: &MemoryEngine) {
    for number in 1..=2 {
        let id = container(number);
        engine.create(&id, IMAGE, labels(GAME));
        engine.set_state(&id, ContainerState::Exited);
        let registration = Registration {
            game_id: GAME.parse().unwrap(),
            tenant: "tenant-a".parse().unwrap(),
            engine: ENGINE.parse().unwrap(),
            status: LiveStatus::Stopped,
            container_id: Some(id.clone()),
            image_ref: None,
            labels: None,
            started_at: None,
            stopped_at: None,
        };
        app.ports.records.register(&registration, app.ports.clock.now()).await.unwrap();
        let began = Instant::now();
        let result = app.lifecycle.cleanup(request(GAME, "cli")).await;
        println!("a cleanup by it: {:.1?}", began.elapsed());
        assert_eq!((result.outcome, &result.error_code), (Outcome::Success, &None), "{result:?}");
        assert!(!engine.containers().contains(&id));
        let found = app.ports.records.get(&GAME.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(found.record.status, Status::Removed);
    }
}

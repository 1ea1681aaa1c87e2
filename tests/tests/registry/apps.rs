//! Whole hosts on one real store: what one binds, the others serve, now and after a restart.

use rtmanager::adapters::memory::MemoryEngine;
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::app::{App, Stores};
use rtmanager::config::{Config, Environment, Loaded, Sources};
use rtmanager::lifecycle::Lifecycle;
use rtmanager::model::{ContainerState, LiveStatus, Registration, Timestamp};
use rtmanager::ports::{ContainerEngine, GenerationStore, SwapKind};
use rtmanager_tests::mock_host::{ENGINE, IMAGE, labels, request};
use rtmanager_tests::postgres::Postgres;

use super::*;

/// A setting that says where the store is.
type Place = (String, String);

fn config(place: &Place) -> Config {
    let flags = [place.clone()].into();
    let sources = Sources { environment: Environment::default(), file: None, flags };
    let mut config = Loaded::from_sources(&sources).unwrap().config;
    config.admission.compiler.program = env!("CARGO_BIN_EXE_rtmanager-cli").into();
    config.admission.code_cache = None;
    config
}

async fn app(place: &Place, engine: &MemoryEngine) -> App {
    let port: Arc<dyn ContainerEngine> = Arc::new(engine.clone());
    App::open_with(config(place), BTreeMap::from([(ENGINE.parse().unwrap(), port)])).await.unwrap()
}

/// As whoever manages policies does it, in a process of its own.
async fn bind(stores: &Stores, spec: &BindingSpec, component: &[u8], name: &str) -> u64 {
    stores
        .policies
        .add(&rtmanager_tests::bound::artifact(component, name, Timestamp::from_micros(1)), component)
        .await
        .unwrap();
    let generations: &dyn GenerationStore = &*stores.generations;
    let signed = signed(stores.clock.now());
    let current = generations.state(&tenant_a()).await.unwrap().and_then(|state| state.current);
    let staged = generations.stage(&tenant_a(), spec, &signed).await.unwrap().number;
    let expected = current.map(|current| current.number);
    generations.swap(&tenant_a(), expected, staged, SwapKind::Bind, None, &signed).await.unwrap();
    staged
}

fn serving(lifecycle: &Lifecycle) -> Vec<String> {
    let serving = lifecycle.serving(&"tenant-a".parse().unwrap()).unwrap();
    serving.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_on_one_sqlite_file_converge_and_one_that_starts_serves_what_is_current() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtmanager.db").display().to_string();
    converge_on(&("store.path".to_owned(), path)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_on_one_postgres_converge_and_one_that_starts_serves_what_is_current() {
    let database = Postgres::shared().database().await;
    converge_on(&("store.url".to_owned(), database.url())).await;
}

async fn converge_on(place: &Place) {
    let engine = MemoryEngine::new(Arc::new(SystemClock));
    let (one, two) = (app(place, &engine).await, app(place, &engine).await);
    let stores = Stores::open(config(place)).await.unwrap();
    let watching = [&one, &two].map(|app| tokio::spawn(app.watcher.clone().run_for_ever()));

    let idle = with_setting(&PolicyDigest::of(HOSTILE), "mode", "idle");
    let proper = plain(&PolicyDigest::of(DEFAULT_POLICY));
    for (spec, component, name) in
        [(&idle, HOSTILE, "idle"), (&proper, DEFAULT_POLICY, "proper"), (&idle, HOSTILE, "idle")]
    {
        let number = bind(&stores, spec, component, name).await;
        for app in [&one, &two] {
            until(|| serving(&app.lifecycle) == [format!("tenant-a/{number}")]).await;
        }
    }
    let reports = stores.generations.reports(&tenant_a(), Timestamp::default()).await.unwrap();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert_ne!(one.watcher.replica(), two.watcher.replica());

    let late = app(place, &engine).await;
    assert_eq!(serving(&late.lifecycle), ["tenant-a/3"], "before it is asked for anything");
    let reports = stores.generations.reports(&tenant_a(), Timestamp::default()).await.unwrap();
    assert_eq!(reports.len(), 2, "a process that only runs a command says nothing");

    let id = container(1);
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
    stores.records.register(&registration, stores.clock.now()).await.unwrap();
    assert_eq!(code(&two.lifecycle.cleanup(request(GAME, "cli")).await), "hostile");
    let number = bind(&stores, &proper, DEFAULT_POLICY, "proper").await;
    until(|| serving(&two.lifecycle) == [format!("tenant-a/{number}")]).await;
    let revoked = Revocation::Generation(super::id(&format!("tenant-a/{number}")));
    stores.generations.revoke(&revoked, &signed(stores.clock.now())).await.unwrap();
    let result = two.lifecycle.cleanup(request(GAME, "cli")).await;
    assert_eq!(result.outcome, Outcome::Failure, "whether or not this host has noticed: {result:?}");
    assert_eq!(engine.containers(), [id]);
    watching.iter().for_each(tokio::task::JoinHandle::abort);
}

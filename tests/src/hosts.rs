//! Two whole hosts on one PostgreSQL, with two visibly different generations of one tenant to swap between, and what
//! each host said that it served.

#![allow(clippy::indexing_slicing, reason = "a harness fails its test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::bound::{artifact, plain, signed};
use crate::fixtures::HOSTILE;
use crate::mock_host::{ENGINE, IMAGE, container, labels};
use crate::postgres::{Database, Postgres};
use crate::tapped::Tapped;
use rtmanager::adapters::memory::MemoryEngine;
use rtmanager::adapters::system_clock::{SystemClock, SystemRandomness};
use rtmanager::api::{Server, Services};
use rtmanager::app::{App, Stores};
use rtmanager::config::{Config, Environment, Loaded, Sources};
use rtmanager::model::{
    BindingSpec, ContainerState, LiveStatus, OperationEntry, PolicyDigest, PolicyRef, PolicyScope, Registration,
    Signed, Status,
};
use rtmanager::ports::{ContainerEngine, RecordFilter, SwapKind};
use rtmanager::runtime::DEFAULT_POLICY;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::Client;

pub use following::{Astray, FOLLOWING, Fate, Followed, section};
pub use planted::Plant;
use reports::{Begins, Heard};
pub use reports::{Finding, Reports};

mod following;
mod planted;
mod reports;

/// The tenant.
pub const SCOPE: &str = "tenant-a";
const MARK: &str = "by the other one";
const OTHER_MARK: &str = "by the one";

/// Which host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replica {
    /// The one.
    One,
    /// The other.
    Two,
}

impl Replica {
    /// A request's id, by which its entry tells which host it was sent to.
    pub fn request_id(self, number: usize) -> String {
        format!("{self:?}-{number}")
    }

    /// The host that an entry's request was sent to; none of a sweeper's.
    pub fn of(source_ref: &str) -> Option<Self> {
        [Self::One, Self::Two].into_iter().find(|host| source_ref.starts_with(&format!("{host:?}-")))
    }
}

/// The hosts, and what they share. Clones are the same.
#[derive(Clone)]
pub struct Hosts {
    apps: [Arc<App>; 2],
    clients: [Client; 2],
    /// The stores, as a third process sees them.
    pub stores: Arc<Stores>,
    /// The engine of both.
    pub engine: MemoryEngine,
    /// What they said they served.
    pub reports: Reports,
    /// Swaps so far.
    pub swaps: Arc<AtomicU64>,
    serial: Arc<AtomicU64>,
    /// What generation 1 and 2 are, and what each leaves in its entries.
    policies: [(PolicyRef, Option<&'static str>); 2],
    shutdown: CancellationToken,
    tasks: Arc<std::sync::Mutex<Vec<JoinHandle<()>>>>,
    _database: Arc<Database>,
    _directory: Arc<tempfile::TempDir>,
}

fn config(directory: &Path, url: &str, host: &str, program: &str) -> Config {
    let flags = [
        ("store.url", url.to_owned()),
        ("store.path", directory.join("unused.db").display().to_string()),
        ("http.listen", format!("unix:{}", directory.join(format!("{host}.sock")).display())),
        // Far more is removed here in a minute than a platform removes in a day.
        ("sweep.breaker_share", "1".to_owned()),
        ("discovery.enabled", "false".to_owned()),
        ("http.max_connections", "64".to_owned()),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let sources = Sources { environment: Environment::default(), file: None, flags };
    let mut config = Loaded::from_sources(&sources).unwrap().config;
    config.admission.compiler.program = program.into();
    config.admission.code_cache = None;
    config
}

impl Hosts {
    /// On the default policy, and one that leaves its mark in its entries. `program` is the real one, which compiles
    /// policies.
    pub async fn open(program: &str) -> Self {
        Self::open_on(program, default_and_other(), Plant::None).await
    }

    /// On two policies of which each leaves its own mark only if it runs with its own settings; and with something
    /// wrong with the second host.
    pub async fn telling(program: &str, plant: Plant) -> Self {
        Self::open_on(program, two_that_tell(), plant).await
    }

    async fn open_on(program: &str, contestants: [Contestant; 2], plant: Plant) -> Self {
        let (directory, database) = (tempfile::tempdir().unwrap(), Postgres::shared().database().await);
        let engine = MemoryEngine::new(Arc::new(SystemClock));
        let stores = Arc::new(Stores::open(config(directory.path(), &database.url(), "none", program)).await.unwrap());
        let policies = bind_first(&stores, contestants).await;
        let reports = Reports::default();
        let (shutdown, mut tasks) = (CancellationToken::new(), Vec::new());
        let (mut apps, mut clients) = (Vec::new(), Vec::new());
        for host in [Replica::One, Replica::Two] {
            let config = config(directory.path(), &database.url(), &format!("{host:?}"), program);
            let own = Stores::open(config).await.unwrap();
            let astray = match plant {
                Plant::Follows(astray) if host == Replica::Two => Some(astray),
                _ => None,
            };
            let beneath = following::beneath(astray, own.generations.clone());
            let heard = Heard { inner: beneath, host, reports: reports.clone() };
            let begins = Begins { inner: own.records.clone(), host, reports: reports.clone() };
            let generations = following::above(astray, Arc::new(Tapped(heard)));
            let records = Arc::new(Tapped(begins));
            let own = Stores { generations, records, ..own };
            let own = if host == Replica::Two { plant.spoils(own) } else { own };
            let port: Arc<dyn ContainerEngine> = Arc::new(engine.clone());
            let app = App::assemble(own, BTreeMap::from([(ENGINE.parse().unwrap(), port)])).await.unwrap();
            app.watcher.speak();
            app.read_policies().await;
            let app = Arc::new(app);
            tasks.push(tokio::spawn(app.watcher.clone().run_for_ever()));
            let server = Server::bind(&app.config.http, &SystemRandomness).await.unwrap();
            clients.push(Client::of(server.listen()));
            let served = server.run(Arc::new(Services::from(&*app)), shutdown.clone());
            tasks.push(tokio::spawn(async move { assert!(served.await) }));
            apps.push(app);
        }
        Self {
            apps: apps.try_into().ok().unwrap(),
            clients: clients.try_into().ok().unwrap(),
            stores,
            engine,
            reports,
            swaps: Arc::default(),
            serial: Arc::default(),
            policies,
            shutdown,
            tasks: Arc::new(std::sync::Mutex::new(tasks)),
            _database: Arc::new(database),
            _directory: Arc::new(directory),
        }
    }

    /// Ends both.
    pub async fn close(self) {
        self.shutdown.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        for task in tasks {
            task.abort();
        }
    }

    /// One of them.
    pub fn app(&self, host: Replica) -> &App {
        &self.apps[host as usize]
    }

    /// A client of its REST interface.
    pub fn client(&self, host: Replica) -> Client {
        self.clients[host as usize].clone()
    }

    /// A runtime with a container of its own that stopped so long ago.
    pub async fn stopped(&self, game: &str, number: u64, ago: Duration) {
        let id = container(number);
        self.engine.create(&id, IMAGE, labels(game));
        self.engine.set_state(&id, ContainerState::Exited);
        let now = self.stores.clock.now();
        let registration = Registration {
            game_id: game.parse().unwrap(),
            tenant: SCOPE.parse().unwrap(),
            engine: ENGINE.parse().unwrap(),
            status: LiveStatus::Stopped,
            container_id: Some(id),
            image_ref: None,
            labels: None,
            started_at: None,
            stopped_at: Some(now.saturating_sub(ago)),
        };
        self.stores.records.register(&registration, now).await.unwrap();
    }

    /// Whether the game's record is removed, or was never there, and no run is at work on it.
    pub async fn is_at_rest(&self, game: &str) -> bool {
        let game = game.parse().unwrap();
        let found = self.stores.records.get(&game).await.unwrap();
        let is_removed = found.is_none_or(|tracked| tracked.record.status == Status::Removed);
        is_removed && self.stores.leases.held_until(&game).await.unwrap().is_none()
    }

    /// Whether every game that was left to the sweepers is removed.
    pub async fn nothing_is_left_to_sweep(&self) -> bool {
        let filter = RecordFilter { status: Some(Status::Stopped), ..RecordFilter::default() };
        let left = self.stores.records.list(&filter, None, 1_000).await.unwrap();
        !left.iter().any(|tracked| tracked.record.game_id.as_str().starts_with("swept"))
    }

    /// Makes the other generation current, and answers its number.
    pub async fn swap(&self) -> u64 {
        self.swap_of(&SCOPE.parse().unwrap(), &self.swaps).await
    }

    /// Swaps the generation of a scope that was swapped so often.
    pub async fn swap_of(&self, scope: &PolicyScope, swaps: &AtomicU64) -> u64 {
        let (from, to) = if swaps.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { (1, 2) } else { (2, 1) };
        let signed = signed(self.stores.clock.now());
        self.stores.generations.swap(scope, Some(from), to, SwapKind::RollBack, None, &signed).await.unwrap();
        to
    }

    /// Binds to another scope what is bound to the first.
    pub async fn bind_also(&self, scope: &PolicyScope) {
        for number in [1, 2] {
            let first = self.stores.generations.generation(&SCOPE.parse().unwrap(), number).await.unwrap().unwrap();
            self.stores.generations.stage(scope, &first.spec, &first.staged).await.unwrap();
        }
        bind_second_then_first(&self.stores, scope).await;
    }

    /// A number that nothing here had before, for a container.
    pub fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// Generation, component and what that component writes belong together.
    pub fn is_of_one_piece(&self, entry: &OperationEntry) -> bool {
        self.policies.iter().any(|(policy, mark)| *policy == entry.policy && entry.error_message.as_deref() == *mark)
    }
}

/// A generation to swap to.
struct Contestant {
    component: Vec<u8>,
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// What it leaves in its entries.
    mark: Option<&'static str>,
}

fn default_and_other() -> [Contestant; 2] {
    let default = Contestant { component: DEFAULT_POLICY.to_vec(), name: "default", settings: &[], mark: None };
    [default, other()]
}

fn other() -> Contestant {
    let settings = &[("mode", "honest"), ("says", MARK)];
    Contestant { component: HOSTILE.to_vec(), name: "other", settings, mark: Some(MARK) }
}

/// The one asks for its mark under another name than the other, so that neither has one with the other's settings.
fn two_that_tell() -> [Contestant; 2] {
    let component = renamed(HOSTILE, b"says", b"sayz");
    let settings = &[("mode", "honest"), ("sayz", OTHER_MARK)];
    [Contestant { component, name: "one", settings, mark: Some(OTHER_MARK) }, other()]
}

/// A component that knows a setting by another name, as long as the one that it had.
fn renamed(component: &[u8], name: &[u8; 4], other: &[u8; 4]) -> Vec<u8> {
    let mut renamed = component.to_vec();
    let places: Vec<_> = component.windows(4).enumerate().filter(|(_, found)| found == name).collect();
    assert!(!places.is_empty(), "the policy does not know that setting");
    for (at, _) in places {
        renamed[at..at + 4].copy_from_slice(other);
    }
    renamed
}

async fn bind_first(stores: &Stores, contestants: [Contestant; 2]) -> [(PolicyRef, Option<&'static str>); 2] {
    let scope: PolicyScope = SCOPE.parse().unwrap();
    let signed: Signed = signed(stores.clock.now());
    let mut bound = Vec::new();
    for Contestant { component, name, settings, mark } in contestants {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = BindingSpec { settings, ..plain(&PolicyDigest::of(&component)) };
        stores.policies.add(&artifact(&component, name, signed.at), &component).await.unwrap();
        let generation = stores.generations.stage(&scope, &spec, &signed).await.unwrap();
        bound.push((PolicyRef { generation: generation.id(), digest: spec.digest }, mark));
    }
    bind_second_then_first(stores, &scope).await;
    bound.try_into().unwrap()
}

async fn bind_second_then_first(stores: &Stores, scope: &PolicyScope) {
    let signed = signed(stores.clock.now());
    stores.generations.swap(scope, None, 2, SwapKind::Bind, None, &signed).await.unwrap();
    stores.generations.swap(scope, Some(2), 1, SwapKind::Bind, None, &signed).await.unwrap();
}

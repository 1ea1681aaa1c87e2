//! A host that serves a tenant's generation 1 while 2 becomes current, with something damaged of it; a host that starts
//! just then; and another tenant that all this does not concern.

use std::collections::BTreeMap;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rtmanager::access::Trail;
use rtmanager::app::Stores;
use rtmanager::metrics::Metrics;
use rtmanager::model::{
    BindingSpec, LimitOverrides, PolicyDigest, PolicyScope, Rollout, RolloutCounts, RolloutGoal, RolloutMode, Timestamp,
};
use rtmanager::ports::{StoreError, SwapKind};
use rtmanager::registry::{self, Binding, Registry, Watcher};
use rtmanager_tests::bombs::many_sections;
use rtmanager_tests::bound::{artifact, grants, plain, signed, tenant_a};
use rtmanager_tests::compiled::Compiled;
use rtmanager_tests::fixtures::SOUND;
use rtmanager_tests::place::Place;
use rtmanager_tests::postgres::Database;

use super::damage::{Column, Damage};
use super::tables::Tables;

const TABLES: [&str; 4] = ["policy_components", "policy_generations", "policy_scopes", "policy_history"];
/// Of so many damages one is looked at by a host that starts, and repaired.
const ONE_OF: u32 = 16;
/// Hosts are to look again.
const TOUCH: &str = "UPDATE policy_epoch SET epoch = epoch + 1;
    UPDATE policy_scopes SET changed = (SELECT epoch FROM policy_epoch)";

/// Panics of this process, whoever catches them.
static PANICS: AtomicU32 = AtomicU32::new(0);

pub(super) fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |told| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(told);
        }));
    });
}

pub(super) fn panics() -> u32 {
    PANICS.load(Ordering::Relaxed)
}

/// One host.
struct Host {
    registry: Arc<Registry>,
    watcher: Arc<Watcher>,
}

/// What serves a tenant: the generation and the component that it is, or why none does.
type Served = Result<(String, PolicyDigest), String>;

pub(super) struct Site {
    stores: Stores,
    tables: Tables,
    source: Arc<Compiled>,
    host: Host,
    components: [Vec<u8>; 3],
    tried: u32,
    refused_by_the_database: u32,
    wrong: Vec<String>,
    panics: u32,
}

impl Site {
    pub(super) async fn new(place: Place, database: Option<&Database>) -> Self {
        count_panics();
        let stores = place.stores().await;
        let components = [0, 1, 2].map(|sections| many_sections(SOUND, sections));
        for (component, name) in components.iter().zip(["old", "new", "tried"]) {
            stores.policies.add(&artifact(component, name, stores.clock.now()), component).await.unwrap();
        }
        let other: PolicyScope = "tenant-b".parse().unwrap();
        let old = plain(&PolicyDigest::of(&components[0]));
        bind(&stores, &tenant_a(), &old).await;
        bind(&stores, &other, &old).await;
        let mut tables = Tables::open(&place, database).await;
        keep(&mut tables, "before").await;
        let settings = [("mode".to_owned(), "idle".to_owned())].into();
        let limits = LimitOverrides { calls: Some(100), ..LimitOverrides::default() };
        let grants = grants(&["leases", "op-log"]);
        bind(
            &stores,
            &tenant_a(),
            &BindingSpec { digest: PolicyDigest::of(&components[1]), called: None, settings, limits, grants },
        )
        .await;
        roll_out(&stores, &plain(&PolicyDigest::of(&components[2]))).await;
        keep(&mut tables, "after").await;
        let source = Arc::new(Compiled::default());
        components.iter().for_each(|component| drop(source.policy(component)));
        restore(&mut tables, "before", "SELECT 1").await.unwrap();
        let host = Host::start(&stores, &source, "old");
        host.watcher.refresh().await.unwrap();
        let (wrong, panics) = (Vec::new(), panics());
        // The place is a directory, and goes with the process.
        std::mem::forget(place);
        Self { stores, tables, source, host, components, tried: 0, refused_by_the_database: 0, wrong, panics }
    }

    pub(super) fn new_component(&self) -> &[u8] {
        &self.components[1]
    }

    pub(super) async fn original(&mut self, column: &Column) -> Option<Vec<u8>> {
        restore(&mut self.tables, "after", "SELECT 1").await.unwrap();
        let text = self.tables.text(column).await;
        restore(&mut self.tables, "before", "SELECT 1").await.unwrap();
        text
    }

    pub(super) async fn damage_component(&mut self, told: &str, bytes: Vec<u8>) {
        let digest = PolicyDigest::of(self.new_component());
        let damaging = self.tables.putting(digest.as_str(), &bytes);
        let Some((looked, problem)) = self.damaged(&damaging).await else { return };
        let kept = self.served(&self.host, "tenant-a");
        let said = looked.is_ok() && problem.is_some_and(|problem| problem.contains("corrupt in the store"));
        self.holds(said && self.is_old(&kept), told, &kept);
        if self.tried.is_multiple_of(ONE_OF) {
            self.others(told);
            let fresh = self.fresh().await;
            let without = Err("policy_unavailable".to_owned());
            self.holds(fresh == without, told, &fresh);
            self.recover(told).await;
        }
    }

    pub(super) async fn damage_row(&mut self, column: &Column, damage: &Damage) {
        let told = format!("{}.{} = {damage}", column.table, column.name);
        let damaging = self.tables.damaging(column, damage);
        let Some((looked, problem)) = self.damaged(&damaging).await else { return };
        let kept = self.served(&self.host, "tenant-a");
        // What still says something is taken at its word: whoever writes the tables may bind as well.
        let is_taken = self.is_new(&kept) && looked.is_ok();
        let is_told = looked.as_ref().is_err_and(|error| matches!(error, StoreError::Corrupt(_))) || problem.is_some();
        self.holds(is_taken || self.is_old(&kept) && is_told, &format!("{told} ({looked:?}, {problem:?})"), &kept);
        self.others(&told);
        let fresh = self.fresh().await;
        self.holds(self.is_new(&fresh) || fresh == Err("policy_unavailable".to_owned()), &told, &fresh);
        // What is loaded once is not read again.
        if is_taken || self.tried.is_multiple_of(ONE_OF) {
            self.recover(&told).await;
        }
    }

    /// Whether a tenant's swap comes into force while this is damaged of another one.
    pub(super) async fn follows_another(&mut self, column: &Column, damage: &Damage) {
        let told = format!("{}.{} = {damage}", column.table, column.name);
        let damaging = self.tables.damaging(column, damage);
        if self.damaged(&damaging).await.is_none() {
            return;
        }
        let other: PolicyScope = "tenant-b".parse().unwrap();
        bind(&self.stores, &other, &plain(&PolicyDigest::of(&self.components[1]))).await;
        let looked = self.host.watcher.refresh().await;
        let served = self.served(&self.host, "tenant-b");
        let expected = ("tenant-b/2".to_owned(), PolicyDigest::of(&self.components[1]));
        self.holds(served == Ok(expected), &format!("{told} ({looked:?}): another tenant's swap"), &served);
        self.recover(&told).await;
    }

    /// What a look at the damaged store answers, and what the host says of the tenant then; none if the database did not
    /// let it be damaged.
    async fn damaged(&mut self, damaging: &str) -> Option<(Result<(), StoreError>, Option<String>)> {
        self.tried += 1;
        if restore(&mut self.tables, "after", damaging).await.is_err() {
            self.refused_by_the_database += 1;
            return None;
        }
        let looked = self.host.watcher.refresh().await;
        let reports = self.stores.generations.reports(&tenant_a(), Timestamp::default()).await.unwrap();
        let own = reports.into_iter().find(|report| report.replica == self.host.watcher.replica());
        Some((looked, own.and_then(|report| report.problem)))
    }

    async fn recover(&mut self, told: &str) {
        restore(&mut self.tables, "before", "SELECT 1").await.unwrap();
        let looked = self.host.watcher.refresh().await;
        let served = self.served(&self.host, "tenant-a");
        self.holds(looked.is_ok() && self.is_old(&served), &format!("{told}, and repaired"), &served);
        let panics = std::mem::replace(&mut self.panics, panics());
        self.holds(panics == self.panics, &format!("{told}: it panicked"), &served);
    }

    fn others(&mut self, told: &str) {
        let served = self.served(&self.host, "tenant-b");
        let expected = ("tenant-b/1".to_owned(), PolicyDigest::of(&self.components[0]));
        self.holds(served == Ok(expected), &format!("{told}: another tenant"), &served);
    }

    async fn fresh(&self) -> Served {
        let host = Host::start(&self.stores, &self.source, "fresh");
        // What it cannot read it is told; what it serves then is what counts.
        let _told = host.watcher.refresh().await;
        self.served(&host, "tenant-a")
    }

    fn served(&self, host: &Host, tenant: &str) -> Served {
        match host.registry.assign(Some(&tenant.parse().unwrap()), None).binding {
            Ok(binding) => Ok((binding.reference.generation.to_string(), binding.policy.digest().clone())),
            Err(refusal) => Err(refusal.fault.code.to_string()),
        }
    }

    fn is_old(&self, served: &Served) -> bool {
        *served == Ok(("tenant-a/1".to_owned(), PolicyDigest::of(&self.components[0])))
    }

    fn is_new(&self, served: &Served) -> bool {
        *served == Ok(("tenant-a/2".to_owned(), PolicyDigest::of(&self.components[1])))
    }

    fn holds(&mut self, it: bool, told: &str, served: &Served) {
        if !it {
            self.wrong.push(format!("{told}: {:?}", served.as_ref().map(|(generation, _)| generation)));
        }
    }

    /// After at least so many damages that the database took.
    pub(super) fn verdict(self, at_least: u32) {
        let taken = self.tried - self.refused_by_the_database;
        println!("{} damages, of which the database took {taken}", self.tried);
        let shown = &self.wrong[..self.wrong.len().min(40)];
        assert!(self.wrong.is_empty(), "{} wrong: {shown:#?}", self.wrong.len());
        assert!(taken >= at_least, "only {taken} damages were made");
        assert_eq!(self.source.digests().len(), 3, "something else was compiled");
    }
}

impl Host {
    fn start(stores: &Stores, source: &Arc<Compiled>, name: &str) -> Self {
        let fallback = Binding::configured(&PolicyScope::Default, source.policy(SOUND), &BTreeMap::new());
        let registry = Arc::new(Registry::new(fallback, []).unread());
        let stores = registry::Stores {
            generations: stores.generations.clone(),
            policies: stores.policies.clone(),
            access: stores.access.clone(),
            trail: Trail::new(stores.audit.clone(), stores.clock.clone()),
            clock: stores.clock.clone(),
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let watcher = Watcher::new(stores, source.clone(), registry.clone(), metrics, name.to_owned());
        watcher.speak();
        Self { registry, watcher }
    }
}

async fn keep(tables: &mut Tables, name: &str) {
    for table in TABLES {
        tables.run(&format!("CREATE TABLE {name}_{table} AS SELECT * FROM {table}")).await.unwrap();
    }
}

/// The tables as they were kept, and then this, all at once.
async fn restore(tables: &mut Tables, name: &str, then: &str) -> Result<(), sqlx::Error> {
    let restored = TABLES.iter().map(|table| match *table {
        // Its ids are the database's own.
        "policy_history" => format!(
            "DELETE FROM {table}; INSERT INTO {table} (scope, event, from_generation, to_generation, at, actor, reason)
                SELECT scope, event, from_generation, to_generation, at, actor, reason FROM {name}_{table} ORDER BY id;"
        ),
        _ => format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {name}_{table};"),
    });
    tables.run(&format!("{} {then}; {TOUCH}", restored.collect::<String>())).await
}

async fn bind(stores: &Stores, scope: &PolicyScope, spec: &BindingSpec) {
    let (generations, signed) = (&stores.generations, signed(stores.clock.now()));
    let number = generations.stage(scope, spec, &signed).await.unwrap().number;
    let current = (number > 1).then(|| number - 1);
    generations.swap(scope, current, number, SwapKind::Bind, None, &signed).await.unwrap();
}

async fn roll_out(stores: &Stores, spec: &BindingSpec) {
    let started = signed(stores.clock.now());
    let number = stores.generations.stage(&tenant_a(), spec, &started).await.unwrap().number;
    let promote_at = Some(Timestamp::from_micros(stores.clock.now().as_micros() + 3_600_000_000));
    let goal = RolloutGoal { clean_runs: Some(1_000), promote_at, stop_on_divergence: true };
    let mode = RolloutMode::Canary { per_myriad: 1 };
    let rollout = Rollout { number, mode, goal, counts: RolloutCounts::default(), started };
    stores.generations.start_rollout(&tenant_a(), Some(2), &rollout).await.unwrap();
}

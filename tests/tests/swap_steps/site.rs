//! The stores that orders are carried out in, and a host that starts when whoever did so is dead.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;

use rtmanager::access::Trail;
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::app::Stores;
use rtmanager::compiler::CodeCache;
use rtmanager::metrics::Metrics;
use rtmanager::model::{PolicyDigest, PolicyScope, Rollout, RolloutCounts, RolloutGoal, RolloutMode};
use rtmanager::ports::{ScopeState, SwapKind};
use rtmanager::registry::{self, Binding, Registry, Watcher};
use rtmanager::runtime::{CompileEngine, CompiledCode};
use rtmanager_tests::bombs::many_sections;
use rtmanager_tests::bound::{artifact, plain, signed, tenant_a};
use rtmanager_tests::compiled::Compiled;
use rtmanager_tests::fixtures::SOUND;
use rtmanager_tests::place::Place;
use rtmanager_tests::steps::Moment;

use super::order::{Order, current_number, writes};

/// An order has no more steps than this.
const STEPS: u64 = 60;

/// One policy and another, as they are called, and what they are compiled to.
struct Known {
    component: Vec<u8>,
    digest: PolicyDigest,
    code: CompiledCode,
}

impl Known {
    fn new(component: Vec<u8>, engine: &CompileEngine) -> Self {
        let code = engine.compile(&component).unwrap();
        Self { digest: PolicyDigest::of(&component), component, code }
    }
}

pub(super) struct Site {
    place: Place,
    stores: Stores,
    engine: CompileEngine,
    known: [Known; 2],
    source: Arc<Compiled>,
}

/// What became of a process.
enum End {
    /// It was killed at this call.
    Killed(String),
    /// It ended by itself: well, or with these last words.
    Itself(Result<(), String>),
}

impl Site {
    /// A tenant that was bound twice, so that there is something to go back to.
    pub(super) async fn new(place: Place) -> Self {
        let (stores, engine) = (place.stores().await, CompileEngine::new().unwrap());
        let known = [SOUND.to_vec(), many_sections(SOUND, 1)].map(|component| Known::new(component, &engine));
        for (policy, name) in known.iter().zip(["one", "other"]) {
            let artifact = artifact(&policy.component, name, stores.clock.now());
            stores.policies.add(&artifact, &policy.component).await.unwrap();
        }
        let site = Self { place, stores, engine, known, source: Arc::default() };
        site.bind_anew().await;
        site.bind_anew().await;
        site
    }

    /// The steps at which it was killed.
    pub(super) async fn kill_at_every_step(&self, order: Order) -> Vec<String> {
        let (mut steps, mut done) = (Vec::new(), false);
        for number in 1..STEPS {
            let Some((call, before)) = self.kill(order, Moment::Before(number)).await else { return steps };
            let exactly = |was: bool, done: bool, moment: &str| {
                assert!(order.decisive().is_none() || was == done, "{order:?}, killed {moment} {call}: done is {was}");
            };
            exactly(before, done, "before");
            done |= order.decisive() == Some(&*call);
            if writes(&call) {
                let (same, after) = self.kill(order, Moment::After(number)).await.expect("it is reached again");
                assert_eq!(same, call, "{order:?}");
                exactly(after, done, "after");
            }
            steps.push(call);
        }
        panic!("{order:?} has not ended after {STEPS} steps: {steps:?}");
    }

    /// The call at which it died, and whether the order was carried out then; none if it ended by itself before.
    async fn kill(&self, order: Order, moment: Moment) -> Option<(String, bool)> {
        let before = self.prepare(order).await;
        let told = format!("{order:?} {moment}");
        let links = self.links().await;
        let call = match self.carry_out(order, &before, Some(moment)) {
            End::Killed(call) => call,
            End::Itself(ended) => {
                assert_eq!(ended, Ok(()), "{told}");
                return None;
            }
        };
        let told = format!("{told}, {call}");
        let dead = self.state().await;
        let done = order.is_done(&before, &dead);
        let serves = current_number(&dead);
        assert!(serves == current_number(&before) || done && order.may_serve(&before, serves), "{told}: {dead:?}");
        assert!(
            !done || !order.is_audited() || self.links().await > links,
            "{told}: it was done, and no trail says so"
        );
        self.is_whole(&dead, &told).await;

        let again = self.carry_out(order, &before, None);
        let End::Itself(again) = again else { panic!("{told}: killed, though nobody said so") };
        assert_eq!(again.is_ok(), !done || order.can_be_repeated(), "{told}, and then {again:?}");
        let after = self.state().await;
        assert!(done || order.is_done(&before, &after), "{told}: the second order has had no effect: {after:?}");
        self.is_whole(&after, &told).await;
        Some((call, done))
    }

    /// What is current is there and names a component that is there, and the history ends with what made it current; a
    /// host that starts serves with just that; the trail is whole; and cached code is what was compiled.
    async fn is_whole(&self, state: &ScopeState, told: &str) {
        let generations = &self.stores.generations;
        if let Some(current) = &state.current {
            let stored = generations.generation(&tenant_a(), current.number).await.unwrap();
            assert_eq!(stored.as_ref(), Some(current), "{told}");
            assert!(self.known.iter().any(|known| known.digest == current.spec.digest), "{told}");
        }
        let history = generations.history(&tenant_a(), None, 1_000).await.unwrap();
        let last = history.iter().find(|change| change.event.makes_current() || change.to.is_none()).unwrap();
        assert_eq!(last.to, current_number(state), "{told}: {last:?}");
        assert_eq!(self.served_by_a_fresh_host().await, expected(state), "{told}");
        let verified = self.stores.trail().verify(None).await.unwrap();
        assert!(verified.broken.is_none(), "{told}: {verified:?}");
        let cache = CodeCache::open(&self.place.code_cache(), Arc::new(SystemRandomness)).unwrap();
        for known in &self.known {
            if let Some(code) = cache.get(&known.digest, self.engine.fingerprint()) {
                assert!(code.as_bytes() == known.code.as_bytes(), "{told}: another code is in the cache");
            }
        }
    }

    /// The number of the generation that serves, or why nothing does; 0 for what serves tenants that are not bound.
    async fn served_by_a_fresh_host(&self) -> Result<u64, String> {
        let fallback = self.source.policy(&self.known[0].component);
        let fallback = Binding::configured(&PolicyScope::Default, fallback, &BTreeMap::new());
        let registry = Arc::new(Registry::new(fallback, []).unread());
        let stores = registry::Stores {
            generations: self.stores.generations.clone(),
            policies: self.stores.policies.clone(),
            access: self.stores.access.clone(),
            trail: Trail::new(self.stores.audit.clone(), self.stores.clock.clone()),
            clock: self.stores.clock.clone(),
        };
        let (metrics, name) = (Arc::new(Metrics::new().unwrap()), "fresh".to_owned());
        let watcher = Watcher::new(stores, self.source.clone(), registry.clone(), metrics, name);
        watcher.refresh().await.unwrap();
        let tenant = "tenant-a".parse().unwrap();
        let assigned = registry.assign(Some(&tenant), None);
        let serving = registry.serving(&tenant).unwrap();
        assert_eq!(serving.len(), 1, "one generation serves, not {serving:?}");
        match assigned.binding {
            Ok(binding) => Ok(binding.reference.generation.number().unwrap_or(0)),
            Err(refusal) => Err(refusal.fault.code.to_string()),
        }
    }

    /// Brings the scope to where an order makes sense, and answers where that is.
    async fn prepare(&self, order: Order) -> ScopeState {
        let state = self.state().await;
        let (generations, now) = (&self.stores.generations, self.stores.clock.now());
        let is_tried = matches!(order, Order::Promote | Order::EndRollout);
        if let Some(rollout) = state.rollout.filter(|_| !is_tried) {
            generations.end_rollout(&tenant_a(), rollout.number, &signed(now)).await.unwrap();
        }
        let is_revoked = state.current.as_ref().is_some_and(|current| state.revoked.contains(&current.number));
        if state.current.is_none() || is_revoked || order == Order::Revoke {
            self.bind_anew().await;
        }
        match order {
            Order::Promote | Order::EndRollout if self.state().await.rollout.is_none() => self.roll_out().await,
            Order::Host => drop(self.stage(1).await),
            _ => {}
        }
        self.forget_code();
        self.state().await
    }

    async fn stage(&self, policy: usize) -> u64 {
        let spec = plain(&self.known[policy].digest);
        let staged = signed(self.stores.clock.now());
        self.stores.generations.stage(&tenant_a(), &spec, &staged).await.unwrap().number
    }

    async fn bind_anew(&self) {
        let number = self.stage(0).await;
        let current = self.stores.generations.state(&tenant_a()).await.unwrap();
        let current = current.as_ref().and_then(current_number);
        let signed = signed(self.stores.clock.now());
        self.stores.generations.swap(&tenant_a(), current, number, SwapKind::Bind, None, &signed).await.unwrap();
    }

    async fn roll_out(&self) {
        let (number, current) = (self.stage(1).await, current_number(&self.state().await));
        let started = signed(self.stores.clock.now());
        let goal = RolloutGoal { clean_runs: None, promote_at: None, stop_on_divergence: false };
        let rollout = Rollout { number, mode: RolloutMode::Shadow, goal, counts: RolloutCounts::default(), started };
        self.stores.generations.start_rollout(&tenant_a(), current, &rollout).await.unwrap();
    }

    /// So that whoever needs code compiles it, and keeps it.
    fn forget_code(&self) {
        let Ok(entries) = std::fs::read_dir(self.place.code_cache().directory) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if self.known.iter().any(|known| path.to_string_lossy().contains(known.digest.as_str())) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    fn carry_out(&self, order: Order, before: &ScopeState, dies: Option<Moment>) -> End {
        let mut command = self.place.command(env!("CARGO_BIN_EXE_stepper"));
        command.args(["--compiler", env!("CARGO_BIN_EXE_rtmanager-cli")]);
        command.args(dies.iter().flat_map(|moment| ["--dies".to_owned(), moment.to_string()]));
        let output = command.args(order.arguments(before)).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        match output.status.signal() {
            Some(9) => End::Killed(said.trim().to_owned()),
            Some(other) => panic!("{order:?} ended by signal {other}"),
            None if output.status.success() => End::Itself(Ok(())),
            None => End::Itself(Err(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    async fn state(&self) -> ScopeState {
        self.stores.generations.state(&tenant_a()).await.unwrap().unwrap()
    }

    async fn links(&self) -> u64 {
        self.stores.audit.last().await.unwrap().map_or(0, |last| last.sequence)
    }
}

/// What a host serves that knows this.
fn expected(state: &ScopeState) -> Result<u64, String> {
    match &state.current {
        None => Ok(0),
        Some(current) if state.revoked.contains(&current.number) => Err("policy_revoked".to_owned()),
        Some(current) => Ok(current.number),
    }
}

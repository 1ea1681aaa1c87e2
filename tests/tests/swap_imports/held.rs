//! A host whose runs are held: in a call of a port, at a look at the clock, or while the policy writes a line of its log.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtmanager::adapters::memory::{Call, ManualClock};
use rtmanager::lifecycle::{Lifecycle, OperationResult, Reviewed};
use rtmanager::model::{BindingSpec, Status, Timestamp};
use rtmanager::ports::Clock;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::session::{Ports, SessionOptions};
use rtmanager_tests::bound::tenant_a;
use rtmanager_tests::captured_log::captured_log;
use rtmanager_tests::fixtures::{C_POLICY, HOSTILE};
use rtmanager_tests::mock_host::{GAME, MockHost, container, request};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// In what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Port(Call),
    Clock,
    Log,
}

impl Held {
    /// The first time that is the run's own: before it is given its generation, the host looks once at the clock.
    pub(super) fn first(self) -> u32 {
        if self == Self::Clock { 2 } else { 1 }
    }
}

type Act = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is to be done the nth time.
#[derive(Clone)]
struct Hook(Arc<Inner>);

struct Inner {
    nth: u64,
    times: AtomicU64,
    act: Mutex<Option<Act>>,
}

impl Hook {
    fn new(nth: u64, act: impl Future<Output = ()> + Send + 'static) -> Self {
        let act: Act = Box::pin(act);
        Self(Arc::new(Inner { nth, times: AtomicU64::new(0), act: Mutex::new(Some(act)) }))
    }

    /// Holds whoever calls, which is no task that could wait, until it is done. Answers how often it was called.
    fn reached(&self) -> u64 {
        let times = self.0.times.fetch_add(1, Ordering::SeqCst) + 1;
        let act = if times == self.0.nth { self.0.act.lock().unwrap().take() } else { None };
        if let Some(act) = act {
            let doing = std::thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(act);
            });
            doing.join().unwrap();
        }
        times
    }

    fn was_reached(&self) -> bool {
        self.0.act.lock().unwrap().is_none()
    }
}

/// Shows another time at each look.
struct HeldClock(Arc<ManualClock>, Hook);

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        let times = self.1.reached();
        self.0.now().saturating_add(Duration::from_micros(times))
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// Reached by the lines that policies log.
struct HeldLog(Hook);

impl<S: tracing::Subscriber> Layer<S> for HeldLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "policy" {
            self.0.reached();
        }
    }
}

/// A host with a stopped game. Clones share it.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) host: Arc<MockHost>,
    noted: Arc<Mutex<Option<(usize, Status)>>>,
}

impl Site {
    pub(super) async fn bound_to(spec: &BindingSpec) -> Self {
        let host = MockHost::builder().following_store().build();
        for component in [DEFAULT_POLICY, C_POLICY, HOSTILE] {
            host.push(component).await;
        }
        host.stopped(GAME, &container(1)).await;
        host.bind(&tenant_a(), spec).await;
        Self { host: Arc::new(host), noted: Arc::default() }
    }

    /// A cleanup, and whether it was held.
    pub(super) async fn cleanup(
        &self,
        held: Held,
        nth: u32,
        act: impl Future<Output = ()> + Send + 'static,
    ) -> (OperationResult, bool) {
        let hook = Hook::new(nth.into(), act);
        match held {
            Held::Port(call) => {
                let (reached, acting) = (hook.clone(), hook.0.act.lock().unwrap().take().unwrap());
                *hook.0.act.lock().unwrap() = Some(Box::pin(async {}));
                self.host.script.plan().meanwhile(call, nth, async move {
                    acting.await;
                    drop(reached.0.act.lock().unwrap().take());
                });
                (self.host.cleanup(GAME).await, hook.was_reached())
            }
            Held::Clock => (self.by(&hook).cleanup(request(GAME, "cli")).await, hook.was_reached()),
            Held::Log => {
                // Somebody listens from here on, or lines would be switched off.
                drop(captured_log());
                let layer = tracing_subscriber::registry().with(HeldLog(hook.clone()));
                let _listening = tracing::subscriber::set_default(layer);
                (self.host.cleanup(GAME).await, hook.was_reached())
            }
        }
    }

    /// A review, held at the nth look at the clock; and whether it was.
    pub(super) async fn review(&self, nth: u64, act: impl Future<Output = ()> + Send + 'static) -> (Reviewed, bool) {
        let hook = Hook::new(nth, act);
        let tracked = self.host.record(GAME).await.unwrap();
        let reviewed = self.by(&hook).offer(tracked, self.host.clock.now(), false).await;
        (reviewed, hook.was_reached())
    }

    /// The host's runs, by a clock that holds them.
    fn by(&self, hook: &Hook) -> Lifecycle {
        let ports = &self.host.ports;
        let ports = Ports {
            records: ports.records.clone(),
            operations: ports.operations.clone(),
            leases: ports.leases.clone(),
            engines: ports.engines.clone(),
            clock: Arc::new(HeldClock(self.host.clock.clone(), hook.clone())),
            randomness: ports.randomness.clone(),
            metrics: ports.metrics.clone(),
        };
        let (registry, options) = (self.host.registry.clone(), SessionOptions::default());
        Lifecycle::new(Arc::new(ports), registry, options, Duration::from_secs(30)).unwrap()
    }

    /// The game is started and stopped once more.
    pub(super) async fn stopped_again(&self) {
        self.host.stopped(GAME, &container(2)).await;
    }

    pub(super) async fn status(&self) -> Status {
        self.host.record(GAME).await.unwrap().record.status
    }

    pub(super) fn removals(&self) -> usize {
        self.host.script.journal().calls().into_iter().filter(|call| *call == Call::EngineRemove).count()
    }

    /// Notes what has been done so far.
    pub(super) async fn note(&self) {
        let (removals, status) = (self.removals(), self.status().await);
        *self.noted.lock().unwrap() = Some((removals, status));
    }

    pub(super) fn noted(&self) -> (usize, Status) {
        self.noted.lock().unwrap().clone().expect("it was held")
    }
}

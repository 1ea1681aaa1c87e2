//! A tenant, processes that swap it and follow, and hosts that only say what a test has them say.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtmanager::app::Stores;
use rtmanager::model::{GenerationId, PolicyScope, Serving};
use rtmanager::ports::{ScopeState, SwapKind};
use rtmanager_tests::bombs::many_sections;
use rtmanager_tests::bound::{artifact, plain, signed, tenant_a};
use rtmanager_tests::fixtures::SOUND;
use rtmanager_tests::place::Place;
use rtmanager_tests::processes::wait_until_stopped;
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::task::AbortOnDropHandle;

/// Longer than a swap waits for a host that is dead, and far longer than anything else here takes.
pub(super) const PATIENCE_MS: &str = "30000";

pub(super) struct Site {
    place: Place,
    pub(super) stores: Arc<Stores>,
}

impl Site {
    /// Everybody and the tenant are bound to the one policy.
    pub(super) async fn new(place: Place) -> Self {
        let stores = Arc::new(place.stores().await);
        let (one, other) = (SOUND.to_vec(), many_sections(SOUND, 1));
        let signed = signed(stores.clock.now());
        let mut digests = Vec::new();
        for (component, name) in [(&one, "one"), (&other, "other")] {
            let artifact = artifact(component, name, signed.at);
            stores.policies.add(&artifact, component).await.unwrap();
            digests.push(artifact.digest);
        }
        for scope in [PolicyScope::Default, tenant_a()] {
            stores.generations.stage(&scope, &plain(&digests[0]), &signed).await.unwrap();
            stores.generations.swap(&scope, None, 1, SwapKind::Bind, None, &signed).await.unwrap();
        }
        Self { place, stores }
    }

    pub(super) fn spawn(&self, arguments: &[&str]) -> Process {
        let mut command = self.place.command(env!("CARGO_BIN_EXE_stepper"));
        command.args(["--compiler", env!("CARGO_BIN_EXE_rtmanager-cli")]).args(arguments);
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Process { child, said, ended: false }
    }

    /// A swap that waits for hosts.
    pub(super) fn bind(&self, policy: &str) -> Process {
        self.spawn(&["--patience-ms", PATIENCE_MS, "bind", policy])
    }

    pub(super) async fn state(&self) -> ScopeState {
        self.stores.generations.state(&tenant_a()).await.unwrap().unwrap()
    }

    pub(super) async fn current(&self) -> u64 {
        self.state().await.current.expect("something serves").number
    }

    /// The newest generation.
    pub(super) async fn newest(&self) -> u64 {
        let state = self.state().await;
        let known = [state.current, state.previous, state.staged, state.newest];
        known.into_iter().flatten().map(|generation| generation.number).max().unwrap()
    }

    pub(super) async fn until_staged(&self, number: u64) {
        for _ in 0..1_000 {
            if self.newest().await >= number {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("generation {number} was not staged within 20 s");
    }

    /// What was done to the tenant since, by the trail: actions and subjects.
    pub(super) async fn trail_after(&self, sequence: u64) -> Vec<(String, String)> {
        let links = self.stores.audit.read(sequence + 1, 1_000).await.unwrap();
        links.into_iter().map(|link| (link.event.action, link.event.subject)).collect()
    }

    pub(super) async fn links(&self) -> u64 {
        self.stores.audit.last().await.unwrap().map_or(0, |last| last.sequence)
    }

    /// What serves is a generation that is there, made current by the last line of the history, of a whole trail.
    pub(super) async fn is_whole(&self, told: &str) {
        let state = self.state().await;
        let current = state.current.expect("something serves");
        let stored = self.stores.generations.generation(&tenant_a(), current.number).await.unwrap();
        assert_eq!(stored, Some(current.clone()), "{told}");
        let history = self.stores.generations.history(&tenant_a(), None, 100).await.unwrap();
        let last = history.iter().find(|change| change.event.makes_current()).unwrap();
        assert_eq!(last.to, Some(current.number), "{told}");
        let verified = self.stores.trail().verify(None).await.unwrap();
        assert!(verified.broken.is_none(), "{told}: {verified:?}");
    }

    /// A host that lives, and is ready for what is newest when it is told to be.
    pub(super) fn host(&self, name: &'static str) -> Speaker {
        let is_ready = Arc::new(AtomicBool::new(false));
        let speaking = speak(self.stores.clone(), name, is_ready.clone());
        Speaker { is_ready, _task: AbortOnDropHandle::new(tokio::spawn(speaking)) }
    }
}

/// Speaks until it is dropped.
pub(super) struct Speaker {
    is_ready: Arc<AtomicBool>,
    _task: AbortOnDropHandle<()>,
}

impl Speaker {
    pub(super) fn is_ready(&self, ready: bool) {
        self.is_ready.store(ready, Ordering::SeqCst);
    }
}

async fn speak(stores: Arc<Stores>, name: &str, is_ready: Arc<AtomicBool>) {
    loop {
        let state = stores.generations.state(&tenant_a()).await.unwrap().unwrap();
        let ready = [state.staged, state.newest].into_iter().flatten().map(|generation| generation.number);
        let ready = ready.filter(|_| is_ready.load(Ordering::SeqCst)).collect();
        let serving = Serving {
            replica: name.to_owned(),
            scope: tenant_a(),
            generation: state.current.expect("something serves").id(),
            ready,
            problem: None,
            at: stores.clock.now(),
        };
        let generation = GenerationId::numbered(&PolicyScope::Default, 1);
        let alive = Serving { scope: PolicyScope::Default, generation, ready: Vec::new(), ..serving.clone() };
        for said in [serving, alive] {
            stores.generations.report(&said).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process, which ends with its test.
pub(super) struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
    ended: bool,
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) signal: Option<i32>,
    pub(super) is_well: bool,
    pub(super) last_words: String,
}

impl Process {
    /// Its next line; none once it has ended.
    pub(super) fn says(&mut self) -> Option<String> {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| line.trim().to_owned())
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(super) async fn ends(&mut self) -> Ended {
        for _ in 0..3_000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ended = true;
                let mut last_words = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut last_words).unwrap();
                return Ended { signal: status.signal(), is_well: status.success(), last_words };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("a process has not ended within a minute");
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(super) fn is_stopped(&self) {
        wait_until_stopped(self.child.id());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

//! What stands before the backends of a scenario's hosts: a call that is to fail fails, and of a host that died none arrives.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use super::story::{At, Nth};
use super::watch::Watch;
use super::words::What;
use super::world::World;
use crate::adapters::memory::{Answer, Call, Failure, Inject, SeededRandomness, Stage, Staged, Subject};
use crate::metrics::Metrics;
use crate::model::EngineName;
use crate::ports::{ContainerEngine, LeaseStore, OperationLog, RecordStore};
use crate::session::Ports;

/// What becomes of one call.
enum Fate {
    Goes,
    Fails(Failure),
    DiesBefore,
    DiesAfter,
}

impl Stage for Watch {
    async fn call<T: Answer, E: Inject>(
        &self,
        call: Call,
        _: Subject<'_>,
        refusal: impl FnOnce() -> Result<T, E> + Send,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        if self.life.has_ended() {
            return pending().await;
        }
        let nth = self.counted(call);
        self.others_act_behind(call, nth).await;
        match self.fate(call, nth) {
            Fate::Goes => effect.await,
            Fate::Fails(Failure::Unavailable) => Err(E::unavailable()),
            Fate::Fails(Failure::Corrupt) => Err(E::corrupt()),
            Fate::Fails(Failure::LoseRequest) => Err(E::unknown()),
            Fate::Fails(Failure::LoseReply) => effect.await.and(Err(E::unknown())),
            Fate::Fails(Failure::Hang) => pending().await,
            Fate::Fails(Failure::HangAfterEffect) => {
                drop(effect.await);
                pending().await
            }
            Fate::Fails(Failure::Refuse) => refusal(),
            Fate::DiesBefore => {
                self.life.end();
                pending().await
            }
            Fate::DiesAfter => {
                drop(effect.await);
                self.life.end();
                pending().await
            }
        }
    }
}

impl World {
    /// The ports of a process to which nothing is to happen. What is random in it follows from `seed`.
    pub(super) fn ports(&self, engine: EngineName, metrics: Arc<Metrics>, seed: u64) -> Ports {
        let behind: Arc<dyn ContainerEngine> = Arc::new(self.engine.clone());
        Ports {
            records: self.store.records(),
            operations: self.store.operation_log(),
            leases: self.store.leases(self.clock.clone()),
            engines: BTreeMap::from([(engine, behind)]),
            clock: self.clock.clone(),
            randomness: Arc::new(SeededRandomness::new(seed)),
            metrics,
        }
    }
}

impl Watch {
    fn counted(&self, call: Call) -> u32 {
        let mut state = self.world.state();
        let asked = state.asked.entry(call).or_default();
        *asked = asked.saturating_add(1);
        *asked
    }

    async fn others_act_behind(&self, call: Call, nth: u32) {
        let due: Vec<_> = {
            let state = self.world.state();
            let is_due = |at: At, only: u32| at == At::Backend(call) && Nth::Only(only).is(nth);
            state.meanwhile.iter().filter(|other| is_due(other.at, other.nth)).cloned().collect()
        };
        for other in due {
            self.act(&other.deed).await;
        }
    }

    fn fate(&self, call: Call, nth: u32) -> Fate {
        let (planned, armed) = {
            let state = self.world.state();
            let planned = state.faults.iter().enumerate();
            let planned =
                planned.filter(|(_, fault)| fault.at == At::Backend(call)).find(|(_, fault)| fault.nth.is(nth));
            let armed = state.armed.iter().find(|(armed, _)| *armed == call).map(|(_, failure)| *failure);
            (planned.map(|(index, fault)| (index, fault.clone())), armed)
        };
        let Some((index, fault)) = planned else { return armed.map_or(Fate::Goes, Fate::Fails) };
        self.feel(index, &fault);
        match fault.what {
            What::CrashBefore => Fate::DiesBefore,
            What::CrashAfter => Fate::DiesAfter,
            what => what.at_backend().map_or(Fate::Goes, Fate::Fails),
        }
    }

    /// The ports of one process. What is random in it follows from `seed`.
    pub(super) fn ports(&self, engine: EngineName, metrics: Arc<Metrics>, seed: u64) -> Ports {
        let Ports { records, operations, leases, engines, .. } = self.world.ports(engine, metrics.clone(), seed);
        let before = |(name, behind)| {
            let staged: Arc<dyn ContainerEngine> =
                Arc::new(Staged::<dyn ContainerEngine, _>::new(behind, self.clone()));
            (name, staged)
        };
        Ports {
            records: Arc::new(Staged::<dyn RecordStore, _>::new(records, self.clone())),
            operations: Arc::new(Staged::<dyn OperationLog, _>::new(operations, self.clone())),
            leases: Arc::new(Staged::<dyn LeaseStore, _>::new(leases, self.clone())),
            engines: engines.into_iter().map(before).collect(),
            clock: self.world.clock.clone(),
            randomness: Arc::new(SeededRandomness::new(seed)),
            metrics,
        }
    }
}

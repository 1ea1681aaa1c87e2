//! An instance that serves one run after another. Hosts never do that, since a fresh instance is what keeps runs
//! apart; it is here to measure what freshness costs.

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::LifecyclePolicy;
use super::execute::{bound, handle};
use super::store::RunState;
use super::{Answer, Execution, Policy, Settings, fault};
use crate::session::Session;

/// For benchmarks.
pub struct WarmInstance {
    store: Store<RunState>,
    instance: LifecyclePolicy,
    settings: Arc<Settings>,
}

impl WarmInstance {
    /// Instantiates the policy, to be used for several runs. `session` is not used up by a call.
    pub async fn new(policy: &Policy, session: Session, settings: Arc<Settings>) -> wasmtime::Result<Self> {
        let limits = policy.limits.clone();
        let mut store = Store::new(policy.pre.engine(), RunState::new(session, settings.clone(), limits.clone()));
        bound(&mut store, &limits, policy.fuel)?;
        let instance = policy.pre.instantiate_async(&mut store).await?;
        Ok(Self { store, instance, settings })
    }

    /// Runs `handle` for this session. The session of the call before is dropped.
    pub async fn handle(&mut self, session: Session, then: Session) -> Execution {
        let limits = Arc::new(self.store.data().limits().clone());
        *self.store.data_mut() = RunState::new(session, self.settings.clone(), limits.clone());
        let answer = handle(&self.instance, &mut self.store).await.map(Answer::Verdict);
        let answer = answer.map_err(|error| fault::of_error(&error, &self.store.data().usage, &limits));
        let spare = RunState::new(then, self.settings.clone(), limits);
        Execution { session: std::mem::replace(self.store.data_mut(), spare).session, answer }
    }
}

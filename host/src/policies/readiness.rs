//! Whether every host could serve a generation before it does: each loads what is staged, and says so.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bind, Error, Policies, sight};
use crate::access::Caller;
use crate::model::{Generation, GenerationId, PolicyScope, Serving};
use crate::ports::{StoreError, SwapError};

/// A host that has not reported for so long is not waited for: it has ended, or serves nobody.
const ALIVE: Duration = Duration::from_secs(10);
/// How often the hosts' reports are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What one host says of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The host.
    pub name: String,
    /// What it says of the scope; none if it has said nothing of it yet.
    pub serving: Option<Serving>,
}

impl Policies {
    /// Waits for every host that is alive to have loaded a generation. Answers those that have not, and why; that is
    /// an error unless they may be left behind. Waits no longer for what cannot come: `before` is not current any more,
    /// or hosts load a later generation in place of this one.
    pub(super) async fn ready(
        &self,
        caller: &Caller,
        generation: &Generation,
        before: Option<u64>,
        bind: &Bind,
    ) -> Result<Vec<String>, Error> {
        let deadline = Instant::now() + bind.patience;
        loop {
            let waiting: Vec<_> = self
                .replicas(caller, &generation.scope)
                .await?
                .iter()
                .filter_map(|host| lag(host, generation.number))
                .collect();
            if waiting.is_empty() {
                return Ok(waiting);
            }
            let late = Instant::now() >= deadline;
            let later = if late { None } else { self.overtaken(generation, before).await? };
            if late || later.is_some() {
                let overtaken = later.map(|later| vec![format!("hosts load {later}, which was staged after it")]);
                return match bind.leave_behind {
                    true => Ok(waiting),
                    false => {
                        Err(Error::NotReady { generation: generation.id(), waiting: overtaken.unwrap_or(waiting) })
                    }
                };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The generation that was staged after this one, if hosts load that in its place: of those that wait to become
    /// current they know but the newest. A conflict if another one has become current meanwhile.
    async fn overtaken(&self, generation: &Generation, before: Option<u64>) -> Result<Option<GenerationId>, Error> {
        let state = self.bound(&generation.scope).await?;
        let current = state.current.as_ref().map(|current| current.number);
        if current != before {
            return Err(SwapError::Conflict { current }.into());
        }
        let waiting = [state.newest, state.staged].into_iter().flatten();
        let newest = waiting.max_by_key(|staged| staged.number);
        Ok(newest.filter(|newest| newest.number > generation.number).map(|newest| newest.id()))
    }

    /// The hosts that are alive, and what each says of a scope, as this caller may know them. Every host reports the
    /// default scope.
    pub(super) async fn replicas(&self, caller: &Caller, scope: &PolicyScope) -> Result<Vec<Replica>, StoreError> {
        let since = self.0.clock.now().saturating_sub(ALIVE);
        let alive = self.0.generations.reports(&PolicyScope::Default, since).await?;
        let said = self.0.generations.reports(scope, since).await?;
        let mut said: BTreeMap<_, _> = said.into_iter().map(|serving| (serving.replica.clone(), serving)).collect();
        let replica = |name: String| Replica { serving: said.remove(&name), name };
        Ok(sight::replicas(caller, alive.into_iter().map(|serving| serving.replica).map(replica).collect()))
    }
}

/// What keeps a host from serving a generation; none if nothing does.
fn lag(host: &Replica, number: u64) -> Option<String> {
    let name = &host.name;
    match &host.serving {
        Some(serving) if serving.ready.contains(&number) || serving.generation.number() == Some(number) => None,
        Some(Serving { problem: Some(problem), .. }) => Some(format!("{name}: {problem}")),
        Some(_) | None => Some(format!("{name} has not loaded it yet")),
    }
}

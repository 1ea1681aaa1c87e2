//! Whether every host could serve a generation before it does: each loads what is staged, and says so.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Error, Policies, sight};
use crate::access::Caller;
use crate::model::{Generation, PolicyScope, Serving};
use crate::ports::StoreError;

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
    /// an error unless they may be left behind.
    pub(super) async fn ready(
        &self,
        caller: &Caller,
        generation: &Generation,
        patience: Duration,
        leave_behind: bool,
    ) -> Result<Vec<String>, Error> {
        let deadline = Instant::now() + patience;
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
            if Instant::now() >= deadline {
                return match leave_behind {
                    true => Ok(waiting),
                    false => Err(Error::NotReady { generation: generation.id(), waiting }),
                };
            }
            tokio::time::sleep(LOOK).await;
        }
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

//! What each host was told, what it said that it served, and which runs it began: all by one clock, so that no run is
//! given the benefit of a doubt that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rtmanager::model::{Begun, GenerationId, Intent, OperationEntry, RunId, Serving, Timestamp};
use rtmanager::ports::{Changes, Clock as _, GenerationStore, RecordStore, StoreError};
use tokio::task;

use super::{Replica, SCOPE};
use crate::tapped::{GenerationTap, RecordTap};
use rtmanager::adapters::system_clock::SystemClock;

/// All that was heard. Clones share it.
#[derive(Clone, Default)]
pub struct Reports(Arc<Mutex<[Account; 2]>>);

/// What was heard of one host.
#[derive(Default)]
struct Account {
    /// In the order in which the store answered it: a host asks for the next only when the last is in force.
    told: Vec<Told>,
    said: Vec<Said>,
    begun: BTreeMap<RunId, Timestamp>,
}

/// The store told the host what is current.
struct Told {
    generation: GenerationId,
    /// From here on it may be in force.
    at: Timestamp,
    /// From here on it is in force: whoever was told it, and puts it into force at once, since it is loaded, has gone on
    /// to its next call.
    in_force: Option<Timestamp>,
    task: u64,
}

/// The host said that it serves this, and looked at what it serves at some time within these two.
struct Said {
    generation: GenerationId,
    after: Timestamp,
    at: Timestamp,
}

/// What can be said of a run's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It is the only one that its host can have served when the run was given it.
    Proven,
    /// It was just then being swapped.
    Possible,
    /// Its host did not serve it.
    Wrong,
    /// No host began the run.
    Unknown,
}

impl Account {
    /// What the host may have served at some time within these two. Once a later answer is in force, no earlier one is.
    fn served_within(&self, from: Timestamp, to: Timestamp) -> BTreeSet<&GenerationId> {
        let begun = self.told.partition_point(|told| told.at <= to);
        let (mut served, mut until) = (BTreeSet::new(), self.in_force_after(begun));
        for told in self.told[..begun].iter().rev() {
            if until.is_some_and(|until| until < from) {
                break;
            }
            served.insert(&told.generation);
            until = [until, told.in_force].into_iter().flatten().min();
        }
        served
    }

    /// When the first of the later answers was in force.
    fn in_force_after(&self, index: usize) -> Option<Timestamp> {
        // Answers overtake one another by a few at most: each turn of a host's watch reports.
        self.told[index..].iter().take(16).filter_map(|told| told.in_force).min()
    }

    /// A task that was told something has put it into force.
    fn goes_on(&mut self, task: u64, at: Timestamp) {
        if let Some(told) = self.told.iter_mut().rev().take(64).find(|told| told.task == task) {
            told.in_force.get_or_insert(at);
        }
    }
}

impl Reports {
    /// How many reports there were.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().iter().map(|account| account.said.len()).sum()
    }

    /// The host that began a run; none if none did.
    pub fn host_of(&self, run: &RunId) -> Option<Replica> {
        let accounts = self.0.lock().unwrap();
        [Replica::One, Replica::Two].into_iter().find(|host| accounts[*host as usize].begun.contains_key(run))
    }

    /// Whether a run's generation is what its host served. It was given it between its start and its beginning in the
    /// store.
    pub fn finding(&self, entry: &OperationEntry) -> Finding {
        let Some(host) = self.host_of(&entry.run_id) else { return Finding::Unknown };
        let accounts = self.0.lock().unwrap();
        let account = &accounts[host as usize];
        let served = account.served_within(entry.started_at, account.begun[&entry.run_id]);
        match (served.contains(&entry.policy.generation), served.len()) {
            (false, _) => Finding::Wrong,
            (true, 1) => Finding::Proven,
            (true, _) => Finding::Possible,
        }
    }

    /// Reports of what the host cannot have served when it looked.
    pub fn lies(&self) -> Vec<String> {
        let accounts = self.0.lock().unwrap();
        let mut lies = Vec::new();
        for (host, account) in [Replica::One, Replica::Two].iter().zip(accounts.iter()) {
            // Before it was told anything, a host serves what its file binds.
            let first = account.told.first().map_or(Timestamp::default(), |told| told.at);
            for said in account.said.iter().filter(|said| said.after >= first) {
                let served = account.served_within(said.after, said.at);
                if !served.contains(&said.generation) {
                    lies.push(format!("{host:?} said at {} that it served {}: {served:?}", said.at, said.generation));
                }
            }
        }
        lies
    }
}

/// One host's view of the generations, by which what it is told and says is heard.
pub(super) struct Heard {
    pub(super) inner: Arc<dyn GenerationStore>,
    pub(super) host: Replica,
    pub(super) reports: Reports,
}

impl Heard {
    fn account<T>(&self, hear: impl FnOnce(&mut Account) -> T) -> T {
        hear(&mut self.reports.0.lock().unwrap()[self.host as usize])
    }
}

/// The task that asks, as a number; outside of one there is only the test itself.
fn this_task() -> u64 {
    task::try_id().and_then(|id| id.to_string().parse().ok()).unwrap_or_default()
}

#[async_trait]
impl GenerationTap for Heard {
    fn inner(&self) -> &Arc<dyn GenerationStore> {
        &self.inner
    }

    /// Revocations are read before anything that was told is put into force.
    fn begins(&self, call: &'static str) -> u64 {
        if call != "revoked_since" {
            self.account(|account| account.goes_on(this_task(), SystemClock.now()));
        }
        0
    }

    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        let answer = self.inner.changed_since(epoch).await?;
        let current = answer.states.iter().find(|state| state.scope.as_str() == SCOPE);
        if let Some(generation) = current.and_then(|state| state.current.as_ref()) {
            let (generation, task) = (generation.id(), this_task());
            self.account(|account| {
                account.told.push(Told { generation, at: SystemClock.now(), in_force: None, task });
            });
        }
        Ok(answer)
    }

    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        if serving.scope.as_str() == SCOPE {
            self.account(|account| {
                let generation = serving.generation.clone();
                account.said.push(Said { generation, after: serving.at, at: SystemClock.now() });
            });
        }
        self.inner.report(serving).await
    }
}

/// One host's view of the records, by which it is known which runs are its own, also where their entries do not say so.
pub(super) struct Begins {
    pub(super) inner: Arc<dyn RecordStore>,
    pub(super) host: Replica,
    pub(super) reports: Reports,
}

#[async_trait]
impl RecordTap for Begins {
    fn inner(&self) -> &Arc<dyn RecordStore> {
        &self.inner
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        let at = SystemClock.now();
        let run = intent.run_id.clone();
        self.reports.0.lock().unwrap()[self.host as usize].begun.entry(run).or_insert(at);
        self.inner.begin_run(intent).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn told(number: u64, from: u64, in_force: Option<u64>) -> Told {
        let generation = format!("{SCOPE}/{number}").parse().unwrap();
        Told { generation, at: at(from), in_force: in_force.map(at), task: 0 }
    }

    fn served(account: &Account, from: u64, to: u64) -> Vec<u64> {
        account.served_within(at(from), at(to)).into_iter().filter_map(GenerationId::number).collect()
    }

    #[test]
    fn a_host_serves_what_it_was_told_until_the_next_is_in_force_and_not_a_moment_longer() {
        let told = vec![told(1, 100, Some(110)), told(2, 200, Some(210)), told(1, 300, None), told(3, 400, Some(410))];
        let account = Account { told, ..Account::default() };
        assert_eq!(served(&account, 0, 99), Vec::<u64>::new());
        assert_eq!(served(&account, 120, 199), [1]);
        assert_eq!(served(&account, 199, 200), [1, 2]);
        assert_eq!(served(&account, 210, 220), [1, 2]);
        assert_eq!(served(&account, 211, 220), [2]);
        // Nobody saw when it was in force, but it was before the one after it.
        assert_eq!(served(&account, 350, 360), [1, 2]);
        assert_eq!(served(&account, 411, 420), [3]);
        assert_eq!(served(&account, 0, 1_000), [1, 2, 3]);
    }
}

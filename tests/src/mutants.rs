//! Bugs to be planted in simulated hosts and backends, each with the rule that it breaks.

use std::sync::Arc;

use rtmanager::adapters::memory::{MemoryEngine, MemoryStore};
use rtmanager::simulation::{Adapters, Hooks};

use crate::tapped::Tapped;

mod engine;
mod leases;
mod log;
mod policies;
mod records;

pub use engine::Engine;
pub use leases::Leases;
pub use log::Log;
pub use policies::POLICIES;
pub use records::Records;

/// A bug.
pub struct Mutant {
    /// What it does.
    pub name: &'static str,
    /// The rules by which it may be found.
    pub rules: &'static [&'static str],
    /// Whether it is a bug of the host, or else of a backend.
    pub in_host: bool,
    /// Where it is.
    pub bug: Bug,
}

/// A bug of one port.
#[derive(Clone, Copy)]
pub enum Bug {
    /// None at all.
    Nothing,
    /// Of the records.
    Records(Records),
    /// Of the leases.
    Leases(Leases),
    /// Of the operation log.
    Log(Log),
    /// Of the engine.
    Engine(Engine),
}

impl Mutant {
    /// A bug of the host: it asks its backends for the wrong things.
    pub const fn host(name: &'static str, rules: &'static [&'static str], bug: Bug) -> Self {
        Self { name, rules, in_host: true, bug }
    }

    /// A bug of a backend: it does the wrong things.
    pub const fn backend(name: &'static str, rules: &'static [&'static str], bug: Bug) -> Self {
        Self { name, rules, in_host: false, bug }
    }

    /// The hooks that plant it.
    pub fn hooks(&self) -> Hooks {
        let bug = self.bug;
        let plant: rtmanager::simulation::Bug =
            Arc::new(move |store: &MemoryStore, engine: &MemoryEngine, adapters| plant(bug, store, engine, adapters));
        if self.in_host {
            Hooks { before: Some(plant), behind: None }
        } else {
            Hooks { before: None, behind: Some(plant) }
        }
    }
}

fn plant(bug: Bug, store: &MemoryStore, engine: &MemoryEngine, adapters: Adapters) -> Adapters {
    let (store, engine) = (store.clone(), engine.clone());
    match bug {
        Bug::Nothing => adapters,
        Bug::Records(how) => {
            let bad = records::Bad::new(adapters.records, adapters.engine.clone(), store, how);
            Adapters { records: Arc::new(Tapped(bad)), ..adapters }
        }
        Bug::Leases(how) => {
            let bad = leases::Bad { inner: adapters.leases, how };
            Adapters { leases: Arc::new(Tapped(bad)), ..adapters }
        }
        Bug::Log(how) => {
            let bad = log::Bad { inner: adapters.operations, how };
            Adapters { operations: Arc::new(Tapped(bad)), ..adapters }
        }
        Bug::Engine(how) => {
            let bad = engine::Bad { inner: adapters.engine, world: engine, how };
            Adapters { engine: Arc::new(Tapped(bad)), ..adapters }
        }
    }
}

/// Every bug.
pub const ALL: &[Mutant] = &[
    Mutant::host("the change expects what is there now", &["3"], Bug::Records(Records::ExpectsAnything)),
    Mutant::host("a run is given up without a word to the store", &["3", "4"], Bug::Records(Records::GivesUpNothing)),
    Mutant::host("an unknown removal is taken for done", &["3"], Bug::Engine(Engine::TakesUnknownForDone)),
    Mutant::backend("a change that compares nothing", &["3", "4"], Bug::Records(Records::ComparesNothing)),
    Mutant::backend("a change that overlooks a conflict", &["3"], Bug::Records(Records::IgnoresConflict)),
    Mutant::backend("a change under an old fence", &["3"], Bug::Records(Records::IgnoresFence)),
    Mutant::backend("a change in spite of a hold", &["3"], Bug::Records(Records::IgnoresHold)),
    Mutant::backend("a change that is told and not made", &["3"], Bug::Records(Records::TellsOnly)),
    Mutant::backend("reads that stay as they were", &["3"], Bug::Records(Records::ReadsStale)),
    Mutant::backend("reads without the hold", &["1", "3"], Bug::Records(Records::HidesHold)),
    Mutant::backend("a fence that is issued twice", &["3"], Bug::Records(Records::RepeatsFence)),
    Mutant::backend("an intent that is not stored", &["3", "4"], Bug::Records(Records::ForgetsIntent)),
    Mutant::backend("a run given up that may go on", &["3"], Bug::Records(Records::GivesUpNothing)),
    Mutant::backend("overdue runs that are not told", &["4"], Bug::Records(Records::HidesOverdue)),
    Mutant::backend("waits and parking that are not stored", &["11"], Bug::Records(Records::ForgetsDisposition)),
    Mutant::backend("a walk that offers nothing", &["11"], Bug::Records(Records::OffersNothing)),
    Mutant::backend("a record that changes when it is read", &["3", "5"], Bug::Records(Records::ChangesOnRead)),
    Mutant::backend("a change that names another run", &["3", "4"], Bug::Records(Records::ForgetsCommit)),
    Mutant::backend("a lease for everybody", &["6"], Bug::Leases(Leases::GrantsAll)),
    Mutant::backend("a lost lease that is renewed", &["6"], Bug::Leases(Leases::RenewsAll)),
    Mutant::backend("a lease that is not given back", &["6"], Bug::Leases(Leases::KeepsReleased)),
    Mutant::backend("a removal that kills", &["2"], Bug::Engine(Engine::Kills)),
    Mutant::backend("a removal that is told and not made", &["3"], Bug::Engine(Engine::TellsOnly)),
    Mutant::backend("a container that is not found", &["3"], Bug::Engine(Engine::FindsNothing)),
    Mutant::backend("an entry that is not stored", &["4"], Bug::Log(Log::Forgets)),
    Mutant::backend("an entry that is twisted", &["4"], Bug::Log(Log::Twists)),
    Mutant::host("the refusal of a lease is ignored", &["1"], Bug::Leases(Leases::IgnoresRefusal)),
    Mutant::host("a failed lease is taken for granted", &["1"], Bug::Leases(Leases::IgnoresFailure)),
    Mutant::host("no lease is asked for", &["1"], Bug::Leases(Leases::AsksForNone)),
    Mutant::host("the release is forgotten", &["6"], Bug::Leases(Leases::ForgetsRelease)),
    Mutant::host("the entry is skipped", &["4"], Bug::Log(Log::Forgets)),
    Mutant::host("the entry is written twice", &["4"], Bug::Log(Log::Doubles)),
    Mutant::host("the entry says the contrary", &["4"], Bug::Log(Log::Twists)),
    Mutant::host("the entry is of another run", &["4"], Bug::Log(Log::MistakesRun)),
    Mutant::host("the entry is of another tenant", &["8"], Bug::Log(Log::MistakesTenant)),
    Mutant::host("the entry names another policy", &["7"], Bug::Log(Log::MistakesPolicy)),
    Mutant::host("recovery tells every run done", &["4"], Bug::Log(Log::RecoversAll)),
    Mutant::host("recovery tells every run abandoned", &["4"], Bug::Log(Log::RecoversNone)),
    Mutant::host("the entry leaves a task behind", &["12"], Bug::Log(Log::LeavesTask)),
    Mutant::host("removal before the record is loaded", &["1", "8"], Bug::Records(Records::RemovesFirst)),
    Mutant::host("the intent is skipped", &["3", "4"], Bug::Records(Records::ForgetsIntent)),
    Mutant::host("the intent names another policy", &["7"], Bug::Records(Records::MistakesPolicy)),
    Mutant::host("the change carries the greatest fence", &["3"], Bug::Records(Records::GreatestFence)),
    Mutant::host("the change is of another game", &["1", "8"], Bug::Records(Records::MistakesGame)),
    Mutant::host("a hold is not looked at", &["1", "3"], Bug::Records(Records::HidesHold)),
    Mutant::host("a stale record is acted on", &["1", "3"], Bug::Records(Records::ReadsStale)),
    Mutant::host("a failed look is taken for absence", &["3"], Bug::Engine(Engine::TakesFailureForAbsence)),
    Mutant::host("labels are not looked at", &["8"], Bug::Engine(Engine::IgnoresLabels)),
    Mutant::host("another container is removed", &["1", "8"], Bug::Engine(Engine::MistakesContainer)),
    Mutant::host("a removal is asked for without a look", &["1", "3"], Bug::Engine(Engine::TellsOnly)),
    Mutant::backend("a change in spite of a revocation", &["7"], Bug::Records(Records::IgnoresRevocation)),
    Mutant::host("a revocation is not looked at before removal", &["7"], Bug::Records(Records::OverlooksRevocation)),
    Mutant::host("the change is made in another policy's name", &["7"], Bug::Records(Records::ChangesAsAnother)),
    Mutant::host("the intent names another generation", &["7"], Bug::Records(Records::MistakesGeneration)),
    Mutant::host("the entry names another generation", &["7"], Bug::Log(Log::MistakesGeneration)),
    Mutant::host("a game is tried again instead of parked", &["9", "11"], Bug::Records(Records::ParksNothing)),
    Mutant::host("the sweeper forgets failures", &["11"], Bug::Records(Records::ForgetsDisposition)),
    Mutant::host("recovery never looks", &["4"], Bug::Records(Records::HidesOverdue)),
];

/// Bugs that take two faults in one run, in an order that chance seldom finds.
pub const BY_PAIRS: &[Mutant] =
    &[Mutant::host("a failed renewal is ignored", &["1"], Bug::Leases(Leases::IgnoresLoss))];

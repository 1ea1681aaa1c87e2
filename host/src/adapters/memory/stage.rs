//! What stands between a port's callers and the adapter behind it: told of each call, it decides what becomes of it.

use std::fmt::{self, Debug};

use super::Call;
use super::faults::Inject;
use crate::model::{ContainerId, EntryId, Fault, Fence, GameId, Intent, OperationEntry, RunId};
use crate::ports::{LeaseToken, StatusChange};

mod answers;

/// Decides what becomes of each call of the ports under it.
pub trait Stage: Clone + Send + Sync + 'static {
    /// Makes one call, or not. `refusal` is what the port says when it says no; `effect` is the call itself.
    fn call<T: Answer, E: Inject>(
        &self,
        call: Call,
        about: Subject<'_>,
        refusal: impl FnOnce() -> Result<T, E> + Send,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> impl Future<Output = Result<T, E>> + Send;
}

/// What a call is about.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// Everything.
    All,
    /// A game.
    Game(&'a GameId),
    /// A run that begins.
    Intent(&'a Intent),
    /// A run.
    Run(&'a RunId),
    /// A change of a record.
    Change(&'a StatusChange),
    /// A game's lease, and who asks for it.
    Lease(&'a GameId, &'a LeaseToken),
    /// A container.
    Container(&'a ContainerId),
    /// An entry to be appended.
    Entry(&'a OperationEntry),
    /// A fault beside an entry.
    Fault(EntryId, &'a Fault),
    /// Something else, told when somebody asks.
    Told(&'a (dyn Fn() -> String + Send + Sync)),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Game(game) | Self::Lease(game, _) => write!(f, "{game}"),
            Self::Intent(intent) => write!(f, "{}", intent.game_id),
            Self::Run(run) => write!(f, "{run}"),
            Self::Change(change) => {
                let StatusChange { game_id, expected_status, new_status, fence, .. } = change;
                write!(f, "{game_id} {expected_status}->{new_status} fence {}", fence.0)
            }
            Self::Container(container) => write!(f, "{container}"),
            Self::Entry(entry) => {
                let code = entry.error_code.as_ref().map_or("-", |code| code.as_str());
                write!(f, "{} {} {code} by {}", entry.game_id, entry.outcome.as_str(), entry.author.as_str())
            }
            Self::Fault(entry, fault) => write!(f, "{} {}", entry.0, fault.code),
            Self::Told(tell) => f.write_str(&tell()),
        }
    }
}

/// What a port answers, in a few words.
pub trait Answer: Debug + Send {
    /// The answer in a few words.
    fn brief(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The answer, if it is yes or no.
    fn yes(&self) -> Option<bool> {
        None
    }

    /// The fence that it issues, if it does.
    fn fence(&self) -> Option<Fence> {
        None
    }
}

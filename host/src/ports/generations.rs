//! What serves whom: generations, the swaps between them, rollouts, revocations, and what hosts say of it.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{
    BindingSpec, Divergence, Generation, PolicyChange, PolicyName, PolicyScope, PolicyVersion, Revocation, Rollout,
    RolloutCounts, Serving, Signed, Timestamp,
};

/// Why a swap did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The scope's current generation is not the expected one.
    #[error("the current generation is {}, not the expected one", current.map_or("none".to_owned(), |n| n.to_string()))]
    Conflict {
        /// The current generation; none if there is none.
        current: Option<u64>,
    },
    /// There is no such generation.
    #[error("the scope has no generation {0}")]
    NotFound(u64),
    /// It, or its component, was revoked.
    #[error("generation {0} was revoked")]
    Revoked(u64),
    /// The scope has had a later version already.
    #[error("the scope has had {name} {mark}, and {version} is older")]
    Downgrade {
        /// The policy.
        name: PolicyName,
        /// The version that was to become current.
        version: PolicyVersion,
        /// The highest so far.
        mark: PolicyVersion,
    },
    /// A rollout is under way, or none is.
    #[error("{0}")]
    Rollout(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a swap comes about; it stands in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapKind {
    /// A new generation.
    Bind,
    /// An earlier one again.
    RollBack,
    /// An earlier one again, and another generation's rollout goes on beside it.
    RollBackBeside,
    /// The one that is rolled out, which ends the rollout.
    Promote,
}

/// Everything that a host needs to know of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeState {
    /// The scope.
    pub scope: PolicyScope,
    /// What serves it; none if it has no binding of its own (any more).
    pub current: Option<Generation>,
    /// What served it before: the one to which a rollback goes back. Never a revoked one: the last that served and was
    /// not revoked.
    pub previous: Option<Generation>,
    /// The generation that is rolled out, or else the newest, if it is neither of them.
    pub staged: Option<Generation>,
    /// The newest, if it is none of them: it was staged while another one is rolled out.
    pub newest: Option<Generation>,
    /// The rollout under way.
    pub rollout: Option<Rollout>,
    /// Of the generations above, the numbers of those that were revoked, by themselves or by their components;
    /// ascending.
    pub revoked: Vec<u64>,
}

/// What there is of a scope cannot be read: it is damaged, or of another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Whose it is; none if even that cannot be read.
    pub scope: Option<PolicyScope>,
    /// The number of the generation that is current there, 0 if it is not known; none if there is none.
    pub current: Option<u64>,
    /// What is wrong, for people.
    pub reason: String,
}

/// What has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The epoch as of this answer.
    pub epoch: u64,
    /// The scopes that changed, by scope.
    pub states: Vec<ScopeState>,
    /// Those of them that cannot be read. They keep no other from being told.
    pub unreadable: Vec<Unreadable>,
}

/// So old is what nobody needs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneBefore {
    /// Generations that were staged before this, and never served or were tried.
    pub staged: Timestamp,
    /// Divergences of rollouts that are over, from before this.
    pub divergences: Timestamp,
}

/// Generations and the swaps between them.
///
/// Every method is atomic. Every change of what hosts need to know raises the epoch, in the same transaction.
#[async_trait]
pub trait GenerationStore: Send + Sync {
    /// Adds the scope's next generation, which serves nobody yet. Corrupt if its component is not in the store.
    async fn stage(&self, scope: &PolicyScope, spec: &BindingSpec, staged: &Signed) -> Result<Generation, StoreError>;

    /// One generation of a scope.
    async fn generation(&self, scope: &PolicyScope, number: u64) -> Result<Option<Generation>, StoreError>;

    /// Compare-and-set: makes a generation current if `expected` is. Ends a rollout of the scope; if it is another
    /// generation's, it was given up, which stands in the history before the swap, unless it is to go on. Refused if the
    /// generation or its component was revoked, or if it is to be promoted and is not rolled out. Writes the history.
    /// `mark` is the version that becomes current: the scope's mark of that name is raised to it, and the swap is refused
    /// if it is above.
    ///
    /// Checks in this order: existence, expected generation, revocation, rollout, mark.
    async fn swap(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        to: u64,
        kind: SwapKind,
        mark: Option<(&PolicyName, &PolicyVersion)>,
        signed: &Signed,
    ) -> Result<(), SwapError>;

    /// Compare-and-set: the scope has no binding of its own any more, if `expected` is current. Ends a rollout, which was given
    /// up.
    async fn unbind(&self, scope: &PolicyScope, expected: u64, signed: &Signed) -> Result<(), SwapError>;

    /// How many generations of a scope have neither served nor been tried.
    async fn unused(&self, scope: &PolicyScope) -> Result<u64, StoreError>;

    /// Forgets, and answers how many generations it forgot: those that neither served nor were tried, if they are older;
    /// divergences of rollouts that are not under way, if they are older, or are not among the latest 5,000 of their
    /// scope; and of each scope's history what made nothing current, but for the latest 1,000 lines. No number is used
    /// again.
    async fn prune(&self, before: &PruneBefore) -> Result<u64, StoreError>;

    /// The highest version of a policy that was ever current in a scope; none if none was.
    async fn mark(&self, scope: &PolicyScope, name: &PolicyName) -> Result<Option<PolicyVersion>, StoreError>;

    /// Begins to roll a generation out, if `expected` is current, the generation is not, it is not revoked, and no
    /// other rollout of the scope is under way. Nothing has been seen of it yet: counts start at zero, and divergences
    /// of an earlier rollout of that generation are forgotten. Checks in the order of `swap`.
    async fn start_rollout(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        rollout: &Rollout,
    ) -> Result<(), SwapError>;

    /// Ends the rollout of a generation: it was given up. False if it is not under way.
    async fn end_rollout(&self, scope: &PolicyScope, number: u64, signed: &Signed) -> Result<bool, StoreError>;

    /// Adds to what has been seen of a rollout and answers the sum; none if it is not under way (any more). Does not
    /// raise the epoch.
    async fn count_rollout(
        &self,
        scope: &PolicyScope,
        number: u64,
        seen: &RolloutCounts,
    ) -> Result<Option<RolloutCounts>, StoreError>;

    /// Keeps a divergence, of which each rollout keeps the latest 1,000.
    async fn add_divergence(&self, scope: &PolicyScope, number: u64, divergence: &Divergence)
    -> Result<(), StoreError>;

    /// The divergences of a generation's rollout, newest first.
    async fn divergences(&self, scope: &PolicyScope, number: u64, limit: u32) -> Result<Vec<Divergence>, StoreError>;

    /// Revokes: from the moment of the answer on, no compare-and-set of a record by what is revoked succeeds. Ends a
    /// rollout of it. Stands in the history of every scope whose current generation or rollout it hits, once for each of
    /// the two, as a change `to` what is revoked. Doing it again changes nothing. False if there is no such generation or
    /// component; the store knows of no generation that a configuration binds.
    async fn revoke(&self, revocation: &Revocation, signed: &Signed) -> Result<bool, StoreError>;

    /// What was revoked after the revocation with that number, by number, and as texts: in the order of revoking, all in
    /// all. What else is known of a revocation may be damaged.
    async fn revoked_since(&self, number: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError>;

    /// What was revoked, newest first, with who, when and why.
    async fn revocations(&self, limit: u32) -> Result<Vec<(String, Signed)>, StoreError>;

    /// A number that grows with every change. Cheap: it is asked several times a second.
    async fn epoch(&self) -> Result<u64, StoreError>;

    /// What is to be known of every scope that has ever had a generation and has changed after `epoch`. From 0, of all.
    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError>;

    /// The same of one scope; none if it has never had a generation. Corrupt if it cannot be read.
    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError>;

    /// What happened to a scope, newest first, before the change of that id.
    async fn history(
        &self,
        scope: &PolicyScope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyChange>, StoreError>;

    /// Waits until the epoch may have changed: soon after it did where the store can tell, otherwise for ever. What is
    /// missed is found by asking for the epoch now and then.
    async fn changed(&self);

    /// Replaces what a host says of a scope.
    async fn report(&self, serving: &Serving) -> Result<(), StoreError>;

    /// Forgets what hosts said before this time, and all that one host said if it is named: it has stopped.
    async fn forget_reports(&self, before: Timestamp, replica: Option<&str>) -> Result<(), StoreError>;

    /// What hosts say of a scope since then, by replica.
    async fn reports(&self, scope: &PolicyScope, since: Timestamp) -> Result<Vec<Serving>, StoreError>;
}

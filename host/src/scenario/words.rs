//! The words of scenario files: what goes wrong, and what others do.

use serde::Deserialize;

use crate::adapters::memory::{Call, Failure};
use crate::session::Crossing;

macro_rules! words {
    ($(#[$meta:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum $kind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl $kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word, as it stands in a file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

words! {
    /// How a call goes wrong.
    What {
        /// Not done: the backend does not answer as it should.
        Unavailable = "unavailable",
        /// Not done: the backend holds what it must not.
        Internal = "internal",
        /// Not done: the state is not the one that was expected.
        Conflict = "conflict",
        /// Not granted: another has the lease.
        Held = "held",
        /// Not done, and the host cannot know.
        OutcomeUnknown = "outcome-unknown",
        /// Done, and the host cannot know.
        LostReply = "lost-reply",
        /// Not done, and no answer comes.
        Hang = "hang",
        /// Done, and no answer comes.
        HangDone = "hang-done",
        /// The host stands still until its lease has run out.
        LeaseLost = "lease-lost",
        /// The host dies before the call.
        CrashBefore = "crash-before",
        /// The host dies after it.
        CrashAfter = "crash-after",
        /// The host's wall clock is set.
        ClockJump = "clock-jump",
        /// The host stands still.
        Pause = "pause",
        /// At a backend: it holds what it must not.
        Corrupt = "corrupt",
        /// At a backend: the request is lost.
        LoseRequest = "lose-request",
        /// At a backend: it is done, and the answer is lost.
        LoseReply = "lose-reply",
        /// At a backend: it is done, and no answer comes.
        HangAfterEffect = "hang-after-effect",
        /// At a backend: it says no.
        Refuse = "refuse",
    }
}

words! {
    /// What others do.
    DeedKind {
        /// Somebody starts the container by hand.
        ContainerStarts = "container-starts",
        /// The container ends, or somebody stops it by hand.
        ContainerStops = "container-stops",
        /// Somebody removes the container by hand.
        ContainerVanishes = "container-vanishes",
        /// Somebody begins to remove the container; in two seconds it is gone.
        ContainerRemoving = "container-removing",
        /// The platform deletes the record.
        RecordDeleted = "record-deleted",
        /// The platform writes a label into the record.
        RecordRewritten = "record-rewritten",
        /// Another run marks the record as removed.
        RecordRemoved = "record-removed",
        /// The platform writes another status into the record.
        StatusChanged = "status-changed",
        /// The platform gives the record to another tenant.
        TenantChanged = "tenant-changed",
        /// The platform starts the container again, and says so.
        Restarted = "restarted",
        /// The platform stops the container, and says so.
        Stopped = "stopped",
        /// The platform starts a new container for the game.
        Renewed = "renewed",
        /// An operator holds the game.
        Held = "held",
        /// An operator lets go of it.
        Released = "released",
        /// The lease store forgets the game's lease.
        LeaseLost = "lease-lost",
        /// Another gets the game's lease, whoever has it.
        LeaseTaken = "lease-taken",
        /// The policy is revoked.
        PolicyRevoked = "policy-revoked",
    }
}

/// A call of the policy's, by its name.
pub(super) fn crossing(name: &str) -> Option<Crossing> {
    Crossing::ALL.iter().copied().find(|crossing| crossing.as_str() == name)
}

/// What a run asks of its backends.
pub(super) const BACKENDS: [Call; 12] = [
    Call::RecordGet,
    Call::RecordGetForEffect,
    Call::RecordBeginRun,
    Call::RecordCompareAndSet,
    Call::RecordSupersedeRun,
    Call::LogAppend,
    Call::LogNoteFault,
    Call::LeaseTryAcquire,
    Call::LeaseRenew,
    Call::LeaseRelease,
    Call::EngineInspect,
    Call::EngineRemove,
];

/// A call of a backend, by its name.
pub(super) fn backend(name: &str) -> Option<Call> {
    BACKENDS.into_iter().find(|call| call.as_str() == name)
}

impl What {
    /// Whether it can happen at a policy's call.
    pub(super) fn fits(self, call: Crossing) -> bool {
        use Crossing::{Append, GetRecord, Inspect, Remove, TryAcquire, UpdateStatus};
        match self {
            Self::Unavailable | Self::Hang => true,
            Self::CrashBefore | Self::CrashAfter | Self::ClockJump | Self::Pause => true,
            Self::Internal => matches!(call, TryAcquire | GetRecord | UpdateStatus | Append),
            Self::Conflict => matches!(call, UpdateStatus | Remove),
            Self::Held => call == TryAcquire,
            Self::OutcomeUnknown => matches!(call, TryAcquire | UpdateStatus | Remove | Append),
            Self::LostReply | Self::HangDone => !matches!(call, GetRecord | Inspect),
            Self::LeaseLost => matches!(call, UpdateStatus | Remove),
            Self::Corrupt | Self::LoseRequest | Self::LoseReply | Self::HangAfterEffect | Self::Refuse => false,
        }
    }

    /// Whether it can happen at a call of a backend.
    pub(super) fn fits_backend(self) -> bool {
        self.at_backend().is_some() || matches!(self, Self::CrashBefore | Self::CrashAfter)
    }

    /// How a backend fails so, where it is named.
    pub(super) fn at_backend(self) -> Option<Failure> {
        Some(match self {
            Self::Unavailable => Failure::Unavailable,
            Self::Corrupt => Failure::Corrupt,
            Self::LoseRequest => Failure::LoseRequest,
            Self::LoseReply => Failure::LoseReply,
            Self::Hang => Failure::Hang,
            Self::HangAfterEffect => Failure::HangAfterEffect,
            Self::Refuse => Failure::Refuse,
            _ => return None,
        })
    }

    /// How the backends behind a policy's call fail, so that the call goes wrong in this way.
    pub(super) fn behind(self, call: Crossing) -> Vec<(Call, Failure)> {
        let failure = match self {
            Self::Unavailable => Failure::Unavailable,
            Self::Internal => Failure::Corrupt,
            Self::Conflict | Self::Held => Failure::Refuse,
            Self::OutcomeUnknown => Failure::LoseRequest,
            Self::LostReply => Failure::LoseReply,
            Self::Hang => Failure::Hang,
            Self::HangDone => Failure::HangAfterEffect,
            _ => return Vec::new(),
        };
        let mut failing: Vec<_> = asked(call).iter().map(|backend| (*backend, failure)).collect();
        // A host asks again what became of a change; here it is to stay in the dark.
        if call == Crossing::UpdateStatus && matches!(self, Self::OutcomeUnknown | Self::LostReply) {
            failing.push((Call::RecordSupersedeRun, Failure::Unavailable));
        }
        failing
    }

    /// Whether it keeps the run waiting, so that running out of time is not the policy's fault.
    pub(super) fn takes_time(self) -> bool {
        matches!(self, Self::Hang | Self::HangDone | Self::HangAfterEffect | Self::Pause | Self::LeaseLost)
    }
}

/// The backend's calls that do what a policy's call asks for.
fn asked(call: Crossing) -> &'static [Call] {
    match call {
        Crossing::TryAcquire => &[Call::LeaseTryAcquire],
        Crossing::Release => &[Call::LeaseRelease],
        Crossing::GetRecord => &[Call::RecordGet, Call::RecordBeginRun],
        Crossing::UpdateStatus => &[Call::RecordCompareAndSet],
        Crossing::Inspect => &[Call::EngineInspect],
        Crossing::Remove => &[Call::EngineRemove],
        Crossing::Append => &[Call::LogAppend],
    }
}

impl DeedKind {
    /// Whether a deed of this kind needs something else said: the key, if so.
    pub(super) fn needs(self) -> Option<&'static str> {
        match self {
            Self::StatusChanged => Some("status"),
            Self::TenantChanged => Some("tenant"),
            _ => None,
        }
    }
}

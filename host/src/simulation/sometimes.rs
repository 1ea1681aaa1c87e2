//! What enough histories have to come upon: a simulation that never sees these proves nothing.

macro_rules! sometimes {
    ($($name:ident = $sentence:literal;)*) => {
        /// Something that happens in some histories.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Sometimes {
            $(#[doc = $sentence] $name,)*
        }

        impl Sometimes {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The same in a sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }
        }
    };
}

sometimes! {
    Removed = "a container was removed";
    Replayed = "a run found the work done";
    LeaseHeld = "a run found the lease held by another";
    LeaseLost = "a run lost its lease";
    Conflict = "a change met a conflict";
    Superseded = "a change was refused since a later run had begun";
    HeldAway = "a change was refused since an operator held the game";
    EngineRefused = "an engine refused a removal";
    DiedAfterRemoval = "a replica died between removal and change";
    DiedAfterChange = "a replica died between change and entry";
    RecoveredDone = "recovery closed a run that had changed its record";
    RecoveredUndone = "recovery closed a run that had not";
    EntryLost = "an entry did not get into the log";
    SwappedUnderWay = "a policy was swapped while a run was under way";
    RolledBackUnderWay = "a policy was rolled back while a run was under way";
    RevokedUnderWay = "a policy was revoked while a run was under way";
    BegunRevoked = "a run began on a replica that did not know yet that its policy was revoked";
    RefusedRevoked = "an effect was refused since the policy was revoked";
    NobodyServed = "a run was not begun since the policy was revoked";
    Parked = "a game was parked";
}

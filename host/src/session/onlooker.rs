//! Somebody who stands beside a run for the author of its policy: told of each call at the boundary, of its answer, and of
//! how the run ended. Hosts that serve have none, and then nothing of this costs anything.

use std::fmt;

use async_trait::async_trait;

macro_rules! crossings {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A function of the contract by which a policy reaches a backend.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Crossing {
            $($(#[$doc])* $name,)*
        }

        impl Crossing {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Interface and function, as the contract spells them.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

crossings! {
    /// `leases.try-acquire`
    TryAcquire = "leases.try-acquire",
    /// `lease.release`, and dropping a lease that is held
    Release = "lease.release",
    /// `records.get`
    GetRecord = "records.get",
    /// `records.update-status`
    UpdateStatus = "records.update-status",
    /// `docker.inspect`
    Inspect = "docker.inspect",
    /// `docker.remove`
    Remove = "docker.remove",
    /// `op-log.append`
    Append = "op-log.append",
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a run has used up, and where it trapped if it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// Units of fuel, about an instruction each; none where runs are not metered by fuel.
    pub fuel: Option<u64>,
    /// Linear memory at its largest, in bytes.
    pub memory_bytes: u64,
    /// The functions that were under way, the innermost first; empty unless it trapped.
    pub frames: Vec<Frame>,
}

/// A function of the policy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name, if the component keeps names.
    pub function: Option<String>,
    /// The module it is in, if that has a name.
    pub module: Option<String>,
    /// Where in the module, in bytes.
    pub offset: Option<usize>,
}

/// Stands beside runs.
#[async_trait]
pub trait Onlooker: fmt::Debug + Send + Sync {
    /// The policy makes a call, `about` this. The host does nothing about it before this has returned.
    async fn before(&self, call: Crossing, about: String);

    /// The host has done what there was to do, and answers this. The policy learns of it once this has returned.
    async fn after(&self, call: Crossing, answer: String);

    /// The policy has logged a line.
    fn logged(&self, level: &'static str, line: String);

    /// The policy's part in a run is over.
    fn ended(&self, ending: Ending);
}

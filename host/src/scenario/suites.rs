//! The suites that come with the program.

use std::fmt;
use std::str::FromStr;

/// A suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// What every policy must do, whatever it is for.
    Safety,
    /// What the default policy does.
    Default,
}

/// A text that names no suite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no suite is {0:?}: there are safety and default")]
pub struct UnknownSuite(String);

impl Suite {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Safety, Self::Default];

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Default => "default",
        }
    }

    /// Its scenarios, as a file holds them.
    pub fn text(self) -> &'static str {
        match self {
            Self::Safety => concat!(
                include_str!("suites/safety/cleanups.toml"),
                "\n",
                include_str!("suites/safety/faults.toml"),
                "\n",
                include_str!("suites/safety/meanwhile.toml"),
                "\n",
                include_str!("suites/safety/reviews.toml"),
            ),
            Self::Default => concat!(
                include_str!("suites/default/cleanups.toml"),
                "\n",
                include_str!("suites/default/meanwhile.toml"),
                "\n",
                include_str!("suites/default/reviews.toml"),
            ),
        }
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(text: &str) -> Result<Self, UnknownSuite> {
        let known = Self::ALL.into_iter().find(|suite| suite.as_str() == text);
        known.ok_or_else(|| UnknownSuite(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! What a policy may do: which imports are granted to it, and which of the host's limits are drawn tighter for it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text::is_control;

/// Longest name of a setting in a grant, in bytes.
const SETTING_NAME_BYTES: usize = 256;

/// Begins the grant of a setting.
const SETTINGS: &str = "settings:";

/// One thing that a policy may import and do. Written as text, such as `docker.remove` or `settings:quiet_hours`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// The host's clock.
    Clock,
    /// Taking and giving back the lease of the run's game.
    Leases,
    /// Reading the run's record.
    RecordsGet,
    /// Marking the run's record as removed.
    RecordsUpdateStatus,
    /// Looking at the record's container.
    DockerInspect,
    /// Removing the record's container.
    DockerRemove,
    /// Writing the run's entry.
    OpLog,
    /// Remarks for the platform's log.
    Logging,
    /// Reading the setting of this name.
    Setting(Box<str>),
    /// Reading every setting of its binding.
    AllSettings,
    /// The WASI that answers and denies.
    Wasi,
}

/// The grants that are not of one setting, with their texts.
const NAMED: [(Grant, &str); 10] = [
    (Grant::Clock, "clock"),
    (Grant::Leases, "leases"),
    (Grant::RecordsGet, "records.get"),
    (Grant::RecordsUpdateStatus, "records.update-status"),
    (Grant::DockerInspect, "docker.inspect"),
    (Grant::DockerRemove, "docker.remove"),
    (Grant::OpLog, "op-log"),
    (Grant::Logging, "logging"),
    (Grant::AllSettings, "settings:*"),
    (Grant::Wasi, "wasi"),
];

/// A text that is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grant {0:?} is not valid: {expected}", expected = expected())]
pub struct InvalidGrant(String);

fn expected() -> String {
    let named: Vec<&str> = NAMED.iter().map(|(_, text)| *text).collect();
    format!("one of {} or settings:NAME, the name without spaces and commas", named.join(", "))
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        if let Some((grant, _)) = NAMED.iter().find(|(_, name)| *name == text) {
            return Ok(grant.clone());
        }
        let valid = |name: &&str| {
            let odd = |c: char| is_control(c) || c.is_whitespace() || matches!(c, ',' | '*');
            !name.is_empty() && name.len() <= SETTING_NAME_BYTES && !name.contains(odd)
        };
        let name = text.strip_prefix(SETTINGS).filter(valid);
        name.map(|name| Self::Setting(name.into())).ok_or_else(|| InvalidGrant(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, NAMED.iter().find(|(grant, _)| grant == self)) {
            (Self::Setting(name), _) => write!(f, "{SETTINGS}{name}"),
            (_, Some((_, text))) => f.write_str(text),
            (_, None) => Ok(()),
        }
    }
}

/// A set of grants. As text, its members in order, divided by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(BTreeSet<Grant>);

impl Grants {
    /// Everything that a policy may be granted: what a binding has that says nothing.
    pub fn all() -> Self {
        NAMED.into_iter().map(|(grant, _)| grant).collect()
    }

    /// Whether something is granted; a single setting also by the grant of all.
    pub fn contains(&self, grant: &Grant) -> bool {
        self.0.contains(grant) || (matches!(grant, Grant::Setting(_)) && self.0.contains(&Grant::AllSettings))
    }

    /// Whether a setting may be read.
    pub fn permits_setting(&self, name: &str) -> bool {
        let is_it = |grant: &Grant| match grant {
            Grant::AllSettings => true,
            Grant::Setting(granted) => **granted == *name,
            _ => false,
        };
        self.0.iter().any(is_it)
    }

    /// Whether any setting at all may be read.
    pub fn permits_settings(&self) -> bool {
        self.0.iter().any(|grant| matches!(grant, Grant::AllSettings | Grant::Setting(_)))
    }

    /// Whether everything here is granted there too.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|grant| other.contains(grant))
    }

    /// What is granted here and not there.
    pub fn difference(&self, other: &Self) -> Self {
        self.0.iter().filter(|grant| !other.contains(grant)).cloned().collect()
    }

    /// What is granted both here and there; of settings, each that may be read in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let of_here = self.0.iter().filter(|grant| other.contains(grant));
        let of_there = other.0.iter().filter(|grant| self.contains(grant));
        of_here.chain(of_there).cloned().collect()
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The grants in order.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

impl FromStr for Grants {
    type Err = InvalidGrant;

    /// Reads grants divided by commas; the empty text is none.
    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, grant) in self.0.iter().enumerate() {
            write!(f, "{}{grant}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Limits of one binding, each at most the host's own; what is none is the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitOverrides {
    /// Linear memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Time that the guest computes.
    pub guest_time: Option<Duration>,
    /// Wall-clock time of a run.
    pub run_time: Option<Duration>,
    /// Calls of imports.
    pub calls: Option<u32>,
    /// Bytes of text passed to the host in a run.
    pub bytes_per_run: Option<u64>,
    /// Lines logged in a run.
    pub log_lines: Option<u32>,
}

impl LimitOverrides {
    /// Of each limit the lower one, as far as it is said here or there.
    #[must_use]
    pub fn narrower(&self, other: &Self) -> Self {
        fn lower<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            one.into_iter().chain(other).min()
        }
        Self {
            memory_bytes: lower(self.memory_bytes, other.memory_bytes),
            guest_time: lower(self.guest_time, other.guest_time),
            run_time: lower(self.run_time, other.run_time),
            calls: lower(self.calls, other.calls),
            bytes_per_run: lower(self.bytes_per_run, other.bytes_per_run),
            log_lines: lower(self.log_lines, other.log_lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_as_they_are_written() {
        let text = "clock, docker.inspect, settings:quiet_hours";
        let parsed: Result<Grants, _> = text.parse();
        assert_eq!(parsed.map(|grants| grants.to_string()), Ok(text.to_owned()));
        assert_eq!("".parse(), Ok(Grants::default()));
        let all = Grants::all();
        assert_eq!(all.to_string().parse(), Ok(all));
    }

    #[test]
    fn what_is_no_grant_is_answered_with_those_that_are() {
        for wrong in ["docker", "docker.kill", "settings:", "settings:a b", "settings:a*", "WASI"] {
            let told = wrong.parse::<Grant>().map_err(|error| error.to_string());
            assert!(
                told.as_ref().is_err_and(|told| told.contains(wrong) && told.contains("docker.remove")),
                "{told:?}"
            );
        }
    }

    #[test]
    fn all_settings_grant_each_of_them_and_not_the_other_way_round() {
        let (one, every): (Grants, Grants) =
            ([Grant::Setting("a".into())].into_iter().collect(), [Grant::AllSettings].into_iter().collect());
        assert!(one.is_subset(&every) && !every.is_subset(&one));
        assert!(one.difference(&every).is_empty());
        assert_eq!(every.difference(&one), every);
        assert!(one.permits_setting("a") && !one.permits_setting("b") && every.permits_setting("b"));
        assert!(one.permits_settings() && !Grants::default().permits_settings());
    }
}

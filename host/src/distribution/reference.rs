//! Where a policy is, as people write it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use oci_client::Reference;

/// A policy in a registry: `registry[:port]/repository:tag`, or `…@sha256:digest`. Nothing is implied: neither a
/// registry nor the tag `latest`, which would name another policy tomorrow.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicyReference(Reference);

/// A text that names no policy in a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Not such a text.
    #[error("{given:?} is no reference such as registry.example:5000/policies/quiet-hours:1.4.0")]
    Malformed {
        /// What was given, cut.
        given: String,
    },
    /// It begins with a repository.
    #[error("{given:?} names no registry: it must begin with a host such as ghcr.io or localhost:5000")]
    Registry {
        /// What was given, cut.
        given: String,
    },
    /// It ends with a repository.
    #[error("{given:?} needs a tag, or a digest as @sha256:…")]
    Version {
        /// What was given, cut.
        given: String,
    },
}

impl PolicyReference {
    pub(super) fn oci(&self) -> &Reference {
        &self.0
    }

    /// The registry's host, with its port if one is given.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// Whether it names exactly one artifact, for ever.
    pub fn is_pinned(&self) -> bool {
        self.0.digest().is_some()
    }

    /// Whether the registry is on this machine.
    pub(super) fn is_local(&self) -> bool {
        let host = self.registry().rsplit_once(':').map_or(self.registry(), |(host, _)| host);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for PolicyReference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let given = || text.chars().take(200).collect::<String>();
        let reference: Reference = text.parse().map_err(|_| InvalidReference::Malformed { given: given() })?;
        let (host, path) = text.split_once('/').unwrap_or(("", text));
        // As Docker tells a host from the first part of a repository.
        if !host.contains(['.', ':']) && host != "localhost" {
            return Err(InvalidReference::Registry { given: given() });
        }
        if !path.contains([':', '@']) {
            return Err(InvalidReference::Version { given: given() });
        }
        Ok(Self(reference))
    }
}

impl fmt::Display for PolicyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PolicyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyReference({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_and_version_must_be_written_out() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        for right in ["ghcr.io/a/b:1.0.0", "localhost/b:1", "127.0.0.1:5000/a/b/c:x", &format!("h.example/p{digest}")] {
            assert_eq!(right.parse::<PolicyReference>().map(|found| found.to_string()), Ok(right.to_owned()));
        }
        for (wrong, why) in [
            ("acme/policy:1", "names no registry"),
            ("policy:1", "names no registry"),
            ("ghcr.io/acme/policy", "needs a tag"),
            ("ghcr.io/Acme/policy:1", "is no reference"),
            ("ghcr.io/acme/policy@sha256:abc", "is no reference"),
            ("https://ghcr.io/acme/policy:1", "is no reference"),
            ("", "is no reference"),
        ] {
            let refused = wrong.parse::<PolicyReference>().map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|error| error.contains(why)), "{wrong:?}: {refused:?}");
        }
    }

    #[test]
    fn only_registries_of_this_machine_are_local() {
        let local = |text: &str| text.parse::<PolicyReference>().map(|reference| reference.is_local());
        for (registry, expected) in
            [("localhost:5000", true), ("127.1.2.3:80", true), ("127.0.0.1.example", false), ("10.0.0.1:80", false)]
        {
            assert_eq!(local(&format!("{registry}/p:1")), Ok(expected), "{registry}");
        }
    }
}

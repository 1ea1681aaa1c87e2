//! What a signature says of an artifact.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{InvalidId, PolicyDigest, PolicyName, PolicyVersion, TenantId, bounded_text};

/// The type of statements in DSSE envelopes; it is signed with them, so that no other signed text passes for one.
pub const PAYLOAD_TYPE: &str = "application/vnd.rtmanager.policy+json";

/// In bytes; ABIs are short.
const LONGEST_ABI: usize = 128;

/// With more, the statement would not fit into an envelope.
const MOST_TENANTS: usize = 1_000;

/// What a signer says: this digest is this version of this policy, made for this ABI and these tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Of the component's bytes.
    pub digest: PolicyDigest,
    /// What it is called.
    pub name: PolicyName,
    /// Which version it is.
    pub version: PolicyVersion,
    /// What it is made for, such as `galaxy:rtmanager@0.1.0`.
    pub abi: String,
    /// For whom it may be bound.
    pub tenants: TenantScope,
}

/// For whom a policy may be bound, or a key may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantScope {
    /// For everybody, and as the default of tenants without a policy of their own.
    Any,
    /// For these tenants only.
    Only(BTreeSet<TenantId>),
}

/// What is to be bound, and for whom: what a statement must be about.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Of the bytes at hand.
    pub digest: &'a PolicyDigest,
    /// What the artifact is called here.
    pub name: &'a PolicyName,
    /// Which version it is here.
    pub version: &'a PolicyVersion,
    /// What this host serves.
    pub abi: &'a str,
    /// For whom it is to be bound; nobody is the default of all tenants without their own.
    pub tenant: Option<&'a TenantId>,
}

/// A signed text that is no statement.
#[derive(Debug, thiserror::Error)]
pub enum InvalidStatement {
    /// Not the JSON of a statement.
    #[error("the statement is not one in JSON with digest, name, version, abi and tenants")]
    Json(#[from] serde_json::Error),
    /// A value is not what it should be.
    #[error("the statement's {0}")]
    Value(#[from] InvalidId),
    /// The ABI is empty, too long or not printable.
    #[error("the statement's abi must have 1 to {LONGEST_ABI} printable characters")]
    Abi,
    /// Nobody is named, or too many, or all tenants beside some.
    #[error("the tenants must be 1 to {MOST_TENANTS}, or \"*\" alone")]
    Tenants,
}

/// A statement is about something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// These bytes are not what was signed.
    #[error("the signature is for a component with digest {signed}; this one's is {here}")]
    Digest {
        /// What was signed.
        signed: PolicyDigest,
        /// What is at hand.
        here: PolicyDigest,
    },
    /// It was signed under another name.
    #[error("the signature is for the policy {signed}, not for {here}")]
    Name {
        /// What was signed.
        signed: PolicyName,
        /// What it is called here.
        here: PolicyName,
    },
    /// It was signed as another version.
    #[error("the signature is for version {signed}, not for {here}")]
    Version {
        /// What was signed.
        signed: PolicyVersion,
        /// Which it is here.
        here: PolicyVersion,
    },
    /// It was signed for another ABI.
    #[error("the signature is for ABI {signed}; this host serves {here}")]
    Abi {
        /// What was signed.
        signed: String,
        /// What is served.
        here: String,
    },
    /// It was not signed for this tenant.
    #[error("the signature is for {signed}, not for {}", wanted(tenant.as_ref()))]
    Tenant {
        /// For whom it was signed.
        signed: TenantScope,
        /// For whom it is wanted.
        tenant: Option<TenantId>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    digest: String,
    name: String,
    version: String,
    abi: String,
    tenants: Vec<String>,
}

impl Statement {
    pub(super) fn parse(json: &[u8]) -> Result<Self, InvalidStatement> {
        let Wire { digest, name, version, abi, tenants } = serde_json::from_slice(json)?;
        let printable = |abi: &str| abi.bytes().all(|b| b.is_ascii_graphic());
        if !(1..=LONGEST_ABI).contains(&abi.len()) || !printable(&abi) {
            return Err(InvalidStatement::Abi);
        }
        let tenants = TenantScope::from_texts(tenants.iter().map(String::as_str))?;
        Ok(Self { digest: digest.parse()?, name: name.parse()?, version: version.parse()?, abi, tenants })
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let tenants = match &self.tenants {
            TenantScope::Any => vec!["*"],
            TenantScope::Only(tenants) => tenants.iter().map(TenantId::as_str).collect(),
        };
        let Self { digest, name, version, abi, .. } = self;
        let (digest, name, version) = (digest.as_str(), name.as_str(), version.to_string());
        let json = serde_json::json!({
            "digest": digest, "name": name, "version": version, "abi": abi, "tenants": tenants,
        });
        json.to_string().into_bytes()
    }

    /// Whether it is about this.
    pub(super) fn check(&self, subject: &Subject<'_>) -> Result<(), Mismatch> {
        if self.digest != *subject.digest {
            return Err(Mismatch::Digest { signed: self.digest.clone(), here: subject.digest.clone() });
        }
        if self.name != *subject.name {
            return Err(Mismatch::Name { signed: self.name.clone(), here: subject.name.clone() });
        }
        if self.version != *subject.version {
            return Err(Mismatch::Version { signed: self.version.clone(), here: subject.version.clone() });
        }
        if self.abi != subject.abi {
            return Err(Mismatch::Abi { signed: self.abi.clone(), here: subject.abi.to_owned() });
        }
        if !self.tenants.covers(subject.tenant) {
            return Err(Mismatch::Tenant { signed: self.tenants.clone(), tenant: subject.tenant.cloned() });
        }
        Ok(())
    }
}

impl TenantScope {
    /// Tenants by their names, or everybody by `*` alone.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidStatement> {
        let texts: Vec<&str> = texts.into_iter().collect();
        if texts == ["*"] {
            return Ok(Self::Any);
        }
        if !(1..=MOST_TENANTS).contains(&texts.len()) || texts.contains(&"*") {
            return Err(InvalidStatement::Tenants);
        }
        Ok(Self::Only(texts.into_iter().map(str::parse).collect::<Result<_, _>>()?))
    }

    /// Whether it holds for this tenant; nobody is the default of all tenants without a policy of their own.
    pub fn covers(&self, tenant: Option<&TenantId>) -> bool {
        match self {
            Self::Any => true,
            Self::Only(tenants) => tenant.is_some_and(|tenant| tenants.contains(tenant)),
        }
    }
}

impl fmt::Display for TenantScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any tenant"),
            Self::Only(tenants) => {
                let names: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
                f.write_str(&bounded_text(&names.join(", "), 200))
            }
        }
    }
}

pub(super) fn wanted(tenant: Option<&TenantId>) -> String {
    tenant.map_or_else(|| "the default of all tenants".to_owned(), TenantId::to_string)
}

//! Why a policy could not be pushed or pulled.

use std::path::PathBuf;
use std::time::Duration;

use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

use crate::model::bounded_text;
use crate::signing::InvalidEnvelope;

/// Of what a registry says, this much is shown.
const SHOWN: usize = 300;

/// A policy could not be pushed or pulled.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// There is no such policy.
    #[error("{reference} is not there")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// The registry wants somebody else.
    #[error("{registry} refuses these credentials, or wants some: docker login, or give user name and password")]
    Unauthorised {
        /// Which registry.
        registry: String,
    },
    /// What is there is something else.
    #[error("{reference} is no Wasm policy: {found}")]
    NotAPolicy {
        /// What was asked for.
        reference: String,
        /// What was found instead.
        found: String,
    },
    /// What is to be pushed is no component.
    #[error("this is no WebAssembly component: {0}")]
    NotAComponent(String),
    /// A reference by digest names what is there already.
    #[error("{reference} cannot be pushed to: it must name a tag and no digest")]
    Pinned {
        /// What was to be pushed to.
        reference: String,
    },
    /// Longer than what is accepted here.
    #[error("{what} has {size} bytes; at most {largest} are accepted")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size, as the registry says.
        size: u64,
        /// The limit.
        largest: u64,
    },
    /// More or fewer bytes came than were announced.
    #[error("{what} should have {announced} bytes, and the registry sent {sent}")]
    Size {
        /// What it is.
        what: &'static str,
        /// Bytes that the manifest announces.
        announced: u64,
        /// Bytes that came, at least.
        sent: u64,
    },
    /// Other bytes came than those that were named.
    #[error("what the registry sent is not what it named: digest {expected} was due, {found} came")]
    Digest {
        /// The digest that was named.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// Too many signatures are attached.
    #[error("{0} signatures are attached; at most {max} are looked at", max = super::signatures::MOST_ENVELOPES)]
    TooManySignatures(usize),
    /// What is attached as a signature is none.
    #[error("what is attached as a signature is none")]
    Signature(#[from] InvalidEnvelope),
    /// The certificates of the authority cannot be used.
    #[error("cannot use the certificates of {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system trusts nobody.
    #[error("this system has no certificate authorities: install ca-certificates, or point SSL_CERT_FILE at some")]
    NoAuthorities,
    /// It took too long altogether.
    #[error("{registry} was not done within {limit:?}")]
    Slow {
        /// Which registry.
        registry: String,
        /// The limit.
        limit: Duration,
    },
    /// No connection, or it broke.
    #[error("cannot reach {registry}")]
    Unreachable {
        /// Which registry.
        registry: String,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry refuses for another reason.
    #[error("{registry} refuses: {said}")]
    Refused {
        /// Which registry.
        registry: String,
        /// What it said, cut.
        said: String,
    },
    /// The registry does not speak as the specification says.
    #[error("{registry} does not answer as a registry does")]
    Protocol {
        /// Which registry.
        registry: String,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl DistributionError {
    /// Whether another try may succeed as it is.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Slow { .. } | Self::Unreachable { .. })
    }

    /// What the client library says, in our words. `reference` is what was asked for.
    pub(super) fn of(reference: &oci_client::Reference, error: OciDistributionError) -> Self {
        use OciDistributionError as Oci;
        let registry = reference.registry().to_owned();
        match error {
            Oci::UnauthorizedError { .. } | Oci::AuthenticationFailure(_) => Self::Unauthorised { registry },
            Oci::ImageManifestNotFoundError(_) => Self::NotFound { reference: reference.to_string() },
            Oci::ServerError { code, message, .. } => Self::of_status(reference, code, &message),
            Oci::RegistryError { envelope, .. } => {
                let known = envelope.errors.iter().find_map(|error| status(&error.code)).unwrap_or(400);
                Self::of_status(reference, known, &envelope.to_string())
            }
            Oci::DigestError(error) => Self::of_digest(registry, error),
            Oci::IoError(error) => Self::Unreachable { registry, source: Box::new(error) },
            Oci::RequestError(error) => match error.status() {
                Some(status) => Self::of_status(reference, status.as_u16(), "no reason"),
                None => Self::of_request(registry, error),
            },
            error @ (Oci::ManifestParsingError(_)
            | Oci::VersionedParsingError(_)
            | Oci::UnsupportedMediaTypeError(_)
            | Oci::UnsupportedSchemaVersionError(_)) => {
                let found = bounded_text(&error.to_string(), SHOWN);
                Self::NotAPolicy { reference: reference.to_string(), found }
            }
            error => Self::Protocol { registry, source: Box::new(error) },
        }
    }

    /// No answer, or half of one. The address is left out: a registry may have sent us to one as long as it likes.
    pub(super) fn of_request(registry: String, error: reqwest::Error) -> Self {
        let source = Box::new(error.without_url());
        if source.is_builder() { Self::Protocol { registry, source } } else { Self::Unreachable { registry, source } }
    }

    fn of_status(reference: &oci_client::Reference, status: u16, said: &str) -> Self {
        let registry = reference.registry().to_owned();
        match status {
            401 | 403 => Self::Unauthorised { registry },
            404 => Self::NotFound { reference: reference.to_string() },
            status => Self::Refused { registry, said: format!("{status}: {}", bounded_text(said, SHOWN)) },
        }
    }

    fn of_digest(registry: String, error: DigestError) -> Self {
        match error {
            DigestError::VerificationError { expected, actual } => Self::Digest { expected, found: actual },
            error => Self::Protocol { registry, source: Box::new(error) },
        }
    }
}

/// The status that goes with a registry's error code, where it means more than "no".
fn status(code: &OciErrorCode) -> Option<u16> {
    match code {
        OciErrorCode::Unauthorized | OciErrorCode::Denied => Some(403),
        OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::BlobUnknown
        | OciErrorCode::NotFound => Some(404),
        _ => None,
    }
}

//! Why a command has no answer, and how that ends the program.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{api, demo};
use crate::access::Failure;
use crate::app;
use crate::config;
use crate::distribution::{CredentialsError, DistributionError};
use crate::model::InvalidId;
use crate::orders;
use crate::policies;
use crate::ports::StoreError;
use crate::signing::{InvalidEnvelope, KeyError};
use crate::telemetry;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The program cannot be put together.
    #[error(transparent)]
    App(#[from] app::Error),
    /// Logs cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The REST interface cannot be opened.
    #[error(transparent)]
    Api(#[from] crate::api::Error),
    /// The server's token cannot be had.
    #[error(transparent)]
    Token(#[from] crate::api::TokenError),
    /// The server does not answer.
    #[error("the server on {listen} does not answer; is `rtmanager serve` running?")]
    Unreachable {
        /// Where it should listen.
        listen: config::Listen,
        /// Why.
        #[source]
        source: api::Unreachable,
    },
    /// An order was not carried out.
    #[error(transparent)]
    Order(#[from] orders::Error),
    /// Nothing was done about a token.
    #[error(transparent)]
    Tokens(#[from] crate::access::TokenError),
    /// The trail was not pruned.
    #[error(transparent)]
    Prune(#[from] crate::access::PruneError),
    /// Something was not done to a policy.
    #[error(transparent)]
    Policy(#[from] policies::Error),
    /// A component does not pass.
    #[error(transparent)]
    Rejected(#[from] app::Rejection),
    /// A policy could not be simulated.
    #[error(transparent)]
    Simulation(#[from] crate::simulation::Error),
    /// A run without effect did not come to its end.
    #[error(transparent)]
    Rehearsal(#[from] app::RehearsalError),
    /// A scenario could not be played.
    #[error(transparent)]
    Played(#[from] crate::scenario::Error),
    /// A text is no file of scenarios.
    #[error("these are no scenarios: {0}")]
    Scenario(#[source] crate::scenario::Invalid),
    /// A policy could not be carried to a registry, or from one.
    #[error(transparent)]
    Registry(#[from] DistributionError),
    /// Who we are to a registry is not known.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file is no signature.
    #[error("{} is no signature", .path.display())]
    Envelope {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: InvalidEnvelope,
    },
    /// A file cannot be read or written.
    #[error("cannot use the file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An argument is no identifier.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// An argument is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing, or its state forbids it.
    #[error("{0}")]
    Refused(String),
    /// The answer cannot be written.
    #[error("the answer cannot be written")]
    Output(#[from] serde_json::Error),
    /// The demo did not come to its end.
    #[error(transparent)]
    Demo(#[from] demo::Failure),
    /// The signal handlers cannot be set up.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

impl Error {
    /// The exit status, as `--help` lists them.
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Id(_)
            | Self::File { .. }
            | Self::Envelope { .. }
            | Self::Key(_)
            | Self::Scenario(_) => 2,
            Self::Policy(error) => by_code(error),
            Self::Rejected(rejection) if rejection.is_of_host() => 3,
            Self::Rejected(_) => 4,
            Self::Registry(error) if error.is_retryable() => 3,
            Self::Registry(_) => 4,
            Self::Credentials(_) => 2,
            Self::Store(error) if error.is_retryable() => 3,
            Self::Order(error) => by_code(error),
            Self::Tokens(error) => by_code(error),
            Self::Prune(error) => by_code(error),
            Self::App(app::Error::Stores(error)) if error.is_of_configuration() => 5,
            Self::App(app::Error::Stores(_)) => 3,
            Self::Api(crate::api::Error::Bind { .. }) | Self::Unreachable { .. } => 3,
            Self::Rehearsal(app::RehearsalError::Store(error)) if error.is_retryable() => 3,
            Self::Rehearsal(app::RehearsalError::App(app::Error::Stores(error))) if error.is_of_configuration() => 5,
            Self::Rehearsal(app::RehearsalError::App(app::Error::Stores(_))) => 3,
            Self::Rehearsal(app::RehearsalError::Unfit { source, .. }) if source.is_of_host() => 3,
            Self::Rehearsal(
                app::RehearsalError::NotOffered { .. }
                | app::RehearsalError::Unfit { .. }
                | app::RehearsalError::App(app::Error::Policy { .. }),
            ) => 4,
            Self::Refused(_) => 4,
            Self::Config(_)
            | Self::Token(_)
            | Self::Api(crate::api::Error::Token(_))
            | Self::App(app::Error::Engine { .. } | app::Error::Policy { .. } | app::Error::PolicyFile { .. }) => 5,
            _ => 1,
        }
    }
}

/// The exit status of a command that broke; says why on stderr.
pub fn report(error: &Error) -> ExitCode {
    eprintln!("rtmanager: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    if let Some(hint) = hint(error) {
        eprintln!("  {hint}");
    }
    ExitCode::from(error.status())
}

/// What to do about it, where a flag or another command is the answer.
fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Policy(policies::Error::Authority(_)) => Some("--accept-authority accepts it"),
        Error::Policy(policies::Error::NotReady { .. }) => {
            Some("--wait 1m waits longer; --leave-behind goes on without them")
        }
        Error::Policy(policies::Error::Downgrade { .. }) => Some("`rtmanager policy history` lists the generations"),
        _ => None,
    }
}

fn by_code(failure: &impl Failure) -> u8 {
    match failure.code() {
        "invalid_request" => 2,
        "service_unavailable" => 3,
        "internal_error" => 1,
        // There is no such thing, it does not pass, or its state forbids it.
        _ => 4,
    }
}

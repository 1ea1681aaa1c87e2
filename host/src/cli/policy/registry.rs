//! OCI registries, as the command line and Docker's configuration say how they are reached.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::Error;
use crate::config::Environment;
use crate::distribution::{Credentials, PolicyReference, RegistryOptions};

/// For one policy with its signatures.
const TIME_LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub(super) struct RegistryFlags {
    /// Speak plain HTTP; on this machine that is so anyway
    #[arg(long)]
    plain_http: bool,
    /// Authorities to trust beside the system's, in PEM
    #[arg(long, value_name = "FILE")]
    registry_ca: Option<PathBuf>,
    /// Who we are [default: what `docker login` left, or nobody]
    #[arg(long, value_name = "NAME", requires = "registry_password_file")]
    registry_user: Option<String>,
    /// The password, alone in a file
    #[arg(long, value_name = "FILE", requires = "registry_user")]
    registry_password_file: Option<PathBuf>,
}

impl RegistryFlags {
    pub(super) fn options(
        self,
        reference: &PolicyReference,
        environment: &Environment,
        largest_component: u64,
    ) -> Result<RegistryOptions, Error> {
        let credentials = match (self.registry_user, self.registry_password_file, environment.docker_config()) {
            (Some(user), Some(file), _) => Credentials::from_password_file(&user, &file)?,
            (_, _, Some(docker)) => Credentials::from_docker_config(&docker, reference.registry())?,
            _ => Credentials::anonymous(),
        };
        Ok(RegistryOptions {
            plain_http: self.plain_http,
            ca_certificate: self.registry_ca,
            credentials,
            largest_component,
            time_limit: TIME_LIMIT,
        })
    }
}

/// A bar where somebody watches.
pub(super) fn progress(json: bool) -> ProgressBar {
    use std::io::IsTerminal as _;
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    match ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

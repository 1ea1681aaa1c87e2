//! Who we are to a registry.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;

/// A user with a password, or nobody. Registries that want a token are asked for one with it. Never shown.
#[derive(Debug, Clone)]
pub struct Credentials(RegistryAuth);

/// Credentials that cannot be had. No message holds any of them.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Docker's configuration, or the helper it names, gives none.
    #[error("{} gives no credentials for {registry}", path.display())]
    Docker {
        /// Docker's configuration.
        path: PathBuf,
        /// Which registry was asked for.
        registry: String,
        /// What was wrong.
        #[source]
        source: CredentialRetrievalError,
    },
    /// Docker's configuration holds what only `docker` can use.
    #[error("{} holds an identity token for {registry}, which is not served: give user name and password", path.display())]
    IdentityToken {
        /// Docker's configuration.
        path: PathBuf,
        /// Which registry was asked for.
        registry: String,
    },
}

/// What Docker calls its own registry in its configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

impl Credentials {
    /// Nobody: public policies can be pulled.
    pub fn anonymous() -> Self {
        Self(RegistryAuth::Anonymous)
    }

    /// A user, with the password that a file holds; a line's end after it is not part of it.
    pub fn from_password_file(user: &str, path: &Path) -> Result<Self, CredentialsError> {
        let password = fs::read_to_string(path);
        let password = password.map_err(|source| CredentialsError::File { path: path.to_owned(), source })?;
        Ok(Self(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches(['\r', '\n']).to_owned())))
    }

    /// What `docker login` left in Docker's `config.json`, or gave to the credential helper that is named there
    /// and then run; nobody's if there is no such file or no such registry in it.
    pub fn from_docker_config(path: &Path, registry: &str) -> Result<Self, CredentialsError> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::anonymous()),
            Err(source) => return Err(CredentialsError::File { path: path.to_owned(), source }),
        };
        let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
        let (path, registry) = (path.to_owned(), registry.to_owned());
        match get_credential_from_reader(io::BufReader::new(file), server) {
            Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Self(RegistryAuth::Basic(user, password))),
            Ok(DockerCredential::IdentityToken(_)) => Err(CredentialsError::IdentityToken { path, registry }),
            Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(Self::anonymous()),
            Err(source) => Err(CredentialsError::Docker { path, registry, source }),
        }
    }

    pub(super) fn auth(&self) -> &RegistryAuth {
        &self.0
    }
}

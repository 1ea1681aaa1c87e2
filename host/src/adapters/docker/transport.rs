//! What requests travel over. The client library's own transports open a connection for each request, want
//! the socket to exist already, and trust the system's authorities beside the engine's own; these do not.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::{BollardRequest, ClientVersion, Docker};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::raw::{self, Raw};
use super::{ConnectError, Endpoint};

/// Connections kept for later requests. A sweep's removals on one engine rarely run wider.
const KEPT_CONNECTIONS: usize = 16;
/// After this long without use a connection may have been forgotten on its way.
const KEPT_FOR: Duration = Duration::from_secs(30);
const API_VERSION: &str = "api-version";

/// Makes the client without connecting yet.
pub(super) fn open(endpoint: &Endpoint, timeout: Duration, newest_api: u32) -> Result<(Docker, Raw), ConnectError> {
    match endpoint {
        Endpoint::Unix(socket) => {
            // The connector finds the path in place of the host, in hexadecimal.
            let address = format!("unix://{}", hex::encode(socket.as_os_str().as_bytes()));
            over(UnixConnector, &address, timeout, newest_api)
        }
        Endpoint::Tcp(address) => over(tcp(timeout), &format!("http://{address}"), timeout, newest_api),
        Endpoint::Tls { address, certificates } => {
            let connector = HttpsConnector::from((tcp(timeout), tls(certificates)?));
            over(connector, &format!("https://{address}"), timeout, newest_api)
        }
    }
}

fn over(
    connector: impl Connect + Clone + Send + Sync + 'static,
    address: &str,
    timeout: Duration,
    newest_api: u32,
) -> Result<(Docker, Raw), ConnectError> {
    // A request is sent twice only if the kept connection it was given to was closed before it was written.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(KEPT_CONNECTIONS)
        .pool_idle_timeout(KEPT_FOR)
        .build(connector);
    let send: Arc<raw::Send> = Arc::new(move |request: BollardRequest| {
        let answer = client.request(request);
        async move { believable(answer.await?) }.boxed()
    });
    let raw = Raw::new(address.to_owned(), send.clone());
    let transport = move |request: BollardRequest| send(request);
    // The library's own limit, in whole seconds, stands behind ours, which covers the answer's body too.
    let seconds = timeout.as_secs().saturating_add(1);
    let version = ClientVersion { major_version: 1, minor_version: newest_api as usize };
    let docker = Docker::connect_with_custom_transport(transport, Some(address), seconds, &version);
    Ok((docker.map_err(ConnectError::Client)?, raw))
}

/// A container's absence lets its record be closed, so only the engine's own word counts for it. An engine
/// names its API version in each answer; a proxy before it, or an engine that does not know the path, does not.
fn believable(answer: Response<Incoming>) -> Result<Response<Incoming>, BollardError> {
    if answer.status() == StatusCode::NOT_FOUND && !answer.headers().contains_key(API_VERSION) {
        return Err(BollardError::HttpHeaderNotFoundError(API_VERSION.to_owned()));
    }
    Ok(answer)
}

fn tcp(timeout: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // Less than the request's limit, so that "could not connect" is told from "no answer".
    connector.set_connect_timeout(Some(timeout / 2));
    connector
}

fn tls(certificates: &Path) -> Result<ClientConfig, ConnectError> {
    let file = |name: &str| certificates.join(name);
    let unusable = |name: &str| {
        let path = file(name);
        move |source| ConnectError::Certificate { path, source }
    };
    let read = |name: &str| -> Result<Vec<CertificateDer<'static>>, ConnectError> {
        let found = CertificateDer::pem_file_iter(file(name)).and_then(Iterator::collect);
        found.map_err(unusable(name))
    };
    let mut authorities = RootCertStore::empty();
    for certificate in read("ca.pem")? {
        authorities.add(certificate).map_err(ConnectError::Tls)?;
    }
    let chain = read("cert.pem")?;
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).map_err(unusable("key.pem"))?;
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(authorities).with_client_auth_cert(chain, key))
        .map_err(ConnectError::Tls)
}

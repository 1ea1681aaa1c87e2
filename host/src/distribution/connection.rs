//! A registry, reached as the options say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use hyper::header::HeaderValue;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use oci_client::{Client, Reference, RegistryOperation};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Credentials, DistributionError, PolicyReference, Progress};

/// For a connection; registries are often behind slow names.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a single byte.
const SILENCE: Duration = Duration::from_secs(30);

/// How a registry is reached, and how much of it is borne.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Speak plain HTTP. On this machine's loopback that is so anyway, unless an authority is named.
    pub plain_http: bool,
    /// Authorities to trust beside the system's, in PEM.
    pub ca_certificate: Option<PathBuf>,
    /// Who we are.
    pub credentials: Credentials,
    /// The largest component that is pulled, in bytes.
    pub largest_component: u64,
    /// For everything together. It bounds what a hostile registry can send beside the component, too.
    pub time_limit: Duration,
}

/// What is said to a registry about one reference.
pub(super) struct Connection<'o> {
    pub(super) client: Client,
    pub(super) reference: Reference,
    pub(super) options: &'o RegistryOptions,
}

impl<'o> Connection<'o> {
    /// Gets ready, without connecting yet.
    pub(super) fn new(reference: &PolicyReference, options: &'o RegistryOptions) -> Result<Self, DistributionError> {
        if !system_has_authorities() {
            return Err(DistributionError::NoAuthorities);
        }
        // The client has no TLS of its own choice. Whoever was first has chosen the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = options.plain_http || (reference.is_local() && options.ca_certificate.is_none());
        let authorities = options.ca_certificate.as_deref().map_or(Ok(Vec::new()), authorities)?;
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: authorities,
            // An index of several platforms is no policy: nothing is to be chosen from it.
            platform_resolver: None,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("rtmanager/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let reference = reference.oci().clone();
        let client = Client::try_from(config).map_err(|error| DistributionError::of(&reference, error))?;
        Ok(Self { client, reference, options })
    }

    /// Says who we are, and gets a token where one is wanted.
    pub(super) async fn log_in(&self, operation: RegistryOperation) -> Result<(), DistributionError> {
        let answer = self.client.auth(&self.reference, self.options.credentials.auth(), operation).await;
        answer.map(|_| ()).map_err(|error| self.explained(error))
    }

    pub(super) fn explained(&self, error: OciDistributionError) -> DistributionError {
        DistributionError::of(&self.reference, error)
    }

    pub(super) fn registry(&self) -> String {
        self.reference.registry().to_owned()
    }

    /// Fetches an image manifest, with its digest. Where the reference has a digest, it is this one.
    pub(super) async fn manifest(
        &self,
        reference: &Reference,
    ) -> Result<(OciImageManifest, String), DistributionError> {
        let pulled = self.client.pull_manifest(reference, self.options.credentials.auth()).await;
        match pulled.map_err(|error| DistributionError::of(reference, error))? {
            (OciManifest::Image(manifest), digest) => Ok((manifest, digest)),
            (OciManifest::ImageIndex(_), _) => {
                let found = "it is an index of several images".to_owned();
                Err(DistributionError::NotAPolicy { reference: reference.to_string(), found })
            }
        }
    }

    /// Fetches a blob, and no more of it than was announced.
    pub(super) async fn blob(
        &self,
        what: &'static str,
        blob: &OciDescriptor,
        largest: u64,
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, DistributionError> {
        let announced = u64::try_from(blob.size).unwrap_or(u64::MAX);
        if announced > largest {
            return Err(DistributionError::TooLarge { what, size: announced, largest });
        }
        let stream = self.client.pull_blob_stream(&self.reference, blob).await;
        let mut stream = stream.map_err(|error| self.explained(error))?;
        let (mut bytes, mut sent) = (Vec::new(), 0_u64);
        progress(sent, announced);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| DistributionError::of_stream(self.registry(), error))?;
            sent = sent.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if sent > announced {
                return Err(DistributionError::Size { what, announced, sent });
            }
            bytes.extend_from_slice(&piece);
            progress(sent, announced);
        }
        if sent < announced {
            return Err(DistributionError::Size { what, announced, sent });
        }
        Ok(bytes)
    }

    /// Puts a blob there, unless it is there already.
    pub(super) async fn put_blob(&self, blob: &OciDescriptor, content: &[u8]) -> Result<(), DistributionError> {
        let exists = self.client.blob_exists(&self.reference, &blob.digest).await;
        if exists.map_err(|error| self.explained(error))? {
            return Ok(());
        }
        let put = self.client.push_blob(&self.reference, content.to_vec(), &blob.digest).await;
        put.map(|_| ()).map_err(|error| self.explained(error))
    }

    /// Puts a manifest there under a tag or, if that is its own, a digest.
    pub(super) async fn put_manifest(
        &self,
        under: &str,
        media_type: &'static str,
        manifest: Vec<u8>,
    ) -> Result<(), DistributionError> {
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        // Also a digest is given as the tag: in the address both stand in the same place, and the client library
        // panics over a reference by digest if a registry (ECR) then answers without a location.
        let target = Reference::with_tag(registry.to_owned(), repository.to_owned(), under.to_owned());
        let put = self.client.push_manifest_raw(&target, manifest, HeaderValue::from_static(media_type)).await;
        put.map(|_| ()).map_err(|error| self.explained(error))
    }

    /// Bounds everything that is done with a registry.
    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, DistributionError>>,
    ) -> Result<T, DistributionError> {
        let limit = self.options.time_limit;
        let slow = || DistributionError::Slow { registry: self.registry(), limit };
        tokio::time::timeout(limit, work).await.map_err(|_| slow())?
    }
}

/// Without any the client library panics, even where none would be used.
fn system_has_authorities() -> bool {
    let mut found = RootCertStore::empty();
    found.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    !found.is_empty()
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, DistributionError> {
    let unusable = |source| DistributionError::Certificate { path: path.to_owned(), source };
    let pem = fs::read(path).map_err(|source| unusable(source.into()))?;
    let found: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|source| unusable(source.into()))?;
    if found.is_empty() {
        return Err(unusable("there is none in it".into()));
    }
    let certificate = |der: CertificateDer<'_>| Certificate { encoding: CertificateEncoding::Der, data: der.to_vec() };
    Ok(found.into_iter().map(certificate).collect())
}

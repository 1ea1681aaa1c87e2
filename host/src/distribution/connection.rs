//! A registry, reached as the options say.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::header::HeaderValue;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest, Versioned};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::digest::Named;
use super::wire::{self, Answer, Wire};
use super::{Credentials, DistributionError, PolicyReference, Progress, layout};
use crate::model::bounded_text;

/// For a connection; registries are often behind slow names.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a single byte.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

pub(super) const USER_AGENT: &str = concat!("rtmanager/", env!("CARGO_PKG_VERSION"));
/// No registry has to take a longer manifest, by the specification; lists of referrers are manifests too.
const LONGEST_MANIFEST: u64 = 4 << 20;
/// Of a digest that is none, this much is shown.
const SHOWN: usize = 200;

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
    /// Pushes.
    pub(super) client: Client,
    /// Fetches.
    wire: Wire,
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
        let wire = Wire::new(reference.oci(), plain, &authorities)?;
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: authorities,
            // An index of several platforms is no policy: nothing is to be chosen from it.
            platform_resolver: None,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(SILENCE),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let reference = reference.oci().clone();
        let client = Client::try_from(config).map_err(|error| DistributionError::of(&reference, error))?;
        Ok(Self { client, wire, reference, options })
    }

    /// Says who we are, and gets a token where one is wanted.
    pub(super) async fn log_in(&self, operation: RegistryOperation) -> Result<(), DistributionError> {
        let auth = self.wire.log_in(&self.reference, self.options.credentials.auth(), operation).await?;
        if operation == RegistryOperation::Pull || auth == RegistryAuth::Anonymous {
            return Ok(());
        }
        // It asks for no token if it has one.
        let told = self.client.auth(&self.reference, &auth, operation).await;
        told.map(|_| ()).map_err(|error| self.explained(error))
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
        let under = reference.digest().or(reference.tag()).unwrap_or_default();
        let answer = self.get(reference, &format!("manifests/{under}")).await?.granted(reference)?;
        let digest = digest_of(reference, &answer)?;
        match parsed(&answer.body).map_err(|error| DistributionError::of(reference, error))? {
            OciManifest::Image(manifest) => Ok((manifest, digest)),
            OciManifest::ImageIndex(_) => {
                let found = "it is an index of several images".to_owned();
                Err(DistributionError::NotAPolicy { reference: reference.to_string(), found })
            }
        }
    }

    /// What is at a path of the repository: a manifest, or a list of them.
    pub(super) async fn get(&self, reference: &Reference, path: &str) -> Result<Answer, DistributionError> {
        let path = format!("{}/{path}", reference.repository());
        self.wire.answer(reference, &path, "the manifest", LONGEST_MANIFEST).await
    }

    /// Fetches a blob, and no more of it than was announced.
    pub(super) async fn blob(
        &self,
        what: &'static str,
        blob: &OciDescriptor,
        largest: u64,
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, DistributionError> {
        let not_a_policy = |found| DistributionError::NotAPolicy { reference: self.reference.to_string(), found };
        let announced = u64::try_from(blob.size);
        let announced = announced.map_err(|_| not_a_policy(format!("{what} should have {} bytes", blob.size)))?;
        if announced > largest {
            return Err(DistributionError::TooLarge { what, size: announced, largest });
        }
        let shown = || format!("{:?}, by which {what} is named, is no digest", bounded_text(&blob.digest, SHOWN));
        let named = Named::parse(&blob.digest).ok_or_else(|| not_a_policy(shown()))?;
        let path = format!("{}/blobs/{}", self.reference.repository(), blob.digest);
        let mut response = self.wire.ask(&self.reference, &path).await?;
        if !response.status().is_success() {
            return Err(wire::refused(&self.reference, response).await);
        }
        let mut bytes = Vec::new();
        progress(0, announced);
        while let Some(piece) = wire::piece(&self.reference, &mut response).await? {
            bytes.extend_from_slice(piece.as_ref());
            let sent = bytes.len() as u64;
            if sent > announced {
                return Err(DistributionError::Size { what, announced, sent });
            }
            progress(sent, announced);
        }
        let sent = bytes.len() as u64;
        if sent < announced {
            return Err(DistributionError::Size { what, announced, sent });
        }
        named
            .differs(&bytes)
            .map_or(Ok(bytes), |found| Err(DistributionError::Digest { expected: blob.digest.clone(), found }))
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
        // The client library panics over some answers, which is the registry's fault and not to be ours.
        let panicked = || DistributionError::Protocol {
            registry: self.registry(),
            source: "the client library panicked over its answer".into(),
        };
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::time::timeout(limit, work).await.map_err(|_| slow())?.map_err(|_| panicked())?
    }
}

/// The digest of an answer. It is the one that was asked for, and the one that the registry names.
fn digest_of(reference: &Reference, answer: &Answer) -> Result<String, DistributionError> {
    let registry = || reference.registry().to_owned();
    let unreadable =
        || DistributionError::Protocol { registry: registry(), source: "it names no digest that is one".into() };
    let told = answer.digest.as_ref().filter(|told| !told.is_empty());
    let told = told.map(|told| told.to_str().ok().filter(|told| Named::parse(told).is_some()).ok_or_else(unreadable));
    let told = told.transpose()?;
    for expected in reference.digest().into_iter().chain(told) {
        let named = Named::parse(expected).ok_or_else(unreadable)?;
        if let Some(found) = named.differs(&answer.body) {
            return Err(DistributionError::Digest { expected: expected.to_owned(), found });
        }
    }
    Ok(told.or(reference.digest()).map_or_else(|| layout::digest(&answer.body), str::to_owned))
}

/// An image's manifest or an index of several, of the one version that there is.
fn parsed(body: &[u8]) -> Result<OciManifest, OciDistributionError> {
    let versioned: Versioned =
        serde_json::from_slice(body).map_err(|error| OciDistributionError::VersionedParsingError(error.to_string()))?;
    if versioned.schema_version != 2 {
        return Err(OciDistributionError::UnsupportedSchemaVersionError(versioned.schema_version));
    }
    match versioned.media_type {
        Some(unknown) if !wire::MANIFESTS.contains(&unknown.as_str()) => {
            Err(OciDistributionError::UnsupportedMediaTypeError(unknown))
        }
        _ => {
            serde_json::from_slice(body).map_err(|error| OciDistributionError::ManifestParsingError(error.to_string()))
        }
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

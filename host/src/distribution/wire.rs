//! Requests to a registry, of whose answers no more is read than is borne.
//!
//! The client library reads manifests, lists, tokens and refusals whole, however long they are. So it is left only what
//! is pushed.

use std::sync::OnceLock;

use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use oci_client::client::Certificate;
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::{Reference, errors};
use reqwest::{Response, StatusCode};

use super::DistributionError;
use super::connection::{CONNECT_TIMEOUT, SILENCE, USER_AGENT};

/// Media types of manifests and of lists of them.
pub(super) const MANIFESTS: [&str; 4] =
    [IMAGE_MANIFEST_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE];
/// As much of a refusal is read.
const LONGEST_REFUSAL: u64 = 64 << 10;
/// Which digest the registry says that its answer has.
const DIGEST: &str = "Docker-Content-Digest";

/// A registry, before and after it knows who we are.
pub(super) struct Wire {
    pub(super) http: reqwest::Client,
    /// Such as `https://registry.example:5000`.
    pub(super) base: String,
    /// Who we are, once that is known and wanted.
    pub(super) authorization: OnceLock<HeaderValue>,
}

/// What it answered, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// By the registry's own word.
    pub(super) digest: Option<HeaderValue>,
    pub(super) body: Vec<u8>,
}

impl Wire {
    pub(super) fn new(reference: &Reference, plain: bool, trusted: &[Certificate]) -> Result<Self, DistributionError> {
        let unusable = |error| DistributionError::of_request(reference.registry().to_owned(), error);
        let trusted: Result<Vec<_>, _> =
            trusted.iter().map(|authority| reqwest::Certificate::from_der(&authority.data)).collect();
        let builder = reqwest::Client::builder().user_agent(USER_AGENT).connect_timeout(CONNECT_TIMEOUT);
        let builder = builder.read_timeout(SILENCE).tls_certs_merge(trusted.map_err(unusable)?);
        let scheme = if plain { "http" } else { "https" };
        let base = format!("{scheme}://{}", reference.resolve_registry());
        Ok(Self { http: builder.build().map_err(unusable)?, base, authorization: OnceLock::new() })
    }

    /// Asks for what is at a path below the registry's `/v2/`, and waits for the answer's head. Redirects are followed,
    /// without telling others who we are.
    pub(super) async fn ask(&self, reference: &Reference, path: &str) -> Result<Response, DistributionError> {
        let mut request = self.http.get(format!("{}/v2/{path}", self.base)).header(ACCEPT, MANIFESTS.join(", "));
        if let Some(authorization) = self.authorization.get() {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = request.send().await;
        answer.map_err(|error| DistributionError::of_request(reference.registry().to_owned(), error))
    }

    /// The same, with a body of at most so many bytes; of a refusal's only the beginning.
    pub(super) async fn answer(
        &self,
        reference: &Reference,
        path: &str,
        what: &'static str,
        largest: u64,
    ) -> Result<Answer, DistributionError> {
        let response = self.ask(reference, path).await?;
        let (status, digest) = (response.status(), response.headers().get(DIGEST).cloned());
        let body = match status.is_success() {
            true => whole(reference, response, what, largest).await?,
            false => beginning(reference, response).await?,
        };
        Ok(Answer { status, digest, body })
    }
}

impl Answer {
    /// Itself, unless it is a refusal.
    pub(super) fn granted(self, reference: &Reference) -> Result<Self, DistributionError> {
        if self.status == StatusCode::OK {
            return Ok(self);
        }
        Err(DistributionError::of(reference, refusal(self.status, &self.body)))
    }

    /// Whether the registry refuses, as one does that knows how to say so.
    pub(super) fn is_refusal(&self) -> bool {
        let known = || serde_json::from_slice::<errors::OciEnvelope>(&self.body).is_ok();
        self.status == StatusCode::NOT_FOUND
            || (self.status.is_client_error() && self.status != StatusCode::UNAUTHORIZED && known())
    }
}

/// What a status other than OK means.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> OciDistributionError {
    let (url, code) = (String::new(), status.as_u16());
    if status == StatusCode::UNAUTHORIZED {
        return OciDistributionError::UnauthorizedError { url };
    }
    if status.is_success() {
        return OciDistributionError::SpecViolationError(format!("the status is {code}, and should be 200"));
    }
    match serde_json::from_slice(body) {
        Ok(envelope) if status.is_client_error() => OciDistributionError::RegistryError { envelope, url },
        _ => OciDistributionError::ServerError { code, url, message: String::from_utf8_lossy(body).into_owned() },
    }
}

/// Why an answer is a refusal.
pub(super) async fn refused(reference: &Reference, response: Response) -> DistributionError {
    let status = response.status();
    match beginning(reference, response).await {
        Ok(body) => DistributionError::of(reference, refusal(status, &body)),
        Err(error) => error,
    }
}

/// A body that has to be read whole.
pub(super) async fn whole(
    reference: &Reference,
    mut response: Response,
    what: &'static str,
    largest: u64,
) -> Result<Vec<u8>, DistributionError> {
    let too_large = |size| DistributionError::TooLarge { what, size, largest };
    let announced = response.content_length().unwrap_or(0);
    if announced > largest {
        return Err(too_large(announced));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = piece(reference, &mut response).await? {
        bytes.extend_from_slice(piece.as_ref());
        let read = bytes.len() as u64;
        if read > largest {
            return Err(too_large(read));
        }
    }
    Ok(bytes)
}

/// A body of which the rest does not matter.
async fn beginning(reference: &Reference, mut response: Response) -> Result<Vec<u8>, DistributionError> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < LONGEST_REFUSAL
        && let Some(piece) = piece(reference, &mut response).await?
    {
        bytes.extend_from_slice(piece.as_ref());
    }
    Ok(bytes)
}

/// The next bytes of a body.
pub(super) async fn piece(
    reference: &Reference,
    response: &mut Response,
) -> Result<Option<impl AsRef<[u8]> + use<>>, DistributionError> {
    let piece = response.chunk().await;
    piece.map_err(|error| DistributionError::of_request(reference.registry().to_owned(), error))
}

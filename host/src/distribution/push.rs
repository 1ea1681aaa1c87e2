//! Puts a policy into a registry.

use oci_client::RegistryOperation;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;

use super::connection::Connection;
use super::{DistributionError, PolicyReference, Progress, RegistryOptions, layout};
use crate::model::{PolicyName, PolicyVersion};
use crate::signing::Envelope;

/// A policy, with what vouches for it.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// What it is called.
    pub name: PolicyName,
    /// Which version it is.
    pub version: PolicyVersion,
    /// Its component.
    pub component: Vec<u8>,
    /// Its signatures.
    pub envelopes: Vec<Envelope>,
}

/// A policy that is now in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Pins it: `…@sha256:…` of its manifest.
    pub pinned: String,
}

/// Pushes a policy to a tag, and attaches its signatures. Pushed again, it is the same artifact with the same
/// digest; signatures that are attached already stay. The tag is set last but for them, so that it never names
/// what is not there whole.
pub async fn push(
    reference: &PolicyReference,
    artifact: &Artifact,
    options: &RegistryOptions,
    progress: Progress<'_>,
) -> Result<Pushed, DistributionError> {
    let tag = reference.oci().tag().filter(|_| !reference.is_pinned());
    let tag = tag.ok_or_else(|| DistributionError::Pinned { reference: reference.to_string() })?;
    let (manifest, config) = layout::of(artifact)?;
    let component = layout::component(&manifest).map_err(DistributionError::NotAComponent)?;
    let bytes = super::signatures::json(&manifest);
    let subject = layout::descriptor(OCI_IMAGE_MEDIA_TYPE, &bytes);
    let size = u64::try_from(artifact.component.len()).unwrap_or(u64::MAX);
    let connection = Connection::new(reference, options)?;
    let work = async {
        connection.log_in(RegistryOperation::Push).await?;
        progress(0, size);
        connection.put_blob(component, &artifact.component).await?;
        progress(size, size);
        connection.put_blob(&manifest.config, &config).await?;
        connection.put_manifest(tag, OCI_IMAGE_MEDIA_TYPE, bytes).await?;
        connection.attach(&subject, &artifact.envelopes).await
    };
    connection.within(work).await?;
    Ok(Pushed { pinned: reference.oci().clone_with_digest(subject.digest).to_string() })
}

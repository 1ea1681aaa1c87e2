//! Gets a policy from a registry.

use oci_client::RegistryOperation;
use oci_client::annotations::{ORG_OPENCONTAINERS_IMAGE_TITLE, ORG_OPENCONTAINERS_IMAGE_VERSION};
use oci_client::manifest::OciImageManifest;

use super::connection::Connection;
use super::{DistributionError, PolicyReference, Progress, RegistryOptions, layout};
use crate::model::{PolicyDigest, PolicyName, PolicyVersion};
use crate::signing::Envelope;

/// A policy as a registry gave it. Nothing vouches for it yet: its signatures are still to be verified.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Its name by its annotations, if it has one that can be used here.
    pub name: Option<PolicyName>,
    /// Its version by its annotations, if it has one.
    pub version: Option<PolicyVersion>,
    /// Its component.
    pub component: Vec<u8>,
    /// Of the component.
    pub digest: PolicyDigest,
    /// What is attached as its signatures.
    pub envelopes: Vec<Envelope>,
    /// Pins it: `…@sha256:…` of its manifest.
    pub pinned: String,
}

/// Pulls a policy with its signatures. What came has the digest that the reference names, if it names one, and
/// is no larger than the options allow.
pub async fn pull(
    reference: &PolicyReference,
    options: &RegistryOptions,
    progress: Progress<'_>,
) -> Result<Pulled, DistributionError> {
    let connection = Connection::new(reference, options)?;
    let work = async {
        connection.log_in(RegistryOperation::Pull).await?;
        let (manifest, digest) = connection.manifest(&connection.reference).await?;
        let not_a_policy = |found| DistributionError::NotAPolicy { reference: reference.to_string(), found };
        let layer = layout::component(&manifest).map_err(not_a_policy)?;
        let component = connection.blob("the component", layer, options.largest_component, progress).await?;
        let envelopes = connection.attached(&digest).await?;
        let pinned = reference.oci().clone_with_digest(digest).to_string();
        Ok((manifest, component, envelopes, pinned))
    };
    let (manifest, component, envelopes, pinned) = connection.within(work).await?;
    let name = annotation(&manifest, ORG_OPENCONTAINERS_IMAGE_TITLE).and_then(|name| name.parse().ok());
    let version = annotation(&manifest, ORG_OPENCONTAINERS_IMAGE_VERSION).and_then(|version| version.parse().ok());
    let digest = PolicyDigest::of(&component);
    Ok(Pulled { name, version, component, digest, envelopes, pinned })
}

fn annotation<'m>(manifest: &'m OciImageManifest, name: &str) -> Option<&'m str> {
    manifest.annotations.as_ref()?.get(name).map(String::as_str)
}

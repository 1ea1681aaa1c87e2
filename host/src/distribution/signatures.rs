//! Signatures beside a policy: manifests that refer to its own.

use oci_client::Reference;
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
};
use serde::Serialize;

use super::connection::Connection;
use super::digest::Named;
use super::{DistributionError, layout};
use crate::signing::Envelope;

/// Each is fetched by itself.
pub(super) const MOST_ENVELOPES: usize = 16;

const SIGNATURE: &str = "application/vnd.rtmanager.signature.v1";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// What stands in a manifest's place for a configuration if it has none.
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

impl Connection<'_> {
    /// Attaches envelopes to a manifest, each by a manifest of its own. What is attached already is left so.
    pub(super) async fn attach(
        &self,
        subject: &OciDescriptor,
        envelopes: &[Envelope],
    ) -> Result<(), DistributionError> {
        for envelope in envelopes {
            let envelope = envelope.to_json().into_bytes();
            let (empty, layer) = (layout::descriptor(EMPTY.0, EMPTY.1), layout::descriptor(ENVELOPE, &envelope));
            self.put_blob(&empty, EMPTY.1).await?;
            self.put_blob(&layer, &envelope).await?;
            let manifest = json(&OciImageManifest {
                media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
                artifact_type: Some(SIGNATURE.to_owned()),
                config: empty,
                layers: vec![layer],
                subject: Some(subject.clone()),
                ..OciImageManifest::default()
            });
            let referrer = layout::descriptor(OCI_IMAGE_MEDIA_TYPE, &manifest);
            self.put_manifest(&referrer.digest, OCI_IMAGE_MEDIA_TYPE, manifest).await?;
            self.list(&subject.digest, referrer).await?;
        }
        Ok(())
    }

    /// Sees to it that a referrer is found. A registry that knows referrers lists it by itself; for any other, the
    /// specification has clients keep the list under a tag. Two that add to it at once can lose one of two
    /// signatures, which pushing it again mends.
    async fn list(&self, subject: &str, referrer: OciDescriptor) -> Result<(), DistributionError> {
        let mut index = self.referrers(subject).await?;
        if index.manifests.iter().any(|entry| entry.digest == referrer.digest) {
            return Ok(());
        }
        index.media_type = Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned());
        index.manifests.push(ImageIndexEntry {
            media_type: referrer.media_type,
            digest: referrer.digest,
            size: referrer.size,
            platform: None,
            annotations: None,
            artifact_type: Some(SIGNATURE.to_owned()),
        });
        self.put_manifest(&subject.replace(':', "-"), OCI_IMAGE_INDEX_MEDIA_TYPE, json(&index)).await
    }

    async fn referrers(&self, subject: &str) -> Result<OciImageIndex, DistributionError> {
        let reference = self.reference.clone_with_digest(subject.to_owned());
        let listed = self.get(&reference, &format!("referrers/{subject}")).await?;
        if listed.status.as_u16() != 404 {
            return index(&reference, &listed.granted(&reference)?.body);
        }
        let tagged = self.get(&reference, &format!("manifests/{}", subject.replace(':', "-"))).await?;
        if tagged.is_refusal() {
            return Ok(EMPTY_INDEX);
        }
        index(&reference, &tagged.granted(&reference)?.body)
    }

    /// The envelopes that are attached to a manifest. Whether they are worth anything is not looked at.
    pub(super) async fn attached(&self, subject: &str) -> Result<Vec<Envelope>, DistributionError> {
        let index = self.referrers(subject).await?;
        let is_signature = |entry: &&ImageIndexEntry| entry.artifact_type.as_deref() == Some(SIGNATURE);
        let signatures: Vec<_> = index.manifests.iter().filter(is_signature).collect();
        if signatures.len() > MOST_ENVELOPES {
            return Err(DistributionError::TooManySignatures(signatures.len()));
        }
        let mut envelopes = Vec::new();
        for entry in signatures {
            envelopes.push(self.envelope(entry).await?);
        }
        Ok(envelopes)
    }

    async fn envelope(&self, entry: &ImageIndexEntry) -> Result<Envelope, DistributionError> {
        if Named::parse(&entry.digest).is_none() {
            let found = "a signature is named by no digest".to_owned();
            return Err(DistributionError::NotAPolicy { reference: self.reference.to_string(), found });
        }
        let reference = self.reference.clone_with_digest(entry.digest.clone());
        let (manifest, _) = self.manifest(&reference).await?;
        let layer = match manifest.layers.as_slice() {
            [layer] if layer.media_type == ENVELOPE && layer.urls.is_none() => layer,
            _ => {
                let found = "it is attached as a signature, and is none".to_owned();
                return Err(DistributionError::NotAPolicy { reference: reference.to_string(), found });
            }
        };
        let longest = u64::try_from(Envelope::LONGEST).unwrap_or(u64::MAX);
        let json = self.blob("a signature", layer, longest, &mut |_, _| {}).await?;
        Ok(Envelope::parse(&json)?)
    }
}

/// What refers to a manifest of which nobody says so.
const EMPTY_INDEX: OciImageIndex = OciImageIndex {
    schema_version: 2,
    media_type: None,
    artifact_type: None,
    annotations: None,
    manifests: Vec::new(),
};

/// A list of manifests.
fn index(reference: &Reference, body: &[u8]) -> Result<OciImageIndex, DistributionError> {
    let parsed = serde_json::from_slice(body);
    parsed.map_err(|error| {
        DistributionError::of(reference, OciDistributionError::ManifestParsingError(error.to_string()))
    })
}

/// Manifests are texts and numbers only, which can always be written.
pub(super) fn json(manifest: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(manifest).unwrap_or_default()
}

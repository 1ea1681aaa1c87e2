//! What goes over the wire, seen and made from outside: raw requests to a registry.

use std::process::Command;

use rtmanager_tests::oci_registry::OciRegistry;
use sha2::Digest as _;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What the registry answers at a path below `/v2/`.
pub(super) fn json(registry: &OciRegistry, path: &str) -> serde_json::Value {
    let accept = format!("Accept: {IMAGE}, {INDEX}");
    let answer = curl(&["-H", &accept, &format!("http://{}/v2/{path}", registry.address())]);
    serde_json::from_slice(&answer).unwrap()
}

/// Pushes an image as image builders do, of layers by type and content. Returns its manifest.
pub(super) fn push_image(registry: &OciRegistry, repository: &str, tag: &str, layers: &[(&str, &str)]) -> String {
    let config = blob(registry, repository, "application/vnd.oci.image.config.v1+json", "{}");
    let mut descriptors = Vec::new();
    for (media_type, content) in layers {
        descriptors.push(blob(registry, repository, media_type, content));
    }
    let manifest =
        serde_json::json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": descriptors });
    put_manifest(registry, repository, tag, IMAGE, &manifest.to_string());
    manifest.to_string()
}

/// Pushes an index of these entries.
pub(super) fn push_index(registry: &OciRegistry, repository: &str, tag: &str, entries: &[serde_json::Value]) {
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    put_manifest(registry, repository, tag, INDEX, &index.to_string());
}

/// An index's entry for a manifest.
pub(super) fn entry(manifest: &str, artifact_type: Option<&str>) -> serde_json::Value {
    let mut entry = descriptor(IMAGE, manifest);
    if let Some(artifact_type) = artifact_type {
        entry["artifactType"] = artifact_type.into();
    }
    entry
}

fn descriptor(media_type: &str, content: &str) -> serde_json::Value {
    let digest = format!("sha256:{}", hex::encode(sha2::Sha256::digest(content)));
    serde_json::json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
}

fn put_manifest(registry: &OciRegistry, repository: &str, tag: &str, media_type: &str, manifest: &str) {
    let url = format!("http://{}/v2/{repository}/manifests/{tag}", registry.address());
    curl(&["-X", "PUT", "-H", &format!("Content-Type: {media_type}"), "--data-binary", manifest, &url]);
}

fn blob(registry: &OciRegistry, repository: &str, media_type: &str, content: &str) -> serde_json::Value {
    let begin = format!("http://{}/v2/{repository}/blobs/uploads/", registry.address());
    let place = curl(&["-X", "POST", "-o", "/dev/null", "-w", "%header{location}", &begin]);
    let (place, blob) = (String::from_utf8(place).unwrap(), descriptor(media_type, content));
    let (end, octets) =
        (format!("{place}&digest={}", blob["digest"].as_str().unwrap()), "Content-Type: application/octet-stream");
    curl(&["-X", "PUT", "-H", octets, "--data-binary", content, &end]);
    blob
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    let done = Command::new("curl").args(["-sS", "--fail-with-body"]).args(arguments).output().unwrap();
    assert!(done.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&done.stdout));
    done.stdout
}

//! What a policy looks like in a registry: the CNCF's Wasm OCI artifact, of one layer.
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>

use std::collections::BTreeMap;

use oci_client::annotations::{ORG_OPENCONTAINERS_IMAGE_TITLE, ORG_OPENCONTAINERS_IMAGE_VERSION};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use super::{Artifact, DistributionError};
use crate::model::bounded_text;

/// Of what a manifest says, this much is shown.
const SHOWN: usize = 200;

pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const COMPONENT: &str = "application/wasm";

/// Always the same moment, so that an artifact pushed twice has one digest.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A policy's manifest, and the configuration that it names.
pub(super) fn of(artifact: &Artifact) -> Result<(OciImageManifest, Vec<u8>), DistributionError> {
    let config = config(&artifact.component)?;
    let title = |title: String| (ORG_OPENCONTAINERS_IMAGE_TITLE.to_owned(), title);
    let version = (ORG_OPENCONTAINERS_IMAGE_VERSION.to_owned(), artifact.version.to_string());
    let component = OciDescriptor {
        // The name of the file, for tools that write one.
        annotations: Some([title(format!("{}.wasm", artifact.name))].into()),
        ..descriptor(COMPONENT, &artifact.component)
    };
    let manifest = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: descriptor(CONFIG, &config),
        layers: vec![component],
        annotations: Some(BTreeMap::from([title(artifact.name.to_string()), version])),
        ..OciImageManifest::default()
    };
    Ok((manifest, config))
}

/// The one layer of a policy's manifest, or what the manifest is instead.
pub(super) fn component(manifest: &OciImageManifest) -> Result<&OciDescriptor, String> {
    let shown = |media_type| bounded_text(media_type, SHOWN);
    let config = &manifest.config.media_type;
    if config != CONFIG {
        return Err(format!("its configuration is {:?}, not {CONFIG:?}", shown(config)));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(format!("it has {} layers, not one", manifest.layers.len()));
    };
    if layer.media_type != COMPONENT {
        return Err(format!("its layer is {:?}, not {COMPONENT:?}", shown(&layer.media_type)));
    }
    // A layer may name other places to fetch it from; nobody is to be sent to those.
    if layer.urls.is_some() {
        return Err("its layer is kept elsewhere".to_owned());
    }
    Ok(layer)
}

pub(super) fn descriptor(media_type: &str, content: &[u8]) -> OciDescriptor {
    // No content is near the end of an i64.
    let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
    OciDescriptor { media_type: media_type.to_owned(), digest: digest(content), size, ..OciDescriptor::default() }
}

pub(super) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn config(component: &[u8]) -> Result<Vec<u8>, DistributionError> {
    let (imports, exports) = interfaces(component)?;
    let config = serde_json::json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest(component)],
        "component": { "imports": imports, "exports": exports },
    });
    Ok(config.to_string().into_bytes())
}

/// What a component imports and exports, by name.
fn interfaces(component: &[u8]) -> Result<(Vec<String>, Vec<String>), DistributionError> {
    let unreadable = |error: wasmparser::BinaryReaderError| DistributionError::NotAComponent(error.to_string());
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(unreadable)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(DistributionError::NotAComponent("it is a core module".to_owned()));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth = depth.saturating_add(1),
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(unreadable)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(unreadable)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

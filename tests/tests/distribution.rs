//! Policies pushed to and pulled from a real registry.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failure here is a failed test")]

use std::io::Write as _;
use std::time::Duration;

use rtmanager::adapters::memory::SeededRandomness;
use rtmanager::distribution::{
    Artifact, Credentials, DistributionError, PolicyReference, Pulled, Pushed, RegistryOptions, pull, push,
};
use rtmanager::model::PolicyDigest;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::signing::{Envelope, SigningKey, Statement, TenantScope};
use rtmanager_tests::oci_registry::OciRegistry;

#[path = "distribution/access.rs"]
mod access;
#[path = "distribution/gate.rs"]
mod gate;
#[path = "distribution/wire.rs"]
mod wire;

fn options() -> RegistryOptions {
    RegistryOptions {
        plain_http: false,
        ca_certificate: None,
        credentials: Credentials::anonymous(),
        largest_component: 20 << 20,
        time_limit: Duration::from_secs(60),
    }
}

fn artifact(version: &str, signed_by: &[u64]) -> Artifact {
    let (name, version) = ("quiet-hours".parse().unwrap(), version.parse().unwrap());
    let mut artifact = Artifact { name, version, component: DEFAULT_POLICY.to_vec(), envelopes: Vec::new() };
    artifact.envelopes = signed_by.iter().map(|&seed| envelope(&artifact, seed)).collect();
    artifact
}

fn envelope(artifact: &Artifact, seed: u64) -> Envelope {
    let Artifact { name, version, component, .. } = artifact;
    let (name, version, digest) = (name.clone(), version.clone(), PolicyDigest::of(component));
    let statement =
        Statement { digest, name, version, abi: "galaxy:rtmanager@0.1.0".to_owned(), tenants: TenantScope::Any };
    Envelope::sign(&statement, &SigningKey::generate(&SeededRandomness::new(seed)).unwrap())
}

fn reference(registry: &OciRegistry, rest: &str) -> PolicyReference {
    format!("{}/policies/quiet-hours{rest}", registry.address()).parse().unwrap()
}

async fn pushed(to: &PolicyReference, artifact: &Artifact) -> Pushed {
    push(to, artifact, &options(), &mut |_, _| {}).await.unwrap()
}

async fn pulled(from: &PolicyReference, options: &RegistryOptions) -> Result<Pulled, DistributionError> {
    pull(from, options, &mut |_, _| {}).await
}

#[tokio::test]
async fn a_policy_comes_back_by_tag_and_by_digest_with_its_signatures() {
    let registry = OciRegistry::start();
    let (tag, artifact) = (reference(&registry, ":1.4.0"), artifact("1.4.0", &[1]));
    let mut steps = Vec::new();
    let pinned = push(&tag, &artifact, &options(), &mut |done, total| steps.push((done, total))).await.unwrap().pinned;
    let size = DEFAULT_POLICY.len() as u64;
    assert_eq!(steps, [(0, size), (size, size)]);
    assert!(pinned.starts_with(&format!("{}/policies/quiet-hours@sha256:", registry.address())), "{pinned}");
    let mut told = Vec::new();
    let by_tag = pull(&tag, &options(), &mut |done, total| told.push((done, total))).await.unwrap();
    assert!(
        told.is_sorted() && told.len() > 2 && told.first() == Some(&(0, size)) && told.last() == Some(&(size, size))
    );
    let by_digest = pulled(&pinned.parse().unwrap(), &options()).await.unwrap();
    for found in [by_tag, by_digest] {
        assert_eq!((found.name, found.version), (Some(artifact.name.clone()), Some(artifact.version.clone())));
        assert_eq!((found.digest, found.pinned), (PolicyDigest::of(DEFAULT_POLICY), pinned.clone()));
        assert!(found.component == DEFAULT_POLICY, "other bytes came back");
        assert_eq!(found.envelopes, artifact.envelopes);
    }
}

#[tokio::test]
async fn the_layout_is_the_wasm_artifacts_that_other_tools_know() {
    let registry = OciRegistry::start();
    pushed(&reference(&registry, ":1"), &artifact("1.4.0", &[])).await;
    let manifest = wire::json(&registry, "policies/quiet-hours/manifests/1");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "quiet-hours.wasm");
    assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "quiet-hours");
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.4.0");
    let config = manifest["config"]["digest"].as_str().unwrap();
    let config = wire::json(&registry, &format!("policies/quiet-hours/blobs/{config}"));
    assert_eq!((config["architecture"].as_str(), config["os"].as_str()), (Some("wasm"), Some("wasip2")));
    assert_eq!(config["layerDigests"], serde_json::json!([manifest["layers"][0]["digest"]]));
    let names = |which: &str| config["component"][which].as_array().unwrap().clone();
    assert!(names("imports").contains(&"galaxy:rtmanager/docker@0.1.0".into()), "{config}");
    assert!(names("exports").iter().all(|name| name.as_str().unwrap().starts_with("galaxy:rtmanager/")), "{config}");
    assert!(!names("exports").is_empty());
}

#[tokio::test]
async fn signatures_add_up_and_leave_the_artifacts_digest_as_it_was() {
    let registry = OciRegistry::start();
    let tag = reference(&registry, ":1.4.0");
    let first = pushed(&tag, &artifact("1.4.0", &[])).await;
    assert_eq!(pulled(&tag, &options()).await.unwrap().envelopes, []);
    for signers in [&[1][..], &[2], &[1, 2]] {
        assert_eq!(pushed(&tag, &artifact("1.4.0", signers)).await, first);
    }
    assert_eq!(pulled(&tag, &options()).await.unwrap().envelopes, artifact("1.4.0", &[1, 2]).envelopes);
    let other = pushed(&reference(&registry, ":1.5.0"), &artifact("1.5.0", &[])).await;
    assert_ne!(other, first);
    assert_eq!(pulled(&reference(&registry, ":1.5.0"), &options()).await.unwrap().envelopes, []);
}

#[tokio::test]
async fn a_registry_that_lists_referrers_by_itself_needs_no_tag_for_them() {
    let registry = OciRegistry::start();
    let gate = gate::Gate::before(&registry, gate::Kind::Referrers).await;
    let through: PolicyReference = format!("{}/policies/quiet-hours:1.4.0", gate.address()).parse().unwrap();
    let artifact = artifact("1.4.0", &[1, 2]);
    pushed(&through, &artifact).await;
    assert_eq!(pulled(&through, &options()).await.unwrap().envelopes, artifact.envelopes);
    let tags = wire::json(&registry, "policies/quiet-hours/tags/list");
    assert_eq!(tags["tags"], serde_json::json!(["1.4.0"]));
}

#[tokio::test]
async fn what_the_registry_changed_is_refused() {
    let registry = OciRegistry::start();
    let tag = reference(&registry, ":1.4.0");
    let artifact = artifact("1.4.0", &[1]);
    pushed(&tag, &artifact).await;
    let signature = artifact.envelopes[0].to_json();
    let kept = registry.blob(PolicyDigest::of(signature.as_bytes()).as_str());
    std::fs::write(&kept, signature.replace("payload", "PAYLOAD")).unwrap();
    let refused = pulled(&tag, &options()).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Digest { .. }), "{refused:?}");

    let component = registry.blob(PolicyDigest::of(DEFAULT_POLICY).as_str());
    let mut changed = DEFAULT_POLICY.to_vec();
    changed[1_000] ^= 1;
    std::fs::write(&component, &changed).unwrap();
    let refused = pulled(&tag, &options()).await.unwrap_err();
    assert!(
        matches!(&refused, DistributionError::Digest { expected, found }
        if *expected == format!("sha256:{}", PolicyDigest::of(DEFAULT_POLICY))
        && *found == format!("sha256:{}", PolicyDigest::of(&changed))),
        "{refused:?}"
    );

    std::fs::File::options().append(true).open(&component).unwrap().write_all(b"more").unwrap();
    let refused = pulled(&tag, &options()).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Size { announced, sent, .. } if sent > announced), "{refused:?}");

    std::fs::write(&component, &DEFAULT_POLICY[..1_000]).unwrap();
    let refused = pulled(&tag, &options()).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Digest { .. } | DistributionError::Size { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_manifest_that_the_registry_changed_is_refused() {
    let registry = OciRegistry::start();
    let tag = reference(&registry, ":1.4.0");
    let pinned = pushed(&tag, &artifact("1.4.0", &[])).await.pinned;
    let (_, digest) = pinned.rsplit_once(':').unwrap();
    let file = registry.blob(digest);
    let manifest = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, manifest.replace("1.4.0", "1.3.0")).unwrap();
    for from in [tag, pinned.parse().unwrap()] {
        let refused = pulled(&from, &options()).await.unwrap_err();
        let expected = format!("sha256:{digest}");
        assert!(matches!(&refused, DistributionError::Digest { expected: due, .. } if *due == expected), "{refused:?}");
    }
}

#[tokio::test]
async fn a_component_that_is_too_large_is_not_even_begun() {
    let registry = OciRegistry::start();
    let tag = reference(&registry, ":1.4.0");
    pushed(&tag, &artifact("1.4.0", &[])).await;
    let size = DEFAULT_POLICY.len() as u64;
    assert!(pulled(&tag, &RegistryOptions { largest_component: size, ..options() }).await.is_ok());
    let small = RegistryOptions { largest_component: size - 1, ..options() };
    let mut begun = false;
    let refused = pull(&tag, &small, &mut |_, _| begun = true).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("the component has {size} bytes; at most {} are accepted", size - 1));
    assert!(!begun);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let registry = OciRegistry::start();
    pushed(&reference(&registry, ":1.4.0"), &artifact("1.4.0", &[])).await;
    let unknown = format!("{}/nothing/here:1", registry.address()).parse().unwrap();
    let digest = reference(&registry, &format!("@sha256:{}", "a".repeat(64)));
    for absent in [reference(&registry, ":1.5.0"), unknown, digest] {
        let refused = pulled(&absent, &options()).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("{absent} is not there"));
    }
}

#[tokio::test]
async fn an_image_is_no_policy() {
    let registry = OciRegistry::start();
    let layer = ("application/vnd.oci.image.layer.v1.tar+gzip", "a layer");
    wire::push_image(&registry, "some/image", "latest", &[layer]);
    let refused = pulled(&format!("{}/some/image:latest", registry.address()).parse().unwrap(), &options()).await;
    let refused = refused.unwrap_err().to_string();
    let why = r#"its configuration is "application/vnd.oci.image.config.v1+json""#;
    assert!(refused.contains("is no Wasm policy") && refused.contains(why), "{refused}");
    wire::push_index(&registry, "some/image", "index", &[]);
    let refused = pulled(&format!("{}/some/image:index", registry.address()).parse().unwrap(), &options()).await;
    assert!(refused.unwrap_err().to_string().ends_with("it is an index of several images"));
}

#[tokio::test]
async fn what_is_attached_as_a_signature_must_be_one_and_few() {
    let registry = OciRegistry::start();
    let tag = reference(&registry, ":1.4.0");
    let pinned = pushed(&tag, &artifact("1.4.0", &[])).await.pinned;
    let (_, subject) = pinned.rsplit_once(':').unwrap();
    let envelope = ("application/vnd.dsse.envelope.v1+json", "not signed");
    for (layers, many, why) in [
        (&[envelope][..], 1, "what is attached as a signature is none"),
        (&[envelope, envelope], 1, "it is attached as a signature, and is none"),
        (&[("application/wasm", "{}")], 1, "it is attached as a signature, and is none"),
        (&[envelope], 17, "17 signatures are attached; at most 16 are looked at"),
    ] {
        let image = wire::push_image(&registry, "policies/quiet-hours", "attached", layers);
        let attached = wire::entry(&image, Some("application/vnd.rtmanager.signature.v1"));
        wire::push_index(&registry, "policies/quiet-hours", &format!("sha256-{subject}"), &vec![attached; many]);
        let refused = pulled(&tag, &options()).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}, not {why}");
    }
    // What others attach is none of ours.
    let image = wire::push_image(&registry, "policies/quiet-hours", "attached", &[envelope]);
    let others = [wire::entry(&image, None), wire::entry(&image, Some("application/spdx+json"))];
    wire::push_index(&registry, "policies/quiet-hours", &format!("sha256-{subject}"), &others);
    assert_eq!(pulled(&tag, &options()).await.unwrap().envelopes, []);
    // Nor is it lost when ours are attached.
    pushed(&tag, &artifact("1.4.0", &[1])).await;
    let listed = wire::json(&registry, &format!("policies/quiet-hours/manifests/sha256-{subject}"));
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 3, "{listed}");
    assert_eq!(pulled(&tag, &options()).await.unwrap().envelopes.len(), 1);
}

#[tokio::test]
async fn only_components_are_pushed_and_only_to_tags() {
    let registry = OciRegistry::start();
    for (bytes, why) in [(&b"text"[..], "bad magic"), (b"\0asm\x01\0\0\0", "it is a core module"), (b"", "end")] {
        let artifact = Artifact { component: bytes.to_vec(), ..artifact("1.4.0", &[]) };
        let refused = push(&reference(&registry, ":1"), &artifact, &options(), &mut |_, _| {}).await.unwrap_err();
        assert!(matches!(&refused, DistributionError::NotAComponent(said) if said.contains(why)), "{refused:?}");
    }
    let digest = reference(&registry, &format!("@sha256:{}", "a".repeat(64)));
    let refused = push(&digest, &artifact("1.4.0", &[]), &options(), &mut |_, _| {}).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Pinned { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_registry_that_is_silent_or_gone_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let from: PolicyReference = format!("{}/policies/p:1", silent.local_addr().unwrap()).parse().unwrap();
    let hasty = RegistryOptions { time_limit: Duration::from_millis(300), ..options() };
    let refused = pulled(&from, &hasty).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Slow { .. }), "{refused:?}");
    drop(silent);
    let refused = pulled(&from, &options()).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Unreachable { .. }), "{refused:?}");
}

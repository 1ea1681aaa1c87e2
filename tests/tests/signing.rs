//! Whether signatures vouch for what they should, and for nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failed test"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rtmanager::adapters::memory::SeededRandomness;
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::model::{PolicyDigest, PolicyName, PolicyVersion, TenantId};
use rtmanager::signing::{
    Envelope, InvalidEnvelope, KeyError, Mismatch, PublicKey, SignatureError, SigningKey, Statement, Subject,
    TenantScope, TrustedKey, Verified, verify,
};

const ABI: &str = "galaxy:rtmanager@0.1.0";

/// What is to be bound in these tests: quiet-hours 1.4.0 for acme.
struct Bound {
    digest: PolicyDigest,
    name: PolicyName,
    version: PolicyVersion,
    tenant: Option<TenantId>,
}

impl Bound {
    fn new() -> Self {
        let tenant = Some("acme".parse().unwrap());
        let (name, version) = ("quiet-hours".parse().unwrap(), "1.4.0".parse().unwrap());
        Self { digest: PolicyDigest::of(b"a component"), name, version, tenant }
    }

    fn subject(&self) -> Subject<'_> {
        let Self { digest, name, version, tenant } = self;
        Subject { digest, name, version, abi: ABI, tenant: tenant.as_ref() }
    }

    /// The statement that is about just this.
    fn statement(&self) -> Statement {
        let (digest, name, version) = (self.digest.clone(), self.name.clone(), self.version.clone());
        Statement { digest, name, version, abi: ABI.to_owned(), tenants: only(&["acme"]) }
    }
}

fn only(tenants: &[&str]) -> TenantScope {
    TenantScope::from_texts(tenants.iter().copied()).unwrap()
}

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&SeededRandomness::new(seed)).unwrap()
}

fn trusted(key: &SigningKey) -> TrustedKey {
    TrustedKey { key: key.public().clone(), tenants: TenantScope::Any, revoked: false }
}

fn judged(envelope: &Envelope, trusted: &[TrustedKey]) -> Result<Verified, SignatureError> {
    verify(envelope, trusted, &Bound::new().subject())
}

/// An envelope of any payload that is truly signed, made outside of the library.
fn signed_text(payload: &str, key: &SigningKey, dir: &Path) -> Envelope {
    use base64::Engine as _;
    let payload_type = "application/vnd.rtmanager.policy+json";
    let message = format!("DSSEv1 {} {payload_type} {} {payload}", payload_type.len(), payload.len());
    let (secret, text, signature) = (dir.join("key.pem"), dir.join("message"), dir.join("signature"));
    std::fs::remove_file(&secret).ok();
    key.write_new(&secret).unwrap();
    std::fs::write(&text, message).unwrap();
    openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", path(&secret), "-in", path(&text), "-out", path(&signature)]);
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let json = serde_json::json!({
        "payload": base64(payload.as_bytes()),
        "payloadType": payload_type,
        "signatures": [{ "keyid": key.public().id().as_str(), "sig": base64(&std::fs::read(&signature).unwrap()) }],
    });
    Envelope::parse(json.to_string().as_bytes()).unwrap()
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl").args(arguments).output().expect("openssl; install it (Debian: openssl)");
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_trusted_key_vouches_for_what_it_signed() {
    let (bound, key) = (Bound::new(), key(1));
    let envelope = Envelope::sign(&bound.statement(), &key);
    let travelled = Envelope::parse(envelope.to_json().as_bytes()).unwrap();
    assert_eq!(travelled, envelope);
    let verified = judged(&travelled, &[trusted(&key)]).unwrap();
    assert_eq!(verified, Verified { statement: bound.statement(), key_id: key.public().id().clone() });
}

#[test]
fn openssl_accepts_our_signatures_and_we_accept_its_keys_and_signatures() {
    let dir = tempfile::tempdir().unwrap();
    let [secret, public, text, signature] =
        ["key.pem", "public.pem", "message", "signature"].map(|n| dir.path().join(n));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", path(&secret)]);
    openssl(&["pkey", "-in", path(&secret), "-pubout", "-out", path(&public)]);
    let key = SigningKey::read(&secret).unwrap();
    let theirs = PublicKey::from_pem(&std::fs::read(&public).unwrap()).unwrap();
    assert_eq!(&theirs, key.public());
    assert_eq!(theirs.to_pem(), std::fs::read_to_string(&public).unwrap());
    let der = openssl(&["pkey", "-pubin", "-in", path(&public), "-pubout", "-outform", "DER"]);
    assert_eq!(theirs.id().as_str(), PolicyDigest::of(&der).as_str(), "a key's id is the digest of its DER");

    // Ours by theirs: what is signed is built here by the specification.
    let envelope = Envelope::sign(&Bound::new().statement(), &key);
    let json: serde_json::Value = serde_json::from_str(&envelope.to_json()).unwrap();
    let decode = |value: &serde_json::Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap()
    };
    let (payload, payload_type) = (decode(&json["payload"]), json["payloadType"].as_str().unwrap());
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    std::fs::write(&text, [head.as_bytes(), &payload].concat()).unwrap();
    std::fs::write(&signature, decode(&json["signatures"][0]["sig"])).unwrap();
    let (text, signature) = (path(&text), path(&signature));
    openssl(&["pkeyutl", "-verify", "-pubin", "-inkey", path(&public), "-rawin", "-in", text, "-sigfile", signature]);

    // Theirs by us.
    let statement = String::from_utf8(payload).unwrap();
    std::fs::remove_file(&secret).unwrap();
    judged(&signed_text(&statement, &key, dir.path()), &[trusted(&key)]).unwrap();
}

#[test]
fn no_bit_of_an_envelope_can_be_changed() {
    let key = key(1);
    let whole = Envelope::sign(&Bound::new().statement(), &key).to_json().into_bytes();
    judged(&Envelope::parse(&whole).unwrap(), &[trusted(&key)]).unwrap();
    for place in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[place] ^= 1 << bit;
            let taken = Envelope::parse(&changed).is_ok_and(|envelope| judged(&envelope, &[trusted(&key)]).is_ok());
            assert!(!taken, "bit {bit} of byte {place}: {}", String::from_utf8_lossy(&changed));
        }
    }
}

#[test]
fn no_beginning_of_an_envelope_is_one() {
    let whole = Envelope::sign(&Bound::new().statement(), &key(1)).to_json().into_bytes();
    assert!((0..whole.len()).all(|length| Envelope::parse(&whole[..length]).is_err()));
}

#[test]
fn a_signature_by_an_unknown_key_names_the_keys_that_were_found() {
    let (ours, theirs) = (key(1), key(2));
    let refused = judged(&Envelope::sign(&Bound::new().statement(), &theirs), &[trusted(&ours)]).unwrap_err();
    let expected = format!("no signature by a trusted key; those found are by {}", theirs.public().id());
    assert_eq!(refused.to_string(), expected);
    assert!(judged(&Envelope::sign(&Bound::new().statement(), &ours), &[]).is_err(), "nobody is trusted");
}

#[test]
fn a_signature_under_another_keys_name_is_a_forgery() {
    let (ours, theirs) = (key(1), key(2));
    let json = Envelope::sign(&Bound::new().statement(), &theirs).to_json();
    let renamed = json.replace(theirs.public().id().as_str(), ours.public().id().as_str());
    let refused = judged(&Envelope::parse(renamed.as_bytes()).unwrap(), &[trusted(&ours)]).unwrap_err();
    assert!(matches!(&refused, SignatureError::Forged { key_id } if key_id == ours.public().id()), "{refused:?}");
}

#[test]
fn a_revoked_key_is_told_from_an_unknown_one() {
    let key = key(1);
    let revoked = TrustedKey { revoked: true, ..trusted(&key) };
    let refused = judged(&Envelope::sign(&Bound::new().statement(), &key), &[revoked]).unwrap_err();
    assert_eq!(refused.to_string(), format!("key {} is revoked", key.public().id()));
}

#[test]
fn a_tenants_key_signs_for_that_tenant_only() {
    let key = key(1);
    let theirs = |tenants| [TrustedKey { tenants, ..trusted(&key) }];
    let mut bound = Bound::new();
    let envelope = Envelope::sign(&Statement { tenants: TenantScope::Any, ..bound.statement() }, &key);
    judged(&envelope, &theirs(only(&["acme"]))).unwrap();
    let refused = judged(&envelope, &theirs(only(&["umbrella"]))).unwrap_err();
    let expected = format!("key {} may sign for umbrella only, not for acme", key.public().id());
    assert_eq!(refused.to_string(), expected);
    // Even if the statement names everybody: the default of all tenants is nobody's to sign but who may for all.
    bound.tenant = None;
    let refused = verify(&envelope, &theirs(only(&["acme"])), &bound.subject()).unwrap_err();
    assert!(refused.to_string().ends_with("may sign for acme only, not for the default of all tenants"), "{refused}");
    verify(&envelope, &theirs(TenantScope::Any), &bound.subject()).unwrap();
}

#[test]
fn a_statement_about_anything_else_is_refused_by_name() {
    let (key, bound) = (key(1), Bound::new());
    let said = |change: &dyn Fn(&mut Statement)| {
        let mut statement = bound.statement();
        change(&mut statement);
        judged(&Envelope::sign(&statement, &key), &[trusted(&key)]).unwrap_err()
    };
    let digest = said(&|it| it.digest = PolicyDigest::of(b"another component"));
    assert!(matches!(digest, SignatureError::Mismatch(Mismatch::Digest { .. })), "{digest:?}");
    for (refused, message) in [
        (said(&|it| it.name = "other".parse().unwrap()), "the signature is for the policy other, not for quiet-hours"),
        (said(&|it| it.version = "1.3.0".parse().unwrap()), "the signature is for version 1.3.0, not for 1.4.0"),
        (
            said(&|it| it.abi = "galaxy:rtmanager@0.2.0".to_owned()),
            "the signature is for ABI galaxy:rtmanager@0.2.0; this host serves galaxy:rtmanager@0.1.0",
        ),
        (said(&|it| it.tenants = only(&["umbrella", "zeta"])), "the signature is for umbrella, zeta, not for acme"),
    ] {
        assert_eq!(refused.to_string(), message);
    }
}

#[test]
fn a_statement_for_some_tenants_is_none_for_the_default_of_all() {
    let (key, mut bound) = (key(1), Bound::new());
    let envelope = Envelope::sign(&bound.statement(), &key);
    bound.tenant = None;
    let refused = verify(&envelope, &[trusted(&key)], &bound.subject()).unwrap_err();
    assert_eq!(refused.to_string(), "the signature is for acme, not for the default of all tenants");
}

#[test]
fn one_good_signature_is_enough_among_others() {
    let (ours, theirs, revoked) = (key(1), key(2), key(3));
    let envelope = |key| -> serde_json::Value {
        serde_json::from_str(&Envelope::sign(&Bound::new().statement(), key).to_json()).unwrap()
    };
    let mut all = envelope(&theirs);
    let mut signatures = Vec::new();
    for key in [&theirs, &revoked, &ours] {
        signatures.push(envelope(key)["signatures"][0].clone());
    }
    all["signatures"] = signatures.into();
    let all = Envelope::parse(all.to_string().as_bytes()).unwrap();
    let keys = [TrustedKey { revoked: true, ..trusted(&revoked) }, trusted(&ours)];
    assert_eq!(judged(&all, &keys).unwrap().key_id, *ours.public().id());
}

#[test]
fn what_is_signed_must_be_a_statement_even_by_a_trusted_key() {
    let (dir, key, bound) = (tempfile::tempdir().unwrap(), key(1), Bound::new());
    let right = serde_json::json!({
        "digest": bound.digest.as_str(), "name": "quiet-hours", "version": "1.4.0", "abi": ABI, "tenants": ["acme"],
    });
    judged(&signed_text(&right.to_string(), &key, dir.path()), &[trusted(&key)]).unwrap();
    let wrong = |field: &str, value: serde_json::Value| {
        let mut statement = right.clone();
        statement[field] = value;
        statement.to_string()
    };
    for text in [
        "{}".to_owned(),
        "no JSON".to_owned(),
        wrong("expires", "never".into()),
        wrong("digest", "abc".into()),
        wrong("name", "Quiet Hours".into()),
        wrong("version", "1.4".into()),
        wrong("abi", "".into()),
        wrong("tenants", serde_json::json!([])),
        wrong("tenants", serde_json::json!(["*", "acme"])),
        right.to_string().replacen('{', r#"{"name":"quiet-hours","#, 1),
    ] {
        let refused = judged(&signed_text(&text, &key, dir.path()), &[trusted(&key)]).unwrap_err();
        assert!(matches!(refused, SignatureError::Statement { .. }), "{text}: {refused:?}");
    }
}

#[test]
fn another_kind_of_signed_text_is_no_statement() {
    let json = Envelope::sign(&Bound::new().statement(), &key(1)).to_json();
    let other = json.replace("application/vnd.rtmanager.policy+json", "application/vnd.in-toto+json");
    let refused = judged(&Envelope::parse(other.as_bytes()).unwrap(), &[trusted(&key(1))]).unwrap_err();
    let expected = r#"the envelope holds "application/vnd.in-toto+json", not "application/vnd.rtmanager.policy+json""#;
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn envelopes_are_read_as_the_specification_says_and_within_bounds() {
    let parse = |signatures: usize, extra: &str| {
        let signatures = vec![r#"{"keyid":"k","sig":"_-8="}"#; signatures].join(",");
        let text = format!(r#"{{"payload":"_-8=","payloadType":"t","signatures":[{signatures}]{extra}}}"#);
        Envelope::parse(text.as_bytes())
    };
    // Members of later versions are passed over; both alphabets of Base64 are read.
    let plain = r#"{"payload":"/+8=","payloadType":"t","signatures":[{"keyid":"k","sig":"/+8="}]}"#;
    assert_eq!(parse(1, r#","later":1"#).unwrap(), Envelope::parse(plain.as_bytes()).unwrap());
    assert!(parse(Envelope::MOST_SIGNATURES, "").is_ok());
    for many in [0, Envelope::MOST_SIGNATURES + 1] {
        let refused = parse(many, "").unwrap_err();
        assert!(matches!(refused, InvalidEnvelope::Signatures(found) if found == many), "{refused:?}");
    }
    let padding = " ".repeat(Envelope::LONGEST);
    assert!(matches!(parse(1, &padding), Err(InvalidEnvelope::TooLong)));
    assert!(matches!(Envelope::parse(plain.replace("/+8=", "/-8=").as_bytes()), Err(InvalidEnvelope::Base64(_))));
}

#[test]
fn the_widest_statement_fits_into_an_envelope() {
    let tenants: Vec<String> = (0..1_000).map(|number| format!("{number:064}")).collect();
    let tenants = TenantScope::from_texts(tenants.iter().map(String::as_str)).unwrap();
    let statement = Statement { tenants, abi: "a".repeat(128), ..Bound::new().statement() };
    let json = Envelope::sign(&statement, &key(1)).to_json();
    assert!(Envelope::parse(json.as_bytes()).is_ok(), "{} bytes", json.len());
    assert!(TenantScope::from_texts(vec!["a"; 1_001]).is_err());
}

#[test]
fn a_drawn_key_is_kept_from_others_and_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    let key = SigningKey::generate(&SystemRandomness).unwrap();
    key.write_new(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SigningKey::read(&file).unwrap().public(), key.public());
    openssl(&["pkey", "-in", path(&file), "-noout"]);
    let again = SigningKey::generate(&SystemRandomness).unwrap();
    assert_ne!(again.public(), key.public());
    assert!(matches!(again.write_new(&file), Err(KeyError::File { .. })));
    assert_eq!(SigningKey::read(&file).unwrap().public(), key.public());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = SigningKey::read(&file).unwrap_err().to_string();
    assert!(refused.ends_with("is open to others (mode 640): chmod 600 it"), "{refused}");
}

#[test]
fn without_randomness_no_key_is_made() {
    let randomness = SeededRandomness::new(1);
    randomness.set_failing(true);
    assert!(matches!(SigningKey::generate(&randomness), Err(KeyError::Randomness(_))));
}

#[test]
fn a_key_is_never_shown_and_no_other_kind_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (file, other) = (dir.path().join("key.pem"), dir.path().join("other.pem"));
    let key = key(1);
    key.write_new(&file).unwrap();
    let secret = std::fs::read_to_string(&file).unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().id()));
    openssl(&["genpkey", "-algorithm", "x25519", "-out", path(&other)]);
    let public = openssl(&["pkey", "-in", path(&other), "-pubout"]);
    assert!(matches!(SigningKey::read(&other), Err(KeyError::Malformed { .. })));
    assert!(matches!(PublicKey::from_pem(&public), Err(KeyError::Malformed { .. })));
    let refused = PublicKey::from_pem(secret.as_bytes()).unwrap_err().to_string();
    let expected = "no ed25519 public key (SubjectPublicKeyInfo) in PEM; `openssl pkey -pubout` makes one";
    assert_eq!(refused, expected);
}

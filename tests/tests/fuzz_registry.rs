//! Whatever a registry answers to `policy pull`: it is taken only if it is what it is called, and never more of it than is
//! borne; what is refused is told in few words.
//!
//! More cases, and so a longer search, by `RTMANAGER_FUZZ_CASES`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use rtmanager::adapters::memory::SeededRandomness;
use rtmanager::distribution::{Credentials, DistributionError, Pulled, RegistryOptions, pull};
use rtmanager::model::{ErrorChain, PolicyDigest};
use rtmanager::signing::{Envelope, SigningKey, Statement, TenantScope};
use rtmanager_tests::seeded::{fuzz_cases, seeded};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::Instant;

#[path = "fuzz_parsers/edits.rs"]
#[allow(dead_code, reason = "of the two kinds of change only that of texts is used here")]
mod edits;
#[path = "fuzz_registry/liar.rs"]
mod liar;
#[path = "fuzz_scenarios/texts.rs"]
#[allow(dead_code, reason = "what is changed here is written as JSON")]
mod texts;

use edits::{Edit, edited, edits};
use liar::{Answer, Liar, Manner};
use texts::{Change, changed, changes};

/// The longest that a refusal may be with its causes, in bytes: it is shown on a terminal.
const LONGEST_REFUSAL: usize = 4_096;
/// The largest component that is pulled here.
const LARGEST: u64 = 1 << 20;
/// The most that is taken of one answer: the longest manifest, and what is under way in sockets' buffers.
const MOST_TAKEN: u64 = (4 << 20) + (12 << 20);
/// For a pull, which no lie but trickling makes so long.
const LIMIT: Duration = Duration::from_secs(60);
/// Any other is over by then, also on a busy machine.
const ENDED: Duration = Duration::from_secs(30);
/// For one that trickles.
const SHORT: Duration = Duration::from_millis(1_500);

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SIGNATURE: &str = "application/vnd.rtmanager.signature.v1";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Where a registry can lie, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Root,
    Token,
    Manifest,
    Component,
    Referrers,
    Tagged,
    SignatureManifest,
    Envelope,
}

/// One lie.
#[derive(Debug, Clone)]
enum Lie {
    /// Other bytes, under the old name.
    Bytes(At, Vec<Edit>),
    /// Another document; what names it by a digest names the new one.
    Document(At, Vec<Change>),
    /// As many bytes less, or of another byte more.
    Length(At, usize, bool),
    Status(At, u16),
    Header(At, &'static str, String),
    Manner(At, Manner),
    /// To the same place, to another one, or to nowhere.
    Redirect(At, String),
    /// What is given for a token.
    Token(Vec<u8>),
}

fn place() -> impl Strategy<Value = At> {
    use At::{Component, Envelope, Manifest, Referrers, Root, SignatureManifest, Tagged, Token};
    select(vec![Root, Token, Manifest, Manifest, Component, Component, Referrers, Tagged, SignatureManifest, Envelope])
}

fn lies() -> impl Strategy<Value = Vec<Lie>> {
    let documents =
        select(vec![At::Manifest, At::Manifest, At::Manifest, At::Referrers, At::Tagged, At::SignatureManifest]);
    let statuses = select(vec![100, 101, 201, 204, 206, 301, 304, 400, 401, 403, 404, 416, 429, 500, 503, 599, 999]);
    let manners = prop_oneof![
        4 => Just(Manner::Chunked),
        2 => Just(Manner::Unmeasured),
        2 => Just(Manner::NoHttp),
        3 => Just(Manner::Endless),
        3 => select(vec![0, 1, 100, 1 << 20, 1 << 40, u64::MAX]).prop_map(Manner::Announced),
        3 => (0usize..2_000).prop_map(Manner::Broken),
    ];
    let headers = prop_oneof![
        (Just("Docker-Content-Digest"), digests()),
        (Just("WWW-Authenticate"), challenges()),
        (Just("Content-Type"), "[ -~]{0,40}"),
        (Just("Content-Encoding"), select(vec!["gzip", "br", "x"]).prop_map(str::to_owned)),
        (Just("Set-Cookie"), "[ -~]{0,40}"),
        (Just("X"), (1usize..90_000).prop_map(|length| "x".repeat(length))),
    ];
    let targets =
        select(vec!["", "/", "/v2/", "/token", "//", "http://", "http://[::1", "ftp://x/", "file:///etc/passwd"]);
    let targets = prop_oneof![
        3 => targets.prop_map(str::to_owned),
        1 => (1usize..60_000).prop_map(|length| format!("/{}", "x".repeat(length))),
    ];
    let tokens = prop_oneof![
        select(vec![
            "{}",
            "",
            "[]",
            "{\"token\":\"a\\nb\"}",
            "{\"token\":\"\\u0000\"}",
            "{\"token\":\"é\"}",
            "{\"token\":7}",
            "{\"access_token\":\"a\\r\\nX: y\"}",
            "{\"token\":\"a.e30.c\"}",
            "{\"token\":\"a.eyJleHAiOjB9.c\"}",
            "{\"token\":\"a.eyJleHAiOjE4NDQ2NzQ0MDczNzA5NTUxNjE1fQ.c\"}",
            "{\"token\":\"\"}"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        (1usize..300_000).prop_map(|length| json!({ "token": "t".repeat(length) }).to_string().into_bytes()),
    ];
    let lie = prop_oneof![
        3 => (place(), edits()).prop_map(|(at, edits)| Lie::Bytes(at, edits)),
        6 => (documents, changes()).prop_map(|(at, changes)| Lie::Document(at, changes)),
        1 => (place(), 1usize..2_000, any::<bool>()).prop_map(|(at, by, more)| Lie::Length(at, by, more)),
        2 => (place(), statuses).prop_map(|(at, status)| Lie::Status(at, status)),
        3 => (place(), headers).prop_map(|(at, (name, value))| Lie::Header(at, name, value)),
        4 => (place(), manners).prop_map(|(at, manner)| Lie::Manner(at, manner)),
        2 => (place(), targets).prop_map(|(at, to)| Lie::Redirect(at, to)),
        1 => tokens.prop_map(Lie::Token),
    ];
    proptest::collection::vec(lie, 0..4)
}

fn digests() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["", ":", "sha256", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../x"])
            .prop_map(str::to_owned),
        "sha256:[0-9a-f]{64}",
        "sha(384|512):[0-9a-f]{128}",
        (1usize..60_000).prop_map(|length| format!("sha256:{}", "a".repeat(length))),
    ]
}

fn challenges() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "Bearer",
            "Bearer realm=\"\"",
            "Bearer realm=\"nowhere\"",
            "Bearer realm=\"http://\"",
            "Bearer realm=\"http://127.0.0.1:1/token\"",
            "Bearer realm=\"file:///etc/passwd\",service=\"\\\"\"",
            "Bearer realm=\"http://a b/\"",
            "Basic realm=\"x\"",
            "Basic, Bearer realm=\"/token\"",
            "bearer realm=http://127.0.0.1:1",
            ",,,",
            "Digest qop=\"",
        ])
        .prop_map(str::to_owned),
        "(Bearer|Basic|x) [ -~]{0,60}",
    ]
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", PolicyDigest::of(bytes))
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(content), "size": content.len() })
}

fn manifest(config: &Value, layer: &Value) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer],
        "annotations": { "org.opencontainers.image.title": "keep", "org.opencontainers.image.version": "1.0.0" },
    })
}

/// What lies in the registry in truth: a component of no code, since what it is matters to those who load it only.
struct Truth {
    component: Vec<u8>,
    envelope: Envelope,
}

static TRUTH: LazyLock<Truth> = LazyLock::new(|| {
    let component: Vec<u8> = (0..9_000_u32).flat_map(u32::to_le_bytes).collect();
    let (name, version) = ("keep".parse().unwrap(), "1.0.0".parse().unwrap());
    let abi = "galaxy:rtmanager@0.1.0".to_owned();
    let digest = PolicyDigest::of(&component);
    let statement = Statement { digest, name, version, abi, tenants: TenantScope::Any };
    let key = SigningKey::generate(&SeededRandomness::new(7)).unwrap();
    Truth { envelope: Envelope::sign(&statement, &key), component }
});

/// What a registry says, with all its lies.
struct Story {
    answers: BTreeMap<String, Answer>,
    /// The manifest of the policy, as it was before lies about its bytes.
    manifest: Vec<u8>,
}

impl Story {
    /// In the order in which one document names the other, so that lies about one reach those that name it.
    fn told(lies: &[Lie], address: &str, tokens: bool, knows_referrers: bool) -> Self {
        let document = |at: At, value: Value| {
            let changes = lies.iter().filter_map(|lie| match lie {
                Lie::Document(there, changes) if *there == at => Some(changes.clone()),
                _ => None,
            });
            changed(value, &changes.flatten().collect::<Vec<_>>()).to_string().into_bytes()
        };
        let empty = descriptor("application/vnd.oci.empty.v1+json", b"{}");
        let config = descriptor("application/vnd.wasm.config.v0+json", b"{}");
        let envelope = TRUTH.envelope.to_json().into_bytes();
        let policy = document(At::Manifest, manifest(&config, &descriptor("application/wasm", &TRUTH.component)));
        let signature = manifest(&empty, &descriptor("application/vnd.dsse.envelope.v1+json", &envelope));
        let signature = document(At::SignatureManifest, signature);
        let mut entry = descriptor(IMAGE, &signature);
        entry["artifactType"] = SIGNATURE.into();
        let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        let named = sha256(&policy);
        let mut answers = BTreeMap::new();
        for (at, path, body) in [
            (At::Manifest, "keep/manifests/1.0.0".to_owned(), policy.clone()),
            (At::Component, format!("keep/blobs/{}", sha256(&TRUTH.component)), TRUTH.component.clone()),
            (At::Referrers, format!("keep/referrers/{named}"), document(At::Referrers, list.clone())),
            (At::Tagged, format!("keep/manifests/{}", named.replace(':', "-")), document(At::Tagged, list)),
            (At::SignatureManifest, format!("keep/manifests/{}", sha256(&signature)), signature.clone()),
            (At::Envelope, format!("keep/blobs/{}", sha256(&envelope)), envelope),
            (At::Root, String::new(), b"{}".to_vec()),
        ] {
            let mut answer = Answer::of(body);
            match at {
                At::Manifest => answer.headers.push(("Docker-Content-Digest".to_owned(), named.clone())),
                At::Referrers if !knows_referrers => answer = Answer::refusing(404),
                At::Root if tokens => {
                    answer = Answer::refusing(401);
                    let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"tests\"");
                    answer.headers.push(("WWW-Authenticate".to_owned(), challenge));
                }
                _ => {}
            }
            let path = format!("/v2/{path}");
            lied(&mut answer, at, lies, &path);
            answers.insert(path, answer);
        }
        let mut token = Answer::of(r#"{"token":"a-token"}"#);
        lied(&mut token, At::Token, lies, "/token");
        answers.insert("/token".to_owned(), token);
        Self { answers, manifest: policy }
    }
}

fn lied(answer: &mut Answer, at: At, lies: &[Lie], path: &str) {
    for lie in lies {
        match lie {
            Lie::Bytes(there, edits) if *there == at => answer.body = edited(&answer.body, edits),
            Lie::Length(there, by, true) if *there == at => answer.body.extend(std::iter::repeat_n(b' ', *by)),
            Lie::Length(there, by, false) if *there == at => {
                answer.body.truncate(answer.body.len().saturating_sub(*by));
            }
            Lie::Status(there, status) if *there == at => answer.status = *status,
            Lie::Header(there, name, value) if *there == at => {
                answer.headers.retain(|(known, _)| known != name);
                answer.headers.push(((*name).to_owned(), value.clone()));
            }
            Lie::Manner(there, manner) if *there == at => answer.manner = *manner,
            Lie::Redirect(there, to) if *there == at => {
                let to = if to.is_empty() { path } else { to };
                answer.status = 307;
                answer.headers.push(("Location".to_owned(), to.to_owned()));
            }
            Lie::Token(given) if at == At::Token => answer.body = given.clone(),
            _ => {}
        }
    }
}

/// Who asks, whom nothing but lies can refuse.
fn options(directory: &Path, password: bool, time_limit: Duration) -> RegistryOptions {
    let file = directory.join("password");
    std::fs::write(&file, "secret-of-tests").unwrap();
    let named = || Credentials::from_password_file("user", &file).unwrap();
    RegistryOptions {
        plain_http: true,
        ca_certificate: None,
        credentials: if password { named() } else { Credentials::anonymous() },
        largest_component: LARGEST,
        time_limit,
    }
}

/// One pull from a registry that tells a story.
struct Seen {
    result: Result<Pulled, DistributionError>,
    /// The most that was taken of one answer.
    taken: u64,
    took: Duration,
    /// The largest part of the component that was reported, over what was announced.
    over: bool,
}

fn pulled(story: impl FnOnce(&str) -> BTreeMap<String, Answer>, password: bool) -> Seen {
    pulled_within(LIMIT, story, password)
}

fn pulled_within(limit: Duration, story: impl FnOnce(&str) -> BTreeMap<String, Answer>, password: bool) -> Seen {
    let directory = tempfile::tempdir().unwrap();
    RUNTIME.block_on(async {
        let liar = Liar::start(story).await;
        let reference = format!("{}/keep:1.0.0", liar.address).parse().unwrap();
        let (began, mut over) = (Instant::now(), false);
        let mut progress = |done, total| over |= done > total || total > LARGEST;
        let result = pull(&reference, &options(directory.path(), password, limit), &mut progress).await;
        Seen { result, taken: liar.sent.load(Ordering::Relaxed), took: began.elapsed(), over }
    })
}

fn is_told(error: &DistributionError) -> Result<(), TestCaseError> {
    let told = ErrorChain(error).to_string();
    prop_assert!(!told.trim().is_empty() && told.len() <= LONGEST_REFUSAL, "{} bytes: {:.300}", told.len(), told);
    prop_assert!(!told.contains(|c: char| c.is_control() || c == '\u{202e}'), "{:?}", told);
    prop_assert!(!told.contains("panicked") && !told.contains("secret-of-tests"), "{}", told);
    Ok(())
}

/// How many pulls came to what.
#[derive(Debug, Default)]
struct Reached {
    taken: u32,
    /// By the kind of error.
    refused: BTreeMap<String, u32>,
}

/// One pull from a registry that tells these lies.
fn one_pull(lies: &[Lie], tokens: bool, knows_referrers: bool, reached: &mut Reached) -> Result<(), TestCaseError> {
    let mut told = Vec::new();
    let seen = pulled(
        |address| {
            let story = Story::told(lies, address, tokens, knows_referrers);
            told = story.manifest;
            story.answers
        },
        tokens,
    );
    prop_assert!(seen.took < ENDED, "{:?} for {:?}", seen.took, lies);
    prop_assert!(seen.taken <= MOST_TAKEN, "{} bytes were taken for {:?}", seen.taken, lies);
    prop_assert!(!seen.over, "more than was announced, for {:?}", lies);
    match seen.result {
        Ok(pulled) => {
            reached.taken += 1;
            is_the_truth(&pulled, &told, lies)
        }
        Err(error) => {
            prop_assert!(!lies.is_empty(), "{}", ErrorChain(&error));
            let kind = format!("{error:?}");
            *reached.refused.entry(kind.split([' ', '(']).next().unwrap_or_default().to_owned()).or_default() += 1;
            is_told(&error)
        }
    }
}

/// What was taken is what the registry has in truth. `told` is its manifest.
fn is_the_truth(pulled: &Pulled, told: &[u8], lies: &[Lie]) -> Result<(), TestCaseError> {
    prop_assert!(pulled.component == TRUTH.component, "there is no other, for {:?}", lies);
    prop_assert_eq!(&pulled.digest, &PolicyDigest::of(&pulled.component));
    // By tag a registry may name another manifest, but that one has to name the component.
    let is_told = pulled.pinned.ends_with(&format!("@{}", sha256(told)));
    if is_told {
        let manifest: Value = serde_json::from_slice(told).unwrap();
        prop_assert_eq!(&manifest["layers"][0]["digest"], &json!(sha256(&pulled.component)));
        prop_assert_eq!(&manifest["layers"][0]["size"], &json!(pulled.component.len()));
    }
    let others = pulled.envelopes.iter().filter(|envelope| **envelope != TRUTH.envelope).count();
    prop_assert_eq!(others, 0, "an envelope that nobody made");
    if lies.is_empty() {
        prop_assert!(is_told && pulled.envelopes.len() == 1);
        prop_assert_eq!(pulled.name.as_ref().map(ToString::to_string), Some("keep".to_owned()));
    }
    Ok(())
}

#[test]
fn what_is_pulled_is_what_was_named_and_what_is_not_is_told() {
    let reached = RefCell::new(Reached::default());
    let pulls = (lies(), any::<bool>(), any::<bool>());
    let searched = TestRunner::new(config(300, 91)).run(&pulls, |(lies, tokens, knows_referrers)| {
        one_pull(&lies, tokens, knows_referrers, &mut reached.borrow_mut())
    });
    searched.unwrap_or_else(|found| panic!("{found}"));
    let reached = reached.into_inner();
    println!("{reached:?}");
    assert!(reached.taken > 0 && reached.refused.len() > 4, "{reached:?} tells nothing");
}

fn config(usual: u32, seed: u64) -> ProptestConfig {
    seeded(fuzz_cases(usual), seed)
}

/// Whatever it is of which there is no end, also a refusal or a token: it is not kept.
#[test]
fn answers_without_end_are_taken_only_as_far_as_they_are_borne() {
    use At::{Component, Envelope, Manifest, Referrers, SignatureManifest, Tagged, Token};
    let cases = [
        (Manifest, 200, "the manifest has "),
        (Manifest, 404, "is not there"),
        (Manifest, 500, "refuses: 500"),
        (Component, 200, "the component should have 36000 bytes, and the registry sent "),
        (Component, 500, "refuses: 500"),
        (Token, 200, "a token has "),
        (Token, 500, "refuses: 500"),
        (Token, 401, "refuses these credentials"),
        (Referrers, 200, "the manifest has "),
        (Referrers, 500, "refuses: 500"),
        (Tagged, 200, "the manifest has "),
        (SignatureManifest, 200, "the manifest has "),
        (Envelope, 200, "a signature should have "),
    ];
    for (at, status, why) in cases {
        let lies = [Lie::Manner(at, Manner::Endless), Lie::Status(at, status)];
        let seen = pulled(|address| Story::told(&lies, address, true, at == Referrers).answers, true);
        let told = ErrorChain(&seen.result.unwrap_err()).to_string();
        assert!(told.contains(why), "{at:?} {status}: {told}, not {why}");
        assert!(seen.taken <= MOST_TAKEN && seen.took < ENDED, "{at:?}: {} bytes in {:?}", seen.taken, seen.took);
    }
}

#[test]
fn an_answer_that_trickles_ends_with_the_time_that_a_pull_has() {
    for at in [At::Root, At::Manifest, At::Component, At::Envelope] {
        // A body of which only the head matters ends nothing and is not waited for.
        let lies = [Lie::Manner(at, Manner::Trickling)];
        let seen = pulled_within(SHORT, |address| Story::told(&lies, address, false, true).answers, false);
        assert!(seen.took < ENDED, "{at:?}: {:?}", seen.took);
        match seen.result {
            Ok(_) => assert_eq!(at, At::Root),
            Err(error) => {
                assert!(matches!(error, DistributionError::Slow { .. } | DistributionError::Size { .. }), "{error:?}")
            }
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let lie = |lies: &[Lie], why: &str| {
        let seen = pulled(|address| Story::told(lies, address, true, true).answers, true);
        let told = ErrorChain(&seen.result.map(|pulled| pulled.pinned).unwrap_err()).to_string();
        assert!(told.contains(why), "{lies:?}: {told}, not {why}");
    };
    lie(&[Lie::Token(br#"{"token":"a\nb"}"#.to_vec())], "gives a token that no header can hold");
    lie(&[Lie::Token(b"[]".to_vec())], "what it gives for a token is none");
    lie(&[Lie::Redirect(At::Manifest, String::new())], "too many redirects");
    for (from, to, why) in [
        (format!("\"size\":{}", TRUTH.component.len()), "\"size\":-5", "the component should have -5 bytes"),
        (format!("\"size\":{}", TRUTH.component.len()), "\"size\":9223372036854775807", "at most 1048576 are accepted"),
        (sha256(&TRUTH.component), "sha256:../../other/blobs/x", "by which the component is named, is no digest"),
        ("\"schemaVersion\":2".to_owned(), "\"schemaVersion\":1", "Unsupported schema version: 1"),
        ("application/wasm".to_owned(), "text/plain", "its layer is \"text/plain\""),
    ] {
        let seen = pulled(
            |address| {
                let mut story = Story::told(&[], address, false, true);
                let answer = story.answers.get_mut("/v2/keep/manifests/1.0.0").unwrap();
                answer.headers.clear();
                let text = String::from_utf8(answer.body.clone()).unwrap();
                assert!(text.contains(&from), "{text}");
                answer.body = text.replace(&from, to).into_bytes();
                story.answers
            },
            false,
        );
        let told = ErrorChain(&seen.result.unwrap_err()).to_string();
        assert!(told.contains(why), "{told}, not {why}");
    }
}

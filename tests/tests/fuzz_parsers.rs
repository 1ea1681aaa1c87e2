//! Whatever is given to a parser: it answers, what it takes it writes back the same, and what it refuses it names.
//!
//! More cases, and so a longer search, by `RTMANAGER_FUZZ_CASES`. Requests to REST have a suite of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rtmanager::adapters::memory::SeededRandomness;
use rtmanager::admission::{Refusal, ShapeLimits, look_at};
use rtmanager::config::{Environment, Error, Loaded, Sources, parse_span, show_span};
use rtmanager::distribution::PolicyReference;
use rtmanager::model::{
    ContainerId, EngineName, GameId, GenerationId, Grant, Grants, PolicyDigest, PolicyName, PolicyScope, PolicyVersion,
    TenantId,
};
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::signing::{Envelope, SigningKey, Statement, Subject, TenantScope, TrustedKey, verify};
use rtmanager::simulation::{Options, Plan, Simulator};
use rtmanager_tests::fixtures::{C_POLICY, SOUND};
use rtmanager_tests::seeded::{fuzz_cases, seeded};
use serde_json::json;

#[path = "fuzz_parsers/edits.rs"]
mod edits;

use edits::{changed, changes, edited, edits};

/// The longest that a refusal may be, in bytes: it is shown on a terminal and in a JSON body.
const LONGEST_REFUSAL: usize = 4_096;

fn config(usual: u32, seed: u64) -> ProptestConfig {
    seeded(fuzz_cases(usual), seed)
}

static SIMULATOR: LazyLock<Simulator> = LazyLock::new(|| Simulator::new(Simulator::FUEL).expect("a sandbox"));

proptest! {
    #![proptest_config(config(1_500, 71))]

    #[test]
    fn a_plan_is_refused_with_its_place_or_else_kept_and_played(
        seed in any::<u64>(), changes in changes(), edits in edits(), played in 0..40u32,
    ) {
        let document = changed(serde_json::to_value(Plan::generate(seed)).unwrap(), &changes);
        let text = serde_json::to_string_pretty(&document).unwrap();
        let text = String::from_utf8_lossy(&edited(text.as_bytes(), &edits)).into_owned();
        match Plan::from_json(&text) {
            Ok(plan) => {
                let kept = serde_json::to_string(&plan).unwrap();
                prop_assert_eq!(&Plan::from_json(&kept).unwrap(), &plan);
                if played == 0 {
                    let policy = SIMULATOR.load(DEFAULT_POLICY).unwrap();
                    SIMULATOR.replay(&policy, &Options::default(), &plan).expect("what is taken can be played");
                }
            }
            Err(error) => {
                let told = error.to_string();
                let names = ["line ", "steps", "games", "faults", "skew_ms", "removal_ms"];
                prop_assert!(names.iter().any(|name| told.starts_with(name)), "{}", told);
                prop_assert!(told.len() <= LONGEST_REFUSAL, "{} bytes: {:.200}", told.len(), told);
            }
        }
    }
}

/// What is taken is written back the same, and what is refused is answered in few words.
fn round_trip<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr + Display + PartialEq + Debug,
    T::Err: Display + Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            prop_assert_eq!(&written.parse::<T>().unwrap(), &value, "{:?} was written as {:?}", text, written);
        }
        Err(error) => {
            let told = error.to_string();
            prop_assert!(!told.trim().is_empty() && told.len() <= LONGEST_REFUSAL, "{}", told);
        }
    }
    Ok(())
}

/// What every id refuses, and so may stand in logs, paths and tables.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)
}

fn words() -> impl Strategy<Value = String> {
    let near = select(vec![
        "acme",
        "*",
        "*/1",
        "acme/7",
        "acme/007",
        "*/file-0123456789abcdef",
        "1.4.0",
        "01.0.0",
        "1.0.0-rc.1+b",
        "docker.remove",
        "docker.remove, settings:a",
        "settings:*",
        "settings:",
        "g-1",
        "ghcr.io/a/b:1",
        "localhost:5000/p@sha256:aa",
        "1h30m",
        "18446744073709551615d",
        "٣s",
        "7 d",
        " 1s ",
        "-1s",
        "0ms",
        "..",
        "a/../b",
    ]);
    let edited_near = (near, edits())
        .prop_map(|(word, edits)| String::from_utf8_lossy(&edited(word.as_bytes(), &edits)).into_owned());
    prop_oneof![
        4 => edited_near,
        2 => any::<String>(),
        1 => "[a-z0-9._:/@*,-]{0,80}",
        1 => "[0-9a-f]{63,65}",
        1 => (200usize..3_000).prop_map(|length| "x".repeat(length)),
    ]
}

proptest! {
    #![proptest_config(config(20_000, 72))]

    #[test]
    fn names_are_read_as_they_are_written(text in words()) {
        round_trip::<GameId>(&text)?;
        round_trip::<TenantId>(&text)?;
        round_trip::<EngineName>(&text)?;
        round_trip::<ContainerId>(&text)?;
        round_trip::<PolicyDigest>(&text)?;
        round_trip::<PolicyName>(&text)?;
        round_trip::<PolicyVersion>(&text)?;
        round_trip::<PolicyScope>(&text)?;
        round_trip::<GenerationId>(&text)?;
        round_trip::<Grant>(&text)?;
        round_trip::<Grants>(&text)?;
        round_trip::<PolicyReference>(&text)?;
        for taken in [text.parse::<GameId>().map(|id| id.to_string()), text.parse::<TenantId>().map(|id| id.to_string())] {
            prop_assert!(taken.as_ref().map_or(true, |taken| is_plain(taken) && *taken == text), "{:?}", taken);
        }
    }

    #[test]
    fn spans_are_read_as_they_are_written(text in words(), millis in any::<u64>()) {
        let span = Duration::from_millis(millis);
        prop_assert_eq!(parse_span(&show_span(span)), Some(span));
        if let Some(span) = parse_span(&text) {
            prop_assert_eq!(parse_span(&show_span(span)), Some(span), "{:?}", text);
        }
    }
}

/// Every setting that there is, by its key.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let defaults = Loaded::from_sources(&sources(None, &[], &[])).unwrap();
    defaults.settings.into_iter().map(|setting| setting.key).collect()
});

fn sources(file: Option<&Path>, variables: &[(String, String)], flags: &[(String, String)]) -> Sources {
    let environment =
        Environment { variables: variables.iter().cloned().collect(), uid: Some(1000), usual_files: Vec::new() };
    Sources { environment, file: file.map(Path::to_owned), flags: flags.to_vec() }
}

fn values() -> impl Strategy<Value = String> {
    let usual = select(vec![
        "true",
        "false",
        "0",
        "1",
        "2",
        "64",
        "90s",
        "7d",
        "0s",
        "-1",
        "1.5",
        "65536",
        "18446744073709551616",
        "local",
        "/tmp/x",
        "unix:///run/x",
        "tcp://127.0.0.1:2375",
        "127.0.0.1:80",
        "0.0.0.0:1",
        "redis://:secret@h:1",
        "none",
        "postgres://u:secret@h/d",
        "sqlite",
        "memory",
        "json",
        "text",
        "info",
        "[]",
        "{}",
        "[1, 2]",
        "\"x\"",
        "",
    ]);
    prop_oneof![4 => usual.prop_map(str::to_owned), 1 => any::<String>(), 1 => "[ -~]{0,30}"]
}

fn keys() -> impl Strategy<Value = String> {
    let known = any::<Index>().prop_map(|index| KEYS[index.index(KEYS.len())].clone());
    prop_oneof![12 => known, 1 => "[a-z]{1,8}(\\.[a-z_]{1,8}){0,3}", 1 => any::<String>()]
}

fn given() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec((keys(), values()), 0..4)
}

/// As a variable of the environment.
fn variable((key, value): &(String, String)) -> (String, String) {
    (format!("RTMANAGER_{}", key.replace('.', "__").to_uppercase()), value.clone())
}

/// As lines of a file: as the text of a string, or as it stands.
fn lines(given: &[(String, String)]) -> String {
    let line = |(nth, (key, value)): (usize, &(String, String))| match nth % 2 {
        0 => format!("{key} = {}\n", json!(value)),
        _ => format!("{key} = {value}\n"),
    };
    given.iter().enumerate().map(line).collect()
}

proptest! {
    #![proptest_config(config(1_500, 73))]

    #[test]
    fn a_configuration_is_taken_as_it_is_shown_or_refused_by_key(file in given(), variables in given(), flags in given()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rtmanager.toml");
        std::fs::write(&path, lines(&file)).unwrap();
        let variables: Vec<_> = variables.iter().map(variable).collect();
        match Loaded::from_sources(&sources(Some(&path), &variables, &flags)) {
            Ok(loaded) => {
                let last: BTreeMap<_, _> = flags.iter().cloned().collect();
                for setting in &loaded.settings {
                    let by_flag = last.contains_key(&setting.key);
                    prop_assert!(!by_flag || setting.source.contains("command line"), "{:?} of {:?}", setting, flags);
                    let is_url = setting.key.ends_with("url");
                    prop_assert!(!is_url || !setting.value.contains("secret"), "{:?}", setting);
                }
                let again = Loaded::from_sources(&sources(Some(&path), &variables, &flags)).unwrap();
                prop_assert_eq!(format!("{:?}", again.config), format!("{:?}", loaded.config));
            }
            Err(Error::Invalid(problems)) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(!problem.expected.is_empty(), "{:?}", problem);
                    let is_url = problem.key.ends_with("url");
                    prop_assert!(!is_url || !problem.to_string().contains("secret@"), "{}", problem);
                }
            }
            Err(Error::Syntax { detail, .. }) => prop_assert!(!detail.is_empty()),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

fn tenants() -> impl Strategy<Value = TenantScope> {
    let some = proptest::collection::btree_set("[a-z][a-z0-9-]{0,12}", 1..5);
    prop_oneof![
        Just(TenantScope::Any),
        some.prop_map(|names| TenantScope::from_texts(names.iter().map(String::as_str)).unwrap()),
    ]
}

proptest! {
    #![proptest_config(config(3_000, 74))]

    #[test]
    fn an_envelope_vouches_for_what_was_signed_and_for_nothing_else(
        component in any::<[u8; 4]>(), minor in any::<u32>(), tenants in tenants(), seed in any::<u64>(), edits in edits(),
    ) {
        let (digest, name): (_, PolicyName) = (PolicyDigest::of(&component), "quiet-hours".parse().unwrap());
        let version: PolicyVersion = format!("1.{minor}.0").parse().unwrap();
        let abi = "galaxy:rtmanager@0.1.0".to_owned();
        let statement = Statement { digest, name, version, abi, tenants };
        let key = SigningKey::generate(&SeededRandomness::new(seed)).unwrap();
        let envelope = Envelope::sign(&statement, &key);
        let json = envelope.to_json();
        prop_assert_eq!(&Envelope::parse(json.as_bytes()).unwrap(), &envelope);

        let trusted = [TrustedKey { key: key.public().clone(), tenants: TenantScope::Any, revoked: false }];
        let Statement { digest, name, version, abi, tenants } = &statement;
        let tenant = match tenants {
            TenantScope::Any => None,
            TenantScope::Only(some) => some.first(),
        };
        let subject = Subject { digest, name, version, abi, tenant };
        prop_assert_eq!(verify(&envelope, &trusted, &subject).unwrap().statement, statement.clone());

        match Envelope::parse(&edited(json.as_bytes(), &edits)) {
            Err(error) => prop_assert!(error.to_string().len() <= LONGEST_REFUSAL),
            Ok(other) => match verify(&other, &trusted, &subject) {
                // What no signature covers may have changed: spaces, members that nobody knows, the other alphabet.
                Ok(verified) => prop_assert_eq!(verified.statement, statement.clone()),
                Err(error) => prop_assert!(error.to_string().len() <= LONGEST_REFUSAL, "{}", error),
            },
        }
    }
}

proptest! {
    #![proptest_config(config(3_000, 75))]

    #[test]
    fn a_component_is_refused_in_few_words_or_asks_for_what_can_be_granted(
        which in 0..3usize, edits in edits(), cut in proptest::option::weighted(0.2, any::<Index>()),
    ) {
        let original = [SOUND, C_POLICY, DEFAULT_POLICY][which];
        let mut bytes = edited(original, &edits);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        match look_at(&bytes, &ShapeLimits::default()) {
            Ok(authority) => {
                authority.check(&Grants::all()).expect("everything is granted");
                let needed = authority.needs.clone();
                authority.check(&needed).expect("what it needs is enough");
                for grant in needed.iter() {
                    let fewer: Grants = needed.iter().filter(|other| *other != grant).cloned().collect();
                    let refused = authority.check(&fewer);
                    let is_named = matches!(&refused, Err(Refusal::NotGranted { missing, .. }) if missing == grant);
                    prop_assert!(is_named, "without {}: {:?}", grant, refused.map_err(|error| error.to_string()));
                }
            }
            Err(refusal) => {
                let told = refusal.to_string();
                prop_assert!(!told.is_empty() && told.len() <= LONGEST_REFUSAL, "{} bytes: {:.300}", told.len(), told);
                prop_assert!(!refusal.is_of_host(), "{}", told);
            }
        }
    }
}

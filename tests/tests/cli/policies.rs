//! Policies at the command line, from the key to the rollback, on a store in a file.

use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::bombs::many_sections;
use rtmanager_tests::fixtures;
use rtmanager_tests::oci_registry::{Door, OciRegistry, PASSWORD, USER};
use serde_json::{Value, json};

use super::desk::{Desk, Said};

/// The default policy, as another component for each number, in a file.
fn component(desk: &Desk, number: usize) -> String {
    let name = format!("keep-{number}.wasm");
    std::fs::write(desk.directory.path().join(&name), many_sections(DEFAULT_POLICY, number)).unwrap();
    name
}

fn policy(desk: &Desk, arguments: &[&str]) -> Said {
    desk.run(&[&["policy"], arguments].concat())
}

/// The same, which is to succeed.
fn done(desk: &Desk, arguments: &[&str]) -> Said {
    let said = policy(desk, arguments);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}: {said:?}");
    said
}

fn answered(desk: &Desk, arguments: &[&str]) -> Value {
    let said = desk.run(&[&["--json", "policy"], arguments].concat());
    assert_eq!(said.status, 0, "{arguments:?}: {said:?}");
    said.json()
}

/// Pushes component N as version 1.N.0.
fn push(desk: &Desk, number: usize, more: &[&str]) -> Said {
    let (file, version) = (component(desk, number), format!("1.{number}.0"));
    done(desk, &[&["push", &file, "--name", "keep", "--version", &version], more].concat())
}

fn refused(desk: &Desk, arguments: &[&str], status: i32, why: &str) {
    let said = policy(desk, arguments);
    assert_eq!((said.status, said.out.as_str()), (status, ""), "{arguments:?}: {said:?}");
    assert!(said.err.contains(why), "{arguments:?}: {said:?}");
}

#[test]
fn help_tells_statuses_and_examples() {
    let said = done(&Desk::new(), &["--help"]);
    insta::assert_snapshot!(said.out);
}

#[test]
fn a_wrong_command_line_is_2() {
    let desk = Desk::new();
    for wrong in [
        &["bind", "acme", "keep@1.0.0"][..],
        &["bind", "acme", "keep", "--reason", "x"],
        &["bind", "a b", "keep@1.0.0", "--reason", "x"],
        &["bind", "acme", "keep@1.0.0", "--reason", "x", "--limit", "speed=1"],
        &["bind", "acme", "keep@1.0.0", "--reason", "x", "--grant", "docker.kill"],
        &["bind", "acme", "keep@1.0.0", "--reason", "x", "--wait", "10"],
        &["rollout", "acme", "keep@1.0.0", "--reason", "x"],
        &["rollout", "acme", "keep@1.0.0", "--reason", "x", "--canary", "0%"],
        &["rollout", "acme", "keep@1.0.0", "--reason", "x", "--canary", "5%", "--shadow"],
        &["revoke", "keep@1.0.0", "--reason", "x"],
        &["pull", "ghcr.io/acme/keep:1.0.0"],
        &["pull", "keep:1.0.0", "--into-store"],
        &["check", "nothing.wasm"],
        &["push", "nothing.wasm", "--name", "keep", "--version", "1.0.0"],
        &["diff", "acme"],
    ] {
        let said = policy(&desk, wrong);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{wrong:?}: {said:?}");
    }
}

#[test]
fn a_component_is_checked_without_a_store() {
    let desk = Desk::new();
    let file = component(&desk, 0);
    let said = done(&desk, &["check", &file]);
    assert!(said.out.starts_with("keep-0.wasm: passed, in "), "{said:?}");
    assert!(said.out.contains("galaxy:rtmanager/docker@0.1.0#remove"), "{said:?}");
    std::fs::write(desk.directory.path().join("evil.wasm"), fixtures::undeclared_import()).unwrap();
    refused(&desk, &["check", "evil.wasm"], 4, "the component imports evil:host/shell@1.0.0");
    std::fs::write(desk.directory.path().join("trap.wasm"), fixtures::TRAPPING_START).unwrap();
    refused(&desk, &["check", "trap.wasm"], 4, "cannot be instantiated");
    assert!(!desk.directory.path().join("state").exists());
}

#[test]
fn a_policy_that_breaks_the_protocol_is_refused_with_the_history_that_shows_it() {
    let desk = Desk::new();
    std::fs::write(desk.directory.path().join("hostile.wasm"), fixtures::HOSTILE).unwrap();
    let evil = ["--setting", "mode=remove-before-load"];
    let refusal = "the policy is not safe: ";
    refused(&desk, &[&["check", "hostile.wasm"], &evil[..]].concat(), 4, refusal);
    done(&desk, &["check", "hostile.wasm", "--setting", "mode=proper"]);
    done(&desk, &["push", "hostile.wasm", "--name", "hostile", "--version", "1.0.0"]);
    let bind = ["bind", "acme", "hostile@1.0.0", "--reason", "x"];
    refused(&desk, &[&bind[..], &evil].concat(), 4, refusal);
    done(&desk, &[&bind[..], &["--setting", "mode=proper"]].concat());
}

#[test]
fn what_is_bound_is_shown_taken_back_and_told_in_the_history() {
    let desk = Desk::new();
    push(&desk, 1, &[]);
    push(&desk, 2, &[]);
    let more = ["--setting", "days=30", "--limit", "calls=100", "--limit", "run_time=5s", "--reason", "ticket 812"];
    let bound = done(&desk, &[&["bind", "acme", "keep@1.1.0"], &more[..]].concat());
    let mut shown = vec![("bind", bound.out)];
    refused(&desk, &["bind", "acme", "keep@1.2.0", "--reason", "x"], 4, "--accept-authority accepts it");
    let second = ["bind", "acme", "keep@1.2.0", "--accept-authority", "--expect", "1", "--reason", "ticket 901"];
    shown.push(("bind again", done(&desk, &second).out));
    shown.push(("diff", done(&desk, &["diff", "acme", "1", "2"]).out));
    shown.push(("rollback", done(&desk, &["rollback", "acme", "--reason", "keeps too little"]).out));
    refused(&desk, &["bind", "acme", "keep@1.0.0", "--reason", "x"], 4, "there is no policy keep@1.0.0");
    shown.push(("revoke", done(&desk, &["revoke", "acme/1", "--reason", "wrong"]).out));
    shown.push(("check", done(&desk, &["check", "keep@1.2.0", "--tenant", "acme"]).out));
    let status = answered(&desk, &["status", "acme"]);
    assert_eq!((&status["current"]["generation"], &status["revoked"]), (&json!("acme/1"), &json!([1])));
    shown.push(("unbind", done(&desk, &["unbind", "acme", "--reason", "moved"]).out));
    let history = answered(&desk, &["history", "acme"]);
    let events: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["unbound", "revoked", "rolled_back", "bound", "bound"]);
    let shown: Vec<_> = shown.iter().map(|(command, said)| format!("$ {command}\n{said}")).collect();
    insta::assert_snapshot!(steady(&shown.join("\n")));
}

/// Digests are this build's.
fn steady(text: &str) -> String {
    let digest = |word: &str| word.len() >= 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    let word = |word: &str| match word.trim_end_matches(',') {
        bare if digest(bare) => word.replace(bare, "DIGEST"),
        _ => word.to_owned(),
    };
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').map(word).collect();
        match line.strip_suffix(" safety scenarios") {
            // So many as are played in the time that they have.
            Some(_) => {
                words.iter().map(|word| if word.parse::<u64>().is_ok() { "N" } else { word }).collect::<Vec<_>>()
            }
            None => words.iter().map(String::as_str).collect(),
        }
        .join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_generation_is_tried_and_given_up_or_promoted() {
    let desk = Desk::new();
    for number in [1, 2, 3] {
        push(&desk, number, &[]);
    }
    done(&desk, &["bind", "*", "keep@1.1.0", "--reason", "first"]);
    let tried =
        done(&desk, &["rollout", "*", "keep@1.2.0", "--canary", "2.5%", "--clean-runs", "200", "--reason", "x"]);
    assert!(tried.out.starts_with("*/2 (keep@1.2.0) is tried on 2.5% of the games\n"), "{tried:?}");
    let status = done(&desk, &["status"]);
    assert!(status.out.contains("canary 2.5%") && status.out.contains("keep@1.1.0"), "{status:?}");
    refused(&desk, &["rollout", "*", "keep@1.3.0", "--shadow", "--reason", "x"], 4, "rollout");
    assert_eq!(done(&desk, &["rollout-end", "*", "--reason", "slow"]).out, "*/2 is not tried any more\n");
    let shadow =
        ["rollout", "*", "keep@1.3.0", "--shadow", "--promote-after", "1h", "--stop-on-divergence", "--reason", "x"];
    done(&desk, &shadow);
    assert_eq!(done(&desk, &["divergences", "*", "3"]).out, "no divergences\n");
    assert_eq!(done(&desk, &["rollout-promote", "*", "--reason", "as good"]).out, "*/3 serves now\n");
    refused(&desk, &["rollout-promote", "*", "--reason", "x"], 4, "no rollout is under way");
}

#[test]
fn only_what_a_trusted_key_signed_is_bound_and_an_older_version_is_not() {
    let desk = Desk::new();
    let public = done(&desk, &["key", "new", "release.pem"]).out;
    std::fs::write(desk.directory.path().join("release.pub"), &public).unwrap();
    assert_eq!(done(&desk, &["key", "show", "release.pem"]).out, public);
    assert_eq!(done(&desk, &["key", "show", "release.pub"]).out, public);
    refused(&desk, &["key", "new", "release.pem"], 2, "release.pem");
    let id = answered(&desk, &["key", "show", "release.pub"])["id"].as_str().unwrap().to_owned();
    for number in [1, 2] {
        let (file, version, output) = (component(&desk, number), format!("1.{number}.0"), format!("keep-{number}.sig"));
        let sign =
            ["sign", &file, "--key", "release.pem", "--name", "keep", "--version", &version, "--output", &output];
        let signed = done(&desk, &[&sign[..], &["--tenant", "acme"]].concat());
        assert!(signed.out.starts_with(&format!("signed keep@{version} for acme\n")), "{signed:?}");
        push(&desk, number, &["--signature", &output]);
    }
    push(&desk, 3, &[]);
    done(&desk, &["ceiling", "set", "acme", "--signature-required", "--retention-days", "7"]);
    let bind = |version: &str| policy(&desk, &["bind", "acme", &format!("keep@{version}"), "--reason", "x"]);
    let untrusted = bind("1.1.0");
    assert_eq!(untrusted.status, 4, "{untrusted:?}");
    assert!(
        untrusted.err.contains(&format!("no signature by a trusted key; those found are by {id}")),
        "{untrusted:?}"
    );
    assert_eq!(done(&desk, &["trust", "acme", "release.pub"]).out, format!("acme trusts key {id}\n"));
    for version in ["1.1.0", "1.2.0"] {
        assert_eq!(bind(version).status, 0);
    }
    let unsigned = bind("1.3.0");
    assert!(unsigned.status == 4 && unsigned.err.contains("there is no signature"), "{unsigned:?}");
    let older = bind("1.1.0");
    assert!(older.status == 4 && older.err.contains("acme has had keep 1.2.0, and 1.1.0 is older"), "{older:?}");
    done(&desk, &["rollback", "acme", "--reason", "worse"]);
    done(&desk, &["distrust", "acme", &id]);
    refused(&desk, &["rollback", "acme", "--to", "2", "--reason", "x"], 4, &format!("key {id} is revoked"));
    let shown = done(&desk, &["ceiling", "show", "acme"]).out;
    assert!(shown.contains("signed policies only; kept 7 days at least") && shown.contains(&id), "{shown}");
    refused(&desk, &["trust", "acme", "release.pub"], 2, "was revoked in acme, for good");
    assert!(done(&desk, &["ceiling", "clear", "acme"]).out.starts_with("acme has no ceiling of its own"));
    // The trail has it all, refusals too.
    let trail = desk.run(&["--json", "audit", "list"]);
    assert!(trail.out.contains("policy.bind") && trail.out.contains("signature_required"), "{trail:?}");
}

#[test]
fn policies_are_listed_and_shown() {
    let desk = Desk::new();
    assert_eq!(done(&desk, &["list"]).out, "no policies\n");
    let pushed = push(&desk, 1, &["--owner", "acme"]);
    assert!(pushed.out.starts_with("keep@1.1.0: pushed\nkeep@1.1.0 of acme, "), "{pushed:?}");
    assert!(push(&desk, 1, &["--owner", "acme"]).out.starts_with("keep@1.1.0: was there already\n"));
    refused(&desk, &["show", "keep@1.1.0"], 4, "there is no policy keep@1.1.0");
    let shown = answered(&desk, &["show", "keep@1.1.0", "--owner", "acme"]);
    let listed = answered(&desk, &["list", "--name", "keep"]);
    assert_eq!(listed["items"][0]["digest"], shown["digest"]);
    refused(
        &desk,
        &["bind", "rival", shown["digest"].as_str().unwrap(), "--reason", "x"],
        4,
        "that rival may be bound to",
    );
}

#[test]
fn a_policy_goes_to_a_registry_and_comes_back_signed() {
    let (desk, registry) = (Desk::new(), OciRegistry::start_behind(Door { tls: true, password: true }));
    done(&desk, &["key", "new", "release.pem"]);
    let file = component(&desk, 1);
    let label = ["--name", "keep", "--version", "1.1.0"];
    done(&desk, &[&["sign", &file, "--key", "release.pem", "--output", "keep.sig"], &label[..]].concat());
    std::fs::write(desk.directory.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    let reference = format!("{}/policies/keep:1.1.0", registry.address());
    let authority = registry.authority().display().to_string();
    let door = ["--registry-ca", &authority, "--registry-user", USER, "--registry-password-file", "password"];
    let push = [&["push", &file, "--signature", "keep.sig", "--to", &reference], &label[..]].concat();
    refused(&desk, &[&push[..], &["--registry-ca", &authority]].concat(), 4, "docker login");
    let pushed = answered(&desk, &[&push[..], &door].concat());
    let pinned = pushed["reference"].as_str().unwrap().to_owned();
    assert!(!desk.directory.path().join("state").exists());

    let pulled = done(&desk, &[&["pull", &pinned, "--output", "back.wasm"], &door[..]].concat());
    assert!(pulled.out.starts_with(&format!("pulled {pinned}\n")), "{pulled:?}");
    let read = |name: &str| std::fs::read(desk.directory.path().join(name)).unwrap();
    assert!(read("back.wasm") == read(&file) && read("back.wasm.1.sig") == read("keep.sig"));
    let stored = done(&desk, &[&["pull", &reference, "--into-store"], &door[..]].concat());
    assert!(stored.out.starts_with("keep@1.1.0: pushed\n") && stored.out.contains("signed  by "), "{stored:?}");
    let gone = format!("{}/policies/keep:9.9.9", registry.address());
    refused(&desk, &[&["pull", &gone, "--into-store"], &door[..]].concat(), 4, "is not there");
    let nowhere = ["pull", "127.0.0.1:1/keep:1.0.0", "--into-store"];
    refused(&desk, &nowhere, 3, "cannot reach 127.0.0.1:1");
}

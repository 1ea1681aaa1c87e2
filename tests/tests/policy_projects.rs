//! What `rtmanager policy new` writes, in every language: it builds and passes by the two commands of its README, in a
//! directory outside of this repository, and is what a host takes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

use std::path::Path;

use rtmanager_tests::projects::{Folder, commands, said};
use serde_json::Value;

#[path = "policy_projects/served.rs"]
mod served;

fn folder() -> Folder {
    let build_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-build");
    Folder::new(env!("CARGO_BIN_EXE_rtmanager-cli"), &build_dir)
}

/// Makes a project, and follows its README.
fn built(language: &str) -> Folder {
    let folder = folder();
    let told = folder.run("", &format!("rtmanager policy new keep --lang {language}"));
    assert!(told.ends_with("have to pass\n") || told.contains("  make test "), "{told}");
    let readme = std::fs::read_to_string(folder.path().join("keep/README.md")).unwrap();
    assert!(readme.starts_with("# keep\n"), "{readme}");
    let commands = commands(&readme);
    assert_eq!(commands, ["make", "make test"]);
    for command in commands {
        folder.run("keep", &command);
    }
    folder
}

/// It would be let in, and keeps every rule.
fn passes(folder: &Folder) {
    folder.run("keep", "rtmanager policy check keep.wasm");
    keeps_the_rules(folder);
}

fn keeps_the_rules(folder: &Folder) {
    let simulated = folder.run("keep", "rtmanager policy simulate keep.wasm --histories 200 --json");
    let view: Value = serde_json::from_str(&simulated).unwrap();
    assert_eq!((&view["holds"], &view["histories"]), (&Value::Bool(true), &Value::from(200)), "{view}");
}

#[test]
fn in_rust() {
    passes(&built("rust"));
}

/// What is bound is checked, so that its 18 MB need not be compiled twice more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_python() {
    let folder = tokio::task::spawn_blocking(|| {
        let folder = built("python");
        keeps_the_rules(&folder);
        folder
    });
    let component = std::fs::read(folder.await.unwrap().path().join("keep/keep.wasm")).unwrap();
    served::is_admitted_and_cleans_up(component).await;
}

#[test]
fn in_typescript() {
    passes(&built("typescript"));
}

#[test]
fn in_c() {
    passes(&built("c"));
}

#[test]
fn in_go() {
    passes(&built("go"));
}

#[test]
fn a_name_that_is_none_and_a_directory_that_is_not_empty_are_refused() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/notes"), "mine").unwrap();
    for (arguments, why) in [
        ("Keep", "1 to 64 of a-z"),
        ("../keep", "1 to 64 of a-z"),
        ("keep --lang cobol", "[possible values: rust, python, typescript, c, go]"),
        ("full", "full is not empty; name a new directory"),
        ("keep full", "full is not empty"),
        ("keep full/notes", "full/notes"),
    ] {
        let output = folder.shell("", &format!("rtmanager policy new {arguments}")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", said(&output));
        assert!(said(&output).contains(why), "{arguments}: {}", said(&output));
    }
    let names = |path: &str| std::fs::read_dir(folder.path().join(path)).unwrap().count();
    assert_eq!((names(""), names("full")), (1, 1), "something was written all the same");
    folder.run("", "mkdir empty && rtmanager policy new keep empty && test -f empty/wit/world.wit");
}

#[test]
fn what_is_written_is_listed_and_has_its_name_everywhere() {
    let folder = folder();
    for language in ["rust", "python", "typescript", "c", "go"] {
        let json = folder.run("", &format!("rtmanager --json policy new 9.keep-it --lang {language} {language}"));
        let view: Value = serde_json::from_str(&json).unwrap();
        let files = view["files"].as_array().unwrap();
        assert!(files.len() > 15, "{view}");
        for file in files {
            let path = folder.path().join(language).join(file.as_str().unwrap());
            let contents = std::fs::read(path).unwrap();
            assert!(!String::from_utf8_lossy(&contents).contains("{{"), "{file} of {language}");
        }
        for file in ["README.md", "Makefile", "scenarios.toml", "wit/world.wit", "wit/deps/wasi-config/store.wit"] {
            assert!(files.contains(&Value::from(file)), "{language} has no {file}");
        }
    }
}

#[test]
fn what_is_no_module_becomes_no_component() {
    let folder = folder();
    std::fs::write(folder.path().join("text"), "no module").unwrap();
    let output = folder.shell("", "rtmanager policy component text keep.wasm").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("text cannot be made a component"), "{}", said(&output));
    assert!(!folder.path().join("keep.wasm").exists());
}

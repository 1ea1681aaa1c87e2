//! How commands load the policies of their configuration.

use std::path::PathBuf;

use super::desk::{Desk, Said};
use rtmanager_tests::{bombs, fixtures};

fn entries(desk: &Desk) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(desk.directory.path().join("state/code"));
    entries.map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

fn sweep(desk: &Desk, settings: &[&str]) -> Said {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<_> = settings.chain(["sweep", "--dry-run"]).collect();
    desk.run(&arguments)
}

#[test]
fn compiled_code_is_kept_beside_the_store_and_a_check_keeps_none() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["config", "check"]).status, 0);
    assert!(!desk.directory.path().join("state").exists());
    let first = sweep(&desk, &[]);
    let kept = entries(&desk);
    assert_eq!(kept.len(), 1, "{first:?}");
    let written = std::fs::read(&kept[0]).unwrap();
    let damaged: Vec<u8> = written.iter().map(|byte| byte ^ 1).collect();
    std::fs::write(&kept[0], damaged).unwrap();
    let second = sweep(&desk, &[]);
    assert!(second.err.contains("cached code is not used"), "{second:?}");
    assert!(second.err.contains("not what was written under this key"), "{second:?}");
    assert_eq!(second.status, first.status);
    assert_eq!(std::fs::read(&kept[0]).unwrap(), written);
    assert!(!sweep(&desk, &[]).err.contains("cached code"));
}

#[test]
fn without_a_place_for_it_no_code_is_kept() {
    let desk = Desk::new();
    sweep(&desk, &["admission.code_cache="]);
    assert!(entries(&desk).is_empty() && !desk.directory.path().join("state/code.key").exists());
}

#[test]
fn a_policy_that_the_compiler_stops_is_5_and_names_the_limit() {
    let desk = Desk::new();
    std::fs::write(desk.directory.path().join("bomb.wasm"), bombs::around(&bombs::functions(20, 20_000))).unwrap();
    std::fs::write(desk.directory.path().join("other.wasm"), fixtures::without_exports()).unwrap();
    let check = |settings: &[&str]| {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        desk.run(&settings.chain(["config", "check"]).collect::<Vec<_>>())
    };
    let said = check(&["tenants.acme.path=bomb.wasm", "admission.compile_time=300ms"]);
    assert_eq!(said.status, 5, "{said:?}");
    assert!(said.err.contains("the policy bomb.wasm cannot be used"), "{said:?}");
    assert!(said.err.contains("because: compiling it takes longer than admission.compile_time (300 ms)"), "{said:?}");
    let said = check(&["tenants.acme.path=other.wasm"]);
    assert_eq!(said.status, 5, "{said:?}");
    assert!(said.err.contains("galaxy:rtmanager/cleanup@0.1.0"), "{said:?}");
}

#[test]
fn the_compiler_is_hidden_and_for_the_program_itself() {
    let desk = Desk::new();
    assert!(!desk.run(&["--help"]).out.contains("compile-policy"));
    // Without a component on its stdin, it says so by a status of its own.
    let order = ["compile-policy", "--memory-bytes=1073741824", "--cpu-seconds=9", "--component-bytes=1000"];
    assert_eq!(desk.run(&order).status, 10);
}

//! What the built policies ask for, and that the fixtures are what they claim to be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::fixtures;
use wasmtime::Engine;
use wasmtime::component::Component;

fn imports(policy: &[u8]) -> Vec<String> {
    let engine = Engine::default();
    let component = Component::new(&engine, policy).unwrap();
    component.component_type().imports(&engine).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn default_policy_imports_the_contract_and_its_settings_and_nothing_else() {
    let mut imports = imports(DEFAULT_POLICY);
    imports.sort();
    let contract = ["clock", "docker", "leases", "op-log", "records", "types"];
    let mut expected: Vec<String> = contract.map(|name| format!("galaxy:rtmanager/{name}@0.1.0")).into();
    expected.push("wasi:config/store@0.2.0-rc.1".into());
    assert_eq!(imports, expected);
}

#[test]
fn default_policy_stays_small() {
    assert!(DEFAULT_POLICY.len() < 48 * 1024, "{} bytes", DEFAULT_POLICY.len());
}

#[test]
fn policy_in_c_imports_no_wasi_but_logging() {
    let wasi: Vec<String> = imports(fixtures::C_POLICY).into_iter().filter(|name| name.starts_with("wasi:")).collect();
    assert_eq!(wasi, ["wasi:logging/logging@0.1.0-draft"]);
}

#[test]
fn hostile_policy_asks_for_what_a_policy_shall_not_reach() {
    let imports = imports(fixtures::HOSTILE);
    for wanted in ["wasi:filesystem/types", "wasi:sockets/tcp", "wasi:random/random", "wasi:cli/exit", "wasi:io/poll"] {
        assert!(imports.iter().any(|name| name.starts_with(wanted)), "{wanted}");
    }
}

#[test]
fn hand_made_policies_are_components_with_the_exports_of_a_policy() {
    let engine = Engine::default();
    for (flaw, policy) in fixtures::MALFORMED {
        let component = Component::new(&engine, policy).unwrap_or_else(|e| panic!("{flaw}: {e:?}"));
        for export in ["cleanup", "retention"] {
            let name = format!("galaxy:rtmanager/{export}@0.1.0");
            assert!(component.get_export(None, &name).is_some(), "{flaw} lacks {name}");
        }
    }
}

#[test]
fn hand_made_uploads_that_are_components_are_valid() {
    let engine = Engine::default();
    for (name, bytes) in [
        ("without_exports", fixtures::without_exports()),
        ("undeclared_import", fixtures::undeclared_import()),
        ("unknown_version", fixtures::unknown_version()),
        ("many_instances", fixtures::many_instances(100)),
        ("nested_components", fixtures::nested_components(10)),
    ] {
        assert!(Component::new(&engine, bytes).is_ok(), "{name}");
    }
    for bytes in [fixtures::GARBAGE.to_vec(), fixtures::core_module()] {
        assert!(Component::new(&engine, bytes).is_err());
    }
}

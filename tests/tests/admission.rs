//! What is admitted, and what is refused by naming what is wrong and what would be right.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::admission::{Admission, Admitted, Authority, Refusal, ShapeLimits};
use rtmanager::compiler::{Compiler, CompilerOptions, PolicyLoader};
use rtmanager::model::{Grant, Grants, LimitOverrides, PolicyDigest};
use rtmanager::runtime::{DEFAULT_POLICY, Limits, Sandbox, SandboxOptions};
use rtmanager_tests::mock_host::MockHost;
use rtmanager_tests::{bombs, fixtures};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rtmanager-cli");

fn admission(shape: ShapeLimits) -> Admission {
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 4, ..SandboxOptions::default() }).unwrap();
    let compiler = Compiler::new(CompilerOptions { program: PROGRAM.into(), ..CompilerOptions::default() });
    let ports = MockHost::builder().build().ports;
    Admission::new(shape, PolicyLoader::new(sandbox, compiler, None), ports)
}

async fn check(component: &[u8], grants: &Grants) -> Result<Admitted, Refusal> {
    admission(ShapeLimits::default()).check(component.to_vec(), grants, &Limits::default()).await
}

async fn refused(component: &[u8]) -> Refusal {
    let refusal = check(component, &Grants::all()).await.map(|_| "admitted").unwrap_err();
    assert!(!refusal.is_of_host(), "{refusal}");
    refusal
}

fn without(missing: Grant) -> Grants {
    Grants::all().iter().filter(|grant| **grant != missing).cloned().collect()
}

#[tokio::test]
async fn policies_of_every_language_are_admitted_under_the_limits_that_they_are_to_have() {
    let overrides = LimitOverrides { calls: Some(50), ..LimitOverrides::default() };
    let limits = overrides.apply(&Limits::default()).unwrap();
    for policy in [DEFAULT_POLICY, fixtures::C_POLICY, fixtures::HOSTILE, fixtures::SOUND] {
        let admitted = admission(ShapeLimits::default()).check(policy.to_vec(), &Grants::all(), &limits).await.unwrap();
        assert_eq!(*admitted.policy.digest(), PolicyDigest::of(policy));
        assert!(admitted.authority.needs.is_subset(&Grants::all()));
    }
}

#[test]
fn what_a_policy_asks_for_is_told_function_by_function_with_the_grants_it_takes() {
    let authority = Authority::of(DEFAULT_POLICY).unwrap();
    let expected =
        "clock, leases, records.get, records.update-status, docker.inspect, docker.remove, op-log, settings:*";
    assert_eq!(authority.needs.to_string(), expected);
    assert!(authority.imports.contains("galaxy:rtmanager/docker@0.1.0#remove"), "{:?}", authority.imports);
    assert!(authority.imports.contains("galaxy:rtmanager/types@0.1.0"), "{:?}", authority.imports);
    let hostile = Authority::of(fixtures::HOSTILE).unwrap();
    assert_eq!(hostile.needs.difference(&authority.needs).to_string(), "logging, wasi");
}

#[tokio::test]
async fn a_component_as_large_as_pythons_is_admitted_and_one_above_the_limit_is_not() {
    let python = bombs::padded(DEFAULT_POLICY, 18 << 20);
    assert_eq!(python.len(), 18 << 20);
    check(&python, &Grants::all()).await.unwrap();
    check(&bombs::padded(DEFAULT_POLICY, 32 << 20), &Grants::all()).await.unwrap();
    let refusal = refused(&bombs::padded(DEFAULT_POLICY, (32 << 20) + 1)).await.to_string();
    let expected = "the component has 33554433 bytes or more, and 33554432 are allowed (component_bytes)";
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn a_shape_that_only_a_bomb_has_is_refused_by_the_limit_it_exceeds() {
    for (component, limit, found, allowed) in [
        (fixtures::nested_components(90), "nesting", 9, 8),
        (fixtures::many_instances(500), "core_instances", 500, 100),
        (bombs::many_sections(DEFAULT_POLICY, 20_000), "sections", 10_001, 10_000),
        (bombs::around(&bombs::functions(1, 120_000)), "function_bytes", 0, 1 << 20),
        (bombs::around(&"(func)".repeat(100_001)), "functions", 100_001, 100_000),
        (bombs::around(&"(memory 1)".repeat(11)), "memories", 11, 10),
        (bombs::around(&"(table 1 funcref)".repeat(31)), "tables", 31, 30),
        (bombs::around(&"(type (func))".repeat(20_001)), "types", 20_001, 20_000),
        (bombs::around(&"(global i32 (i32.const 0))".repeat(100_001)), "globals", 100_001, 100_000),
    ] {
        let Refusal::Shape(refusal) = refused(&component).await else { panic!("{limit} does not count") };
        assert_eq!((refusal.limit, refusal.allowed), (limit, allowed));
        assert!(refusal.found > allowed && refusal.found >= found, "{refusal}");
        let told = refusal.to_string();
        assert!(told.contains(&format!("({limit})")) && told.contains(&allowed.to_string()), "{told}");
    }
}

#[tokio::test]
async fn an_import_that_nobody_has_is_named_with_what_may_be_imported() {
    for (component, import) in [
        (fixtures::undeclared_import(), "evil:host/shell@1.0.0"),
        (fixtures::unknown_version(), "galaxy:rtmanager/clock@9.0.0"),
        (imports_function("wasi:http/outgoing-handler@0.2.0", "handle"), "wasi:http/outgoing-handler@0.2.0"),
        (imports_function("wasi:filesystem/types@0.3.0", "stat"), "wasi:filesystem/types@0.3.0"),
        (imports("(import \"run\" (func))"), "run"),
    ] {
        let refusal = refused(&component).await;
        assert!(matches!(refusal, Refusal::UnknownImport { .. }), "{refusal}");
        let told = refusal.to_string();
        assert!(told.contains(&format!("imports {import}, ")), "{told}");
        assert!(told.contains("galaxy:rtmanager/docker@0.1.0") && told.contains("wasi:cli"), "{told}");
    }
}

#[tokio::test]
async fn a_function_that_an_interface_does_not_have_is_named_with_those_it_has() {
    let refusal = refused(&imports_function("galaxy:rtmanager/docker@0.1.0", "kill")).await.to_string();
    let expected = "the component imports kill of galaxy:rtmanager/docker@0.1.0, which has inspect, remove";
    assert_eq!(refusal, expected);
    let refusal = refused(&imports_function("galaxy:rtmanager/types@0.1.0", "exec")).await.to_string();
    assert!(refusal.ends_with("galaxy:rtmanager/types@0.1.0, which has types only"), "{refusal}");
}

#[tokio::test]
async fn a_function_of_another_type_than_the_contracts_does_not_fit() {
    let refusal = refused(&imports_function("galaxy:rtmanager/docker@0.1.0", "remove")).await;
    assert!(matches!(refusal, Refusal::Unfit(_)), "{refusal}");
    assert!(refusal.to_string().contains("lifecycle-policy@0.1.0"), "{refusal}");
}

#[tokio::test]
async fn an_import_that_is_not_granted_is_named_with_the_grant_that_it_lacks() {
    for (policy, missing, import) in [
        (DEFAULT_POLICY, Grant::DockerRemove, "galaxy:rtmanager/docker@0.1.0#remove"),
        (DEFAULT_POLICY, Grant::DockerInspect, "galaxy:rtmanager/docker@0.1.0#inspect"),
        (DEFAULT_POLICY, Grant::RecordsUpdateStatus, "galaxy:rtmanager/records@0.1.0#update-status"),
        (DEFAULT_POLICY, Grant::AllSettings, "wasi:config/store@0.2.0-rc.1#get-all"),
        (fixtures::SOUND, Grant::Logging, "wasi:logging/logging@0.1.0-draft#log"),
        (fixtures::HOSTILE, Grant::Wasi, "wasi:cli/environment@"),
    ] {
        let granted = without(missing.clone());
        let told = check(policy, &granted).await.map(|_| "admitted").unwrap_err().to_string();
        assert!(told.starts_with(&format!("the component imports {import}")), "{told}");
        assert!(told.ends_with(&format!(", which takes the grant {missing}; granted here: {granted}")), "{told}");
    }
    // Types alone reach nothing, but are of a WASI that is not granted either.
    let types_only = imports(r#"(import "wasi:io/error@0.2.0" (instance (export "error" (type (sub resource)))))"#);
    let told = check(&types_only, &without(Grant::Wasi)).await.map(|_| "admitted").unwrap_err().to_string();
    assert!(told.starts_with("the component imports wasi:io/error@0.2.0, which takes the grant wasi"), "{told}");
    let told = check(fixtures::SOUND, &Grants::default()).await.map(|_| "admitted").unwrap_err().to_string();
    assert!(told.ends_with("granted here: nothing"), "{told}");
}

#[tokio::test]
async fn one_setting_that_may_be_read_is_enough_to_import_the_settings() {
    let mut granted: Vec<Grant> = without(Grant::AllSettings).iter().cloned().collect();
    granted.push("settings:protect_label".parse().unwrap());
    check(DEFAULT_POLICY, &granted.into_iter().collect()).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_the_export_that_is_missing() {
    for component in [fixtures::without_exports(), fixtures::nested_components(3)] {
        let told = refused(&component).await.to_string();
        let expected =
            "the component does not export handle of galaxy:rtmanager/cleanup@0.1.0, by which it would be asked";
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn what_is_no_component_is_told_so() {
    assert!(matches!(refused(fixtures::GARBAGE).await, Refusal::Malformed(_)));
    assert!(matches!(refused(&fixtures::core_module()).await, Refusal::NoComponent));
    assert!(matches!(refused(&[]).await, Refusal::Malformed(_)));
    for cut in [1, 8, 100, DEFAULT_POLICY.len() / 2, DEFAULT_POLICY.len() - 1] {
        assert!(matches!(refused(&DEFAULT_POLICY[..cut]).await, Refusal::Malformed(_) | Refusal::MissingExport { .. }));
    }
}

#[tokio::test]
async fn a_body_that_is_not_valid_is_the_compilers_to_refuse() {
    // The module is valid to the byte, but for an instruction that does not exist.
    let sound = bombs::around("(func (result i32) (i32.const 0x0badcafe))");
    let mut broken = sound.clone();
    let at = broken.windows(5).position(|bytes| bytes[0] == 0x41 && bytes[4] == 0xdd).unwrap();
    broken[at] = 0xff;
    let refusal = refused(&broken).await;
    assert!(matches!(refusal, Refusal::Compile(_)), "{refusal}");
    assert!(refusal.to_string().contains("the sandbox accepts"), "{refusal}");
}

#[tokio::test]
async fn a_policy_that_cannot_be_instantiated_within_its_limits_is_refused_by_that_limit() {
    let limits = Limits { guest_time: Duration::from_millis(200), ..Limits::default() };
    for (policy, code, named) in [
        (fixtures::TRAPPING_START, "policy_trap", "unreachable"),
        (fixtures::ENDLESS_START, "policy_deadline_exceeded", "limits.guest_time (200 ms)"),
    ] {
        let checked = admission(ShapeLimits::default()).check(policy.to_vec(), &Grants::all(), &limits).await;
        let told = checked.map(|_| "admitted").unwrap_err().to_string();
        assert!(told.starts_with("the component cannot be instantiated: ") && told.contains(named), "{told}");
        assert!(told.ends_with(&format!("({code})")), "{told}");
    }
    for policy in [fixtures::HUGE_MEMORY, fixtures::HUGE_TABLE, fixtures::MANY_MEMORIES] {
        let refusal = refused(policy).await;
        assert!(matches!(refusal, Refusal::Unfit(_) | Refusal::Compile(_)), "{refusal}");
    }
    let overrides = LimitOverrides { memory_bytes: Some(1 << 16), ..LimitOverrides::default() };
    let little = overrides.apply(&Limits::default()).unwrap();
    let checked = admission(ShapeLimits::default()).check(fixtures::HOSTILE.to_vec(), &Grants::all(), &little).await;
    let told = checked.map(|_| "admitted").unwrap_err().to_string();
    assert!(told.contains("limits.memory_bytes (65536)"), "{told}");
}

#[tokio::test]
async fn a_machine_that_cannot_compile_says_nothing_of_the_component() {
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 1, ..SandboxOptions::default() }).unwrap();
    let compiler = Compiler::new(CompilerOptions { program: "/nowhere/rtmanager".into(), ..Default::default() });
    let ports = MockHost::builder().build().ports;
    let admission = Admission::new(ShapeLimits::default(), PolicyLoader::new(sandbox, compiler, None), ports);
    let checked = admission.check(DEFAULT_POLICY.to_vec(), &Grants::all(), &Limits::default()).await;
    let refusal = checked.map(|_| "admitted").unwrap_err();
    assert!(refusal.is_of_host() && refusal.to_string().contains("/nowhere/rtmanager"), "{refusal}");
}

#[tokio::test]
async fn the_instance_that_is_tried_out_touches_nothing() {
    let host = MockHost::builder().build();
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 1, ..SandboxOptions::default() }).unwrap();
    let compiler = Compiler::new(CompilerOptions { program: PROGRAM.into(), ..CompilerOptions::default() });
    let loader = PolicyLoader::new(sandbox, compiler, None);
    let admission = Admission::new(ShapeLimits::default(), loader, host.ports.clone());
    admission.check(fixtures::HOSTILE.to_vec(), &Grants::all(), &Limits::default()).await.unwrap();
    assert!(host.script.journal().calls().is_empty(), "{:?}", host.script.journal().calls());
    assert!(host.entries().is_empty() && host.no_lease_is_held());
}

/// The exports of a policy by name, and these imports.
fn imports(imports: &str) -> Vec<u8> {
    let policy = format!(
        r#"(component {imports}
            (core module $f (func (export "f")))
            (core instance $i (instantiate $f))
            (func $f (canon lift (core func $i "f")))
            (instance $cleanup (export "handle" (func $f)))
            (instance $retention (export "review" (func $f)))
            (export "galaxy:rtmanager/cleanup@0.1.0" (instance $cleanup))
            (export "galaxy:rtmanager/retention@0.1.0" (instance $retention)))"#
    );
    wat::parse_str(policy).unwrap()
}

fn imports_function(interface: &str, function: &str) -> Vec<u8> {
    imports(&format!(r#"(import "{interface}" (instance (export "{function}" (func))))"#))
}

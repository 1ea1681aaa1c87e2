//! The compiler in its cage: what it compiles runs, and whatever a component makes of it ends there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rtmanager::compiler::{CompileError, Compiler, CompilerOptions, LoadFailure, PolicyLoader};
use rtmanager::model::PolicyDigest;
use rtmanager::runtime::{CompileEngine, DEFAULT_POLICY, Policy, Sandbox, SandboxOptions, Terms};
use rtmanager::session::Session;
use rtmanager_tests::mock_host::MockHost;
use rtmanager_tests::{bombs, fixtures};
use tokio::time::Instant;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rtmanager-cli");

/// Far beyond what anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> CompilerOptions {
    CompilerOptions { program: PROGRAM.into(), ..CompilerOptions::default() }
}

fn loader(options: CompilerOptions) -> PolicyLoader {
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 2, ..SandboxOptions::default() }).unwrap();
    PolicyLoader::new(sandbox, Compiler::new(options), None)
}

async fn failure(options: CompilerOptions, component: &[u8]) -> CompileError {
    match loader(options).load(component).await.map(|_| "loaded").unwrap_err() {
        LoadFailure::Compile(error) => error,
        other => panic!("{other}"),
    }
}

async fn instantiate(policy: &Policy) {
    let session = Session::of_nobody(MockHost::builder().build().ports, policy.digest().clone());
    policy.try_out(session, Terms { settings: Arc::default(), limits: policy.limits().clone() }).await.unwrap();
}

#[tokio::test]
async fn what_is_compiled_in_the_cage_loads_here_and_runs() {
    let loader = loader(options());
    for component in [DEFAULT_POLICY, fixtures::HOSTILE] {
        let policy = loader.load(component).await.unwrap();
        assert_eq!(*policy.digest(), PolicyDigest::of(component));
        instantiate(&policy).await;
    }
}

#[tokio::test]
async fn this_programs_own_policy_needs_no_second_process() {
    let nowhere = CompilerOptions { program: "/nowhere".into(), ..options() };
    instantiate(&loader(nowhere).load_own(DEFAULT_POLICY).unwrap()).await;
}

#[tokio::test]
async fn more_components_than_places_are_compiled_one_after_another() {
    let loader = loader(CompilerOptions { concurrency: 1, ..options() });
    let loads: Vec<_> = (0..3)
        .map(|_| {
            let loader = loader.clone();
            tokio::spawn(async move { loader.load(DEFAULT_POLICY).await.map(|_| ()) })
        })
        .collect();
    for load in loads {
        load.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_the_sandbox_does_not_accept_is_refused_in_the_compilers_words() {
    for component in [fixtures::GARBAGE.to_vec(), fixtures::core_module()] {
        let error = failure(options(), &component).await;
        assert!(matches!(error, CompileError::Rejected(_)) && error.is_of_component(), "{error}");
        assert!(error.to_string().starts_with("this is not a component that the sandbox accepts: "), "{error}");
    }
    let error = failure(CompilerOptions { component_bytes: 1_000, ..options() }, DEFAULT_POLICY).await;
    assert!(error.to_string().contains("more than 1000 bytes"), "{error}");
}

#[tokio::test]
async fn a_component_that_takes_too_long_is_stopped_in_time_and_leaves_no_process() {
    let bomb = bombs::around(&bombs::functions(20, 20_000));
    let began = Instant::now();
    let (program, _directory) = copied();
    let slow = CompilerOptions { program: program.clone(), time: Duration::from_millis(300), ..options() };
    let error = failure(slow, &bomb).await;
    assert!(matches!(error, CompileError::TooSlow(_)) && error.is_of_component(), "{error}");
    assert_eq!(error.to_string(), "compiling it takes longer than admission.compile_time (300 ms)");
    assert!(began.elapsed() < PATIENCE);
    until(|| processes_of(&program) == 0).await;
}

#[tokio::test]
async fn few_bytes_that_stand_for_a_great_many_instances_are_stopped() {
    let bounded = CompilerOptions { time: Duration::from_secs(2), memory_bytes: 512 << 20, ..options() };
    let error = failure(bounded, &bombs::tenfold_instances(7)).await;
    assert!(error.is_of_component(), "{error}");
}

#[tokio::test]
async fn a_component_that_takes_too_much_memory_is_stopped_by_that_limit() {
    let bomb = bombs::around(&bombs::functions(4, 40_000));
    let error = failure(CompilerOptions { memory_bytes: 192 << 20, ..options() }, &bomb).await;
    assert!(matches!(error, CompileError::Broke { .. }) && error.is_of_component(), "{error}");
    assert!(error.to_string().contains("admission.compile_memory_bytes (201326592)"), "{error}");
}

#[tokio::test]
async fn more_code_than_is_taken_is_left() {
    let error = failure(CompilerOptions { code_bytes: 10_000, ..options() }, DEFAULT_POLICY).await;
    assert!(matches!(error, CompileError::TooMuchCode(10_000)) && error.is_of_component(), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_this_one_compiles_nothing() {
    let endless = script("exec cat /dev/zero");
    let error = failure(CompilerOptions { program: endless.0.clone(), code_bytes: 1 << 20, ..options() }, b"").await;
    assert!(matches!(error, CompileError::TooMuchCode(_)), "{error}");

    let noisy = script("exec cat /dev/zero >&2");
    let short = CompilerOptions { program: noisy.0.clone(), time: Duration::from_millis(500), ..options() };
    let error = failure(short, b"").await;
    assert!(matches!(error, CompileError::TooSlow(_)), "{error}");

    let silent = script("exit 0");
    let error = failure(CompilerOptions { program: silent.0.clone(), ..options() }, DEFAULT_POLICY).await;
    assert!(matches!(error, CompileError::Foreign(_)) && !error.is_of_component(), "{error}");

    let error = failure(CompilerOptions { program: "/nowhere".into(), ..options() }, DEFAULT_POLICY).await;
    assert!(matches!(error, CompileError::Start { .. }) && !error.is_of_component(), "{error}");
}

#[tokio::test]
async fn the_compiler_has_nothing_of_its_parents_environment() {
    let told = script("env >&2; exit 12");
    let error = failure(CompilerOptions { program: told.0.clone(), ..options() }, DEFAULT_POLICY).await;
    let CompileError::Broke { ended, .. } = &error else { panic!("{error}") };
    assert!(ended.contains("PWD=") && !ended.contains("CARGO") && !ended.contains("HOME="), "{ended}");
}

/// Before it reads anything, the compiler is where nothing else is open to it.
#[tokio::test]
async fn the_cage_is_closed_before_the_component_is_read() {
    let mut child = Caged::start(PROGRAM, 1 << 30);
    until(|| child.status("Seccomp") == "2").await;
    assert_eq!(child.status("NoNewPrivs"), "1");
    for (limit, most) in [
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max open files", "3"),
        ("Max address space", "1073741824"),
        ("Max cpu time", "9"),
    ] {
        assert_eq!(child.limit(limit), [most, most], "{limit}");
    }
    // It then compiles what it is given.
    let compiled = child.feed(DEFAULT_POLICY);
    let engine = CompileEngine::new().unwrap();
    assert!(compiled.starts_with(engine.fingerprint().as_bytes()) && compiled.len() > DEFAULT_POLICY.len());
}

#[tokio::test]
async fn what_the_parent_left_open_is_not_open_in_the_cage() {
    // The shell opens it without the mark that would close it at the start of a program.
    let secret = tempfile::NamedTempFile::new().unwrap();
    let leaking = script(&format!("exec 7<{} 9>&1; exec {PROGRAM} \"$@\"", secret.path().display()));
    let mut child = Caged::start(leaking.0.to_str().unwrap(), 2 << 30);
    until(|| child.status("Seccomp") == "2").await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", child.0.id())).unwrap();
    let mut open: Vec<_> = open.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    assert!(child.feed(DEFAULT_POLICY).len() > DEFAULT_POLICY.len());
}

#[tokio::test]
async fn a_cage_that_cannot_be_closed_compiles_nothing() {
    // Less than the cage sets, and without the right to set more.
    let confined = format!("ulimit -v 1000000; exec {PROGRAM} \\\"\\$@\\\"");
    let drop = "exec setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource";
    let wrapped = script(&format!("{drop} sh -c \"{confined}\" compiler \"$@\""));
    let error = failure(CompilerOptions { program: wrapped.0.clone(), ..options() }, DEFAULT_POLICY).await;
    assert!(matches!(error, CompileError::Uncaged(_)) && !error.is_of_component(), "{error}");
    assert!(error.to_string().contains("address space"), "{error}");
}

struct Caged(Child);

impl Caged {
    fn start(program: &str, memory_bytes: u64) -> Self {
        let mut command = Command::new(program);
        command.args(["compile-policy", "--cpu-seconds=9", "--component-bytes=1000000"]);
        command.arg(format!("--memory-bytes={memory_bytes}")).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self(command.spawn().unwrap())
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    fn status(&self, name: &str) -> String {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap_or_default();
        line.trim().to_owned()
    }

    fn limit(&self, name: &str) -> [String; 2] {
        let limits = self.proc("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        [words.next().unwrap(), words.next().unwrap()]
    }

    fn feed(&mut self, component: &[u8]) -> Vec<u8> {
        use std::io::{Read as _, Write as _};
        self.0.stdin.take().unwrap().write_all(component).unwrap();
        let mut output = Vec::new();
        self.0.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        assert!(self.0.wait().unwrap().success());
        output
    }
}

impl Drop for Caged {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program of one line, in a directory of its own.
fn script(line: &str) -> (PathBuf, Arc<tempfile::TempDir>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    (path, Arc::new(directory))
}

/// The program under a name that no other test runs.
fn copied() -> (PathBuf, Arc<tempfile::TempDir>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("compiler-of-one-test");
    if std::fs::hard_link(PROGRAM, &path).is_err() {
        std::fs::copy(PROGRAM, &path).unwrap();
    }
    (path, Arc::new(directory))
}

fn processes_of(program: &Path) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(program.to_str().unwrap().as_bytes())).count()
}

async fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it does not come to hold");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Compiled code and its key, whose writer dies at each system call and at many a byte.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;

use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::compiler::{CodeCache, CodeCacheOptions};
use rtmanager::model::PolicyDigest;
use rtmanager::runtime::{CompileEngine, CompiledCode};
use rtmanager_tests::fixtures::SOUND;
use rtmanager_tests::place::Place;

/// SIGSYS: killed by the filter of system calls; SIGXFSZ: by the size that a file may have.
const SYSCALL: i32 = libc::SIGSYS;
const FILE_SIZE: i32 = libc::SIGXFSZ;

struct Cached {
    place: Place,
    component: PathBuf,
    engine: CompileEngine,
    code: CompiledCode,
}

impl Cached {
    fn new() -> Self {
        let (place, engine) = (Place::new(None), CompileEngine::new().unwrap());
        let component = place.path().join("policy.wasm");
        fs::write(&component, SOUND).unwrap();
        let code = engine.compile(SOUND).unwrap();
        Self { place, component, engine, code }
    }

    fn options(&self) -> CodeCacheOptions {
        self.place.code_cache()
    }

    fn keep(&self, how: &[&str]) -> ExitStatus {
        let mut command = self.place.command(env!("CARGO_BIN_EXE_stepper"));
        let output = command.arg("keep").arg(&self.component).args(how).output().unwrap();
        let status = output.status;
        assert!(status.success() || status.signal().is_some(), "{}", String::from_utf8_lossy(&output.stderr));
        status
    }

    /// Whether the code is there, in which case it is the one that was compiled.
    fn hits(&self) -> bool {
        let cache = CodeCache::open(&self.options(), Arc::new(SystemRandomness)).unwrap();
        let found = cache.get(&PolicyDigest::of(SOUND), self.engine.fingerprint());
        found.inspect(|code| assert!(code.as_bytes() == self.code.as_bytes(), "another code")).is_some()
    }

    fn is_kept_by_the_next(&self, told: &str) {
        assert!(self.keep(&[]).success(), "{told}: the next one cannot keep it");
        assert!(self.hits(), "{told}: nothing is kept any more");
    }

    fn forget(&self) {
        let CodeCacheOptions { directory, key_file, .. } = self.options();
        for path in [directory.as_path(), key_file.parent().unwrap()] {
            if path.exists() {
                fs::remove_dir_all(path).unwrap();
            }
        }
    }
}

#[test]
fn killed_at_any_system_call_of_keeping_code_there_is_the_code_or_none_and_the_next_one_keeps_it() {
    let cached = Cached::new();
    // What is there once the call before has had its effect.
    let calls =
        [("create", false), ("write", false), ("sync", false), ("rename", false), ("open", true), ("list", true)];
    for (call, there) in calls {
        cached.forget();
        assert!(!cached.hits());
        assert_eq!(cached.keep(&["--forbids", call]).signal(), Some(SYSCALL), "{call} is never called");
        assert_eq!(cached.hits(), there, "killed at {call}");
        cached.is_kept_by_the_next(call);
        // Over one that is there already.
        assert_eq!(cached.keep(&["--forbids", call]).signal(), Some(SYSCALL));
        assert!(cached.hits(), "killed at {call}, and what was there is gone");
    }
}

#[test]
fn killed_at_any_system_call_of_making_the_key_there_is_a_key_or_none_and_the_next_one_has_one() {
    let cached = Cached::new();
    for call in ["make-directory", "create", "write", "sync", "link", "remove"] {
        cached.forget();
        let status = cached.keep(&["--from-the-start", "--forbids", call]);
        assert_eq!(status.signal(), Some(SYSCALL), "{call} is never called");
        assert!(!cached.hits(), "killed at {call}");
        cached.is_kept_by_the_next(call);
    }
}

#[test]
fn killed_at_any_byte_of_the_key_or_the_code_nothing_half_is_used() {
    let cached = Cached::new();
    let key_bytes = 44;
    let whole = cached.code.as_bytes().len() + 32;
    let stride = whole / 24;
    let bytes = (0..key_bytes).step_by(6).chain([key_bytes - 1]);
    let code = [key_bytes, key_bytes + 1].into_iter().chain((1..24).map(|part| part * stride)).chain([whole - 1]);
    for (limit, makes_key) in bytes.map(|limit| (limit, true)).chain(code.map(|limit| (limit, false))) {
        cached.forget();
        if !makes_key {
            assert!(!cached.hits());
        }
        let status = cached.keep(&["--file-bytes", &limit.to_string()]);
        assert_eq!(status.signal(), Some(FILE_SIZE), "{limit} bytes are enough");
        assert!(!cached.hits(), "killed at byte {limit}");
    }
    cached.is_kept_by_the_next("the last byte");
    assert!(cached.keep(&["--file-bytes", &whole.to_string()]).success(), "and that is all of them");
}

//! Compiled code on disk: a hit is what was written, byte by byte; whatever is wrong is a miss, and is compiled anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rtmanager::adapters::memory::SeededRandomness;
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::compiler::{CacheError, CodeCache, CodeCacheOptions, Compiler, CompilerOptions, PolicyLoader};
use rtmanager::model::PolicyDigest;
use rtmanager::runtime::{CompileEngine, CompiledCode, DEFAULT_POLICY, EngineFingerprint, Sandbox, SandboxOptions};
use rtmanager_tests::fixtures;

struct Site {
    directory: tempfile::TempDir,
    engine: EngineFingerprint,
    code: CompiledCode,
}

impl Site {
    fn new() -> Self {
        let engine = CompileEngine::new().unwrap();
        let code = engine.compile(fixtures::SOUND).unwrap();
        Self { directory: tempfile::tempdir().unwrap(), engine: engine.fingerprint(), code }
    }

    fn options(&self) -> CodeCacheOptions {
        let state = self.directory.path().join("state");
        CodeCacheOptions { directory: state.join("code"), key_file: state.join("code.key"), bytes: 64 << 20 }
    }

    fn cache(&self) -> CodeCache {
        CodeCache::open(&self.options(), Arc::new(SystemRandomness)).unwrap()
    }

    fn put(&self, cache: &CodeCache) -> PathBuf {
        cache.put(&sound(), self.engine, &self.code);
        self.entry()
    }

    fn hits(&self, cache: &CodeCache) -> bool {
        let found = cache.get(&sound(), self.engine);
        found.inspect(|code| assert!(code.as_bytes() == self.code.as_bytes(), "another code")).is_some()
    }

    /// The only file of the cache.
    fn entry(&self) -> PathBuf {
        let files = self.entries();
        assert_eq!(files.len(), 1, "{files:?}");
        files.into_iter().next().unwrap()
    }

    fn entries(&self) -> Vec<PathBuf> {
        fs::read_dir(self.options().directory).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn sound() -> PolicyDigest {
    PolicyDigest::of(fixtures::SOUND)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_put_is_got_by_another_process_with_the_same_key_and_is_open_to_nobody_else() {
    let site = Site::new();
    assert!(!site.hits(&site.cache()));
    let entry = site.put(&site.cache());
    assert!(site.hits(&site.cache()));
    let CodeCacheOptions { directory, key_file, .. } = site.options();
    assert_eq!((mode(&directory), mode(&key_file), mode(&entry)), (0o700, 0o600, 0o600));
}

#[test]
fn a_byte_that_is_changed_anywhere_is_a_miss() {
    let site = Site::new();
    let cache = site.cache();
    let entry = site.put(&cache);
    let written = fs::read(&entry).unwrap();
    let (head, tail) = (0..256, written.len() - 256..written.len());
    let sample = (256..written.len() - 256).step_by(written.len() / 256);
    for at in head.chain(sample).chain(tail) {
        for change in [0x01, 0x80] {
            let mut changed = written.clone();
            changed[at] ^= change;
            fs::write(&entry, &changed).unwrap();
            assert!(!site.hits(&cache), "byte {at} does not count");
        }
    }
    fs::write(&entry, &written).unwrap();
    assert!(site.hits(&cache));
}

#[test]
fn an_entry_that_is_cut_or_goes_on_is_a_miss() {
    let site = Site::new();
    let cache = site.cache();
    let entry = site.put(&cache);
    let written = fs::read(&entry).unwrap();
    for length in (0..80).chain([written.len() / 2, written.len() - 1]) {
        fs::write(&entry, &written[..length]).unwrap();
        assert!(!site.hits(&cache), "{length} bytes are enough");
    }
    for more in [&b"\0"[..], &written] {
        fs::write(&entry, [&written, more].concat()).unwrap();
        assert!(!site.hits(&cache));
    }
}

#[test]
fn code_of_another_policy_or_under_another_key_is_a_miss() {
    let site = Site::new();
    let cache = site.cache();
    let entry = site.put(&cache);
    let other = PolicyDigest::of(DEFAULT_POLICY);
    let name = entry.file_name().unwrap().to_str().unwrap().replace(sound().as_str(), other.as_str());
    fs::copy(&entry, entry.with_file_name(name)).unwrap();
    assert!(cache.get(&other, site.engine).is_none() && site.hits(&cache));
    fs::remove_file(site.options().key_file).unwrap();
    assert!(!site.hits(&site.cache()));
}

#[test]
fn code_for_another_engine_is_a_miss() {
    let site = Site::new();
    let cache = site.cache();
    let entry = site.put(&cache);
    let other = EngineFingerprint::from([7; EngineFingerprint::BYTES]);
    assert!(cache.get(&sound(), other).is_none());
    // Nor is it one under that engine's name; it was not damaged by moving.
    let renamed = entry.with_file_name(format!("{}-{}", sound(), "07".repeat(8)));
    fs::rename(&entry, &renamed).unwrap();
    assert!(cache.get(&sound(), other).is_none());
    fs::rename(&renamed, &entry).unwrap();
    assert!(site.hits(&cache));
}

#[test]
fn an_entry_that_others_could_have_written_is_a_miss() {
    let site = Site::new();
    let cache = site.cache();
    let entry = site.put(&cache);
    for open in [0o644, 0o620, 0o602] {
        set_mode(&entry, open);
        assert!(!site.hits(&cache), "mode {open:o}");
    }
    set_mode(&entry, 0o600);
    assert!(site.hits(&cache));
    set_mode(&site.options().directory, 0o750);
    assert!(!site.hits(&cache));
    set_mode(&site.options().directory, 0o700);
    // Only root can give a file away.
    if std::os::unix::fs::chown(&entry, Some(12_345), None).is_ok() {
        assert!(!site.hits(&cache));
        std::os::unix::fs::chown(&entry, Some(0), None).unwrap();
    }
    let elsewhere = site.directory.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    assert!(!site.hits(&cache));
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    assert!(!site.hits(&cache));
}

#[test]
fn a_key_or_directory_that_is_not_ours_only_is_not_used() {
    let site = Site::new();
    drop(site.cache());
    let CodeCacheOptions { directory, key_file, .. } = site.options();
    let opened = || CodeCache::open(&site.options(), Arc::new(SystemRandomness)).map(|_| ());
    let refused = |path: &Path, why: &str| {
        let told = opened().unwrap_err().to_string();
        assert!(told.starts_with(&format!("cannot use {}: ", path.display())) && told.contains(why), "{told}");
    };
    set_mode(&key_file, 0o640);
    refused(&key_file, "open to others (mode 640)");
    set_mode(&key_file, 0o600);
    let key = fs::read(&key_file).unwrap();
    for wrong in [&b""[..], b"short", &key[1..], &[&key[..], b"more"].concat(), b"\xff\xfe"] {
        fs::write(&key_file, wrong).unwrap();
        refused(&key_file, "it holds no key");
    }
    fs::write(&key_file, &key).unwrap();
    set_mode(&directory, 0o701);
    refused(&directory, "not ours only");
    fs::remove_dir(&directory).unwrap();
    symlink(site.directory.path(), &directory).unwrap();
    refused(&directory, "not a directory");
}

#[test]
fn root_leaves_another_users_cache_alone_and_makes_none_for_it() {
    let site = Site::new();
    let CodeCacheOptions { directory, key_file, .. } = site.options();
    let opened = || CodeCache::open(&site.options(), Arc::new(SystemRandomness)).map(|_| ());
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(12_345), None).unwrap();
    if std::os::unix::fs::chown(site.directory.path(), Some(12_345), None).is_err() {
        // Nobody but root can come upon it.
        return;
    }
    assert!(matches!(opened(), Err(CacheError::Foreign { owner: 12_345, uid: 0, .. })));
    assert!(!directory.exists() && !key_file.exists());

    std::os::unix::fs::chown(site.directory.path(), Some(0), None).unwrap();
    opened().unwrap();
    for foreign in [&key_file, &directory] {
        give(foreign);
        assert!(matches!(opened(), Err(CacheError::Foreign { owner: 12_345, uid: 0, .. })), "{}", foreign.display());
    }
}

#[test]
fn without_randomness_there_is_no_key() {
    let site = Site::new();
    let randomness = SeededRandomness::new(1);
    randomness.set_failing(true);
    let opened = CodeCache::open(&site.options(), Arc::new(randomness)).map(|_| ());
    assert!(matches!(opened, Err(CacheError::Randomness(_))), "{opened:?}");
    assert!(!site.options().key_file.exists());
}

#[test]
fn what_was_used_least_recently_makes_room() {
    let site = Site::new();
    let size = u64::try_from(site.code.as_bytes().len()).unwrap() + 32;
    let options = CodeCacheOptions { bytes: 3 * size, ..site.options() };
    let cache = CodeCache::open(&options, Arc::new(SystemRandomness)).unwrap();
    let digests: Vec<_> = (0..4_u8).map(|n| PolicyDigest::of(&[n])).collect();
    // Older than all, but nothing of ours.
    let stranger = options.directory.join("rtmanager.db");
    fs::write(&stranger, vec![0; 3 * usize::try_from(size).unwrap()]).unwrap();
    fs::File::options().write(true).open(&stranger).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    // What a process that died left behind.
    let draft = options.directory.join("new-0123456789abcdef");
    fs::write(&draft, b"half").unwrap();
    fs::File::options().write(true).open(&draft).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let age = |digest: &PolicyDigest, seconds| {
        let entries = site.entries().into_iter();
        let mut those = entries.filter(|path| path.to_str().unwrap().contains(digest.as_str()));
        let file = fs::File::options().write(true).open(those.next().unwrap()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    for (digest, seconds) in digests[..3].iter().zip([10, 20, 30]) {
        cache.put(digest, site.engine, &site.code);
        age(digest, seconds);
    }
    // The oldest is used, so the second oldest goes.
    assert!(cache.get(&digests[0], site.engine).is_some());
    cache.put(&digests[3], site.engine, &site.code);
    let kept: Vec<_> = digests.iter().map(|digest| cache.get(digest, site.engine).is_some()).collect();
    assert_eq!(kept, [true, false, true, true]);
    assert!(stranger.exists() && !draft.exists());
    // What does not fit at all is not kept, and drives nothing out.
    let options = CodeCacheOptions { bytes: size - 1, ..site.options() };
    CodeCache::open(&options, Arc::new(SystemRandomness)).unwrap().put(&sound(), site.engine, &site.code);
    assert_eq!(site.entries().len(), 3 + 1);
}

#[tokio::test]
async fn a_cached_policy_is_loaded_without_a_compiler_and_a_damaged_one_is_compiled_anew() {
    let site = Site::new();
    let loader = |program: &str| {
        let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 1, ..SandboxOptions::default() }).unwrap();
        let options = CompilerOptions { program: program.into(), ..CompilerOptions::default() };
        PolicyLoader::new(sandbox, Compiler::new(options), Some(site.cache()))
    };
    loader(env!("CARGO_BIN_EXE_rtmanager-cli")).load(fixtures::SOUND).await.unwrap();
    let policy = loader("/nowhere").load(fixtures::SOUND).await.unwrap();
    assert_eq!(*policy.digest(), sound());

    let mut damaged = fs::read(site.entry()).unwrap();
    damaged[1_000] ^= 1;
    fs::write(site.entry(), &damaged).unwrap();
    assert!(loader("/nowhere").load(fixtures::SOUND).await.is_err());
    loader(env!("CARGO_BIN_EXE_rtmanager-cli")).load(fixtures::SOUND).await.unwrap();
    loader("/nowhere").load(fixtures::SOUND).await.unwrap();
}

#[tokio::test]
async fn the_policy_that_is_built_in_is_kept_as_well() {
    let site = Site::new();
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 1, ..SandboxOptions::default() }).unwrap();
    let options = CompilerOptions { program: "/nowhere".into(), ..CompilerOptions::default() };
    let loader = PolicyLoader::new(sandbox, Compiler::new(options), Some(site.cache()));
    assert!(loader.load(DEFAULT_POLICY).await.is_err());
    loader.load_own(DEFAULT_POLICY).unwrap();
    loader.load(DEFAULT_POLICY).await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_the_contract_is_not_kept() {
    let site = Site::new();
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 1, ..SandboxOptions::default() }).unwrap();
    let options = CompilerOptions { program: env!("CARGO_BIN_EXE_rtmanager-cli").into(), ..Default::default() };
    let loader = PolicyLoader::new(sandbox, Compiler::new(options), Some(site.cache()));
    for component in [fixtures::without_exports(), fixtures::HUGE_MEMORY.to_vec()] {
        assert!(loader.load(&component).await.is_err());
    }
    assert_eq!(site.entries(), Vec::<PathBuf>::new());
}

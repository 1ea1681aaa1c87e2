//! The file of cached code, and that of the key it is sealed by.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::compiler::{CacheError, CodeCache, CodeCacheOptions};
use rtmanager::model::PolicyDigest;
use rtmanager::runtime::{CompileEngine, CompiledCode, EngineFingerprint};
use rtmanager_tests::fixtures::SOUND;

/// Code in a cache.
struct Kept {
    directory: tempfile::TempDir,
    engine: EngineFingerprint,
    code: CompiledCode,
}

impl Kept {
    fn new() -> Self {
        let engine = CompileEngine::new().unwrap();
        let code = engine.compile(SOUND).unwrap();
        let kept = Self { directory: tempfile::tempdir().unwrap(), engine: engine.fingerprint(), code };
        kept.cache().put(&PolicyDigest::of(SOUND), kept.engine, &kept.code);
        kept
    }

    fn options(&self) -> CodeCacheOptions {
        let state = self.directory.path();
        CodeCacheOptions { directory: state.join("code"), key_file: state.join("code.key"), bytes: 64 << 20 }
    }

    fn opened(&self) -> Result<CodeCache, CacheError> {
        CodeCache::open(&self.options(), Arc::new(SystemRandomness))
    }

    fn cache(&self) -> CodeCache {
        self.opened().unwrap()
    }

    /// Whether there is code, which then is the one that was put there.
    fn hits(&self, cache: &CodeCache) -> bool {
        let found = cache.get(&PolicyDigest::of(SOUND), self.engine);
        found.inspect(|code| assert!(code.as_bytes() == self.code.as_bytes(), "another code")).is_some()
    }

    fn entry(&self) -> PathBuf {
        fs::read_dir(self.options().directory).unwrap().next().unwrap().unwrap().path()
    }
}

#[test]
fn cached_code_with_any_byte_changed_or_cut_at_any_length_is_a_miss() {
    let (kept, entry) = (Kept::new(), Kept::entry);
    let (cache, path) = (kept.cache(), entry(&kept));
    let whole = fs::read(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    // Large code costs a hash of all of it each time: of what is neither its beginning nor its end, some bytes.
    let each = whole.len().div_ceil(8_192);
    let (head, tail) = (0..4_096.min(whole.len()), whole.len().saturating_sub(4_096)..whole.len());
    for at in head.chain((0..whole.len()).step_by(each)).chain(tail) {
        file.write_all_at(&[whole[at] ^ 0xff], at as u64).unwrap();
        assert!(!kept.hits(&cache), "byte {at} does not count");
        file.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    assert!(kept.hits(&cache), "it is whole again");
    for length in (0..whole.len()).rev().step_by(each) {
        file.set_len(length as u64).unwrap();
        assert!(!kept.hits(&cache), "{length} bytes are enough");
    }
    fs::write(&path, &whole).unwrap();
    assert!(kept.hits(&cache));
}

#[test]
fn a_key_with_any_byte_changed_opens_nothing() {
    let kept = Kept::new();
    let path = kept.options().key_file;
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut other) = (0, 0);
    for at in 0..whole.len() {
        for byte in (0..=255).filter(|byte| *byte != whole[at]) {
            let mut changed = whole.clone();
            changed[at] = byte;
            fs::write(&path, &changed).unwrap();
            match kept.opened() {
                Err(CacheError::Unusable { path: named, .. }) => {
                    assert_eq!(named, path);
                    refused += 1;
                }
                Err(error) => panic!("byte {at}: {error}"),
                // The line's end is not the key's.
                Ok(cache) if changed.trim_ascii_end() == whole.trim_ascii_end() => assert!(kept.hits(&cache)),
                Ok(cache) => {
                    assert!(!kept.hits(&cache), "byte {at} of the key does not count");
                    other += 1;
                }
            }
        }
    }
    assert!(refused > 5_000 && other > 2_000, "{refused} keys were refused, {other} were others");
    for length in 0..whole.len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(kept.opened(), Err(CacheError::Unusable { .. })), "{length} bytes are enough");
    }
    fs::write(&path, &whole).unwrap();
    assert!(kept.hits(&kept.cache()));
}

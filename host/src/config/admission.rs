//! What policies have to pass before they run, and where their code is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Section;
use super::types::Admission;
use crate::admission::ShapeLimits;
use crate::compiler::{CodeCacheOptions, CompilerOptions};

/// Code and key are kept beside the embedded store's file, which is this user's own directory.
pub(super) fn admission(section: &mut Section, store: &Path) -> Admission {
    let state = store.parent().unwrap_or(Path::new(""));
    let (shape, default) = (ShapeLimits::default(), CompilerOptions::default());
    let component_bytes = section.within("component_bytes", shape.component_bytes, 1 << 10..=256 << 20);
    let compiler = CompilerOptions {
        time: section.within("compile_time", default.time, Duration::from_millis(100)..=Duration::from_secs(3_600)),
        memory_bytes: section.within("compile_memory_bytes", default.memory_bytes, 256 << 20..=64 << 30),
        concurrency: section.within("concurrent_compiles", default.concurrency, 1..=256),
        component_bytes,
        ..default
    };
    let directory = section.read::<Option<PathBuf>>("code_cache", Some(state.join("code")));
    let key_file = section.read("code_key_file", state.join("code.key"));
    let bytes = section.within("code_cache_bytes", 1 << 30, 1 << 20..=1 << 40);
    if directory.as_ref().is_some_and(|directory| key_file.starts_with(directory)) {
        section.problem("code_key_file", key_file.display().to_string(), "must not be in admission.code_cache");
    }
    Admission {
        shape: ShapeLimits { component_bytes, ..shape },
        compiler,
        code_cache: directory.map(|directory| CodeCacheOptions { directory, key_file, bytes }),
    }
}

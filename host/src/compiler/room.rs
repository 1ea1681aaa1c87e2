//! Keeps a directory of entries within its size.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Removes the entries that were used least recently, until the rest fits. What a process that died has left half
/// written is an entry like any other.
pub(super) fn make(directory: &Path, bytes: u64) -> io::Result<()> {
    let mut entries = entries(directory)?;
    entries.sort_by_key(|(_, found)| found.modified().unwrap_or(SystemTime::UNIX_EPOCH));
    let mut sum: u64 = entries.iter().map(|(_, found)| found.len()).sum();
    for (path, found) in entries {
        if sum <= bytes {
            break;
        }
        remove(&path)?;
        sum = sum.saturating_sub(found.len());
    }
    Ok(())
}

fn entries(directory: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !is_ours(&entry.file_name().to_string_lossy()) {
            continue;
        }
        match entry.metadata() {
            Ok(found) if found.is_file() => entries.push((entry.path(), found)),
            Ok(_) => {}
            // Another process may be at it too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

/// Whether it has the name of an entry, whole or half written: should somebody name a directory in which other things
/// are, these stay.
fn is_ours(name: &str) -> bool {
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    name.split_once('-').is_some_and(|(what, rest)| is_hex(rest, 16) && (what == "new" || is_hex(what, 64)))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

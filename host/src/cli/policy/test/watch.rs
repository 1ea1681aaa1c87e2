//! Tests again and again, as their files change.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::super::{Answer, Error};
use super::Test;
use crate::config::Loaded;
use crate::model::ErrorChain;

/// Files are looked at so often. Asking for their times costs little, works on every file system, and misses no editor's
/// way of writing.
const GLANCE: Duration = Duration::from_millis(200);

/// What tells two states of the files apart: times and lengths, as far as they are there.
type Seen = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// Until Ctrl-C. What is wrong with a file is told, and mended by whoever edits it.
pub(super) async fn watch(test: &Test, file: &Path, loaded: &Loaded, json: bool) -> Result<Answer, Error> {
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    let mut played: Option<Seen> = None;
    loop {
        let seen = glance(test, file);
        if played.as_ref() != Some(&seen) && settled(test, file, &seen).await {
            let text = match test.once(file, loaded, json).await {
                Ok(answer) => answer.text,
                Err(error) => format!("{}\n", ErrorChain(&error)),
            };
            show(&text, json)?;
            played = Some(seen);
        }
        tokio::select! {
            stopped = &mut stop => {
                stopped.map_err(Error::Signals)?;
                return Ok(Answer::ok(String::new()));
            }
            () = tokio::time::sleep(GLANCE) => {}
        }
    }
}

/// A build that is under way writes for a while.
async fn settled(test: &Test, file: &Path, seen: &Seen) -> bool {
    tokio::time::sleep(GLANCE).await;
    file.is_file() && glance(test, file) == *seen
}

fn glance(test: &Test, file: &Path) -> Seen {
    // What cannot be listed is told when it is read.
    let scenarios = test.files().unwrap_or_else(|_| test.scenarios.clone());
    std::iter::once(file.to_owned()).chain(scenarios).map(|path| (path.clone(), stamp(&path))).collect()
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn show(text: &str, json: bool) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let rule = if json { "" } else { "----- watching; Ctrl-C ends it -----\n\n" };
    let written = write!(out, "{text}{rule}").and_then(|()| out.flush());
    written.map_err(|source| Error::File { path: PathBuf::from("stdout"), source })
}

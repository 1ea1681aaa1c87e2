//! Recorded runs: taken from the store, or from a file that was taken from one.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::super::{Answer, Error};
use super::arguments::{read, span};
use crate::app::{self, Stores};
use crate::config::Loaded;
use crate::model::{ErrorChain, InvalidId, PolicyScope, RunId, RunJournal, TenantId, bounded_text};
use crate::ports::JournalFilter;

/// Longest file of recorded runs.
const LONGEST_FILE: u64 = 1 << 30;
const PAGE: u32 = 200;

/// Where recorded runs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In the store: a tenant's, or everybody's.
    Scope(PolicyScope),
    /// In a file.
    File(PathBuf),
}

/// What is a file is one, whatever tenants are called.
impl FromStr for Source {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let file = Path::new(text);
        if file.is_file() || text.contains('/') {
            Ok(Self::File(file.to_owned()))
        } else {
            text.parse().map(Self::Scope)
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum RecordCommand {
    /// Prints recorded runs, the oldest first, one line of JSON each, for `policy replay --from FILE`
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Whose [default: everybody's]
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only runs that started within this span, such as 7d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    since: Option<Duration>,
    /// The newest, at most so many
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl RecordCommand {
    pub(super) async fn run(self, loaded: Loaded) -> Result<Answer, Error> {
        let Self::Export(Export { tenant, since, limit }) = self;
        let stores = Stores::open(loaded.config).await.map_err(app::Error::from)?;
        let recordings = Recordings::of_store(&stores, tenant, since, limit).await?;
        let mut lines = String::new();
        for journal in &recordings.journals {
            lines.push_str(&journal.to_json()?);
            lines.push('\n');
        }
        Ok(Answer { text: lines, status: 0 })
    }
}

/// Recorded runs, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Recordings {
    pub(super) journals: Vec<RunJournal>,
    /// Those that this program cannot read.
    pub(super) unreadable: u64,
}

impl Recordings {
    pub(super) async fn of_store(
        stores: &Stores,
        tenant: Option<TenantId>,
        since: Option<Duration>,
        limit: u32,
    ) -> Result<Self, Error> {
        let since = since.map(|span| stores.clock.now().saturating_sub(span));
        let filter = JournalFilter { tenant, game: None, since };
        let (mut found, mut before) = (Self::default(), None::<RunId>);
        loop {
            let left = limit.saturating_sub(u32::try_from(found.journals.len()).unwrap_or(u32::MAX));
            let page = stores.journals.list(&filter, before.as_ref(), left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.run_id.clone());
            for kept in page {
                match kept.journal {
                    Some(journal) => found.journals.push(journal),
                    None => found.unreadable = found.unreadable.saturating_add(1),
                }
            }
        }
        found.journals.reverse();
        Ok(found)
    }

    pub(super) fn of_file(file: &Path, limit: u32) -> Result<Self, Error> {
        let shown = bounded_text(&file.display().to_string(), 200);
        let text = String::from_utf8(read(file, LONGEST_FILE)?);
        let text = text.map_err(|_| Error::Usage(format!("{shown} holds no recorded runs: it is not UTF-8")))?;
        let mut found = Self::default();
        for (number, line) in (1_u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let journal = RunJournal::from_json(line)
                .map_err(|error| Error::Usage(format!("{shown}, line {number}: {}", ErrorChain(&error))))?;
            found.journals.push(journal);
        }
        let surplus = found.journals.len().saturating_sub(limit as usize);
        found.journals.drain(..surplus);
        Ok(found)
    }
}

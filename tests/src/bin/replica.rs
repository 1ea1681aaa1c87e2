//! The real server, on the real backends, with a bug planted on request: what the history checker must find.
//!
//! `replica --bug NAME -- ARGUMENTS` serves as `rtmanager ARGUMENTS serve` does; NAME is one of [`Bug`]'s, or `none`.
//! `replica --stop-before-change ...` stops itself, as by SIGSTOP, before its first change of a record.

#![recursion_limit = "256"]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use rtmanager::app::{self, App, Stores};
use rtmanager::cli;
use rtmanager::config::{Environment, Loaded, Sources};
use rtmanager::model::{Begun, Fence, GameId, Intent, RuntimeRecord, Status};
use rtmanager::ports::{CasError, LeaseStore, LeaseToken, RecordStore, StatusChange, StoreError};
use rtmanager::telemetry::{self, LogFormat};
use rtmanager_tests::tapped::{LeaseTap, RecordTap, Tapped};

/// What is wrong with this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Bug {
    None,
    /// A change of a record is answered and not made.
    CasDropped,
    /// Every lease is granted.
    LeaseIgnored,
    /// Nobody else learns of a run.
    IntentSkipped,
    /// A change is made whatever run has begun since.
    FenceUnchecked,
}

#[derive(Debug, clap::Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value = "none")]
    bug: Bug,
    #[arg(long)]
    stop_before_change: bool,
    /// A setting, as rtmanager has it.
    #[arg(long = "set")]
    settings: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Arguments = clap::Parser::parse();
    telemetry::init(LogFormat::Text, "info")?;
    let pairs = arguments.settings.iter().map(|pair| pair.split_once('=').context("KEY=VALUE"));
    let flags = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let flags = flags.collect::<anyhow::Result<_>>()?;
    let sources = Sources { environment: Environment::default(), file: None, flags };
    let stores = Stores::open(Loaded::from_sources(&sources)?.config).await?;
    let engines = app::engines(&stores.config)?;
    let stops = AtomicBool::new(arguments.stop_before_change);
    let url = stores.config.store.url.as_ref().context("replicas share a PostgreSQL: set store.url")?;
    let database = sqlx::PgPool::connect_lazy(url.expose())?;
    let records = Records { inner: stores.records.clone(), bug: arguments.bug, stops, database };
    let leases = Leases { inner: stores.leases.clone(), bug: arguments.bug };
    let stores = Stores { records: Arc::new(Tapped(records)), leases: Arc::new(Tapped(leases)), ..stores };
    let answer = cli::serve(App::assemble(stores, engines).await?).await?;
    std::process::exit(answer.status.into());
}

struct Records {
    inner: Arc<dyn RecordStore>,
    bug: Bug,
    stops: AtomicBool,
    /// Past the adapter, for what it does not do.
    database: sqlx::PgPool,
}

#[async_trait]
impl RecordTap for Records {
    fn inner(&self) -> &Arc<dyn RecordStore> {
        &self.inner
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        let begun = self.inner.begin_run(intent).await?;
        if self.bug == Bug::IntentSkipped {
            let skip = sqlx::query("DELETE FROM run_intents WHERE run_id = $1").bind(intent.run_id.as_str());
            skip.execute(&self.database).await.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        }
        Ok(begun)
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        if self.stops.swap(false, Ordering::SeqCst) {
            stop();
        }
        match self.bug {
            Bug::CasDropped => {
                let found = self.inner.get(&change.game_id).await?.ok_or(CasError::NotFound)?;
                let (status, removed_at) = (Status::Removed, Some(change.at));
                Ok(RuntimeRecord { status, removed_at, container_id: None, ..found.record })
            }
            Bug::FenceUnchecked => {
                let fence = Fence(i64::MAX.unsigned_abs());
                self.inner.compare_and_set(&StatusChange { fence, ..change.clone() }).await
            }
            _ => self.inner.compare_and_set(change).await,
        }
    }
}

/// As by `kill -STOP`, until somebody says CONT.
fn stop() {
    let own = std::process::id().to_string();
    let stopped = std::process::Command::new("kill").args(["-s", "STOP", &own]).status();
    assert!(stopped.is_ok_and(|status| status.success()), "this process cannot be stopped");
    // The signal is handled before this thread goes on far.
    std::thread::sleep(Duration::from_millis(20));
}

struct Leases {
    inner: Arc<dyn LeaseStore>,
    bug: Bug,
}

#[async_trait]
impl LeaseTap for Leases {
    fn inner(&self) -> &Arc<dyn LeaseStore> {
        &self.inner
    }

    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let granted = self.inner.try_acquire(game, token, ttl).await?;
        Ok(granted || self.bug == Bug::LeaseIgnored)
    }
}

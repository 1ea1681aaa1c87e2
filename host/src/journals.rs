//! Keeps journals of runs in the store: of the tenants and the share of runs that are asked for, written after the runs
//! have ended, so that no run waits for its journal or fails by it. What the store does not take in time is dropped and
//! counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::lifecycle::Recording;
use crate::metrics::{Journaled, Metrics};
use crate::model::{ErrorChain, JournalBounds, RunId, RunJournal, TenantId, Timestamp};
use crate::ports::{JournalStore, StoreError};
use crate::session::RunContext;

/// Journals that wait for the store. Each is bounded, so this bounds their memory.
const QUEUE: usize = 256;
const PRUNED_AT_ONCE: u32 = 500;
/// A store that hangs keeps the queue from moving no longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whose runs are written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Everybody's, and those of games without a record.
    All,
    /// Those of these tenants.
    Tenants(BTreeSet<TenantId>),
}

impl Recorded {
    /// Nobody's.
    pub fn none() -> Self {
        Self::Tenants(BTreeSet::new())
    }

    fn contains(&self, tenant: Option<&TenantId>) -> bool {
        match self {
            Self::All => true,
            Self::Tenants(tenants) => tenant.is_some_and(|tenant| tenants.contains(tenant)),
        }
    }
}

/// What is kept, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalOptions {
    /// Whose runs are written down.
    pub recorded: Recorded,
    /// Which share of these runs, from 0 to 1.
    pub share: f64,
    /// What one journal may take.
    pub bounds: JournalBounds,
    /// How long a journal is kept.
    pub retention: Duration,
    /// What a tenant's journals may take together, in bytes; the oldest go.
    pub tenant_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            recorded: Recorded::none(),
            share: 1.0,
            bounds: JournalBounds::default(),
            retention: Duration::from_secs(14 * 86_400),
            tenant_bytes: 64 << 20,
        }
    }
}

/// Takes journals of runs for the store.
pub struct Journals {
    options: JournalOptions,
    store: Arc<dyn JournalStore>,
    metrics: Arc<Metrics>,
    queue: mpsc::Sender<Order>,
}

enum Order {
    Keep(Box<RunJournal>),
    /// Tells when all before it is done.
    Tell(oneshot::Sender<()>),
}

impl Journals {
    /// Begins to write, in a task that ends with the last clone of this.
    pub fn begin(options: JournalOptions, store: Arc<dyn JournalStore>, metrics: Arc<Metrics>) -> Arc<Self> {
        let (queue, orders) = mpsc::channel(QUEUE);
        tokio::spawn(write(orders, store.clone(), metrics.clone()));
        Arc::new(Self { options, store, metrics, queue })
    }

    /// Where they are kept.
    pub fn store(&self) -> Arc<dyn JournalStore> {
        self.store.clone()
    }

    /// Waits until what was taken is written or dropped, for at most `limit`. Answers whether that was so.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (told, done) = oneshot::channel();
        let flushed = async {
            self.queue.send(Order::Tell(told)).await.ok()?;
            done.await.ok()
        };
        tokio::time::timeout(limit, flushed).await.ok().flatten().is_some()
    }

    /// Deletes what is too old at `now`, or too much for its tenant. Answers how many.
    pub async fn prune(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut pruned = 0_u64;
        loop {
            let old = self.store.prune(now.saturating_sub(self.options.retention), PRUNED_AT_ONCE).await?;
            let excess = self.store.shrink(self.options.tenant_bytes, PRUNED_AT_ONCE).await?;
            pruned = pruned.saturating_add(old).saturating_add(excess);
            if old.max(excess) < u64::from(PRUNED_AT_ONCE) {
                return Ok(pruned);
            }
        }
    }

    /// The same share of the runs on every host, whichever they are.
    fn is_in_share(&self, run: &RunId) -> bool {
        let hash: [u8; 32] = Sha256::digest(run.as_str()).into();
        let [first, second, ..] = hash;
        f64::from(u16::from_be_bytes([first, second])) < self.options.share * 65_536.0
    }
}

impl Recording for Journals {
    fn bounds(&self, run: &RunContext) -> Option<JournalBounds> {
        let wanted = self.options.recorded.contains(run.tenant.as_ref()) && self.is_in_share(&run.run_id);
        wanted.then_some(self.options.bounds)
    }

    fn keep(&self, journal: RunJournal) {
        if self.queue.try_send(Order::Keep(Box::new(journal))).is_err() {
            self.metrics.journal(Journaled::Dropped);
        }
    }
}

async fn write(mut orders: mpsc::Receiver<Order>, store: Arc<dyn JournalStore>, metrics: Arc<Metrics>) {
    let mut fails = false;
    while let Some(order) = orders.recv().await {
        let journal = match order {
            Order::Keep(journal) => journal,
            Order::Tell(who) => {
                // Whoever asked may have gone.
                let _gone = who.send(());
                continue;
            }
        };
        let failure = match tokio::time::timeout(PATIENCE, store.add(&journal)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(ErrorChain(&error).to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        metrics.journal(if failure.is_some() { Journaled::Failed } else { Journaled::Kept });
        // Told once, and again when it is over: there may be very many.
        match &failure {
            Some(error) if !fails => tracing::warn!(run_id = %journal.run_id, error, "journals of runs are not kept"),
            None if fails => tracing::info!("journals of runs are kept again"),
            _ => {}
        }
        fails = failure.is_some();
    }
}

//! Waiting for changes that other hosts make.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What `RAISE_EPOCH` notifies.
const CHANNEL: &str = "rtmanager_policies";

/// Between two attempts to listen, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection of its own that listens from the first time that somebody waits, and as long as there is somebody who
/// could. While it is lost nobody is woken, and it is made anew after pauses that grow.
pub(super) struct Watch {
    options: PgConnectOptions,
    told: Arc<Notify>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Watch {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { options, told: Arc::default(), listening: Mutex::default() }
    }

    /// Waits until a change is told, or the connection is there again and one may have been missed.
    pub(super) async fn changed(&self) {
        let told = self.told.notified();
        self.listen();
        told.await;
    }

    /// Ends the connection. Nobody is woken any more.
    pub(super) fn stop(&self) {
        if let Some(listening) = self.lock().take() {
            listening.abort();
        }
    }

    fn listen(&self) {
        self.lock().get_or_insert_with(|| tokio::spawn(listen(self.options.clone(), self.told.clone())));
    }

    fn lock(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(options: PgConnectOptions, told: Arc<Notify>) {
    let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).connect_lazy_with(options);
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let lost = listen_once(&pool, &told).await;
        tracing::debug!(?lost, "changes of policies are not told, only found by asking");
        // One that is lost as soon as it is there wakes its waiters each time, which must not become a busy loop.
        pause = if began.elapsed() > LONGEST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}

/// Until the connection is lost.
async fn listen_once(pool: &PgPool, told: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    told.notify_waiters();
    while listener.try_recv().await?.is_some() {
        told.notify_waiters();
    }
    Ok(())
}

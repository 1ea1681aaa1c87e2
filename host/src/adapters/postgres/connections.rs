//! Connections, what is asked over them, and what becomes of one whose call did not end well.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, QueryBuilder};
use tokio::time::Instant;

use super::PostgresOptions;
use super::error::Failure;
use crate::ports::StoreError;

pub(super) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// How much longer than the server an answer is waited for: the server may be gone without a word.
const BEYOND_STATEMENT: Duration = Duration::from_secs(2);

/// A connection that was used this recently is used again without asking whether it is still there, which would double
/// the price of every call; unless another one has been lost since. So a restart of the server costs one retryable
/// error for each call that is under way, and reads not even that.
const SURELY_ALIVE: Duration = Duration::from_secs(1);

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections of one store. Clones share them.
#[derive(Clone)]
pub(super) struct Connections {
    pool: PgPool,
    answer_timeout: Duration,
    loss: Loss,
}

/// When a connection was last found lost: with it went probably all that were there then.
#[derive(Clone, Default)]
struct Loss(Arc<Mutex<Option<Instant>>>);

impl Loss {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn happened_within(&self, span: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() <= span)
    }
}

impl Connections {
    pub(super) fn new(connect: PgConnectOptions, options: PostgresOptions) -> Self {
        let loss = Loss::default();
        let noticed = loss.clone();
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.get())
            .acquire_timeout(options.acquire_timeout)
            .max_lifetime(options.max_lifetime)
            .idle_timeout(options.idle_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, used| {
                let is_surely_alive = used.idle_for < SURELY_ALIVE && !noticed.happened_within(used.idle_for);
                Box::pin(async move { Ok(is_surely_alive || is_alive(connection).await) })
            })
            .connect_lazy_with(connect);
        Self { pool, answer_timeout: options.statement_timeout.saturating_add(BEYOND_STATEMENT), loss }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    async fn lend(&self) -> Result<Lent, Failure> {
        let connection = self.pool.acquire().await.map_err(Failure::NoConnection)?;
        let (answer_timeout, loss) = (self.answer_timeout, self.loss.clone());
        Ok(Lent { connection: Some(connection), is_whole: true, answer_timeout, loss })
    }

    async fn ask(&self, query: Query<'_>) -> Result<Vec<PgRow>, Failure> {
        self.lend().await?.ask(query).await
    }

    /// Reads; once more on another connection if the first one turns out to be lost.
    pub(super) async fn read_all<'q>(&self, query: impl Fn() -> Query<'q>) -> Result<Vec<PgRow>, StoreError> {
        let first = self.ask(query()).await;
        let answer = match first {
            Err(failure) if failure.is_lost_connection() => self.ask(query()).await,
            first => first,
        };
        answer.map_err(Failure::of_read)
    }

    /// The same with a query that is put together.
    pub(super) async fn read_built(
        &self,
        build: impl Fn() -> QueryBuilder<Postgres>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let first = self.ask(build().build()).await;
        let answer = match first {
            Err(failure) if failure.is_lost_connection() => self.ask(build().build()).await,
            first => first,
        };
        answer.map_err(Failure::of_read)
    }

    /// The same of at most one row.
    pub(super) async fn read_one<'q>(&self, query: impl Fn() -> Query<'q>) -> Result<Option<PgRow>, StoreError> {
        Ok(self.read_all(query).await?.pop())
    }

    /// Writes and answers the rows that the statement returns.
    ///
    /// All rows are fetched on purpose: the server commits after the last one, and what fetches one row would not hear
    /// of a commit that failed.
    pub(super) async fn write_all(&self, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        self.try_write_all(query).await.map_err(Failure::of_write)
    }

    /// The same for a caller to whom it matters why it failed.
    pub(super) async fn try_write_all(&self, query: Query<'_>) -> Result<Vec<PgRow>, Failure> {
        self.ask(query).await
    }

    /// The same, of a statement that returns one row at most.
    pub(super) async fn write_one(&self, query: Query<'_>) -> Result<Option<PgRow>, StoreError> {
        Ok(self.write_all(query).await?.pop())
    }

    /// Writes and answers how many rows were changed.
    pub(super) async fn write(&self, query: Query<'_>) -> Result<u64, StoreError> {
        let mut lent = self.lend().await.map_err(Failure::of_write)?;
        lent.change(query).await.map_err(Failure::of_write)
    }

    /// How one connection more is made.
    pub(super) fn options(&self) -> PgConnectOptions {
        (*self.pool.connect_options()).clone()
    }

    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut lent = self.lend().await.map_err(Failure::of_read)?;
        lent.say("BEGIN").await.map_err(Failure::of_read)?;
        lent.is_whole = false;
        Ok(Transaction { lent })
    }
}

async fn is_alive(connection: &mut PgConnection) -> bool {
    matches!(tokio::time::timeout(PROBE_TIMEOUT, connection.ping()).await, Ok(Ok(())))
}

/// A connection in use. One that is not whole (its call was given up, its transaction not ended, or it is lost) is
/// closed rather than used again or waited for: the server then ends what was under way.
struct Lent {
    connection: Option<PoolConnection<Postgres>>,
    is_whole: bool,
    answer_timeout: Duration,
    loss: Loss,
}

impl Lent {
    async fn ask(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, Failure> {
        self.within(async |connection| query.fetch_all(connection).await).await
    }

    async fn change(&mut self, query: Query<'_>) -> Result<u64, Failure> {
        self.within(async |connection| query.execute(connection).await.map(|done| done.rows_affected())).await
    }

    async fn say(&mut self, statement: &'static str) -> Result<(), Failure> {
        self.within(async |connection| sqlx::raw_sql(statement).execute(connection).await.map(|_| ())).await
    }

    async fn within<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        let Some(connection) = &mut self.connection else {
            return Err(Failure::NoConnection(sqlx::Error::PoolClosed));
        };
        let was_whole = std::mem::replace(&mut self.is_whole, false);
        let answer = answered(self.answer_timeout, call(connection)).await;
        if answer.as_ref().err().is_some_and(Failure::leaves_connection_unusable) {
            self.loss.note();
        } else {
            self.is_whole = was_whole;
        }
        answer
    }
}

async fn answered<T>(timeout: Duration, call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map_err(Failure::Call),
        Err(_) => Err(Failure::Silent(timeout)),
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| !self.is_whole) {
            drop(connection.detach());
        }
    }
}

/// Several statements that take effect together or not at all. What is dropped without an end has no effect.
pub(super) struct Transaction {
    lent: Lent,
}

impl Transaction {
    /// A failure here has no effect, for nothing is committed.
    pub(super) async fn all(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, Failure> {
        self.lent.ask(query).await
    }

    pub(super) async fn one(&mut self, query: Query<'_>) -> Result<Option<PgRow>, StoreError> {
        Ok(self.all(query).await.map_err(Failure::of_read)?.pop())
    }

    /// Commits what went well, takes back what did not, and answers the same.
    pub(super) async fn end<T, E: From<StoreError>>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        let ended = self.lent.say(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        self.lent.is_whole = ended.is_ok();
        if outcome.is_ok() {
            ended.map_err(Failure::of_write)?;
        }
        outcome
    }
}

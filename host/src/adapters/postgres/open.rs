//! Connecting to a database, and what can be wrong with it.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::connections::Connections;
use super::error;
use super::server::{self, ServerName};
use super::{PostgresOptions, schema};

/// Generated keys, `EXECUTE FUNCTION` and what else the tables use.
const OLDEST_SERVER: i32 = 130_000;

/// How long making the tables may take, waiting for another host that is making them included.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a database could not be opened. No message shows a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one.
    #[error("the URL of the PostgreSQL database is not valid: {0}")]
    InvalidUrl(String),
    /// Nobody answers there, or not as PostgreSQL does.
    #[error("{server} does not answer")]
    Unreachable {
        /// The database.
        server: ServerName,
        /// What the system or the driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server's certificate was not accepted, or it has none.
    #[error("{server} cannot be reached by TLS as sslmode and sslrootcert demand it")]
    Tls {
        /// The database.
        server: ServerName,
        /// What the driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server does not let this user in, or not do what opening takes.
    #[error("{server} refuses; check user, password, database and rights")]
    Refused {
        /// The database.
        server: ServerName,
        /// What the server said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server only reads.
    #[error("{0} is a standby and cannot be written; name the primary")]
    ReadOnly(ServerName),
    /// The database cannot hold every text.
    #[error("{server} has the encoding {found}; make a database with ENCODING 'UTF8'")]
    Encoding {
        /// The database.
        server: ServerName,
        /// Its encoding.
        found: String,
    },
    /// The server is too old.
    #[error("{server} is PostgreSQL {found}; 13 is the oldest that will do")]
    OldServer {
        /// The database.
        server: ServerName,
        /// The server's version.
        found: String,
    },
    /// A newer rtmanager has changed the tables in a way that this one cannot live with.
    #[error(
        "{server} has tables of version {found}, which take an rtmanager that knows version {usable_since} at least; \
         this one knows {known}: use a newer one"
    )]
    Newer {
        /// The database.
        server: ServerName,
        /// The version of its tables.
        found: i64,
        /// The version that a program must know to use them.
        usable_since: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The tables were made by a migration that is not this program's.
    #[error("{server} has tables that are not rtmanager's: migration {version} differs")]
    Foreign {
        /// The database.
        server: ServerName,
        /// The migration that differs.
        version: i64,
    },
    /// PostgreSQL failed otherwise.
    #[error("{server} cannot be used")]
    Failed {
        /// The database.
        server: ServerName,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    /// What a failure means while opening.
    pub(super) fn of(server: &ServerName, error: sqlx::Error) -> Self {
        let server = server.clone();
        let state = error::state(&error).unwrap_or_default();
        match &error {
            sqlx::Error::Tls(_) => Self::Tls { server, source: Box::new(error) },
            sqlx::Error::Io(cause) if cause.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) => {
                Self::Tls { server, source: Box::new(error) }
            }
            sqlx::Error::Database(_) if state == "25006" => Self::ReadOnly(server),
            sqlx::Error::Database(_) if state.starts_with("28") || state == "3D000" || state == "42501" => {
                Self::Refused { server, source: Box::new(error) }
            }
            sqlx::Error::Database(_) if state.starts_with("57P") || state.starts_with("53") => {
                Self::Unreachable { server, source: Box::new(error) }
            }
            sqlx::Error::Database(_) => Self::Failed { server, source: Box::new(error) },
            _ => Self::Unreachable { server, source: Box::new(error) },
        }
    }

    /// Whether the same may go well later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::ReadOnly(_) | Self::Failed { .. })
    }
}

pub(super) async fn open(url: &str, options: PostgresOptions) -> Result<Connections, OpenError> {
    let connect = server::parse(url)?;
    let server = ServerName::of(&connect);
    let mut connection = first_connection(&server, &connect, options).await?;
    examine(&server, &mut connection).await?;
    match tokio::time::timeout(MIGRATION_TIMEOUT, schema::bring(&server, &mut connection)).await {
        Ok(brought) => brought?,
        Err(silence) => return Err(OpenError::Failed { server, source: Box::new(silence) }),
    }
    connection.close().await.ok();
    Ok(Connections::new(server::limited(connect, options), options))
}

/// Without time-outs of the server's, for it makes the tables and waits for others that do.
async fn first_connection(
    server: &ServerName,
    connect: &PgConnectOptions,
    options: PostgresOptions,
) -> Result<PgConnection, OpenError> {
    let connecting = server::named(connect.clone());
    match tokio::time::timeout(options.acquire_timeout, connecting.connect()).await {
        Ok(connected) => connected.map_err(|error| OpenError::of(server, error)),
        Err(silence) => Err(OpenError::Unreachable { server: server.clone(), source: Box::new(silence) }),
    }
}

async fn examine(server: &ServerName, connection: &mut PgConnection) -> Result<(), OpenError> {
    let failed = |error| OpenError::of(server, error);
    let question = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
        current_setting('server_encoding'), pg_is_in_recovery()";
    let row = sqlx::query(question).fetch_one(connection).await.map_err(failed)?;
    let encoding: String = row.try_get(2).map_err(failed)?;
    if row.try_get::<i32, _>(0).map_err(failed)? < OLDEST_SERVER {
        return Err(OpenError::OldServer { server: server.clone(), found: row.try_get(1).map_err(failed)? });
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { server: server.clone(), found: encoding });
    }
    match row.try_get(3).map_err(failed)? {
        true => Err(OpenError::ReadOnly(server.clone())),
        false => Ok(()),
    }
}

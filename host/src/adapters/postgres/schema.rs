//! The tables' version: which migrations are there, and whether this program can live with them.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{PgConnection, Row as _};

use super::OpenError;
use super::server::ServerName;

/// What is newer than the program is left to `schema_compatibility`. The migrations have a table of their own name,
/// for a platform in the same schema may use the same migrator.
pub(super) static MIGRATIONS: Migrator = Migrator {
    ignore_missing: true,
    table_name: Cow::Borrowed("rtmanager_migrations"),
    ..sqlx::migrate!("migrations/postgres")
};

/// What the tables say of themselves.
struct Found {
    newest: i64,
    usable_since: i64,
}

/// The newest migration that this program knows.
fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Brings the tables to this version, if they are older; refuses them if this program cannot use them.
///
/// Tables that are there already are only read, so that a role without the right to make tables will do. Of several
/// hosts at once, one makes them; the others wait for the lock that the migrator takes, for as long as `connection`
/// has no time-outs.
pub(super) async fn bring(server: &ServerName, connection: &mut PgConnection) -> Result<(), OpenError> {
    if found(server, connection).await?.is_none_or(|found| found.newest < known()) {
        let migrated = MIGRATIONS.run_direct(None, connection, false).await;
        migrated.map_err(|error| not_migrated(server, error))?;
    }
    match found(server, connection).await? {
        Some(found) if found.newest > known() && found.usable_since > known() => Err(OpenError::Newer {
            server: server.clone(),
            found: found.newest,
            usable_since: found.usable_since,
            known: known(),
        }),
        _ => check(server, connection).await,
    }
}

async fn found(server: &ServerName, connection: &mut PgConnection) -> Result<Option<Found>, OpenError> {
    let failed = |error| OpenError::of(server, error);
    let there =
        "SELECT to_regclass('rtmanager_migrations') IS NOT NULL AND to_regclass('schema_compatibility') IS NOT NULL";
    let row = sqlx::query(there).fetch_one(&mut *connection).await.map_err(failed)?;
    if !row.try_get::<bool, _>(0).map_err(failed)? {
        return Ok(None);
    }
    let state = "SELECT coalesce(max(version), 0), (SELECT usable_since FROM schema_compatibility)
        FROM rtmanager_migrations WHERE success";
    let row = sqlx::query(state).fetch_one(connection).await.map_err(failed)?;
    let usable_since: Option<i64> = row.try_get(1).map_err(failed)?;
    let newest = row.try_get(0).map_err(failed)?;
    Ok(Some(Found { newest, usable_since: usable_since.unwrap_or(newest) }))
}

/// That the migrations which both know are the same.
async fn check(server: &ServerName, connection: &mut PgConnection) -> Result<(), OpenError> {
    let failed = |error| OpenError::of(server, error);
    let applied = "SELECT version, checksum FROM rtmanager_migrations ORDER BY version";
    for row in sqlx::query(applied).fetch_all(connection).await.map_err(failed)? {
        let version: i64 = row.try_get(0).map_err(failed)?;
        let checksum: Vec<u8> = row.try_get(1).map_err(failed)?;
        if MIGRATIONS.iter().any(|ours| ours.version == version && *ours.checksum != *checksum) {
            return Err(OpenError::Foreign { server: server.clone(), version });
        }
    }
    Ok(())
}

fn not_migrated(server: &ServerName, error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            OpenError::Foreign { server: server.clone(), version }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => OpenError::of(server, error),
        other => OpenError::Failed { server: server.clone(), source: Box::new(other) },
    }
}

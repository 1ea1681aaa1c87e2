//! The tables, as somebody finds them who writes to them past rtmanager and past what keeps them sound.

use rtmanager_tests::place::Place;
use rtmanager_tests::postgres::Database;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::damage::{Column, Damage, Kind};

/// A connection of its own.
pub(super) enum Tables {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Tables {
    pub(super) async fn open(place: &Place, database: Option<&Database>) -> Self {
        if let Some(database) = database {
            return Self::Postgres(database.connect().await);
        }
        let url = format!("sqlite://{}", place.config().store.path.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let unsound = "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF";
        sqlx::raw_sql(AssertSqlSafe(unsound)).execute(&mut connection).await.unwrap();
        Self::Sqlite(connection)
    }

    /// Carries statements out together. What the database refuses is not done at all.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(format!("BEGIN; {sql}; COMMIT"));
        let (done, undo) = match self {
            Self::Sqlite(connection) => {
                let done = sqlx::raw_sql(sql).execute(&mut *connection).await.map(|_| ());
                let undo = done.is_err().then(|| sqlx::raw_sql("ROLLBACK").execute(&mut *connection));
                (
                    done,
                    match undo {
                        Some(undo) => undo.await.map(|_| ()),
                        None => Ok(()),
                    },
                )
            }
            Self::Postgres(connection) => {
                let done = sqlx::raw_sql(sql).execute(&mut *connection).await.map(|_| ());
                let undo = done.is_err().then(|| sqlx::raw_sql("ROLLBACK").execute(&mut *connection));
                (
                    done,
                    match undo {
                        Some(undo) => undo.await.map(|_| ()),
                        None => Ok(()),
                    },
                )
            }
        };
        undo.unwrap();
        done
    }

    /// What a column says, as text; times in microseconds.
    pub(super) async fn text(&mut self, column: &Column) -> Option<Vec<u8>> {
        let Column { table, row, name, kind } = column;
        match self {
            Self::Sqlite(connection) => {
                let sql = AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM {table} WHERE {row}"));
                sqlx::query_scalar::<_, Option<String>>(sql)
                    .fetch_one(connection)
                    .await
                    .unwrap()
                    .map(String::into_bytes)
            }
            Self::Postgres(connection) => {
                let value = match kind {
                    Kind::Time => format!("(extract(epoch FROM {name}) * 1000000)::bigint::text"),
                    Kind::Flag => format!("{name}::int::text"),
                    _ => format!("{name}::text"),
                };
                let sql = AssertSqlSafe(format!("SELECT {value} FROM {table} WHERE {row}"));
                sqlx::query_scalar::<_, Option<String>>(sql)
                    .fetch_one(connection)
                    .await
                    .unwrap()
                    .map(String::into_bytes)
            }
        }
    }

    /// The statement that damages a column.
    pub(super) fn damaging(&self, column: &Column, damage: &Damage) -> String {
        let Column { table, row, name, kind } = column;
        let value = match (self, damage) {
            (_, Damage::Null) => "NULL".to_owned(),
            (Self::Sqlite(_), Damage::Bytes(bytes)) => format!("CAST(x'{}' AS TEXT)", hex::encode(bytes)),
            (Self::Sqlite(_), Damage::Number(number)) => {
                number.to_string().replace("-9223372036854775808", "~9223372036854775807")
            }
            (Self::Postgres(_), Damage::Bytes(bytes)) => {
                let json = if *kind == Kind::Json { "::json" } else { "" };
                format!(r"convert_from('\x{}'::bytea, 'UTF8'){json}", hex::encode(bytes))
            }
            (Self::Postgres(_), Damage::Number(number)) => match kind {
                Kind::Time if *number == i64::MAX => "'infinity'".to_owned(),
                Kind::Time if *number == i64::MIN => "'-infinity'".to_owned(),
                Kind::Time => format!("to_timestamp({number} / 1000000.0)"),
                Kind::Flag => format!("({number})::int::boolean"),
                _ => format!("({number})::numeric::bigint"),
            },
        };
        format!("UPDATE {table} SET {name} = {value} WHERE {row}")
    }

    /// The statement that puts other bytes under a component's digest.
    pub(super) fn putting(&self, digest: &str, component: &[u8]) -> String {
        let bytes = match self {
            Self::Sqlite(_) => format!("x'{}'", hex::encode(component)),
            Self::Postgres(_) => format!(r"'\x{}'::bytea", hex::encode(component)),
        };
        format!("UPDATE policy_components SET component = {bytes} WHERE digest = '{digest}'")
    }
}

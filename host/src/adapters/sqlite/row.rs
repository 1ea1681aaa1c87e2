//! Rows as SQLite has them.

use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Row as _};

use crate::adapters::sql::SqlRow;

impl SqlRow for SqliteRow {
    fn text(&self, column: usize) -> Result<Option<&str>, sqlx::Error> {
        self.try_get(column)
    }

    fn integer(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn micros(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, sqlx::Error> {
        self.try_get(column)
    }

    fn flag(&self, column: usize) -> Result<Option<bool>, sqlx::Error> {
        self.try_get(column)
    }

    fn name(&self, column: usize) -> Option<&str> {
        self.columns().get(column).map(|column| column.name())
    }
}

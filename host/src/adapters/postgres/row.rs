//! Rows and values as PostgreSQL has them.

use std::borrow::Cow;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Column as _, Decode, Encode, Postgres, Row as _, Type};

use crate::adapters::sql::{SqlRow, micros};
use crate::model::Timestamp;

/// A `timestamptz`, in microseconds since the Unix epoch. The server counts in microseconds too, so nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) i64);

const TIMESTAMPTZ: Oid = Oid(1184);

/// The server counts from 2000-01-01.
const SERVERS_EPOCH: i64 = 946_684_800_000_000;

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(micros(at))
    }
}

impl Type<Postgres> for Moment {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl Encode<'_, Postgres> for Moment {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0.saturating_sub(SERVERS_EPOCH).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Moment {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Text => Err("a time as text".into()),
            PgValueFormat::Binary => {
                let counted = i64::from_be_bytes(value.as_bytes()?.try_into()?);
                counted.checked_add(SERVERS_EPOCH).map(Self).ok_or_else(|| "infinity".into())
            }
        }
    }
}

/// A text as it can be stored: PostgreSQL has no NUL.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

impl SqlRow for PgRow {
    fn text(&self, column: usize) -> Result<Option<&str>, sqlx::Error> {
        self.try_get(column)
    }

    fn integer(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn micros(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        let moment: Option<Moment> = self.try_get(column)?;
        Ok(moment.map(|moment| moment.0))
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

//! What is stored as JSON: settings, limits, grants and numbers of generations.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Reader, SqlRow};
use crate::model::{Grant, Grants, LimitOverrides};
use crate::ports::StoreError;

/// Limits as they are stored; times in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_time_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_time_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_run: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_lines: Option<u32>,
}

impl From<&LimitOverrides> for StoredLimits {
    fn from(limits: &LimitOverrides) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            memory_bytes: limits.memory_bytes,
            guest_time_ms: limits.guest_time.map(millis),
            run_time_ms: limits.run_time.map(millis),
            calls: limits.calls,
            bytes_per_run: limits.bytes_per_run,
            log_lines: limits.log_lines,
        }
    }
}

impl From<StoredLimits> for LimitOverrides {
    fn from(stored: StoredLimits) -> Self {
        Self {
            memory_bytes: stored.memory_bytes,
            guest_time: stored.guest_time_ms.map(Duration::from_millis),
            run_time: stored.run_time_ms.map(Duration::from_millis),
            calls: stored.calls,
            bytes_per_run: stored.bytes_per_run,
            log_lines: stored.log_lines,
        }
    }
}

/// The column `settings`.
pub(in crate::adapters) fn settings_json(settings: &BTreeMap<String, String>) -> Result<String, StoreError> {
    written(settings)
}

/// The column `limits`.
pub(in crate::adapters) fn limits_json(limits: &LimitOverrides) -> Result<String, StoreError> {
    written(&StoredLimits::from(limits))
}

/// The column `grants`.
pub(in crate::adapters) fn grants_json(grants: &Grants) -> Result<String, StoreError> {
    written(&grants.iter().map(Grant::to_string).collect::<Vec<_>>())
}

/// The column `ready`.
pub(in crate::adapters) fn ready_json(ready: &[u64]) -> Result<String, StoreError> {
    written(&ready)
}

fn written(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

impl<R: SqlRow> Reader<'_, R> {
    pub(super) fn settings(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        self.json()
    }

    pub(super) fn limits(&mut self) -> Result<LimitOverrides, StoreError> {
        self.json::<StoredLimits>().map(LimitOverrides::from)
    }

    pub(super) fn grants(&mut self) -> Result<Grants, StoreError> {
        self.grants_or_null()?.ok_or_else(|| self.corrupt("is null"))
    }

    pub(super) fn grants_or_null(&mut self) -> Result<Option<Grants>, StoreError> {
        let Some(text) = self.text_or_null()? else { return Ok(None) };
        let texts: Vec<String> = serde_json::from_str(text).map_err(|error| self.corrupt(error))?;
        let grants = texts.iter().map(|text| text.parse::<Grant>());
        grants.collect::<Result<_, _>>().map(Some).map_err(|error| self.corrupt(error))
    }

    pub(super) fn ready(&mut self) -> Result<Vec<u64>, StoreError> {
        self.json()
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        serde_json::from_str(self.text()?).map_err(|error| self.corrupt(error))
    }
}

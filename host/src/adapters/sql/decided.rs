//! A disposition as columns.

use super::micros;
use crate::model::GenerationId;
use crate::ports::Disposition;

/// The columns cleanup_wait_until, …_wait_reason, …_wait_generation, …_failed_attempts, …_parked_at, …_park_reason.
#[derive(Default)]
pub(in crate::adapters) struct Decided<'d> {
    pub(in crate::adapters) wait_until: Option<i64>,
    pub(in crate::adapters) wait_reason: Option<&'d str>,
    pub(in crate::adapters) wait_generation: Option<&'d str>,
    pub(in crate::adapters) failed_attempts: i64,
    pub(in crate::adapters) parked_at: Option<i64>,
    pub(in crate::adapters) park_reason: Option<&'d str>,
}

impl<'d> From<&'d Disposition> for Decided<'d> {
    fn from(disposition: &'d Disposition) -> Self {
        match disposition {
            Disposition::Wait { until, reason, generation, failed_attempts } => Self {
                wait_until: Some(micros(*until)),
                wait_reason: Some(reason),
                wait_generation: generation.as_ref().map(GenerationId::as_str),
                failed_attempts: i64::from(*failed_attempts),
                ..Self::default()
            },
            Disposition::Park { parked, failed_attempts } => Self {
                failed_attempts: i64::from(*failed_attempts),
                parked_at: Some(micros(parked.at)),
                park_reason: Some(&parked.reason),
                ..Self::default()
            },
            Disposition::Clear => Self::default(),
        }
    }
}

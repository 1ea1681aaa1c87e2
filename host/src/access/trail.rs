//! The trail: what is done is recorded before it is done, and once more if it failed. So the trail may hold what was
//! not done, and nothing is done that it does not hold.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::Instrument as _;

use super::Caller;
use crate::model::{AuditEntry, AuditEvent, Timestamp, bounded_text};
use crate::ports::{AuditLog, Clock, StoreError};

/// What an order that was denied is recorded as.
const DENIED: &str = "access.denied";
/// Longest subject, and text in the detail, before control characters are escaped.
const TEXT: usize = 1_024;
/// Longest detail; of a longer one the hash stands there.
const DETAIL: usize = 8_192;

/// Something that a caller is about to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    action: &'static str,
    subject: String,
    detail: Map<String, Value>,
}

impl Deed {
    /// An action, in a stable word such as `runtime.hold`, and what it is done to.
    pub fn new(action: &'static str, subject: impl ToString) -> Self {
        Self { action, subject: bounded_text(&subject.to_string(), TEXT), detail: Map::new() }
    }

    /// The same with more to be known of it, which must not be secret. A null is left out.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => {}
            Value::String(text) => drop(self.detail.insert(key.to_owned(), bounded_text(&text, TEXT).into())),
            other => drop(self.detail.insert(key.to_owned(), other)),
        }
        self
    }

    fn event(&self, caller: &Caller, at: Timestamp) -> AuditEvent {
        AuditEvent {
            at,
            actor: caller.actor.clone(),
            role: caller.role.to_string(),
            action: self.action.to_owned(),
            subject: self.subject.clone(),
            detail: bounded(Value::Object(self.detail.clone()).to_string()),
        }
    }

    /// That the deed with this sequence number failed.
    fn failed(&self, sequence: u64, failure: &impl Failure) -> Self {
        let outcome = if failure.may_have_happened() { "unknown" } else { "failed" };
        let detail = [("of", json!(sequence)), ("outcome", json!(outcome)), ("code", json!(failure.code()))];
        let detail = detail.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { detail, ..self.clone() }
    }
}

fn bounded(detail: String) -> String {
    use sha2::Digest as _;
    if detail.len() <= DETAIL {
        return detail;
    }
    json!({ "bytes": detail.len(), "sha256": hex::encode(sha2::Sha256::digest(&detail)) }).to_string()
}

/// Why something was not done, for the trail.
pub trait Failure {
    /// A stable code.
    fn code(&self) -> &str;

    /// Whether it may have been done all the same, since an answer was lost.
    fn may_have_happened(&self) -> bool {
        false
    }
}

impl Failure for StoreError {
    fn code(&self) -> &str {
        match self {
            Self::Unavailable(_) | Self::Unknown(_) => "service_unavailable",
            Self::Corrupt(_) => "internal_error",
        }
    }

    fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

/// It was not done, since it cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[error("the audit trail cannot be written, and nothing is done without it")]
pub struct Unrecorded(#[source] pub StoreError);

/// The trail of what admins and operators do.
#[derive(Clone)]
pub struct Trail {
    pub(super) log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
}

impl Trail {
    /// A trail that goes on where the log ends.
    pub fn new(log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock }
    }

    /// Does what is recorded first. It goes to its end even if this future is dropped, since whoever asked hung up;
    /// a failure is recorded as well.
    pub async fn audited<T, E>(
        &self,
        caller: &Caller,
        deed: Deed,
        act: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unrecorded> + Failure + Send + 'static,
    {
        let (trail, caller) = (self.clone(), caller.clone());
        let doing = async move {
            let link = trail.append(&caller, &deed).await.map_err(Unrecorded)?;
            let done = act.await;
            if let Err(failure) = &done {
                trail.note(&caller, &deed.failed(link.sequence, failure)).await;
            }
            done
        };
        match tokio::spawn(doing.in_current_span()).await {
            Ok(done) => done,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and everybody who waits with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Records an order that was denied, with what it would have needed. Nothing came of it, so a failure to record it
    /// is only logged.
    pub async fn denied(&self, caller: &Caller, order: String, needs: Option<String>) {
        self.note(caller, &Deed::new(DENIED, order).with("code", "forbidden").with("needs", needs)).await;
    }

    /// Entries from this sequence number on, oldest first.
    pub async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.log.read(from, limit).await
    }

    /// Beside a failure that somebody is told of already, so a failure to record it is only logged.
    async fn note(&self, caller: &Caller, deed: &Deed) {
        if let Err(error) = self.append(caller, deed).await {
            tracing::error!(action = deed.action, subject = deed.subject, %error, "that it failed or was denied was not recorded");
        }
    }

    /// The log outside the store anchors the chain: who has it can tell a chain that was written anew, or cut.
    async fn append(&self, caller: &Caller, deed: &Deed) -> Result<AuditEntry, StoreError> {
        let link = self.log.append(&deed.event(caller, self.clock.now())).await?;
        let AuditEvent { actor, action, subject, .. } = &link.event;
        tracing::info!(sequence = link.sequence, hash = hex::encode(link.hash), actor, action, subject, "audited");
        Ok(link)
    }
}

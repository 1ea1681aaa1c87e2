//! Calls and answers in words.

use crate::model::{
    BoundaryAnswer, BoundaryCall, BoundaryError, Exchange, Removal, SeenContainer, SeenRecord, WrittenEntry,
    bounded_text,
};

const SHOWN_BYTES: usize = 256;

/// What was asked and answered.
pub(super) fn said(exchange: &Exchange) -> String {
    let asked = asked(&exchange.call);
    let answered = answered(exchange);
    let host = match (exchange.host.engine_asked, exchange.host.held, &exchange.host.changed_record) {
        (true, ..) => " (the engine was asked)",
        (_, true, _) => " (an operator holds the game)",
        (_, _, Some(_)) => " (the record had changed)",
        _ => "",
    };
    bounded_text(&format!("{asked}{answered}{host}"), 1024)
}

/// The rule that forbade a call.
pub(super) fn rule_of(exchange: &Exchange) -> Option<&str> {
    match &exchange.answer {
        BoundaryAnswer::Error(BoundaryError::Denied(rule)) => Some(rule),
        _ => None,
    }
}

/// As `docker ps` shows ids.
pub(super) fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

fn asked(call: &BoundaryCall) -> String {
    match call {
        BoundaryCall::Now => "asked for the time".to_owned(),
        BoundaryCall::RecordsGet => "read the record".to_owned(),
        BoundaryCall::UpdateStatus { expected_status, new_status, expected_container_id } => {
            let with = match expected_container_id {
                Some(id) => format!("container {}", short(id)),
                None => "no container".to_owned(),
            };
            format!("asked to change the record from {expected_status} with {with} to {new_status}")
        }
        BoundaryCall::Inspect { container_id } => format!("looked at container {}", short(container_id)),
        BoundaryCall::Remove { container_id } => format!("asked to remove container {}", short(container_id)),
        BoundaryCall::TryAcquire => "asked for the game's lease".to_owned(),
        BoundaryCall::Release => "gave the lease back".to_owned(),
        BoundaryCall::DropLease => "let go of the lease".to_owned(),
        BoundaryCall::Append(entry) => format!("wrote its entry, {}", entry_words(entry)),
        BoundaryCall::Setting { name } => format!("read setting {name}"),
        BoundaryCall::Settings => "read its settings".to_owned(),
        BoundaryCall::Log { level, context, message } => {
            let context = if context.is_empty() { String::new() } else { format!(" [{context}]") };
            format!("said ({level}){context}") + ": " + &bounded_text(message, SHOWN_BYTES)
        }
    }
}

fn entry_words(entry: &WrittenEntry) -> String {
    let code = entry.error_code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let message = entry.message.as_ref().map(|text| format!(" {:?}", bounded_text(text, SHOWN_BYTES)));
    format!("{}{code}{}", entry.outcome.as_str(), message.unwrap_or_default())
}

fn answered(exchange: &Exchange) -> String {
    let text = match &exchange.answer {
        BoundaryAnswer::Done if matches!(exchange.call, BoundaryCall::Log { .. }) => return String::new(),
        BoundaryAnswer::Done => "done".to_owned(),
        BoundaryAnswer::Time(at) => at.to_string(),
        BoundaryAnswer::Record(record) => record_words(record),
        BoundaryAnswer::Container(container) => container_words(container),
        BoundaryAnswer::Removal(Removal::Removed) => "it is gone, by this call".to_owned(),
        BoundaryAnswer::Removal(Removal::AlreadyGone) => "it was gone already".to_owned(),
        BoundaryAnswer::Lease(true) => "granted".to_owned(),
        BoundaryAnswer::Lease(false) => "another operation holds it".to_owned(),
        BoundaryAnswer::Entry(id) => format!("entry {}", id.0),
        BoundaryAnswer::Setting(true) => "it is set".to_owned(),
        BoundaryAnswer::Setting(false) => "there is none".to_owned(),
        BoundaryAnswer::Settings(names) if names.is_empty() => "there are none".to_owned(),
        BoundaryAnswer::Settings(names) => names.join(", "),
        BoundaryAnswer::Error(error) => error_words(error),
        BoundaryAnswer::None => "the run ended before an answer came".to_owned(),
    };
    format!(": {text}")
}

fn record_words(record: &SeenRecord) -> String {
    let container = record.container_id.as_ref().map(|id| format!(", container {}", short(id.as_str())));
    format!("{}{}", record.status, container.unwrap_or_else(|| ", no container".to_owned()))
}

fn container_words(container: &SeenContainer) -> String {
    let code = container.exit_code.map(|code| format!(" with code {code}")).unwrap_or_default();
    format!("{}{code}", container.state)
}

fn error_words(error: &BoundaryError) -> String {
    match error {
        BoundaryError::NotFound => "there is none".to_owned(),
        BoundaryError::Conflict => "refused, the state is another than expected".to_owned(),
        BoundaryError::Denied(name) => format!("denied by rule {name}, {}", rule(name)),
        BoundaryError::LeaseLost => "refused, the lease is lost or about to end".to_owned(),
        BoundaryError::Unavailable(message) => format!("no, {message}"),
        BoundaryError::OutcomeUnknown => "what became of it is not known".to_owned(),
        BoundaryError::Internal(message) => format!("no, {message}"),
    }
}

/// What a rule says.
pub(super) fn rule(name: &str) -> &'static str {
    match name {
        "invalid-request" => "the request names no valid game",
        "review-is-read-only" => "nothing is written during a review",
        "one-lease-a-run" => "a run takes one lease",
        "lease-required" => "the run holds no lease",
        "record-not-loaded" => "the record was not read under the lease before",
        "not-stopped" => "the record was not read as stopped",
        "not-the-records-container" => "it is not the record's container",
        "owner-mismatch" => "the container's labels name another owner, tenant or game",
        "only-stopped-to-removed" => "a policy changes stopped to removed and nothing else",
        "absence-unproven" => "the container was not seen to be gone",
        "one-entry-a-run" => "a run writes one entry",
        "entry-is-last" => "nothing is done after the run's entry",
        "success-unproven" => "the record was not seen to be removed",
        "malformed-entry" => "the entry's code is not a policy's to give",
        "held" => "an operator holds the game",
        "policy-revoked" => "the policy was revoked",
        "not-granted" => "the tenant's binding does not grant this",
        _ => "a rule of a newer version",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_words_of_its_own() {
        let mut all: Vec<_> = crate::session::Rule::ALL.iter().map(|known| rule(known.as_str())).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), crate::session::Rule::ALL.len());
        assert!(!all.contains(&rule("unheard-of")));
    }
}

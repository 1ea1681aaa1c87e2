//! The run's entry in the operation log.

use super::{Error, Kind, Rule, Session, TimedOut};
use crate::model::{
    Author, ContainerId, EntryId, ErrorChain, ErrorCode, Fault, Grant, OP_KIND_CLEANUP, OperationEntry, Outcome,
    TenantId, bounded_text,
};
use crate::ports::StoreError;

const MESSAGE_BYTES: usize = 1024;
pub(super) const RECEIVED_BYTES: usize = 256;

/// A policy's account of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it is a plain success.
    pub error_code: Option<ErrorCode>,
    /// The same for people.
    pub message: Option<String>,
    /// The container it was about.
    pub container_id: Option<ContainerId>,
    /// Its image.
    pub image_ref: Option<String>,
}

/// What became of the run's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryState {
    /// The policy has written none.
    Missing,
    /// Appending failed, or was cut short: it may stand in the log, and its loss was reported.
    Lost(Account),
    /// It stands in the log.
    Written(EntryId, Account),
}

impl EntryState {
    /// The policy's account, whether or not it reached the log.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Missing => None,
            Self::Lost(account) | Self::Written(_, account) => Some(account),
        }
    }

    /// The entry's id, if it is in the log.
    pub fn id(&self) -> Option<EntryId> {
        match self {
            Self::Written(id, _) => Some(*id),
            Self::Missing | Self::Lost(_) => None,
        }
    }
}

impl Session {
    /// Appends the policy's account.
    pub async fn append(
        &mut self,
        outcome: Outcome,
        error_code: Option<&str>,
        message: Option<&str>,
        container: Option<&str>,
        image: Option<&str>,
    ) -> Result<EntryId, Error> {
        self.allowed(&Grant::OpLog)?;
        self.writable()?;
        if self.entry != EntryState::Missing {
            return Err(Error::Denied(Rule::OneEntryARun));
        }
        if outcome == Outcome::Success && self.proof_of_success().is_none() {
            return Err(Error::Denied(Rule::SuccessUnproven));
        }
        let error_code = match error_code {
            None => None,
            Some(text) => Some(policy_code(text).ok_or(Error::Denied(Rule::MalformedEntry))?),
        };
        let (container_id, image_ref) = self.read_account(container, image)?;
        let message = message.map(|text| bounded_text(text, MESSAGE_BYTES));
        self.append_as(Author::Policy, Account { outcome, error_code, message, container_id, image_ref }).await
    }

    /// Only what this run has read can stand in its entry; once it has sent a removal, only that container,
    /// whether or not the policy names it.
    fn read_account(
        &self,
        container: Option<&str>,
        image: Option<&str>,
    ) -> Result<(Option<ContainerId>, Option<String>), Error> {
        let forged = Error::Denied(Rule::NotTheRecordsContainer);
        let sent = self.removal.as_ref().map(|removal| &removal.container);
        let read = self.accounts.iter().filter_map(|(container, _)| container.as_ref());
        let mut containers = read.filter(|container| sent.is_none_or(|sent| sent == *container));
        let images = self.accounts.iter().filter_map(|(_, image)| image.as_ref());
        let container_id = match container {
            None => sent.cloned(),
            Some(text) => Some(containers.find(|id| id.as_str() == text).ok_or(forged)?.clone()),
        };
        let image_ref = match image {
            None => None,
            Some(text) => Some(images.into_iter().find(|image| *image == text).ok_or(forged)?.clone()),
        };
        Ok((container_id, image_ref))
    }

    async fn append_as(&mut self, author: Author, account: Account) -> Result<EntryId, Error> {
        let entry = self.entry_for(author, &account);
        let (operations, sent) = (self.ports.operations.clone(), entry.clone());
        // A run whose time is up in the middle of this call must know that an entry may stand.
        self.entry = EntryState::Lost(account.clone());
        let (state, seen) = match self.call(Kind::Effect, async move { operations.append(&sent).await }).await {
            Ok(Ok(id)) => (EntryState::Written(id, account), Ok(id)),
            Ok(Err(error)) => (EntryState::Lost(account), Err((ErrorChain(&error).to_string(), append_error(&error)))),
            Err(TimedOut) => (EntryState::Lost(account), Err(("no answer in time".to_owned(), Error::OutcomeUnknown))),
        };
        self.entry = state;
        seen.map_err(|(error, seen)| {
            self.report_lost(&entry, &error);
            seen
        })
    }

    /// Writes the host's own entry for a run whose policy wrote none, or notes the fault beside the
    /// policy's. Never fails: a loss is reported.
    pub async fn record_fault(&mut self, fault: &Fault) {
        let Some(id) = self.standing_entry(fault).await else { return };
        let (operations, note) = (self.ports.operations.clone(), fault.clone());
        let failure = match self.call(Kind::Effect, async move { operations.note_fault(id, &note).await }).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => ErrorChain(&error).to_string(),
            Err(TimedOut) => "no answer in time".to_owned(),
        };
        self.ports.metrics.entry_lost();
        tracing::error!(
            run_id = %self.run.run_id, game_id = %self.run.request.game_id, entry_id = id.0,
            fault_code = %fault.code, fault_message = %fault.message, error = %failure,
            "a fault could not be noted in the operation log"
        );
    }

    /// The policy's entry, beside which a fault has to be noted; none once there is nothing left to do.
    async fn standing_entry(&mut self, fault: &Fault) -> Option<EntryId> {
        // Reported where they happen: failures of either append.
        match std::mem::replace(&mut self.entry, EntryState::Missing) {
            EntryState::Written(id, account) => {
                self.entry = EntryState::Written(id, account);
                Some(id)
            }
            // It may stand in the log all the same, its answer lost. The log keeps one entry a run, so
            // appending it again is safe and tells its id.
            EntryState::Lost(account) => self.append_as(Author::Policy, account).await.ok(),
            EntryState::Missing => {
                let (container_id, image_ref) = self.subject();
                let account = Account {
                    outcome: Outcome::Failure,
                    error_code: Some(fault.code.clone()),
                    message: Some(bounded_text(&fault.message, MESSAGE_BYTES)),
                    container_id,
                    image_ref,
                };
                let _reported = self.append_as(Author::Host, account).await;
                None
            }
        }
    }

    fn entry_for(&self, author: Author, account: &Account) -> OperationEntry {
        let request = &self.run.request;
        OperationEntry {
            run_id: self.run.run_id.clone(),
            game_id: bounded_text(&request.game_id, RECEIVED_BYTES),
            tenant: self.run.tenant.clone(),
            op_kind: OP_KIND_CLEANUP.to_owned(),
            op_source: bounded_text(&request.op_source, RECEIVED_BYTES),
            source_ref: bounded_text(&request.source_ref, RECEIVED_BYTES),
            actor: request.actor.as_ref().map(|actor| bounded_text(actor, RECEIVED_BYTES)),
            image_ref: account.image_ref.clone(),
            container_id: account.container_id.clone(),
            outcome: account.outcome,
            error_code: account.error_code.clone(),
            error_message: account.message.clone(),
            started_at: self.run.started_at,
            finished_at: self.now(),
            policy: self.run.policy.clone(),
            fence: self.begun.as_ref().map(|begun| begun.fence),
            author,
            fault: None,
        }
    }

    /// An entry that the log did not take must not be lost without a trace.
    fn report_lost(&self, entry: &OperationEntry, error: &str) {
        self.ports.metrics.entry_lost();
        tracing::error!(
            run_id = %entry.run_id, game_id = %entry.game_id, tenant = entry.tenant.as_ref().map(TenantId::as_str),
            op_kind = %entry.op_kind, op_source = %entry.op_source, fence = entry.fence.map(|fence| fence.0),
            source_ref = %entry.source_ref, actor = entry.actor.as_deref(), image_ref = entry.image_ref.as_deref(),
            container_id = entry.container_id.as_ref().map(ContainerId::as_str), outcome = entry.outcome.as_str(),
            error_code = entry.error_code.as_ref().map(ErrorCode::as_str), error_message = entry.error_message.as_deref(),
            started_at = %entry.started_at, finished_at = %entry.finished_at, policy_generation = %entry.policy.generation,
            policy_digest = %entry.policy.digest, author = entry.author.as_str(), error,
            "an entry could not be appended to the operation log"
        );
    }
}

/// A code that a policy may give. Those for its faults are the host's, so that nobody takes one for the other.
pub fn policy_code(text: &str) -> Option<ErrorCode> {
    ErrorCode::parse(text).filter(|code| !code.as_str().starts_with("policy_"))
}

fn append_error(error: &StoreError) -> Error {
    match error {
        StoreError::Corrupt(_) => Error::Internal("the operation log holds what it must not"),
        StoreError::Unavailable(_) => Error::Unavailable("the operation log did not take it"),
        StoreError::Unknown(_) => Error::OutcomeUnknown,
    }
}

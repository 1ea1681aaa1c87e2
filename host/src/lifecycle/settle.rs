//! What a run's outcome is: the policy's word, as far as the host has seen it come true.

use crate::model::{ErrorCode, Fault, Outcome, RuntimeRecord, bounded_text};
use crate::runtime::{Answer, Verdict};
use crate::session::{EntryState, Session, policy_code};

const MESSAGE_BYTES: usize = 1024;

/// A run's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it is a plain success.
    pub error_code: Option<ErrorCode>,
    /// The same for people; only of failures.
    pub message: Option<String>,
    /// The record that proves a success.
    pub record: Option<RuntimeRecord>,
    /// What was wrong with the policy's run.
    pub fault: Option<Fault>,
}

/// Judges a policy's answer. Any fault makes the run a failure with the fault's code.
pub fn settle(session: &Session, answer: Result<Answer, Fault>) -> Settled {
    let verdict = match answer {
        Ok(Answer::Verdict(verdict)) => check(session, verdict),
        Ok(Answer::Advice(_)) => Err(fault(ErrorCode::POLICY_INVALID_ANSWER, "the policy gave advice for a verdict")),
        Err(fault) => Err(fault),
    };
    match verdict {
        Ok((Outcome::Success, error_code, _)) => Settled {
            outcome: Outcome::Success,
            error_code,
            message: None,
            record: session.proof_of_success().cloned(),
            fault: None,
        },
        Ok((Outcome::Failure, error_code, message)) => {
            Settled { outcome: Outcome::Failure, error_code, message, record: None, fault: None }
        }
        Err(fault) => Settled {
            outcome: Outcome::Failure,
            error_code: Some(fault.code.clone()),
            message: Some(fault.message.clone()),
            record: None,
            fault: Some(fault),
        },
    }
}

type Checked = (Outcome, Option<ErrorCode>, Option<String>);

fn check(session: &Session, verdict: Verdict) -> Result<Checked, Fault> {
    let error_code = parse_code(&verdict)?;
    match verdict.outcome {
        Outcome::Success if session.proof_of_success().is_none() => {
            return Err(fault(
                ErrorCode::POLICY_FALSE_SUCCESS,
                "the policy answered success, but this run neither changed the record to removed nor read it so",
            ));
        }
        Outcome::Failure if session.won().is_some() => {
            return Err(fault(
                ErrorCode::POLICY_CONTRADICTION,
                "the policy answered failure, but this run changed the record to removed",
            ));
        }
        Outcome::Success | Outcome::Failure => {}
    }
    check_entry(session.entry(), verdict.outcome, error_code.as_ref())?;
    let message = verdict.message.map(|text| bounded_text(&text, MESSAGE_BYTES));
    Ok((verdict.outcome, error_code, message))
}

/// A failure has a code; a success has none, or says that it found the work done.
fn parse_code(verdict: &Verdict) -> Result<Option<ErrorCode>, Fault> {
    let code = match &verdict.error_code {
        None => None,
        Some(text) => Some(policy_code(text).ok_or_else(|| {
            let shown = bounded_text(text, ErrorCode::MAX_LEN);
            let message = format!("the policy answered error code {shown:?}; a code is 1 to 64 of a-z, 0-9 and _, and does not start with policy_");
            fault(ErrorCode::POLICY_INVALID_ANSWER, &message)
        })?),
    };
    let replay = code.as_ref() == Some(&ErrorCode::REPLAY_NO_OP);
    match (verdict.outcome, &code) {
        (Outcome::Success, None) => Ok(code),
        (Outcome::Success, Some(_)) if replay => Ok(code),
        (Outcome::Failure, Some(_)) if !replay => Ok(code),
        (Outcome::Success, Some(_)) => Err(fault(
            ErrorCode::POLICY_INVALID_ANSWER,
            "the policy answered success with an error code; only replay_no_op, or none, goes with success",
        )),
        (Outcome::Failure, _) => Err(fault(
            ErrorCode::POLICY_INVALID_ANSWER,
            "the policy answered failure without an error code of a failure",
        )),
    }
}

fn check_entry(entry: &EntryState, outcome: Outcome, code: Option<&ErrorCode>) -> Result<(), Fault> {
    let Some(account) = entry.account() else {
        return Err(fault(ErrorCode::POLICY_NO_ENTRY, "the policy wrote no entry in the operation log"));
    };
    if (account.outcome, account.error_code.as_ref()) == (outcome, code) {
        return Ok(());
    }
    Err(fault(ErrorCode::POLICY_CONTRADICTION, "the policy's entry and its answer differ in outcome or code"))
}

fn fault(code: ErrorCode, message: &str) -> Fault {
    Fault { code, message: message.to_owned() }
}

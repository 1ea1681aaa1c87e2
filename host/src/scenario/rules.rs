//! What a policy did against the rules in one run, whether or not its host let it.

use crate::lifecycle::settle;
use crate::model::{ErrorCode, Fault};
use crate::runtime::{Answer, Execution};
use crate::session::{Rule, Session};

/// What it did. `delayed`: the backends kept it waiting. `narrowed`: not everything was granted to it.
pub(super) fn broken(execution: &Execution, delayed: bool, narrowed: bool) -> Vec<String> {
    let Execution { session, answer } = execution;
    let mut broken = denied(session, narrowed);
    match answer {
        Err(fault) => broken.extend(unanswered(fault, delayed)),
        Ok(Answer::Advice(_)) => {}
        Ok(Answer::Verdict(_)) => {
            broken.extend(settle(session, answer.clone()).fault.map(|fault| told(&fault)));
            if session.holds_lease() {
                broken.push("it left its lease to the host".to_owned());
            }
        }
    }
    broken
}

/// A policy cannot know of a hold, of labels, of what makes a game's id, of a revocation, nor of what is not granted to it.
fn denied(session: &Session, narrowed: bool) -> Vec<String> {
    let is_wrong = |rule: &&Rule| match rule {
        Rule::Held | Rule::OwnerMismatch | Rule::InvalidRequest | Rule::PolicyRevoked => false,
        Rule::NotGranted => !narrowed,
        _ => true,
    };
    let mut broken: Vec<_> = session.denied().iter().filter(is_wrong).copied().collect();
    broken.dedup();
    broken.iter().map(|rule| format!("it asked against the rule {rule}")).collect()
}

fn unanswered(fault: &Fault, delayed: bool) -> Option<String> {
    let by_delays = delayed && fault.code == ErrorCode::POLICY_RUN_TIMEOUT;
    let is_hosts = by_delays || fault.code == ErrorCode::POLICY_UNAVAILABLE;
    (!is_hosts).then(|| told(fault))
}

fn told(fault: &Fault) -> String {
    format!("{}: {}", fault.code, fault.message)
}

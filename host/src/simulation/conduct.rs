//! What a policy tried, beyond what its host let it do.

use super::actor::Actor;
use super::invariant::Invariant;
use crate::adapters::memory::Call;
use crate::lifecycle::{Observer, settle};
use crate::model::{ErrorCode, Fault};
use crate::runtime::{Answer, Execution};
use crate::session::{Rule, Session};

/// Looks at each run as its policy has left it.
pub(super) fn observer(actor: Actor) -> Observer {
    std::sync::Arc::new(move |execution: &Execution| {
        if actor.life.has_ended() {
            return;
        }
        let is_cut_off = execution.answer.as_ref().is_err_and(|fault| fault.code == ErrorCode::POLICY_RUN_TIMEOUT);
        if is_cut_off {
            // What it had asked for may be granted after its end, and lasts for its time to live then.
            actor.site.seen().witness.missed(actor.part.step(), Call::LeaseTryAcquire);
        }
        for (invariant, what) in wrongs(&actor, execution) {
            let game = &execution.session.run().request.game_id;
            actor.site.note(&actor.part.label, format_args!("policy, {game}: {what}"));
            actor.site.seen().witness.breach(invariant, format!("{}, {game}: {what}", actor.part.label));
        }
    })
}

fn wrongs(actor: &Actor, execution: &Execution) -> Vec<(Invariant, String)> {
    let Execution { session, answer } = execution;
    let mut wrongs = denied(actor, session);
    match answer {
        Err(fault) => wrongs.extend(unanswered(actor, fault)),
        Ok(Answer::Advice(_)) => {}
        Ok(Answer::Verdict(_)) => {
            let fault = settle(session, answer.clone()).fault;
            wrongs.extend(fault.map(|fault| (Invariant::WritesEntry, fault.message)));
            if session.holds_lease() {
                wrongs.push((Invariant::GivesLeaseBack, "left its lease to the host".to_owned()));
            }
        }
    }
    wrongs
}

/// A policy cannot know of a hold, of labels, of what makes a game's id, of a revocation, or of what it was not granted;
/// all else it has been told.
fn denied(actor: &Actor, session: &Session) -> Vec<(Invariant, String)> {
    let lost = actor.site.seen().witness.has_missed(actor.part.step(), &[Call::LeaseRenew]);
    let is_wrong = |rule: &&Rule| match rule {
        Rule::Held | Rule::OwnerMismatch | Rule::InvalidRequest | Rule::PolicyRevoked | Rule::NotGranted => false,
        // The lease may be gone before the record is read.
        Rule::RecordNotLoaded => !lost,
        _ => true,
    };
    let mut broken: Vec<Rule> = session.denied().iter().filter(is_wrong).copied().collect();
    broken.dedup();
    broken.iter().map(|rule| (Invariant::KeepsToProtocol, format!("asked against the rule {rule}"))).collect()
}

fn unanswered(actor: &Actor, fault: &Fault) -> Option<(Invariant, String)> {
    let waited = actor.site.seen().witness.was_delayed(actor.part.step());
    // Or the run may take no longer than answers do, however slow they are; one that waits for itself does so in between.
    let waited = waited || actor.part.waited(actor.site.elapsed()) * 2 >= actor.site.limits.run_time;
    let by_delays = waited && fault.code == ErrorCode::POLICY_RUN_TIMEOUT;
    // No place came free, which is not the policy's doing.
    let is_hosts = by_delays || fault.code == ErrorCode::POLICY_UNAVAILABLE;
    (!is_hosts).then(|| (Invariant::Answers, fault.message.clone()))
}

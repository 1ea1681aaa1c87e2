//! What callers are shown of what they may see at all: values of settings, which may be secrets, and the platform's
//! hosts.

use super::Replica;
use crate::access::{Action, Caller, permit};
use crate::model::{Generation, PolicyScope};
use crate::ports::ScopeState;

/// Stands for the value of a setting.
const MASK: &str = "***";
/// Stands for what a host says of its troubles, which may name its files.
const UNSERVED: &str = "this host cannot load what it should serve; the platform's operators see why";

/// A generation with the values of its settings, or with their names alone.
pub(super) fn generation(caller: &Caller, mut shown: Generation) -> Generation {
    if permit(caller, &Action::ReadSettings(shown.scope.clone())).is_err() {
        shown.spec.settings.values_mut().for_each(|value| MASK.clone_into(value));
    }
    shown
}

/// A scope's generations, likewise.
pub(super) fn state(caller: &Caller, shown: ScopeState) -> ScopeState {
    let seen = |found: Option<Generation>| found.map(|found| generation(caller, found));
    let ScopeState { current, previous, staged, newest, .. } = shown;
    let (current, previous, staged, newest) = (seen(current), seen(previous), seen(staged), seen(newest));
    ScopeState { current, previous, staged, newest, ..shown }
}

/// Hosts by their names, or by their places among those that are alive.
pub(super) fn replicas(caller: &Caller, shown: Vec<Replica>) -> Vec<Replica> {
    if permit(caller, &Action::ReadPlatform).is_ok() {
        return shown;
    }
    let of = shown.len();
    (1..).zip(shown).map(|(place, replica)| unnamed(format!("host {place} of {of}"), replica)).collect()
}

fn unnamed(name: String, replica: Replica) -> Replica {
    let serving = replica.serving.map(|mut said| {
        name.clone_into(&mut said.replica);
        said.problem = said.problem.map(|_| UNSERVED.to_owned());
        said
    });
    Replica { name, serving }
}

/// Whether a scope is another tenant's, and so as if it were not there.
pub(super) fn is_anothers(caller: &Caller, scope: &PolicyScope) -> bool {
    scope.tenant().is_some_and(|tenant| !caller.sees(tenant))
}

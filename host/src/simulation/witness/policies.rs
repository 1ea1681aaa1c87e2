//! Which policy each run has, which its replica said that it serves, and what was revoked.

use std::collections::{BTreeMap, BTreeSet};

use super::Witness;
use crate::model::{GameId, Generation, GenerationId, Intent, PolicyDigest, PolicyRef, RunId};
use crate::simulation::actor::Actor;
use crate::simulation::invariant::Invariant;
use crate::simulation::sometimes::Sometimes;

/// What is known of a history's policies.
#[derive(Default)]
pub(super) struct Policies {
    staged: BTreeMap<GenerationId, PolicyDigest>,
    revoked: BTreeSet<String>,
    /// What each process said last that it serves, or is about to say, and what was revoked when it looked.
    processes: BTreeMap<String, (BTreeSet<GenerationId>, BTreeSet<String>)>,
    /// What was revoked when a process began to look.
    looking: BTreeMap<String, BTreeSet<String>>,
    steps: BTreeMap<u32, Step>,
    /// The policy that a run began with.
    of_run: BTreeMap<RunId, PolicyRef>,
    /// The run of a step on a game that began last.
    running: BTreeMap<(u32, GameId), RunId>,
}

/// What the runs of a step may be of.
struct Step {
    process: String,
    /// All that its process said, from when the step began.
    said: BTreeSet<GenerationId>,
    /// What its process knew to be revoked when the step began.
    known: BTreeSet<String>,
}

impl Witness {
    /// A generation is in the store.
    pub(in crate::simulation) fn staged(&mut self, generation: &Generation) {
        self.policies.staged.insert(generation.id(), generation.spec.digest.clone());
    }

    /// A revocation was answered.
    pub(in crate::simulation) fn revoked(&mut self, subject: &str) {
        self.policies.revoked.insert(subject.to_owned());
    }

    pub(in crate::simulation) fn is_revoked(&self, subject: &str) -> bool {
        self.policies.revoked.contains(subject)
    }

    /// A process looks at the store, where this is current, and may serve it from now on.
    pub(in crate::simulation) fn looks(&mut self, process: &str, generation: &GenerationId) {
        let (said, _) = self.policies.processes.entry(process.to_owned()).or_default();
        said.insert(generation.clone());
        self.policies.looking.insert(process.to_owned(), self.policies.revoked.clone());
        self.says(process, generation);
    }

    /// A process has looked at the store, and says what it serves.
    pub(in crate::simulation) fn reported(&mut self, process: &str, generation: &GenerationId) {
        let said = BTreeSet::from([generation.clone()]);
        let known = self.policies.looking.remove(process).unwrap_or_default();
        self.policies.processes.insert(process.to_owned(), (said, known));
        self.says(process, generation);
    }

    fn says(&mut self, process: &str, generation: &GenerationId) {
        for step in self.policies.steps.values_mut().filter(|step| step.process == process) {
            step.said.insert(generation.clone());
        }
    }

    /// A step of this process begins.
    pub(in crate::simulation) fn begins(&mut self, step: u32, process: &str) {
        let (said, known) = self.policies.processes.get(process).cloned().unwrap_or_default();
        self.policies.steps.insert(step, Step { process: process.to_owned(), said, known });
    }

    pub(super) fn asked_to_begin(&mut self, actor: &Actor, intent: &Intent) {
        let step = actor.part.step();
        self.policy_fits(actor, &intent.run_id, &intent.policy);
        let known = |policy: &PolicyRef| {
            let known = self.policies.steps.get(&step).map(|step| &step.known);
            known.is_some_and(|known| names(known, policy))
        };
        let is_known = known(&intent.policy);
        self.require(!is_known, Invariant::OneDigest, || {
            format!("{} begins with a policy that its replica knew to be revoked", actor.part.label)
        });
        if names(&self.policies.revoked, &intent.policy) {
            self.reach(Sometimes::BegunRevoked);
        }
        self.policies.of_run.insert(intent.run_id.clone(), intent.policy.clone());
        self.policies.running.insert((step, intent.game_id.clone()), intent.run_id.clone());
    }

    /// Whether a run is of the policy that it began with or, as long as it has not, of one that its replica said it
    /// serves.
    pub(super) fn policy_fits(&mut self, actor: &Actor, run: &RunId, policy: &PolicyRef) {
        let Policies { staged, steps, of_run, .. } = &self.policies;
        let is_said = steps.get(&actor.part.step()).is_none_or(|step| step.said.contains(&policy.generation));
        let is_staged = staged.get(&policy.generation) == Some(&policy.digest);
        let fits = of_run.get(run).map_or(is_said && is_staged, |begun| begun == policy);
        self.require(fits, Invariant::OneDigest, || {
            format!("{} runs another policy than its replica said it serves when it began", actor.part.label)
        });
    }

    /// That the run of this step on this game is not of a revoked policy.
    pub(super) fn not_revoked_in(&mut self, actor: &Actor, game: &GameId, what: &str) {
        if let Some(run) = self.policies.running.get(&(actor.part.step(), game.clone())).cloned() {
            self.not_revoked(actor, &run, what);
        }
    }

    /// That a run is not of a revoked policy.
    pub(super) fn not_revoked(&mut self, actor: &Actor, run: &RunId, what: &str) {
        let policy = self.policies.of_run.get(run);
        let revoked = policy.is_some_and(|policy| names(&self.policies.revoked, policy));
        self.require(!revoked, Invariant::OneDigest, || {
            format!("{} {what} after its policy was revoked", actor.part.label)
        });
    }
}

fn names(revoked: &BTreeSet<String>, policy: &PolicyRef) -> bool {
    revoked.contains(policy.generation.as_str()) || revoked.contains(policy.digest.as_str())
}

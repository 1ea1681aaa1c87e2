//! Scenarios: a world, what happens in it, and what has to come of it, told in a file. They are what a policy's author
//! tests with, and what says of a policy in general that it keeps the rules.
//!
//! Each plays in a world of its own: the real sandbox, session and lifecycle, on backends in memory and in virtual time,
//! so that the same file, component and settings always come to the same. What goes wrong goes wrong behind the host:
//! a scenario can show a policy only what a real host could. The form of the files stands in [`SCHEMA`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::runtime::{Execution, Policy};
use crate::simulation::{self, Options, Simulator};

mod backends;
mod cost;
mod deeds;
mod form;
mod judge;
mod measure;
mod notebook;
mod pattern;
mod play;
mod read;
mod report;
mod rules;
mod seen;
mod story;
mod suites;
mod tree;
mod watch;
mod words;
mod world;

pub use cost::{Cost, Meter};
pub use judge::Mismatch;
pub use notebook::Notebook;
pub use play::PlayError;
pub use read::{Invalid, read};
pub use report::{CallView, ScenarioReport, StepReport};
pub use seen::{End, Made, StepSeen};
pub use story::Scenario;
pub use suites::Suite;
pub use words::{DeedKind, What};
pub use world::SetupError;

use story::Play;

/// What a file of scenarios may hold: a JSON Schema, for editors.
pub const SCHEMA: &str = include_str!("scenario/schema.json");

/// Why a scenario has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be played.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// A history could not be played.
    #[error(transparent)]
    Simulation(#[from] simulation::Error),
    /// The host code panicked, which is a bug of it.
    #[error("the host code panicked in a scenario")]
    Panicked,
}

/// What a policy did against the rules in a run which no backend kept waiting. `narrowed`: not everything was granted to it.
pub fn rules_broken(execution: &Execution, narrowed: bool) -> Vec<String> {
    rules::broken(execution, false, narrowed)
}

/// Plays scenarios with one policy.
pub struct Tester {
    /// Plays histories; the policy was loaded by it.
    pub simulator: Arc<Simulator>,
    /// The policy.
    pub policy: Policy,
    /// Settings in place of those of the scenarios, and beside them.
    pub settings: BTreeMap<String, String>,
}

impl Tester {
    /// Plays a scenario and compares what happens with what has to. `file` is where it comes from, for people.
    pub fn test(&self, file: &str, scenario: &Scenario) -> Result<ScenarioReport, Error> {
        let began = tokio::time::Instant::now();
        let settings = self.settings_of(scenario);
        let mut report = match &scenario.play {
            Play::Story(story) => apart(|| {
                play::play(story, &settings, &self.policy, |played| {
                    let mismatches = judge::judge(story, &played);
                    ScenarioReport::of_story(file, scenario, mismatches, &played.steps)
                })
            })??,
            Play::Plan(plan) => {
                let options = Options { settings, ..Options::default() };
                let (timeline, breaches) = self.simulator.replay(&self.policy, &options, plan)?;
                ScenarioReport::of_plan(file, scenario, timeline, &breaches)
            }
        };
        report.took_ms = began.elapsed().as_secs_f64() * 1_000.0;
        Ok(report)
    }

    fn settings_of(&self, scenario: &Scenario) -> BTreeMap<String, String> {
        let mut settings = scenario.settings.clone();
        settings.extend(self.settings.clone());
        settings
    }
}

/// What the runs of a scenario cost each time, in so many rounds, in which the testers take turns. All is left out that a
/// host has before a run begins. Nothing for a history of the simulation.
pub fn measure<const N: usize>(
    testers: [&Tester; N],
    scenario: &Scenario,
    rounds: u32,
) -> Result<[Vec<Cost>; N], Error> {
    let Play::Story(story) = &scenario.play else { return Ok([const { Vec::new() }; N]) };
    let policies = testers.map(|tester| (tester.settings_of(scenario), &tester.policy));
    Ok(apart(|| measure::measure(story, policies, rounds))??)
}

/// On a thread of its own, since a scenario has a runtime of its own and the caller may be in another. What its hosts log
/// concerns nobody.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let silently = || tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), work);
    std::thread::scope(|scope| scope.spawn(silently).join().map_err(|_| Error::Panicked))
}

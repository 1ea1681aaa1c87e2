//! What a test came to, as it is shown.

use serde::Serialize;

use super::Origin;
use crate::scenario::ScenarioReport;

/// All that was played.
#[derive(Debug, Serialize)]
pub(super) struct TestView {
    /// The component's file.
    pub(super) policy: String,
    /// Its digest.
    pub(super) digest: String,
    /// Whether all is as expected.
    pub(super) passes: bool,
    /// So many scenarios.
    pub(super) played: usize,
    /// So many of them are as expected,
    pub(super) passed: usize,
    /// and so many are not.
    pub(super) failed: usize,
    /// What it took, in milliseconds, compiling the component excluded.
    pub(super) took_ms: f64,
    /// By file.
    pub(super) groups: Vec<Group>,
}

/// The scenarios of a file or suite.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    /// The file, or the suite.
    pub(super) name: String,
    /// Whether it comes with the program.
    pub(super) built_in: bool,
    /// What each came to.
    pub(super) scenarios: Vec<ScenarioReport>,
}

impl Group {
    pub(super) fn new(origin: &Origin, scenarios: Vec<ScenarioReport>) -> Self {
        Self { name: origin.name.clone(), built_in: origin.suite.is_some(), scenarios }
    }

    pub(super) fn failed(&self) -> usize {
        self.scenarios.iter().filter(|report| !report.passed).count()
    }

    pub(super) fn took_ms(&self) -> f64 {
        self.scenarios.iter().map(|report| report.took_ms).sum()
    }
}

impl TestView {
    pub(super) fn new(policy: String, digest: String, groups: Vec<Group>) -> Self {
        let played = groups.iter().map(|group| group.scenarios.len()).sum();
        let failed = groups.iter().map(Group::failed).sum();
        let took_ms = groups.iter().map(Group::took_ms).sum();
        let passed = usize::saturating_sub(played, failed);
        Self { policy, digest, passes: failed == 0, played, passed, failed, took_ms, groups }
    }
}

//! Which planted bugs the simulation finds: by which rule, after how many histories, and how small the history gets that
//! shows it. The same each time.

use std::collections::BTreeMap;

use rtmanager::runtime::{DEFAULT_POLICY, LoadError, Policy, SandboxError};
use rtmanager::simulation::{Error, Options, Report, Simulator};

use crate::fixtures::HOSTILE;
use crate::hosts::section;
use crate::mutants::{ALL, BY_PAIRS, Mutant, POLICIES};

/// A bug that takes more histories than this is not found.
const HISTORIES: u64 = 10_000;
const SEED: u64 = 7;
/// Plans that are played to make a history smaller.
const ATTEMPTS: u32 = 150;
/// The same for policies, some of which compute until their fuel is spent.
const POLICY_ATTEMPTS: u32 = 40;
const POLICY_FUEL: u64 = 20_000_000;

/// What became of one bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it does.
    pub bug: &'static str,
    /// Whose it is.
    pub whose: &'static str,
    /// The rules by which it may be found; none for a policy's, whose own suite says that.
    pub expected: &'static [&'static str],
    /// What found it.
    pub found: Option<Found>,
}

/// How a bug was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The rule that it broke.
    pub rule: &'static str,
    /// How many histories that took.
    pub histories: u64,
    /// Steps and faults of the smallest one.
    pub smallest: (usize, usize),
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum NoTable {
    /// No sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A policy does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A history could not be played.
    #[error(transparent)]
    Simulation(#[from] Error),
}

/// Looks for every bug.
pub fn rows() -> Result<Vec<Row>, NoTable> {
    let simulator = Simulator::new(Simulator::FUEL)?;
    let policy = simulator.load(DEFAULT_POLICY)?;
    let random = ALL.iter().map(|mutant| of_mutant(&simulator, &policy, mutant, false));
    let pairs = BY_PAIRS.iter().map(|mutant| of_mutant(&simulator, &policy, mutant, true));
    let mut rows = random.chain(pairs).collect::<Result<Vec<_>, _>>()?;
    let simulator = Simulator::new(POLICY_FUEL)?;
    let hostile = simulator.load(HOSTILE)?;
    for (mode, _) in POLICIES {
        let settings = BTreeMap::from([("mode".to_owned(), (*mode).to_owned())]);
        let options =
            Options { histories: HISTORIES, seed: SEED, attempts: POLICY_ATTEMPTS, settings, ..Options::default() };
        let found = found(&simulator.simulate(&hostile, &options)?);
        rows.push(Row { bug: mode, whose: "policy", expected: &[], found });
    }
    Ok(rows)
}

fn of_mutant(simulator: &Simulator, policy: &Policy, mutant: &Mutant, pairs: bool) -> Result<Row, NoTable> {
    let options =
        Options { histories: HISTORIES, seed: SEED, attempts: ATTEMPTS, hooks: mutant.hooks(), ..Options::default() };
    let report = match pairs {
        true => simulator.exhaust(policy, &Options { histories: u64::MAX, ..options }, true)?,
        false => simulator.simulate(policy, &options)?,
    };
    let whose = match (mutant.in_host, pairs) {
        (true, false) => "host",
        (true, true) => "host, by pairs",
        (false, _) => "backend",
    };
    Ok(Row { bug: mutant.name, whose, expected: mutant.rules, found: found(&report) })
}

fn found(report: &Report) -> Option<Found> {
    let found = report.counterexample.as_deref()?;
    let smallest = (found.plan.steps.len(), found.plan.faults.len());
    Some(Found { rule: found.rule, histories: report.histories, smallest })
}

/// The table as Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!("{HEAD}\n| bug | of the | rule | histories | steps | faults |\n|---|---|---|---|---|---|\n");
    for Row { bug, whose, found, .. } in rows {
        let found = found.as_ref().map_or_else(
            || "**not found** | | |".to_owned(),
            |Found { rule, histories, smallest: (steps, faults) }| format!("{rule} | {histories} | {steps} | {faults}"),
        );
        text.push_str(&format!("| {bug} | {whose} | {found} |\n"));
    }
    text + &section()
}

const HEAD: &str = "\
# Which bugs the simulation finds

Written by `make kill-table`, and held true by `tests/tests/simulation_mutants.rs`. Each bug is planted in a host, in a
backend or in a policy; the histories follow from one seed. *rule* is the invariant that gave the bug away (see
`host/src/simulation/invariant.rs`), *histories* how many it took, *steps* and *faults* what is left of the history once it
is made as small as it gets. *By pairs*: among all pairs of faults in a plain cleanup, since it takes two in one run, in an
order that chance seldom finds.
";

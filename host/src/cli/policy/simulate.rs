//! What a policy does when everything goes wrong that can, before it touches a container.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::{Answer, Error, render};
use super::arguments::{pair, read};
use crate::admission::ShapeLimits;
use crate::app::{self, Rejection};
use crate::config::Loaded;
use crate::model::PolicyDigest;
use crate::runtime::Policy;
use crate::simulation::{self, Kept, Options, Plan, Report, Simulator};

mod text;
mod view;

use text::{replay_text, report_text};
use view::{Played, ReplayView, SimulationView, Subject};

/// Histories, if nobody says how many.
const USUAL: u64 = 1_000;
/// A scenario's file has some kilobytes.
const LONGEST_SCENARIO: u64 = 1 << 20;

pub(super) const LONG_ABOUT: &str = "\
Plays a policy through histories in which everything goes wrong that can, and checks every rule

The policy runs in the host's own code, on backends in memory and in virtual time: games in all states, two replicas, \
runs and sweeps that interleave, and faults at any call. No store, engine or configuration is needed, and none is \
touched. The same component, settings and seed give the same calls, on any number of threads: the trace tells. A \
history that breaks a rule is made as small as it gets, and shown call by call.";

const AFTER_HELP: &str = "\
Exit status:
  0  no rule was broken
  1  a rule was broken; or, in 10,000 histories or more, something never happened that has to
  2  the command line is wrong, or a file that it names
  3  this machine cannot compile the policy
  4  the file holds no policy
  5  the configuration is wrong

Example:
  rtmanager policy simulate keep.wasm --histories 10000 --save-scenario broken.toml
  rtmanager policy simulate keep.wasm --scenario broken.toml       that history again";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Simulate {
    /// The component
    file: PathBuf,
    /// So many histories, up to a million [default: 1000; with --singles or --pairs, all that there are]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    histories: Option<u64>,
    /// What they follow from
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// On so many threads, which changes nothing but the time it takes [default: one a processor, at most 4]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=i64::from(Simulator::THREADS)))]
    threads: Option<u32>,
    /// What the policy reads through wasi:config/store; may be repeated
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// A plain cleanup, with each single fault at each of its calls
    #[arg(long, conflicts_with_all = ["pairs", "seed"])]
    singles: bool,
    /// A plain cleanup, with each pair of faults
    #[arg(long, conflicts_with = "seed")]
    pairs: bool,
    /// One history: that of a file which --save-scenario wrote
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["histories", "seed", "threads", "singles", "pairs", "save_scenario"])]
    scenario: Option<PathBuf>,
    /// Where to put the smallest history that breaks a rule, if one does: a name that ends with .toml makes a scenario
    /// for `policy test`, any other a plan in JSON
    #[arg(long, value_name = "FILE")]
    save_scenario: Option<PathBuf>,
}

impl Simulate {
    pub(super) async fn run(self, loaded: Loaded, json: bool) -> Result<Answer, Error> {
        let kept = self.scenario.as_deref().map(read_plan).transpose()?;
        self.save_scenario.as_deref().map_or(Ok(()), place_for)?;
        let component = read(&self.file, ShapeLimits::default().component_bytes)?;
        let subject = self.subject(&component, kept.as_ref());
        let prepared = app::simulator(&loaded.config, component).await;
        let (simulator, policy) = prepared.map_err(|refusal| Error::Rejected(Rejection::Refused(refusal)))?;
        // It computes for as long as it takes.
        let played = tokio::task::spawn_blocking(move || match kept {
            Some(kept) => self.replay(subject, &simulator, &policy, &kept.plan, json),
            None => self.simulate(subject, &simulator, &policy, json),
        });
        played.await.map_err(|error| simulation::Error::Panicked(error.to_string()))?
    }

    /// What the scenario says of settings holds, unless the command line says something else.
    fn subject(&self, component: &[u8], kept: Option<&Kept>) -> Subject {
        let mut settings = kept.map(|kept| kept.settings.clone()).unwrap_or_default();
        settings.extend(self.settings.iter().cloned());
        Subject { policy: self.file.display().to_string(), digest: PolicyDigest::of(component).to_string(), settings }
    }

    fn replay(
        &self,
        subject: Subject,
        simulator: &Simulator,
        policy: &Policy,
        plan: &Plan,
        json: bool,
    ) -> Result<Answer, Error> {
        let options = Options { settings: subject.settings.clone(), ..Options::default() };
        let (timeline, breaches) = simulator.replay(policy, &options, plan)?;
        let scenario = self.scenario.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        let view = ReplayView::new(subject, scenario, timeline, &breaches);
        let text = if json { render::json(&view)? } else { replay_text(&view) };
        Ok(Answer { text, status: u8::from(!view.holds) })
    }

    fn simulate(&self, subject: Subject, simulator: &Simulator, policy: &Policy, json: bool) -> Result<Answer, Error> {
        let report = self.play(&subject, simulator, policy, json)?;
        let saved = self.saved(&report, &subject.settings)?;
        let view = SimulationView::new(subject, self.played(), saved, report);
        let text = if json { render::json(&view)? } else { report_text(&view) };
        Ok(Answer { text, status: u8::from(!view.passes()) })
    }

    fn play(&self, subject: &Subject, simulator: &Simulator, policy: &Policy, json: bool) -> Result<Report, Error> {
        let histories = self.histories();
        let bar = progress(histories, json);
        let watched = bar.clone();
        let options = Options {
            histories,
            seed: self.seed,
            threads: self.threads.map_or_else(processors, |threads| threads as usize),
            settings: subject.settings.clone(),
            onlooker: Some(Arc::new(move || watched.inc(1))),
            ..Options::default()
        };
        let report = match self.played() {
            Played::Random => simulator.simulate(policy, &options),
            Played::Singles => simulator.exhaust(policy, &options, false),
            Played::Pairs => simulator.exhaust(policy, &options, true),
        };
        bar.finish_and_clear();
        Ok(report?)
    }

    fn played(&self) -> Played {
        match (self.singles, self.pairs) {
            (true, _) => Played::Singles,
            (_, true) => Played::Pairs,
            _ => Played::Random,
        }
    }

    fn histories(&self) -> u64 {
        let all = match self.played() {
            Played::Random => return self.histories.unwrap_or(USUAL),
            Played::Singles => Simulator::combinations(false),
            Played::Pairs => Simulator::combinations(true),
        };
        self.histories.map_or(all, |histories| histories.min(all))
    }

    /// Where the history is now that breaks a rule, if one does and somebody wants it.
    fn saved(&self, report: &Report, settings: &BTreeMap<String, String>) -> Result<Option<String>, Error> {
        let (Some(file), Some(found)) = (&self.save_scenario, &report.counterexample) else { return Ok(None) };
        let text = if is_toml(file) { found.scenario_file(settings) } else { found.scenario() + "\n" };
        let written = std::fs::write(file, text);
        written.map_err(|source| Error::File { path: file.clone(), source })?;
        Ok(Some(file.display().to_string()))
    }
}

/// Says early that there is no such directory: the histories may take long.
fn place_for(file: &Path) -> Result<(), Error> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    let found = std::fs::metadata(directory.unwrap_or_else(|| Path::new(".")));
    found.map(drop).map_err(|source| Error::File { path: file.to_owned(), source })
}

fn is_toml(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn read_plan(file: &Path) -> Result<Kept, Error> {
    let wrong = |what: String| Error::Usage(format!("{} is no scenario: {what}", file.display()));
    let text = String::from_utf8(read(file, LONGEST_SCENARIO)?).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let json = || Plan::from_json(&text).map(|plan| Kept { settings: BTreeMap::new(), plan });
    let read = if is_toml(file) { Kept::from_toml(&text) } else { json() };
    read.map_err(|error| wrong(error.to_string()))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A bar where somebody watches.
fn progress(histories: u64, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(histories);
    match ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} histories, {eta} to go") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

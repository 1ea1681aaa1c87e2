//! One run of a policy, told call by call: in a scenario, or against what is there now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::super::{Answer, Error, render};
use super::arguments::{pair, read};
use super::test::text::{happened, line};
use super::test::{scenarios, tester};
use super::text::terms_text;
use crate::admission::ShapeLimits;
use crate::app::{Rehearsal, RehearsalTerms, SettingOrigin};
use crate::config::Loaded;
use crate::model::GameId;
use crate::scenario::{Scenario, ScenarioReport, StepReport};
use crate::simulation;
use crate::views::PolicyLimits;

/// Of a step among the results of a test.
const MARGIN: &str = "            ";

const AFTER_HELP: &str = "\
Exit status:
  0  it ran, and broke no rule
  1  it broke a rule or a limit, or trapped
  2  the command line is wrong, or a file that it names
  3  a backend that is needed does not answer, or this machine cannot compile the policy
  4  the file holds no policy, or one that imports what is not granted, or the game would not be asked about
  5  the configuration is wrong

Example:
  rtmanager policy run keep.wasm --scenario 'keep.toml#a failed container is kept for a week'
  rtmanager policy run keep.wasm --game game-42 --dry-run    what a sweep would do about it now";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Run {
    /// The component
    file: PathBuf,
    /// In this scenario: a file, and the scenario's name unless there is only one
    #[arg(long, value_name = "FILE[#NAME]", required_unless_present = "game", conflicts_with_all = ["game", "dry_run", "at_once"])]
    scenario: Option<String>,
    /// On this game as it is now in the configured store and on its engine, in place of what serves its tenant: with those
    /// settings, limits and grants; nothing is changed
    #[arg(long, requires = "dry_run")]
    game: Option<GameId>,
    /// Say what would be done, and do none of it
    #[arg(long, requires = "game")]
    dry_run: bool,
    /// Without asking when, as an admin's order does
    #[arg(long, requires = "game")]
    at_once: bool,
    /// A setting of the policy, in place of the scenario's or the tenant's of that name; may be repeated
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
}

/// What a policy would have done about a live game.
#[derive(Debug, Serialize)]
struct RehearsalView {
    game: String,
    /// The record's status; none if there is no record.
    record: Option<String>,
    /// The container that would have been removed.
    would_remove: Option<String>,
    terms: TermsView,
    run: StepReport,
}

/// On what terms it ran.
#[derive(Debug, Serialize)]
pub(super) struct TermsView {
    /// The generation that serves the game's tenant, whose terms they are.
    pub(super) in_place_of: String,
    /// By name, where each setting came from. Their values are nobody's to read here.
    pub(super) settings: BTreeMap<String, SettingOrigin>,
    /// What is less than the host allows.
    pub(super) limits: PolicyLimits,
    /// What it might do; none for everything.
    pub(super) grants: Option<Vec<String>>,
}

impl From<RehearsalTerms> for TermsView {
    fn from(terms: RehearsalTerms) -> Self {
        Self {
            in_place_of: terms.generation.to_string(),
            settings: terms.settings,
            limits: (&terms.limits).into(),
            grants: terms.grants.map(|grants| grants.iter().map(ToString::to_string).collect()),
        }
    }
}

impl Run {
    pub(super) async fn run(self, loaded: Loaded, json: bool) -> Result<Answer, Error> {
        match (&self.scenario, &self.game) {
            (Some(scenario), _) => self.in_scenario(scenario, &loaded, json).await,
            (None, Some(game)) => self.rehearse(game.clone(), loaded, json).await,
            (None, None) => Err(Error::Usage("where? --scenario FILE, or --game GAME --dry-run".to_owned())),
        }
    }

    async fn in_scenario(&self, named: &str, loaded: &Loaded, json: bool) -> Result<Answer, Error> {
        let (file, scenario) = chosen(named)?;
        let tester = tester(&self.file, loaded, self.settings.iter().cloned()).await?;
        let played = tokio::task::spawn_blocking(move || tester.test(&file, &scenario));
        let report = played.await.map_err(|error| simulation::Error::Panicked(error.to_string()))??;
        let broken = report.steps.iter().any(|step| !step.wrongs.is_empty());
        let text = if json { render::json(&report)? } else { scenario_text(&self.file, &report) };
        Ok(Answer { text, status: u8::from(broken) })
    }

    async fn rehearse(&self, game: GameId, loaded: Loaded, json: bool) -> Result<Answer, Error> {
        let component = read(&self.file, ShapeLimits::default().component_bytes)?;
        let rehearsal = Rehearsal {
            component,
            policy: self.file.display().to_string(),
            settings: self.settings.iter().cloned().collect(),
            game: game.clone(),
            at_once: self.at_once,
        };
        let rehearsed = rehearsal.perform(loaded.config).await?;
        let view = RehearsalView {
            game: game.to_string(),
            record: rehearsed.record.map(|tracked| tracked.record.status.to_string()),
            would_remove: rehearsed.would_remove,
            terms: rehearsed.terms.into(),
            run: StepReport::from(&rehearsed.seen),
        };
        let status = u8::from(!view.run.wrongs.is_empty());
        Ok(Answer { text: if json { render::json(&view)? } else { rehearsal_text(&self.file, &view) }, status })
    }
}

/// The scenario that `FILE#NAME` names. A file's own name may hold a `#`.
pub(super) fn chosen(named: &str) -> Result<(String, Scenario), Error> {
    if Path::new(named).is_file() {
        let mut all = scenarios(Path::new(named))?;
        let names: Vec<String> = all.iter().map(|scenario| scenario.name.clone()).collect();
        return match (all.pop(), names.as_slice()) {
            (Some(only), [_]) => Ok((named.to_owned(), only)),
            _ => Err(Error::Usage(format!("say which: {named}#NAME, with one of {names:?}"))),
        };
    }
    let Some((file, name)) = named.split_once('#') else {
        return scenarios(Path::new(named)).and(Err(Error::Usage(format!("{named} is no file"))));
    };
    let all = scenarios(Path::new(file))?;
    let names: Vec<String> = all.iter().map(|scenario| scenario.name.clone()).collect();
    let found = all.into_iter().find(|scenario| scenario.name == name);
    let found = found.ok_or_else(|| Error::Usage(format!("no scenario of {file} is {name:?}; there are {names:?}")));
    Ok((file.to_owned(), found?))
}

fn scenario_text(policy: &Path, report: &ScenarioReport) -> String {
    let mut text = format!("{} in {} ({})\n\n", policy.display(), line(&report.name), line(&report.file));
    report.steps.iter().for_each(|step| text.push_str(&(told(step) + &cost(step))));
    for told in report.timeline.iter().flat_map(|timeline| timeline.lines()) {
        text.push_str(&format!("  {}\n", line(told)));
    }
    text
}

fn rehearsal_text(policy: &Path, view: &RehearsalView) -> String {
    let record = view.record.as_deref().unwrap_or("none");
    let what = match &view.would_remove {
        Some(container) => format!("It would have removed container {}.", line(container)),
        None => "It would have removed nothing.".to_owned(),
    };
    let game = line(&view.game);
    format!(
        "{} on {game} (record: {}); nothing was changed\n{}\n{}{}\n{what}\n",
        policy.display(),
        line(record),
        terms_text(&view.terms),
        told(&view.run),
        cost(&view.run)
    )
}

/// A step without the margin that it has among the results of a test.
fn told(step: &StepReport) -> String {
    let lines = happened(step);
    let lines = lines.lines().map(|line| line.strip_prefix(MARGIN).unwrap_or(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What the policy's part took.
fn cost(step: &StepReport) -> String {
    if step.memory_bytes == 0 {
        return String::new();
    }
    let fuel = step.fuel.map(|fuel| format!("{fuel} units of fuel (about an instruction each), ")).unwrap_or_default();
    format!("  cost: {fuel}{} KiB of memory\n", step.memory_bytes.div_ceil(1_024))
}

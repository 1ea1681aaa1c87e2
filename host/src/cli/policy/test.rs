//! What a policy does in the scenarios of its author, and in those that every policy must pass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::{Answer, Error, render};
use super::arguments::{pair, read};
use crate::admission::ShapeLimits;
use crate::app::{self, Rejection};
use crate::config::Loaded;
use crate::scenario::{self, SCHEMA, Scenario, Suite, Tester};
use crate::simulation;

mod junit;
pub(super) mod text;
mod view;
mod watch;

use view::{Group, TestView};

/// A file of scenarios has some kilobytes.
const LONGEST: u64 = 1 << 20;

pub(super) const LONG_ABOUT: &str = "\
Plays a policy through scenarios, and compares what it does with what is expected

A scenario is a world (records, containers, leases, the time, settings), what happens in it, what goes wrong, and what has to \
come of it: advice, outcome, calls, entries, what is left in the end. It is written in TOML; --schema prints its form, and \
--print-suite examples. The policy runs in the host's own code, on backends in memory and in virtual time: a scenario \
takes milliseconds, and always comes to the same. No store, engine or configuration is needed, and none is touched.

Beside the files, the suite `safety` is played: what every policy must do, whatever it is for. The suite `default` holds \
what the default policy does.";

const AFTER_HELP: &str = "\
Exit status:
  0  all is as expected
  1  something is not
  2  the command line is wrong, or a file that it names
  3  this machine cannot compile the policy
  4  the file holds no policy
  5  the configuration is wrong

Example:
  rtmanager policy test keep.wasm scenarios/           every *.toml there, and the suite safety
  rtmanager policy test keep.wasm keep.toml --watch    again whenever one of the two changes
  rtmanager policy test keep.wasm --suite safety --setting days=30
  rtmanager policy test --print-suite default > examples.toml";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Test {
    /// The component
    #[arg(required_unless_present_any = ["schema", "print_suite"])]
    file: Option<PathBuf>,
    /// Files of scenarios, or directories of them (*.toml)
    scenarios: Vec<PathBuf>,
    /// A suite that comes with the program: safety or default; may be repeated [default: safety]
    #[arg(long = "suite", value_name = "SUITE")]
    suites: Vec<Suite>,
    /// Only the files
    #[arg(long, conflicts_with = "suites", requires = "scenarios")]
    no_suite: bool,
    /// Only scenarios with this in their name
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// A setting of the policy, in place of the scenarios' or beside them; may be repeated
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// Write the results as JUnit's XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Again whenever the component or a file changes, until Ctrl-C
    #[arg(long, conflicts_with = "junit")]
    watch: bool,
    /// Print the JSON Schema of scenario files
    #[arg(long, exclusive = true)]
    schema: bool,
    /// Print a suite's scenarios
    #[arg(long, value_name = "SUITE", exclusive = true)]
    print_suite: Option<Suite>,
}

/// Scenarios of one origin.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) suite: Option<Suite>,
    pub(super) scenarios: Vec<Scenario>,
}

impl Test {
    pub(super) async fn run(self, loaded: Loaded, json: bool) -> Result<Answer, Error> {
        if self.schema {
            return Ok(Answer::ok(SCHEMA.to_owned()));
        }
        if let Some(suite) = self.print_suite {
            return Ok(Answer::ok(suite.text().to_owned()));
        }
        let Some(file) = self.file.clone() else { return Err(Error::Usage("which component?".to_owned())) };
        if self.watch {
            return watch::watch(&self, &file, &loaded, json).await;
        }
        self.once(&file, &loaded, json).await
    }

    /// Everything once.
    async fn once(&self, file: &Path, loaded: &Loaded, json: bool) -> Result<Answer, Error> {
        // What is wrong with the files is known sooner than what is wrong with the component.
        let origins = self.origins()?;
        let view = self.played(file, loaded, origins).await?;
        if let Some(report) = &self.junit {
            let written = std::fs::write(report, junit::xml(&view));
            written.map_err(|source| Error::File { path: report.clone(), source })?;
        }
        let text = if json { render::json(&view)? } else { text::text(&view) };
        Ok(Answer { text, status: u8::from(view.failed > 0) })
    }

    async fn played(&self, file: &Path, loaded: &Loaded, origins: Vec<Origin>) -> Result<TestView, Error> {
        let tester = tester(file, loaded, self.settings.iter().cloned()).await?;
        let (policy, digest) = (file.display().to_string(), tester.policy.digest().to_string());
        // It computes for as long as it takes.
        let played = tokio::task::spawn_blocking(move || play(&tester, &origins));
        let groups = played.await.map_err(|error| simulation::Error::Panicked(error.to_string()))??;
        Ok(TestView::new(policy, digest, groups))
    }

    /// The scenarios that are asked for.
    fn origins(&self) -> Result<Vec<Origin>, Error> {
        let mut origins = Vec::new();
        for path in self.files()? {
            let scenarios = scenarios(&path)?;
            origins.push(Origin { name: path.display().to_string(), suite: None, scenarios });
        }
        for suite in self.asked_suites() {
            let scenarios = scenario::read(suite.text()).map_err(Error::Scenario)?;
            origins.push(Origin { name: suite.to_string(), suite: Some(suite), scenarios });
        }
        if let Some(filter) = &self.filter {
            origins.iter_mut().for_each(|origin| origin.scenarios.retain(|scenario| scenario.name.contains(filter)));
            origins.retain(|origin| !origin.scenarios.is_empty());
            if origins.is_empty() {
                return Err(Error::Usage(format!("no scenario has {filter:?} in its name")));
            }
        }
        Ok(origins)
    }

    fn asked_suites(&self) -> Vec<Suite> {
        let is_asked = |suite: &Suite| match (self.no_suite, self.suites.as_slice()) {
            (true, _) => false,
            (false, []) => *suite == Suite::Safety,
            (false, asked) => asked.contains(suite),
        };
        Suite::ALL.into_iter().filter(is_asked).collect()
    }

    /// The files, each once; those of a directory by name.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let (mut files, mut known) = (Vec::new(), BTreeSet::new());
        for path in &self.scenarios {
            let found = if path.is_dir() { in_directory(path)? } else { vec![path.clone()] };
            files.extend(found.into_iter().filter(|file| known.insert(file.clone())));
        }
        Ok(files)
    }
}

fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::Usage(format!("there is no *.toml in {}", directory.display())));
    }
    files.sort();
    Ok(files)
}

/// The scenarios of a file.
pub(super) fn scenarios(path: &Path) -> Result<Vec<Scenario>, Error> {
    let wrong = |what: String| Error::Usage(format!("{}: {what}", path.display()));
    let text = String::from_utf8(read(path, LONGEST)?).map_err(|_| wrong("is not UTF-8".to_owned()))?;
    scenario::read(&text).map_err(|invalid| wrong(invalid.to_string()))
}

/// The policy in a file, ready to be played.
pub(super) async fn tester(
    file: &Path,
    loaded: &Loaded,
    settings: impl Iterator<Item = (String, String)>,
) -> Result<Tester, Error> {
    let component = read(file, ShapeLimits::default().component_bytes)?;
    let prepared = app::simulator(&loaded.config, component).await;
    let (simulator, policy) = prepared.map_err(|refusal| Error::Rejected(Rejection::Refused(refusal)))?;
    Ok(Tester { simulator, policy, settings: settings.collect() })
}

fn play(tester: &Tester, origins: &[Origin]) -> Result<Vec<Group>, scenario::Error> {
    let group = |origin: &Origin| {
        let tests = origin.scenarios.iter().map(|scenario| tester.test(&origin.name, scenario));
        Ok(Group::new(origin, tests.collect::<Result<_, scenario::Error>>()?))
    };
    origins.iter().map(group).collect()
}

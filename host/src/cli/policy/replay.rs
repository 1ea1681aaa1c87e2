//! What another policy would have done in runs that were recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::super::{Answer, Error, render};
use super::arguments::{pair, read, span};
use super::recorded::{Recordings, Source};
use super::text::replay_text;
use crate::access::Caller;
use crate::app::{self, Rejection, Stores};
use crate::config::Loaded;
use crate::model::{GenerationId, RunJournal};
use crate::policies::PolicyId;
use crate::replay::{Part, Replay as Playing, Report};
use crate::runtime::{Policy, Settings};

const AFTER_HELP: &str = "\
Exit status:
  0  no run would have gone otherwise
  1  some would
  2  the command line is wrong, or a file that it names
  3  the store does not answer, or this machine cannot compile the policy
  4  there is no such policy, or no recorded run
  5  the configuration is wrong

Kinds of differences:
  would_remove  a container that was kept would be gone
  would_keep    a container that was removed would be there
  other_error   it would have ended otherwise, or with another code
  other_entry   the same end, with another entry in the log
  other_advice  kept for another reason or until another time
  asked_more    it asked for what the recording does not tell";

/// Where recorded runs are, and how they are played.
#[derive(Debug, Args)]
struct Over {
    /// A tenant's recorded runs, '*' for everybody's, or a file that `policy record export` wrote
    #[arg(long, value_name = "TENANT|*|FILE")]
    from: Source,
    /// Only runs that started within this span, such as 7d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    since: Option<Duration>,
    /// The newest, at most so many
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// What the policy reads through wasi:config/store; may be repeated [default: the settings of each run's generation,
    /// where the store or the configuration has them]
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// Answer what the recording does not tell as unavailable, instead of by what usually is: the lease is free, the
    /// container has ended with code 0
    #[arg(long)]
    assume_nothing: bool,
}

/// Plays a policy over recorded runs, and tells what it would have done otherwise.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Replay {
    /// A component's file; or NAME@VERSION or a digest of a policy in the store
    policy: String,
    #[command(flatten)]
    over: Over,
}

/// Plays two policies over recorded runs, and tells in what they differ.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Compare {
    /// A component's file; or NAME@VERSION or a digest of a policy in the store
    first: String,
    /// The one that is held against it, likewise
    second: String,
    #[command(flatten)]
    over: Over,
}

impl Replay {
    pub(super) async fn run(self, loaded: Loaded, operator: String, json: bool) -> Result<Answer, Error> {
        let mut stage = Stage::set(&self.over, loaded, operator).await?;
        let policy = stage.policy(&self.policy).await?;
        let report = stage.play(&self.over, None, &policy).await?;
        told(report, ("recorded", &self.policy), json)
    }
}

impl Compare {
    pub(super) async fn run(self, loaded: Loaded, operator: String, json: bool) -> Result<Answer, Error> {
        let mut stage = Stage::set(&self.over, loaded, operator).await?;
        let (first, second) = (stage.policy(&self.first).await?, stage.policy(&self.second).await?);
        let report = stage.play(&self.over, Some(&first), &second).await?;
        told(report, (&self.first, &self.second), json)
    }
}

fn told(report: Report, (first, second): (&str, &str), json: bool) -> Result<Answer, Error> {
    let status = u8::from(!report.is_same());
    let text = if json { render::json(&report)? } else { replay_text(&report, first, second) };
    Ok(Answer { text, status })
}

/// What policies are played with.
struct Stage {
    loaded: Loaded,
    operator: String,
    /// Opened when something of it is needed.
    stores: Option<Stores>,
    /// By generation, as far as they were looked up.
    settings: BTreeMap<GenerationId, Arc<Settings>>,
}

impl Stage {
    async fn set(over: &Over, loaded: Loaded, operator: String) -> Result<Self, Error> {
        let mut stage = Self { loaded, operator, stores: None, settings: BTreeMap::new() };
        if !matches!(over.from, Source::File(_)) {
            stage.stores().await?;
        }
        Ok(stage)
    }

    async fn stores(&mut self) -> Result<&Stores, Error> {
        if self.stores.is_none() {
            self.stores = Some(Stores::open(self.loaded.config.clone()).await.map_err(app::Error::from)?);
        }
        self.stores.as_ref().ok_or_else(|| Error::Usage("there is no store".to_owned()))
    }

    /// A policy, compiled in the cage.
    async fn policy(&mut self, named: &str) -> Result<Policy, Error> {
        let component = self.component(named).await?;
        let prepared = app::simulator(&self.loaded.config, component).await;
        let (_, policy) = prepared.map_err(|refusal| Error::Rejected(Rejection::Refused(refusal)))?;
        Ok(policy)
    }

    async fn component(&mut self, named: &str) -> Result<Vec<u8>, Error> {
        let file = Path::new(named);
        if file.is_file() {
            return read(file, self.loaded.config.admission.shape.component_bytes);
        }
        let Ok(id) = named.parse::<PolicyId>() else {
            return Err(Error::Usage(format!("{named:?} is no file, no NAME@VERSION and no digest")));
        };
        let caller = Caller::admin(self.operator.clone());
        let policies = app::policies(self.stores().await?)?;
        let digest = policies.find(&caller, None, &id).await?;
        Ok(policies.fetch(&caller, &digest).await?.0)
    }

    async fn play(&mut self, over: &Over, first: Option<&Policy>, second: &Policy) -> Result<Report, Error> {
        let recordings = self.recordings(over).await?;
        if recordings.journals.is_empty() && recordings.unreadable == 0 {
            return Err(Error::Refused("no run was recorded there; see [journal] in the configuration".to_owned()));
        }
        let mut playing = Playing::new().map_err(app::Error::from)?;
        (0..recordings.unreadable).for_each(|_| playing.note_unreadable());
        for journal in &recordings.journals {
            let settings = self.settings(over, journal).await?;
            let second = self.part(over, second, &settings);
            match first {
                None => playing.against_recorded(&second, journal).await,
                Some(first) => {
                    playing.against_each_other(&self.part(over, first, &settings), &second, journal).await;
                }
            }
        }
        Ok(playing.finish())
    }

    async fn recordings(&mut self, over: &Over) -> Result<Recordings, Error> {
        match &over.from {
            Source::File(file) => Recordings::of_file(file, over.limit),
            Source::Scope(scope) => {
                let (scope, since, limit) = (scope.clone(), over.since, over.limit);
                Recordings::of_store(self.stores().await?, scope.tenant().cloned(), since, limit).await
            }
        }
    }

    fn part(&self, over: &Over, policy: &Policy, settings: &Arc<Settings>) -> Part {
        Part {
            policy: policy.clone(),
            settings: settings.clone(),
            grants: None,
            session: Arc::new(self.loaded.config.session.clone()),
            assume: !over.assume_nothing,
        }
    }

    /// Those that were given; else those of the run's generation, as far as they are known.
    async fn settings(&mut self, over: &Over, journal: &RunJournal) -> Result<Arc<Settings>, Error> {
        if !over.settings.is_empty() {
            return Ok(Arc::new(over.settings.iter().cloned().collect()));
        }
        let generation = &journal.generation;
        if let Some(known) = self.settings.get(generation) {
            return Ok(known.clone());
        }
        let scope = generation.scope();
        let found = match (generation.number(), &self.stores) {
            (Some(number), Some(stores)) => {
                stores.generations.generation(&scope, number).await?.map(|found| found.spec.settings)
            }
            // Of what a file binds, as it is today.
            (None, Some(_)) => {
                let config = &self.loaded.config;
                let own = scope.tenant().and_then(|tenant| config.tenants.get(tenant));
                Some(own.unwrap_or(&config.policy).settings.clone())
            }
            (_, None) => None,
        };
        let settings: Arc<Settings> = Arc::new(found.unwrap_or_default().into_iter().collect());
        self.settings.insert(generation.clone(), settings.clone());
        Ok(settings)
    }
}

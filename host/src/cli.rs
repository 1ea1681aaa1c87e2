//! The command line.
//!
//! Commands work on the store and the engines themselves, not through a running server: the store is the
//! truth, every safety rule is enforced in each run, and so they also work while no server does. Only `api`
//! speaks to the server.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

mod access;
mod api;
mod demo;
mod error;
mod inspect;
mod operate;
mod policy;
mod reconcile;
mod render;
mod serve;
mod sweep;

pub use demo::{DemoView, Failure as DemoFailure, GameView, StageError, StoryError};
pub use error::{Error, report};
pub use policy::{
    bound_text, change_table, divergence_table, examination_text, generation_diff_text, policy_table, policy_text,
    replay_text, rules_text, status_table, status_text,
};
pub use render::{
    audit_table, explanation, operation_table, pause_table, pruned_text, reconciliation_text, result_text, run_story,
    runtime_table, setting_table, sweep_text, token_table, verification_text,
};
pub use serve::serve;
pub use sweep::SweepView;

use crate::access::Caller;
use crate::app::{self, App, Stores};
use crate::compiler::CompileOrder;
use crate::config::{Environment, Loaded, Sources};
use crate::model::{EngineName, RunId, TenantId};
use crate::telemetry::{self, LogFormat};

const AFTER_HELP: &str = "\
Exit status:
  0  done, or nothing to do
  1  the operation failed
  2  the command line is wrong
  3  a backend that is needed does not answer; try again
  4  refused: there is no such record, or its state forbids it
  5  the configuration is wrong

Examples:
  rtmanager demo                      a dozen containers of its own, cleaned up before your eyes
  rtmanager config check              what is configured, and from where
  rtmanager sweep --dry-run           what a sweep would remove, and why
  rtmanager explain game-42           why it is kept, when it is due, what blocks it
  rtmanager reconcile                 containers without a record, records without a container
  rtmanager hold game-42 --reason 'evidence, case 7' --until 2026-12-01T00:00:00Z
  rtmanager token create ci --role tenant --tenant acme --expires 90d
  rtmanager audit verify              whether the trail of what was done is whole
  rtmanager serve                     the server: REST, sweeper, reconciler
  rtmanager api GET runtimes/game-42  one request to that server";

/// Removes the stopped containers of a platform's runtimes, by the word of a sandboxed policy.
#[derive(Debug, Parser)]
#[command(name = "rtmanager", bin_name = "rtmanager", version, after_help = AFTER_HELP, max_term_width = 110, subcommand_required = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration file [default: $RTMANAGER_CONFIG, else ./rtmanager.toml, else /etc/rtmanager/rtmanager.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,
    /// A setting, such as sweep.concurrency=4; wins over file and environment. May be repeated, before the command
    // Not global: of settings before and after the command, clap would drop the former without a word.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting, help_heading = "Configuration")]
    settings: Vec<(String, String)>,
    /// Where records are: postgres://USER@HOST/DATABASE [default: the embedded store]; short for store.url
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration")]
    store: Option<String>,
    /// Where leases are: redis://HOST:PORT [default: the store]; short for lease.url
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration")]
    leases: Option<String>,
    /// How log lines are written: auto, text or json
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Configuration")]
    log_format: Option<String>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Work(Work),
    #[command(flatten)]
    Books(Books),
    /// Signs, pushes and binds policies, tries them, takes them back
    ///
    /// Works on the store, which the servers follow.
    Policy(Box<policy::PolicyArgs>),
    /// Sends one request to the running server and prints its answer
    Api(api::Call),
    /// Makes a dozen containers, cleans them up before your eyes, and leaves nothing behind
    ///
    /// Plays on the Docker Engine that DOCKER_HOST names or that answers at the usual socket, under an owner label and
    /// in a store of its own; without any, on an engine in memory. Takes no other configuration. Ends with 0 only if
    /// every outcome was the expected one.
    Demo,
    /// Looks at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    #[command(hide = true)]
    CompilePolicy(CompileOrder),
}

/// Commands that run policies on the configured engines.
#[derive(Debug, Subcommand)]
enum Work {
    /// Serves REST, sweeps at intervals and keeps the records honest, until SIGTERM or Ctrl-C
    Serve,
    /// Sweeps once: corrects the records, offers every due runtime to its policy, and removes what is due
    Sweep {
        /// Say what would be removed and why, and change nothing: not even the records of containers that started or stopped
        #[arg(long)]
        dry_run: bool,
        /// Only this engine
        #[arg(long)]
        engine: Option<EngineName>,
    },
    /// Corrects the records by what the engines say, and lists what has no counterpart: containers without a record,
    /// records without a container
    ///
    /// Removes no container. Ends with 0 whatever it finds, and with 3 if an engine could not be looked at to the end.
    Reconcile {
        /// Only this engine
        #[arg(long)]
        engine: Option<EngineName>,
    },
    /// Removes the container of one stopped runtime now, without asking when
    Cleanup {
        /// The game
        game: String,
    },
}

/// Commands that work on the store alone, and so also while no policy can be loaded and no engine reached.
#[derive(Debug, Subcommand)]
enum Books {
    /// Lists runtimes by game
    Runtimes(inspect::RuntimeQuery),
    /// Lists the operation log, newest first
    Operations(inspect::OperationQuery),
    /// Says why a runtime is kept, when it is due, and what blocks it; and what its last recorded run did, call by call
    Explain {
        /// The game
        #[arg(required_unless_present = "run")]
        game: Option<String>,
        /// Instead, what this run did; `operations --json` has the ids
        #[arg(long, value_name = "RUN_ID", conflicts_with = "game")]
        run: Option<RunId>,
    },
    /// Keeps a runtime from any cleanup
    Hold {
        /// The game
        game: String,
        /// Why
        #[arg(long)]
        reason: String,
        /// Until when: a time such as 2026-12-01T00:00:00Z, or a span from now such as 7d [default: until lifted]
        #[arg(long)]
        until: Option<String>,
    },
    /// Lifts a hold
    Unhold {
        /// The game
        game: String,
    },
    /// Brings back a runtime that was parked after repeated failure
    Unpark {
        /// The game
        game: String,
    },
    /// Lists the pauses in force
    Pauses,
    /// Pauses sweeps: all of them, or those of one engine or tenant
    Pause {
        #[command(flatten)]
        scope: Scope,
        /// Why
        #[arg(long, default_value = "paused by an operator")]
        reason: String,
    },
    /// Lifts a pause. Lifting one that the breaker set allows the removals that it held back
    Resume {
        #[command(flatten)]
        scope: Scope,
    },
    /// Makes, lists and revokes tokens of the REST interface
    #[command(subcommand)]
    Token(access::TokenCommand),
    /// Reads and checks the trail of what admins and operators did
    #[command(subcommand)]
    Audit(access::AuditCommand),
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Scope {
    /// Only this engine
    #[arg(long)]
    engine: Option<EngineName>,
    /// Only this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says what is wrong, with policies too, or shows what is in effect and from where
    Check {
        /// Show settings that have their default, too
        #[arg(long)]
        all: bool,
    },
}

/// How a command ended, when nothing broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For stdout.
    pub text: String,
    /// The exit status.
    pub status: u8,
}

impl Answer {
    fn ok(text: String) -> Self {
        Self { text, status: 0 }
    }
}

impl Cli {
    /// What this program tells itself, to compile a policy in a process of its own: to be carried out instead of
    /// [`run`], before there is a second thread.
    pub fn compile_order(&self) -> Option<&CompileOrder> {
        match &self.command {
            Command::CompilePolicy(order) => Some(order),
            _ => None,
        }
    }
}

/// Runs one command.
pub async fn run(cli: Cli, environment: Environment) -> Result<Answer, Error> {
    let Cli { global, command } = cli;
    let json = global.json;
    match command {
        Command::Work(work) => {
            let operator = Caller::admin(environment.operator());
            perform(work, global.load(environment)?, operator, json).await
        }
        Command::Books(books) => {
            let operator = Caller::admin(environment.operator());
            keep(books, global.load(environment)?, operator, json).await
        }
        Command::Policy(policy) => {
            let loaded = global.load(environment.clone())?;
            init_logs(&loaded, false)?;
            policy::run(*policy, loaded, &environment, json).await
        }
        Command::Api(call) => api::call(&global.load(environment)?.config.http, call).await,
        Command::Demo if global.is_set() => {
            Err(Error::Usage("demo has a configuration of its own; only DOCKER_HOST tells it the engine".into()))
        }
        Command::Demo => demo::demo(environment, json).await,
        Command::Config(ConfigCommand::Check { all }) => inspect::config(&global.load(environment)?, all, json).await,
        Command::Completions { shell } => Ok(completions(shell)),
        Command::CompilePolicy(_) => Err(Error::Usage("compile-policy is for this program itself".into())),
    }
}

async fn perform(work: Work, loaded: Loaded, operator: Caller, json: bool) -> Result<Answer, Error> {
    init_logs(&loaded, matches!(work, Work::Serve))?;
    let app = App::open(loaded.config).await?;
    let answer = match work {
        Work::Serve => return serve::serve(app).await,
        Work::Sweep { dry_run, engine } => sweep::sweep(&app, dry_run, engine, &operator, json).await,
        Work::Reconcile { engine } => reconcile::run(&app, engine.as_ref(), &operator, json).await,
        Work::Cleanup { game } => operate::cleanup(&app, game, &operator, json).await,
    };
    // Runs of a generation that is tried count, whoever began them; those beside live ones may be under way.
    app.lifecycle.drain(LAST_RUNS).await;
    app.journals.flush(LAST_JOURNALS).await;
    if let Err(error) = app.watcher.refresh().await {
        tracing::warn!(%error, "what these runs showed of a rollout is not counted");
    }
    answer
}

/// As long as a run beside a live one may take, and a little more.
const LAST_RUNS: std::time::Duration = std::time::Duration::from_secs(6);

/// A store that does not take journals keeps no command from ending.
const LAST_JOURNALS: std::time::Duration = std::time::Duration::from_secs(2);

async fn keep(books: Books, loaded: Loaded, operator: Caller, json: bool) -> Result<Answer, Error> {
    init_logs(&loaded, false)?;
    let stores = Stores::open(loaded.config).await.map_err(app::Error::from)?;
    match books {
        Books::Runtimes(query) => inspect::runtimes(&stores, query, json).await,
        Books::Operations(query) => inspect::operations(&stores, query, json).await,
        Books::Explain { run: Some(run), .. } => inspect::explain_run(&stores, &run, json).await,
        Books::Explain { game, run: None } => inspect::explain(&stores, &game.unwrap_or_default(), json).await,
        Books::Hold { game, reason, until } => operate::hold(&stores, &game, &reason, until, &operator, json).await,
        Books::Unhold { game } => operate::unhold(&stores, &game, &operator, json).await,
        Books::Unpark { game } => operate::unpark(&stores, &game, &operator, json).await,
        Books::Pauses => inspect::pauses(&stores, json).await,
        Books::Pause { scope, reason } => operate::pause(&stores, scope.into(), &reason, &operator, json).await,
        Books::Resume { scope } => operate::resume(&stores, &scope.into(), &operator, json).await,
        Books::Token(command) => access::token(&stores, command, &operator, json).await,
        Books::Audit(command) => access::audit(&stores, command, &operator, json).await,
    }
}

impl Global {
    fn is_set(&self) -> bool {
        self.config.is_some() || !self.settings.is_empty() || self.store.is_some() || self.leases.is_some()
    }

    fn load(self, environment: Environment) -> Result<Loaded, Error> {
        let mut flags = self.settings;
        flags.extend(self.store.map(|url| ("store.url".to_owned(), url)));
        flags.extend(self.leases.map(|url| ("lease.url".to_owned(), url)));
        if let Some(format) = &self.log_format {
            if LogFormat::from_text(format).is_none() {
                return Err(Error::Usage(format!("--log-format is {format:?}, and must be auto, text or json")));
            }
            flags.push(("log.format".to_owned(), format.clone()));
        }
        Ok(Loaded::from_sources(&Sources { environment, file: self.config, flags })?)
    }
}

/// A server tells what it does; a command answers, and only warns unless it was asked for more.
fn init_logs(loaded: &Loaded, is_server: bool) -> Result<(), Error> {
    let log = &loaded.config.log;
    let asked = loaded.settings.iter().any(|setting| setting.key == "log.filter" && setting.source != "default");
    let filter = if is_server || asked { log.filter.as_str() } else { "warn" };
    Ok(telemetry::init(log.format, filter)?)
}

fn completions(shell: clap_complete::Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rtmanager", &mut script);
    Answer::ok(String::from_utf8_lossy(&script).into_owned())
}

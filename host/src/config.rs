//! The configuration: built-in defaults, then a file, then the environment, then flags. It is read
//! and checked whole before anything is opened, and everything that is wrong is said at once.

use std::path::PathBuf;

use figment::Figment;
use figment::value::{Dict, Value};

mod admission;
mod backend_url;
mod file;
mod journal;
mod kinds;
mod reader;
mod sections;
mod sources;
mod span;
mod types;

pub use backend_url::BackendUrl;
pub use reader::{Problem, Setting};
pub use sources::Environment;
pub use span::{parse_span, show_span};
pub use types::{
    Admission, Config, Discovery, Endpoint, Engine, Http, Leases, Listen, Log, Policy, Store, Synchronous,
};

/// The files of which the first that is there is read if none is named: the working directory's, and the system's.
pub const USUAL_FILES: [&str; 2] = ["./rtmanager.toml", "/etc/rtmanager/rtmanager.toml"];

/// What a configuration is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The process's environment.
    pub environment: Environment,
    /// The file named on the command line.
    pub file: Option<PathBuf>,
    /// Settings of the command line: dotted key and value.
    pub flags: Vec<(String, String)>,
}

/// A configuration, and where each setting comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in effect, by key.
    pub settings: Vec<Setting>,
}

/// There is no valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file that was named cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file was found, not named, and somebody else could have written it.
    #[error(
        "the configuration file {} was not named and belongs to uid {owner}, mode {mode:o}: unnamed, it is read only \
         if it is this user's or root's and nobody else can write it; if it is meant, say --config {}",
        .path.display(), .path.display()
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// The file is no TOML.
    #[error("the configuration file {} is not valid TOML: {detail}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// These settings are wrong.
    #[error("the configuration is not valid:{}", list(.0))]
    Invalid(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  - {problem}")).collect()
}

impl Loaded {
    /// Reads and checks the configuration. Reads files only; opens nothing.
    pub fn from_sources(sources: &Sources) -> Result<Self, Error> {
        let environment = &sources.environment;
        let mut figment = Figment::new();
        let file = file::ConfigFile::find(sources)?;
        let path = file.as_ref().map(|file| file.path.clone());
        if let Some(file) = file {
            figment = figment.merge(file);
        }
        figment = figment.merge(sources::FromEnvironment(environment)).merge(sources::FromFlags(&sources.flags));
        let values = match figment.find_value("") {
            Ok(Value::Dict(_, values)) => values,
            Ok(_) => Dict::new(),
            Err(error) => {
                let detail = error.to_string();
                return Err(Error::Syntax { path: path.unwrap_or_default(), detail });
            }
        };
        let mut root = reader::Section::root(&figment, values);
        let config = sections::config(&mut root, environment);
        let mut report = root.finish();
        report.suggest();
        if report.problems.is_empty() {
            report.settings.sort_by(|a, b| a.key.cmp(&b.key));
            return Ok(Self { config, settings: report.settings });
        }
        report.problems.sort_by(|a, b| a.key.cmp(&b.key));
        Err(Error::Invalid(report.problems))
    }
}

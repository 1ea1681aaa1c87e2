//! Where policies are managed by processes of their own: a directory, and the settings that say so.

use std::path::Path;
use std::process::{Command, Stdio};

use rtmanager::app::Stores;
use rtmanager::compiler::CodeCacheOptions;
use rtmanager::config::{Config, Environment, Loaded, Sources};

/// A store, a cache of compiled code and its key, which the processes of a test share.
pub struct Place {
    directory: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

impl Place {
    /// In a file; or, with its URL, in a database.
    pub fn new(url: Option<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut settings = vec![
            ("store.path".to_owned(), path("state/rtmanager.db")),
            ("admission.code_cache".to_owned(), path("state/code")),
            ("admission.code_key_file".to_owned(), path("keys/code.key")),
        ];
        settings.extend(url.map(|url| ("store.url".to_owned(), url)));
        Self { directory, settings }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A program that is told where, and nothing of this process's environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path()).current_dir(self.path());
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The configuration that such a program has.
    pub fn config(&self) -> Config {
        let flags = self.settings.clone();
        let sources = Sources { environment: Environment::default(), file: None, flags };
        Loaded::from_sources(&sources).unwrap().config
    }

    /// The stores, as one more process sees them.
    pub async fn stores(&self) -> Stores {
        Stores::open(self.config()).await.unwrap()
    }

    /// Where compiled code is kept.
    pub fn code_cache(&self) -> CodeCacheOptions {
        self.config().admission.code_cache.unwrap()
    }
}

//! The demo: a dozen containers in a dozen situations, one sweep, and what became of each.
//!
//! It plays on a Docker Engine where one answers, under an owner label, with an image and in a store of its
//! own, so it sees and touches nothing of anybody else's; and it takes all of that away again, also when it fails
//! or is interrupted.

use std::fs;
use std::io::IsTerminal as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::serve::Signals;
use super::{Answer, Error, render};
use crate::adapters::system_clock::SystemRandomness;
use crate::app::App;
use crate::config::{Environment, Loaded, Sources};
use crate::model::ErrorChain;
use crate::ports::{Randomness as _, RandomnessError};

mod cast;
mod report;
mod stage;
mod story;

pub use report::{DemoView, GameView};
use stage::Stage;
pub use stage::StageError;
pub use story::StoryError;
use story::{Play, Story};

/// Names everything that the demo makes, before a number of its own.
const NAME: &str = "rtmanager-demo";
/// What it takes of the environment: where the engine is, and what to log.
const VARIABLES: [&str; 4] = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "RTMANAGER_LOG"];
/// Refusals are part of the demo, and its table tells them.
const CONFIGURATION: &str = "[log]\nfilter = \"error\"\n";

/// There is no demo.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// There is no place for its store.
    #[error("cannot make a directory for the demo's store")]
    Scratch(#[source] std::io::Error),
    /// There is no engine to play on.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// It broke off.
    #[error("the demo broke off")]
    Story(#[from] StoryError),
    /// It crashed.
    #[error("the demo crashed")]
    Crash(#[from] tokio::task::JoinError),
}

/// A directory of the demo's own, which goes when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn make(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(Failure::Scratch)?;
        let this = Self(path);
        fs::write(this.file("rtmanager.toml"), CONFIGURATION).map_err(Failure::Scratch)?;
        Ok(this)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("The demo's store is left in {}: {error}", self.0.display());
        }
    }
}

pub(super) async fn demo(environment: Environment, json: bool) -> Result<Answer, Error> {
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let with_colour = std::io::stdout().is_terminal() && !environment.variables.contains_key("NO_COLOR");
    let mut bytes = [0; 6];
    SystemRandomness.fill(&mut bytes).map_err(Failure::from)?;
    let name = format!("{NAME}-{}", hex::encode(bytes));
    let scratch = Scratch::make(&name)?;
    let loaded = Loaded::from_sources(&sources(&scratch, name, environment))?;
    super::init_logs(&loaded, false)?;
    let stage = Arc::new(Stage::choose(&loaded.config).await.map_err(Failure::from)?);
    let retention = loaded.config.sweep.retention;
    let app = Arc::new(App::open_with(loaded.config, stage.engines()).await?);
    eprintln!("Playing on {}.", stage.description);

    let played = play(app, stage.clone(), &mut signals).await;
    let cleared = stage.clear().await;
    let store = scratch.0.clone();
    drop(scratch);
    let left = cleared.err().map(|error| format!("{}: {}", stage.image(), ErrorChain(&error)));
    let left = left.or_else(|| store.exists().then(|| store.display().to_string()));
    let story = match played {
        Ok(story) => story,
        Err(failure) => {
            eprintln!("Left behind: {}.", left.as_deref().unwrap_or("nothing"));
            return Err(failure.into());
        }
    };
    let mut view = DemoView::new(&story, stage.description.clone(), stage.is_in_memory(), retention);
    view.left_behind = left;
    let status = u8::from(!view.is_right());
    let text = if json { render::json(&view)? } else { view.text(&program(), with_colour) };
    Ok(Answer { text, status })
}

/// A configuration of the demo's own: nobody's file or settings change what it shows.
fn sources(scratch: &Scratch, owner: String, environment: Environment) -> Sources {
    let Environment { mut variables, uid, usual_files } = environment;
    variables.retain(|name, _| VARIABLES.contains(&name.as_str()));
    let store = scratch.file("rtmanager.db").display().to_string();
    let own = [("store.path", store), ("discovery.owner", owner), ("admission.code_cache", String::new())];
    let flags = own.map(|(key, value)| (key.to_owned(), value)).into();
    Sources {
        environment: Environment { variables, uid, usual_files },
        file: Some(scratch.file("rtmanager.toml")),
        flags,
    }
}

/// In a task of its own, so that even a crash is followed by clearing up.
async fn play(app: Arc<App>, stage: Arc<Stage>, signals: &mut Signals) -> Result<Story, Failure> {
    let interrupted = CancellationToken::new();
    let play = Play { app, stage, interrupted: interrupted.clone() };
    let mut story = tokio::spawn(async move { play.perform().await });
    let ended = tokio::select! {
        ended = &mut story => ended,
        name = signals.next() => {
            eprintln!("{name}: clearing up …");
            interrupted.cancel();
            story.await
        }
    };
    Ok(ended??)
}

/// How this program was called, so that the next commands work as they are printed.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "rtmanager".to_owned())
}

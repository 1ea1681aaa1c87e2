//! Projects as `rtmanager policy new` writes them, in directories of their own outside of this repository, and commands
//! run there as their author would type them.

#![allow(clippy::disallowed_methods, reason = "a harness gives tools the environment that they are run in")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What an author's shell knows besides the tools.
const INHERITED: [&str; 6] = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "LANG", "TMPDIR"];

/// An empty folder, in a shell that finds `rtmanager`, and where the tools get what they need without a network.
pub struct Folder {
    /// Holds the folder, and beside it the programs.
    place: TempDir,
    build_dir: PathBuf,
}

impl Folder {
    /// With this program as `rtmanager`. Cargo keeps what it builds in `build_dir`, for all folders.
    pub fn new(program: &str, build_dir: &Path) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        for name in ["bin", "folder"] {
            std::fs::create_dir(place.path().join(name)).expect("a directory");
        }
        let program = std::fs::canonicalize(program).expect("the program");
        std::os::unix::fs::symlink(program, place.path().join("bin/rtmanager")).expect("a link");
        Self { place, build_dir: build_dir.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.place.path().join("folder")
    }

    /// A shell that runs a script here, in the directory of that name.
    pub fn shell(&self, directory: &str, script: &str) -> Command {
        let tools = tools();
        let mut shell = Command::new("sh");
        shell.env_clear().args(["-c", script]).current_dir(self.path().join(directory)).stdin(Stdio::null());
        for name in INHERITED {
            shell.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let programs = self.place.path().join("bin");
        shell
            .env("PATH", format!("{}:{}:{path}", programs.display(), tools.join("go/bin").display()))
            .env("CARGO_BUILD_BUILD_DIR", &self.build_dir)
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", tools.join("wheels"))
            .env("npm_config_cache", tools.join("npm"))
            .env("npm_config_offline", "true")
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local")
            .env("GOCACHE", tools.join("go-build"))
            .env("GOPATH", tools.join("go-path"));
        shell
    }

    /// What a script prints that must end well.
    pub fn run(&self, directory: &str, script: &str) -> String {
        let output = self.shell(directory, script).output().expect("a shell");
        let said = said(&output);
        assert!(output.status.success(), "`{script}` in {directory:?} ended with {}:\n{said}", output.status);
        said
    }
}

/// All that a command printed.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Where `prerequisites.sh` keeps what policies in other languages are built with.
fn tools() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("rtmanager-tools")
}

/// The commands of a README's first block for a shell, without what they are said to do.
pub fn commands(readme: &str) -> Vec<String> {
    let lines = readme.lines().skip_while(|line| *line != "```sh").skip(1).take_while(|line| *line != "```");
    lines.map(|line| line.split('#').next().unwrap_or_default().trim().to_owned()).collect()
}

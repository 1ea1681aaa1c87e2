//! A new policy's project: everything that its author needs besides a compiler.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::{Answer, Error, render};
use super::arguments::quoted;
use crate::model::PolicyName;

mod templates {
    use super::Language;

    include!(concat!(env!("OUT_DIR"), "/templates.rs"));

    /// A project: paths, and files in which the policy's name has still to be put.
    pub(super) fn of(language: Language) -> &'static [(&'static str, &'static [u8])] {
        match language {
            Language::Rust => RUST,
            Language::Python => PYTHON,
            Language::Typescript => TYPESCRIPT,
            Language::C => C,
            Language::Go => GO,
        }
    }
}

const NAME: &str = "{{name}}";

pub(super) const AFTER_HELP: &str = "\
What each is, and what it takes to build it, besides make:
  rust        keeps containers that failed for longer      rustup with the target wasm32-wasip2
  python      quiet hours, in which nothing is removed     Python 3.10 or later with venv and pip
  typescript  keeps what a label protects, until a day     Node.js 18 or later with npm
  c           keeps containers of some images for longer   clang, lld, wasi-libc, libclang-rt-dev-wasm32
  go          freezes, such as weekends and holidays       Go 1.25 or later

Exit status:
  0  written
  2  the command line is wrong, or the directory is there and not empty

Example:
  rtmanager policy new keep && cd keep && make && make test";

#[derive(Debug, Args)]
pub(super) struct New {
    /// What the policy is called
    name: PolicyName,
    /// Which language it is written in
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: Language,
    /// Where to put it [default: a new directory of the policy's name]
    directory: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    Rust,
    Python,
    Typescript,
    C,
    Go,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    name: String,
    directory: String,
    files: Vec<&'static str>,
}

impl New {
    pub(super) fn run(self, json: bool) -> Result<Answer, Error> {
        let directory = self.directory.unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        empty(&directory)?;
        let files = templates::of(self.lang);
        for (path, contents) in files {
            let file = directory.join(path);
            write(&file, &named(contents, &self.name)).map_err(|source| Error::File { path: file.clone(), source })?;
        }
        let written = Written {
            directory: directory.display().to_string(),
            files: files.iter().map(|(path, _)| *path).collect(),
            name: self.name.to_string(),
        };
        Ok(Answer::ok(if json { render::json(&written)? } else { next(&written, self.lang) }))
    }
}

/// Makes the directory, or finds it empty.
fn empty(directory: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    if fs::read_dir(directory).map_err(failed)?.next().is_some() {
        return Err(Error::Usage(format!("{} is not empty; name a new directory", directory.display())));
    }
    Ok(())
}

/// Never over a file that is there.
fn write(file: &Path, contents: &[u8]) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().write(true).create_new(true).open(file)?.write_all(contents)
}

/// What is no text holds no name.
fn named(contents: &[u8], name: &PolicyName) -> Vec<u8> {
    match std::str::from_utf8(contents) {
        Ok(text) => text.replace(NAME, name.as_str()).into_bytes(),
        Err(_) => contents.to_vec(),
    }
}

fn next(written: &Written, language: Language) -> String {
    let Written { name, directory, .. } = written;
    let (when, how) = match language {
        Language::Rust => ("src/lib.rs", "src/cleanup.rs"),
        Language::Python => ("policy.py", "cleanup.py"),
        Language::Typescript => ("policy.ts", "cleanup.ts"),
        Language::C => ("policy.c", "cleanup.c"),
        Language::Go => ("retention/retention.go", "cleanup/cleanup.go"),
    };
    let directory = quoted(directory);
    format!(
        "Wrote a policy into {directory}:
  {when:<22} when a container is due; change this
  {how:<22} how it is removed; it can stay as it is
  scenarios.toml         what it does in which situation
  wit/                   the contract, and its manual
Next:
  cd {directory}
  make         # builds {name}.wasm
  make test    # plays its scenarios, and those that every policy has to pass
"
    )
}

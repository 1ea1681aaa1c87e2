//! Which file the configuration is read from, and whether it may be.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map};
use figment::{Profile, Provider};

use super::{Environment, Error, Sources};

/// What others could write.
const OTHERS_WRITE: u32 = 0o022;

/// The file, as it was when it was found fit.
pub(super) struct ConfigFile {
    pub path: PathBuf,
    text: String,
}

impl ConfigFile {
    /// The file that is named, or the first of the usual ones that is there. A named one must be there; an unnamed
    /// one must be ours or root's, since whoever writes it says which engines and policies we use.
    pub(super) fn find(sources: &Sources) -> Result<Option<Self>, Error> {
        let environment = &sources.environment;
        let named = sources.file.clone().or_else(|| environment.get("RTMANAGER_CONFIG").map(PathBuf::from));
        if let Some(path) = named {
            return Self::read(path, |_, _| Ok(())).map(Some);
        }
        let usual = environment.usual_files.iter().find(|path| path.is_file());
        usual.map(|path| Self::read(path.clone(), |path, found| trust(path, found, environment))).transpose()
    }

    /// What is checked is what is read, even if somebody swaps the file in between.
    fn read(path: PathBuf, check: impl Fn(&Path, &Metadata) -> Result<(), Error>) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        check(&path, &file.metadata().map_err(failed)?)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        Ok(Self { path, text })
    }
}

fn trust(path: &Path, found: &Metadata, environment: &Environment) -> Result<(), Error> {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let is_ours = owner == 0 || environment.uid == Some(owner);
    if is_ours && mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(Error::Untrusted { path: path.to_owned(), owner, mode })
}

impl Provider for ConfigFile {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::from("TOML file", self.path.as_path())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Toml::string(&self.text).data()
    }
}

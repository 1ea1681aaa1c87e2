//! Small files that hold a secret: ours, and ours only, or they are not used.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::ports::{Randomness, RandomnessError};

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// Others can read or write it.
    #[error("it is open to others (mode {mode:o})")]
    Open {
        /// Its mode.
        mode: u32,
    },
    /// Somebody else owns it, who could have planted it.
    #[error("it belongs to uid {owner}, and this is uid {uid}")]
    Foreign {
        /// Its owner.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
}

/// Why a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// Whether what was found of a file or directory is open to nobody but an owner whom `may_own` takes, given who we are.
pub(crate) fn check(found: &fs::Metadata, may_own: impl Fn(u32, u32) -> bool) -> Result<(), Refusal> {
    let (owner, uid) = (found.uid(), rustix::process::geteuid().as_raw());
    if !may_own(owner, uid) {
        return Err(Refusal::Foreign { owner, uid });
    }
    match found.mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(Refusal::Open { mode }),
        _ => Ok(()),
    }
}

/// Reads a file of ours, `longest` bytes of it at most.
pub(crate) fn read(path: &Path, longest: u64, may_own: impl Fn(u32, u32) -> bool) -> Result<Vec<u8>, Refusal> {
    // What is checked is what is read, even if somebody swaps the file in between.
    let file = open(path)?;
    check(&regular(file.metadata()?)?, may_own)?;
    let mut bytes = Vec::new();
    file.take(longest).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens the file itself, not what a link points at, which somebody else may choose; and does not wait for whoever may
/// write into it, should it be a pipe.
fn open(path: &Path) -> io::Result<fs::File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => {
            io::Error::new(error.kind(), "it is a symbolic link, and those are not followed to secrets")
        }
        _ => error,
    })
}

fn regular(found: fs::Metadata) -> io::Result<fs::Metadata> {
    if found.is_file() { Ok(found) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")) }
}

/// Makes a file of one line, and its directory, unless it is there: linked into place whole, so that nobody reads half a
/// secret, and never over another one. Whoever was first, of two processes that start at once, made it.
pub(crate) fn make(path: &Path, line: &str, randomness: &dyn Randomness) -> Result<(), MakeError> {
    let mut name = [0; 8];
    randomness.fill(&mut name)?;
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let draft = path.with_extension(format!("new-{}", hex::encode(name)));
    let written = write(&draft, line).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn write(path: &Path, line: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}

//! Compiled code on disk, so that a start and a swap cost a load and not a compilation. It is machine code, so what is
//! loaded was written by us: sealed by a key that is kept elsewhere, in a directory that is ours only. Whatever is wrong
//! with an entry makes it a miss.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use subtle::ConstantTimeEq as _;

use super::room;
use crate::model::{ErrorChain, PolicyDigest};
use crate::ports::{Randomness, RandomnessError};
use crate::private_file::{self, MakeError, Refusal};
use crate::runtime::{CompiledCode, EngineFingerprint};

/// Begins what is sealed: another layout gets another one. The host's own version is sealed too, since two builds may
/// link differently what they compile alike.
const LAYOUT: &str = concat!("rtmanager code 1, host ", env!("CARGO_PKG_VERSION"), "\n");

/// HMAC-SHA256.
const SEAL_BYTES: usize = 32;

const LONGEST_KEY_FILE: u64 = 128;

/// Where compiled code is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeCacheOptions {
    /// The directory; made at the first use, for this user only.
    pub directory: PathBuf,
    /// The file with the key; likewise. Not in the directory.
    pub key_file: PathBuf,
    /// Size of all entries, at most; those go first that were used least recently.
    pub bytes: u64,
}

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The key file, or the directory, is not ours only, or cannot be had.
    #[error("cannot use {}: {reason}", .path.display())]
    Unusable {
        /// File or directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is another user's, as a server's is to root's commands. Code that others can seal is not run.
    #[error("{} belongs to uid {owner}, and this is uid {uid}", .path.display())]
    Foreign {
        /// File or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// No key can be made.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl CacheError {
    fn unusable(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Why an entry is not used, or not written.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot read or write it")]
    File(#[from] io::Error),
    #[error("file or directory is not ours only")]
    Exposed(#[from] Refusal),
    #[error("it is no regular file")]
    NoFile,
    #[error("it is not what was written under this key, for this policy and engine")]
    Seal,
    #[error("a temporary name cannot be drawn")]
    Randomness(#[from] RandomnessError),
}

/// Compiled code by policy and engine.
pub struct CodeCache {
    directory: PathBuf,
    bytes: u64,
    key: hmac::Key,
    randomness: Arc<dyn Randomness>,
}

impl CodeCache {
    /// Reads the key and looks at the directory; makes what is not there.
    pub fn open(options: &CodeCacheOptions, randomness: Arc<dyn Randomness>) -> Result<Self, CacheError> {
        let directory = options.directory.clone();
        for path in [&options.key_file, &directory] {
            own_ground(path)?;
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key(&options.key_file, randomness.as_ref())?);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| CacheError::unusable(&directory, error))?;
        let cache = Self { directory, bytes: options.bytes, key, randomness };
        cache.check_directory().map_err(|fault| match fault {
            Fault::Exposed(Refusal::Foreign { owner, uid }) => {
                CacheError::Foreign { path: cache.directory.clone(), owner, uid }
            }
            other => CacheError::unusable(&cache.directory, ErrorChain(&other)),
        })?;
        Ok(cache)
    }

    /// The code of this policy for this engine. What is wrong is logged, and the code is not there.
    pub fn get(&self, digest: &PolicyDigest, engine: EngineFingerprint) -> Option<CompiledCode> {
        let path = self.path(digest, engine);
        match self.read(&path, digest, engine) {
            Ok(code) => Some(code),
            Err(Fault::File(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => {
                let fault = ErrorChain(&fault);
                tracing::warn!(entry = %path.display(), %fault, "cached code is not used; the policy is compiled anew");
                None
            }
        }
    }

    /// Keeps code. A cache that cannot be written costs time only, so that is logged and no error.
    pub fn put(&self, digest: &PolicyDigest, engine: EngineFingerprint, code: &CompiledCode) {
        if let Err(fault) = self.write(digest, engine, code) {
            let directory = self.directory.display();
            tracing::warn!(%directory, fault = %ErrorChain(&fault), "compiled code is not cached");
        }
    }

    fn path(&self, digest: &PolicyDigest, engine: EngineFingerprint) -> PathBuf {
        let engine: String = hex::encode(engine.as_bytes()).chars().take(16).collect();
        self.directory.join(format!("{digest}-{engine}"))
    }

    fn check_directory(&self) -> Result<(), Fault> {
        let found = fs::symlink_metadata(&self.directory)?;
        if !found.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
        }
        Ok(private_file::check(&found, |owner, uid| owner == uid)?)
    }

    /// What is verified is what is loaded: it is read once, into memory.
    fn read(&self, path: &Path, digest: &PolicyDigest, engine: EngineFingerprint) -> Result<CompiledCode, Fault> {
        self.check_directory()?;
        // A name that is a link, or a pipe on which opening waits, is not ours.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(Fault::NoFile);
        }
        private_file::check(&found, |owner, uid| owner == uid)?;
        let code = self.unseal(&file, found.len(), digest, engine)?;
        // For eviction, which goes by use.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        rustix::fs::futimens(&file, &Timestamps { last_access: omit, last_modification: now })
            .map_err(io::Error::from)?;
        Ok(CompiledCode::vouched_for(code))
    }

    /// Code is large, and nothing of it is copied: a start waits for it.
    fn unseal(
        &self,
        mut file: &fs::File,
        size: u64,
        digest: &PolicyDigest,
        engine: EngineFingerprint,
    ) -> Result<Vec<u8>, Fault> {
        let size = usize::try_from(size.min(self.bytes)).map_err(io::Error::other)?;
        let mut seal = [0; SEAL_BYTES];
        let mut code = Vec::new();
        // One byte more than is there, so that its end is found without making room for more.
        code.try_reserve_exact(size.saturating_sub(SEAL_BYTES) + 1).map_err(io::Error::other)?;
        let read = file.read_exact(&mut seal).and_then(|()| file.take(self.bytes).read_to_end(&mut code));
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Seal,
            _ => error.into(),
        })?;
        let is_ours = self.seal(digest, engine, &code).as_ref().ct_eq(&seal);
        bool::from(is_ours).then_some(code).ok_or(Fault::Seal)
    }

    fn seal(&self, digest: &PolicyDigest, engine: EngineFingerprint, code: &[u8]) -> hmac::Tag {
        let mut seal = hmac::Context::with_key(&self.key);
        seal.update(&material(digest, engine));
        seal.update(code);
        seal.sign()
    }

    fn write(&self, digest: &PolicyDigest, engine: EngineFingerprint, code: &CompiledCode) -> Result<(), Fault> {
        self.check_directory()?;
        let size = u64::try_from(SEAL_BYTES + code.as_bytes().len()).unwrap_or(u64::MAX);
        if size > self.bytes {
            return Ok(());
        }
        let mut name = [0; 8];
        self.randomness.fill(&mut name)?;
        let draft = self.directory.join(format!("new-{}", hex::encode(name)));
        let path = self.path(digest, engine);
        let written = write_whole(&draft, &[self.seal(digest, engine, code.as_bytes()).as_ref(), code.as_bytes()]);
        if let Err(error) = written.and_then(|()| fs::rename(&draft, &path)) {
            let _ = fs::remove_file(&draft);
            return Err(error.into());
        }
        fs::File::open(&self.directory)?.sync_all()?;
        Ok(room::make(&self.directory, self.bytes)?)
    }
}

/// What the code is of: of fixed lengths, so that no two policies or engines have one in common.
fn material(digest: &PolicyDigest, engine: EngineFingerprint) -> Vec<u8> {
    [LAYOUT.as_bytes(), digest.as_str().as_bytes(), engine.as_bytes()].concat()
}

fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// Root, which may write anywhere, makes nothing on another user's ground: it would lock that user's server out.
fn own_ground(path: &Path) -> Result<(), CacheError> {
    let uid = rustix::process::geteuid().as_raw();
    let found = path.ancestors().find_map(|ancestor| Some((ancestor, fs::metadata(ancestor).ok()?.uid())));
    match found {
        Some((ancestor, owner)) if uid == 0 && owner != uid => {
            Err(CacheError::Foreign { path: ancestor.to_owned(), owner, uid })
        }
        _ => Ok(()),
    }
}

/// 32 random bytes, as base64url in a file; made if there is none.
fn key(path: &Path, randomness: &dyn Randomness) -> Result<Vec<u8>, CacheError> {
    let read = || private_file::read(path, LONGEST_KEY_FILE, |owner, uid| owner == uid);
    let mut found = read();
    if matches!(&found, Err(Refusal::File(error)) if error.kind() == io::ErrorKind::NotFound) {
        let mut secret = [0; 32];
        randomness.fill(&mut secret)?;
        private_file::make(path, &URL_SAFE_NO_PAD.encode(secret), randomness).map_err(|error| match error {
            MakeError::File(error) => CacheError::unusable(path, error),
            MakeError::Randomness(error) => error.into(),
        })?;
        found = read();
    }
    let text = found.map_err(|refusal| match refusal {
        Refusal::Foreign { owner, uid } => CacheError::Foreign { path: path.to_owned(), owner, uid },
        other => CacheError::unusable(path, other),
    })?;
    let key = URL_SAFE_NO_PAD.decode(text.trim_ascii_end()).ok().filter(|key| key.len() == 32);
    key.ok_or_else(|| CacheError::unusable(path, "it holds no key: delete it to have a new one made"))
}

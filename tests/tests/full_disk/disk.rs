//! A small disk of a test's own.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Unmounts as soon as the test's process ends, however it ends.
const REAPER: &str = r#"cat > /dev/null; umount -l "$1" && rmdir "$1""#;

/// A file system in memory that is full after so many bytes.
pub struct Disk {
    path: PathBuf,
    reaper: Child,
}

impl Disk {
    /// Needs root, as the tests' engines do.
    pub fn mounted(bytes: u64) -> Self {
        let path = tempfile::Builder::new().prefix("rtmanager-disk").tempdir().unwrap().keep();
        let options = format!("size={bytes},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status().unwrap();
        assert!(mounted.success(), "the test's disk cannot be mounted; run as root, with CAP_SYS_ADMIN");
        let mut reaper = Command::new("sh");
        reaper.args(["-c", REAPER, "reaper"]).arg(&path).process_group(0);
        let reaper = reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { path, reaper }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves no byte.
    pub fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        for piece in [&[0; 65_536][..], &[0; 4_096], &[0; 1]] {
            let error = loop {
                if let Err(error) = ballast.write_all(piece) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
        }
    }

    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        let ended = self.reaper.wait();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("the test's disk at {} was not unmounted", self.path.display());
        }
    }
}

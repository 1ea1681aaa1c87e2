//! An OCI registry that belongs to one test: Debian's docker-registry on loopback, its data in a directory of its
//! own, both gone afterwards. It does not know referrers, as many registries do not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test harness: a failure here is a failed test"
)]

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Ends the registry once the test lets go of its standard input, also by dying.
const REAPED: &str = r#"docker-registry serve "$1/config.yml" > "$1/log" 2>&1 & server=$!
cat > /dev/null; kill -9 $server; wait $server 2> /dev/null; rm -rf "$1""#;

/// The one user of a registry with passwords.
pub const USER: &str = "tester";
/// Her password.
pub const PASSWORD: &str = "correct horse";
/// The same for the registry, by bcrypt at its lowest cost.
const HTPASSWD: &str = "tester:$2b$04$rtmanagertestssalt123uVj8WSkiC2ZAQGjdhkht99IRWUs0/UP6\n";

/// A registry under test.
#[derive(Debug)]
pub struct OciRegistry {
    dir: PathBuf,
    process: Child,
    address: String,
}

/// What a registry asks of its callers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Door {
    /// Only TLS, by an authority made for it.
    pub tls: bool,
    /// Only [`USER`] with [`PASSWORD`].
    pub password: bool,
}

impl OciRegistry {
    /// A registry that is open to everybody on this machine.
    pub fn start() -> Self {
        Self::start_behind(Door::default())
    }

    /// A registry that asks this of its callers.
    pub fn start_behind(door: Door) -> Self {
        let dir = tempfile::Builder::new().prefix("rtmanager-registry-").tempdir().unwrap().keep();
        std::fs::write(dir.join("config.yml"), configuration(&dir, door)).unwrap();
        let process = Command::new("sh")
            .args(["-c", REAPED, "reaped"])
            .arg(&dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut this = Self { dir, process, address: String::new() };
        this.address = this.wait_for_address();
        this
    }

    /// The log tells the port that the system gave.
    fn wait_for_address(&self) -> String {
        for _ in 0..1_000 {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let found = log.split_once("listening on ").map(|(_, rest)| rest.split(['"', ',', '\n']).next().unwrap());
            if let Some(address) = found {
                return address.to_owned();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        panic!("no registry within 10 s; install docker-registry (Debian): {log}");
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The certificates of its authority.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A directory for the test's own files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file in which it keeps the blob of this digest, in hexadecimal.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let (first, _) = digest.split_at(2);
        self.dir.join("data/docker/registry/v2/blobs/sha256").join(first).join(digest).join("data")
    }
}

impl Drop for OciRegistry {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}

fn configuration(dir: &Path, door: Door) -> String {
    let mut configuration = format!(
        "version: 0.1\nlog: {{ level: info }}\nstorage: {{ filesystem: {{ rootdirectory: {dir}/data }} }}\n\
         http:\n  addr: 127.0.0.1:0\n",
        dir = dir.display()
    );
    if door.tls {
        certify(dir);
        let files = format!("certificate: {dir}/server.pem, key: {dir}/server.key", dir = dir.display());
        configuration += &format!("  tls: {{ {files} }}\n");
    }
    if door.password {
        std::fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
        configuration += &format!("auth: {{ htpasswd: {{ realm: tests, path: {}/htpasswd }} }}\n", dir.display());
    }
    configuration
}

/// Puts `ca.pem`, and `server.pem` with `server.key` for 127.0.0.1, into a directory.
fn certify(dir: &Path) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&pair, &authority).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), server.pem()).unwrap();
    std::fs::write(dir.join("server.key"), pair.serialize_pem()).unwrap();
}

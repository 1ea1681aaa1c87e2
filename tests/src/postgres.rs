//! A PostgreSQL that belongs to the tests: own data, a unix socket and a loopback port, gone afterwards.
//!
//! The tests of one program share a server ([`Postgres::shared`]), and each has a database of its own there. Tests that
//! harm the server start one of their own ([`Postgres::start`]). It does not wait for the disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test harness: a failure here is a failed test"
)]

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

const REAPER: &str = include_str!("postgres/reaper.sh");

/// Who may come in how. Only `guarded` needs a password, and only by TCP.
const ACCESS: &str = "local all all trust
host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
";

/// A server under test.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    port: u16,
    arguments: Vec<String>,
    server: Option<Child>,
    reaper: Child,
    template: OnceCell<()>,
    /// Databases that nobody uses any more.
    left: Mutex<Vec<String>>,
}

/// A database of one test.
#[derive(Debug)]
pub struct Database {
    server: &'static Postgres,
    name: String,
}

impl Database {
    /// Its address by the unix socket.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As a platform connects to it, past rtmanager.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.left.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

impl Postgres {
    /// The server that the tests of this program share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(&["-c", "autovacuum=off"], |_| {}))
    }

    /// A server of the test's own, to be harmed.
    pub fn start() -> Self {
        Self::start_with(&[], |_| {})
    }

    /// The same with more arguments, and what they name put into its directory, before the server starts, by `prepare`.
    pub fn start_with(arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rtmanager-postgres-{}-{number}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&dir).expect("a directory for PostgreSQL");
        let reaper = reaper(&dir);
        give_to_server(&dir);
        initialise(&dir);
        std::fs::write(dir.join("data/pg_hba.conf"), ACCESS).unwrap();
        prepare(&dir);
        for file in std::fs::read_dir(&dir).unwrap() {
            give_to_server(&file.unwrap().path());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = arguments.iter().map(|argument| argument.replace("{dir}", &dir.to_string_lossy())).collect();
        let (template, left) = (OnceCell::new(), Mutex::default());
        let mut this = Self { dir, port, arguments, server: None, reaper, template, left };
        this.restart();
        this
    }

    /// The address of a database by the unix socket.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost:{}/{database}?host={}", self.port, self.dir.display())
    }

    /// The address of a database by TCP, for a user with or without `:PASSWORD`.
    pub fn tcp_url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new database with rtmanager's tables.
    pub async fn database(&'static self) -> Database {
        self.template.get_or_init(|| self.make_template()).await;
        self.make("TEMPLATE prepared").await
    }

    /// A new database without tables.
    pub async fn empty_database(&'static self) -> Database {
        self.make("TEMPLATE template0 ENCODING 'UTF8'").await
    }

    async fn make(&'static self, how: &str) -> Database {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        for old in left {
            self.say(&format!("DROP DATABASE {old} WITH (FORCE)")).await;
        }
        self.say(&format!("CREATE DATABASE {name} {how}")).await;
        Database { server: self, name }
    }

    async fn make_template(&self) {
        self.say("CREATE DATABASE prepared TEMPLATE template0 ENCODING 'UTF8'").await;
        let store = PostgresStore::connect(&self.url("prepared"), PostgresOptions::default()).await.unwrap();
        store.close().await;
    }

    /// Has the server carry out a statement, as its superuser.
    pub async fn say(&self, statement: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Runs `psql` as an operator would.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = tool("psql", &["-X", "-q", "-U", "postgres", "-h"]);
        command.arg(&self.dir).args(["-p", &self.port.to_string(), "-d", database]);
        command
    }

    /// Shuts the server down as an operator would.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Kills the server as a crash would.
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    /// Stops the server's processes, so that it accepts connections and answers nothing.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// Starts the stopped or killed server anew on the same data.
    pub fn restart(&mut self) {
        for _ in 0..100 {
            self.server = Some(launch(&self.dir, self.port, &self.arguments));
            if self.becomes_ready() {
                return;
            }
            // After a crash the old server's processes may still be there, and this one refuses to start beside them.
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        panic!("the test's PostgreSQL does not start; its log:\n{log}");
    }

    /// False if the server has ended instead.
    fn becomes_ready(&mut self) -> bool {
        for _ in 0..600 {
            let answers =
                tool("pg_isready", &["-q", "-h"]).arg(&self.dir).args(["-p", &self.port.to_string()]).status();
            if answers.expect("pg_isready").success() {
                return true;
            }
            if self.server.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the test's PostgreSQL did not answer within 30 s");
    }

    fn end(&mut self, signal: &str) {
        let mut server = self.server.take().expect("a running server");
        kill(signal, &server.id().to_string());
        server.wait().unwrap();
    }

    fn signal_all(&self, name: &str) {
        let server = self.server.as_ref().expect("a running server").id();
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
        for pid in children.split_whitespace().chain([&*server.to_string()]) {
            kill(name, pid);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The reaper works once its input is closed, which happens without us if this process is killed.
        drop(self.reaper.stdin.take());
        if let Err(error) =
            self.reaper.wait().and_then(|_| self.server.as_mut().map_or(Ok(()), |server| server.wait().map(|_| ())))
        {
            eprintln!("the test's PostgreSQL was not reaped: {error}");
        }
    }
}

fn kill(signal: &str, pid: &str) {
    // A child may have ended by itself.
    Command::new("kill").args(["-s", signal, pid]).stderr(Stdio::null()).status().unwrap();
}

/// The newest installed server's tools, for they are not in the path.
fn tool(name: &str, arguments: &[&str]) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.expect("no PostgreSQL in /usr/lib/postgresql; install it (Debian: postgresql)");
    let program = format!("/usr/lib/postgresql/{newest}/bin/{name}");
    // The server refuses to run as root.
    let mut command = match server_user() {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups", &program]);
            command
        }
    };
    command.args(arguments).current_dir("/").stdin(Stdio::null());
    command
}

/// Who the server runs as, if not as we do.
fn server_user() -> Option<(u32, u32)> {
    let uid = std::fs::metadata("/proc/self").expect("/proc").uid();
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let find = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    (uid == 0).then(|| find("postgres").or_else(|| find("nobody")).expect("a user for the server"))
}

fn give_to_server(path: &Path) {
    if let Some((user, group)) = server_user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

fn initialise(dir: &Path) {
    let data = dir.join("data");
    let arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D"];
    let made = tool("initdb", &arguments).arg(&data).stdout(Stdio::null()).status();
    assert!(made.expect("setpriv and initdb").success(), "initdb failed");
}

fn launch(dir: &Path, port: u16, arguments: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
    tool("postgres", &["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-k"])
        .arg(dir)
        .arg("-p")
        .arg(port.to_string())
        .arg("-D")
        .arg(dir.join("data"))
        .args(arguments)
        .process_group(0)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("setpriv and postgres")
}

fn reaper(dir: &Path) -> Child {
    Command::new("sh")
        .args(["-c", REAPER, "reaper"])
        .arg(dir)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh")
}

//! The configuration, typed: what the rest of the system takes for granted.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::BackendUrl;
use crate::admission::ShapeLimits;
use crate::compiler::{CodeCacheOptions, CompilerOptions};
use crate::guarded::GuardOptions;
use crate::journals::JournalOptions;
use crate::model::{EngineName, TenantId};
use crate::runtime::SandboxOptions;
use crate::session::SessionOptions;
use crate::sweeper::SweepOptions;
use crate::telemetry::LogFormat;

/// The whole configuration, valid.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long an entry of the operation log is kept.
    pub log_retention: Duration,
    /// Where records are.
    pub store: Store,
    /// Where leases are.
    pub leases: Leases,
    /// Times of leases, and whose containers are ours.
    pub session: SessionOptions,
    /// What bounds policies' runs.
    pub sandbox: SandboxOptions,
    /// What policies have to pass before they run, and where their code is kept.
    pub admission: Admission,
    /// Time between two sweeps, before jitter.
    pub sweep_interval: Duration,
    /// How a sweep goes about it; the retention floor is here.
    pub sweep: SweepOptions,
    /// How the records are held against the engines.
    pub discovery: Discovery,
    /// The container engines, by name. At least one.
    pub engines: BTreeMap<EngineName, Engine>,
    /// The policy of tenants that have none of their own.
    pub policy: Policy,
    /// Policies of single tenants.
    pub tenants: BTreeMap<TenantId, Policy>,
    /// The REST interface.
    pub http: Http,
    /// Whose runs are written down.
    pub journal: JournalOptions,
    /// Logs.
    pub log: Log,
}

/// Where records, operation log and pauses are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// PostgreSQL; none for the embedded store.
    pub url: Option<BackendUrl>,
    /// Connections to PostgreSQL at once, at most.
    pub max_connections: NonZeroU32,
    /// The embedded store's file.
    pub path: PathBuf,
    /// What a commit of the embedded store survives.
    pub synchronous: Synchronous,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.url {
            Some(url) => url.fmt(f),
            None => self.path.display().fmt(f),
        }
    }
}

/// Where leases are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    /// Redis; none for the store.
    pub url: Option<BackendUrl>,
    /// Begins every key in Redis.
    pub prefix: String,
    /// Authorities to trust instead of the system's, for TLS to Redis.
    pub ca_certificate: Option<PathBuf>,
}

/// SQLite's synchronous level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// A commit survives a power failure.
    Full,
    /// A commit survives a crash of the process; the last ones may be lost with the power, never torn.
    Normal,
}

impl Synchronous {
    /// The level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }

    /// The level with that name.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "full" => Some(Self::Full),
            "normal" => Some(Self::Normal),
            _ => None,
        }
    }
}

/// How the records are held against the engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Whether labelled containers become records. Off where a platform writes them.
    pub enabled: bool,
    /// Time between two looks at an engine.
    pub interval: Duration,
    /// How long a container must have been missing before its record is closed.
    pub close_after: Duration,
}

/// A container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The longest wait for an answer.
    pub request_timeout: Duration,
    /// Whether a container's anonymous volumes go with it.
    pub remove_volumes: bool,
    /// How much it is asked at once, and when not at all.
    pub guard: GuardOptions,
}

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// `HOST:PORT`, in the clear.
    Tcp(String),
    /// By TLS, verified both ways.
    Tls {
        /// `HOST:PORT`.
        address: String,
        /// The directory with `ca.pem`, `cert.pem` and `key.pem`; empty until the configuration is whole.
        certificates: PathBuf,
    },
}

impl Endpoint {
    /// Reads the forms of `DOCKER_HOST`.
    pub fn from_text(text: &str) -> Option<Self> {
        let authority = |text: &str| {
            let (host, port) = text.trim_end_matches('/').rsplit_once(':')?;
            let plain = !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
            (plain && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| format!("{host}:{port}"))
        };
        match text.split_once("://")? {
            ("unix", path) if path.starts_with('/') => Some(Self::Unix(path.into())),
            ("tcp" | "http", rest) => authority(rest).map(Self::Tcp),
            ("https", rest) => authority(rest).map(|address| Self::Tls { address, certificates: PathBuf::new() }),
            _ => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
            Self::Tls { address, .. } => write!(f, "https://{address}"),
        }
    }
}

/// Which policy decides, and with which settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The component's file; none for the default policy, which is built in.
    pub path: Option<PathBuf>,
    /// What the policy reads from `wasi:config`.
    pub settings: BTreeMap<String, String>,
}

/// The REST interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it listens.
    pub listen: Listen,
    /// Whether a TCP address other than loopback is meant.
    pub allow_remote: bool,
    /// Values of Host that are served on TCP, without ports.
    pub allowed_hosts: Vec<String>,
    /// The file with the bearer token, made at first start; used on TCP.
    pub token_file: PathBuf,
    /// The longest wait for a request's header.
    pub header_time: Duration,
    /// The longest wait for a request's body.
    pub body_time: Duration,
    /// The longest wait for an answer. A run under lease goes on.
    pub request_time: Duration,
    /// The largest header.
    pub max_header_bytes: usize,
    /// The largest body.
    pub max_body_bytes: usize,
    /// Connections served at once; further ones wait.
    pub max_connections: NonZeroUsize,
    /// Of these, from one address; further ones are refused.
    pub max_connections_per_address: NonZeroUsize,
    /// What a tenant's tokens may ask, together; orders and examinations of policies count more than once.
    pub tenant_requests_per_minute: NonZeroU32,
    /// Requests of a tenant's tokens at once, together.
    pub tenant_concurrent_requests: NonZeroUsize,
    /// Orders of one token that are denied, and failed authentications from one address.
    pub refusals_per_minute: NonZeroU32,
    /// How long a shutdown waits for requests under way.
    pub drain_time: Duration,
}

/// Where the REST interface listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A unix socket, open to its owner only.
    Unix(PathBuf),
    /// An address and port.
    Tcp(SocketAddr),
}

impl Listen {
    /// Reads `unix:/path` or `address:port`.
    pub fn from_text(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                path.starts_with('/').then(|| Self::Unix(path.into()))
            }
            None => text.parse().ok().map(Self::Tcp),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// What policies have to pass before they run, and where their code is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// How much of everything a component may have.
    pub shape: ShapeLimits,
    /// How components are compiled.
    pub compiler: CompilerOptions,
    /// Where compiled code is kept; none to compile at each start.
    pub code_cache: Option<CodeCacheOptions>,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// Which lines are written.
    pub filter: String,
}

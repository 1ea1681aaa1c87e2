//! Every setting: its key, default and bounds, in the order of `deploy/rtmanager.toml`, which describes them.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::admission::admission;
use super::journal::journal;
use super::reader::{Problem, Section};
use super::types::{Config, Discovery, Endpoint, Engine, Http, Leases, Listen, Log, Policy, Store, Synchronous};
use super::{Environment, show_span};
use crate::guarded::{CircuitOptions, GuardOptions};
use crate::model::{EngineName, TenantId};
use crate::ownership::{LabelNames, Ownership};
use crate::runtime::{DEFAULT_POLICY_SETTINGS, Limits, SandboxOptions};
use crate::session::{LeaseOptions, SessionOptions};
use crate::sweeper::{BreakerOptions, RetryOptions, SweepOptions};
use crate::telemetry::{LogFormat, check_filter};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const CENTURY_DAYS: u32 = 36_500;
const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

pub(super) fn config(root: &mut Section, environment: &Environment) -> Config {
    let retention = DAY * root.within("container_retention_days", 30, 0..=CENTURY_DAYS);
    let sweep_interval = root.within("cleanup_interval", HOUR, SECOND..=30 * DAY);
    let log_days = root.within("log_retention_days", 365, 1..=CENTURY_DAYS);
    let engines = root.named("engines", |name, section| engine(name, section, environment));
    let engines = if engines.is_empty() { default_engine(root, environment) } else { engines };
    let store = root.section("store", |section| store(section, environment));
    let admission = root.section("admission", |section| admission(section, &store.path));
    let (leases, lease) = root.section("lease", lease);
    let lease_ttl = lease.ttl;
    let (discovery, ownership) = root.section("discovery", discovery);
    let names = engines.iter().map(|(name, _)| name.clone()).collect();
    Config {
        log_retention: DAY * log_days,
        store,
        leases,
        session: SessionOptions { lease, ownership, onlooker: None, dry_run: false },
        sandbox: SandboxOptions { engines: names, ..root.section("limits", limits) },
        admission,
        sweep_interval,
        sweep: root.section("sweep", |section| sweep(section, retention, lease_ttl)),
        discovery,
        engines: engines.into_iter().collect(),
        policy: root.section("policy", policy),
        tenants: root.named::<TenantId, _>("tenants", |_, section| policy(section)).into_iter().collect(),
        http: root.section("http", |section| http(section, environment)),
        journal: root.section("journal", journal),
        log: root.section("log", log),
    }
}

fn store(section: &mut Section, environment: &Environment) -> Store {
    Store {
        url: section.url(
            "url",
            &["postgres", "postgresql"],
            "must be postgres://USER@HOST/DATABASE, or empty for the embedded store",
        ),
        max_connections: section.within("max_connections", TEN, NonZeroU32::MIN..=NonZeroU32::MIN.saturating_add(999)),
        path: section.read("path", environment.state_directory().join("rtmanager.db")),
        synchronous: section.read("synchronous", Synchronous::Normal),
    }
}

fn lease(section: &mut Section) -> (Leases, LeaseOptions) {
    let schemes =
        ["redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];
    let leases = Leases {
        url: section.url(
            "url",
            &schemes,
            "must be redis://HOST:PORT or one of its kinds, or empty for leases in the store",
        ),
        prefix: section.read("prefix", "rtmanager:".to_owned()),
        ca_certificate: section.read_if::<Option<PathBuf>>("ca_certificate", None, is_file),
    };
    (leases, lease_times(section))
}

fn lease_times(section: &mut Section) -> LeaseOptions {
    let default = LeaseOptions::default();
    let ttl = section.within("ttl", default.ttl, SECOND..=HOUR);
    let margin = section.within("margin", default.margin, 10 * MS..=HOUR);
    if margin > ttl / 2 {
        section.problem(
            "margin",
            show_span(margin),
            format!("must be at most half of lease.ttl, {}", show_span(ttl / 2)),
        );
    }
    LeaseOptions { ttl, margin }
}

fn limits(section: &mut Section) -> SandboxOptions {
    let SandboxOptions { limits: default, concurrent_runs, engines, workers } = SandboxOptions::default();
    let limits = Limits {
        memory_bytes: section.within("memory_bytes", default.memory_bytes, 1 << 16..=4 << 30),
        table_elements: section.within("table_elements", default.table_elements, 1..=10_000_000),
        guest_time: section.within("guest_time", default.guest_time, MS..=10 * MINUTE),
        import_time: section.within("import_time", default.import_time, MS..=HOUR),
        run_time: section.within("run_time", default.run_time, MS..=HOUR),
        calls: section.within("calls", default.calls, 8..=1_000_000),
        bytes_per_call: section.within("bytes_per_call", default.bytes_per_call, 4 << 10..=64 << 20),
        bytes_per_run: section.within("bytes_per_run", default.bytes_per_run, 4 << 10..=1 << 30),
        handles: section.within("handles", default.handles, 1..=65_536),
        log_lines: section.within("log_lines", default.log_lines, 0..=10_000),
        stack_bytes: section.within("stack_bytes", default.stack_bytes, 64 << 10..=8 << 20),
    };
    let concurrent_runs = section.within("concurrent_runs", concurrent_runs, 1..=1_000);
    SandboxOptions { limits, concurrent_runs, engines, workers }
}

fn sweep(section: &mut Section, retention: Duration, lease_ttl: Duration) -> SweepOptions {
    let backoff_base = section.within("backoff_base", MINUTE, SECOND..=DAY);
    let backoff_cap = section.within("backoff_cap", 6 * HOUR, SECOND..=30 * DAY);
    if backoff_base > backoff_cap {
        section.problem("backoff_base", show_span(backoff_base), "must be at most sweep.backoff_cap");
    }
    SweepOptions {
        retention,
        page_size: section.within("page_size", 200, 1..=10_000),
        // With the pace of recovery, another third, what a dead host had claimed is taken up within one time to live.
        claim_ttl: lease_ttl * 2 / 3,
        concurrency: section.within("concurrency", 8, 1..=256),
        retry: RetryOptions {
            backoff_base,
            backoff_cap,
            park_after: section.within("park_after", 8, 1..=1_000),
            keep_recheck: section.within("keep_recheck", DAY, MINUTE..=365 * DAY),
            max_wait: section.within("max_wait", 90 * DAY, HOUR..=365 * DAY),
        },
        breaker: BreakerOptions { max_share: section.within("breaker_share", 0.2, 0.0..=1.0) },
        clock_tolerance: section.within("clock_jump", 5 * MINUTE, SECOND..=DAY),
    }
}

fn discovery(section: &mut Section) -> (Discovery, Ownership) {
    let label = |name: &String| {
        let valid = !name.is_empty() && name.len() <= 256 && !name.contains(|c: char| c.is_whitespace() || c == '=');
        if valid { Ok(()) } else { Err("must be 1 to 256 bytes without spaces or '='".to_owned()) }
    };
    let default = Ownership::default();
    let owner = section.read_if("owner", default.owner, label);
    let labels = LabelNames {
        owner: section.read_if("owner_label", default.labels.owner, label),
        tenant: section.read_if("tenant_label", default.labels.tenant, label),
        game: section.read_if("game_label", default.labels.game, label),
    };
    if labels.owner == labels.tenant || labels.tenant == labels.game || labels.game == labels.owner {
        let expected = "owner, tenant and game need labels of three different names";
        section.problem("owner_label", labels.owner.clone(), expected);
    }
    let discovery = Discovery {
        enabled: section.read("enabled", true),
        interval: section.within("interval", MINUTE, SECOND..=DAY),
        close_after: section.within("close_after", HOUR, Duration::ZERO..=30 * DAY),
    };
    (discovery, Ownership { owner, labels })
}

/// The engine that is there if none is configured, and that is looked for where the docker CLI would look.
const LOCAL: &str = "local";
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

fn default_engine(root: &mut Section, environment: &Environment) -> Vec<(EngineName, Engine)> {
    root.section("engines", |engines| {
        let local = engines.section(LOCAL, |section| engine(LOCAL, section, environment));
        LOCAL.parse().map(|name| (name, local)).into_iter().collect()
    })
}

/// Where an engine without `host` listens, with its certificates. Only the local one has such a place.
fn usual_endpoint(name: &str, section: &mut Section, environment: &Environment) -> (Endpoint, Option<PathBuf>) {
    let socket = Endpoint::Unix(DOCKER_SOCKET.into());
    if name != LOCAL {
        section.problem("host", String::new(), format!("is needed; only engine {LOCAL} has a default, DOCKER_HOST"));
        return (socket, None);
    }
    let Some(given) = environment.get("DOCKER_HOST") else { return (socket, None) };
    // The docker CLI says tcp where it means TLS.
    let wants_tls = environment.get("DOCKER_TLS_VERIFY").is_some();
    let text = if wants_tls { given.replacen("tcp://", "https://", 1) } else { given.to_owned() };
    let Some(endpoint) = Endpoint::from_text(&text) else {
        section.report.problems.push(Problem {
            key: "DOCKER_HOST".to_owned(),
            value: given.to_owned(),
            source: "environment".to_owned(),
            expected: "must be unix:///absolute/path, tcp://HOST:PORT or https://HOST:PORT".to_owned(),
        });
        return (socket, None);
    };
    let certificates = environment.get("DOCKER_CERT_PATH").map(PathBuf::from);
    let certificates = certificates.filter(|_| matches!(endpoint, Endpoint::Tls { .. }));
    (endpoint, certificates)
}

fn engine(name: &str, section: &mut Section, environment: &Environment) -> Engine {
    let (endpoint, certificates) = match section.has("host") {
        // It is there to be read, so this default can only stand in for a wrong one.
        true => (Endpoint::Unix(DOCKER_SOCKET.into()), None),
        false => usual_endpoint(name, section, environment),
    };
    let mut endpoint = section.read("host", endpoint);
    let given = section.read_if::<Option<PathBuf>>("tls_certificates", certificates, is_directory);
    match (&mut endpoint, given) {
        (Endpoint::Tls { certificates, .. }, Some(given)) => *certificates = given,
        (Endpoint::Unix(_) | Endpoint::Tcp(_), None) => {}
        (wrong, _) => {
            let shown = wrong.to_string();
            section.problem("host", shown, "an https host needs tls_certificates, and only an https host takes them");
        }
    }
    // Below limits.import_time together with following a removal, so that a run learns what became of it.
    let request_timeout = section.within("request_timeout", 10 * SECOND, SECOND..=10 * MINUTE);
    Engine {
        endpoint,
        request_timeout,
        remove_volumes: section.read("remove_volumes", false),
        guard: guard(section, request_timeout),
    }
}

fn guard(section: &mut Section, patience: Duration) -> GuardOptions {
    let default = GuardOptions::default();
    let circuit = CircuitOptions {
        failures: section.within("circuit_failures", default.circuit.failures, 1..=1_000),
        cooldown: section.within("circuit_cooldown", default.circuit.cooldown, SECOND..=HOUR),
    };
    let max_concurrency = section.within("max_concurrency", default.max_concurrency, 1..=256);
    GuardOptions { max_concurrency, circuit, patience }
}

fn is_directory(path: &Option<PathBuf>) -> Result<(), String> {
    let found = path.as_ref().is_none_or(|path| path.is_dir());
    if found { Ok(()) } else { Err("must name a directory with ca.pem, cert.pem and key.pem".to_owned()) }
}

fn policy(section: &mut Section) -> Policy {
    let is_built_in = !section.has("path");
    let path = section.read_if::<Option<PathBuf>>("path", None, is_file);
    let settings = section.texts("settings");
    if is_built_in {
        settings.iter().for_each(|(name, _)| check_default_setting(section, name));
    }
    Policy { path, settings: settings.into_iter().collect() }
}

/// The policy that is built in keeps everything while it has a setting that it does not know.
fn check_default_setting(section: &mut Section, name: &str) {
    if DEFAULT_POLICY_SETTINGS.contains(&name) {
        return;
    }
    let known = DEFAULT_POLICY_SETTINGS.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let nearest = known.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    let meant = nearest.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"));
    let expected = format!("the built-in policy knows only {}{meant}", DEFAULT_POLICY_SETTINGS.join(", "));
    section.problem(&format!("settings.{name}"), String::new(), expected);
}

fn is_file(path: &Option<PathBuf>) -> Result<(), String> {
    if path.as_ref().is_none_or(|path| path.is_file()) {
        Ok(())
    } else {
        Err("must name a file that exists".to_owned())
    }
}

fn http(section: &mut Section, environment: &Environment) -> Http {
    let socket = environment.runtime_directory().join("rtmanager.sock");
    let listen = section.read("listen", Listen::Unix(socket));
    let allow_remote = section.read("allow_remote", false);
    if let Listen::Tcp(address) = &listen
        && !address.ip().is_loopback()
        && !allow_remote
    {
        let expected = "must be a loopback address, unless http.allow_remote is true";
        section.problem("listen", address.to_string(), expected);
    }
    Http {
        allowed_hosts: section.read("allowed_hosts", default_hosts(&listen)),
        listen,
        allow_remote,
        token_file: section.read("token_file", environment.state_directory().join("api.token")),
        header_time: section.within("header_time", 10 * SECOND, 10 * MS..=MINUTE),
        body_time: section.within("body_time", 10 * SECOND, 10 * MS..=MINUTE),
        request_time: section.within("request_time", 150 * SECOND, 10 * MS..=HOUR),
        max_header_bytes: section.within("max_header_bytes", 16 << 10, 8 << 10..=1 << 20),
        max_body_bytes: section.within("max_body_bytes", 64 << 10, 1 << 10..=16 << 20),
        max_connections: section.read("max_connections", NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN)),
        max_connections_per_address: section
            .read("max_connections_per_address", NonZeroUsize::new(128).unwrap_or(NonZeroUsize::MIN)),
        tenant_requests_per_minute: section
            .read("tenant_requests_per_minute", NonZeroU32::new(300).unwrap_or(NonZeroU32::MIN)),
        tenant_concurrent_requests: section
            .read("tenant_concurrent_requests", NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN)),
        refusals_per_minute: section.read("refusals_per_minute", NonZeroU32::new(60).unwrap_or(NonZeroU32::MIN)),
        drain_time: section.within("drain_time", 30 * SECOND, MS..=HOUR),
    }
}

fn default_hosts(listen: &Listen) -> Vec<String> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into();
    if let Listen::Tcp(address) = listen {
        let own = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        if !address.ip().is_unspecified() && !hosts.contains(&own) {
            hosts.push(own);
        }
    }
    hosts
}

fn log(section: &mut Section) -> Log {
    Log {
        format: section.read("format", LogFormat::Auto),
        filter: section.read_if("filter", "info".to_owned(), |filter| {
            check_filter(filter).map_err(|error| format!("must be a filter such as info,rtmanager=debug ({error})"))
        }),
    }
}

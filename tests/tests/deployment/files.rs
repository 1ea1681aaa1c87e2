//! What the files say, read by the real reader of configurations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rtmanager::config::{Config, Endpoint, Environment, Loaded, Sources};

const COMPOSE: &str = include_str!("../../../host/deploy/compose.yaml");
const UNIT: &str = include_str!("../../../host/deploy/rtmanager.service");

fn config(file: &Path, variables: BTreeMap<String, String>, uid: u32) -> Config {
    let environment = Environment { variables, uid: Some(uid), usual_files: Vec::new() };
    Loaded::from_sources(&Sources { environment, file: Some(file.to_owned()), flags: Vec::new() }).unwrap().config
}

fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

/// `RTMANAGER_NAME: value` of the compose file.
fn variables_of_compose() -> BTreeMap<String, String> {
    let pairs = COMPOSE.lines().filter_map(|line| line.trim_start().split_once(": "));
    let ours = pairs.filter(|(name, _)| name.starts_with("RTMANAGER_"));
    ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_replicas_of_the_compose_file_find_store_leases_and_engine() {
    let mut variables = variables_of_compose();
    assert_eq!(variables.len(), 3, "{variables:?}");
    assert_eq!(variables.remove("RTMANAGER_CONFIG").as_deref(), Some("/run/secrets/rtmanager"));
    variables.insert("XDG_STATE_HOME".to_owned(), "/var/lib".to_owned());
    // As its first lines make it.
    let (_directory, secret) =
        written("rtmanager", "[store]\nurl = \"postgres://rtmanager:1f2e@postgres/rtmanager\"\n");
    let config = config(&secret, variables, 65_532);
    assert_eq!(config.store.url.unwrap().to_string(), "postgres://rtmanager:***@postgres/rtmanager");
    assert_eq!(config.leases.url.unwrap().expose(), "redis://redis:6379/0");
    let local = config.engines[&"local".parse().unwrap()].clone();
    assert_eq!(local.endpoint, Endpoint::Tcp("docker-proxy:2375".to_owned()));
    // Its state, socket and token are where the tmpfs is.
    assert_eq!(config.http.listen.to_string(), "unix:/var/lib/rtmanager/rtmanager.sock");
    assert!(config.http.token_file.starts_with("/var/lib/rtmanager"));
    // It has time to drain: requests first, then runs.
    let grace = COMPOSE.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: ")).unwrap();
    assert!(rtmanager::config::parse_span(grace).unwrap() > 2 * config.http.drain_time);
}

#[test]
fn the_compose_file_holds_no_secret_and_publishes_nothing() {
    for word in ["POSTGRES_PASSWORD:", "ports:", "privileged:", "network_mode:"] {
        assert!(!COMPOSE.lines().any(|line| line.trim_start().starts_with(word)), "{word}");
    }
    let services: Vec<_> = COMPOSE.split("\n\n  ").filter(|part| part.contains("    image: ")).collect();
    assert_eq!(services.len(), 4);
    for service in &services {
        assert!(service.contains("\n    restart: unless-stopped"), "{service}");
    }
    // The socket goes to the proxy alone.
    let mounts = |text: &str| text.contains("- /var/run/docker.sock");
    let with_socket: Vec<_> = services.iter().filter(|service| mounts(service)).collect();
    assert_eq!(with_socket.len(), 1);
    assert!(with_socket[0].contains("haproxy") && with_socket[0].contains("      - engine\n"));
}

fn directives(name: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[test]
fn the_unit_runs_without_root_and_writes_nowhere_else() {
    for (name, value) in [
        ("User", "rtmanager"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("StateDirectory", "rtmanager"),
        ("StateDirectoryMode", "0700"),
        ("RuntimeDirectory", "rtmanager"),
        ("UMask", "0077"),
        ("Restart", "on-failure"),
    ] {
        assert_eq!(directives(name), [value], "{name}");
    }
}

#[test]
fn the_unit_takes_the_databases_urls_from_a_file_of_roots() {
    let [file] = directives("EnvironmentFile")[..] else { panic!("one file") };
    assert_eq!(file, "-/etc/rtmanager/environment");
    // The example in its comments.
    let shown = UNIT.lines().filter_map(|line| line.strip_prefix("#   RTMANAGER_")?.split_once('='));
    let mut variables: BTreeMap<_, _> =
        shown.map(|(name, value)| (format!("RTMANAGER_{name}"), value.to_owned())).collect();
    assert_eq!(variables.len(), 2, "{variables:?}");
    variables.insert("XDG_STATE_HOME".to_owned(), "/var/lib".to_owned());
    let (_directory, empty) = written("rtmanager.toml", "");
    let config = config(&empty, variables, 999);
    assert_eq!(
        config.store.url.unwrap().to_string(),
        "postgres://rtmanager:***@db.example/rtmanager?sslmode=verify-full"
    );
    assert_eq!(config.leases.url.unwrap().to_string(), "rediss://:***@redis.example");
}

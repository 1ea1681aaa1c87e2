//! The configuration: what wins, what is refused, and what is said about it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rtmanager::config::{Config, Endpoint, Environment, Error, Listen, Loaded, Sources};
use rtmanager::lifecycle::ReviewResult;
use rtmanager::ports::Clock as _;
use rtmanager::runtime::DEFAULT_POLICY_SETTINGS;
use rtmanager_tests::mock_host::{GAME, MockHost, container};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/deploy/rtmanager.toml");

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/deploy/rtmanager.service");

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment { variables, uid: Some(1000), usual_files: Vec::new() }
}

fn sources(file: Option<&Path>, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Sources { environment: environment(variables), file: file.map(Path::to_owned), flags }
}

fn config(variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Config {
    Loaded::from_sources(&sources(None, variables, flags)).unwrap().config
}

fn complaint(file: &str, variables: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtmanager.toml");
    std::fs::write(&path, file).unwrap();
    let error = Loaded::from_sources(&sources(Some(&path), variables, &[])).unwrap_err();
    error.to_string().replace(&path.display().to_string(), "FILE")
}

#[test]
fn the_example_file_holds_every_setting_with_its_default() {
    for variables in [&[][..], &[("DOCKER_HOST", "tcp://127.0.0.1:2375")]] {
        for flags in [&[][..], &[("http.listen", "127.0.0.2:7070")]] {
            let example = Loaded::from_sources(&sources(Some(Path::new(EXAMPLE)), variables, flags)).unwrap();
            let defaults = Loaded::from_sources(&sources(None, variables, flags)).unwrap();
            assert_eq!(format!("{:#?}", example.config), format!("{:#?}", defaults.config));
        }
    }

    let defaults = Loaded::from_sources(&sources(None, &[], &[])).unwrap();
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    for setting in &defaults.settings {
        let name = setting.key.rsplit('.').next().unwrap();
        let stands_there = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = ")));
        assert!(stands_there, "{} is not in the example", setting.key);
    }
}

#[tokio::test]
async fn the_default_policy_knows_the_settings_that_the_example_shows() {
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtmanager.toml");
    // The first such line is that of [policy].
    std::fs::write(&path, text.replacen("\n# settings = ", "\nsettings = ", 1)).unwrap();
    let settings = Loaded::from_sources(&sources(Some(&path), &[], &[])).unwrap().config.policy.settings;
    assert!(settings.keys().eq(DEFAULT_POLICY_SETTINGS), "{settings:?}");

    let host = settings.iter().fold(MockHost::builder(), |host, (name, value)| host.setting(name, value)).build();
    host.stopped(GAME, &container(1)).await;
    let offered = host.record(GAME).await.unwrap();
    let floor_passed_at = host.clock.now();
    let days: u64 = settings["extra_retention_days"].parse().unwrap();
    let extra = Duration::from_secs(days * 86_400);
    let early = host.lifecycle.review(offered.clone(), floor_passed_at, true).await;
    assert_eq!(early, ReviewResult::WaitUntil(floor_passed_at.saturating_add(extra)));
    host.advance(extra);
    assert_eq!(host.lifecycle.review(offered, floor_passed_at, true).await, ReviewResult::WouldHandle);
}

#[tokio::test]
async fn the_default_policy_names_the_settings_that_the_configuration_takes() {
    let host = MockHost::builder().setting("surprise", "1").build();
    host.stopped(GAME, &container(1)).await;
    let offered = host.record(GAME).await.unwrap();
    let reviewed = host.lifecycle.review(offered, host.clock.now(), true).await;
    let ReviewResult::Keep(reason) = reviewed else { panic!("{reviewed:?}") };
    let [first, second, third] = DEFAULT_POLICY_SETTINGS;
    assert_eq!(reason, format!("known settings are {first}, {second} and {third}; not surprise"));
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtmanager.toml");
    std::fs::write(&path, "container_retention_days = 7\ncleanup_interval = \"2h\"\n[sweep]\nconcurrency = 2\n")
        .unwrap();
    let variables = [("RTMANAGER_CLEANUP_INTERVAL", "15m"), ("RTMANAGER_SWEEP__CONCURRENCY", "3")];
    let loaded = Loaded::from_sources(&sources(Some(&path), &variables, &[("sweep.concurrency", "4")])).unwrap();

    let day = Duration::from_secs(86_400);
    assert_eq!(loaded.config.sweep.retention, 7 * day);
    assert_eq!(loaded.config.sweep_interval, Duration::from_secs(900));
    assert_eq!(loaded.config.sweep.concurrency, 4);
    assert_eq!(loaded.config.log_retention, 365 * day);

    let source = |key: &str| loaded.settings.iter().find(|setting| setting.key == key).unwrap().source.clone();
    assert!(source("container_retention_days").ends_with("rtmanager.toml"));
    assert_eq!(source("cleanup_interval"), "environment");
    assert_eq!(source("sweep.concurrency"), "command line");
    assert_eq!(source("log_retention_days"), "default");
}

#[test]
fn the_file_is_named_by_flag_or_environment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.toml");
    std::fs::write(&path, "log_retention_days = 2").unwrap();
    let named = config(&[("RTMANAGER_CONFIG", path.to_str().unwrap())], &[]);
    assert_eq!(named.log_retention, Duration::from_secs(2 * 86_400));

    let missing = Loaded::from_sources(&sources(Some(&directory.path().join("missing.toml")), &[], &[])).unwrap_err();
    assert!(matches!(missing, Error::File { .. }), "{missing:?}");
}

fn looking_in(usual_files: &[&Path], uid: u32) -> Result<Loaded, Error> {
    let usual_files = usual_files.iter().map(|path| path.to_path_buf()).collect();
    let environment = Environment { usual_files, uid: Some(uid), ..environment(&[]) };
    Loaded::from_sources(&Sources { environment, ..Sources::default() })
}

#[test]
fn unnamed_the_first_of_the_usual_files_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let [here, system] = ["here.toml", "system.toml"].map(|name| directory.path().join(name));
    let uid = std::fs::metadata(directory.path()).unwrap().uid();
    let days = || looking_in(&[&here, &system], uid).unwrap().config.log_retention.as_secs() / 86_400;
    assert_eq!(days(), 365);
    std::fs::write(&system, "log_retention_days = 2").unwrap();
    assert_eq!(days(), 2);
    std::fs::write(&here, "log_retention_days = 3").unwrap();
    assert_eq!(days(), 3);
    let usual = Environment::of_process().usual_files;
    assert_eq!(usual, ["./rtmanager.toml", "/etc/rtmanager/rtmanager.toml"].map(PathBuf::from));
}

#[test]
fn an_unnamed_file_that_others_could_have_written_is_refused_until_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtmanager.toml");
    std::fs::write(&path, "log_retention_days = 2").unwrap();
    let uid = std::fs::metadata(&path).unwrap().uid();
    for mode in [0o620, 0o602, 0o666] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = looking_in(&[&path], uid).unwrap_err();
        assert!(matches!(refused, Error::Untrusted { mode: found, .. } if found == mode), "{refused}");
    }
    let told = looking_in(&[&path], uid).unwrap_err().to_string();
    assert!(told.contains(&format!("uid {uid}, mode 666")), "{told}");
    assert!(told.ends_with(&format!("--config {}", path.display())), "{told}");
    assert_eq!(Loaded::from_sources(&sources(Some(&path), &[], &[])).unwrap().config.log_retention.as_secs(), 172_800);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(looking_in(&[&path], uid).is_ok());
    // Root can give the file away; for anybody else it is enough to be another user.
    let (owner, reader) = match std::os::unix::fs::chown(&path, Some(12_345), None) {
        Ok(()) => (12_345, 0),
        Err(_) => (uid, uid + 1),
    };
    let foreign = looking_in(&[&path], reader).unwrap_err();
    assert!(matches!(foreign, Error::Untrusted { owner: found, mode: 0o644, .. } if found == owner), "{foreign}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let file = r#"
container_retention_days = -1
cleanup_interval = "90"
log_retention_days = "long"
[store]
path = ""
synchronous = "off"
[lease]
ttl = "10s"
margin = "8s"
[sweep]
concurency = 3
breaker_share = 1.5
backoff_base = "7h"
[discovery]
game_label = "has space"
[engines."-bad"]
host = "docker.sock"
[engines.remote]
host = "https://engine:2376"
[engines.unsaid]
request_timeout = "1s"
[policy.settings]
protect_lable = "keep=true"
[tenants.acme]
path = "/nowhere/policy.wasm"
settings = { quiet_hours = "22-06" }
[tenants.rival]
settings = { quiet_hours = "22-06" }
[http]
listen = "0.0.0.0:80"
[log]
format = "xml"
filter = "rtmanager=loud"
[limits]
calls = 0
"#;
    insta::assert_snapshot!(complaint(file, &[("RTMANAGER_LEASE_TTL", "1m"), ("RTMANAGER_STORE", "1")]));
}

#[test]
fn a_misplaced_or_misspelt_key_is_answered_with_the_nearest_known_one() {
    let text = complaint("concurrency = 3\nretention_days = 3\nxyzzy = 1\n[htp]\nlisten = \"127.0.0.1:1\"", &[]);
    insta::assert_snapshot!(text);
}

#[test]
fn a_file_that_is_no_toml_is_told_from_one_that_is_wrong() {
    let text = complaint("sweep = [", &[]);
    assert!(text.starts_with("the configuration file FILE is not valid TOML"), "{text}");
}

#[test]
fn without_engines_there_is_one_where_the_docker_cli_would_look() {
    let local = "local".parse().unwrap();
    assert_eq!(config(&[], &[]).engines[&local].endpoint, Endpoint::Unix("/var/run/docker.sock".into()));
    let tcp = config(&[("DOCKER_HOST", "tcp://127.0.0.1:2375")], &[]);
    assert_eq!(tcp.engines[&local].endpoint, Endpoint::Tcp("127.0.0.1:2375".to_owned()));
    let wrong = Loaded::from_sources(&sources(None, &[("DOCKER_HOST", "ssh://host")], &[])).unwrap_err();
    assert!(wrong.to_string().contains("DOCKER_HOST = \"ssh://host\" (environment)"), "{wrong}");
}

#[test]
fn settings_of_the_local_engine_do_not_move_it() {
    let local = "local".parse().unwrap();
    let elsewhere = [("DOCKER_HOST", "tcp://127.0.0.1:2375")];
    let engine = config(&elsewhere, &[("engines.local.request_timeout", "3s")]).engines[&local].clone();
    assert_eq!(engine.endpoint, Endpoint::Tcp("127.0.0.1:2375".to_owned()));
    assert_eq!(engine.request_timeout, Duration::from_secs(3));
    let own = [("engines.local.host", "unix:///own.sock")];
    assert_eq!(config(&elsewhere, &own).engines[&local].endpoint, Endpoint::Unix("/own.sock".into()));
    // What is not used is not read.
    assert_eq!(
        config(&[("DOCKER_HOST", "ssh://host")], &own).engines[&local].endpoint,
        Endpoint::Unix("/own.sock".into())
    );
}

#[test]
fn tls_comes_from_the_docker_clis_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let variables = [("DOCKER_HOST", "tcp://engine:2376"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path)];
    let engine = config(&variables, &[]).engines[&"local".parse().unwrap()].clone();
    let certificates = directory.path().to_owned();
    assert_eq!(engine.endpoint, Endpoint::Tls { address: "engine:2376".to_owned(), certificates });
    let without = [variables[0], variables[1]];
    assert!(Loaded::from_sources(&sources(None, &without, &[])).is_err());
}

#[test]
fn a_remote_address_has_to_be_meant() {
    let remote = ("http.listen", "0.0.0.0:7070");
    assert!(Loaded::from_sources(&sources(None, &[], &[remote])).is_err());
    let meant = config(&[], &[remote, ("http.allow_remote", "true")]);
    assert_eq!(meant.http.listen, Listen::Tcp("0.0.0.0:7070".parse().unwrap()));
    assert_eq!(meant.http.allowed_hosts, ["localhost", "127.0.0.1", "[::1]"]);
}

#[test]
fn state_is_kept_where_the_user_or_the_system_keeps_it() {
    let store = |variables: &[(&str, &str)]| config(variables, &[]).store.path;
    assert_eq!(store(&[("HOME", "/home/u")]), PathBuf::from("/home/u/.local/state/rtmanager/rtmanager.db"));
    assert_eq!(store(&[("HOME", "/home/u"), ("XDG_STATE_HOME", "/s")]), PathBuf::from("/s/rtmanager/rtmanager.db"));
    let root = Environment { uid: Some(0), ..environment(&[("HOME", "/root")]) };
    let loaded = Loaded::from_sources(&Sources { environment: root, ..Sources::default() }).unwrap().config;
    assert_eq!(loaded.store.path, PathBuf::from("/var/lib/rtmanager/rtmanager.db"));
    assert_eq!(loaded.http.listen, Listen::Unix("/run/rtmanager/rtmanager.sock".into()));
}

#[test]
fn compiled_code_is_kept_beside_the_store_with_its_key_elsewhere() {
    let cache = |flags: &[(&str, &str)]| config(&[("HOME", "/home/u")], flags).admission.code_cache;
    let own = cache(&[]).unwrap();
    assert_eq!(own.directory, PathBuf::from("/home/u/.local/state/rtmanager/code"));
    assert_eq!(own.key_file, PathBuf::from("/home/u/.local/state/rtmanager/code.key"));
    assert_eq!(cache(&[("store.path", "/data/r.db")]).unwrap().directory, PathBuf::from("/data/code"));
    assert_eq!(cache(&[("admission.code_cache", "")]), None);
    let together = [("admission.code_cache", "/data/code"), ("admission.code_key_file", "/data/code/key")];
    let error = Loaded::from_sources(&sources(None, &[], &together)).unwrap_err().to_string();
    assert!(
        error.contains("admission.code_key_file") && error.contains("must not be in admission.code_cache"),
        "{error}"
    );
}

#[test]
fn a_component_as_large_as_admission_takes_is_compiled_too() {
    let admission = config(&[], &[("admission.component_bytes", "1048576")]).admission;
    assert_eq!((admission.shape.component_bytes, admission.compiler.component_bytes), (1 << 20, 1 << 20));
}

#[test]
fn the_service_keeps_its_state_where_roots_commands_look_for_it() {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let given = unit.lines().find_map(|line| line.strip_prefix("Environment=")).unwrap();
    let mut variables: Vec<_> = given.split(' ').map(|pair| pair.split_once('=').unwrap()).collect();
    variables.push(("HOME", "/var/lib/rtmanager"));
    let service = Loaded::from_sources(&sources(Some(Path::new(EXAMPLE)), &variables, &[])).unwrap().config;
    let root = Environment { uid: Some(0), ..environment(&[("HOME", "/root")]) };
    let root = Loaded::from_sources(&Sources { environment: root, ..Sources::default() }).unwrap().config;
    assert_eq!((&service.store, &service.http), (&root.store, &root.http));
    assert_eq!(service.admission, root.admission);

    // It has time to drain: requests first, then runs.
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(rtmanager::config::parse_span(stop).unwrap() > 2 * service.http.drain_time);
}

#[test]
fn settings_whose_names_tell_of_secrets_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtmanager.toml");
    let policy = format!("[tenants.acme]\npath = {:?}\n", path);
    let settings = "[tenants.acme.settings]\napi_token = \"hunter2\"\nregion = \"eu\"\n";
    std::fs::write(&path, policy + settings).unwrap();
    let loaded = Loaded::from_sources(&sources(Some(&path), &[], &[])).unwrap();
    let acme = &loaded.config.tenants[&"acme".parse().unwrap()];
    assert_eq!(acme.settings["api_token"], "hunter2");
    let shown: Vec<_> = loaded.settings.iter().map(|setting| setting.value.as_str()).collect();
    assert!(shown.contains(&"eu") && !shown.contains(&"hunter2"));
    assert!(!complaint("[policy.settings]\npassword = [\"hunter2\"]", &[]).contains("hunter2"));
}

#[test]
fn what_kubernetes_says_of_a_service_with_our_name_is_no_setting() {
    let variables = [
        ("RTMANAGER_SERVICE_HOST", "10.0.0.11"),
        ("RTMANAGER_SERVICE_PORT", "8080"),
        ("RTMANAGER_SERVICE_PORT_HTTP_API", "8080"),
        ("RTMANAGER_PORT", "tcp://10.0.0.11:8080"),
        ("RTMANAGER_PORT_8080_TCP", "tcp://10.0.0.11:8080"),
        ("RTMANAGER_PORT_8080_TCP_PROTO", "tcp"),
        ("RTMANAGER_PORT_8080_TCP_PORT", "8080"),
        ("RTMANAGER_PORT_8080_TCP_ADDR", "10.0.0.11"),
        ("RTMANAGER_PORT_53_UDP_ADDR", "10.0.0.11"),
    ];
    let plain = Loaded::from_sources(&sources(None, &[], &[])).unwrap();
    let linked = Loaded::from_sources(&sources(None, &variables, &[])).unwrap();
    assert_eq!(linked.settings, plain.settings);

    for other in [
        "RTMANAGER_SERVICE",
        "RTMANAGER_SERVICE_HOSTS",
        "RTMANAGER_SERVICE_PORT_",
        "RTMANAGER_SERVICE_PORT__HTTP",
        "RTMANAGER_PORTS",
        "RTMANAGER_PORT_HTTP",
        "RTMANAGER_PORT_8080",
        "RTMANAGER_PORT_99999_TCP",
        "RTMANAGER_PORT_8080_ICMP",
        "RTMANAGER_PORT_8080_TCP_NAME",
        "RTMANAGER_PORT_8080_TCP_ADDR_X",
        "RTMANAGER_HTTP__PORT",
    ] {
        let error = Loaded::from_sources(&sources(None, &[(other, "1")], &[])).unwrap_err();
        assert!(error.to_string().contains("no such setting"), "{other}: {error}");
    }
}

#[test]
fn dockers_own_configuration_is_where_docker_looks() {
    let found = |variables: &[(&str, &str)]| environment(variables).docker_config();
    let (home, elsewhere) = (("HOME", "/home/me"), ("DOCKER_CONFIG", "/run/docker"));
    assert_eq!(found(&[home, elsewhere]), Some("/run/docker/config.json".into()));
    assert_eq!(found(&[home, ("DOCKER_CONFIG", "")]), Some("/home/me/.docker/config.json".into()));
    assert_eq!(found(&[]), None);
}

//! A policy that is shown what there is about a live game, in place of what serves its tenant, and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use rtmanager::adapters::memory::MemoryEngine;
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::app::{Rehearsal, SettingOrigin, Stores};
use rtmanager::config::{Config, Environment, Loaded, Sources};
use rtmanager::metrics::Metrics;
use rtmanager::model::{BindingSpec, Ceiling, Grants, LimitOverrides, PolicyDigest, PolicyScope, Timestamp};
use rtmanager::ports::{ContainerEngine, SwapKind};
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::bound::{artifact, plain, signed, with_setting};
use rtmanager_tests::fake_engine::{Call, FakeEngine, Reply, container};
use rtmanager_tests::fixtures;
use serde_json::{Value, json};

use super::desk::{Desk, Said};

/// The settings of the configuration that name the desk's store.
fn config(desk: &Desk) -> Config {
    let path = desk.directory.path().join("state/rtmanager.db").display().to_string();
    let flags = vec![("store.path".to_owned(), path)];
    let sources = Sources { environment: Environment::default(), file: None, flags };
    let mut config = Loaded::from_sources(&sources).unwrap().config;
    config.admission.compiler.program = env!("CARGO_BIN_EXE_rtmanager-cli").into();
    config.admission.code_cache = None;
    config
}

async fn stores(desk: &Desk) -> Stores {
    Stores::open(config(desk)).await.unwrap()
}

/// Makes current in a scope what nobody examined: some of it no examination would let through.
async fn bind(desk: &Desk, scope: &str, spec: BindingSpec) {
    let (stores, scope) = (stores(desk).await, scope.parse::<PolicyScope>().unwrap());
    stores.policies.add(&artifact(DEFAULT_POLICY, "keep", Timestamp::from_micros(1)), DEFAULT_POLICY).await.unwrap();
    let (generations, signed) = (&stores.generations, signed(stores.clock.now()));
    let current = generations.state(&scope).await.unwrap().and_then(|state| state.current).map(|it| it.number);
    let staged = generations.stage(&scope, &spec, &signed).await.unwrap().number;
    generations.swap(&scope, current, staged, SwapKind::Bind, None, &signed).await.unwrap();
}

fn spec() -> BindingSpec {
    plain(&PolicyDigest::of(DEFAULT_POLICY))
}

fn keeping(days: &str) -> BindingSpec {
    with_setting(&PolicyDigest::of(DEFAULT_POLICY), "extra_retention_days", days)
}

/// All but this.
fn without(grant: &str) -> Grants {
    Grants::all().difference(&[grant.parse().unwrap()].into_iter().collect())
}

async fn set_ceiling(desk: &Desk, ceiling: Ceiling) {
    stores(desk).await.access.set_ceiling(&"acme".parse().unwrap(), Some(&ceiling)).await.unwrap();
}

/// The game `g-1` of `acme`, stopped for 40 days, and an engine that has its container.
async fn desk() -> (Desk, FakeEngine) {
    let (desk, engine) = (Desk::new(), FakeEngine::start());
    std::fs::write(desk.directory.path().join("default.wasm"), DEFAULT_POLICY).unwrap();
    std::fs::write(desk.directory.path().join("hostile.wasm"), fixtures::HOSTILE).unwrap();
    desk.stopped("g-1", 40).await;
    let labels = [("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", "acme"), ("rtmanager.game", "g-1")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    engine.on(Call::Inspect, [Reply::Json(200, container(&id(), "exited", &labels))]);
    (desk, engine)
}

fn id() -> rtmanager::model::ContainerId {
    PolicyDigest::of(b"g-1").as_str().parse().unwrap()
}

fn shown(desk: &Desk, engine: &FakeEngine, policy: &str, arguments: &[&str]) -> Said {
    let host = match engine.options().endpoint {
        rtmanager::adapters::docker::Endpoint::Unix(path) => format!("engines.local.host=unix://{}", path.display()),
        other => panic!("{other:?}"),
    };
    desk.run(&[&["--set", &host, "policy", "run", policy, "--dry-run"], arguments].concat())
}

fn view(desk: &Desk, engine: &FakeEngine, arguments: &[&str]) -> Value {
    shown(desk, engine, "default.wasm", &[&["--game", "g-1", "--json"], arguments].concat()).json()
}

fn record(desk: &Desk) -> Value {
    desk.run(&["runtimes", "--json"]).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_be_done_about_a_live_game_and_does_nothing() {
    let (desk, engine) = desk().await;
    let (id, shown) = (id(), |arguments: &[&str]| shown(&desk, &engine, "default.wasm", arguments));
    let before = record(&desk);

    let said = shown(&["--game", "g-1"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    assert!(said.out.contains(&format!("It would have removed container {id}.")), "{}", said.out);
    assert!(said.out.contains("docker.remove …") && said.out.contains("=> success"), "{}", said.out);
    assert_eq!(engine.deletes(), 0);
    assert_eq!(record(&desk), before, "nothing is changed");
    assert_eq!(desk.run(&["operations", "--json"]).json(), json!({ "items": [], "next": null }));

    let kept = shown(&["--game", "g-1", "--setting", "extra_retention_days=90", "--json"]);
    let view = kept.json();
    assert_eq!((kept.status, &view["would_remove"]), (0, &Value::Null), "{view}");
    assert!(view["run"]["ended"].as_str().unwrap().starts_with("wait until 20"), "{view}");

    let at_once = shown(&["--game", "g-1", "--at-once", "--setting", "extra_retention_days=90"]);
    assert!(at_once.out.contains("It would have removed container"), "{at_once:?}");

    engine.on(Call::Inspect, [Reply::failure(500, "no")]);
    let failing = shown(&["--game", "g-1", "--json"]).json();
    assert_eq!((&failing["would_remove"], &failing["record"]), (&Value::Null, &json!("stopped")), "{failing}");

    let absent = shown(&["--game", "g-2"]);
    assert_eq!(absent.status, 4, "{absent:?}");
    assert!(absent.err.contains("a sweep would not ask about g-2: its record is not there"), "{}", absent.err);
    assert_eq!(engine.deletes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_in_for_what_serves_the_tenant_with_its_settings_unless_they_are_overridden() {
    let (desk, engine) = desk().await;
    let free = view(&desk, &engine, &["--setting", "extra_retention_days=90"]);
    assert!(free["terms"]["in_place_of"].as_str().unwrap().starts_with("*/file-"), "{free}");
    assert_eq!(free["terms"]["settings"], json!({ "extra_retention_days": "added" }), "{free}");
    assert_eq!((&free["terms"]["grants"], &free["would_remove"]), (&Value::Null, &Value::Null), "{free}");

    bind(&desk, "*", keeping("90")).await;
    let everybodys = view(&desk, &engine, &[]);
    assert_eq!(everybodys["terms"]["in_place_of"], "*/1", "{everybodys}");
    assert!(everybodys["run"]["ended"].as_str().unwrap().starts_with("wait until 20"), "{everybodys}");

    // What a file says of the tenant stands before what is bound for all.
    std::fs::write(
        desk.directory.path().join("rtmanager.toml"),
        "[tenants.acme.settings]\nextra_retention_days = \"60\"\n",
    )
    .unwrap();
    let in_file = view(&desk, &engine, &[]);
    assert!(in_file["terms"]["in_place_of"].as_str().unwrap().starts_with("acme/file-"), "{in_file}");
    assert_eq!(in_file["terms"]["settings"], json!({ "extra_retention_days": "bound" }), "{in_file}");

    let mut own = keeping("0");
    own.settings.insert("protect_label".to_owned(), "env=prod".to_owned());
    bind(&desk, "acme", own).await;
    let own = view(&desk, &engine, &[]);
    assert_eq!(
        (&own["terms"]["in_place_of"], &own["would_remove"]),
        (&json!("acme/1"), &json!(id().as_str())),
        "{own}"
    );

    let said = shown(&desk, &engine, "default.wasm", &["--game", "g-1", "--setting", "extra_retention_days=90"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    let terms = "default.wasm on g-1 (record: stopped); nothing was changed\nin place of acme/1\n  its settings  \
                 protect_label\n  overridden    extra_retention_days\n  limits        the host's\n  grants        \
                 everything\n";
    assert!(said.out.starts_with(terms), "{}", said.out);
    assert!(said.out.contains("It would have removed nothing."), "{}", said.out);
    assert_eq!(engine.deletes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_the_limits_of_what_serves_within_the_hosts_and_the_ceiling() {
    let (desk, engine) = desk().await;
    let limits = LimitOverrides { calls: Some(4), memory_bytes: Some(1 << 40), ..LimitOverrides::default() };
    bind(&desk, "acme", BindingSpec { limits, ..spec() }).await;
    let bound = view(&desk, &engine, &[]);
    assert_eq!(bound["terms"]["limits"]["calls"], 4, "{bound}");
    assert_eq!(bound["terms"]["limits"]["memory_bytes"], Value::Null, "no more than the host's: {bound}");
    assert!(bound["run"]["wrongs"][0].as_str().unwrap().contains("limits.calls (4)"), "{bound}");
    assert_eq!(bound["would_remove"], Value::Null, "{bound}");

    let lower = LimitOverrides { calls: Some(2), log_lines: Some(7), ..LimitOverrides::default() };
    set_ceiling(&desk, Ceiling { limits: lower, ..Ceiling::default() }).await;
    let cut = view(&desk, &engine, &[]);
    assert_eq!(
        (&cut["terms"]["limits"]["calls"], &cut["terms"]["limits"]["log_lines"]),
        (&json!(2), &json!(7)),
        "{cut}"
    );
    assert!(cut["run"]["wrongs"][0].as_str().unwrap().contains("limits.calls (2)"), "{cut}");

    set_ceiling(&desk, Ceiling { retention_days: 90, ..Ceiling::default() }).await;
    bind(&desk, "acme", spec()).await;
    let kept = view(&desk, &engine, &[]);
    assert!(kept["run"]["ended"].as_str().unwrap().starts_with("wait until 20"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_denied_as_in_a_real_run() {
    let (desk, engine) = desk().await;
    bind(&desk, "acme", spec()).await;
    let ceiling = Ceiling { grants: Some(without("docker.remove")), ..Ceiling::default() };
    set_ceiling(&desk, ceiling).await;
    let cut = view(&desk, &engine, &[]);
    let granted = cut["terms"]["grants"].as_array().unwrap();
    assert!(granted.contains(&json!("clock")) && !granted.contains(&json!("docker.remove")), "{cut}");
    assert_eq!((&cut["run"]["denied"], &cut["would_remove"]), (&json!(["not-granted"]), &Value::Null), "{cut}");
    assert_eq!(cut["run"]["wrongs"], json!([]), "a policy cannot know of it: {cut}");

    let secret = BindingSpec { grants: without("settings:*"), ..keeping("90") };
    let grants = secret.grants.iter().cloned().chain(["settings:protect_label".parse().unwrap()]).collect();
    stores(&desk).await.access.set_ceiling(&"acme".parse().unwrap(), None).await.unwrap();
    bind(&desk, "acme", BindingSpec { grants, ..secret }).await;
    let unread = view(&desk, &engine, &["--setting", "protect_label=env=prod"]);
    let origins = json!({ "extra_retention_days": "not_granted", "protect_label": "added" });
    assert_eq!((&unread["terms"]["settings"], &unread["would_remove"]), (&origins, &json!(id().as_str())), "{unread}");

    bind(&desk, "acme", BindingSpec { grants: without("docker.remove"), ..spec() }).await;
    let refused = shown(&desk, &engine, "default.wasm", &["--game", "g-1"]);
    assert_eq!((refused.status, refused.out.as_str()), (4, ""), "{refused:?}");
    for told in ["it cannot take the place of acme/3", "takes the grant docker.remove"] {
        assert!(refused.err.contains(told), "{}", refused.err);
    }
    assert_eq!(engine.deletes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_reads_the_log_takes_it_for_a_cleanup() {
    let (desk, engine) = desk().await;
    let logged = |policy: &str, arguments: &[&str]| {
        let more = [&["--log-format", "json", "--game", "g-1", "--at-once"], arguments].concat();
        let said = shown(&desk, &engine, policy, &more);
        let lines = said.err.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        // Not those of the libraries, which concern no run.
        let is_ours =
            |line: &Value| line["target"].as_str().unwrap().starts_with("rtmanager") || line["target"] == "policy";
        let lines = lines.filter(is_ours).collect::<Vec<_>>();
        assert!(
            lines.iter().all(|line| line["span"]["dry_run"] == true && line["span"]["game_id"] == "g-1"),
            "{said:?}"
        );
        lines
    };
    assert_eq!(logged("default.wasm", &[]), [] as [Value; 0], "a command only warns");
    std::fs::write(desk.directory.path().join("rtmanager.toml"), "[log]\nfilter = \"info\"\n").unwrap();
    let told = logged("default.wasm", &[]);
    let messages: Vec<_> = told.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["would remove a container", "a dry run ended; nothing was changed"], "{told:?}");
    let last = told.last().unwrap();
    assert_eq!(
        (&last["dry_run"], &last["would_end"], &last["error_code"]),
        (&json!(true), &json!("success"), &Value::Null)
    );

    let failed = logged("hostile.wasm", &["--setting", "mode=panic"]);
    let last = failed.last().unwrap();
    assert_eq!((&last["level"], &last["error_code"]), (&json!("INFO"), &json!("policy_trap")), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_run_is_not_measured_as_one_and_leaves_nothing_in_the_store() {
    let desk = Desk::new();
    desk.stopped("g-1", 40).await;
    let (stores, clock) = (stores(&desk).await, Arc::new(SystemClock));
    let memory: Arc<dyn ContainerEngine> = Arc::new(MemoryEngine::new(clock));
    let engines = BTreeMap::from([("local".parse().unwrap(), memory)]);
    let metrics = Arc::new(Metrics::new().unwrap());
    for at_once in [true, false] {
        let rehearsal = Rehearsal {
            component: DEFAULT_POLICY.to_vec(),
            policy: "default".to_owned(),
            settings: [("extra_retention_days".to_owned(), "0".to_owned())].into(),
            game: "g-1".parse().unwrap(),
            at_once,
        };
        let rehearsed = rehearsal.on(&stores, engines.clone(), &metrics).await.unwrap();
        assert!(!rehearsed.seen.entries.is_empty(), "it ran: {:?}", rehearsed.seen);
        assert_eq!(rehearsed.terms.settings["extra_retention_days"], SettingOrigin::Added);
    }
    let text = metrics.render().unwrap();
    for family in ["rtmanager_cleanups", "rtmanager_reviews", "rtmanager_run_phase", "rtmanager_lease_acquire"] {
        let counted = |line: &&str| line.starts_with(family) && !line.ends_with(" 0") && !line.ends_with(" 0.0");
        assert_eq!(text.lines().find(counted), None, "{text}");
    }
    assert!(text.contains("rtmanager_engine_concurrency_limit{"), "the engine was: {text}");
    assert_eq!(desk.run(&["operations", "--json"]).json(), json!({ "items": [], "next": null }));
    let held = stores.leases.held_until(&"g-1".parse().unwrap()).await.unwrap();
    assert_eq!(held, None);
}

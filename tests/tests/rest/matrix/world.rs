//! A site at which everything is that a path can name, of the tenant that calls, of another one, and of everybody.

use std::sync::{Arc, LazyLock};

use rtmanager::model::{
    BindingSpec, Ceiling, Grants, Hold, LimitOverrides, Parked, PolicyArtifact, PolicyDigest, PolicyScope, Role,
    Rollout, RolloutCounts, RolloutGoal, RolloutMode, RunId, RunJournal, Signed, Timestamp, TrustedKey,
};
use rtmanager::ports::{AuditLog, Disposition, PolicyFilter, RecordFilter, SwapKind};
use rtmanager_tests::http::Answer;
use rtmanager_tests::mock_host::{GAME, MockHost, container};
use tokio::sync::OnceCell;

use super::super::policy_desk::{component, key};
use super::super::site::{NOW, Site};
use super::table::{CALLERS, Given, Row, Whose};

/// What nobody is to read but an admin and the tenant.
pub const SECRET: &str = "s3cret-of-";

/// Nothing is refused for its number.
const FLAGS: [(&str, &str); 3] = [
    ("http.listen", "127.0.0.1:0"),
    ("http.tenant_requests_per_minute", "1000000"),
    ("http.refusals_per_minute", "1000000"),
];

static COMPONENTS: LazyLock<Vec<(usize, Vec<u8>)>> =
    LazyLock::new(|| [1, 2, 3, 9, 11, 12, 13, 20].map(|number| (number, component(number))).into());

fn bytes(number: usize) -> &'static [u8] {
    &COMPONENTS.iter().find(|(known, _)| *known == number).unwrap().1
}

fn digest(number: usize) -> PolicyDigest {
    PolicyDigest::of(bytes(number))
}

/// A run, whoever's.
static RECORDED: OnceCell<RunJournal> = OnceCell::const_new();

async fn recorded() -> RunJournal {
    let host = MockHost::builder().build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    host.cleanup(GAME).await;
    recorded.last()
}

/// The run of which a journal was kept.
fn run(whose: Whose) -> RunId {
    format!("{:032x}", whose.component()).parse().unwrap()
}

fn signed() -> Signed {
    Signed { at: Timestamp::from_micros(NOW), actor: "token:ops".to_owned(), reason: "as it was".to_owned() }
}

fn scope(whose: Whose) -> PolicyScope {
    whose.scope().parse().unwrap()
}

pub struct World {
    pub site: Site,
    bearers: Vec<String>,
}

impl World {
    pub async fn new() -> Self {
        Self::of(Site::with(&FLAGS).await).await
    }

    /// Whose trail goes to this log.
    pub async fn audited_by(log: impl FnOnce(Arc<dyn AuditLog>) -> Arc<dyn AuditLog>) -> Self {
        Self::of(Site::logging_to(log, &FLAGS).await).await
    }

    async fn of(site: Site) -> Self {
        let mut bearers = Vec::new();
        for caller in CALLERS {
            let role = Role::from_text(caller, None).unwrap_or_else(|| Role::Tenant(caller.parse().unwrap()));
            bearers.push(site.bearer(caller, role).await);
        }
        site.bearer("doomed", Role::Viewer).await;
        let world = Self { site, bearers };
        for whose in Whose::ALL {
            world.games(whose).await;
            let journal = RECORDED.get_or_init(recorded).await.clone();
            let tenant = Some(whose.tenant().parse().unwrap());
            world.site.store.journals().add(&RunJournal { run_id: run(whose), tenant, ..journal }).await.unwrap();
        }
        for number in [1, 2, 3, 9] {
            world.component(number, None).await;
        }
        for whose in Whose::ALL {
            world.policies(whose).await;
        }
        world
    }

    async fn games(&self, whose: Whose) {
        let (tenant, records) = (whose.tenant(), self.site.store.records());
        for kind in ["game", "held", "parked"] {
            self.site.stopped_of(tenant, &format!("{kind}-{tenant}"), 40).await;
        }
        let hold = Hold { reason: format!("{SECRET}{tenant}"), actor: "token:ops".to_owned(), until: None };
        records.set_hold(&format!("held-{tenant}").parse().unwrap(), Some(&hold)).await.unwrap();
        let game = format!("parked-{tenant}").parse().unwrap();
        let version = records.get(&game).await.unwrap().unwrap().record.version;
        let parked = Parked { at: Timestamp::from_micros(NOW), reason: "conflict: why".to_owned() };
        assert!(records.dispose(&game, version, &Disposition::Park { parked, failed_attempts: 8 }).await.unwrap());
    }

    async fn component(&self, number: usize, owner: Option<&str>) {
        let artifact = PolicyArtifact {
            digest: digest(number),
            name: "keep".parse().unwrap(),
            version: format!("1.{number}.0").parse().unwrap(),
            owner: owner.map(|owner| owner.parse().unwrap()),
            size: bytes(number).len() as u64,
            pushed_at: Timestamp::from_micros(NOW),
            pushed_by: "token:ops".to_owned(),
        };
        self.site.store.policies().add(&artifact, bytes(number)).await.unwrap();
    }

    /// A component, a key, and three generations, of which the second serves and the third is staged.
    async fn policies(&self, whose: Whose) {
        self.component(whose.component(), (whose != Whose::Default).then(|| whose.scope())).await;
        let trusted = TrustedKey {
            id: key(1).public().id().to_string(),
            public_key: key(1).public().to_pem(),
            added_at: Timestamp::from_micros(NOW),
            added_by: "token:ops".to_owned(),
            revoked_at: None,
        };
        let scope = scope(whose);
        assert!(self.site.store.access().add_key(&scope, &trusted).await.unwrap());
        let generations = self.site.store.generations();
        for (number, before) in [(1, None), (2, Some(1)), (3, None)] {
            let settings = [("api_key".to_owned(), format!("{SECRET}{}", whose.tenant()))].into();
            let spec = BindingSpec {
                digest: digest(number as usize),
                called: Some(("keep".parse().unwrap(), format!("1.{number}.0").parse().unwrap())),
                settings,
                limits: LimitOverrides::default(),
                grants: Grants::all(),
            };
            generations.stage(&scope, &spec, &signed()).await.unwrap();
            if number < 3 {
                generations.swap(&scope, before, number, SwapKind::Bind, None, &signed()).await.unwrap();
            }
        }
    }

    /// Brings about what a row needs.
    pub async fn given(&self, row: &Row, whose: Whose) {
        let (scope, store) = (scope(whose), &self.site.store);
        match row.given {
            Given::Nothing => {}
            Given::Rollout => {
                let rollout = Rollout {
                    number: 3,
                    mode: RolloutMode::Shadow,
                    goal: RolloutGoal { clean_runs: None, promote_at: None, stop_on_divergence: false },
                    counts: RolloutCounts::default(),
                    started: signed(),
                };
                store.generations().start_rollout(&scope, Some(2), &rollout).await.unwrap();
            }
            Given::Ceiling => {
                store.access().set_ceiling(&scope, Some(&Ceiling::default())).await.unwrap();
            }
            Given::Paused => {
                let paused = self.call("admin", "put", &path(row, whose), Some(r#"{"reason": "x"}"#)).await;
                assert_eq!(paused.status, 200, "{paused:?}");
            }
        }
    }

    pub async fn ask(&self, caller: &str, row: &Row, whose: Whose, path: &str) -> Answer {
        if (row.method, row.path) == ("post", "/api/v1/policies") {
            let headers = [("Authorization", self.bearer(caller))];
            return self.site.client.upload(path, "application/wasm", &headers, bytes(20)).await;
        }
        let body = (row.body)(whose).map(|body| body.to_string());
        self.call(caller, row.method, path, body.as_deref()).await
    }

    pub async fn call(&self, caller: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
        let headers = [("Authorization", self.bearer(caller))];
        self.site.client.send(&method.to_uppercase(), path, &headers, body).await
    }

    fn bearer(&self, caller: &str) -> &str {
        let place = CALLERS.iter().position(|known| *known == caller).unwrap();
        &self.bearers[place]
    }

    /// All that can be changed, but for the logs and for when tokens were used.
    pub async fn state(&self) -> String {
        let store = &self.site.store;
        let (access, generations) = (store.access(), store.generations());
        let any = RecordFilter { tenant: None, engine: None, status: None };
        let mut parts = vec![
            format!("{:?}", store.records().list(&any, None, 100).await.unwrap()),
            format!("{:?}", store.pauses().pauses().await.unwrap()),
            format!("{:?}", access.ceilings().await.unwrap()),
            format!("{:?}", generations.changed_since(0).await.unwrap()),
            format!("{:?}", generations.revocations(100).await.unwrap()),
            format!("{:?}", self.site.engine.containers()),
        ];
        for mut token in access.tokens().await.unwrap() {
            token.last_used_at = None;
            parts.push(format!("{token:?}"));
        }
        for whose in Whose::ALL {
            parts.push(format!("{:?}", access.keys(&scope(whose)).await.unwrap()));
            parts.push(format!("{:?}", generations.history(&scope(whose), None, 100).await.unwrap()));
        }
        let policies = store.policies();
        for artifact in policies.list(&PolicyFilter { visible_to: None, name: None }, None, 100).await.unwrap() {
            let signatures = policies.signatures(artifact.owner.as_ref(), &artifact.digest).await.unwrap();
            parts.push(format!("{artifact:?} {signatures:?}"));
        }
        parts.join("\n")
    }
}

/// The path of a row, filled in.
pub fn path(row: &Row, whose: Whose) -> String {
    let kind = match (row.method, row.path) {
        ("delete", "/api/v1/internal/runtimes/{game_id}/hold") => "held",
        ("delete", "/api/v1/internal/runtimes/{game_id}/parking") => "parked",
        _ => "game",
    };
    let tenant = if row.path.contains("/pauses/") { whose.tenant() } else { whose.scope() };
    let run = run(whose);
    fill(row, &format!("{kind}-{}", whose.tenant()), tenant, [digest(whose.component()).as_str(), run.as_str()], whose)
}

/// The same of things that are not there, whoever asks, with the names in it and those that it stands for.
pub fn nobodys(row: &Row, whose: Whose) -> (String, [(String, String); 4]) {
    let (absent, no_run) = ("f".repeat(64), "e".repeat(32));
    let names = [
        ("nothing".to_owned(), format!("game-{}", whose.tenant())),
        ("nobody".to_owned(), whose.scope().to_owned()),
        (absent.clone(), digest(whose.component()).to_string()),
        (no_run.clone(), run(whose).to_string()),
    ];
    (fill(row, "nothing", "nobody", [&absent, &no_run], whose), names)
}

fn fill(row: &Row, game: &str, tenant: &str, [digest, run]: [&str; 2], whose: Whose) -> String {
    let key = key(1).public().id().to_string();
    let parts = [
        ("{game_id}", game),
        ("{engine}", "local"),
        ("{tenant}", tenant),
        ("{name}", "doomed"),
        ("{digest}", digest),
        ("{run_id}", run),
        ("{generation}", "1"),
        ("{key}", key.as_str()),
    ];
    let filled = parts.iter().fold(row.path.to_owned(), |path, (name, value)| path.replace(name, value));
    let owner = if whose == Whose::Default { String::new() } else { format!("&owner={}", whose.scope()) };
    let query = match (row.method, row.path) {
        ("post", "/api/v1/policies") => format!("?name=new&version=1.0.0{owner}"),
        ("delete", path) if path.ends_with("/policy") || path.ends_with("/rollout") => "?reason=case".to_owned(),
        ("get", path) if path.ends_with("/diff") => "?from=1&to=2".to_owned(),
        _ => String::new(),
    };
    filled + &query
}

//! Every route, and what it answers to whom about whose.

use rtmanager::signing::TenantScope;
use serde_json::{Value, json};

use super::super::policy_desk::{envelope, key};

/// The callers, in the order of the statuses of a row.
pub const CALLERS: [&str; 4] = ["admin", "operator", "viewer", "acme"];

/// Whose the thing is that a path names: the tenant's that calls, another's, or everybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Own,
    Other,
    Default,
}

impl Whose {
    pub const ALL: [Self; 3] = [Self::Own, Self::Other, Self::Default];

    /// The scope; as a tenant's name, the one who has games without any.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Own => "acme",
            Self::Other => "rival",
            Self::Default => "*",
        }
    }

    pub fn tenant(self) -> &'static str {
        if self == Self::Default { "default" } else { self.scope() }
    }

    /// The number of the component that it owns.
    pub fn component(self) -> usize {
        match self {
            Self::Own => 11,
            Self::Other => 12,
            Self::Default => 13,
        }
    }
}

/// What has to be before the request, beside the world as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Nothing,
    /// A rollout under way.
    Rollout,
    /// A ceiling of the scope.
    Ceiling,
    /// What the same path answers to `PUT`.
    Paused,
}

/// Statuses by caller.
type Statuses = [u16; 4];

#[derive(Debug, Clone, Copy)]
pub enum Answers {
    /// The path names nobody's in particular.
    Same(Statuses),
    /// By whose it is.
    By([Statuses; 3]),
}

impl Answers {
    pub fn variants(self) -> Vec<(Whose, Statuses)> {
        match self {
            Self::Same(statuses) => vec![(Whose::Own, statuses)],
            Self::By(statuses) => Whose::ALL.into_iter().zip(statuses).collect(),
        }
    }
}

pub struct Row {
    pub method: &'static str,
    pub path: &'static str,
    pub answers: Answers,
    /// What the trail calls it; none for what changes nothing.
    pub deed: Option<&'static str>,
    pub body: fn(Whose) -> Option<Value>,
    pub given: Given,
}

impl Row {
    /// What the trail has of it once it is done: a generation's number is known when it is staged.
    pub fn deeds(&self) -> Vec<&'static str> {
        match self.deed {
            Some(bind @ "policy.bind") => vec![bind, "policy.swap"],
            Some(rollout @ "policy.rollout") => vec![rollout, "policy.try"],
            deed => deed.into_iter().collect(),
        }
    }
}

const ALL: Statuses = [200; 4];
const STAFF: Statuses = [200, 200, 200, 403];
const OPERATORS: Statuses = [200, 200, 403, 403];
const ADMIN: Statuses = [200, 403, 403, 403];
const ADMIN_AND_TENANT: Statuses = [200, 403, 403, 200];
/// As one that is not there.
const HIDDEN: Statuses = [200, 200, 200, 404];

/// A tenant's name names a tenant whether there is one or not, so it is denied; a game or digest may be anybody's, and is
/// not there.
const SEEN_GAME: Answers = Answers::By([ALL, HIDDEN, HIDDEN]);
const ORDERED_GAME: Answers = Answers::By([OPERATORS; 3]);
const SEEN_SCOPE: Answers = Answers::By([ALL, STAFF, STAFF]);
const CHANGED_SCOPE: Answers = Answers::By([ADMIN_AND_TENANT, ADMIN, ADMIN]);
const RULED_SCOPE: Answers = Answers::By([ADMIN; 3]);
const SEEN_POLICY: Answers = Answers::By([ALL, HIDDEN, ALL]);

fn nothing(_: Whose) -> Option<Value> {
    None
}

fn why(_: Whose) -> Option<Value> {
    Some(json!({"reason": "case 7"}))
}

fn registration(whose: Whose) -> Option<Value> {
    Some(json!({"tenant": whose.tenant(), "status": "running"}))
}

fn token(_: Whose) -> Option<Value> {
    Some(json!({"name": "made", "role": "viewer"}))
}

fn whole_trail(_: Whose) -> Option<Value> {
    Some(json!({"before": "2100-01-01T00:00:00Z"}))
}

fn empty(_: Whose) -> Option<Value> {
    Some(json!({}))
}

fn ceiling(_: Whose) -> Option<Value> {
    Some(json!({"retention_days": 7}))
}

fn generation(_: Whose) -> Option<Value> {
    Some(json!({"generation": 1, "reason": "case 7"}))
}

fn binding(_: Whose) -> Option<Value> {
    Some(json!({"policy": "keep@1.9.0", "reason": "case 7", "wait_ms": 0}))
}

fn trial(whose: Whose) -> Option<Value> {
    let mut order = binding(whose)?;
    order["mode"] = json!("shadow");
    Some(order)
}

fn another_key(_: Whose) -> Option<Value> {
    Some(json!({"public_key": key(2).public().to_pem()}))
}

fn signature(whose: Whose) -> Option<Value> {
    Some(envelope(whose.component(), &key(1), TenantScope::Any))
}

const fn look(path: &'static str, answers: Answers) -> Row {
    Row { method: "get", path, answers, deed: None, body: nothing, given: Given::Nothing }
}

const fn order(
    method: &'static str,
    path: &'static str,
    answers: Answers,
    deed: &'static str,
    body: fn(Whose) -> Option<Value>,
) -> Row {
    Row { method, path, answers, deed: Some(deed), body, given: Given::Nothing }
}

const fn given(given: Given, row: Row) -> Row {
    Row { given, ..row }
}

const RUNTIME: &str = "/api/v1/internal/runtimes/{game_id}";

pub fn rows() -> Vec<Row> {
    [internal(), access(), policies(), scopes()].into_iter().flatten().collect()
}

fn internal() -> Vec<Row> {
    let same = Answers::Same;
    let paused = |path, answers| {
        [
            order("put", path, answers, "sweeper.pause", why),
            given(Given::Paused, order("delete", path, answers, "sweeper.resume", nothing)),
        ]
    };
    let mut rows = vec![
        look("/healthz", same(ALL)),
        look("/readyz", same(ALL)),
        look("/metrics", same(STAFF)),
        look("/api/v1/openapi.json", same(ALL)),
        look("/api/v1/internal/runtimes", same(ALL)),
        look(RUNTIME, SEEN_GAME),
        look("/api/v1/internal/runtimes/{game_id}/explain", SEEN_GAME),
        look("/api/v1/internal/operations", same(ALL)),
        look("/api/v1/internal/operations/{run_id}/journal", SEEN_GAME),
        look("/api/v1/internal/orphans", same(STAFF)),
        look("/api/v1/internal/pauses", same(STAFF)),
        order("put", RUNTIME, ORDERED_GAME, "runtime.register", registration),
        order("delete", "/api/v1/internal/runtimes/{game_id}/container", ORDERED_GAME, "runtime.cleanup", nothing),
        order("put", "/api/v1/internal/runtimes/{game_id}/hold", ORDERED_GAME, "runtime.hold", why),
        order("delete", "/api/v1/internal/runtimes/{game_id}/hold", ORDERED_GAME, "runtime.unhold", nothing),
        order("delete", "/api/v1/internal/runtimes/{game_id}/parking", ORDERED_GAME, "runtime.unpark", nothing),
    ];
    rows.extend(paused("/api/v1/internal/pauses/global", same(OPERATORS)));
    rows.extend(paused("/api/v1/internal/pauses/engines/{engine}", same(OPERATORS)));
    rows.extend(paused("/api/v1/internal/pauses/tenants/{tenant}", ORDERED_GAME));
    rows
}

fn access() -> Vec<Row> {
    let admin = Answers::Same(ADMIN);
    vec![
        look("/api/v1/tokens", admin),
        order("post", "/api/v1/tokens", admin, "token.create", token),
        order("delete", "/api/v1/tokens/{name}", admin, "token.revoke", nothing),
        order("post", "/api/v1/tokens/{name}/rotation", admin, "token.rotate", empty),
        look("/api/v1/audit", admin),
        look("/api/v1/audit/verification", admin),
        order("post", "/api/v1/audit/pruning", admin, "audit.prune", whole_trail),
    ]
}

fn policies() -> Vec<Row> {
    let pushed = Answers::By([[201, 403, 403, 201], [201, 403, 403, 403], [201, 403, 403, 201]]);
    let signed = Answers::By([ADMIN_AND_TENANT, [200, 403, 403, 404], ADMIN]);
    let revoked = Answers::By([ADMIN, [200, 403, 403, 404], ADMIN]);
    vec![
        look("/api/v1/policies", Answers::Same(ALL)),
        order("post", "/api/v1/policies", pushed, "policy.push", nothing),
        look("/api/v1/policies/{digest}", SEEN_POLICY),
        look("/api/v1/policies/{digest}/component", SEEN_POLICY),
        order("post", "/api/v1/policies/{digest}/signatures", signed, "policy.sign", signature),
        order("post", "/api/v1/policies/{digest}/revocation", revoked, "policy.revoke", why),
    ]
}

fn scopes() -> Vec<Row> {
    let check = Row { deed: None, ..order("post", "/api/v1/tenants/{tenant}/policy/check", SEEN_SCOPE, "", binding) };
    let change = |method, path, deed, body| order(method, path, CHANGED_SCOPE, deed, body);
    let rule = |method, path, deed, body| order(method, path, RULED_SCOPE, deed, body);
    let tried = |row| given(Given::Rollout, row);
    let ruled = |row| given(Given::Ceiling, row);
    vec![
        look("/api/v1/tenants/{tenant}/policy", SEEN_SCOPE),
        look("/api/v1/tenants/{tenant}/policy/history", SEEN_SCOPE),
        look("/api/v1/tenants/{tenant}/policy/diff", SEEN_SCOPE),
        look("/api/v1/tenants/{tenant}/policy/generations/{generation}", SEEN_SCOPE),
        look("/api/v1/tenants/{tenant}/policy/rollout/{generation}/divergences", SEEN_SCOPE),
        look("/api/v1/tenants/{tenant}/policy/ceiling", SEEN_SCOPE),
        look("/api/v1/tenants/{tenant}/policy/keys", SEEN_SCOPE),
        check,
        change("put", "/api/v1/tenants/{tenant}/policy", "policy.bind", binding),
        change("delete", "/api/v1/tenants/{tenant}/policy", "policy.unbind", nothing),
        change("post", "/api/v1/tenants/{tenant}/policy/rollback", "policy.rollback", why),
        change("post", "/api/v1/tenants/{tenant}/policy/revocation", "policy.revoke", generation),
        change("post", "/api/v1/tenants/{tenant}/policy/rollout", "policy.rollout", trial),
        tried(change("delete", "/api/v1/tenants/{tenant}/policy/rollout", "policy.end_rollout", nothing)),
        tried(change("post", "/api/v1/tenants/{tenant}/policy/rollout/promotion", "policy.promote", why)),
        rule("put", "/api/v1/tenants/{tenant}/policy/ceiling", "policy.ceiling", ceiling),
        ruled(rule("delete", "/api/v1/tenants/{tenant}/policy/ceiling", "policy.ceiling", nothing)),
        rule("post", "/api/v1/tenants/{tenant}/policy/keys", "policy.trust", another_key),
        rule("delete", "/api/v1/tenants/{tenant}/policy/keys/{key}", "policy.distrust", nothing),
    ]
}

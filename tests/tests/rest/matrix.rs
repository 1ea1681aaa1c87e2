//! Every route × every role × whose the thing is: what is answered, what is done, what is in the trail, and what is told.
//!
//! A route that is described and has no row fails, and all routes are described.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rtmanager::model::{AuditEntry, AuditEvent};
use rtmanager::ports::{AuditLog, StoreError};
use rtmanager_tests::http::Answer;
use serde_json::{Value, json};

#[path = "matrix/table.rs"]
mod table;
#[path = "matrix/world.rs"]
mod world;

use table::{Answers, CALLERS, Row, Whose, rows};
use world::{SECRET, World, nobodys, path};

impl World {
    async fn trail(&self) -> Vec<AuditEntry> {
        self.site.trail.read(1, 1_000).await.unwrap()
    }

    /// What a request adds to the trail.
    async fn added(&self, before: &[AuditEntry]) -> Vec<AuditEvent> {
        let last = before.last().map_or(0, |entry| entry.sequence);
        self.trail().await.into_iter().filter(|entry| entry.sequence > last).map(|entry| entry.event).collect()
    }
}

fn is_permitted(status: u16) -> bool {
    (200..300).contains(&status)
}

/// The body without what differs from request to request, and with other names.
fn said(answer: &Answer, names: &[(String, String)]) -> Value {
    let text = names.iter().fold(answer.body.clone(), |text, (from, to)| text.replace(from, to));
    let mut body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    body["request_id"] = json!("");
    body
}

/// A refusal: it is the one expected, it has changed nothing, it stands in the trail if it was an order that was denied,
/// and it is word by word what is said of things that are not there.
async fn refused(world: &World, row: &Row, whose: Whose, caller: &str, status: u16) {
    let (path, at) = (path(row, whose), format!("{} {} {whose:?} by {caller}", row.method, row.path));
    let (state, trail) = (world.state().await, world.trail().await);
    let answer = world.ask(caller, row, whose, &path).await;
    assert_eq!(answer.status, status, "{at}: {answer:?}");
    assert_eq!(world.state().await, state, "{at}");
    let added = world.added(&trail).await;
    if status == 403 && row.method != "get" {
        let bare = path.split('?').next().unwrap();
        let subject = format!("{} {bare}", row.method.to_uppercase());
        assert_eq!(added.len(), 1, "{at}: {added:?}");
        assert_eq!((added[0].action.as_str(), added[0].subject.as_str()), ("access.denied", subject.as_str()), "{at}");
        assert_eq!(added[0].actor, format!("token:{caller}"), "{at}");
    } else {
        assert_eq!(added, [], "{at}");
    }
    let code = if status == 403 { "forbidden" } else { "not_found" };
    assert_eq!(answer.problem(), (status, code.to_owned()), "{at}");
    assert!(!answer.body.contains(SECRET), "{at}: {answer:?}");
    let (absent, names) = nobodys(row, whose);
    // Of what is everybody's nobody can doubt that it is there.
    if whose == Whose::Other && absent != path {
        let nobodys = world.ask(caller, row, whose, &absent).await;
        assert_eq!((answer.status, said(&answer, &[])), (nobodys.status, said(&nobodys, &names)), "{at}");
    }
}

/// A look: it succeeds, changes nothing, leaves nothing in the trail, and shows values of settings to whom they belong.
async fn looked(world: &World, row: &Row, whose: Whose, caller: &str, status: u16) {
    let (path, at) = (path(row, whose), format!("{} {} {whose:?} by {caller}", row.method, row.path));
    let (state, trail) = (world.state().await, world.trail().await);
    let answer = world.ask(caller, row, whose, &path).await;
    assert_eq!(answer.status, status, "{at}: {answer:?}");
    assert_eq!((world.state().await, world.added(&trail).await), (state, Vec::new()), "{at}");
    let may_know = caller == "admin" || (caller == "acme" && whose == Whose::Own);
    if row.path.contains("/policy") {
        assert!(may_know || !answer.body.contains(SECRET), "{at}: {answer:?}");
    }
    if caller == "acme" {
        assert!(!answer.body.contains("rival"), "{at}: {answer:?}");
    }
}

/// An order: it succeeds, something is changed by it, and it stands in the trail once, by its caller.
async fn ordered(row: &Row, whose: Whose, caller: &str, status: u16) {
    let (path, at) = (path(row, whose), format!("{} {} {whose:?} by {caller}", row.method, row.path));
    let world = World::new().await;
    world.given(row, whose).await;
    let (state, trail) = (world.state().await, world.trail().await);
    let answer = world.ask(caller, row, whose, &path).await;
    assert_eq!(answer.status, status, "{at}: {answer:?}");
    let added = world.added(&trail).await;
    let deeds: Vec<_> = added.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(deeds, row.deeds(), "{at}: {added:?}");
    assert!(added.iter().all(|event| event.actor == format!("token:{caller}")), "{at}: {added:?}");
    assert!(world.state().await != state || world.trail().await.len() <= trail.len(), "{at}: nothing was done");
    assert_eq!(world.site.trail.verify(None).await.unwrap().broken, None, "{at}");
}

#[tokio::test]
async fn every_role_is_answered_about_everybodys_things_as_the_table_says_and_a_refusal_tells_nothing() {
    let world = World::new().await;
    for row in rows() {
        for (whose, statuses) in row.answers.variants() {
            for (caller, status) in CALLERS.into_iter().zip(statuses) {
                match row.deed {
                    _ if !is_permitted(status) => refused(&world, &row, whose, caller, status).await,
                    None => looked(&world, &row, whose, caller, status).await,
                    // In worlds of their own.
                    Some(_) => {}
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_that_is_permitted_is_done_and_is_in_the_trail_once() {
    for row in rows().iter().filter(|row| row.deed.is_some()) {
        for (whose, statuses) in row.answers.variants() {
            for (caller, status) in CALLERS.into_iter().zip(statuses).filter(|(_, status)| is_permitted(*status)) {
                ordered(row, whose, caller, status).await;
            }
        }
    }
}

/// A log that takes nothing once it is full.
struct Full {
    log: Arc<dyn AuditLog>,
    is_full: Arc<AtomicBool>,
}

#[async_trait]
impl AuditLog for Full {
    async fn append(&self, event: &AuditEvent) -> Result<AuditEntry, StoreError> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("the disk is full".into())),
            false => self.log.append(event).await,
        }
    }

    async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.log.read(from, limit).await
    }

    async fn last(&self) -> Result<Option<AuditEntry>, StoreError> {
        self.log.last().await
    }

    async fn remove_through(&self, sequence: u64) -> Result<u64, StoreError> {
        self.log.remove_through(sequence).await
    }
}

#[tokio::test]
async fn no_order_is_done_that_cannot_be_recorded() {
    for row in rows().iter().filter(|row| row.deed.is_some()) {
        let is_full = Arc::new(AtomicBool::new(false));
        let full = is_full.clone();
        let world = World::audited_by(|log| Arc::new(Full { log, is_full: full })).await;
        world.given(row, Whose::Own).await;
        is_full.store(true, Ordering::SeqCst);
        let (state, trail) = (world.state().await, world.trail().await);
        let answer = world.ask("admin", row, Whose::Own, &path(row, Whose::Own)).await;
        let at = format!("{} {}", row.method, row.path);
        assert_eq!(answer.problem(), (503, "service_unavailable".to_owned()), "{at}");
        assert!(answer.body.contains("the audit trail cannot be written"), "{at}: {answer:?}");
        assert_eq!((world.state().await, world.trail().await), (state, trail), "{at}");
    }
}

#[tokio::test]
async fn an_order_that_fails_is_in_the_trail_twice_or_was_refused_before_it_was_tried() {
    let world = World::new().await;
    let mut twice = BTreeSet::new();
    // But for what makes a game of that name.
    let fails = |row: &&Row| row.deed.is_some_and(|deed| deed != "runtime.register");
    for row in rows().iter().filter(fails) {
        let (path, _) = nobodys(row, Whose::Own);
        let trail = world.trail().await;
        let answer = world.ask("admin", row, Whose::Own, &path).await;
        let added = world.added(&trail).await;
        let at = format!("{} {}: {answer:?}: {added:?}", row.method, row.path);
        match (is_permitted(answer.status), added.as_slice()) {
            (true, added) => {
                assert_eq!(added.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(), row.deeds(), "{at}");
            }
            (false, []) => {}
            (false, [asked, failed]) => {
                assert_eq!((&asked.action, &asked.subject), (&failed.action, &failed.subject), "{at}");
                let detail: Value = serde_json::from_str(&failed.detail).unwrap();
                assert_eq!(detail["outcome"], "failed", "{at}");
                twice.insert(asked.action.clone());
            }
            _ => panic!("{at}"),
        }
    }
    for action in ["runtime.hold", "runtime.unhold", "runtime.unpark", "runtime.cleanup", "policy.promote"] {
        assert!(twice.contains(action), "{action}: {twice:?}");
    }
}

fn described(body: &Value) -> BTreeSet<(String, String)> {
    let paths = body["paths"].as_object().unwrap().iter();
    let methods = |(path, methods): (&String, &Value)| -> Vec<(String, String)> {
        methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())).collect()
    };
    paths.flat_map(methods).collect()
}

/// Who may of any tenants, as the description says it.
fn roles(row: &Row) -> &'static str {
    match row.answers {
        Answers::Same([200, 403, 403, 403]) => "admin",
        Answers::Same([200, 200, 403, 403]) => "admin or operator",
        Answers::Same([200, 200, 200, 403]) => "admin, operator or viewer",
        Answers::By([[200, 200, 403, 403], ..]) => "admin or operator",
        Answers::By([[200, 403, 403, 403], ..]) if !row.path.contains("{digest}") => "admin",
        Answers::By([[200, 403, 403, _], ..]) if row.path.contains("/tenants/") => "admin or tenant ID",
        Answers::By([[_, 403, 403, _], ..]) => "admin or tenant",
        Answers::By(_) if row.path.contains("/tenants/") => "admin, operator, viewer or tenant ID",
        Answers::Same(_) | Answers::By(_) => "admin, operator, viewer or tenant",
    }
}

#[tokio::test]
async fn every_route_is_described_with_its_roles_and_refusals_and_has_its_row() {
    let world = World::new().await;
    let body = world.call("viewer", "get", "/api/v1/openapi.json", None).await.json();
    let rows = rows();
    let table: BTreeSet<_> = rows.iter().map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
    assert_eq!(described(&body), table);
    assert_eq!(rows.len(), table.len(), "a route has two rows");
    let text = body.to_string();
    for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(body["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    for row in rows {
        let operation = &body["paths"][row.path][row.method];
        let (at, said) = (format!("{} {}", row.method, row.path), operation["description"].as_str().unwrap());
        assert!(said.ends_with(&format!("Needs the role {}.", roles(&row))), "{at}: {said}");
        for status in ["401", "403", "429"] {
            let schema = &operation["responses"][status]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{at} {status}");
        }
    }
}

#[tokio::test]
async fn nobody_reaches_any_route_without_a_token_that_is_valid() {
    let world = World::new().await;
    let revoked = world.site.bearer("ci", rtmanager::model::Role::Admin).await;
    let call = async |bearer: &str, method: &str, path: &str| {
        world.site.client.send(&method.to_uppercase(), path, &[("Authorization", bearer)], None).await
    };
    assert_eq!(call(&revoked, "get", "/api/v1/tokens").await.status, 200);
    assert_eq!(world.call("admin", "delete", "/api/v1/tokens/ci", None).await.status, 200);
    let unknown = format!("Bearer {}", "A".repeat(43));
    let (state, trail) = (world.state().await, world.trail().await);
    for row in rows() {
        for bearer in [&revoked, &unknown, ""] {
            let answer = call(bearer, row.method, &path(&row, Whose::Own)).await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{} {} {bearer}", row.method, row.path);
        }
    }
    assert_eq!((world.state().await, world.trail().await), (state, trail));
}

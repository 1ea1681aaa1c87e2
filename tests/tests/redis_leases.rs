//! Leases in Redis: what happens when servers, connections and answers fail.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::redis::{ConnectError, RedisEndpoint, RedisLeases, RedisOptions};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::ports::{LeaseStore as _, StoreError};
use rtmanager_tests::contracts::fixture::{game, token};
use rtmanager_tests::fault_proxy::{Behind, FaultProxy};
use rtmanager_tests::redis::{RedisServer, Tls, endpoint, leases, leases_with, options};

#[path = "redis_leases/sites.rs"]
mod sites;
#[path = "redis_leases/urls.rs"]
mod urls;

const TTL: Duration = Duration::from_secs(60);
/// The key of the lease on game `g`.
const KEY: &str = "rtmanager:lease:{g}";

async fn acquire(leases: &RedisLeases, number: u8) -> Result<bool, StoreError> {
    leases.try_acquire(&game("g"), &token(number), TTL).await
}

async fn renew(leases: &RedisLeases, number: u8) -> Result<bool, StoreError> {
    leases.renew(&game("g"), &token(number), TTL).await
}

async fn release(leases: &RedisLeases, number: u8) -> Result<(), StoreError> {
    leases.release(&game("g"), &token(number)).await
}

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
}

fn assert_unknown<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
}

fn assert_corrupt<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
}

#[tokio::test]
async fn a_lease_is_a_key_that_expires_with_the_token_for_a_value() {
    let server = RedisServer::start(&[]);
    assert!(acquire(&server.leases(), 1).await.unwrap());
    assert_eq!(server.ask(&["KEYS", "*"]), KEY);
    assert_eq!(server.ask(&["GET", KEY]), token(1).expose());
    let left: u128 = server.ask(&["PTTL", KEY]).parse().unwrap();
    assert!((1..=TTL.as_millis()).contains(&left), "{left} ms");
}

#[tokio::test]
async fn platforms_with_their_own_prefixes_or_databases_share_a_server() {
    let server = RedisServer::start(&[]);
    let other = RedisOptions { prefix: "other:".to_owned(), ..options() };
    let database = endpoint(&format!("redis+unix://{}?db=1", server.socket().display()));
    for leases in [server.leases(), leases_with(&server.endpoint(), &other), leases(&database)] {
        assert!(acquire(&leases, 1).await.unwrap());
        assert!(!acquire(&leases, 2).await.unwrap());
    }
}

#[tokio::test]
async fn a_restart_costs_the_leases_but_no_call() {
    let mut server = RedisServer::start(&[]);
    let leases = server.leases();
    assert!(acquire(&leases, 1).await.unwrap());
    server.kill();
    server.start_again();
    assert!(!renew(&leases, 1).await.unwrap(), "the server kept nothing");
    server.kill();
    server.start_again();
    assert!(acquire(&leases, 2).await.unwrap());
}

#[tokio::test]
async fn a_dead_server_is_unavailable_until_it_is_back() {
    let mut server = RedisServer::start(&[]);
    let (before, after) = (server.leases(), server.leases());
    before.ping().await.unwrap();
    server.kill();
    assert_unknown(acquire(&before, 1).await);
    for leases in [&before, &after] {
        assert_unavailable(acquire(leases, 1).await);
        assert_unavailable(leases.held_until(&game("g")).await);
        assert_unavailable(leases.ping().await);
    }
    server.start_again();
    assert!(acquire(&before, 1).await.unwrap());
    assert!(!acquire(&after, 2).await.unwrap());
}

#[tokio::test]
async fn a_flush_loses_the_leases() {
    let server = RedisServer::start(&[]);
    let leases = server.leases();
    assert!(acquire(&leases, 1).await.unwrap());
    server.ask(&["FLUSHALL"]);
    assert!(!renew(&leases, 1).await.unwrap());
    assert!(acquire(&leases, 2).await.unwrap());
    release(&leases, 1).await.unwrap();
    assert!(renew(&leases, 2).await.unwrap());
}

#[tokio::test]
async fn a_frozen_server_is_given_up_within_the_time_outs() {
    let server = RedisServer::start(&[]);
    let (connect_timeout, response_timeout) = (Duration::from_millis(300), Duration::from_millis(300));
    let leases = leases_with(&server.endpoint(), &RedisOptions { connect_timeout, response_timeout, ..options() });
    leases.ping().await.unwrap();
    server.freeze();
    let leases = Arc::new(leases);
    let calls = |number: u8| {
        let leases = leases.clone();
        tokio::spawn(async move { acquire(&leases, number).await })
    };
    let started = tokio::time::Instant::now();
    assert_unknown(calls(1).await.unwrap());
    // Those that come now need a new connection, all the same one.
    let waiting: Vec<_> = (2..50).map(calls).collect();
    for answer in waiting {
        assert_unavailable(answer.await.unwrap());
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.thaw();
    server.wait_until(&["PING"], "PONG");
    assert!(acquire(&server.leases(), 51).await.is_ok());
    assert!(leases.ping().await.is_ok());
}

#[tokio::test]
async fn what_a_thawed_server_still_carries_out_is_ended_by_its_token() {
    let server = RedisServer::start(&[]);
    let leases =
        leases_with(&server.endpoint(), &RedisOptions { response_timeout: Duration::from_millis(100), ..options() });
    leases.ping().await.unwrap();
    server.freeze();
    assert_unknown(acquire(&leases, 1).await);
    server.thaw();
    server.wait_until(&["GET", KEY], token(1).expose());
    let patient = server.leases();
    release(&patient, 1).await.unwrap();
    assert!(acquire(&patient, 2).await.unwrap());
}

fn by_way_of(proxy: &FaultProxy) -> RedisEndpoint {
    endpoint(&format!("redis://{}", proxy.address()))
}

#[tokio::test]
async fn a_connection_cut_before_the_server_saw_the_request_costs_no_call() {
    let server = RedisServer::start(&[]);
    let proxy = FaultProxy::before(Behind::Unix(server.socket())).await;
    let leases = leases(&by_way_of(&proxy));
    leases.ping().await.unwrap();
    proxy.cut_requests(1);
    assert!(acquire(&leases, 1).await.unwrap());
    assert!(proxy.has_cut());
    assert_eq!(server.ask(&["GET", KEY]), token(1).expose());
}

#[tokio::test]
async fn a_lease_whose_grant_was_lost_is_known_by_its_token() {
    let server = RedisServer::start(&[]);
    let proxy = FaultProxy::before(Behind::Unix(server.socket())).await;
    let leases = leases(&by_way_of(&proxy));
    leases.ping().await.unwrap();
    proxy.cut_answers(1);
    assert!(acquire(&leases, 1).await.unwrap());
    assert!(proxy.has_cut());
    proxy.cut_answers(1);
    assert!(!acquire(&leases, 2).await.unwrap(), "it is the first one's");
    assert!(proxy.has_cut());
}

#[tokio::test]
async fn a_lease_whose_grant_was_lost_for_good_is_ended_by_its_token() {
    let server = RedisServer::start(&[]);
    let proxy = FaultProxy::before(Behind::Unix(server.socket())).await;
    let leases = leases(&by_way_of(&proxy));
    leases.ping().await.unwrap();
    proxy.cut_answers(2);
    assert_unknown(acquire(&leases, 1).await);
    assert_eq!(server.ask(&["GET", KEY]), token(1).expose(), "it had its effect");
    release(&leases, 1).await.unwrap();
    assert!(acquire(&leases, 2).await.unwrap());
}

#[tokio::test]
async fn renewing_releasing_and_looking_are_done_again_when_their_answer_was_lost() {
    let server = RedisServer::start(&[]);
    let proxy = FaultProxy::before(Behind::Unix(server.socket())).await;
    let leases = leases(&by_way_of(&proxy));
    assert!(acquire(&leases, 1).await.unwrap());
    proxy.cut_answers(1);
    assert!(renew(&leases, 1).await.unwrap());
    proxy.cut_answers(1);
    assert!(leases.held_until(&game("g")).await.unwrap().is_some());
    proxy.cut_answers(1);
    release(&leases, 1).await.unwrap();
    assert!(proxy.has_cut());
    assert_eq!(server.ask(&["EXISTS", KEY]), "0");
}

#[tokio::test]
async fn a_lost_answer_is_unknown_for_what_writes_and_unavailable_for_what_reads() {
    let server = RedisServer::start(&[]);
    let proxy = FaultProxy::before(Behind::Unix(server.socket())).await;
    let leases = leases(&by_way_of(&proxy));
    assert!(acquire(&leases, 1).await.unwrap());
    proxy.cut_answers(2);
    assert_unknown(renew(&leases, 1).await);
    proxy.cut_answers(2);
    assert_unavailable(leases.held_until(&game("g")).await);
    proxy.cut_answers(2);
    assert_unavailable(leases.ping().await);
    proxy.cut_answers(2);
    assert_unknown(release(&leases, 1).await);
}

#[tokio::test]
async fn a_server_that_refuses_is_unavailable() {
    let server = RedisServer::start(&[]);
    let leases = server.leases();
    let refusals = [
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
        (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]),
        (["ACL", "SETUSER", "default", "-set"], ["ACL", "SETUSER", "default", "+set"]),
    ];
    for (refuse, serve) in refusals {
        server.wait_until(&refuse, "OK");
        assert_unavailable(acquire(&leases, 1).await);
        server.wait_until(&serve, "OK");
    }
    server.wait_until(&["REPLICAOF", "127.0.0.1", "1"], "OK");
    assert_unavailable(acquire(&leases, 1).await);
    server.wait_until(&["REPLICAOF", "NO", "ONE"], "OK");
    assert!(acquire(&leases, 1).await.unwrap(), "none of them had an effect");
}

#[tokio::test]
async fn a_server_that_still_loads_is_unavailable() {
    let mut server = RedisServer::start(&["--enable-debug-command", "yes"]);
    let leases = server.leases();
    server.ask(&["DEBUG", "POPULATE", "20000"]);
    server.wait_until(&["SAVE"], "OK");
    server.kill();
    server.start_again_with(&["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"]);
    server.wait_until(&["PING"], "LOADING");
    assert_unavailable(acquire(&leases, 1).await);
    assert_unavailable(leases.ping().await);
    server.wait_until(&["CONFIG", "SET", "key-load-delay", "0"], "OK");
    server.wait_until(&["PING"], "PONG");
    assert!(acquire(&leases, 1).await.unwrap());
}

#[tokio::test]
async fn a_password_is_needed_and_never_shown() {
    let server = RedisServer::start(&["--requirepass", "pässwörd"]);
    let socket = server.socket().display().to_string();
    assert_unavailable(acquire(&server.leases(), 1).await);
    let wrong = leases(&endpoint(&format!("redis+unix://{socket}?pass=guess-42")));
    let error = wrong.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)));
    let shown = format!("{error} {error:?} {wrong:?}");
    assert!(!shown.contains("guess-42"), "{shown}");
    let right = leases(&endpoint(&format!("redis+unix://{socket}?pass=p%C3%A4ssw%C3%B6rd")));
    assert!(acquire(&right, 1).await.unwrap());
    let login = ["-a", "pässwörd"];
    server.ask(&[&login[..], &["ACL", "SETUSER", "ada", "on", ">secret", "~rtmanager:*"]].concat());
    // What the README says that a user needs, and no more.
    for command in ["set", "get", "del", "pexpire", "pttl", "eval", "ping", "select"] {
        server.ask(&[&login[..], &["ACL", "SETUSER", "ada", &format!("+{command}")]].concat());
    }
    let user = leases(&endpoint(&format!("redis+unix://{socket}?user=ada&pass=secret")));
    assert!(!acquire(&user, 2).await.unwrap());
    let user = leases(&endpoint(&format!("redis+unix://{socket}?user=ada&pass=secret&db=1")));
    assert!(acquire(&user, 3).await.unwrap());
    assert!(user.renew(&game("g"), &token(3), TTL).await.unwrap());
    assert!(user.held_until(&game("g")).await.unwrap().is_some());
    user.release(&game("g"), &token(3)).await.unwrap();
    user.ping().await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_no_lease_is_corrupt_and_keeps_its_game_from_being_leased() {
    let server = RedisServer::start(&[]);
    let leases = server.leases();
    server.ask(&["SET", KEY, "for ever"]);
    assert_corrupt(leases.held_until(&game("g")).await);
    assert!(!acquire(&leases, 1).await.unwrap());
    assert!(!renew(&leases, 1).await.unwrap());
    server.ask(&["DEL", KEY]);
    server.ask(&["LPUSH", KEY, "a list"]);
    assert!(!acquire(&leases, 1).await.unwrap());
    assert_corrupt(renew(&leases, 1).await);
    assert_corrupt(release(&leases, 1).await);
    assert_eq!(server.ask(&["TYPE", KEY]), "list");
}

#[tokio::test]
async fn tls_is_verified_by_the_authorities_that_are_named() {
    let site = Tls::start();
    let right = leases_with(&site.endpoint(), &site.trusting("ca.pem"));
    assert!(acquire(&right, 1).await.unwrap());
    assert_unavailable(leases_with(&site.endpoint(), &site.trusting("other-ca.pem")).ping().await);
    assert_unavailable(leases(&site.endpoint()).ping().await);
}

#[tokio::test]
async fn settings_that_do_not_fit_are_refused_before_anything_is_opened() {
    let connect = |url: &str, options: &RedisOptions| {
        RedisLeases::connect(&endpoint(url), options, Arc::new(SystemClock)).map(|_| ()).unwrap_err()
    };
    let authorities = RedisOptions { ca_certificate: Some("/nowhere/ca.pem".into()), ..options() };
    assert!(matches!(connect("redis://host", &authorities), ConnectError::NoTls));
    assert!(matches!(connect("rediss://host", &authorities), ConnectError::Certificate { .. }));
    let braces = RedisOptions { prefix: "{a}".to_owned(), ..options() };
    assert!(matches!(connect("redis://host", &braces), ConnectError::Prefix(_)));
}

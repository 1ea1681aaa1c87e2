//! While a swap waits until every living host has loaded the new generation, whoever swaps and whoever is waited for is
//! killed, or stopped, at each step. What serves is the old generation or the new one; the dead are not waited for longer
//! than their last word holds; what was staged and left is in nobody's way; and the trail says what happened.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rtmanager::app::App;
use rtmanager_tests::place::Place;
use rtmanager_tests::postgres::Postgres;
use rtmanager_tests::steps::ALIVE;
use rustix::process::Signal;
use tokio::time::Instant;

#[path = "swap_waits/site.rs"]
mod site;

use site::{PATIENCE_MS, Process, Site};

const SIGKILL: i32 = 9;
/// A swap that has nobody to wait for, on a machine that is busy.
const SOON: Duration = Duration::from_secs(12);
/// The last word of a host holds for ten seconds.
const LAST_WORD: Duration = Duration::from_secs(10);
/// Calls of a host: from the last one before it is known to live, to the last one of all.
const HOSTS_CALLS: std::ops::RangeInclusive<u64> = 4..=17;

/// Hosts that each come to their end, or to a stop, at another call, all waited for by one swap.
async fn hosts_that_falter(site: &Site, how: &str) -> Vec<(Process, String)> {
    let number = (site.newest().await + 1).to_string();
    let before = HOSTS_CALLS.map(|call| format!("before:{call}"));
    let moments: Vec<_> =
        before.chain(HOSTS_CALLS.map(|call| format!("after:{call}")).filter(|_| how == "--dies")).collect();
    let spawned: Vec<_> = moments.iter().map(|moment| site.spawn(&[how, moment, "follow", &number])).collect();
    let mut hosts = Vec::new();
    for (mut host, moment) in spawned.into_iter().zip(moments) {
        // It is known to live; or it falters before.
        let said = host.says().unwrap_or_default();
        hosts.push((host, if said == ALIVE { moment } else { said }));
    }
    hosts
}

async fn swap_past_hosts_that_falter(site: &Site, how: &str) -> (Vec<(Process, String)>, u64) {
    let (hosts, links) = (hosts_that_falter(site, how).await, site.links().await);
    let (before, number, began) = (site.current().await, site.newest().await + 1, Instant::now());
    let ended = site.bind("other@1.0.0").ends().await;
    assert!(ended.is_well, "{ended:?}");
    assert!(began.elapsed() < LAST_WORD + SOON, "the dead were waited for during {:?}", began.elapsed());
    assert_ne!(before, number);
    assert_eq!(site.current().await, number);
    site.is_whole(how).await;
    let trail = site.trail_after(links).await;
    let acts: Vec<_> = trail.iter().map(|(action, subject)| (action.as_str(), subject.as_str())).collect();
    let of = format!("tenant-a/{number}");
    assert_eq!(acts, [("policy.bind", "tenant-a"), ("policy.swap", &*of)]);
    (hosts, number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_die_at_any_call_are_waited_for_no_longer_than_their_last_word_holds() {
    let site = Site::new(Place::new(None)).await;
    let (hosts, _) = swap_past_hosts_that_falter(&site, "--dies").await;
    let mut calls = BTreeSet::new();
    for (mut host, _) in hosts {
        let last = host.says();
        let ended = host.ends().await;
        assert!(ended.is_well || ended.signal == Some(SIGKILL), "{ended:?}");
        calls.extend(last);
    }
    println!("hosts died at {calls:?}");
    for call in ["epoch", "changed_since", "ceilings_since", "revoked_since", "report"] {
        assert!(calls.contains(call), "no host died at {call}: {calls:?}");
    }
    // Nor does what they said before keep the next one for longer.
    let (began, ended) = (Instant::now(), site.bind("one@1.0.0").ends().await);
    assert!(ended.is_well && began.elapsed() < LAST_WORD + SOON, "{ended:?}");
    site.is_whole("after the dead").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_stop_at_any_call_are_left_behind_and_follow_when_they_go_on() {
    let database = Postgres::shared().database().await;
    let site = Site::new(Place::new(Some(database.url()))).await;
    let (hosts, number) = swap_past_hosts_that_falter(&site, "--stops").await;
    for (mut host, moment) in hosts {
        if !host.has_ended() {
            host.signal(Signal::CONT);
        }
        let ended = host.ends().await;
        assert!(ended.is_well, "{moment}: {ended:?}");
    }
    assert_eq!(site.current().await, number, "whoever goes on changes nothing");
    site.is_whole("after they went on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_of_its_wait_a_swap_is_not_made_and_what_it_staged_is_in_nobodys_way() {
    let site = Site::new(Place::new(None)).await;
    let host = site.host("lagging");
    let (before, mut calls, mut waits) = (site.current().await, Vec::new(), 0);
    for call in 1..60 {
        let (links, moment) = (site.links().await, format!("before:{call}"));
        let mut swap = site.spawn(&["--dies", &moment, "--patience-ms", PATIENCE_MS, "bind", "other@1.0.0"]);
        let at = swap.says().unwrap();
        assert_eq!(swap.ends().await.signal, Some(SIGKILL), "{moment}");
        assert_eq!(site.current().await, before, "killed before {at}");
        site.is_whole(&at).await;
        let trail = site.trail_after(links).await;
        let order = ("policy.bind".to_owned(), "tenant-a".to_owned());
        assert_eq!(trail, if calls.is_empty() { vec![] } else { vec![order] }, "killed before {at}");
        waits += u32::from(at == "reports");
        calls.push(at);
        // Each look asks twice for reports; the third look is as the second.
        if waits == 5 {
            break;
        }
    }
    println!("swaps died before {}", calls.join(" "));
    assert_eq!(waits, 5, "{calls:?}");
    host.is_ready(true);
    let (began, ended) = (Instant::now(), site.bind("other@1.0.0").ends().await);
    assert!(ended.is_well && began.elapsed() < SOON, "{:?}: {ended:?}", began.elapsed());
    assert_eq!(site.current().await, site.newest().await);
    site.is_whole("after the dead").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_swaps_that_wait_at_once_the_later_one_is_made_and_the_other_one_is_told_at_once() {
    let site = Site::new(Place::new(None)).await;
    let host = site.host("lagging");
    let number = site.newest().await;

    let mut first = site.bind("other@1.0.0");
    site.until_staged(number + 1).await;
    let mut second = site.bind("one@1.0.0");
    site.until_staged(number + 2).await;
    let (began, ended) = (Instant::now(), first.ends().await);
    assert!(ended.last_words.contains("which was staged after it"), "{ended:?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    host.is_ready(true);
    let ended = second.ends().await;
    assert!(ended.is_well, "{ended:?}");
    assert_eq!(site.current().await, number + 2);

    // The later one dies, and the earlier one's order works when it is given again.
    host.is_ready(false);
    let mut third = site.bind("other@1.0.0");
    site.until_staged(number + 3).await;
    let mut fourth = site.bind("other@1.0.0");
    site.until_staged(number + 4).await;
    fourth.signal(Signal::KILL);
    assert_eq!(fourth.ends().await.signal, Some(SIGKILL));
    assert!(!third.ends().await.is_well, "no host loads what it staged");
    host.is_ready(true);
    let ended = site.bind("other@1.0.0").ends().await;
    assert!(ended.is_well, "{ended:?}");
    assert_eq!(site.current().await, number + 5);

    // What is current changes while one waits.
    host.is_ready(false);
    let mut waiting = site.bind("one@1.0.0");
    site.until_staged(number + 6).await;
    let ended = site.spawn(&["roll-back"]).ends().await;
    assert!(ended.is_well, "{ended:?}");
    let ended = waiting.ends().await;
    assert!(ended.last_words.contains("not the expected one"), "{ended:?}");
    assert_eq!(site.current().await, number + 2);
    site.is_whole("after all").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_that_is_stopped_while_it_waits_and_goes_on_too_late_changes_nothing() {
    let site = Site::new(Place::new(None)).await;
    let (host, number) = (site.host("lagging"), site.newest().await);
    let mut late = site.bind("other@1.0.0");
    site.until_staged(number + 1).await;
    late.signal(Signal::STOP);
    late.is_stopped();
    host.is_ready(true);
    let ended = site.bind("one@1.0.0").ends().await;
    assert!(ended.is_well, "{ended:?}");
    late.signal(Signal::CONT);
    let ended = late.ends().await;
    assert!(ended.last_words.contains("not the expected one"), "{ended:?}");
    assert_eq!(site.current().await, number + 2);
    site.is_whole("after both").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_joins_while_a_swap_waits_is_waited_for() {
    let site = Site::new(Place::new(None)).await;
    let (host, number) = (site.host("first"), site.newest().await);
    let mut swap = site.bind("other@1.0.0");
    site.until_staged(number + 1).await;
    let joined = site.host("second");
    // Once it has been heard, the first one's word is not enough.
    for _ in 0..500 {
        let since = site.stores.clock.now().saturating_sub(LAST_WORD);
        let scope = rtmanager::model::PolicyScope::Default;
        if site.stores.generations.reports(&scope, since).await.unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    host.is_ready(true);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!swap.has_ended());
    assert_eq!(site.current().await, number);
    joined.is_ready(true);
    let ended = swap.ends().await;
    assert!(ended.is_well, "{ended:?}");
    assert_eq!(site.current().await, number + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_beside_a_rollout_is_loaded_by_the_hosts_as_well_and_ends_it() {
    let place = Place::new(None);
    let mut config = place.config();
    config.admission.compiler.program = env!("CARGO_BIN_EXE_rtmanager-cli").into();
    let site = Site::new(place).await;
    let app = App::open_with(config, BTreeMap::new()).await.unwrap();
    let following = tokio::spawn(app.watcher.clone().run_for_ever());
    for order in [
        &["--patience-ms", PATIENCE_MS, "roll-out", "other@1.0.0"][..],
        &["--patience-ms", PATIENCE_MS, "bind", "one@1.0.0"],
    ] {
        let ended = site.spawn(order).ends().await;
        assert!(ended.is_well, "{order:?}: {ended:?}");
    }
    following.abort();
    assert_eq!((site.current().await, site.state().await.rollout), (3, None));
    site.is_whole("after the rollout").await;
}

//! Leases where a server's death is survived: Sentinel and Cluster.

use std::time::Duration;

use rtmanager::model::GameId;
use rtmanager::ports::{LeaseStore as _, StoreError};
use rtmanager_tests::contracts::fixture::{game, token};
use rtmanager_tests::redis::{Cluster, RedisServer, Sentinels, leases};

use super::{KEY, TTL, acquire, assert_unavailable, release, renew};

#[tokio::test]
async fn leases_are_taken_again_when_sentinels_have_made_another_master() {
    let mut site = Sentinels::start();
    let leases = leases(&site.endpoint());
    assert!(acquire(&leases, 1).await.unwrap());
    site.replica.wait_until(&["EXISTS", KEY], "1");
    site.master.kill();
    let meanwhile = acquire(&leases, 2).await;
    assert!(!matches!(meanwhile, Ok(true) | Err(StoreError::Corrupt(_))), "{meanwhile:?}");
    site.wait_for_failover();
    assert!(renew(&leases, 1).await.unwrap(), "the replica had the lease");
    assert!(!acquire(&leases, 2).await.unwrap());
    release(&leases, 1).await.unwrap();
    assert!(acquire(&leases, 2).await.unwrap());
}

#[tokio::test]
async fn a_master_that_has_become_a_replica_costs_no_call() {
    let site = Sentinels::start();
    let leases = leases(&site.endpoint());
    assert!(acquire(&leases, 1).await.unwrap());
    site.replica.wait_until(&["EXISTS", KEY], "1");
    site.fail_over();
    assert!(renew(&leases, 1).await.unwrap());
    assert!(!acquire(&leases, 2).await.unwrap());
}

#[tokio::test]
async fn leases_spread_over_a_cluster_by_game() {
    let cluster = Cluster::start();
    let leases = leases(&cluster.endpoint());
    for number in 0..60 {
        assert!(leases.try_acquire(&game(&format!("g{number}")), &token(1), TTL).await.unwrap());
    }
    for node in &cluster.nodes {
        let keys: u32 = node.ask(&["DBSIZE"]).parse().unwrap();
        assert!(keys >= 5, "a node has only {keys} of 60 leases");
    }
}

#[tokio::test]
async fn leases_are_found_where_a_cluster_has_moved_them() {
    let cluster = Cluster::start();
    let leases = leases(&cluster.endpoint());
    let games: Vec<_> = (0..30).map(|number| game(&format!("g{number}"))).collect();
    for game in &games {
        assert!(leases.try_acquire(game, &token(1), TTL).await.unwrap());
    }
    cluster.move_slots(0, 1, 5_000);
    for game in &games {
        assert!(leases.renew(game, &token(1), TTL).await.unwrap(), "{game} was not found");
        assert!(!leases.try_acquire(game, &token(2), TTL).await.unwrap());
    }
}

#[tokio::test]
async fn a_lease_that_a_cluster_is_about_to_move_is_unavailable_until_it_has() {
    let cluster = Cluster::start();
    let leases = leases(&cluster.endpoint());
    let slot = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", KEY]);
    let owner = cluster.nodes.iter().position(|node| !node.ask(&["EXISTS", KEY]).contains("MOVED")).unwrap();
    let (from, to) = (&cluster.nodes[owner], &cluster.nodes[(owner + 1) % 3]);
    let id = |node: &RedisServer| node.ask(&["CLUSTER", "MYID"]);
    to.wait_until(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)], "OK");
    from.wait_until(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)], "OK");
    assert_unavailable(acquire(&leases, 1).await);
    for node in [to, from] {
        node.wait_until(&["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)], "OK");
    }
    assert!(acquire(&leases, 1).await.unwrap());
    assert_eq!(to.ask(&["EXISTS", KEY]), "1");
}

#[tokio::test]
async fn a_cluster_that_lacks_a_node_is_unavailable_until_it_is_back() {
    let mut cluster = Cluster::start();
    let leases = leases(&cluster.endpoint());
    assert!(acquire(&leases, 1).await.unwrap());
    let owner = cluster.nodes.iter().position(|node| node.ask(&["DBSIZE"]) == "1").unwrap();
    cluster.nodes[owner].kill();
    cluster.nodes[(owner + 1) % 3].wait_until(&["CLUSTER", "INFO"], "cluster_state:fail");
    renew(&leases, 1).await.unwrap_err();
    assert_unavailable(acquire(&leases, 2).await);
    cluster.nodes[owner].start_again();
    cluster.wait_until_ok();
    assert!(acquire(&leases, 2).await.unwrap(), "the node has lost what it held");
}

#[tokio::test]
async fn a_frozen_node_takes_only_its_own_leases_along() {
    let cluster = Cluster::start_with(&["--cluster-require-full-coverage", "no"]);
    let leases = leases(&cluster.endpoint());
    let games: Vec<_> = (0..12).map(|number| game(&format!("g{number}"))).collect();
    for game in &games {
        assert!(leases.try_acquire(game, &token(1), TTL).await.unwrap());
    }
    let is_on_frozen = |game: &GameId| cluster.nodes[0].ask(&["EXISTS", &format!("rtmanager:lease:{{{game}}}")]) == "1";
    let (frozen, others): (Vec<_>, Vec<_>) = games.iter().partition(|game| is_on_frozen(game));
    assert!(!frozen.is_empty() && !others.is_empty());
    cluster.nodes[0].freeze();
    let started = tokio::time::Instant::now();
    let answer = leases.renew(frozen[0], &token(1), TTL).await;
    assert!(matches!(answer, Err(StoreError::Unknown(_) | StoreError::Unavailable(_))), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    for game in others {
        assert!(leases.renew(game, &token(1), TTL).await.unwrap(), "{game}");
    }
    cluster.nodes[0].thaw();
    cluster.wait_until_ok();
    assert!(leases.renew(frozen[0], &token(1), TTL).await.unwrap());
}

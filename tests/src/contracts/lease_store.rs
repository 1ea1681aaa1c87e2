//! The contract of `LeaseStore`, for every store: by whatever clock its leases end.
//!
//! Clauses that outlive a lease take it for [`Stores::short_ttl`]; those that need it held take it for [`LONG`], so
//! that they hold on a slow machine too.

use std::time::Duration;

use super::Stores;
use super::fixture::{game, token};

super::clauses! { $ lease_store, lease_store_contract:
    a_free_lease_is_granted,
    a_held_lease_is_not_granted_to_anybody_not_even_its_holder,
    every_game_has_its_own_lease,
    a_lease_ends_by_its_time_to_live,
    a_released_lease_is_granted_anew,
    releasing_with_another_token_does_nothing,
    releasing_twice_does_nothing,
    releasing_late_does_not_end_the_next_holders_lease,
    renewing_lengthens_a_lease_from_now,
    renewing_shortens_a_lease_from_now,
    renewing_with_another_token_is_refused,
    renewing_after_the_end_is_refused,
    renewing_after_release_is_refused,
    held_until_tells_the_end_and_none_afterwards,
    one_of_many_at_once_is_granted,
    pruning_leaves_held_leases_alone,
    the_store_answers_a_ping,
}

const LONG: Duration = Duration::from_secs(60);

async fn acquire(stores: &Stores, name: &str, number: u8, ttl: Duration) -> bool {
    stores.leases.try_acquire(&game(name), &token(number), ttl).await.unwrap()
}

async fn renew(stores: &Stores, number: u8, ttl: Duration) -> bool {
    stores.leases.renew(&game("g"), &token(number), ttl).await.unwrap()
}

async fn release(stores: &Stores, number: u8) {
    stores.leases.release(&game("g"), &token(number)).await.unwrap();
}

/// Checks that the lease ends `ttl` from now, to the second; the call that set it has just been answered.
async fn assert_ends_in(stores: &Stores, ttl: Duration, before_the_call: rtmanager::model::Timestamp) {
    let second = Duration::from_secs(1);
    let end = stores.leases.held_until(&game("g")).await.unwrap().expect("a held lease");
    assert!(end >= before_the_call.saturating_add(ttl).saturating_sub(second), "{end} is too early");
    assert!(end <= stores.now().saturating_add(ttl + second), "{end} is too late");
}

async fn a_free_lease_is_granted(stores: &Stores) {
    assert!(acquire(stores, "g", 1, LONG).await);
}

async fn a_held_lease_is_not_granted_to_anybody_not_even_its_holder(stores: &Stores) {
    assert!(acquire(stores, "g", 1, LONG).await);
    assert!(!acquire(stores, "g", 2, LONG).await);
    assert!(!acquire(stores, "g", 1, LONG).await);
    assert!(renew(stores, 1, LONG).await, "being asked in vain took it from its holder");
}

async fn every_game_has_its_own_lease(stores: &Stores) {
    let longest = "x".repeat(256);
    let games = [
        "g",
        " g",
        "g ",
        "G",
        "{g}",
        "g}",
        "}g",
        "{}",
        "{}g",
        "g:1",
        "g*",
        "g%00",
        "ä",
        "a\u{308}",
        "日本",
        "'",
        "\"",
        "\\",
        &longest[1..],
        &longest,
    ];
    for name in games {
        assert!(acquire(stores, name, 1, LONG).await, "{name:?} was taken for another game");
    }
    for name in games {
        assert!(!acquire(stores, name, 2, LONG).await, "{name:?} was not found again");
    }
}

async fn a_lease_ends_by_its_time_to_live(stores: &Stores) {
    assert!(acquire(stores, "g", 1, stores.short_ttl()).await);
    stores.pass(stores.short_ttl()).await;
    assert!(acquire(stores, "g", 2, LONG).await);
}

async fn a_released_lease_is_granted_anew(stores: &Stores) {
    assert!(acquire(stores, "g", 1, LONG).await);
    release(stores, 1).await;
    assert!(acquire(stores, "g", 2, LONG).await);
}

async fn releasing_with_another_token_does_nothing(stores: &Stores) {
    release(stores, 2).await;
    assert!(acquire(stores, "g", 1, LONG).await);
    release(stores, 2).await;
    assert!(!acquire(stores, "g", 3, LONG).await);
}

async fn releasing_twice_does_nothing(stores: &Stores) {
    assert!(acquire(stores, "g", 1, LONG).await);
    release(stores, 1).await;
    release(stores, 1).await;
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), None);
}

async fn releasing_late_does_not_end_the_next_holders_lease(stores: &Stores) {
    assert!(acquire(stores, "g", 1, stores.short_ttl()).await);
    stores.pass(stores.short_ttl()).await;
    assert!(acquire(stores, "g", 2, LONG).await);
    release(stores, 1).await;
    assert!(renew(stores, 2, LONG).await);
}

async fn renewing_lengthens_a_lease_from_now(stores: &Stores) {
    assert!(acquire(stores, "g", 1, LONG).await);
    let before = stores.now();
    assert!(renew(stores, 1, LONG * 2).await);
    assert_ends_in(stores, LONG * 2, before).await;
    assert!(!acquire(stores, "g", 2, LONG).await);
}

async fn renewing_shortens_a_lease_from_now(stores: &Stores) {
    assert!(acquire(stores, "g", 1, LONG * 2).await);
    assert!(renew(stores, 1, stores.short_ttl()).await);
    stores.pass(stores.short_ttl()).await;
    assert!(acquire(stores, "g", 2, LONG).await);
}

async fn renewing_with_another_token_is_refused(stores: &Stores) {
    assert!(!renew(stores, 1, LONG).await);
    assert!(acquire(stores, "g", 1, LONG).await);
    assert!(!renew(stores, 2, LONG).await);
}

async fn renewing_after_the_end_is_refused(stores: &Stores) {
    assert!(acquire(stores, "g", 1, stores.short_ttl()).await);
    stores.pass(stores.short_ttl()).await;
    assert!(!renew(stores, 1, LONG).await, "nobody took it, but it has ended");
}

async fn renewing_after_release_is_refused(stores: &Stores) {
    assert!(acquire(stores, "g", 1, LONG).await);
    release(stores, 1).await;
    assert!(!renew(stores, 1, LONG).await);
}

async fn held_until_tells_the_end_and_none_afterwards(stores: &Stores) {
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), None);
    let before = stores.now();
    assert!(acquire(stores, "g", 1, LONG).await);
    assert_ends_in(stores, LONG, before).await;
    assert!(renew(stores, 1, stores.short_ttl()).await);
    stores.pass(stores.short_ttl()).await;
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), None);
}

async fn one_of_many_at_once_is_granted(stores: &Stores) {
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let leases = stores.leases.clone();
            tokio::spawn(async move { leases.try_acquire(&game("g"), &token(number), LONG).await.unwrap() })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(task.await.unwrap());
    }
    assert_eq!(granted, 1);
}

async fn pruning_leaves_held_leases_alone(stores: &Stores) {
    assert!(acquire(stores, "ended", 1, stores.short_ttl()).await);
    stores.pass(stores.short_ttl()).await;
    assert!(acquire(stores, "g", 1, LONG).await);
    stores.leases.prune(stores.now(), 100).await.unwrap();
    assert!(renew(stores, 1, LONG).await);
    assert!(acquire(stores, "ended", 2, LONG).await);
}

async fn the_store_answers_a_ping(stores: &Stores) {
    stores.leases.ping().await.unwrap();
}

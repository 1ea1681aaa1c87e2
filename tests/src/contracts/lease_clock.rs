//! The contract of `LeaseStore`, as far as it can be told only of a store whose leases end by a clock that can be set:
//! what happens when it is set, and the moment of the end, exactly.

use std::time::Duration;

use super::Stores;
use super::fixture::{game, token};

super::clauses! { $ lease_clock, lease_clock_contract:
    a_lease_is_held_to_the_last_moment,
    a_renewed_lease_is_held_to_the_last_moment,
    held_until_tells_the_very_end,
    a_lease_taken_while_the_clock_was_ahead_is_granted_anew,
}

const TTL: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_micros(1);

async fn acquire(stores: &Stores, number: u8) -> bool {
    stores.leases.try_acquire(&game("g"), &token(number), TTL).await.unwrap()
}

async fn a_lease_is_held_to_the_last_moment(stores: &Stores) {
    assert!(acquire(stores, 1).await);
    stores.settable_clock().advance(TTL - MOMENT);
    assert!(!acquire(stores, 2).await);
    stores.settable_clock().advance(MOMENT);
    assert!(acquire(stores, 2).await);
}

async fn a_renewed_lease_is_held_to_the_last_moment(stores: &Stores) {
    assert!(acquire(stores, 1).await);
    stores.settable_clock().advance(TTL / 2);
    assert!(stores.leases.renew(&game("g"), &token(1), TTL).await.unwrap());
    stores.settable_clock().advance(TTL - MOMENT);
    assert!(!acquire(stores, 2).await);
}

async fn held_until_tells_the_very_end(stores: &Stores) {
    assert!(acquire(stores, 1).await);
    let end = stores.now().saturating_add(TTL);
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), Some(end));
    stores.settable_clock().advance(TTL);
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), None);
}

async fn a_lease_taken_while_the_clock_was_ahead_is_granted_anew(stores: &Stores) {
    let (clock, right) = (stores.settable_clock(), stores.now());
    clock.jump_to(right.saturating_add(TTL));
    assert!(acquire(stores, 1).await);
    clock.jump_to(right);
    assert!(!acquire(stores, 2).await, "it ends within twice the time to live");
    clock.jump_to(right.saturating_sub(MOMENT));
    assert!(acquire(stores, 2).await);
    assert!(!stores.leases.renew(&game("g"), &token(1), TTL).await.unwrap());
}

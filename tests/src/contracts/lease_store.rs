//! The contract of `LeaseStore`.

use std::time::Duration;

use rtmanager::model::Fence;

use super::Stores;
use super::fixture::{entry, game, stopped, token};
use rtmanager::ports::Clock as _;

super::clauses! { $ lease_store, lease_store_contract:
    a_free_lease_is_granted,
    a_held_lease_is_not_granted_to_anybody_not_even_its_holder,
    another_game_has_its_own_lease,
    a_lease_ends_by_its_time_to_live,
    a_lease_taken_while_the_clock_was_ahead_is_granted_anew,
    a_released_lease_is_granted_anew,
    fences_grow_with_every_lease_of_a_game,
    releasing_with_another_token_does_nothing,
    releasing_twice_does_nothing,
    releasing_late_does_not_end_the_next_holders_lease,
    renewing_extends_from_now,
    renewing_with_another_token_is_refused,
    renewing_after_the_end_is_refused,
    renewing_after_release_is_refused,
    held_until_tells_the_end_and_none_afterwards,
    one_of_many_at_once_is_granted,
    fences_outlive_pruning_while_the_game_has_a_record,
}

const TTL: Duration = Duration::from_secs(60);

async fn a_free_lease_is_granted(stores: &Stores) {
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap(), Some(Fence(1)));
}

async fn a_held_lease_is_not_granted_to_anybody_not_even_its_holder(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap(), None);
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap(), None);
}

async fn another_game_has_its_own_lease(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    assert!(stores.leases.try_acquire(&game("h"), &token(1), TTL).await.unwrap().is_some());
    assert!(stores.leases.try_acquire(&game(" g"), &token(1), TTL).await.unwrap().is_some(), "ids are used as given");
}

async fn a_lease_ends_by_its_time_to_live(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.clock.advance(TTL - Duration::from_micros(1));
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap(), None);
    stores.clock.advance(Duration::from_micros(1));
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap(), Some(Fence(2)));
}

async fn a_lease_taken_while_the_clock_was_ahead_is_granted_anew(stores: &Stores) {
    let right = stores.clock.now();
    stores.clock.jump_to(right.saturating_add(TTL));
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.clock.jump_to(right);
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap(), None, "within twice the ttl");
    stores.clock.jump_to(right.saturating_sub(Duration::from_micros(1)));
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap(), Some(Fence(2)));
    assert!(!stores.leases.renew(&game("g"), &token(1), TTL).await.unwrap());
}

async fn a_released_lease_is_granted_anew(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.leases.release(&game("g"), &token(1)).await.unwrap();
    assert!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap().is_some());
}

async fn fences_grow_with_every_lease_of_a_game(stores: &Stores) {
    for number in 1..=5_u8 {
        let fence = stores.leases.try_acquire(&game("g"), &token(number), TTL).await.unwrap();
        assert_eq!(fence, Some(Fence(u64::from(number))));
        match number % 2 {
            0 => stores.leases.release(&game("g"), &token(number)).await.unwrap(),
            _ => stores.clock.advance(TTL),
        }
    }
}

async fn releasing_with_another_token_does_nothing(stores: &Stores) {
    stores.leases.release(&game("g"), &token(2)).await.unwrap();
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.leases.release(&game("g"), &token(2)).await.unwrap();
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(3), TTL).await.unwrap(), None);
}

async fn releasing_twice_does_nothing(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.leases.release(&game("g"), &token(1)).await.unwrap();
    stores.leases.release(&game("g"), &token(1)).await.unwrap();
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), None);
}

async fn releasing_late_does_not_end_the_next_holders_lease(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.clock.advance(TTL);
    stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap();
    stores.leases.release(&game("g"), &token(1)).await.unwrap();
    assert!(stores.leases.renew(&game("g"), &token(2), TTL).await.unwrap());
}

async fn renewing_extends_from_now(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.clock.advance(TTL / 2);
    assert!(stores.leases.renew(&game("g"), &token(1), TTL).await.unwrap());
    let end = stores.clock.now().saturating_add(TTL);
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), Some(end));
    stores.clock.advance(TTL - Duration::from_micros(1));
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap(), None);
}

async fn renewing_with_another_token_is_refused(stores: &Stores) {
    assert!(!stores.leases.renew(&game("g"), &token(1), TTL).await.unwrap());
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    assert!(!stores.leases.renew(&game("g"), &token(2), TTL).await.unwrap());
}

async fn renewing_after_the_end_is_refused(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.clock.advance(TTL);
    assert!(!stores.leases.renew(&game("g"), &token(1), TTL).await.unwrap(), "nobody took it, but it has ended");
}

async fn renewing_after_release_is_refused(stores: &Stores) {
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    stores.leases.release(&game("g"), &token(1)).await.unwrap();
    assert!(!stores.leases.renew(&game("g"), &token(1), TTL).await.unwrap());
}

async fn held_until_tells_the_end_and_none_afterwards(stores: &Stores) {
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), None);
    stores.leases.try_acquire(&game("g"), &token(1), TTL).await.unwrap();
    let end = stores.clock.now().saturating_add(TTL);
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), Some(end));
    stores.clock.advance(TTL);
    assert_eq!(stores.leases.held_until(&game("g")).await.unwrap(), None);
}

async fn one_of_many_at_once_is_granted(stores: &Stores) {
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let leases = stores.leases.clone();
            tokio::spawn(async move { leases.try_acquire(&game("g"), &token(number), TTL).await.unwrap() })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(task.await.unwrap().is_some());
    }
    assert_eq!(granted, 1);
}

async fn fences_outlive_pruning_while_the_game_has_a_record(stores: &Stores) {
    stores.records.register(&stopped("g", 1), stores.clock.now()).await.unwrap();
    stores.log.append(&entry(1, "g")).await.unwrap();
    for name in ["g", "without record"] {
        stores.leases.try_acquire(&game(name), &token(1), TTL).await.unwrap();
        stores.leases.release(&game(name), &token(1)).await.unwrap();
    }
    stores.clock.advance(TTL * 2);
    assert_eq!(stores.log.prune(stores.clock.now(), 10).await.unwrap(), 1);
    assert_eq!(stores.leases.try_acquire(&game("g"), &token(2), TTL).await.unwrap(), Some(Fence(2)));
    assert_eq!(stores.leases.try_acquire(&game("without record"), &token(2), TTL).await.unwrap(), Some(Fence(1)));
}

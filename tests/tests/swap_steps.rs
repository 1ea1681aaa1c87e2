//! Whoever changes what serves a tenant, or follows such a change, is killed at each of its steps: before each call of a
//! store, after each that writes, and at each system call and byte of the cache's files. Each time a host that starts
//! serves the one generation or the other, whole; the same order works again; the trail is whole; cached code is what was
//! compiled, or is not there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager_tests::place::Place;
use rtmanager_tests::postgres::Postgres;

#[path = "swap_steps/cache.rs"]
mod cache;
#[path = "swap_steps/order.rs"]
mod order;
#[path = "swap_steps/site.rs"]
mod site;

use order::Order;
use site::Site;

const ORDERS: [Order; 8] = [
    Order::Bind,
    Order::RollBack,
    Order::RollOut,
    Order::Promote,
    Order::EndRollout,
    Order::Revoke,
    Order::Unbind,
    Order::Host,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_in_a_file_a_change_is_made_or_not_made_and_can_be_ordered_again() {
    at_every_step(Place::new(None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_in_postgres_a_change_is_made_or_not_made_and_can_be_ordered_again() {
    let database = Postgres::shared().database().await;
    at_every_step(Place::new(Some(database.url()))).await;
}

async fn at_every_step(place: Place) {
    let site = Site::new(place).await;
    for order in ORDERS {
        let steps = site.kill_at_every_step(order).await;
        println!("{order:?}: {}", steps.join(" "));
        for step in order.must_pass() {
            assert!(steps.iter().any(|reached| reached == step), "{order:?} was never killed at {step}: {steps:?}");
        }
    }
}

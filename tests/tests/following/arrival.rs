//! Whether what was changed in the store arrives at both hosts.

use std::time::Duration;

use rtmanager::model::{GenerationId, Revocation, Timestamp};
use rtmanager_tests::bound::{signed, tenant_a};
use rtmanager_tests::hosts::{Hosts, Replica};
use rtmanager_tests::mock_host::container;
use tokio::time::Instant;

/// Sixteen looks of a host that nothing wakes, and two of its reports that nothing brought about.
const BOUND: Duration = Duration::from_secs(8);

/// Swaps once to either generation, and waits each time until both hosts serve it, and say so.
pub(super) async fn of_swaps(hosts: &Hosts) -> Option<String> {
    for _ in 0..2 {
        let to = GenerationId::numbered(&tenant_a(), hosts.swap().await);
        for host in [Replica::One, Replica::Two] {
            let (begun, tenant) = (Instant::now(), "tenant-a".parse().unwrap());
            while hosts.app(host).lifecycle.serving(&tenant) != Some(vec![to.clone()]) {
                if begun.elapsed() > BOUND {
                    return Some(format!("{host:?} does not serve what is current"));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            while !says(hosts, host, &to).await {
                if begun.elapsed() > BOUND {
                    return Some(format!("{host:?} does not say what it serves"));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    None
}

async fn says(hosts: &Hosts, host: Replica, generation: &GenerationId) -> bool {
    let reports = hosts.stores.generations.reports(&tenant_a(), Timestamp::default()).await.unwrap();
    let replica = hosts.app(host).watcher.replica();
    reports.iter().any(|serving| serving.replica == replica && serving.generation == *generation)
}

/// Revokes what is current, and has the second host act on it at once.
pub(super) async fn of_a_revocation(hosts: &Hosts) -> Option<String> {
    let generations = &hosts.stores.generations;
    let current = generations.state(&tenant_a()).await.unwrap().unwrap().current.unwrap();
    let number = hosts.next();
    hosts.stopped("fenced", number, Duration::ZERO).await;
    let signed = signed(hosts.stores.clock.now());
    assert!(generations.revoke(&Revocation::Generation(current.id()), &signed).await.unwrap());
    let path = "/api/v1/internal/runtimes/fenced/container";
    let answer = hosts.client(Replica::Two).send("DELETE", path, &[("x-request-id", "fenced")], None).await;
    let is_there = hosts.engine.containers().contains(&container(number));
    let is_served_by_it = hosts.app(Replica::Two).lifecycle.serving(&"tenant-a".parse().unwrap());
    // A host that still serves what another generation says has not acted on the revoked one.
    let is_fenced = answer.status != 200 && is_there || is_served_by_it.as_deref() != Some(&[current.id()]);
    (!is_fenced).then(|| format!("what was revoked had an effect: {answer:?}"))
}

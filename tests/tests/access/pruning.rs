//! The trail's oldest links are taken away, and the rest is verified all the same.

use std::time::Duration;

use rtmanager::access::{Anchor, Caller, Deed, Flaw, PruneError};
use rtmanager::model::{AuditEvent, Role, Timestamp};
use rtmanager::orders::Error;
use rtmanager::ports::{AuditLog as _, Clock as _};
use serde_json::json;

use super::site::{Site, admin};

/// A trail of so many links, a second apart.
async fn trail(links: usize) -> Site {
    let site = Site::open();
    for index in 0..links {
        let done = async { Ok::<_, Error>(()) };
        site.trail.audited(&admin(), Deed::new("a", index), done).await.unwrap();
        site.clock.advance(Duration::from_secs(1));
    }
    site
}

async fn anchor(site: &Site, sequence: u64) -> Anchor {
    Anchor { sequence, hash: site.log.read(sequence, 1).await.unwrap()[0].hash }
}

#[tokio::test]
async fn what_is_left_is_whole_and_a_link_in_it_vouches_for_where_it_begins() {
    let site = trail(5).await;
    let last = anchor(&site, 3).await;
    assert_eq!(site.trail.prune(&admin(), last).await.unwrap(), 3);
    let left = site.trail.read(1, 10).await.unwrap();
    assert_eq!(left.iter().map(|link| link.sequence).collect::<Vec<_>>(), [4, 5, 6]);
    let told = site.said().await.pop().unwrap();
    let detail = json!({"through": 3, "hash": hex::encode(last.hash)});
    assert_eq!(told, ("audit.prune".to_owned(), "3".to_owned(), detail));
    let found = site.trail.verify(None).await.unwrap();
    assert_eq!((found.broken, found.pruned, found.head.unwrap().sequence), (None, Some(last), 6));
    // Another one takes its word away, and gives its own.
    let second = anchor(&site, 6).await;
    assert_eq!(site.trail.prune(&admin(), second).await.unwrap(), 3);
    let found = site.trail.verify(None).await.unwrap();
    assert_eq!((found.broken, found.pruned, found.head.unwrap().sequence), (None, Some(second), 7));
}

#[tokio::test]
async fn a_head_that_is_remembered_still_shows_what_was_cut_off_or_written_anew() {
    let site = trail(6).await;
    let (third, fifth) = (anchor(&site, 3).await, anchor(&site, 5).await);
    site.trail.prune(&admin(), third).await.unwrap();
    for remembered in [third, fifth, anchor(&site, 7).await] {
        assert_eq!(site.trail.verify(Some(remembered)).await.unwrap().broken, None, "{remembered}");
    }
    for (remembered, flaw) in [
        (Anchor { hash: [9; 32], ..third }, Flaw::Rewritten),
        (Anchor { hash: [9; 32], ..fifth }, Flaw::Rewritten),
        (Anchor { sequence: 9, ..fifth }, Flaw::CutOff),
    ] {
        let broken = site.trail.verify(Some(remembered)).await.unwrap().broken.unwrap();
        assert_eq!(broken.flaw, flaw, "{remembered}");
    }
}

#[tokio::test]
async fn links_that_nobody_pruned_are_missing() {
    let site = trail(5).await;
    site.store.audit().remove_through(2).await.unwrap();
    let found = site.trail.verify(None).await.unwrap();
    assert_eq!((found.broken.unwrap().sequence, found.head, found.pruned), (1, None, None));
    // Nor does what tells of another pruning vouch for it, or what a caller calls so.
    let site = trail(5).await;
    let second = anchor(&site, 2).await;
    site.trail.prune(&admin(), second).await.unwrap();
    site.store.audit().remove_through(3).await.unwrap();
    assert_eq!(site.trail.verify(None).await.unwrap().broken.unwrap().sequence, 1);
    let site = trail(3).await;
    let eve = Caller { actor: "audit.prune".to_owned(), role: Role::Tenant("acme".parse().unwrap()) };
    let said = Deed::new("a", "audit.prune").with("through", 1).with("hash", hex::encode(anchor(&site, 1).await.hash));
    site.trail.audited(&eve, said, async { Ok::<_, Error>(()) }).await.unwrap();
    site.store.audit().remove_through(1).await.unwrap();
    assert_eq!(site.trail.verify(None).await.unwrap().broken.unwrap().sequence, 1);
}

#[tokio::test]
async fn a_trail_that_is_broken_is_not_pruned() {
    let site = trail(5).await;
    let fourth = anchor(&site, 4).await;
    site.store.audit().remove_through(1).await.unwrap();
    let refused = site.trail.prune(&admin(), fourth).await.unwrap_err();
    assert!(matches!(refused, PruneError::Broken(_)), "{refused}");
    assert_eq!(site.trail.read(1, 10).await.unwrap().len(), 4, "nothing was recorded, nothing removed");
    let site = trail(5).await;
    let forged = Anchor { hash: [9; 32], ..anchor(&site, 4).await };
    assert!(matches!(site.trail.prune(&admin(), forged).await, Err(PruneError::Broken(_))));
}

#[tokio::test]
async fn only_an_admin_prunes_and_not_without_a_record_of_it() {
    let site = trail(3).await;
    let second = anchor(&site, 2).await;
    for role in [Role::Operator, Role::Viewer, Role::Tenant("acme".parse().unwrap())] {
        let caller = Caller { actor: "token:t".to_owned(), role };
        assert!(matches!(site.trail.prune(&caller, second).await, Err(PruneError::Denied(_))));
    }
    site.log.fail_after(0);
    assert!(matches!(site.trail.prune(&admin(), second).await, Err(PruneError::Unrecorded(_))));
    assert_eq!(site.trail.read(1, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_old_enough_ends_at_the_first_link_that_is_not() {
    let site = trail(3).await;
    let start = site.log.read(1, 1).await.unwrap()[0].event.at;
    let last = async |before: Timestamp| site.trail.last_before(before).await.unwrap().map(|last| last.sequence);
    let after = |seconds| start.saturating_add(Duration::from_secs(seconds));
    for (before, expected) in [(0, None), (1, Some(1)), (2, Some(2)), (3, Some(3)), (99, Some(3))] {
        assert_eq!(last(after(before)).await, expected, "{before}");
    }
    // One that a host with a slow clock wrote later stays, and so does what follows on it.
    let event = AuditEvent {
        at: site.clock.now().saturating_add(Duration::from_secs(50)),
        ..site.log.read(1, 1).await.unwrap()[0].event.clone()
    };
    site.log.append(&event).await.unwrap();
    site.log.append(&AuditEvent { at: start, ..event }).await.unwrap();
    assert_eq!(last(after(10)).await, Some(3));
    let long = trail(1_100).await;
    assert_eq!(long.trail.last_before(Timestamp::MAX).await.unwrap().unwrap().sequence, 1_100);
}

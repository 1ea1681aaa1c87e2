//! The contract of `AuditLog`.

use rtmanager::model::{AuditEntry, AuditEvent};

use super::Stores;
use super::fixture::at;

super::clauses! { $ audit_log, audit_log_contract:
    a_new_trail_is_empty,
    an_event_is_answered_as_a_link_of_the_chain,
    the_trail_is_read_from_anywhere_oldest_first,
    of_several_at_once_each_gets_a_place_of_its_own,
    the_oldest_are_removed_and_the_chain_goes_on,
    the_last_one_always_stays,
    what_a_database_cannot_hold_does_not_break_the_chain,
}

fn event(number: u64) -> AuditEvent {
    AuditEvent {
        at: at(number),
        actor: "ada ü".to_owned(),
        role: "admin".to_owned(),
        action: "policy.bind".to_owned(),
        subject: format!("acme/{number}"),
        detail: "{\"why\": \"\\u0000\"}".to_owned(),
    }
}

fn assert_is_chain(entries: &[AuditEntry]) {
    let mut previous = [0; 32];
    for (sequence, entry) in (1..).zip(entries) {
        assert!(entry.follows(sequence, &previous), "{entry:?} is no link {sequence}");
        previous = entry.hash;
    }
}

async fn a_new_trail_is_empty(stores: &Stores) {
    assert_eq!(stores.audit.last().await.unwrap(), None);
    assert!(stores.audit.read(0, 10).await.unwrap().is_empty());
}

async fn an_event_is_answered_as_a_link_of_the_chain(stores: &Stores) {
    let mut entries = Vec::new();
    for number in 1..=3 {
        let entry = stores.audit.append(&event(number)).await.unwrap();
        assert_eq!(entry.event, event(number));
        assert_eq!(stores.audit.last().await.unwrap().as_ref(), Some(&entry));
        entries.push(entry);
    }
    assert_is_chain(&entries);
    assert_eq!(stores.audit.read(1, 10).await.unwrap(), entries);
}

async fn the_trail_is_read_from_anywhere_oldest_first(stores: &Stores) {
    for number in 1..=5 {
        stores.audit.append(&event(number)).await.unwrap();
    }
    let read = async |from, limit| {
        let entries = stores.audit.read(from, limit).await.unwrap();
        entries.into_iter().map(|entry| entry.sequence).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 2).await, [1, 2]);
    assert_eq!(read(3, 2).await, [3, 4]);
    assert_eq!(read(5, 10).await, [5]);
    assert!(read(6, 10).await.is_empty());
}

async fn of_several_at_once_each_gets_a_place_of_its_own(stores: &Stores) {
    let appending: Vec<_> = (0..20)
        .map(|number| {
            let audit = stores.audit.clone();
            tokio::spawn(async move { audit.append(&event(number)).await.unwrap() })
        })
        .collect();
    let mut answered = Vec::new();
    for entry in appending {
        answered.push(entry.await.unwrap());
    }
    answered.sort_by_key(|entry| entry.sequence);
    assert_is_chain(&answered);
    assert_eq!(stores.audit.read(1, 100).await.unwrap(), answered);
}

async fn the_oldest_are_removed_and_the_chain_goes_on(stores: &Stores) {
    assert_eq!(stores.audit.remove_through(7).await.unwrap(), 0);
    let mut entries = Vec::new();
    for number in 1..=5 {
        entries.push(stores.audit.append(&event(number)).await.unwrap());
    }
    assert_eq!(stores.audit.remove_through(0).await.unwrap(), 0);
    assert_eq!(stores.audit.remove_through(3).await.unwrap(), 3);
    assert_eq!(stores.audit.remove_through(3).await.unwrap(), 0);
    assert_eq!(stores.audit.read(1, 10).await.unwrap(), entries[3..]);
    let next = stores.audit.append(&event(6)).await.unwrap();
    assert!(next.follows(6, &entries[4].hash), "{next:?}");
}

async fn the_last_one_always_stays(stores: &Stores) {
    for number in 1..=3 {
        stores.audit.append(&event(number)).await.unwrap();
    }
    assert_eq!(stores.audit.remove_through(u64::MAX / 2).await.unwrap(), 2);
    let last = stores.audit.last().await.unwrap().unwrap();
    assert_eq!((last.sequence, stores.audit.remove_through(3).await.unwrap()), (3, 0));
    assert!(stores.audit.append(&event(4)).await.unwrap().follows(4, &last.hash));
}

async fn what_a_database_cannot_hold_does_not_break_the_chain(stores: &Stores) {
    let odd = AuditEvent { actor: "a\0b".to_owned(), detail: "\0".to_owned(), ..event(1) };
    let entry = stores.audit.append(&odd).await.unwrap();
    stores.audit.append(&event(2)).await.unwrap();
    let read = stores.audit.read(1, 10).await.unwrap();
    assert_eq!(read[0], entry);
    assert_is_chain(&read);
}

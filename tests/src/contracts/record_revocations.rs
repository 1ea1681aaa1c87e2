//! The contract of `RecordStore` with regard to revocations.

use rtmanager::model::{Fence, PolicyRef, PolicyScope, Revocation, Status};
use rtmanager::ports::{CasError, Standing, StatusChange};

use super::Stores;
use super::fixture::{
    at, container, game, hold, intent, register, removal, run, running, scope, signed, stage, stopped, tracked,
};

super::clauses! { $ record_revocations, record_revocations_contract:
    a_change_by_a_revoked_generation_is_refused,
    a_change_by_a_revoked_component_is_refused_in_whatever_generation,
    a_change_by_another_policy_is_not,
    other_reasons_are_told_before_a_revocation,
    a_refused_change_leaves_record_and_intent_alone,
    a_read_for_effect_tells_the_record_and_whether_the_policy_is_revoked,
    a_read_for_effect_of_no_record_is_none,
    once_a_revocation_is_answered_no_change_succeeds,
}

fn by(policy: &PolicyRef) -> StatusChange {
    StatusChange { policy: policy.clone(), ..removal("g", 1) }
}

/// A stopped runtime, and a policy that is bound to acme.
async fn site(stores: &Stores) -> PolicyRef {
    register(stores, stopped("g", 1)).await;
    let generation = stage(stores, &scope("acme"), "1.0.0").await;
    PolicyRef { generation: generation.id(), digest: generation.spec.digest }
}

async fn revoke(stores: &Stores, revocation: Revocation) {
    assert!(stores.generations.revoke(&revocation, &signed(5)).await.unwrap());
}

async fn a_change_by_a_revoked_generation_is_refused(stores: &Stores) {
    let policy = site(stores).await;
    revoke(stores, Revocation::Generation(policy.generation.clone())).await;
    let refused = stores.records.compare_and_set(&by(&policy)).await;
    assert!(matches!(refused, Err(CasError::Revoked)), "{refused:?}");
    let same_component = stage(stores, &PolicyScope::Default, "1.0.0").await;
    let other = PolicyRef { generation: same_component.id(), ..policy };
    assert!(stores.records.compare_and_set(&by(&other)).await.is_ok(), "the component itself is not revoked");
}

async fn a_change_by_a_revoked_component_is_refused_in_whatever_generation(stores: &Stores) {
    let policy = site(stores).await;
    revoke(stores, Revocation::Component(policy.digest.clone())).await;
    let later = stage(stores, &PolicyScope::Default, "1.0.0").await;
    for generation in [policy.generation.clone(), later.id(), "acme/file-0123456789abcdef".parse().unwrap()] {
        let policy = PolicyRef { generation, ..policy.clone() };
        let refused = stores.records.compare_and_set(&by(&policy)).await;
        assert!(matches!(refused, Err(CasError::Revoked)), "{refused:?}");
    }
}

async fn a_change_by_another_policy_is_not(stores: &Stores) {
    let policy = site(stores).await;
    let other = stage(stores, &scope("acme"), "2.0.0").await;
    revoke(stores, Revocation::Generation(policy.generation.clone())).await;
    revoke(stores, Revocation::Component(policy.digest)).await;
    let other = PolicyRef { generation: other.id(), digest: other.spec.digest };
    assert_eq!(stores.records.compare_and_set(&by(&other)).await.unwrap().status, Status::Removed);
}

async fn other_reasons_are_told_before_a_revocation(stores: &Stores) {
    let policy = site(stores).await;
    revoke(stores, Revocation::Component(policy.digest.clone())).await;
    let absent = StatusChange { game_id: game("none"), ..by(&policy) };
    assert!(matches!(stores.records.compare_and_set(&absent).await, Err(CasError::NotFound)));
    register(stores, running("runs", 2)).await;
    let conflict = StatusChange { game_id: game("runs"), expected_container: Some(container(2)), ..by(&policy) };
    assert!(matches!(stores.records.compare_and_set(&conflict).await, Err(CasError::Conflict)));
    stores.records.set_hold(&game("g"), Some(&hold(None))).await.unwrap();
    assert!(matches!(stores.records.compare_and_set(&by(&policy)).await, Err(CasError::Held)));
    let begun = stores.records.begin_run(&intent(9, "g")).await.unwrap().unwrap();
    let superseded = StatusChange { fence: Fence(begun.fence.0 - 1), ..by(&policy) };
    assert!(matches!(stores.records.compare_and_set(&superseded).await, Err(CasError::Superseded)));
}

async fn a_refused_change_leaves_record_and_intent_alone(stores: &Stores) {
    let policy = site(stores).await;
    let begun = stores.records.begin_run(&intent(1, "g")).await.unwrap().unwrap();
    let before = tracked(stores, "g").await;
    revoke(stores, Revocation::Component(policy.digest.clone())).await;
    let change = StatusChange { fence: begun.fence, ..by(&policy) };
    assert!(matches!(stores.records.compare_and_set(&change).await, Err(CasError::Revoked)));
    assert_eq!(tracked(stores, "g").await, before);
    let open = stores.records.supersede_run(&run(1)).await.unwrap().unwrap();
    assert_eq!(open.committed_at, None);
}

async fn a_read_for_effect_tells_the_record_and_whether_the_policy_is_revoked(stores: &Stores) {
    let policy = site(stores).await;
    let row = tracked(stores, "g").await;
    let standing = async |policy: &PolicyRef| {
        let (read, standing) = stores.records.get_for_effect(&game("g"), policy).await.unwrap().unwrap();
        assert_eq!(read, row);
        standing
    };
    assert_eq!(standing(&policy).await, Standing::Good);
    revoke(stores, Revocation::Generation(policy.generation.clone())).await;
    assert_eq!(standing(&policy).await, Standing::Revoked);
    let elsewhere = PolicyRef { generation: "*/1".parse().unwrap(), ..policy.clone() };
    assert_eq!(standing(&elsewhere).await, Standing::Good);
    revoke(stores, Revocation::Component(policy.digest.clone())).await;
    assert_eq!(standing(&elsewhere).await, Standing::Revoked);
    assert_eq!(standing(&policy).await, Standing::Revoked);
}

async fn a_read_for_effect_of_no_record_is_none(stores: &Stores) {
    let policy = site(stores).await;
    revoke(stores, Revocation::Component(policy.digest.clone())).await;
    assert!(stores.records.get_for_effect(&game("none"), &policy).await.unwrap().is_none());
}

async fn once_a_revocation_is_answered_no_change_succeeds(stores: &Stores) {
    let policy = site(stores).await;
    // Changes that change nothing but the version, as fast as they come.
    let changing: Vec<_> = (0..4)
        .map(|_| {
            let (records, policy) = (stores.records.clone(), policy.clone());
            tokio::spawn(async move {
                let change = StatusChange { new_status: Status::Stopped, at: at(50), ..by(&policy) };
                let mut made = 0_u32;
                loop {
                    match records.compare_and_set(&change).await {
                        Ok(_) => made += 1,
                        Err(CasError::Revoked) => return made,
                        Err(error) => panic!("{error:?}"),
                    }
                    // A store in memory does not wait for anything.
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    while tracked(stores, "g").await.record.version < 5 {
        tokio::task::yield_now().await;
    }
    revoke(stores, Revocation::Component(policy.digest.clone())).await;
    let version = tracked(stores, "g").await.record.version;
    let mut made = 0;
    for changes in changing {
        made += u64::from(changes.await.unwrap());
    }
    assert_eq!(tracked(stores, "g").await.record.version, version, "of {made} changes one came after the answer");
}

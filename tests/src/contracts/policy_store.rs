//! The contract of `PolicyStore`.

use rtmanager::model::PolicyArtifact;
use rtmanager::ports::{AddPolicyError, PolicyFilter};

use super::Stores;
use super::fixture::{artifact, at, component, component_digest, tenant};

super::clauses! { $ policy_store, policy_store_contract:
    a_policy_is_answered_as_it_was_added,
    what_is_not_there_is_none,
    adding_the_same_again_changes_nothing_and_answers_what_stands,
    a_version_never_becomes_another_component,
    name_and_version_are_unique_within_an_owner_only,
    a_component_has_as_many_names_versions_and_owners_as_it_was_added_under,
    nobody_takes_a_component_from_others_by_adding_it_first,
    of_many_that_add_at_once_each_is_answered_the_same,
    policies_are_listed_by_name_then_version_then_owner,
    a_list_goes_on_after_a_policy_and_ends,
    a_list_goes_on_after_a_place_at_which_there_is_none,
    a_tenant_sees_its_own_and_the_platforms,
    signatures_are_of_an_owners_component,
    signatures_are_answered_oldest_first,
    the_same_signature_is_kept_once,
    a_long_signature_is_kept,
    what_is_not_there_cannot_be_signed,
}

async fn add(stores: &Stores, name: &str, version: &str, owner: Option<&str>) -> PolicyArtifact {
    // Components of different owners differ.
    let bytes = format!("{name} {version} {owner:?}").into_bytes();
    let digest = rtmanager::model::PolicyDigest::of(&bytes);
    let policy = PolicyArtifact { digest, owner: owner.map(tenant), ..artifact(name, version) };
    stores.policies.add(&policy, &bytes).await.unwrap()
}

async fn a_policy_is_answered_as_it_was_added(stores: &Stores) {
    for policy in
        [artifact("keep", "1.0.0"), PolicyArtifact { owner: Some(tenant("acme")), ..artifact("keep", "1.2.0-rc.1+x") }]
    {
        let bytes = component("keep", &policy.version.to_string());
        assert_eq!(stores.policies.add(&policy, &bytes).await.unwrap(), policy);
        assert_eq!(stores.policies.named(&policy.digest).await.unwrap(), std::slice::from_ref(&policy));
        assert_eq!(stores.policies.component(&policy.digest).await.unwrap(), Some(bytes));
    }
}

async fn what_is_not_there_is_none(stores: &Stores) {
    let digest = component_digest("keep", "1.0.0");
    assert!(stores.policies.named(&digest).await.unwrap().is_empty());
    assert_eq!(stores.policies.component(&digest).await.unwrap(), None);
    assert!(stores.policies.signatures(None, &digest).await.unwrap().is_empty());
    assert!(stores.policies.list(&PolicyFilter::default(), None, 10).await.unwrap().is_empty());
}

async fn adding_the_same_again_changes_nothing_and_answers_what_stands(stores: &Stores) {
    let first = artifact("keep", "1.0.0");
    stores.policies.add(&first, &component("keep", "1.0.0")).await.unwrap();
    let again = PolicyArtifact { pushed_at: at(9), pushed_by: "eve".to_owned(), ..first.clone() };
    assert_eq!(stores.policies.add(&again, &component("keep", "1.0.0")).await.unwrap(), first);
    assert_eq!(stores.policies.named(&first.digest).await.unwrap(), [first]);
}

async fn a_version_never_becomes_another_component(stores: &Stores) {
    let first = artifact("keep", "1.0.0");
    stores.policies.add(&first, &component("keep", "1.0.0")).await.unwrap();
    let other = PolicyArtifact { digest: component_digest("keep", "other"), ..first.clone() };
    match stores.policies.add(&other, &component("keep", "other")).await {
        Err(AddPolicyError::VersionTaken { name, version, digest }) => {
            assert_eq!((name, version, digest), (first.name, first.version, first.digest));
        }
        wrong => panic!("{wrong:?}"),
    }
    assert!(stores.policies.named(&other.digest).await.unwrap().is_empty());
    assert_eq!(stores.policies.component(&other.digest).await.unwrap(), None);
}

async fn name_and_version_are_unique_within_an_owner_only(stores: &Stores) {
    for owner in [None, Some("acme"), Some("zeta")] {
        add(stores, "keep", "1.0.0", owner).await;
    }
    assert_eq!(stores.policies.list(&PolicyFilter::default(), None, 10).await.unwrap().len(), 3);
}

async fn a_component_has_as_many_names_versions_and_owners_as_it_was_added_under(stores: &Stores) {
    let first = artifact("keep", "1.0.0");
    let bytes = component("keep", "1.0.0");
    let all = [
        first.clone(),
        PolicyArtifact { owner: Some(tenant("acme")), pushed_by: "eve".to_owned(), ..first.clone() },
        PolicyArtifact { version: "1.0.1".parse().unwrap(), pushed_at: at(7), ..first.clone() },
        PolicyArtifact { name: "other".parse().unwrap(), ..first.clone() },
    ];
    for policy in [3, 0, 2, 1].map(|index: usize| &all[index]) {
        assert_eq!(stores.policies.add(policy, &bytes).await.unwrap(), *policy);
    }
    assert_eq!(stores.policies.named(&first.digest).await.unwrap(), all);
    assert_eq!(stores.policies.list(&PolicyFilter::default(), None, 10).await.unwrap(), all);
    assert_eq!(stores.policies.add(&all[1], &bytes).await.unwrap(), all[1], "once more");
    assert_eq!(stores.policies.component(&first.digest).await.unwrap(), Some(bytes));
    let taken = PolicyArtifact { digest: component_digest("keep", "none"), ..all[3].clone() };
    let refused = stores.policies.add(&taken, &component("keep", "none")).await;
    assert!(matches!(refused, Err(AddPolicyError::VersionTaken { .. })), "{refused:?}");
}

async fn nobody_takes_a_component_from_others_by_adding_it_first(stores: &Stores) {
    let (platforms, bytes) = (artifact("keep", "1.0.0"), component("keep", "1.0.0"));
    let squatted = PolicyArtifact { owner: Some(tenant("eve")), ..artifact("mine", "9.0.0") };
    let squatted = PolicyArtifact { digest: platforms.digest.clone(), ..squatted };
    stores.policies.add(&squatted, &bytes).await.unwrap();
    assert_eq!(stores.policies.add(&platforms, &bytes).await.unwrap(), platforms);
    let visible = PolicyFilter { visible_to: Some(tenant("acme")), ..PolicyFilter::default() };
    assert_eq!(stores.policies.list(&visible, None, 10).await.unwrap(), [platforms]);
}

async fn of_many_that_add_at_once_each_is_answered_the_same(stores: &Stores) {
    let adding: Vec<_> = (0..8)
        .map(|number| {
            let policies = stores.policies.clone();
            let policy = PolicyArtifact { pushed_by: number.to_string(), ..artifact("keep", "1.0.0") };
            tokio::spawn(async move { policies.add(&policy, &component("keep", "1.0.0")).await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for added in adding {
        answers.push(added.await.unwrap());
    }
    answers.dedup();
    assert_eq!(stores.policies.named(&answers[0].digest).await.unwrap(), answers);
    assert_eq!(answers.len(), 1);
}

/// In the order of lists.
async fn some(stores: &Stores) -> Vec<PolicyArtifact> {
    let mut some = Vec::new();
    for (name, version, owner) in [
        ("a", "1.0.0-rc.2", None),
        ("a", "1.0.0-rc.10", Some("acme")),
        ("a", "1.0.0", None),
        ("a", "1.0.0", Some("acme")),
        ("a", "1.0.0", Some("zeta")),
        ("a", "1.9.0", None),
        ("a", "1.10.0", None),
        ("a-b", "0.1.0", Some("zeta")),
        ("a.b", "0.1.0", None),
        ("b", "0.1.0", None),
    ] {
        some.push(add(stores, name, version, owner).await);
    }
    some
}

async fn policies_are_listed_by_name_then_version_then_owner(stores: &Stores) {
    let some = some(stores).await;
    assert_eq!(stores.policies.list(&PolicyFilter::default(), None, 100).await.unwrap(), some);
    let named = PolicyFilter { name: Some("a".parse().unwrap()), ..PolicyFilter::default() };
    assert_eq!(stores.policies.list(&named, None, 100).await.unwrap(), some[..7]);
}

async fn a_list_goes_on_after_a_policy_and_ends(stores: &Stores) {
    let some = some(stores).await;
    for limit in 1..=4 {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = stores.policies.list(&PolicyFilter::default(), after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.place());
            listed.extend(page);
        }
        assert_eq!(listed, some, "by {limit}");
    }
}

async fn a_list_goes_on_after_a_place_at_which_there_is_none(stores: &Stores) {
    let some = some(stores).await;
    for (after, expected) in [("a@1.9.1", 6), ("a-a@9.0.0", 7), ("z@1.0.0", 10), ("A@1.0.0", 0)] {
        let Ok(after) = after.parse() else { continue };
        let listed = stores.policies.list(&PolicyFilter::default(), Some(&after), 100).await.unwrap();
        assert_eq!(listed, some[expected..], "after {after}");
    }
}

async fn a_tenant_sees_its_own_and_the_platforms(stores: &Stores) {
    let some = some(stores).await;
    let visible = PolicyFilter { visible_to: Some(tenant("acme")), ..PolicyFilter::default() };
    let of_zeta = |policy: &&PolicyArtifact| policy.owner != Some(tenant("zeta"));
    let expected: Vec<_> = some.iter().filter(of_zeta).cloned().collect();
    assert_eq!(stores.policies.list(&visible, None, 100).await.unwrap(), expected);
    let after = some[4].place();
    assert_eq!(
        stores.policies.list(&visible, Some(&after), 2).await.unwrap(),
        some[5..7],
        "after one that it does not see"
    );
}

async fn signatures_are_of_an_owners_component(stores: &Stores) {
    let (platforms, bytes) = (artifact("keep", "1.0.0"), component("keep", "1.0.0"));
    let acmes = PolicyArtifact { owner: Some(tenant("acme")), ..platforms.clone() };
    let (acme, eve) = (tenant("acme"), tenant("eve"));
    for policy in [&acmes, &platforms] {
        stores.policies.add(policy, &bytes).await.unwrap();
    }
    let digest = &platforms.digest;
    for (owner, envelope) in [(Some(&acme), "a"), (None, "b"), (None, "a"), (Some(&acme), "a")] {
        assert!(stores.policies.add_signature(owner, digest, envelope).await.unwrap());
    }
    assert!(!stores.policies.add_signature(Some(&eve), digest, "c").await.unwrap());
    assert_eq!(stores.policies.signatures(Some(&acme), digest).await.unwrap(), ["a"]);
    assert_eq!(stores.policies.signatures(None, digest).await.unwrap(), ["b", "a"]);
    assert!(stores.policies.signatures(Some(&eve), digest).await.unwrap().is_empty());
}

async fn signatures_are_answered_oldest_first(stores: &Stores) {
    let policy = add(stores, "keep", "1.0.0", None).await;
    for envelope in ["z", "a ü", "m"] {
        assert!(stores.policies.add_signature(None, &policy.digest, envelope).await.unwrap());
    }
    assert_eq!(stores.policies.signatures(None, &policy.digest).await.unwrap(), ["z", "a ü", "m"]);
}

async fn the_same_signature_is_kept_once(stores: &Stores) {
    let (one, other) = (add(stores, "keep", "1.0.0", None).await, add(stores, "keep", "2.0.0", None).await);
    for envelope in ["a", "b", "a"] {
        assert!(stores.policies.add_signature(None, &one.digest, envelope).await.unwrap());
    }
    assert!(stores.policies.add_signature(None, &other.digest, "a").await.unwrap());
    assert_eq!(stores.policies.signatures(None, &one.digest).await.unwrap(), ["a", "b"]);
    assert_eq!(stores.policies.signatures(None, &other.digest).await.unwrap(), ["a"]);
}

async fn a_long_signature_is_kept(stores: &Stores) {
    let policy = add(stores, "keep", "1.0.0", None).await;
    let envelopes = [1, 2].map(|seed: u64| {
        // Not to be compressed to something short.
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random
        };
        (0..4_000).map(|_| format!("{:016x}", next())).collect::<String>()
    });
    for envelope in &envelopes {
        assert!(stores.policies.add_signature(None, &policy.digest, envelope).await.unwrap());
    }
    assert_eq!(stores.policies.signatures(None, &policy.digest).await.unwrap(), envelopes);
}

async fn what_is_not_there_cannot_be_signed(stores: &Stores) {
    let digest = component_digest("keep", "1.0.0");
    assert!(!stores.policies.add_signature(None, &digest, "a").await.unwrap());
    assert!(stores.policies.signatures(None, &digest).await.unwrap().is_empty());
}

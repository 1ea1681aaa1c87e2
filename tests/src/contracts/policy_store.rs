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
    a_component_has_one_name_version_and_owner,
    a_tenant_is_not_told_how_another_calls_a_component,
    of_many_that_add_at_once_each_is_answered_the_same,
    policies_are_listed_by_name_then_version_then_owner,
    a_list_goes_on_after_a_policy_and_ends,
    nothing_comes_after_a_policy_that_is_not_there,
    a_tenant_sees_its_own_and_the_platforms,
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
        assert_eq!(stores.policies.get(&policy.digest).await.unwrap(), Some(policy.clone()));
        assert_eq!(stores.policies.component(&policy.digest).await.unwrap(), Some(bytes));
    }
}

async fn what_is_not_there_is_none(stores: &Stores) {
    let digest = component_digest("keep", "1.0.0");
    assert_eq!(stores.policies.get(&digest).await.unwrap(), None);
    assert_eq!(stores.policies.component(&digest).await.unwrap(), None);
    assert!(stores.policies.signatures(&digest).await.unwrap().is_empty());
    assert!(stores.policies.list(&PolicyFilter::default(), None, 10).await.unwrap().is_empty());
}

async fn adding_the_same_again_changes_nothing_and_answers_what_stands(stores: &Stores) {
    let first = artifact("keep", "1.0.0");
    stores.policies.add(&first, &component("keep", "1.0.0")).await.unwrap();
    let again = PolicyArtifact { pushed_at: at(9), pushed_by: "eve".to_owned(), ..first.clone() };
    assert_eq!(stores.policies.add(&again, &component("keep", "1.0.0")).await.unwrap(), first);
    assert_eq!(stores.policies.get(&first.digest).await.unwrap(), Some(first));
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
    assert_eq!(stores.policies.get(&other.digest).await.unwrap(), None);
    assert_eq!(stores.policies.component(&other.digest).await.unwrap(), None);
}

async fn name_and_version_are_unique_within_an_owner_only(stores: &Stores) {
    for owner in [None, Some("acme"), Some("zeta")] {
        add(stores, "keep", "1.0.0", owner).await;
    }
    assert_eq!(stores.policies.list(&PolicyFilter::default(), None, 10).await.unwrap().len(), 3);
}

async fn a_component_has_one_name_version_and_owner(stores: &Stores) {
    let first = artifact("keep", "1.0.0");
    let bytes = component("keep", "1.0.0");
    stores.policies.add(&first, &bytes).await.unwrap();
    let others = [
        PolicyArtifact { name: "other".parse().unwrap(), ..first.clone() },
        PolicyArtifact { version: "1.0.1".parse().unwrap(), ..first.clone() },
        PolicyArtifact { owner: Some(tenant("acme")), ..first.clone() },
    ];
    for other in others {
        let refused = stores.policies.add(&other, &bytes).await;
        let said = refused.unwrap_err().to_string();
        assert_eq!(said, "this component is in the store already, as the platform's keep 1.0.0");
    }
    assert_eq!(stores.policies.get(&first.digest).await.unwrap(), Some(first));
}

async fn a_tenant_is_not_told_how_another_calls_a_component(stores: &Stores) {
    let first = add(stores, "secret", "1.0.0", Some("acme")).await;
    let known_as = async |owner: Option<&str>| {
        let same =
            PolicyArtifact { digest: first.digest.clone(), owner: owner.map(tenant), ..artifact("keep", "2.0.0") };
        match stores.policies.add(&same, b"").await {
            Err(AddPolicyError::KnownAs(known_as)) => known_as,
            wrong => panic!("{wrong:?}"),
        }
    };
    assert_eq!(known_as(Some("zeta")).await, "another tenant's policy");
    assert_eq!(known_as(Some("acme")).await, "acme's secret 1.0.0");
    assert_eq!(known_as(None).await, "acme's secret 1.0.0");
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
    let stands = stores.policies.get(&answers[0].digest).await.unwrap().unwrap();
    assert_eq!(answers, [stands]);
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
            after = Some(last.digest.clone());
            listed.extend(page);
        }
        assert_eq!(listed, some, "by {limit}");
    }
}

async fn nothing_comes_after_a_policy_that_is_not_there(stores: &Stores) {
    some(stores).await;
    let after = component_digest("keep", "none");
    assert!(stores.policies.list(&PolicyFilter::default(), Some(&after), 10).await.unwrap().is_empty());
}

async fn a_tenant_sees_its_own_and_the_platforms(stores: &Stores) {
    let some = some(stores).await;
    let visible = PolicyFilter { visible_to: Some(tenant("acme")), ..PolicyFilter::default() };
    let of_zeta = |policy: &&PolicyArtifact| policy.owner != Some(tenant("zeta"));
    let expected: Vec<_> = some.iter().filter(of_zeta).cloned().collect();
    assert_eq!(stores.policies.list(&visible, None, 100).await.unwrap(), expected);
    let after = Some(&some[4].digest);
    assert_eq!(stores.policies.list(&visible, after, 2).await.unwrap(), some[5..7], "after one that it does not see");
}

async fn signatures_are_answered_oldest_first(stores: &Stores) {
    let policy = add(stores, "keep", "1.0.0", None).await;
    for envelope in ["z", "a ü", "m"] {
        assert!(stores.policies.add_signature(&policy.digest, envelope).await.unwrap());
    }
    assert_eq!(stores.policies.signatures(&policy.digest).await.unwrap(), ["z", "a ü", "m"]);
}

async fn the_same_signature_is_kept_once(stores: &Stores) {
    let (one, other) = (add(stores, "keep", "1.0.0", None).await, add(stores, "keep", "2.0.0", None).await);
    for envelope in ["a", "b", "a"] {
        assert!(stores.policies.add_signature(&one.digest, envelope).await.unwrap());
    }
    assert!(stores.policies.add_signature(&other.digest, "a").await.unwrap());
    assert_eq!(stores.policies.signatures(&one.digest).await.unwrap(), ["a", "b"]);
    assert_eq!(stores.policies.signatures(&other.digest).await.unwrap(), ["a"]);
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
        assert!(stores.policies.add_signature(&policy.digest, envelope).await.unwrap());
    }
    assert_eq!(stores.policies.signatures(&policy.digest).await.unwrap(), envelopes);
}

async fn what_is_not_there_cannot_be_signed(stores: &Stores) {
    let digest = component_digest("keep", "1.0.0");
    assert!(!stores.policies.add_signature(&digest, "a").await.unwrap());
    assert!(stores.policies.signatures(&digest).await.unwrap().is_empty());
}

//! The contract of `AccessStore`.

use std::time::Duration;

use rtmanager::model::{ApiToken, Ceiling, Grants, LimitOverrides, PolicyScope, Role, TrustedKey};
use rtmanager::ports::CeilingChanges;

use super::Stores;
use super::fixture::{at, scope, tenant};

super::clauses! { $ access_store, access_store_contract:
    a_token_is_answered_by_its_hash_as_it_was_added,
    a_token_that_is_not_there_is_none,
    a_name_is_never_given_twice,
    a_hash_is_never_given_twice,
    tokens_are_listed_by_name,
    a_revoked_token_is_still_answered_and_keeps_its_first_end,
    a_token_that_is_not_there_cannot_be_revoked,
    the_last_use_of_a_token_is_the_latest_that_was_noted,
    a_replaced_token_ends_and_the_new_one_is_there,
    a_replaced_token_ends_no_later_than_it_would_have,
    what_cannot_be_replaced_is_left_as_it_is,
    a_ceiling_is_answered_as_it_was_set,
    a_ceiling_is_replaced_as_a_whole_and_taken_away,
    a_ceiling_is_of_its_scope_alone,
    ceilings_are_listed_by_scope,
    setting_a_ceiling_raises_the_epoch,
    ceilings_that_changed_are_told_and_no_others,
    a_key_is_answered_as_it_was_added,
    adding_a_key_again_changes_nothing,
    a_revoked_key_is_never_trusted_again,
    a_key_is_of_its_scope_alone,
    a_key_that_is_not_there_cannot_be_revoked,
    keys_are_listed_by_id,
}

fn token(name: &str, byte: u8) -> ApiToken {
    ApiToken {
        name: name.to_owned(),
        hash: [byte; 32],
        role: Role::Operator,
        created_at: at(1),
        created_by: "ada".to_owned(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

fn ceiling() -> Ceiling {
    Ceiling {
        limits: LimitOverrides {
            memory_bytes: Some(u64::from(u32::MAX) + 1),
            guest_time: Some(Duration::from_millis(250)),
            run_time: Some(Duration::from_secs(86_400)),
            calls: Some(u32::MAX),
            bytes_per_run: Some(0),
            log_lines: Some(3),
        },
        grants: Some(["clock", "settings:a\"b"].iter().map(|grant| grant.parse().unwrap()).collect()),
        signature_required: true,
        retention_days: u32::MAX,
    }
}

fn key(id: &str) -> TrustedKey {
    TrustedKey {
        id: id.to_owned(),
        public_key: "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n".to_owned(),
        added_at: at(1),
        added_by: "ada".to_owned(),
        revoked_at: None,
    }
}

async fn a_token_is_answered_by_its_hash_as_it_was_added(stores: &Stores) {
    let roles = [Role::Admin, Role::Operator, Role::Viewer, Role::Tenant(tenant("acme"))];
    for (byte, role) in (0..).zip(roles) {
        let token = ApiToken { role, expires_at: (byte > 1).then(|| at(60)), ..token(&byte.to_string(), byte) };
        assert!(stores.access.add_token(&token).await.unwrap());
        assert_eq!(stores.access.token(&token.hash).await.unwrap(), Some(token));
    }
}

async fn a_token_that_is_not_there_is_none(stores: &Stores) {
    assert!(stores.access.add_token(&token("ci", 1)).await.unwrap());
    assert_eq!(stores.access.token(&[2; 32]).await.unwrap(), None);
}

async fn a_name_is_never_given_twice(stores: &Stores) {
    assert!(stores.access.add_token(&token("ci", 1)).await.unwrap());
    assert!(!stores.access.add_token(&token("ci", 2)).await.unwrap());
    assert!(stores.access.revoke_token("ci", at(5)).await.unwrap());
    assert!(!stores.access.add_token(&token("ci", 3)).await.unwrap(), "not even of a revoked one");
    assert_eq!(stores.access.token(&[2; 32]).await.unwrap(), None);
}

async fn a_hash_is_never_given_twice(stores: &Stores) {
    assert!(stores.access.add_token(&token("ci", 1)).await.unwrap());
    assert!(!stores.access.add_token(&ApiToken { role: Role::Admin, ..token("other", 1) }).await.unwrap());
    assert_eq!(stores.access.token(&[1; 32]).await.unwrap(), Some(token("ci", 1)));
}

async fn tokens_are_listed_by_name(stores: &Stores) {
    assert!(stores.access.tokens().await.unwrap().is_empty());
    let tokens = [token("B", 3), token("a", 2), token("b", 1)];
    for token in tokens.iter().rev() {
        assert!(stores.access.add_token(token).await.unwrap());
    }
    assert_eq!(stores.access.tokens().await.unwrap(), tokens);
}

async fn a_revoked_token_is_still_answered_and_keeps_its_first_end(stores: &Stores) {
    let added = token("ci", 1);
    assert!(stores.access.add_token(&added).await.unwrap());
    for second in [5, 6] {
        assert!(stores.access.revoke_token("ci", at(second)).await.unwrap());
        let revoked = ApiToken { revoked_at: Some(at(5)), ..added.clone() };
        assert_eq!(stores.access.token(&added.hash).await.unwrap(), Some(revoked));
    }
}

async fn a_token_that_is_not_there_cannot_be_revoked(stores: &Stores) {
    assert!(stores.access.add_token(&token("ci", 1)).await.unwrap());
    assert!(!stores.access.revoke_token("c", at(5)).await.unwrap());
    assert_eq!(stores.access.tokens().await.unwrap(), [token("ci", 1)]);
}

async fn the_last_use_of_a_token_is_the_latest_that_was_noted(stores: &Stores) {
    assert!(stores.access.add_token(&token("ci", 1)).await.unwrap());
    for (noted, expected) in [(5, 5), (9, 9), (7, 9)] {
        stores.access.note_token_used("ci", at(noted)).await.unwrap();
        let used = ApiToken { last_used_at: Some(at(expected)), ..token("ci", 1) };
        assert_eq!(stores.access.token(&[1; 32]).await.unwrap(), Some(used.clone()));
        assert_eq!(stores.access.tokens().await.unwrap(), [used]);
    }
    stores.access.note_token_used("nobody", at(5)).await.unwrap();
    assert_eq!(stores.access.tokens().await.unwrap().len(), 1);
}

async fn a_replaced_token_ends_and_the_new_one_is_there(stores: &Stores) {
    assert!(stores.access.add_token(&token("ci", 1)).await.unwrap());
    let new = ApiToken { expires_at: Some(at(90)), ..token("ci.2", 2) };
    assert!(stores.access.replace_token("ci", at(60), &new).await.unwrap());
    let old = ApiToken { expires_at: Some(at(60)), ..token("ci", 1) };
    assert_eq!(stores.access.tokens().await.unwrap(), [old, new]);
}

async fn a_replaced_token_ends_no_later_than_it_would_have(stores: &Stores) {
    let old = ApiToken { expires_at: Some(at(30)), ..token("ci", 1) };
    assert!(stores.access.add_token(&old).await.unwrap());
    assert!(stores.access.replace_token("ci", at(60), &token("ci.2", 2)).await.unwrap());
    assert_eq!(stores.access.token(&[1; 32]).await.unwrap(), Some(old));
}

async fn what_cannot_be_replaced_is_left_as_it_is(stores: &Stores) {
    let revoked = ApiToken { revoked_at: Some(at(5)), ..token("old", 3) };
    let all = [token("ci", 1), revoked, token("other", 2)];
    for token in &all {
        assert!(stores.access.add_token(token).await.unwrap());
    }
    let replaced = async |name: &str, new: ApiToken| stores.access.replace_token(name, at(60), &new).await.unwrap();
    assert!(!replaced("nobody", token("nobody.2", 9)).await);
    assert!(!replaced("old", token("old.2", 9)).await, "a revoked one");
    assert!(!replaced("ci", token("other", 9)).await, "a name that is taken");
    assert!(!replaced("ci", token("ci.2", 2)).await, "a hash that is taken");
    assert_eq!(stores.access.tokens().await.unwrap(), all);
}

async fn a_ceiling_is_answered_as_it_was_set(stores: &Stores) {
    for ceiling in [ceiling(), Ceiling::default(), Ceiling { grants: Some(Grants::default()), ..ceiling() }] {
        stores.access.set_ceiling(&scope("acme"), Some(&ceiling)).await.unwrap();
        assert_eq!(stores.access.ceiling(&scope("acme")).await.unwrap(), Some(ceiling));
    }
}

async fn a_ceiling_is_replaced_as_a_whole_and_taken_away(stores: &Stores) {
    stores.access.set_ceiling(&scope("acme"), Some(&ceiling())).await.unwrap();
    stores.access.set_ceiling(&scope("acme"), Some(&Ceiling::default())).await.unwrap();
    assert_eq!(stores.access.ceiling(&scope("acme")).await.unwrap(), Some(Ceiling::default()));
    for _ in 0..2 {
        stores.access.set_ceiling(&scope("acme"), None).await.unwrap();
        assert_eq!(stores.access.ceiling(&scope("acme")).await.unwrap(), None);
    }
}

async fn a_ceiling_is_of_its_scope_alone(stores: &Stores) {
    stores.access.set_ceiling(&PolicyScope::Default, Some(&ceiling())).await.unwrap();
    assert_eq!(stores.access.ceiling(&scope("acme")).await.unwrap(), None);
    assert_eq!(stores.access.ceiling(&PolicyScope::Default).await.unwrap(), Some(ceiling()));
}

async fn ceilings_are_listed_by_scope(stores: &Stores) {
    assert!(stores.access.ceilings().await.unwrap().is_empty());
    let scopes = [PolicyScope::Default, scope("Zeta"), scope("acme")];
    for scope in scopes.iter().rev() {
        stores.access.set_ceiling(scope, Some(&ceiling())).await.unwrap();
    }
    assert_eq!(stores.access.ceilings().await.unwrap(), scopes.map(|scope| (scope, ceiling())));
}

async fn ceilings_that_changed_are_told_and_no_others(stores: &Stores) {
    let (acme, zeta) = (scope("acme"), scope("zeta"));
    let since = async |epoch| stores.access.ceilings_since(epoch).await.unwrap();
    assert_eq!(since(0).await, CeilingChanges::default());
    for of in [&zeta, &acme] {
        stores.access.set_ceiling(of, Some(&ceiling())).await.unwrap();
    }
    let told = |ceilings: Vec<_>| CeilingChanges { ceilings, unreadable: Vec::new() };
    let first = stores.generations.epoch().await.unwrap();
    assert_eq!(since(0).await, told(vec![(acme.clone(), Some(ceiling())), (zeta.clone(), Some(ceiling()))]));
    assert_eq!(since(first).await, told(vec![]));
    let wider = Ceiling { retention_days: 99, ..ceiling() };
    stores.access.set_ceiling(&acme, Some(&wider)).await.unwrap();
    assert_eq!(since(first).await, told(vec![(acme.clone(), Some(wider))]));
    let second = stores.generations.epoch().await.unwrap();
    stores.access.set_ceiling(&zeta, None).await.unwrap();
    assert_eq!(since(second).await, told(vec![(zeta, None)]));
}

async fn setting_a_ceiling_raises_the_epoch(stores: &Stores) {
    for ceiling in [Some(ceiling()), None] {
        let before = stores.generations.epoch().await.unwrap();
        stores.access.set_ceiling(&scope("acme"), ceiling.as_ref()).await.unwrap();
        assert!(stores.generations.epoch().await.unwrap() > before);
    }
}

async fn a_key_is_answered_as_it_was_added(stores: &Stores) {
    assert!(stores.access.add_key(&scope("acme"), &key("1")).await.unwrap());
    assert_eq!(stores.access.keys(&scope("acme")).await.unwrap(), [key("1")]);
}

async fn adding_a_key_again_changes_nothing(stores: &Stores) {
    assert!(stores.access.add_key(&scope("acme"), &key("1")).await.unwrap());
    let again = TrustedKey { added_at: at(9), added_by: "eve".to_owned(), ..key("1") };
    assert!(stores.access.add_key(&scope("acme"), &again).await.unwrap());
    assert_eq!(stores.access.keys(&scope("acme")).await.unwrap(), [key("1")]);
}

async fn a_revoked_key_is_never_trusted_again(stores: &Stores) {
    assert!(stores.access.add_key(&scope("acme"), &key("1")).await.unwrap());
    let revoked = TrustedKey { revoked_at: Some(at(5)), ..key("1") };
    for second in [5, 6] {
        assert!(stores.access.revoke_key(&scope("acme"), "1", at(second)).await.unwrap());
        assert!(!stores.access.add_key(&scope("acme"), &key("1")).await.unwrap());
        assert_eq!(stores.access.keys(&scope("acme")).await.unwrap(), std::slice::from_ref(&revoked));
    }
}

async fn a_key_is_of_its_scope_alone(stores: &Stores) {
    assert!(stores.access.add_key(&scope("acme"), &key("1")).await.unwrap());
    assert!(stores.access.add_key(&PolicyScope::Default, &key("1")).await.unwrap());
    assert!(stores.access.revoke_key(&PolicyScope::Default, "1", at(5)).await.unwrap());
    assert_eq!(stores.access.keys(&scope("acme")).await.unwrap(), [key("1")]);
    assert!(stores.access.keys(&scope("zeta")).await.unwrap().is_empty());
}

async fn a_key_that_is_not_there_cannot_be_revoked(stores: &Stores) {
    assert!(stores.access.add_key(&scope("acme"), &key("1")).await.unwrap());
    assert!(!stores.access.revoke_key(&scope("zeta"), "1", at(5)).await.unwrap());
    assert!(!stores.access.revoke_key(&scope("acme"), "2", at(5)).await.unwrap());
    assert_eq!(stores.access.keys(&scope("acme")).await.unwrap(), [key("1")]);
}

async fn keys_are_listed_by_id(stores: &Stores) {
    for id in ["b", "1", "a"] {
        assert!(stores.access.add_key(&scope("acme"), &key(id)).await.unwrap());
    }
    assert_eq!(stores.access.keys(&scope("acme")).await.unwrap(), ["1", "a", "b"].map(key));
}

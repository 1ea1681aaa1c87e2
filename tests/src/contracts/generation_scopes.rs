//! The contract of `GenerationStore`: what hosts are told of scopes, and what they say of them.

use std::time::Duration;

use rtmanager::model::{PolicyScope, Revocation, Rollout, RolloutCounts, RolloutGoal, RolloutMode, Serving};
use rtmanager::ports::{Changes, ScopeState, SwapKind};

use super::Stores;
use super::fixture::{at, component_digest, generation, scope, signed, stage};

super::clauses! { $ generation_scopes, generation_scopes_contract:
    a_scope_that_never_had_a_generation_has_no_state,
    a_state_tells_the_current_the_previous_and_the_staged_generation,
    a_state_holds_the_generations_themselves,
    the_generation_that_is_rolled_out_is_told_though_it_is_not_the_newest,
    an_unbound_scope_tells_what_served_it,
    the_previous_generation_is_never_a_revoked_one,
    revoked_generations_are_told,
    every_change_raises_the_epoch_and_a_refused_one_does_not,
    from_zero_every_scope_is_told_in_order,
    only_scopes_that_changed_since_are_told,
    a_revocation_changes_every_scope_that_has_the_component,
    whoever_waits_is_woken_by_a_change,
    a_host_is_reported_as_it_says,
    a_report_replaces_the_one_before,
    reports_are_of_a_scope_and_not_too_old,
    old_reports_and_those_of_a_stopped_host_are_forgotten,
}

async fn swap(stores: &Stores, of: &PolicyScope, expected: Option<u64>, to: u64) {
    stores.generations.swap(of, expected, to, SwapKind::Bind, None, &signed(to)).await.unwrap();
}

async fn staged(stores: &Stores, of: &PolicyScope, generations: u64) {
    for number in 1..=generations {
        stage(stores, of, &format!("{number}.0.0")).await;
    }
}

async fn state(stores: &Stores, of: &PolicyScope) -> ScopeState {
    stores.generations.state(of).await.unwrap().unwrap()
}

type Numbers = [Option<u64>; 3];

/// Current, previous, staged.
fn numbers(state: &ScopeState) -> Numbers {
    [&state.current, &state.previous, &state.staged].map(|generation| generation.as_ref().map(|it| it.number))
}

async fn revoke(stores: &Stores, number: u64) {
    assert!(stores.generations.revoke(&Revocation::Generation(generation(number)), &signed(5)).await.unwrap());
}

fn shadow(number: u64) -> Rollout {
    let (goal, counts) = (RolloutGoal::default(), RolloutCounts::default());
    Rollout { number, mode: RolloutMode::Shadow, goal, counts, started: signed(1) }
}

async fn a_scope_that_never_had_a_generation_has_no_state(stores: &Stores) {
    stage(stores, &scope("zeta"), "1.0.0").await;
    assert_eq!(stores.generations.state(&scope("acme")).await.unwrap(), None);
}

async fn a_state_tells_the_current_the_previous_and_the_staged_generation(stores: &Stores) {
    let acme = scope("acme");
    let mut seen = Vec::new();
    staged(stores, &acme, 1).await;
    seen.push(numbers(&state(stores, &acme).await));
    swap(stores, &acme, None, 1).await;
    seen.push(numbers(&state(stores, &acme).await));
    staged(stores, &acme, 2).await;
    seen.push(numbers(&state(stores, &acme).await));
    for (from, to) in [(1, 2), (2, 3), (3, 2), (2, 1), (1, 1)] {
        swap(stores, &acme, Some(from), to).await;
        seen.push(numbers(&state(stores, &acme).await));
    }
    let expected: [Numbers; 8] = [
        [None, None, Some(1)],
        [Some(1), None, None],
        [Some(1), None, Some(3)],
        [Some(2), Some(1), Some(3)],
        [Some(3), Some(2), None],
        [Some(2), Some(3), None],
        [Some(1), Some(2), Some(3)],
        [Some(1), Some(2), Some(3)],
    ];
    assert_eq!(seen, expected);
}

async fn a_state_holds_the_generations_themselves(stores: &Stores) {
    let acme = scope("acme");
    staged(stores, &acme, 3).await;
    swap(stores, &acme, None, 1).await;
    swap(stores, &acme, Some(1), 2).await;
    let state = state(stores, &acme).await;
    assert_eq!((&state.scope, &state.rollout), (&acme, &None));
    for (generation, number) in [(state.current, 2), (state.previous, 1), (state.staged, 3)] {
        assert_eq!(generation, stores.generations.generation(&acme, number).await.unwrap());
    }
}

async fn the_generation_that_is_rolled_out_is_told_though_it_is_not_the_newest(stores: &Stores) {
    let acme = scope("acme");
    staged(stores, &acme, 4).await;
    swap(stores, &acme, None, 1).await;
    swap(stores, &acme, Some(1), 2).await;
    stores.generations.start_rollout(&acme, Some(2), &shadow(3)).await.unwrap();
    let tried = state(stores, &acme).await;
    assert_eq!(numbers(&tried), [Some(2), Some(1), Some(3)]);
    assert_eq!(tried.newest, stores.generations.generation(&acme, 4).await.unwrap(), "hosts are to load both");
    assert!(stores.generations.end_rollout(&acme, 3, &signed(1)).await.unwrap());
    assert_eq!(numbers(&state(stores, &acme).await), [Some(2), Some(1), Some(4)]);
    stores.generations.start_rollout(&acme, Some(2), &shadow(1)).await.unwrap();
    assert_eq!(numbers(&state(stores, &acme).await), [Some(2), Some(1), Some(4)], "it is the previous one");
}

async fn an_unbound_scope_tells_what_served_it(stores: &Stores) {
    let acme = scope("acme");
    staged(stores, &acme, 3).await;
    swap(stores, &acme, None, 1).await;
    swap(stores, &acme, Some(1), 2).await;
    stores.generations.unbind(&acme, 2, &signed(1)).await.unwrap();
    assert_eq!(numbers(&state(stores, &acme).await), [None, Some(2), Some(3)]);
    swap(stores, &acme, None, 3).await;
    assert_eq!(numbers(&state(stores, &acme).await), [Some(3), Some(2), None]);
}

async fn the_previous_generation_is_never_a_revoked_one(stores: &Stores) {
    let acme = scope("acme");
    staged(stores, &acme, 4).await;
    swap(stores, &acme, None, 1).await;
    for from in 1..=3 {
        swap(stores, &acme, Some(from), from + 1).await;
    }
    revoke(stores, 3).await;
    assert_eq!(numbers(&state(stores, &acme).await), [Some(4), Some(2), None]);
    let component = Revocation::Component(component_digest("keep", "2.0.0"));
    assert!(stores.generations.revoke(&component, &signed(5)).await.unwrap());
    assert_eq!(numbers(&state(stores, &acme).await), [Some(4), Some(1), None]);
    revoke(stores, 4).await;
    swap(stores, &acme, Some(4), 1).await;
    assert_eq!(numbers(&state(stores, &acme).await), [Some(1), None, Some(4)], "the newest, though it is revoked");
}

async fn revoked_generations_are_told(stores: &Stores) {
    let acme = scope("acme");
    staged(stores, &acme, 3).await;
    swap(stores, &acme, None, 2).await;
    assert!(state(stores, &acme).await.revoked.is_empty());
    revoke(stores, 3).await;
    assert_eq!(state(stores, &acme).await.revoked, [3]);
    let component = Revocation::Component(component_digest("keep", "2.0.0"));
    assert!(stores.generations.revoke(&component, &signed(5)).await.unwrap());
    revoke(stores, 1).await;
    assert_eq!(state(stores, &acme).await.revoked, [2, 3], "the first is none of those that are told");
}

async fn every_change_raises_the_epoch_and_a_refused_one_does_not(stores: &Stores) {
    let acme = scope("acme");
    let generations = &stores.generations;
    let mut last = generations.epoch().await.unwrap();
    let mut has_risen = async || {
        let before = std::mem::replace(&mut last, generations.epoch().await.unwrap());
        before < last
    };
    staged(stores, &acme, 1).await;
    assert!(has_risen().await, "staged");
    swap(stores, &acme, None, 1).await;
    assert!(has_risen().await, "swapped");
    staged(stores, &acme, 2).await;
    assert!(has_risen().await);
    assert!(generations.swap(&acme, None, 2, SwapKind::Bind, None, &signed(1)).await.is_err());
    assert!(generations.start_rollout(&acme, None, &shadow(2)).await.is_err());
    assert!(generations.unbind(&acme, 2, &signed(1)).await.is_err());
    assert!(!generations.end_rollout(&acme, 2, &signed(1)).await.unwrap());
    assert!(!has_risen().await, "refused");
    generations.start_rollout(&acme, Some(1), &shadow(2)).await.unwrap();
    assert!(has_risen().await, "rolled out");
    assert!(generations.end_rollout(&acme, 2, &signed(1)).await.unwrap());
    assert!(has_risen().await, "given up");
    generations.unbind(&acme, 1, &signed(1)).await.unwrap();
    assert!(has_risen().await, "unbound");
    revoke(stores, 1).await;
    assert!(has_risen().await, "revoked");
}

async fn from_zero_every_scope_is_told_in_order(stores: &Stores) {
    assert_eq!(stores.generations.changed_since(0).await.unwrap(), Changes::default());
    let scopes = [PolicyScope::Default, scope("B"), scope("a")];
    for of in scopes.iter().rev() {
        staged(stores, of, 2).await;
    }
    let Changes { epoch, states, .. } = stores.generations.changed_since(0).await.unwrap();
    assert_eq!(epoch, stores.generations.epoch().await.unwrap());
    for (told, of) in states.iter().zip(&scopes) {
        assert_eq!(*told, state(stores, of).await);
    }
    assert_eq!(states.len(), 3);
}

async fn only_scopes_that_changed_since_are_told(stores: &Stores) {
    staged(stores, &scope("acme"), 1).await;
    let seen = stores.generations.changed_since(0).await.unwrap().epoch;
    let nothing = Changes { epoch: seen, ..Changes::default() };
    assert_eq!(stores.generations.changed_since(seen).await.unwrap(), nothing);
    staged(stores, &scope("zeta"), 1).await;
    let Changes { epoch: later, states, .. } = stores.generations.changed_since(seen).await.unwrap();
    assert!(later > seen);
    assert_eq!(states, [state(stores, &scope("zeta")).await]);
    stores.access.set_ceiling(&scope("acme"), None).await.unwrap();
    let Changes { epoch: latest, states, .. } = stores.generations.changed_since(later).await.unwrap();
    assert!(latest > later && states.is_empty(), "a ceiling is none of what is told");
}

async fn a_revocation_changes_every_scope_that_has_the_component(stores: &Stores) {
    for (of, generations) in [("acme", 1), ("beta", 2), ("zeta", 1)] {
        staged(stores, &scope(of), generations).await;
    }
    let seen = stores.generations.changed_since(0).await.unwrap().epoch;
    let component = Revocation::Component(component_digest("keep", "2.0.0"));
    assert!(stores.generations.revoke(&component, &signed(5)).await.unwrap());
    let states = stores.generations.changed_since(seen).await.unwrap().states;
    assert_eq!(states, [state(stores, &scope("beta")).await]);
    assert_eq!(states[0].revoked, [2]);
}

async fn whoever_waits_is_woken_by_a_change(stores: &Stores) {
    let generations = stores.generations.clone();
    let mut waiting = tokio::spawn(async move { generations.changed().await });
    // It may be a while until the store can tell.
    for number in 1.. {
        staged(stores, &scope("acme"), 1).await;
        match tokio::time::timeout(Duration::from_millis(50), &mut waiting).await {
            Ok(woken) => return woken.unwrap(),
            Err(_) => assert!(number < 200, "nobody was woken"),
        }
    }
}

fn serving(replica: &str, of: &PolicyScope, seconds: u64) -> Serving {
    Serving {
        replica: replica.to_owned(),
        scope: of.clone(),
        generation: generation(7),
        ready: vec![8, 6],
        problem: Some("it does not compile: \"x\"".to_owned()),
        at: at(seconds),
    }
}

async fn reports(stores: &Stores, of: &PolicyScope, since: u64) -> Vec<Serving> {
    stores.generations.reports(of, at(since)).await.unwrap()
}

async fn a_host_is_reported_as_it_says(stores: &Stores) {
    let said = serving("host-1", &scope("acme"), 5);
    let configured = Serving {
        generation: "*/file-0123456789abcdef".parse().unwrap(),
        ready: vec![],
        problem: None,
        ..serving("host-2", &scope("acme"), 6)
    };
    for said in [&said, &configured] {
        stores.generations.report(said).await.unwrap();
    }
    assert_eq!(reports(stores, &scope("acme"), 0).await, [said, configured]);
}

async fn a_report_replaces_the_one_before(stores: &Stores) {
    let acme = scope("acme");
    stores.generations.report(&serving("host", &acme, 5)).await.unwrap();
    let later = Serving { generation: generation(8), problem: None, ready: vec![9], ..serving("host", &acme, 6) };
    stores.generations.report(&later).await.unwrap();
    assert_eq!(reports(stores, &acme, 0).await, [later]);
}

async fn reports_are_of_a_scope_and_not_too_old(stores: &Stores) {
    let acme = scope("acme");
    for (replica, second) in [("b", 5), ("a", 6), ("c", 4)] {
        stores.generations.report(&serving(replica, &acme, second)).await.unwrap();
    }
    stores.generations.report(&serving("a", &PolicyScope::Default, 9)).await.unwrap();
    assert_eq!(reports(stores, &acme, 5).await, [serving("a", &acme, 6), serving("b", &acme, 5)]);
    assert!(reports(stores, &scope("zeta"), 0).await.is_empty());
}

async fn old_reports_and_those_of_a_stopped_host_are_forgotten(stores: &Stores) {
    let acme = scope("acme");
    for (replica, second) in [("a", 4), ("b", 5), ("c", 9)] {
        stores.generations.report(&serving(replica, &acme, second)).await.unwrap();
        stores.generations.report(&serving(replica, &PolicyScope::Default, 9)).await.unwrap();
    }
    stores.generations.forget_reports(at(5), None).await.unwrap();
    assert_eq!(reports(stores, &acme, 0).await, [serving("b", &acme, 5), serving("c", &acme, 9)]);
    stores.generations.forget_reports(at(0), Some("c")).await.unwrap();
    assert_eq!(reports(stores, &acme, 0).await, [serving("b", &acme, 5)]);
    let elsewhere = ["a", "b"].map(|replica| serving(replica, &PolicyScope::Default, 9));
    assert_eq!(reports(stores, &PolicyScope::Default, 0).await, elsewhere);
}

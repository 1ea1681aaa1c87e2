//! The contract of `PauseStore`.

use rtmanager::model::{Pause, PauseCause, PauseScope};

use super::Stores;
use super::fixture::{at, engine, tenant};

super::clauses! { $ pause_store, pause_store_contract:
    a_pause_is_set_and_listed_as_given,
    a_pause_in_force_stays_as_it_is,
    an_operators_pause_replaces_that_for_a_clock_jump_and_no_other_way_round,
    resuming_for_one_cause_leaves_a_pause_of_another,
    scopes_are_paused_one_by_one_and_listed_in_order,
    resuming_answers_the_pause_and_lifts_it,
    resuming_what_is_not_paused_answers_none,
    resuming_from_the_breaker_allows_as_many_removals_on_that_engine,
    resuming_from_another_cause_allows_nothing,
    an_allowance_counts_within_its_window_only,
}

fn pause(scope: PauseScope, cause: PauseCause) -> Pause {
    Pause { scope, cause, reason: "too many; confirm".to_owned(), actor: "sweeper".to_owned(), at: at(7) }
}

async fn allowance(stores: &Stores, name: &str, since: u64) -> u64 {
    stores.records.census(&engine(name), at(0), at(20), at(since), "").await.unwrap().allowance
}

async fn a_pause_is_set_and_listed_as_given(stores: &Stores) {
    let causes = [PauseCause::Operator, PauseCause::Breaker { removals: 21 }, PauseCause::ClockJump];
    for cause in causes {
        let pause = pause(PauseScope::Global, cause);
        assert!(stores.pauses.pause(&pause).await.unwrap());
        assert_eq!(stores.pauses.pauses().await.unwrap(), std::slice::from_ref(&pause));
        assert_eq!(stores.pauses.resume(&PauseScope::Global, at(9)).await.unwrap(), Some(pause));
    }
}

async fn a_pause_in_force_stays_as_it_is(stores: &Stores) {
    let first = pause(PauseScope::Engine(engine("local")), PauseCause::Breaker { removals: 30 });
    assert!(stores.pauses.pause(&first).await.unwrap());
    assert!(!stores.pauses.pause(&Pause { cause: PauseCause::Operator, ..first.clone() }).await.unwrap());
    assert_eq!(stores.pauses.pauses().await.unwrap(), [first]);
}

async fn an_operators_pause_replaces_that_for_a_clock_jump_and_no_other_way_round(stores: &Stores) {
    assert!(stores.pauses.pause(&pause(PauseScope::Global, PauseCause::ClockJump)).await.unwrap());
    let order = Pause { actor: "ada".to_owned(), at: at(8), ..pause(PauseScope::Global, PauseCause::Operator) };
    assert!(stores.pauses.pause(&order).await.unwrap());
    assert!(!stores.pauses.pause(&pause(PauseScope::Global, PauseCause::ClockJump)).await.unwrap());
    assert_eq!(stores.pauses.pauses().await.unwrap(), [order]);
}

async fn resuming_for_one_cause_leaves_a_pause_of_another(stores: &Stores) {
    let set = pause(PauseScope::Global, PauseCause::Operator);
    stores.pauses.pause(&set).await.unwrap();
    let not_for = stores.pauses.resume_if(&PauseScope::Global, PauseCause::ClockJump, at(9)).await;
    assert_eq!(not_for.unwrap(), None);
    let resumed = stores.pauses.resume_if(&PauseScope::Global, PauseCause::Operator, at(9)).await;
    assert_eq!(resumed.unwrap(), Some(set));
    assert!(stores.pauses.pauses().await.unwrap().is_empty());
}

async fn scopes_are_paused_one_by_one_and_listed_in_order(stores: &Stores) {
    let scopes = [
        PauseScope::Global,
        PauseScope::Engine(engine("a")),
        PauseScope::Engine(engine("b")),
        PauseScope::Tenant(tenant("a")),
    ];
    for scope in scopes.iter().rev() {
        assert!(stores.pauses.pause(&pause(scope.clone(), PauseCause::Operator)).await.unwrap());
    }
    let listed: Vec<_> = stores.pauses.pauses().await.unwrap().into_iter().map(|pause| pause.scope).collect();
    assert_eq!(listed, scopes);
}

async fn resuming_answers_the_pause_and_lifts_it(stores: &Stores) {
    let tenant = PauseScope::Tenant(tenant("acme"));
    let set = pause(tenant.clone(), PauseCause::Operator);
    stores.pauses.pause(&set).await.unwrap();
    assert_eq!(stores.pauses.resume(&PauseScope::Engine(engine("acme")), at(9)).await.unwrap(), None);
    assert_eq!(stores.pauses.resume(&tenant, at(9)).await.unwrap(), Some(set.clone()));
    assert!(stores.pauses.pauses().await.unwrap().is_empty());
    assert!(stores.pauses.pause(&set).await.unwrap());
}

async fn resuming_what_is_not_paused_answers_none(stores: &Stores) {
    assert_eq!(stores.pauses.resume(&PauseScope::Global, at(9)).await.unwrap(), None);
}

async fn resuming_from_the_breaker_allows_as_many_removals_on_that_engine(stores: &Stores) {
    let scope = PauseScope::Engine(engine("local"));
    for removals in [21, 4] {
        stores.pauses.pause(&pause(scope.clone(), PauseCause::Breaker { removals })).await.unwrap();
        assert!(stores.pauses.resume(&scope, at(9)).await.unwrap().is_some());
        assert_eq!(stores.pauses.resume(&scope, at(9)).await.unwrap(), None, "and only once");
    }
    assert_eq!(allowance(stores, "local", 0).await, 25);
    assert_eq!(allowance(stores, "other", 0).await, 0);
}

async fn resuming_from_another_cause_allows_nothing(stores: &Stores) {
    let scope = PauseScope::Engine(engine("local"));
    for cause in [PauseCause::Operator, PauseCause::ClockJump] {
        stores.pauses.pause(&pause(scope.clone(), cause)).await.unwrap();
        stores.pauses.resume(&scope, at(9)).await.unwrap();
    }
    assert_eq!(allowance(stores, "local", 0).await, 0);
}

async fn an_allowance_counts_within_its_window_only(stores: &Stores) {
    let scope = PauseScope::Engine(engine("local"));
    stores.pauses.pause(&pause(scope.clone(), PauseCause::Breaker { removals: 21 })).await.unwrap();
    stores.pauses.resume(&scope, at(9)).await.unwrap();
    assert_eq!(allowance(stores, "local", 9).await, 21);
    assert_eq!(allowance(stores, "local", 10).await, 0);
    let before = stores.records.census(&engine("local"), at(0), at(8), at(0), "").await.unwrap();
    assert_eq!(before.allowance, 0, "dated in the future");
}

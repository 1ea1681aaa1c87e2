//! The contract of `GenerationStore`: generations, swaps, rollouts, revocations.

use rtmanager::model::{
    Divergence, DivergenceKind, PolicyChange, PolicyEvent, PolicyScope, PolicyVersion, Revocation, Rollout,
    RolloutCounts, RolloutGoal, RolloutMode,
};
use rtmanager::ports::{PruneBefore, StoreError, SwapError, SwapKind};

use super::Stores;
use super::fixture::{all_of, at, component_digest, generation, run, scope, signed, spec, stage};

super::clauses! { $ generation_store, generation_store_contract:
    generations_count_from_one_within_their_scope,
    a_generation_is_answered_as_it_was_staged,
    a_generation_of_no_component_in_the_store_is_refused,
    a_swap_makes_a_generation_current_if_the_expected_one_is,
    a_swap_tells_which_generation_is_current_instead,
    of_many_swaps_at_once_one_happens,
    what_is_not_there_or_revoked_is_not_made_current,
    a_swap_is_refused_for_the_first_reason_in_order,
    a_scope_is_unbound_if_the_expected_generation_is_current,
    a_mark_is_raised_by_versions_and_a_swap_below_it_is_refused,
    a_mark_is_looked_at_last,
    a_refused_swap_raises_no_mark,
    a_rollout_is_started_as_given_and_has_seen_nothing,
    a_rollout_starts_only_of_what_could_become_current,
    a_rollout_is_given_up_once,
    a_rollout_is_promoted_and_ends,
    a_swap_or_an_unbinding_ends_a_rollout,
    a_rollback_leaves_a_rollout_under_way_only_if_it_is_to_go_on,
    what_was_seen_of_a_rollout_adds_up,
    what_was_seen_of_no_rollout_is_not_counted,
    counting_at_once_loses_nothing,
    divergences_are_answered_newest_first,
    a_rollout_keeps_its_latest_thousand_divergences,
    a_new_rollout_of_a_generation_forgets_earlier_divergences,
    a_revocation_ends_a_rollout_and_leaves_what_serves,
    a_revocation_of_a_component_reaches_every_scope,
    revoking_again_changes_nothing,
    what_is_not_there_cannot_be_revoked,
    revocations_are_listed_newest_first,
    revocations_are_told_by_number_from_any_of_them_on,
    what_was_staged_and_never_used_is_counted_and_forgotten_when_it_is_old,
    divergences_are_forgotten_when_they_are_old_and_their_rollout_is_over,
    a_history_is_told_newest_first_by_scope_and_page,
}

async fn swap(stores: &Stores, of: &PolicyScope, expected: Option<u64>, to: u64) -> Result<(), SwapError> {
    stores.generations.swap(of, expected, to, SwapKind::Bind, None, &signed(to)).await
}

/// A scope with so many generations, the first of which serves it.
async fn bound(stores: &Stores, of: &PolicyScope, generations: u64) {
    for number in 1..=generations {
        stage(stores, of, &format!("{number}.0.0")).await;
    }
    swap(stores, of, None, 1).await.unwrap();
}

async fn current(stores: &Stores, of: &PolicyScope) -> Option<u64> {
    stores.generations.state(of).await.unwrap().unwrap().current.map(|generation| generation.number)
}

fn canary(number: u64) -> Rollout {
    Rollout {
        number,
        mode: RolloutMode::Canary { per_myriad: 500 },
        goal: RolloutGoal { clean_runs: Some(200), promote_at: Some(at(3_600)), stop_on_divergence: true },
        counts: RolloutCounts::default(),
        started: signed(number),
    }
}

fn shadow(number: u64) -> Rollout {
    Rollout { mode: RolloutMode::Shadow, goal: RolloutGoal::default(), ..canary(number) }
}

async fn rollout(stores: &Stores, of: &PolicyScope) -> Option<Rollout> {
    stores.generations.state(of).await.unwrap().unwrap().rollout
}

async fn revoke(stores: &Stores, revocation: Revocation) -> bool {
    stores.generations.revoke(&revocation, &signed(5)).await.unwrap()
}

/// Event, from and to, oldest first.
async fn history(stores: &Stores, of: &PolicyScope) -> Vec<(PolicyEvent, Option<u64>, Option<u64>)> {
    let changes = stores.generations.history(of, None, 100).await.unwrap();
    changes.into_iter().rev().map(|change| (change.event, change.from, change.to)).collect()
}

async fn generations_count_from_one_within_their_scope(stores: &Stores) {
    for expected in 1..=3 {
        for of in [PolicyScope::Default, scope("acme")] {
            let staged = stage(stores, &of, "1.0.0").await;
            assert_eq!((staged.number, staged.scope), (expected, of));
        }
    }
    assert_eq!(current(stores, &scope("acme")).await, None, "a staged one serves nobody");
    assert!(history(stores, &scope("acme")).await.is_empty());
}

async fn a_generation_is_answered_as_it_was_staged(stores: &Stores) {
    let acme = scope("acme");
    stage(stores, &acme, "1.0.0").await;
    for spec in [spec("1.0.0"), all_of("1.0.0")] {
        let staged = stores.generations.stage(&acme, &spec, &signed(9)).await.unwrap();
        assert_eq!((&staged.spec, &staged.staged), (&spec, &signed(9)));
        assert_eq!(stores.generations.generation(&acme, staged.number).await.unwrap(), Some(staged));
    }
    assert_eq!(stores.generations.generation(&acme, 4).await.unwrap(), None);
    assert_eq!(stores.generations.generation(&scope("zeta"), 1).await.unwrap(), None);
}

async fn a_generation_of_no_component_in_the_store_is_refused(stores: &Stores) {
    let refused = stores.generations.stage(&scope("acme"), &spec("1.0.0"), &signed(1)).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    assert_eq!(stage(stores, &scope("acme"), "1.0.0").await.number, 1, "it used no number");
}

async fn a_swap_makes_a_generation_current_if_the_expected_one_is(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    swap(stores, &acme, Some(1), 3).await.unwrap();
    stores.generations.swap(&acme, Some(3), 1, SwapKind::RollBack, None, &signed(1)).await.unwrap();
    assert_eq!(current(stores, &acme).await, Some(1));
    let expected = [
        (PolicyEvent::Bound, None, Some(1)),
        (PolicyEvent::Bound, Some(1), Some(3)),
        (PolicyEvent::RolledBack, Some(3), Some(1)),
    ];
    assert_eq!(history(stores, &acme).await, expected);
}

async fn a_swap_tells_which_generation_is_current_instead(stores: &Stores) {
    let acme = scope("acme");
    stage(stores, &acme, "1.0.0").await;
    let wrong = swap(stores, &acme, Some(1), 1).await;
    assert!(matches!(wrong, Err(SwapError::Conflict { current: None })), "{wrong:?}");
    bound(stores, &acme, 1).await;
    for expected in [None, Some(2)] {
        let wrong = swap(stores, &acme, expected, 2).await;
        assert!(matches!(wrong, Err(SwapError::Conflict { current: Some(1) })), "{wrong:?}");
    }
    assert_eq!(current(stores, &acme).await, Some(1));
    assert_eq!(history(stores, &acme).await.len(), 1);
}

async fn of_many_swaps_at_once_one_happens(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 6).await;
    let swapping: Vec<_> = (2..=6)
        .map(|to| {
            let (generations, acme) = (stores.generations.clone(), acme.clone());
            let swap = async move { generations.swap(&acme, Some(1), to, SwapKind::Bind, None, &signed(to)).await };
            tokio::spawn(async move { (to, swap.await) })
        })
        .collect();
    let mut happened = Vec::new();
    for swapped in swapping {
        match swapped.await.unwrap() {
            (to, Ok(())) => happened.push(to),
            (_, Err(SwapError::Conflict { .. })) => {}
            wrong => panic!("{wrong:?}"),
        }
    }
    assert_eq!(happened.len(), 1);
    assert_eq!(current(stores, &acme).await, Some(happened[0]));
}

async fn what_is_not_there_or_revoked_is_not_made_current(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    for absent in [0, 4] {
        assert!(matches!(swap(stores, &acme, Some(1), absent).await, Err(SwapError::NotFound(n)) if n == absent));
    }
    assert!(matches!(swap(stores, &scope("zeta"), None, 1).await, Err(SwapError::NotFound(1))));
    assert!(revoke(stores, Revocation::Generation(generation(2))).await);
    assert!(revoke(stores, Revocation::Component(component_digest("keep", "3.0.0"))).await);
    for revoked in [2, 3] {
        assert!(matches!(swap(stores, &acme, Some(1), revoked).await, Err(SwapError::Revoked(n)) if n == revoked));
    }
    assert_eq!(current(stores, &acme).await, Some(1));
}

async fn a_swap_is_refused_for_the_first_reason_in_order(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 2).await;
    let promote = async |expected, to| {
        stores.generations.swap(&acme, expected, to, SwapKind::Promote, None, &signed(1)).await.unwrap_err()
    };
    assert!(matches!(promote(Some(1), 2).await, SwapError::Rollout(_)));
    assert!(revoke(stores, Revocation::Generation(generation(2))).await);
    assert!(matches!(promote(Some(1), 2).await, SwapError::Revoked(2)));
    assert!(matches!(promote(None, 2).await, SwapError::Conflict { current: Some(1) }));
    assert!(matches!(promote(None, 3).await, SwapError::NotFound(3)));
}

async fn a_scope_is_unbound_if_the_expected_generation_is_current(stores: &Stores) {
    let acme = scope("acme");
    let unbind = async |expected| stores.generations.unbind(&acme, expected, &signed(1)).await;
    assert!(matches!(unbind(1).await, Err(SwapError::Conflict { current: None })));
    bound(stores, &acme, 2).await;
    assert!(matches!(unbind(2).await, Err(SwapError::Conflict { current: Some(1) })));
    unbind(1).await.unwrap();
    assert_eq!(current(stores, &acme).await, None);
    assert!(matches!(unbind(1).await, Err(SwapError::Conflict { current: None })));
    assert_eq!(history(stores, &acme).await[1..], [(PolicyEvent::Unbound, Some(1), None)]);
}

async fn a_mark_is_raised_by_versions_and_a_swap_below_it_is_refused(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 1).await;
    let (keep, other) = ("keep".parse().unwrap(), "other".parse().unwrap());
    assert_eq!(stores.generations.mark(&acme, &keep).await.unwrap(), None);
    for (to, expected) in [("1.9.0", "1.9.0"), ("1.10.0", "1.10.0"), ("1.9.9", "1.10.0"), ("1.10.0-rc.1", "1.10.0")] {
        let version: PolicyVersion = to.parse().unwrap();
        let before = (stores.generations.epoch().await.unwrap(), history(stores, &acme).await);
        let raise = Some((&keep, &version));
        let swapped = stores.generations.swap(&acme, Some(1), 1, SwapKind::Bind, raise, &signed(1)).await;
        match swapped {
            Ok(()) => assert_eq!(to, expected),
            Err(SwapError::Downgrade { name, version: refused, mark }) => {
                assert_eq!((&name, &refused, mark.to_string()), (&keep, &version, expected.to_owned()));
                assert!(refused < mark);
                let after = (stores.generations.epoch().await.unwrap(), history(stores, &acme).await);
                assert_eq!(after, before, "nothing happened");
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(stores.generations.mark(&acme, &keep).await.unwrap(), Some(expected.parse().unwrap()));
    }
    assert_eq!(stores.generations.mark(&acme, &other).await.unwrap(), None);
    assert_eq!(stores.generations.mark(&PolicyScope::Default, &keep).await.unwrap(), None);
}

async fn a_mark_is_looked_at_last(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 2).await;
    let (keep, high, low) = ("keep".parse().unwrap(), "2.0.0".parse().unwrap(), "1.0.0".parse().unwrap());
    stores.generations.swap(&acme, Some(1), 1, SwapKind::Bind, Some((&keep, &high)), &signed(1)).await.unwrap();
    let below = async |expected, to, kind| {
        let swapped = stores.generations.swap(&acme, expected, to, kind, Some((&keep, &low)), &signed(1)).await;
        swapped.unwrap_err()
    };
    assert!(matches!(below(Some(1), 9, SwapKind::Bind).await, SwapError::NotFound(9)));
    assert!(matches!(below(Some(2), 2, SwapKind::Bind).await, SwapError::Conflict { current: Some(1) }));
    assert!(matches!(below(Some(1), 2, SwapKind::Promote).await, SwapError::Rollout(_)));
    stores.generations.start_rollout(&acme, Some(1), &shadow(2)).await.unwrap();
    assert!(matches!(below(Some(1), 2, SwapKind::Promote).await, SwapError::Downgrade { .. }));
    assert!(rollout(stores, &acme).await.is_some(), "it goes on");
}

async fn a_refused_swap_raises_no_mark(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 1).await;
    let (keep, version) = ("keep".parse().unwrap(), "9.0.0".parse().unwrap());
    let by = signed(1);
    let swap = stores.generations.swap(&acme, None, 1, SwapKind::Bind, Some((&keep, &version)), &by);
    assert!(swap.await.is_err());
    assert_eq!(stores.generations.mark(&acme, &keep).await.unwrap(), None);
}

async fn a_rollout_is_started_as_given_and_has_seen_nothing(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    for given in [canary(2), shadow(3)] {
        let seen = RolloutCounts { runs: 9, faults: 9, divergences: 9 };
        let with_counts = Rollout { counts: seen, ..given.clone() };
        stores.generations.start_rollout(&acme, Some(1), &with_counts).await.unwrap();
        assert_eq!(rollout(stores, &acme).await.as_ref(), Some(&given));
        assert!(stores.generations.end_rollout(&acme, given.number, &signed(1)).await.unwrap());
    }
    assert_eq!(history(stores, &acme).await[1], (PolicyEvent::RolloutStarted, Some(1), Some(2)));
    let unbound = scope("zeta");
    stage(stores, &unbound, "1.0.0").await;
    stores.generations.start_rollout(&unbound, None, &shadow(1)).await.unwrap();
    assert_eq!(rollout(stores, &unbound).await, Some(shadow(1)));
}

async fn a_rollout_starts_only_of_what_could_become_current(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 4).await;
    let start = async |expected, number| stores.generations.start_rollout(&acme, expected, &canary(number)).await;
    assert!(matches!(start(Some(1), 5).await, Err(SwapError::NotFound(5))));
    assert!(matches!(start(Some(2), 3).await, Err(SwapError::Conflict { current: Some(1) })));
    assert!(matches!(start(Some(1), 1).await, Err(SwapError::Rollout(_))), "it is current");
    assert!(revoke(stores, Revocation::Generation(generation(2))).await);
    assert!(matches!(start(Some(1), 2).await, Err(SwapError::Revoked(2))));
    assert_eq!(rollout(stores, &acme).await, None);
    start(Some(1), 3).await.unwrap();
    for other in [3, 4] {
        assert!(matches!(start(Some(1), other).await, Err(SwapError::Rollout(_))), "one is under way");
    }
    assert_eq!(rollout(stores, &acme).await, Some(canary(3)));
}

async fn a_rollout_is_given_up_once(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 2).await;
    let end = async |number| stores.generations.end_rollout(&acme, number, &signed(7)).await.unwrap();
    assert!(!end(2).await);
    stores.generations.start_rollout(&acme, Some(1), &canary(2)).await.unwrap();
    assert!(!end(1).await);
    assert!(end(2).await);
    assert!(!end(2).await);
    assert_eq!(rollout(stores, &acme).await, None);
    assert_eq!(history(stores, &acme).await[2..], [(PolicyEvent::RolloutEnded, Some(1), Some(2))]);
    assert!(!stores.generations.end_rollout(&scope("zeta"), 1, &signed(7)).await.unwrap());
}

async fn a_rollout_is_promoted_and_ends(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    stores.generations.start_rollout(&acme, Some(1), &canary(2)).await.unwrap();
    let promote = async |to| stores.generations.swap(&acme, Some(1), to, SwapKind::Promote, None, &signed(1)).await;
    assert!(matches!(promote(3).await, Err(SwapError::Rollout(_))), "another one is rolled out");
    promote(2).await.unwrap();
    assert_eq!((current(stores, &acme).await, rollout(stores, &acme).await), (Some(2), None));
    assert_eq!(history(stores, &acme).await[2..], [(PolicyEvent::Promoted, Some(1), Some(2))]);
}

async fn a_swap_or_an_unbinding_ends_a_rollout(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    stores.generations.start_rollout(&acme, Some(1), &canary(2)).await.unwrap();
    swap(stores, &acme, Some(1), 3).await.unwrap();
    assert_eq!(rollout(stores, &acme).await, None);
    stores.generations.start_rollout(&acme, Some(3), &canary(2)).await.unwrap();
    swap(stores, &acme, Some(3), 2).await.unwrap();
    assert_eq!(rollout(stores, &acme).await, None);
    stores.generations.start_rollout(&acme, Some(2), &canary(1)).await.unwrap();
    stores.generations.unbind(&acme, 2, &signed(1)).await.unwrap();
    assert_eq!(rollout(stores, &acme).await, None);
    use PolicyEvent::{Bound, RolloutEnded, RolloutStarted, Unbound};
    let expected = [
        (Bound, None, Some(1)),
        (RolloutStarted, Some(1), Some(2)),
        (RolloutEnded, Some(1), Some(2)),
        (Bound, Some(1), Some(3)),
        (RolloutStarted, Some(3), Some(2)),
        (Bound, Some(3), Some(2)),
        (RolloutStarted, Some(2), Some(1)),
        (RolloutEnded, Some(2), Some(1)),
        (Unbound, Some(2), None),
    ];
    assert_eq!(history(stores, &acme).await, expected);
}

async fn what_was_seen_of_a_rollout_adds_up(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 2).await;
    stores.generations.start_rollout(&acme, Some(1), &canary(2)).await.unwrap();
    let epoch = stores.generations.epoch().await.unwrap();
    let seen = RolloutCounts { runs: 5, faults: 1, divergences: 2 };
    for times in 1..=2 {
        let sum = RolloutCounts { runs: 5 * times, faults: times, divergences: 2 * times };
        assert_eq!(stores.generations.count_rollout(&acme, 2, &seen).await.unwrap(), Some(sum));
        assert_eq!(rollout(stores, &acme).await.unwrap().counts, sum);
    }
    assert_eq!(stores.generations.epoch().await.unwrap(), epoch, "hosts need not know");
    stage(stores, &acme, "3.0.0").await;
    assert_eq!(rollout(stores, &acme).await.unwrap().counts.runs, 10, "another change leaves it alone");
}

async fn what_was_seen_of_no_rollout_is_not_counted(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    let seen = RolloutCounts { runs: 5, faults: 1, divergences: 2 };
    let count = async |number| stores.generations.count_rollout(&acme, number, &seen).await.unwrap();
    assert_eq!(count(2).await, None);
    stores.generations.start_rollout(&acme, Some(1), &canary(2)).await.unwrap();
    assert_eq!(count(3).await, None);
    assert!(stores.generations.end_rollout(&acme, 2, &signed(1)).await.unwrap());
    assert_eq!(count(2).await, None);
}

async fn counting_at_once_loses_nothing(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 2).await;
    stores.generations.start_rollout(&acme, Some(1), &canary(2)).await.unwrap();
    let counting: Vec<_> = (0..4)
        .map(|_| {
            let (generations, acme) = (stores.generations.clone(), acme.clone());
            tokio::spawn(async move {
                let one = RolloutCounts { runs: 1, ..RolloutCounts::default() };
                for _ in 0..10 {
                    generations.count_rollout(&acme, 2, &one).await.unwrap().unwrap();
                }
            })
        })
        .collect();
    // Changes of the same scope meanwhile.
    for _ in 0..5 {
        stage(stores, &acme, "3.0.0").await;
    }
    for counted in counting {
        counted.await.unwrap();
    }
    assert_eq!(rollout(stores, &acme).await.unwrap().counts.runs, 40);
}

fn divergence(number: u64) -> Divergence {
    Divergence {
        game_id: "g ü".to_owned(),
        run_id: run(number.into()),
        kind: DivergenceKind::ALL[number as usize % 5],
        current: "kept".to_owned(),
        candidate: format!("removed \"{number}\""),
        at: at(number),
    }
}

async fn divergences_are_answered_newest_first(stores: &Stores) {
    let acme = scope("acme");
    for number in 1..=5 {
        stores.generations.add_divergence(&acme, 2, &divergence(number)).await.unwrap();
    }
    stores.generations.add_divergence(&acme, 3, &divergence(9)).await.unwrap();
    stores.generations.add_divergence(&scope("zeta"), 2, &divergence(9)).await.unwrap();
    let newest = stores.generations.divergences(&acme, 2, 3).await.unwrap();
    assert_eq!(newest, [5, 4, 3].map(divergence));
    assert_eq!(stores.generations.divergences(&acme, 2, 100).await.unwrap().len(), 5);
    assert!(stores.generations.divergences(&acme, 4, 100).await.unwrap().is_empty());
}

async fn a_rollout_keeps_its_latest_thousand_divergences(stores: &Stores) {
    let acme = scope("acme");
    stores.generations.add_divergence(&acme, 1, &divergence(7)).await.unwrap();
    for number in 1..=1_003 {
        stores.generations.add_divergence(&acme, 2, &divergence(number)).await.unwrap();
    }
    let kept = stores.generations.divergences(&acme, 2, 2_000).await.unwrap();
    assert_eq!(kept.len(), 1_000);
    assert_eq!((&kept[0], &kept[999]), (&divergence(1_003), &divergence(4)));
    assert_eq!(stores.generations.divergences(&acme, 1, 10).await.unwrap(), [divergence(7)]);
}

async fn a_new_rollout_of_a_generation_forgets_earlier_divergences(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    for number in [2, 3] {
        stores.generations.add_divergence(&acme, number, &divergence(1)).await.unwrap();
    }
    stores.generations.start_rollout(&acme, Some(1), &shadow(2)).await.unwrap();
    assert!(stores.generations.divergences(&acme, 2, 10).await.unwrap().is_empty());
    assert_eq!(stores.generations.divergences(&acme, 3, 10).await.unwrap().len(), 1);
    stores.generations.add_divergence(&acme, 2, &divergence(1)).await.unwrap();
    assert!(stores.generations.end_rollout(&acme, 2, &signed(1)).await.unwrap());
    assert_eq!(stores.generations.divergences(&acme, 2, 10).await.unwrap().len(), 1, "an ended one keeps them");
}

async fn a_revocation_ends_a_rollout_and_leaves_what_serves(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    stores.generations.start_rollout(&acme, Some(1), &canary(2)).await.unwrap();
    assert!(revoke(stores, Revocation::Generation(generation(3))).await);
    assert_eq!(rollout(stores, &acme).await, Some(canary(2)), "it is not revoked");
    assert!(revoke(stores, Revocation::Generation(generation(2))).await);
    assert_eq!(rollout(stores, &acme).await, None);
    assert!(revoke(stores, Revocation::Generation(generation(1))).await);
    assert_eq!(current(stores, &acme).await, Some(1));
    let expected = [(PolicyEvent::Revoked, Some(1), Some(2)), (PolicyEvent::Revoked, Some(1), Some(1))];
    assert_eq!(history(stores, &acme).await[2..], expected);
}

async fn a_revocation_of_a_component_reaches_every_scope(stores: &Stores) {
    let scopes = [PolicyScope::Default, scope("acme"), scope("zeta")];
    for of in &scopes {
        bound(stores, of, 2).await;
    }
    // The same component is current and tried in one scope, current in another, and staged in the third.
    let again = stage(stores, &scopes[0], "1.0.0").await;
    stores.generations.start_rollout(&scopes[0], Some(1), &canary(again.number)).await.unwrap();
    swap(stores, &scopes[2], Some(1), 2).await.unwrap();
    assert!(revoke(stores, Revocation::Component(component_digest("keep", "1.0.0"))).await);
    let revoked = async |of| {
        let events = history(stores, of).await;
        events
            .into_iter()
            .filter(|(event, ..)| *event == PolicyEvent::Revoked)
            .map(|(_, from, to)| (from, to))
            .collect()
    };
    let all: [Vec<_>; 3] = [revoked(&scopes[0]).await, revoked(&scopes[1]).await, revoked(&scopes[2]).await];
    assert_eq!(all, [vec![(Some(1), Some(1)), (Some(1), Some(3))], vec![(Some(1), Some(1))], vec![]]);
    assert_eq!(rollout(stores, &scopes[0]).await, None);
    let later = stage(stores, &scopes[1], "1.0.0").await;
    assert!(matches!(swap(stores, &scopes[1], Some(1), later.number).await, Err(SwapError::Revoked(3))));
}

async fn revoking_again_changes_nothing(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 1).await;
    assert!(revoke(stores, Revocation::Generation(generation(1))).await);
    let before = (stores.generations.epoch().await.unwrap(), history(stores, &acme).await);
    assert!(stores.generations.revoke(&Revocation::Generation(generation(1)), &signed(9)).await.unwrap());
    assert_eq!((stores.generations.epoch().await.unwrap(), history(stores, &acme).await), before);
    assert_eq!(stores.generations.revocations(10).await.unwrap(), [("acme/1".to_owned(), signed(5))]);
}

async fn what_is_not_there_cannot_be_revoked(stores: &Stores) {
    bound(stores, &scope("acme"), 1).await;
    let before = stores.generations.epoch().await.unwrap();
    for absent in ["acme/2", "acme/0", "zeta/1", "*/1", "acme/file-0123456789abcdef"] {
        assert!(!revoke(stores, Revocation::Generation(absent.parse().unwrap())).await, "{absent}");
    }
    assert!(!revoke(stores, Revocation::Component(component_digest("keep", "none"))).await);
    assert!(stores.generations.revocations(10).await.unwrap().is_empty());
    assert_eq!(stores.generations.epoch().await.unwrap(), before);
}

async fn revocations_are_listed_newest_first(stores: &Stores) {
    bound(stores, &scope("acme"), 3).await;
    let component = component_digest("keep", "2.0.0");
    assert!(revoke(stores, Revocation::Generation(generation(3))).await);
    assert!(revoke(stores, Revocation::Component(component.clone())).await);
    assert!(revoke(stores, Revocation::Generation(generation(1))).await);
    let listed = stores.generations.revocations(2).await.unwrap();
    assert_eq!(listed, [("acme/1".to_owned(), signed(5)), (component.to_string(), signed(5))]);
}

async fn a_rollback_leaves_a_rollout_under_way_only_if_it_is_to_go_on(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    swap(stores, &acme, Some(1), 2).await.unwrap();
    let back = async |from, to, kind| stores.generations.swap(&acme, Some(from), to, kind, None, &signed(1)).await;
    stores.generations.start_rollout(&acme, Some(2), &canary(3)).await.unwrap();
    back(2, 1, SwapKind::RollBackBeside).await.unwrap();
    assert_eq!(rollout(stores, &acme).await, Some(canary(3)));
    back(1, 2, SwapKind::RollBack).await.unwrap();
    assert_eq!(rollout(stores, &acme).await, None);
    let expected = [
        (PolicyEvent::RolledBack, Some(2), Some(1)),
        (PolicyEvent::RolloutEnded, Some(1), Some(3)),
        (PolicyEvent::RolledBack, Some(1), Some(2)),
    ];
    assert_eq!(history(stores, &acme).await[3..], expected);
    stores.generations.start_rollout(&acme, Some(2), &canary(1)).await.unwrap();
    back(2, 1, SwapKind::RollBackBeside).await.unwrap();
    assert_eq!(rollout(stores, &acme).await, None, "what serves is not tried");
}

async fn revocations_are_told_by_number_from_any_of_them_on(stores: &Stores) {
    bound(stores, &scope("acme"), 3).await;
    assert!(stores.generations.revoked_since(0, 10).await.unwrap().is_empty());
    let component = component_digest("keep", "2.0.0");
    for revocation in [Revocation::Generation(generation(3)), Revocation::Component(component.clone())] {
        assert!(revoke(stores, revocation).await);
    }
    let all = stores.generations.revoked_since(0, 10).await.unwrap();
    let subjects: Vec<_> = all.iter().map(|(_, subject)| subject.as_str()).collect();
    assert_eq!(subjects, ["acme/3", component.as_str()]);
    assert!(all[0].0 < all[1].0);
    assert_eq!(stores.generations.revoked_since(0, 1).await.unwrap(), all[..1]);
    assert_eq!(stores.generations.revoked_since(all[0].0, 10).await.unwrap(), all[1..]);
    assert!(revoke(stores, Revocation::Generation(generation(1))).await);
    let later = stores.generations.revoked_since(all[1].0, 10).await.unwrap();
    assert_eq!(later.iter().map(|(_, subject)| subject.as_str()).collect::<Vec<_>>(), ["acme/1"]);
}

fn prune_before(staged: u64, divergences: u64) -> PruneBefore {
    PruneBefore { staged: at(staged), divergences: at(divergences) }
}

async fn what_was_staged_and_never_used_is_counted_and_forgotten_when_it_is_old(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 5).await;
    stores.generations.start_rollout(&acme, Some(1), &shadow(2)).await.unwrap();
    assert!(stores.generations.end_rollout(&acme, 2, &signed(1)).await.unwrap());
    stores.generations.stage(&acme, &spec("1.0.0"), &signed(9)).await.unwrap();
    stage(stores, &scope("zeta"), "1.0.0").await;
    assert_eq!(stores.generations.unused(&acme).await.unwrap(), 4, "of 6, one served and one was tried");
    let before = stores.generations.epoch().await.unwrap();
    assert_eq!(stores.generations.prune(&prune_before(1, 0)).await.unwrap(), 0, "none is older");
    assert_eq!(stores.generations.prune(&prune_before(9, 0)).await.unwrap(), 4);
    let told = stores.generations.changed_since(before).await.unwrap().states;
    assert_eq!(told.len(), 2, "hosts are told to forget them");
    assert_eq!((told[0].staged.as_ref().map(|staged| staged.number), told[1].staged.as_ref()), (Some(6), None));
    let mut left = Vec::new();
    for number in 1..=6 {
        left.extend(stores.generations.generation(&acme, number).await.unwrap().map(|generation| generation.number));
    }
    assert_eq!((left, stores.generations.unused(&acme).await.unwrap()), (vec![1, 2, 6], 1));
    assert!(matches!(swap(stores, &acme, Some(1), 5).await, Err(SwapError::NotFound(5))));
    let refused = stores.generations.start_rollout(&acme, Some(1), &shadow(4)).await;
    assert!(matches!(refused, Err(SwapError::NotFound(4))), "{refused:?}");
    assert!(!revoke(stores, Revocation::Generation(generation(5))).await);
    assert_eq!(stage(stores, &acme, "1.0.0").await.number, 7, "no number is used again");
    swap(stores, &acme, Some(1), 6).await.unwrap();
}

async fn divergences_are_forgotten_when_they_are_old_and_their_rollout_is_over(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 2).await;
    stores.generations.start_rollout(&acme, Some(1), &shadow(2)).await.unwrap();
    for seconds in 1..=3 {
        let seen = Divergence { at: at(seconds), ..divergence(seconds) };
        stores.generations.add_divergence(&acme, 2, &seen).await.unwrap();
    }
    let kept = async || stores.generations.divergences(&acme, 2, 10).await.unwrap().len();
    stores.generations.prune(&prune_before(0, 3)).await.unwrap();
    assert_eq!(kept().await, 3, "it is under way");
    assert!(stores.generations.end_rollout(&acme, 2, &signed(1)).await.unwrap());
    stores.generations.prune(&prune_before(0, 3)).await.unwrap();
    assert_eq!(kept().await, 1);
}

async fn a_history_is_told_newest_first_by_scope_and_page(stores: &Stores) {
    let acme = scope("acme");
    bound(stores, &acme, 3).await;
    bound(stores, &scope("zeta"), 1).await;
    swap(stores, &acme, Some(1), 2).await.unwrap();
    swap(stores, &acme, Some(2), 3).await.unwrap();
    let newest = stores.generations.history(&acme, None, 2).await.unwrap();
    let told = |change: &PolicyChange| (change.event, change.from, change.to, change.signed.clone());
    let expected =
        [(PolicyEvent::Bound, Some(2), Some(3), signed(3)), (PolicyEvent::Bound, Some(1), Some(2), signed(2))];
    assert_eq!(newest.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(newest[0].id > newest[1].id);
    let older = stores.generations.history(&acme, Some(newest[1].id), 2).await.unwrap();
    assert_eq!(older.iter().map(told).collect::<Vec<_>>(), [(PolicyEvent::Bound, None, Some(1), signed(1))]);
}

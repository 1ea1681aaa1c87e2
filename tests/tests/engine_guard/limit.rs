//! The limit by itself: what raises and lowers it, whatever happens.

use std::time::Duration;

use proptest::prelude::*;
use rtmanager::guarded::{Ended, Kind, Limit};

const MS: Duration = Duration::from_millis(1);

/// Plays rounds of as many calls as the limit allows, each answered in `took`. Answers the time after them.
fn rounds(limit: &mut Limit, mut now: Duration, count: usize, kind: Kind, took: Duration) -> Duration {
    for _ in 0..count {
        let calls: Vec<_> = (0..limit.now()).map(|_| limit.begin(kind, now)).collect();
        now += took;
        calls.into_iter().for_each(|call| limit.end(call, Ended::Answered, now));
    }
    now
}

#[test]
fn it_grows_by_one_for_each_round_of_answers_as_fast_as_usual() {
    let mut limit = Limit::new(32);
    assert_eq!(limit.now(), 16);
    let now = rounds(&mut limit, Duration::ZERO, 4, Kind::Inspect, 5 * MS);
    assert!((19..=20).contains(&limit.now()), "{}", limit.now());
    rounds(&mut limit, now, 20, Kind::Inspect, 5 * MS);
    assert_eq!(limit.now(), 32);
}

#[test]
fn an_engine_that_is_always_slow_is_not_held_back() {
    let mut limit = Limit::new(32);
    rounds(&mut limit, Duration::ZERO, 30, Kind::Remove, 2_000 * MS);
    assert_eq!(limit.now(), 32);
}

#[test]
fn it_does_not_grow_while_it_is_not_used() {
    let mut limit = Limit::new(32);
    for n in 0..1_000 {
        let call = limit.begin(Kind::Inspect, n * MS);
        limit.end(call, Ended::Answered, n * MS + MS);
    }
    assert_eq!(limit.now(), 16);
}

#[test]
fn it_falls_when_answers_become_slow_and_grows_again_when_they_are_fast() {
    let mut limit = Limit::new(32);
    let now = rounds(&mut limit, Duration::ZERO, 40, Kind::Remove, 20 * MS);
    let now = rounds(&mut limit, now, 8, Kind::Remove, 500 * MS);
    assert!(limit.now() <= 8, "{}", limit.now());
    rounds(&mut limit, now, 60, Kind::Remove, 20 * MS);
    assert_eq!(limit.now(), 32);
}

#[test]
fn removals_that_take_many_times_an_inspection_are_not_slow() {
    let mut limit = Limit::new(32);
    let mut now = Duration::ZERO;
    for _ in 0..40 {
        now = rounds(&mut limit, now, 1, Kind::Inspect, MS);
        now = rounds(&mut limit, now, 1, Kind::Remove, 900 * MS);
    }
    assert_eq!(limit.now(), 32);
}

#[test]
fn whims_of_some_milliseconds_are_not_slowness() {
    let mut limit = Limit::new(8);
    let now = rounds(&mut limit, Duration::ZERO, 40, Kind::Inspect, MS / 2);
    rounds(&mut limit, now, 40, Kind::Inspect, 40 * MS);
    assert_eq!(limit.now(), 8);
}

#[test]
fn a_long_listing_tells_nothing() {
    let mut limit = Limit::new(8);
    let now = rounds(&mut limit, Duration::ZERO, 4, Kind::List, MS);
    rounds(&mut limit, now, 4, Kind::List, 60_000 * MS);
    assert_eq!(limit.now(), 4);
}

#[test]
fn failures_of_one_round_lower_it_once() {
    let mut limit = Limit::new(32);
    let calls: Vec<_> = (0..16).map(|_| limit.begin(Kind::Remove, Duration::ZERO)).collect();
    calls.into_iter().zip(1..).for_each(|(call, n)| limit.end(call, Ended::Failed, n * MS));
    assert_eq!(limit.now(), 11);
}

#[derive(Debug, Clone)]
enum Step {
    Begin(Kind),
    End(usize, Ended),
    Pass(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(Kind::Inspect), Just(Kind::Remove), Just(Kind::List)];
    let ended = prop_oneof![4 => Just(Ended::Answered), 2 => Just(Ended::Failed), 1 => Just(Ended::GivenUp)];
    prop_oneof![
        3 => kind.prop_map(Step::Begin),
        3 => (any::<usize>(), ended).prop_map(|(which, how)| Step::End(which, how)),
        1 => (0..60_000_u64).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
    ]
}

proptest! {
    #[test]
    fn it_stays_within_its_bounds_and_moves_in_small_steps(
        max in 0..300_usize,
        steps in proptest::collection::vec(step(), 0..400),
    ) {
        let mut limit = Limit::new(max);
        let (mut now, mut calls, mut lowered_at) = (Duration::ZERO, Vec::new(), None);
        for step in steps {
            let before = limit.now();
            match step {
                Step::Pass(span) => now += span,
                Step::Begin(kind) => calls.push((limit.begin(kind, now), now)),
                Step::End(which, how) if !calls.is_empty() => {
                    let (call, began) = calls.swap_remove(which % calls.len());
                    limit.end(call, how, now);
                    if limit.now() < before {
                        prop_assert!(lowered_at.is_none_or(|at| began >= at), "lowered twice in one round trip");
                        lowered_at = Some(now);
                    }
                }
                Step::End(..) => {}
            }
            prop_assert!((1..=max.max(1)).contains(&limit.now()));
            prop_assert!(limit.now() <= before + 1);
            prop_assert!(limit.now() >= before * 6 / 10);
        }
    }
}

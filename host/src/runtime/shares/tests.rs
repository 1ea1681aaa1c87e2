#![allow(clippy::unwrap_used, reason = "test code")]

use super::*;

const MS: Duration = Duration::from_millis(1);

fn tenant(name: &str) -> Whose {
    Some(name.parse().unwrap())
}

#[test]
fn who_is_alone_is_never_ahead_and_owes_nothing_when_another_comes() {
    let mut shares = Shares::new();
    let (hog, late) = (tenant("hog"), tenant("late"));
    for n in 0..10_000 {
        assert!(!shares.want(&hog, MS * n), "at {n} ms");
        shares.book(&hog, MS, MS * n);
    }
    assert!(!shares.want(&late, MS * 10_000));
    assert!(!shares.want(&hog, MS * 10_000), "what nobody else wanted is not held against it");
}

#[test]
fn who_has_had_more_is_ahead_until_the_other_has_had_as_much() {
    let mut shares = Shares::new();
    let (hog, other) = (tenant("hog"), tenant("other"));
    assert!(!shares.want(&hog, MS) && !shares.want(&other, MS));
    shares.book(&hog, 20 * MS, 21 * MS);
    assert!(shares.want(&hog, 22 * MS));
    assert!(!shares.want(&other, 22 * MS));
    shares.book(&other, 16 * MS, 38 * MS);
    assert!(!shares.want(&hog, 39 * MS));
}

/// A tenant whose polls are seldom since it waits behind the other's is the one that is to be helped.
#[test]
fn who_computes_for_so_short_that_it_is_seldom_seen_counts_nevertheless() {
    let mut shares = Shares::new();
    let (hog, other) = (tenant("hog"), tenant("other"));
    let mut ahead = 0;
    for n in 0..1_000 {
        ahead += u32::from(shares.want(&hog, MS * n));
        shares.book(&hog, MS, MS * n);
        if n % 50 == 0 {
            assert!(!shares.want(&other, MS * n));
            shares.book(&other, MS / 50, MS * n);
        }
    }
    assert!(ahead > 990, "{ahead} of 1000");
}

#[test]
fn who_wants_nothing_any_more_holds_nobody_back() {
    let mut shares = Shares::new();
    let (hog, sleeper) = (tenant("hog"), tenant("sleeper"));
    shares.want(&sleeper, MS);
    shares.want(&hog, MS);
    shares.book(&hog, 50 * MS, 51 * MS);
    assert!(shares.want(&hog, 52 * MS));
    assert!(!shares.want(&hog, 52 * MS + RECENT));
    // What it let the other have in the meantime, it does not get back.
    shares.book(&hog, 50 * MS, 52 * MS + RECENT);
    assert_eq!(shares.see(&sleeper, 53 * MS + RECENT), 100 * MS);
}

#[test]
fn a_debt_is_bounded() {
    let mut shares = Shares::new();
    let (hog, idler) = (tenant("hog"), tenant("idler"));
    for n in 0..1_000 {
        shares.want(&idler, MS * n);
        shares.want(&hog, MS * n);
        shares.book(&hog, MS, MS * n);
    }
    assert_eq!(shares.see(&hog, MS * 1_000), FORGIVEN);
}

#[test]
fn tenants_that_want_nothing_any_more_are_forgotten() {
    let mut shares = Shares::new();
    for n in 0..REMEMBERED * 3 {
        shares.want(&tenant(&format!("tenant-{n}")), RECENT * u32::try_from(n).unwrap() * 2);
    }
    assert!(shares.accounts.len() <= REMEMBERED);
}

#[test]
fn who_computed_on_twice_is_held_for_a_while_even_if_alone() {
    let mut shares = Shares::new();
    let crowd = tenant("crowd");
    assert!(!shares.want(&crowd, MS));
    shares.note_long(&crowd, 5 * MS);
    assert!(!shares.want(&crowd, 5 * MS), "once is no crowd");
    shares.note_long(&crowd, 6 * MS);
    assert!(shares.want(&crowd, 7 * MS));
    assert!(!shares.want(&tenant("other"), 7 * MS));
    assert!(!shares.want(&crowd, 6 * MS + HELD));
}

#[test]
fn what_a_tenant_had_before_another_came_is_not_held_against_it() {
    let mut shares = Shares::new();
    let (old, new) = (tenant("old"), tenant("new"));
    shares.want(&old, MS);
    shares.book(&old, 1_000 * MS, 1_001 * MS);
    let later = 1_002 * MS + RECENT;
    assert!(!shares.want(&new, later));
    shares.book(&new, MS, later + MS);
    assert!(!shares.want(&old, later + MS));
}

/// A crowd that is held to turns since its runs computed on, and another tenant that has had more.
fn ahead_of_a_crowd() -> (Shares, Whose, Whose) {
    let mut shares = Shares::new();
    let (crowd, other) = (tenant("crowd"), tenant("other"));
    shares.want(&crowd, MS);
    for at in [5, 6] {
        shares.note_long(&crowd, MS * at);
    }
    shares.book(&other, 20 * MS, 7 * MS);
    (shares, crowd, other)
}

/// Its turn is one that it waits for anyhow, and takes no thread of others.
#[test]
fn nobody_waits_behind_a_tenant_that_is_held_to_turns() {
    let (mut shares, crowd, other) = ahead_of_a_crowd();
    assert!(shares.want(&crowd, 8 * MS));
    assert!(!shares.want(&other, 8 * MS), "ahead, but of nobody who could have its thread");
}

#[test]
fn who_is_ahead_lets_a_turn_begin_that_was_given_and_finds_no_thread() {
    let (mut shares, crowd, other) = ahead_of_a_crowd();
    shares.give(&crowd, 7 * MS);
    assert!(!shares.want(&other, 7 * MS + LATE), "it may begin yet");
    assert!(shares.want(&other, 8 * MS + LATE));
    shares.take(&crowd);
    assert!(!shares.want(&other, 8 * MS + LATE));
}

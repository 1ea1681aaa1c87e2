#![allow(clippy::unwrap_used, reason = "test code")]

use super::*;

fn tenant(name: &str) -> Whose {
    Some(name.parse().unwrap())
}

fn compute(span: Duration) {
    let before = processor::time_of_this_thread();
    while processor::time_of_this_thread() - before < span {
        std::hint::spin_loop();
    }
}

/// A run that computes nothing, at its pace.
async fn run(pace: &Pace, stopwatch: &Stopwatch) {
    pace.book(pace.keep(stopwatch, async {})).await;
}

#[tokio::test]
async fn tenants_take_turns_and_one_that_gives_up_passes_its_on() {
    let turnstile = Turnstile::new(2);
    let turn = turnstile.take(&tenant("hog")).ok().unwrap();
    let [mut second, given_up, mut third] = [(); 3].map(|()| turnstile.take(&tenant("hog")).err().unwrap());
    let other = turnstile.take(&tenant("other")).err().unwrap();
    drop(given_up);
    drop(turn);
    let turn = second.try_recv().unwrap();
    drop(turn);
    let turn = other.await.unwrap();
    assert!(third.try_recv().is_err(), "one turn for two threads");
    drop(turn);
    drop(third.await.unwrap());
    assert!(turnstile.take(&tenant("hog")).is_ok());
}

#[tokio::test]
async fn the_turn_is_the_tenants_that_has_had_least() {
    let turnstile = Turnstile::new(2);
    let turn = turnstile.take(&tenant("hog")).ok().unwrap();
    let mut hog = turnstile.take(&tenant("hog")).err().unwrap();
    let [first, second] = [(); 2].map(|()| turnstile.take(&tenant("other")).err().unwrap());
    turnstile.book(&tenant("other"), Duration::from_millis(1));
    turnstile.book(&tenant("hog"), Duration::from_millis(100));
    drop(turn);
    drop(first.await.unwrap());
    let turn = second.await.unwrap();
    assert!(hog.try_recv().is_err(), "it came first and has had more");
    drop(turn);
    drop(hog.try_recv().unwrap());
}

#[tokio::test]
async fn a_short_run_needs_no_turn_unless_its_tenant_is_ahead_of_another() {
    let turnstile = Turnstile::new(2);
    let _taken = turnstile.take(&tenant("hog")).ok().unwrap();
    let [stopwatch, waiting] = [(); 2].map(|()| Stopwatch::new());
    let [hog, other] = ["hog", "other"].map(|name| Pace::new(turnstile.clone(), tenant(name)));
    run(&hog, &stopwatch).await;
    run(&other, &stopwatch).await;
    turnstile.book(&tenant("hog"), Duration::from_millis(50));
    run(&other, &stopwatch).await;
    let waits = tokio::time::timeout(Duration::from_millis(20), run(&hog, &waiting)).await;
    assert!(waits.is_err());
    assert_eq!(waiting.elapsed(), Duration::ZERO, "waiting for a turn is not computing");
}

#[tokio::test]
async fn what_the_host_does_for_a_run_is_booked_and_done_in_the_runs_turn() {
    let turnstile = Turnstile::new(2);
    turnstile.holds(&tenant("other"));
    turnstile.book(&tenant("hog"), Duration::from_millis(50));
    let (pace, stopwatch) = (Pace::new(turnstile.clone(), tenant("hog")), Stopwatch::new());
    let before = turnstile.turns().shares.see(&tenant("hog"), Duration::ZERO);
    let whole = async {
        pace.keep(&stopwatch, async {}).await;
        assert!(turnstile.take(&tenant("other")).is_err(), "the turn lasts to the end of the poll");
        compute(Duration::from_millis(5));
        tokio::task::yield_now().await;
        assert!(turnstile.take(&tenant("other")).is_ok(), "and no longer");
    };
    pace.book(whole).await;
    let after = turnstile.turns().shares.see(&tenant("hog"), turnstile.since.elapsed());
    assert!(after >= before + Duration::from_millis(5));
}

#[tokio::test]
async fn a_run_that_waits_holds_no_turn() {
    let turnstile = Turnstile::new(2);
    turnstile.holds(&tenant("other"));
    turnstile.book(&tenant("sleeper"), Duration::from_millis(50));
    let (pace, stopwatch) = (Pace::new(turnstile.clone(), tenant("sleeper")), Stopwatch::new());
    let sleeper = tokio::spawn(async move { pace.book(pace.keep(&stopwatch, std::future::pending::<()>())).await });
    tokio::task::yield_now().await;
    assert!(turnstile.take(&tenant("other")).is_ok());
    sleeper.abort();
}

#[tokio::test]
async fn of_a_crowd_that_computes_two_go_on_for_a_tick_and_the_others_wait_for_their_turn() {
    let turnstile = Turnstile::new(2);
    let crowd = [(); 4].map(|()| (Pace::new(turnstile.clone(), tenant("crowd")), Stopwatch::new()));
    let [(first, one), (second, two), (third, three), (fourth, four)] = &crowd;
    let computing = || async { compute(2 * FREE) };
    first.book(first.keep(one, computing())).await;
    second.book(second.keep(two, computing())).await;
    let turn = turnstile.take(&tenant("crowd")).ok().unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(1), third.book(third.keep(three, computing()))).await;
    assert!(waits.is_err() && three.elapsed() == Duration::ZERO);
    drop(turn);
    fourth.book(fourth.keep(four, computing())).await;
    assert!(four.elapsed() >= 2 * FREE, "in its turn it goes on");
}

/// As where the machine has something else to do, or a lock is waited for.
#[tokio::test]
async fn what_a_thread_did_not_compute_is_not_booked() {
    let turnstile = Turnstile::new(2);
    let (pace, stopwatch) = (Pace::new(turnstile.clone(), tenant("slow")), Stopwatch::new());
    for _ in 0..3 {
        pace.book(pace.keep(&stopwatch, async { std::thread::sleep(2 * FREE) })).await;
    }
    assert!(!turnstile.holds(&tenant("slow")));
    assert!(turnstile.turns().shares.see(&tenant("slow"), turnstile.since.elapsed()) < FREE);
}

#[tokio::test(start_paused = true)]
async fn a_run_pays_for_what_is_around_it_and_for_the_growths_of_its_memory() {
    let turnstile = Turnstile::new(2);
    let had = || turnstile.turns().shares.see(&tenant("grows"), turnstile.since.elapsed());
    let (pace, before) = (Pace::new(turnstile.clone(), tenant("grows")), had());
    for _ in 0..3 {
        pace.book_besides(100);
    }
    assert_eq!(had(), before + 3 * AROUND + 300 * GROWTH);
    // Who has had least is known for a while.
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!turnstile.holds(&tenant("grows")), "it has not computed for long, and nobody else wants to");
    turnstile.holds(&tenant("other"));
    pace.book_besides(200);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(turnstile.holds(&tenant("grows")) && !turnstile.holds(&tenant("other")));
}

/// Runs whose time ended while they waited, for example.
#[tokio::test(start_paused = true)]
async fn a_tenant_that_gave_up_waiting_holds_nobody_back() {
    let turnstile = Turnstile::new(2);
    let turn = turnstile.take(&tenant("other")).ok().unwrap();
    drop(turnstile.take(&tenant("gone")).err().unwrap());
    turnstile.holds(&tenant("gone"));
    turnstile.book(&tenant("other"), Duration::from_millis(50));
    assert!(turnstile.holds(&tenant("other")));
    drop(turn);
    for _ in 0..4 {
        tokio::time::advance(Duration::from_millis(50)).await;
        drop(turnstile.take(&tenant("other")).ok().unwrap());
    }
    assert!(!turnstile.holds(&tenant("other")));
}

#![allow(clippy::unwrap_used, reason = "test code")]

use tokio::time::{Duration, Instant, sleep, timeout};

use super::*;

/// What a run that hangs takes.
const RUN_TIME: Duration = Duration::from_secs(120);

fn tenant(name: &str) -> Whose {
    Some(name.parse().unwrap())
}

/// So many runs of a tenant that hold their places for so long.
fn runs(places: &Arc<Places>, whose: &Whose, count: usize, span: Duration) {
    for _ in 0..count {
        let (places, whose) = (places.clone(), whose.clone());
        tokio::spawn(async move {
            let _place = places.take(&whose, None).await;
            sleep(span).await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_runs_hang_does_not_keep_anothers_waiting() {
    let places = Places::new(16, &[]);
    runs(&places, &tenant("hung"), 1_000, RUN_TIME);
    sleep(Duration::from_secs(1)).await;
    let neighbour = tenant("neighbour");
    let began = Instant::now();
    for _ in 0..100 {
        let held: Vec<_> = [places.take(&neighbour, None).await, places.take(&neighbour, None).await].into();
        assert!(held.iter().all(Option::is_some));
    }
    // Nor those of which the tenant is not known.
    assert!(places.take(&None, None).await.is_some());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_goes_to_the_tenant_that_has_none() {
    let places = Places::new(4, &[]);
    for (name, count) in [("first", 50), ("second", 50), ("third", 50)] {
        runs(&places, &tenant(name), count, RUN_TIME);
        sleep(Duration::from_secs(1)).await;
    }
    // All four are taken, and 146 wait that came earlier. The next place comes free when the first runs end.
    let late = timeout(RUN_TIME, places.take(&tenant("late"), None)).await;
    assert!(late.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn one_that_gives_up_leaves_its_turn_to_the_next() {
    let places = Places::new(1, &[]);
    let whose = tenant("one");
    let place = places.take(&whose, None).await;
    assert!(timeout(Duration::from_secs(1), places.take(&whose, None)).await.is_err());
    let waits = tokio::spawn({
        let (places, whose) = (places.clone(), whose.clone());
        async move { places.take(&whose, None).await.is_some() }
    });
    tokio::task::yield_now().await;
    drop(place);
    assert!(timeout(Duration::from_secs(1), waits).await.unwrap().unwrap());
    assert!(timeout(Duration::from_secs(1), places.take(&whose, None)).await.is_ok());
}

//! The trail: nothing is done that it does not hold, and what is wrong with it shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtmanager::access::{Anchor, Caller, Deed, Failure, NewToken, TokenError, Trail, Unrecorded};
use rtmanager::model::{GameId, PauseScope, Role};
use rtmanager::orders::{Error, Orders};
use rtmanager::ports::{AuditLog as _, StoreError};
use serde_json::json;

use super::site::{Site, admin};

#[derive(Debug)]
struct Refusal(StoreError);

impl From<Unrecorded> for Refusal {
    fn from(Unrecorded(error): Unrecorded) -> Self {
        Self(error)
    }
}

impl Failure for Refusal {
    fn code(&self) -> &str {
        self.0.code()
    }

    fn may_have_happened(&self) -> bool {
        self.0.may_have_happened()
    }
}

fn orders(site: &Site) -> Orders {
    Orders::new(site.store.records(), site.store.pauses(), site.trail.clone(), site.clock.clone())
}

#[tokio::test]
async fn an_action_that_cannot_be_recorded_does_not_happen() {
    let site = Site::open();
    site.log.fail_after(0);
    let paused = orders(&site).pause(&admin(), PauseScope::Global, "why".to_owned()).await;
    assert!(matches!(paused, Err(Error::Unrecorded(_))), "{paused:?}");
    assert_eq!(site.store.pauses().pauses().await.unwrap(), []);
    let new = NewToken { name: "ci".parse().unwrap(), role: Role::Admin, expires_at: None };
    assert!(matches!(site.tokens.create(&admin(), new).await, Err(TokenError::Unrecorded(_))));
    assert_eq!(site.store.access().tokens().await.unwrap(), []);
}

#[tokio::test]
async fn what_failed_is_recorded_as_asked_for_and_as_failed() {
    let site = Site::open();
    let game: GameId = "g-1".parse().unwrap();
    orders(&site).hold(&admin(), &game, "case\n7".to_owned(), None).await.unwrap_err();
    let held = |detail| ("runtime.hold".to_owned(), "g-1".to_owned(), detail);
    let failed = json!({"of": 1, "outcome": "failed", "code": "not_found"});
    assert_eq!(site.said().await, [held(json!({"reason": "case\\n7"})), held(failed)]);

    let lost = async { Err::<(), _>(Refusal(StoreError::Unknown("cut".into()))) };
    site.trail.audited(&admin(), Deed::new("a", "b"), lost).await.unwrap_err();
    let last = site.said().await.pop().unwrap();
    assert_eq!(last.2, json!({"of": 3, "outcome": "unknown", "code": "service_unavailable"}));
}

#[tokio::test]
async fn a_failure_is_answered_though_it_cannot_be_recorded() {
    let site = Site::open();
    site.log.fail_after(1);
    let answered = orders(&site).unpark(&admin(), &"g-1".parse().unwrap()).await;
    assert!(matches!(answered, Err(Error::NoRecord(_))), "{answered:?}");
    assert_eq!(site.said().await.len(), 1);
}

#[tokio::test]
async fn an_action_goes_to_its_end_though_its_caller_hangs_up() {
    let site = Site::open();
    let done = Arc::new(AtomicBool::new(false));
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let doing = done.clone();
    let act = async move {
        finished.await.ok();
        doing.store(true, Ordering::SeqCst);
        Err::<(), _>(Refusal(StoreError::Corrupt("of no use".to_owned())))
    };
    let caller = admin();
    let asked = site.trail.audited(&caller, Deed::new("a", "b"), act);
    assert!(tokio::time::timeout(Duration::from_millis(20), asked).await.is_err());
    finish.send(()).unwrap();
    for _ in 0..500 {
        if site.said().await.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(site.said().await[1].2["code"], "internal_error");
}

#[tokio::test]
async fn details_are_bounded() {
    let site = Site::open();
    let done = || async { Ok::<_, Refusal>(()) };
    let long = Deed::new("a", "s".repeat(5_000)).with("reason", "r".repeat(5_000)).with("none", json!(null));
    site.trail.audited(&admin(), long, done()).await.unwrap();
    let huge = Deed::new("a", "b").with("all", vec!["x".repeat(100); 100]);
    site.trail.audited(&admin(), huge, done()).await.unwrap();
    let said = site.said().await;
    assert_eq!(said[0].1.chars().count(), 1_025);
    assert_eq!(said[0].2["reason"].as_str().unwrap().chars().count(), 1_025);
    assert_eq!(said[0].2.as_object().unwrap().len(), 1);
    assert_eq!((said[1].2["bytes"].as_u64(), said[1].2["sha256"].as_str().unwrap().len()), (Some(10_309), 64));
}

#[tokio::test]
async fn the_trail_of_several_at_once_stays_whole() {
    let site = Site::open();
    let callers = (0..8).map(|index| {
        let (trail, caller) = (site.trail.clone(), Caller::admin(format!("cli:uid={index}")));
        tokio::spawn(async move {
            for _ in 0..25 {
                let done = async { Ok::<_, Refusal>(()) };
                trail.audited(&caller, Deed::new("a", "b"), done).await.unwrap();
            }
        })
    });
    futures_util::future::try_join_all(callers).await.unwrap();
    let found = site.trail.verify(None).await.unwrap();
    assert_eq!((found.broken, found.head.unwrap().sequence), (None, 200));
}

#[tokio::test]
async fn an_empty_trail_is_whole_unless_somebody_remembers_more() {
    let site = Site::open();
    assert_eq!(site.trail.verify(None).await.unwrap(), Default::default());
    let remembered: Anchor = format!("1:{}", "ab".repeat(32)).parse().unwrap();
    let found = site.trail.verify(Some(remembered)).await.unwrap().broken.unwrap();
    assert_eq!(
        (found.sequence, found.flaw.to_string().as_str()),
        (1, "it is missing: the trail was cut off before it")
    );
}

#[tokio::test]
async fn a_chain_that_was_written_anew_shows_to_whoever_remembers_a_link() {
    let (site, forged) = (Site::open(), Site::open());
    for (site, name) in [(&site, "ada"), (&forged, "eve")] {
        for _ in 0..3 {
            let done = async { Ok::<_, Refusal>(()) };
            site.trail.audited(&Caller::admin(name), Deed::new("a", "b"), done).await.unwrap();
        }
    }
    let remembered = site.trail.verify(None).await.unwrap().head.unwrap();
    assert_eq!(remembered.to_string().parse(), Ok(remembered));
    assert_eq!(site.trail.verify(Some(remembered)).await.unwrap().broken, None);
    let found = forged.trail.verify(Some(remembered)).await.unwrap();
    let broken = found.broken.unwrap();
    assert_eq!((broken.sequence, found.head.unwrap().sequence), (3, 2));
    assert!(broken.flaw.to_string().ends_with("the trail was written anew"));
    // One who knows the link before still does, when more has come.
    let earlier = Anchor { sequence: 2, hash: site.log.read(2, 1).await.unwrap()[0].hash };
    assert_eq!(site.trail.verify(Some(earlier)).await.unwrap().broken, None);
}

#[test]
fn what_names_no_link_is_refused() {
    for wrong in ["", "1", "1:", "x:00", &format!("0:{}", "0".repeat(64)), &format!("-1:{}", "0".repeat(64))] {
        assert!(wrong.parse::<Anchor>().is_err(), "{wrong:?} was taken");
    }
}

/// A trail can be made of any log.
#[tokio::test]
async fn a_trail_goes_on_where_the_log_ends() {
    let site = Site::open();
    let done = || async { Ok::<_, Refusal>(()) };
    site.trail.audited(&admin(), Deed::new("a", "b"), done()).await.unwrap();
    let other = Trail::new(site.store.audit(), site.clock.clone());
    other.audited(&admin(), Deed::new("a", "c"), done()).await.unwrap();
    assert_eq!(site.trail.verify(None).await.unwrap().head.unwrap().sequence, 2);
}

//! What every [`ContainerEngine`] does. An adapter's suite gives a [`Fixture`] to
//! [`container_engine_contract!`](crate::container_engine_contract).
#![allow(clippy::unwrap_used, clippy::panic, reason = "test harness: a failure here is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use rtmanager::model::{Container, ContainerId, ContainerState, Labels, Removal};
use rtmanager::ports::{ContainerEngine, EngineError, Hints};

use crate::dockerd::labels;

/// An engine with ways to prepare containers on it, other than through the port.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The adapter.
    fn engine(&self) -> Arc<dyn ContainerEngine>;
    /// A value that no other test uses, to label containers with.
    fn unique(&self) -> String;
    /// A container that never started.
    async fn created(&self, labels: &Labels) -> ContainerId;
    /// A container that ran and ended with status 0.
    async fn exited(&self, labels: &Labels) -> ContainerId;
    /// A container that runs.
    async fn running(&self, labels: &Labels) -> ContainerId;
    /// A container that is paused.
    async fn paused(&self, labels: &Labels) -> ContainerId;
    /// An ended container of an image that has labels of its own.
    async fn exited_of_labelled_image(&self, image_labels: &Labels, labels: &Labels) -> ContainerId;
    /// Removes a container behind the port's back, whatever it does.
    async fn discard(&self, id: &ContainerId);
}

/// Makes one test of each clause.
#[macro_export]
macro_rules! container_engine_contract {
    ($fixture:expr) => {
        $crate::container_engine_contract!(@tests $fixture;
            describes_an_ended_container,
            describes_a_container_that_never_started,
            describes_a_running_container,
            an_unknown_container_is_none,
            removes_an_ended_container,
            removes_a_container_that_never_started,
            refuses_a_running_container,
            refuses_a_paused_container,
            removing_what_is_gone_is_no_error,
            concurrent_removals_all_succeed_and_one_removes,
            lists_containers_in_any_state_with_all_their_labels,
            a_label_has_to_match_in_name_and_value,
            labels_of_the_image_do_not_count,
            the_containers_own_word_beats_the_images,
            hints_tell_of_labelled_containers_and_of_no_others,
            a_ping_is_answered,
        );
    };
    (@tests $fixture:expr; $($clause:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $clause() {
                $crate::contracts::container_engine::$clause(&$fixture).await;
            }
        )*
    };
}

async fn described(fixture: &dyn Fixture, id: &ContainerId) -> Container {
    fixture.engine().inspect(id).await.unwrap().unwrap()
}

/// Times, exit code and labels of a container that ran.
pub async fn describes_an_ended_container(fixture: &dyn Fixture) {
    let own = labels(&[("b", "2"), ("a", "")]);
    let id = fixture.exited(&own).await;
    let found = described(fixture, &id).await;
    assert_eq!((&found.id, &found.state, found.exit_code), (&id, &ContainerState::Exited, Some(0)));
    assert!(found.created_at.unwrap() <= found.started_at.unwrap());
    // Engines note a start after the fact, so a short run may seem to have ended before it began.
    assert!(found.created_at.unwrap() <= found.finished_at.unwrap());
    assert_eq!(found.labels, own);
    assert!(!found.image.is_empty());
}

/// A container that never started has no times of a run, and no exit code.
pub async fn describes_a_container_that_never_started(fixture: &dyn Fixture) {
    let found = described(fixture, &fixture.created(&Labels::new()).await).await;
    assert_eq!(found.state, ContainerState::Created);
    assert_eq!((found.exit_code, found.started_at, found.finished_at), (None, None, None));
    assert!(found.created_at.is_some());
}

/// A running container has started and not ended.
pub async fn describes_a_running_container(fixture: &dyn Fixture) {
    let id = fixture.running(&Labels::new()).await;
    let found = described(fixture, &id).await;
    fixture.discard(&id).await;
    assert_eq!((found.state, found.exit_code, found.finished_at), (ContainerState::Running, None, None));
    assert!(found.started_at.is_some());
}

/// What does not exist is none, not an error.
pub async fn an_unknown_container_is_none(fixture: &dyn Fixture) {
    let unknown = "0123456789abcdef".repeat(4).parse().unwrap();
    assert_eq!(fixture.engine().inspect(&unknown).await.unwrap(), None);
}

/// When the answer comes, the container is gone.
pub async fn removes_an_ended_container(fixture: &dyn Fixture) {
    let id = fixture.exited(&Labels::new()).await;
    assert_eq!(fixture.engine().remove(&id).await.unwrap(), Removal::Removed);
    assert_eq!(fixture.engine().inspect(&id).await.unwrap(), None);
}

/// A container that was made and never started can be removed.
pub async fn removes_a_container_that_never_started(fixture: &dyn Fixture) {
    let id = fixture.created(&Labels::new()).await;
    assert_eq!(fixture.engine().remove(&id).await.unwrap(), Removal::Removed);
    assert_eq!(fixture.engine().inspect(&id).await.unwrap(), None);
}

/// A running container is refused and goes on running.
pub async fn refuses_a_running_container(fixture: &dyn Fixture) {
    let id = fixture.running(&Labels::new()).await;
    refused_and_untouched(fixture, &id, &ContainerState::Running).await;
}

/// A paused container is refused and stays paused.
pub async fn refuses_a_paused_container(fixture: &dyn Fixture) {
    let id = fixture.paused(&Labels::new()).await;
    refused_and_untouched(fixture, &id, &ContainerState::Paused).await;
}

async fn refused_and_untouched(fixture: &dyn Fixture, id: &ContainerId, state: &ContainerState) {
    let answer = fixture.engine().remove(id).await;
    let found = described(fixture, id).await;
    fixture.discard(id).await;
    assert!(matches!(&answer, Err(EngineError::Refused(found)) if found == state), "{answer:?}");
    assert_eq!(&found.state, state);
}

/// The state that was wanted is no error.
pub async fn removing_what_is_gone_is_no_error(fixture: &dyn Fixture) {
    let id = fixture.exited(&Labels::new()).await;
    fixture.discard(&id).await;
    assert_eq!(fixture.engine().remove(&id).await.unwrap(), Removal::AlreadyGone);
}

/// However many remove one container: all succeed, and exactly one did it.
pub async fn concurrent_removals_all_succeed_and_one_removes(fixture: &dyn Fixture) {
    let id = fixture.exited(&Labels::new()).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (engine, id) = (fixture.engine(), id.clone());
            tokio::spawn(async move { (engine.remove(&id).await, engine.inspect(&id).await) })
        })
        .collect();
    let mut removed = 0;
    for task in tasks {
        let (removal, after) = task.await.unwrap();
        removed += usize::from(removal.unwrap() == Removal::Removed);
        assert_eq!(after.unwrap(), None, "the answer came before the container was gone");
    }
    assert_eq!(removed, 1);
}

/// Created, ended and running ones are all listed.
pub async fn lists_containers_in_any_state_with_all_their_labels(fixture: &dyn Fixture) {
    let own = labels(&[("test.owner", &fixture.unique()), ("test.more", "x")]);
    let running = fixture.running(&own).await;
    let mut made = vec![fixture.created(&own).await, fixture.exited(&own).await, running.clone()];
    let mut found = listed(fixture, "test.owner", own.get("test.owner").unwrap()).await;
    fixture.discard(&running).await;
    assert!(found.iter().all(|container| container.labels == own));
    found.sort_by(|a, b| a.id.cmp(&b.id));
    made.sort();
    assert_eq!(found.into_iter().map(|container| container.id).collect::<Vec<_>>(), made);
}

/// Neither another value nor a prefix, nor only one of two labels, is enough.
pub async fn a_label_has_to_match_in_name_and_value(fixture: &dyn Fixture) {
    let unique = fixture.unique();
    fixture.created(&labels(&[("test.owner", &unique)])).await;
    for value in ["", &unique[..unique.len() - 1], &format!("{unique}x")] {
        assert_eq!(listed(fixture, "test.owner", value).await, [], "{value:?} matched {unique:?}");
    }
    let two = [("test.owner".to_owned(), unique), ("test.other".to_owned(), "x".to_owned())];
    assert_eq!(fixture.engine().list_labelled(&two).await.unwrap().containers, []);
}

/// An image can set any label, so what it sets is nobody's word: not to be listed by, nor answered.
pub async fn labels_of_the_image_do_not_count(fixture: &dyn Fixture) {
    let unique = fixture.unique();
    let spoofed = labels(&[("test.owner", &unique), ("test.game", "g")]);
    fixture.exited_of_labelled_image(&spoofed, &Labels::new()).await;
    assert_eq!(listed(fixture, "test.owner", &unique).await, []);
    let other = fixture.unique();
    fixture.exited_of_labelled_image(&spoofed, &labels(&[("test.owner", &other)])).await;
    let found = listed(fixture, "test.owner", &other).await;
    assert_eq!(found.first().map(|container| &container.labels), Some(&labels(&[("test.owner", &other)])));
}

/// A label that the image sets to another value is the container's own.
pub async fn the_containers_own_word_beats_the_images(fixture: &dyn Fixture) {
    let unique = fixture.unique();
    let image = labels(&[("test.owner", "somebody else")]);
    let id = fixture.exited_of_labelled_image(&image, &labels(&[("test.owner", &unique)])).await;
    let found = listed(fixture, "test.owner", &unique).await;
    assert_eq!(found.into_iter().map(|container| container.id).collect::<Vec<_>>(), [id]);
    assert_eq!(listed(fixture, "test.owner", "somebody else").await, []);
}

/// Whoever makes or removes a container of ours, a hint tells. An engine may tell nothing at all.
pub async fn hints_tell_of_labelled_containers_and_of_no_others(fixture: &dyn Fixture) {
    let own = labels(&[("test.owner", &fixture.unique())]);
    let wanted: Vec<_> = own.clone().into_iter().collect();
    let Some(mut hints) = fixture.engine().watch(&wanted).await.unwrap() else { return };
    let other = fixture.created(&Labels::new()).await;
    let mut made = std::collections::BTreeSet::new();
    // What happens while the stream is being opened may be missed, so some are made until one is told of.
    let heard = loop {
        assert!(made.len() < 30, "nothing is told of");
        made.insert(fixture.created(&own).await);
        if let Some(heard) = hint(&mut hints, Duration::from_secs(1)).await {
            break heard;
        }
    };
    assert!(made.contains(&heard));
    fixture.discard(&other).await;
    fixture.discard(&heard).await;
    loop {
        let next = hint(&mut hints, Duration::from_secs(30)).await.expect("a hint at the removal");
        assert!(made.contains(&next), "a hint at a container that does not carry the label");
        if next == heard {
            break;
        }
    }
}

async fn hint(hints: &mut Hints, patience: Duration) -> Option<ContainerId> {
    tokio::time::timeout(patience, hints.next()).await.ok().map(|hint| hint.expect("the stream goes on"))
}

/// An engine that answers is found to.
pub async fn a_ping_is_answered(fixture: &dyn Fixture) {
    fixture.engine().ping().await.unwrap();
}

async fn listed(fixture: &dyn Fixture, name: &str, value: &str) -> Vec<Container> {
    fixture.engine().list_labelled(&[(name.to_owned(), value.to_owned())]).await.unwrap().containers
}

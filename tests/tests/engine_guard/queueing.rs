//! Calls beyond the limit wait in order; what need not wait does not.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rtmanager::adapters::memory::{Call, Failure, ManualClock};
use rtmanager::guarded::GuardedEngine;
use rtmanager::metrics::Metrics;
use rtmanager::model::{Container, ContainerId, Removal};
use rtmanager::ports::{ContainerEngine, EngineError, Listing};
use rtmanager_tests::mock_host::container;
use tokio::sync::Semaphore;

use super::{FAILURES, Guarded, PATIENCE, is_left_alone, options, until};

/// Notes who is let through, and answers as often as it is told to.
struct Gate {
    seen: Mutex<Vec<ContainerId>>,
    answers: Semaphore,
}

#[async_trait]
impl ContainerEngine for Gate {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.seen.lock().unwrap().push(id.clone());
        self.answers.acquire().await.unwrap().forget();
        Ok(None)
    }

    async fn remove(&self, _: &ContainerId) -> Result<Removal, EngineError> {
        Ok(Removal::AlreadyGone)
    }

    async fn list_labelled(&self, _: &[(String, String)]) -> Result<Listing, EngineError> {
        Ok(Listing::default())
    }

    async fn ping(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_and_are_let_through_in_order() {
    let gate = Arc::new(Gate { seen: Mutex::default(), answers: Semaphore::new(0) });
    let (clock, metrics) = (Arc::new(ManualClock::default()), Arc::new(Metrics::new().unwrap()));
    let guard = GuardedEngine::new("local".parse().unwrap(), gate.clone(), options(1), clock, metrics);
    let guard = Arc::new(guard);
    let ids: Vec<_> = (1..=6).map(container).collect();
    let mut calls = Vec::new();
    for id in &ids {
        let (guard, id) = (guard.clone(), id.clone());
        calls.push(tokio::spawn(async move { guard.inspect(&id).await }));
        tokio::task::yield_now().await;
    }
    // One that waits and gives up leaves its turn to the next.
    calls.remove(3).abort();
    let expected: Vec<_> = ids.iter().enumerate().filter(|(n, _)| *n != 3).map(|(_, id)| id.clone()).collect();
    for n in 1..=expected.len() {
        until(|| gate.seen.lock().unwrap().len() == n).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*gate.seen.lock().unwrap(), expected[..n], "more than one at a time, or out of turn");
        gate.answers.add_permits(1);
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), None);
    }
}

#[tokio::test]
async fn a_ping_does_not_wait_behind_calls_that_hang() {
    let guarded = Guarded::new(1);
    guarded.breaks(&[Call::EngineInspect], Failure::Hang);
    let stuck: Vec<_> = (0..3).map(|_| guarded.inspect_meanwhile()).collect();
    until(|| guarded.made(Call::EngineInspect) == 1).await;
    guarded.engine.ping().await.unwrap();
    assert!(stuck.iter().all(|call| !call.is_finished()));
    stuck.iter().for_each(|call| call.abort());
}

#[tokio::test]
async fn those_who_wait_are_answered_at_once_when_the_engine_is_left_alone() {
    let guarded = Guarded::new(1);
    guarded.breaks(&[Call::EngineInspect], Failure::Hang);
    let stuck = guarded.inspect_meanwhile();
    until(|| guarded.made(Call::EngineInspect) == 1).await;
    let waiting: Vec<_> = (0..5).map(|_| guarded.inspect_meanwhile()).collect();
    tokio::task::yield_now().await;
    guarded.breaks(&[Call::EnginePing], Failure::Unavailable);
    for _ in 0..FAILURES {
        guarded.engine.ping().await.unwrap_err();
    }
    for call in waiting {
        assert!(is_left_alone(&call.await.unwrap()));
    }
    assert!(!stuck.is_finished());
    assert_eq!(guarded.made(Call::EngineInspect), 1);
    stuck.abort();
}

#[tokio::test]
async fn hung_calls_lower_the_limit_and_answers_raise_it_again() {
    let guarded = Guarded::new(16);
    assert_eq!(guarded.engine.capacity(), 8);
    guarded.breaks(&[Call::EngineInspect], Failure::Hang);
    for _ in 1..FAILURES {
        guarded.given_up_after(PATIENCE).await;
    }
    let lowered = guarded.engine.capacity();
    assert!(lowered < 6, "{lowered}");
    guarded.script.plan().mend();
    // Answers that take a moment, so that calls are under way at the same time.
    (1..4_000).for_each(|n| guarded.script.plan().meanwhile(Call::EngineInspect, n, tokio::task::yield_now()));
    for _ in 0..200 {
        let calls: Vec<_> = (0..16).map(|_| guarded.inspect_meanwhile()).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }
    assert_eq!(guarded.engine.capacity(), 16);
    let text = guarded.metrics.render().unwrap();
    assert!(text.contains("rtmanager_engine_concurrency_limit{engine=\"local\"} 16"), "{text}");
}

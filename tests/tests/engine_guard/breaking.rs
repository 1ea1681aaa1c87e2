//! An engine that does not answer is left alone, and asked again by one ping.

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::ports::{ContainerEngine as _, EngineError};
use rtmanager_tests::captured_log::captured_log;
use rtmanager_tests::mock_host::container;

use super::{COOLDOWN, FAILURES, Guarded, PATIENCE, is_left_alone, until};

#[tokio::test]
async fn after_so_many_failures_in_a_row_it_is_not_asked_any_more() {
    let (_guard, log) = captured_log();
    let guarded = Guarded::new(8);
    guarded.broken().await;
    let made = guarded.script.journal().calls().len();
    assert!(is_left_alone(&guarded.inspect().await));
    assert!(is_left_alone(&guarded.engine.remove(&container(1)).await));
    assert!(is_left_alone(&guarded.engine.list_labelled(&[]).await));
    assert!(is_left_alone(&guarded.engine.ping().await));
    assert_eq!(guarded.script.journal().calls().len(), made);
    assert_eq!(guarded.engine.capacity(), 0);
    assert!(log.text().contains("the engine failed several times in a row and is left alone"), "{}", log.text());
}

#[tokio::test]
async fn lost_answers_count_as_failures() {
    let guarded = Guarded::new(8);
    guarded.breaks(&[Call::EngineRemove, Call::EnginePing], Failure::LoseRequest);
    for _ in 0..FAILURES {
        assert!(matches!(guarded.engine.remove(&container(1)).await, Err(EngineError::Unknown(_))));
    }
    assert!(is_left_alone(&guarded.inspect().await));
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_ends_a_row_of_failures() {
    let guarded = Guarded::new(8);
    for _ in 0..FAILURES * 2 {
        assert!(matches!(guarded.engine.remove(&container(3)).await, Err(EngineError::Refused(_))));
    }
    for _ in 0..3 {
        guarded.breaks(&[Call::EngineInspect, Call::EnginePing], Failure::Unavailable);
        for _ in 1..FAILURES {
            guarded.inspect().await.unwrap_err();
        }
        guarded.script.plan().mend();
        assert!(matches!(guarded.engine.remove(&container(3)).await, Err(EngineError::Refused(_))));
    }
    assert!(!guarded.is_open());
}

#[tokio::test]
async fn quick_failures_of_single_containers_are_not_the_engines_while_it_answers_pings() {
    let guarded = Guarded::new(8);
    guarded.breaks(&[Call::EngineRemove], Failure::Unavailable);
    for _ in 0..FAILURES * 3 {
        let answer = guarded.engine.remove(&container(1)).await;
        assert!(answer.is_err() && !is_left_alone(&answer));
    }
    assert!(guarded.inspect().await.is_ok());
}

#[tokio::test]
async fn calls_that_hang_until_their_callers_give_up_count_though_pings_are_answered() {
    let guarded = Guarded::new(8);
    guarded.breaks(&[Call::EngineInspect], Failure::Hang);
    for n in 1..=FAILURES {
        guarded.engine.ping().await.unwrap();
        guarded.given_up_after(PATIENCE).await;
        assert_eq!(guarded.is_open(), n == FAILURES);
    }
}

#[tokio::test]
async fn a_call_given_up_early_tells_nothing() {
    let guarded = Guarded::new(8);
    guarded.breaks(&[Call::EngineInspect], Failure::Hang);
    for _ in 0..FAILURES * 3 {
        guarded.given_up_after(PATIENCE / 2).await;
    }
    assert!(!guarded.is_open());
    guarded.script.plan().mend();
    assert!(guarded.inspect().await.is_ok(), "its place came back");
}

#[tokio::test]
async fn one_container_that_hangs_does_not_open_the_circuit_while_others_are_answered() {
    // Room enough, since each call that hangs lowers the limit.
    let guarded = Guarded::new(64);
    for n in 1..=FAILURES * 2 {
        guarded.script.plan().fail(Call::EngineInspect, n * 2 - 1, Failure::Hang);
        let stuck = guarded.inspect_meanwhile();
        until(|| guarded.made(Call::EngineInspect) == (n * 2 - 1) as usize).await;
        guarded.clock.advance(PATIENCE);
        guarded.inspect().await.unwrap();
        stuck.abort();
        stuck.await.unwrap_err();
    }
    assert!(!guarded.is_open());
}

#[tokio::test]
async fn after_the_cooldown_one_ping_decides_and_others_are_not_let_through_meanwhile() {
    let (_guard, log) = captured_log();
    let guarded = Guarded::new(8);
    guarded.broken().await;
    guarded.script.plan().mend();
    guarded.clock.advance(COOLDOWN - std::time::Duration::from_millis(1));
    assert!(is_left_alone(&guarded.inspect().await));

    guarded.clock.advance(COOLDOWN);
    let (pings, inspections) = (guarded.made(Call::EnginePing), guarded.made(Call::EngineInspect));
    guarded.breaks(&[Call::EnginePing], Failure::Hang);
    let probing = guarded.inspect_meanwhile();
    until(|| guarded.made(Call::EnginePing) == pings + 1).await;
    assert!(is_left_alone(&guarded.inspect().await));
    assert!(is_left_alone(&guarded.engine.ping().await));
    // Its caller gives up, which decides nothing: the next may try.
    probing.abort();
    probing.await.unwrap_err();
    guarded.script.plan().mend();
    guarded.inspect().await.unwrap();
    assert_eq!(guarded.made(Call::EnginePing), pings + 2);
    assert_eq!(guarded.made(Call::EngineInspect), inspections + 1, "refused calls were made");
    assert!(guarded.engine.capacity() > 0);
    assert!(log.text().contains("the engine answers again"), "{}", log.text());
}

#[tokio::test]
async fn a_ping_is_the_probe_itself() {
    let guarded = Guarded::new(8);
    guarded.broken().await;
    guarded.clock.advance(COOLDOWN);
    let pings = guarded.made(Call::EnginePing);
    let answer = guarded.engine.ping().await;
    assert!(answer.is_err() && !is_left_alone(&answer), "the engine's own answer is told: {answer:?}");
    assert_eq!(guarded.made(Call::EnginePing), pings + 1);
    assert!(is_left_alone(&guarded.engine.ping().await));
}

#[tokio::test]
async fn each_further_time_it_is_left_alone_for_twice_as_long_until_a_call_succeeds() {
    let guarded = Guarded::new(8);
    guarded.broken().await;
    guarded.clock.advance(COOLDOWN);
    assert!(!is_left_alone(&guarded.engine.ping().await));
    guarded.clock.advance(COOLDOWN);
    assert!(is_left_alone(&guarded.engine.ping().await));
    guarded.clock.advance(COOLDOWN);
    guarded.script.plan().mend();
    guarded.inspect().await.unwrap();

    guarded.broken().await;
    guarded.clock.advance(COOLDOWN);
    assert!(!is_left_alone(&guarded.engine.ping().await), "the first pause is a short one again");
}

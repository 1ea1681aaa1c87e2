//! The default policy's cleanup, natively: each row of its behaviour table, and every error of every import.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager_guest::types::{Error, Outcome, Removal, RuntimeRecord, Status, Verdict};
use rtmanager_tests::scripted_ports::{CONTAINER, IMAGE, ScriptedPorts, record, request};

const ALL_ERRORS: usize = 8;

fn errors() -> [Error; ALL_ERRORS] {
    [
        Error::NotFound,
        Error::Conflict,
        Error::Denied("held".into()),
        Error::Denied("quota".into()),
        Error::LeaseLost,
        Error::Unavailable("the store is unavailable".into()),
        Error::OutcomeUnknown,
        Error::Internal("the store is corrupt".into()),
    ]
}

fn stopped() -> ScriptedPorts {
    ScriptedPorts::with(record(Status::Stopped))
}

/// The run ended so, its one entry says the same and names the container or not, and a lease it had is back.
#[track_caller]
fn assert_ended(ports: &ScriptedPorts, verdict: &Verdict, outcome: Outcome, code: Option<&str>, names_container: bool) {
    assert_eq!((verdict.outcome, verdict.error_code.as_deref()), (outcome, code), "{verdict:?}");
    assert_eq!(verdict.message.is_some(), outcome == Outcome::Failure, "only failures have a message");
    let entries = ports.entries();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!((entry.outcome, &entry.error_code, &entry.message), (outcome, &verdict.error_code, &verdict.message));
    let subject = (entry.container_id.as_deref(), entry.image_ref.as_deref());
    assert_eq!(subject, if names_container { (Some(CONTAINER), Some(IMAGE)) } else { (None, None) });
    assert_entry_before_release(ports);
}

#[track_caller]
fn assert_entry_before_release(ports: &ScriptedPorts) {
    let calls = ports.calls();
    if matches!(ports.acquire, Ok(Some(()))) && calls.contains(&"try_acquire".to_owned()) {
        assert!(calls[calls.len() - 2].starts_with("append"), "{calls:?}");
        assert_eq!(calls.last().unwrap(), "release");
    } else {
        assert!(!calls.contains(&"release".to_owned()), "{calls:?}");
    }
}

#[track_caller]
fn assert_failed(ports: &ScriptedPorts, code: &str, names_container: bool) -> String {
    let verdict = ports.clean_up();
    assert_ended(ports, &verdict, Outcome::Failure, Some(code), names_container);
    verdict.message.unwrap()
}

#[track_caller]
fn assert_calls(ports: &ScriptedPorts, expected: &[&str]) {
    assert_eq!(ports.calls(), expected);
}

fn update_call() -> String {
    format!("update_status Status::Stopped {CONTAINER} Status::Removed")
}

#[test]
fn row_blank_game_id_is_an_invalid_request_and_asks_for_no_lease() {
    for blank in ["", " ", "\t\n", "\u{2003}"] {
        let ports = stopped();
        let verdict = rtmanager_guest::cleanup::handle(&ports, &request(blank, "admin_rest"));
        assert_ended(&ports, &verdict, Outcome::Failure, Some("invalid_request"), false);
        assert_calls(&ports, &["append failure invalid_request"]);
    }
}

#[test]
fn row_unknown_op_source_is_an_invalid_request_that_names_the_known_ones() {
    for source in ["", "ADMIN_REST", "admin_rest ", "sweeper"] {
        let ports = stopped();
        let verdict = rtmanager_guest::cleanup::handle(&ports, &request("game-1", source));
        assert_ended(&ports, &verdict, Outcome::Failure, Some("invalid_request"), false);
        assert_calls(&ports, &["append failure invalid_request"]);
        let message = verdict.message.unwrap();
        assert!(
            message.contains(&format!("\"{source}\"")) && message.contains("admin_rest, auto_ttl, cli, reconciler")
        );
    }
}

#[test]
fn a_giant_op_source_is_not_repeated_whole() {
    let ports = stopped();
    let verdict = rtmanager_guest::cleanup::handle(&ports, &request("game-1", &"é".repeat(100_000)));
    assert!(verdict.message.unwrap().len() < 256);
}

#[test]
fn every_known_op_source_is_accepted() {
    for source in ["admin_rest", "auto_ttl", "cli", "reconciler"] {
        let verdict = rtmanager_guest::cleanup::handle(&stopped(), &request("game-1", source));
        assert_eq!(verdict.outcome, Outcome::Success, "{source}");
    }
}

#[test]
fn row_failing_lease_store_is_service_unavailable() {
    for error in errors() {
        let expected = match &error {
            Error::LeaseLost => "conflict",
            Error::Denied(rule) if rule == "held" => "conflict",
            _ => "service_unavailable",
        };
        let ports = ScriptedPorts { acquire: Err(error), ..stopped() };
        assert_failed(&ports, expected, false);
        assert_calls(&ports, &["try_acquire", &format!("append failure {expected}")]);
    }
}

#[test]
fn row_lease_held_by_another_is_a_conflict() {
    let ports = ScriptedPorts { acquire: Ok(None), ..stopped() };
    assert!(assert_failed(&ports, "conflict", false).contains("another operation"));
    assert_calls(&ports, &["try_acquire", "append failure conflict"]);
}

#[test]
fn row_no_record_is_not_found() {
    let ports = ScriptedPorts { loaded: Err(Error::NotFound), ..stopped() };
    assert!(assert_failed(&ports, "not_found", false).contains("game-1"));
    assert_calls(&ports, &["try_acquire", "get", "append failure not_found", "release"]);
}

#[test]
fn row_record_that_cannot_be_loaded_is_an_internal_error() {
    for error in errors().into_iter().filter(|error| *error != Error::NotFound) {
        let ports = ScriptedPorts { loaded: Err(error), ..stopped() };
        assert_failed(&ports, "internal_error", false);
        assert_calls(&ports, &["try_acquire", "get", "append failure internal_error", "release"]);
    }
}

#[test]
fn row_record_removed_already_is_a_replay_and_touches_nothing() {
    let ports = ScriptedPorts::with(record(Status::Removed));
    assert_ended(&ports, &ports.clean_up(), Outcome::Success, Some("replay_no_op"), true);
    assert_calls(&ports, &["try_acquire", "get", "append success replay_no_op", "release"]);
}

#[test]
fn row_record_running_is_a_conflict_that_says_stop_it_first() {
    let ports = ScriptedPorts::with(record(Status::Running));
    let message = assert_failed(&ports, "conflict", true);
    assert!(message.contains("running") && message.contains("stop it first"), "{message}");
    assert_calls(&ports, &["try_acquire", "get", "append failure conflict", "release"]);
}

#[test]
fn row_unknown_status_is_an_internal_error_without_container() {
    let ports = ScriptedPorts::with(record(Status::Other("lost".into())));
    assert!(assert_failed(&ports, "internal_error", false).contains("\"lost\""));
    assert_calls(&ports, &["try_acquire", "get", "append failure internal_error", "release"]);
}

#[test]
fn row_live_container_of_a_stopped_record_is_a_conflict_and_leaves_the_record() {
    let ports = ScriptedPorts { removal: Err(Error::Conflict), ..stopped() };
    assert!(assert_failed(&ports, "conflict", true).contains(CONTAINER));
    let removal = format!("remove {CONTAINER}");
    assert_calls(&ports, &["try_acquire", "get", &removal, "get", "append failure conflict", "release"]);
}

#[test]
fn row_failing_or_silent_engine_is_service_unavailable_and_leaves_the_record() {
    for error in [Error::Unavailable("no answer".into()), Error::OutcomeUnknown, Error::Internal("odd".into())] {
        let ports = ScriptedPorts { removal: Err(error), ..stopped() };
        assert_failed(&ports, "service_unavailable", true);
        let removal = format!("remove {CONTAINER}");
        assert_calls(&ports, &["try_acquire", "get", &removal, "append failure service_unavailable", "release"]);
    }
}

#[test]
fn a_container_with_another_owners_labels_is_a_conflict_and_leaves_the_record() {
    let ports = ScriptedPorts { removal: Err(Error::Denied("owner-mismatch".into())), ..stopped() };
    assert!(assert_failed(&ports, "conflict", true).contains("labels"));
    assert_eq!(ports.calls().len(), 5);
}

#[test]
fn a_refusal_that_only_a_faulty_policy_meets_is_an_internal_error_that_names_the_rule() {
    let ports = ScriptedPorts { removal: Err(Error::Denied("not-stopped".into())), ..stopped() };
    assert!(assert_failed(&ports, "internal_error", true).contains("not-stopped"));
    let ports = ScriptedPorts { update: Err(Error::Denied("absence-unproven".into())), ..stopped() };
    assert!(assert_failed(&ports, "internal_error", true).contains("absence-unproven"));
}

#[test]
fn row_stopped_without_container_succeeds_without_the_engine() {
    let ports = ScriptedPorts::with(RuntimeRecord { container_id: None, ..record(Status::Stopped) });
    let verdict = ports.clean_up();
    assert_eq!((verdict.outcome, verdict.error_code, verdict.message), (Outcome::Success, None, None));
    assert_eq!((&ports.entries()[0].container_id, ports.entries()[0].image_ref.as_deref()), (&None, Some(IMAGE)));
    let update = "update_status Status::Stopped none Status::Removed";
    assert_calls(&ports, &["try_acquire", "get", update, "append success -", "release"]);
}

#[test]
fn row_lease_lost_before_removal_is_a_conflict_without_further_effect() {
    let ports = ScriptedPorts { removal: Err(Error::LeaseLost), ..stopped() };
    assert!(assert_failed(&ports, "conflict", true).contains("lease"));
    assert_calls(&ports, &["try_acquire", "get", &format!("remove {CONTAINER}"), "append failure conflict", "release"]);
}

#[test]
fn row_lease_lost_before_the_update_is_a_conflict_without_further_effect() {
    let ports = ScriptedPorts { update: Err(Error::LeaseLost), ..stopped() };
    assert!(assert_failed(&ports, "conflict", true).contains("lease"));
    assert_eq!(ports.calls()[3..], [update_call(), "append failure conflict".into(), "release".into()]);
}

#[test]
fn an_operators_hold_is_a_conflict_wherever_it_shows() {
    let held = || Error::Denied("held".into());
    for ports in
        [ScriptedPorts { removal: Err(held()), ..stopped() }, ScriptedPorts { update: Err(held()), ..stopped() }]
    {
        assert!(assert_failed(&ports, "conflict", true).contains("operator"));
    }
}

#[test]
fn row_update_conflict_with_a_removed_record_is_a_replay_with_the_first_reads_container() {
    let removed = RuntimeRecord { container_id: None, image_ref: Some("other".into()), ..record(Status::Removed) };
    let ports = ScriptedPorts { update: Err(Error::Conflict), reloaded: Ok(removed), ..stopped() };
    assert_ended(&ports, &ports.clean_up(), Outcome::Success, Some("replay_no_op"), true);
    assert_eq!(ports.calls()[3..5], [update_call(), "get".into()]);
}

#[test]
fn row_update_conflict_with_any_other_record_is_a_conflict() {
    for status in [Status::Running, Status::Stopped, Status::Other("lost".into())] {
        let ports = ScriptedPorts { update: Err(Error::Conflict), reloaded: Ok(record(status)), ..stopped() };
        assert_failed(&ports, "conflict", true);
    }
}

#[test]
fn an_update_conflict_whose_second_read_fails_is_a_conflict() {
    for error in errors().into_iter().filter(|error| *error != Error::NotFound) {
        let ports = ScriptedPorts { update: Err(Error::Conflict), reloaded: Err(error), ..stopped() };
        assert_failed(&ports, "conflict", true);
    }
}

#[test]
fn row_record_that_vanished_before_the_update_is_not_found() {
    let ports = ScriptedPorts { removal: Err(Error::NotFound), ..stopped() };
    assert_failed(&ports, "not_found", true);
    let ports = ScriptedPorts { update: Err(Error::NotFound), ..stopped() };
    assert!(assert_failed(&ports, "not_found", true).contains("vanished"));
    let ports = ScriptedPorts { update: Err(Error::Conflict), reloaded: Err(Error::NotFound), ..stopped() };
    assert!(assert_failed(&ports, "not_found", true).contains("vanished"));
}

#[test]
fn row_update_that_fails_otherwise_is_an_internal_error() {
    for error in [Error::Unavailable("no answer".into()), Error::Internal("odd".into())] {
        let ports = ScriptedPorts { update: Err(error), ..stopped() };
        assert_failed(&ports, "internal_error", true);
        assert_eq!(ports.calls()[3..], [update_call(), "append failure internal_error".into(), "release".into()]);
    }
}

#[test]
fn an_update_with_a_lost_answer_is_a_replay_if_the_record_is_removed_now() {
    let reloaded = Ok(record(Status::Removed));
    let ports = ScriptedPorts { update: Err(Error::OutcomeUnknown), reloaded, ..stopped() };
    assert_ended(&ports, &ports.clean_up(), Outcome::Success, Some("replay_no_op"), true);
}

#[test]
fn an_update_with_a_lost_answer_is_an_internal_error_if_the_record_is_not_removed() {
    for reloaded in [Ok(record(Status::Stopped)), Err(Error::NotFound), Err(Error::Unavailable("down".into()))] {
        let ports = ScriptedPorts { update: Err(Error::OutcomeUnknown), reloaded, ..stopped() };
        assert_failed(&ports, "internal_error", true);
        assert_eq!(ports.calls().iter().filter(|call| *call == "get").count(), 2, "reads again once");
    }
}

#[test]
fn row_all_well_is_a_plain_success() {
    for removal in [Ok(Removal::Removed), Ok(Removal::AlreadyGone)] {
        let ports = ScriptedPorts { removal, ..stopped() };
        assert_ended(&ports, &ports.clean_up(), Outcome::Success, None, true);
        let (removal, update) = (format!("remove {CONTAINER}"), update_call());
        assert_calls(&ports, &["try_acquire", "get", &removal, &update, "append success -", "release"]);
    }
}

#[test]
fn a_failing_append_changes_neither_a_success_nor_a_failure() {
    for error in errors() {
        let ports = ScriptedPorts { append: Err(error.clone()), ..stopped() };
        assert_ended(&ports, &ports.clean_up(), Outcome::Success, None, true);
        let ports = ScriptedPorts { append: Err(error), ..ScriptedPorts::with(record(Status::Running)) };
        assert_failed(&ports, "conflict", true);
    }
}

#[test]
fn a_failing_release_changes_no_outcome() {
    for error in errors() {
        let ports = ScriptedPorts { release: Err(error), ..stopped() };
        assert_ended(&ports, &ports.clean_up(), Outcome::Success, None, true);
    }
}

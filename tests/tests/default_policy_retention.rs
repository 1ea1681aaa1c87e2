//! The default policy's review, natively: when a container is due, and that doubt keeps it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager_guest::ports::SettingsUnavailable;
use rtmanager_guest::types::{Advice, Candidate, Error, RuntimeRecord, Status, Timestamp};
use rtmanager_tests::scripted_ports::{CONTAINER, DAY, STOPPED_AT, ScriptedPorts, container, record};

const FLOOR_PASSED_AT: Timestamp = STOPPED_AT + 14 * DAY;

fn ports(settings: &[(&str, &str)], now: Timestamp) -> ScriptedPorts {
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    ScriptedPorts { settings: Ok(settings), now, ..ScriptedPorts::with(record(Status::Stopped)) }
}

fn review(ports: &ScriptedPorts) -> Advice {
    let runtime = ports.loaded.clone().unwrap();
    let candidate = Candidate { runtime, floor_passed_at: FLOOR_PASSED_AT, failed_attempts: 0 };
    rtmanager_guest::retention::review(ports, &candidate)
}

#[track_caller]
fn kept(settings: &[(&str, &str)]) -> String {
    match review(&ports(settings, FLOOR_PASSED_AT + 365 * DAY)) {
        Advice::Keep(reason) => reason,
        other => panic!("{settings:?} gave {other:?}"),
    }
}

#[test]
fn without_settings_a_candidate_is_due_and_the_engine_is_not_asked() {
    let ports = ports(&[], FLOOR_PASSED_AT);
    assert_eq!(review(&ports), Advice::Due);
    assert!(ports.calls().is_empty());
}

#[test]
fn extra_retention_counts_from_the_floor() {
    let settings = [("extra_retention_days", "3")];
    let due_at = FLOOR_PASSED_AT + 3 * DAY;
    assert_eq!(review(&ports(&settings, due_at - 1)), Advice::WaitUntil(due_at));
    assert_eq!(review(&ports(&settings, due_at)), Advice::Due);
}

#[test]
fn a_failed_container_is_kept_from_the_time_it_stopped() {
    let until = STOPPED_AT + 20 * DAY;
    let failed = |now| ScriptedPorts { inspected: Ok(container(137)), ..ports(&[("keep_failed_days", "20")], now) };
    let before = failed(FLOOR_PASSED_AT);
    assert_eq!(review(&before), Advice::WaitUntil(until));
    assert_eq!(before.calls(), [format!("inspect {CONTAINER}")]);
    let after = failed(until);
    assert_eq!(review(&after), Advice::Due);
    assert!(after.calls().is_empty(), "the answer would not matter");
}

#[test]
fn a_container_that_ended_well_or_is_gone_is_not_kept_as_failed() {
    let unknown_code = rtmanager_guest::types::Container { exit_code: None, ..container(0) };
    for inspected in [Ok(container(0)), Ok(unknown_code), Err(Error::NotFound)] {
        let ports = ScriptedPorts { inspected, ..ports(&[("keep_failed_days", "20")], FLOOR_PASSED_AT) };
        assert_eq!(review(&ports), Advice::Due);
    }
}

#[test]
fn a_runtime_without_container_is_not_kept_as_failed() {
    let loaded = Ok(RuntimeRecord { container_id: None, ..record(Status::Stopped) });
    let ports = ScriptedPorts { loaded, ..ports(&[("keep_failed_days", "20")], FLOOR_PASSED_AT) };
    assert_eq!(review(&ports), Advice::Due);
}

#[test]
fn an_exit_code_that_cannot_be_learned_keeps() {
    for error in [Error::Unavailable("down".into()), Error::OutcomeUnknown, Error::Denied("quota".into())] {
        let ports = ScriptedPorts { inspected: Err(error), ..ports(&[("keep_failed_days", "20")], FLOOR_PASSED_AT) };
        let Advice::Keep(reason) = review(&ports) else { panic!("not kept") };
        assert!(reason.contains("keep_failed_days"), "{reason}");
    }
}

#[test]
fn the_later_of_two_waits_holds() {
    let settings = [("extra_retention_days", "10"), ("keep_failed_days", "20")];
    let ports = ScriptedPorts { inspected: Ok(container(1)), ..ports(&settings, FLOOR_PASSED_AT) };
    assert_eq!(review(&ports), Advice::WaitUntil(FLOOR_PASSED_AT + 10 * DAY));
}

#[test]
fn a_protecting_label_keeps_and_another_value_does_not() {
    assert!(kept(&[("protect_label", "env=prod")]).contains("env=prod"));
    for other in ["env=test", "tier=prod", "env="] {
        assert_eq!(review(&ports(&[("protect_label", other)], FLOOR_PASSED_AT)), Advice::Due, "{other}");
    }
}

#[test]
fn a_malformed_setting_keeps_and_says_what_would_be_right() {
    for bad in ["", "x", "-1", "1.5", " 7", "65536", "99999999999999999999", "7d"] {
        for name in ["extra_retention_days", "keep_failed_days"] {
            let reason = kept(&[(name, bad)]);
            assert!(reason.contains(name) && reason.contains("whole days"), "{reason}");
        }
    }
    for bad in ["", "env", "=prod"] {
        assert!(kept(&[("protect_label", bad)]).contains("name=value"));
    }
}

#[test]
fn a_misspelt_setting_keeps_and_names_the_known_ones() {
    let reason = kept(&[("extra_retention_day", "7")]);
    assert!(reason.contains("extra_retention_days") && reason.ends_with("extra_retention_day"), "{reason}");
}

#[test]
fn settings_that_cannot_be_read_keep() {
    let ports = ScriptedPorts { settings: Err(SettingsUnavailable), ..ports(&[], FLOOR_PASSED_AT) };
    assert!(matches!(review(&ports), Advice::Keep(reason) if reason.contains("settings")));
}

#[test]
fn the_longest_retention_does_not_overflow() {
    let ports = ports(&[("extra_retention_days", "65535")], u64::MAX - 1);
    assert_eq!(review(&ports), Advice::Due);
    let runtime = record(Status::Stopped);
    let candidate = Candidate { runtime, floor_passed_at: u64::MAX - 1, failed_attempts: 0 };
    assert_eq!(rtmanager_guest::retention::review(&ports, &candidate), Advice::WaitUntil(u64::MAX));
}

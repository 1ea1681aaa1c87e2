//! The rules of the protocol, each broken by a policy in the sandbox: the host refuses by the rule's name, and
//! nothing has an effect.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager::adapters::memory::Call;
use rtmanager::model::{Author, Hold, LiveStatus, Outcome, RuntimeRecord, Status};
use rtmanager::session::Rule;
use rtmanager_tests::captured_log::captured_log;
use rtmanager_tests::hostile::{assert_still_stopped, assert_untouched, hostile, run, run_over_stopped};
use rtmanager_tests::mock_host::{ENGINE, GAME, IMAGE, container, labels, request};

/// The policy breaks a rule over a stopped runtime; the host answers so, and nothing has an effect.
async fn refused(mode: &str, answer: &str) {
    let (host, told) = run_over_stopped(hostile(mode)).await;
    told.reports(answer);
    assert_untouched(&host).await;
}

fn denied(rule: Rule) -> String {
    format!("denied({rule})")
}

#[test]
fn every_rule_is_documented_for_policy_authors() {
    let manual = include_str!("../../wit/types.wit");
    for rule in Rule::ALL {
        assert!(manual.contains(&format!("- `{rule}`:")), "{rule}");
    }
    assert_eq!(manual.matches("    /// - `").count(), Rule::ALL.len(), "and nothing else is");
}

#[tokio::test]
async fn the_honest_mode_cleans_up_so_that_the_others_fail_for_their_own_reasons() {
    let (host, told) = run_over_stopped(hostile("honest")).await;
    assert_eq!((told.result.outcome, told.code()), (Outcome::Success, "-"));
    assert!(!host.has_container(&container(1)));
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed);
}

#[tokio::test]
async fn nothing_is_removed_before_the_record_was_read() {
    let own = container(1).to_string();
    let (host, told) = run_over_stopped(hostile("remove-before-load").setting("container", &own)).await;
    told.reports(&denied(Rule::RecordNotLoaded));
    assert_untouched(&host).await;
}

#[tokio::test]
async fn only_the_records_own_container_is_removed() {
    for mode in ["remove-another", "remove-by-name", "remove-by-prefix", "remove-by-path"] {
        refused(mode, &denied(Rule::NotTheRecordsContainer)).await;
    }
}

#[tokio::test]
async fn a_stopped_container_of_another_game_is_neither_seen_nor_removed() {
    let another = container(2).to_string();
    for (mode, answer) in
        [("remove-another", denied(Rule::NotTheRecordsContainer)), ("inspect-another", "not-found".into())]
    {
        let host = hostile(mode).setting("container", &another).build();
        host.stopped(GAME, &container(1)).await;
        host.stopped("game-2", &container(2)).await;
        run(&host).await.reports(&answer);
        assert_untouched(&host).await;
        assert!(host.has_container(&container(2)));
        assert_eq!(host.script.journal().count(Call::EngineInspect), 0, "the engine is not even asked");
    }
}

#[tokio::test]
async fn nothing_is_removed_unless_the_record_says_stopped() {
    let host = hostile("remove-own").build();
    host.stopped(GAME, &container(1)).await;
    host.register(GAME, LiveStatus::Running, Some(&container(1))).await;
    run(&host).await.reports(&denied(Rule::NotStopped));
    assert!(host.has_container(&container(1)));
    assert_eq!(host.script.journal().count(Call::EngineRemove), 0);
}

#[tokio::test]
async fn nothing_is_removed_that_is_labelled_as_anothers() {
    let host = hostile("remove-own").build();
    host.stopped(GAME, &container(1)).await;
    let mut labels = labels(GAME);
    labels.insert("rtmanager.owner".to_owned(), "another".to_owned());
    host.engine.create(&container(1), IMAGE, labels);
    run(&host).await.reports(&denied(Rule::OwnerMismatch));
    assert_untouched(&host).await;
}

#[tokio::test]
async fn nothing_is_removed_while_an_operator_holds_the_game() {
    let host = hostile("remove-own").build();
    host.stopped(GAME, &container(1)).await;
    let hold = Hold { reason: "evidence".to_owned(), actor: "tester".to_owned(), until: None };
    host.store.records().set_hold(&GAME.parse().unwrap(), Some(&hold)).await.unwrap();
    run(&host).await.reports(&denied(Rule::Held));
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_live_container_is_not_removed_though_the_record_says_stopped() {
    let host = hostile("remove-own").build();
    host.stopped(GAME, &container(1)).await;
    host.engine.start(&container(1));
    run(&host).await.reports("conflict");
    assert_untouched(&host).await;
}

#[tokio::test]
async fn nothing_is_removed_after_the_release() {
    refused("remove-after-release", &denied(Rule::LeaseRequired)).await;
}

#[tokio::test]
async fn the_record_is_not_updated_before_it_was_read() {
    refused("update-before-load", &denied(Rule::RecordNotLoaded)).await;
}

#[tokio::test]
async fn the_record_is_not_updated_without_proof_that_the_container_is_gone() {
    refused("update-without-proof", &denied(Rule::AbsenceUnproven)).await;
    refused("update-after-release", &denied(Rule::AbsenceUnproven)).await;
}

#[tokio::test]
async fn a_container_that_is_gone_from_one_engine_is_not_gone_from_another() {
    for (engine, answer) in [(ENGINE, "not-found, ok"), ("another", "not-found, denied(absence-unproven)")] {
        let host = hostile("update-after-reload").build();
        let record = host.stopped(GAME, &container(1)).await;
        host.engine.vanish(&container(1));
        let moved = RuntimeRecord { engine: engine.parse().unwrap(), version: record.version + 1, ..record };
        let store = host.store.clone();
        host.script.plan().meanwhile(Call::RecordGet, 2, async move { store.write_directly(moved) });
        let result = host.cleanup(GAME).await;
        assert_eq!(host.entries()[0].entry.error_message.as_deref(), Some(answer), "{result:?}");
    }
}

#[tokio::test]
async fn a_removal_that_the_policy_tells_nothing_of_is_told_by_the_host() {
    let (guard, log) = captured_log();
    let (host, told) = run_over_stopped(hostile("remove-own")).await;
    drop(guard);
    told.reports("ok");
    assert!(!host.has_container(&container(1)));
    assert_eq!(told.entry.container_id, Some(container(1)), "though the policy named none");
    assert_eq!(told.result.removed_container, Some(container(1)), "though the run failed");
    let log = log.text();
    for line in ["removing a container", "container gone"] {
        let line = log.lines().find(|logged| logged.contains(line)).unwrap();
        for field in [GAME, ENGINE, told.result.run_id.as_str(), container(1).as_str()] {
            assert!(line.contains(field), "{line} does not name {field}");
        }
    }
}

#[tokio::test]
async fn a_container_that_was_gone_already_is_not_told_as_removed_by_the_run() {
    let host = hostile("honest").build();
    host.stopped(GAME, &container(1)).await;
    host.engine.vanish(&container(1));
    let told = run(&host).await;
    assert_eq!((told.result.outcome, told.result.removed_container), (Outcome::Success, None));
}

#[tokio::test]
async fn the_record_changes_from_stopped_to_removed_and_no_other_way() {
    for mode in ["update-running-to-removed", "update-stopped-to-running", "update-stopped-to-other"] {
        refused(mode, &denied(Rule::OnlyStoppedToRemoved)).await;
    }
}

#[tokio::test]
async fn to_expect_no_container_does_not_get_around_the_proof() {
    let (host, told) = run_over_stopped(hostile("update-expecting-none")).await;
    told.reports("conflict");
    assert_still_stopped(&host).await;
}

#[tokio::test]
async fn the_record_is_not_updated_after_the_release() {
    let host = hostile("update-after-release").build();
    host.register(GAME, LiveStatus::Stopped, None).await;
    run(&host).await.reports(&denied(Rule::LeaseRequired));
    assert_eq!(host.script.journal().count(Call::RecordCompareAndSet), 0);
}

#[tokio::test]
async fn a_request_without_a_valid_game_reaches_nothing() {
    let host = hostile("second-lease").build();
    let result = host.lifecycle.cleanup(request(" ", "cli")).await;
    assert_eq!(result.message.unwrap(), denied(Rule::InvalidRequest));
    assert_eq!(host.script.journal().calls(), [Call::LogAppend]);
}

#[tokio::test]
async fn a_run_takes_one_lease() {
    for (mode, answer) in [
        ("second-lease", "denied(one-lease-a-run)"),
        ("second-lease-after-release", "denied(one-lease-a-run)"),
        ("lease-flood", "1 kept, then denied(one-lease-a-run)"),
    ] {
        let (host, told) = run_over_stopped(hostile(mode)).await;
        told.reports(answer);
        assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 1, "{mode}");
        assert_untouched(&host).await;
    }
}

#[tokio::test]
async fn a_second_release_does_nothing() {
    let (host, told) = run_over_stopped(hostile("release-twice")).await;
    told.reports("ok");
    assert_eq!(host.script.journal().count(Call::LeaseRelease), 1);
}

#[tokio::test]
async fn a_lease_that_the_policy_leaks_is_released_by_the_host() {
    let (host, told) = run_over_stopped(hostile("keep-lease")).await;
    told.reports("kept");
    assert_eq!(host.script.journal().count(Call::LeaseRelease), 1);
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_forged_lease_ends_the_run() {
    let (host, told) = run_over_stopped(hostile("forge-lease")).await;
    told.host_says("policy_trap").names("handle");
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_lease_that_is_dropped_twice_ends_the_run_and_is_released_once() {
    let (host, told) = run_over_stopped(hostile("drop-lease-twice")).await;
    told.host_says("policy_trap").names("handle");
    assert_eq!(host.script.journal().count(Call::LeaseRelease), 1);
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_success_that_the_host_did_not_see_is_a_false_one() {
    for mode in ["claim-success", "claim-replay"] {
        let (host, told) = run_over_stopped(hostile(mode)).await;
        told.host_says("policy_false_success");
        assert_untouched(&host).await;
    }
}

#[tokio::test]
async fn an_entry_of_success_is_refused_until_the_host_has_seen_it() {
    refused("unproven-entry", &denied(Rule::SuccessUnproven)).await;
}

#[tokio::test]
async fn a_policy_gives_no_code_that_is_the_hosts() {
    refused("host-code-entry", &denied(Rule::MalformedEntry)).await;
    let (host, told) = run_over_stopped(hostile("host-code")).await;
    told.host_says("policy_invalid_answer").names("policy_trap");
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_run_without_an_entry_gets_one_from_the_host() {
    let (host, told) = run_over_stopped(hostile("no-entry")).await;
    told.host_says("policy_no_entry");
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_cleanup_without_an_entry_is_a_failure_whose_entry_tells_the_container() {
    let (host, told) = run_over_stopped(hostile("no-entry-after-cleanup")).await;
    told.host_says("policy_no_entry");
    assert_eq!((told.entry.container_id.as_ref(), told.entry.image_ref.as_deref()), (Some(&container(1)), Some(IMAGE)));
    let record = host.record(GAME).await.unwrap().record;
    assert_eq!(record.status, Status::Removed, "what the policy did stays done");
}

#[tokio::test]
async fn an_entry_that_the_answer_contradicts_is_kept_with_the_fault_beside_it() {
    let (_, told) = run_over_stopped(hostile("entry-fails-answer-succeeds")).await;
    told.stands_beside("policy_contradiction", Outcome::Failure, Some("hostile"));
    let (_, told) = run_over_stopped(hostile("entry-succeeds-answer-fails")).await;
    told.stands_beside("policy_contradiction", Outcome::Success, None).names("changed the record to removed");
}

#[tokio::test]
async fn a_trap_after_an_entry_stands_beside_it() {
    let (_, told) = run_over_stopped(hostile("trap-after-false-entry")).await;
    told.stands_beside("policy_trap", Outcome::Failure, Some("hostile"));
    assert_eq!(told.entry.error_message.as_deref(), Some("before the trap"));
}

#[tokio::test]
async fn a_run_writes_one_entry() {
    let (host, told) = run_over_stopped(hostile("two-entries")).await;
    told.reports("ok, denied(one-entry-a-run)");
    assert_eq!(told.entry.error_message.as_deref(), Some("first"));
    assert_eq!(host.script.journal().count(Call::LogAppend), 1);
    let (host, told) = run_over_stopped(hostile("entry-flood")).await;
    told.reports("first ok, last denied(one-entry-a-run)");
    assert_eq!(host.script.journal().count(Call::LogAppend), 1);
}

#[tokio::test]
async fn an_entry_names_no_container_or_image_that_the_run_has_not_read() {
    let (_, told) = run_over_stopped(hostile("foreign-entry")).await;
    told.host_says("policy_no_entry");
    assert_eq!((&told.entry.container_id, &told.entry.image_ref), (&None, &None));
}

#[tokio::test]
async fn a_code_that_is_none_is_refused_and_shown_bounded() {
    let (_, told) = run_over_stopped(hostile("malformed-code")).await;
    told.host_says("policy_invalid_answer").names("Bad Code!");
    let (_, told) = run_over_stopped(hostile("long-code")).await;
    told.host_says("policy_invalid_answer").names(&format!("{}…", "c".repeat(64)));
}

#[tokio::test]
async fn control_characters_are_escaped_for_the_caller_and_the_log() {
    let (_, told) = run_over_stopped(hostile("escapes")).await;
    assert_eq!(told.entry.author, Author::Policy);
    let escaped = "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\r\\nlevel=info forged\\u{202e}\\u{0}\\u{7f}";
    for text in [told.message(), told.entry.error_message.as_deref().unwrap()] {
        assert_eq!(text, escaped);
    }
}

#[tokio::test]
async fn a_giant_message_is_cut_for_the_caller_and_the_log() {
    let (_, told) = run_over_stopped(hostile("giant-message")).await;
    for text in [told.message(), told.entry.error_message.as_deref().unwrap()] {
        assert_eq!(text, format!("{}…", "m".repeat(1024)));
    }
}

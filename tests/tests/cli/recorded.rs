//! Recorded runs at the command line: written down, explained, taken out, played again.

use std::time::Duration;

use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::model::{LiveStatus, RunJournal};
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::fixtures;
use rtmanager_tests::mock_host::{IMAGE, MockHost, container, labels};
use rtmanager_tests::sweeping::{RETENTION, Swept, sweep_options};
use serde_json::json;

use super::desk::{Desk, Said};

/// With the policies' files, and the runs of a sweep in which every third container had failed and is kept.
async fn desk() -> Desk {
    let desk = Desk::new();
    let file = |name: &str| desk.directory.path().join(name);
    std::fs::write(file("default.wasm"), DEFAULT_POLICY).unwrap();
    std::fs::write(file("hostile.wasm"), fixtures::HOSTILE).unwrap();
    let journals = swept().await;
    let lines: Vec<_> = journals.iter().map(|journal| journal.to_json().unwrap() + "\n").collect();
    std::fs::write(file("runs.jsonl"), lines.concat()).unwrap();
    keep(&desk, &journals).await;
    desk
}

async fn swept() -> Vec<RunJournal> {
    let host = MockHost::builder().setting("keep_failed_days", "60").build();
    for number in 1..=4_u64 {
        let game = format!("game-{number}");
        host.engine.create(&container(number), IMAGE, labels(&game));
        host.engine.start(&container(number));
        host.engine.stop(&container(number), i64::from(number % 3 == 0));
        host.register(&game, LiveStatus::Stopped, Some(&container(number))).await;
    }
    host.advance(RETENTION + Duration::from_secs(60));
    let written = host.record_runs();
    Swept::by(&host.sweeper(sweep_options()), &Default::default()).await;
    let mut journals = written.journals();
    journals.sort_by(|a, b| a.run_id.as_str().cmp(b.run_id.as_str()));
    journals
}

async fn keep(desk: &Desk, journals: &[RunJournal]) {
    let path = desk.directory.path().join("state/rtmanager.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    for journal in journals {
        store.journals().add(journal).await.unwrap();
    }
    store.close().await;
}

/// Without the run ids, which follow from when the games were swept.
fn steady(said: &Said, journals: &[RunJournal]) -> String {
    journals.iter().fold(said.out.clone(), |text, journal| text.replace(journal.run_id.as_str(), "RUN"))
}

#[tokio::test]
async fn a_replay_over_a_file_tells_in_words_what_would_have_been_otherwise() {
    let desk = desk().await;
    let same = ["policy", "replay", "default.wasm", "--from", "./runs.jsonl", "--setting", "keep_failed_days=60"];
    let said = desk.run(&same);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(said.out, "default.wasm over 4 recorded runs, held against recorded\n\nno difference\n");
    let said = desk.run(&["policy", "replay", "default.wasm", "--from", "./runs.jsonl"]);
    assert_eq!(said.status, 1, "{said:?}");
    insta::assert_snapshot!(steady(&said, &swept().await));
}

#[tokio::test]
async fn a_replay_over_the_store_counts_as_json_and_keeps_to_tenant_span_and_number() {
    let desk = desk().await;
    let replay = |more: &[&str]| {
        let said = desk.run(&[&["--json", "policy", "replay", "default.wasm", "--from"], more].concat());
        (said.status, said.json())
    };
    let (status, report) = replay(&["*"]);
    assert_eq!(status, 1);
    assert_eq!((&report["runs"], &report["differing"]), (&json!(4), &json!(1)), "{report}");
    assert_eq!(report["would_remove"], json!(["game-3"]));
    assert_eq!(report["differences"], json!({"asked_more": 1, "would_remove": 1}));
    assert_eq!(replay(&["tenant-a", "--limit", "2"]).1["runs"], json!(2));
    let none = desk.run(&["policy", "replay", "default.wasm", "--from", "rival"]);
    assert_eq!((none.status, none.out.as_str()), (4, ""), "{none:?}");
    assert!(none.err.contains("no run was recorded there; see [journal]"), "{none:?}");
    // They are of another year.
    assert_eq!(desk.run(&["policy", "replay", "default.wasm", "--from", "*", "--since", "1s"]).status, 4);
}

#[tokio::test]
async fn two_policies_are_compared_over_recorded_runs() {
    let desk = desk().await;
    let over = ["--from", "./runs.jsonl", "--setting", "review_mode=keep"];
    let compare = |first: &str, second: &str| desk.run(&[&["policy", "compare", first, second], &over[..]].concat());
    let said = compare("hostile.wasm", "hostile.wasm");
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    // The default policy does not know the setting, and says so; the other keeps on purpose.
    let said = compare("default.wasm", "hostile.wasm");
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.out.contains("other_advice  4"), "{said:?}");
}

#[tokio::test]
async fn exported_runs_are_what_is_read_again() {
    let desk = desk().await;
    let exported = desk.run(&["policy", "record", "export", "--tenant", "tenant-a"]);
    assert_eq!(exported.status, 0, "{exported:?}");
    assert_eq!(exported.out, std::fs::read_to_string(desk.directory.path().join("runs.jsonl")).unwrap());
    std::fs::write(desk.directory.path().join("bad.jsonl"), "{\"version\": 1}\n").unwrap();
    let said = desk.run(&["policy", "replay", "default.wasm", "--from", "./bad.jsonl"]);
    assert_eq!((said.status, said.out.as_str()), (2, ""));
    assert!(said.err.contains("./bad.jsonl, line 1: this is no journal of a run"), "{said:?}");
}

#[tokio::test]
async fn a_run_of_the_command_line_is_written_down_and_explained() {
    let desk = Desk::new();
    desk.stopped("g-1", 40).await;
    let cleaned = desk.run(&["--set", "journal.tenants=acme, rival", "--json", "cleanup", "g-1"]);
    assert_eq!(cleaned.status, 3, "{cleaned:?}");
    let run = cleaned.json()["run_id"].as_str().unwrap().to_owned();
    let explained = desk.run(&["explain", "--run", &run]);
    assert_eq!(explained.status, 0, "{explained:?}");
    let steady: Vec<_> = explained.out.lines().skip(2).map(|line| &line[11..]).collect();
    insta::assert_snapshot!(steady.join("\n"));
    let of_game = desk.run(&["explain", "g-1"]);
    assert!(of_game.out.contains(&format!("Last recorded run: {run} of game g-1 (acme)")), "{of_game:?}");
    let story = desk.run(&["--json", "explain", "--run", &run]).json();
    assert_eq!(story["steps"][0]["call"], json!("leases.try-acquire"));
    let unknown = desk.run(&["explain", "--run", &"0".repeat(32)]);
    assert_eq!((unknown.status, unknown.out.as_str()), (4, ""));
}

#[tokio::test]
async fn nothing_is_written_down_unless_it_is_asked_for() {
    let desk = Desk::new();
    desk.stopped("g-1", 40).await;
    for settings in
        [&[][..], &["--set", "journal.tenants=rival"], &["--set", "journal.tenants=*", "--set", "journal.share=0"]]
    {
        desk.run(&[settings, &["cleanup", "g-1"]].concat());
        assert_eq!(desk.run(&["policy", "record", "export"]).out, "", "{settings:?}");
    }
    let wrong = desk.run(&["--set", "journal.tenants=no spaces", "--set", "journal.share=2", "pauses"]);
    assert_eq!(wrong.status, 5);
    assert!(wrong.err.contains("journal.tenants") && wrong.err.contains("must be names of tenants"), "{wrong:?}");
    assert!(wrong.err.contains("journal.share") && wrong.err.contains("must be from 0 to 1"), "{wrong:?}");
}

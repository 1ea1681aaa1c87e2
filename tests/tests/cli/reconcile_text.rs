//! What passes over the engines' records found, as people read it.

use rtmanager::cli::reconciliation_text;
use rtmanager::model::PolicyDigest;
use rtmanager::reconciler::{Finding, Orphans, Report};
use rtmanager::views::Reconciliation;

use super::desk::Desk;

fn finding(game: Option<&str>, reason: &str) -> Finding {
    let container = PolicyDigest::of(game.unwrap_or("none").as_bytes()).as_str().parse().unwrap();
    Finding { container, game: game.map(|game| game.parse().unwrap()), reason: reason.to_owned() }
}

#[test]
fn findings_are_listed_by_engine_and_kind_and_summed_up() {
    let orphans = Orphans {
        running_containers: vec![finding(Some("g-1"), "no record names it")],
        stopped_containers: vec![finding(None, "no record names it\n\u{1b}[2J")],
        running_records: vec![],
        stopped_records: (0..3).map(|n| finding(Some(&format!("r-{n}")), "its container does not exist")).collect(),
    };
    let busy = Report {
        registered: vec![finding(Some("new"), "now running")],
        closed: vec![finding(Some("old"), "gone, so now removed")],
        conflicts: vec![finding(Some("twice"), "game twice is claimed by another container too")],
        orphans,
        left_open: Some("stopped records without a container stay open: paused by ann: repairs".to_owned()),
        ..Report::default()
    };
    let failed = rtmanager::reconciler::Error::Slow(std::time::Duration::from_secs(300));
    let engines = [
        Reconciliation::found(&"east".parse().unwrap(), &busy),
        Reconciliation::found(&"north".parse().unwrap(), &Report::default()),
        Reconciliation::failed(&"west".parse().unwrap(), &failed),
    ];
    insta::assert_snapshot!(reconciliation_text(&engines));
    assert_eq!(
        reconciliation_text(&engines[1..2]),
        "north: 0 records made, 0 corrected, 0 closed; 0 conflicts, 0 invalid\n"
    );
}

#[test]
fn an_engine_that_does_not_answer_is_status_3_and_an_unknown_one_2() {
    let desk = Desk::new();
    let said = desk.run(&["reconcile"]);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.out.starts_with("local: not reconciled: the engine could not be looked at: "), "{said:?}");
    let said = desk.run(&["--json", "reconcile", "--engine", "local"]);
    assert_eq!((said.status, said.json()[0]["engine"].as_str().map(str::to_owned)), (3, Some("local".to_owned())));
    assert_eq!(desk.run(&["reconcile", "--engine", "nowhere"]).status, 2);
}

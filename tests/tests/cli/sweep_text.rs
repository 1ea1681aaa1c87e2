//! A sweep as people read it.

use std::collections::BTreeMap;

use rtmanager::cli::{SweepView, sweep_text};
use rtmanager::model::{Census, Pause, PauseCause, PauseScope, PolicyDigest, Timestamp};
use rtmanager::sweeper::{Decision, EngineReport, SweepItem, SweepReport};

fn item(game: &str, engine: &str, decision: Decision, reason: &str) -> SweepItem {
    SweepItem {
        game_id: game.parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        engine: engine.parse().unwrap(),
        container_id: Some(PolicyDigest::of(game.as_bytes()).as_str().parse().unwrap()),
        stopped_at: Some(Timestamp::from_micros(1_764_547_200_250_000)),
        decision,
        reason: reason.to_owned(),
    }
}

fn pause(scope: PauseScope, cause: PauseCause, reason: &str) -> Pause {
    let at = Timestamp::from_micros(1_769_860_800_000_000);
    Pause { scope, cause, reason: reason.to_owned(), actor: "sweeper".to_owned(), at }
}

#[test]
fn removals_and_what_held_others_back_are_told_by_engine() {
    let items = [
        item("g-1", "east", Decision::Removed, "stopped longer than 30d"),
        item("g-2", "east", Decision::Held, "held by unix:uid=0: evidence\n\u{1b}[2J"),
        item("g-3", "east", Decision::Failed, "service_unavailable: the container engine failed"),
        item("g-4", "west", Decision::Kept, "pinned"),
    ];
    let east = EngineReport {
        census: Census { due: 3, not_removed: 8, ..Census::default() },
        removed: 1,
        kept: 1,
        failed: 1,
        ..EngineReport::default()
    };
    let scope = PauseScope::Engine("west".parse().unwrap());
    let cause = PauseCause::Breaker { removals: 45 };
    let west = EngineReport {
        census: Census { due: 45, not_removed: 60, ..Census::default() },
        kept: 1,
        paused: Some(pause(scope, cause, "45 of 60 would go within a day; `rtmanager resume --engine west` allows it")),
        ..EngineReport::default()
    };
    let cut_short = EngineReport { error: Some("the store did not answer".to_owned()), ..EngineReport::default() };
    let engines = [("east", east), ("north", cut_short), ("west", west)];
    let engines: BTreeMap<_, _> = engines.into_iter().map(|(name, report)| (name.parse().unwrap(), report)).collect();
    let report = SweepReport { paused: None, engines };
    let view = SweepView::new(false, &report, items.iter().map(Into::into).collect());
    insta::assert_snapshot!(sweep_text(&view));
}

#[test]
fn a_pause_of_everything_is_all_there_is_to_say() {
    let paused = Some(pause(PauseScope::Global, PauseCause::ClockJump, "the clock jumped by 2h"));
    let view = SweepView::new(false, &SweepReport { paused, engines: BTreeMap::new() }, Vec::new());
    assert_eq!(sweep_text(&view), "not swept, paused by sweeper: the clock jumped by 2h\n");
}

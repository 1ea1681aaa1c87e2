//! Sweeping in tests: a sweeper's options, and a sweep with what its observer was told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtmanager::model::EngineName;
use rtmanager::sweeper::{
    BreakerOptions, Decision, EngineReport, Observer, RetryOptions, SweepItem, SweepOptions, SweepReport, SweepRequest,
    Sweeper,
};

use crate::mock_host::ENGINE;

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);
/// The retention floor of [`sweep_options`].
pub const RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// Small pages, few runs at a time, few failures, and a breaker that does not trip.
pub fn sweep_options() -> SweepOptions {
    SweepOptions {
        retention: RETENTION,
        claim_ttl: Duration::from_secs(40),
        page_size: 3,
        concurrency: 2,
        retry: RetryOptions {
            backoff_base: Duration::from_secs(60),
            backoff_cap: Duration::from_secs(3_600),
            park_after: 4,
            keep_recheck: DAY,
            max_wait: 10 * DAY,
        },
        breaker: BreakerOptions { max_share: 1.0 },
        clock_tolerance: Duration::from_secs(300),
    }
}

/// What a sweep did, and what its observer was told.
#[derive(Debug)]
pub struct Swept {
    /// The sum.
    pub report: SweepReport,
    /// Each candidate, as it was dealt with.
    pub items: Vec<SweepItem>,
}

impl Swept {
    /// Sweeps once and listens.
    pub async fn by(sweeper: &Sweeper, request: &SweepRequest) -> Self {
        let items = Arc::new(Mutex::new(Vec::new()));
        let told = items.clone();
        let observer: Observer = Arc::new(move |item| told.lock().expect("items").push(item.clone()));
        let report = sweeper.sweep(request, observer).await.expect("the store answers");
        let items = std::mem::take(&mut *items.lock().expect("items"));
        Self { report, items }
    }

    /// What was done on the engine of all records.
    pub fn engine(&self) -> &EngineReport {
        self.on(ENGINE)
    }

    /// What was done on an engine.
    pub fn on(&self, engine: &str) -> &EngineReport {
        let engine: EngineName = engine.parse().expect("engine");
        self.report.engines.get(&engine).expect("a report of the engine")
    }

    /// What became of each game, by game; a game that was dealt with twice is there twice.
    pub fn decisions(&self) -> Vec<(&str, Decision)> {
        let mut decisions: Vec<_> = self.items.iter().map(|item| (item.game_id.as_str(), item.decision)).collect();
        decisions.sort_by_key(|(game, _)| *game);
        decisions
    }

    /// The games of which this became, in order.
    pub fn games(&self, decision: Decision) -> Vec<&str> {
        self.decisions().into_iter().filter(|(_, made)| *made == decision).map(|(game, _)| game).collect()
    }
}

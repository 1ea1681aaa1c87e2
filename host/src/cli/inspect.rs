//! Commands that only look.

use clap::Args;

use super::{Answer, Error, render};
use crate::app::{self, Stores};
use crate::config::Loaded;
use crate::explain::{self, RunStory};
use crate::model::{Ceiling, EngineName, EntryId, GameId, Outcome, RunId, Status, TenantId, Timestamp, bounded_text};
use crate::ports::{OperationFilter, RecordFilter};
use crate::views::{Operation, Page, PausedScope, Runtime};

#[derive(Debug, Args)]
pub(super) struct RuntimeQuery {
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only on this engine
    #[arg(long)]
    engine: Option<EngineName>,
    /// Only in this status: running, stopped, removed, or what a platform wrote
    #[arg(long)]
    status: Option<String>,
    /// After this game: where the last page ended
    #[arg(long, value_name = "GAME")]
    after: Option<GameId>,
    /// Rows at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct OperationQuery {
    /// Only of this game
    #[arg(long)]
    game: Option<String>,
    /// Only of this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only with this outcome: success or failure
    #[arg(long, value_parser = outcome)]
    outcome: Option<Outcome>,
    /// Only with this code
    #[arg(long)]
    code: Option<String>,
    /// Only from this source: admin_rest, auto_ttl, cli or reconciler
    #[arg(long)]
    source: Option<String>,
    /// Only finished at or after this time
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only finished before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Before this entry: where the last page ended
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    /// Rows at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

fn outcome(text: &str) -> Result<Outcome, &'static str> {
    Outcome::from_text(text).ok_or("must be success or failure")
}

pub(super) async fn runtimes(stores: &Stores, query: RuntimeQuery, json: bool) -> Result<Answer, Error> {
    let status = query.status.as_deref().map(Status::from_text);
    let filter = RecordFilter { tenant: query.tenant, engine: query.engine, status };
    let rows = stores.records.list(&filter, query.after.as_ref(), query.limit + 1).await?;
    let page: Page<Runtime> = Page::of(&rows, query.limit, |last| last.record.game_id.to_string());
    Ok(Answer::ok(if json { render::json(&page)? } else { render::runtime_table(&page, stores.clock.now()) }))
}

pub(super) async fn operations(stores: &Stores, query: OperationQuery, json: bool) -> Result<Answer, Error> {
    let filter = OperationFilter {
        game: query.game,
        tenant: query.tenant,
        outcome: query.outcome,
        error_code: query.code,
        op_source: query.source,
        since: query.since,
        until: query.until,
    };
    let rows = stores.operations.list(&filter, query.before.map(EntryId), query.limit + 1).await?;
    let page: Page<Operation> = Page::of(&rows, query.limit, |last| last.id.0.to_string());
    Ok(Answer::ok(if json { render::json(&page)? } else { render::operation_table(&page) }))
}

pub(super) async fn explain(stores: &Stores, game: &str, json: bool) -> Result<Answer, Error> {
    let game: GameId = game.parse()?;
    let known = explain::Stores {
        records: &*stores.records,
        operations: &*stores.operations,
        leases: &*stores.leases,
        pauses: &*stores.pauses,
        journals: &*stores.journals,
    };
    let has_engine = |engine: &EngineName| stores.config.engines.contains_key(engine);
    let ceilings = stores.access.ceilings().await?;
    let floor = |tenant: &TenantId| stores.config.sweep.retention.max(Ceiling::retention_of(&ceilings, tenant));
    let explained = known.explain(&game, has_engine, floor, stores.clock.now()).await?;
    let explained = explained.ok_or_else(|| no_record(&game))?;
    Ok(Answer::ok(if json { render::json(&explained)? } else { render::explanation(&explained) }))
}

pub(super) async fn explain_run(stores: &Stores, run: &RunId, json: bool) -> Result<Answer, Error> {
    let kept = stores.journals.get(run).await?;
    let kept = kept.ok_or_else(|| Error::Refused(format!("no journal of run {run} was kept")))?;
    let journal = kept.journal.ok_or_else(|| Error::Refused(format!("the journal of run {run} cannot be read")))?;
    let story = RunStory::from(&journal);
    Ok(Answer::ok(if json { render::json(&story)? } else { render::run_story(&story) }))
}

pub(super) async fn pauses(stores: &Stores, json: bool) -> Result<Answer, Error> {
    let pauses = stores.pauses.pauses().await?;
    let page = Page { items: pauses.iter().map(PausedScope::from).collect(), next: None };
    Ok(Answer::ok(if json { render::json(&page)? } else { render::pause_table(&page) }))
}

pub(super) async fn config(loaded: &Loaded, all: bool, json: bool) -> Result<Answer, Error> {
    app::check(&loaded.config).await?;
    let shown =
        loaded.settings.iter().filter(|setting| all || setting.source != "default").cloned().collect::<Vec<_>>();
    Ok(Answer::ok(if json { render::settings_json(&shown)? } else { render::setting_table(&shown, all) }))
}

pub(super) fn no_record(game: &GameId) -> Error {
    Error::Refused(format!("game {:?} has no record", bounded_text(game.as_str(), 80)))
}

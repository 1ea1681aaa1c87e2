//! Commands that change something, each in the name of the user who runs them.

use super::inspect::no_record;
use super::{Answer, Error, Scope, render};
use crate::app::{App, Stores};
use crate::config::parse_span;
use crate::model::{
    ErrorCode, GameId, Hold, OpSource, Outcome, Pause, PauseCause, PauseScope, Request, Timestamp, bounded_text,
};
use crate::views::{CleanupResult, PausedScope, Runtime};

pub(super) async fn cleanup(app: &App, game: String, operator: String, json: bool) -> Result<Answer, Error> {
    let op_source = OpSource::Cli.as_str().to_owned();
    let request = Request { game_id: game, op_source, source_ref: String::new(), actor: Some(operator) };
    let result = app.lifecycle.cleanup(request).await;
    let status = match (result.outcome, &result.error_code) {
        (Outcome::Success, _) => 0,
        (Outcome::Failure, Some(code)) if *code == ErrorCode::INVALID_REQUEST => 2,
        (Outcome::Failure, Some(code)) if *code == ErrorCode::SERVICE_UNAVAILABLE => 3,
        (Outcome::Failure, Some(code)) if *code == ErrorCode::NOT_FOUND || *code == ErrorCode::CONFLICT => 4,
        (Outcome::Failure, _) => 1,
    };
    let view = CleanupResult::from(&result);
    Ok(Answer { text: if json { render::json(&view)? } else { render::result_text(&view) }, status })
}

pub(super) async fn hold(
    stores: &Stores,
    game: &str,
    reason: &str,
    until: Option<String>,
    operator: String,
    json: bool,
) -> Result<Answer, Error> {
    let game: GameId = game.parse()?;
    let until = until.map(|text| moment(&text, stores.clock.now())).transpose()?;
    let hold = Hold { reason: checked(reason)?, actor: operator, until };
    if !stores.records.set_hold(&game, Some(&hold)).await? {
        return Err(no_record(&game));
    }
    let until =
        until.map_or_else(|| "until it is lifted with `rtmanager unhold`".to_owned(), |until| format!("until {until}"));
    current(stores, &game, json, &format!("held {until}")).await
}

pub(super) async fn unhold(stores: &Stores, game: &str, json: bool) -> Result<Answer, Error> {
    let game: GameId = game.parse()?;
    if !stores.records.set_hold(&game, None).await? {
        return Err(no_record(&game));
    }
    current(stores, &game, json, "not held").await
}

pub(super) async fn unpark(stores: &Stores, game: &str, json: bool) -> Result<Answer, Error> {
    let game: GameId = game.parse()?;
    let was_parked = stores.records.unpark(&game).await?;
    let said = if was_parked { "not parked any more; the next sweep offers it" } else { "was not parked" };
    current(stores, &game, json, said).await
}

pub(super) async fn pause(
    stores: &Stores,
    scope: PauseScope,
    reason: &str,
    operator: String,
    json: bool,
) -> Result<Answer, Error> {
    let at = stores.clock.now();
    let pause = Pause { scope, cause: PauseCause::Operator, reason: checked(reason)?, actor: operator, at };
    let is_new = stores.pauses.pause(&pause).await?;
    if json {
        return Ok(Answer::ok(render::json(&PausedScope::from(&pause))?));
    }
    let said = if is_new { "paused" } else { "was paused already, and stays so" };
    Ok(Answer::ok(format!("{}: {said}\n", pause.scope)))
}

pub(super) async fn resume(stores: &Stores, scope: &PauseScope, json: bool) -> Result<Answer, Error> {
    let lifted = stores.pauses.resume(scope, stores.clock.now()).await?;
    if json {
        return Ok(Answer::ok(render::json(&lifted.as_ref().map(PausedScope::from))?));
    }
    let said = match lifted.map(|pause| pause.cause) {
        None => "was not paused".to_owned(),
        Some(PauseCause::Breaker { removals }) => {
            format!("sweeps go on, with {removals} removals beyond the limit within the next day")
        }
        Some(PauseCause::Operator | PauseCause::ClockJump) => "sweeps go on".to_owned(),
    };
    Ok(Answer::ok(format!("{scope}: {said}\n")))
}

impl From<Scope> for PauseScope {
    fn from(scope: Scope) -> Self {
        match (scope.engine, scope.tenant) {
            (Some(engine), _) => Self::Engine(engine),
            (None, Some(tenant)) => Self::Tenant(tenant),
            (None, None) => Self::Global,
        }
    }
}

async fn current(stores: &Stores, game: &GameId, json: bool, said: &str) -> Result<Answer, Error> {
    let tracked = stores.records.get(game).await?.ok_or_else(|| no_record(game))?;
    let shown = bounded_text(game.as_str(), 80);
    Ok(Answer::ok(if json { render::json(&Runtime::from(&tracked))? } else { format!("{shown}: {said}\n") }))
}

/// A time, or a span from now.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let until = match parse_span(text) {
        Some(span) => now.saturating_add(span),
        None => text.parse().map_err(|_| {
            Error::Usage(format!(
                "--until is {text:?}, and must be a time such as 2026-12-01T00:00:00Z or a span such as 7d"
            ))
        })?,
    };
    if until > now { Ok(until) } else { Err(Error::Usage(format!("--until is {until}, which is past"))) }
}

fn checked(reason: &str) -> Result<String, Error> {
    let reason = reason.trim();
    if (1..=1024).contains(&reason.len()) {
        return Ok(bounded_text(reason, 1024));
    }
    Err(Error::Usage("--reason must be 1 to 1024 bytes".to_owned()))
}

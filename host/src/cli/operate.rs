//! Commands that change something, each in the name of the user who runs them.

use super::inspect::no_record;
use super::{Answer, Error, Scope, render};
use crate::access::Caller;
use crate::app::{App, Stores};
use crate::config::parse_span;
use crate::model::{ErrorCode, GameId, OpSource, Outcome, PauseCause, PauseScope, Timestamp, bounded_text};
use crate::views::{CleanupResult, PausedScope, Runtime};

pub(super) async fn cleanup(app: &App, game: String, operator: &Caller, json: bool) -> Result<Answer, Error> {
    let result = app.orders.clean_up(&app.lifecycle, operator, game, OpSource::Cli, String::new()).await?;
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
    operator: &Caller,
    json: bool,
) -> Result<Answer, Error> {
    let game: GameId = game.parse()?;
    let until = until.map(|text| moment("--until", &text, stores.clock.now())).transpose()?;
    stores.orders().hold(operator, &game, checked(reason)?, until).await?;
    let until =
        until.map_or_else(|| "until it is lifted with `rtmanager unhold`".to_owned(), |until| format!("until {until}"));
    current(stores, &game, json, &format!("held {until}")).await
}

pub(super) async fn unhold(stores: &Stores, game: &str, operator: &Caller, json: bool) -> Result<Answer, Error> {
    let game: GameId = game.parse()?;
    stores.orders().unhold(operator, &game).await?;
    current(stores, &game, json, "not held").await
}

pub(super) async fn unpark(stores: &Stores, game: &str, operator: &Caller, json: bool) -> Result<Answer, Error> {
    let game: GameId = game.parse()?;
    let was_parked = stores.orders().unpark(operator, &game).await?;
    let said = if was_parked { "not parked any more; the next sweep offers it" } else { "was not parked" };
    current(stores, &game, json, said).await
}

pub(super) async fn pause(
    stores: &Stores,
    scope: PauseScope,
    reason: &str,
    operator: &Caller,
    json: bool,
) -> Result<Answer, Error> {
    let (pause, is_new) = stores.orders().pause(operator, scope, checked(reason)?).await?;
    if json {
        return Ok(Answer::ok(render::json(&PausedScope::from(&pause))?));
    }
    let said = if is_new { "paused" } else { "was paused already, and stays so" };
    Ok(Answer::ok(format!("{}: {said}\n", pause.scope)))
}

pub(super) async fn resume(
    stores: &Stores,
    scope: &PauseScope,
    operator: &Caller,
    json: bool,
) -> Result<Answer, Error> {
    let lifted = stores.orders().resume(operator, scope).await?;
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

/// A time to come, or a span from now.
pub(super) fn moment(flag: &str, text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let until = match parse_span(text) {
        Some(span) => now.saturating_add(span),
        None => text.parse().map_err(|_| {
            Error::Usage(format!(
                "{flag} is {text:?}, and must be a time such as 2026-12-01T00:00:00Z or a span such as 7d"
            ))
        })?,
    };
    if until > now { Ok(until) } else { Err(Error::Usage(format!("{flag} is {until}, which is past"))) }
}

fn checked(reason: &str) -> Result<String, Error> {
    let reason = reason.trim();
    if (1..=1024).contains(&reason.len()) {
        return Ok(bounded_text(reason, 1024));
    }
    Err(Error::Usage("--reason must be 1 to 1024 bytes".to_owned()))
}

//! Scenario files, read and checked whole before anything is played.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize as _;

use super::form;
use super::story::{Act, At, Deed, Fault, Meanwhile, Nth, Play, Scenario, Step, Story};
use super::tree::{Node, nearest, parse};
use super::words::{BACKENDS, DeedKind, What, backend, crossing};
use crate::config::show_span;
use crate::model::{GameId, LimitOverrides, Timestamp, bounded_text};
use crate::session::Crossing;
use crate::simulation::Plan;

mod expected;

/// Noon of 1 January 2026, UTC.
const BEGINNING_MICROS: u64 = 1_767_268_800_000_000;
const DAY: Duration = Duration::from_secs(86_400);
const RETENTION_DAYS: u32 = 30;
/// A world of a scenario is small, and its story short.
const MOST: usize = 1_000;
/// No retention is near it, and no clock of a scenario's world ends before it.
const LONGEST_SPAN: Duration = Duration::from_secs(36_500 * 86_400);
/// Of what is wrong, so many characters are told: it may quote the file. Its end says what would be right.
const TOLD: (usize, usize) = (150, 700);

/// Why a text is no file of scenarios.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {key}{what}", key = named(.key))]
pub struct Invalid {
    /// The line, from 1.
    pub line: usize,
    /// The keys that lead to what is wrong, such as `scenario.0.step.1.cleanup`; empty if it is the text itself.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

fn named(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// Reads a file's text. There is at least one scenario in it.
pub fn read(text: &str) -> Result<Vec<Scenario>, Invalid> {
    let root = parse(text).map_err(|flaw| invalid(text, flaw.at, String::new(), flaw.what))?;
    let file = form::File::deserialize(&root).map_err(|flaw| {
        let path: Vec<_> = flaw.path.iter().rev().map(String::as_str).collect();
        invalid(text, flaw.at, path.join("."), flaw.what.clone())
    })?;
    let lines = text.match_indices('\n').map(|(at, _)| at).collect();
    let reader = Reader { lines, root };
    if file.scenario.is_empty() {
        return Err(reader.wrong("", "there is no [[scenario]] in it"));
    }
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for (index, scenario) in file.scenario.into_iter().enumerate() {
        let place = format!("scenario.{index}");
        if !names.insert(scenario.name.clone()) {
            let what = format!("another scenario has this name, {:?}", scenario.name);
            return Err(reader.wrong(&format!("{place}.name"), &what));
        }
        read.push(reader.scenario(&place, scenario)?);
    }
    Ok(read)
}

fn invalid(text: &str, at: Option<usize>, key: String, what: String) -> Invalid {
    let before = text.get(..at.unwrap_or(0)).unwrap_or(text);
    Invalid::new(before.matches('\n').count().saturating_add(1), &key, &what)
}

impl Invalid {
    fn new(line: usize, key: &str, what: &str) -> Self {
        Self { line, key: shortened(key), what: shortened(what) }
    }
}

/// Without its middle, if it is too long to be told.
fn shortened(text: &str) -> String {
    let (first, last) = TOLD;
    let cut = text.chars().count().saturating_sub(first.saturating_add(last));
    if cut == 0 {
        return bounded_text(text, usize::MAX);
    }
    let beginning: String = text.chars().take(first).collect();
    let end: String = text.chars().skip(first.saturating_add(cut)).collect();
    bounded_text(&format!("{beginning} … {end}"), usize::MAX)
}

struct Reader {
    /// Where each line ends, since the place of every step is looked up.
    lines: Vec<usize>,
    root: Node,
}

type Read<T> = Result<T, Invalid>;

impl Reader {
    fn at(&self, place: &str) -> Option<usize> {
        let keys: Vec<_> = place.split('.').filter(|key| !key.is_empty()).collect();
        // What is not there has its place where it should be.
        (0..=keys.len()).rev().find_map(|count| self.root.find(keys.get(..count)?)).map(|node| node.at)
    }

    fn wrong(&self, place: &str, what: &str) -> Invalid {
        Invalid::new(self.line(place), place, what)
    }

    fn require(&self, holds: bool, place: &str, what: impl FnOnce() -> String) -> Read<()> {
        if holds { Ok(()) } else { Err(self.wrong(place, &what())) }
    }

    fn line(&self, place: &str) -> usize {
        let at = self.at(place).unwrap_or(0);
        self.lines.partition_point(|end| *end < at).saturating_add(1)
    }

    fn scenario(&self, place: &str, form: form::Scenario) -> Read<Scenario> {
        self.require(!form.name.trim().is_empty(), &format!("{place}.name"), || "is blank".to_owned())?;
        let line = self.line(place);
        let settings = form.settings.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        let (name, about) = (form.name.clone(), form.about.clone());
        let play = match &form.simulation {
            Some(plan) => self.plan(place, &form, plan)?,
            None => Play::Story(Box::new(self.story(place, form)?)),
        };
        Ok(Scenario { name, about, line, settings, play })
    }

    /// A history says everything itself.
    fn plan(&self, place: &str, form: &form::Scenario, plan: &Plan) -> Read<Play> {
        for (key, is_there) in [
            ("runtime", !form.runtime.is_empty()),
            ("step", !form.step.is_empty()),
            ("end", !form.end.is_empty()),
            ("limits", form.limits.is_some()),
            ("grants", form.grants.is_some()),
            ("now", form.now.is_some()),
            ("retention", form.retention.is_some()),
        ] {
            let what = || "cannot stand beside `simulation`, which says everything itself".to_owned();
            self.require(!is_there, &format!("{place}.{key}"), what)?;
        }
        let place = format!("{place}.simulation");
        // The same checks as for a plan in JSON.
        let json = serde_json::to_string(plan).map_err(|error| self.wrong(&place, &error.to_string()))?;
        let checked = Plan::from_json(&json).map_err(|error| self.wrong(&place, &error.to_string()))?;
        Ok(Play::Plan(checked))
    }

    fn story(&self, place: &str, form: form::Scenario) -> Read<Story> {
        let mut games = BTreeSet::new();
        for (index, runtime) in form.runtime.iter().enumerate() {
            let place = format!("{place}.runtime.{index}");
            let game = &runtime.game.0;
            self.require(games.insert(game.clone()), &format!("{place}.game"), || format!("{game} is there already"))?;
            let both = runtime.stopped_ago.is_some() && runtime.stopped_at.is_some();
            self.require(!both, &format!("{place}.stopped_at"), || "beside `stopped_ago`: say one of them".to_owned())?;
        }
        for (key, count) in [("runtime", form.runtime.len()), ("step", form.step.len()), ("end", form.end.len())] {
            self.require(count <= MOST, &format!("{place}.{key}"), || format!("are {count}; {MOST} are the most"))?;
        }
        self.require(!form.step.is_empty(), place, || "nothing happens in it: it has no [[scenario.step]]".to_owned())?;
        let mut steps = Vec::new();
        for (index, step) in form.step.into_iter().enumerate() {
            steps.push(self.step(&format!("{place}.step.{index}"), step, &games)?);
        }
        let mut ends = Vec::new();
        for (index, end) in form.end.into_iter().enumerate() {
            let place = format!("{place}.end.{index}");
            self.known(&format!("{place}.game"), &end.game, &games)?;
            ends.push((self.line(&place), end));
        }
        Ok(Story {
            now: form.now.map_or(Timestamp::from_micros(BEGINNING_MICROS), |now| now.0),
            retention: form.retention.map_or(DAY * RETENTION_DAYS, |span| span.0),
            limits: form.limits.map(limits).unwrap_or_default(),
            grants: form.grants.map(|grants| grants.into_iter().map(|grant| grant.0).collect()),
            runtimes: form.runtime,
            steps,
            ends,
        })
    }

    /// A game that the scenario gives.
    fn known(&self, place: &str, game: &str, games: &BTreeSet<GameId>) -> Read<GameId> {
        let found = games.iter().find(|known| known.as_str() == game).cloned();
        found.ok_or_else(|| {
            let names: Vec<_> = games.iter().map(GameId::as_str).collect();
            self.wrong(place, &format!("no [[scenario.runtime]] has the game {game:?}; {}", nearest(game, &names)))
        })
    }

    fn step(&self, place: &str, form: form::Step, games: &BTreeSet<GameId>) -> Read<Step> {
        let act = self.act(place, &form, games)?;
        let game = act.game();
        let idle = !act.is_run() && !matches!(act, Act::Recover);
        for (key, is_there) in [("faults", !form.faults.is_empty()), ("meanwhile", !form.meanwhile.is_empty())] {
            self.require(!(idle && is_there), &format!("{place}.{key}"), || "no call is made in this step".to_owned())?;
        }
        let mut faults = Vec::new();
        for (index, fault) in form.faults.iter().enumerate() {
            faults.push(self.fault(&format!("{place}.faults.{index}"), fault)?);
        }
        let mut meanwhile = Vec::new();
        for (index, other) in form.meanwhile.into_iter().enumerate() {
            let place = format!("{place}.meanwhile.{index}");
            meanwhile.push(self.meanwhile(&place, other, game.as_ref(), games)?);
        }
        let expect = form.expect.unwrap_or_default();
        self.expect(&format!("{place}.expect"), &expect, &act)?;
        Ok(Step { line: self.line(place), act, faults, meanwhile, expect })
    }

    fn act(&self, place: &str, form: &form::Step, games: &BTreeSet<GameId>) -> Read<Act> {
        self.is_one(place, form)?;
        if let Some(game) = &form.review {
            return self.known(&format!("{place}.review"), game, games).map(Act::Review);
        }
        if let Some(game) = &form.sweep {
            return self.known(&format!("{place}.sweep"), game, games).map(Act::Sweep);
        }
        if let Some(game) = &form.cleanup {
            let source = form.source.clone().unwrap_or_else(|| "cli".to_owned());
            let source_ref = form.source_ref.clone().unwrap_or_else(|| "ref-1".to_owned());
            return Ok(Act::Cleanup { game: game.clone(), source, source_ref });
        }
        if let Some(kind) = form.deed {
            let tenant = form.tenant.as_ref().map(|tenant| tenant.0.clone());
            let game = form.game.as_deref().ok_or_else(|| self.wrong(place, "lacks the key `game`"))?;
            let game = self.known(&format!("{place}.game"), game, games)?;
            return self.deed(place, Deed { game, kind, status: form.status.clone(), tenant }).map(Act::Deed);
        }
        let Some(span) = form.advance else { return Ok(Act::Recover) };
        self.passes(&format!("{place}.advance"), span.0, LONGEST_SPAN)?;
        Ok(Act::Advance(span.0))
    }

    /// Time that passes in the scenario's world, or by which a clock is set.
    fn passes(&self, place: &str, span: Duration, longest: Duration) -> Read<()> {
        self.require(span <= longest, place, || format!("is {}; the most is {}", show_span(span), show_span(longest)))
    }

    /// One thing happens in a step, and nothing is said of another.
    fn is_one(&self, place: &str, form: &form::Step) -> Read<()> {
        let kinds = [
            ("review", form.review.is_some()),
            ("sweep", form.sweep.is_some()),
            ("cleanup", form.cleanup.is_some()),
            ("advance", form.advance.is_some()),
            ("deed", form.deed.is_some()),
            ("recover", form.recover.is_some()),
        ];
        let said: Vec<_> = kinds.iter().filter(|(_, said)| *said).map(|(key, _)| *key).collect();
        let all = "review, sweep, cleanup, advance, deed and recover";
        self.require(said.len() == 1, place, || match said.as_slice() {
            [] => format!("nothing happens in this step: say one of {all}"),
            several => format!("says {}: one of {all} makes a step", several.join(" and ")),
        })?;
        let recovers = form.recover.unwrap_or(true);
        self.require(recovers, &format!("{place}.recover"), || "is true, or is not there".to_owned())?;
        for (key, of, is_there) in [
            ("game", "deed", form.game.is_some()),
            ("status", "deed", form.status.is_some()),
            ("tenant", "deed", form.tenant.is_some()),
            ("source", "cleanup", form.source.is_some()),
            ("source_ref", "cleanup", form.source_ref.is_some()),
        ] {
            let belongs = !is_there || said.contains(&of);
            self.require(belongs, &format!("{place}.{key}"), || format!("belongs to `{of}`"))?;
        }
        Ok(())
    }

    fn deed(&self, place: &str, deed: Deed) -> Read<Deed> {
        let Deed { kind, status, tenant, .. } = &deed;
        for (key, is_there, of) in [
            ("status", status.is_some(), DeedKind::StatusChanged),
            ("tenant", tenant.is_some(), DeedKind::TenantChanged),
        ] {
            let needed = kind.needs() == Some(key);
            self.require(needed == is_there, &format!("{place}.{key}"), || match is_there {
                true => format!("belongs to `{}`", of.as_str()),
                false => format!("is missing: `{}` needs it", of.as_str()),
            })?;
        }
        Ok(deed)
    }

    fn fault(&self, place: &str, form: &form::Fault) -> Read<Fault> {
        let at = self.place_of(place, ("call", form.call.as_deref()), ("backend", form.backend.as_deref()))?;
        let (what, key) = (form.what, format!("{place}.what"));
        let (fits, fitting): (bool, Vec<_>) = match at {
            At::Call(call) => (what.fits(call), What::ALL.iter().filter(|what| what.fits(call)).collect()),
            At::Backend(_) => (what.fits_backend(), What::ALL.iter().filter(|what| what.fits_backend()).collect()),
        };
        self.require(fits, &key, || {
            let fitting: Vec<_> = fitting.iter().map(|what| what.as_str()).collect();
            format!("`{}` cannot happen there; what can: {}", what.as_str(), fitting.join(", "))
        })?;
        let takes_by = matches!(what, What::ClockJump | What::Pause);
        let key = format!("{place}.by");
        self.require(takes_by == form.by.is_some(), &key, || match takes_by {
            true => format!("is missing: by how much is the {}?", what.as_str()),
            false => "belongs to `clock-jump` and `pause`".to_owned(),
        })?;
        let by = Duration::from_millis(form.by.map_or(0, |by| by.0.unsigned_abs()));
        self.passes(&key, by, if what == What::Pause { DAY } else { LONGEST_SPAN })?;
        let backwards = what == What::Pause && form.by.is_some_and(|by| by.0 < 0);
        self.require(!backwards, &key, || "a pause is not backwards".to_owned())?;
        let nth = match (form.every.unwrap_or(false), form.nth) {
            (true, Some(_)) => return Err(self.wrong(&format!("{place}.nth"), "beside `every`: say one of them")),
            (true, None) => Nth::Every,
            (false, nth) => Nth::Only(self.nth(place, nth)?),
        };
        Ok(Fault { at, nth, what, by_ms: form.by.map(|by| by.0) })
    }

    fn nth(&self, place: &str, nth: Option<u32>) -> Read<u32> {
        let nth = nth.unwrap_or(1);
        self.require(nth > 0, &format!("{place}.nth"), || "is 0: the first is 1".to_owned())?;
        Ok(nth)
    }

    /// A call of the policy's, or of a backend.
    fn place_of(&self, place: &str, call: (&str, Option<&str>), behind: (&str, Option<&str>)) -> Read<At> {
        match (call, behind) {
            ((key, Some(name)), (_, None)) => self.call(&format!("{place}.{key}"), name).map(At::Call),
            ((_, None), (key, Some(name))) => {
                let known: Vec<_> = BACKENDS.iter().map(|call| call.as_str()).collect();
                let told = || format!("no backend's call is {name:?}; {}", nearest(name, &known));
                backend(name).map(At::Backend).ok_or_else(|| self.wrong(&format!("{place}.{key}"), &told()))
            }
            ((call, _), (behind, _)) => Err(self.wrong(place, &format!("says one of `{call}` and `{behind}`"))),
        }
    }

    fn call(&self, place: &str, name: &str) -> Read<Crossing> {
        let known: Vec<_> = Crossing::ALL.iter().map(|call| call.as_str()).collect();
        let told = || format!("no call is {name:?}; {}", nearest(name, &known));
        crossing(name).ok_or_else(|| self.wrong(place, &told()))
    }

    fn meanwhile(
        &self,
        place: &str,
        form: form::Meanwhile,
        game: Option<&GameId>,
        games: &BTreeSet<GameId>,
    ) -> Read<Meanwhile> {
        let (before, behind) = (form.before.as_deref(), form.before_backend.as_deref());
        let at = self.place_of(place, ("before", before), ("before-backend", behind))?;
        let game = match (&form.game, game) {
            (Some(name), _) => self.known(&format!("{place}.game"), name, games)?,
            (None, Some(game)) => self.known(place, game.as_str(), games)?,
            (None, None) => return Err(self.wrong(place, "lacks the key `game`")),
        };
        let tenant = form.tenant.map(|tenant| tenant.0);
        let deed = self.deed(place, Deed { game, kind: form.deed, status: form.status, tenant })?;
        Ok(Meanwhile { at, nth: self.nth(place, form.nth)?, deed })
    }
}

fn limits(form: form::Limits) -> LimitOverrides {
    LimitOverrides {
        memory_bytes: form.memory_bytes,
        guest_time: form.guest_time.map(|span| span.0),
        run_time: form.run_time.map(|span| span.0),
        calls: form.calls,
        bytes_per_run: form.bytes_per_run,
        log_lines: form.log_lines,
    }
}

//! Rows of `policy_scopes`, alone and with their generations.

use super::generation::{read_generation, signed};
use super::{Reader, SqlRow, micros, number, said};
use crate::adapters::scope::Scope;
use crate::model::{Generation, PolicyScope, Rollout, RolloutCounts, RolloutGoal, RolloutMode, Signed};
use crate::ports::{Changes, ScopeState, StoreError, Unreadable};

/// How many columns `binding_columns!` has.
const SCOPE_COLUMNS: usize = 14;

/// Where the epoch, the previous generation and the columns of a generation stand in a row of [`scope_states`].
const EPOCH: usize = SCOPE_COLUMNS;
const PREVIOUS: usize = SCOPE_COLUMNS + 1;
const GENERATION: usize = SCOPE_COLUMNS + 2;

/// Where it stands whether that generation was revoked.
const REVOKED: usize = GENERATION + 11;

/// Reads the columns of `binding_columns!`.
pub(in crate::adapters) fn scope(row: &impl SqlRow) -> Result<Scope, StoreError> {
    let mut reader = Reader::at("policy_scopes", row, 1);
    Ok(Scope { current: reader.count_or_null()?, last: reader.count()?, rollout: rollout(&mut reader)? })
}

fn rollout(reader: &mut Reader<'_, impl SqlRow>) -> Result<Option<Rollout>, StoreError> {
    let Some(number) = reader.count_or_null()? else { return Ok(None) };
    let mode = match reader.count_or_null()?.map(u16::try_from).transpose() {
        Ok(None) => RolloutMode::Shadow,
        Ok(Some(per_myriad)) => RolloutMode::Canary { per_myriad },
        Err(error) => return Err(reader.corrupt(error)),
    };
    let goal = RolloutGoal {
        clean_runs: reader.count_or_null()?,
        promote_at: reader.time_or_null()?,
        stop_on_divergence: reader.flag()?,
    };
    let counts = RolloutCounts { runs: reader.count()?, faults: reader.count()?, divergences: reader.count()? };
    Ok(Some(Rollout { number, mode, goal, counts, started: signed(reader)? }))
}

/// A scope as columns, in the order of `binding_columns!` but for the name; times in microseconds.
#[derive(Default)]
pub(in crate::adapters) struct ScopeColumns<'s> {
    pub(in crate::adapters) current: Option<i64>,
    pub(in crate::adapters) last: i64,
    pub(in crate::adapters) rollout: Option<i64>,
    pub(in crate::adapters) myriad: Option<i64>,
    pub(in crate::adapters) clean_runs: Option<i64>,
    pub(in crate::adapters) promote_at: Option<i64>,
    pub(in crate::adapters) stop_on_divergence: bool,
    pub(in crate::adapters) counts: [i64; 3],
    pub(in crate::adapters) started: Option<&'s Signed>,
}

impl<'s> From<&'s Scope> for ScopeColumns<'s> {
    fn from(scope: &'s Scope) -> Self {
        let standing = Self { current: scope.current.map(number), last: number(scope.last), ..Self::default() };
        let Some(Rollout { number: tried, mode, goal, counts, started }) = &scope.rollout else {
            return standing;
        };
        Self {
            rollout: Some(number(*tried)),
            myriad: match mode {
                RolloutMode::Shadow => None,
                RolloutMode::Canary { per_myriad } => Some(i64::from(*per_myriad)),
            },
            clean_runs: goal.clean_runs.map(number),
            promote_at: goal.promote_at.map(micros),
            stop_on_divergence: goal.stop_on_divergence,
            counts: [counts.runs, counts.faults, counts.divergences].map(number),
            started: Some(started),
            ..standing
        }
    }
}

/// Reads rows of the epoch with scopes, and with each scope's generations: the columns of `binding_columns!`, then epoch,
/// previous, those of a generation, and whether that was revoked. A row for each generation, by scope; one without a
/// scope if there is none. What cannot be read costs its own scope only.
pub(in crate::adapters) fn scope_states(rows: &[impl SqlRow]) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    for row in rows {
        changes.epoch = Reader::at("policy_epoch", row, EPOCH).count()?;
    }
    for of_scope in rows.chunk_by(|a, b| matches!((a.text(0), b.text(0)), (Ok(a), Ok(b)) if a == b)) {
        match scope_state(of_scope) {
            Ok(Some(state)) => changes.states.push(state),
            Ok(None) => {}
            Err(error) => changes.unreadable.extend(of_scope.first().map(|row| unreadable(row, &error))),
        }
    }
    Ok(changes)
}

/// Of all rows of one scope; none of a row without one.
fn scope_state(rows: &[impl SqlRow]) -> Result<Option<ScopeState>, StoreError> {
    let (mut state, mut current) = (None, None);
    for row in rows {
        let Some(name) = Reader::new("policy_scopes", row).parsed_or_null::<PolicyScope>()? else { continue };
        let read = scope(row)?;
        let previous = Reader::at("policy_history", row, PREVIOUS).count_or_null()?;
        current = read.current;
        let state = state.get_or_insert_with(|| empty(name, &read));
        if let Some(generation) = generation_or_null(row)? {
            let is_revoked = Reader::at("policy_revocations", row, REVOKED).count::<u64>()? > 0;
            place(state, &read, previous, generation, is_revoked);
        }
    }
    state.map(|state| is_whole(&state, current).map(|()| state)).transpose()
}

fn unreadable(row: &impl SqlRow, error: &StoreError) -> Unreadable {
    let scope = Reader::new("policy_scopes", row).parsed().ok();
    let current = Reader::at("policy_scopes", row, 1).count_or_null().unwrap_or(Some(0));
    Unreadable { scope, current, reason: said(error) }
}

/// A scope whose current generation is lost is not one without a binding: nobody else is to serve it.
fn is_whole(state: &ScopeState, current: Option<u64>) -> Result<(), StoreError> {
    match current {
        Some(number) if state.current.is_none() => {
            let scope = state.scope.as_str();
            Err(StoreError::Corrupt(format!("policy_generations, row {scope:?}: its generation {number} is lost")))
        }
        _ => Ok(()),
    }
}

fn empty(scope: PolicyScope, read: &Scope) -> ScopeState {
    let rollout = read.rollout.clone();
    ScopeState { scope, current: None, previous: None, staged: None, newest: None, rollout, revoked: Vec::new() }
}

fn generation_or_null(row: &impl SqlRow) -> Result<Option<Generation>, StoreError> {
    match Reader::at("policy_generations", row, GENERATION).text_or_null()? {
        None => Ok(None),
        Some(_) => read_generation(&mut Reader::at("policy_generations", row, GENERATION)).map(Some),
    }
}

fn place(state: &mut ScopeState, read: &Scope, previous: Option<u64>, generation: Generation, is_revoked: bool) {
    let number = generation.number;
    let is = |wanted: Option<u64>| wanted == Some(number);
    let place = match () {
        () if is(read.current) => &mut state.current,
        () if is(previous) => &mut state.previous,
        () if is(read.staged(previous)) => &mut state.staged,
        () if is(read.newest(previous)) => &mut state.newest,
        () => return,
    };
    *place = Some(generation);
    if is_revoked {
        state.revoked.push(number);
    }
}

//! What the adapters of SQL databases share: how rows become values. What a row holds was possibly written by others,
//! so it is parsed like any input.

use std::fmt::Display;
use std::str::FromStr;

use crate::model::{Labels, PolicyRef, Timestamp};
use crate::ports::StoreError;

mod access;
mod artifact;
mod decided;
mod generation;
mod journal;
mod json;
mod operation;
mod pause;
mod run;
mod runtime;
mod scope;
mod walk;

pub(super) use access::{audited, ceiling, ceiling_changes, key, token};
pub(super) use artifact::{artifact, next_page};
pub(super) use decided::Decided;
pub(super) use generation::{
    change_of, divergence, found, generation, revocation, revoked_columns, revoked_subject, serving,
};
pub(super) use journal::{journal_text, kept_journal};
pub(super) use json::{grants_json, limits_json, ready_json, settings_json};
pub(super) use operation::logged;
pub(super) use pause::{cause_columns, pause_of, scope_columns};
pub(super) use run::open_run;
pub(super) use runtime::{tracked, with_standing};
pub(super) use scope::{ScopeColumns, scope, scope_states};
pub(super) use walk::{Place, engines_with_stopped, missing, places, readable};

/// The columns of a tracked runtime, in the order in which [`tracked`] reads them. The labels are to be read as text.
macro_rules! runtime_columns {
    ($labels:literal) => {
        concat!(
            "game_id, tenant, engine, status, current_container_id, current_image_ref, ",
            $labels,
            ", created_at, started_at, stopped_at, removed_at, last_op_at, version, cleanup_wait_until, \
             cleanup_wait_reason, cleanup_wait_generation, cleanup_failed_attempts, cleanup_parked_at, \
             cleanup_park_reason, cleanup_hold_until, cleanup_hold_reason, cleanup_hold_actor"
        )
    };
}
pub(super) use runtime_columns;

/// The columns of an open run, in the order in which [`open_run`] reads them.
macro_rules! run_columns {
    () => {
        "run_id, game_id, op_source, source_ref, actor, policy_generation, policy_digest, started_at, expires_at, \
         fence, tenant, engine, container_id, image_ref, committed_at"
    };
}
pub(super) use run_columns;

/// The columns of a policy, in the order in which [`artifact`] reads them.
macro_rules! artifact_columns {
    () => {
        "digest, name, version, owner, size, pushed_at, pushed_by"
    };
}

/// What is pruned: statements on divergences of rollouts that are over, from before `$1`; on those beyond the latest
/// 5,000 of their scope; and on lines of a history that made nothing current, beyond the latest 1,000 of their scope.
pub(super) const PRUNE_DIVERGENCES_BEFORE: &str = "DELETE FROM policy_divergences WHERE at < $1 AND NOT EXISTS (
    SELECT 1 FROM policy_scopes s
    WHERE s.scope = policy_divergences.scope AND s.rollout = policy_divergences.generation)";
pub(super) const PRUNE_SURPLUS_DIVERGENCES: &str = "DELETE FROM policy_divergences WHERE id IN (
    SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY scope ORDER BY id DESC) AS place
        FROM policy_divergences) numbered WHERE place > 5000)";
pub(super) const PRUNE_HISTORY: &str = "DELETE FROM policy_history WHERE id IN (
    SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY scope ORDER BY id DESC) AS place
        FROM policy_history WHERE event NOT IN ('bound', 'rolled_back', 'promoted')) numbered WHERE place > 1000)";

/// How many generations of the scope `$1` have neither served nor been tried.
pub(super) const UNUSED: &str = "SELECT count(*) FROM policy_generations g WHERE g.scope = $1 AND NOT EXISTS (
    SELECT 1 FROM policy_history h WHERE h.scope = g.scope AND h.to_generation = g.number)";

/// The scopes that have such generations from before `$1`, and these.
pub(super) const TOUCH_UNUSED: &str = "UPDATE policy_scopes SET changed = $2 WHERE scope IN (
    SELECT g.scope FROM policy_generations g WHERE g.staged_at < $1 AND NOT EXISTS (
        SELECT 1 FROM policy_history h WHERE h.scope = g.scope AND h.to_generation = g.number))";
pub(super) const PRUNE_UNUSED: &str = "DELETE FROM policy_generations WHERE staged_at < $1 AND NOT EXISTS (
    SELECT 1 FROM policy_history h
    WHERE h.scope = policy_generations.scope AND h.to_generation = policy_generations.number)";
pub(super) const ANY_UNUSED: &str = "SELECT count(*) FROM policy_generations g WHERE g.staged_at < $1 AND NOT EXISTS (
    SELECT 1 FROM policy_history h WHERE h.scope = g.scope AND h.to_generation = g.number)";

/// Two numbers: how many rows there are of the generation `$2` of the scope `$1`, and how many revocations hit it.
pub(super) const FOUND: &str = "SELECT (SELECT count(*) FROM policy_generations WHERE scope = $1 AND number = $2),
    (SELECT count(*) FROM policy_generations g
        JOIN policy_revocations r ON r.subject IN (g.digest, g.scope || '/' || g.number)
        WHERE g.scope = $1 AND g.number = $2)";
pub(super) use artifact_columns;

/// The columns of a scope, in the order in which [`scope`] reads them, each after the given prefix.
macro_rules! binding_columns {
    ($of:literal) => {
        concat!(
            $of,
            "scope, ",
            $of,
            "current, ",
            $of,
            "last_generation, ",
            $of,
            "rollout, ",
            $of,
            "rollout_myriad, ",
            $of,
            "clean_runs, ",
            $of,
            "promote_at, ",
            $of,
            "stop_on_divergence, ",
            $of,
            "runs, ",
            $of,
            "faults, ",
            $of,
            "divergences, ",
            $of,
            "rollout_at, ",
            $of,
            "rollout_by, ",
            $of,
            "rollout_reason"
        )
    };
}
pub(super) use binding_columns;

/// The columns of a generation, in the order in which [`generation`] reads them: JSON is to be read as text, by a cast
/// where the database has a type for it.
macro_rules! generation_columns {
    ($cast:literal) => {
        concat!(
            "g.scope, g.number, g.digest, g.settings",
            $cast,
            ", g.limits",
            $cast,
            ", g.grants",
            $cast,
            ", g.staged_at, g.staged_by, g.reason, g.name, g.version"
        )
    };
}
pub(super) use generation_columns;

/// The rows that [`scope_states`] reads, of scopes that changed after the epoch `$1` and pass one more condition, which
/// may be on `s.scope`. The generation before the current one is the last in the history that is not revoked. One
/// statement, so that all of it is as of one moment.
macro_rules! states_sql {
    ($cast:literal, $and:literal) => {
        concat!(
            "SELECT ", binding_columns!("s."), ", e.epoch, s.previous, ", generation_columns!($cast), ",
                (SELECT count(*) FROM policy_revocations r WHERE r.subject IN (g.digest, g.scope || '/' || g.number))
            FROM policy_epoch e
            LEFT JOIN (SELECT ", binding_columns!("p."), ", p.changed, (
                    SELECT h.to_generation FROM policy_history h
                    WHERE h.scope = p.scope AND CASE
                        WHEN h.event NOT IN ('bound', 'rolled_back', 'promoted') OR h.to_generation = p.current THEN FALSE
                        ELSE (SELECT count(*) FROM policy_generations d
                            JOIN policy_revocations r ON r.subject IN (d.digest, d.scope || '/' || d.number)
                            WHERE d.scope = h.scope AND d.number = h.to_generation) = 0 END
                    ORDER BY h.id DESC LIMIT 1) AS previous
                FROM policy_scopes p) s ON s.changed > $1", $and, "
            LEFT JOIN policy_generations g ON g.scope = s.scope
                AND g.number IN (s.current, s.previous, s.rollout, s.last_generation)
            ORDER BY s.scope, g.number"
        )
    };
}
pub(super) use states_sql;

/// One row of an answer, as the drivers have it. Columns count from 0.
pub(super) trait SqlRow {
    /// A text, or null.
    fn text(&self, column: usize) -> Result<Option<&str>, sqlx::Error>;
    /// A whole number, or null.
    fn integer(&self, column: usize) -> Result<Option<i64>, sqlx::Error>;
    /// A point in time in microseconds since the epoch, or null.
    fn micros(&self, column: usize) -> Result<Option<i64>, sqlx::Error>;
    /// Bytes, or null.
    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, sqlx::Error>;
    /// Yes or no, or null.
    fn flag(&self, column: usize) -> Result<Option<bool>, sqlx::Error>;
    /// What the column is called.
    fn name(&self, column: usize) -> Option<&str>;
}

/// Reads one row from left to right; an error names the row, by its first column, and the column.
pub(super) struct Reader<'r, R> {
    row: &'r R,
    next: usize,
    table: &'static str,
}

impl<'r, R: SqlRow> Reader<'r, R> {
    pub(super) fn new(table: &'static str, row: &'r R) -> Self {
        Self::at(table, row, 0)
    }

    /// Reads from the given column on.
    pub(super) fn at(table: &'static str, row: &'r R, column: usize) -> Self {
        Self { row, next: column, table }
    }

    fn column(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    /// The next column as text.
    pub(super) fn text(&mut self) -> Result<&'r str, StoreError> {
        self.text_or_null()?.ok_or_else(|| self.corrupt("is null"))
    }

    /// The next column as text, or null.
    pub(super) fn text_or_null(&mut self) -> Result<Option<&'r str>, StoreError> {
        let column = self.column();
        self.row.text(column).map_err(|error| self.corrupt(error))
    }

    /// The next column as a text of the caller's own.
    pub(super) fn string(&mut self) -> Result<String, StoreError> {
        self.text().map(str::to_owned)
    }

    /// The next column as a text of the caller's own, or null.
    pub(super) fn string_or_null(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.text_or_null()?.map(str::to_owned))
    }

    /// The next column as text that must parse.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self) -> Result<T, StoreError> {
        self.text()?.parse().map_err(|error| self.corrupt(error))
    }

    /// The next column as text that must parse, or null.
    pub(super) fn parsed_or_null<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, StoreError> {
        self.text_or_null()?.map(|text| text.parse().map_err(|error| self.corrupt(error))).transpose()
    }

    /// The next column as text that must be one of a closed set.
    pub(super) fn known<T>(&mut self, from_text: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text = self.text()?;
        from_text(text).ok_or_else(|| self.corrupt(format_args!("{text:?} is not known")))
    }

    pub(super) fn count<T: TryFrom<i64, Error: Display>>(&mut self) -> Result<T, StoreError> {
        let column = self.column();
        let number = self.row.integer(column).map_err(|error| self.corrupt(error))?;
        T::try_from(number.ok_or_else(|| self.corrupt("is null"))?).map_err(|error| self.corrupt(error))
    }

    pub(super) fn count_or_null(&mut self) -> Result<Option<u64>, StoreError> {
        let column = self.column();
        let number = self.row.integer(column).map_err(|error| self.corrupt(error))?;
        number.map(u64::try_from).transpose().map_err(|error| self.corrupt(error))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.time_or_null()?.ok_or_else(|| self.corrupt("is null"))
    }

    pub(super) fn time_or_null(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let column = self.column();
        let micros = self.row.micros(column).map_err(|error| self.corrupt(error))?;
        let micros = micros.map(u64::try_from).transpose().map_err(|error| self.corrupt(error))?;
        Ok(micros.map(Timestamp::from_micros))
    }

    pub(super) fn bytes(&mut self) -> Result<&'r [u8], StoreError> {
        let column = self.column();
        let bytes = self.row.bytes(column).map_err(|error| self.corrupt(error))?;
        bytes.ok_or_else(|| self.corrupt("is null"))
    }

    /// The next column as a SHA-256.
    pub(super) fn hash(&mut self) -> Result<[u8; 32], StoreError> {
        self.bytes()?.try_into().map_err(|error| self.corrupt(error))
    }

    pub(super) fn flag(&mut self) -> Result<bool, StoreError> {
        let column = self.column();
        let flag = self.row.flag(column).map_err(|error| self.corrupt(error))?;
        flag.ok_or_else(|| self.corrupt("is null"))
    }

    fn labels(&mut self) -> Result<Labels, StoreError> {
        match self.text()? {
            "{}" => Ok(Labels::new()),
            text => serde_json::from_str(text).map_err(|error| self.corrupt(error)),
        }
    }

    /// An error about the column that was read last.
    pub(super) fn corrupt(&self, error: impl Display) -> StoreError {
        let row = self.row.text(0).ok().flatten().unwrap_or("?");
        let column = self.row.name(self.next.saturating_sub(1)).unwrap_or("?");
        StoreError::Corrupt(format!("{}, row {row:?}, column {column}: {error}", self.table))
    }
}

/// What is wrong with a row.
fn said(error: &StoreError) -> String {
    match error {
        StoreError::Corrupt(what) => what.clone(),
        other => other.to_string(),
    }
}

/// A point in time as it is stored.
pub(super) fn micros(at: Timestamp) -> i64 {
    number(at.as_micros())
}

/// A count as it is stored.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Reads `policy_generation` and `policy_digest`.
fn policy(reader: &mut Reader<'_, impl SqlRow>) -> Result<PolicyRef, StoreError> {
    Ok(PolicyRef { generation: reader.parsed()?, digest: reader.parsed()? })
}

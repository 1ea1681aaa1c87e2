//! Judges what several hosts have done, by the traces that they left: records, operation log, engines, leases. It knows
//! nothing of how they work, and is told nothing by them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rtmanager::model::{Author, ContainerId, Fence, OperationEntry, Outcome, Status, Timestamp, TrackedRuntime};

/// Engines and hosts of one machine have one clock, and an engine's event is dated within its removal.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);

/// A game whose fate is judged.
#[derive(Debug, Clone)]
pub struct Game {
    /// Its container as the history began.
    pub container: ContainerId,
    /// Whether the container runs, so that nobody may touch it; otherwise it has to go.
    pub is_live: bool,
    /// Whether the container is there, as it was, when all is over.
    pub is_there: bool,
    /// Its record when all is over.
    pub runtime: TrackedRuntime,
    /// The run that changed the record last.
    pub last_run: Option<String>,
}

/// What was seen when all had ended.
#[derive(Debug, Default)]
pub struct History {
    /// The games, by name.
    pub games: BTreeMap<String, Game>,
    /// The operation log, oldest first.
    pub entries: Vec<OperationEntry>,
    /// When engines say that they destroyed containers, as far as they were listened to.
    pub destroyed: BTreeMap<ContainerId, Timestamp>,
    /// Runs that the store still knows of.
    pub open_runs: usize,
    /// Leases that are still held.
    pub leases: usize,
    /// Runs that overlap by more than this had no lease between them; none where leases were tampered with.
    pub overlap: Option<Duration>,
}

impl History {
    /// Everything that is wrong. Empty is as it should be.
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, game) in &self.games {
            let of_game: Vec<_> = self.entries.iter().filter(|entry| entry.game_id == *name).collect();
            if game.is_live {
                live(name, game, &mut wrong)
            } else {
                self.due(name, game, &of_game, &mut wrong)
            }
            self.overlaps(name, &of_game, &mut wrong);
        }
        self.effects_without_a_trace(&mut wrong);
        wrong.extend((self.open_runs > 0).then(|| format!("{} runs were left open", self.open_runs)));
        wrong.extend((self.leases > 0).then(|| format!("{} leases were left behind", self.leases)));
        wrong
    }

    fn due(&self, name: &str, game: &Game, entries: &[&OperationEntry], wrong: &mut Vec<String>) {
        let wins: Vec<_> = entries.iter().filter(|entry| is_win(entry)).collect();
        let runtime = &game.runtime;
        if runtime.record.status != Status::Removed {
            wrong.extend(runtime.cleanup.parked.is_none().then(|| format!("{name} is neither removed nor parked")));
            wrong.extend(wins.first().map(|_| format!("{name}: the log says removed, its record does not")));
            return;
        }
        wrong.extend(game.is_there.then(|| format!("{name}: its record says removed, its container is there")));
        if wins.len() != 1 {
            wrong.push(format!("{name} was removed once, and the log has {} entries that say so", wins.len()));
        }
        for win in wins {
            if Some(win.run_id.as_str()) != game.last_run.as_deref() {
                wrong.push(format!(
                    "{name} was removed by run {:?}, says its record, not {}",
                    game.last_run, win.run_id
                ));
            }
            if win.container_id.as_ref() != Some(&game.container) {
                wrong.push(format!("{name}: the log names container {:?}", win.container_id));
            }
        }
    }

    /// What an engine destroyed, a run did that the log knows, from its start to its finish.
    fn effects_without_a_trace(&self, wrong: &mut Vec<String>) {
        for (container, at) in &self.destroyed {
            let of_container = self.entries.iter().filter(|entry| entry.container_id.as_ref() == Some(container));
            let mut covering = of_container.filter(|entry| {
                entry.started_at <= at.saturating_add(CLOCK_TOLERANCE)
                    && *at <= entry.finished_at.saturating_add(CLOCK_TOLERANCE)
            });
            if covering.next().is_none() {
                wrong.push(format!("container {container} was destroyed at {at}, and no run in the log did so"));
            }
        }
        let mut fences = BTreeSet::<Fence>::new();
        for fence in self.entries.iter().filter_map(|entry| entry.fence) {
            wrong.extend((!fences.insert(fence)).then(|| format!("two runs had fence {}", fence.0)));
        }
    }

    /// Two runs that had the game's lease at the same time. A run's beginning is known as later than its start, so only
    /// a long overlap counts.
    fn overlaps(&self, name: &str, entries: &[&OperationEntry], wrong: &mut Vec<String>) {
        let Some(overlap) = self.overlap else { return };
        // Recovery writes an entry long after its run has ended.
        let leased: Vec<_> =
            entries.iter().filter(|entry| entry.fence.is_some() && entry.author != Author::Recovery).collect();
        for (index, one) in leased.iter().enumerate() {
            for other in leased.iter().skip(index + 1) {
                let (from, to) = (one.started_at.max(other.started_at), one.finished_at.min(other.finished_at));
                if to.since(from) > overlap {
                    wrong.push(format!("{name}: runs {} and {} overlap under one lease", one.run_id, other.run_id));
                }
            }
        }
    }
}

/// A run that changed the record, rather than found it changed.
fn is_win(entry: &OperationEntry) -> bool {
    entry.outcome == Outcome::Success && entry.error_code.is_none()
}

fn live(name: &str, game: &Game, wrong: &mut Vec<String>) {
    wrong.extend((!game.is_there).then(|| format!("{name}: a running container is gone")));
    let is_removed = game.runtime.record.status == Status::Removed;
    wrong.extend(is_removed.then(|| format!("{name} runs, and its record says removed")));
}

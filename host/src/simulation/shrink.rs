//! Makes a plan that breaks a rule smaller, as long as it breaks the same one.

use super::history::{History, PlayError, Stock, play};
use super::invariant::Invariant;
use super::plan::{Act, Leases, Plan};

/// The smallest plan that was found by playing so many, with its history.
pub(super) fn shrink(
    stock: &Stock,
    plan: Plan,
    broken: Invariant,
    attempts: u32,
) -> Result<(Plan, History), PlayError> {
    let found = play(stock, &plan)?;
    let mut shrinking = Shrinking { stock, broken, attempts, smallest: (plan, found) };
    while shrinking.round()? {}
    Ok(shrinking.smallest)
}

struct Shrinking<'a> {
    stock: &'a Stock,
    broken: Invariant,
    attempts: u32,
    smallest: (Plan, History),
}

impl Shrinking<'_> {
    /// Tries to leave out each thing once. Answers whether anything could be left out.
    fn round(&mut self) -> Result<bool, PlayError> {
        let faults = self.leave_out(|plan| &mut plan.faults)?;
        let steps = self.leave_out(|plan| &mut plan.steps)?;
        let games = self.leave_out_games()?;
        let simpler = self.simplify()?;
        Ok(faults || steps || games || simpler)
    }

    /// Halves first, then quarters, down to single ones.
    fn leave_out<T: Clone>(&mut self, part: fn(&mut Plan) -> &mut Vec<T>) -> Result<bool, PlayError> {
        let mut any = false;
        let mut size = part(&mut self.smallest.0.clone()).len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            loop {
                let mut plan = self.smallest.0.clone();
                let items = part(&mut plan);
                if from >= items.len() {
                    break;
                }
                let to = from.saturating_add(size).min(items.len());
                items.drain(from..to);
                if self.breaks(plan)? {
                    any = true;
                } else {
                    from = to;
                }
            }
            size /= 2;
        }
        Ok(any)
    }

    fn leave_out_games(&mut self) -> Result<bool, PlayError> {
        let mut any = false;
        // From the last one, so that the places of the others stay as they are.
        for game in (0..self.smallest.0.games.len()).rev() {
            let is_last = game.saturating_add(1) == self.smallest.0.games.len();
            let is_used = self.smallest.0.steps.iter().any(|step| concerns(&step.act, game));
            if is_last && !is_used {
                let mut plan = self.smallest.0.clone();
                plan.games.truncate(game);
                any |= self.breaks(plan)?;
            }
        }
        Ok(any)
    }

    fn simplify(&mut self) -> Result<bool, PlayError> {
        let mut any = false;
        let simplifications: [fn(&mut Plan); 4] = [
            |plan| plan.leases = Leases::Honest,
            |plan| plan.removal_ms = 0,
            |plan| plan.skew_ms.fill(0),
            |plan| plan.steps.iter_mut().for_each(|step| step.at_ms = u64::from(step.id)),
        ];
        for simplify in simplifications {
            let mut plan = self.smallest.0.clone();
            simplify(&mut plan);
            if plan != self.smallest.0 {
                any |= self.breaks(plan)?;
            }
        }
        Ok(any)
    }

    fn breaks(&mut self, plan: Plan) -> Result<bool, PlayError> {
        let Some(left) = self.attempts.checked_sub(1) else { return Ok(false) };
        self.attempts = left;
        let history = play(self.stock, &plan)?;
        let breaks = history.breaches.iter().any(|breach| breach.invariant == self.broken);
        if breaks {
            self.smallest = (plan, history);
        }
        Ok(breaks)
    }
}

fn concerns(act: &Act, game: usize) -> bool {
    match act {
        Act::Cleanup { game: of, .. } | Act::Deed { game: of, .. } => *of == game,
        Act::Sweep { .. } | Act::Recover { .. } | Act::Swap { .. } => false,
    }
}

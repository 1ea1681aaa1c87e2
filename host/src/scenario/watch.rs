//! Who stands at the boundary while a scenario plays: notes each call of the policy, and makes it go wrong as planned.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::deeds;
use super::seen::Made;
use super::story::{At, Fault, Nth};
use super::words::What;
use super::world::World;
use crate::ports::Clock as _;
use crate::session::{Crossing, Ending, LeaseOptions, Onlooker};
use crate::simulation::Life;

/// Stands beside the runs of one process.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) world: Arc<World>,
    pub(super) life: Arc<Life>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

#[async_trait]
impl Onlooker for Watch {
    async fn before(&self, call: Crossing, about: String) {
        let faults = self.begin(call, about);
        self.others_act(call).await;
        for (index, fault) in faults {
            self.feel(index, &fault);
            self.happen(call, &fault).await;
        }
    }

    async fn after(&self, call: Crossing, answer: String) {
        let crashes = {
            let mut state = self.world.state();
            state.armed.clear();
            let dies = self.planned(&state, call).into_iter().find(|(_, fault)| fault.what == What::CrashAfter);
            if dies.is_none()
                && let Some(made) = state.noted.calls.last_mut()
            {
                made.answer = Some(answer);
            }
            dies
        };
        if let Some((index, fault)) = crashes {
            self.feel(index, &fault);
            self.die().await;
        }
    }

    fn logged(&self, level: &'static str, line: String) {
        self.world.state().noted.logs.push((level, line));
    }

    fn ended(&self, ending: Ending) {
        self.world.state().noted.ending = ending;
    }
}

impl Watch {
    /// Notes the call, and answers what is planned for it before it is made.
    fn begin(&self, call: Crossing, about: String) -> Vec<(usize, Fault)> {
        let at_ms = u64::try_from(self.world.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let made = Made { call: call.as_str(), about, answer: None, notes: Vec::new(), at_ms };
        let mut state = self.world.state();
        state.noted.calls.push(made);
        let planned = self.planned(&state, call);
        planned.into_iter().filter(|(_, fault)| fault.what != What::CrashAfter).collect()
    }

    /// The faults of the call that was noted last.
    fn planned(&self, state: &super::world::State, call: Crossing) -> Vec<(usize, Fault)> {
        let nth = count(state, call);
        let is_it = |fault: &Fault| fault.at == At::Call(call) && fault.nth.is(nth);
        let faults = state.faults.iter().enumerate().filter(|(_, fault)| is_it(fault));
        faults.map(|(index, fault)| (index, fault.clone())).collect()
    }

    async fn others_act(&self, call: Crossing) {
        let due: Vec<_> = {
            let state = self.world.state();
            let nth = count(&state, call);
            let is_due = |at: At, only: u32| at == At::Call(call) && Nth::Only(only).is(nth);
            state.meanwhile.iter().filter(|other| is_due(other.at, other.nth)).cloned().collect()
        };
        for other in due {
            self.act(&other.deed).await;
        }
    }

    /// Somebody does something, which is noted.
    pub(super) async fn act(&self, deed: &super::story::Deed) {
        let done = deeds::perform(&self.world, deed).await;
        let without = if done { "" } else { ", without effect" };
        self.note(format!("meanwhile: {} {}{without}", deed.kind.as_str(), deed.game));
    }

    async fn happen(&self, call: Crossing, fault: &Fault) {
        match fault.what {
            What::CrashBefore => self.die().await,
            What::ClockJump => self.world.clock.jump(fault.by_ms.unwrap_or_default()),
            What::Pause => {
                let span = u64::try_from(fault.by_ms.unwrap_or_default()).unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(span)).await;
            }
            // Longer than it lasts without being renewed.
            What::LeaseLost => tokio::time::sleep(LeaseOptions::default().ttl + Duration::from_secs(1)).await,
            what => self.world.state().armed.extend(what.behind(call)),
        }
    }

    /// Notes that a planned fault happens.
    pub(super) fn feel(&self, index: usize, fault: &Fault) {
        let mut state = self.world.state();
        state.noted.felt.push(index);
        state.noted.delayed |= fault.what.takes_time();
        drop(state);
        let by = fault.by_ms.map(|by| format!(" by {by} ms")).unwrap_or_default();
        self.note(format!("fault: {}{by}", fault.what.as_str()));
    }

    /// Notes something beside the call that is under way.
    pub(super) fn note(&self, note: String) {
        let mut state = self.world.state();
        let under_way = state.noted.calls.last_mut().filter(|made| made.answer.is_none());
        match under_way {
            Some(made) => made.notes.push(note),
            None => state.noted.notes.push(note),
        }
    }

    /// The host is no more: nothing that it would have done happens.
    pub(super) async fn die(&self) {
        self.life.end();
        std::future::pending().await
    }
}

/// How many such calls were made in this step, the one that is under way included.
fn count(state: &super::world::State, call: Crossing) -> u32 {
    let made = state.noted.calls.iter().filter(|made| made.call == call.as_str()).count();
    u32::try_from(made).unwrap_or(u32::MAX)
}

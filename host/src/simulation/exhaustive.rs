//! Plans that are not left to chance.

use super::fault::Fault;
use super::plan::{Act, Contained, Game, Leases, Mishap, Plan, Recorded, Source, Step};

/// The calls of a run that nothing goes wrong with, and of one that has to look again.
const CALLS: u32 = 11;

/// One game in each state, cleaned up by each source and swept, with nothing going wrong.
pub(super) fn quiet() -> Vec<Plan> {
    let mut plans = Vec::new();
    for record in [Recorded::Stopped, Recorded::Running, Recorded::Removed, Recorded::Other, Recorded::Absent] {
        for container in containers(record) {
            for first in [
                Act::Cleanup { replica: 0, game: 0, source: Source::Cli },
                Act::Cleanup { replica: 0, game: 0, source: Source::Unknown },
                Act::Sweep { replica: 0 },
            ] {
                let game = Game { record, container: *container, foreign: false, held: false };
                plans.push(one_game(game, vec![first], Vec::new()));
            }
        }
    }
    for (foreign, held) in [(true, false), (false, true)] {
        let game = Game { record: Recorded::Stopped, container: Contained::Exited, foreign, held };
        plans.push(one_game(game, vec![Act::Cleanup { replica: 0, game: 0, source: Source::Rest }], Vec::new()));
    }
    plans
}

/// The plain course of a cleanup, with each fault at each of its calls.
pub(super) fn singles() -> impl Iterator<Item = Plan> {
    mishaps().map(|mishap| plain(vec![mishap]))
}

/// The same with each pair of faults.
pub(super) fn pairs() -> impl Iterator<Item = Plan> {
    let later = |first: &Mishap| {
        let place = first.call;
        mishaps().filter(move |second| second.call > place)
    };
    mishaps().flat_map(move |first| later(&first).map(move |second| plain(vec![first.clone(), second])))
}

fn mishaps() -> impl Iterator<Item = Mishap> {
    (0..CALLS).flat_map(|call| Fault::ALL.into_iter().map(move |fault| Mishap { step: 0, call, fault }))
}

/// One run, and another on the other replica soon after.
fn plain(faults: Vec<Mishap>) -> Plan {
    let game = Game { record: Recorded::Stopped, container: Contained::Exited, foreign: false, held: false };
    let run = |replica| Act::Cleanup { replica, game: 0, source: Source::Cli };
    one_game(game, vec![run(0), run(1)], faults)
}

fn one_game(game: Game, acts: Vec<Act>, faults: Vec<Mishap>) -> Plan {
    let steps = (0..).zip(acts).map(|(id, act)| Step { id, at_ms: u64::from(id) * 50, act }).collect();
    Plan { seed: 1, leases: Leases::Honest, removal_ms: 0, skew_ms: vec![0, 0], games: vec![game], steps, faults }
}

fn containers(record: Recorded) -> &'static [Contained] {
    match record {
        Recorded::Stopped => &[
            Contained::Exited,
            Contained::None,
            Contained::Missing,
            Contained::Created,
            Contained::Running,
            Contained::Paused,
            Contained::Dead,
            Contained::Removing,
            Contained::Other,
        ],
        Recorded::Running => &[Contained::Running, Contained::Exited],
        Recorded::Removed | Recorded::Absent => &[Contained::None],
        Recorded::Other => &[Contained::Exited, Contained::None],
    }
}

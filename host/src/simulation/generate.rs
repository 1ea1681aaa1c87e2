//! Histories that follow from a seed.

use super::dice::Dice;
use super::fault::Fault;
use super::plan::{Act, Contained, Deed, Game, Leases, Mishap, Plan, Recorded, Source, Step};

const REPLICAS: u64 = 2;
/// Runs in a history, the sweeps' own not counted.
const RUNS: u64 = 10;
/// A step has about so many calls; a fault beyond its last one does not happen.
const CALLS: u64 = 11;
/// A burst of steps this close together interleaves.
const BURST_MS: u64 = 60;
/// Bursts are this far apart: the last ones come after the leases of the first have ended.
const BETWEEN_MS: [u64; 6] = [0, 0, 0, 400, 35_000, LAST_MS];
const LAST_MS: u64 = 70_000;

impl Plan {
    /// The history of a seed: at least four games, two replicas, ten runs and one fault.
    pub fn generate(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let games: Vec<Game> = (0..4 + dice.below(2)).map(|_| game(&dice)).collect();
        let mut steps = Vec::new();
        let runs = RUNS + dice.below(3);
        for _ in 0..runs {
            add(&mut steps, &dice, run(&dice, games.len()));
        }
        for _ in 0..2 + dice.below(3) {
            let act = other(&dice, games.len());
            add(&mut steps, &dice, act);
        }
        // The first one is early enough to happen, whatever its step does.
        let mut faults: Vec<Mishap> = Vec::new();
        for nth in 0..1 + dice.below(5) {
            let mut fault = mishap(&dice, &steps, &games, nth == 0);
            // Some harm is done only by two faults in one run.
            if let Some(last) = faults.last().filter(|_| dice.chance(40)) {
                fault.step = last.step;
            }
            faults.push(fault);
        }
        bind_after_revocation(&mut steps, &faults, &dice);
        steps.sort_by_key(|step| (step.at_ms, step.id));
        Self {
            seed,
            leases: match dice.below(20) {
                0 => Leases::ToEveryone,
                1 => Leases::ToNobody,
                _ => Leases::Honest,
            },
            removal_ms: dice.pick(&[0, 0, 40, 3_000], 0),
            skew_ms: (0..REPLICAS).map(|_| dice.pick(&[0, 0, 250, -400, 900], 0)).collect(),
            games,
            steps,
            faults,
        }
    }
}

fn add(steps: &mut Vec<Step>, dice: &Dice, act: Act) {
    let id = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    // What looks for runs that were left behind comes when their leases have ended.
    let burst = if matches!(act, Act::Recover { .. }) { LAST_MS } else { dice.pick(&BETWEEN_MS, 0) };
    let at_ms = burst + dice.below(BURST_MS);
    steps.push(Step { id, at_ms, act });
}

/// Nothing serves after a revocation, so that little would happen any more: mostly somebody binds another version soon.
fn bind_after_revocation(steps: &mut Vec<Step>, faults: &[Mishap], dice: &Dice) {
    let revokes = |deed: Deed| matches!(deed, Deed::RevokeGeneration | Deed::RevokeComponent);
    let by_step = |step: &Step| match step.act {
        Act::Deed { deed, .. } if revokes(deed) => Some(step.at_ms),
        _ => None,
    };
    let by_fault = |mishap: &Mishap| {
        let is_revocation = matches!(mishap.fault, Fault::Meanwhile(deed) if revokes(deed));
        steps.iter().find(|step| is_revocation && step.id == mishap.step).map(|step| step.at_ms)
    };
    let revoked: Vec<u64> = steps.iter().filter_map(by_step).chain(faults.iter().filter_map(by_fault)).collect();
    for at_ms in revoked {
        if dice.chance(75) {
            let id = u32::try_from(steps.len()).unwrap_or(u32::MAX);
            let at_ms = at_ms + dice.pick(&[20, 100, 400, 2_000], 20) + dice.below(BURST_MS);
            steps.push(Step { id, at_ms, act: Act::Swap { replica: dice.index(2) } });
        }
    }
}

fn game(dice: &Dice) -> Game {
    use Recorded::{Absent, Other, Removed, Running, Stopped};
    let record = dice.pick(&[Stopped, Stopped, Stopped, Stopped, Stopped, Running, Removed, Other, Absent], Stopped);
    let container = match record {
        Absent | Removed => Contained::None,
        Running => Contained::Running,
        Stopped | Other => dice.pick(&CONTAINERS, Contained::Exited),
    };
    Game { record, container, foreign: dice.chance(8), held: dice.chance(6) }
}

const CONTAINERS: [Contained; 14] = [
    Contained::Exited,
    Contained::Exited,
    Contained::Exited,
    Contained::Exited,
    Contained::Exited,
    Contained::Exited,
    Contained::Created,
    Contained::None,
    Contained::Missing,
    Contained::Running,
    Contained::Paused,
    Contained::Dead,
    Contained::Removing,
    Contained::Other,
];

fn run(dice: &Dice, games: usize) -> Act {
    let replica = dice.index(2);
    if dice.chance(20) {
        return Act::Sweep { replica };
    }
    // The first games are asked for more often, so that runs meet.
    let game = dice.index(games).min(dice.index(games));
    Act::Cleanup { replica, game, source: dice.pick(&SOURCES, Source::Cli) }
}

const SOURCES: [Source; 8] =
    [Source::Rest, Source::Rest, Source::Rest, Source::Cli, Source::Cli, Source::Cli, Source::Cli, Source::Unknown];

fn other(dice: &Dice, games: usize) -> Act {
    let replica = dice.index(2);
    match dice.below(5) {
        0 | 1 => Act::Recover { replica },
        2 => Act::Swap { replica },
        _ => Act::Deed { game: dice.index(games), deed: dice.pick(&Deed::ALL, Deed::Start) },
    }
}

/// Most go wrong where there is most to be spoilt: in the cleanup of a game that has stopped. `early`: at one of the
/// first calls, which every step makes.
fn mishap(dice: &Dice, steps: &[Step], games: &[Game], early: bool) -> Mishap {
    let has_calls = |step: &&Step| !matches!(step.act, Act::Swap { .. } | Act::Deed { .. });
    let removes = |step: &&Step| match step.act {
        Act::Cleanup { game, source, .. } => {
            source != Source::Unknown && games.get(game).is_some_and(|game| game.record == Recorded::Stopped)
        }
        _ => false,
    };
    let ids = |which: &dyn Fn(&&Step) -> bool| steps.iter().filter(which).map(|step| step.id).collect::<Vec<u32>>();
    let (calling, removing) = (ids(&has_calls), ids(&removes));
    let step = if !removing.is_empty() && dice.chance(60) { dice.pick(&removing, 0) } else { dice.pick(&calling, 0) };
    let call = u32::try_from(dice.below(if early { 2 } else { CALLS })).unwrap_or_default();
    Mishap { step, call, fault: dice.pick(&Fault::ALL, Fault::Unavailable) }
}

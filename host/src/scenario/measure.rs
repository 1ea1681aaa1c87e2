//! What the runs of a story cost a host: all that it has before a run begins is there before the clocks start.

use std::collections::BTreeMap;

use super::cost::{Cost, Meter};
use super::play::{Host, PlayError, Player, in_virtual_time};
use super::story::{Step, Story};
use crate::runtime::Policy;

/// Plays a story so many times with each of the policies, which take turns, and answers what its runs took each time.
pub(super) fn measure<const N: usize>(
    story: &Story,
    policies: [(BTreeMap<String, String>, &Policy); N],
    rounds: u32,
) -> Result<[Vec<Cost>; N], PlayError> {
    let mut hosts = Vec::with_capacity(N);
    for (settings, policy) in &policies {
        hosts.push(Host::new(story, settings, policy)?);
    }
    let mut costs = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (host, costs) in hosts.iter().zip(&mut costs) {
            costs.push(round(story, host)?);
        }
    }
    Ok(costs)
}

/// In a world and a tokio runtime of its own: what a host that died leaves undone ends with them.
fn round(story: &Story, host: &Host) -> Result<Cost, PlayError> {
    in_virtual_time(async {
        let player = Player::new(story, host).await?;
        let mut sum = Cost::default();
        for (index, step) in story.steps.iter().enumerate() {
            sum = sum.and(cost(&player, index, step).await?);
        }
        Ok(sum)
    })
}

/// Nothing for what others do.
async fn cost(player: &Player<'_>, index: usize, step: &Step) -> Result<Cost, PlayError> {
    let watch = player.enter(step);
    if !step.act.is_run() {
        player.act(index, step, &watch).await?;
        return Ok(Cost::default());
    }
    let is_disturbed = !step.faults.is_empty() || !step.meanwhile.is_empty();
    let lifecycle = match is_disturbed {
        // Somebody has to stand beside the run to make it go wrong, and costs a little.
        true => player.lifecycle(&watch, index as u64)?,
        false => player.unwatched(index as u64)?,
    };
    let meter = Meter::start();
    player.run(&lifecycle, &step.act, &watch).await;
    Ok(meter.stop())
}

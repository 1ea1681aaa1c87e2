//! What serves a scope, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::super::render::{cell, finish, optional, short, table, time};
use super::{SENTENCE, listed};
use crate::model::bounded_text;
use crate::views::{PolicyCeiling, PolicyGeneration, PolicyLimits, PolicyReplica, PolicyRollout, PolicyStatus};

/// What serves each scope, a line each.
pub fn status_table(all: &[PolicyStatus]) -> String {
    if all.is_empty() {
        return "nothing was ever bound: every tenant is served as the hosts' configuration files say\n".to_owned();
    }
    let mut table = table(&["SCOPE", "GENERATION", "POLICY", "SINCE", "BY", "TRIED", "HOSTS"]);
    for status in all {
        let current = status.current.as_ref();
        let by = |show: fn(&PolicyGeneration) -> String| current.map_or_else(|| "-".to_owned(), show);
        table.add_row([
            status.scope.clone(),
            match (current, &status.problem) {
                (_, Some(_)) => "failed".to_owned(),
                (Some(current), None) => standing(status, current),
                (None, None) => "-".to_owned(),
            },
            status
                .policy
                .as_ref()
                .map_or_else(|| "-".to_owned(), |policy| format!("{}@{}", policy.name, policy.version)),
            by(|current| time(&current.staged.at)),
            by(|current| cell(&current.staged.actor)),
            status
                .rollout
                .as_ref()
                .map_or_else(|| "-".to_owned(), |rollout| format!("{} {}", rollout.number, mode(rollout))),
            hosts(status),
        ]);
    }
    finish(&table)
}

fn standing(status: &PolicyStatus, generation: &PolicyGeneration) -> String {
    let revoked = if status.revoked.contains(&generation.number) { ", revoked" } else { "" };
    format!("{}{revoked}", generation.generation)
}

/// How many of the hosts serve what they should.
fn hosts(status: &PolicyStatus) -> String {
    let wanted = status.current.as_ref().map(|current| &current.generation);
    let is_right = |host: &&PolicyReplica| match wanted {
        Some(_) => host.serves.as_ref() == wanted,
        None => status.problem.is_none(),
    };
    format!("{} of {}", status.replicas.iter().filter(is_right).count(), status.replicas.len())
}

fn mode(rollout: &PolicyRollout) -> String {
    rollout.canary_percent.map_or_else(|| rollout.mode.clone(), |percent| format!("canary {percent}%"))
}

/// What serves one scope, on which host.
pub fn status_text(status: &PolicyStatus) -> String {
    let mut text = match (&status.current, &status.policy) {
        (None, _) if status.problem.is_some() => {
            let problem = bounded_text(status.problem.as_deref().unwrap_or_default(), SENTENCE);
            format!("{} FAILED: {problem}\n  each host keeps to what it serves\n", status.scope)
        }
        (None, _) => format!("{} has no binding of its own\n", status.scope),
        (Some(current), policy) => {
            let named = policy.as_ref().map(|policy| format!("{}@{}", policy.name, policy.version));
            let revoked = if status.revoked.contains(&current.number) {
                "\n  REVOKED: nothing is removed until it is rolled back or bound anew"
            } else {
                ""
            };
            format!(
                "{} serves {}: {}{revoked}\n{}",
                current.generation,
                status.scope,
                named.unwrap_or_else(|| "a policy that is not in the store".to_owned()),
                generation_lines(current)
            )
        }
    };
    for (said, generation) in [("before", &status.previous), ("staged", &status.staged)] {
        if let Some(generation) = generation {
            let component = short(Some(&generation.policy_digest));
            let _ = writeln!(text, "  {said}   {}, component {component}", standing(status, generation));
        }
    }
    text += &status.rollout.as_ref().map(rollout_lines).unwrap_or_default();
    text += &ceiling_lines(&status.ceiling);
    text += &effective_lines(status);
    let mut table = table(&["  HOST", "SERVES", "READY", "PROBLEM"]);
    for host in &status.replicas {
        let ready: Vec<_> = host.ready.iter().map(ToString::to_string).collect();
        let problem = host.problem.as_deref().map_or_else(|| "-".to_owned(), |said| bounded_text(said, SENTENCE));
        table.add_row([
            format!("  {}", cell(&host.replica)),
            optional(host.serves.as_ref()),
            if ready.is_empty() { "-".to_owned() } else { ready.join(", ") },
            problem,
        ]);
    }
    let hosts = if status.replicas.is_empty() { "  no host is running\n".to_owned() } else { finish(&table) };
    text + &hosts
}

fn generation_lines(generation: &PolicyGeneration) -> String {
    let PolicyGeneration { policy_digest, settings, limits, grants, staged, .. } = generation;
    let mut text = format!(
        "  digest   {policy_digest}\n  staged   {} by {}: {}\n  grants   {}\n",
        time(&staged.at),
        cell(&staged.actor),
        bounded_text(&staged.reason, SENTENCE),
        listed(grants),
    );
    text += &limit_line(limits).map(|limits| format!("  limits   {limits}\n")).unwrap_or_default();
    text += &setting_lines(settings);
    text
}

/// Where the ceiling leaves less than the generation was bound with.
fn effective_lines(status: &PolicyStatus) -> String {
    let (Some(current), Some(effective)) = (&status.current, &status.effective) else { return String::new() };
    let mut text = String::new();
    if effective.grants != current.grants {
        let _ = writeln!(text, "  today    only {}", listed(&effective.grants));
    }
    if effective.limits != current.limits {
        let limits = limit_line(&effective.limits).unwrap_or_default();
        let _ = writeln!(text, "  today    only {limits}");
    }
    text
}

fn setting_lines(settings: &BTreeMap<String, String>) -> String {
    settings.iter().map(|(name, value)| format!("  setting  {}={}\n", cell(name), cell(value))).collect()
}

pub(super) fn limit_line(limits: &PolicyLimits) -> Option<String> {
    let all = [
        ("memory_bytes", limits.memory_bytes),
        ("guest_time_ms", limits.guest_time_ms),
        ("run_time_ms", limits.run_time_ms),
        ("calls", limits.calls.map(u64::from)),
        ("bytes_per_run", limits.bytes_per_run),
        ("log_lines", limits.log_lines.map(u64::from)),
    ];
    let set: Vec<_> = all.iter().filter_map(|(name, limit)| limit.map(|limit| format!("{name} {limit}"))).collect();
    (!set.is_empty()).then(|| set.join(", "))
}

fn rollout_lines(rollout: &PolicyRollout) -> String {
    let PolicyRollout { number, runs, faults, divergences, started, .. } = rollout;
    let goals = [
        rollout.clean_runs.map(|runs| format!("serves after {runs} clean runs")),
        rollout.promote_at.as_ref().map(|at| format!("serves at {} if it has no fault", time(at))),
        rollout.stop_on_divergence.then(|| "ends at a divergence".to_owned()),
    ];
    let goals: Vec<_> = goals.into_iter().flatten().collect();
    let goals = if goals.is_empty() { "until somebody ends it".to_owned() } else { goals.join(", ") };
    format!(
        "  tried    {number} as {}: {runs} runs, {faults} faults, {divergences} divergences; {goals}\n           since {} by {}: {}\n",
        mode(rollout),
        time(&started.at),
        cell(&started.actor),
        bounded_text(&started.reason, SENTENCE)
    )
}

pub(super) fn ceiling_lines(ceiling: &PolicyCeiling) -> String {
    let grants = ceiling.grants.as_ref().map_or_else(|| "all grants".to_owned(), |grants| listed(grants));
    let mut said = vec![grants];
    said.extend(limit_line(&ceiling.limits));
    said.extend(ceiling.signature_required.then(|| "signed policies only".to_owned()));
    let days = (ceiling.retention_days > 0).then(|| format!("kept {} days at least", ceiling.retention_days));
    said.extend(days);
    format!("  ceiling  {}\n", said.join("; "))
}

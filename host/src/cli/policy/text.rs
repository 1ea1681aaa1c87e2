//! What the commands print for people. Pure: values in, text out.

use std::fmt::Write as _;

use super::super::render::{cell, finish, more, optional, short, table, time};
use crate::model::{PolicyScope, bounded_text};
use crate::views::{
    BoundPolicy, CheckedComponent, Page, Policy, PolicyAuthority, PolicyDetail, PolicyDiff, PolicyDivergence,
    PolicyExamination, PolicyHistoryEntry, PolicyRevocation, PolicyRules, PolicySigner,
};

mod replay;
mod status;
mod terms;

pub use replay::replay_text;
use status::ceiling_lines;
pub use status::{status_table, status_text};
pub(super) use terms::terms_text;

/// Longest sentence of somebody else's.
const SENTENCE: usize = 1_024;

/// Policies, a line each.
pub fn policy_table(page: &Page<Policy>) -> String {
    if page.items.is_empty() {
        return "no policies\n".to_owned();
    }
    let mut table = table(&["NAME", "VERSION", "OWNER", "BYTES", "PUSHED", "BY", "DIGEST"]);
    for policy in &page.items {
        table.add_row([
            policy.name.clone(),
            policy.version.clone(),
            optional(policy.owner.as_ref()),
            policy.size.to_string(),
            time(&policy.pushed_at),
            cell(&policy.pushed_by),
            policy.digest.clone(),
        ]);
    }
    finish(&table) + &more(page.next.as_ref(), "--after")
}

/// One policy, with what it asks for.
pub fn policy_text(policy: &PolicyDetail) -> String {
    let PolicyDetail { policy, abi, imports, needs, signers } = policy;
    let owner = policy.owner.as_deref().map_or("the platform", |owner| owner);
    let mut text = format!(
        "{}@{} of {owner}, {} bytes\n  digest  {}\n  pushed  {} by {}\n  abi     {abi}\n",
        policy.name,
        policy.version,
        policy.size,
        policy.digest,
        time(&policy.pushed_at),
        cell(&policy.pushed_by),
    );
    text += &asks(imports, needs);
    for signer in signers {
        let _ = writeln!(text, "  signed  by {}, says the signature", cell(signer));
    }
    text
}

fn asks(imports: &[String], needs: &[String]) -> String {
    let imports: String = imports.iter().map(|import| format!("          {}\n", cell(import))).collect();
    format!("  needs   {}\n  imports\n{imports}", listed(needs))
}

fn listed(texts: &[String]) -> String {
    if texts.is_empty() { "nothing".to_owned() } else { bounded_text(&texts.join(", "), SENTENCE) }
}

/// A component that passed.
pub(super) fn component_text(file: &str, checked: &CheckedComponent) -> String {
    let CheckedComponent { digest, size, imports, needs, scenarios } = checked;
    format!(
        "{}: passed, in {scenarios} safety scenarios\n  digest  {digest}\n  bytes   {size}\n{}",
        cell(file),
        asks(imports, needs)
    )
}

/// What binding a policy would come to.
pub fn examination_text(scope: &PolicyScope, examined: &PolicyExamination) -> String {
    let PolicyExamination { policy, imports, needs, authority, scenarios, .. } = examined;
    format!(
        "{}@{} passes for {scope}, in {scenarios} safety scenarios\n{}  against what serves now\n{}",
        policy.name,
        policy.version,
        asks(imports, needs),
        authority_lines(authority)
    )
}

fn authority_lines(authority: &PolicyAuthority) -> String {
    let mut lines = String::new();
    for (said, grants) in [("gains", &authority.gained), ("loses", &authority.lost)] {
        if !grants.is_empty() {
            let _ = writeln!(lines, "          {said} {}", listed(grants));
        }
    }
    for change in &authority.limits {
        let _ = writeln!(lines, "          {} from {} to {}", change.limit, change.from, change.to);
    }
    if lines.is_empty() { "          may do the same\n".to_owned() } else { lines }
}

/// A generation that was bound or is tried.
pub fn bound_text(scope: &PolicyScope, policy: &str, bound: &BoundPolicy, said: &str) -> String {
    let generation = &bound.generation;
    let before = match bound.before {
        Some(before) => format!("{scope}/{before}"),
        None => "what served before".to_owned(),
    };
    let mut text = format!(
        "{} ({}) {said}\n  may do  {}\n  against {before}\n{}  passed  {} safety scenarios\n",
        generation.generation,
        cell(policy),
        listed(&generation.grants),
        authority_lines(&bound.authority),
        bound.scenarios,
    );
    for host in &bound.behind {
        let _ = writeln!(text, "  behind  {}", bounded_text(host, SENTENCE));
    }
    text
}

/// What a revocation did.
pub(super) fn revoked_text(revoked: &PolicyRevocation) -> String {
    let mut text = format!("{} is revoked: it can change and remove nothing from now on\n", revoked.revoked);
    for scope in &revoked.unserved {
        let _ = writeln!(text, "  {scope} has nobody to serve it until it is rolled back or bound anew");
    }
    text
}

/// What holds in a scope.
pub fn rules_text(scope: &PolicyScope, rules: &PolicyRules) -> String {
    let whose = if rules.own.is_some() { "has a ceiling of its own" } else { "has no ceiling of its own; this holds" };
    let keys = Page { items: rules.keys.clone(), next: None };
    format!("{scope} {whose}\n{}\n{}", ceiling_lines(&rules.effective), key_table(&keys))
}

/// Keys, a line each.
pub(super) fn key_table(page: &Page<PolicySigner>) -> String {
    if page.items.is_empty() {
        return "no keys\n".to_owned();
    }
    let mut table = table(&["KEY", "ADDED", "BY", "REVOKED"]);
    for key in &page.items {
        let revoked = key.revoked_at.as_deref().map_or_else(|| "-".to_owned(), time);
        table.add_row([key.id.clone(), time(&key.added_at), cell(&key.added_by), revoked]);
    }
    finish(&table)
}

/// What happened to a scope, a line each.
pub fn change_table(page: &Page<PolicyHistoryEntry>) -> String {
    if page.items.is_empty() {
        return "nothing has happened\n".to_owned();
    }
    let mut table = table(&["ID", "WHEN", "WHAT", "FROM", "TO", "BY", "WHY"]);
    for change in &page.items {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        table.add_row([
            change.id.to_string(),
            time(&change.act.at),
            change.event.clone(),
            number(change.from),
            number(change.to),
            cell(&change.act.actor),
            bounded_text(&change.act.reason, SENTENCE),
        ]);
    }
    finish(&table) + &more(page.next.as_ref(), "--before")
}

/// How two generations differ.
pub fn generation_diff_text(diff: &PolicyDiff) -> String {
    let PolicyDiff { from, to, authority } = diff;
    let mut text = format!("{} against {}\n", to.generation, from.generation);
    if to.policy_digest == from.policy_digest {
        text += "  the same component\n";
    } else {
        let (to, from) = (short(Some(&to.policy_digest)), short(Some(&from.policy_digest)));
        let _ = writeln!(text, "  component {to}, not {from}");
    }
    text += &authority_lines(authority);
    let names: std::collections::BTreeSet<_> = from.settings.keys().chain(to.settings.keys()).collect();
    for name in names {
        let (old, new) = (from.settings.get(name), to.settings.get(name));
        if old != new {
            let _ = writeln!(text, "          setting {} from {} to {}", cell(name), optional(old), optional(new));
        }
    }
    text
}

/// Divergences, a line each.
pub fn divergence_table(page: &Page<PolicyDivergence>) -> String {
    if page.items.is_empty() {
        return "no divergences\n".to_owned();
    }
    let mut table = table(&["WHEN", "GAME", "KIND", "CURRENT", "CANDIDATE"]);
    for found in &page.items {
        table.add_row([
            time(&found.at),
            cell(&found.game_id),
            found.kind.clone(),
            cell(&found.current),
            cell(&found.candidate),
        ]);
    }
    finish(&table)
}

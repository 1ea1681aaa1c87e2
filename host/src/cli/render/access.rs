//! Tokens and the trail.

use super::{cell, finish, more, optional, table, time};
use crate::views::{AuditedAction, NamedToken, Page, PrunedTrail, TrailVerification};

/// Tokens, a line each.
pub fn token_table(page: &Page<NamedToken>) -> String {
    if page.items.is_empty() {
        return "no tokens\n".to_owned();
    }
    let mut table = table(&["NAME", "ROLE", "TENANT", "CREATED", "BY", "EXPIRES", "REVOKED", "LAST USED", "NOTICE"]);
    for row in &page.items {
        let at = |at: &Option<String>| at.as_deref().map_or_else(|| "-".to_owned(), time);
        table.add_row([
            cell(&row.name),
            row.role.clone(),
            optional(row.tenant.as_ref()),
            time(&row.created_at),
            cell(&row.created_by),
            at(&row.expires_at),
            at(&row.revoked_at),
            at(&row.last_used_at),
            optional(row.notice.as_ref()).replace('_', " "),
        ]);
    }
    finish(&table)
}

/// What was done, a line each.
pub fn audit_table(page: &Page<AuditedAction>) -> String {
    if page.items.is_empty() {
        return "nothing was done\n".to_owned();
    }
    let mut table = table(&["SEQUENCE", "AT", "ACTOR", "ROLE", "ACTION", "SUBJECT", "DETAIL"]);
    for row in &page.items {
        table.add_row([
            row.sequence.to_string(),
            time(&row.at),
            cell(&row.actor),
            cell(&row.role),
            cell(&row.action),
            cell(&row.subject),
            cell(&row.detail.to_string()),
        ]);
    }
    finish(&table) + &more(page.next.as_ref(), "--from")
}

/// Whether the trail is whole, in sentences.
pub fn verification_text(found: &TrailVerification) -> String {
    let Some(broken) = &found.broken else {
        return match &found.head {
            None => "the trail is empty\n".to_owned(),
            Some(head) => format!(
                "the trail is whole\n{head}\nKeep this line elsewhere: `--head` finds out later whether anything up to it was cut off.\n{}",
                pruned(found.pruned.as_deref())
            ),
        };
    };
    let sound =
        found.head.as_deref().map_or_else(|| "No link before it.".to_owned(), |head| format!("Sound up to {head}"));
    format!("the trail is broken at {}: {}\n{sound}\n", broken.sequence, cell(&broken.detail))
}

fn pruned(last: Option<&str>) -> String {
    last.map_or_else(String::new, |last| format!("What was up to {last} was pruned.\n"))
}

/// What was taken away of the trail, in a sentence.
pub fn pruned_text(pruned: &PrunedTrail) -> String {
    match &pruned.through {
        None => "nothing is that old\n".to_owned(),
        Some(through) => format!("{} links pruned, up to {through}\n", pruned.links),
    }
}

//! Whose runs are written down, and how much of that is kept.

use std::time::Duration;

use super::reader::Section;
use crate::journals::{JournalOptions, Recorded};
use crate::model::JournalBounds;

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn journal(section: &mut Section) -> JournalOptions {
    let default = JournalOptions::default();
    JournalOptions {
        recorded: recorded(section),
        share: section.within("share", default.share, 0.0..=1.0),
        bounds: JournalBounds {
            exchanges: section.within("run_calls", default.bounds.exchanges, 1..=10_000),
            bytes: section.within("run_bytes", default.bounds.bytes, 1 << 10..=4 << 20),
        },
        retention: DAY * section.within("keep_days", 14, 1..=3_650),
        tenant_bytes: section.within("tenant_bytes", default.tenant_bytes, 1 << 16..=1 << 40),
    }
}

fn recorded(section: &mut Section) -> Recorded {
    let names: Vec<String> = section.read("tenants", Vec::new());
    if names.iter().any(|name| name == "*") {
        return Recorded::All;
    }
    let mut tenants = std::collections::BTreeSet::new();
    for name in names {
        match name.parse() {
            Ok(tenant) => drop(tenants.insert(tenant)),
            Err(_) => section.problem("tenants", name, "must be names of tenants, or \"*\" for everybody"),
        }
    }
    Recorded::Tenants(tenants)
}

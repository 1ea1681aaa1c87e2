//! On what terms a policy was run in place of another.

use std::fmt::Write as _;

use super::super::super::render::cell;
use super::super::run::TermsView;
use super::listed;
use super::status::limit_line;
use crate::app::SettingOrigin;

/// Whose they are, and what is other than there.
pub(in super::super) fn terms_text(terms: &TermsView) -> String {
    let TermsView { in_place_of, settings, limits, grants } = terms;
    let mut text = format!("in place of {}\n", cell(in_place_of));
    for (origin, what) in [
        (SettingOrigin::Bound, "its settings"),
        (SettingOrigin::Overridden, "overridden"),
        (SettingOrigin::Added, "added"),
        (SettingOrigin::NotGranted, "not granted"),
    ] {
        let names: Vec<_> = settings.iter().filter(|(_, from)| **from == origin).map(|(name, _)| cell(name)).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "  {what:<12}  {}", listed(&names));
        }
    }
    let limits = limit_line(limits).unwrap_or_else(|| "the host's".to_owned());
    let grants = grants.as_ref().map_or_else(|| "everything".to_owned(), |grants| listed(grants));
    let _ = writeln!(text, "  limits        {limits}\n  grants        {grants}");
    text
}

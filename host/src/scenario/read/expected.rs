//! Whether what is expected of a step could come true, as far as can be told from the file.

use super::super::form;
use super::super::story::Act;
use super::super::tree::nearest;
use super::{Read, Reader};
use crate::model::{Author, ErrorCode};
use crate::session::Rule;

impl Reader {
    /// What is expected could come true, as far as can be told.
    pub(super) fn expect(&self, place: &str, expect: &form::Expect, act: &Act) -> Read<()> {
        self.names(place, expect)?;
        if let Some(form::EntryForm::Says(entry)) = &expect.entry {
            self.entry(&format!("{place}.entry"), entry)?;
        }
        self.code(&format!("{place}.error_code"), expect.error_code.as_deref())?;
        let reviews = matches!(act, Act::Review(_) | Act::Sweep(_));
        self.belong(place, reviews, "only a review or a sweep answers with advice", &of_review(expect))?;
        self.belong(place, act.is_run(), "no policy runs in this step", &of_run(expect))?;
        let no_game = "this step is about no game; say it in an [[scenario.end]]";
        self.belong(place, act.game().is_some(), no_game, &of_game(expect))
    }

    /// Keys that stand there although their step does not have what they are about.
    fn belong(&self, place: &str, has: bool, otherwise: &str, keys: &[(&str, bool)]) -> Read<()> {
        let lost = keys.iter().find(|(_, is_there)| *is_there && !has);
        lost.map_or(Ok(()), |(key, _)| Err(self.wrong(&format!("{place}.{key}"), otherwise)))
    }

    /// Calls and rules that there are.
    fn names(&self, place: &str, expect: &form::Expect) -> Read<()> {
        let form::Expect { calls, calls_in_order, never, denied, .. } = expect;
        let lists =
            [("calls", calls.as_deref()), ("calls_in_order", calls_in_order.as_deref()), ("never", Some(never))];
        for (key, names) in lists {
            for (index, name) in names.unwrap_or_default().iter().enumerate() {
                self.call(&format!("{place}.{key}.{index}"), name)?;
            }
        }
        let rules: Vec<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        for (index, rule) in denied.iter().flatten().enumerate() {
            let is_rule = Rule::from_text(rule).is_some();
            let key = format!("{place}.denied.{index}");
            self.require(is_rule, &key, || format!("no rule is {rule:?}; {}", nearest(rule, &rules)))?;
        }
        Ok(())
    }

    fn entry(&self, place: &str, entry: &form::EntryTable) -> Read<()> {
        let ended = !matches!(entry.outcome, Some(form::OutcomeWord::Crashed | form::OutcomeWord::Skipped));
        self.require(ended, &format!("{place}.outcome"), || "of an entry is success or failure".to_owned())?;
        let known = entry.author.as_deref().is_none_or(|author| Author::from_text(author).is_some());
        self.require(known, &format!("{place}.author"), || "is one of policy, host and recovery".to_owned())?;
        self.code(&format!("{place}.error_code"), entry.error_code.as_deref())?;
        self.code(&format!("{place}.fault"), entry.fault.as_deref())
    }

    fn code(&self, place: &str, code: Option<&str>) -> Read<()> {
        let valid = code.is_none_or(|code| ErrorCode::parse(code).is_some());
        self.require(valid, place, || "is no code: snake_case, at most 64 bytes; or `none`".to_owned())
    }
}

fn of_review(expect: &form::Expect) -> [(&'static str, bool); 4] {
    [
        ("advice", expect.advice.is_some()),
        ("reason", expect.reason.is_some()),
        ("wait_until", expect.wait_until.is_some()),
        ("waits", expect.waits.is_some()),
    ]
}

fn of_run(expect: &form::Expect) -> [(&'static str, bool); 9] {
    [
        ("outcome", expect.outcome.is_some()),
        ("error_code", expect.error_code.is_some()),
        ("message", expect.message.is_some()),
        ("calls", expect.calls.is_some()),
        ("calls_in_order", expect.calls_in_order.is_some()),
        ("never", !expect.never.is_empty()),
        ("denied", expect.denied.is_some()),
        ("logs", !expect.logs.is_empty()),
        ("keeps_rules", expect.keeps_rules.is_some()),
    ]
}

fn of_game(expect: &form::Expect) -> [(&'static str, bool); 4] {
    [
        ("record", expect.record.is_some()),
        ("container", expect.container.is_some()),
        ("lease", expect.lease.is_some()),
        ("entries", expect.entries.is_some()),
    ]
}

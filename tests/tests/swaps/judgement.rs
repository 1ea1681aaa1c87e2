//! What is wrong with what hosts did while they were swapped.

use std::collections::{BTreeMap, BTreeSet};

use rtmanager::model::{LoggedOperation, Outcome};
use rtmanager::ports::OperationFilter;
use rtmanager_tests::hosts::{Finding, Hosts, Replica};

use super::load::Asked;

/// Of how many runs it is proven what they were to run on, and by generation how many there were.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) wrong: Vec<String>,
    pub(super) proven: usize,
    pub(super) runs: usize,
    pub(super) swept: usize,
    pub(super) by_generation: BTreeMap<String, u64>,
}

pub(super) async fn judge(hosts: &Hosts, asked: &Asked) -> Judged {
    let logged = everything(hosts).await;
    let mut judged = Judged { runs: logged.len(), ..Judged::default() };
    for logged in &logged {
        judged.entry(hosts, logged);
    }
    let runs: BTreeSet<_> = logged.iter().map(|logged| &logged.entry.run_id).collect();
    judged.holds(runs.len() == logged.len(), "a run has two entries");
    let (expected, found) = ((asked.cleanups, asked.swept), (judged.runs - judged.swept, judged.swept));
    judged.holds(expected == found, &format!("of {expected:?} asked and swept, {found:?} are in the log"));
    judged.holds(hosts.engine.containers().is_empty(), "a container is left");
    judged.wrong.extend(hosts.reports.lies());
    judged
}

impl Judged {
    fn entry(&mut self, hosts: &Hosts, logged: &LoggedOperation) {
        let entry = &logged.entry;
        let well = entry.outcome == Outcome::Success && entry.error_code.is_none() && entry.fault.is_none();
        self.holds(well, &format!("an operation failed: {entry:?}"));
        self.holds(hosts.is_of_one_piece(entry), &format!("a mixture: {entry:?}"));
        let of = Replica::of(&entry.source_ref);
        let began = hosts.reports.host_of(&entry.run_id);
        self.holds(of.is_none_or(|host| began == Some(host)), &format!("another host's: {entry:?}"));
        let finding = hosts.reports.finding(entry);
        self.holds(
            matches!(finding, Finding::Proven | Finding::Possible),
            &format!("its host did not serve this, {finding:?}: {entry:?}"),
        );
        self.proven += usize::from(finding == Finding::Proven);
        self.swept += usize::from(entry.op_source == "auto_ttl");
        *self.by_generation.entry(entry.policy.generation.to_string()).or_default() += 1;
    }

    fn holds(&mut self, it: bool, otherwise: &str) {
        if !it {
            self.wrong.push(otherwise.to_owned());
        }
    }
}

async fn everything(hosts: &Hosts) -> Vec<LoggedOperation> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = hosts.stores.operations.list(&OperationFilter::default(), before, 1_000).await.unwrap();
        let Some(last) = page.last() else { return all };
        before = Some(last.id);
        all.extend(page);
    }
}

//! What the commands for policies print, from fixed values.

use rtmanager::cli::{
    bound_text, change_table, divergence_table, examination_text, generation_diff_text, policy_table, policy_text,
    rules_text, status_table, status_text,
};
use rtmanager::views::{
    BoundPolicy, Page, Policy, PolicyAct, PolicyAuthority, PolicyCeiling, PolicyDetail, PolicyDiff, PolicyDivergence,
    PolicyEffective, PolicyExamination, PolicyGeneration, PolicyHistoryEntry, PolicyLimitChange, PolicyLimits,
    PolicyReplica, PolicyRollout, PolicyRules, PolicySigner, PolicyStatus,
};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn act(reason: &str) -> PolicyAct {
    let (at, actor) = ("2026-01-31T12:00:00.25Z".to_owned(), "cli:uid=1000".to_owned());
    PolicyAct { at, actor, reason: reason.to_owned() }
}

fn policy(version: &str) -> Policy {
    Policy {
        digest: "3f".repeat(32),
        name: "keep".to_owned(),
        version: version.to_owned(),
        owner: Some("acme".to_owned()),
        size: 48_123,
        pushed_at: "2026-01-30T08:00:00Z".to_owned(),
        pushed_by: "token:acme".to_owned(),
    }
}

fn generation(number: u64) -> PolicyGeneration {
    PolicyGeneration {
        generation: format!("acme/{number}"),
        number,
        policy_digest: format!("{number:02}").repeat(32),
        settings: [("days".to_owned(), format!("{}", number * 10))].into(),
        limits: PolicyLimits { calls: Some(100), run_time_ms: Some(5_000), ..PolicyLimits::default() },
        grants: texts(&["clock", "docker.inspect"]),
        staged: act("ticket 812"),
    }
}

fn authority() -> PolicyAuthority {
    let change = PolicyLimitChange { limit: "calls".to_owned(), from: 50, to: 100 };
    let (gained, lost) = (texts(&["docker.remove"]), texts(&["logging", "wasi"]));
    PolicyAuthority { widens: true, gained, lost, limits: vec![change] }
}

fn ceiling() -> PolicyCeiling {
    PolicyCeiling {
        limits: PolicyLimits { calls: Some(200), ..PolicyLimits::default() },
        grants: Some(texts(&["clock", "docker.inspect", "docker.remove"])),
        signature_required: true,
        retention_days: 7,
    }
}

fn host(name: &str, serves: Option<&str>, problem: Option<&str>) -> PolicyReplica {
    PolicyReplica {
        replica: name.to_owned(),
        serves: serves.map(str::to_owned),
        ready: if problem.is_none() { vec![2, 3] } else { Vec::new() },
        problem: problem.map(str::to_owned),
        at: None,
    }
}

fn status() -> PolicyStatus {
    PolicyStatus {
        scope: "acme".to_owned(),
        current: Some(generation(2)),
        policy: Some(policy("1.4.0")),
        previous: Some(generation(1)),
        staged: Some(generation(3)),
        rollout: Some(PolicyRollout {
            number: 3,
            mode: "canary".to_owned(),
            canary_percent: Some(2.5),
            clean_runs: Some(200),
            promote_at: Some("2026-02-01T00:00:00Z".to_owned()),
            stop_on_divergence: true,
            runs: 40,
            faults: 1,
            divergences: 3,
            started: act("ticket 901"),
        }),
        revoked: vec![2],
        replicas: vec![
            host("host-a", Some("acme/2"), None),
            host("host-b", Some("acme/1"), Some("no room for its code")),
            host("host-c", None, None),
        ],
        ceiling: ceiling(),
        effective: Some(PolicyEffective { limits: generation(2).limits, grants: vec!["clock".to_owned()] }),
        problem: None,
    }
}

fn nothing() -> PolicyStatus {
    PolicyStatus {
        scope: "*".to_owned(),
        current: None,
        policy: None,
        previous: None,
        staged: None,
        rollout: None,
        revoked: Vec::new(),
        replicas: Vec::new(),
        ceiling: PolicyCeiling::default(),
        effective: None,
        problem: None,
    }
}

#[test]
fn what_serves_is_told_by_scope_and_by_host() {
    let all =
        [status_table(&[status(), nothing()]), status_text(&status()), status_text(&nothing()), status_table(&[])];
    let failed = PolicyStatus { problem: Some("a row says nothing".to_owned()), ..nothing() };
    let all: Vec<_> =
        all.into_iter().chain([status_table(std::slice::from_ref(&failed)), status_text(&failed)]).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn policies_are_told_with_what_they_ask_for() {
    let platforms = Policy { owner: None, ..policy("1.5.0") };
    let page = Page { items: vec![policy("1.4.0"), platforms.clone()], next: Some("3f".repeat(32)) };
    let detail = PolicyDetail {
        policy: platforms.clone(),
        abi: "galaxy:rtmanager@0.1.0".to_owned(),
        imports: texts(&["galaxy:rtmanager/clock@0.1.0#now"]),
        needs: texts(&["clock"]),
        signers: vec!["ab".repeat(32)],
    };
    let examined = PolicyExamination {
        policy: platforms,
        imports: detail.imports.clone(),
        needs: detail.needs.clone(),
        grants: detail.needs.clone(),
        limits: PolicyLimits::default(),
        authority: authority(),
        scenarios: 412,
    };
    let scope = "acme".parse().unwrap();
    let all = [policy_table(&page), policy_text(&detail), examination_text(&scope, &examined)];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn bindings_and_their_history_are_told() {
    let scope = "acme".parse().unwrap();
    let behind = texts(&["host-b: no room for its code"]);
    let bound =
        BoundPolicy { generation: generation(2), before: Some(1), authority: authority(), scenarios: 412, behind };
    let entry = |id, event: &str, from, to| PolicyHistoryEntry {
        id,
        event: event.to_owned(),
        from,
        to,
        act: act("a reason\nof two lines"),
    };
    let history = Page {
        items: vec![entry(9, "rolled_back", Some(2), Some(1)), entry(7, "unbound", Some(1), None)],
        next: Some("7".to_owned()),
    };
    let found = PolicyDivergence {
        at: "2026-01-31T12:00:00Z".to_owned(),
        game_id: "g-1".to_owned(),
        run_id: "r".to_owned(),
        kind: "would_keep".to_owned(),
        current: "removed".to_owned(),
        candidate: "kept for 5 days".to_owned(),
    };
    let all = [
        bound_text(&scope, "keep@1.4.0", &bound, "serves now"),
        generation_diff_text(&PolicyDiff { from: generation(1), to: generation(2), authority: authority() }),
        change_table(&history),
        divergence_table(&Page { items: vec![found], next: None }),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_holds_in_a_scope_is_told_with_its_keys() {
    let key = |revoked_at: Option<&str>| PolicySigner {
        id: "ab".repeat(32),
        public_key: "PEM".to_owned(),
        added_at: "2026-01-30T08:00:00Z".to_owned(),
        added_by: "cli:uid=0".to_owned(),
        revoked_at: revoked_at.map(str::to_owned),
    };
    let keys = vec![key(None), key(Some("2026-01-31T08:00:00Z"))];
    let own = PolicyRules { own: Some(ceiling()), effective: ceiling(), keys };
    let everybodys = PolicyRules { own: None, effective: PolicyCeiling::default(), keys: Vec::new() };
    let scope = "acme".parse().unwrap();
    insta::assert_snapshot!([rules_text(&scope, &own), rules_text(&scope, &everybodys)].join("\n"));
}

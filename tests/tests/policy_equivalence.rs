//! Whatever is done to policies, what they serve and who may do it, in whatever order: memory, SQLite and PostgreSQL
//! answer alike.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rtmanager::model::{
    ApiToken, AuditEvent, Ceiling, Divergence, DivergenceKind, Fence, GenerationId, PolicyArtifact, PolicyDigest,
    PolicyName, PolicyPlace, PolicyRef, PolicyScope, PolicyVersion, Revocation, Role, Rollout, RolloutCounts,
    RolloutGoal, RolloutMode, Serving, Status, TrustedKey,
};
use rtmanager::ports::{PolicyFilter, StatusChange, StoreError, SwapError, SwapKind};
use rtmanager_tests::contracts::fixture::{
    artifact, at, component_digest, game, removal, run, scope, signed, spec, stopped, tenant,
};
use rtmanager_tests::contracts::{Stores, memory, postgres, sqlite};
use rtmanager_tests::seeded::seeded;

/// Versions, in no order of texts.
const VERSIONS: [&str; 4] = ["1.0.0", "1.10.0", "1.9.0", "1.10.0-rc.1"];

const SEED: u64 = 20;

#[derive(Debug, Clone)]
enum Step {
    Add { bytes: u8, name: u8, version: u8, owner: Option<u8> },
    Sign { bytes: u8, envelope: u8 },
    List { visible_to: Option<u8>, name: Option<u8>, after: Option<u8>, limit: u8 },
    Stage { scope: u8, version: u8 },
    Swap { scope: u8, expected: Option<u8>, to: u8, kind: u8, mark: Option<u8> },
    Unbind { scope: u8, expected: u8 },
    Rollout { scope: u8, expected: Option<u8>, number: u8, canary: bool },
    EndRollout { scope: u8, number: u8 },
    Count { scope: u8, number: u8, runs: u8 },
    Diverge { scope: u8, number: u8, kind: u8 },
    RevokeGeneration { scope: u8, number: u8 },
    RevokeComponent { version: u8 },
    Change { scope: u8, number: u8, version: u8 },
    Report { replica: u8, scope: u8, at: u8 },
    Forget { before: u8, replica: Option<u8> },
    Token { name: u8, hash: u8, tenant: Option<u8> },
    RevokeToken { name: u8, at: u8 },
    Ceiling { scope: u8, days: Option<u8> },
    Key { scope: u8, id: u8, at: u8 },
    RevokeKey { scope: u8, id: u8, at: u8 },
    Audit { action: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (s, n, v, t) = (0..3_u8, 1..5_u8, 0..4_u8, 0..20_u8);
    let some = |range: std::ops::Range<u8>| proptest::option::of(range);
    // Mostly what is current, so that most swaps happen.
    let expected = prop_oneof![2 => Just(None), 3 => (1..4_u8).prop_map(Some)];
    let step = prop_oneof![
        2 => (0..6_u8, 0..2_u8, v.clone(), some(0..2)).prop_map(|(bytes, name, version, owner)| Step::Add { bytes, name, version, owner }),
        1 => (0..6_u8, 0..3_u8).prop_map(|(bytes, envelope)| Step::Sign { bytes, envelope }),
        2 => (some(0..2), some(0..3), some(0..6), 1..4_u8).prop_map(|(visible_to, name, after, limit)| Step::List { visible_to, name, after, limit }),
        5 => (s.clone(), v.clone()).prop_map(|(scope, version)| Step::Stage { scope, version }),
        8 => (s.clone(), expected.clone(), n.clone(), 0..4_u8, some(0..4)).prop_map(|(scope, expected, to, kind, mark)| Step::Swap { scope, expected, to, kind, mark }),
        1 => (s.clone(), n.clone()).prop_map(|(scope, expected)| Step::Unbind { scope, expected }),
        4 => (s.clone(), expected, n.clone(), any::<bool>()).prop_map(|(scope, expected, number, canary)| Step::Rollout { scope, expected, number, canary }),
        1 => (s.clone(), n.clone()).prop_map(|(scope, number)| Step::EndRollout { scope, number }),
        3 => (s.clone(), n.clone(), 0..9_u8).prop_map(|(scope, number, runs)| Step::Count { scope, number, runs }),
        2 => (s.clone(), n.clone(), 0..5_u8).prop_map(|(scope, number, kind)| Step::Diverge { scope, number, kind }),
        1 => (s.clone(), n.clone()).prop_map(|(scope, number)| Step::RevokeGeneration { scope, number }),
        1 => v.clone().prop_map(|version| Step::RevokeComponent { version }),
        3 => (s.clone(), n, v).prop_map(|(scope, number, version)| Step::Change { scope, number, version }),
        2 => (0..3_u8, s.clone(), t.clone()).prop_map(|(replica, scope, at)| Step::Report { replica, scope, at }),
        1 => (t.clone(), some(0..3)).prop_map(|(before, replica)| Step::Forget { before, replica }),
        2 => (0..3_u8, 0..4_u8, some(0..2)).prop_map(|(name, hash, tenant)| Step::Token { name, hash, tenant }),
        1 => (0..3_u8, t.clone()).prop_map(|(name, at)| Step::RevokeToken { name, at }),
        1 => (s.clone(), some(0..9)).prop_map(|(scope, days)| Step::Ceiling { scope, days }),
        2 => (s.clone(), 0..3_u8, t.clone()).prop_map(|(scope, id, at)| Step::Key { scope, id, at }),
        1 => (s, 0..3_u8, t).prop_map(|(scope, id, at)| Step::RevokeKey { scope, id, at }),
        1 => (0..3_u8).prop_map(|action| Step::Audit { action }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn scope_of(number: u8) -> PolicyScope {
    match number {
        0 => PolicyScope::Default,
        1 => scope("acme"),
        _ => scope("zeta"),
    }
}

fn owner(number: u8) -> rtmanager::model::TenantId {
    tenant(["acme", "zeta"][usize::from(number)])
}

fn name(number: u8) -> PolicyName {
    ["a", "a-b", "keep"][usize::from(number)].parse().unwrap()
}

fn version(number: u8) -> PolicyVersion {
    VERSIONS[usize::from(number)].parse().unwrap()
}

fn bytes(number: u8) -> PolicyDigest {
    PolicyDigest::of(&[number])
}

fn rollout(number: u8, canary: bool) -> Rollout {
    Rollout {
        number: number.into(),
        mode: if canary { RolloutMode::Canary { per_myriad: 100 } } else { RolloutMode::Shadow },
        goal: RolloutGoal { clean_runs: canary.then_some(5), ..RolloutGoal::default() },
        counts: RolloutCounts::default(),
        started: signed(number.into()),
    }
}

/// An error as its variant says it: the sources of failures differ, and nothing here is to fail so but what is staged of
/// no component.
fn told<T: std::fmt::Debug>(answer: Result<T, SwapError>) -> String {
    match answer {
        Err(SwapError::Store(error)) => panic!("{error:?}"),
        answer => format!("{answer:?}"),
    }
}

/// Takes one step and answers what the stores answered, as text.
async fn take(stores: &Stores, step: &Step) -> String {
    let Stores { policies, generations, access, .. } = stores;
    let number = |number: &Option<u8>| number.map(u64::from);
    match step {
        Step::Add { bytes: of, name: called, version: of_version, owner: whose } => {
            let policy = PolicyArtifact {
                digest: bytes(*of),
                name: name(*called),
                version: version(*of_version),
                owner: whose.map(owner),
                ..artifact("keep", "1.0.0")
            };
            format!("{:?}", policies.add(&policy, &[*of]).await)
        }
        Step::Sign { bytes: of, envelope } => {
            let whose = (envelope % 2 == 1).then(|| owner(0));
            format!("{:?}", policies.add_signature(whose.as_ref(), &bytes(*of), &envelope.to_string()).await.unwrap())
        }
        Step::List { visible_to, name: called, after, limit } => {
            let filter = PolicyFilter { visible_to: visible_to.map(owner), name: called.map(name) };
            let after = after.map(|of| PolicyPlace { name: name(of % 2), version: version(of % 3), owner: None });
            format!("{:?}", policies.list(&filter, after.as_ref(), (*limit).into()).await.unwrap())
        }
        Step::Stage { scope, version } => {
            let staged = generations.stage(&scope_of(*scope), &spec(VERSIONS[usize::from(*version)]), &signed(1)).await;
            match staged {
                Err(StoreError::Corrupt(_)) => "no such component".to_owned(),
                staged => format!("{:?}", staged.unwrap()),
            }
        }
        Step::Swap { scope, expected, to, kind, mark } => {
            let kind = [SwapKind::Bind, SwapKind::Bind, SwapKind::RollBack, SwapKind::Promote][usize::from(*kind)];
            let mark = mark.map(|mark| (name(mark % 2), version(mark)));
            let mark = mark.as_ref().map(|(name, version)| (name, version));
            let to = u64::from(*to);
            told(generations.swap(&scope_of(*scope), number(expected), to, kind, mark, &signed(to)).await)
        }
        Step::Unbind { scope, expected } => {
            told(generations.unbind(&scope_of(*scope), (*expected).into(), &signed(2)).await)
        }
        Step::Rollout { scope, expected, number: of, canary } => {
            told(generations.start_rollout(&scope_of(*scope), number(expected), &rollout(*of, *canary)).await)
        }
        Step::EndRollout { scope, number } => {
            format!("{:?}", generations.end_rollout(&scope_of(*scope), (*number).into(), &signed(3)).await.unwrap())
        }
        Step::Count { scope, number, runs } => {
            let seen = RolloutCounts { runs: (*runs).into(), faults: 1, divergences: 2 };
            format!("{:?}", generations.count_rollout(&scope_of(*scope), (*number).into(), &seen).await.unwrap())
        }
        Step::Diverge { scope, number, kind } => {
            let divergence = Divergence {
                game_id: "g".to_owned(),
                run_id: run((*number).into()),
                kind: DivergenceKind::ALL[usize::from(*kind)],
                current: "kept".to_owned(),
                candidate: "removed".to_owned(),
                at: at(1),
            };
            generations.add_divergence(&scope_of(*scope), (*number).into(), &divergence).await.unwrap();
            String::new()
        }
        Step::RevokeGeneration { scope, number } => {
            let id = GenerationId::numbered(&scope_of(*scope), (*number).into());
            format!("{:?}", generations.revoke(&Revocation::Generation(id), &signed((*number).into())).await.unwrap())
        }
        Step::RevokeComponent { version } => {
            let digest = component_digest("keep", VERSIONS[usize::from(*version)]);
            format!("{:?}", generations.revoke(&Revocation::Component(digest), &signed(4)).await.unwrap())
        }
        Step::Change { scope, number, version } => {
            let generation = GenerationId::numbered(&scope_of(*scope), (*number).into());
            let policy = PolicyRef { generation, digest: component_digest("keep", VERSIONS[usize::from(*version)]) };
            let read = stores.records.get_for_effect(&game("g"), &policy).await.unwrap();
            let change = StatusChange { new_status: Status::Stopped, fence: Fence(0), policy, ..removal("g", 1) };
            format!("{read:?} {:?}", stores.records.compare_and_set(&change).await)
        }
        Step::Report { replica, scope, at: second } => {
            let serving = Serving {
                replica: replica.to_string(),
                scope: scope_of(*scope),
                generation: "acme/1".parse().unwrap(),
                ready: vec![(*second).into()],
                problem: None,
                at: at((*second).into()),
            };
            format!("{:?}", generations.report(&serving).await.unwrap())
        }
        Step::Forget { before, replica } => {
            let replica = replica.map(|replica| replica.to_string());
            format!("{:?}", generations.forget_reports(at((*before).into()), replica.as_deref()).await.unwrap())
        }
        Step::Token { name, hash, tenant } => {
            let token = ApiToken {
                name: name.to_string(),
                hash: [*hash; 32],
                role: tenant.map_or(Role::Viewer, |tenant| Role::Tenant(owner(tenant))),
                created_at: at(1),
                created_by: "ada".to_owned(),
                expires_at: None,
                revoked_at: None,
                last_used_at: None,
            };
            let added = access.add_token(&token).await.unwrap();
            format!("{added:?} {:?}", access.token(&token.hash).await.unwrap())
        }
        Step::RevokeToken { name, at: second } => {
            format!("{:?}", access.revoke_token(&name.to_string(), at((*second).into())).await.unwrap())
        }
        Step::Ceiling { scope, days } => {
            let ceiling = days.map(|days| Ceiling { retention_days: days.into(), ..Ceiling::default() });
            format!("{:?}", access.set_ceiling(&scope_of(*scope), ceiling.as_ref()).await.unwrap())
        }
        Step::Key { scope, id, at: second } => {
            let key = TrustedKey {
                id: id.to_string(),
                public_key: "pem".to_owned(),
                added_at: at((*second).into()),
                added_by: "ada".to_owned(),
                revoked_at: None,
            };
            format!("{:?}", access.add_key(&scope_of(*scope), &key).await.unwrap())
        }
        Step::RevokeKey { scope, id, at: second } => {
            let revoked = access.revoke_key(&scope_of(*scope), &id.to_string(), at((*second).into())).await;
            format!("{:?}", revoked.unwrap())
        }
        Step::Audit { action } => {
            let text = |text: &str| text.to_owned();
            let event = AuditEvent {
                at: at(1),
                actor: text("ada"),
                role: text("admin"),
                action: action.to_string(),
                subject: text("acme"),
                detail: text("{}"),
            };
            format!("{:?}", stores.audit.append(&event).await.unwrap())
        }
    }
}

/// All that can be read. Epochs and places in the history may differ by gaps.
async fn everything(stores: &Stores) -> String {
    let Stores { policies, generations, access, .. } = stores;
    let mut told = Vec::new();
    for of in (0..3).map(scope_of) {
        let history = generations.history(&of, None, 1_000).await.unwrap();
        let history: Vec<_> = history.into_iter().map(|it| (it.event, it.from, it.to, it.signed)).collect();
        let reports = generations.reports(&of, at(5)).await.unwrap();
        let mut marks = Vec::new();
        for called in 0..2 {
            marks.push(generations.mark(&of, &name(called)).await.unwrap());
        }
        let mut divergences = Vec::new();
        for number in 1..5 {
            divergences.push(generations.divergences(&of, number, 100).await.unwrap());
        }
        let state = (generations.state(&of).await.unwrap(), generations.unused(&of).await.unwrap());
        told.push(format!("{:#?}", (state, history, reports, marks, divergences, access.keys(&of).await.unwrap())));
    }
    let changed = generations.changed_since(0).await.unwrap().states;
    let revocations = generations.revocations(100).await.unwrap();
    let listed = policies.list(&PolicyFilter::default(), None, 100).await.unwrap();
    let mut signatures = Vec::new();
    for number in 0..6 {
        signatures
            .push(policies.named(&bytes(number)).await.map(|named| format!("{named:?}")).map(|it| vec![it]).unwrap());
        signatures.push(policies.signatures(None, &bytes(number)).await.unwrap());
        signatures.push(policies.signatures(Some(&owner(0)), &bytes(number)).await.unwrap());
    }
    let rules = (access.tokens().await.unwrap(), access.ceilings().await.unwrap());
    told.push(format!("{:#?}", (changed, revocations, listed, signatures, rules)));
    told.push(format!("{:#?}", stores.audit.read(0, 100).await.unwrap()));
    told.join("\n")
}

/// With a runtime, and the components that can be bound, but for the last.
async fn furnish(stores: &Stores) {
    stores.records.register(&stopped("g", 1), at(0)).await.unwrap();
    for version in &VERSIONS[..3] {
        stores.policies.add(&artifact("keep", version), version.as_bytes()).await.unwrap();
    }
}

async fn same([one, other]: [Stores; 2], steps: &[Step]) -> Result<(), TestCaseError> {
    furnish(&one).await;
    furnish(&other).await;
    for (number, step) in steps.iter().enumerate() {
        let before = [&one, &other].map(|stores| stores.generations.clone());
        let [first, second] = [before[0].epoch().await.unwrap(), before[1].epoch().await.unwrap()];
        prop_assert_eq!(take(&one, step).await, take(&other, step).await, "step {}: {:?}", number, step);
        let risen = [first < before[0].epoch().await.unwrap(), second < before[1].epoch().await.unwrap()];
        prop_assert_eq!(risen[0], risen[1], "epoch at step {}: {:?}", number, step);
    }
    prop_assert_eq!(everything(&one).await, everything(&other).await);
    Ok(())
}

#[test]
fn memory_and_sqlite_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    proptest!(seeded(64, SEED), |(steps in steps())| {
        runtime.block_on(async { same([memory().await, sqlite().await], &steps).await })?;
    });
}

#[test]
fn memory_and_postgres_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    proptest!(seeded(48, SEED), |(steps in steps())| {
        runtime.block_on(async { same([memory().await, postgres().await], &steps).await })?;
    });
}

//! Whatever is asked of it, in whatever order: memory, SQLite and PostgreSQL answer alike.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rtmanager::model::{
    EntryId, ErrorCode, Fault, Fence, Intent, Labels, LiveStatus, OpenRun, Outcome, Parked, Pause, PauseCause,
    PauseScope, Registration, Status,
};
use rtmanager::ports::{Claim, Disposition, OperationFilter, RecordFilter, StatusChange};
use rtmanager_tests::contracts::fixture::{
    at, container, engine, entry, game, generation as generation_of, hold, intent, policy, run, stopped, tenant, token,
};
use rtmanager_tests::contracts::{Stores, memory, postgres, sqlite};
use rtmanager_tests::seeded::seeded;

const SEED: u64 = 20;

#[derive(Debug, Clone)]
enum Step {
    Register {
        game: u8,
        tenant: u8,
        live: LiveStatus,
        container: Option<u8>,
        stopped: Option<u8>,
        labelled: bool,
        at: u8,
    },
    Change {
        game: u8,
        from: Status,
        container: Option<u8>,
        to: Status,
        at: u8,
        run: u8,
    },
    Begin {
        run: u8,
        game: u8,
        expires: u8,
    },
    Supersede {
        run: u8,
    },
    Overdue {
        now: u8,
    },
    Claim {
        walk: u8,
        floor: u8,
        now: u8,
        limit: u8,
    },
    ReleaseClaims {
        walk: u8,
    },
    Abandoned {
        now: u8,
    },
    Dispose {
        game: u8,
        version: u8,
        kind: u8,
        until: u8,
    },
    Hold {
        game: u8,
        until: Option<u8>,
        lift: bool,
    },
    Unpark {
        game: u8,
    },
    VoidWaits {
        tenant: u8,
        generation: u8,
    },
    Due {
        floor: u8,
        now: u8,
        limit: u8,
    },
    Acquire {
        game: u8,
        token: u8,
        ttl: u8,
    },
    Renew {
        game: u8,
        token: u8,
        ttl: u8,
    },
    Release {
        game: u8,
        token: u8,
    },
    Pass {
        seconds: u8,
    },
    Append {
        run: u8,
        game: u8,
        success: bool,
    },
    NoteFault {
        id: u8,
    },
    Prune {
        before: u8,
        limit: u8,
    },
    Pause {
        scope: u8,
        breaker: Option<u8>,
    },
    Resume {
        scope: u8,
        at: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (g, t) = (0..4_u8, 0..30_u8);
    let live = prop_oneof![Just(LiveStatus::Running), Just(LiveStatus::Stopped)];
    let status = prop_oneof![
        4 => Just(Status::Stopped),
        3 => Just(Status::Removed),
        1 => Just(Status::Running),
        1 => Just(Status::Other("migrating".to_owned())),
    ];
    let some = |range: std::ops::Range<u8>| proptest::option::of(range);
    let register = (g.clone(), 0..8_u8, live, some(0..5), some(0..30), any::<bool>(), t.clone()).prop_map(
        |(game, tenant, live, container, stopped, labelled, at)| Step::Register {
            game,
            tenant: u8::from(tenant == 0),
            live,
            container,
            stopped,
            labelled,
            at,
        },
    );
    let change = (g.clone(), status.clone(), some(0..5), status, t.clone(), 0..4_u8)
        .prop_map(|(game, from, container, to, at, run)| Step::Change { game, from, container, to, at, run });
    let begin = (0..4_u8, g.clone(), t.clone()).prop_map(|(run, game, expires)| Step::Begin { run, game, expires });
    let claim = (0..3_u8, t.clone(), t.clone(), 1..4_u8).prop_map(|(walk, floor, now, limit)| Step::Claim {
        walk,
        floor,
        now,
        limit,
    });
    let step = prop_oneof![
        6 => register,
        6 => change,
        4 => begin,
        2 => (0..4_u8).prop_map(|run| Step::Supersede { run }),
        1 => t.clone().prop_map(|now| Step::Overdue { now }),
        3 => claim,
        1 => (0..3_u8).prop_map(|walk| Step::ReleaseClaims { walk }),
        1 => t.clone().prop_map(|now| Step::Abandoned { now }),
        4 => (g.clone(), 0..6_u8, 0..4_u8, t.clone()).prop_map(|(game, version, kind, until)| Step::Dispose { game, version, kind, until }),
        1 => (g.clone(), some(0..30), any::<bool>()).prop_map(|(game, until, lift)| Step::Hold { game, until, lift }),
        1 => g.clone().prop_map(|game| Step::Unpark { game }),
        1 => (0..2_u8, 0..3_u8).prop_map(|(tenant, generation)| Step::VoidWaits { tenant, generation }),
        3 => (t.clone(), t.clone(), 1..4_u8).prop_map(|(floor, now, limit)| Step::Due { floor, now, limit }),
        3 => (g.clone(), 0..3_u8, t.clone()).prop_map(|(game, token, ttl)| Step::Acquire { game, token, ttl }),
        1 => (g.clone(), 0..3_u8, t.clone()).prop_map(|(game, token, ttl)| Step::Renew { game, token, ttl }),
        2 => (g.clone(), 0..3_u8).prop_map(|(game, token)| Step::Release { game, token }),
        1 => t.clone().prop_map(|seconds| Step::Pass { seconds }),
        2 => (t.clone(), g, any::<bool>()).prop_map(|(run, game, success)| Step::Append { run, game, success }),
        1 => (0..8_u8).prop_map(|id| Step::NoteFault { id }),
        1 => (t.clone(), 0..4_u8).prop_map(|(before, limit)| Step::Prune { before, limit }),
        1 => (0..3_u8, some(0..30)).prop_map(|(scope, breaker)| Step::Pause { scope, breaker }),
        1 => (0..3_u8, t).prop_map(|(scope, at)| Step::Resume { scope, at }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn name(number: u8) -> String {
    format!("g{number}")
}

fn owner(number: u8) -> rtmanager::model::TenantId {
    tenant(["acme", "zeta"][usize::from(number)])
}

fn scope(number: u8) -> PauseScope {
    match number {
        0 => PauseScope::Global,
        1 => PauseScope::Engine(engine("local")),
        _ => PauseScope::Tenant(tenant("acme")),
    }
}

fn disposition(kind: u8, until: u8) -> Disposition {
    let generation = (kind > 0).then(|| generation_of(kind.into()));
    match kind {
        0 | 1 => Disposition::Wait { until: at(until.into()), reason: "r".to_owned(), generation, failed_attempts: 1 },
        2 => Disposition::Park { parked: Parked { at: at(until.into()), reason: "r".to_owned() }, failed_attempts: 9 },
        _ => Disposition::Clear,
    }
}

async fn register(stores: &Stores, step: &Step) -> String {
    let Step::Register { game, tenant, live, container: number, stopped: stop, labelled, at: now } = step else {
        panic!("{step:?} is no registration");
    };
    let registration = Registration {
        tenant: owner(*tenant),
        status: *live,
        container_id: number.map(|number| container(number.into())),
        stopped_at: stop.map(|stop| at(stop.into())),
        labels: Some(if *labelled { Labels::from([("a".to_owned(), "b".to_owned())]) } else { Labels::new() }),
        ..stopped(&name(*game), 0)
    };
    format!("{:?}", stores.records.register(&registration, at((*now).into())).await)
}

/// Stores, and the fences that they have issued: each has its own numbers for them.
struct Subject {
    stores: Stores,
    fences: BTreeMap<u8, (u8, Fence)>,
}

impl Subject {
    /// That of a run on its own game: runs on different games have nothing to do with one another.
    fn fence(&self, run: u8, game: u8) -> Fence {
        self.fences.get(&run).filter(|(own, _)| *own == game).map_or(Fence(0), |(_, fence)| *fence)
    }
}

impl From<Stores> for Subject {
    fn from(stores: Stores) -> Self {
        Self { stores, fences: BTreeMap::new() }
    }
}

async fn begin(subject: &mut Subject, number: u8, g: u8, expires: u8) -> String {
    let intent = &Intent { expires_at: at(expires.into()), ..intent(number.into(), &name(g)) };
    let begun = subject.stores.records.begin_run(intent).await.unwrap();
    if let Some(begun) = &begun {
        let earlier = subject.fences.insert(number, (g, begun.fence));
        assert!(earlier.is_none_or(|(_, fence)| fence < begun.fence), "fences grow");
    }
    format!("{:?}", begun.map(|begun| begun.runtime))
}

/// Without the fence.
fn shown(open: OpenRun) -> String {
    format!("{:?}", OpenRun { fence: Fence(0), ..open })
}

/// Takes one step and answers what the store answered, as text.
async fn take(subject: &mut Subject, step: &Step) -> String {
    let stores = &subject.stores;
    let ttl = |seconds: u8| Duration::from_secs(seconds.into());
    match step.clone() {
        Step::Register { .. } => register(stores, step).await,
        Step::Change { game: g, from, container: number, to, at: now, run: number_of_run } => {
            let change = StatusChange {
                game_id: game(&name(g)),
                expected_status: from,
                expected_container: number.map(|number| container(number.into())),
                new_status: to,
                at: at(now.into()),
                run_id: run(number_of_run.into()),
                fence: subject.fence(number_of_run, g),
                policy: policy(),
            };
            format!("{:?}", stores.records.compare_and_set(&change).await)
        }
        Step::Begin { run: number, game: g, expires } => begin(subject, number, g, expires).await,
        Step::Supersede { run: number } => {
            let open = stores.records.supersede_run(&run(number.into())).await.unwrap();
            format!("{:?}", open.map(shown))
        }
        Step::Overdue { now } => {
            let overdue = stores.records.overdue_runs(at(now.into()), None, 3).await.unwrap();
            overdue.into_iter().map(shown).collect::<Vec<_>>().join("\n")
        }
        Step::Claim { walk, floor, now, limit } => {
            let claim = Claim { walk: walk.to_string(), until: at(u64::from(now) + 5) };
            let engine = engine("local");
            let (floor, now) = (at(floor.into()), at(now.into()));
            format!("{:?}", stores.records.claim_due(&engine, floor, now, None, limit.into(), &claim).await)
        }
        Step::ReleaseClaims { walk } => format!("{:?}", stores.records.release_claims(&walk.to_string()).await),
        Step::Abandoned { now } => format!("{:?}", stores.records.end_abandoned_claims(at(now.into())).await),
        Step::Dispose { game: g, version, kind, until } => {
            let disposition = disposition(kind, until);
            format!("{:?}", stores.records.dispose(&game(&name(g)), version.into(), &disposition).await)
        }
        Step::Hold { game: g, until, lift } => {
            let hold = (!lift).then(|| hold(until.map(|until| at(until.into()))));
            format!("{:?}", stores.records.set_hold(&game(&name(g)), hold.as_ref()).await)
        }
        Step::Unpark { game: g } => format!("{:?}", stores.records.unpark(&game(&name(g))).await),
        Step::VoidWaits { tenant, generation } => {
            format!("{:?}", stores.records.void_waits(&owner(tenant), &[generation_of(generation.into())]).await)
        }
        Step::Due { floor, now, limit } => {
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let page = stores
                    .records
                    .due(&"local".parse().unwrap(), at(floor.into()), at(now.into()), after.as_ref(), limit.into())
                    .await;
                after = page.as_ref().unwrap().next.clone();
                pages.push(format!("{page:?}"));
                if after.is_none() {
                    return pages.join("\n");
                }
            }
        }
        Step::Acquire { game: g, token: t, ttl: seconds } => {
            format!("{:?}", stores.leases.try_acquire(&game(&name(g)), &token(t), ttl(seconds)).await)
        }
        Step::Renew { game: g, token: t, ttl: seconds } => {
            format!("{:?}", stores.leases.renew(&game(&name(g)), &token(t), ttl(seconds)).await)
        }
        Step::Release { game: g, token: t } => {
            format!("{:?}", stores.leases.release(&game(&name(g)), &token(t)).await)
        }
        Step::Pass { seconds } => {
            stores.pass(ttl(seconds)).await;
            String::new()
        }
        Step::Append { run, game, success } => {
            let mut entry = entry(run.into(), &name(game));
            if success {
                (entry.outcome, entry.error_code) = (Outcome::Success, None);
            }
            // The ids of the two may differ by gaps; whether it stands in the log is compared below.
            stores.log.append(&entry).await.map(|_| String::new()).unwrap()
        }
        Step::NoteFault { id } => {
            let newest_first = stores.log.list(&OperationFilter::default(), None, 100).await.unwrap();
            let entry = newest_first.get(usize::from(id)).map_or(EntryId(u64::from(u32::MAX)), |logged| logged.id);
            let fault = Fault { code: ErrorCode::POLICY_TRAP, message: id.to_string() };
            format!("{:?}", stores.log.note_fault(entry, &fault).await)
        }
        Step::Prune { before, limit } => format!("{:?}", stores.log.prune(at(before.into()), limit.into()).await),
        Step::Pause { scope: s, breaker } => {
            let cause =
                breaker.map_or(PauseCause::Operator, |removals| PauseCause::Breaker { removals: removals.into() });
            let pause = Pause { scope: scope(s), cause, reason: "r".to_owned(), actor: "ada".to_owned(), at: at(1) };
            format!("{:?}", stores.pauses.pause(&pause).await)
        }
        Step::Resume { scope: s, at: now } => format!("{:?}", stores.pauses.resume(&scope(s), at(now.into())).await),
    }
}

/// All that can be read.
async fn everything(stores: &Stores) -> String {
    let log = stores.log.list(&OperationFilter::default(), None, 1_000).await.unwrap();
    let entries: Vec<_> = log.into_iter().map(|logged| logged.entry).collect();
    let mut held = Vec::new();
    for number in 0..4 {
        held.push(stores.leases.held_until(&game(&name(number))).await.unwrap());
    }
    format!(
        "{:#?}",
        (
            stores.records.list(&RecordFilter::default(), None, 100).await.unwrap(),
            stores.records.census(&engine("local"), at(15), at(15), at(10), "").await.unwrap(),
            stores.records.tenants().await.unwrap(),
            stores.pauses.pauses().await.unwrap(),
            entries,
            held,
        )
    )
}

/// Leases on a backend whose clock cannot be set are left to their contract.
fn is_of_leases(step: &Step) -> bool {
    matches!(step, Step::Acquire { .. } | Step::Renew { .. } | Step::Release { .. } | Step::Pass { .. })
}

async fn same<'s>(stores: [Stores; 2], steps: impl IntoIterator<Item = &'s Step>) -> Result<(), TestCaseError> {
    let [mut one, mut other] = stores.map(Subject::from);
    for (number, step) in steps.into_iter().enumerate() {
        prop_assert_eq!(take(&mut one, step).await, take(&mut other, step).await, "step {}: {:?}", number, step);
    }
    prop_assert_eq!(everything(&one.stores).await, everything(&other.stores).await);
    Ok(())
}

#[test]
fn memory_and_sqlite_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    proptest!(seeded(96, SEED), |(steps in steps())| {
        runtime.block_on(async { same([memory().await, sqlite().await], &steps).await })?;
    });
}

#[test]
fn memory_and_postgres_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    proptest!(seeded(64, SEED), |(steps in steps())| {
        let steps = steps.iter().filter(|step| !is_of_leases(step));
        runtime.block_on(async { same([memory().await, postgres().await], steps).await })?;
    });
}

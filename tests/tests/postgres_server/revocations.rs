//! Revocations and changes of records at once, and hosts that tell one another of changes.

use rtmanager::model::{PolicyRef, Revocation};
use rtmanager::ports::{GenerationStore, Standing};
use rtmanager_tests::contracts::fixture::{artifact, component, scope, signed, spec};

use super::*;

/// Two hosts on one database with a stopped runtime, and a policy that is bound to acme.
struct Site {
    database: Database,
    sweeping: PostgresStore,
    revoking: PostgresStore,
    policy: PolicyRef,
}

impl Site {
    async fn new() -> Self {
        let database = Postgres::shared().database().await;
        let (sweeping, revoking) = (open(&database).await.unwrap(), open(&database).await.unwrap());
        sweeping.records().register(&stopped("g", 1), at(0)).await.unwrap();
        sweeping.policies().add(&artifact("keep", "1.0.0"), &component("keep", "1.0.0")).await.unwrap();
        let staged = sweeping.generations().stage(&scope("acme"), &spec("1.0.0"), &signed(1)).await.unwrap();
        let policy = PolicyRef { generation: staged.id(), digest: staged.spec.digest };
        Self { database, sweeping, revoking, policy }
    }

    fn change(&self) -> StatusChange {
        StatusChange { policy: self.policy.clone(), ..removal("g", 1) }
    }

    async fn revoke(&self) {
        let revocation = Revocation::Component(self.policy.digest.clone());
        assert!(self.revoking.generations().revoke(&revocation, &signed(5)).await.unwrap());
    }

    async fn standing(&self) -> Standing {
        self.sweeping.records().get_for_effect(&game("g"), &self.policy).await.unwrap().unwrap().1
    }
}

#[tokio::test]
async fn a_change_that_waits_for_its_record_sees_a_revocation_that_was_answered_meanwhile() {
    let site = Site::new().await;
    let mut platform = site.database.connect().await;
    say(&mut platform, "BEGIN; UPDATE runtime_records SET last_op_at = last_op_at WHERE game_id = 'g'").await;
    let (records, change) = (site.sweeping.records(), site.change());
    let changing = tokio::spawn(async move { records.compare_and_set(&change).await });
    until_somebody_waits(&mut site.database.connect().await).await;
    // The change began before it, and looks at the revocations as of then.
    site.revoke().await;
    say(&mut platform, "COMMIT").await;
    let refused = changing.await.unwrap();
    assert!(matches!(refused, Err(CasError::Revoked)), "{refused:?}");
    let record = site.sweeping.records().get(&game("g")).await.unwrap().unwrap().record;
    assert_eq!((record.status, record.version), (Status::Stopped, 1));
}

#[tokio::test]
async fn a_revocation_waits_for_a_change_that_is_about_to_be_committed() {
    let site = Site::new().await;
    let PolicyRef { generation, digest } = &site.policy;
    let mut change = site.database.connect().await;
    // As far as a change gets before it commits.
    say(&mut change, &format!("BEGIN; SELECT refuse_revoked('{generation}', '{digest}')")).await;
    let (revoking, digest) = (site.revoking.generations(), digest.clone());
    let revoked =
        tokio::spawn(async move { revoking.revoke(&Revocation::Component(digest), &signed(5)).await.unwrap() });
    until_somebody_waits(&mut site.database.connect().await).await;
    assert!(!revoked.is_finished());
    assert_eq!(site.standing().await, Standing::Good);
    say(&mut change, "COMMIT").await;
    assert!(revoked.await.unwrap());
    assert_eq!(site.standing().await, Standing::Revoked);
}

#[tokio::test]
async fn changes_of_records_do_not_wait_for_one_another_at_the_fence() {
    let site = Site::new().await;
    let PolicyRef { generation, digest } = &site.policy;
    let mut other = site.database.connect().await;
    say(&mut other, &format!("BEGIN; SELECT refuse_revoked('{generation}', '{digest}')")).await;
    let (records, change) = (site.sweeping.records(), site.change());
    let done = tokio::time::timeout(Duration::from_secs(4), records.compare_and_set(&change)).await;
    assert_eq!(done.unwrap().unwrap().status, Status::Removed);
}

/// Waits until the host listens, by making changes until one wakes it.
async fn until_it_listens(hears: &dyn GenerationStore, site: &Site) {
    for _ in 0..300 {
        let stage = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            site.revoking.generations().stage(&scope("acme"), &spec("1.0.0"), &signed(1)).await
        };
        let (woken, _) = tokio::join!(tokio::time::timeout(Duration::from_millis(150), hears.changed()), stage);
        if woken.is_ok() {
            return;
        }
    }
    panic!("it does not listen");
}

#[tokio::test]
async fn a_change_by_another_host_wakes_whoever_waits_also_after_the_connection_was_lost() {
    let site = Site::new().await;
    let hears = site.sweeping.generations();
    until_it_listens(&*hears, &site).await;
    let mut operator = site.database.connect().await;
    say(
        &mut operator,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .await;
    until_it_listens(&*hears, &site).await;
}

#[tokio::test]
async fn whoever_waits_is_not_woken_again_and_again_while_nothing_can_be_heard() {
    let site = Site::new().await;
    let hears = site.sweeping.generations();
    until_it_listens(&*hears, &site).await;
    let name = site.database.name();
    // Whoever connects from now on is refused.
    let server = Postgres::shared();
    server.say(&format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false")).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = ";
    server.say(&format!("{end} '{name}'")).await;
    let mut wakes = 0;
    let counting = async {
        loop {
            hears.changed().await;
            wakes += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), counting).await.is_err());
    assert!(wakes <= 2, "woken {wakes} times");
}

//! Full load: games that are cleaned up over REST on both hosts, and games that are left to both sweepers, each game
//! again and again, with a container of its own each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtmanager::sweeper::{Observer, SweepRequest};
use rtmanager_tests::hosts::{Hosts, Replica};
use tokio::task::JoinHandle;

/// Clients of each host.
const CLIENTS: u64 = 2;
/// Games that are left to the sweepers at a time.
const SWEPT_AT_ONCE: u64 = 16;

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) cleanups: usize,
    pub(super) swept: usize,
}

pub(super) struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
    feeder: JoinHandle<usize>,
    sweepers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn begin(hosts: &Hosts) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut clients = Vec::new();
        for host in [Replica::One, Replica::Two] {
            for number in 0..CLIENTS {
                let asking = ask(hosts.clone(), host, number, stop.clone(), failed.clone());
                clients.push(tokio::spawn(asking));
            }
        }
        let feeder = tokio::spawn(feed(hosts.clone(), stop.clone()));
        let sweepers = [Replica::One, Replica::Two].map(|host| tokio::spawn(sweep(hosts.clone(), host, stop.clone())));
        Self { stop, failed, clients, feeder, sweepers: sweepers.into() }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.feeder.is_finished()
    }

    /// Lets everything under way come to its end.
    pub(super) async fn end(self) -> Asked {
        let mut asked = Asked::default();
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            asked.cleanups += client.await.unwrap();
        }
        asked.swept = self.feeder.await.unwrap();
        for sweeper in self.sweepers {
            sweeper.await.unwrap();
        }
        asked
    }
}

async fn ask(hosts: Hosts, host: Replica, number: u64, stop: Arc<AtomicBool>, failed: Arc<AtomicBool>) -> usize {
    let (game, client) = (format!("asked-{host:?}-{number}"), hosts.client(host));
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        // Too young for the sweepers.
        hosts.stopped(&game, hosts.next(), Duration::ZERO).await;
        let id = host.request_id(asked);
        let path = format!("/api/v1/internal/runtimes/{game}/container");
        let answer = client.send("DELETE", &path, &[("x-request-id", &id)], None).await;
        asked += 1;
        if answer.status != 200 {
            failed.store(true, Ordering::Relaxed);
            panic!("{answer:?}");
        }
    }
    asked
}

async fn feed(hosts: Hosts, stop: Arc<AtomicBool>) -> usize {
    let mut fed = 0;
    while !stop.load(Ordering::Relaxed) {
        for number in 0..SWEPT_AT_ONCE {
            let game = format!("swept-{number}");
            if hosts.is_at_rest(&game).await {
                hosts.stopped(&game, hosts.next(), Duration::from_secs(90 * 86_400)).await;
                fed += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fed
}

/// Until everything that was left to the sweepers is swept.
async fn sweep(hosts: Hosts, host: Replica, stop: Arc<AtomicBool>) {
    let ignore: Observer = Arc::new(|_| {});
    let mut rest = 200;
    while rest > 0 {
        let report = hosts.app(host).sweeper.sweep(&SweepRequest::default(), ignore.clone()).await.unwrap();
        assert!(report.paused.is_none(), "{report:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        if stop.load(Ordering::Relaxed) {
            rest -= 1;
            if hosts.nothing_is_left_to_sweep().await {
                break;
            }
        }
    }
}

//! A sweep's pages, with few and with many records: claimed to be offered, read for a dry run, and where hardly any
//! is due; and the breaker's count. Small and large tables take turns, page by page.

use std::time::{Duration, Instant};

use rtmanager::model::EngineName;
use rtmanager::ports::{Claim, DueCursor, DuePage};

use super::cleaned::Host;
use super::figures::{at, median, verdict};
use super::filled::{self, FEW, Filled, Kind, floor, now};

/// What a sweep claims at a time with its default of 8 runs at once, and reads at a time for a dry run.
const CLAIMED: u32 = 32;
const READ: u32 = 200;
/// Pages claimed of each table, and pages cleaned up after these. No row is claimed twice, as in a sweep: there are
/// enough in the small table.
const PAGES: usize = 200;
const CLEANED: usize = 60;
const WARM_UP: usize = 20;
const COUNTS: usize = 9;
/// Rows that are claimed and released again leave their old versions behind; a database clears them now and then.
const VACUUM_AFTER: usize = 50;
/// Records of the small tables.
const SMALL: usize = 10_000;
const AIM: f64 = 1.2;

/// Tables of one store, small and large.
struct Pair {
    store: &'static str,
    due: [Filled; 2],
    few: [Filled; 2],
}

/// Times in microseconds, of the small and of the large table.
type Times = [Vec<f64>; 2];

pub(crate) async fn measure(rows: usize) {
    let sizes = [SMALL, rows.max(SMALL)];
    let began = Instant::now();
    let (server, directory) = (filled::server(), tempfile::tempdir().unwrap());
    let postgres = async |kind, rows| filled::postgres(server, kind, rows).await;
    let sqlite = async |kind, rows| filled::sqlite(directory.path(), kind, rows).await;
    let pairs = [Pair::fill("PostgreSQL", sizes, postgres).await, Pair::fill("SQLite", sizes, sqlite).await];
    println!(
        "\nthe walk where {} and {} records are; {PAGES} pages of each, in turns (tables filled in {:.0} s)",
        sizes[0],
        sizes[1],
        began.elapsed().as_secs_f64(),
    );
    println!("{:<11} {:<40} {:>20} {:>20} {:>6}  aim", "", "", "small: p50, p90 µs", "large: p50, p90 µs", "ratio");
    for pair in pairs {
        let (claimed, cursors) = pair.claimed_pages().await;
        pair.report("a page of 32 with its cleanups", Some(AIM), pair.cleaned_pages(cursors).await);
        // On PostgreSQL a claim makes new entries in all indexes of its rows, for one of them is of claims. In a large
        // table those by container are each on a page of their own, which goes into the server's log whole when it is
        // first changed after a checkpoint. All of a small table's pages have been there soon.
        pair.report("its claim alone", Some(AIM), claimed);
        pair.release().await;
        pair.report("a read page of 200, all due", Some(AIM), pair.read_pages().await);
        pair.report("claimed: 10 due, the rest is not", Some(AIM), pair.few_claimed().await);
        pair.report("read: 10 due, the rest is not", Some(AIM), pair.few_read().await);
        pair.report("the breaker's count, all due", None, pair.counts(&pair.due).await);
        pair.report("the breaker's count, 10 due", None, pair.counts(&pair.few).await);
    }
    println!("the rest backs off, is kept by its policy, parked and held, a quarter each");
}

fn local() -> EngineName {
    "local".parse().unwrap()
}

fn claim(walk: &str) -> Claim {
    Claim { walk: walk.to_owned(), until: now().saturating_add(Duration::from_secs(3_600)) }
}

async fn timed(call: impl Future) -> f64 {
    let began = Instant::now();
    call.await;
    began.elapsed().as_secs_f64() * 1e6
}

/// Once each, the order changing with the round.
fn in_turns(round: usize) -> [usize; 2] {
    if round.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

async fn claimed(table: &Filled, after: Option<&DueCursor>, walk: &str) -> DuePage {
    table.records.claim_due(&local(), floor(), now(), after, CLAIMED, &claim(walk)).await.unwrap()
}

async fn read(table: &Filled, after: Option<&DueCursor>) -> DuePage {
    table.records.due(&local(), floor(), now(), after, READ).await.unwrap()
}

impl Pair {
    async fn fill(store: &'static str, [small, large]: [usize; 2], fill: impl AsyncFn(Kind, usize) -> Filled) -> Self {
        let due = [fill(Kind::Due, small).await, fill(Kind::Due, large).await];
        let few = [fill(Kind::FewDue, small).await, fill(Kind::FewDue, large).await];
        Self { store, due, few }
    }

    /// One walk through each table, which goes on from page to page.
    async fn claimed_pages(&self) -> (Times, [Option<DueCursor>; 2]) {
        let (mut times, mut cursors) = (Times::default(), [None, None]);
        for round in 0..PAGES {
            for size in in_turns(round) {
                let mut page = None;
                let took = timed(async { page = Some(claimed(&self.due[size], cursors[size].as_ref(), "w").await) });
                let took = took.await;
                let page = page.unwrap();
                assert_eq!(page.rows.len(), CLAIMED as usize);
                cursors[size] = page.next;
                if round >= WARM_UP {
                    times[size].push(took);
                }
            }
        }
        (times, cursors)
    }

    /// The walk goes on, now with all that follows from it. What is there to be cleaned up is put in place untimed.
    async fn cleaned_pages(&self, mut cursors: [Option<DueCursor>; 2]) -> Times {
        let (mut times, hosts) = (Times::default(), [Host::on(&self.due[0]).await, Host::on(&self.due[1]).await]);
        for round in 0..CLEANED {
            for size in in_turns(round) {
                let mut page = None;
                let after = cursors[size].clone();
                let claim = timed(async { page = Some(claimed(&self.due[size], after.as_ref(), "w").await) }).await;
                let page = page.unwrap();
                cursors[size] = page.next.clone();
                hosts[size].prepare(&page);
                let cleanups = timed(hosts[size].clean_up(page)).await;
                if round >= WARM_UP {
                    times[size].push(claim + cleanups);
                }
            }
        }
        times
    }

    async fn release(&self) {
        for table in &self.due {
            table.records.release_claims("w").await.unwrap();
            table.vacuum().await;
        }
    }

    async fn read_pages(&self) -> Times {
        let (mut times, mut cursors) = (Times::default(), [None, None]);
        for round in 0..PAGES {
            for size in in_turns(round) {
                let mut page = None;
                let took = timed(async { page = Some(read(&self.due[size], cursors[size].as_ref()).await) }).await;
                let page = page.unwrap();
                // The small table comes to its end now and then, and begins anew.
                cursors[size] = page.next;
                if round >= WARM_UP && page.rows.len() == READ as usize {
                    times[size].push(took);
                }
            }
        }
        times
    }

    async fn few_claimed(&self) -> Times {
        let mut times = Times::default();
        for round in 0..PAGES {
            for size in in_turns(round) {
                let table = &self.few[size];
                let walk = format!("walk-{round}");
                let took = timed(async { assert_eq!(claimed(table, None, &walk).await.rows.len(), FEW) }).await;
                table.records.release_claims(&walk).await.unwrap();
                if round >= WARM_UP {
                    times[size].push(took);
                }
                if round % VACUUM_AFTER == VACUUM_AFTER - 1 {
                    table.vacuum().await;
                }
            }
        }
        times
    }

    async fn few_read(&self) -> Times {
        let mut times = Times::default();
        for round in 0..PAGES {
            for size in in_turns(round) {
                let took = timed(async { assert_eq!(read(&self.few[size], None).await.rows.len(), FEW) }).await;
                if round >= WARM_UP {
                    times[size].push(took);
                }
            }
        }
        times
    }

    async fn counts(&self, tables: &[Filled; 2]) -> Times {
        let (mut times, window) = (Times::default(), now().saturating_sub(Duration::from_secs(86_400)));
        for round in 0..COUNTS {
            for size in in_turns(round) {
                let local = local();
                let census = tables[size].records.census(&local, floor(), now(), window, "");
                let took = async { assert!(census.await.unwrap().not_removed > 0) };
                times[size].push(timed(took).await);
            }
        }
        times
    }

    fn report(&self, what: &str, aim: Option<f64>, times: Times) {
        let ratio = median(&times[1]) / median(&times[0]);
        let spread = |times: &[f64]| format!("{:.0} {:>9.0}", median(times), at(0.9, times));
        let aim = aim.map_or_else(String::new, |aim| format!("at most {aim}: {}", verdict(ratio <= aim)));
        let [small, large] = times.each_ref().map(|times| spread(times));
        println!("{:<11} {what:<40} {small:>20} {large:>20} {ratio:>6.2}  {aim}", self.store);
    }
}

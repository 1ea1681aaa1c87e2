//! Works on an SQLite file as one of several processes: leases, compare-and-set and log, over a few games.
//!
//! `sqlite_hammer FILE NUMBER ROUNDS` prints how many leases it was granted and how many changes it won.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::model::{Intent, RunId, Status};
use rtmanager::ports::{CasError, LeaseToken, StatusChange};
use rtmanager_tests::contracts::fixture;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let [file, number, rounds] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| anyhow::anyhow!("usage: sqlite_hammer FILE NUMBER ROUNDS"))?;
    let store = SqliteStore::open(Path::new(&file), SqliteOptions::default()).await?;
    let (number, rounds): (u64, u64) = (number.parse()?, rounds.parse()?);
    let (mut granted, mut won) = (0, 0);
    for round in 0..rounds {
        let id = number << 32 | round;
        match work(&store, id, round).await? {
            None => {}
            Some(changed) => {
                granted += 1;
                won += u64::from(changed);
            }
        }
    }
    store.close().await;
    println!("{granted} {won}");
    Ok(())
}

/// One run: answers none if the lease was held, else whether the record was changed.
async fn work(store: &SqliteStore, id: u64, round: u64) -> anyhow::Result<Option<bool>> {
    let (records, leases) = (store.records(), store.leases(Arc::new(SystemClock)));
    let name = format!("g{}", round % 4);
    let game = fixture::game(&name);
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(id.to_le_bytes()).for_each(|(to, from)| *to = from);
    let token = LeaseToken::from_bytes(bytes);
    if !leases.try_acquire(&game, &token, Duration::from_secs(30)).await? {
        return Ok(None);
    }
    let run_id = RunId::from_bytes(u128::from(id).to_be_bytes());
    let intent = Intent { run_id: run_id.clone(), ..fixture::intent(1, &name) };
    let begun = records.begin_run(&intent).await?.context("the record is there")?;
    let change = StatusChange {
        expected_container: begun.runtime.record.container_id,
        new_status: Status::Stopped,
        run_id,
        fence: begun.fence,
        ..fixture::removal(&name, 0)
    };
    let changed = match records.compare_and_set(&change).await {
        Ok(_) => true,
        Err(CasError::Conflict | CasError::Superseded) => false,
        Err(other) => return Err(other.into()),
    };
    let entry = rtmanager::model::OperationEntry { run_id: change.run_id, ..fixture::entry(1, &name) };
    store.operation_log().append(&entry).await?;
    leases.release(&game, &token).await?;
    Ok(Some(changed))
}

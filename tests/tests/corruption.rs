//! The store, the cache of compiled code and its key are damaged, byte by byte: what is damaged is refused, told of, or
//! compiled anew. What served goes on to serve; nothing else ever does; and nothing panics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager_tests::place::Place;
use rtmanager_tests::postgres::Postgres;

#[path = "corruption/cache.rs"]
mod cache;
#[path = "corruption/damage.rs"]
mod damage;
#[path = "corruption/rules.rs"]
mod rules;
#[path = "corruption/site.rs"]
mod site;
#[path = "corruption/tables.rs"]
mod tables;

use damage::Kind::{Count, Flag, Json, Text, Time};
use damage::{Column, Damage, Kind};
use site::Site;

async fn in_file() -> Site {
    Site::new(Place::new(None), None).await
}

async fn in_postgres() -> (Site, rtmanager_tests::postgres::Database) {
    let database = Postgres::shared().database().await;
    (Site::new(Place::new(Some(database.url())), Some(&database)).await, database)
}

/// The columns of a generation's row.
const GENERATION: [(&str, Kind); 9] = [
    ("scope", Text),
    ("number", Count),
    ("digest", Text),
    ("settings", Json),
    ("limits", Json),
    ("grants", Json),
    ("staged_at", Time),
    ("staged_by", Text),
    ("reason", Text),
];

/// Those of a scope's row that say what is rolled out.
const ROLLOUT: [(&str, Kind); 11] = [
    ("rollout", Count),
    ("rollout_myriad", Count),
    ("clean_runs", Count),
    ("promote_at", Time),
    ("stop_on_divergence", Flag),
    ("runs", Count),
    ("faults", Count),
    ("divergences", Count),
    ("rollout_at", Time),
    ("rollout_by", Text),
    ("rollout_reason", Text),
];

/// Those that say which generations there are.
const NUMBERS: [(&str, Kind); 2] = [("current", Count), ("last_generation", Count)];

const OF_GENERATION: &str = "scope = 'tenant-a' AND number = 2";
const OF_SCOPE: &str = "scope = 'tenant-a'";

fn columns(table: &'static str, row: &'static str, columns: &[(&'static str, Kind)]) -> Vec<Column> {
    columns.iter().map(|&(name, kind)| Column { table, row, name, kind }).collect()
}

/// What a component's row is damaged to: its bytes, each or some, all bits of it; and cut short.
async fn components(site: &mut Site, each: usize, cut: usize) {
    let whole = site.new_component().to_vec();
    let ends = (0..16).chain(whole.len() - 16..whole.len());
    let flipped = (0..whole.len()).step_by(each).chain(ends).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        (format!("byte {at} of the component"), bytes)
    });
    let cut = (0..whole.len()).step_by(cut).map(|length| (format!("{length} bytes of it"), whole[..length].to_vec()));
    let more = [("one byte more".to_owned(), [&whole[..], b"\0"].concat())];
    for (told, bytes) in flipped.chain(cut).chain(more) {
        site.damage_component(&told, bytes).await;
    }
}

async fn rows(site: &mut Site) {
    let generation = columns("policy_generations", OF_GENERATION, &GENERATION);
    let rollout = columns("policy_scopes", OF_SCOPE, &ROLLOUT);
    let numbers = columns("policy_scopes", OF_SCOPE, &NUMBERS);
    for column in generation.into_iter().chain(rollout).chain(numbers) {
        let original = site.original(&column).await;
        let damages = Damage::of(column.kind, original.as_deref()).into_iter();
        for damage in damages.filter(|damage| column.name != "current" || !names_another(damage)) {
            site.damage_row(&column, &damage).await;
        }
    }
}

/// Another of the scope's generations, or none: that is no damage that anybody could see.
fn names_another(damage: &Damage) -> bool {
    matches!(damage, Damage::Null | Damage::Number(1 | 3))
}

async fn another_tenants_swap(site: &mut Site) {
    for column in
        columns("policy_generations", OF_GENERATION, &[("digest", Text), ("settings", Json), ("number", Count)])
    {
        let original = site.original(&column).await;
        for damage in Damage::of(column.kind, original.as_deref()).iter().take(2) {
            site.follows_another(&column, damage).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_row_in_a_file_holds_up_no_other_tenants_swap() {
    let mut site = in_file().await;
    another_tenants_swap(&mut site).await;
    site.verdict(4);
}

#[tokio::test]
async fn a_damaged_row_in_postgres_holds_up_no_other_tenants_swap() {
    let (mut site, _database) = in_postgres().await;
    another_tenants_swap(&mut site).await;
    // Its constraints refuse the others.
    site.verdict(1);
}

#[tokio::test]
async fn a_component_with_any_byte_changed_in_a_file_is_not_served_and_the_old_one_goes_on() {
    let mut site = in_file().await;
    components(&mut site, 1, 97).await;
    site.verdict(4_000);
}

#[tokio::test]
async fn a_component_with_bytes_changed_in_postgres_is_not_served_and_the_old_one_goes_on() {
    let (mut site, _database) = in_postgres().await;
    components(&mut site, 29, 499).await;
    site.verdict(150);
}

#[tokio::test]
async fn a_damaged_row_in_a_file_is_told_of_and_the_old_generation_goes_on() {
    let mut site = in_file().await;
    rows(&mut site).await;
    site.verdict(400);
}

#[tokio::test]
async fn a_damaged_row_in_postgres_is_told_of_and_the_old_generation_goes_on() {
    let (mut site, _database) = in_postgres().await;
    rows(&mut site).await;
    site.verdict(100);
}

#[tokio::test]
async fn a_damaged_ceiling_or_key_in_a_file_allows_nothing_more() {
    let place = Place::new(None);
    rules::damaged(&place, None, 300).await;
}

#[tokio::test]
async fn a_damaged_ceiling_or_key_in_postgres_allows_nothing_more() {
    let database = Postgres::shared().database().await;
    let place = Place::new(Some(database.url()));
    rules::damaged(&place, Some(&database), 50).await;
}

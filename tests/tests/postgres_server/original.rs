//! `deploy/from_original.sql`: the tables of the original service are taken over.

use rtmanager::model::{Outcome, Status};
use rtmanager::ports::{OperationFilter, RecordFilter};
use rtmanager_tests::contracts::fixture::{at, container, game};
use rtmanager_tests::postgres::Postgres;

use super::{open, say};

const ORIGINAL: &str = "
    CREATE SCHEMA original;
    CREATE TABLE original.runtime_records (game_id text PRIMARY KEY, status text NOT NULL, current_container_id text,
        current_image_ref text, engine_endpoint text NOT NULL, state_path text, docker_network text,
        started_at timestamptz, stopped_at timestamptz, removed_at timestamptz, last_op_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL);
    CREATE TABLE original.operation_log (id bigserial PRIMARY KEY, game_id text NOT NULL, op_kind text NOT NULL,
        op_source text NOT NULL, source_ref text, image_ref text, container_id text, outcome text NOT NULL,
        error_code text, error_message text, started_at timestamptz NOT NULL, finished_at timestamptz);
    INSERT INTO original.runtime_records VALUES
        ('running', 'running', lpad('1', 64, '0'), 'game:1', 'unix:///a', '/state', 'games', to_timestamp(100001), NULL, NULL,
            to_timestamp(100002), to_timestamp(100000)),
        ('stopped', 'stopped', lpad('2', 64, '0'), '', 'unix:///a', NULL, NULL, to_timestamp(100001), NULL, NULL,
            to_timestamp(100003), to_timestamp(100000)),
        ('removed', 'removed', NULL, 'game:1', 'unix:///a', NULL, NULL, NULL, to_timestamp(100002), to_timestamp(100004),
            to_timestamp(100004), to_timestamp(100000)),
        ('named', 'stopped', 'web-1', 'game:1', 'unix:///a', NULL, NULL, NULL, to_timestamp(100002), NULL,
            to_timestamp(100002), to_timestamp(100000)),
        ('elsewhere', 'running', NULL, NULL, 'tcp://b', NULL, NULL, NULL, NULL, NULL, to_timestamp(100000), to_timestamp(100000));
    INSERT INTO original.operation_log (game_id, op_kind, op_source, source_ref, container_id, outcome, error_code,
        error_message, started_at, finished_at) VALUES
        ('removed', 'cleanup_container', 'auto_ttl', NULL, lpad('3', 64, '0'), 'success', '', '', to_timestamp(100003), to_timestamp(100004)),
        ('named', 'start', 'admin_rest', 'r-1', 'web-1', 'failure', 'conflict', 'it runs', to_timestamp(100001), NULL)";

fn take_over(database: &str, endpoint: Option<&str>) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/deploy/from_original.sql");
    let mut psql = Postgres::shared().psql(database);
    psql.args(["-v", "engine=local", "-v", "original=original", "-v", "ON_ERROR_STOP=1", "-1"]);
    if let Some(endpoint) = endpoint {
        psql.args(["-v", &format!("endpoint={endpoint}")]);
    }
    // Read by us: the server's user need not be let into our directories.
    let done = psql.args(["-f", "-"]).stdin(std::fs::File::open(script).unwrap()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn records_and_log_of_the_original_are_taken_over_once() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    say(&mut database.connect().await, ORIGINAL).await;
    take_over(database.name(), Some("unix:///a"));
    assert!(store.records().get(&game("elsewhere")).await.unwrap().is_none());
    take_over(database.name(), None);

    let records = store.records().list(&RecordFilter::default(), None, 99).await.unwrap();
    let found = |name: &str| records.iter().map(|row| &row.record).find(|record| record.game_id == game(name)).unwrap();
    assert_eq!(records.len(), 5);
    let running = found("running");
    assert_eq!((running.container_id.as_ref(), running.started_at), (Some(&container(1)), Some(at(1))));
    assert_eq!(running.labels["original.state_path"], "/state");
    let stopped = found("stopped");
    assert_eq!((stopped.image_ref.as_ref(), stopped.stopped_at), (None, Some(at(3))), "from its last operation");
    assert_eq!((&found("removed").status, found("removed").removed_at), (&Status::Removed, Some(at(4))));
    let named = found("named");
    assert_eq!((&named.status, &named.container_id), (&Status::Other("unidentified".to_owned()), &None));

    let logged = store.operation_log().list(&OperationFilter::default(), None, 99).await.unwrap();
    assert_eq!(logged.len(), 2);
    assert_eq!((logged[1].entry.outcome, &logged[1].entry.error_code), (Outcome::Success, &None));
    assert_eq!((&*logged[0].entry.source_ref, logged[0].entry.finished_at), ("r-1", at(1)));
}

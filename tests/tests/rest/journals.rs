//! Journals of runs, for those whose runs they are.

use rtmanager::model::Role;
use rtmanager_tests::mock_host::{GAME, MockHost, container};
use serde_json::json;

use super::BASE;
use super::site::Site;

#[tokio::test]
async fn a_journal_is_shown_to_staff_and_to_its_tenant_and_is_not_there_for_others() {
    let host = MockHost::builder().build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    host.cleanup(GAME).await;
    let journal = recorded.last();
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    site.store.journals().add(&journal).await.unwrap();
    site.stopped_of("tenant-a", GAME, 40).await;
    let path = format!("{BASE}/operations/{}/journal", journal.run_id);
    let tenant = |name: &str| Role::Tenant(name.parse().unwrap());
    for (name, role, expected) in
        [("v", Role::Viewer, 200), ("own", tenant("tenant-a"), 200), ("rival", tenant("rival"), 404)]
    {
        let bearer = site.bearer(name, role).await;
        let get = async |path: &str| site.client.send("GET", path, &[("Authorization", &bearer)], None).await;
        let answer = get(&path).await;
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
        if expected == 200 {
            assert_eq!(answer.json(), serde_json::to_value(&journal).unwrap());
        }
        let explained = get(&format!("{BASE}/runtimes/{GAME}/explain")).await;
        assert_eq!(explained.status, expected, "{name}");
        if expected == 200 {
            assert_eq!(explained.json()["last_run"]["run_id"], json!(journal.run_id.as_str()));
        }
        let wrong = get(&format!("{BASE}/operations/none/journal")).await;
        assert_eq!(wrong.problem(), (400, "invalid_request".to_owned()));
    }
}

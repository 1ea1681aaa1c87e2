//! A ceiling that is set later: what serves already may do no more than it allows.

use std::time::Duration;

use rtmanager::model::Ceiling;

use super::*;

async fn set(host: &MockHost, scope: &PolicyScope, ceiling: Option<Ceiling>) {
    host.store.access().set_ceiling(scope, ceiling.as_ref()).await.unwrap();
    host.follow().await;
}

fn of_grants(texts: &[&str]) -> Option<Ceiling> {
    Some(Ceiling { grants: Some(grants(texts)), ..Ceiling::default() })
}

fn of_limits(limits: LimitOverrides) -> Option<Ceiling> {
    Some(Ceiling { limits, ..Ceiling::default() })
}

const WITHOUT_REMOVAL: [&str; 8] =
    ["clock", "leases", "records.get", "records.update-status", "docker.inspect", "op-log", "logging", "settings:*"];

#[tokio::test]
async fn grants_that_a_ceiling_takes_away_later_are_denied_from_the_next_run_on() {
    let host = host_with_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    host.bind(&tenant_a(), &plain(&digest)).await;
    set(&host, &tenant_a(), of_grants(&WITHOUT_REMOVAL)).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Failure);
    assert!(host.has_container(&container(1)));
    assert_still_stopped(&host).await;
    assert_eq!(host.current(&tenant_a()).await, Some(1), "it is bound as it was");
    set(&host, &tenant_a(), None).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
}

#[tokio::test]
async fn limits_that_a_ceiling_draws_tighter_later_bound_the_next_run() {
    let host = host_with_game().await;
    let calls = |calls| LimitOverrides { calls: Some(calls), ..LimitOverrides::default() };
    let spec = BindingSpec { limits: calls(50), ..plain(&host.push(DEFAULT_POLICY).await) };
    host.bind(&tenant_a(), &spec).await;
    set(&host, &tenant_a(), of_limits(calls(2))).await;
    assert_eq!(code(&host.cleanup(GAME).await), "policy_calls_exceeded");
    set(&host, &tenant_a(), of_limits(calls(500))).await;
    let assigned = host.registry.assign(Some(&"tenant-a".parse().unwrap()), None).binding.ok().unwrap();
    assert_eq!(assigned.terms.limits.calls, 50, "a wider one widens nothing");
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
}

#[tokio::test]
async fn settings_that_a_ceiling_takes_away_later_are_not_read_any_more() {
    let host = host_with_game().await;
    let spec = with_setting(&host.push(HOSTILE).await, "mode", "idle");
    host.bind(&tenant_a(), &spec).await;
    assert_eq!(code(&host.cleanup(GAME).await), "hostile");
    let mut allowed = WITHOUT_REMOVAL.to_vec();
    allowed.extend(["docker.remove", "wasi"]);
    allowed.retain(|grant| !grant.starts_with("settings"));
    allowed.push("settings:other");
    set(&host, &tenant_a(), of_grants(&allowed)).await;
    assert_ne!(code(&host.cleanup(GAME).await), "hostile", "it does not know its mode");
}

#[tokio::test]
async fn everybodys_ceiling_holds_where_a_scope_has_none_and_leaves_what_a_file_binds() {
    let host = host_with_game().await;
    let calls = LimitOverrides { calls: Some(3), run_time: Some(Duration::from_secs(1)), ..LimitOverrides::default() };
    set(&host, &PolicyScope::Default, of_limits(calls)).await;
    let limits = |tenant: &str| {
        let assigned = host.registry.assign(Some(&tenant.parse().unwrap()), None);
        let limits = assigned.binding.ok().unwrap().terms.limits.clone();
        (limits.calls, limits.run_time.as_secs())
    };
    let of_file = limits("tenant-a");
    assert!(of_file.0 > 3, "the platform's own file is not bound by what it allows others");
    host.bind(&tenant_a(), &plain(&host.push(DEFAULT_POLICY).await)).await;
    assert_eq!(limits("tenant-a"), (3, 1));
    set(&host, &tenant_a(), Some(Ceiling::default())).await;
    assert_eq!(limits("tenant-a"), of_file, "its own stands in place of everybody's");
}

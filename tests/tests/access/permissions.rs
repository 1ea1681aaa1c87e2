//! The table of who may do what, written once more.

use rtmanager::access::{Action, Caller, permit};
use rtmanager::model::{PolicyScope, Role, TenantId};

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn caller(role: Role) -> Caller {
    Caller { actor: "token:t".to_owned(), role }
}

#[test]
fn every_role_may_what_the_table_says_and_nothing_else() {
    let callers =
        [Role::Admin, Role::Operator, Role::Viewer, Role::Tenant(tenant("acme")), Role::Tenant(tenant("rival"))]
            .map(caller);
    let own = || Some(tenant("acme"));
    let scope = || PolicyScope::Tenant(tenant("acme"));
    //                                                        admin, operator, viewer, acme, rival
    let table = [
        (Action::Observe, "+++++"),
        (Action::ReadRuntimes, "+++++"),
        (Action::ChangeRuntimes, "++---"),
        (Action::ReadPlatform, "+++--"),
        (Action::Pause, "++---"),
        (Action::ReadPolicies(PolicyScope::Default), "+++--"),
        (Action::ReadPolicies(scope()), "++++-"),
        (Action::ReadSettings(PolicyScope::Default), "+----"),
        (Action::ReadSettings(scope()), "+--+-"),
        (Action::ChangePolicies(PolicyScope::Default), "+----"),
        (Action::ChangePolicies(scope()), "+--+-"),
        (Action::ReadPolicy(None), "+++++"),
        (Action::ReadPolicy(own()), "++++-"),
        (Action::ManagePolicies, "+--++"),
        (Action::PushPolicy(None), "+----"),
        (Action::PushPolicy(own()), "+--+-"),
        (Action::RevokePolicy, "+----"),
        (Action::SetCeiling, "+----"),
        (Action::ManageKeys, "+----"),
        (Action::ManageTokens, "+----"),
        (Action::ReadAudit, "+----"),
        (Action::PruneAudit, "+----"),
    ];
    for (action, expected) in table {
        let found: String =
            callers.iter().map(|caller| if permit(caller, &action).is_ok() { '+' } else { '-' }).collect();
        assert_eq!(found, expected, "{action:?}");
    }
}

#[test]
fn a_refusal_names_what_would_be_needed() {
    let viewer = caller(Role::Viewer);
    let said = |action: Action| permit(&viewer, &action).unwrap_err().to_string();
    assert_eq!(said(Action::Pause), "this needs the role admin or operator, and the caller's is viewer");
    assert_eq!(said(Action::ManageTokens), "this needs the role admin, and the caller's is viewer");
    assert_eq!(
        said(Action::ChangePolicies(PolicyScope::Tenant(tenant("acme")))),
        "this needs the role admin or tenant acme, and the caller's is viewer"
    );
}

#[test]
fn a_tenant_sees_itself_and_everybody_else_sees_all() {
    let acme = tenant("acme");
    assert!(caller(Role::Tenant(acme.clone())).sees(&acme) && !caller(Role::Tenant(tenant("rival"))).sees(&acme));
    assert!([Role::Admin, Role::Operator, Role::Viewer].map(caller).iter().all(|caller| caller.sees(&acme)));
}

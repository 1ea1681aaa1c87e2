//! Tokens: made, shown, ended.

use std::time::Duration;

use rtmanager::access::{Caller, Failure, NewToken, Rotation, Secret, TokenError, TokenName};
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::model::{Role, Timestamp};
use rtmanager::ports::Clock as _;

use super::site::{Site, admin};

fn token(name: &str, role: Role) -> NewToken {
    NewToken { name: name.parse().unwrap(), role, expires_at: None }
}

#[tokio::test]
async fn a_token_opens_what_its_role_does_until_it_is_revoked() {
    let site = Site::open();
    let tenant = Role::Tenant("acme".parse().unwrap());
    let (kept, secret) = site.tokens.create(&admin(), token("ci", tenant.clone())).await.unwrap();
    assert_eq!((kept.name.as_str(), &kept.role, kept.created_by.as_str()), ("ci", &tenant, "cli:uid=7"));
    assert_eq!(secret.expose().len(), 43);
    let shown = Secret::parse(&secret.expose()).unwrap();
    let caller = site.tokens.verify(&shown).await.unwrap();
    assert_eq!(caller, Some(Caller { actor: "token:ci".to_owned(), role: tenant }));

    site.tokens.revoke(&admin(), "ci").await.unwrap();
    assert_eq!(site.tokens.verify(&shown).await.unwrap(), None);
    site.tokens.revoke(&admin(), "ci").await.unwrap();
    assert!(site.tokens.list(&admin()).await.unwrap()[0].revoked_at.is_some());
}

#[tokio::test]
async fn an_unknown_or_expired_token_opens_nothing() {
    let site = Site::open();
    assert_eq!(site.tokens.verify(&Secret::draw(&SystemRandomness).unwrap()).await.unwrap(), None);
    let expires_at = Some(site.clock.now().saturating_add(Duration::from_secs(60)));
    let new = NewToken { expires_at, ..token("short", Role::Viewer) };
    let (_, secret) = site.tokens.create(&admin(), new).await.unwrap();
    site.clock.advance(Duration::from_secs(59));
    assert!(site.tokens.verify(&secret).await.unwrap().is_some());
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.tokens.verify(&secret).await.unwrap(), None);

    let past = NewToken { expires_at: Some(Timestamp::from_micros(1)), ..token("past", Role::Viewer) };
    assert!(matches!(site.tokens.create(&admin(), past).await, Err(TokenError::Expired)));
}

#[tokio::test]
async fn a_name_is_never_given_twice() {
    let site = Site::open();
    site.tokens.create(&admin(), token("ci", Role::Viewer)).await.unwrap();
    site.tokens.revoke(&admin(), "ci").await.unwrap();
    let again = site.tokens.create(&admin(), token("ci", Role::Admin)).await.unwrap_err();
    assert_eq!(again.code(), "conflict");
    assert_eq!(site.tokens.list(&admin()).await.unwrap().len(), 1);
    assert_eq!(site.tokens.revoke(&admin(), "cd").await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn only_an_admin_makes_lists_and_revokes_tokens() {
    let site = Site::open();
    for role in [Role::Operator, Role::Viewer, Role::Tenant("acme".parse().unwrap())] {
        let caller = Caller { actor: "token:t".to_owned(), role: role.clone() };
        let made = site.tokens.create(&caller, token("more", role)).await;
        assert!(matches!(made, Err(TokenError::Denied(_))), "{caller:?}");
        assert!(matches!(site.tokens.list(&caller).await, Err(TokenError::Denied(_))), "{caller:?}");
        assert!(matches!(site.tokens.revoke(&caller, "ci").await, Err(TokenError::Denied(_))), "{caller:?}");
    }
    assert_eq!(site.said().await, []);
}

#[tokio::test]
async fn neither_the_store_nor_the_trail_nor_a_debug_line_knows_the_secret() {
    let site = Site::open();
    let (kept, secret) = site.tokens.create(&admin(), token("ci", Role::Admin)).await.unwrap();
    let everything = format!("{kept:?} {secret:?} {:?}", site.trail.read(1, 10).await.unwrap());
    assert!(!everything.contains(&secret.expose()), "{everything}");
    assert_eq!(kept.hash, secret.hash());
}

#[test]
fn what_is_no_secret_and_what_is_no_name_is_refused() {
    let good = "A".repeat(43);
    assert!(Secret::parse(&good).is_some());
    for wrong in ["", &"A".repeat(42), &"A".repeat(44), &format!("{good}="), &"+".repeat(43), &"B".repeat(43)] {
        assert_eq!(Secret::parse(wrong), None, "{wrong:?} was taken");
    }
    for wrong in ["", "file", "-x", "a b", "é", "a/b", &"x".repeat(65)] {
        assert!(wrong.parse::<TokenName>().is_err(), "{wrong:?} was taken");
    }
    assert!(["ci", "Ada.L_2-x", &"x".repeat(64)].iter().all(|name| name.parse::<TokenName>().is_ok()));
}

fn overlap(seconds: u64) -> Rotation {
    Rotation { overlap: Duration::from_secs(seconds), expires_at: None }
}

#[tokio::test]
async fn a_token_is_replaced_by_one_of_the_next_name_and_the_same_role_and_span() {
    let site = Site::open();
    let expires_at = Some(site.clock.now().saturating_add(Duration::from_secs(100)));
    let new = NewToken { expires_at, ..token("ci", Role::Operator) };
    let (_, old) = site.tokens.create(&admin(), new).await.unwrap();
    site.clock.advance(Duration::from_secs(40));
    let (made, secret) = site.tokens.rotate(&admin(), "ci", overlap(10)).await.unwrap();
    assert_eq!((made.name.as_str(), &made.role), ("ci.2", &Role::Operator));
    assert_eq!(made.expires_at, Some(site.clock.now().saturating_add(Duration::from_secs(100))));
    site.clock.advance(Duration::from_secs(9));
    assert!(site.tokens.verify(&old).await.unwrap().is_some());
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.tokens.verify(&old).await.unwrap(), None);
    let caller = site.tokens.verify(&secret).await.unwrap().unwrap();
    assert_eq!(caller, Caller { actor: "token:ci.2".to_owned(), role: Role::Operator });
    let (third, _) = site.tokens.rotate(&admin(), "ci.2", overlap(0)).await.unwrap();
    assert_eq!(third.name, "ci.3");
    assert_eq!(site.tokens.verify(&secret).await.unwrap(), None, "without an overlap, at once");
    let told = site.said().await;
    assert_eq!(
        (told[1].0.as_str(), told[1].1.as_str(), &told[1].2["successor"]),
        ("token.rotate", "ci", &"ci.2".into())
    );
}

#[tokio::test]
async fn what_opens_nothing_is_not_replaced_and_neither_is_what_a_caller_may_not() {
    let site = Site::open();
    let code = async |name: &str, caller: &Caller| {
        site.tokens.rotate(caller, name, overlap(1)).await.map(drop).unwrap_err().code().to_owned()
    };
    assert_eq!(code("none", &admin()).await, "not_found");
    site.tokens.create(&admin(), token("ci", Role::Viewer)).await.unwrap();
    let viewer = Caller { actor: "token:ci".to_owned(), role: Role::Viewer };
    assert_eq!(code("ci", &viewer).await, "forbidden");
    site.tokens.revoke(&admin(), "ci").await.unwrap();
    assert_eq!(code("ci", &admin()).await, "conflict");
    let long = "x".repeat(64);
    site.tokens.create(&admin(), token(&long, Role::Viewer)).await.unwrap();
    assert_eq!(code(&long, &admin()).await, "invalid_request");
    assert_eq!(site.tokens.list(&admin()).await.unwrap().len(), 2);
}

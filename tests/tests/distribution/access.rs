//! Who may push and pull, and over what.

use std::path::Path;

use base64::Engine as _;
use rtmanager::distribution::{
    Credentials, CredentialsError, DistributionError, PolicyReference, RegistryOptions, push,
};
use rtmanager::model::ErrorChain;
use rtmanager_tests::oci_registry::{Door, OciRegistry, PASSWORD, USER};

use super::gate::{Gate, Kind};
use super::{artifact, options, pulled, pushed, reference};

/// An error with its causes, as a person reads it.
fn told(error: &DistributionError) -> String {
    ErrorChain(error).to_string()
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_or_none_does_not() {
    let registry = OciRegistry::start_behind(Door { password: true, tls: false });
    let (tag, artifact, file) =
        (reference(&registry, ":1.4.0"), artifact("1.4.0", &[1]), registry.dir().join("password"));
    let by_password = |password: &str| {
        std::fs::write(&file, format!("{password}\n")).unwrap();
        RegistryOptions { credentials: Credentials::from_password_file(USER, &file).unwrap(), ..options() }
    };
    for shut in [options(), by_password("wrong")] {
        for refused in
            [push(&tag, &artifact, &shut, &mut |_, _| {}).await.unwrap_err(), pulled(&tag, &shut).await.unwrap_err()]
        {
            assert!(matches!(refused, DistributionError::Unauthorised { .. }), "{refused:?}");
            assert!(!told(&refused).contains("wrong"), "{refused}");
        }
    }
    push(&tag, &artifact, &by_password(PASSWORD), &mut |_, _| {}).await.unwrap();
    assert_eq!(pulled(&tag, &by_password(PASSWORD)).await.unwrap().envelopes, artifact.envelopes);

    let config = docker_config(registry.dir(), registry.address(), PASSWORD);
    let logged_in = |registry: &str| Credentials::from_docker_config(&config, registry).unwrap();
    let credentials = logged_in(registry.address());
    assert!(!format!("{credentials:?}").contains(PASSWORD), "{credentials:?}");
    assert!(pulled(&tag, &RegistryOptions { credentials, ..options() }).await.is_ok());
    let credentials = logged_in("elsewhere.example");
    let refused = pulled(&tag, &RegistryOptions { credentials, ..options() }).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Unauthorised { .. }), "{refused:?}");
}

/// What `docker login` writes.
fn docker_config(dir: &Path, registry: &str, password: &str) -> std::path::PathBuf {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
    let path = dir.join("config.json");
    std::fs::write(&path, serde_json::json!({ "auths": { registry: { "auth": auth } } }).to_string()).unwrap();
    path
}

#[test]
fn without_a_docker_configuration_one_is_nobody_and_a_broken_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let found = Credentials::from_docker_config(&path, "ghcr.io").unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", Credentials::anonymous()));
    std::fs::write(&path, "no JSON").unwrap();
    assert!(matches!(Credentials::from_docker_config(&path, "ghcr.io"), Err(CredentialsError::Docker { .. })));
    std::fs::write(&path, r#"{"auths":{"ghcr.io":{"identitytoken":"secret"}}}"#).unwrap();
    let refused = Credentials::from_docker_config(&path, "ghcr.io").unwrap_err();
    assert!(matches!(refused, CredentialsError::IdentityToken { .. }), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("secret"));
    let absent = Credentials::from_password_file("me", &dir.path().join("password"));
    assert!(matches!(absent, Err(CredentialsError::File { .. })));
}

#[tokio::test]
async fn a_registry_that_wants_tokens_is_given_one_and_the_password_goes_nowhere_else() {
    let registry = OciRegistry::start();
    let tag = reference(&registry, ":1.4.0");
    pushed(&tag, &artifact("1.4.0", &[1])).await;
    let gate = Gate::before(&registry, Kind::Tokens).await;
    let file = registry.dir().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let credentials = Credentials::from_password_file(USER, &file).unwrap();
    let through: PolicyReference = tag.to_string().replace(registry.address(), gate.address()).parse().unwrap();
    let found = pulled(&through, &RegistryOptions { credentials, ..options() }).await.unwrap();
    assert_eq!(found.envelopes, artifact("1.4.0", &[1]).envelopes);
    // A token for pushing is got and given likewise.
    let newer: PolicyReference = through.to_string().replace(":1.4.0", ":1.5.0").parse().unwrap();
    let credentials = Credentials::from_password_file(USER, &file).unwrap();
    push(&newer, &artifact("1.5.0", &[2]), &RegistryOptions { credentials, ..options() }, &mut |_, _| {})
        .await
        .unwrap();
    assert_eq!(gate.places_told_the_password(), ["/token"]);
    let refused = pulled(&through, &options()).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Unauthorised { .. }), "{refused:?}");
}

#[tokio::test]
async fn tls_is_by_the_authorities_that_are_trusted() {
    let registry = OciRegistry::start_behind(Door { tls: true, password: true });
    let other = OciRegistry::start_behind(Door { tls: true, password: false });
    let (tag, artifact) = (reference(&registry, ":1.4.0"), artifact("1.4.0", &[1]));
    let file = registry.dir().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let by = |ca_certificate| {
        let credentials = Credentials::from_password_file(USER, &file).unwrap();
        RegistryOptions { ca_certificate: Some(ca_certificate), credentials, ..options() }
    };
    push(&tag, &artifact, &by(registry.authority()), &mut |_, _| {}).await.unwrap();
    assert_eq!(pulled(&tag, &by(registry.authority())).await.unwrap().envelopes, artifact.envelopes);
    let refused = pulled(&tag, &by(other.authority())).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Unreachable { .. }), "{refused:?}");
    assert!(told(&refused).to_lowercase().contains("certificate"), "{}", told(&refused));
    // Its name is 127.0.0.1, and no other.
    let renamed = tag.to_string().replace("127.0.0.1", "localhost").parse().unwrap();
    let refused = pulled(&renamed, &by(registry.authority())).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Unreachable { .. }), "{refused:?}");
    let plain = RegistryOptions { plain_http: true, ..by(registry.authority()) };
    let refused = pulled(&tag, &plain).await.unwrap_err();
    assert!(matches!(&refused, DistributionError::Refused { said, .. } if said.contains("HTTPS")), "{refused:?}");
    let empty = registry.dir().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let refused = pulled(&tag, &by(empty)).await.unwrap_err();
    assert!(matches!(refused, DistributionError::Certificate { .. }), "{refused:?}");
}

/// Runs itself again as a process whose system trusts nobody.
#[tokio::test]
async fn a_system_without_authorities_is_told_to_get_some() {
    let nobody = "/dev/null";
    if std::env::var_os("SSL_CERT_FILE").is_some_and(|file| file == nobody) {
        let from: PolicyReference = "127.0.0.1:1/policies/p:1".parse().unwrap();
        let refused = pulled(&from, &options()).await.unwrap_err();
        assert!(matches!(refused, DistributionError::NoAuthorities), "{refused:?}");
        return;
    }
    let (empty, this) = (tempfile::tempdir().unwrap(), std::env::current_exe().unwrap());
    let mut again = std::process::Command::new(this);
    again.args(["--exact", "access::a_system_without_authorities_is_told_to_get_some"]);
    let done = again.env("SSL_CERT_FILE", nobody).env("SSL_CERT_DIR", empty.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

//! Connections by TLS: the server must be who it says, by an authority that the URL names.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rtmanager::adapters::postgres::{OpenError, PostgresOptions, PostgresStore};
use rtmanager_tests::postgres::Postgres;

/// Puts `NAME-ca.pem`, and `NAME.pem` with `NAME.key` for 127.0.0.1, into a directory.
fn certify(dir: &Path, name: &str) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&pair, &authority).unwrap();
    std::fs::write(dir.join(format!("{name}-ca.pem")), authority.pem()).unwrap();
    std::fs::write(dir.join(format!("{name}.pem")), server.pem()).unwrap();
    let key = dir.join(format!("{name}.key"));
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

async fn connect(url: &str) -> Result<(), OpenError> {
    let store = PostgresStore::connect(url, PostgresOptions::default()).await?;
    store.records().ping().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn the_server_must_be_who_it_says() {
    let arguments = ["-c", "ssl=on", "-c", "ssl_cert_file={dir}/own.pem", "-c", "ssl_key_file={dir}/own.key"];
    let server = Postgres::start_with(&arguments, |dir| {
        certify(dir, "own");
        certify(dir, "other");
    });
    let by = |mode: &str, authority: &str, host: &str| {
        let url = server.tcp_url("postgres", "postgres").replace("127.0.0.1", host);
        format!("{url}?sslmode={mode}&sslrootcert={}/{authority}-ca.pem", server.dir().display())
    };
    connect(&by("verify-full", "own", "127.0.0.1")).await.unwrap();
    for (mode, authority, host) in [
        ("verify-full", "other", "127.0.0.1"),
        ("verify-ca", "other", "127.0.0.1"),
        ("verify-full", "own", "localhost"),
    ] {
        let refused = connect(&by(mode, authority, host)).await.unwrap_err();
        assert!(matches!(refused, OpenError::Tls { .. }), "{mode}, {authority}, {host}: {refused:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_demanded() {
    let server = Postgres::shared();
    let refused = connect(&format!("{}?sslmode=require", server.tcp_url("postgres", "postgres"))).await.unwrap_err();
    assert!(matches!(refused, OpenError::Tls { .. }), "{refused:?}");
}

//! Where an engine listens, as `DOCKER_HOST` and its companions say it.

use std::path::{Path, PathBuf};

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// Plain HTTP over TCP, as `host:port`. Whoever reaches it owns the engine's machine.
    Tcp(String),
    /// HTTP over TLS, verified both ways, as `host:port`.
    Tls {
        /// `host:port`; the engine's certificate must be valid for the host.
        address: String,
        /// Holds `ca.pem`, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
}

/// An endpoint that cannot be used; the message says what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The scheme is not served.
    #[error("engine address {0:?} is not served: use unix:///path, tcp://host:port or https://host:port")]
    Scheme(String),
    /// The socket's path is not absolute.
    #[error("engine socket {0:?} must be an absolute path, such as unix:///var/run/docker.sock")]
    Path(String),
    /// It is not `host` or `host:port`.
    #[error("engine address {0:?} must be a host with or without a port, such as tcp://127.0.0.1:2375")]
    Address(String),
    /// TLS is wanted without certificates.
    #[error("TLS to the engine needs DOCKER_CERT_PATH: a directory with ca.pem, cert.pem and key.pem")]
    NoCertificates,
    /// TLS without verification is wanted.
    #[error("DOCKER_CERT_PATH without DOCKER_TLS_VERIFY would trust any engine; set DOCKER_TLS_VERIFY=1")]
    Unverified,
}

impl Endpoint {
    /// Docker's default.
    pub const DEFAULT_SOCKET: &'static str = "/var/run/docker.sock";

    /// What the values of `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` mean. As for the docker
    /// command, an empty value is none, and any other of `DOCKER_TLS_VERIFY` switches verification on.
    pub fn parse(
        docker_host: Option<&str>,
        tls_verify: Option<&str>,
        cert_path: Option<&Path>,
    ) -> Result<Self, InvalidEndpoint> {
        let Some(host) = docker_host.filter(|host| !host.is_empty()) else {
            return Ok(Self::Unix(Self::DEFAULT_SOCKET.into()));
        };
        let verify = tls_verify.is_some_and(|verify| !verify.is_empty());
        let certificates = cert_path.filter(|path| !path.as_os_str().is_empty());
        match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') && path.len() > 1 => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => Err(InvalidEndpoint::Path(host.to_owned())),
            Some(("tcp", address)) if verify => Self::tls(host, address, certificates),
            Some(("tcp" | "http", _)) if certificates.is_some() && !verify => Err(InvalidEndpoint::Unverified),
            Some(("tcp" | "http", address)) => with_port(host, address, 2375).map(Self::Tcp),
            Some(("https", address)) => Self::tls(host, address, certificates),
            _ => Err(InvalidEndpoint::Scheme(host.to_owned())),
        }
    }

    fn tls(host: &str, address: &str, certificates: Option<&Path>) -> Result<Self, InvalidEndpoint> {
        let certificates = certificates.ok_or(InvalidEndpoint::NoCertificates)?.to_owned();
        Ok(Self::Tls { address: with_port(host, address, 2376)?, certificates })
    }
}

fn with_port(host: &str, address: &str, default_port: u16) -> Result<String, InvalidEndpoint> {
    let invalid = || InvalidEndpoint::Address(host.to_owned());
    let address = address.strip_suffix('/').unwrap_or(address);
    let authority: hyper::http::uri::Authority = address.parse().map_err(|_| invalid())?;
    if authority.host().is_empty() || address.contains('@') {
        return Err(invalid());
    }
    match authority.port_u16() {
        Some(_) => Ok(address.to_owned()),
        None if authority.host().len() == address.len() => Ok(format!("{address}:{default_port}")),
        None => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTS: &str = "/certs";

    fn parse(host: &str, verify: &str, certs: &str) -> Result<Endpoint, InvalidEndpoint> {
        Endpoint::parse(Some(host), Some(verify), Some(Path::new(certs)))
    }

    #[test]
    fn without_a_host_it_is_the_default_socket() {
        let default = Ok(Endpoint::Unix(Endpoint::DEFAULT_SOCKET.into()));
        assert_eq!(Endpoint::parse(None, None, None), default);
        assert_eq!(parse("", "1", CERTS), default);
    }

    #[test]
    fn a_unix_socket_is_an_absolute_path() {
        assert_eq!(parse("unix:///run/d.sock", "1", CERTS), Ok(Endpoint::Unix("/run/d.sock".into())));
        for wrong in ["unix://", "unix:///", "unix://run/d.sock"] {
            assert!(matches!(parse(wrong, "", ""), Err(InvalidEndpoint::Path(_))), "{wrong} was taken");
        }
    }

    #[test]
    fn tcp_is_plain_unless_verification_is_on() {
        assert_eq!(parse("tcp://10.0.0.1:99", "", ""), Ok(Endpoint::Tcp("10.0.0.1:99".into())));
        assert_eq!(parse("tcp://engine", "", ""), Ok(Endpoint::Tcp("engine:2375".into())));
        assert_eq!(parse("tcp://[::1]", "", ""), Ok(Endpoint::Tcp("[::1]:2375".into())));
        let tls = Endpoint::Tls { address: "engine:2376".into(), certificates: CERTS.into() };
        assert_eq!(parse("tcp://engine", "1", CERTS), Ok(tls.clone()));
        assert_eq!(parse("https://engine", "", CERTS), Ok(tls));
    }

    #[test]
    fn tls_is_never_unverified_nor_without_certificates() {
        assert_eq!(parse("tcp://engine", "1", ""), Err(InvalidEndpoint::NoCertificates));
        assert_eq!(parse("tcp://engine", "", CERTS), Err(InvalidEndpoint::Unverified));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        for wrong in ["ssh://engine", "npipe:////./pipe/docker", "fd://", "/var/run/docker.sock", "engine:2375"] {
            assert!(matches!(parse(wrong, "", ""), Err(InvalidEndpoint::Scheme(_))), "{wrong} was taken");
        }
        for wrong in ["tcp://", "tcp://:2375", "tcp://engine:port", "tcp://engine/path", "tcp://user@engine:1"] {
            assert!(matches!(parse(wrong, "", ""), Err(InvalidEndpoint::Address(_))), "{wrong} was taken");
        }
    }
}

//! Makes connections to wherever the leases are.

use std::path::PathBuf;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, TlsMode, Value,
};

use super::address::Address;
use super::endpoint::{Login, Place};
use super::{RedisEndpoint, RedisOptions};

/// The settings do not fit together, or name a file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file of authorities cannot be read.
    #[error("the file of Redis's certificate authorities, {path:?}, cannot be read")]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There are authorities, and nothing to verify by them.
    #[error("certificate authorities are of use with TLS only: write rediss:// for redis://")]
    NoTls,
    /// The prefix would put all keys of a cluster on one node, or make two games' keys alike.
    #[error("the prefix of keys, {0:?}, must not have braces")]
    Prefix(String),
    /// The library refused; the file of authorities, most likely, is no PEM.
    #[error("the Redis client cannot be set up")]
    Client(#[source] RedisError),
}

/// Knows how to connect.
pub(super) enum Connector {
    Server(Box<Client>, AsyncConnectionConfig),
    Sentinel(Box<SentinelClient>, AsyncConnectionConfig),
    Cluster(Box<ClusterClient>),
}

/// A connection; clones share it, and what they ask at once is asked at once.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connector {
    pub(super) fn new(endpoint: &RedisEndpoint, options: &RedisOptions) -> Result<Self, ConnectError> {
        if options.prefix.contains(['{', '}']) {
            return Err(ConnectError::Prefix(options.prefix.clone()));
        }
        let certificates = certificates(endpoint, options)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout));
        match &endpoint.place {
            Place::Server(address) => server(tcp(address, endpoint.tls), endpoint, certificates, config),
            Place::Unix(path) => server(ConnectionAddr::Unix(path.clone()), endpoint, certificates, config),
            Place::Sentinel { sentinels, master, login } => {
                let client = sentinel(sentinels, master, login, endpoint, certificates);
                client.map(|client| Self::Sentinel(Box::new(client), config))
            }
            Place::Cluster(nodes) => cluster(nodes, endpoint, certificates, options).map(Self::Cluster),
        }
        .map_err(ConnectError::Client)
    }

    /// Connects; by way of the sentinels or the cluster's nodes if there are such.
    pub(super) async fn connect(&mut self) -> RedisResult<Connection> {
        match self {
            Self::Server(client, config) => {
                client.get_multiplexed_async_connection_with_config(config).await.map(Connection::Server)
            }
            Self::Sentinel(client, config) => {
                client.get_async_connection_with_config(config).await.map(Connection::Server)
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

fn certificates(endpoint: &RedisEndpoint, options: &RedisOptions) -> Result<Option<TlsCertificates>, ConnectError> {
    let Some(path) = options.ca_certificate.clone() else { return Ok(None) };
    if !endpoint.tls {
        return Err(ConnectError::NoTls);
    }
    match std::fs::read(&path) {
        Ok(root_cert) => Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })),
        Err(source) => Err(ConnectError::Certificate { path, source }),
    }
}

fn tcp(address: &Address, tls: bool) -> ConnectionAddr {
    let (host, port) = (address.host.clone(), address.port);
    match tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    }
}

fn settings() -> TcpSettings {
    // Commands are small and each is waited for.
    TcpSettings::default().set_nodelay(true)
}

fn info(address: ConnectionAddr, login: &Login, db: u32) -> RedisResult<ConnectionInfo> {
    let mut redis = RedisConnectionInfo::default().set_db(db.into());
    if let Some(user) = &login.user {
        redis = redis.set_username(user);
    }
    if let Some(password) = &login.password {
        redis = redis.set_password(password);
    }
    Ok(address.into_connection_info()?.set_redis_settings(redis).set_tcp_settings(settings()))
}

fn server(
    address: ConnectionAddr,
    endpoint: &RedisEndpoint,
    certificates: Option<TlsCertificates>,
    config: AsyncConnectionConfig,
) -> RedisResult<Connector> {
    let info = info(address, &endpoint.login, endpoint.db)?;
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates)?,
        None => Client::open(info)?,
    };
    Ok(Connector::Server(Box::new(client), config))
}

fn sentinel(
    sentinels: &[Address],
    master: &str,
    login: &Login,
    endpoint: &RedisEndpoint,
    certificates: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let addresses = sentinels.iter().map(|address| tcp(address, endpoint.tls));
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(endpoint.db.into())
        .set_client_to_redis_tcp_settings(settings());
    if endpoint.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder.set_client_to_sentinel_certificates(certificates.clone());
        builder = builder.set_client_to_redis_certificates(certificates);
    }
    if let Some(user) = &endpoint.login.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &endpoint.login.password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = &login.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &login.password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    builder.build()
}

fn cluster(
    nodes: &[Address],
    endpoint: &RedisEndpoint,
    certificates: Option<TlsCertificates>,
    options: &RedisOptions,
) -> RedisResult<Box<ClusterClient>> {
    let nodes = nodes.iter().map(|node| info(tcp(node, endpoint.tls), &endpoint.login, 0));
    let mut builder = ClusterClient::builder(nodes.collect::<RedisResult<Vec<_>>>()?)
        // Whether a command was sent more than once has to be known here.
        .retries(0)
        // For each node; the way leads by several, of which one may hang.
        .connection_timeout(options.connect_timeout / 4)
        .response_timeout(options.response_timeout)
        .tcp_settings(settings());
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build().map(Box::new)
}

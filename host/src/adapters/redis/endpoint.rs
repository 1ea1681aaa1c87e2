//! Where Redis is, as a URL says it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::address::{Address, decoded};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where leases are kept and as whom. Shown as its URL, without passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisEndpoint {
    pub(super) place: Place,
    /// Whether connections are encrypted and the servers' certificates verified.
    pub(super) tls: bool,
    /// Who we are to the servers that hold the leases.
    pub(super) login: Login,
    pub(super) db: u32,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One server.
    Server(Address),
    /// One server, by its socket.
    Unix(PathBuf),
    /// The present master of a name, as sentinels tell it.
    Sentinel { sentinels: Vec<Address>, master: String, login: Login },
    /// A cluster, by some of its nodes.
    Cluster(Vec<Address>),
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// A URL that cannot be used; the message says what would do, and nothing that could be a part of a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedisEndpoint {
    /// The scheme is not served.
    #[error(
        "the URL must start with redis://, redis+unix://, redis+sentinel:// or redis+cluster://, \
         or for TLS with rediss://, rediss+sentinel:// or rediss+cluster://"
    )]
    Scheme,
    /// A character that separates parts stands within one.
    #[error(
        "user and password must be percent-encoded: '/' as %2F, '@' as %40, ':' as %3A, '?' as %3F, '#' as %23, '%' as %25"
    )]
    Encoding,
    /// There is a fragment.
    #[error("the URL must end before '#': certificates are always verified, by authorities of your choice")]
    Fragment,
    /// A host is missing or malformed.
    #[error("the URL must name one host, with or without a port, such as redis://127.0.0.1:6379 or redis://[::1]")]
    Address,
    /// One of several hosts is missing or malformed.
    #[error("the URL must name hosts, with or without ports, separated by commas, such as h1:7000,h2:7000")]
    Addresses,
    /// The socket's path is not absolute.
    #[error("the socket must be an absolute path, such as redis+unix:///run/redis/redis.sock?db=0")]
    Path,
    /// The master's name is missing or malformed.
    #[error("the master must be named after the sentinels, such as redis+sentinel://h1:26379,h2:26379/mymaster?db=0")]
    Master,
    /// The database is not a number.
    #[error("the database must be a number, such as redis://host:6379/0 or, with a socket or sentinels, ?db=0")]
    Database,
    /// A cluster is asked for a database.
    #[error("a cluster has one database, so the URL must end after the nodes: redis+cluster://h1:6379,h2:6379")]
    ClusterDatabase,
    /// There is an unknown parameter.
    #[error("the URL may have {0}")]
    Parameter(&'static str),
}

impl FromStr for RedisEndpoint {
    type Err = InvalidRedisEndpoint;

    fn from_str(url: &str) -> Result<Self, InvalidRedisEndpoint> {
        let (scheme, rest) = url.split_once("://").ok_or(InvalidRedisEndpoint::Scheme)?;
        let parts = Parts::of(rest)?;
        match scheme {
            "redis" => server(parts, false),
            "rediss" => server(parts, true),
            "redis+unix" => unix(parts),
            "redis+sentinel" => sentinel(parts, false),
            "rediss+sentinel" => sentinel(parts, true),
            "redis+cluster" => cluster(parts, false),
            "rediss+cluster" => cluster(parts, true),
            _ => Err(InvalidRedisEndpoint::Scheme),
        }
    }
}

/// What stands after the scheme.
struct Parts<'a> {
    login: Login,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, InvalidRedisEndpoint> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        // An '@' anywhere else means that what was taken for hosts and path is a password's.
        if tail.contains('@') || user.contains('@') {
            return Err(InvalidRedisEndpoint::Encoding);
        }
        if tail.contains('#') {
            return Err(InvalidRedisEndpoint::Fragment);
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        Ok(Self { login: Login::of(user)?, hosts, path, query })
    }

    fn addresses(&self, default_port: u16) -> Result<Vec<Address>, InvalidRedisEndpoint> {
        let parse = |host| Address::parse(host, default_port).ok_or(InvalidRedisEndpoint::Addresses);
        self.hosts.split(',').map(parse).collect()
    }

    /// The parameters of these names, in their order.
    fn parameters<const N: usize>(
        &self,
        names: [&str; N],
        known: &'static str,
    ) -> Result<[Option<String>; N], InvalidRedisEndpoint> {
        let mut found = [const { None }; N];
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(InvalidRedisEndpoint::Parameter(known))?;
            let place = names.iter().position(|known| *known == name).and_then(|index| found.get_mut(index));
            let place = place.filter(|place| place.is_none()).ok_or(InvalidRedisEndpoint::Parameter(known))?;
            *place = Some(decoded(value).ok_or(InvalidRedisEndpoint::Encoding)?);
        }
        Ok(found)
    }
}

impl Login {
    fn of(user: &str) -> Result<Self, InvalidRedisEndpoint> {
        let (user, password) = match user.split_once(':') {
            Some((_, password)) if password.contains(':') => return Err(InvalidRedisEndpoint::Encoding),
            Some((user, password)) => (user, Some(decoded(password).ok_or(InvalidRedisEndpoint::Encoding)?)),
            None => (user, None),
        };
        let user = decoded(user).ok_or(InvalidRedisEndpoint::Encoding)?;
        Ok(Self { user: Some(user).filter(|user| !user.is_empty()), password })
    }
}

fn database(text: Option<&str>) -> Result<u32, InvalidRedisEndpoint> {
    let number = |text: &str| text.parse().map_err(|_| InvalidRedisEndpoint::Database);
    text.filter(|text| !text.is_empty()).map_or(Ok(0), number)
}

fn server(parts: Parts<'_>, tls: bool) -> Result<RedisEndpoint, InvalidRedisEndpoint> {
    let address = Address::parse(parts.hosts, REDIS_PORT).ok_or(InvalidRedisEndpoint::Address)?;
    let [] = parts.parameters([], "no parameters; the database is its path, as in redis://host:6379/0")?;
    let db = database(parts.path.strip_prefix('/'))?;
    Ok(RedisEndpoint { place: Place::Server(address), tls, login: parts.login, db })
}

fn unix(parts: Parts<'_>) -> Result<RedisEndpoint, InvalidRedisEndpoint> {
    let path = decoded(parts.path).ok_or(InvalidRedisEndpoint::Path)?;
    if !parts.hosts.is_empty() || parts.login != Login::default() || path.len() < 2 {
        return Err(InvalidRedisEndpoint::Path);
    }
    let [db, user, password] =
        parts.parameters(["db", "user", "pass"], "the parameters db, user and pass, each once")?;
    let login = Login { user, password };
    Ok(RedisEndpoint { place: Place::Unix(path.into()), tls: false, login, db: database(db.as_deref())? })
}

fn sentinel(parts: Parts<'_>, tls: bool) -> Result<RedisEndpoint, InvalidRedisEndpoint> {
    let sentinels = parts.addresses(SENTINEL_PORT)?;
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let master = parts.path.strip_prefix('/').filter(|master| !master.is_empty() && master.bytes().all(name));
    let master = master.ok_or(InvalidRedisEndpoint::Master)?.to_owned();
    let names = ["db", "sentinel_user", "sentinel_pass"];
    let [db, user, password] =
        parts.parameters(names, "the parameters db, sentinel_user and sentinel_pass, each once")?;
    let place = Place::Sentinel { sentinels, master, login: Login { user, password } };
    Ok(RedisEndpoint { place, tls, login: parts.login, db: database(db.as_deref())? })
}

fn cluster(parts: Parts<'_>, tls: bool) -> Result<RedisEndpoint, InvalidRedisEndpoint> {
    let nodes = parts.addresses(REDIS_PORT)?;
    if !matches!(parts.path, "" | "/") || !parts.query.is_empty() {
        return Err(InvalidRedisEndpoint::ClusterDatabase);
    }
    Ok(RedisEndpoint { place: Place::Cluster(nodes), tls, login: parts.login, db: 0 })
}

impl fmt::Display for RedisEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (login, db) = (&self.login, self.db);
        match &self.place {
            Place::Server(address) => write!(f, "{scheme}://{login}{address}/{db}"),
            Place::Unix(path) => write!(f, "{scheme}+unix://{login}{}?db={db}", path.display()),
            Place::Sentinel { sentinels, master, .. } => {
                write!(f, "{scheme}+sentinel://{login}{}/{master}?db={db}", joined(sentinels))
            }
            Place::Cluster(nodes) => write!(f, "{scheme}+cluster://{login}{}", joined(nodes)),
        }
    }
}

fn joined(addresses: &[Address]) -> String {
    addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Debug for RedisEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisEndpoint({self})")
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.user.as_deref().unwrap_or_default(), &self.password) {
            ("", None) => Ok(()),
            (user, None) => write!(f, "{user}@"),
            (user, Some(_)) => write!(f, "{user}:***@"),
        }
    }
}

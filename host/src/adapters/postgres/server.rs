//! Which server to connect to, and how.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::{OpenError, PostgresOptions};

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// What may stand behind the question mark. The driver would pass over others with a warning that shows their values.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// A database as it is named in messages: without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(String);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ServerName {
    pub(super) fn of(connect: &PgConnectOptions) -> Self {
        let place = match connect.get_socket() {
            Some(directory) => directory.display().to_string(),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        let user = connect.get_username();
        Self(format!("{user}@{place}/{}", connect.get_database().unwrap_or(user)))
    }
}

/// Parses the URL. Messages do not show it, for a password may stand in it, also in a wrong place.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions, OpenError> {
    if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(OpenError::InvalidUrl("it must start with postgres://".to_owned()));
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        if !PARAMETERS.contains(&name) {
            let known = PARAMETERS.join(", ");
            return Err(OpenError::InvalidUrl(format!("a parameter is not known; these are: {known}")));
        }
    }
    let expected = "it must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, with '%40' for '@', '%2F' for '/' and \
                    the like in its parts; sslmode is one of disable, allow, prefer, require, verify-ca and verify-full";
    url.parse().map_err(|_: sqlx::Error| OpenError::InvalidUrl(expected.to_owned()))
}

/// With the limits that the server is to keep for a session.
pub(super) fn limited(connect: PgConnectOptions, options: PostgresOptions) -> PgConnectOptions {
    let keepalive = options.keepalive.as_secs().max(1);
    named(connect).options([
        ("statement_timeout", millis(options.statement_timeout)),
        ("lock_timeout", millis(options.lock_timeout)),
        ("idle_in_transaction_session_timeout", millis(options.idle_in_transaction_timeout)),
        ("tcp_keepalives_idle", keepalive.to_string()),
        ("tcp_keepalives_interval", keepalive.div_ceil(3).to_string()),
        ("tcp_keepalives_count", "3".to_owned()),
        // What the statements are made for.
        ("default_transaction_isolation", "read committed".to_owned()),
        // Compiling a plan pays for no statement of ours.
        ("jit", "off".to_owned()),
    ])
}

/// As the server lists us in `pg_stat_activity`, unless the URL says otherwise.
pub(super) fn named(connect: PgConnectOptions) -> PgConnectOptions {
    match connect.get_application_name() {
        Some(_) => connect,
        None => connect.application_name("rtmanager"),
    }
}

/// In milliseconds, of which 0 would mean no limit.
fn millis(limit: Duration) -> String {
    limit.as_millis().clamp(1, i32::MAX as u128).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> String {
        parse(url).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn no_message_shows_what_may_be_a_password() {
        for url in [
            "mysql://ada:secret@db/rtmanager",
            "postgres://ada:secret@db:port/rtmanager",
            "postgres://ada:secret/@db/rtmanager",
            "postgres://ada@db/rtmanager?passwrd=secret",
            "postgres://ada@db/rtmanager?secret",
            "postgres://ada@db/rtmanager?sslmode=secret",
            "ada:secret@db",
        ] {
            let message = message(url);
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_server_is_named_without_the_password() {
        let name = |url: &str| ServerName::of(&parse(url).unwrap()).to_string();
        assert_eq!(name("postgres://ada:secret@db.example:5433/rt"), "ada@db.example:5433/rt");
        assert_eq!(name("postgres://ada:secret@db.example/rt?host=/run/postgresql"), "ada@/run/postgresql/rt");
    }

    #[test]
    fn limits_travel_in_the_first_packet() {
        let connect = limited(parse("postgres://ada@db/rt").unwrap(), PostgresOptions::default());
        let options = connect.get_options().unwrap();
        assert!(options.contains("statement_timeout=10000") && options.contains("lock_timeout=5000"), "{options}");
        assert_eq!(connect.get_application_name(), Some("rtmanager"));
    }
}

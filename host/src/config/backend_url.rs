//! Where a backend is. A password may stand in it, so it is shown without.

use std::fmt;

const HIDDEN: &str = "***";

/// The URL of a store or of leases. Shown, in messages and logs, without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendUrl(String);

impl BackendUrl {
    /// A URL with one of these schemes.
    pub(super) fn with_scheme(text: &str, schemes: &[&str]) -> Option<Self> {
        let (scheme, _) = text.split_once("://")?;
        schemes.contains(&scheme).then(|| Self(text.to_owned()))
    }

    /// For the adapter that connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What stands between the scheme and the last `@` before the path, if that is a password; and parameters that are.
impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        write!(f, "{scheme}://{}", without_password(place))?;
        let Some(query) = query else { return Ok(()) };
        let shown: Vec<_> = query.split('&').map(without_secret).collect();
        write!(f, "?{}", shown.join("&"))
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendUrl({self})")
    }
}

fn without_password(place: &str) -> String {
    let Some((login, server)) = place.rsplit_once('@') else { return place.to_owned() };
    match login.split_once(':') {
        Some((user, _)) => format!("{user}:{HIDDEN}@{server}"),
        None => format!("{login}@{server}"),
    }
}

fn without_secret(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={HIDDEN}"),
        _ => parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        BackendUrl::with_scheme(url, &["postgres", "redis+sentinel"]).unwrap().to_string()
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(shown("postgres://u:p@ss@h:1/d?sslmode=require"), "postgres://u:***@h:1/d?sslmode=require");
        assert_eq!(shown("postgres://h/d?user=u&password=secret"), "postgres://h/d?user=u&password=***");
        assert_eq!(shown("redis+sentinel://:p@a:1,b:2/m"), "redis+sentinel://:***@a:1,b:2/m");
        assert_eq!(shown("postgres://u@h/d"), "postgres://u@h/d");
        let url = BackendUrl::with_scheme("postgres://u:secret@h/d", &["postgres"]).unwrap();
        assert_eq!(format!("{url:?}"), "BackendUrl(postgres://u:***@h/d)");
    }

    #[test]
    fn another_scheme_is_none() {
        assert_eq!(BackendUrl::with_scheme("mysql://h/d", &["postgres"]), None);
        assert_eq!(BackendUrl::with_scheme("postgres", &["postgres"]), None);
    }
}

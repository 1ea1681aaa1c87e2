//! Where settings come from, and the only place that reads the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

const PREFIX: &str = "RTMANAGER_";

/// What the process was given, apart from its command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The environment's variables; those that are not Unicode are left out.
    pub variables: BTreeMap<String, String>,
    /// The user that the process acts as; root has system-wide default paths.
    pub uid: Option<u32>,
    /// Where the configuration file is looked for if none is named.
    pub usual_files: Vec<PathBuf>,
}

impl Environment {
    /// This process's.
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = std::env::vars_os().filter_map(unicode).collect();
        let usual_files = super::USUAL_FILES.map(PathBuf::from).into();
        Self { variables, uid: Some(rustix::process::geteuid().as_raw()), usual_files }
    }

    /// Who runs a command, for the operation log.
    pub fn operator(&self) -> String {
        self.uid.map_or_else(|| "cli".to_owned(), |uid| format!("cli:uid={uid}"))
    }

    /// Docker's own configuration, where `docker login` keeps what it was told.
    pub fn docker_config(&self) -> Option<PathBuf> {
        let directory = self.get("DOCKER_CONFIG").map(PathBuf::from);
        let directory = directory.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(".docker")));
        directory.map(|directory| directory.join("config.json"))
    }

    fn is_root(&self) -> bool {
        self.uid == Some(0)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where state is kept that must survive a restart.
    pub(super) fn state_directory(&self) -> PathBuf {
        match (self.is_root(), self.get("XDG_STATE_HOME"), self.get("HOME")) {
            (true, _, _) | (_, None, None) => PathBuf::from("/var/lib/rtmanager"),
            (_, Some(state), _) => PathBuf::from(state).join("rtmanager"),
            (_, None, Some(home)) => PathBuf::from(home).join(".local/state/rtmanager"),
        }
    }

    /// Where sockets are put.
    pub(super) fn runtime_directory(&self) -> PathBuf {
        match (self.is_root(), self.get("XDG_RUNTIME_DIR")) {
            (true, _) => PathBuf::from("/run/rtmanager"),
            (_, Some(runtime)) => PathBuf::from(runtime).join("rtmanager"),
            (_, None) => self.state_directory(),
        }
    }
}

/// Settings of the environment: `RTMANAGER_SWEEP__PAGE_SIZE` is `sweep.page_size`.
pub(super) struct FromEnvironment<'e>(pub &'e Environment);

impl Provider for FromEnvironment<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut settings = Dict::new();
        for (name, value) in &self.0.variables {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            match key {
                // It names the file, and is no setting of it.
                "CONFIG" => {}
                key if is_service_link(key) => {}
                "LOG" => insert(&mut settings, "log.filter", value),
                key => insert(&mut settings, &key.to_ascii_lowercase().replace("__", "."), value),
            }
        }
        Ok(Profile::Default.collect(settings))
    }
}

/// Whether Kubernetes set it, which tells every container of a namespace about each Service in it: if one
/// is named `rtmanager`, in our own prefix. No setting has such a name.
fn is_service_link(key: &str) -> bool {
    let is_port_name = |name: &str| name.split('_').all(|part| !part.is_empty());
    match key {
        "SERVICE_HOST" | "SERVICE_PORT" | "PORT" => true,
        key => {
            key.strip_prefix("SERVICE_PORT_").is_some_and(is_port_name)
                || key.strip_prefix("PORT_").is_some_and(is_linked_port)
        }
    }
}

/// `8080_TCP`, and the same with `_PROTO`, `_PORT` or `_ADDR`.
fn is_linked_port(key: &str) -> bool {
    let mut parts = key.split('_');
    let is_number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
    let is_protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
    is_number && is_protocol && matches!((parts.next(), parts.next()), (None | Some("PROTO" | "PORT" | "ADDR"), None))
}

/// Settings of the command line: dotted keys and their values.
pub(super) struct FromFlags<'f>(pub &'f [(String, String)]);

impl Provider for FromFlags<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("command line")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut settings = Dict::new();
        for (key, value) in self.0 {
            insert(&mut settings, key, value);
        }
        Ok(Profile::Default.collect(settings))
    }
}

/// Puts a value at a dotted key. Where a value stands in the way of a table, the table wins.
fn insert(dict: &mut Dict, key: &str, value: &str) {
    let Some((first, rest)) = key.split_once('.') else {
        dict.insert(key.to_owned(), Value::from(value));
        return;
    };
    let entry = dict.entry(first.to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if !matches!(entry, Value::Dict(..)) {
        *entry = Value::from(Dict::new());
    }
    if let Value::Dict(_, table) = entry {
        insert(table, rest, value);
    }
}

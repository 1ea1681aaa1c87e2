//! Reads one table of settings key by key, and reports everything that is wrong with it, not the first thing.

use std::fmt;
use std::ops::RangeInclusive;

use figment::Figment;
use figment::value::{Dict, Value};

use super::BackendUrl;
use super::kinds::{Kind, scalar_text};

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, dotted.
    pub key: String,
    /// The value as given; empty if the trouble is not with one.
    pub value: String,
    /// Where it comes from.
    pub source: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if !self.value.is_empty() {
            write!(f, " = {:?}", self.value)?;
        }
        write!(f, " ({}): {}", self.source, self.expected)
    }
}

/// One setting in effect, as it may be shown: secrets are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, dotted.
    pub key: String,
    /// The value in effect.
    pub value: String,
    /// Where it comes from.
    pub source: String,
}

#[derive(Default)]
pub(super) struct Report {
    pub problems: Vec<Problem>,
    pub settings: Vec<Setting>,
    unknown: Vec<(String, String)>,
}

impl Report {
    /// Turns unknown keys into problems; only now are all known keys known.
    pub(super) fn suggest(&mut self) {
        for (key, source) in std::mem::take(&mut self.unknown) {
            let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
            let likeness = |known: &str| {
                strsim::jaro_winkler(&key, known).max(strsim::jaro_winkler(&last(&key), &last(known)) - 0.01)
            };
            let nearest = self.settings.iter().map(|known| (likeness(&known.key), &known.key));
            let nearest = nearest.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
            let expected = match nearest {
                Some((_, known)) => format!("no such setting; did you mean {known}?"),
                None => "no such setting; `rtmanager config check --all` lists them".to_owned(),
            };
            self.problems.push(Problem { key, value: String::new(), source, expected });
        }
    }
}

pub(super) struct Section<'f> {
    figment: &'f Figment,
    path: String,
    values: Dict,
    pub report: Report,
}

impl<'f> Section<'f> {
    pub(super) fn root(figment: &'f Figment, values: Dict) -> Self {
        Self { figment, path: String::new(), values, report: Report::default() }
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether a key is given, and not as the empty text.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.as_str() != Some(""))
    }

    fn source_of(&self, value: &Value) -> String {
        let Some(metadata) = self.figment.get_metadata(value.tag()) else { return "default".to_owned() };
        match metadata.source.as_ref().and_then(figment::Source::file_path) {
            Some(path) => path.display().to_string(),
            None => metadata.name.to_string(),
        }
    }

    /// The value of a key, or its default. A wrong value is reported, and the default stands in for it.
    pub(super) fn read<T: Kind>(&mut self, name: &str, default: T) -> T {
        self.read_if(name, default, |_| Ok(()))
    }

    /// A URL with one of these schemes, or none for the empty text. What is wrong with one is not shown: a password may
    /// stand in it.
    pub(super) fn url(&mut self, name: &str, schemes: &[&str], expected: &str) -> Option<BackendUrl> {
        let given = self.values.remove(name);
        let source = given.as_ref().map_or_else(|| "default".to_owned(), |value| self.source_of(value));
        let text = given.as_ref().map(|value| scalar_text(value).unwrap_or_default()).unwrap_or_default();
        let url = BackendUrl::with_scheme(text.trim(), schemes);
        self.note(name, url.as_ref().map_or_else(String::new, ToString::to_string), source.clone());
        if url.is_none() && given.is_some_and(|value| value.as_str() != Some("")) {
            let (key, expected) = (self.key(name), expected.to_owned());
            self.report.problems.push(Problem { key, value: String::new(), source, expected });
        }
        url
    }

    /// The same within bounds.
    pub(super) fn within<T: Kind + PartialOrd>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> T {
        self.read_if(name, default, |value| {
            let bounds = || format!("must be from {} to {}", range.start().show(), range.end().show());
            if range.contains(value) { Ok(()) } else { Err(bounds()) }
        })
    }

    /// The same, if `check` passes; its error says what would be right.
    pub(super) fn read_if<T: Kind>(
        &mut self,
        name: &str,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        let Some(given) = self.values.remove(name) else {
            self.note(name, default.show(), "default".to_owned());
            return default;
        };
        let source = self.source_of(&given);
        let parsed = T::parse(&given).map_err(str::to_owned);
        match parsed.and_then(|value| check(&value).map(|()| value)) {
            Ok(value) => {
                self.note(name, value.show(), source);
                value
            }
            Err(expected) => {
                self.note(name, default.show(), "default".to_owned());
                let value = if is_secret(name) { "(hidden)".to_owned() } else { text_of(&given) };
                self.report.problems.push(Problem { key: self.key(name), value, source, expected });
                default
            }
        }
    }

    fn note(&mut self, name: &str, value: String, source: String) {
        let value = if is_secret(name) { "(hidden)".to_owned() } else { value };
        self.report.settings.push(Setting { key: self.key(name), value, source });
    }

    /// Reports something that is wrong between settings.
    pub(super) fn problem(&mut self, name: &str, value: String, expected: impl Into<String>) {
        let key = self.key(name);
        let noted = self.report.settings.iter().find(|setting| setting.key == key);
        let source = noted.map_or_else(|| "default".to_owned(), |setting| setting.source.clone());
        self.report.problems.push(Problem { key, value, source, expected: expected.into() });
    }

    /// Reads a table, rejecting the keys that `read` does not ask for.
    pub(super) fn section<T>(&mut self, name: &str, read: impl FnOnce(&mut Section<'f>) -> T) -> T {
        let values = self.take_table(name);
        let mut child =
            Section { figment: self.figment, path: self.key(name), values, report: std::mem::take(&mut self.report) };
        let value = read(&mut child);
        self.report = child.finish();
        value
    }

    /// Reads a table whose keys are the user's names, each of a kind.
    pub(super) fn named<N: std::str::FromStr<Err: fmt::Display>, T>(
        &mut self,
        name: &str,
        read: impl Fn(&str, &mut Section<'f>) -> T,
    ) -> Vec<(N, T)> {
        let values = self.take_table(name);
        let names: Vec<String> = values.keys().cloned().collect();
        let mut child =
            Section { figment: self.figment, path: self.key(name), values, report: std::mem::take(&mut self.report) };
        let mut entries = Vec::new();
        for name in names {
            let value = child.section(&name, |section| read(&name, section));
            match name.parse::<N>() {
                Ok(parsed) => entries.push((parsed, value)),
                Err(error) => child.problem(&name, String::new(), error.to_string()),
            }
        }
        self.report = child.finish();
        entries
    }

    /// Reads a table of free texts.
    pub(super) fn texts(&mut self, name: &str) -> Vec<(String, String)> {
        self.section(name, |section| {
            let names: Vec<String> = section.values.keys().cloned().collect();
            names.into_iter().map(|name| (name.clone(), section.read(&name, String::new()))).collect()
        })
    }

    fn take_table(&mut self, name: &str) -> Dict {
        match self.values.remove(name) {
            None => Dict::new(),
            Some(Value::Dict(_, values)) => values,
            Some(other) => {
                let (source, value) = (self.source_of(&other), text_of(&other));
                let expected = "must be a table".to_owned();
                self.report.problems.push(Problem { key: self.key(name), value, source, expected });
                Dict::new()
            }
        }
    }

    pub(super) fn finish(mut self) -> Report {
        for (name, value) in std::mem::take(&mut self.values) {
            let source = self.source_of(leaf(&value));
            self.report.unknown.push((self.key(&name), source));
        }
        self.report
    }
}

/// A table has the tag of no source of its own; its first value does.
fn leaf(value: &Value) -> &Value {
    match value {
        Value::Dict(_, table) => table.values().next().map_or(value, leaf),
        other => other,
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
        other => super::kinds::scalar_text(other).unwrap_or_default(),
    }
}

/// By its name: settings of tenants' policies are free, and some will be secrets.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_path = name.ends_with("_file") || name.starts_with("tls_");
    !is_path
        && ["secret", "token", "password", "passphrase", "key", "credential"].iter().any(|word| name.contains(word))
}

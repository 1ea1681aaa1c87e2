//! Scenario files as they are written: one struct for each table, one field for each key. What the keys mean stands in
//! `schema.json` beside this, which `rtmanager policy test --schema` prints.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::words::{DeedKind, What};
use crate::config::parse_span;
use crate::simulation::Plan;

/// A file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) scenario: Vec<Scenario>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) about: Option<String>,
    pub(super) now: Option<Parsed<crate::model::Timestamp>>,
    pub(super) retention: Option<Span>,
    #[serde(default)]
    pub(super) settings: BTreeMap<String, SettingText>,
    pub(super) limits: Option<Limits>,
    pub(super) grants: Option<Vec<Parsed<crate::model::Grant>>>,
    #[serde(default)]
    pub(super) runtime: Vec<Runtime>,
    #[serde(default)]
    pub(super) step: Vec<Step>,
    #[serde(default)]
    pub(super) end: Vec<End>,
    pub(super) simulation: Option<Plan>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) memory_bytes: Option<u64>,
    pub(super) guest_time: Option<Span>,
    pub(super) run_time: Option<Span>,
    pub(super) calls: Option<u32>,
    pub(super) bytes_per_run: Option<u64>,
    pub(super) log_lines: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    pub(super) game: Parsed<crate::model::GameId>,
    pub(super) tenant: Option<Parsed<crate::model::TenantId>>,
    pub(super) status: Option<String>,
    pub(super) stopped_ago: Option<Span>,
    pub(super) stopped_at: Option<Parsed<crate::model::Timestamp>>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) image: Option<String>,
    pub(super) hold: Option<String>,
    #[serde(default)]
    pub(super) failed_attempts: u32,
    pub(super) lease: Option<LeaseWord>,
    pub(super) container: Option<ContainerForm>,
}

/// The container of a record: a word, or its description.
#[derive(Debug)]
pub(super) enum ContainerForm {
    None,
    Gone,
    There(Box<ContainerTable>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerTable {
    pub(super) state: Option<String>,
    pub(super) exit_code: Option<i64>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) image: Option<String>,
    pub(super) id: Option<Parsed<crate::model::ContainerId>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LeaseWord {
    Free,
    Held,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) review: Option<String>,
    pub(super) sweep: Option<String>,
    pub(super) cleanup: Option<String>,
    pub(super) advance: Option<Span>,
    pub(super) deed: Option<DeedKind>,
    pub(super) recover: Option<bool>,
    pub(super) game: Option<String>,
    pub(super) source: Option<String>,
    pub(super) source_ref: Option<String>,
    pub(super) status: Option<String>,
    pub(super) tenant: Option<Parsed<crate::model::TenantId>>,
    #[serde(default)]
    pub(super) faults: Vec<Fault>,
    #[serde(default)]
    pub(super) meanwhile: Vec<Meanwhile>,
    pub(super) expect: Option<Expect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) call: Option<String>,
    pub(super) backend: Option<String>,
    pub(super) nth: Option<u32>,
    pub(super) every: Option<bool>,
    pub(super) what: What,
    pub(super) by: Option<SignedSpan>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Meanwhile {
    pub(super) before: Option<String>,
    pub(super) before_backend: Option<String>,
    pub(super) nth: Option<u32>,
    pub(super) deed: DeedKind,
    pub(super) game: Option<String>,
    pub(super) status: Option<String>,
    pub(super) tenant: Option<Parsed<crate::model::TenantId>>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) advice: Option<AdviceWord>,
    pub(super) reason: Option<String>,
    pub(super) wait_until: Option<Parsed<crate::model::Timestamp>>,
    pub(super) waits: Option<Span>,
    pub(super) outcome: Option<OutcomeWord>,
    pub(super) error_code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) calls: Option<Vec<String>>,
    pub(super) calls_in_order: Option<Vec<String>>,
    #[serde(default)]
    pub(super) never: Vec<String>,
    pub(super) denied: Option<Vec<String>>,
    #[serde(default)]
    pub(super) logs: Vec<String>,
    pub(super) keeps_rules: Option<bool>,
    pub(super) entry: Option<EntryForm>,
    pub(super) record: Option<String>,
    pub(super) container: Option<String>,
    pub(super) lease: Option<LeaseWord>,
    pub(super) entries: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AdviceWord {
    Due,
    Wait,
    Keep,
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OutcomeWord {
    Success,
    Failure,
    Crashed,
    Skipped,
}

/// The step's entry: none, or what it says.
#[derive(Debug, Clone)]
pub(super) enum EntryForm {
    None,
    Says(Box<EntryTable>),
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryTable {
    pub(super) outcome: Option<OutcomeWord>,
    pub(super) error_code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) author: Option<String>,
    pub(super) fault: Option<String>,
    pub(super) container: Option<String>,
    pub(super) image: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) game: String,
    pub(super) record: Option<String>,
    pub(super) container: Option<String>,
    pub(super) lease: Option<LeaseWord>,
    pub(super) entries: Option<usize>,
}

/// A span such as `90s`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

/// A span, forwards or backwards, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedSpan(pub(super) i64);

/// Whatever reads itself from a text.
#[derive(Debug, Clone)]
pub(super) struct Parsed<T>(pub(super) T);

/// A setting's value: a text, or a number or truth value that stands for one.
#[derive(Debug, Clone)]
pub(super) struct SettingText(pub(super) String);

const SPANS: &str = "a number with its unit, such as 90s, 1h30m or 7d";

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = parse_span(&text);
        span.map(Self).ok_or_else(|| D::Error::custom(format!("is {text:?}, and has to be {SPANS}")))
    }
}

impl<'de> Deserialize<'de> for SignedSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(&text)),
        };
        let span = parse_span(digits).and_then(|span| i64::try_from(span.as_millis()).ok());
        let span = span.map(|millis| Self(millis.saturating_mul(sign)));
        span.ok_or_else(|| D::Error::custom(format!("is {text:?}, and has to be {SPANS}, forwards or with a -")))
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SettingText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = SettingText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SettingText, E> {
                Ok(SettingText(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<SettingText, E> {
                Ok(SettingText(number.to_string()))
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<SettingText, E> {
                Ok(SettingText(truth.to_string()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A word, or a table.
macro_rules! word_or_table {
    ($form:ident, $expected:literal, { $($word:literal => $meant:expr),* }, $table:expr) => {
        impl<'de> Deserialize<'de> for $form {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;

                impl<'de> Visitor<'de> for Either {
                    type Value = $form;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$form, E> {
                        match text {
                            $($word => Ok($meant),)*
                            _ => Err(E::custom(format!(concat!("is {:?}, and has to be ", $expected), text))),
                        }
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$form, A::Error> {
                        Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Box::new).map($table)
                    }
                }

                deserializer.deserialize_any(Either)
            }
        }
    };
}

word_or_table!(
    ContainerForm,
    "a table, or `none` (the record names none) or `gone` (the engine does not have it)",
    { "none" => ContainerForm::None, "gone" => ContainerForm::Gone },
    ContainerForm::There
);
word_or_table!(EntryForm, "a table, or `none`", { "none" => EntryForm::None }, EntryForm::Says);

//! The kinds of settings: how each is read from a file's value or the environment's text, and shown.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Num, Value};

use super::span::{parse_span, show_span};
use super::{Endpoint, Listen, Synchronous};
use crate::telemetry::LogFormat;

pub(super) trait Kind: Sized {
    /// The value, or what would be one.
    fn parse(value: &Value) -> Result<Self, &'static str>;
    fn show(&self) -> String;
}

/// A scalar as text, so that `8` in a file and `"8"` in the environment are one thing.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, truth) => Some(truth.to_string()),
        Value::Num(_, Num::F32(number)) => Some(number.to_string()),
        Value::Num(_, Num::F64(number)) => Some(number.to_string()),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128()) {
            (Some(signed), _) => Some(signed.to_string()),
            (None, unsigned) => unsigned.map(|unsigned| unsigned.to_string()),
        },
        _ => None,
    }
}

macro_rules! kinds {
    ($($type:ty, $expected:literal, $parse:expr, $show:expr;)*) => {$(
        impl Kind for $type {
            fn parse(value: &Value) -> Result<Self, &'static str> {
                let parse: fn(&str) -> Option<Self> = $parse;
                scalar_text(value).and_then(|text| parse(text.trim())).ok_or($expected)
            }

            fn show(&self) -> String {
                let show: fn(&Self) -> String = $show;
                show(self)
            }
        }
    )*};
}

kinds! {
    u32, "must be a whole number", |text| text.parse().ok(), u32::to_string;
    u64, "must be a whole number", |text| text.parse().ok(), u64::to_string;
    usize, "must be a whole number", |text| text.parse().ok(), usize::to_string;
    NonZeroU32, "must be a whole number, 1 or more", |text| text.parse().ok(), NonZeroU32::to_string;
    NonZeroUsize, "must be a whole number, 1 or more", |text| text.parse().ok(), NonZeroUsize::to_string;
    f64, "must be a number, such as 0.2", |text| text.parse().ok().filter(|n: &f64| n.is_finite()), f64::to_string;
    bool, "must be true or false", |text| text.parse().ok(), bool::to_string;
    Duration, "must be a span with its unit, such as 90s, 15m, 1h30m or 7d", parse_span, |span| show_span(*span);
    PathBuf, "must be a path", |text| (!text.is_empty()).then(|| PathBuf::from(text)), |path| path.display().to_string();
    LogFormat, "must be auto, text or json", LogFormat::from_text, |format| format.as_str().to_owned();
    Synchronous, "must be full or normal", Synchronous::from_text, |level| level.as_str().to_owned();
    Listen, "must be unix:/absolute/path or ADDRESS:PORT, such as 127.0.0.1:7070", Listen::from_text, Listen::to_string;
    Endpoint, "must be unix:///absolute/path, tcp://HOST:PORT or https://HOST:PORT", Endpoint::from_text, Endpoint::to_string;
}

impl Kind for String {
    fn parse(value: &Value) -> Result<Self, &'static str> {
        scalar_text(value).ok_or("must be text")
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// None is the empty text.
impl<T: Kind> Kind for Option<T> {
    fn parse(value: &Value) -> Result<Self, &'static str> {
        if value.as_str().is_some_and(str::is_empty) { Ok(None) } else { T::parse(value).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, T::show)
    }
}

/// A list in a file; in the environment, divided by commas.
impl Kind for Vec<String> {
    fn parse(value: &Value) -> Result<Self, &'static str> {
        let expected = "must be a list of texts";
        if let Value::Array(_, values) = value {
            return values.iter().map(|value| scalar_text(value).ok_or(expected)).collect();
        }
        let text = value.as_str().ok_or(expected)?;
        Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    fn show(&self) -> String {
        self.join(", ")
    }
}

//! Logs: text for people at a terminal, JSON lines for programs; always on stderr, so that stdout stays
//! a command's answer. Also reads the trace context that callers send along.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text if stderr is a terminal, otherwise JSON.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The format's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// The format with that name.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("the log filter is not valid")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody else has set a subscriber in this process.
    #[error("logs are set up already")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends this process's logs to stderr.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Error> {
    let filter = EnvFilter::builder().parse(filter)?;
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if format == LogFormat::Text || (format == LogFormat::Auto && is_terminal) {
        builder.with_ansi(is_terminal).with_target(false).finish().try_init()?;
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()?;
    }
    Ok(())
}

/// Whether `filter` is a valid log filter; says what is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::builder().parse(filter).map(drop).map_err(|error| error.to_string())
}

/// The caller's place in a distributed trace: W3C Trace Context, level 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: String,
    span_id: String,
}

impl TraceContext {
    /// Reads a `traceparent` header. None if it is malformed: the standard says to go on without.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_set = |text: &str| text.bytes().any(|b| b != b'0');
        let well_formed = is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(span_id, 16) && is_hex(flags, 2);
        // Version 00 has four fields; later ones may add some; ff is forbidden.
        let known_length = version != "00" || parts.next().is_none();
        let valid = well_formed && known_length && version != "ff" && is_set(trace_id) && is_set(span_id);
        valid.then(|| Self { trace_id: trace_id.to_owned(), span_id: span_id.to_owned() })
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The caller's span, 16 hexadecimal digits.
    pub fn span_id(&self) -> &str {
        &self.span_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn reads_trace_and_span_of_a_traceparent() {
        let context = TraceContext::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!((context.trace_id(), context.span_id()), (TRACE, "00f067aa0ba902b7"));
        assert!(TraceContext::parse(&format!("cc-{TRACE}-00f067aa0ba902b7-01-what-is-new")).is_some());
    }

    #[test]
    fn goes_on_without_a_malformed_traceparent() {
        let zero = "0".repeat(32);
        for wrong in [
            String::new(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-extra"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{zero}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
        ] {
            assert_eq!(TraceContext::parse(&wrong), None, "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!(check_filter("info,rtmanager=debug").is_ok());
        assert!(check_filter("rtmanager=loud").is_err());
    }
}

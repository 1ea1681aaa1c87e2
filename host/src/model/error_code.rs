//! Stable codes: why an operation failed, or how it succeeded.

use std::borrow::Cow;
use std::fmt;

/// A stable code in snake_case: at most 64 bytes of `a-z`, `0-9` and `_`.
///
/// Policies may use codes of their own; [`ErrorCode::metric_label`] keeps metrics bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ErrorCode(Cow<'static, str>);

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*

            /// Every code that the default policy or the host gives.
            pub const KNOWN: &'static [&'static str] = &[$($text),*];
        }
    };
}

error_codes! {
    /// The request itself is wrong.
    INVALID_REQUEST = "invalid_request";
    /// The game has no record.
    NOT_FOUND = "not_found";
    /// The state found forbids the operation, or another operation is under way.
    CONFLICT = "conflict";
    /// A backend that the operation needs failed.
    SERVICE_UNAVAILABLE = "service_unavailable";
    /// Something that no caller can mend.
    INTERNAL_ERROR = "internal_error";
    /// The host ended before the run did; the record is unchanged.
    RUN_ABANDONED = "run_abandoned";
    /// A success that found the work done.
    REPLAY_NO_OP = "replay_no_op";
    /// The policy trapped.
    POLICY_TRAP = "policy_trap";
    /// The policy ran longer than the guest time allows.
    POLICY_DEADLINE = "policy_deadline_exceeded";
    /// The run took longer than the wall-clock allows.
    POLICY_RUN_TIMEOUT = "policy_run_timeout";
    /// The policy asked for more memory, tables or instances than it may have.
    POLICY_MEMORY = "policy_memory_exceeded";
    /// The policy made more calls to the host than it may.
    POLICY_CALLS = "policy_calls_exceeded";
    /// The policy passed more bytes to the host than it may.
    POLICY_BYTES = "policy_bytes_exceeded";
    /// The policy held more handles than it may.
    POLICY_HANDLES = "policy_handles_exceeded";
    /// The policy exhausted its stack.
    POLICY_STACK = "policy_stack_exceeded";
    /// The policy answered with something that the contract does not allow.
    POLICY_INVALID_ANSWER = "policy_invalid_answer";
    /// The policy claimed a success that the host did not see.
    POLICY_FALSE_SUCCESS = "policy_false_success";
    /// The policy ended without an entry in the operation log.
    POLICY_NO_ENTRY = "policy_no_entry";
    /// The policy's entry and its answer differ.
    POLICY_CONTRADICTION = "policy_contradiction";
    /// The policy could not be instantiated.
    POLICY_UNAVAILABLE = "policy_unavailable";
    /// The policy was revoked before the run began, and nothing serves in its place.
    POLICY_REVOKED = "policy_revoked";
}

impl ErrorCode {
    /// Longest code, in bytes.
    pub const MAX_LEN: usize = 64;

    /// A policy's own code, or none if it does not have the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(known) = Self::KNOWN.iter().find(|known| **known == text) {
            return Some(Self(Cow::Borrowed(known)));
        }
        let well_formed = !text.is_empty()
            && text.len() <= Self::MAX_LEN
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        well_formed.then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The code as it is stored and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is for something that a policy did wrong in its run.
    pub fn is_policy_fault(&self) -> bool {
        self.0.starts_with("policy_") && *self != Self::POLICY_UNAVAILABLE && *self != Self::POLICY_REVOKED
    }

    /// The code, or `other` for a policy's own: the label values of a metric are a bounded set.
    pub fn metric_label(&self) -> &'static str {
        Self::KNOWN.iter().find(|known| **known == self.0).copied().unwrap_or("other")
    }
}

impl serde::Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is no error code")))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

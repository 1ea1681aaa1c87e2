//! Identifiers: parsed once, valid ever after.

use super::text::is_control;

/// A text that is no valid identifier of its kind; the message says what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {given:?} is not valid: {expected}")]
pub struct InvalidId {
    pub(super) kind: &'static str,
    pub(super) given: String,
    pub(super) expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(super) std::sync::Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::InvalidId;

            fn from_str(text: &str) -> Result<Self, $crate::model::InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    return Ok(Self(text.into()));
                }
                let given = text.chars().take(80).collect();
                Err($crate::model::InvalidId { kind: $kind, given, expected: $expected })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }
    };
}
pub(super) use text_id;

text_id!(
    /// A game, platform-wide. Used as given: neither trimmed nor folded.
    GameId,
    "game id",
    "1 to 256 bytes, not blank, without control characters, line separators and direction marks",
    |text| text.len() <= 256 && !text.trim().is_empty() && !text.chars().any(is_control)
);

text_id!(
    /// A tenant of the platform.
    TenantId,
    "tenant",
    "1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', starting with a letter or digit",
    is_name
);

text_id!(
    /// A container engine, by its configured name.
    EngineName,
    "engine",
    "1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', starting with a letter or digit",
    is_name
);

text_id!(
    /// A container, by its full immutable id. Names and prefixes are never used.
    ContainerId,
    "container id",
    "the full id, 64 lower-case hexadecimal digits",
    is_sha256_hex
);

text_id!(
    /// The SHA-256 of a policy's component, in hexadecimal.
    PolicyDigest,
    "policy digest",
    "64 lower-case hexadecimal digits",
    is_sha256_hex
);

text_id!(
    /// One run of a policy: 32 hexadecimal digits, drawn at random.
    RunId,
    "run id",
    "32 lower-case hexadecimal digits",
    |text| text.len() == 32 && text.bytes().all(is_lower_hex)
);

impl RunId {
    /// Writes 16 random bytes as a run id.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(hex::encode(bytes).into())
    }
}

impl PolicyDigest {
    /// The digest of a component's bytes.
    pub fn of(component: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(hex::encode(sha2::Sha256::digest(component)).into())
    }
}

impl Default for TenantId {
    /// The tenant of records that name none.
    fn default() -> Self {
        Self("default".into())
    }
}

fn is_name(text: &str) -> bool {
    let name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    text.len() <= 64 && text.bytes().all(name_byte) && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

fn is_lower_hex(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_is_64_lower_case_hex_digits() {
        assert!("a".repeat(64).parse::<ContainerId>().is_ok());
        for wrong in ["", "web-1", &"a".repeat(63), &"A".repeat(64), &"g".repeat(64), "../../etc"] {
            assert!(wrong.parse::<ContainerId>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_game_id_is_used_as_given_but_never_blank() {
        assert_eq!(" g 1 ".parse::<GameId>().map(|id| id.to_string()), Ok(" g 1 ".to_owned()));
        for wrong in ["", "  ", "\u{a0}", "a\nb", &"x".repeat(257)] {
            assert!(wrong.parse::<GameId>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_game_id_that_would_be_shown_under_another_name_is_refused() {
        for hidden in ['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}', '\u{7f}'] {
            let id = format!("a{hidden}b");
            assert_ne!(crate::model::bounded_text(&id, 256), id);
            let error = id.parse::<GameId>().map(|_| ()).map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.ends_with("line separators and direction marks")), "{id:?}");
        }
    }

    #[test]
    fn the_message_names_what_was_wrong_and_what_would_be_right() {
        let error = "-x".parse::<TenantId>().map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err("tenant \"-x\" is not valid: 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', starting with a letter or digit"
                .to_owned())
        );
    }
}

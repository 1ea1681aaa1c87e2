//! Digests by which registries name things.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A digest that can be checked: an algorithm that is known, and as many small hexadecimal digits as it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named<'t> {
    text: &'t str,
    algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl<'t> Named<'t> {
    /// None if the text is no such digest. One that is can stand in an address.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let (name, digits) = text.split_once(':')?;
        let (algorithm, length) = match name {
            "sha256" => (Algorithm::Sha256, 64),
            "sha384" => (Algorithm::Sha384, 96),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return None,
        };
        let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && digits.len() == length).then_some(Self { text, algorithm })
    }

    /// The digest that `content` has instead; none if it is this one.
    pub(super) fn differs(&self, content: &[u8]) -> Option<String> {
        let found = match self.algorithm {
            Algorithm::Sha256 => format!("sha256:{}", hex::encode(Sha256::digest(content))),
            Algorithm::Sha384 => format!("sha384:{}", hex::encode(Sha384::digest(content))),
            Algorithm::Sha512 => format!("sha512:{}", hex::encode(Sha512::digest(content))),
        };
        (found != self.text).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_checked_and_stand_in_an_address_is_a_digest() {
        let right = format!("sha256:{}", "0a".repeat(32));
        assert!(Named::parse(&right).is_some());
        for wrong in [
            String::new(),
            "sha256".to_owned(),
            "sha256:".to_owned(),
            right.to_uppercase(),
            right.replace("sha256", "md5"),
            right.replace("sha256", "sha512"),
            format!("{right}0"),
            format!("sha256:{}", "../".repeat(21) + "a"),
            format!("sha256:{}", "é".repeat(32)),
        ] {
            assert_eq!(Named::parse(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn other_content_is_told_by_its_own_digest() {
        let named = [Sha256::digest(b"a").to_vec(), Sha384::digest(b"a").to_vec(), Sha512::digest(b"a").to_vec()];
        for (name, digest) in ["sha256", "sha384", "sha512"].iter().zip(named) {
            let text = format!("{name}:{}", hex::encode(digest));
            let named = Named::parse(&text).unwrap_or_else(|| unreachable!("{text}"));
            assert_eq!(named.differs(b"a"), None);
            assert!(named.differs(b"b").is_some_and(|found| found.starts_with(name) && found != text));
        }
    }
}

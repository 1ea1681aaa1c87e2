//! Texts that are expected: to the letter, or with `*` for what does not matter.

/// Whether `text` is what `pattern` says; a `*` in it stands for any characters, or none.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything_and_all_else_for_itself() {
        for (pattern, text) in [
            ("", ""),
            ("a", "a"),
            ("*", ""),
            ("*", "ab"),
            ("a*", "ab"),
            ("*b", "ab"),
            ("a*c*e", "abcde"),
            ("*b*", "abc"),
        ] {
            assert!(matches(pattern, text), "{pattern:?} {text:?}");
        }
        for (pattern, text) in [("", "a"), ("a", "ab"), ("a*", "ba"), ("ab*ba", "aba"), ("*b", "ba"), ("a*b*c", "acb")]
        {
            assert!(!matches(pattern, text), "{pattern:?} {text:?}");
        }
    }
}

//! Text from outside.

use std::fmt;

/// Whether a character controls how text is shown rather than being shown: control characters, line and paragraph
/// separators, and what changes the direction of writing.
pub(super) fn is_control(c: char) -> bool {
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || separates || turns
}

/// Cuts `text` at `max` bytes, at a character's boundary, and escapes control characters, so that
/// untrusted text can stand in a log or table. The result can be longer than `max` by its escapes.
pub fn bounded_text(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for (index, c) in text.char_indices() {
        if index + c.len_utf8() > max {
            out.push('…');
            break;
        }
        if is_control(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// An error with all its sources, for one line of a log.
pub struct ErrorChain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

//! Spans of time as people write them: `90s`, `15m`, `1h30m`, `7d`.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads numbers with units, largest first or not, without signs or fractions. None if it is no such thing.
pub fn parse_span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(*scale)?)?;
        rest = tail.trim_start();
    }
    Some(Duration::from_millis(millis))
}

/// Writes a span so that [`parse_span`] reads it back, to the millisecond.
pub fn show_span(span: Duration) -> String {
    let mut millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, scale) in UNITS {
        let count = millis / scale;
        millis %= scale;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_back() {
        for (text, millis) in
            [("1h", 3_600_000), ("15m", 900_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("250ms", 250)]
        {
            assert_eq!(parse_span(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(show_span(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse_span(" 1h 30m "), Some(Duration::from_millis(5_400_000)));
    }

    #[test]
    fn what_has_no_unit_or_overflows_is_no_span() {
        for wrong in ["", "90", "1.5h", "-1h", "h", "1 h", "1w", "18446744073709551615d", "1h é"] {
            assert_eq!(parse_span(wrong), None, "{wrong:?} was taken");
        }
    }
}

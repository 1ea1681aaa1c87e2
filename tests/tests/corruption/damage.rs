//! What a column is damaged to.

/// One column of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) table: &'static str,
    /// A condition that holds for that row only.
    pub(super) row: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Json,
    Count,
    Time,
    Flag,
}

/// What stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Damage {
    Null,
    Bytes(Vec<u8>),
    Number(i64),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bytes(bytes) => write!(f, "'{}'", bytes.escape_ascii()),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl Damage {
    /// Everything that a column of this kind is damaged to, which says this.
    pub(super) fn of(kind: Kind, original: Option<&[u8]>) -> Vec<Self> {
        let mut damages = match (kind, original) {
            (Kind::Text | Kind::Json, Some(text)) => texts(text),
            (Kind::Text | Kind::Json, None) => vec![Self::Bytes(b"x".to_vec())],
            (Kind::Count | Kind::Time | Kind::Flag, text) => {
                let number = text.and_then(|text| String::from_utf8_lossy(text).parse().ok());
                numbers(number.unwrap_or_default())
            }
        };
        damages.push(Self::Null);
        damages.retain(|damage| !matches!(damage, Self::Bytes(bytes) if Some(&bytes[..]) == original));
        damages
    }
}

/// Each byte with one of its bits changed that leaves it text, and with all of them, which does not; each beginning; and
/// something more.
fn texts(text: &[u8]) -> Vec<Damage> {
    let changed = (0..text.len()).flat_map(|at| {
        [0x01, 0x10, 0xff].map(|bits| {
            let mut changed = text.to_vec();
            changed[at] ^= bits;
            changed
        })
    });
    let cut = (0..text.len()).map(|length| text[..length].to_vec());
    let more = [&b" "[..], b"x", b"\0", b"\xff"].map(|more| [text, more].concat());
    changed.chain(cut).chain(more).map(Damage::Bytes).collect()
}

fn numbers(number: i64) -> Vec<Damage> {
    let bits = (0..63).step_by(5).map(|bit| number ^ (1 << bit));
    let ends = [-1, 0, 1, i64::MAX, i64::MIN, 10_001, 65_536];
    bits.chain(ends).filter(|damaged| *damaged != number).map(Damage::Number).collect()
}

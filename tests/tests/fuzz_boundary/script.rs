//! What a component passes and answers, at random: mostly what the contract says, and now and then what nobody should.

use proptest::prelude::*;
use proptest::sample::select;
use rtmanager_tests::mock_host::{GAME, container};

/// How many calls a script makes at most.
pub(super) const MOST_CALLS: u32 = 8;
/// Where imports put their answers; nothing else stands there.
pub(super) const SCRATCH: u32 = 200_000;
pub(super) const MEMORY: u64 = 48 * 65_536;
/// Of `limits.bytes_per_call`, and within the memory.
pub(super) const TOO_LONG: u32 = 1_500_000;

/// A text as a component passes it.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Proper(String),
    Bytes(Vec<u8>),
    /// Address and length as they stand.
    Raw(u32, u32),
}

/// Which member of an enumeration; there may be no such one.
pub(super) type Tag = u32;

#[derive(Debug, Clone)]
pub(super) struct Optional(pub(super) Tag, pub(super) Text);

#[derive(Debug, Clone)]
pub(super) enum Call {
    Now,
    Acquire(u32),
    Release(u32, u32),
    Drop(u32),
    Record(u32),
    Update(u32, Optional, Optional, Optional, u32),
    Inspect(Text, u32),
    Remove(u32, Text, u32),
    Append(Tag, [Optional; 4], u32),
    Setting(Text, u32),
    Settings(u32),
    Log(Tag, Text, Text),
}

#[derive(Debug, Clone)]
pub(super) enum Said {
    Verdict(Tag, Optional, Optional),
    Due,
    WaitUntil(u64),
    Keep(Text),
    /// No such advice.
    Unknown(Tag),
}

#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) calls: Vec<Call>,
    pub(super) said: Said,
    /// Added to the answer's address.
    pub(super) displaced: u32,
}

fn text() -> impl Strategy<Value = Text> {
    let odd = select(vec![
        "",
        "\0",
        "a\u{7f}b",
        "\u{202e}txt",
        "\u{feff}",
        "é",
        "\u{10ffff}",
        "line\nline",
        "\x1b[31m",
        "'; DROP TABLE x;--",
        "conflict",
        "policy_trap",
        "replay_no_op",
        "../../etc/passwd",
        "image",
        "mode",
        "%00",
        "NaN",
    ])
    .prop_map(str::to_owned);
    let long = ("[a-zé\n]", 1usize..1_200).prop_map(|(text, times)| text.repeat(times));
    let proper = prop_oneof![
        odd,
        any::<String>(),
        "[a-z_]{1,20}",
        long,
        Just(container(1).to_string()),
        Just(container(2).to_string()),
        Just(GAME.to_owned())
    ];
    let bytes = proptest::collection::vec(any::<u8>(), 0..24);
    let raw = select(vec![
        (0, 0),
        (u32::MAX, 0),
        (u32::MAX, 1),
        (0, u32::MAX),
        (MEMORY as u32, 0),
        (MEMORY as u32, 1),
        (MEMORY as u32 - 1, 2),
        (0x7fff_ffff, 0x7fff_ffff),
        (0x8000_0000, 0x8000_0000),
        (1_048_576, TOO_LONG),
    ]);
    prop_oneof![
        12 => proper.prop_map(Text::Proper),
        1 => bytes.prop_map(Text::Bytes),
        1 => raw.prop_map(|(at, length)| Text::Raw(at, length)),
    ]
}

/// One of so many, and seldom one that there is not.
fn tag(count: u32) -> impl Strategy<Value = Tag> {
    prop_oneof![20 => 0..count, 1 => select(vec![count, 255, 256, 65_536, u32::MAX, 0x8000_0000])]
}

fn optional() -> impl Strategy<Value = Optional> {
    (tag(2), text()).prop_map(|(tag, text)| Optional(tag, text))
}

/// A status: three that are plain, and one with a text.
fn status() -> impl Strategy<Value = Optional> {
    (tag(4), text()).prop_map(|(tag, text)| Optional(tag, text))
}

/// Where an import puts its answer.
fn place() -> impl Strategy<Value = u32> {
    prop_oneof![20 => Just(SCRATCH), 1 => select(vec![SCRATCH + 1, SCRATCH + 2, 0x7fff_fff8, u32::MAX - 7, MEMORY as u32])]
}

/// The first handle that a component gets is 1.
fn handle() -> impl Strategy<Value = u32> {
    prop_oneof![12 => Just(1u32), 1 => select(vec![0, 2, 3, u32::MAX, 0x8000_0000])]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        1 => Just(Call::Now),
        4 => place().prop_map(Call::Acquire),
        1 => (handle(), place()).prop_map(|(lease, to)| Call::Release(lease, to)),
        1 => handle().prop_map(Call::Drop),
        3 => place().prop_map(Call::Record),
        2 => (handle(), status(), optional(), status(), place())
            .prop_map(|(lease, from, container, to, place)| Call::Update(lease, from, container, to, place)),
        2 => (text(), place()).prop_map(|(id, to)| Call::Inspect(id, to)),
        2 => (handle(), text(), place()).prop_map(|(lease, id, to)| Call::Remove(lease, id, to)),
        3 => (tag(2), [optional(), optional(), optional(), optional()], place())
            .prop_map(|(outcome, texts, to)| Call::Append(outcome, texts, to)),
        1 => (text(), place()).prop_map(|(name, to)| Call::Setting(name, to)),
        1 => place().prop_map(Call::Settings),
        2 => (tag(6), text(), text()).prop_map(|(level, context, message)| Call::Log(level, context, message)),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    proptest::collection::vec(call(), 0..=MOST_CALLS as usize)
}

fn displaced() -> impl Strategy<Value = u32> {
    prop_oneof![20 => Just(0u32), 1 => select(vec![1, 2, 0x7000_0000, MEMORY as u32])]
}

pub(super) fn handling() -> impl Strategy<Value = Script> {
    let said =
        (tag(2), optional(), optional()).prop_map(|(outcome, code, message)| Said::Verdict(outcome, code, message));
    (calls(), said, displaced()).prop_map(|(calls, said, displaced)| Script { calls, said, displaced })
}

pub(super) fn reviewing() -> impl Strategy<Value = Script> {
    let times =
        prop_oneof![any::<u64>(), select(vec![0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX])];
    let said = prop_oneof![
        4 => Just(Said::Due),
        8 => times.prop_map(Said::WaitUntil),
        8 => text().prop_map(Said::Keep),
        1 => select(vec![3, 4, 255]).prop_map(Said::Unknown),
    ];
    (calls(), said, displaced()).prop_map(|(calls, said, displaced)| Script { calls, said, displaced })
}

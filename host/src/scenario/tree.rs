//! A TOML document as values that know where they stand, and how they are read into types.
//!
//! serde's own adapters of TOML answer with a text. This one keeps apart what was wrong, so that a key that nobody knows
//! is answered with the nearest one that somebody does.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer as _, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use toml_edit::{ImDocument, Item, Table, TableLike};

use crate::simulation::on_a_deep_stack;

/// A value, and the byte of the text at which it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
    List(Vec<Node>),
    Table(Vec<(Name, Node)>),
}

/// A key, and where it stands.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: usize,
}

/// What is wrong with a value, and with which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) what: String,
    /// The byte at which it stands; none until that is known.
    pub(super) at: Option<usize>,
    /// The keys that lead to it, the outermost last.
    pub(super) path: Vec<String>,
}

/// No scenario has tables or lists in one another to this depth.
const DEEPEST: usize = 16;

/// Reads a document. The error is TOML's own, with the byte at which it stands.
pub(super) fn parse(text: &str) -> Result<Node, Flaw> {
    on_a_deep_stack(|| document(text)).map_err(|error| Flaw::new(error.to_string()))?
}

fn document(text: &str) -> Result<Node, Flaw> {
    let document = ImDocument::parse(text).map_err(|error| {
        let what = error.message().trim_end_matches('\n').replace('\n', ", ");
        // Of some it knows only where they are.
        let what = if what.is_empty() { "is no TOML: look at what stands here, and before".to_owned() } else { what };
        Flaw { what, at: Some(error.span().map_or(0, |span| span.start)), path: Vec::new() }
    })?;
    of_table(document.as_table(), 0, 0)
}

fn of_table(table: &Table, at: usize, depth: usize) -> Result<Node, Flaw> {
    of_pairs(table, table.span().map_or(at, |span| span.start), depth)
}

fn of_pairs(table: &dyn TableLike, at: usize, depth: usize) -> Result<Node, Flaw> {
    let pairs = table.iter().map(|(name, item)| {
        let found = table.key(name).and_then(toml_edit::Key::span).map_or(at, |span| span.start);
        Ok((Name { text: name.to_owned(), at: found }, of_item(item, found, deeper(found, depth)?)?))
    });
    Ok(Node { at, value: Value::Table(pairs.collect::<Result<_, Flaw>>()?) })
}

fn of_list(items: impl Iterator<Item = Result<Node, Flaw>>, at: usize) -> Result<Node, Flaw> {
    Ok(Node { at, value: Value::List(items.collect::<Result<_, Flaw>>()?) })
}

fn deeper(at: usize, depth: usize) -> Result<usize, Flaw> {
    if depth < DEEPEST {
        return Ok(depth.saturating_add(1));
    }
    let what = format!("is more than {DEEPEST} levels deep, which nothing in a scenario is");
    Err(Flaw { what, at: Some(at), path: Vec::new() })
}

fn of_item(item: &Item, at: usize, depth: usize) -> Result<Node, Flaw> {
    match item {
        Item::None => Ok(Node { at, value: Value::Table(Vec::new()) }),
        Item::Value(value) => of_value(value, at, depth),
        Item::Table(table) => of_table(table, at, depth),
        Item::ArrayOfTables(tables) => {
            let depth = deeper(at, depth)?;
            of_list(tables.iter().map(|table| of_table(table, at, depth)), at)
        }
    }
}

fn of_value(value: &toml_edit::Value, at: usize, depth: usize) -> Result<Node, Flaw> {
    let at = value.span().map_or(at, |span| span.start);
    let read = match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
        toml_edit::Value::Float(number) => Value::Float(*number.value()),
        toml_edit::Value::Boolean(truth) => Value::Truth(*truth.value()),
        toml_edit::Value::Datetime(time) => Value::Text(time.value().to_string()),
        toml_edit::Value::Array(items) => {
            let depth = deeper(at, depth)?;
            return of_list(items.iter().map(|item| of_value(item, at, depth)), at);
        }
        toml_edit::Value::InlineTable(table) => return of_pairs(table, at, depth),
    };
    Ok(Node { at, value: read })
}

impl Node {
    /// What stands under these keys; a number is a place in a list.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        let next = match &self.value {
            Value::Table(pairs) => pairs.iter().find(|(name, _)| name.text == *first).map(|(_, node)| node),
            Value::List(items) => first.parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        next?.find(rest)
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Text(text) => Unexpected::Str(text),
            Value::Integer(number) => Unexpected::Signed(*number),
            Value::Float(number) => Unexpected::Float(*number),
            Value::Truth(truth) => Unexpected::Bool(*truth),
            Value::List(_) => Unexpected::Other("a list"),
            Value::Table(_) => Unexpected::Other("a table"),
        }
    }
}

impl Flaw {
    fn new(what: String) -> Self {
        Self { what, at: None, path: Vec::new() }
    }

    /// The same, as it looks from outside: it stands under `key`, whose value begins there.
    fn within(mut self, key: &str, at: usize) -> Self {
        self.at.get_or_insert(at);
        self.path.push(key.to_owned());
        self
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Flaw {}

impl serde::de::Error for Flaw {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::new(what.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("is {unexpected}, and has to be {}", plain(expected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("is {unexpected}, and has to be {}", plain(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("there is no key `{field}`; {}", nearest(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("is `{variant}`; {}", nearest(variant, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("lacks the key `{field}`"))
    }
}

/// What serde expects, for people who do not know Rust's names of numbers.
fn plain(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        _ => expected,
    }
}

/// No word that is known is as long, and likeness takes time that grows with both.
const LONGEST_WORD: usize = 300;

/// What somebody may have meant, or all that there is.
pub(super) fn nearest(given: &str, known: &[&str]) -> String {
    let given: String = given.chars().take(LONGEST_WORD).collect();
    let near = known.iter().map(|name| (strsim::jaro_winkler(&given, name), *name));
    match near.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((likeness, name)) if likeness > 0.8 => format!("did you mean `{name}`?"),
        Some(_) => format!("known are {}", known.join(", ")),
        None => "none is known here".to_owned(),
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Flaw;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match &self.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Truth(truth) => visitor.visit_bool(*truth),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            Value::Table(pairs) => visitor.visit_map(Pairs { pairs: pairs.iter(), next: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_some(self)
    }

    /// TOML's numbers end at 2^63; a larger one is written as its digits.
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match &self.value {
            Value::Text(text) => match whole(text) {
                Some(number) => visitor.visit_u64(number),
                None => Err(Flaw::invalid_type(self.unexpected(), &visitor)),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(StrDeserializer::<Flaw>::new(text)),
            Value::Table(pairs) if pairs.len() == 1 => visitor.visit_enum(Variant(pairs.first())),
            _ => Err(Flaw::invalid_type(self.unexpected(), &visitor)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// Digits and nothing else.
fn whole(text: &str) -> Option<u64> {
    let is_plain = text.len() <= 20 && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

struct Items<'de> {
    items: std::slice::Iter<'de, Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Flaw;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Flaw> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index = index.saturating_add(1);
        seed.deserialize(item).map(Some).map_err(|flaw| flaw.within(&index.to_string(), item.at))
    }
}

struct Pairs<'de> {
    pairs: std::slice::Iter<'de, (Name, Node)>,
    next: Option<&'de (Name, Node)>,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Flaw;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Flaw> {
        self.next = self.pairs.next();
        let Some((name, _)) = self.next else { return Ok(None) };
        let key: StrDeserializer<'_, Flaw> = name.text.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|flaw| flaw.within(&name.text, name.at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Flaw> {
        let Some((name, node)) = self.next else { return Err(Flaw::custom("a value without a key")) };
        seed.deserialize(node).map_err(|flaw| flaw.within(&name.text, node.at))
    }
}

/// `{ name = value }`, as an enum's variant.
struct Variant<'de>(Option<&'de (Name, Node)>);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Flaw;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'de>), Flaw> {
        let Some((name, node)) = self.0 else { return Err(Flaw::custom("is empty")) };
        let key: StrDeserializer<'_, Flaw> = name.text.as_str().into_deserializer();
        let variant = seed.deserialize(key).map_err(|flaw| flaw.within(&name.text, name.at))?;
        Ok((variant, Content(node)))
    }
}

struct Content<'de>(&'de Node);

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Flaw;

    fn unit_variant(self) -> Result<(), Flaw> {
        Err(Flaw::custom("takes no value"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Flaw> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Flaw> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Flaw> {
        self.0.deserialize_any(visitor)
    }
}

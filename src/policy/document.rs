//! Both files as one tree whose every key and value knows its place. YAML is read here; `config/` reads TOML into the
//! same tree, so that one reader, [`super::block`], serves both.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::located::{Located, Place};

/// A policy is read on every delivery; a file beyond this is a mistake or an attack (bytes).
pub const LARGEST_FILE: usize = 256 * 1024;

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where the value begins.
    pub at: Place,
    /// The value.
    pub value: Value,
}

/// A key of a map and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where the key begins.
    pub at: Place,
    /// The key.
    pub name: String,
}

/// What a place holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing, or `null`.
    Nothing,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// Something no key of ours takes (a fraction, a date, a number beyond 64 bits), as it reads.
    Strange(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; no key is there twice.
    Map(Vec<(Key, Node)>),
}

impl Value {
    /// What it is, for a complaint.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Strange(_) => "a value of another kind",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Reads one YAML document. Anchors and `<<` are followed within the parser's own limits on aliases, depth and size; a
/// key twice is an error.
pub fn read_yaml(file: &str, text: &str) -> Result<Node, Located> {
    let file: Arc<str> = file.into();
    let start = Place { file: file.clone(), line: 1, column: 1 };
    if text.len() > LARGEST_FILE {
        let problem = format!("the file has {} bytes, more than the {LARGEST_FILE} that are read", text.len());
        return Err(Located::new(&start, problem, "use patterns instead of repeated blocks"));
    }
    let options = serde_saphyr::options! { with_snippet: false };
    let read: Result<Option<Spanned<Raw>>, _> = serde_saphyr::from_str_with_options(text, options);
    match read {
        Ok(Some(root)) => Ok(placed(&file, root)),
        Ok(None) => Ok(Node { at: start, value: Value::Nothing }),
        Err(error) => {
            let error = error.without_snippet();
            let at = error.location().map(|at| place(&file, at)).filter(|at| at.line > 0);
            let problem = format!("this is not YAML that can be read: {}", without_place(&error.to_string()));
            Err(Located::new(&at.unwrap_or(start), problem, "correct the YAML at this place"))
        }
    }
}

/// The parser ends its messages with the place, which we print in front.
fn without_place(message: &str) -> &str {
    let line = message.lines().next().unwrap_or(message);
    if line.contains("budget breached") || line.contains("recursion limit") {
        return "it is larger or deeper than is read";
    }
    // Behind these words stand the place and advice to the programmer.
    [" at line ", ", set DuplicateKeyPolicy", "; use from_str"]
        .iter()
        .fold(line, |line, words| line.split_once(words).map_or(line, |(before, _)| before))
}

fn place(file: &Arc<str>, at: serde_saphyr::Location) -> Place {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Place { file: file.clone(), line: number(at.line()), column: number(at.column()) }
}

fn placed(file: &Arc<str>, raw: Spanned<Raw>) -> Node {
    let at = place(file, raw.defined);
    let value = match raw.value {
        Raw::Leaf(value) => value,
        Raw::List(items) => Value::List(items.into_iter().map(|item| placed(file, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (Key { at: place(file, key.defined), name: key.value }, placed(file, value)))
                .collect(),
        ),
    };
    Node { at, value }
}

/// What the parser gives, before the places carry the file's name.
enum Raw {
    Leaf(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Nothing))
    }
    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        self.visit_unit()
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Raw, D::Error> {
        from.deserialize_any(self)
    }
    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Flag(flag)))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Number(number)))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Leaf(i64::try_from(number).map_or_else(|_| Value::Strange(number.to_string()), Value::Number)))
    }
    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Strange(number.to_string())))
    }
    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Strange(number.to_string())))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Strange(number.to_string())))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(text.to_owned())))
    }
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Strange(format!("{} bytes", bytes.len()))))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn outline(node: &Node) -> String {
        let at = format!("{}:{}", node.at.line, node.at.column);
        match &node.value {
            Value::Map(entries) => {
                let inner = entries
                    .iter()
                    .map(|(key, value)| format!("{}@{}:{} {}", key.name, key.at.line, key.at.column, outline(value)));
                format!("{at}{{{}}}", inner.collect::<Vec<_>>().join(", "))
            }
            Value::List(items) => format!("{at}[{}]", items.iter().map(outline).collect::<Vec<_>>().join(", ")),
            other => format!("{at}={other:?}"),
        }
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "a: 1\nb:\n  - x\n  - {c: true}\nd: &d\n  e: 1.5\nf:\n  <<: *d\n  g: ~\n1: yes\n";
        assert_snapshot!(outline(&read_yaml("f", text).unwrap()), @r#"1:1{a@1:1 1:4=Number(1), b@2:1 3:3[3:5=Text("x"), 4:5{c@4:6 4:9=Flag(true)}], d@5:1 6:3{e@6:3 6:6=Strange("1.5")}, f@7:1 8:3{g@9:3 9:6=Nothing, e@6:3 6:6=Strange("1.5")}, 1@10:1 10:4=Flag(true)}"#);
    }

    #[test]
    fn what_is_not_yaml_is_refused_at_its_place() {
        let nested = "[".repeat(10_000);
        let bomb = (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
            let previous = format!("*a{}", n - 1);
            format!("{text}a{n}: &a{n} [{}]\n", [previous.as_str(); 10].join(", "))
        });
        let complaints: Vec<String> =
            ["a: 1\na: 2\n", "a: [1\nb: 2\n", "a: *none\n", "a: 1\n---\nb: 1\n", &nested, &bomb]
                .iter()
                .map(|text| read_yaml("f", text).unwrap_err().to_string())
                .collect();
        assert_snapshot!(complaints.join("\n"), @"
        f:2:1: this is not YAML that can be read: duplicate mapping key: a; correct the YAML at this place
        f:2:2: this is not YAML that can be read: illegal placement of ':' indicator; correct the YAML at this place
        f:1:4: this is not YAML that can be read: alias references unknown anchor; correct the YAML at this place
        f:3:1: this is not YAML that can be read: multiple YAML documents detected; correct the YAML at this place
        f:1:256: this is not YAML that can be read: it is larger or deeper than is read; correct the YAML at this place
        f:7:10: this is not YAML that can be read: it is larger or deeper than is read; correct the YAML at this place
        ");
    }
}

//! Where in a text each value of a document stands.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use super::NotEdited;

/// Nesting that is followed. No real object passes 40.
const DEPTH: usize = 64;

/// A value, and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Of a scalar, and of a flow list or mapping, all of it; of another one, from its first key or dash on.
    pub(super) span: Range<usize>,
    pub(super) body: Body,
    /// Whether it has an anchor or a tag, is an alias, or merges another mapping: what is written is not all that is read then.
    pub(super) is_linked: bool,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Body {
    Scalar(ScalarStyle, String),
    List(StructureStyle, Vec<Node>),
    Map(StructureStyle, Vec<(Node, Node)>),
}

impl Node {
    /// Its text, of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.body {
            Body::Scalar(_, text) => Some(text),
            Body::List(..) | Body::Map(..) => None,
        }
    }

    /// Whether anything of it, at any depth, is linked.
    pub(super) fn links(&self) -> bool {
        self.is_linked
            || match &self.body {
                Body::Scalar(..) => false,
                Body::List(_, items) => items.iter().any(Self::links),
                Body::Map(_, entries) => entries.iter().any(|(key, value)| key.links() || value.links()),
            }
    }

    /// Where the last of what it holds ends.
    pub(super) fn end(&self) -> usize {
        match &self.body {
            Body::List(StructureStyle::Block, items) => items.last().map_or(self.span.end, Self::end),
            Body::Map(StructureStyle::Block, entries) => entries.last().map_or(self.span.end, |(_, value)| value.end()),
            Body::Scalar(..) | Body::List(..) | Body::Map(..) => self.span.end,
        }
    }

    /// Whether it is written over lines of its own, by indentation.
    pub(super) fn is_block(&self) -> bool {
        matches!(&self.body, Body::List(StructureStyle::Block, _) | Body::Map(StructureStyle::Block, _))
    }
}

/// The documents of a text: of an empty one there is nothing.
pub(super) struct Tree {
    pub(super) documents: Vec<Option<Node>>,
    /// Where comments stand.
    pub(super) comments: Vec<Range<usize>>,
}

enum Open {
    List(usize, StructureStyle, bool, Vec<Node>),
    Map(usize, StructureStyle, bool, Vec<(Node, Node)>, Option<Node>),
}

/// Reads a text.
pub(super) fn read(text: &str) -> Result<Tree, NotEdited> {
    let unreadable = || NotEdited("it is not YAML".to_owned());
    let options = granit_parser::options! {
        emit_comments: true,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut tree = Tree { documents: Vec::new(), comments: Vec::new() };
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|_| unreadable())?;
        let span = span.byte_range().ok_or_else(unreadable)?;
        let done = match event {
            Event::Comment(..) => {
                tree.comments.push(span);
                continue;
            }
            Event::DocumentStart(..) => {
                tree.documents.push(None);
                continue;
            }
            Event::Scalar(value, style, anchor, tag) => {
                let is_text_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                // The parser says where its first line is: what begins it stands before.
                let header = is_text_block.then(|| header(text, span.start)).flatten();
                let is_odd = is_text_block && (header.is_none() || value.trim().is_empty());
                Node {
                    span: header.map_or(span, |at| at..block_end(text, at)),
                    body: Body::Scalar(style, value.into_owned()),
                    is_linked: anchor != 0 || tag.is_some() || is_odd,
                }
            }
            Event::SequenceStart(style, anchor, tag) => {
                open.push(Open::List(span.start, style, anchor != 0 || tag.is_some(), Vec::new()));
                continue;
            }
            Event::MappingStart(style, anchor, tag) => {
                open.push(Open::Map(span.start, style, anchor != 0 || tag.is_some(), Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => closed(open.pop().ok_or_else(unreadable)?, span.end)?,
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                Node { span, body: Body::Scalar(ScalarStyle::Plain, String::new()), is_linked: true }
            }
            Event::Anchor(..) | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            // The parser may learn new ones.
            _ => return Err(unreadable()),
        };
        match open.last_mut() {
            None => *tree.documents.last_mut().ok_or_else(unreadable)? = Some(done),
            Some(Open::List(.., items)) => items.push(done),
            Some(Open::Map(_, _, is_linked, entries, key)) => match key.take() {
                Some(key) => {
                    *is_linked |= key.text() == Some("<<");
                    let mut done = done;
                    if done.span.is_empty() {
                        // What is left empty has no place of its own: it would stand behind the colon.
                        let colon = text.get(key.span.end..).and_then(|rest| rest.find(':'));
                        let at = colon.map_or(done.span.start, |at| key.span.end + at + 1);
                        done.span = at..at;
                    }
                    entries.push((key, done));
                }
                None => *key = Some(done),
            },
        }
    }
    Ok(tree)
}

fn closed(open: Open, end: usize) -> Result<Node, NotEdited> {
    let (start, body, is_linked) = match open {
        Open::List(start, style, is_linked, items) => (start, Body::List(style, items), is_linked),
        Open::Map(start, style, is_linked, entries, None) => (start, Body::Map(style, entries), is_linked),
        Open::Map(..) => return Err(NotEdited("a key has no value".to_owned())),
    };
    let mut node = Node { span: start..end, body, is_linked };
    if node.is_block() {
        // A block begins where its first part does, and ends where its last does, whatever comes before the next token.
        let first = match &node.body {
            Body::Map(_, entries) => entries.first().map(|(key, _)| key.span.start),
            Body::List(..) | Body::Scalar(..) => None,
        };
        node.span = first.unwrap_or(start)..node.end();
    }
    Ok(node)
}

/// Where the `|` or `>` of a text block stands whose lines begin there; `None`: it says its indentation itself, which may be any.
fn header(text: &str, lines: usize) -> Option<usize> {
    let before = text.get(..lines)?.trim_end();
    let line_at = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.get(line_at..)?;
    let is_header = |at: &usize| {
        let rest = line.get(at + 1..).unwrap_or_default().trim_start_matches(['+', '-']);
        rest.is_empty() || (rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#'))
    };
    line.match_indices(['|', '>']).map(|(at, _)| at).find(is_header).map(|at| line_at + at)
}

/// A text block goes to the end of its last line that has anything on it: of those that are behind its first one's indentation.
fn block_end(text: &str, start: usize) -> usize {
    let header = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| start + at);
    let (mut end, mut at, mut indent) = (header, header + 1, None);
    for line in text.get(at..).unwrap_or_default().split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        if !bare.trim_matches(' ').is_empty() {
            let spaces = bare.len() - bare.trim_start_matches(' ').len();
            if spaces < *indent.get_or_insert(spaces) {
                break;
            }
            end = at + bare.len();
        }
        at += line.len();
    }
    end
}

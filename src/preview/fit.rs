//! Fitting diffs into what room a comment has left: whole objects or none, in order; those that leave are named, and
//! where even their names are too many, counted.

use super::markdown::{fence, html};
use super::page::{EnvironmentRow, ObjectChange, RowChange};
use super::words::{count, done, found, live, object};
use crate::manifest::{Body, Hunk};

/// Kept for the names of what leaves.
const NAMES: usize = 2_000;
/// Objects named in a folded section's title.
const TITLE: usize = 4;

/// The folded sections of all environments, in at most `room` bytes, and whether anything left.
pub(super) fn sections(rows: &[EnvironmentRow], room: usize) -> (String, bool) {
    let blocks: Vec<Vec<Block>> = rows.iter().map(blocks).collect();
    let whole: usize = rows.iter().zip(&blocks).map(|(row, blocks)| frame(row).len() + sum(blocks)).sum();
    if whole <= room {
        let all = rows.iter().zip(&blocks).filter(|(_, blocks)| !blocks.is_empty());
        return (all.map(|(row, blocks)| folded(row, blocks.iter())).collect(), false);
    }
    let mut left = room.saturating_sub(NAMES);
    let (mut text, mut gone) = (String::new(), Vec::new());
    for (row, blocks) in rows.iter().zip(&blocks).filter(|(_, blocks)| !blocks.is_empty()) {
        let frame = frame(row).len();
        let mut taken = Vec::new();
        for block in blocks {
            let needed = block.text.len() + if taken.is_empty() { frame } else { 0 };
            if needed <= left {
                left -= needed;
                taken.push(block);
            } else {
                gone.push(format!("{} {}", super::words::name(row), block.name));
            }
        }
        if !taken.is_empty() {
            text.push_str(&folded(row, taken.into_iter()));
        }
    }
    text.push_str(&named(&gone, NAMES.min(room.saturating_sub(text.len()))));
    (text, true)
}

/// What left, by name as far as the names fit.
fn named(gone: &[String], room: usize) -> String {
    let head = format!("\nNot shown here for want of room: {}", count(gone.len(), "object"));
    let tail = " and more.\n".len();
    if head.len() + tail > room {
        return String::new();
    }
    let mut text = head;
    for (place, name) in gone.iter().enumerate() {
        let joint = if place == 0 { ": " } else { ", " };
        if text.len() + joint.len() + name.len() + tail > room {
            text.push_str(if place == 0 { ".\n" } else { " and more.\n" });
            return text;
        }
        text.push_str(joint);
        text.push_str(name);
    }
    text.push_str(".\n");
    text
}

/// What is shown of one object, or of the rules.
struct Block {
    name: String,
    text: String,
}

fn blocks(row: &EnvironmentRow) -> Vec<Block> {
    let (rules, objects) = match &row.change {
        RowChange::Change { rules, objects, .. } => (rules.as_slice(), objects.as_slice()),
        RowChange::Failed { objects, .. } => (&[][..], objects.as_slice()),
        RowChange::Same => return Vec::new(),
    };
    let own = (!rules.is_empty()).then(|| Block {
        name: "its own rules".to_owned(),
        text: format!("its own rules\n{}\n", fence("diff", &flat(rules))),
    });
    let shown = objects.iter().filter(|object| !matches!(object.diff.body, Body::Name));
    let found = found(row).map(|(object_, state)| Block {
        name: object(&object_.diff.key),
        text: format!("- {}: {}\n", object(&object_.diff.key), live(state)),
    });
    own.into_iter().chain(found).chain(shown.map(|change| block(change, row.answer_to(change)))).collect()
}

fn block(change: &ObjectChange, answer: Option<&str>) -> Block {
    let diff = &change.diff;
    let name = object(&diff.key);
    let from = diff.file.as_ref().map(|file| format!(" · {}", super::markdown::code(file))).unwrap_or_default();
    let answer = answer.map(|answer| format!(" · {answer}")).unwrap_or_default();
    let head = format!("\n**{name}** {}, +{} −{}{from}{answer}\n\n", done(diff.verb), diff.plus, diff.minus);
    let body = match &diff.body {
        Body::Name => String::new(),
        Body::Hunks(hunks) => fence("diff", &flat(hunks)),
        Body::TooLarge(paths) => {
            format!("\ntoo large to be shown line by line; what differs:\n{}", fence("text", paths))
        }
    };
    Block { name, text: format!("{head}{body}") }
}

/// The lines of all hunks, each hunk headed by its place.
pub(super) fn flat(hunks: &[Hunk]) -> Vec<String> {
    let mut lines = Vec::new();
    for hunk in hunks {
        if !hunk.path.is_empty() {
            lines.push(format!("@@ {} @@", hunk.path));
        }
        lines.extend(hunk.lines.iter().cloned());
    }
    lines
}

fn frame(row: &EnvironmentRow) -> String {
    folded(row, std::iter::empty())
}

fn folded<'a>(row: &EnvironmentRow, blocks: impl Iterator<Item = &'a Block>) -> String {
    let mut names: Vec<String> =
        row.named().iter().take(TITLE).map(|object| html(&object.diff.key.to_string())).collect();
    if row.named().len() > TITLE {
        names.push("…".to_owned());
    }
    if super::words::changes_rules(row) {
        names.insert(0, "its own rules".to_owned());
    }
    let title = format!("<b>{}</b>: <code>{}</code>", html(row.name.as_str()), names.join(", "));
    let body: String = blocks.map(|block| block.text.as_str()).collect();
    format!("<details><summary>{title}</summary>\n\n{}\n</details>\n\n", body.trim_start())
}

fn sum(blocks: &[Block]) -> usize {
    blocks.iter().map(|block| block.text.len()).sum()
}

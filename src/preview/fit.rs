//! Fitting diffs into what room a comment has left. Unchanged lines around changes shrink first; then whole objects leave,
//! those of the smallest interest first, each named with its counts; where even their names are too many, the rest is
//! counted. Nothing is cut in the middle.

use super::baselines::Weight;
use super::markdown::{fence, html};
use super::page::{EnvironmentRow, ObjectChange, RowChange};
use super::standing::{Admission, Effect};
use super::words::{count, done, found, live, name, object};
use crate::manifest::{Body, Hunk, Notable, Verb};

/// Unchanged lines kept around a change, one try after the other.
const AROUND: [usize; 3] = [usize::MAX, 1, 0];
/// Objects named in a folded section's title.
const TITLE: usize = 4;
/// Said where unchanged lines were left out.
const SHRUNK: &str = "Unchanged lines around the changes are left out here for want of room.\n\n";

/// The folded sections of all environments, in at most `room` bytes, and whether anything left.
pub(super) fn sections(rows: &[EnvironmentRow], room: usize) -> (String, bool) {
    for around in AROUND {
        let blocks: Vec<Vec<Block>> = rows.iter().map(|row| blocks(row, around)).collect();
        let whole: usize = rows.iter().zip(&blocks).map(|(row, blocks)| frame(row).len() + sum(blocks)).sum();
        let note = if around == usize::MAX { "" } else { SHRUNK };
        if whole + note.len() <= room {
            let all = rows.iter().zip(&blocks).filter(|(_, blocks)| !blocks.is_empty());
            let text: String = all.map(|(row, blocks)| folded(row, blocks.iter())).collect();
            return (format!("{text}{note}"), !note.is_empty());
        }
    }
    let blocks: Vec<Vec<Block>> = rows.iter().map(|row| blocks(row, 0)).collect();
    (leaving(rows, &blocks, room), true)
}

/// What is of interest stays as long as there is room for it; the others are named.
fn leaving(rows: &[EnvironmentRow], blocks: &[Vec<Block>], room: usize) -> String {
    // Names may take half of what there is, when there are so many.
    let names: usize = blocks.iter().flatten().map(|block| block.named.len() + 2).sum();
    let heads: usize = rows.iter().map(|row| row.name.as_str().len() + 8).sum();
    let reserved = (names + heads + 100).min(room / 2);
    let mut left = room - reserved;
    let mut ranked: Vec<(usize, usize, &Block)> = blocks
        .iter()
        .enumerate()
        .flat_map(|(row, blocks)| blocks.iter().enumerate().map(move |(place, block)| (row, place, block)))
        .collect();
    ranked.sort_by_key(|(row, place, block)| (block.interest, *row, *place));
    let mut stays: Vec<Vec<bool>> = blocks.iter().map(|blocks| vec![false; blocks.len()]).collect();
    for (row, place, block) in ranked {
        let is_first = !stays[row].contains(&true);
        let needed = block.text.len() + if is_first { frame(&rows[row]).len() } else { 0 };
        if needed <= left {
            left -= needed;
            stays[row][place] = true;
        }
    }
    let (mut text, mut gone) = (String::new(), Vec::new());
    for ((row, blocks), stays) in rows.iter().zip(blocks).zip(&stays) {
        let of =
            |wanted: bool| blocks.iter().zip(stays).filter(move |(_, stays)| **stays == wanted).map(|(one, _)| one);
        if stays.contains(&true) {
            text.push_str(&folded(row, of(true)));
        }
        let named: Vec<&str> = of(false).map(|block| block.named.as_str()).collect();
        if !named.is_empty() {
            gone.push((name(row), named));
        }
    }
    text.push_str(&named(&gone, room.saturating_sub(text.len())));
    text
}

/// What left, by environment, by name as far as the names fit.
fn named(gone: &[(String, Vec<&str>)], room: usize) -> String {
    let all: usize = gone.iter().map(|(_, names)| names.len()).sum();
    if all == 0 {
        return String::new();
    }
    let mut text = format!("\nNot shown here for want of room: {}.\n\n", count(all, "object"));
    let more = |left: usize| format!("- and {left} more\n\n");
    if text.len() + more(all).len() > room {
        return String::new();
    }
    let mut left = all;
    for (row, names) in gone {
        let mut line = format!("- {row}: ");
        let begins = line.len();
        for one in names {
            let joint = if line.len() == begins { "" } else { ", " };
            if text.len() + line.len() + joint.len() + one.len() + 1 + more(left).len() > room {
                if line.len() > begins {
                    text.push_str(&line);
                    text.push('\n');
                }
                text.push_str(&more(left));
                return text;
            }
            line.push_str(joint);
            line.push_str(one);
            left -= 1;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text.push('\n');
    text
}

/// What somebody who judges a change wants to see first; what comes last leaves first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Interest {
    /// Its own rules, and what is refused, or may do or reach more than before.
    Grave,
    /// What changes in what runs: images, replicas, resources.
    Notable,
    /// Another change.
    Changed,
    /// All of it is new.
    Added,
}

/// What is shown of one object, or of the rules.
struct Block {
    /// What is said of it when it is not shown.
    named: String,
    text: String,
    interest: Interest,
}

fn blocks(row: &EnvironmentRow, around: usize) -> Vec<Block> {
    let (rules, objects) = match &row.change {
        RowChange::Change { rules, objects, .. } => (rules.as_slice(), objects.as_slice()),
        RowChange::Failed { objects, .. } => (&[][..], objects.as_slice()),
        RowChange::Same => return Vec::new(),
    };
    let own = (!rules.is_empty()).then(|| Block {
        named: "its own rules".to_owned(),
        text: format!("its own rules\n{}\n", fence("diff", &shrunk(rules, around))),
        interest: Interest::Grave,
    });
    let shown = objects.iter().filter(|object| !matches!(object.diff.body, Body::Name));
    let found = found(row).map(|(object_, state)| Block {
        named: object(&object_.diff.key),
        text: format!("- {}: {}\n", object(&object_.diff.key), live(state)),
        interest: Interest::Grave,
    });
    own.into_iter().chain(found).chain(shown.map(|change| block(change, row.answer_to(change), around))).collect()
}

fn block(change: &ObjectChange, answer: Option<&str>, around: usize) -> Block {
    let diff = &change.diff;
    let name = object(&diff.key);
    let counts = format!("{}, +{} −{}", done(diff.verb), diff.plus, diff.minus);
    let from = diff.file.as_ref().map(|file| format!(" · {}", super::markdown::code(file))).unwrap_or_default();
    let answer = answer.map(|answer| format!(" · {answer}")).unwrap_or_default();
    let hidden = change.hidden_by_rule().map(|hidden| format!(" · {hidden}")).unwrap_or_default();
    let head = format!("\n**{name}** {counts}{from}{answer}{hidden}\n\n");
    let body = match &diff.body {
        Body::Name => String::new(),
        // Nothing of it is shown but that it changes.
        Body::Hunks(hunks) if hunks.is_empty() => String::new(),
        Body::Hunks(hunks) => fence("diff", &shrunk(hunks, around)),
        Body::TooLarge(paths) => {
            format!("\ntoo large to be shown line by line; what differs:\n{}", fence("text", paths))
        }
    };
    let named = format!("{name} ({counts})");
    Block { named, text: format!("{head}{body}"), interest: interest(change) }
}

fn interest(change: &ObjectChange) -> Interest {
    let answered = change.admission.as_ref().and_then(Admission::weight);
    let would = change.effect.as_ref().map(Effect::weight);
    if [answered, would].contains(&Some(Weight::Refused)) || change.diff.notable.iter().any(Notable::is_warning) {
        Interest::Grave
    } else if !change.diff.notable.is_empty() {
        Interest::Notable
    } else if change.diff.verb == Verb::Added {
        Interest::Added
    } else {
        Interest::Changed
    }
}

/// The lines of all hunks with at most so many unchanged ones beside a changed one.
fn shrunk(hunks: &[Hunk], around: usize) -> Vec<String> {
    if around == usize::MAX {
        return flat(hunks);
    }
    let smaller = |hunk: &Hunk| {
        let is_changed = |line: &String| !line.starts_with(' ');
        let near = |place: usize| {
            let (from, to) = (place.saturating_sub(around), (place + around + 1).min(hunk.lines.len()));
            hunk.lines[from..to].iter().any(is_changed)
        };
        let (mut lines, mut gap) = (Vec::new(), false);
        for (place, line) in hunk.lines.iter().enumerate() {
            if near(place) {
                if gap && !lines.is_empty() {
                    lines.push("@@ … @@".to_owned());
                }
                lines.push(line.clone());
                gap = false;
            } else {
                gap = true;
            }
        }
        Hunk { path: hunk.path.clone(), lines }
    };
    flat(&hunks.iter().map(smaller).collect::<Vec<_>>())
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

//! The same page for a terminal: `bascule diff`. Every line was made visible before, so nothing of a repository reaches
//! the terminal as a control sequence; the colours are ours.

use std::fmt::Write as _;

use crate::manifest::{Body, Verb, visible};

use super::baselines::{HEADS, Weight};
use super::fit::flat;
use super::page::{EnvironmentRow, ObjectChange, Outcome, Page, RowChange, Subject};
use super::words::{count, removed, takes_along};

/// Deletions named before the objects, where they are all to be found; the others are counted.
const REMOVED: usize = 10;

/// Whether the terminal shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Text alone: a file, a pipe, `NO_COLOR`.
    Plain,
    /// With ANSI colours.
    Colour,
}

#[derive(Clone, Copy)]
enum Tone {
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
    Dim,
}

impl Look {
    fn paint(self, tone: Tone, text: &str) -> String {
        let number = match tone {
            Tone::Bold => 1,
            Tone::Dim => 2,
            Tone::Red => 31,
            Tone::Green => 32,
            Tone::Yellow => 33,
            Tone::Cyan => 36,
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{number}m{text}\u{1b}[0m"),
        }
    }
}

/// Writes the whole page; nothing leaves for want of room.
pub fn terminal(page: &Page, look: Look) -> String {
    let mut out = String::new();
    let subject = match &page.subject {
        Subject::Pull { head, into } | Subject::Proposal { head, into } => {
            format!("{} into {}", head.short(), visible(into))
        }
        Subject::Held { commit, branch } => format!("{} of {}", commit.short(), visible(branch)),
        Subject::Local { base, head } => format!("{} → {}", visible(base), visible(head)),
    };
    let what = match &page.outcome {
        Outcome::Compared => {
            format!("{}, {}", count(page.environments.len(), "environment"), count(page.objects(), "object"))
        }
        Outcome::Untouched => "nothing of ours is touched".to_owned(),
        Outcome::Conflict { .. } => "cannot be merged as it is".to_owned(),
        Outcome::RulesInvalid { .. } => ".bascule.yaml cannot be read".to_owned(),
        Outcome::Failed { .. } => "there is no preview".to_owned(),
    };
    line(&mut out, &format!("{} · {subject} · {what}", look.paint(Tone::Bold, "Bascule")));
    match &page.outcome {
        Outcome::Compared | Outcome::Untouched => {}
        Outcome::Conflict { paths: said } | Outcome::RulesInvalid { errors: said } => errors(&mut out, said, look),
        Outcome::Failed { why } => errors(&mut out, std::slice::from_ref(why), look),
    }
    for note in &page.notes {
        line(&mut out, &visible(note));
    }
    for row in &page.environments {
        environment(&mut out, row, look);
    }
    if let Some(hidden) = page.hidden_by_rule(visible) {
        line(&mut out, &format!("\n{}", look.paint(Tone::Dim, &hidden)));
    }
    out
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

fn errors(out: &mut String, errors: &[String], look: Look) {
    for error in errors.iter().flat_map(|error| error.split('\n')) {
        line(out, &format!("  {} {}", look.paint(Tone::Red, "✗"), visible(error)));
    }
}

fn environment(out: &mut String, row: &EnvironmentRow, look: Look) {
    let [added, changed, removed] = row.counts();
    let stage = row.stage.as_ref().filter(|stage| stage.as_str() != row.name.as_str());
    let stage = stage.map(|stage| format!(" ({})", visible(stage))).unwrap_or_default();
    let target = format!("{}/{}", row.target.cluster, visible(&row.target.namespace));
    let name = look.paint(Tone::Bold, row.name.as_str());
    out.push('\n');
    match &row.change {
        RowChange::Same => line(out, &format!("{name}{stage} {target}: the same")),
        RowChange::Failed { errors: said, objects } => {
            line(out, &format!("{name}{stage} {target}: {}", look.paint(Tone::Red, "does not render")));
            errors(out, said, look);
            for change in objects {
                object(out, change, row.answer_to(change), look);
            }
        }
        RowChange::Change { rules, objects, .. } => {
            let by = row.rendering.as_ref().map(|by| format!(" · {}", visible(&by.renderer))).unwrap_or_default();
            line(out, &format!("{name}{stage} {target}: +{added} ~{changed} −{removed}{by}"));
            removals(out, row, look);
            beside(out, row, look);
            for remark in &row.policies {
                let tone = if remark.ruling.closes() { Tone::Red } else { Tone::Yellow };
                let sign = if remark.ruling.closes() { "✗" } else { "⚠" };
                line(out, &format!("  {} {}", look.paint(tone, sign), visible(&remark.line())));
            }
            for waiver in &row.waivers {
                line(out, &format!("  {} {}", look.paint(Tone::Yellow, "⚠"), visible(&waiver.line())));
            }
            if !rules.is_empty() {
                line(out, &look.paint(Tone::Yellow, "~ its own rules"));
                lines(out, &flat(rules), look);
            }
            for change in objects {
                object(out, change, row.answer_to(change), look);
            }
        }
    }
    for left in &row.left_out {
        line(
            out,
            &look.paint(
                Tone::Dim,
                &format!("  left out: {} (hook: {})", visible(&left.key.to_string()), visible(&left.acts)),
            ),
        );
    }
}

/// What is deleted is read first, and what takes more along has a line of its own.
fn removals(out: &mut String, row: &EnvironmentRow, look: Look) {
    let named = |one: &ObjectChange| visible(&one.diff.key.to_string());
    let (grave, others): (Vec<_>, Vec<_>) = removed(row).partition(|one| takes_along(&one.diff.key).is_some());
    let mut lines: Vec<String> =
        grave.iter().map(|one| named(one) + takes_along(&one.diff.key).unwrap_or_default()).collect();
    let more = others.len().saturating_sub(REMOVED);
    let mut names: Vec<String> = others.into_iter().take(REMOVED).map(named).collect();
    names.extend((more > 0).then(|| format!("{more} more")));
    lines.extend((!names.is_empty()).then(|| names.join(", ")));
    for removed in lines {
        line(out, &format!("  {}", look.paint(Tone::Red, &format!("⚠ removes {removed}"))));
    }
}

/// The three baselines, each by its name.
fn beside(out: &mut String, row: &EnvironmentRow, look: Look) {
    let Some(cells) = row.baselines() else { return };
    for (head, cell) in HEADS.iter().zip(cells) {
        line(out, &format!("  {head:27} {cell}"));
    }
    if let Some(why) = row.not_compared() {
        line(out, &format!("  effect and drift are not known: {}", visible(why)));
    }
    for (weight, remark) in row.remarks(visible, visible, |key| visible(&key.to_string())) {
        let tone = if weight == Weight::Refused { Tone::Red } else { Tone::Yellow };
        line(out, &format!("  {}", look.paint(tone, &remark)));
    }
}

fn object(out: &mut String, change: &ObjectChange, answer: Option<&str>, look: Look) {
    let diff = &change.diff;
    let (tone, sign) = match diff.verb {
        Verb::Added => (Tone::Green, '+'),
        Verb::Changed => (Tone::Yellow, '~'),
        Verb::Removed => (Tone::Red, '−'),
    };
    let file =
        diff.file.as_ref().map(|file| look.paint(Tone::Dim, &format!("  {}", visible(file)))).unwrap_or_default();
    line(out, &format!("{}{file}", look.paint(tone, &format!("{sign} {}", visible(&diff.key.to_string())))));
    if let Some(live) = &change.live {
        line(out, &format!("  in the cluster: {}", live.words(visible, visible)));
    }
    if let Some(answer) = answer {
        line(out, &format!("  {answer}"));
    }
    for fact in &diff.notable {
        let words = visible(&fact.sentence());
        let tone = if fact.is_warning() { Tone::Yellow } else { Tone::Bold };
        line(out, &format!("  {} {}", if fact.is_warning() { "⚠" } else { "·" }, look.paint(tone, &words)));
    }
    if let Some(hidden) = change.hidden_by_rule() {
        line(out, &format!("  {}", look.paint(Tone::Dim, &hidden)));
    }
    match &diff.body {
        Body::Name => {}
        Body::Hunks(hunks) => lines(out, &flat(hunks), look),
        Body::TooLarge(paths) => {
            line(out, "    too large to be shown line by line; what differs:");
            for path in paths {
                line(out, &format!("    {}", visible(path)));
            }
        }
    }
}

fn lines(out: &mut String, lines: &[String], look: Look) {
    for text in lines {
        let text = visible(text);
        let painted = match text.chars().next() {
            Some('+') => look.paint(Tone::Green, &text),
            Some('-') => look.paint(Tone::Red, &text),
            Some('@') => look.paint(Tone::Cyan, &text),
            _ => text,
        };
        line(out, &format!("  {painted}"));
    }
}

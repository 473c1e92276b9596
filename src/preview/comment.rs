//! The one comment: a line that says what was looked at, a table, what is looked for first, what has to be said, the
//! diffs, what to type.
//!
//! It is never cut in the middle. Over the forge's limit whole objects leave and are named; with more environments than
//! a table holds, each keeps one line; beyond that they are counted, and what is not in the text was not shown to
//! anybody, which [`Comment::shows`] says.

use crate::ids::{CommitId, EnvironmentName};
use crate::manifest::visible;

use super::answer::written;
use super::baselines::baselines;
use super::facts::facts;
use super::fit::sections;
use super::markdown::{NAME, clip, code, fence, prose};
use super::merge_rule::merge_rules;
use super::page::{Consent, Deployment, EnvironmentRow, ObjectChange, Outcome, Page, RowChange, Subject};
use super::policies::remarks;
use super::words::{
    changes_rules, consent_cell, count, deployment_cell, name, object, removed, sentences, subject, takes_along,
};

/// Begins every comment of ours. It tells ours among ours: who wrote it is told by author and stored id.
pub const MARKER: &str = "<!-- bascule:preview -->";

/// Answers kept: older ones were read.
const ANSWERS: usize = 5;
/// Bytes of one answer.
const ANSWER: usize = 4_000;

/// A comment's text, and what a person who reads it has been shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Markdown.
    pub text: String,
    /// Environments whose change digest is in the text: only these can be consented to from here (rule 5 of consent).
    pub shows: Vec<EnvironmentName>,
}

/// Whether a text begins with our marker.
pub fn is_marked(text: &str) -> bool {
    text.trim_start().starts_with(MARKER)
}

/// How much is said about each environment; each level says less than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Everything but the diffs, which have their own way of fitting.
    Full,
    /// Names and errors only to begin with. When that is too much, each has one line, see [`lines`].
    Short,
}

/// Writes the comment in at most `limit` bytes (GitHub: 65,536; every forge takes at least 50,000). `link` leads to the
/// whole preview.
pub fn comment(page: &Page, link: Option<&str>, limit: usize) -> Comment {
    written_below(head(page), page, link, limit)
}

/// The same while a preview of another commit is on its way: what is shown stays, and says of what it is not.
pub fn updating(page: &Page, to: &CommitId, link: Option<&str>, limit: usize) -> Comment {
    let head = head(page);
    let (first, rest) = head.split_once("\n\n").unwrap_or((&head, ""));
    let head = format!("{first} · **updating for {}**\n\n{rest}", code(to.short()));
    written_below(head, page, link, limit)
}

fn written_below(head: String, page: &Page, link: Option<&str>, limit: usize) -> Comment {
    let answers = answers(page);
    let foot = |cut| foot(page, link, cut);
    let beside = merge_rules(&page.merge_rules);
    let fixed = head.len() + beside.len() + answers.len() + foot(true).len();
    let room = limit.saturating_sub(fixed);
    let rows = page.environments.as_slice();
    let written = [Detail::Full, Detail::Short].map(|detail| essentials(rows, detail)).into_iter().enumerate();
    let fitting = written.into_iter().find(|(_, text)| text.len() <= room);
    let (full, shown, essentials) = match fitting {
        Some((place, text)) => (place == 0, rows.iter().collect(), text),
        None => {
            let (text, shown) = lines(rows, room);
            (false, shown, text)
        }
    };
    let (diffs, cut) = sections(rows, room - essentials.len().min(room));
    Comment {
        text: format!("{head}{essentials}{beside}{diffs}{answers}{}", foot(cut || !full)),
        shows: shown.iter().filter(|row| prints(row)).map(|row| row.name.clone()).collect(),
    }
}

/// What was looked at and what came of it, with the marker.
pub(super) fn head(page: &Page) -> String {
    let what = match &page.outcome {
        Outcome::Compared if page.has_changes() => {
            format!("{}, {}", count(page.environments.len(), "environment"), count(page.objects(), "object"))
        }
        Outcome::Compared if page.has_errors() => count(page.environments.len(), "environment"),
        Outcome::Compared => "nothing changes".to_owned(),
        Outcome::Untouched => "nothing of ours is touched".to_owned(),
        Outcome::Conflict { .. } => "cannot be merged as it is".to_owned(),
        Outcome::RulesInvalid { .. } => "`.bascule.yaml` cannot be read".to_owned(),
        Outcome::Failed { .. } => "there is no preview".to_owned(),
    };
    let mut text = format!("{MARKER}\n**Bascule** · {} · {what}\n\n", subject(&page.subject));
    match &page.outcome {
        Outcome::Compared | Outcome::Untouched => {}
        Outcome::Conflict { paths } => {
            let named: Vec<String> = paths.iter().take(10).map(|path| code(&clip(path, NAME))).collect();
            let more = paths.len().saturating_sub(named.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let at = if named.is_empty() { String::new() } else { format!(" in {}{more}", named.join(", ")) };
            text.push_str(&format!("Merging conflicts{at}. Nothing is computed before that is resolved.\n\n"));
        }
        Outcome::RulesInvalid { errors } => {
            text.push_str("Nothing is synced by rules that cannot be read; what is deployed stays as it is.\n\n");
            text.push_str(&block(errors, 4_000));
        }
        Outcome::Failed { why } => {
            text.push_str(
                "What this would change could not be found out, and nothing here can be consented to before it is:\n\n",
            );
            text.push_str(&block(std::slice::from_ref(why), 4_000));
            text.push_str("A push or `/bascule preview` tries again, and so does whoever runs Bascule with `bascule jobs retry`.\n\n");
        }
    }
    if matches!(page.subject, Subject::Proposal { .. }) {
        text.push_str("This adds the first `.bascule.yaml`. Nothing is enforced before it is merged; then this would be ours:\n\n");
    }
    for note in page.notes.iter().take(8) {
        text.push_str(&format!("{}\n\n", prose(&clip(&visible(note), 500))));
    }
    text
}

/// Errors as a fenced block, whole errors up to about `most` bytes.
fn block(errors: &[String], most: usize) -> String {
    let mut lines = Vec::new();
    let (mut used, mut shown) = (0, 0);
    for error in errors {
        let own: Vec<String> = clip(error, 2_000).split('\n').map(str::to_owned).collect();
        used += error.len().min(2_000) + own.len();
        if used > most && shown > 0 {
            break;
        }
        lines.extend(own);
        shown += 1;
    }
    if shown < errors.len() {
        lines.push(format!("… and {} more", errors.len() - shown));
    }
    fence("text", &lines) + "\n"
}

fn essentials(rows: &[EnvironmentRow], detail: Detail) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let typed: String = rows.iter().filter_map(to_type).collect();
    let typed = if typed.is_empty() { typed } else { format!("To consent to exactly this:\n\n{typed}\n") };
    format!("{}{typed}{}", overview(rows, detail), unasked(rows))
}

/// The table, what is removed, and what is wrong.
pub(super) fn overview(rows: &[EnvironmentRow], detail: Detail) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let (errors, names, notable) = match detail {
        Detail::Full => (8_000, usize::MAX, 20),
        Detail::Short => (500, 5, 5),
    };
    let mut text = String::from("| environment | + | ~ | − | consent | deployment |\n|---|--:|--:|--:|---|---|\n");
    for row in rows {
        text.push_str(&table_row(row));
    }
    text.push('\n');
    for row in rows {
        text.push_str(&removals(row, names));
    }
    text.push_str(&baselines(rows, notable));
    for row in rows {
        text.push_str(&remarks(row, notable));
    }
    text.push_str(&facts(rows, notable));
    for row in rows {
        if let RowChange::Failed { errors: all, .. } = &row.change {
            text.push_str(&format!("{} does not render:\n\n{}", name(row), block(all, errors)));
        }
        for sentence in sentences(row).into_iter().take(names) {
            text.push_str(&format!("{sentence}\n\n"));
        }
    }
    text
}

fn table_row(row: &EnvironmentRow) -> String {
    let numbers = match &row.change {
        RowChange::Failed { .. } => "— | — | —".to_owned(),
        RowChange::Same | RowChange::Change { .. } => row.counts().map(|count| count.to_string()).join(" | "),
    };
    let rules = if changes_rules(row) { ", its own rules" } else { "" };
    let (consent, deployment) = match &row.change {
        RowChange::Failed { .. } => ("—".to_owned(), "**does not render**".to_owned()),
        RowChange::Same | RowChange::Change { .. } => (consent_cell(&row.consent), deployment_cell(&row.deployment)),
    };
    format!("| {}{rules} | {numbers} | {consent} | {deployment} |\n", name(row))
}

/// Removed objects by name, in bold: what is deleted is read first, and what takes more along has a line of its own.
fn removals(row: &EnvironmentRow, most: usize) -> String {
    let (grave, others): (Vec<_>, Vec<_>) = removed(row).partition(|one| takes_along(&one.diff.key).is_some());
    let named = |one: &ObjectChange| format!("**{}**", object(&one.diff.key));
    let mut text = String::new();
    for one in grave.iter().take(most) {
        let along = takes_along(&one.diff.key).unwrap_or_default();
        text.push_str(&format!("⚠ {} removes {}{along}\n\n", name(row), named(one)));
    }
    let left = most.saturating_sub(grave.len());
    let names: Vec<String> = others.into_iter().take(left).map(named).collect();
    let more = row.counts()[2].saturating_sub(names.len() + grave.len().min(most));
    let more = if more > 0 { vec![format!("**{more} more**")] } else { Vec::new() };
    let all: Vec<String> = [names.join(", ")].into_iter().filter(|names| !names.is_empty()).chain(more).collect();
    if !all.is_empty() {
        text.push_str(&format!("⚠ {} removes {}\n\n", name(row), all.join(" and ")));
    }
    text
}

/// Whether its digest is printed: no sync has begun with it.
fn prints(row: &EnvironmentRow) -> bool {
    let begun = matches!(
        row.deployment,
        Deployment::Running { .. }
            | Deployment::Verifying { .. }
            | Deployment::Healthy { .. }
            | Deployment::Failed { .. }
    );
    !begun && row.digest().is_some()
}

/// Whether it asks for consent.
fn asks(row: &EnvironmentRow) -> bool {
    prints(row) && row.consent != Consent::NotNeeded && !row.asks_only_waivers()
}

/// The changes nobody is asked about, with their digests: should the rules come to ask, they have been shown.
fn unasked(rows: &[EnvironmentRow]) -> String {
    let unasked = rows.iter().filter(|row| prints(row) && !asks(row));
    let named = unasked.filter_map(|row| Some(format!("{} `b1:{}`", name(row), row.digest()?.short())));
    let named: Vec<String> = named.collect();
    if named.is_empty() { String::new() } else { format!("No consent is needed for {}\n\n", named.join(", ")) }
}

/// The exact line that consents.
fn to_type(row: &EnvironmentRow) -> Option<String> {
    let digest = row.digest().filter(|_| asks(row))?;
    let [_, _, removed] = row.counts();
    let removing = if removed > 0 { format!(" ({} removed)", count(removed, "object")) } else { String::new() };
    Some(format!("- `/bascule approve {} {}{}`{removing}\n", row.name, digest.short(), saying(&row.consent)))
}

/// What a line that consents ends with, where each approval has to say how much it deletes.
fn saying(consent: &Consent) -> String {
    match consent {
        Consent::Asked { deletions: Some(number), .. } => format!(" --deletions {number}"),
        Consent::NotNeeded | Consent::ByRollback | Consent::Asked { .. } | Consent::Closed { .. } => String::new(),
    }
}

/// One line for each environment, its numbers and what to type, for as many as fit; and which those are. What waits for
/// consent comes first: were it left out for what has its consent, nobody could ever give it.
fn lines(rows: &[EnvironmentRow], room: usize) -> (String, Vec<&EnvironmentRow>) {
    let waits = |row: &&EnvironmentRow| asks(row) && !row.consent.is_met();
    let (mut rows, others): (Vec<_>, Vec<_>) = rows.iter().partition(waits);
    rows.extend(others);
    let rest = |left: usize| format!("- and {} that this comment has no room for\n\n", count(left, "environment"));
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        let line = line(row);
        let after = if place + 1 == rows.len() { 1 } else { rest(rows.len()).len() };
        if text.len() + line.len() + after > room {
            let rest = rest(rows.len() - place);
            rows.truncate(place);
            return (if text.len() + rest.len() > room { text } else { text + &rest }, rows);
        }
        text.push_str(&line);
    }
    (text + "\n", rows)
}

fn line(row: &EnvironmentRow) -> String {
    let [added, changed, removed] = row.counts();
    let numbers = format!("+{added} ~{changed} −{removed}");
    match (&row.change, row.digest().filter(|_| asks(row))) {
        (RowChange::Failed { .. }, _) => format!("- {} **does not render**\n", name(row)),
        (RowChange::Same, _) => format!("- {} is the same\n", name(row)),
        (RowChange::Change { .. }, None) => {
            let digest = row.digest().filter(|_| prints(row)).map(|digest| format!(" `b1:{}`", digest.short()));
            let digest = digest.unwrap_or_default();
            format!("- {}{digest} {numbers}, {}\n", name(row), deployment_cell(&row.deployment))
        }
        (RowChange::Change { .. }, Some(digest)) => {
            let met = if row.consent.is_met() { ", given" } else { "" };
            let saying = saying(&row.consent);
            format!("- `/bascule approve {} {}{saying}` {numbers}{met}\n", row.name, digest.short())
        }
    }
}

fn answers(page: &Page) -> String {
    let skipped = page.answers.len().saturating_sub(ANSWERS);
    let mut text = String::new();
    for answer in page.answers.iter().skip(skipped) {
        let one = written(answer, ANSWER);
        text.push_str(&format!("> {}\n\n", one.trim_end().replace('\n', "\n> ")));
    }
    text
}

fn foot(page: &Page, link: Option<&str>, cut: bool) -> String {
    let mut parts = Vec::new();
    let mut renderers: Vec<String> = Vec::new();
    let mut took = 0;
    for rendering in page.environments.iter().filter_map(|row| row.rendering.as_ref()) {
        let named = prose(&clip(&rendering.renderer, 120));
        if !renderers.contains(&named) && renderers.len() < 4 {
            renderers.push(named);
        }
        took += rendering.milliseconds.unwrap_or(0);
    }
    if !renderers.is_empty() {
        let seconds = if took >= 100 { format!(" in {}.{} s", took / 1000, took % 1000 / 100) } else { String::new() };
        parts.push(format!("rendered by {}{seconds}", renderers.join(", ")));
    }
    parts.extend(page.hidden_by_rule(|rule| code(&clip(rule, NAME))));
    if let Some(link) = link {
        let safe = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'*+,;=%".contains(c);
        let link: String = link.chars().filter(|c| safe(*c)).collect();
        let what = if cut { "**everything**" } else { "whole diff" };
        parts.push(format!("[{what}](<{link}>)"));
    }
    if parts.is_empty() { String::new() } else { format!("{}\n", parts.join(" · ")) }
}

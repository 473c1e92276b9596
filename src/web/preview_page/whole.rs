//! What the page says of a preview as a whole.

use super::super::html::Html;
use super::words::sentences;
use crate::preview::{MergeRule, Outcome, Page, Subject};

/// What was looked at.
pub(super) fn subject(html: &mut Html, subject: &Subject) {
    html.ours("<p>");
    match subject {
        Subject::Pull { head, into } => {
            html.within("A pull request at <code>", head.as_str(), "</code> for ").within("<code>", into, "</code>");
        }
        Subject::Proposal { head, into } => {
            html.within("A first configuration at <code>", head.as_str(), "</code> for ").within(
                "<code>",
                into,
                "</code>: nothing is enforced before it is merged",
            );
        }
        Subject::Held { commit, branch } => {
            html.within("A held change: <code>", commit.as_str(), "</code> of ").within("<code>", branch, "</code>");
        }
        Subject::Local { base, head } => {
            html.within("<code>", base, "</code> to ").within("<code>", head, "</code>");
        }
    }
    html.ours("</p>");
}

/// What came of it as a whole.
pub(super) fn outcome(html: &mut Html, page: &Page) {
    match &page.outcome {
        Outcome::Compared => {}
        Outcome::Untouched => {
            html.ours("<p>No environment is touched.</p>");
        }
        Outcome::Conflict { paths } => {
            html.ours("<p>It cannot be merged as it is; these files are in conflict:</p>");
            list(html, paths);
        }
        Outcome::RulesInvalid { errors } => {
            html.ours("<p>The repository's rules cannot be read:</p>");
            list(html, errors);
        }
        Outcome::Failed { why } => {
            html.within("<p>What it would change could not be found out: ", why, "</p>");
        }
    }
    for note in &page.notes {
        html.within("<p>", note, "</p>");
    }
}

/// What the forge asks for by itself.
pub(super) fn merge_rules(html: &mut Html, page: &Page) {
    if page.merge_rules.is_empty() {
        return;
    }
    html.ours("<h2>The forge's own rules</h2><p>It asks for these approvals before it merges; they are no part of consent.</p>");
    let told = |rule: &MergeRule| {
        let state = if rule.is_met { "met" } else { "not met" };
        let by = if rule.given.is_empty() { "nobody".to_owned() } else { rule.given.join(", ") };
        format!("{}: {state}, approved by {by}, {} asked for", rule.name, rule.wanted)
    };
    list(html, &page.merge_rules.iter().map(told).collect::<Vec<_>>());
}

/// What commands were answered.
pub(super) fn answers(html: &mut Html, page: &Page) {
    if page.answers.is_empty() {
        return;
    }
    html.ours("<h2>Answers</h2>");
    for answer in &page.answers {
        html.within("<p>To <code>", &answer.to, "</code>:</p>");
        list(html, &sentences(&answer.answered));
    }
}

/// A list of plain sentences.
pub(super) fn list(html: &mut Html, items: &[String]) {
    html.ours("<ul>");
    for item in items {
        html.within("<li>", item, "</li>");
    }
    html.ours("</ul>");
}

//! Lines of a difference: one below the other or side by side, keys and values told apart by colour as well as by place.

use std::ops::Range;

use super::super::html::Html;
use crate::manifest::Hunk;

/// How lines are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layout {
    /// One below the other.
    #[default]
    Unified,
    /// What was on the left, what will be on the right.
    Split,
}

/// Some lines of a hunk, below the path it is at.
pub(super) fn hunk(html: &mut Html, hunk: &Hunk, range: Range<usize>, layout: Layout) {
    if !hunk.path.is_empty() {
        html.within("<p class=\"path\"><code>", &hunk.path, "</code></p>");
    }
    let lines = hunk.lines.get(range).unwrap_or_default();
    match layout {
        Layout::Unified => unified(html, lines),
        Layout::Split => split(html, lines),
    }
}

fn unified(html: &mut Html, lines: &[String]) {
    html.ours("<pre><code>");
    for line in lines {
        let (before, after) = match line.as_bytes().first() {
            Some(b'+') => ("<ins>", "</ins>"),
            Some(b'-') => ("<del>", "</del>"),
            _ => ("<span>", "</span>"),
        };
        html.ours(before);
        colour(html, line);
        html.ours(after);
    }
    html.ours("</code></pre>");
}

fn split(html: &mut Html, lines: &[String]) {
    html.ours("<table class=\"split\"><thead><tr><th scope=\"col\">before</th><th scope=\"col\">after</th></tr></thead><tbody>");
    let (mut old, mut new): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in lines {
        match line.as_bytes().first() {
            Some(b'-') => old.push(line),
            Some(b'+') => new.push(line),
            _ => {
                pairs(html, &mut old, &mut new);
                html.ours("<tr><td><span>");
                colour(html, line);
                html.ours("</span></td><td><span>");
                colour(html, line);
                html.ours("</span></td></tr>");
            }
        }
    }
    pairs(html, &mut old, &mut new);
    html.ours("</tbody></table>");
}

/// Lines that leave beside those that come in their place.
fn pairs(html: &mut Html, old: &mut Vec<&str>, new: &mut Vec<&str>) {
    for at in 0..old.len().max(new.len()) {
        html.ours("<tr><td>");
        if let Some(line) = old.get(at) {
            html.ours("<del>");
            colour(html, line);
            html.ours("</del>");
        }
        html.ours("</td><td>");
        if let Some(line) = new.get(at) {
            html.ours("<ins>");
            colour(html, line);
            html.ours("</ins>");
        }
        html.ours("</td></tr>");
    }
    old.clear();
    new.clear();
}

/// A line of YAML as we write it: sign, indentation, `key:`, value. What is no such line has one colour.
fn colour(html: &mut Html, line: &str) {
    match line.split_once(':') {
        Some((key, value)) if is_key(key) && (value.is_empty() || value.starts_with(' ')) => {
            html.within("<b>", key, ":</b>");
            html.text(value);
        }
        _ => {
            html.text(line);
        }
    }
    html.ours("\n");
}

/// Whether this is all before the colon of a key: sign, blanks, dashes of lists, and a word.
fn is_key(text: &str) -> bool {
    let word = text.get(1..).unwrap_or_default().trim_start_matches([' ', '-']);
    !word.is_empty() && !word.starts_with(['#', '|', '>', '{', '[']) && !word.contains(['"', '\'', ' '])
}

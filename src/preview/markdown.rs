//! Text from outside, made inert in Markdown.
//!
//! There are four places such text may stand, and one function for each: [`code`] in a sentence, [`cell`] in a table,
//! [`fence`] as lines, [`html`] inside our own tags. [`prose`] is for sentences that quote names. Code is what forges
//! look into for nothing: no mention, issue, commit, address, link, image, emoji or tag is found there.
//!
//! Backslash escapes are not used: forges look for mentions and bare addresses after they were taken away.

use crate::manifest::visible;

/// The longest name shown whole. Kubernetes ends at 253, forges near 100.
pub(super) const NAME: usize = 260;

/// A code span, whatever the text has of backticks; on one line, with invisible characters written out.
pub(super) fn code(text: &str) -> String {
    let text = visible(text);
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    // A space is taken away at each end when both are there; a backtick there would lengthen the fence.
    let edge = |c: Option<char>| matches!(c, Some('`' | ' '));
    let pad = if edge(text.chars().next()) || edge(text.chars().next_back()) { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// [`code`] for a table's cell. A `|` would end the cell even in code, and escaping it breaks on a backslash before it.
pub(super) fn cell(text: &str) -> String {
    code(&text.replace('|', "¦"))
}

/// A fenced block; its fence is longer than any run of backticks inside. Lines are made visible one by one.
pub(super) fn fence(info: &str, lines: &[String]) -> String {
    let longest = lines.iter().map(|line| longest_run(line, '`')).max().unwrap_or(0);
    let ticks = "`".repeat(longest.max(2) + 1);
    let mut block = format!("{ticks}{info}\n");
    for line in lines {
        block.push_str(&visible(line));
        block.push('\n');
    }
    block.push_str(&ticks);
    block.push('\n');
    block
}

/// Inside our own HTML: entities for whatever begins a tag, an entity or ends an attribute.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A sentence that may hold names from outside: plain words stay, everything else becomes code. Backticks in it, when
/// they pair, mark what is code already.
pub(super) fn prose(sentence: &str) -> String {
    let sentence = visible(sentence.trim());
    if sentence.chars().all(|c| c == '`' || c == ' ') {
        return code(&sentence);
    }
    let parts: Vec<&str> = sentence.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return words(&sentence);
    }
    let mut written = String::with_capacity(sentence.len());
    for (place, part) in parts.into_iter().enumerate() {
        match (place % 2, part) {
            (0, text) => written.push_str(&words(text)),
            (_, "") => {}
            (_, name) => {
                // Two spans that touch would be read as one fence.
                if written.ends_with('`') {
                    written.push(' ');
                }
                written.push_str(&code(name));
            }
        }
    }
    written
}

fn words(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 8);
    // Words that are no plain ones and follow each other share a span.
    let mut quoted: Vec<&str> = Vec::new();
    for (place, word) in text.split(' ').enumerate() {
        let plain = is_plain(word);
        if plain || quoted.is_empty() {
            flush(&mut quoted, &mut written);
            written.push_str(if place > 0 { " " } else { "" });
        }
        if plain {
            written.push_str(word);
            continue;
        }
        // The sentence's own signs stay outside: `@ann`, (`@bob`).
        let core = word.trim_end_matches([':', ';', ',', '.', '?', '!', ')']);
        let core = core.strip_suffix("'s").unwrap_or(core);
        let after = word.get(core.len()..).unwrap_or_default();
        let inner = core.trim_start_matches('(');
        let (before, core) = core.split_at(core.len() - inner.len());
        if core.is_empty() {
            quoted.push(word);
            continue;
        }
        if !before.is_empty() {
            if !quoted.is_empty() {
                flush(&mut quoted, &mut written);
                written.push(' ');
            }
            written.push_str(before);
        }
        quoted.push(core);
        if !after.is_empty() {
            flush(&mut quoted, &mut written);
            written.push_str(after);
        }
    }
    flush(&mut quoted, &mut written);
    written
}

fn flush(quoted: &mut Vec<&str>, written: &mut String) {
    if !quoted.is_empty() {
        // Two spans that touch would be read as one fence.
        written.push_str(if written.ends_with('`') { " " } else { "" });
        written.push_str(&code(&quoted.join(" ")));
        quoted.clear();
    }
}

/// A word no forge makes anything of: letters, digits and the signs of a sentence, and none of the shapes that are
/// linked without a sign (`www.`, `GH-1`, a commit's digits).
fn is_plain(word: &str) -> bool {
    let body = word.trim_end_matches([':', ';', ',', '.', '?', '!', ')', '"']).trim_start_matches(['(', '"']);
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '\'' || c == ',' || c == '-' || c == '.' || c == '/';
    let digits = |part: &str| part.len() >= 7 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let lower = body.to_ascii_lowercase();
    // `1.` and `1)` begin a list where a line begins.
    let numbered = word.trim_end_matches(['.', ')']).bytes().all(|b| b.is_ascii_digit()) && word.ends_with(['.', ')']);
    body.chars().all(|c| letters(c) || matches!(c, '…' | '–' | '−' | '→'))
        && !lower.starts_with("www.")
        && !lower.starts_with("gh-")
        && !body.split(|c: char| !c.is_ascii_alphanumeric()).any(digits)
        && !body.starts_with('-')
        && !body.ends_with('-')
        && !body.contains("--")
        && !numbered
}

fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// At most `most` characters, the rest replaced by an ellipsis.
pub(super) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

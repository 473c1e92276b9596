//! What our comment says while a preview of many environments is being made.

use super::comment::MARKER;
use crate::ids::CommitId;

/// How the line begins, by which it is found again.
const BEGINS: &str = "**Making the preview of `";

/// Our comment with a line that says how far the next preview is; the rest of it stays as it was shown. Without a comment
/// it is all there is.
pub fn progress(text: Option<&str>, head: &CommitId, done: usize, of: usize) -> String {
    let (_, rest) = parted(text.unwrap_or_default());
    let what = if rest.is_empty() { "" } else { " What follows is the preview before." };
    format!("{MARKER}\n{BEGINS}{}`**: {} of {} environments.{what}\n\n{rest}", head.short(), grouped(done), grouped(of))
}

/// Our comment when nobody makes that preview any more: without the line, and where nothing else was shown with why there is
/// none. `None`: it has no such line.
pub fn without_progress(text: &str, why: &str) -> Option<String> {
    let (had_line, rest) = parted(text);
    had_line.then(|| match rest {
        "" => format!("{MARKER}\n**There is no preview**: {why}.\n"),
        rest => format!("{MARKER}\n{rest}"),
    })
}

/// Whether our comment has the line, and what it says besides.
fn parted(text: &str) -> (bool, &str) {
    let rest = text.trim_start();
    let rest = rest.strip_prefix(MARKER).unwrap_or(rest).trim_start();
    match rest.strip_prefix(BEGINS) {
        Some(line) => (true, line.split_once('\n').map_or("", |(_, rest)| rest).trim_start()),
        None => (false, rest),
    }
}

/// `1,000`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn how_far_it_is_stands_above_what_was_shown_last() {
        let head: CommitId = "abc1234".repeat(6).chars().take(40).collect::<String>().parse().unwrap();
        assert_snapshot!(progress(None, &head, 412, 1_000), @r"
        <!-- bascule:preview -->
        **Making the preview of `abc1234`**: 412 of 1,000 environments.
        ");
        let shown = format!("{MARKER}\n**Bascule** · the preview\n\nits rows\n");
        let once = progress(Some(&shown), &head, 3, 12_345);
        assert_snapshot!(once, @r"
        <!-- bascule:preview -->
        **Making the preview of `abc1234`**: 3 of 12,345 environments. What follows is the preview before.

        **Bascule** · the preview

        its rows
        ");
        assert_eq!(progress(Some(&once), &head, 3, 12_345), once, "the line takes the place of the one before");
    }

    #[test]
    fn the_line_goes_when_nobody_makes_the_preview_any_more() {
        let head: CommitId = "a".repeat(40).parse().unwrap();
        let why = "the pull request was closed before it was made";
        let first = without_progress(&progress(None, &head, 412, 1_000), why).unwrap();
        assert_snapshot!(first, @r"
        <!-- bascule:preview -->
        **There is no preview**: the pull request was closed before it was made.
        ");
        let shown = format!("{MARKER}\n**Bascule** · the preview\n\nits rows\n");
        assert_eq!(without_progress(&progress(Some(&shown), &head, 3, 9), why).as_ref(), Some(&shown));
        assert_eq!(without_progress(&shown, why), None, "nothing is written where it says nothing of the kind");
        assert_eq!(without_progress(&first, why), None, "nor again");
    }
}

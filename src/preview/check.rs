//! What a check run says beside its one line: the head of the comment, its table, and what is wrong at which line. Nothing
//! is consented to from here: what was shown is what the comment showed, so no digest is printed.

use crate::manifest::visible;

use super::comment::{Detail, MARKER, head, overview};
use super::mark::Mark;
use super::markdown::clip;
use super::page::Page;
use super::words::count;

/// GitHub takes as many of a run, in one request.
const MOST_MARKS: usize = 50;
/// Bytes of what is said of one line; GitHub takes 64 KB.
const MARK: usize = 4_000;

/// A check run's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Markdown.
    pub summary: String,
    /// Lines with what is wrong there: plain text.
    pub marks: Vec<Mark>,
}

/// Writes it, its summary in at most `limit` bytes (GitHub: 65,535). `link` leads to the whole preview.
pub fn check(page: &Page, link: Option<&str>, limit: usize) -> Check {
    let head = head(page);
    let head = head.trim_start_matches(MARKER).trim_start();
    let left = page.marks.len().saturating_sub(MOST_MARKS);
    let mut foot = String::new();
    if left > 0 {
        foot.push_str(&format!("{} more are not marked in their files.\n\n", count(left, "remark")));
    }
    if let Some(link) = link {
        foot.push_str(&format!("[whole preview](<{link}>)\n"));
    }
    let room = limit.saturating_sub(head.len() + foot.len());
    let written = [Detail::Full, Detail::Short].into_iter().map(|detail| overview(&page.environments, detail));
    // Whole environments or none: the comment names as many as there is room for.
    let overview = written.into_iter().find(|text| text.len() <= room).unwrap_or_default();
    let mark = |mark: &Mark| Mark { message: clip(&visible(&mark.message), MARK), ..mark.clone() };
    // What is wrong comes first where there is not room for all.
    let mut marks: Vec<&Mark> = page.marks.iter().collect();
    marks.sort_by_key(|mark| mark.tells);
    let marks = marks.into_iter().take(MOST_MARKS).map(mark).collect();
    Check { summary: format!("{head}{overview}{foot}"), marks }
}

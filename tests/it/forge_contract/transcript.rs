//! What was seen, without what differs by nature.

use std::fmt::Write as _;

/// What the client saw, with everything that differs by nature replaced.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) text: String,
    commits: Vec<String>,
}

impl Transcript {
    pub(super) fn note(&mut self, what: &str, seen: impl std::fmt::Debug) {
        let seen = self.plain(&format!("{seen:?}"));
        writeln!(self.text, "{what}: {seen}").unwrap();
    }

    /// Hashes become `commit 1`, numbers of things `N`, times `TIME`; of an error's words, ours stay.
    pub(super) fn plain(&mut self, text: &str) -> String {
        let replaced = |pattern: &str, text: &str, with: &str| {
            regex::Regex::new(pattern).unwrap().replace_all(text, with).into_owned()
        };
        let text = replaced(r"\b20\d\d-\d\d-\d\dT[0-9:.]+Z", text, "TIME");
        let text = replaced(r"\b(id|comment|head_repository): (Some\()?\d+", &text, "$1: ${2}N");
        let text = replaced(r"(answered \d+): [^)]*\)", &text, "$1)");
        let hash = regex::Regex::new(r"\b[0-9a-f]{40}\b").unwrap();
        let numbered = |found: &regex::Captures<'_>| {
            let known = self.commits.iter().position(|known| known == &found[0]);
            let number = known.unwrap_or_else(|| {
                self.commits.push(found[0].to_owned());
                self.commits.len() - 1
            });
            format!("commit {}", number + 1)
        };
        hash.replace_all(&text, numbered).into_owned()
    }
}

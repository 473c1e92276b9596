//! What is wrong with a file, where, and what to do about it: the one shape of every complaint about either file.

use std::fmt;
use std::sync::Arc;

/// A line and column of a named text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the reader named it, or an environment variable that overrides a key of it.
    pub file: Arc<str>,
    /// From 1; 0 where there are no lines: an environment variable, or a file that could not be read.
    pub line: u32,
    /// From 1, in characters; 0 like `line`, and where the line must not be shown.
    pub column: u32,
}

impl Place {
    /// The whole of a file or variable.
    pub fn whole(file: &str) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }

    /// The line alone: for a complaint about something that must not be shown again, such as a secret.
    pub fn without_column(&self) -> Self {
        Self { column: 0, ..self.clone() }
    }

    /// The place of a byte offset in `text`.
    pub fn of_offset(file: &Arc<str>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            file: file.clone(),
            line: count(before.bytes().filter(|b| *b == b'\n').count()).saturating_add(1),
            column: count(before[line_start..].chars().count()).saturating_add(1),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        match (self.line, self.column) {
            (0, _) => Ok(()),
            (line, 0) => write!(out, ":{line}"),
            (line, column) => write!(out, ":{line}:{column}"),
        }
    }
}

/// One thing wrong at one place. `Display` is one line: `.bascule.yaml:12:7: problem; what to do`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{place}: {problem}; {advice}")]
pub struct Located {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
    /// What to do, as an instruction.
    pub advice: String,
}

impl Located {
    /// `problem` at `place`, and the instruction that mends it. Whatever the file's author wrote into them is made
    /// printable, so that a complaint is always one line.
    pub fn new(place: &Place, problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { place: place.clone(), problem: printable(&problem.into()), advice: printable(&advice.into()) }
    }

    /// The complaint, then the line it is about with a caret under the column; `text` is the text of its file.
    pub fn with_excerpt(&self, text: &str) -> String {
        let line = usize::try_from(self.place.line).ok().and_then(|n| n.checked_sub(1));
        let column = usize::try_from(self.place.column).unwrap_or(0);
        let Some(source) = line.and_then(|n| text.lines().nth(n)).filter(|_| column > 0) else {
            return self.to_string();
        };
        // A very long line is shown around the caret only.
        let skip = column.saturating_sub(80);
        let shown: String = source.chars().skip(skip).take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let margin = self.place.line.to_string();
        let blank = " ".repeat(margin.len());
        let caret = " ".repeat(column - 1 - skip);
        format!("{self}\n {blank} |\n {margin} | {shown}\n {blank} | {caret}^")
    }
}

/// Control characters and those that reorder or hide text are shown as escapes.
fn printable(text: &str) -> String {
    let hides =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || hides(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Complaints gathered while a file is read, so that a person sees all of them at once.
#[derive(Debug, Default)]
pub struct Complaints(Vec<Located>);

impl Complaints {
    /// Adds one.
    pub fn add(&mut self, place: &Place, problem: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Located::new(place, problem, advice));
    }

    /// Adds some.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Located>) {
        self.0.extend(more);
    }

    /// How many so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` when nothing was wrong, else every complaint once, in the order of the file.
    pub fn unless_any<T>(self, value: T) -> Result<T, Vec<Located>> {
        let all = self.into_sorted();
        if all.is_empty() { Ok(value) } else { Err(all) }
    }

    /// Every complaint once, in the order of the file.
    pub fn into_sorted(mut self) -> Vec<Located> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}

/// The known word nearest to what was typed, when it is near enough to be meant.
pub fn did_you_mean<'w>(typed: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // A third of the letters, at least one, may be wrong: `stagin` means `staging`, `prod` does not mean `path`.
    let allowed = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (edits(typed, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}

/// Insertions, removals, replacements and swaps of neighbours that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (lower(a), lower(b));
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Typing mistakes are looked for in short words only: what is longer is no word of ours.
fn lower(text: &str) -> Vec<char> {
    text.chars().take(64).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn nearby_words_are_suggested_and_far_ones_are_not() {
        let known = ["path", "namespace", "cluster", "after"];
        assert_eq!(did_you_mean("namspace", known), Some("namespace"));
        assert_eq!(did_you_mean("aftre", known), Some("after"));
        assert_eq!(did_you_mean("Cluster", known), Some("cluster"));
        assert_eq!(did_you_mean("prod", known), None);
    }

    #[test]
    fn an_excerpt_points_at_the_column() {
        let place = Place { file: ".bascule.yaml".into(), line: 2, column: 3 };
        let wrong = Located::new(&place, "unknown key `pth`\u{1b}[31m", "did you mean `path`?");
        assert_snapshot!(wrong.with_excerpt("a:\n  pth: x\n"), @r"
        .bascule.yaml:2:3: unknown key `pth`\u{1b}[31m; did you mean `path`?
           |
         2 |   pth: x
           |   ^
        ");
    }
}

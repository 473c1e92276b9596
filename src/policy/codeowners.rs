//! The owner file, which forges call `CODEOWNERS`: who owns which files, as the repository's own forge reads it. What that
//! forge would quietly pass over, a line it cannot read say, is refused here: a file nobody can rely on closes the gate.
//!
//! The lines that say something are part of an environment's entry, so that whose consent is asked is itself consented to.

mod gitea;
mod github;
mod gitlab;
mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::located::{Complaints, Located, Place};
use super::rules::Voters;

/// GitHub reads 3 MB; this is kept with every environment that asks for owners, and the largest in use have some 50 kB.
pub const LARGEST_OWNER_FILE: u64 = 256 * 1024;
/// Lines that say something.
const MOST_LINES: usize = 5_000;
/// The same where each is a compiled expression.
const MOST_EXPRESSIONS: usize = 500;
/// Complaints beyond this many say nothing new.
const MOST_COMPLAINTS: usize = 20;

/// How a forge reads its owner file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Paths as in `.gitignore`; of all that match, the last line counts.
    GitHub,
    /// Globs in sections; of all that match, the last line of each section counts.
    GitLab,
    /// Regular expressions of Go; all that match count. Forgejo's are the same.
    Gitea,
}

impl Dialect {
    /// Where the forge looks, in its order: the first that is there is the one.
    pub fn places(self) -> &'static [&'static str] {
        match self {
            // docs.github.com, "About code owners".
            Self::GitHub => &[".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"],
            // docs.gitlab.com, "Code Owners".
            Self::GitLab => &["CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"],
            // `codeOwnerFiles` in Gitea's services/issue/pull.go; the last is Forgejo's alone.
            Self::Gitea => &["CODEOWNERS", "docs/CODEOWNERS", ".gitea/CODEOWNERS", ".forgejo/CODEOWNERS"],
        }
    }
}

/// An owner file that was read, as it is kept in an environment's entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OwnerFile {
    /// Where it is.
    pub path: String,
    /// Whose language it is in.
    pub forge: Dialect,
    /// Its lines, without comments and empty ones.
    pub lines: Vec<String>,
}

/// What an owner file says of some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// Who is asked, each with the first of the files they are asked for.
    pub claims: Vec<Claim>,
    /// The first file that nobody has to be asked for.
    pub unowned: Option<String>,
}

/// Owners of some files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// How many of them.
    pub count: u32,
    /// Whom.
    pub owners: Voters,
    /// The first of the files.
    pub file: String,
}

/// Lines that are judged together: on GitLab a section, elsewhere all of them.
#[derive(Debug, Default)]
struct Section {
    /// In lower case, as names of sections are compared.
    name: String,
    /// Whether its owners are told and not waited for.
    is_optional: bool,
    count: u32,
    /// Owners of its entries that name none.
    by_default: Voters,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    pattern: Pattern,
    /// Nobody: what it matches has no owner.
    owners: Voters,
}

#[derive(Debug)]
enum Pattern {
    /// Segments of a path; `**` is any number of them.
    Glob(Vec<String>),
    /// What it matches is out of the section, whatever comes later.
    Excluded(Vec<String>),
    /// A regular expression for the whole path.
    Regex(regex::Regex),
    /// Every path that this does not match.
    Not(regex::Regex),
}

/// What is wrong with a line, and what to write instead.
type Fault = (String, &'static str);

impl OwnerFile {
    /// Reads the text of an owner file.
    ///
    /// # Errors
    /// Every line that cannot be honoured, at its place.
    pub fn parse(forge: Dialect, path: &str, text: &str) -> Result<Self, Vec<Located>> {
        let file: Arc<str> = path.into();
        let mut complaints = Complaints::default();
        let mut lines = Vec::new();
        let mut sections = Sections::default();
        for (number, line) in (1u32..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let most = if forge == Dialect::Gitea { MOST_EXPRESSIONS } else { MOST_LINES };
            if lines.len() == most {
                let problem = format!("this is more than the {most} lines we read");
                complaints.add(
                    &Place { file: file.clone(), line: number, column: 1 },
                    problem,
                    "write patterns for more files",
                );
                break;
            }
            if let Err((problem, advice)) = sections.read(forge, line) {
                complaints.add(&Place { file: file.clone(), line: number, column: 1 }, problem, advice);
                if complaints.len() >= MOST_COMPLAINTS {
                    break;
                }
            }
            lines.push(line.to_owned());
        }
        complaints.unless_any(Self { path: path.to_owned(), forge, lines })
    }

    /// Reads what is at a place; `None`: more than [`LARGEST_OWNER_FILE`].
    ///
    /// # Errors
    /// As [`OwnerFile::parse`].
    pub fn read(forge: Dialect, path: &str, bytes: Option<Vec<u8>>) -> Result<Self, Vec<Located>> {
        let wrong = |problem, advice| Err(vec![Located::new(&Place::whole(path), problem, advice)]);
        match bytes.map(String::from_utf8) {
            None => wrong("it is larger than the 256 KiB we read", "write globs for many files"),
            Some(Err(_)) => wrong("the file is not UTF-8", "save it as UTF-8"),
            Some(Ok(text)) => Self::parse(forge, path, &text),
        }
    }

    /// What is said where a rule asks for owners and there is no file that names them.
    pub fn absent(places: &[&str], asked_at: &Place) -> Located {
        let problem = "`codeowners` asks for the owners of files, and there is no file that names them";
        Located::new(asked_at, problem, format!("add one of {}", super::block::listed(places)))
    }

    /// Who is asked for a change of these files. `None`: a line cannot be read any more, by this version.
    pub fn owners<'f>(&self, files: impl IntoIterator<Item = &'f str>) -> Option<Owned> {
        let mut sections = Sections::default();
        for line in &self.lines {
            sections.read(self.forge, line).ok()?;
        }
        let mut owned = Owned::default();
        let mut seen: BTreeMap<(u32, Voters), usize> = BTreeMap::new();
        for file in files.into_iter().collect::<BTreeSet<&str>>() {
            let path: Vec<&str> = file.split('/').collect();
            let mut asked = false;
            for section in &sections.0 {
                let Some(owners) = section.owners(self.forge, file, &path) else { continue };
                asked = true;
                seen.entry((section.count, owners)).or_insert_with_key(|(count, owners)| {
                    owned.claims.push(Claim { count: *count, owners: owners.clone(), file: file.to_owned() });
                    owned.claims.len()
                });
            }
            if !asked {
                owned.unowned.get_or_insert_with(|| file.to_owned());
            }
        }
        Some(owned)
    }
}

impl OwnerFile {
    /// Everybody who owns anything, each group of owners once. `None`: a line cannot be read any more, by this version.
    pub fn everybody(&self) -> Option<Vec<Claim>> {
        let mut sections = Sections::default();
        for line in &self.lines {
            sections.read(self.forge, line).ok()?;
        }
        let asked = sections.0.iter().filter(|section| !section.is_optional);
        let all = asked.flat_map(|section| section.entries.iter().map(|entry| (section.count, entry.owners.clone())));
        let all: BTreeSet<(u32, Voters)> = all.filter(|(_, owners)| *owners != Voters::default()).collect();
        Some(all.into_iter().map(|(count, owners)| Claim { count, owners, file: self.path.clone() }).collect())
    }
}

#[derive(Debug, Default)]
struct Sections(Vec<Section>);

impl Sections {
    /// Reads one line that says something.
    fn read(&mut self, forge: Dialect, line: &str) -> Result<(), Fault> {
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return Err(("this line has a control character in it".to_owned(), "remove it"));
        }
        match forge {
            Dialect::GitHub => self.current().entries.push(github::entry(line)?),
            Dialect::Gitea => self.current().entries.push(gitea::entry(line)?),
            Dialect::GitLab => gitlab::line(self, line)?,
        }
        Ok(())
    }

    /// The section that a line without a heading belongs to.
    fn current(&mut self) -> &mut Section {
        if self.0.is_empty() {
            self.0.push(Section { count: 1, ..Section::default() });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

impl Section {
    /// Who has to be asked for a file; `None` when nobody has.
    fn owners(&self, forge: Dialect, file: &str, path: &[&str]) -> Option<Voters> {
        if self.is_optional {
            return None;
        }
        let owners = match forge {
            Dialect::GitHub | Dialect::GitLab => {
                let out = |entry: &Entry| matches!(&entry.pattern, Pattern::Excluded(_)) && entry.matches(file, path);
                if self.entries.iter().any(out) {
                    return None;
                }
                self.entries.iter().rev().find(|entry| entry.matches(file, path))?.owners.clone()
            }
            Dialect::Gitea => {
                let mut all = Voters::default();
                for entry in self.entries.iter().filter(|entry| entry.matches(file, path)) {
                    all.users.extend(entry.owners.users.iter().cloned());
                    all.teams.extend(entry.owners.teams.iter().cloned());
                }
                all
            }
        };
        (owners != Voters::default()).then_some(owners)
    }
}

impl Entry {
    fn matches(&self, file: &str, path: &[&str]) -> bool {
        match &self.pattern {
            Pattern::Glob(segments) | Pattern::Excluded(segments) => {
                super::globs::segments_match(&segments.iter().map(String::as_str).collect::<Vec<_>>(), path)
            }
            Pattern::Regex(regex) => regex.is_match(file),
            Pattern::Not(regex) => !regex.is_match(file),
        }
    }
}

//! Gitea and Forgejo: `^expression$` of Go for the whole path, with `!` for every path it does not match; everybody whose
//! expression matches is an owner (`ParseCodeOwnersLine` in models/issues/pull.go). Both languages of expressions are RE2's.

use super::line::{is_name, nobody};
use super::{Entry, Fault, Pattern};
use crate::policy::rules::Voters;

/// A compiled expression of this many bytes matches nothing that people write.
const LARGEST_EXPRESSION: usize = 1 << 18;

pub(super) fn entry(line: &str) -> Result<Entry, Fault> {
    let words = words(line);
    let Some((expression, names)) = words.split_first().filter(|(_, names)| !names.is_empty()) else {
        return Err(("this line has no owners, so that Gitea passes over it".to_owned(), "write its owners behind it"));
    };
    let mut owners = Voters::default();
    for word in names {
        let name = word.strip_prefix('@').unwrap_or(word);
        match name.split_once('/') {
            None if is_name(name) => owners.users.insert(name.to_owned()),
            // What a team is called is its owners' own word.
            Some((organisation, team)) if is_name(organisation) && !team.is_empty() && !team.contains('/') => {
                owners.teams.insert(name.to_owned())
            }
            None | Some(_) => return Err(nobody(word, "write `@user` or `@organisation/team`")),
        };
    }
    let (is_negative, written) = expression.strip_prefix('!').map_or((false, expression.as_str()), |rest| (true, rest));
    let compiled = regex::RegexBuilder::new(&format!("^{written}$")).size_limit(LARGEST_EXPRESSION).build();
    // A glob, which Go takes for no expression, and Rust for another one.
    let is_glob = written.starts_with(['*', '+', '?']);
    let regex = compiled.ok().filter(|_| !is_glob).ok_or_else(|| {
        (format!("`{written}` is no regular expression"), "write one of Go for the whole path: `deploy/.*`")
    })?;
    Ok(Entry { pattern: if is_negative { Pattern::Not(regex) } else { Pattern::Regex(regex) }, owners })
}

/// As Gitea takes a line apart: a backslash keeps the next character from meaning anything, and a `#` ends the line.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => word.extend(characters.next()),
            '#' => break,
            ' ' | '\t' if word.is_empty() => {}
            ' ' | '\t' => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

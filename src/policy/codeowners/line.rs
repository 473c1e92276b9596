//! What the lines of all forges have in common: words, and names of people.

use super::Fault;
use crate::policy::rules::Voters;

/// The words of a line: separated by white space, unless a backslash stands before it. A word that begins with `#` is the
/// beginning of a comment.
pub(super) fn words(line: &str) -> Result<(Vec<String>, String), Fault> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        match rest.peek() {
            None => return Ok((words, String::new())),
            Some('#') => return Ok((words, rest.collect())),
            Some(_) => {}
        }
        let mut word = String::new();
        while let Some(c) = rest.next_if(|c| !c.is_whitespace()) {
            if c != '\\' {
                word.push(c);
                continue;
            }
            match rest.next() {
                Some(' ') => word.push(' '),
                Some('#') if word.is_empty() && words.is_empty() => word.push('#'),
                Some(_) | None => {
                    let advice = "write a backslash only before a space, or remove it";
                    return Err(("a backslash stands before something else than a space".to_owned(), advice));
                }
            }
        }
        words.push(word);
    }
}

/// Segments of a glob between slashes, when it is one that everybody reads alike.
pub(super) fn segments(pattern: &str) -> Result<Vec<String>, Fault> {
    if pattern.contains("***") || pattern.contains("//") {
        return Err((
            format!("`{pattern}` matches nothing"),
            "write one `/` between names, and `**` for whole folders",
        ));
    }
    if pattern.contains(['[', ']']) {
        return Err((format!("`{pattern}` has brackets in it"), "write one line for each alternative"));
    }
    Ok(pattern.split('/').map(str::to_owned).collect())
}

/// An account, or an organisation's name.
pub(super) fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 255 && name.chars().all(inner)
}

/// `organisation/team`, or more where groups are within groups.
pub(super) fn is_team(name: &str) -> bool {
    name.split('/').count() >= 2 && name.split('/').all(is_name)
}

/// An owner that is nobody's name.
pub(super) fn nobody(word: &str, advice: &'static str) -> Fault {
    (format!("`{word}` cannot be an owner"), advice)
}

/// Adds one owner, `@name` or `@organisation/team`; `false` when it is neither.
pub(super) fn add(owners: &mut Voters, word: &str) -> bool {
    match word.strip_prefix('@') {
        Some(name) if is_name(name) => owners.users.insert(name.to_owned()),
        Some(team) if is_team(team) => owners.teams.insert(team.to_owned()),
        Some(_) | None => return false,
    };
    true
}

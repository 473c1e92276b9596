//! GitLab: globs of Ruby's `File.fnmatch` with `FNM_DOTMATCH | FNM_PATHNAME`, in sections with a number of approvals and
//! owners of their own (docs.gitlab.com, "Syntax of CODEOWNERS file"). Roles (`@@maintainer`) and e-mail addresses are
//! refused: GitLab does not say who is behind them.

use super::line::{add, is_name, nobody, segments, words};
use super::{Entry, Fault, Pattern, Section, Sections};
use crate::policy::rules::Voters;

/// The most approvals a section can ask for: more is a mistyped number.
const MOST_APPROVALS: u32 = 100;

pub(super) fn line(sections: &mut Sections, line: &str) -> Result<(), Fault> {
    if line.starts_with('[') || line.starts_with("^[") {
        return heading(sections, line);
    }
    let (words, comment) = words(line)?;
    let Some((pattern, names)) = words.split_first() else {
        return Err(("this line names no files".to_owned(), "write a path, then its owners"));
    };
    if comment.contains('@') {
        let problem = "GitLab takes names in a comment behind an entry for owners".to_owned();
        return Err((problem, "write the comment on a line of its own"));
    }
    let mut owners = owners(names)?;
    let section = sections.current();
    let pattern = match pattern.strip_prefix('!') {
        Some(excluded) if names.is_empty() => Pattern::Excluded(glob(excluded)?),
        Some(_) => return Err(("what is excluded has no owners".to_owned(), "remove the owners, or the `!`")),
        None => Pattern::Glob(glob(pattern)?),
    };
    if names.is_empty() {
        owners = section.by_default.clone();
    }
    section.entries.push(Entry { pattern, owners });
    Ok(())
}

/// `[Name]`, `^[Name]`, `[Name][2] @default-owner`.
fn heading(sections: &mut Sections, line: &str) -> Result<(), Fault> {
    let (is_optional, rest) = line.strip_prefix('^').map_or((false, line), |rest| (true, rest));
    let closed = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((name, rest)) = closed.filter(|(name, _)| !name.trim().is_empty()) else {
        return Err((format!("`{line}` begins no section"), "write it as `[Name]`, `^[Name]` or `[Name][2]`"));
    };
    let (count, rest) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
        None => (1, rest),
        Some(Some((number, rest))) => match number.parse() {
            Ok(count) if (1..=MOST_APPROVALS).contains(&count) => (count, rest),
            Ok(_) | Err(_) => {
                return Err((format!("`{number}` is no number of approvals"), "write a whole number from 1 to 100"));
            }
        },
        Some(None) => return Err((format!("`{line}` begins no section"), "close the bracket behind the number")),
    };
    let (names, comment) = words(rest)?;
    if comment.contains('@') || !(rest.is_empty() || rest.starts_with(char::is_whitespace)) {
        return Err((format!("`{line}` begins no section"), "write default owners behind it, and comments elsewhere"));
    }
    let by_default = owners(&names)?;
    let name = name.trim().to_lowercase();
    // Sections of one name are one; where their headings differ, the stricter counts.
    let mut section = match sections.0.iter().position(|known| known.name == name) {
        Some(known) => sections.0.remove(known),
        None => Section { name, is_optional, count, ..Section::default() },
    };
    section.is_optional &= is_optional;
    section.count = section.count.max(count);
    section.by_default = by_default;
    sections.0.push(section);
    Ok(())
}

fn owners(names: &[String]) -> Result<Voters, Fault> {
    let mut owners = Voters::default();
    for name in names {
        if name.starts_with("@@") {
            return Err(nobody(name, "name people or groups: roles are not read in this version"));
        }
        if !add(&mut owners, name) {
            return Err(nobody(name, "write `@user` or `@group/subgroup`; e-mail addresses are not read here"));
        }
        // Users and groups share their names, and only the forge knows which it is.
        if let Some(single) = name.strip_prefix('@').filter(|name| is_name(name)) {
            owners.teams.insert(single.to_owned());
        }
    }
    Ok(owners)
}

fn glob(pattern: &str) -> Result<Vec<String>, Fault> {
    let mut found = segments(pattern)?;
    if found[0].is_empty() {
        found.remove(0);
    } else {
        // Without a leading slash it is found in every folder.
        found.insert(0, "**".to_owned());
    }
    match found.last_mut() {
        // A folder: everything below.
        Some(last) if last.is_empty() => {
            "**".clone_into(last);
            found.push("*".to_owned());
        }
        // `**` stands for folders only before a slash.
        Some(last) if last == "**" => "*".clone_into(last),
        Some(_) | None => {}
    }
    Ok(found)
}

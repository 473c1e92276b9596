//! GitHub: most of what `.gitignore` has, without `!`, `[…]` and `\#` (docs.github.com, "About code owners"). GitHub passes
//! over a line it cannot read, which opens what the line was to guard; here the file is refused.

use super::line::{add, nobody, segments, words};
use super::{Entry, Fault, Pattern};
use crate::policy::rules::Voters;

pub(super) fn entry(line: &str) -> Result<Entry, Fault> {
    let (words, _) = words(line)?;
    let Some((pattern, names)) = words.split_first() else {
        return Err(("this line names no files".to_owned(), "write a path, then its owners"));
    };
    if pattern.starts_with(['!', '#']) {
        let problem = format!("`{pattern}` is not what it is in .gitignore: GitHub does not read it");
        return Err((problem, "name the files themselves; a line without owners takes files out again"));
    }
    let mut owners = Voters::default();
    for name in names {
        match name.split_once('@') {
            Some((local, domain)) if !local.is_empty() && domain.contains('.') && !domain.contains(['@', '/']) => {
                owners.emails.insert(name.clone());
            }
            Some(_) | None if add(&mut owners, name) && name.matches('/').count() <= 1 => {}
            Some(_) | None => return Err(nobody(name, "write `@user`, `@organisation/team` or an e-mail address")),
        }
    }
    Ok(Entry { pattern: Pattern::Glob(glob(pattern)?), owners })
}

fn glob(pattern: &str) -> Result<Vec<String>, Fault> {
    if pattern == "/" {
        return Err(("`/` matches nothing".to_owned(), "write `*` for every file"));
    }
    let mut found = segments(pattern)?;
    let is_one_name = found.len() == 1 || (found.len() == 2 && found[1].is_empty());
    if found[0].is_empty() {
        found.remove(0);
    } else if is_one_name && found[0] != "**" {
        // A name without a slash before its end is found in every folder.
        found.insert(0, "**".to_owned());
    }
    match found.last().map(String::as_str) {
        // A folder: everything below, and not a file of that name.
        Some("" | "**") => {
            found.pop();
            found.extend(["*".to_owned(), "**".to_owned()]);
        }
        // What is in the folder, and not in folders below it.
        Some("*") => {}
        // A file of that name, or everything in a folder of that name.
        Some(_) | None => found.push("**".to_owned()),
    }
    Ok(found)
}

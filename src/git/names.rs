//! Names that reach a command line, checked first.

use std::fmt;
use std::str::FromStr;

use super::GitError;

/// The name of a branch, without `refs/heads/`. Follows git-check-ref-format(1), and refuses a leading `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchName(String);

impl BranchName {
    /// The name, without `refs/heads/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for BranchName {
    type Err = GitError;

    fn from_str(name: &str) -> Result<Self, GitError> {
        match why_not(name) {
            None => Ok(Self(name.to_owned())),
            Some(why) => Err(GitError::Name { what: "branch name", name: printable(name), why }),
        }
    }
}

/// A name cut and escaped for an error message.
pub(super) fn printable(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

fn why_not(name: &str) -> Option<&'static str> {
    let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    if name.is_empty() || name.len() > 1024 {
        Some("it is empty or longer than 1024 bytes")
    } else if name.starts_with('-') {
        Some("it begins with `-`")
    } else if name.chars().any(bad) {
        Some("it holds a space, a control character or one of ~ ^ : ? * [ \\")
    } else if name.contains("..") || name.contains("@{") || name == "@" {
        Some("it holds `..` or `@{`, or is `@`")
    } else if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
        Some("a part of it is empty, begins with `.` or ends with `.lock`")
    } else if name.ends_with('.') {
        Some("it ends with `.`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_or_a_command_line_would_trip_over_are_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=touch /tmp/x",
            "a b",
            "a\nb",
            "a..b",
            "a@{1}",
            "@",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a\u{7f}b",
            "a\0b",
        ] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
        for good in ["main", "feature/a-b", "renovate/x.y", "ünï", "a@b", "1.2.3", "a`b", "$(x)"] {
            assert_eq!(good.parse::<BranchName>().unwrap().as_str(), good);
        }
    }
}

//! What can go wrong with Git, by what to do about it.

use std::time::Duration;

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The same call may succeed later.
    Retry,
    /// What was asked for is not there (any more): a branch was deleted, a commit was collected. Not an error of ours:
    /// whoever asked has been superseded.
    Gone,
    /// The same call will never succeed.
    Never,
}

/// An error of the `git` program or of what it was asked. `Display` is fit for a person and holds no credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The remote is away or slow, or another process holds a lock.
    #[error("git could not {doing}: {detail}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// The last lines git said.
        detail: String,
    },
    /// It took longer than the call was given.
    #[error("git did not {doing} within {limit:?}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The ref, commit, tree or whole repository is not there.
    #[error("git could not {doing}: {detail}")]
    Gone {
        /// What was being done.
        doing: &'static str,
        /// The last lines git said.
        detail: String,
    },
    /// The remote does not accept our credentials.
    #[error("the remote refused to let git {doing}: {detail}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The last lines git said.
        detail: String,
    },
    /// Something is larger than we are willing to read.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// There is more of something than we are willing to look at.
    #[error("there are more than {limit} {what}")]
    TooMany {
        /// Of what, in the plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A name that Git would not accept, or that it would take for something else.
    #[error("`{name}` is not a usable {what}: {why}")]
    Name {
        /// What it was to be.
        what: &'static str,
        /// The name, made printable.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// The program is missing, too old, or said something we do not understand.
    #[error("git could not {doing}: {detail}")]
    Broken {
        /// What was being done.
        doing: &'static str,
        /// What happened.
        detail: String,
    },
}

impl GitError {
    /// What to do about it.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => Fate::Retry,
            Self::Gone { .. } => Fate::Gone,
            Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::Name { .. }
            | Self::Broken { .. } => Fate::Never,
        }
    }

    /// Sorts a failed run by what git printed. Git has no error codes; these are its own untranslated words
    /// (`LC_ALL=C`), matched most specific first.
    pub(super) fn from_words(doing: &'static str, said: &str) -> Self {
        const GONE: [&str; 10] = [
            "couldn't find remote ref",
            "not our ref",
            "not a valid object",
            "not a valid commit",
            "bad object",
            "bad revision",
            "unknown revision",
            "not something we can merge",
            "invalid object",
            "could not get object info",
        ];
        const REFUSED: [&str; 6] = [
            "authentication failed",
            "could not read username",
            "returned error: 401",
            "returned error: 403",
            "permission denied",
            "terminal prompts disabled",
        ];
        const ABSENT: [&str; 4] =
            ["returned error: 404", "repository not found", "does not appear to be a git repository", "not found"];
        // Whatever else keeps it from talking to the remote: certificates, proxies, a page for people.
        const UNHEARD: [&str; 2] = ["unable to access", "is this a git repository"];
        const AWAY: [&str; 17] = [
            "could not resolve host",
            "failed to connect",
            "couldn't connect",
            "connection",
            "timed out",
            "operation too slow",
            "returned error: 5",
            "returned error: 429",
            "early eof",
            "hung up",
            "rpc failed",
            "unexpected disconnect",
            "empty reply",
            "invalid index-pack output",
            "unable to lock",
            "cannot lock ref",
            ".lock': file exists",
        ];
        let detail = last_lines(said);
        let lower = said.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if says(&REFUSED) {
            Self::Refused { doing, detail }
        } else if says(&GONE) {
            Self::Gone { doing, detail }
        } else if says(&AWAY) {
            Self::Unreachable { doing, detail }
        } else if says(&ABSENT) {
            Self::Gone { doing, detail }
        } else if says(&UNHEARD) {
            Self::Unreachable { doing, detail }
        } else {
            Self::Broken { doing, detail }
        }
    }
}

/// The last few lines, printable: what a remote says may hold anything.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(3);
    let joined = lines.get(from..).unwrap_or_default().join("; ");
    joined.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_decides_the_fate() {
        let cases = [
            ("fatal: couldn't find remote ref refs/heads/gone", Fate::Gone),
            ("error: upload-pack: not our ref 1234", Fate::Gone),
            ("fatal: repository 'http://h/x.git/' not found", Fate::Gone),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 404", Fate::Gone),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 503", Fate::Retry),
            ("fatal: unable to access 'http://h/': Failed to connect to h port 1", Fate::Retry),
            ("error: RPC failed; curl 28 Operation too slow", Fate::Retry),
            ("error: cannot lock ref 'refs/x': is at a but expected b", Fate::Retry),
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", Fate::Never),
            ("fatal: Authentication failed for 'http://h/'", Fate::Never),
            ("fatal: unable to access 'https://h/': server certificate verification failed", Fate::Retry),
            ("fatal: http://h/x.git/info/refs not valid: is this a git repository?", Fate::Retry),
            ("something new", Fate::Never),
        ];
        for (said, fate) in cases {
            assert_eq!(GitError::from_words("fetch", said).fate(), fate, "{said}");
        }
    }
}

//! A merge queue's branches, as GitHub names them: `gh-readonly-queue/main/pr-12-SHA` is pull request 12 as it will be merged
//! into `main` on top of SHA, which may be another such branch's tip.

use crate::ids::CommitId;

/// How the name of each begins.
const PREFIX: &str = "gh-readonly-queue/";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueBranch {
    /// The branch it will be merged into.
    pub base: String,
    /// The pull request that it adds to what is ahead of it.
    pub number: i64,
    /// What is ahead of it: the branch itself, or another group's tip.
    pub from: CommitId,
}

impl QueueBranch {
    /// `None`: it is not one.
    pub fn read(name: &str) -> Option<Self> {
        let (base, last) = name.strip_prefix(PREFIX)?.rsplit_once("/pr-")?;
        let (number, from) = last.split_once('-')?;
        let number = number.parse().ok().filter(|number| *number > 0)?;
        Some(Self { base: base.to_owned(), number, from: from.parse().ok()? }).filter(|_| !base.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_branch_says_what_it_adds_to_what() {
        let sha = "6dcb09b5b57875f334f61aebed695e2e4193db5e";
        let read = |name: &str| QueueBranch::read(name).map(|one| (one.base, one.number, one.from.to_string()));
        let wanted = |base: &str| Some((base.to_owned(), 12, sha.to_owned()));
        assert_eq!(read(&format!("gh-readonly-queue/main/pr-12-{sha}")), wanted("main"));
        assert_eq!(read(&format!("gh-readonly-queue/a/pr-1/b/pr-12-{sha}")), wanted("a/pr-1/b"));
        for other in ["main", "gh-readonly-queue/main", "gh-readonly-queue/main/pr-x-1", "gh-readonly-queue//pr-1-2"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(read(&format!("gh-readonly-queue/main/pr--1-{sha}")), None);
    }
}

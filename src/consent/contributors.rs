//! Contributors (rule 6): whose approval does not count, because the change is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::people::Identities;
use crate::ids::Account;

/// Why somebody is a contributor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contributed {
    /// They opened the pull request.
    Opened,
    /// A pull request of ours: they asked for it.
    Asked,
    /// They pushed.
    Pushed,
    /// They are an author, a committer or a co-author of a commit.
    Wrote,
}

impl fmt::Display for Contributed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Opened => "opened the pull request",
            Self::Asked => "asked for the pull request",
            Self::Pushed => "pushed to it",
            Self::Wrote => "wrote one of its commits",
        })
    }
}

/// What a push or a commit brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Brings {
    /// Something of somebody's: anything that is not a clean merge.
    Work,
    /// Merges of the base alone, each with exactly the tree that Git makes of its parents; of a push, on top of the
    /// head before. This makes nobody a contributor.
    CleanMerges,
}

/// One push to a pull request's head, or to the branch itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Who, by the forge; `None` when nobody is known.
    pub pusher: Option<Account>,
    /// What.
    pub brings: Brings,
}

/// One commit, with every account the forge maps to its author, committer and co-authors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Who.
    pub people: Vec<Account>,
    /// What.
    pub brings: Brings,
}

/// Everybody a change comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contributors {
    /// Each with the first reason.
    pub accounts: BTreeMap<Account, Contributed>,
    /// Pushes by nobody known: each asks for one approval more, since its pusher may be among the approvers.
    pub unknown_pushes: BTreeSet<String>,
}

impl Contributors {
    /// Of a pull request: who opened it (or asked for it), every push to its head, every commit of it, and every
    /// commit its comparison reached over because it had no set. `name` makes unknown pushes of several sources distinct.
    pub fn of_pull(opened: (Account, Contributed), name: &str, pushes: &[Push], commits: &[Written]) -> Self {
        let mut all = Self::of_pushes(name, pushes, commits);
        all.accounts.insert(opened.0, opened.1);
        all
    }

    /// Of commits that came to the branch without a pull request.
    pub fn of_pushes(name: &str, pushes: &[Push], commits: &[Written]) -> Self {
        let mut all = Self::default();
        for person in commits.iter().filter(|commit| commit.brings == Brings::Work).flat_map(|commit| &commit.people) {
            all.accounts.insert(person.clone(), Contributed::Wrote);
        }
        for (number, push) in pushes.iter().enumerate().filter(|(_, push)| push.brings == Brings::Work) {
            match &push.pusher {
                Some(pusher) => drop(all.accounts.insert(pusher.clone(), Contributed::Pushed)),
                None => drop(all.unknown_pushes.insert(format!("{name} {number}"))),
            }
        }
        all
    }

    /// Adds those of more commits.
    pub fn join(&mut self, others: &Self) {
        for (account, how) in &others.accounts {
            self.accounts.entry(account.clone()).or_insert(*how);
        }
        self.unknown_pushes.extend(others.unknown_pushes.iter().cloned());
    }

    /// Whether somebody, by any account of theirs, is among them, and why.
    pub fn find(&self, who: &Account, identities: &Identities) -> Option<Contributed> {
        let own = self.accounts.get(who);
        own.or_else(|| self.accounts.iter().find(|(one, _)| identities.same(one, who)).map(|(_, how)| how)).copied()
    }

    /// How many approvals more each rule asks for.
    pub fn more(&self) -> u32 {
        u32::try_from(self.unknown_pushes.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::Group;

    fn account(id: i64, login: &str) -> Account {
        Account { forge: "work".parse().unwrap(), id, login: login.into() }
    }

    #[test]
    fn everybody_a_change_comes_from_and_nobody_else() {
        let people =
            BTreeMap::from([("ann".to_owned(), BTreeSet::from(["work/ann".to_owned(), "work/ann2".to_owned()]))]);
        let who = Identities::of(&BTreeMap::from([("g".to_owned(), Group { teams: BTreeSet::new(), people })]));
        let [author, pusher, writer, merger, updater] =
            [(1, "ann"), (2, "pat"), (3, "kim"), (4, "max"), (5, "una")].map(|(id, login)| account(id, login));
        let pushes = [
            Push { pusher: Some(pusher.clone()), brings: Brings::Work },
            Push { pusher: Some(updater.clone()), brings: Brings::CleanMerges },
            Push { pusher: None, brings: Brings::CleanMerges },
            Push { pusher: None, brings: Brings::Work },
            Push { pusher: None, brings: Brings::Work },
        ];
        let commits = [
            Written { people: vec![author.clone(), writer.clone()], brings: Brings::Work },
            Written { people: vec![merger.clone()], brings: Brings::CleanMerges },
        ];
        let all = Contributors::of_pull((author.clone(), Contributed::Opened), "#7", &pushes, &commits);
        for (one, expected) in [
            (&author, Some(Contributed::Opened)),
            (&account(9, "ann2"), Some(Contributed::Opened)),
            (&pusher, Some(Contributed::Pushed)),
            (&writer, Some(Contributed::Wrote)),
            (&merger, None),
            (&updater, None),
            (&account(2, "renamed"), Some(Contributed::Pushed)),
        ] {
            assert_eq!(all.find(one, &who), expected, "{}", one.login);
        }
        assert_eq!(all.more(), 2, "a clean merge by nobody known is nobody's work");
    }
}

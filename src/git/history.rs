//! Questions about commits: what a merge would give, what changed, who wrote it.

use std::collections::{BTreeMap, BTreeSet};

use super::store::object_id;
use super::{GitError, Store};
use crate::event::deploys::{self, Deploys, deploys};
use crate::ids::CommitId;

/// What merging a head into a base gives, exactly as `git merge` with no configuration would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// The tree of the merge result.
    Clean {
        /// Its id.
        tree: CommitId,
    },
    /// Git would stop and ask.
    Conflict {
        /// Where, sorted.
        paths: Vec<String>,
    },
    /// The two have no commit in common.
    Unrelated,
}

/// One path that differs between two trees. Object ids are `None` where the path is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPath {
    /// From the repository's root. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// The blob on the old side.
    pub old: Option<CommitId>,
    /// The blob on the new side.
    pub new: Option<CommitId>,
}

/// Changed lines of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// As `git diff --numstat` counts them.
    Text {
        /// Lines only the new side has.
        added: u64,
        /// Lines only the old side has.
        removed: u64,
    },
    /// Git takes it for binary: not counted.
    Binary,
    /// The changed files are too large to be read and counted.
    TooLarge,
}

/// One commit and the people it names. Emails are as written: proof of nothing, and read to exclude people, never to
/// count them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// The commit.
    pub id: CommitId,
    /// Its parents, first parent first.
    pub parents: Vec<CommitId>,
    /// The author's email.
    pub author: String,
    /// The committer's email.
    pub committer: String,
    /// Emails of `Co-authored-by:` lines anywhere in the message, lower case.
    pub co_authors: BTreeSet<String>,
    /// What its message says it deploys.
    pub deploys: Vec<Deploys>,
}

impl CommitFacts {
    /// Every email the commit names, lower case.
    pub fn emails(&self) -> BTreeSet<String> {
        let named = [&self.author, &self.committer].into_iter().map(|email| email.to_ascii_lowercase());
        named.chain(self.co_authors.iter().cloned()).filter(|email| !email.is_empty()).collect()
    }
}

/// A list of commits longer than this is not read: whoever needs it has to judge without (which is: closed).
const COMMITS: usize = 10_000;

impl Store {
    /// What merging `head` into `base` gives. Writes the resulting tree, and nothing else, into the store.
    ///
    /// # Errors
    /// [`GitError`]; a conflict is not one.
    pub async fn merge_result(&self, base: &CommitId, head: &CommitId) -> Result<Merge, GitError> {
        let doing = "merge";
        let question = format!("merge\0{base}\0{head}");
        if let Some(known) = self.remembered(&question) {
            return Ok(Merge::Clean { tree: object_id(doing, &known)? });
        }
        let args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base.as_str(), head.as_str()];
        let said = self.ask(doing, &args).await?;
        let text = String::from_utf8_lossy(&said.out).into_owned();
        let mut words = text.split('\0').filter(|word| !word.is_empty());
        match said.code {
            Some(0) => {
                let tree = object_id(doing, words.next().unwrap_or_default())?;
                self.learn(question, tree.as_str());
                self.learn(tree_question(&tree).join("\0"), tree.as_str());
                Ok(Merge::Clean { tree })
            }
            // An unknown commit ends with 1 too, and prints no tree.
            Some(1) if words.next().is_some() => {
                let paths: BTreeSet<String> = words.map(str::to_owned).collect();
                Ok(Merge::Conflict { paths: paths.into_iter().collect() })
            }
            _ if said.err.contains("unrelated histories") => Ok(Merge::Unrelated),
            _ => said.success(doing).and(Err(GitError::Broken { doing, detail: text })),
        }
    }

    /// Whether a commit is a merge of two parents whose tree is exactly what Git makes of them: who made it added
    /// nothing of their own.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn is_clean_merge(&self, commit: &CommitId) -> Result<bool, GitError> {
        let [first, second] = &self.parents(commit).await?[..] else { return Ok(false) };
        let question = format!("is clean\0{commit}");
        if let Some(known) = self.remembered(&question) {
            return Ok(known.as_ref() == "yes");
        }
        let merged = self.merge_result(first, second).await?;
        let is_clean = merged == Merge::Clean { tree: self.tree_of(commit).await? };
        self.learn(question, if is_clean { "yes" } else { "no" });
        Ok(is_clean)
    }

    /// The parents of a commit, the first one first.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn parents(&self, commit: &CommitId) -> Result<Vec<CommitId>, GitError> {
        let doing = "read a commit";
        let facts = self.fixed(doing, &["rev-list", "--parents", "-n1", commit.as_str()]).await?;
        facts.split_whitespace().skip(1).map(|parent| object_id(doing, parent)).collect()
    }

    /// The tree of a commit.
    ///
    /// # Errors
    /// [`GitError`]; [`GitError::Gone`] when the commit is not in the store.
    pub async fn tree_of(&self, commit: &CommitId) -> Result<CommitId, GitError> {
        let doing = "read a commit";
        let question = tree_question(commit);
        let words: Vec<&str> = question.iter().map(String::as_str).collect();
        object_id(doing, &self.fixed(doing, &words).await?)
    }

    /// The paths that differ between two commits or trees. Renames are a removal and an addition. Reads no file.
    ///
    /// # Errors
    /// [`GitError`]; [`GitError::TooLarge`] when the list is longer than 64 MiB.
    pub async fn changed_paths(&self, old: &CommitId, new: &CommitId) -> Result<Vec<ChangedPath>, GitError> {
        let doing = "compare trees";
        let args = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old.as_str(), new.as_str()];
        let text = self.fixed(doing, &args).await?;
        let mut words = text.split('\0');
        let mut changed = Vec::new();
        while let (Some(facts), Some(path)) = (words.next().filter(|word| !word.is_empty()), words.next()) {
            let mut facts = facts.split(' ').skip(2);
            let mut side = || {
                let id = facts.next().unwrap_or_default();
                let absent = id.bytes().all(|digit| digit == b'0');
                if absent { Ok(None) } else { object_id(doing, id).map(Some) }
            };
            changed.push(ChangedPath { old: side()?, new: side()?, path: path.to_owned() });
        }
        Ok(changed)
    }

    /// How many lines each path changes by. Reads the changed files; when they are too large for that, each path says so.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn changed_lines(&self, old: &CommitId, new: &CommitId) -> Result<BTreeMap<String, Lines>, GitError> {
        let args = ["diff-tree", "-r", "-z", "--numstat", "--no-renames", old.as_str(), new.as_str()];
        let text = match self.fixed("count changed lines", &args).await {
            Err(GitError::TooLarge { .. }) => {
                let paths = self.changed_paths(old, new).await?.into_iter();
                return Ok(paths.map(|changed| (changed.path, Lines::TooLarge)).collect());
            }
            text => text?,
        };
        let lines = text.split('\0').filter_map(|record| {
            let mut words = record.splitn(3, '\t');
            let (added, removed, path) = (words.next()?, words.next()?, words.next()?);
            let lines = match (added.parse(), removed.parse()) {
                (Ok(added), Ok(removed)) => Lines::Text { added, removed },
                _ => Lines::Binary,
            };
            Some((path.to_owned(), lines))
        });
        Ok(lines.collect())
    }

    /// The commits of a branch after `from` up to and including `to`, along first parents, oldest first. Commits `to`
    /// does not have `from` among its ancestors for are all of its own; ask [`Store::is_ancestor`] first.
    ///
    /// # Errors
    /// [`GitError`]; [`GitError::TooLarge`] for more than 10,000 commits.
    pub async fn first_parent(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<CommitId>, GitError> {
        let doing = "list commits";
        let limit = format!("--max-count={}", COMMITS + 1);
        let not = from.map(|from| format!("^{from}"));
        let mut args = vec!["rev-list", "--first-parent", &limit, to.as_str()];
        args.extend(not.as_deref());
        let text = self.fixed(doing, &args).await?;
        let mut commits = text.lines().map(|line| object_id(doing, line)).collect::<Result<Vec<_>, _>>()?;
        if commits.len() > COMMITS {
            return Err(GitError::TooLarge { what: "a list of commits".to_owned(), limit: COMMITS as u64 });
        }
        commits.reverse();
        Ok(commits)
    }

    /// The commits reachable from `to` and from none of `not`, with the people they name, newest first. The mailmap of
    /// the repository is not used: it is part of what is judged.
    ///
    /// # Errors
    /// [`GitError`]; [`GitError::TooLarge`] for more than 10,000 commits.
    pub async fn commits(&self, to: &CommitId, not: &[CommitId]) -> Result<Vec<CommitFacts>, GitError> {
        let doing = "list commits";
        let limit = format!("--max-count={}", COMMITS + 1);
        let not: Vec<String> = not.iter().map(|commit| format!("^{commit}")).collect();
        let format = "--format=tformat:%H%x00%P%x00%ae%x00%ce%x00%B%x00";
        let mut args = vec!["log", "--no-show-signature", "--no-mailmap", "--encoding=UTF-8", "--no-notes", &limit];
        args.extend([format, to.as_str()]);
        args.extend(not.iter().map(String::as_str));
        let text = self.fixed(doing, &args).await?;
        // A commit object cannot hold a NUL in its header, and git cuts the message at one.
        let fields: Vec<&str> = text.split('\0').collect();
        let mut commits = Vec::new();
        for record in fields.chunks_exact(5) {
            let [id, parents, author, committer, message] = record else { continue };
            commits.push(CommitFacts {
                id: object_id(doing, id)?,
                parents: parents
                    .split(' ')
                    .filter(|id| !id.is_empty())
                    .map(|id| object_id(doing, id))
                    .collect::<Result<_, _>>()?,
                author: (*author).to_owned(),
                committer: (*committer).to_owned(),
                co_authors: co_authors(message),
                deploys: deploys(message).take(deploys::MOST + 1).collect(),
            });
        }
        if commits.len() > COMMITS {
            return Err(GitError::TooLarge { what: "a list of commits".to_owned(), limit: COMMITS as u64 });
        }
        Ok(commits)
    }

    /// Whether `old` is `new` or an ancestor of it.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> Result<bool, GitError> {
        let doing = "compare commits";
        let said = self.ask(doing, &["merge-base", "--is-ancestor", old.as_str(), new.as_str()]).await?;
        match said.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => said.success(doing).map(|_| false),
        }
    }

    /// The best common ancestor, `None` when there is none.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn merge_base(&self, one: &CommitId, other: &CommitId) -> Result<Option<CommitId>, GitError> {
        let doing = "find the common ancestor";
        let said = self.ask(doing, &["merge-base", one.as_str(), other.as_str()]).await?;
        if said.code == Some(1) {
            return Ok(None);
        }
        let out = said.success(doing)?;
        object_id(doing, &String::from_utf8_lossy(&out)).map(Some)
    }
}

/// Which tree a commit has, or a tree is.
fn tree_question(id: &CommitId) -> [String; 4] {
    ["rev-parse", "--verify", "--end-of-options", &format!("{id}^{{tree}}")].map(str::to_owned)
}

/// Emails of `Co-authored-by: Name <email>` lines. Git counts only those of the last paragraph; who is excluded for
/// being named too early is better than who is not excluded.
fn co_authors(message: &str) -> BTreeSet<String> {
    let named = message.lines().filter_map(|line| {
        let (key, value) = line.trim().split_once(':')?;
        if !key.trim().eq_ignore_ascii_case("co-authored-by") {
            return None;
        }
        let email = value.rsplit_once('<').map_or(value, |(_, rest)| rest.split('>').next().unwrap_or(rest));
        Some(email.trim().to_ascii_lowercase())
    });
    named.filter(|email| !email.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    #[tokio::test]
    async fn a_merge_result_is_a_tree_a_conflict_or_nothing_in_common() {
        let repo = Scratch::new().await;
        let root = repo.commit("main", &[("a", "1\n"), ("b", "1\n")], "root").await;
        repo.branch("topic", &root).await;
        let base = repo.commit("main", &[("a", "2\n")], "base").await;
        let head = repo.commit("topic", &[("b", "2\n")], "head").await;
        let store = repo.store().await;
        let Merge::Clean { tree } = store.merge_result(&base, &head).await.unwrap() else { panic!("clean") };
        let changed = store.changed_paths(&base, &tree).await.unwrap();
        assert_eq!(changed.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["b"]);

        let other = repo.commit("topic", &[("a", "3\n")], "other").await;
        let conflict = store.merge_result(&base, &other).await.unwrap();
        assert_eq!(conflict, Merge::Conflict { paths: vec!["a".to_owned()] });

        let alone = repo.commit("alone", &[("z", "1\n")], "another root").await;
        assert_eq!(store.merge_result(&base, &alone).await.unwrap(), Merge::Unrelated);
        let absent = "1".repeat(40).parse().unwrap();
        assert_eq!(store.merge_result(&base, &absent).await.unwrap_err().fate(), crate::git::Fate::Gone);
    }

    #[tokio::test]
    async fn merging_exactly_as_git_does_is_told_from_merging_with_an_addition() {
        let repo = Scratch::new().await;
        let root = repo.commit("main", &[("a", "1\n")], "root").await;
        repo.branch("topic", &root).await;
        let base = repo.commit("main", &[("b", "1\n")], "base").await;
        let head = repo.commit("topic", &[("c", "1\n")], "head").await;
        let store = repo.store().await;
        let Merge::Clean { tree } = store.merge_result(&head, &base).await.unwrap() else { panic!("clean") };
        let clean = repo.merge_commit(&tree, &[&head, &base]).await;
        assert!(store.is_clean_merge(&clean).await.unwrap());
        let evil = repo.merge_commit(&store.tree_of(&head).await.unwrap(), &[&head, &base]).await;
        assert!(!store.is_clean_merge(&evil).await.unwrap(), "it drops what the base brought");
        assert!(!store.is_clean_merge(&base).await.unwrap(), "not a merge");
    }

    #[tokio::test]
    async fn people_are_everyone_a_commit_names() {
        let repo = Scratch::new().await;
        let root = repo.commit("main", &[("a", "1")], "root").await;
        let message =
            "x\n\nCo-Authored-By: Kim <Kim@Example.com>\n\nnot the last paragraph\nco-authored-by:bare@example.com";
        let next = repo.commit("main", &[("a", "2"), (".mailmap", "<boss@x> <author@example.com>")], message).await;
        let store = repo.store().await;
        let commits = store.commits(&next, std::slice::from_ref(&root)).await.unwrap();
        assert_eq!(commits.len(), 1);
        assert_eq!(commits[0].parents, std::slice::from_ref(&root));
        let emails = commits[0].emails();
        let expected = ["author@example.com", "bare@example.com", "committer@example.com", "kim@example.com"];
        assert_eq!(emails.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert_eq!(store.first_parent(Some(&root), &next).await.unwrap(), std::slice::from_ref(&next));
        assert_eq!(store.first_parent(None, &next).await.unwrap(), [root.clone(), next.clone()]);
        assert!(store.is_ancestor(&root, &next).await.unwrap());
        assert!(!store.is_ancestor(&next, &root).await.unwrap());
        assert_eq!(store.merge_base(&root, &next).await.unwrap(), Some(root));
    }

    #[tokio::test]
    async fn paths_of_any_spelling_come_back_as_they_are() {
        let repo = Scratch::new().await;
        let old = repo.commit("main", &[("keep", "1\n"), ("drop me", "1\n2\n")], "old").await;
        let odd = "-x \"q\" `t` \u{202e}\n.yaml";
        repo.remove("main", "drop me").await;
        let new = repo.commit("main", &[(odd, "1\n"), ("bin", "\0")], "new").await;
        let store = repo.store().await;
        let changed = store.changed_paths(&old, &new).await.unwrap();
        let paths: BTreeSet<&str> = changed.iter().map(|c| c.path.as_str()).collect();
        assert_eq!(paths, BTreeSet::from([odd, "bin", "drop me"]));
        let lines = store.changed_lines(&old, &new).await.unwrap();
        assert_eq!(lines["drop me"], Lines::Text { added: 0, removed: 2 });
        assert_eq!(lines["bin"], Lines::Binary);
        assert_eq!(lines[odd], Lines::Text { added: 1, removed: 0 });
    }
}

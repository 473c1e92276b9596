//! Which environments of a branch read changed paths: from what they read at its tip, which is found out once and kept up
//! with the branch by what changes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Contents, FileAt};
use crate::git::Tree;
use crate::ids::{CommitId, EnvironmentName};
use crate::jobs::error::JobError;
use crate::policy::rules::Environment;
use crate::render::{Closure, Readers, RenderInput};

/// Waited for another who finds out the same; one who is held up, perhaps by a registry, holds up others no longer.
const TURN: Duration = Duration::from_secs(5);

/// What environments read at a tree.
#[derive(Debug, Default)]
pub(in crate::jobs::gather) struct ReadersAt {
    /// The tree; `None`: nobody looked yet.
    tree: Option<CommitId>,
    /// Whose environments they are.
    rules: Option<Rules>,
    readers: Readers,
    /// How often this was brought to something else.
    times: u64,
}

/// The rules that say which environments follow a branch.
#[derive(Debug, Clone)]
struct Rules {
    file: FileAt,
    branch: String,
    /// The repository's, which those follow that name none. It is no content: somebody may choose another at any time.
    default_branch: String,
}

impl Rules {
    /// The very same rules, not only equal ones (nothing has to be compared), of the same branches.
    fn are(&self, other: &Self) -> bool {
        let is_same_file = match (&self.file, &other.file) {
            (FileAt::Valid(one), FileAt::Valid(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        is_same_file && self.branch == other.branch && self.default_branch == other.default_branch
    }

    fn follows(&self, environment: &Environment) -> bool {
        environment.branch.as_ref().unwrap_or(&self.default_branch) == &self.branch
    }
}

/// What is different from what is kept: worked out in a moment, found out without holding anything, and put in its place.
#[derive(Debug)]
struct News {
    /// Which reads have to be found out.
    names: BTreeSet<EnvironmentName>,
    /// Which environments are not there any more.
    gone: Vec<EnvironmentName>,
    /// Of the others, those that read a path that was asked for.
    touched: BTreeSet<EnvironmentName>,
    /// What it is different from.
    times: u64,
}

/// What was found out of an environment; no closure: that cannot be said.
type Found = (EnvironmentName, RenderInput, Option<Closure>);

impl Contents<'_> {
    /// The environments of a branch that may read one of these paths at its tip `base`, or look for it. Of the others it
    /// is certain that they read the same afterwards.
    pub(in crate::jobs) async fn readers_of(
        &self,
        (branch, base, file): (&str, &Tree, &FileAt),
        paths: &[String],
    ) -> Result<BTreeSet<EnvironmentName>, JobError> {
        let memory = &self.repository.context.memory;
        let default_branch = self.repository.row.default_branch.clone();
        let rules = Rules { file: file.clone(), branch: branch.to_owned(), default_branch };
        let environments = file.environments();
        let known = memory.branch(self.repository.row.id, branch);
        let mut turn = None;
        let mut news = loop {
            let kept = known.at.lock().await;
            // Asked of what is here: two trees of the mirror.
            let moved = match &kept.tree {
                Some(tree) if tree == base.id() => Some(Vec::new()),
                Some(tree) => self.repository.mirror.changed_paths(tree, base.id()).await.ok(),
                None => None,
            };
            let moved = moved.map(|moved| moved.into_iter().map(|changed| changed.path).collect::<Vec<_>>());
            let news = kept.news(&rules, &environments, moved.as_deref(), paths);
            let is_there_already = news.names.is_empty() && kept.is_at(base.id(), &rules);
            drop(kept);
            if is_there_already {
                return Ok(news.touched);
            }
            if news.names.is_empty() || turn.is_some() {
                break news;
            }
            turn = Some(tokio::time::timeout(TURN, known.turn.lock()).await.ok());
        };
        let found = self.found_out(base, news.names.iter().filter_map(|name| environments.get(name))).await?;
        for (name, _, closure) in &found {
            if closure.as_ref().is_none_or(|closure| closure.touched_by(paths.iter().map(String::as_str))) {
                news.touched.insert(name.clone());
            }
        }
        let mut kept = known.at.lock().await;
        kept.bring(base.id(), rules, &news, found);
        memory.weighs(&known, kept.readers.bytes());
        Ok(news.touched)
    }

    /// What each reads: may ask the forge for files, and registries for charts.
    async fn found_out(
        &self,
        base: &Tree,
        environments: impl Iterator<Item = &Environment> + Clone,
    ) -> Result<Vec<Found>, JobError> {
        self.warm(base, environments.clone()).await?;
        let mut found = Vec::new();
        for environment in environments {
            let closure = self.closure(environment, base).await;
            found.push((environment.name.clone(), RenderInput::of(environment), closure));
        }
        Ok(found)
    }
}

impl ReadersAt {
    fn is_at(&self, tree: &CommitId, rules: &Rules) -> bool {
        self.tree.as_ref() == Some(tree) && self.rules.as_ref().is_some_and(|known| known.are(rules))
    }

    /// What is different under these rules at a tree in which the paths `moved` differ from the one that is kept; `None`:
    /// that cannot be said.
    fn news(
        &self,
        rules: &Rules,
        environments: &BTreeMap<EnvironmentName, Environment>,
        moved: Option<&[String]>,
        paths: &[String],
    ) -> News {
        let are_same = self.rules.as_ref().is_some_and(|known| known.are(rules));
        let follows = |environment: &&Environment| rules.follows(environment);
        let touched_by = |paths: &[String]| match paths {
            [] => BTreeSet::new(),
            paths => self.readers.touched_by(paths.iter().map(String::as_str)),
        };
        let names: BTreeSet<EnvironmentName> = match moved.map(touched_by) {
            Some(moved) if are_same => {
                let there = moved.iter().filter_map(|name| environments.get(name)).filter(follows);
                there.map(|environment| environment.name.clone()).collect()
            }
            moved => {
                let is_news = |environment: &&Environment| match &moved {
                    Some(moved) => {
                        moved.contains(&environment.name)
                            || !self.readers.knows(&environment.name, &RenderInput::of(environment))
                    }
                    None => true,
                };
                let news = environments.values().filter(follows).filter(is_news);
                news.map(|environment| environment.name.clone()).collect()
            }
        };
        let is_there = |name: &&EnvironmentName| environments.get(*name).as_ref().is_some_and(follows);
        let gone = self.readers.names().filter(|name| !are_same && !is_there(name)).cloned().collect();
        let mut touched = self.readers.touched_by(paths.iter().map(String::as_str));
        touched.retain(|name| !names.contains(name) && is_there(&name));
        News { names, gone, touched, times: self.times }
    }

    /// Puts it in its place. Not when somebody brought this to something else meanwhile: then it is different from that.
    fn bring(&mut self, tree: &CommitId, rules: Rules, news: &News, found: Vec<Found>) {
        if self.times != news.times {
            return;
        }
        self.times += 1;
        news.gone.iter().for_each(|name| self.readers.remove(name));
        for (name, input, closure) in found {
            self.readers.put(&name, input, closure.as_ref());
        }
        self.tree = Some(tree.clone());
        self.rules = Some(rules);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment(name: &str, branch: Option<&str>) -> Environment {
        serde_json::from_value(json!({
            "name": name, "path": format!("deploy/{name}"), "branch": branch,
            "target": { "cluster": "here", "namespace": name },
            "consent": { "approvals": [], "by": [], "on_push": "void", "binds": "change" },
            "sync": { "mode": "auto", "prune": true, "timeout_seconds": 300 },
        }))
        .unwrap()
    }

    fn tree(digit: char) -> CommitId {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn rules(file: &FileAt, default_branch: &str) -> Rules {
        Rules { file: file.clone(), branch: "trunk".to_owned(), default_branch: default_branch.to_owned() }
    }

    fn file() -> FileAt {
        let all = [environment("production", None), environment("staging", Some("trunk"))];
        FileAt::Valid(Arc::new(all.into_iter().map(|one| (one.name.clone(), one)).collect()))
    }

    /// As if it could not be said what they read: then it is every path.
    fn found(environments: &BTreeMap<EnvironmentName, Environment>, news: &News) -> Vec<Found> {
        let input = |name: &EnvironmentName| RenderInput::of(environments.get(name).unwrap());
        news.names.iter().map(|name| (name.clone(), input(name), None)).collect()
    }

    fn names(names: &[&str]) -> BTreeSet<EnvironmentName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn another_default_branch_moves_the_environments_that_name_none() {
        let (file, none) = (file(), Vec::new());
        let environments = file.environments();
        let mut kept = ReadersAt::default();
        let news = kept.news(&rules(&file, "main"), &environments, None, &none);
        assert_eq!(news.names, names(&["staging"]), "production follows main");
        kept.bring(&tree('1'), rules(&file, "main"), &news, found(&environments, &news));
        assert!(kept.is_at(&tree('1'), &rules(&file, "main")));

        assert!(!kept.is_at(&tree('1'), &rules(&file, "trunk")));
        let news = kept.news(&rules(&file, "trunk"), &environments, Some(&[]), &none);
        assert_eq!(news.names, names(&["production"]), "the same file at the same tree");
        kept.bring(&tree('1'), rules(&file, "trunk"), &news, found(&environments, &news));
        let changed = ["deploy/production/web.yaml".to_owned()];
        let news = kept.news(&rules(&file, "trunk"), &environments, Some(&[]), &changed);
        assert_eq!((news.names, news.touched), (names(&[]), names(&["production", "staging"])));

        let news = kept.news(&rules(&file, "main"), &environments, Some(&[]), &changed);
        assert_eq!((news.gone, news.touched), (vec!["production".parse().unwrap()], names(&["staging"])), "and back");
    }

    #[test]
    fn what_was_found_out_beside_somebody_quicker_is_not_put_over_it() {
        let (file, none) = (file(), Vec::new());
        let environments = file.environments();
        let mut kept = ReadersAt::default();
        let slow = kept.news(&rules(&file, "trunk"), &environments, None, &none);
        let quick = kept.news(&rules(&file, "trunk"), &environments, None, &none);
        kept.bring(&tree('2'), rules(&file, "trunk"), &quick, found(&environments, &quick));
        kept.bring(&tree('1'), rules(&file, "trunk"), &slow, found(&environments, &slow));
        assert!(kept.is_at(&tree('2'), &rules(&file, "trunk")), "each found out all there is to know at its own tree");
    }
}

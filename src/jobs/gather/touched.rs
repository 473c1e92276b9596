//! Which environments a pull request touches: those whose block or content differs between its base and the merge result.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Content, Contents, SetAt};
use super::repository::Repository;
use crate::consent::Change;
use crate::ids::{CommitId, EnvironmentName};
use crate::jobs::error::JobError;
use crate::manifest::Dialect;
use crate::policy::rules::Environment;
use crate::preview::Mark;

/// An environment that the pull request touches, on both sides.
pub(in crate::jobs) struct Touched {
    pub(in crate::jobs) old: Option<(Environment, SetAt)>,
    pub(in crate::jobs) new: Option<(Environment, SetAt)>,
}

impl Touched {
    /// Where it does not render, as far as an error knows its line. What a program wrote has lines of its own.
    pub(in crate::jobs) fn marks(&self) -> Vec<Mark> {
        match &self.new {
            Some((_, SetAt::Broken { errors, closure: Some(closure) })) if closure.kind == Dialect::Plain => {
                Mark::all(errors, closure.reads.keys().map(String::as_str))
            }
            Some(_) | None => Vec::new(),
        }
    }
}

/// The environments of both sides, and the branch the pull request is for.
pub(in crate::jobs) struct Sides<'a> {
    pub(in crate::jobs) before: BTreeMap<EnvironmentName, Environment>,
    pub(in crate::jobs) after: BTreeMap<EnvironmentName, Environment>,
    pub(in crate::jobs) branch: &'a str,
}

impl Sides<'_> {
    pub(in crate::jobs) fn follows(&self, environment: &Environment, default: &str) -> bool {
        environment.branch.as_deref().unwrap_or(default) == self.branch
    }
}

/// The environments whose block or content differs, each rendered on both sides. What reads none of the changed files is
/// not rendered.
pub(in crate::jobs) async fn touched(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    sides: &Sides<'_>,
    trees: (&CommitId, &CommitId),
    paths: &[String],
) -> Result<BTreeMap<EnvironmentName, Touched>, JobError> {
    let default = &repository.row.default_branch;
    let (base, merged) = (contents.tree(trees.0).await?, contents.tree(trees.1).await?);
    contents.warm(&base, sides.before.values()).await?;
    contents.warm(&merged, sides.after.values()).await?;
    let names: BTreeSet<&EnvironmentName> = sides.before.keys().chain(sides.after.keys()).collect();
    let mut all = BTreeMap::new();
    for name in names {
        let of = |side: &BTreeMap<EnvironmentName, Environment>| {
            side.get(name).filter(|environment| sides.follows(environment, default)).cloned()
        };
        let (old, new) = (of(&sides.before), of(&sides.after));
        if let (Some(old), Some(new)) = (&old, &new)
            && old == new
            && let Some(closure) = contents.closure(old, &base).await
            && !closure.touched_by(paths.iter().map(String::as_str))
        {
            continue;
        }
        let old = match old {
            Some(environment) => {
                let set = contents.set_at(&environment, &base).await?;
                Some((environment, set))
            }
            None => None,
        };
        let new = match new {
            Some(environment) => {
                let set = contents.set_at(&environment, &merged).await?;
                Some((environment, set))
            }
            None => None,
        };
        if old.is_some() || new.is_some() {
            all.insert(name.clone(), Touched { old, new });
        }
    }
    Ok(all)
}

impl Touched {
    /// The content it begins from: of the same target, since another one is another environment.
    pub(in crate::jobs) fn old_content(&self) -> Option<&Content> {
        let (old, set) = self.old.as_ref()?;
        let same = self.new.as_ref().is_none_or(|(new, _)| new.target == old.target);
        set.content().filter(|_| same)
    }

    /// Whether its objects are written in the repository as they are: their lines are lines of its files.
    pub(in crate::jobs) fn is_plain(&self) -> bool {
        let closure = self.new.as_ref().and_then(|(_, set)| set.closure());
        closure.is_some_and(|closure| closure.kind == Dialect::Plain)
    }

    fn new_content(&self) -> Option<&Content> {
        self.new.as_ref()?.1.content()
    }

    pub(in crate::jobs) fn change(&self) -> Option<(Change, &Content)> {
        let new = self.new_content()?;
        Some((Change::between(self.old_content().map(|old| &old.hashed), &new.hashed), new))
    }

    /// The changed files the render reads, or read before.
    pub(in crate::jobs) fn files(&self, paths: &[String]) -> BTreeSet<String> {
        let sides = [&self.old, &self.new].into_iter().flatten();
        let closures: Vec<_> = sides.filter_map(|(_, set)| set.closure()).collect();
        let reads = |path: &&String| closures.iter().any(|closure| closure.touched_by([path.as_str()]));
        paths.iter().filter(reads).cloned().collect()
    }
}

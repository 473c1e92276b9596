//! Which environments a pull request touches: those whose block or content differs between its base and the merge result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};

use super::contents::{Content, Contents, FileAt, SetAt};
use super::repository::Repository;
use crate::consent::Change;
use crate::git::Tree;
use crate::ids::EnvironmentName;
use crate::jobs::error::JobError;
use crate::jobs::show::progress::Progress;
use crate::jobs::work;
use crate::manifest::Dialect;
use crate::policy::rules::Environment;
use crate::preview::Mark;

/// Environments rendered side by side, so that the database is asked about one while another renders. Programs have
/// slots of their own, one for each processor.
const AT_ONCE: usize = 3;

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

/// The rules of both sides, and the branch the pull request is for.
pub(in crate::jobs) struct Sides<'a> {
    pub(in crate::jobs) before: FileAt,
    pub(in crate::jobs) after: FileAt,
    pub(in crate::jobs) branch: &'a str,
}

impl Sides<'_> {
    pub(in crate::jobs) fn follows(&self, environment: &Environment, default: &str) -> bool {
        environment.branch.as_deref().unwrap_or(default) == self.branch
    }

    /// The environments whose block differs.
    fn ruled_otherwise(&self) -> BTreeSet<EnvironmentName> {
        let (before, after) = (self.before.environments(), self.after.environments());
        if Arc::ptr_eq(&before, &after) {
            return BTreeSet::new();
        }
        let names: BTreeSet<&EnvironmentName> = before.keys().chain(after.keys()).collect();
        names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
    }
}

/// The environments whose block or content differs, each rendered on both sides. What reads none of the changed files is
/// not looked at: a thousand others cost nothing.
pub(in crate::jobs) async fn touched(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    sides: &Sides<'_>,
    (base, merged): (&Tree, &Tree),
    paths: &[String],
    progress: Option<&Progress<'_>>,
) -> Result<BTreeMap<EnvironmentName, Touched>, JobError> {
    let default = &repository.row.default_branch;
    let mut names = contents.readers_of((sides.branch, base, &sides.before), paths).await?;
    names.extend(sides.ruled_otherwise());
    let (before, after) = (sides.before.environments(), sides.after.environments());
    contents.warm(base, names.iter().filter_map(|name| before.get(name))).await?;
    contents.warm(merged, names.iter().filter_map(|name| after.get(name))).await?;
    let of = |side: &BTreeMap<EnvironmentName, Environment>, name: &EnvironmentName| {
        side.get(name).filter(|environment| sides.follows(environment, default)).cloned()
    };
    let both: Vec<_> = names.into_iter().map(|name| (of(&before, &name), of(&after, &name), name)).collect();
    let count = both.len();
    let rendered: Vec<_> = both
        .into_iter()
        .map(|(old, new, name)| {
            work::boxed(async move {
                let old = rendered(contents, old, base).await?;
                let new = rendered(contents, new, merged).await?;
                Ok::<_, JobError>((name, Touched { old, new }))
            })
        })
        .collect();
    let mut rendered = stream::iter(rendered).buffered(AT_ONCE);
    let (mut all, mut done) = (BTreeMap::new(), 0);
    while let Some(one) = rendered.next().await {
        let (name, touched) = one?;
        if touched.old.is_some() || touched.new.is_some() {
            all.insert(name, touched);
        }
        done += 1;
        if let Some(progress) = progress.filter(|_| done < count) {
            progress.is_at(done, count).await?;
        }
    }
    Ok(all)
}

async fn rendered(
    contents: &Contents<'_>,
    environment: Option<Environment>,
    tree: &Tree,
) -> Result<Option<(Environment, SetAt)>, JobError> {
    let Some(environment) = environment else { return Ok(None) };
    let set = contents.set_at(&environment, tree).await?;
    Ok(Some((environment, set)))
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

    /// How many objects it has, on both sides together.
    pub(in crate::jobs) fn objects(&self) -> usize {
        let contents = self.old_content().into_iter().chain(self.new_content());
        contents.map(|content| content.hashed.hashes.len()).sum()
    }

    pub(in crate::jobs) fn new_content(&self) -> Option<&Content> {
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

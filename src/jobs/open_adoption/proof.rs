//! Whether files that were written make exactly what is live of what was adopted, and nothing else anywhere: rendered as a preview is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::consent::HashedSet;
use crate::db::environments::Environment;
use crate::db::sets;
use crate::git::Tree;
use crate::ids::{CommitId, EnvironmentName, ObjectHash, ObjectKey, SetKey};
use crate::jobs::error::JobError;
use crate::jobs::gather::branch::block_at;
use crate::jobs::gather::contents::{Content, Contents, FileAt, SetAt};
use crate::jobs::gather::repository::Repository;
use crate::jobs::gather::tips::Tips;
use crate::policy::rules;

/// Drafts of one adoption that are rendered: some for each object, and a few minutes in all.
pub(super) const RENDERS: usize = 200;

/// Files with what was adopted so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    /// What each becomes.
    pub(super) files: BTreeMap<String, String>,
    /// What each adopted object is then, by its hash.
    pub(super) hashes: BTreeMap<ObjectKey, ObjectHash>,
}

/// A branch as it is now, and what an environment is there.
pub(super) struct Ground<'r> {
    pub(super) repository: &'r Repository<'r>,
    pub(super) environment: &'r Environment,
    pub(super) contents: Contents<'r>,
    pub(super) block: rules::Environment,
    pub(super) tip: CommitId,
    pub(super) default_tip: CommitId,
    pub(super) tree: Tree,
    pub(super) file: FileAt,
    pub(super) base: Content,
    /// Drafts that were proved.
    proofs: AtomicUsize,
}

impl<'r> Ground<'r> {
    /// `None`: it does not render there.
    pub(super) async fn at_the_tip(
        repository: &'r Repository<'r>,
        environment: &'r Environment,
    ) -> Result<Option<Self>, JobError> {
        let Some(Tips { default: default_tip, own: tip }) = repository.tips(&environment.branch, None).await? else {
            return Ok(None);
        };
        let contents = Contents::new(repository);
        let Some(block) = block_at(repository, &contents, environment, &tip, &default_tip).await? else {
            return Ok(None);
        };
        let tree = contents.tree(&tip).await?;
        let file = file_at(&contents, environment, repository, &tree, &default_tip).await?;
        let SetAt::Set(base) = contents.set_at(&block, &tree).await? else { return Ok(None) };
        Ok(Some(Self {
            repository,
            environment,
            contents,
            block,
            tip,
            default_tip,
            tree,
            file,
            base,
            proofs: AtomicUsize::new(0),
        }))
    }

    /// An object as it is rendered there.
    pub(super) async fn object(&self, key: &ObjectKey) -> Result<Option<Value>, JobError> {
        let hashes = &self.base.hashed.hashes;
        let is_it = |one: &SetKey| matches!(one, SetKey::Entry) || *one == SetKey::Object(key.clone());
        let hashes = hashes.iter().filter(|(one, _)| is_it(one)).map(|(one, hash)| (one.clone(), *hash)).collect();
        let some = HashedSet { target: self.base.hashed.target.clone(), hashes };
        let context = self.repository.context;
        let mut conn = context.pool.acquire().await?;
        let mut objects = sets::load_objects(&mut conn, some, &context.seal).await?.objects;
        Ok(objects.remove(key).map(|object| object.json))
    }

    /// The environments that read a file, beside this one.
    pub(super) async fn others_of(&self, paths: &[String]) -> Result<BTreeSet<EnvironmentName>, JobError> {
        let at = (self.environment.branch.as_str(), &self.tree, &self.file);
        let mut readers = self.contents.readers_of(at, paths).await?;
        readers.remove(&self.environment.name);
        Ok(readers)
    }

    /// The tree that has the files of a draft.
    pub(super) async fn tree_of(&self, draft: &Draft) -> Result<CommitId, JobError> {
        let files = draft.files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect();
        Ok(self.repository.mirror.with_files(self.tree.id(), &files).await?)
    }

    /// Whether one more draft may be proved; it is counted.
    pub(super) fn may_prove(&self) -> bool {
        self.proofs.fetch_add(1, Ordering::Relaxed) < RENDERS
    }

    /// Why a draft does not do what it is for, if so.
    pub(super) async fn proves(&self, draft: &Draft) -> Result<Result<(), String>, JobError> {
        let written = self.tree_of(draft).await?;
        let Self { repository, contents, environment, .. } = self;
        let Some(block) = block_at(repository, contents, environment, &written, &self.default_tip).await? else {
            return Ok(Err("the environment would be gone with it".to_owned()));
        };
        let tree = contents.tree(&written).await?;
        match contents.set_at(&block, &tree).await? {
            SetAt::Set(now) => {
                if let Some(why) = self.is_not(draft, &now) {
                    return Ok(Err(why));
                }
            }
            SetAt::Broken { errors, .. } => {
                let why = errors.into_iter().next().unwrap_or_default();
                return Ok(Err(format!("with it, the environment does not render: {why}")));
            }
            SetAt::Absent => return Ok(Err("with it, there is nothing to render".to_owned())),
        }
        let paths: Vec<String> = draft.files.keys().cloned().collect();
        let others = self.others_of(&paths).await?;
        let after = file_at(contents, environment, repository, &tree, &self.default_tip).await?;
        let (before, after) = (self.file.environments(), after.environments());
        for name in others {
            let (Some(before), Some(after)) = (before.get(&name), after.get(&name)) else {
                return Ok(Err(format!("`{name}` would be another environment with it")));
            };
            let before = contents.set_at(before, &self.tree).await?;
            let after = contents.set_at(after, &tree).await?;
            let digest = |set: &SetAt| set.content().map(|content| content.digest);
            if digest(&before) != digest(&after) || (digest(&before).is_none() && !is_alike(&before, &after)) {
                return Ok(Err(format!("it would change `{name}`, too")));
            }
        }
        Ok(Ok(()))
    }

    /// In which way a rendered set is not the one before with what was adopted.
    fn is_not(&self, draft: &Draft, now: &Content) -> Option<String> {
        let (before, now) = (&self.base.hashed.hashes, &now.hashed.hashes);
        let adopted = |key: &SetKey| match key {
            SetKey::Object(key) => draft.hashes.get(key),
            SetKey::Entry => None,
        };
        let keys: BTreeSet<&SetKey> = before.keys().chain(now.keys()).collect();
        let mut wrong = keys.into_iter().filter(|key| match adopted(key) {
            Some(wanted) => now.get(*key) != Some(wanted),
            None => before.get(*key) != now.get(*key),
        });
        let wrong = wrong.next()?;
        Some(match (wrong, adopted(wrong)) {
            (SetKey::Object(key), Some(_)) => {
                format!(
                    "written there, {key} still does not come out as it is live: something else of the render has the last word"
                )
            }
            (SetKey::Object(key), None) => format!("it would change {key}, too"),
            (SetKey::Entry, _) => "it would change the environment's own rules, too".to_owned(),
        })
    }
}

/// Two that do not render are alike when they fail alike.
fn is_alike(before: &SetAt, after: &SetAt) -> bool {
    match (before, after) {
        (SetAt::Broken { errors: one, .. }, SetAt::Broken { errors: other, .. }) => one == other,
        (SetAt::Absent, SetAt::Absent) => true,
        _ => false,
    }
}

/// The rules as they are read with a tree: blocks come from the default branch.
async fn file_at(
    contents: &Contents<'_>,
    environment: &Environment,
    repository: &Repository<'_>,
    tree: &Tree,
    default_tip: &CommitId,
) -> Result<FileAt, JobError> {
    if environment.branch == repository.row.default_branch {
        return contents.file_at(tree, tree).await;
    }
    let blocks = contents.tree(default_tip).await?;
    contents.file_at(&blocks, tree).await
}

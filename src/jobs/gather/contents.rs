//! What the environments of a repository are at one tree: the file's blocks, and each environment's rendered set.
//!
//! The same content is rendered once: a set is looked up by everything it depends on before anything runs.

mod charts;
pub(in crate::jobs) mod files;
mod owner_file;
mod policies;
pub(in crate::jobs::gather) mod readers;
mod rendered;
mod rules;
pub(in crate::jobs) mod scopes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::charts::KnownCharts;
use self::rendered::{Reach, cache_key};
use super::contents::scopes::{KnownScopes, WhenAway};
use super::repository::Repository;
use crate::consent::HashedSet;
use crate::db::renders::{self, CachedRender};
use crate::db::sets;
use crate::git::{GitError, Tree};
use crate::ids::{CommitId, EnvironmentName, ObjectKey, SetDigest, SetKey};
use crate::jobs::error::JobError;
use crate::manifest::Scope;
use crate::policy::Located;
use crate::policy::rules::Environment;
use crate::render::{Blame, Closure, RenderInput};

/// `.bascule.yaml` at a tree.
#[derive(Debug, Clone)]
pub(in crate::jobs) enum FileAt {
    /// There is none.
    Absent,
    /// It cannot be read; the gate is closed.
    Invalid(Arc<[Located]>),
    /// Its environments, patterns filled in.
    Valid(Arc<BTreeMap<EnvironmentName, Environment>>),
}

impl FileAt {
    /// The environments, none when there are none to read.
    pub(in crate::jobs) fn environments(&self) -> Arc<BTreeMap<EnvironmentName, Environment>> {
        match self {
            Self::Valid(environments) => environments.clone(),
            Self::Absent | Self::Invalid(_) => Arc::default(),
        }
    }
}

/// An environment's set at a tree.
#[derive(Debug, Clone)]
pub(in crate::jobs) enum SetAt {
    /// It renders.
    Set(Content),
    /// It does not, and why: for whoever writes the repository.
    Broken {
        /// One error a line.
        errors: Vec<String>,
        /// What it would read, as far as that is known.
        closure: Option<Closure>,
    },
    /// There is nothing: its folder is not there.
    Absent,
}

/// A rendered set.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Content {
    pub(in crate::jobs) digest: SetDigest,
    pub(in crate::jobs) hashed: HashedSet,
    pub(in crate::jobs) closure: Closure,
    /// Which program, and how long it took now; `None` when it was remembered.
    pub(in crate::jobs) renderer: String,
    pub(in crate::jobs) took: Option<std::time::Duration>,
}

impl Content {
    /// Which objects it has.
    pub(in crate::jobs) fn objects(&self) -> impl Iterator<Item = &ObjectKey> + Clone {
        self.hashed.hashes.keys().filter_map(|key| match key {
            SetKey::Object(key) => Some(key),
            SetKey::Entry => None,
        })
    }
}

impl SetAt {
    pub(in crate::jobs) fn content(&self) -> Option<&Content> {
        match self {
            Self::Set(content) => Some(content),
            Self::Broken { .. } | Self::Absent => None,
        }
    }

    pub(in crate::jobs) fn closure(&self) -> Option<&Closure> {
        match self {
            Self::Set(content) => Some(&content.closure),
            Self::Broken { closure, .. } => closure.as_ref(),
            Self::Absent => None,
        }
    }
}

/// Reads trees of one repository; holds what the reading of many environments shares.
pub(in crate::jobs) struct Contents<'r> {
    repository: &'r Repository<'r>,
    objects: crate::git::Objects,
    scopes: KnownScopes<'r>,
    charts: KnownCharts<'r>,
    roots: tokio::sync::Mutex<BTreeMap<CommitId, CommitId>>,
}

impl<'r> Contents<'r> {
    /// For what is judged.
    pub(in crate::jobs) fn new(repository: &'r Repository<'r>) -> Self {
        Self {
            repository,
            objects: repository.mirror.objects(),
            scopes: KnownScopes::new(repository, WhenAway::Stop),
            charts: KnownCharts::new(repository, WhenAway::Stop),
            roots: tokio::sync::Mutex::default(),
        }
    }

    /// For a preview, which is there even when a cluster is away: see [`Self::away`].
    pub(in crate::jobs) fn to_show(repository: &'r Repository<'r>) -> Self {
        let scopes = KnownScopes::new(repository, WhenAway::Tell);
        Self { scopes, charts: KnownCharts::new(repository, WhenAway::Tell), ..Self::new(repository) }
    }

    /// The same for what comes from a fork: no registry is asked for a chart that the repository does not use.
    pub(in crate::jobs) fn of_a_stranger(self) -> Self {
        Self { charts: self.charts.of_a_stranger(), ..self }
    }

    /// Why the environment's cluster did not say what it serves, when it was asked.
    pub(in crate::jobs) async fn away(&self, environment: &Environment) -> Option<String> {
        self.scopes.away(environment).await
    }

    /// The files of a commit (or of a tree, which is its own).
    pub(in crate::jobs) async fn tree(&self, commit: &CommitId) -> Result<Tree, JobError> {
        let mut known = self.roots.lock().await;
        let root = match known.get(commit) {
            Some(root) => root.clone(),
            None => {
                let root = self.repository.mirror.tree_of(commit).await?;
                known.insert(commit.clone(), root.clone());
                root
            }
        };
        Ok(self.objects.tree(root))
    }

    /// Fetches what these environments are likely to read, in one conversation with the forge: found out file by file,
    /// a thousand environments would be a thousand conversations. What is missed, or too large, is fetched when it is read.
    pub(in crate::jobs) async fn warm(
        &self,
        tree: &Tree,
        environments: impl Iterator<Item = &Environment>,
    ) -> Result<(), JobError> {
        /// As many files as a mirror remembers.
        const MOST: usize = 20_000;
        let likely = |name: &str| {
            let endings = [".yaml", ".yml", ".json", ".tpl", ".txt", ".env", ".properties", "Kustomization"];
            endings.iter().any(|ending| name.ends_with(ending))
        };
        let paths: BTreeSet<&str> = environments.map(|environment| environment.path.as_str()).collect();
        let mut blobs = Vec::new();
        for path in paths {
            blobs.extend(tree.files_below(path, MOST - blobs.len(), likely).await?);
            if blobs.len() >= MOST {
                break;
            }
        }
        match self.repository.mirror.fetch_blobs(&blobs).await {
            Err(GitError::TooLarge { .. }) => Ok(()),
            done => Ok(done?),
        }
    }

    /// What an environment would read at a tree, without rendering.
    pub(in crate::jobs) async fn closure(&self, environment: &Environment, tree: &Tree) -> Option<Closure> {
        let files = self.charts.files(environment, tree).await.ok()?.ok()?;
        self.repository.context.renderer.closure(&files, &RenderInput::of(environment)).await.ok()
    }

    /// An environment's set at a tree.
    pub(in crate::jobs) async fn set_at(&self, environment: &Environment, tree: &Tree) -> Result<SetAt, JobError> {
        self.set_within(environment, tree, Reach::Granted).await
    }

    /// What an environment's set at a tree would be if everything were granted: what a proposal shows of one that is not.
    pub(in crate::jobs) async fn set_beyond_grants(
        &self,
        environment: &Environment,
        tree: &Tree,
    ) -> Result<SetAt, JobError> {
        self.set_within(environment, tree, Reach::Anywhere).await
    }

    async fn set_within(&self, environment: &Environment, tree: &Tree, reach: Reach) -> Result<SetAt, JobError> {
        let context = self.repository.context;
        let files = match self.charts.files(environment, tree).await? {
            Ok(files) => files,
            Err(why) => return Ok(SetAt::Broken { errors: vec![why], closure: None }),
        };
        let mut input = RenderInput::of(environment);
        let mut closure = match context.renderer.closure(&files, &input).await {
            Ok(closure) => closure,
            Err(error) => return broken(error, None),
        };
        let scopes = self.scopes.of(environment).await?;
        if closure.asks_cluster {
            input.cluster = self.scopes.capabilities(environment).await?;
            closure.input_hash = context.renderer.hash_with(&closure, &input);
        }
        let reaches = self.reaches(environment);
        let key = cache_key(environment, &closure, (reach == Reach::Granted).then_some(&reaches[..]));
        let mut conn = context.pool.acquire().await?;
        if let Some(known) = renders::get(&mut conn, &key).await?.filter(|known| scopes.tells(&known.kinds)) {
            metrics::counter!("bascule_render_cache_hits_total").increment(1);
            return match known.result {
                Ok(digest) => {
                    let hashed = sets::load_hashed(&mut conn, &digest).await?;
                    let renderer = known.renderer;
                    Ok(SetAt::Set(Content { digest, hashed, closure, renderer, took: None }))
                }
                Err(errors) => {
                    let errors = errors.lines().map(str::to_owned).collect();
                    Ok(SetAt::Broken { errors, closure: Some(closure) })
                }
            };
        }
        drop(conn);
        let rendered = match self.render(environment, &files, (&input, &closure), &scopes, reach).await {
            Ok(rendered) => rendered,
            Err(error) if error.blame() == Blame::Author => {
                let errors = vec![error.to_string()];
                self.remember(&key, errors.join("\n"), &closure, BTreeMap::new(), "").await?;
                return Ok(SetAt::Broken { errors, closure: Some(closure) });
            }
            Err(error) => return broken(error, Some(closure)),
        };
        let set = match rendered.set {
            Ok(set) => set,
            Err(errors) => {
                self.remember(&key, errors.join("\n"), &closure, rendered.kinds, &rendered.renderer).await?;
                return Ok(SetAt::Broken { errors, closure: Some(closure) });
            }
        };
        let mut tx = context.pool.begin().await?;
        let digest = sets::store(&mut tx, &set, environment, &context.seal).await?;
        let (reads, renderer) = (closure.reads.clone(), rendered.renderer.clone());
        let render = CachedRender { result: Ok(digest), reads, kinds: rendered.kinds, renderer };
        renders::put(&mut tx, &key, &render).await?;
        tx.commit().await?;
        let hashed = sets::hashed(&set);
        Ok(SetAt::Set(Content { digest, hashed, closure, renderer: rendered.renderer, took: Some(rendered.took) }))
    }

    /// Remembers why there is no set.
    async fn remember(
        &self,
        key: &[u8; 32],
        why: String,
        closure: &Closure,
        kinds: BTreeMap<String, Option<Scope>>,
        renderer: &str,
    ) -> Result<(), JobError> {
        let mut conn = self.repository.context.pool.acquire().await?;
        let render =
            CachedRender { result: Err(why), reads: closure.reads.clone(), kinds, renderer: renderer.to_owned() };
        Ok(renders::put(&mut conn, key, &render).await?)
    }

    /// The grants an environment is inside of, whole: its objects must all be inside one of them.
    fn reaches(&self, environment: &Environment) -> Vec<crate::policy::rules::Grant> {
        let granted = self.repository.platform.grants_reaching(&self.repository.granted_name(), &environment.target);
        granted.into_iter().map(|granted| granted.grant.clone()).collect()
    }
}

fn broken(error: crate::render::RenderError, closure: Option<Closure>) -> Result<SetAt, JobError> {
    match error.blame() {
        Blame::Absent => Ok(SetAt::Absent),
        Blame::Author => Ok(SetAt::Broken { errors: vec![error.to_string()], closure }),
        Blame::Operator | Blame::Weather => Err(error.into()),
    }
}

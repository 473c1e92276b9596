//! The rules of a repository at a tree. Those of a thousand environments are read once, and are the same at every tree
//! that differs in nothing they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Contents, FileAt};
use crate::git::{GitError, Tree};
use crate::jobs::error::JobError;
use crate::jobs::gather::memory::{Rules, RulesAt};
use crate::policy::document::LARGEST_FILE;
use crate::policy::policies::rego_paths;
use crate::policy::rules::Environment;
use crate::policy::{FILE_NAME, Located, Place, RepositoryFile, reach};

impl Contents<'_> {
    /// The file of `blocks` (rule 1: blocks come from the default branch), its patterns filled with the folders of
    /// `folders` (files come from the environment's branch).
    pub(in crate::jobs) async fn file_at(&self, blocks: &Tree, folders: &Tree) -> Result<FileAt, JobError> {
        let file = self.written_at(blocks, folders).await?;
        self.with_charts(file).await
    }

    /// What a chart of a registry is, is a fact of the database, and another one for a stranger: nothing that is remembered with
    /// the rules.
    async fn with_charts(&self, file: FileAt) -> Result<FileAt, JobError> {
        let FileAt::Valid(environments) = &file else { return Ok(file) };
        let is_open = |one: &Environment| one.chart.as_ref().is_some_and(|chart| chart.pinned().is_none());
        if !environments.values().any(is_open) {
            return Ok(file);
        }
        let mut environments = BTreeMap::clone(environments);
        self.charts.bind(environments.values_mut().collect()).await?;
        Ok(FileAt::Valid(Arc::new(environments)))
    }

    async fn written_at(&self, blocks: &Tree, folders: &Tree) -> Result<FileAt, JobError> {
        let memory = &self.repository.context.memory;
        let at = RulesAt {
            repository: self.repository.granted_name(),
            blocks: blocks.id().clone(),
            folders: folders.id().clone(),
            platform: self.repository.platform.clone(),
        };
        if let Some(known) = memory.rules(&at) {
            if known.at.is(&at) {
                return Ok(known.file);
            }
            if self.outlives(&known, &at).await {
                let rules = Rules { at, ..known };
                memory.learn_rules(rules.clone());
                return Ok(rules.file);
            }
        }
        let (mut reads, mut roots) = (BTreeSet::from([FILE_NAME.to_owned()]), BTreeSet::new());
        reads.extend(self.dialect().places().iter().map(|path| (*path).to_owned()));
        let file = self.read(blocks, folders, &mut reads, &mut roots).await?;
        memory.learn_rules(Rules { at, file: file.clone(), reads, roots });
        Ok(file)
    }

    /// Whether rules that were read at other trees are those of these, too. Where Git cannot say, they are read.
    async fn outlives(&self, known: &Rules, at: &RulesAt) -> bool {
        let mirror = &self.repository.mirror;
        let Ok(files) = mirror.changed_paths(&known.at.blocks, &at.blocks).await else { return false };
        if !known.outlive_files(files.iter().map(|changed| changed.path.as_str())) {
            return false;
        }
        let Ok(folders) = mirror.changed_paths(&known.at.folders, &at.folders).await else { return false };
        let moved = folders.iter().filter(|changed| changed.old.is_none() || changed.new.is_none());
        known.outlive_folders(moved.map(|changed| changed.path.as_str()))
    }

    /// Reads them; `reads` and `roots` are what they depend on, see [`Rules`].
    async fn read(
        &self,
        blocks: &Tree,
        folders: &Tree,
        reads: &mut BTreeSet<String>,
        roots: &mut BTreeSet<String>,
    ) -> Result<FileAt, JobError> {
        let limit = LARGEST_FILE as u64;
        let place = Place::whole(FILE_NAME);
        let text = match blocks.file(FILE_NAME, limit).await {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(FileAt::Absent),
            Err(GitError::TooLarge { .. }) => {
                let problem = format!("the file is larger than {limit} bytes");
                return Ok(invalid(vec![Located::new(&place, problem, "use patterns instead of copies")]));
            }
            Err(error) => return Err(error.into()),
        };
        let Ok(text) = String::from_utf8(text) else {
            return Ok(invalid(vec![Located::new(&place, "the file is not UTF-8", "save it as UTF-8")]));
        };
        let file = match RepositoryFile::parse(FILE_NAME, &text) {
            Ok(file) => file,
            Err(complaints) => return Ok(invalid(complaints)),
        };
        reads.extend(rego_paths(&file.policies).into_iter().map(str::to_owned));
        *roots = file.folder_roots();
        let folders = match folders.folders_below(roots).await {
            Ok(folders) => folders,
            Err(error @ GitError::TooMany { .. }) => {
                let problem = format!("below what its patterns name, {error}");
                let say = "begin the paths of patterns with folders that have fewer below them";
                return Ok(invalid(vec![Located::new(&place, problem, say)]));
            }
            Err(error) => return Err(error.into()),
        };
        let expanded = match file.expand_placed(&folders) {
            Ok(expanded) => expanded,
            Err(complaints) => return Ok(invalid(complaints)),
        };
        let name = self.repository.granted_name();
        let complaints = reach::complaints(&self.repository.platform, &name, &file, &expanded);
        if !complaints.is_empty() {
            return Ok(invalid(complaints));
        }
        let expanded = match self.with_owner_file(blocks, expanded).await? {
            Ok(expanded) => expanded,
            Err(complaints) => return Ok(invalid(complaints)),
        };
        let complaints = self.faults_of_health(&file.health).await?;
        if !complaints.is_empty() {
            return Ok(invalid(complaints));
        }
        let expanded = match self.with_policies(blocks, &file.policies, expanded).await? {
            Ok(expanded) => expanded,
            Err(complaints) => return Ok(invalid(complaints)),
        };
        let environments = expanded.into_iter().map(|one| (one.environment.name.clone(), one.environment));
        Ok(FileAt::Valid(Arc::new(environments.collect())))
    }
}

fn invalid(complaints: Vec<Located>) -> FileAt {
    FileAt::Invalid(complaints.into())
}

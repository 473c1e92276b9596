//! A tree of a mirror, as the renderer wants to see it.

use crate::git::{self, Mirror, Tree};
use crate::ids::CommitId;
use crate::render::{Entry, Files, FilesError};

/// The files of one tree; what is not in the mirror yet comes from the forge when it is asked for.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct TreeFiles {
    pub(in crate::jobs) tree: Tree,
    pub(in crate::jobs) mirror: Mirror,
}

fn store(error: git::GitError) -> FilesError {
    match error {
        git::GitError::TooLarge { .. } => FilesError::TooLarge,
        other => FilesError::Store(Box::new(other)),
    }
}

fn entry(found: git::Entry) -> Entry {
    Entry { name: found.name, kind: found.kind, id: found.id.to_string() }
}

fn id(text: &str) -> Result<CommitId, FilesError> {
    text.parse().map_err(|error| FilesError::Store(Box::new(error)))
}

impl Files for TreeFiles {
    async fn entry(&self, path: &str) -> Result<Option<Entry>, FilesError> {
        Ok(self.tree.entry(path).await.map_err(store)?.map(entry))
    }

    async fn folder(&self, path: &str) -> Result<Option<Vec<Entry>>, FilesError> {
        let found = self.tree.folder(path).await.map_err(store)?;
        Ok(found.map(|entries| entries.iter().cloned().map(entry).collect()))
    }

    async fn read(&self, content: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        self.tree.blob(&id(content)?, limit).await.map_err(store)
    }

    async fn expect(&self, ids: &[String]) -> Result<(), FilesError> {
        let blobs = ids.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>()?;
        self.mirror.fetch_blobs(&blobs).await.map_err(store)
    }
}

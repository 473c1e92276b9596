//! A tree of Git, as rendering sees files.

use crate::git::{self, GitError, Tree};
use crate::render::{Entry, Files, FilesError};

/// Everything is here already: nothing has to be fetched before it is read.
#[derive(Debug, Clone)]
pub(super) struct TreeFiles(pub(super) Tree);

impl Files for TreeFiles {
    async fn entry(&self, path: &str) -> Result<Option<Entry>, FilesError> {
        Ok(self.0.entry(path).await.map_err(store)?.as_ref().map(entry))
    }

    async fn folder(&self, path: &str) -> Result<Option<Vec<Entry>>, FilesError> {
        Ok(self.0.folder(path).await.map_err(store)?.map(|entries| entries.iter().map(entry).collect()))
    }

    async fn read(&self, id: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let id = id.parse().map_err(|error| FilesError::Store(Box::new(error)))?;
        self.0.blob(&id, limit).await.map_err(store)
    }

    async fn expect(&self, _ids: &[String]) -> Result<(), FilesError> {
        Ok(())
    }
}

fn entry(entry: &git::Entry) -> Entry {
    Entry { name: entry.name.clone(), kind: entry.kind, id: entry.id.to_string() }
}

fn store(error: GitError) -> FilesError {
    match error {
        GitError::TooLarge { .. } => FilesError::TooLarge,
        other => FilesError::Store(Box::new(other)),
    }
}

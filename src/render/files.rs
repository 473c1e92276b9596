//! The files of one commit, as rendering sees them. Who holds a repository implements it.

use std::future::Future;

use crate::ids::EntryKind;

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name within the folder.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Names its content: equal ids are equal content.
    pub id: String,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It is larger than was asked for.
    #[error("the file is too large")]
    TooLarge,
    /// The store's own error.
    #[error("the repository could not be read")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A read-only tree. Paths have no leading or trailing slash; the empty path is the root. Names are compared byte by
/// byte, and no symbolic link is followed.
pub trait Files: Sync {
    /// What is at a path; `None` when nothing is.
    fn entry(&self, path: &str) -> impl Future<Output = Result<Option<Entry>, FilesError>> + Send;

    /// The entries of a folder; `None` when there is no folder.
    fn folder(&self, path: &str) -> impl Future<Output = Result<Option<Vec<Entry>>, FilesError>> + Send;

    /// The content a file's id names, at most `limit` bytes of it.
    fn read(&self, id: &str, limit: u64) -> impl Future<Output = Result<Vec<u8>, FilesError>> + Send;

    /// These files will be read next: a store that fetches them from afar does so in one go.
    fn expect(&self, ids: &[String]) -> impl Future<Output = Result<(), FilesError>> + Send;
}

#[cfg(test)]
pub(super) mod memory {
    use std::collections::BTreeMap;

    use sha2::{Digest as _, Sha256};

    use super::*;

    /// Files in memory. A content that begins with `symlink:` is one.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

    impl Memory {
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
        }

        pub(crate) fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
            self.0.insert(path.to_owned(), content.as_ref().to_vec());
            self
        }

        fn id(content: &[u8]) -> String {
            hex::encode(Sha256::digest(content))
        }
    }

    impl Files for Memory {
        async fn entry(&self, path: &str) -> Result<Option<Entry>, FilesError> {
            if path.is_empty() {
                return Ok(Some(Entry { name: String::new(), kind: EntryKind::Folder, id: String::new() }));
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let entries = self.folder(folder).await?.unwrap_or_default();
            Ok(entries.into_iter().find(|entry| entry.name == name))
        }

        async fn folder(&self, path: &str) -> Result<Option<Vec<Entry>>, FilesError> {
            let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
            let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
            for (file, content) in &self.0 {
                let Some(rest) = file.strip_prefix(&prefix) else { continue };
                let (name, kind) = match rest.split_once('/') {
                    Some((folder, _)) => (folder, EntryKind::Folder),
                    None if content.starts_with(b"symlink:") => (rest, EntryKind::Symlink),
                    None => (rest, EntryKind::File),
                };
                entries.insert(name.to_owned(), Entry { name: name.to_owned(), kind, id: Self::id(content) });
            }
            Ok(if entries.is_empty() && !path.is_empty() { None } else { Some(entries.into_values().collect()) })
        }

        async fn read(&self, id: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
            let content = self.0.values().find(|content| Self::id(content) == id).cloned().unwrap_or_default();
            if content.len() as u64 > limit { Err(FilesError::TooLarge) } else { Ok(content) }
        }

        async fn expect(&self, _ids: &[String]) -> Result<(), FilesError> {
            Ok(())
        }
    }
}

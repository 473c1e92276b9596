//! What was fetched, by what it is: asked for once, whoever asks again.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

/// Files named by the SHA-256 of what they hold. Can be made again: nothing depends on it but how often a registry is asked.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
}

/// `sha256:…` of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Store {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(digest.replace(':', "-"))
    }

    /// What has this digest, if it is here and still has it: a disk may rot, and a file may be somebody else's.
    pub(super) async fn get(&self, wanted: &str, most: u64) -> Option<Vec<u8>> {
        let path = self.path(wanted);
        if tokio::fs::metadata(&path).await.ok()?.len() > most {
            return None;
        }
        let bytes = tokio::fs::read(&path).await.ok()?;
        (digest(&bytes) == wanted).then_some(bytes)
    }

    /// Keeps what has been checked. A reader sees all of it or nothing.
    pub(super) async fn put(&self, digest: &str, bytes: &[u8]) -> std::io::Result<()> {
        let (folder, path, bytes) = (self.folder.clone(), self.path(digest), bytes.to_vec());
        let write = move || {
            std::fs::create_dir_all(&folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            std::io::Write::write_all(&mut file, &bytes)?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_what_it_is_called_or_it_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("charts"));
        let name = digest(b"chart");
        assert_eq!(store.get(&name, 10).await, None);
        store.put(&name, b"chart").await.unwrap();
        store.put(&name, b"chart").await.unwrap();
        assert_eq!(store.get(&name, 10).await.as_deref(), Some(&b"chart"[..]));
        assert_eq!(store.get(&name, 4).await, None, "larger than it may be");
        std::fs::write(store.path(&name), b"chert").unwrap();
        assert_eq!(store.get(&name, 10).await, None, "rotten");
    }
}

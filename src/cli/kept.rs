//! What `bascule login` keeps: for each server a person's token, in a file of their own that nobody else can read.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::client::ClientError;
use crate::config::Environ;

/// The file, below `$XDG_CONFIG_HOME/bascule`.
const NAME: &str = "login.json";

/// The file and what it holds.
pub struct Kept {
    file: Option<PathBuf>,
    held: Held,
}

#[derive(Default, Serialize, Deserialize)]
struct Held {
    /// Of the last sign-in.
    last: Option<String>,
    servers: BTreeMap<String, String>,
}

impl Kept {
    /// Reads it; a file that is not there holds nothing.
    ///
    /// # Errors
    /// One that others can read, or that is none of ours.
    pub(super) fn read(environ: &Environ) -> Result<Self, ClientError> {
        let folder = environ.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let home = || environ.get("HOME").map(|home| Path::new(home).join(".config"));
        let Some(file) = folder.or_else(home).map(|folder| folder.join("bascule").join(NAME)) else {
            return Ok(Self::nothing());
        };
        let metadata = match std::fs::metadata(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { file: Some(file), held: Held::default() });
            }
            metadata => metadata?,
        };
        let shown = file.display();
        if metadata.mode() & 0o077 != 0 {
            let advice = format!("run `chmod 600 {shown}`, and `bascule logout` if somebody may have read it");
            return Err(ClientError::Kept(format!("{shown} holds your token and can be read by others: {advice}")));
        }
        let held = serde_json::from_slice(&std::fs::read(&file)?).map_err(|_| {
            ClientError::Kept(format!("{shown} is not as `bascule login` wrote it: remove it, and sign in again"))
        })?;
        Ok(Self { file: Some(file), held })
    }

    /// Whoever says all of it otherwise.
    pub(super) fn nothing() -> Self {
        Self { file: None, held: Held::default() }
    }

    /// The token of a server.
    pub(super) fn token(&self, server: &str) -> Option<&str> {
        self.held.servers.get(server).map(String::as_str)
    }

    /// The server of the last sign-in.
    pub(super) fn last(&self) -> Option<&str> {
        self.held.last.as_deref()
    }

    /// Keeps a token, or forgets one.
    pub(super) fn keep(&mut self, server: &str, token: Option<&str>) -> Result<(), ClientError> {
        match token {
            Some(token) => {
                self.held.servers.insert(server.to_owned(), token.to_owned());
                self.held.last = Some(server.to_owned());
            }
            None => {
                self.held.servers.remove(server);
                self.held.last = self.held.last.take().filter(|last| last != server);
            }
        }
        let Some(file) = &self.file else {
            return Err(ClientError::Kept("there is no place for your token: set HOME or XDG_CONFIG_HOME".to_owned()));
        };
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // A new file in the old one's place: whole or not there, and its owner's alone from its first moment on.
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(serde_json::to_string_pretty(&self.held).map_err(std::io::Error::from)?.as_bytes())?;
        new.persist(file).map_err(|error| error.error)?;
        Ok(())
    }
}

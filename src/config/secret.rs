//! Secrets by reference: the files name where a secret is, never what it is.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use secrecy::SecretString;

/// The largest secret that is read (bytes): a kubeconfig with certificates fits many times.
const LARGEST: u64 = 1 << 20;

/// Where a secret is. A file is read at each use, so that a rotated secret needs no restart.
#[derive(Clone)]
pub enum Secret {
    /// In an environment variable, whose value was taken when the file was loaded.
    Env {
        /// Its name.
        variable: String,
        /// Its value then; `None` when it was not set or empty.
        value: Option<SecretString>,
    },
    /// In a file.
    File(PathBuf),
}

/// Why a secret cannot be had. Whoever needs it answers "not available", never "no secret, so no check".
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable was not set when the configuration was loaded.
    #[error("environment variable `{0}` is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("file `{}` cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file holds nothing.
    #[error("file `{}` is empty", .0.display())]
    Empty(PathBuf),
    /// The file is no text or far too large to be a secret.
    #[error("file `{}` is not a secret: it is larger than 1 MiB or not text", .0.display())]
    NoSecret(PathBuf),
}

impl Secret {
    /// The secret as it is now, without the line ends at its end. Never empty.
    ///
    /// # Errors
    /// The secret is not there: retrying helps once somebody has put it there.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Env { value: Some(value), .. } => Ok(value.clone()),
            Self::Env { variable, value: None } => Err(SecretError::NotSet(variable.clone())),
            Self::File(path) => read_file(path),
        }
    }

    /// The file it is in, when it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Env { .. } => None,
            Self::File(path) => Some(path),
        }
    }
}

fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |error| SecretError::Unreadable(path.to_owned(), error);
    if std::fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
        return Err(SecretError::NoSecret(path.to_owned()));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NoSecret(path.to_owned()))?;
    let trimmed = text.trim_end_matches(['\r', '\n']);
    if trimmed.trim().is_empty() { Err(SecretError::Empty(path.to_owned())) } else { Ok(trimmed.into()) }
}

/// The reference, never the value.
impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { variable, .. } => write!(out, "{{ env = \"{variable}\" }}"),
            Self::File(path) => write!(out, "{{ file = \"{}\" }}", path.display()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Two references are equal when they name the same place.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_file_is_read_again_when_it_changes_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = Secret::File(path.clone());
        assert!(matches!(secret.read(), Err(SecretError::Unreadable(..))));
        std::fs::write(&path, "hunter2\n").unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), "hunter2");
        std::fs::write(&path, "hunter3\r\n").unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), "hunter3");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(secret.read(), Err(SecretError::Empty(_))));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(secret.read(), Err(SecretError::NoSecret(_))));

        let held = Secret::Env { variable: "TOKEN".into(), value: Some("hunter4".into()) };
        assert_eq!(format!("{held} {held:?}"), r#"{ env = "TOKEN" } { env = "TOKEN" }"#);
    }
}

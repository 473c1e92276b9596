//! Where a mirror fetches from, as whom, and what it can ask for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::{BranchName, GitError};
use crate::ids::CommitId;

/// Where a mirror fetches from, and as whom.
#[derive(Debug, Clone)]
pub struct Remote {
    url: String,
    protocol: &'static str,
    token: Option<SecretString>,
    authority: Option<PathBuf>,
}

impl Remote {
    /// A remote of a configured forge. `http` is for a forge whose configured URL says so; any other scheme is refused.
    ///
    /// # Errors
    /// [`GitError::Name`] for a URL that is not plain `http(s)://host/path`, holds credentials, or goes elsewhere than
    /// the forge's own URL.
    pub fn of_forge(url: &str, forge: &str, token: Option<SecretString>) -> Result<Self, GitError> {
        let refused = |why| GitError::Name { what: "clone URL", name: super::names::printable(url), why };
        let origin = |url: &str| -> Option<(String, String)> {
            let (scheme, rest) = url.split_once("://")?;
            let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            Some((scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
        };
        let (scheme, host) = origin(url).ok_or_else(|| refused("it has no scheme"))?;
        let protocol = match scheme.as_str() {
            "https" => "https",
            "http" => "http",
            _ => return Err(refused("only https, and http where the forge's own URL says so, are fetched from")),
        };
        if host.contains('@') || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refused("it holds credentials or spaces"));
        }
        if origin(forge) != Some((scheme, host)) {
            return Err(refused("it is not on the configured forge"));
        }
        Ok(Self { url: url.to_owned(), protocol, token, authority: None })
    }

    /// A repository on this machine.
    ///
    /// # Errors
    /// [`GitError::Name`] for a relative path.
    pub fn of_folder(path: &Path) -> Result<Self, GitError> {
        match path.to_str().filter(|_| path.is_absolute()) {
            Some(text) => Ok(Self { url: format!("file://{text}"), protocol: "file", token: None, authority: None }),
            None => {
                let name = super::names::printable(&path.to_string_lossy());
                Err(GitError::Name { what: "repository folder", name, why: "it is not absolute" })
            }
        }
    }

    /// Trusts this file of certificates instead of the system's.
    #[must_use]
    pub fn with_authority(mut self, ca_file: PathBuf) -> Self {
        self.authority = Some(ca_file);
        self
    }

    /// The remote as git's environment. The token is sent to this URL's origin alone.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut settings = vec![("remote.origin.url".to_owned(), self.url.clone())];
        if let Some(token) = &self.token {
            // Every forge takes a token as the password of any user; GitHub wants this one.
            let plain = format!("x-access-token:{}", token.expose_secret());
            let basic = base64::engine::general_purpose::STANDARD.encode(plain);
            let origin = self.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            settings.push((format!("http.{origin}/.extraHeader"), format!("Authorization: Basic {basic}")));
        }
        if let Some(file) = &self.authority {
            settings.push(("http.sslCAInfo".to_owned(), file.to_string_lossy().into_owned()));
        }
        let mut environment = vec![
            ("GIT_CONFIG_COUNT".into(), settings.len().to_string().into()),
            ("GIT_ALLOW_PROTOCOL".into(), self.protocol.into()),
        ];
        for (number, (key, value)) in settings.into_iter().enumerate() {
            environment.push((format!("GIT_CONFIG_KEY_{number}").into(), key.into()));
            environment.push((format!("GIT_CONFIG_VALUE_{number}").into(), value.into()));
        }
        environment
    }
}

/// Something a remote has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// The tip of a branch.
    Branch(BranchName),
    /// The head of a pull request, by number.
    Pull(u64),
    /// The same, where it is called a merge request.
    MergeRequest(u64),
    /// A commit by id. Most forges give those that a branch or pull request ever pointed to, for a while.
    Commit(CommitId),
}

impl Want {
    /// How the remote names it.
    pub(super) fn theirs(&self) -> String {
        match self {
            Self::Branch(name) => format!("refs/heads/{name}"),
            Self::Pull(number) => format!("refs/pull/{number}/head"),
            Self::MergeRequest(number) => format!("refs/merge-requests/{number}/head"),
            Self::Commit(id) => id.to_string(),
        }
    }

    /// The ref it is kept under: named by a hash, so that no name of a remote becomes a file name of ours.
    pub(super) fn ours(&self) -> String {
        let kind = match self {
            Self::Branch(_) => "branch",
            Self::Pull(_) | Self::MergeRequest(_) => "pull",
            Self::Commit(_) => "commit",
        };
        format!("refs/bascule/{kind}/{}", hex::encode(Sha256::digest(self.theirs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_forge_is_fetched_from() {
        let forge = "https://git.example.com/sub";
        assert!(Remote::of_forge("https://git.example.com/a/b.git", forge, None).is_ok());
        for bad in [
            "http://git.example.com/a/b.git",
            "https://git.example.com.evil.org/a.git",
            "https://git.example.com:444/a.git",
            "https://user:pw@git.example.com/a.git",
            "ext::sh -c touch% /tmp/x",
            "file:///etc",
            "ssh://git.example.com/a",
            "-x",
            "https://git.example.com/a\nb",
        ] {
            assert!(Remote::of_forge(bad, forge, None).is_err(), "{bad}");
        }
        assert!(Remote::of_folder(Path::new("x")).is_err());
    }

    #[test]
    fn the_head_of_a_merge_request_is_another_than_that_of_a_pull_request() {
        let (pull, merge_request) = (Want::Pull(5), Want::MergeRequest(5));
        assert_eq!(pull.theirs(), "refs/pull/5/head");
        assert_eq!(merge_request.theirs(), "refs/merge-requests/5/head");
        assert_ne!(pull.ours(), merge_request.ours());
    }

    #[test]
    fn the_token_is_in_the_environment_alone_and_in_no_debug_output() {
        let token = SecretString::from("s3cret");
        let remote = Remote::of_forge("https://h/a.git", "https://h", Some(token)).unwrap();
        let environment = remote.environment();
        assert!(!format!("{remote:?}").contains("s3cret"));
        let header = environment.iter().find(|(_, value)| value.to_string_lossy().contains("Basic")).unwrap();
        assert_eq!(header.1, "Authorization: Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0");
        let key = environment.iter().find(|(_, value)| value.to_string_lossy().ends_with("extraHeader")).unwrap();
        assert_eq!(key.1, "http.https://h/.extraHeader");
    }
}

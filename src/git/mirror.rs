//! One bare, blobless mirror per repository of a forge.
//!
//! Commits and trees are fetched; files come from the remote when they are first read, so a question that reads files
//! needs the credentials too. What was fetched is kept under refs named by a hash of what was asked for: no name of a
//! remote ever becomes a file name of ours, and a branch `a` that gives way to `a/b` is no conflict.

use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::store::object_id;
use super::{Bounds, BranchName, GitError, Program, Store};
use crate::ids::{CommitId, RepositoryKey};

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
    fn environment(&self) -> Vec<(OsString, OsString)> {
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
    /// A commit by id. Most forges give those that a branch or pull request ever pointed to, for a while.
    Commit(CommitId),
}

impl Want {
    fn theirs(&self) -> String {
        match self {
            Self::Branch(name) => format!("refs/heads/{name}"),
            Self::Pull(number) => format!("refs/pull/{number}/head"),
            Self::Commit(id) => id.to_string(),
        }
    }

    fn ours(&self) -> String {
        let kind = match self {
            Self::Branch(_) => "branch",
            Self::Pull(_) => "pull",
            Self::Commit(_) => "commit",
        };
        format!("refs/bascule/{kind}/{}", hex::encode(Sha256::digest(self.theirs())))
    }
}

/// A mirror. Cheap to clone; clones fetch one after the other.
#[derive(Debug, Clone)]
pub struct Mirror {
    store: Store,
    fetching: Arc<Mutex<()>>,
}

impl Deref for Mirror {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// A new mirror's configuration. A format version of 1 is what makes git heed `partialClone`.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\tlogAllRefUpdates = false\n\
    [extensions]\n\tpartialClone = origin\n\
    [remote \"origin\"]\n\tpromisor = true\n\tpartialCloneFilter = blob:none\n";

impl Mirror {
    /// The mirror of a repository below `root`, made when it is not there. It holds nothing until something is fetched.
    ///
    /// # Errors
    /// [`GitError::Broken`] when the folder cannot be made.
    pub async fn open(git: &Program, root: &Path, key: &RepositoryKey, remote: &Remote) -> Result<Self, GitError> {
        let doing = "make a mirror";
        let at = root.join(key.forge.as_str()).join(format!("{}.git", key.id));
        let io = |error: std::io::Error| GitError::Broken { doing, detail: error.to_string() };
        if !tokio::fs::try_exists(at.join("HEAD")).await.map_err(io)? {
            // HEAD last: with it the folder is a repository, and a half-made one is made again.
            for folder in ["objects/info", "objects/pack", "refs"] {
                tokio::fs::create_dir_all(at.join(folder)).await.map_err(io)?;
            }
            tokio::fs::write(at.join("config"), CONFIG).await.map_err(io)?;
            tokio::fs::write(at.join("HEAD"), "ref: refs/heads/none\n").await.map_err(io)?;
        }
        let environment = remote.environment().into();
        Ok(Self { store: Store { git: git.clone(), at, environment }, fetching: Arc::default() })
    }

    /// Fetches commits and trees of what is wanted, in one conversation.
    ///
    /// # Errors
    /// [`GitError::Gone`] when the remote lacks any of it: nothing is then known about the others.
    pub async fn fetch(&self, wants: &[Want]) -> Result<(), GitError> {
        if wants.is_empty() {
            return Ok(());
        }
        let doing = "fetch";
        let specs: Vec<String> = wants.iter().map(|want| format!("+{}:{}", want.theirs(), want.ours())).collect();
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        args.extend(["--filter=blob:none", "--end-of-options", "origin"]);
        args.extend(specs.iter().map(String::as_str));
        let _one_at_a_time = self.fetching.lock().await;
        self.store.run(doing, &args, Bounds::FETCH, &[]).await?.success(doing).map(|_| ())
    }

    /// Fetches these files now, in one conversation, instead of one by one when they are read. Files that are here
    /// already cost nothing when all are.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn fetch_blobs(&self, blobs: &[CommitId]) -> Result<(), GitError> {
        if blobs.is_empty() {
            return Ok(());
        }
        let doing = "fetch files";
        let input: String = blobs.iter().map(|id| format!("{id}\n")).collect();
        // As git itself does for a missing file: name the objects, offer none of ours.
        let mut args = vec!["-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags"];
        args.extend(["--no-write-fetch-head", "--no-auto-maintenance", "--filter=blob:none", "--stdin", "origin"]);
        let bounds = Bounds { file: Bounds::ASK.file, ..Bounds::FETCH };
        let _one_at_a_time = self.fetching.lock().await;
        self.store.run(doing, &args, bounds, input.as_bytes()).await?.success(doing).map(|_| ())
    }

    /// What was last fetched of it; `None` when it never was.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn tip(&self, want: &Want) -> Result<Option<CommitId>, GitError> {
        let doing = "read a ref";
        let name = want.ours();
        let said = self.store.ask(doing, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).await?;
        match said.code {
            Some(0) => object_id(doing, &String::from_utf8_lossy(&said.out)).map(Some),
            Some(1) => Ok(None),
            _ => said.success(doing).map(|_| None),
        }
    }

    /// Whether a commit is here already, so that nothing has to be fetched for it.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn has_commit(&self, commit: &CommitId) -> Result<bool, GitError> {
        // With every way out closed, a commit that is not here cannot be asked of the remote.
        let closed: Vec<_> =
            self.store.environment.iter().cloned().chain([("GIT_ALLOW_PROTOCOL".into(), "none".into())]).collect();
        let here = Store { environment: closed.into(), ..self.store.clone() };
        let said = here.ask("look for a commit", &["cat-file", "-e", commit.as_str()]).await?;
        Ok(said.code == Some(0))
    }

    /// Packs what many fetches left behind. For a sweep: it costs time in proportion to the repository.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn tidy(&self) -> Result<(), GitError> {
        let doing = "tidy a mirror";
        let args = ["-c", "gc.auto=6700", "-c", "gc.autoPackLimit=50", "gc", "--auto", "--quiet"];
        let _one_at_a_time = self.fetching.lock().await;
        self.store.run(doing, &args, Bounds::FETCH, &[]).await?.success(doing).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;
    use crate::git::{Fate, Merge};

    fn key() -> RepositoryKey {
        RepositoryKey { forge: "work".parse().unwrap(), id: 7 }
    }

    async fn mirror(repo: &Scratch, at: &Path) -> Mirror {
        let git = Program::find(Path::new("git")).await.unwrap();
        Mirror::open(&git, at, &key(), &Remote::of_folder(repo.path()).unwrap()).await.unwrap()
    }

    fn branch(name: &str) -> Want {
        Want::Branch(name.parse().unwrap())
    }

    #[tokio::test]
    async fn a_mirror_holds_commits_and_trees_and_asks_for_files_when_they_are_read() {
        let repo = Scratch::new().await;
        let base = repo.commit("main", &[("a", "1\n"), ("big", &"x\n".repeat(1000))], "base").await;
        repo.branch("topic", &base).await;
        let head = repo.commit("topic", &[("b", "2\n")], "head").await;
        repo.point("refs/pull/3/head", &head).await;
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&repo, folder.path()).await;
        assert!(!mirror.has_commit(&head).await.unwrap());
        mirror.fetch(&[branch("main"), Want::Pull(3)]).await.unwrap();
        assert_eq!(mirror.tip(&branch("main")).await.unwrap(), Some(base.clone()));
        assert_eq!(mirror.tip(&Want::Pull(3)).await.unwrap(), Some(head.clone()));
        assert_eq!(mirror.tip(&Want::Pull(4)).await.unwrap(), None);
        assert!(mirror.has_commit(&head).await.unwrap());
        assert_eq!(repo.count_of(mirror.path(), "blob").await, 0);

        let Merge::Clean { tree } = mirror.merge_result(&base, &head).await.unwrap() else { panic!("clean") };
        let tree = mirror.objects().tree(tree);
        assert_eq!(tree.file("b", 100).await.unwrap().unwrap(), b"2\n");
        assert_eq!(repo.count_of(mirror.path(), "blob").await, 1, "the one that was read");

        let wanted: Vec<_> = tree.folder("").await.unwrap().unwrap().iter().map(|entry| entry.id.clone()).collect();
        mirror.fetch_blobs(&wanted).await.unwrap();
        assert_eq!(repo.count_of(mirror.path(), "blob").await, 3);
        repo.destroy().await;
        mirror.fetch_blobs(&wanted).await.unwrap();
        assert_eq!(tree.file("a", 100).await.unwrap().unwrap(), b"1\n");
    }

    #[tokio::test]
    async fn what_the_remote_no_longer_has_is_gone_and_a_remote_that_is_away_is_tried_again() {
        let repo = Scratch::new().await;
        let old = repo.commit("main", &[("a", "1\n")], "old").await;
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&repo, folder.path()).await;
        assert_eq!(mirror.fetch(&[branch("gone")]).await.unwrap_err().fate(), Fate::Gone);
        let collected = Want::Commit("1".repeat(40).parse().unwrap());
        assert_eq!(mirror.fetch(&[collected]).await.unwrap_err().fate(), Fate::Gone);
        mirror.fetch(&[branch("main"), Want::Commit(old)]).await.unwrap();
        repo.point("refs/heads/main/sub", &repo.orphan().await).await;
        mirror.fetch(&[branch("main/sub")]).await.unwrap();

        let git = Program::find(Path::new("git")).await.unwrap();
        let away = Remote::of_forge("http://127.0.0.1:1/x.git", "http://127.0.0.1:1", None).unwrap();
        let away = Mirror::open(&git, folder.path(), &key(), &away).await.unwrap();
        assert_eq!(away.fetch(&[branch("main")]).await.unwrap_err().fate(), Fate::Retry);
    }

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

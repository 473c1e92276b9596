//! Reading objects: one `git cat-file` process answers for as many as are asked, so that reading a tree of a thousand
//! folders starts one program and not a thousand.
//!
//! Folders are read as tree objects, level by level from the root. Nothing is checked out: a symlink is an entry of its
//! own kind, never followed, and a path is a sequence of names that were found, never a string given to a file system.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::Mutex;

use super::program::{Group, broken, spawn};
use super::store::object_id;
use super::{Bounds, GitError, Reach, Store};
use crate::ids::{CommitId, EntryKind};

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name; bytes that are not UTF-8 are replaced, so such an entry cannot be named in a path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its object.
    pub id: CommitId,
}

/// The largest tree object read: a folder of some 250,000 entries.
const FOLDER: u64 = 16 << 20;
/// Folders kept in memory, by number of entries; then all are forgotten and read again when asked for.
const KEEP: usize = 200_000;
/// Files of up to this many bytes are kept in memory: many environments read the same base.
const SMALL: usize = 64 << 10;
/// Bytes of files kept; then all are forgotten.
const KEEP_BYTES: usize = 16 << 20;
const DOING: &str = "read an object";

/// A reader of a store's objects. Cheap to clone; clones share the process.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Store,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    process: Option<Process>,
    folders: HashMap<CommitId, Arc<Vec<Entry>>>,
    kept: usize,
    files: HashMap<CommitId, Vec<u8>>,
    kept_bytes: usize,
}

#[derive(Debug)]
struct Process {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    _group: Group,
    _child: Child,
}

impl Objects {
    pub(super) fn new(store: Store) -> Self {
        Self { store, state: Arc::default() }
    }

    /// The files of one commit's (or tree's) root.
    pub fn tree(&self, root: CommitId) -> Tree {
        Tree { objects: self.clone(), root }
    }

    /// The content of a blob.
    ///
    /// # Errors
    /// [`GitError::TooLarge`] above `limit` bytes, without reading it; [`GitError::Gone`] when there is no such object.
    pub async fn blob(&self, id: &CommitId, limit: u64) -> Result<Vec<u8>, GitError> {
        let mut state = self.state.lock().await;
        if let Some(known) = state.files.get(id).filter(|known| known.len() as u64 <= limit) {
            return Ok(known.clone());
        }
        let (kind, content) = self.object(&mut state, id, limit).await?;
        if kind != "blob" {
            return Err(not_a("file", id, &kind));
        }
        if content.len() <= SMALL {
            if state.kept_bytes + content.len() > KEEP_BYTES {
                state.files.clear();
                state.kept_bytes = 0;
            }
            state.kept_bytes += content.len();
            state.files.insert(id.clone(), content.clone());
        }
        Ok(content)
    }

    /// The entries of a tree object, in Git's order.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn folder(&self, id: &CommitId) -> Result<Arc<Vec<Entry>>, GitError> {
        let mut state = self.state.lock().await;
        if let Some(known) = state.folders.get(id) {
            return Ok(known.clone());
        }
        let (kind, content) = self.object(&mut state, id, FOLDER).await?;
        if kind != "tree" {
            return Err(not_a("folder", id, &kind));
        }
        let entries = Arc::new(entries(&content, id.as_str().len() / 2)?);
        if state.kept + entries.len() > KEEP {
            state.folders.clear();
            state.kept = 0;
        }
        state.kept += entries.len();
        state.folders.insert(id.clone(), entries.clone());
        Ok(entries)
    }

    /// Asks for one object within the time of one question. After any error the process is not used again: an answer
    /// may be left half read.
    async fn object(&self, state: &mut State, id: &CommitId, limit: u64) -> Result<(String, Vec<u8>), GitError> {
        let mut process = match state.process.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let asked = tokio::time::timeout(Bounds::ASK.time, process.ask(id, limit)).await;
        let answer = asked.map_err(|_| GitError::TimedOut { doing: DOING, limit: Bounds::ASK.time })??;
        state.process = Some(process);
        answer
    }

    fn start(&self) -> Result<Process, GitError> {
        let mut command = self.store.git.command(&self.store.at, &self.store.environment);
        command.args(["cat-file", "--batch-command"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn(DOING, &mut command, Bounds::ASK)?;
        let group = Group::of(&child);
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(GitError::Broken { doing: DOING, detail: "it has no pipes".to_owned() });
        };
        Ok(Process { to, from: BufReader::new(from), _group: group, _child: child })
    }
}

impl Process {
    /// The outer error leaves the process unusable; the inner one is an answer.
    async fn ask(&mut self, id: &CommitId, limit: u64) -> Result<Result<(String, Vec<u8>), GitError>, GitError> {
        let (kind, size) = match self.question("info", id).await? {
            Ok(header) => header,
            Err(absent) => return Ok(Err(absent)),
        };
        if size > limit {
            return Ok(Err(GitError::TooLarge { what: format!("object {}", id.short()), limit }));
        }
        if let Err(absent) = self.question("contents", id).await? {
            return Ok(Err(absent));
        }
        let ended = |error: std::io::Error| GitError::Unreachable { doing: DOING, detail: error.to_string() };
        let mut content = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.from.read_exact(&mut content).await.map_err(ended)?;
        self.from.read_u8().await.map_err(ended)?;
        Ok(Ok((kind, content)))
    }

    async fn question(&mut self, verb: &str, id: &CommitId) -> Result<Result<(String, u64), GitError>, GitError> {
        self.to.write_all(format!("{verb} {id}\n").as_bytes()).await.map_err(|error| broken(DOING, &error))?;
        self.to.flush().await.map_err(|error| broken(DOING, &error))?;
        let mut line = String::new();
        self.from.read_line(&mut line).await.map_err(|error| broken(DOING, &error))?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "missing"] => Ok(Err(GitError::Gone { doing: DOING, detail: format!("{} is missing", id.short()) })),
            [_, kind, size] => match size.parse() {
                Ok(size) => Ok(Ok((kind.to_owned(), size))),
                Err(_) => Err(GitError::Broken { doing: DOING, detail: "unexpected answer".to_owned() }),
            },
            // It ends without a word when a file that is only on the remote cannot be had.
            _ => Err(GitError::Unreachable { doing: DOING, detail: format!("{} could not be had", id.short()) }),
        }
    }
}

/// The entry of this name. Git keeps a folder sorted, folders as if their names ended with a slash; a name that is not UTF-8
/// is not where we would look for it, so that only a look at all entries tells that there is none.
fn named<'f>(folder: &'f [Entry], name: &str) -> Option<&'f Entry> {
    fn sorted(name: &str, is_folder: bool) -> impl Iterator<Item = u8> {
        name.bytes().chain(is_folder.then_some(b'/'))
    }
    let sought = |is_folder: bool| {
        let is_folder_there = |one: &Entry| one.kind == EntryKind::Folder;
        let at = folder.binary_search_by(|one| sorted(&one.name, is_folder_there(one)).cmp(sorted(name, is_folder)));
        at.ok().and_then(|at| folder.get(at)).filter(|entry| entry.name == name)
    };
    sought(true).or_else(|| sought(false)).or_else(|| folder.iter().find(|entry| entry.name == name))
}

fn not_a(what: &'static str, id: &CommitId, kind: &str) -> GitError {
    GitError::Broken { doing: DOING, detail: format!("{} is a {kind}, not a {what}", id.short()) }
}

/// A tree object: `mode SP name NUL id`, again and again.
fn entries(mut from: &[u8], id_bytes: usize) -> Result<Vec<Entry>, GitError> {
    let malformed = || GitError::Broken { doing: "read a folder", detail: "the tree object is malformed".to_owned() };
    let mut entries = Vec::new();
    while !from.is_empty() {
        let space = from.iter().position(|b| *b == b' ').ok_or_else(malformed)?;
        let (mode, rest) = (from.get(..space).unwrap_or_default(), from.get(space + 1..).unwrap_or_default());
        let end = rest.iter().position(|b| *b == 0).ok_or_else(malformed)?;
        let name = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        let id = rest.get(end + 1..end + 1 + id_bytes).ok_or_else(malformed)?;
        let kind = match mode {
            b"40000" | b"040000" => EntryKind::Folder,
            b"120000" => EntryKind::Symlink,
            b"160000" => EntryKind::Submodule,
            _ => EntryKind::File,
        };
        entries.push(Entry { name, kind, id: object_id("read a folder", &hex::encode(id))? });
        from = rest.get(end + 1 + id_bytes..).unwrap_or_default();
    }
    Ok(entries)
}

/// The files of one tree.
#[derive(Debug, Clone)]
pub struct Tree {
    objects: Objects,
    root: CommitId,
}

impl Tree {
    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The tree's own id.
    pub fn id(&self) -> &CommitId {
        &self.root
    }

    /// What is at `path` (no leading or trailing slash; empty is the root). `None`: nothing, or something below a file.
    /// `..` is a name like any other and never found.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn entry(&self, path: &str) -> Result<Option<Entry>, GitError> {
        let mut at = Entry { name: String::new(), kind: EntryKind::Folder, id: self.root.clone() };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if at.kind != EntryKind::Folder {
                return Ok(None);
            }
            let folder = self.objects.folder(&at.id).await?;
            match named(&folder, name) {
                Some(entry) => at = entry.clone(),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The entries of the folder at `path`; `None` when there is no folder.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn folder(&self, path: &str) -> Result<Option<Arc<Vec<Entry>>>, GitError> {
        match self.entry(path).await? {
            Some(entry) if entry.kind == EntryKind::Folder => self.objects.folder(&entry.id).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The content of the file at `path`; `None` when there is no file.
    ///
    /// # Errors
    /// [`GitError::TooLarge`] above `limit` bytes.
    pub async fn file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        match self.entry(path).await? {
            Some(entry) if entry.kind == EntryKind::File => match self.objects.blob(&entry.id, limit).await {
                Err(GitError::TooLarge { limit, .. }) => Err(GitError::TooLarge { what: path.to_owned(), limit }),
                other => other.map(Some),
            },
            _ => Ok(None),
        }
    }

    /// The files below `path`, at most `most` of them and in as many folders, that `keep` wants by name; links and submodules are left out.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn files_below(
        &self,
        path: &str,
        most: usize,
        keep: impl Fn(&str) -> bool,
    ) -> Result<Vec<CommitId>, GitError> {
        let mut found = Vec::new();
        // What is missed is only fetched later.
        let roots = BTreeSet::from([path.to_owned()]);
        let reach = Reach { folders: most, deepest: usize::MAX };
        let walked = self.walk(&roots, reach, |_, entry| {
            if entry.kind == EntryKind::File && keep(&entry.name) {
                found.push(entry.id.clone());
            }
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match walked.await {
            Ok(()) | Err(GitError::TooMany { .. }) => Ok(found),
            Err(error) => Err(error),
        }
    }

    /// The content of an entry found in this tree.
    ///
    /// # Errors
    /// As [`Objects::blob`].
    pub async fn blob(&self, id: &CommitId, limit: u64) -> Result<Vec<u8>, GitError> {
        self.objects.blob(id, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Fate;
    use crate::git::scratch::Scratch;

    #[tokio::test]
    async fn a_tree_is_read_by_names_found_and_never_by_following() {
        let repo = Scratch::new().await;
        repo.commit("main", &[("a/b/c.yaml", "c: 1\n"), ("a/d", "d"), ("top", "t")], "files").await;
        let commit = repo.symlink("main", "a/link", "../../../etc/passwd").await;
        let store = repo.store().await;
        let tree = store.objects().tree(store.tree_of(&commit).await.unwrap());
        assert_eq!(tree.file("a/b/c.yaml", 100).await.unwrap().unwrap(), b"c: 1\n");
        assert_eq!(tree.file("a/link", 100).await.unwrap(), None);
        assert_eq!(tree.entry("a/link").await.unwrap().unwrap().kind, EntryKind::Symlink);
        assert_eq!(tree.entry("a/../top").await.unwrap(), None);
        assert_eq!(tree.entry("top/x").await.unwrap(), None);
        assert_eq!(tree.file("a", 100).await.unwrap(), None);
        let names: Vec<String> = tree.folder("a").await.unwrap().unwrap().iter().map(|e| e.name.clone()).collect();
        assert_eq!(names, ["b", "d", "link"]);
        assert!(tree.folder("").await.unwrap().is_some());
        assert!(tree.folder("nowhere").await.unwrap().is_none());
    }

    #[test]
    fn an_entry_is_found_wherever_git_sorts_it() {
        let entry = |name: &str, kind| Entry { name: name.to_owned(), kind, id: "1".repeat(40).parse().unwrap() };
        let (file, folder) = (EntryKind::File, EntryKind::Folder);
        // As Git has them: `a.b` before the folder `a`, and what is not UTF-8 where its bytes are.
        let all = [
            ("a-b", file),
            ("a.b", file),
            ("a", folder),
            ("a0", file),
            ("b", file),
            ("b.c", folder),
            ("\u{fffd}x", file),
            ("z", file),
        ];
        let entries: Vec<Entry> = all.iter().map(|(name, kind)| entry(name, *kind)).collect();
        for (name, kind) in all {
            assert_eq!(named(&entries, name).map(|found| found.kind), Some(kind), "{name}");
        }
        let odd = [entry("\u{fffd}", file), entry("a", file), entry("b", folder), entry("\u{fffd}", file)];
        assert!(["a", "b"].iter().all(|name| named(&odd, name).is_some()));
        assert!(["", "c", "a/", "aa"].iter().all(|name| named(&entries, name).is_none()));
    }

    #[tokio::test]
    async fn a_large_file_is_not_read_and_the_reader_goes_on() {
        let repo = Scratch::new().await;
        let commit = repo.commit("main", &[("big", &"x".repeat(5000)), ("small", "s")], "files").await;
        let store = repo.store().await;
        let tree = store.objects().tree(store.tree_of(&commit).await.unwrap());
        let error = tree.file("big", 1000).await.unwrap_err();
        insta::assert_snapshot!(error, @"big is larger than 1000 bytes");
        assert_eq!(tree.file("small", 1000).await.unwrap().unwrap(), b"s");
        let absent = tree.blob(&"1".repeat(40).parse().unwrap(), 10).await.unwrap_err();
        assert_eq!(absent.fate(), Fate::Gone);
        assert_eq!(tree.file("small", 1000).await.unwrap().unwrap(), b"s");
    }
}

//! What a render would read, found without rendering.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest as _, Sha256};

use super::files::{Entry, Files, FilesError};
use super::paths::{folder_of, within};
use super::words::Words;
use super::{Limits, RenderError, RenderInput, chart, kustomize, plain};
use crate::ids::EntryKind;
use crate::manifest::Dialect;

/// The names kustomize knows its file by.
pub const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// The name helm knows a chart by.
pub(super) const CHART: &str = "Chart.yaml";

/// A hash of everything a render depends on: the renderer, its version and arguments, and the content it reads. Equal
/// hashes give equal renders.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputHash(pub [u8; 32]);

impl fmt::Display for InputHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for InputHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "InputHash({self})")
    }
}

/// What a render of one folder at one commit would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// What renders it.
    pub kind: Dialect,
    /// File → the id of its content. Exactly these are given to the renderer.
    pub reads: BTreeMap<String, String>,
    /// Paths whose appearing would change what is read: files looked for and not found, folders read as a whole.
    pub looked: BTreeSet<String>,
    /// Everything the result depends on.
    pub input_hash: InputHash,
    /// Whether it depends on what the target's cluster is, too.
    pub asks_cluster: bool,
    /// Whether it may be something else the next time.
    pub(super) is_unsteady: bool,
}

impl Closure {
    /// The same, of an input that says more of the cluster.
    pub(super) fn hashed(&self, version: &str, input: &RenderInput) -> InputHash {
        hash(self.kind, version, input, &self.reads)
    }

    /// Whether changes of these paths can change what is read. `false` is certain: the closure after them is this one.
    /// `true` means that it has to be computed again, and compared.
    pub fn touched_by<'p>(&self, changed: impl IntoIterator<Item = &'p str>) -> bool {
        changed.into_iter().any(|path| self.touched_by_one(path))
    }

    fn touched_by_one(&self, path: &str) -> bool {
        let mut above = Some(path);
        while let Some(at) = above {
            if self.looked.contains(at) || self.reads.contains_key(at) {
                return true;
            }
            above = at.rsplit_once('/').map(|(folder, _)| folder);
        }
        // A file where a folder was looked into, or read from.
        let below = format!("{path}/");
        let first = |at: Option<&String>| at.is_some_and(|at| at.starts_with(&below));
        self.looked.contains("")
            || first(self.looked.range(below.clone()..).next())
            || first(self.reads.range(below.clone()..).next().map(|(path, _)| path))
    }
}

/// Finds out what renders a folder and what that reads. `version` is of the renderer that would be used, as it goes
/// into the hash.
pub(super) async fn closure<F: Files>(
    files: &F,
    input: &RenderInput,
    limits: &Limits,
    version: impl Fn(Dialect) -> String,
) -> Result<Closure, RenderError> {
    let mut reading = Reading::new(files, limits);
    let kind = reading.kind_of(input).await?;
    let version = version(kind);
    match kind {
        Dialect::Plain => plain::read(&mut reading, &input.path).await?,
        Dialect::Kustomize => kustomize::read(&mut reading, &input.path).await?,
        Dialect::Helm => chart::read(&mut reading, input).await?,
    }
    let Reading { reads, looked, words: Words { asks_cluster, is_unsteady, .. }, .. } = reading;
    let input_hash = hash(kind, &version, input, &reads);
    Ok(Closure { kind, reads, looked, input_hash, asks_cluster, is_unsteady })
}

fn hash(kind: Dialect, version: &str, input: &RenderInput, reads: &BTreeMap<String, String>) -> InputHash {
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    // The version of this format and of how renderers are called.
    add("render 2");
    add(version);
    add(&input.path);
    if kind == Dialect::Helm {
        // Where the chart does not ask, there is nothing to add: helm is told nothing either.
        if let Some(cluster) = &input.cluster {
            add(&cluster.words().count().to_string());
            cluster.words().for_each(&mut add);
        }
        add(&input.release);
        add(&input.namespace);
        for file in input.values() {
            add(file);
        }
    }
    for (path, id) in reads {
        add(path);
        add(id);
    }
    InputHash(hasher.finalize().into())
}

/// Collects what is read, and refuses what must not be.
pub(super) struct Reading<'f, F> {
    files: &'f F,
    pub(super) limits: &'f Limits,
    reads: BTreeMap<String, String>,
    looked: BTreeSet<String>,
    bytes: u64,
    /// What a chart's text says.
    pub(super) words: Words,
}

impl<'f, F: Files> Reading<'f, F> {
    fn new(files: &'f F, limits: &'f Limits) -> Self {
        Self { files, limits, reads: BTreeMap::new(), looked: BTreeSet::new(), bytes: 0, words: Words::default() }
    }

    async fn kind_of(&mut self, input: &RenderInput) -> Result<Dialect, RenderError> {
        let path = &input.path;
        let names = match self.entry(path, path).await? {
            Some(entry) if entry.kind == EntryKind::Folder => self.folder(path).await?,
            Some(_) | None => return Err(RenderError::Absent { path: path.clone() }),
        };
        let has = |name: &str| names.iter().any(|entry| entry.name == name);
        let found = |name: &&str| has(name);
        let kustomizations = KUSTOMIZATIONS.iter().filter(|name| found(name)).count();
        let chart = has(CHART);
        for name in KUSTOMIZATIONS.iter().chain([&CHART]).filter(|name| !has(name)) {
            self.looked.insert(within(path, name));
        }
        match (&input.helm, chart, kustomizations) {
            (_, _, 2..) => Err(RenderError::refused(path, "it holds more than one kustomization file")),
            (Some(_), true, _) | (None, true, 0) => Ok(Dialect::Helm),
            (Some(_), false, _) => {
                Err(RenderError::refused(path, format!("the environment has a `helm:` block, and there is no {CHART}")))
            }
            (None, _, 1) => Ok(Dialect::Kustomize),
            (None, false, _) => Ok(Dialect::Plain),
        }
    }

    /// What is at a path, which `by` names. A symbolic link or submodule on the way is refused.
    pub(super) async fn entry(&mut self, by: &str, path: &str) -> Result<Option<Entry>, RenderError> {
        let found = self.files.entry(path).await?;
        let Some(entry) = found else {
            // Nothing, or something behind a link: say which.
            let mut above = folder_of(path);
            while !above.is_empty() {
                if let Some(entry) = self.files.entry(above).await? {
                    refuse_kind(by, above, &entry)?;
                    break;
                }
                above = folder_of(above);
            }
            self.looked.insert(path.to_owned());
            return Ok(None);
        };
        refuse_kind(by, path, &entry)?;
        Ok(Some(entry))
    }

    /// The entries of a folder. Which of them are read is the caller's to say: the folder itself is not watched.
    pub(super) async fn folder(&self, path: &str) -> Result<Vec<Entry>, RenderError> {
        Ok(self.files.folder(path).await?.unwrap_or_default())
    }

    /// Reads a file that has to be there.
    pub(super) async fn file(&mut self, by: &str, path: &str) -> Result<(), RenderError> {
        match self.entry(by, path).await? {
            Some(entry) if entry.kind == EntryKind::File => self.take(path, entry.id),
            Some(_) => Err(RenderError::refused(by, format!("`{path}` is a folder, where a file is needed"))),
            None => Err(RenderError::Missing { by: by.to_owned(), missing: path.to_owned() }),
        }
    }

    /// Adds a file that was found.
    pub(super) fn take(&mut self, path: &str, id: String) -> Result<(), RenderError> {
        self.reads.insert(path.to_owned(), id);
        if self.reads.len() > self.limits.files {
            return Err(RenderError::TooMuch {
                what: "the number of files it reads".to_owned(),
                limit: self.limits.files.to_string(),
            });
        }
        Ok(())
    }

    /// Reads every file below a folder that `keep` wants (by path), watching the folder.
    pub(super) async fn below(
        &mut self,
        folder: &str,
        keep: impl Fn(&str, &Entry) -> bool,
    ) -> Result<Vec<String>, RenderError> {
        self.looked.insert(folder.to_owned());
        let mut found = Vec::new();
        let mut folders = vec![(folder.to_owned(), 0)];
        let mut visited = 0;
        while let Some((at, depth)) = folders.pop() {
            visited += 1;
            // Folders may have no file to be counted: one of Git's, in a thousand places, in a thousand places each.
            if visited > self.limits.files {
                return Err(RenderError::TooMuch {
                    what: format!("the number of folders below `{folder}`"),
                    limit: self.limits.files.to_string(),
                });
            }
            if depth > self.limits.depth {
                return Err(RenderError::TooMuch {
                    what: format!("the depth of `{folder}`"),
                    limit: format!("{} folders", self.limits.depth),
                });
            }
            for entry in self.folder(&at).await? {
                let path = within(&at, &entry.name);
                if !keep(&path, &entry) {
                    continue;
                }
                refuse_kind(&path, &path, &entry)?;
                match entry.kind {
                    EntryKind::Folder => folders.push((path, depth + 1)),
                    EntryKind::File | EntryKind::Symlink | EntryKind::Submodule => {
                        self.take(&path, entry.id)?;
                        found.push(path);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The content of a file that was added.
    pub(super) async fn content(&mut self, path: &str) -> Result<Vec<u8>, RenderError> {
        let id = self.reads.get(path).cloned().unwrap_or_default();
        let content = read_one(self.files, path, &id, self.limits).await?;
        self.bytes += content.len() as u64;
        if self.bytes > self.limits.bytes {
            return Err(too_many_bytes(self.limits));
        }
        Ok(content)
    }

    /// Says that these files will be read next.
    pub(super) async fn expect(&self, paths: &[String]) -> Result<(), RenderError> {
        let ids: Vec<String> = paths.iter().filter_map(|path| self.reads.get(path).cloned()).collect();
        Ok(self.files.expect(&ids).await?)
    }

    /// A path that was looked for and does not matter unless it appears.
    pub(super) fn look(&mut self, path: &str) {
        self.looked.insert(path.to_owned());
    }
}

pub(super) fn too_many_bytes(limits: &Limits) -> RenderError {
    let limit = format!("{} MiB", limits.bytes >> 20);
    RenderError::TooMuch { what: "the size of all files it reads".to_owned(), limit }
}

/// Reads one file, naming it when it is too large.
pub(super) async fn read_one<F: Files>(
    files: &F,
    path: &str,
    id: &str,
    limits: &Limits,
) -> Result<Vec<u8>, RenderError> {
    files.read(id, limits.file_bytes).await.map_err(|error| match error {
        FilesError::TooLarge => RenderError::TooMuch {
            what: format!("the size of `{path}`"),
            limit: format!("{} MiB a file", limits.file_bytes >> 20),
        },
        FilesError::Store(_) => RenderError::Files(error),
    })
}

fn refuse_kind(by: &str, path: &str, entry: &Entry) -> Result<(), RenderError> {
    let what = if by == path { "it".to_owned() } else { format!("`{path}`") };
    match entry.kind {
        EntryKind::File | EntryKind::Folder => Ok(()),
        EntryKind::Symlink => {
            let why = format!("{what} is a symbolic link; links are never followed, put the file itself there");
            Err(RenderError::refused(by, why))
        }
        EntryKind::Submodule => {
            Err(RenderError::refused(by, format!("{what} is a submodule; other repositories are never fetched")))
        }
    }
}

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;

//! A chart that is not in the repository, laid beside the repository's files while it is rendered.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::closure::CHART;
use super::files::{Entry, Files, FilesError};
use super::paths::within;
use super::yaml::mapping;
use super::{Limits, RenderError, archive};
use crate::ids::EntryKind;
use crate::policy::chart::{Chart, FOLDER, is_same_version};

/// The files of an unpacked chart, each with what names its content.
#[derive(Debug)]
pub struct Remote {
    folder: String,
    /// Path within it → what names its content.
    files: BTreeMap<String, String>,
    contents: BTreeMap<String, Vec<u8>>,
}

impl Remote {
    /// Unpacks the archive of a chart, which has to be that chart.
    ///
    /// # Errors
    /// [`RenderError`] for an archive that helm should not be given.
    pub fn unpack(chart: &Chart, packed: &[u8], limits: &Limits) -> Result<Self, RenderError> {
        let file = chart.to_string();
        let (mut files, mut contents) = (BTreeMap::new(), BTreeMap::new());
        let mut top: Option<String> = None;
        for (path, content) in archive::files(&file, packed, limits)? {
            let Some((first, rest)) = path.split_once('/') else {
                return Err(RenderError::refused(&file, "the archive holds a file beside the chart's folder"));
            };
            if top.get_or_insert_with(|| first.to_owned()) != first {
                return Err(RenderError::refused(&file, "the archive holds more than one folder"));
            }
            let id = hex::encode(Sha256::digest(&content));
            files.insert(rest.to_owned(), id.clone());
            contents.insert(id, content);
        }
        let Some(described) = files.get(CHART).and_then(|id| contents.get(id)) else {
            return Err(RenderError::refused(&file, format!("the archive holds no {CHART}")));
        };
        let described = mapping(&format!("{file}: {CHART}"), described)?;
        let said = |key: &str| described.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let version = chart.pinned().map_or_else(|| chart.version.clone(), |bound| bound.version);
        if said("name") != chart.name || !is_same_version(said("version"), &version) {
            let is: String = format!("{} {}", said("name"), said("version"));
            let is: String = is.chars().take(120).flat_map(char::escape_debug).collect();
            return Err(RenderError::refused(&file, format!("what has this digest is the chart `{is}`")));
        }
        Ok(Self { folder: chart.folder(), files, contents })
    }

    /// The path within the chart.
    fn inside<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(&self.folder)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// One of a single file, as large as this.
    #[cfg(test)]
    pub(crate) fn of_size(chart: &Chart, size: usize) -> Self {
        let (file, id) = ("values.yaml".to_owned(), size.to_string());
        let (files, contents) = ([(file, id.clone())].into(), [(id, vec![0; size])].into());
        Self { folder: chart.folder(), files, contents }
    }

    /// Bytes of its files.
    pub fn size(&self) -> usize {
        self.contents.values().map(Vec::len).sum()
    }

    fn folder(&self, path: &str) -> Option<Vec<Entry>> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries: BTreeMap<&str, Entry> = BTreeMap::new();
        for (file, id) in self.files.range(prefix.clone()..) {
            let Some(rest) = file.strip_prefix(&prefix) else { break };
            let (name, kind, id) = match rest.split_once('/') {
                Some((folder, _)) => (folder, EntryKind::Folder, String::new()),
                None => (rest, EntryKind::File, id.clone()),
            };
            entries.entry(name).or_insert_with(|| Entry { name: name.to_owned(), kind, id });
        }
        (!entries.is_empty()).then(|| entries.into_values().collect())
    }

    fn entry(&self, path: &str) -> Option<Entry> {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        match self.files.get(path) {
            Some(id) => Some(Entry { name, kind: EntryKind::File, id: id.clone() }),
            None => self.folder(path).map(|_| Entry { name, kind: EntryKind::Folder, id: String::new() }),
        }
    }

    fn content(&self, id: &str) -> Option<&Vec<u8>> {
        self.contents.get(id)
    }
}

/// Files of a repository, and an environment's chart among them where it has one.
#[derive(Debug, Clone)]
pub struct WithChart<F> {
    /// The repository's.
    pub files: F,
    /// The chart.
    pub chart: Option<Arc<Remote>>,
}

/// Where a path leads.
enum Place<'c, 'p> {
    Chart(&'c Remote, &'p str),
    Repository,
    /// Beside the chart: what a repository has there could be taken for one of a registry.
    Nowhere,
}

impl<F> WithChart<F> {
    fn place<'p>(&self, path: &'p str) -> Place<'_, 'p> {
        let Some(chart) = self.chart.as_deref() else { return Place::Repository };
        match chart.inside(path) {
            Some(inside) => Place::Chart(chart, inside),
            None if path.starts_with(&within(FOLDER, "")) => Place::Nowhere,
            None => Place::Repository,
        }
    }
}

impl<F: Files> Files for WithChart<F> {
    async fn entry(&self, path: &str) -> Result<Option<Entry>, FilesError> {
        match self.place(path) {
            Place::Chart(chart, inside) => Ok(chart.entry(inside)),
            Place::Repository => self.files.entry(path).await,
            Place::Nowhere => Ok(None),
        }
    }

    async fn folder(&self, path: &str) -> Result<Option<Vec<Entry>>, FilesError> {
        match self.place(path) {
            Place::Chart(chart, inside) => Ok(chart.folder(inside)),
            Place::Repository => self.files.folder(path).await,
            Place::Nowhere => Ok(None),
        }
    }

    async fn read(&self, id: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        match self.chart.as_ref().and_then(|chart| chart.content(id)) {
            Some(content) if content.len() as u64 > limit => Err(FilesError::TooLarge),
            Some(content) => Ok(content.clone()),
            None => self.files.read(id, limit).await,
        }
    }

    async fn expect(&self, ids: &[String]) -> Result<(), FilesError> {
        let is_here = |id: &&String| self.chart.as_ref().is_some_and(|chart| chart.content(id).is_some());
        let elsewhere: Vec<String> = ids.iter().filter(|id| !is_here(id)).cloned().collect();
        self.files.expect(&elsewhere).await
    }
}

/// A folder as people know it: a chart that came from a registry by its name.
pub(super) fn shown(path: &str) -> String {
    match path.strip_prefix(&within(FOLDER, "")) {
        Some(name) => format!("chart {name}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;

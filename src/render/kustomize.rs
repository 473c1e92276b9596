//! What a kustomization reads, followed by its own fields. What names something we never run or fetch is refused here,
//! before kustomize sees it.
//!
//! A field that is not known here names files that are not in the box: kustomize then says which file it misses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::RenderError;
use super::closure::{KUSTOMIZATIONS, Reading};
use super::files::Files;
use super::paths::{is_remote, join, within};
use super::yaml::{documents, mapping, mappings, strings};
use crate::ids::EntryKind;

/// How the files a kustomization names are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// As manifests.
    Manifests,
    /// As configuration of generators, transformers or validators: kustomize may run what they name.
    Plugins,
}

struct Walk<'r, 'f, F> {
    reading: &'r mut Reading<'f, F>,
    /// Files to look at.
    open: Vec<(String, Use)>,
    /// Folders that were entered.
    seen: BTreeSet<(String, Use)>,
    /// The folders that a folder's kustomization names.
    names: BTreeMap<String, BTreeSet<String>>,
    /// The kustomization of each folder.
    files: BTreeMap<String, String>,
}

pub(super) async fn read<F: Files>(reading: &mut Reading<'_, F>, path: &str) -> Result<(), RenderError> {
    let limit = reading.limits.kustomizations;
    let (names, files) = (BTreeMap::new(), BTreeMap::new());
    let mut walk = Walk { reading, open: Vec::new(), seen: BTreeSet::new(), names, files };
    walk.enter(path, path, Use::Manifests).await?;
    // Level by level, so that what is far away is fetched once a level.
    while !walk.open.is_empty() {
        let level = std::mem::take(&mut walk.open);
        let files: Vec<String> = level.iter().map(|(file, _)| file.clone()).collect();
        walk.reading.expect(&files).await?;
        for (file, used) in level {
            if walk.seen.len() > limit {
                let what = "the number of kustomizations it is made of".to_owned();
                return Err(RenderError::TooMuch { what, limit: limit.to_string() });
            }
            walk.kustomization(&file, used).await?;
        }
    }
    match circle(walk.names) {
        Some(way) => {
            let file = way.first().and_then(|folder| walk.files.get(folder)).map_or(path, String::as_str);
            Err(RenderError::refused(file, format!("what it names leads back to it: `{}`", way.join("` → `"))))
        }
        None => Ok(()),
    }
}

/// The way from a folder back to itself, where there is one. Folders from which every way ends are taken away; from what is
/// left, one can go on for ever.
fn circle(mut names: BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    loop {
        let ends = |to: &String| names.get(to).is_none_or(BTreeSet::is_empty);
        let (done, left): (Vec<String>, Vec<String>) = names.keys().cloned().partition(ends);
        if done.is_empty() {
            let mut way = vec![left.first()?.clone()];
            loop {
                let next = names.get(way.last()?)?.first()?.clone();
                if let Some(begin) = way.iter().position(|folder| *folder == next) {
                    way.drain(..begin);
                    way.push(next);
                    return Some(way);
                }
                way.push(next);
            }
        }
        for folder in &done {
            names.remove(folder);
        }
        for to in names.values_mut() {
            to.retain(|folder| left.contains(folder));
        }
    }
}

impl<F: Files> Walk<'_, '_, F> {
    /// Notes a folder with a kustomization.
    async fn enter(&mut self, by: &str, folder: &str, used: Use) -> Result<(), RenderError> {
        if !self.seen.insert((folder.to_owned(), used)) {
            return Ok(());
        }
        let mut found = None;
        for name in KUSTOMIZATIONS {
            let path = within(folder, name);
            match self.reading.entry(by, &path).await? {
                Some(_) if found.is_some() => {
                    return Err(RenderError::refused(folder, "it holds more than one kustomization file"));
                }
                Some(entry) if entry.kind == EntryKind::File => {
                    self.reading.take(&path, entry.id)?;
                    found = Some(path);
                }
                Some(_) | None => {}
            }
        }
        match found {
            Some(file) => {
                self.files.insert(folder.to_owned(), file.clone());
                self.open.push((file, used));
                Ok(())
            }
            None => Err(RenderError::refused(
                by,
                format!("it names the folder `{folder}`, which has no kustomization file"),
            )),
        }
    }

    async fn kustomization(&mut self, file: &str, used: Use) -> Result<(), RenderError> {
        let text = self.reading.content(file).await?;
        let map = mapping(file, &text)?;
        for key in ["helmCharts", "helmChartInflationGenerator", "helmGlobals"] {
            if map.contains_key(key) {
                let why =
                    format!("`{key}` lets kustomize fetch and run charts: make the chart an environment of its own");
                return Err(RenderError::refused(file, why));
            }
        }
        for key in ["resources", "bases", "components"] {
            for name in strings(&map, key) {
                self.follow(file, key, name, used).await?;
            }
        }
        for key in ["generators", "transformers", "validators"] {
            for name in strings(&map, key) {
                if name.contains('\n') {
                    self.plugin(file, name.as_bytes()).await?;
                } else {
                    self.follow(file, key, name, Use::Plugins).await?;
                }
            }
        }
        for key in ["crds", "configurations"] {
            for name in strings(&map, key) {
                self.file(file, key, name).await?;
            }
        }
        for name in strings(&map, "patchesStrategicMerge") {
            if !name.contains('\n') {
                self.file(file, "patchesStrategicMerge", name).await?;
            }
        }
        for key in ["patches", "patchesJson6902", "replacements"] {
            for one in mappings(&map, key) {
                self.paths(file, one).await?;
            }
        }
        if let Some(openapi) = map.get("openapi").and_then(Value::as_object) {
            self.paths(file, openapi).await?;
        }
        for key in ["configMapGenerator", "secretGenerator"] {
            for one in mappings(&map, key) {
                self.sources(file, one).await?;
            }
        }
        Ok(())
    }

    /// A name of a manifest, or of a folder with a kustomization.
    async fn follow(&mut self, by: &str, key: &str, name: &str, used: Use) -> Result<(), RenderError> {
        let path = local(by, key, name)?;
        match self.reading.entry(by, &path).await? {
            Some(entry) if entry.kind == EntryKind::Folder => {
                self.names.entry(super::paths::folder_of(by).to_owned()).or_default().insert(path.clone());
                self.enter(by, &path, used).await
            }
            Some(entry) => {
                self.reading.take(&path, entry.id)?;
                if used == Use::Plugins {
                    let text = self.reading.content(&path).await?;
                    self.plugin_at(by, &path, &text).await?;
                }
                Ok(())
            }
            None => Err(RenderError::Missing { by: by.to_owned(), missing: path }),
        }
    }

    async fn file(&mut self, by: &str, key: &str, name: &str) -> Result<(), RenderError> {
        let path = local(by, key, name)?;
        self.reading.file(by, &path).await
    }

    async fn paths(&mut self, by: &str, map: &Map<String, Value>) -> Result<(), RenderError> {
        for key in ["path", "paths"] {
            for name in strings(map, key) {
                self.file(by, key, name).await?;
            }
        }
        Ok(())
    }

    /// `files: [name, key=name]`, `envs: [name]`, `env: name`.
    async fn sources(&mut self, by: &str, map: &Map<String, Value>) -> Result<(), RenderError> {
        for name in strings(map, "files") {
            let name = name.split_once('=').map_or(name, |(_, name)| name);
            self.file(by, "files", name).await?;
        }
        for key in ["envs", "env"] {
            for name in strings(map, key) {
                self.file(by, key, name).await?;
            }
        }
        Ok(())
    }

    async fn plugin(&mut self, by: &str, text: &[u8]) -> Result<(), RenderError> {
        self.plugin_at(by, by, text).await
    }

    /// Configuration of a generator, transformer or validator: only kustomize's own are run. Their files are relative
    /// to the kustomization.
    async fn plugin_at(&mut self, by: &str, file: &str, text: &[u8]) -> Result<(), RenderError> {
        for document in documents(file, text)? {
            let Value::Object(map) = document else { continue };
            let kind = map.get("kind").and_then(Value::as_str).unwrap_or("?");
            let annotations =
                map.get("metadata").and_then(|metadata| metadata.get("annotations")).and_then(Value::as_object);
            let function = annotations.is_some_and(|all| {
                all.keys().any(|key| key == "config.kubernetes.io/function" || key == "config.k8s.io/function")
            });
            if function {
                return Err(RenderError::refused(file, format!("`{kind}` is a KRM function: functions are never run")));
            }
            if map.get("apiVersion").and_then(Value::as_str) != Some("builtin") {
                return Err(RenderError::refused(file, format!("`{kind}` is a plugin: only kustomize's own are run")));
            }
            if kind == "HelmChartInflationGenerator" {
                let why = "it lets kustomize fetch and run charts: make the chart an environment of its own";
                return Err(RenderError::refused(file, why));
            }
            self.paths(by, &map).await?;
            self.sources(by, &map).await?;
            for key in ["patches", "replacements"] {
                for one in mappings(&map, key) {
                    self.paths(by, one).await?;
                }
            }
        }
        Ok(())
    }
}

/// The path from the root of what a kustomization names.
fn local(by: &str, key: &str, name: &str) -> Result<String, RenderError> {
    let printable: String = name.chars().take(120).flat_map(char::escape_debug).collect();
    if is_remote(name) {
        let why = format!(
            "`{key}: {printable}` is on another machine: nothing is fetched while rendering, copy it into the repository"
        );
        return Err(RenderError::refused(by, why));
    }
    join(super::paths::folder_of(by), name)
        .ok_or_else(|| RenderError::refused(by, format!("`{key}: {printable}` is outside the repository")))
}

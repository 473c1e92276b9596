//! What a chart reads: the files helm itself opens, its values files, and its vendored dependencies.
//!
//! A chart can also read any file of its folder, with `.Files`. Only when a template or a values file of the chart or of
//! a dependency says that word are all files of the folder given to it; so another environment's values file beside the
//! chart is, for almost every chart, not read, and provably so: it is not there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::archive;
use super::closure::{CHART, Reading};
use super::files::{Entry, Files};
use super::lookups::{Lookups, Place};
use super::paths::{is_remote, join, within};
use super::remote::shown;
use super::words::Words;
use super::yaml::{mapping, mappings};
use super::{RenderError, RenderInput};
use crate::ids::EntryKind;

/// Files of a chart's folder that helm opens by name.
const OWN: [&str; 6] =
    ["Chart.lock", "values.yaml", "values.schema.json", ".helmignore", "requirements.yaml", "requirements.lock"];
/// Folders of a chart that helm reads as a whole.
const FOLDERS: [&str; 2] = [TEMPLATES, "crds"];
/// Of these the one whose files are templates.
const TEMPLATES: &str = "templates";

pub(super) async fn read<F: Files>(reading: &mut Reading<'_, F>, input: &RenderInput) -> Result<(), RenderError> {
    let values = values(input)?;
    for path in &values {
        reading.file("the environment's `helm.values`", path).await?;
    }
    let mut charts = Charts::default();
    charts.open.push(input.path.clone());
    while let Some(folder) = charts.open.pop() {
        if folder.matches('/').count() > input.path.matches('/').count() + reading.limits.depth {
            let limit = format!("{} folders", reading.limits.depth);
            return Err(RenderError::TooMuch { what: format!("the depth of `{}`", input.path), limit });
        }
        charts.chart(reading, &folder).await?;
    }
    let mut scanned = charts.scanned.clone();
    scanned.extend(values);
    reading.expect(&scanned).await?;
    let mut words = charts.words;
    let mut lookups = charts.lookups;
    for path in &scanned {
        let text = reading.content(path).await?;
        words.read(&text);
        lookups.read(path, &text);
    }
    if let Some(Place { file, line }) = lookups.used() {
        let why = "`lookup` asks the cluster, and rendering asks none, since what is consented to must not depend on what was \
                   there at that moment: give the chart what it looks for as a value";
        return Err(RenderError::refused(&format!("{}:{line}", shown(file)), why));
    }
    reading.words = words.settled();
    if words.reaches {
        for folder in &charts.folders {
            let dependencies = within(folder, "charts");
            reading.below(folder, |path, _: &Entry| path != dependencies).await?;
        }
    }
    Ok(())
}

/// The values files, from the root.
pub(super) fn values(input: &RenderInput) -> Result<Vec<String>, RenderError> {
    let by = "the environment's `helm.values`";
    let resolve = |name: &String| {
        let printable: String = name.chars().take(120).flat_map(char::escape_debug).collect();
        if is_remote(name) || name.contains("://") {
            return Err(RenderError::refused(
                by,
                format!("`{printable}` is on another machine: nothing is fetched while rendering"),
            ));
        }
        // helm splits its argument at commas, and reads `-` from its input.
        if name.contains([',', '"']) {
            return Err(RenderError::refused(by, format!("`{printable}` has a comma or quote in its name")));
        }
        let path = match name.strip_prefix('/') {
            Some(from_root) => join("", from_root),
            None => join(&input.path, name),
        };
        path.filter(|path| !path.is_empty())
            .ok_or_else(|| RenderError::refused(by, format!("`{printable}` is outside the repository")))
    };
    input.values().iter().map(resolve).collect()
}

#[derive(Default)]
struct Charts {
    /// Folders to look at.
    open: Vec<String>,
    /// Folders of charts.
    folders: Vec<String>,
    /// Files that are templates, or may be made ones.
    scanned: Vec<String>,
    /// What is said besides.
    words: Words,
    /// What is looked for in the cluster, besides.
    lookups: Lookups,
}

impl Charts {
    async fn chart<F: Files>(&mut self, reading: &mut Reading<'_, F>, folder: &str) -> Result<(), RenderError> {
        let file = within(folder, CHART);
        reading.file(folder, &file).await?;
        let map = mapping(&file, &reading.content(&file).await?)?;
        let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(RenderError::refused(
                &file,
                "the chart's `name` is missing, or not letters, digits, `-`, `_` and `.`",
            ));
        }
        self.folders.push(folder.to_owned());
        // helm compares it with the cluster's.
        self.words.asks_cluster |= map.contains_key("kubeVersion");
        let mut needed = dependencies(&map);
        for own in OWN {
            let path = within(folder, own);
            let Some(entry) = reading.entry(&file, &path).await? else { continue };
            if entry.kind != EntryKind::File {
                continue;
            }
            reading.take(&path, entry.id)?;
            match own {
                "values.yaml" => self.scanned.push(path),
                "values.schema.json" => archive::check_schema(&path, &reading.content(&path).await?)?,
                "requirements.yaml" => {
                    let text = reading.content(&path).await?;
                    needed.extend(dependencies(&mapping(&path, &text)?));
                }
                _ => {}
            }
        }
        for name in FOLDERS {
            let path = within(folder, name);
            let found = reading.below(&path, |_, _: &Entry| true).await?;
            if name == TEMPLATES {
                self.scanned.extend(found);
            }
        }
        let vendored = self.vendored(reading, folder).await?;
        match needed.iter().find(|name| !vendored.has(name)) {
            None => Ok(()),
            Some(name) => {
                let printable: String = name.chars().take(80).flat_map(char::escape_debug).collect();
                let why = format!(
                    "the dependency `{printable}` is not in `{}`, and nothing is fetched while rendering: run `helm dependency build {folder}` and commit what it writes",
                    within(folder, "charts"),
                );
                Err(RenderError::refused(&file, why))
            }
        }
    }

    async fn vendored<F: Files>(
        &mut self,
        reading: &mut Reading<'_, F>,
        folder: &str,
    ) -> Result<Vendored, RenderError> {
        let charts = within(folder, "charts");
        reading.look(&charts);
        let mut vendored = Vendored::default();
        for entry in reading.folder(&charts).await? {
            let path = within(&charts, &entry.name);
            // As helm does.
            if entry.name.starts_with(['_', '.']) {
                continue;
            }
            // Refuses a link.
            reading.entry(&charts, &path).await?;
            if entry.kind == EntryKind::Folder {
                let file = within(&path, CHART);
                reading.file(&path, &file).await?;
                let map = mapping(&file, &reading.content(&file).await?)?;
                vendored.names.extend(map.get("name").and_then(Value::as_str).map(str::to_owned));
                self.open.push(path);
            } else if entry.name.ends_with(".tgz") {
                reading.take(&path, entry.id)?;
                let packed = reading.content(&path).await?;
                let (words, lookups) = archive::inspect(&path, &packed, reading.limits)?;
                self.words.join(words);
                self.lookups.join(lookups);
                vendored.archives.push(entry.name);
            }
        }
        Ok(vendored)
    }
}

#[derive(Default)]
struct Vendored {
    names: BTreeSet<String>,
    archives: Vec<String>,
}

impl Vendored {
    /// Whether a dependency may be there. helm compares versions; this only has to say what to do when nothing is.
    fn has(&self, name: &str) -> bool {
        let archive = |file: &String| file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
        self.names.contains(name) || self.archives.iter().any(archive)
    }
}

fn dependencies(map: &serde_json::Map<String, Value>) -> Vec<String> {
    let named = |one: &&serde_json::Map<String, Value>| one.get("name").and_then(Value::as_str).map(str::to_owned);
    mappings(map, "dependencies").iter().filter_map(named).collect()
}

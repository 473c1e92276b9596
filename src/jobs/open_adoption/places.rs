//! Where a field is written: in a file that this environment alone reads, else in a patch of its own overlay.

use serde_json::{Map, Value, json};

use super::looked::{Field, Wanted};
use super::proof::{Draft, Ground, RENDERS};
use crate::git::GitError;
use crate::ids::ObjectKey;
use crate::jobs::error::JobError;
use crate::manifest::Dialect;
use crate::manifest::edit::{self, Edit, Step, at, change};
use crate::policy::rules;
use crate::render::KUSTOMIZATIONS;

/// The largest file that is looked into.
const LARGEST: u64 = 4 << 20;
/// Files that are named in one sentence.
const NAMED: usize = 3;

/// A document that is, or patches, an object.
struct Place {
    file: String,
    /// Which of its documents, and the way to the object in it (in a `List`).
    document: usize,
    within: Vec<Step>,
    /// What is written there.
    object: Value,
}

impl Ground<'_> {
    /// A draft with what is wanted of one object; or why it cannot be had.
    pub(super) async fn writes(
        &self,
        draft: &Draft,
        key: &ObjectKey,
        wanted: &Wanted,
    ) -> Result<Result<Draft, String>, JobError> {
        if self.base.closure.kind == Dialect::Helm {
            return Ok(Err(self.of_a_chart(wanted)));
        }
        let Some(mut object) = self.object(key).await? else {
            return Ok(Err(format!("`{}` does not have it any more", self.environment.branch)));
        };
        for field in &wanted.edits {
            if at(&object, &field.edit.path) != at(&wanted.sent, &field.edit.path) {
                let branch = &self.environment.branch;
                return Ok(Err(format!("`{}` has changed in `{branch}` since it was deployed", field.shown)));
            }
        }
        let mut draft = draft.clone();
        for field in &wanted.edits {
            if !change(&mut object, &field.edit) {
                return Ok(Err(format!("`{}` has no place in it", field.shown)));
            }
            let hash = self.repository.context.hash_key.hash(&object);
            draft.hashes.insert(key.clone(), hash);
            match self.writes_field(&draft, key, field).await? {
                Ok(done) => draft = done,
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(draft))
    }

    fn of_a_chart(&self, wanted: &Wanted) -> String {
        let rules::Environment { path, chart, helm, .. } = &self.block;
        let chart = match chart {
            Some(chart) => format!("the chart {chart}"),
            None => format!("the chart in `{path}`"),
        };
        let values: Vec<String> = helm.iter().flat_map(|helm| &helm.values).map(|file| format!("`{file}`")).collect();
        let values =
            if values.is_empty() { "its values".to_owned() } else { format!("its values ({})", values.join(", ")) };
        let fields: Vec<String> = wanted.edits.iter().map(|field| format!("`{}`", field.shown)).collect();
        format!(
            "{chart} makes it, and what made {} cannot be told from what came out: change {values}, or type `/bascule heal {}`",
            fields.join(", "),
            self.environment.name
        )
    }

    async fn writes_field(
        &self,
        draft: &Draft,
        key: &ObjectKey,
        field: &Field,
    ) -> Result<Result<Draft, String>, JobError> {
        let mut why = Vec::new();
        let places = self.places(draft, key).await?;
        let mut shared = Vec::new();
        for place in &places {
            let path: Vec<Step> = place.within.iter().cloned().chain(field.edit.path.clone()).collect();
            if at(&place.object, &field.edit.path).is_none() {
                continue;
            }
            let others = self.others_of(std::slice::from_ref(&place.file)).await?;
            if !others.is_empty() {
                let others: Vec<String> = others.into_iter().take(NAMED).map(|name| format!("`{name}`")).collect();
                shared.push(format!("`{}` is read by {}, too", place.file, others.join(", ")));
                continue;
            }
            let Some(text) = self.text(draft, &place.file).await? else { continue };
            match edit::edit(&text, place.document, &[Edit { path, to: field.edit.to.clone() }]) {
                Ok(new) => match self.tried(draft, &[(place.file.clone(), new)]).await? {
                    Ok(done) => return Ok(Ok(done)),
                    Err(no) => why.push(format!("`{}`: {no}", place.file)),
                },
                Err(no) => why.push(format!("`{}`: {no}", place.file)),
            }
        }
        why.extend(shared);
        if self.base.closure.kind == Dialect::Kustomize {
            match self.patches(draft, key, field, &places).await? {
                Ok(done) => return Ok(Ok(done)),
                Err(no) => why.push(no),
            }
        }
        if why.is_empty() {
            why.push("no file has it as it is".to_owned());
        }
        Ok(Err(format!("`{}` cannot be written: {}", field.shown, why.join("; "))))
    }

    async fn tried(&self, draft: &Draft, files: &[(String, String)]) -> Result<Result<Draft, String>, JobError> {
        let mut next = draft.clone();
        next.files.extend(files.iter().cloned());
        if !self.may_prove() {
            return Ok(Err(format!("an adoption renders {RENDERS} times at most; ask for fewer objects at once")));
        }
        Ok(self.proves(&next).await?.map(|()| next))
    }

    /// A patch of the environment's own overlay, which has the last word there.
    async fn patches(
        &self,
        draft: &Draft,
        key: &ObjectKey,
        field: &Field,
        places: &[Place],
    ) -> Result<Result<Draft, String>, JobError> {
        let within = |name: &str| {
            if self.block.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.block.path) }
        };
        let reads = &self.base.closure.reads;
        let Some(overlay) = KUSTOMIZATIONS.iter().map(|name| within(name)).find(|path| reads.contains_key(path)) else {
            return Ok(Err("the environment has no overlay of its own".to_owned()));
        };
        let others = self.others_of(std::slice::from_ref(&overlay)).await?;
        if let Some(other) = others.first() {
            return Ok(Err(format!("`{overlay}` is read by `{other}`, too")));
        }
        let Some((name, kind)) = self.source_of(key, places) else {
            return Ok(Err("a generator makes it, which no patch is sure to reach".to_owned()));
        };
        let file_name = format!("adopted-{}-{}.yaml", plain(&key.kind), plain(&key.name));
        let file = within(&file_name);
        let patch = patch_of(field);
        let new = match self.text(draft, &file).await? {
            None => {
                let mut all = json!({ "apiVersion": kind, "kind": key.kind, "metadata": name });
                if !change(&mut all, &patch) {
                    return Ok(Err(format!("no patch reaches `{}`", field.shown)));
                }
                let by =
                    format!("# As it was in the cluster: written by `/bascule adopt {}`.\n", self.environment.name);
                by + &edit::text(&all)
            }
            Some(text) => match edit::edit(&text, 0, std::slice::from_ref(&patch)) {
                Ok(new) => new,
                Err(no) => return Ok(Err(format!("`{file}`: {no}"))),
            },
        };
        let mut files = vec![(file, new)];
        let text = self.text(draft, &overlay).await?.unwrap_or_default();
        match listed(&text, &file_name) {
            Ok(Some(with_it)) => files.push((overlay.clone(), with_it)),
            Ok(None) => {}
            Err(no) => return Ok(Err(format!("`{overlay}`: {no}"))),
        }
        Ok(self.tried(draft, &files).await?.map_err(|no| format!("a patch in `{overlay}`: {no}")))
    }

    /// How an object is called before names are changed: its metadata for a patch, and its API version.
    fn source_of(&self, key: &ObjectKey, places: &[Place]) -> Option<(Value, String)> {
        let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let mut all: Vec<(String, Option<String>, String)> = places
            .iter()
            .filter_map(|place| {
                let name = text(&place.object, "/metadata/name")?;
                Some((name, text(&place.object, "/metadata/namespace"), text(&place.object, "/apiVersion")?))
            })
            .collect();
        // The very name, else the one that it was made of.
        if all.iter().any(|(name, ..)| *name == key.name) {
            all.retain(|(name, ..)| *name == key.name);
        }
        // Of several that it may have been made of, the longest is nearest.
        all.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.cmp(other)));
        let (name, namespace, version) = all.into_iter().next()?;
        let mut metadata = Map::from_iter([("name".to_owned(), Value::from(name))]);
        if let Some(namespace) = namespace {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        Some((Value::Object(metadata), version))
    }

    /// Every document of what the render reads that may be the object, or a patch of it. Those of its very name come first; of a patch and
    /// what it patches, the patch has the last word.
    async fn places(&self, draft: &Draft, key: &ObjectKey) -> Result<Vec<Place>, JobError> {
        let mut all = Vec::new();
        let kind = self.base.closure.kind;
        let overlay = format!("{}/", self.block.path);
        let readable = |path: &&String| [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end));
        for file in self.base.closure.reads.keys().filter(readable) {
            let Some(text) = self.text(draft, file).await?.filter(|text| text.contains(&key.kind)) else { continue };
            let Ok(documents) = edit::documents(&text) else { continue };
            for (document, value) in documents.into_iter().enumerate() {
                let items = value.get("items").and_then(Value::as_array).map_or(0, Vec::len);
                let ways = std::iter::once(Vec::new())
                    .chain((0..items).map(|item| vec![Step::Key("items".to_owned()), Step::At(item)]));
                for within in ways {
                    let Some(object) = at(&value, &within).filter(|object| may_be(object, key, kind)) else { continue };
                    let object = object.clone();
                    all.push(Place { file: file.clone(), document, within, object });
                }
            }
        }
        let is_named =
            |place: &Place| place.object.pointer("/metadata/name").and_then(Value::as_str) == Some(&key.name);
        let is_partial = |place: &Place| place.object.pointer("/spec/selector").is_none();
        all.sort_by_key(|place| (!is_named(place), !place.file.starts_with(&overlay), !is_partial(place)));
        Ok(all)
    }

    async fn text(&self, draft: &Draft, file: &str) -> Result<Option<String>, JobError> {
        if let Some(text) = draft.files.get(file) {
            return Ok(Some(text.clone()));
        }
        match self.tree.file(file, LARGEST).await {
            Ok(text) => Ok(text.and_then(|text| String::from_utf8(text).ok())),
            // Nothing is looked for in it.
            Err(GitError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a document may be an object: as it is written, or before names are changed.
fn may_be(object: &Value, key: &ObjectKey, dialect: Dialect) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let group = text("/apiVersion").and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
    let Some(name) = text("/metadata/name").filter(|name| !name.is_empty()) else { return false };
    if text("/kind") != Some(&key.kind) || group != key.group {
        return false;
    }
    match dialect {
        Dialect::Plain | Dialect::Helm => {
            name == key.name
                && text("/metadata/namespace").is_none_or(|namespace| Some(namespace) == key.namespace.as_deref())
        }
        Dialect::Kustomize => key.name.contains(name),
    }
}

/// A field as a strategic merge patch has it.
fn patch_of(field: &Field) -> Edit {
    match (&field.edit.to, field.edit.path.last()) {
        (Some(to), _) => Edit { path: field.edit.path.clone(), to: Some(to.clone()) },
        (None, Some(Step::Item(keys))) => {
            let mut gone = keys.clone();
            gone.insert("$patch".to_owned(), "delete".into());
            Edit { path: field.edit.path.clone(), to: Some(Value::Object(gone)) }
        }
        (None, _) => Edit { path: field.edit.path.clone(), to: Some(Value::Null) },
    }
}

/// A kustomization that lists a patch; `None`: it does.
fn listed(text: &str, file: &str) -> Result<Option<String>, edit::NotEdited> {
    let value = edit::documents(text)?.into_iter().next().unwrap_or_default();
    let patches = value.get("patches").and_then(Value::as_array);
    let is_it = |patch: &Value| {
        patch.get("path").and_then(Value::as_str).is_some_and(|path| path.trim_start_matches("./") == file)
    };
    if patches.is_some_and(|patches| patches.iter().any(is_it)) {
        return Ok(None);
    }
    let patches_key = Step::Key("patches".to_owned());
    let edit = match patches {
        Some(patches) => Edit { path: vec![patches_key, Step::At(patches.len())], to: Some(json!({ "path": file })) },
        None => Edit { path: vec![patches_key], to: Some(json!([{ "path": file }])) },
    };
    edit::edit(text, 0, &[edit]).map(Some)
}

/// A word that is a part of a file's name everywhere.
fn plain(word: &str) -> String {
    word.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c.to_ascii_lowercase() } else { '-' })
        .collect()
}

//! Every file of `tests/cases/render` is the files of a repository and how an environment renders them, and what comes out of
//! the real programs: the objects, or why there are none.
//!
//! Settings: `path`, `values` (names, with commas), `cluster` (a version and kinds that a chart is told of), `pack: TGZ=FOLDER`
//! (the folder is packed by `helm package`, and only the archive is there), `alone: FOLDER` (each file of it is rendered by
//! itself, beside everything else).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bascule::ids::EntryKind;
use bascule::manifest::{self, Dialect};
use bascule::policy::rules::Helm;
use bascule::render::{Capabilities, Entry, Files, FilesError, Limits, Programs, RenderInput, Renderer};
use sha2::{Digest as _, Sha256};

use crate::cases::{Case, check};
use crate::parts::program;

#[derive(Debug, Clone, Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

fn id(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

impl Files for Memory {
    async fn entry(&self, path: &str) -> Result<Option<Entry>, FilesError> {
        if path.is_empty() {
            return Ok(Some(Entry { name: String::new(), kind: EntryKind::Folder, id: String::new() }));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let entries = self.folder(folder).await?.unwrap_or_default();
        Ok(entries.into_iter().find(|entry| entry.name == name))
    }

    async fn folder(&self, path: &str) -> Result<Option<Vec<Entry>>, FilesError> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries: BTreeMap<&str, Entry> = BTreeMap::new();
        for (file, content) in &self.0 {
            let Some(rest) = file.strip_prefix(&prefix) else { continue };
            let (name, kind) = match rest.split_once('/') {
                Some((folder, _)) => (folder, EntryKind::Folder),
                None => (rest, EntryKind::File),
            };
            entries.entry(name).or_insert_with(|| Entry { name: name.to_owned(), kind, id: id(content) });
        }
        Ok((!entries.is_empty()).then(|| entries.into_values().collect()))
    }

    async fn read(&self, wanted: &str, _: u64) -> Result<Vec<u8>, FilesError> {
        Ok(self.0.values().find(|content| id(content) == wanted).cloned().unwrap_or_default())
    }

    async fn expect(&self, _: &[String]) -> Result<(), FilesError> {
        Ok(())
    }
}

/// Packs a folder of the case as `helm package` does.
fn pack(files: &mut Memory, archive: &str, folder: &str) {
    let place = tempfile::tempdir().unwrap();
    let inside = format!("{folder}/");
    for (path, content) in files.0.iter().filter(|(path, _)| path.starts_with(&inside)) {
        let path = place.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let done = Command::new(program("helm").unwrap())
        .args(["package", "--destination"])
        .args([place.path(), &place.path().join(folder)])
        .env("HOME", place.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let packed = std::fs::read(place.path().join(archive.rsplit('/').next().unwrap())).unwrap();
    files.0.retain(|path, _| !path.starts_with(&inside));
    files.0.insert(archive.to_owned(), packed);
}

fn input(case: &Case) -> RenderInput {
    let names = |word: &str| case.setting(word).map(|names| names.split(", ").map(str::to_owned).collect::<Vec<_>>());
    let cluster = names("cluster").map(|told| {
        let kinds = told[1..].iter().map(|kind| kind.rsplit_once('/').unwrap());
        Capabilities::new(&told[0], kinds).unwrap()
    });
    let values = names("values").unwrap_or_default();
    RenderInput {
        path: case.setting("path").unwrap().to_owned(),
        helm: (!values.is_empty()).then_some(Helm { release: None, values }),
        release: "shop".to_owned(),
        namespace: "shop".to_owned(),
        cluster,
    }
}

/// The objects, a line each, without what nobody reads twice; or why there are none.
async fn outcome(renderer: &Renderer, files: &Memory, input: &RenderInput) -> String {
    let rendered = match renderer.closure(files, input).await {
        Ok(closure) => renderer.render(files, input, &closure).await,
        Err(error) => Err(error),
    };
    let tools = [renderer.helm(), renderer.kustomize()];
    let unnumbered = |text: String| tools.iter().flatten().fold(text, |text, tool| text.replace(&tool.title(), "TOOL"));
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return unnumbered(format!("{:?}: {error}\n", error.blame())),
    };
    let mut text = String::new();
    if rendered.renderer.contains(" for ") {
        text += &format!("by {}\n", rendered.renderer);
    }
    match manifest::parse(&rendered.documents, rendered.dialect, &manifest::Limits::default()) {
        Ok(parsed) => {
            for one in parsed {
                let from = if rendered.dialect == Dialect::Plain { String::new() } else { format!("{}: ", one.file) };
                text += &format!("{from}{}\n", serde_json::Value::Object(one.json));
            }
        }
        Err(errors) => errors.iter().for_each(|error| text += &format!("error: {error}\n")),
    }
    unnumbered(text)
}

#[test]
fn charts_and_kustomizations_as_people_write_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let tool = |name| Some(program(name).unwrap());
    let programs = Programs { helm: tool("helm"), kustomize: tool("kustomize"), ..Programs::default() };
    let renderer = runtime.block_on(Renderer::new(&programs, scratch.path(), Limits::default()));
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/render"), "expected", |case| {
        let mut files = Memory(case.files.iter().cloned().collect());
        if let Some((archive, folder)) = case.setting("pack").and_then(|pack| pack.split_once('=')) {
            pack(&mut files, archive, folder);
        }
        let input = input(case);
        let Some(folder) = case.setting("alone") else {
            return runtime.block_on(outcome(&renderer, &files, &input));
        };
        let folder = format!("{folder}/");
        let (each, beside): (BTreeMap<_, _>, BTreeMap<_, _>) =
            files.0.into_iter().partition(|(path, _)| path.starts_with(&folder));
        let alone = each.into_iter().map(|(path, content)| {
            let name = path[folder.len()..].to_owned();
            let mut files = Memory(beside.clone());
            files.0.insert(path, content);
            format!("{name}: {}", runtime.block_on(outcome(&renderer, &files, &input)))
        });
        alone.collect()
    });
}

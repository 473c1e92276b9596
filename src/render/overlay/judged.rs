//! The core and the tool beside each other, over `tests/cases/overlay`: each case is a title, `inside` or `outside: WHY`,
//! and files, of which the folder `env` is rendered.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Outside, build};
use crate::manifest::{Dialect, Limits, parse};

pub(super) type Files = Vec<(String, Vec<u8>)>;

struct Case {
    name: String,
    outside: Option<String>,
    files: Files,
}

/// The cases that are inside the core.
pub(super) fn corpus() -> Vec<(String, Files)> {
    cases().into_iter().filter(|case| case.outside.is_none()).map(|case| (case.name, case.files)).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn cases() -> Vec<Case> {
    let folder = root().join("tests/cases/overlay");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut parts = text.split("\n-- ");
        let verdict = parts.next().unwrap().lines().nth(1).unwrap().to_owned();
        let file = |part: &str| {
            let (path, content) = part.split_once(" --\n").unwrap();
            let content = if content.ends_with('\n') { content.to_owned() } else { format!("{content}\n") };
            (path.to_owned(), content.into_bytes())
        };
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let outside = match verdict.split_once(": ") {
            Some(("outside", why)) => Some(why.to_owned()),
            _ => {
                assert_eq!(verdict, "inside", "{name}");
                None
            }
        };
        Case { name, outside, files: parts.map(file).collect() }
    };
    paths.iter().map(read).collect()
}

/// What the tool gives for `env`, or what it says.
fn tool(files: &Files) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut command = Command::new(root().join("tools/.bin/kustomize"));
    command.arg("build").arg(folder.path().join("env")).env_clear().env("HOME", folder.path());
    let out = command.output().unwrap();
    if out.status.success() { Ok(out.stdout) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// The objects of a text, as the rest of the program reads them, in an order of their own.
fn objects(text: Vec<u8>) -> Vec<String> {
    let parsed = parse(&[("env".to_owned(), text)], Dialect::Kustomize, &Limits::default());
    let parsed = parsed.unwrap_or_else(|_| panic!("what was rendered cannot be read"));
    let mut objects: Vec<String> =
        parsed.into_iter().map(|one| serde_json::to_string_pretty(&Value::Object(one.json)).unwrap()).collect();
    objects.sort();
    objects
}

/// Renders by both. What the core gives has to be what the tool gives; that it gives nothing is never wrong.
pub(super) fn judge(name: &str, files: &Files) -> Result<(), Outside> {
    let ours = build(files, "env", 32 << 20)?;
    match tool(files) {
        Ok(theirs) => similar_asserts(name, &objects(ours), &objects(theirs), files),
        Err(said) => panic!("{name}: the core renders what the tool refuses: {said}\n{}", shown(files)),
    }
    Ok(())
}

fn similar_asserts(name: &str, ours: &[String], theirs: &[String], files: &Files) {
    if ours == theirs {
        return;
    }
    let of =
        |a: &[String], b: &[String]| a.iter().filter(|one| !b.contains(one)).cloned().collect::<Vec<_>>().join("\n");
    panic!("{name}: ours\n{}\ntheirs\n{}\n{}", of(ours, theirs), of(theirs, ours), shown(files));
}

fn shown(files: &Files) -> String {
    files.iter().map(|(path, content)| format!("-- {path} --\n{}", String::from_utf8_lossy(content))).collect()
}

/// Whether the tool here is the judge. Beside another one, which may be on a developer's `PATH`, the core is not used.
pub(super) fn is_judge() -> bool {
    let out = Command::new(root().join("tools/.bin/kustomize")).arg("version").output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().trim_start_matches('v') == super::JUDGE
}

/// Another kustomize is pinned only once the core was judged by it.
#[test]
fn the_pinned_kustomize_is_the_judge() {
    let pins = std::fs::read_to_string(root().join("tools/render/go.mod")).unwrap();
    assert!(pins.contains(&format!("sigs.k8s.io/kustomize/kustomize/v5 v{}", super::JUDGE)));
}

#[test]
fn the_core_gives_what_the_tool_gives_or_says_why_not() {
    let is_judge = is_judge();
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|_| is_judge) {
        let judged = std::panic::catch_unwind(|| judge(&case.name, &case.files));
        match (judged, &case.outside) {
            (Ok(Ok(())), None) => {}
            (Ok(Err(why)), Some(wanted)) if why.to_string() == *wanted => {}
            (Ok(judged), wanted) => wrong.push(format!("{}: {judged:?}, not {wanted:?}", case.name)),
            (Err(panic), _) => wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_default()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

//! `bascule check`, for policies: whether they can be asked, and how their own tests go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::{Report, Verdict};
use crate::policy::code::order::{Answer, Order};
use crate::policy::code::{Rego, Source, Tested, is_test};
use crate::policy::health::{WrittenHealth, expressions, faulty as faulty_health};
use crate::policy::policies::{LARGEST_REGO, MOST_REGO_FILES, Written, faulty, rego_paths};
use crate::policy::{Located, RepositoryFile};
use crate::render::Renderer;

/// Texts, by path.
pub type Files = BTreeMap<String, String>;

/// A file with policies.
#[derive(Debug)]
pub struct Policed {
    /// Where the paths of its Rego begin.
    pub root: PathBuf,
    /// What stands before each line about it: of several files, whose.
    pub of: String,
    /// What it has.
    pub policies: BTreeMap<String, Written>,
    /// And its health rules.
    pub health: BTreeMap<String, WrittenHealth>,
}

/// The first of these files that is a repository's and has policies. What is wrong with a file itself is said elsewhere.
pub fn policed(files: &[PathBuf]) -> Option<Policed> {
    files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        let read = RepositoryFile::parse(&file.display().to_string(), &text).ok()?;
        let root = file.parent().unwrap_or(Path::new("")).to_owned();
        let RepositoryFile { policies, health, .. } = read;
        let has_any = !policies.is_empty() || !health.is_empty();
        has_any.then_some(Policed { root, of: String::new(), policies, health })
    })
}

/// Checks them.
pub async fn check(Policed { root, of, policies, health }: Policed, renderer: &Renderer) -> Report {
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    let mut tests: BTreeMap<String, Files> = BTreeMap::new();
    let mut texts: BTreeMap<&str, Option<(Files, bool)>> = BTreeMap::new();
    for path in rego_paths(&policies) {
        texts.insert(path, rego_at(&root, path));
    }
    let mut faults: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, written) in &policies {
        match &written.policy.source {
            Source::Cel(text) => drop(sources.insert(name.clone(), Source::Cel(text.clone()))),
            Source::Rego(rego) => match texts.get(rego.path.as_str()) {
                Some(Some((files, has_tests))) => {
                    let own = files.iter().filter(|(path, _)| !is_test(path));
                    let own = own.map(|(path, text)| (path.clone(), text.clone())).collect();
                    let rego = Rego { path: rego.path.clone(), files: own };
                    if *has_tests {
                        tests.insert(rego.path.clone(), files.clone());
                    }
                    sources.insert(name.clone(), Source::Rego(Arc::new(rego)));
                }
                Some(None) | None => {
                    faults.insert(name.clone(), vec![format!("there is no Rego at `{}`", rego.path)]);
                }
            },
        }
    }
    let read = match renderer.judge(&Order::Read(sources)).await {
        Ok(read) => read,
        Err(error) => return Report::new(Verdict::CouldNot, format!("policies cannot be asked: {error}\n")),
    };
    for (name, found) in Answer::faults(read) {
        faults.entry(name).or_default().extend(found);
    }
    let mut complaints = faulty(&policies, &faults);
    match renderer.judge(&Order::Expressions(expressions(&health))).await {
        Ok(read) => complaints.extend(faulty_health(&health, &Answer::faults(read))),
        Err(error) => return Report::new(Verdict::CouldNot, format!("health rules cannot be asked: {error}\n")),
    }
    if !complaints.is_empty() {
        let said: Vec<String> = complaints.iter().map(Located::to_string).collect();
        return Report::new(Verdict::Bad, said.join("\n") + "\n");
    }
    let mut report = Report::new(Verdict::Good, "");
    for (count, one, several) in [(policies.len(), "policy", "policies"), (health.len(), "health rule", "health rules")]
    {
        if count > 0 {
            let text = format!("{of}{count} {}: good\n", if count == 1 { one } else { several });
            report = report.and(Report::new(Verdict::Good, text));
        }
    }
    match renderer.judge(&Order::Test(tests)).await {
        Ok(tested) => tested.into_iter().fold(report, |report, (path, answer)| report.and(told(&path, answer))),
        Err(error) => report.and(Report::new(Verdict::CouldNot, format!("tests cannot be run: {error}\n"))),
    }
}

/// How the tests of one path went.
fn told(path: &str, answer: Answer) -> Report {
    let tested: Vec<Tested> = match answer {
        Answer::Tests(Ok(tested)) => tested,
        Answer::Tests(Err(faults)) => {
            return Report::new(Verdict::Bad, format!("{path}: its tests cannot be run: {}\n", faults.join("; ")));
        }
        Answer::Faults(_) | Answer::Says(_) | Answer::Health(_) => Vec::new(),
    };
    let mut text = String::new();
    for one in &tested {
        text += &match &one.failed {
            None => format!("  good   {}\n", one.name),
            Some(why) => format!("  FAILED {}: {why}\n", one.name),
        };
    }
    let failed = tested.iter().filter(|one| one.failed.is_some()).count();
    let head = format!("{path}: {} of {} tests good\n", tested.len() - failed, tested.len());
    Report::new(if failed == 0 { Verdict::Good } else { Verdict::Bad }, head + &text)
}

/// Rego of a file with the tests beside it, or of all files below a folder; and whether there are tests. Links are not
/// followed. `None`: there is none, or more than is read.
pub fn rego_at(root: &Path, path: &str) -> Option<(Files, bool)> {
    let mut paths = BTreeSet::new();
    let here = root.join(path);
    if here.is_file() {
        paths.insert(path.to_owned());
        let beside = path.strip_suffix(".rego").map(|stem| format!("{stem}_test.rego"));
        paths.extend(beside.filter(|beside| root.join(beside).is_file()));
    }
    let mut open = if here.is_dir() { vec![path.to_owned()] } else { Vec::new() };
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder)).ok()?.filter_map(Result::ok) {
            let below = format!("{folder}/{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(below),
                Ok(kind) if kind.is_file() && below.ends_with(".rego") => drop(paths.insert(below)),
                Ok(_) | Err(_) => {}
            }
            if paths.len() > 2 * MOST_REGO_FILES || open.len() > MOST_REGO_FILES {
                return None;
            }
        }
    }
    let mut files = Files::new();
    for path in paths {
        let text = fs::read_to_string(root.join(&path)).ok()?;
        files.insert(path, text);
    }
    let policies = files.iter().filter(|(path, _)| !is_test(path));
    let bytes: usize = policies.clone().map(|(_, text)| text.len()).sum();
    let fits = policies.count() > 0 && bytes as u64 <= LARGEST_REGO;
    let has_tests = files.keys().any(|path| is_test(path));
    fits.then_some((files, has_tests))
}

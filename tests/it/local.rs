//! `init` and `check` on small repositories: `tests/cases/init` and `tests/cases/check` hold their files and what is said.

use std::fs;
use std::path::Path;

use bascule::config::{self, Environ};
use bascule::local::report::{Report, Verdict};
use bascule::local::{check, init};
use bascule::policy::{FILE_NAME, Located};

use crate::cases::{self, Case};

/// A repository called `shop`, and the folder it ends with.
struct Repository {
    folder: std::path::PathBuf,
    _outer: tempfile::TempDir,
}

fn laid_out(case: &Case) -> Repository {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("shop");
    for (name, bytes) in &case.files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    Repository { folder, _outer: outer }
}

fn server(file: &Path) -> Result<String, Vec<Located>> {
    Ok(config::load(Some(file), &Environ::default())?.summary())
}

fn checked(folder: &Path) -> Report {
    check::check(Some(folder), config::FILE_NAME, &server)
}

fn said(report: &Report, folder: &Path) -> String {
    let text =
        report.text.replace(&format!("{}/", folder.display()), "").replace(&folder.display().to_string(), "shop");
    format!("{:?}\n{text}", report.verdict)
}

fn cases(folder: &str, run: impl Fn(&Case) -> String) {
    cases::check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder), "expected", run);
}

#[test]
fn init_writes_what_check_takes() {
    cases("init", |case| {
        let Repository { folder, _outer } = laid_out(case);
        let mut text = said(&init::init(&folder, config::FILE_NAME), &folder);
        for name in [FILE_NAME, config::FILE_NAME] {
            let path = folder.join(name);
            if case.files.iter().any(|(given, _)| given == name) || !path.exists() {
                continue;
            }
            text += &format!("== {name}\n{}", fs::read_to_string(&path).unwrap());
            let report = check::check(Some(&path), config::FILE_NAME, &server);
            assert_eq!(report.verdict, Verdict::Good, "{}", report.text);
        }
        text
    });
}

#[test]
fn init_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("k8s.yaml", "apiVersion: v1\nkind: Service\n"), (FILE_NAME, "mine"), (config::FILE_NAME, "mine")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    assert_eq!(init::init(folder.path(), config::FILE_NAME).verdict, Verdict::Good);
    for name in [FILE_NAME, config::FILE_NAME] {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "mine");
    }
}

#[test]
fn check_says_what_it_understood_or_what_is_wrong() {
    cases("check", |case| {
        let Repository { folder, _outer } = laid_out(case);
        said(&checked(&folder), &folder)
    });
}

#[test]
fn check_could_not_when_there_is_nothing_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let verdict = |name: &str| check::check(Some(&folder.path().join(name)), config::FILE_NAME, &server).verdict;
    fs::write(folder.path().join("x.txt"), "x").unwrap();
    fs::write(folder.path().join("latin.yaml"), b"a: \xe9").unwrap();
    for name in ["gone.yaml", "gone.toml", "x.txt", "latin.yaml"] {
        assert_eq!(verdict(name), Verdict::CouldNot, "{name}");
    }
}

//! `tools/build`, `tools/system` and `tools/fetch`, with programs on `PATH` that only say which version they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::script;

/// A copy of `tools`, and a `PATH` of its own.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
        let ours = ["build", "system", "fetch", "render/go.mod", "render/go.sum"];
        let pins = ["published", "mock"]
            .map(|name| ["package.json", "package-lock.json"].map(|file| format!("{name}/{file}")));
        for file in ours.map(str::to_owned).into_iter().chain(pins.into_iter().flatten()) {
            let to = machine.path("tools").join(&file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from.join(&file), to).unwrap();
        }
        // It is asked for its version and for a module, and builds by writing a program that runs.
        machine.program(
            "bin/go",
            &format!(
                r#"echo "$@" >>{log}
case "$1" in
  env) echo go1.99.0 ;;
  list) echo "v1.2.3 /nowhere" ;;
  build)
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\necho v1.2.3 of the modules\n' >"$2"
    chmod +x "$2" ;;
esac"#,
                log = machine.path("go.log").display()
            ),
        );
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        script::write(&path, script);
    }

    /// Runs one of the scripts; what it says, and whether it succeeds.
    fn runs(&self, script: &str, arguments: &[&str]) -> (String, bool) {
        let mut command = Command::new("bash");
        command.arg(self.path("tools").join(script)).args(arguments).env_clear().env("HOME", self.folder.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()));
        let ran = command.output().unwrap();
        (String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap(), ran.status.success())
    }

    fn builds(&self, names: &[&str]) -> String {
        let (said, succeeded) = self.runs("build", names);
        assert!(succeeded, "{said}");
        said.replace(&self.path("").display().to_string(), "")
    }

    /// What `tools/.bin` has under this name.
    fn has(&self, name: &str) -> String {
        let program = self.path("tools/.bin").join(name);
        let ran = Command::new(&program).arg("version").output().unwrap();
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }

    /// Programs that were built since the last look.
    fn built(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("go.log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("go.log"));
        let builds = log.lines().filter(|line| line.starts_with("build "));
        builds.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    }
}

const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5";

#[test]
fn a_program_on_path_is_taken_when_it_is_new_enough_and_what_is_up_to_date_is_left_alone() {
    let machine = Machine::new();
    machine.program("bin/helm", "echo v3.19.0+g0123456");
    machine.program("bin/kustomize", "echo v4.5.7");
    let said = machine.builds(&["helm", "kustomize"]);
    let seconds = regex::Regex::new(r"\d+ s([:\n])").unwrap();
    insta::assert_snapshot!(seconds.replace_all(&said, "N s$1"), @r"
    tools: to get: helm kustomize; about 3 min on two cores if all must be built from nothing
    tools: [1/2] helm: bin/helm is new enough
    tools: [2/2] kustomize: building, about 60 s the first time ... N s
    tools: ready in tools/.bin after N s: helm kustomize
    ");
    assert_eq!(machine.has("helm"), "v3.19.0+g0123456");
    assert_eq!(machine.has("kustomize"), "v1.2.3 of the modules", "the older one is not taken");
    assert_eq!(machine.built(), [KUSTOMIZE]);

    insta::assert_snapshot!(machine.builds(&["helm", "kustomize"]), @"tools: ready in tools/.bin: helm kustomize");
    assert_eq!(machine.built(), [""; 0], "a second run builds nothing");

    // The one that was taken is replaced by one that is too old, and then by one too new.
    for version in ["v3.2.1", "v5.0.0"] {
        machine.program("bin/helm", &format!("echo {version}"));
        machine.builds(&["helm"]);
        assert_eq!(machine.has("helm"), "v1.2.3 of the modules", "{version}");
    }
    assert_eq!(machine.built(), ["helm.sh/helm/v4/cmd/helm"], "once");

    // What the modules pin is raised.
    let sums = machine.path("tools/render/go.sum");
    fs::write(&sums, fs::read_to_string(&sums).unwrap() + "\n").unwrap();
    machine.builds(&["kustomize"]);
    assert_eq!(machine.built(), [KUSTOMIZE]);
}

#[test]
fn what_the_system_brings_is_looked_for_and_not_installed_when_it_is_there() {
    let machine = Machine::new();
    machine.program("bin/apt-get", &format!("echo \"$@\" >>{}; exit 1", machine.path("apt.log").display()));
    machine.program("bin/postgres", "echo postgres '(PostgreSQL)' 14.2");
    machine.program("bin/initdb", "");
    // The user's own choice comes first, however many the system has.
    machine.program("newer/postgres", "echo postgres '(PostgreSQL)' 99.1");
    machine.program("newer/initdb", "");
    let old_path = machine.path("bin");
    let asked = |folders: &[PathBuf]| {
        let mut command = Command::new("bash");
        let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        command.arg(machine.path("tools/system")).env_clear().env("HOME", machine.folder.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", folders.join(":")));
        let ran = command.output().unwrap();
        (String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap(), ran.status.success())
    };
    let link = machine.path("tools/.bin/postgresql");
    for _ in 0..2 {
        let (said, succeeded) = asked(&[old_path.clone(), machine.path("newer")]);
        assert!(succeeded && said.is_empty(), "{said}");
        assert_eq!(fs::read_link(&link).unwrap(), machine.path("newer").canonicalize().unwrap());
    }
    machine.program("bin/git", "echo git version 2.30.2");
    let (said, succeeded) = asked(&[old_path, machine.path("newer")]);
    assert!(!succeeded, "{said}");
    insta::assert_snapshot!(said.replace(&machine.path("").display().to_string(), ""), @"tools: git 2.38 or newer is needed (merge-tree --write-tree); bin/git is 2.30.2");
    assert!(!machine.path("apt.log").exists(), "nothing was installed");
}

#[test]
fn a_machine_without_postgresql_gets_debians_and_no_server_that_runs() {
    let machine = Machine::new();
    // The folders of this machine's own packages are not looked at, and nothing is written to its /etc.
    let system = fs::read_to_string(machine.path("tools/system")).unwrap();
    let here = |folder: &str| format!("{}{folder}", machine.folder.path().display());
    let system = system.replace("/usr/lib/postgresql/", &here("/lib/")).replace("/usr/pgsql-", &here("/lib/"));
    fs::write(machine.path("tools/system"), system.replace("/etc/", &here("/etc/"))).unwrap();
    machine.program("bin/id", "echo 1000");
    machine.program("bin/sudo", &format!("echo as root >>{}\nexec \"$@\"", here("/said")));
    machine.program(
        "bin/apt-get",
        &format!(
            r#"echo "$@: $(cat {etc}/*)" >>{said}
mkdir -p {bin}
for program in postgres initdb; do
  printf '#!/bin/sh\necho "postgres (PostgreSQL) 15.9"\n' >{bin}/$program
  chmod +x {bin}/$program
done"#,
            etc = here("/etc/postgresql-common/createcluster.d"),
            bin = here("/lib/15/bin"),
            said = here("/said")
        ),
    );
    for said in ["tools: installing postgresql with sudo apt-get\n", ""] {
        assert_eq!(machine.runs("system", &[]), (said.to_owned(), true));
    }
    insta::assert_snapshot!(fs::read_to_string(machine.path("said")).unwrap(), @r"
    as root
    install -y --no-install-recommends postgresql: create_main_cluster = false
    ");
    assert_eq!(
        fs::read_dir(machine.path("etc/postgresql-common")).unwrap().count(),
        0,
        "what was forbidden is taken back"
    );
    assert_eq!(fs::read_link(machine.path("tools/.bin/postgresql")).unwrap(), machine.path("lib/15/bin"));
}

#[test]
fn what_forges_publish_is_fetched_once_as_it_is_pinned_and_never_halfway() {
    let machine = Machine::new();
    let (lock, there) = (machine.path("tools/published/package-lock.json"), machine.path("tools/.bin/share/published"));
    let npm = |then: &str| {
        let log = machine.path("npm.log");
        machine.program("bin/npm", &format!("echo \"$@\" >>{}; mkdir node_modules; {then}", log.display()));
    };
    let asked = || {
        let log = fs::read_to_string(machine.path("npm.log")).unwrap_or_default();
        let _ = fs::remove_file(machine.path("npm.log"));
        log.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    npm("cp package-lock.json node_modules/as-locked");
    // The data, and the mock; the mock beside what it needs.
    for times in [vec!["ci --ignore-scripts"; 2], vec![]] {
        machine.builds(&["published"]);
        assert_eq!(asked(), times);
        assert_eq!(fs::read(there.join("as-locked")).unwrap(), fs::read(&lock).unwrap());
        let mock = machine.path("tools/.bin/share/mock/node_modules/as-locked");
        assert_eq!(fs::read(mock).unwrap(), fs::read(machine.path("tools/mock/package-lock.json")).unwrap());
    }
    // Another pin is fetched, that one alone, and as long as it cannot be, the old one is not taken for it.
    fs::write(&lock, fs::read_to_string(&lock).unwrap() + "\n").unwrap();
    npm("echo EINTEGRITY; exit 1");
    for _ in 0..2 {
        let (said, succeeded) = machine.runs("build", &["published"]);
        assert!(!succeeded && said.contains("EINTEGRITY"), "{said}");
        assert_eq!(asked(), ["ci --ignore-scripts"]);
    }
    npm("touch node_modules/anew");
    asked();
    machine.builds(&["published"]);
    assert_eq!(asked(), ["ci --ignore-scripts"]);
    assert!(there.join("anew").exists() && !there.join("as-locked").exists());
    let left: Vec<_> =
        fs::read_dir(machine.path("tools/.bin")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with(".work")), "{left:?}");
}

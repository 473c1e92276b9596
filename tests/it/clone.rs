//! `bascule diff` through the real binary, on real clones, with the real renderers: `tests/cases/clone` holds files of
//! two states (`old/…`, `new/…` laid over them, `gone/…` taken away) and what is printed.

use std::path::{Path, PathBuf};
use std::process::Command;

use bascule::git::Program;
use bascule::local::diff::{Ask, Diffed, diff};
use bascule::local::report::Verdict;
use bascule::render::{Limits, Programs, Renderer};

use crate::cases::{self, Case};

/// A clone with one commit on `main`.
pub(crate) struct Clone {
    folder: PathBuf,
    _outer: tempfile::TempDir,
}

impl Clone {
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("shop");
        std::fs::create_dir(&folder).unwrap();
        let clone = Self { folder, _outer: outer };
        files.iter().for_each(|(path, text)| clone.write(path, text.as_bytes()));
        clone.git(&["init", "-q", "-b", "main"]);
        clone.commit();
        clone
    }

    pub(crate) fn write(&self, path: &str, text: &[u8]) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A line `→ target` makes a link of it.
        match std::str::from_utf8(text).ok().and_then(|text| text.strip_prefix("→ ")) {
            Some(target) => std::os::unix::fs::symlink(target.trim_end(), path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a commit"]);
    }

    fn git(&self, args: &[&str]) {
        let ran = quiet(Command::new("git")).args(args).current_dir(&self.folder).output().unwrap();
        assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// Nobody's configuration and cache, and a time that stands still, so that commit ids are the same everywhere.
fn quiet(mut command: Command) -> Command {
    command.env("XDG_CACHE_HOME", "/nowhere");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for (who, name) in [("AUTHOR", "a"), ("COMMITTER", "c")] {
        command.env(format!("GIT_{who}_NAME"), name).env(format!("GIT_{who}_EMAIL"), "x@example.com");
        command.env(format!("GIT_{who}_DATE"), "@1700000000 +0000");
    }
    command
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/.bin")
}

#[test]
fn what_a_clone_would_change() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/clone");
    cases::check(&folder, "printed", |case| {
        let clone = laid_out(case);
        let args: Vec<&str> = case.setting("args").unwrap_or_default().split_whitespace().collect();
        let path = case.setting("path").map_or_else(|| format!("{}:/usr/bin:/bin", tools().display()), str::to_owned);
        let command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        let ran = quiet(command).arg("diff").args(args).current_dir(&clone.folder).env("PATH", path).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut printed = format!("{}{}exit {}\n", said(&ran.stdout), said(&ran.stderr), ran.status.code().unwrap());
        // Versions and times of this machine.
        for (pattern, word) in [
            (r"(helm|kustomize) \d+\.\d+\.\d+", "$1 VERSION"),
            (r"in \d+\.\d+ s", "in TIME"),
            (r"\(redacted [a-z2-7]{6}", "(redacted LETTERS"),
            (r#""milliseconds": \d+"#, r#""milliseconds": TIME"#),
        ] {
            printed = regex::Regex::new(pattern).unwrap().replace_all(&printed, word).into_owned();
        }
        printed
    });
}

fn laid_out(case: &Case) -> Clone {
    let of = |state: &str| {
        let files = case.files.iter().filter_map(move |(name, bytes)| Some((name.strip_prefix(state)?, bytes)));
        files.map(|(name, bytes)| (name.to_owned(), bytes.clone())).collect::<Vec<_>>()
    };
    let clone = Clone::of(&[]);
    of("old/").iter().for_each(|(name, bytes)| clone.write(name, bytes));
    clone.commit();
    of("gone/").iter().for_each(|(name, _)| std::fs::remove_file(clone.folder.join(name)).unwrap());
    of("new/").iter().for_each(|(name, bytes)| {
        let _ = std::fs::remove_file(clone.folder.join(name));
        clone.write(name, bytes);
    });
    if let Some(branch) = case.setting("branch") {
        clone.git(&["checkout", "-q", "-b", branch]);
        clone.commit();
    }
    clone
}

/// Runs `bascule diff` on a terminal of its own, or into a pipe; what is shown there.
pub(crate) fn looked_at(clone: &Clone, on_terminal: bool, args: &str, environment: &[(&str, &str)]) -> String {
    let line = format!("{} diff {args}", env!("CARGO_BIN_EXE_bascule"));
    let mut command = quiet(Command::new(if on_terminal { "script" } else { "sh" }));
    command.arg(if on_terminal { "-qec" } else { "-c" }).arg(line);
    if on_terminal {
        command.arg("/dev/null");
    }
    let path = format!("{}:/usr/bin:/bin", tools().display());
    let command = command.current_dir(&clone.folder).env_remove("NO_COLOR").env_remove("PAGER").env("PATH", path);
    let ran = command.envs(environment.iter().copied()).stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{args} {environment:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().replace('\r', "")
}

#[test]
fn a_terminal_gets_colours_and_the_persons_pager_and_a_pipe_neither() {
    let clone = story();
    clone.write("plain/web.yaml", WEB.replace("'1'", "'2'").as_bytes());
    let plain = looked_at(&clone, false, "", &[]);
    assert!(plain.contains("ConfigMap plain/web") && !plain.contains('\u{1b}'), "{plain}");
    let is_coloured = |said: &str| said.contains('\u{1b}') && said.contains("ConfigMap plain/web");
    let cat = ("PAGER", "cat");
    assert!(is_coloured(&looked_at(&clone, true, "", &[cat])));
    assert!(is_coloured(&looked_at(&clone, false, "--color always", &[])));
    // What is said without colours is the same, whoever asked for none.
    assert_eq!(looked_at(&clone, true, "", &[cat, ("NO_COLOR", "1")]), plain);
    assert_eq!(looked_at(&clone, true, "--color never", &[cat]), plain);

    let record = |said: &str| std::fs::read_to_string(clone.folder.join(".git").join(said)).unwrap_or_default();
    let paged = looked_at(&clone, true, "", &[("PAGER", "cat >.git/paged; echo turned the page"), ("NO_COLOR", "1")]);
    assert_eq!((paged.as_str(), record("paged")), ("turned the page\n", plain.clone()));
    assert_eq!(looked_at(&clone, false, "", &[("PAGER", "cat >.git/unwatched")]), plain, "nobody watches");
    assert_eq!(record("unwatched"), "");
    let no_pager = looked_at(&clone, true, "--color never", &[("PAGER", "no-such-pager 2>.git/none")]);
    assert_eq!(no_pager, plain, "without its pager it is printed");
    for output in ["json", "markdown"] {
        let said = looked_at(&clone, true, &format!("--output {output}"), &[("PAGER", "cat >.git/unwatched")]);
        assert!(!said.contains('\u{1b}') && said.contains("ConfigMap"), "{said}");
    }
}

#[test]
fn what_a_cluster_told_once_is_said_of_what_changes_at_its_line() {
    let clone = story();
    clone.write(
        "plain/more.yaml",
        b"# one\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndate: {a: 1}\n",
    );
    clone.write("plain/web.yaml", format!("{WEB}immutable: 'no'\n").as_bytes());
    let cache = tempfile::tempdir().unwrap();
    let schemas = cache.path().join("bascule/schemas");
    std::fs::create_dir_all(&schemas).unwrap();
    let kept = r#"{"of": "2026-11-20", "kinds": {"v1 ConfigMap": "ConfigMap"}, "schemas": {"ConfigMap": {"type": "object",
        "properties": {"data": {"type": "object", "additionalProperties": {"type": "string"}}, "immutable": {"type": "boolean"}}}}}"#;
    std::fs::write(schemas.join("dev.json"), kept).unwrap();
    let said = looked_at(&clone, false, "", &[("XDG_CACHE_HOME", cache.path().to_str().unwrap())]);
    let said: Vec<&str> = said.lines().filter(|line| line.contains("by the schema")).collect();
    insta::assert_snapshot!(said.join("\n"), @"
    plain/more.yaml:3: ConfigMap plain/more .date: field not declared in schema (by the schema of cluster dev of 2026-11-20)
    plain/web.yaml:1: ConfigMap plain/web .immutable: expected boolean, got text (by the schema of cluster dev of 2026-11-20)
    ");
    assert!(!looked_at(&clone, false, "", &[]).contains("by the schema"), "where none was kept nothing is claimed");
}

const WEB: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: '1'}\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {size: '{{ .Values.size }}', all: '{{ .Values.all }}'}\n";
const RULES: &str = "version: 1
defaults: { cluster: dev }
environments:
  staging: { path: overlays/staging, namespace: staging }
  production: { path: overlays/production, namespace: production }
  shop-a: { path: chart, namespace: shop-a, helm: { values: [values-a.yaml] } }
  shop-b: { path: chart, namespace: shop-b, helm: { values: [values-b.yaml, /shared/b.yaml] } }
  plain: { path: plain, namespace: plain }
";

fn story() -> Clone {
    Clone::of(&[
        (".bascule.yaml", RULES),
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", WEB),
        ("base/README.md", "x"),
        (
            "components/limits/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{path: p.yaml}]\n",
        ),
        ("components/limits/p.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {b: '1'}\n"),
        ("overlays/staging/kustomization.yaml", "resources: [../../base]\n"),
        ("overlays/staging/README.md", "x"),
        ("overlays/production/kustomization.yaml", "resources: [../../base]\ncomponents: [../../components/limits]\n"),
        ("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n"),
        ("chart/values.yaml", "all: 1\n"),
        ("chart/values-a.yaml", "size: 1\n"),
        ("chart/values-b.yaml", "size: 1\n"),
        ("chart/README.md", "x"),
        ("chart/templates/c.yaml", TEMPLATE),
        ("shared/b.yaml", "size: 2\n"),
        ("plain/web.yaml", WEB),
        ("plain/notes.txt", "x"),
    ])
}

/// Each change renders both sides of the environments that read it, and of no other.
#[tokio::test]
async fn exactly_the_environments_that_read_a_file_are_rendered() {
    let scratch = tempfile::tempdir().unwrap();
    let programs = Programs {
        helm: Some(tools().join("helm")),
        kustomize: Some(tools().join("kustomize")),
        ..Programs::default()
    };
    let renderer = Box::pin(Renderer::new(&programs, scratch.path(), Limits::default())).await;
    let git = Program::of_person(Path::new("git")).await.unwrap();
    let web = WEB.replace('1', "2");
    let cases: [(&str, &str, &[&str]); 12] = [
        ("base/web.yaml", &web.replace("v2", "v1"), &["production", "staging"]),
        (
            "components/limits/p.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {b: '2'}\n",
            &["production"],
        ),
        ("overlays/staging/kustomization.yaml", "namePrefix: x-\nresources: [../../base]\n", &["staging"]),
        ("chart/values-a.yaml", "size: 3\n", &["shop-a"]),
        ("shared/b.yaml", "size: 3\n", &["shop-b"]),
        ("chart/values.yaml", "all: 2\n", &["shop-a", "shop-b"]),
        ("chart/templates/new.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n", &["shop-a", "shop-b"]),
        ("plain/sub/new.yml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n", &["plain"]),
        ("overlays/staging/README.md", "y", &[]),
        ("base/unread.yaml", "y", &[]),
        ("chart/README.md", "y", &[]),
        ("plain/notes.txt", "y", &[]),
    ];
    let mut before = renderer.renders();
    for (path, text, touched) in cases {
        let clone = story();
        clone.write(path, text.as_bytes());
        let ask = Ask { folder: clone.folder.clone(), ..Ask::default() };
        let Diffed { page, verdict } = diff(&git, &renderer, &ask).await.unwrap();
        let mut names: Vec<&str> = page.environments.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, touched, "{path}: {page:?}");
        assert_eq!(renderer.renders() - before, 2 * touched.len() as u64, "{path}");
        assert_eq!(verdict, if touched.is_empty() { Verdict::Good } else { Verdict::Bad }, "{path}");
        before = renderer.renders();
        // A commit more with the same content, and a new look at an old one: nothing to render.
        clone.commit();
        clone.commit();
        let again = Ask { base: Some("HEAD~1".to_owned()), head: Some("HEAD".to_owned()), ..ask };
        assert_eq!(diff(&git, &renderer, &again).await.unwrap().verdict, Verdict::Good);
        assert_eq!(renderer.renders(), before, "{path}");
    }
}

/// Policies through the real binary: what is denied, and how their own tests go.
#[test]
fn policies_are_asked_and_their_tests_are_run() {
    let clone = Clone::of(&[
        (
            ".bascule.yaml",
            "version: 1\nenvironments:\n  production: { path: deploy, cluster: prod, namespace: shop }\npolicies:\n  pods: { rego: policy, effect: deny }\n  labels: { cel: \"has(object.metadata.labels)\", effect: warn }\n",
        ),
        ("policy/pods.rego", "package main\n\ndeny contains \"no bare pods\" if input.kind == \"Pod\"\n"),
        (
            "policy/pods_test.rego",
            "package main\n\ntest_pods if count(deny) == 1 with input as {\"kind\": \"Pod\"}\n\ntest_others if count(deny) == 1 with input as {\"kind\": \"Service\"}\n",
        ),
        ("deploy/web.yaml", WEB),
    ]);
    clone.write("deploy/pod.yaml", b"apiVersion: v1\nkind: Pod\nmetadata: { name: debug }\n");
    let run = |words: &[&str]| {
        let path = format!("{}:/usr/bin:/bin", tools().display());
        let mut command = quiet(Command::new(env!("CARGO_BIN_EXE_bascule")));
        let ran = command.args(words).current_dir(&clone.folder).env("PATH", path).output().unwrap();
        let said = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap();
        format!("{said}exit {}", ran.status.code().unwrap())
    };
    let denied = run(&["diff"]);
    let told: Vec<&str> = denied.lines().filter(|line| line.contains("policy ") || line.starts_with("exit")).collect();
    insta::assert_snapshot!(told.join("\n"), @"
      ⚠ policy labels warns ConfigMap shop/web: `has(object.metadata.labels)` is not true
      ⚠ policy labels warns Pod shop/debug: `has(object.metadata.labels)` is not true
      ✗ policy pods denies Pod shop/debug: no bare pods
    exit 3
    ");
    insta::assert_snapshot!(run(&["check"]), @"
    .bascule.yaml: good, 1 environment
      production  deploy to prod/shop; 1 of write access
    2 policies: good
    policy: 1 of 2 tests good
      FAILED main.test_others: it is not true
      good   main.test_pods
    exit 1
    ");
    // One that takes all the memory it gets ends alone, and is named.
    let greedy = "package main\n\ndeny contains \"x\" if {\n\tline := concat(\"\", [\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" | some n in numbers.range(1, 2000)])\n\tcount([concat(line, [line, line, line]) | some n in numbers.range(1, 100000)]) == 7\n}\n";
    clone.write("policy/pods.rego", greedy.as_bytes());
    clone.write("policy/pods_test.rego", b"package main\n");
    clone.commit();
    clone.write("deploy/web.yaml", WEB.replace("'1'", "'2'").as_bytes());
    let denied = run(&["diff"]);
    assert!(denied.contains("`pods` took more than 512 MiB of memory") && denied.ends_with("exit 3"), "{denied}");
}

/// Health rules through the real binary: asked whether they can be, in the box.
#[test]
fn health_rules_that_cannot_be_asked_are_named_with_their_place() {
    let clone = Clone::of(&[
        (
            ".bascule.yaml",
            "version: 1\nenvironments:\n  production: { path: deploy, cluster: prod, namespace: shop }\nhealth:\n  databases:\n    kind: db.example.org/Database\n    healthy: object.status.phase == 'Ready'\n    failed: object.status.phase ==\n    message: objekt.status.reason\n",
        ),
        ("deploy/web.yaml", WEB),
    ]);
    let check = || {
        let path = format!("{}:/usr/bin:/bin", tools().display());
        let mut command = quiet(Command::new(env!("CARGO_BIN_EXE_bascule")));
        let ran = command.arg("check").current_dir(&clone.folder).env("PATH", path).output().unwrap();
        let said = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap();
        format!("{said}exit {}", ran.status.code().unwrap())
    };
    insta::assert_snapshot!(check(), @"
    .bascule.yaml: good, 1 environment
      production  deploy to prod/shop; 1 of write access
    .bascule.yaml:8:13: `failed` of health rule `databases`: 1:23: Syntax error: mismatched input '<EOF>'; correct it: nothing is synced by a rule that cannot be asked
    .bascule.yaml:9:14: `message` of health rule `databases`: there is no `objekt`; correct it: nothing is synced by a rule that cannot be asked
    exit 1
    ");
    let file = std::fs::read_to_string(clone.folder.join(".bascule.yaml")).unwrap();
    let mended = file.replace("phase ==\n", "phase == 'Broken'\n").replace("objekt", "object");
    clone.write(".bascule.yaml", mended.as_bytes());
    insta::assert_snapshot!(check(), @"
    .bascule.yaml: good, 1 environment
      production  deploy to prod/shop; 1 of write access
    1 health rule: good
    exit 0
    ");
}

#[tokio::test]
async fn looking_changes_nothing_in_the_clone() {
    let clone = story();
    clone.write("base/web.yaml", WEB.replace("'1'", "'2'").as_bytes());
    let state = || {
        let ran = quiet(Command::new("git")).args(["status", "--porcelain=v2"]).current_dir(&clone.folder).output();
        let objects = quiet(Command::new("git")).args(["count-objects", "-v"]).current_dir(&clone.folder).output();
        (ran.unwrap().stdout, objects.unwrap().stdout, std::fs::read(clone.folder.join(".git/index")).unwrap())
    };
    let _ = state();
    let before = state();
    let scratch = tempfile::tempdir().unwrap();
    let programs = Programs { kustomize: Some(tools().join("kustomize")), ..Programs::default() };
    let renderer = Box::pin(Renderer::new(&programs, scratch.path(), Limits::default())).await;
    let git = Program::of_person(Path::new("git")).await.unwrap();
    let ask = Ask { folder: clone.folder.clone(), ..Ask::default() };
    assert_eq!(diff(&git, &renderer, &ask).await.unwrap().verdict, Verdict::Bad);
    assert_eq!(state(), before);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "every box is gone");
}

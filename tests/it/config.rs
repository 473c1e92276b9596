//! Every file of `tests/cases/config` is one `bascule.toml`, optionally files it includes and the environment, and what
//! is said about them: the complaints, or what was understood.

use std::fs;
use std::path::Path;

use bascule::config::{self, Environ, Loaded};
use bascule::policy::Located;

use crate::cases::{Case, check};

fn outcome(case: &Case) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut environ = Vec::new();
    for (name, bytes) in &case.files {
        let text = String::from_utf8(bytes.clone()).unwrap();
        if name == "environment" {
            environ.extend(text.lines().map(|line| line.split_once('=').unwrap()).map(owned));
            continue;
        }
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let loaded = config::load(Some(&folder.path().join("bascule.toml")), &Environ::from_iter(environ));
    let said = match loaded {
        Ok(loaded) => format!("{:#?}\n", loaded.server),
        Err(complaints) => excerpts(&complaints),
    };
    said.replace(&format!("{}/", folder.path().display()), "")
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn excerpts(complaints: &[Located]) -> String {
    let text = |complaint: &Located| fs::read_to_string(complaint.place.file.as_ref()).unwrap_or_default();
    complaints.iter().map(|complaint| complaint.with_excerpt(&text(complaint)) + "\n").collect()
}

#[test]
fn every_case_says_what_it_should() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/config"), "expected", outcome);
}

fn parse(text: &str) -> Loaded {
    config::parse("bascule.toml", text, &Environ::default()).unwrap()
}

#[test]
fn the_reference_says_the_defaults_and_knows_every_key() {
    let nothing = config::load(None, &Environ::default()).unwrap();
    assert_eq!(parse(config::REFERENCE).server, nothing.server);

    // What is commented out is right, too: uncommented, it is a whole configuration.
    let whole: String = config::REFERENCE
        .lines()
        .filter(|line| !line.starts_with("# include"))
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| is_key(key)) => rest,
            _ => line,
        })
        .map(|line| line.replace("url = \"embedded\"", "url = { env = \"DATABASE_URL\" }") + "\n")
        .collect();
    let server = parse(&whole).server;
    assert_eq!((server.forges.len(), server.clusters.len()), (1, 1), "{whole}");
    let platform = server.platform;
    assert_eq!((platform.grants.len(), platform.floors.len(), platform.groups.len()), (1, 1, 1));
    for keys in [
        config::FILE_KEYS,
        config::SERVER_KEYS,
        config::DATABASE_KEYS,
        config::AUDIT_KEYS,
        config::SWEEP_KEYS,
        config::FORGE_KEYS,
        config::CLUSTER_KEYS,
        config::REGISTRY_KEYS,
        config::SECRETS_KEYS,
        config::GROUP_KEYS,
        config::GRANT_KEYS,
        config::KINDS_KEYS,
        config::FLOOR_KEYS,
    ] {
        for key in keys.known {
            let written = [format!("{key} = "), format!("[{key}]"), format!("[{key}.")];
            assert!(written.iter().any(|written| config::REFERENCE.contains(written)), "`{key}` is in no line");
        }
    }
}

#[test]
fn what_the_file_does_not_say_lies_beside_it_wherever_the_server_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bascule.toml");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        config::load(Some(&path), &Environ::default()).unwrap().server
    };
    let silent = read("version = 1\n");
    assert_eq!(silent, read(config::REFERENCE));
    assert_eq!(silent.database.data_dir, folder.path().join("data"));
    assert_eq!(silent.audit.checkpoints, folder.path().join("data/checkpoints"));
    assert_eq!(silent.http.key.file(), Some(&*folder.path().join("data/server.key")));
    assert_eq!(silent.audit.key.file(), Some(&*folder.path().join("data/audit.key")));
}

fn is_key(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn a_load_says_what_changed_and_no_secret() {
    let old = parse(
        "version = 1\nx-mine = \"hunter2\"\n[cluster.dev]\n[audit]\nkey = { env = \"A\" }\n[sweep]\npulls = \"1m\"\n",
    );
    let new = parse(
        "version = 1\n[audit]\nkey = { file = \"/b\" }\n[sweep]\npulls = \"2m\"\n[server]\nlisten = \"[::1]:80\"\n",
    );
    assert!(config::difference(&old.keys(), &old.keys()).is_empty());
    let difference = config::difference(&old.keys(), &new.keys());
    let waits: Vec<&str> = difference.paths().filter(|path| config::is_read_at_start(path)).collect();
    assert_eq!(waits, ["audit.key.file", "server.listen", "audit.key.env"]);
    insta::assert_json_snapshot!(difference, @r#"
    {
      "added": {
        "audit.key.file": "\"/b\"",
        "server.listen": "\"[::1]:80\""
      },
      "removed": {
        "audit.key.env": "\"A\"",
        "cluster.dev": "{}"
      },
      "changed": {
        "sweep.pulls": [
          "\"1m\"",
          "\"2m\""
        ]
      }
    }
    "#);
}

#[test]
fn what_is_not_there_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bascule.toml");
    fs::write(folder.path().join("empty"), "\n").unwrap();
    fs::write(folder.path().join("good"), "x\n").unwrap();
    fs::write(
        &path,
        r#"version = 1
[database]
url = { env = "DATABASE_URL" }
[forge.work]
kind = "forgejo"
url = "https://git.example.com"
webhook_secrets = [{ file = "good" }, { file = "empty" }]
token = { file = "gone" }
"#,
    )
    .unwrap();
    let missing = |environ: Environ| {
        let said = config::load(Some(&path), &environ).unwrap().secrets_missing().join("\n");
        said.replace(&format!("{}/", folder.path().display()), "")
    };
    insta::assert_snapshot!(missing(Environ::default()), @"
    database.url: environment variable `DATABASE_URL` is not set
    forge.work.token: file `gone` cannot be read
    forge.work.webhook_secrets: file `empty` is empty
    ");
    insta::assert_snapshot!(missing(Environ::from_iter([("DATABASE_URL", "postgres://x")])), @"
    forge.work.token: file `gone` cannot be read
    forge.work.webhook_secrets: file `empty` is empty
    ");
}

#[test]
fn the_configuration_of_the_documentation_is_one() {
    let first = |text: &str| {
        let block = text.split("```").find_map(|block| block.strip_prefix("toml\n").map(str::to_owned)).unwrap();
        parse(&block).server
    };
    for text in [include_str!("../../docs/github.md"), include_str!("../../docs/gitlab.md")] {
        let server = first(text);
        assert_eq!((server.forges.len(), server.platform.grants.len()), (1, 1));
    }
    let server = first(include_str!("../../docs/sign-in.md"));
    assert!(server.forges.values().all(|forge| forge.application.is_some()));
}

#[test]
fn a_floors_policies_are_read_with_the_file_and_a_change_of_one_changes_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let says = |cel: &str| {
        let policies = "policies:\n  house: { rego: house, effect: warn }\n  pods: { effect: deny, cel: ";
        write("platform/policies.yaml", &format!("{policies}\"{cel}\" }}\n"));
        config::load(Some(&folder.path().join("bascule.toml")), &Environ::default()).unwrap()
    };
    let floor = "[cluster.prod]\n[floor.production]\nclusters = [\"prod\"]\npolicies = \"platform\"\n";
    write("bascule.toml", &format!("version = 1\n{floor}"));
    write("platform/house/main.rego", "package main\n\nwarn contains \"a Pod\" if input.kind == \"Pod\"\n");
    write("platform/house/main_test.rego", "package main\n\ntest_pods if true\n");
    let good = says("object.kind != 'Pod'");
    let floor = &good.server.platform.floors["production"];
    assert_eq!(floor.policies.keys().collect::<Vec<_>>(), ["house", "pods"]);
    let bascule::policy::code::Source::Rego(rego) = &floor.policies["house"].source else { panic!("{floor:?}") };
    assert_eq!(rego.files.keys().collect::<Vec<_>>(), ["house/main.rego"], "its tests are no part of it");
    assert_eq!((good.policy_faults(), good.policed().len()), (vec![], 1));

    let bad = says("object.kind !=");
    let changed = config::difference(&good.keys(), &bad.keys());
    assert_eq!(changed.paths().collect::<Vec<_>>(), ["floor.production.policies.pods"]);
    let faults = bad.policy_faults();
    assert!(faults.len() == 1 && faults[0].starts_with("floor `production`, policy `pods`: 1:"), "{faults:?}");
}

//! Every file of `tests/cases/policy` is one `.bascule.yaml`, optionally the folders of its commit, and what is said
//! about it: the complaints with their excerpts, or the environments it gives.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use bascule::ids::ClusterName;
use bascule::policy::rules::{ApprovalRule, Environment, Floor, Grant, Group, Platform, Role, Voters};
use bascule::policy::{Dialect, Expanded, FILE_NAME, Located, OwnerFile, RepositoryFile, reach};

use crate::cases::{Case, check};

fn outcome(case: &Case) -> String {
    let section = |name: &str| {
        let found = case.files.iter().find(|(file, _)| file == name);
        found.map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).unwrap_or_default()
    };
    let (text, folders) = (section(FILE_NAME), section("folders"));
    let read = RepositoryFile::parse(FILE_NAME, &text)
        .and_then(|file| Ok((file.folder_roots(), file.expand(folders.lines())?)));
    match read {
        Err(complaints) => excerpts(&complaints, &text) + "\n",
        Ok((roots, environments)) => {
            let roots = roots.into_iter().collect::<Vec<_>>().join(", ");
            let lines = environments.iter().map(|environment| serde_json::to_string(environment).unwrap() + "\n");
            format!("folders below: [{roots}]\n{}", lines.collect::<String>())
        }
    }
}

fn excerpts(complaints: &[Located], text: &str) -> String {
    complaints.iter().map(|complaint| complaint.with_excerpt(text)).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_case_says_what_it_should() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/policy"), "expected", outcome);
}

/// Every file of `tests/cases/codeowners` is one owner file, whose forge reads it, and files of a change: who is asked for
/// each, or what is wrong with the file.
#[test]
fn owners_of_files_are_those_that_the_forge_says() {
    let outcome = |case: &Case| {
        let section = |name: &str| {
            let found = case.files.iter().find(|(file, _)| file == name);
            found.map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).unwrap_or_default()
        };
        let forge = match case.setting("forge").unwrap() {
            "github" => Dialect::GitHub,
            "gitlab" => Dialect::GitLab,
            "gitea" => Dialect::Gitea,
            other => panic!("{other}"),
        };
        let file = match OwnerFile::parse(forge, "CODEOWNERS", &section("CODEOWNERS")) {
            Ok(file) => file,
            Err(complaints) => return complaints.iter().map(|one| format!("{one}\n")).collect(),
        };
        let stored = serde_json::to_value(&file).unwrap();
        let file: OwnerFile = serde_json::from_value(stored).unwrap();
        let mut said = String::new();
        for path in section("files").lines() {
            let owned = file.owners([path]).unwrap();
            let claims: Vec<String> =
                owned.claims.iter().map(|claim| format!("{} of {}", claim.count, shown(&claim.owners))).collect();
            let claims = if claims.is_empty() { "nobody's".to_owned() } else { claims.join(" and ") };
            assert_eq!(owned.unowned.is_some(), owned.claims.is_empty(), "{path}");
            writeln!(said, "{path}: {claims}").unwrap();
        }
        said
    };
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/codeowners"), "expected", outcome);
}

fn shown(owners: &Voters) -> String {
    let all = owners.users.iter().map(|user| format!("@{user}"));
    let all = all.chain(owners.teams.iter().map(|team| format!("team {team}"))).chain(owners.emails.iter().cloned());
    all.collect::<Vec<_>>().join(" ")
}

/// 20 teams × 25 applications × 2 sites.
const THOUSAND: &str = r#"
version: 1
defaults: { consent: { approvals: [{ count: 1, roles: [write] }] } }
environments:
  "{team}-{app}-{site}":
    path: teams/{team}/{app}
    for: { site: [berlin, paris] }
    cluster: "edge-{site}"
    namespace: "{team}-{app}"
    after: ["{team}-{app}-canary"]
  "{team}-{app}-canary":
    path: teams/{team}/{app}/canary
    cluster: dev
    namespace: "{team}-{app}"
"#;

fn thousand_folders() -> Vec<String> {
    let apps = (0..20).flat_map(|team| (0..25).map(move |app| format!("teams/t{team}/a{app}")));
    apps.flat_map(|app| [app.clone(), format!("{app}/canary")]).collect()
}

#[test]
fn a_thousand_environments_come_from_a_short_file_and_stay_when_a_folder_is_added() {
    assert!(THOUSAND.lines().count() < 60);
    let file = RepositoryFile::parse(FILE_NAME, THOUSAND).unwrap();
    let before = file.expand(thousand_folders()).unwrap();
    assert_eq!(before.len(), 20 * 25 * 3);

    let added = ["teams/a-new-one/first", "teams/a-new-one/first/canary"].map(str::to_owned);
    let after = file.expand(thousand_folders().into_iter().rev().chain(added)).unwrap();
    assert_eq!(after.len(), before.len() + 3);
    let by_name: BTreeMap<_, &Environment> = after.iter().map(|e| (&e.name, e)).collect();
    for environment in &before {
        assert_eq!(by_name[&environment.name], environment, "as it was");
    }
}

#[test]
fn more_environments_than_anyone_needs_are_refused() {
    let folders: Vec<String> = (0..10_001).map(|n| format!("apps/a{n}")).collect();
    let text = "version: 1\nenvironments:\n  \"{a}\": { path: \"apps/{a}\", cluster: dev, namespace: shop }\n";
    let complaints = RepositoryFile::parse(FILE_NAME, text).unwrap().expand(folders).unwrap_err();
    insta::assert_snapshot!(excerpts(&complaints, text), @r#"
    .bascule.yaml:3:3: the file gives more than 10000 environments; narrow the patterns, or split the repository
       |
     3 |   "{a}": { path: "apps/{a}", cluster: dev, namespace: shop }
       |   ^
    "#);
    let digits = "[a, b, c, d, e, f, g, h, i, j, k, l]";
    let text = format!(
        "version: 1\nenvironments:\n  \"{{a}}{{b}}{{c}}{{d}}\":\n    path: x\n    for: {{ a: {digits}, b: {digits}, c: {digits}, d: {digits} }}\n"
    );
    insta::assert_snapshot!(excerpts(&RepositoryFile::parse(FILE_NAME, &text).unwrap_err(), &text), @"
    .bascule.yaml:5:10: `for` gives more than 10000 environments; split the repository
       |
     5 |     for: { a: [a, b, c, d, e, f, g, h, i, j, k, l], b: [a, b, c, d, e, f, g, h, i, j, k, l], c: [a, b, c, d, e, f, g, h,
       |          ^
    ");
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let text = format!("version: 1\n# {}", "x".repeat(4 << 20));
    insta::assert_snapshot!(excerpts(&RepositoryFile::parse(FILE_NAME, &text).unwrap_err(), ""), @".bascule.yaml:1:1: the file has 4194317 bytes, more than the 262144 that are read; use patterns instead of repeated blocks");
}

fn platform() -> Platform {
    let cluster = |name: &str| name.parse::<ClusterName>().unwrap();
    let rule =
        ApprovalRule { count: 1, voters: Voters { roles: [Role::Write].into(), ..Voters::default() }, when: None };
    let grant = Grant {
        repositories: vec!["work/acme/*".into()],
        clusters: [cluster("dev"), cluster("prod")].into(),
        namespaces: vec!["shop".into(), "shop-*".into()],
        cluster_scoped: vec!["Namespace".into()],
        deny: vec!["rbac.authorization.k8s.io/*".into()],
        prometheus: Default::default(),
        impersonate: None,
        secrets: None,
        owners: None,
    };
    Platform {
        grants: [("shop".to_owned(), grant)].into(),
        floors: [(
            "production".to_owned(),
            Floor { clusters: [cluster("prod")].into(), approvals: vec![rule], ..Floor::default() },
        )]
        .into(),
        groups: [("sre".to_owned(), Group::default())].into(),
        registries: ["charts".parse().unwrap()].into(),
        health: BTreeMap::new(),
    }
}

#[test]
fn the_platform_refuses_what_is_beyond_it_at_its_line() {
    let text = r#"version: 1
owners: { groups: [srre] }
defaults: { cluster: dev, namespace: shop, consent: { approvals: [{ groups: [sre] }] } }
environments:
  good: { path: a }
  elsewhere: { path: b, cluster: edge }
  system: { path: c, namespace: kube-system }
  open: { path: d, cluster: prod, consent: none }
  open-dev: { path: e, consent: none }
  strangers: { path: f, consent: { approvals: [{ groups: [dba] }] } }
"#;
    let file = RepositoryFile::parse(FILE_NAME, text).unwrap();
    let environments: Vec<Expanded> = file.expand_placed(Vec::<&str>::new()).unwrap();
    let complaints = reach::complaints(&platform(), "work/acme/shop", &file, &environments);
    insta::assert_snapshot!(excerpts(&complaints, text), @"
    .bascule.yaml:2:20: group `srre` is not known to the server; did you mean `sre`?
       |
     2 | owners: { groups: [srre] }
       |                    ^
    .bascule.yaml:6:3: environment `elsewhere`: cluster `edge` is not granted to this repository; change the environment, or ask the platform's people
       |
     6 |   elsewhere: { path: b, cluster: edge }
       |   ^
    .bascule.yaml:7:3: environment `system`: namespace `kube-system` in cluster `dev` is not granted to this repository; change the environment, or ask the platform's people
       |
     7 |   system: { path: c, namespace: kube-system }
       |   ^
    .bascule.yaml:8:3: environment `open`: `consent: none` is not possible in cluster `prod`: floor `production` asks for approvals; change the environment, or ask the platform's people
       |
     8 |   open: { path: d, cluster: prod, consent: none }
       |   ^
    .bascule.yaml:10:59: group `dba` is not known to the server; ask for a `[group.dba]` in the server's file
        |
     10 |   strangers: { path: f, consent: { approvals: [{ groups: [dba] }] } }
        |                                                           ^
    ");
    assert!(platform().grants_for("work/other/shop").is_empty(), "no grant: silence");
}

mod whatever_is_written {
    use super::*;
    use proptest::prelude::*;

    const WORDS: &[&str] = &[
        "version",
        "1",
        "environments",
        "defaults",
        "path",
        "cluster",
        "namespace",
        "for",
        "after",
        "consent",
        "none",
        "approvals",
        "count",
        "roles",
        "write",
        "helm",
        "values",
        "sync",
        "mode",
        "{a}",
        "{b}",
        "x/{a}",
        "\"",
        "'",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<",
        "!!binary ",
        "|",
        "#",
        "\t",
        "\u{feff}",
        "\r\n",
        "0x1",
        "1e400",
        "~",
        "---",
        "é",
        "\u{202e}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// Complaints have places in the text and are one line each; nothing panics.
        #[test]
        fn is_read_or_complained_about(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
            let text = words.concat();
            let folders = ["x", "x/y", "x/{b}", "x/\n"];
            let read = RepositoryFile::parse(FILE_NAME, &text).and_then(|file| file.expand(folders));
            for complaint in read.err().into_iter().flatten() {
                prop_assert!(complaint.to_string().lines().count() == 1, "{complaint:?}");
                prop_assert!(complaint.place.line > 0);
                complaint.with_excerpt(&text);
            }
            drop(bascule::config::parse("bascule.toml", &text, &bascule::config::Environ::default()));
        }

        /// One changed byte of a good file, likewise.
        #[test]
        fn is_read_or_complained_about_near_a_good_file(at in 0..THOUSAND.len(), byte in 0u8..128) {
            let mut bytes = THOUSAND.as_bytes().to_vec();
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            let read = RepositoryFile::parse(FILE_NAME, &text).and_then(|file| file.expand(["teams/a/b", "teams/a/b/canary"]));
            for complaint in read.err().into_iter().flatten() {
                prop_assert!(complaint.to_string().lines().count() == 1, "{complaint:?}");
            }
        }
    }
}

//! Manifests, as cases. Each file of `tests/cases/manifest` holds what is rendered and the set that comes of it; each
//! of `tests/cases/diff` an `old` and a `new` render, and what a person reads of their difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bascule::ids::{ObjectHash, ObjectKey, SetKey, Target};
use bascule::manifest::{
    Body, Dialect, HashKey, Judge, Limits, Manner, RenderedSet, Room, Scope, Scopes, Verb, Within, canonical_json,
    compare, parse,
};
use bascule::policy::rules::Grant;

use crate::cases::{self, Case};

#[test]
fn every_case_of_a_set() {
    cases::check(Path::new("tests/cases/manifest"), "set", set_of);
}

#[test]
fn every_case_of_a_difference() {
    cases::check(Path::new("tests/cases/diff"), "shown", |case| {
        let set = |name: &str| {
            let files: Vec<_> = case.files.iter().filter(|(file, _)| file == name).cloned().collect();
            let target = Target { cluster: "prod".parse().unwrap(), namespace: "shop".to_owned() };
            let parsed = parse(&files, Dialect::Plain, &Limits::default()).unwrap();
            let key = HashKey::new([7; 32]);
            RenderedSet::build(&target, &"rules", parsed, Within::Anywhere, &Scopes::without_cluster(), &key).unwrap()
        };
        let shown = differences(&set("old"), &set("new"));
        assert!(!shown.contains("hunter"), "a secret is shown:\n{shown}");
        assert_eq!(differences(&set("new"), &set("new")), "", "a set does not differ from itself");
        shown
    });
}

fn differences(old: &RenderedSet, new: &RenderedSet) -> String {
    let mut shown = String::new();
    for one in compare(Some(old), new, Manner::PLAIN, &mut Room::default()) {
        let verb = match one.verb {
            Verb::Added => '+',
            Verb::Changed => '~',
            Verb::Removed => '-',
        };
        shown.push_str(&format!("{verb} {} (+{} -{})\n", one.key, one.plus, one.minus));
        for fact in &one.notable {
            shown.push_str(&format!("{} {}\n", if fact.is_warning() { "!" } else { "*" }, fact.sentence()));
        }
        match &one.body {
            Body::Name => {}
            Body::TooLarge(paths) => shown.push_str(&format!("too large: {}\n", paths.join(", "))),
            Body::Hunks(hunks) => {
                for hunk in hunks {
                    shown.push_str(&format!("@@ {}\n{}\n", hunk.path, hunk.lines.join("\n")));
                }
            }
        }
    }
    shown
}

fn set_of(case: &Case) -> String {
    let setting = |word: &str| case.setting(word).map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let dialect = match case.setting("dialect") {
        Some("helm") => Dialect::Helm,
        Some("kustomize") => Dialect::Kustomize,
        None => Dialect::Plain,
        Some(other) => panic!("no dialect {other}"),
    };
    let grant = setting("namespaces").map(|namespaces| Grant {
        repositories: Vec::new(),
        clusters: BTreeSet::new(),
        namespaces,
        cluster_scoped: setting("cluster_scoped").unwrap_or_default(),
        deny: setting("deny").unwrap_or_default(),
        prometheus: Default::default(),
        impersonate: None,
        secrets: None,
        owners: None,
    });
    let judge = grant.map(|grant| move |key: &ObjectKey| grant.allows(key).map_err(|outside| outside.to_string()));
    let judges: Option<[Judge<'_>; 1]> = judge.as_ref().map(|judge| [judge as Judge<'_>]);
    let within = judges.as_ref().map_or(Within::Anywhere, |judges| Within::OneOf(judges));
    let scopes = setting("discovered").map_or_else(Scopes::without_cluster, |kinds| {
        Scopes::discovered(kinds.iter().map(|kind| {
            let (group, kind) = kind.split_once('/').unwrap();
            let (kind, scope) = kind.split_once('=').unwrap();
            let scope = if scope == "cluster" { Scope::Cluster } else { Scope::Namespaced };
            ((group.to_owned(), kind.to_owned()), scope)
        }))
    });
    let target = Target { cluster: "prod".parse().unwrap(), namespace: "shop".to_owned() };
    let key = HashKey::new([7; 32]);
    let built = parse(&case.files, dialect, &Limits::default())
        .and_then(|parsed| RenderedSet::build(&target, &"rules", parsed, within, &scopes, &key));
    match built {
        Ok(set) => {
            let hashes: BTreeMap<SetKey, ObjectHash> = set.hashes();
            assert_eq!(hashes.len(), set.objects.len() + 1, "every object and the entry has a hash");
            let objects = set.objects.values().map(|object| {
                assert_eq!(hashes[&SetKey::Object(object.key.clone())], key.hash(&object.json));
                let json = String::from_utf8(canonical_json(&object.json)).unwrap();
                format!(
                    "{} ({}, {})\n  {json}\n",
                    object.key,
                    object.api_version,
                    object.file.as_deref().unwrap_or("?")
                )
            });
            let left_out = set.left_out.iter().map(|left| format!("left out: {} ({})\n", left.key, left.acts));
            objects.chain(left_out).collect()
        }
        Err(errors) => errors.iter().map(|error| format!("error: {error}\n")).collect(),
    }
}

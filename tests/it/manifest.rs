//! Manifests, as cases: each file of `tests/cases/manifest` holds what is rendered and what comes of it.
//!
//! A case is sections headed `-- name --`. `settings` has lines `word: values`; every other section is a file, but the
//! last, `set`, which is what must come out.

use std::collections::BTreeMap;
use std::path::Path;

use bascule::ids::{ObjectHash, SetKey, Target};
use bascule::manifest::{Dialect, HashKey, Limits, Reach, RenderedSet, Scope, Scopes, Within, canonical_json, parse};

use crate::cases::{self, Case};

#[test]
fn every_case_of_a_set() {
    cases::check(Path::new("tests/cases/manifest"), "set", set_of);
}

fn set_of(case: &Case) -> String {
    let setting = |word: &str| case.setting(word).map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let dialect = match case.setting("dialect") {
        Some("helm") => Dialect::Helm,
        Some("kustomize") => Dialect::Kustomize,
        None => Dialect::Plain,
        Some(other) => panic!("no dialect {other}"),
    };
    let (namespaces, cluster_scoped, deny) =
        (setting("namespaces"), setting("cluster_scoped").unwrap_or_default(), setting("deny").unwrap_or_default());
    let reach =
        namespaces.as_deref().map(|namespaces| [Reach { namespaces, cluster_scoped: &cluster_scoped, deny: &deny }]);
    let within = reach.as_ref().map_or(Within::Anywhere, |reach| Within::OneOf(reach));
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

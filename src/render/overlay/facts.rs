//! What kustomize knows by heart: which fields hold labels, images, names of other objects, which kinds are in no
//! namespace, and which lists of the built-in kinds are merged by which key. Taken from its own configuration and from
//! the OpenAPI it carries (api and kyaml 0.21.2, which kustomize 5.8.2 is made of).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

/// Everything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    pub(super) common_labels: Vec<Spec>,
    pub(super) template_labels: Vec<Spec>,
    pub(super) volume_claim_template_labels: Vec<Spec>,
    pub(super) common_annotations: Vec<Spec>,
    pub(super) images: Vec<Spec>,
    pub(super) replicas: Vec<Spec>,
    pub(super) namespace: Vec<Spec>,
    name_reference: Vec<Reference>,
    cluster_scoped: BTreeSet<String>,
    /// `apps/v1 Deployment` → its type; empty where nothing below it is merged by a key.
    kinds: BTreeMap<String, String>,
    types: BTreeMap<String, BTreeMap<String, Field>>,
}

/// Where a field is, of which kinds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Spec {
    #[serde(deserialize_with = "parts")]
    pub(super) path: Vec<Part>,
    #[serde(flatten)]
    pub(super) of: Gvk,
    #[serde(default)]
    pub(super) create: bool,
}

/// One name of a path; `list` where it is written with `[]`.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) list: bool,
}

/// Group, version and kind; what is empty matches everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Gvk {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

impl Gvk {
    pub(super) fn selects(&self, api_version: &str, kind: &str) -> bool {
        let (group, version) = group_version(api_version);
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&self.group, group) && fits(&self.version, version) && fits(&self.kind, kind)
    }
}

/// `apps/v1` → (`apps`, `v1`).
pub(super) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Fields that hold the name of an object of some kind.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) of: Gvk,
    #[serde(rename = "in")]
    pub(super) fields: Vec<Spec>,
}

/// A field under which something is merged by a key.
#[derive(Debug, Deserialize)]
struct Field {
    /// The type of what it holds, or of each element; empty where nothing below is merged by a key.
    #[serde(default, rename = "type")]
    of: String,
    /// What its elements are merged by; `""` are elements that are scalars.
    #[serde(default)]
    keys: Vec<String>,
}

/// What is known about the lists below a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// Nothing: of a kind that is not built in.
    Unknown,
    /// None of them is merged by a key.
    Leaf,
    /// As the type says.
    Type(&'static str),
}

impl Facts {
    /// Read once.
    pub(super) fn get() -> &'static Self {
        static FACTS: LazyLock<Facts> = LazyLock::new(|| {
            serde_json::from_str(include_str!("kustomize.json")).expect("the file beside this one is of this shape")
        });
        &FACTS
    }

    /// In the order kustomize looks them through, with what they refer to.
    pub(super) fn references_of(&self, kind: &str) -> impl Iterator<Item = (&Gvk, &Spec)> {
        let of_kind = move |spec: &&Spec| spec.of.kind == kind;
        self.name_reference
            .iter()
            .flat_map(move |reference| reference.fields.iter().filter(of_kind).map(move |spec| (&reference.of, spec)))
    }

    pub(super) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        self.cluster_scoped.contains(&format!("{api_version} {kind}"))
    }

    pub(super) fn schema(&'static self, api_version: &str, kind: &str) -> Schema {
        match self.kinds.get(&format!("{api_version} {kind}")) {
            None => Schema::Unknown,
            Some(of) => named(of),
        }
    }

    /// What is below a field, and by which keys its elements are merged if it is a list.
    pub(super) fn below(&'static self, schema: Schema, field: &str) -> (Schema, &'static [String]) {
        match schema {
            Schema::Unknown => (Schema::Unknown, &[]),
            Schema::Leaf => (Schema::Leaf, &[]),
            Schema::Type(of) => match self.types.get(of).and_then(|fields| fields.get(field)) {
                Some(field) => (named(&field.of), &field.keys),
                None => (Schema::Leaf, &[]),
            },
        }
    }
}

fn named(of: &'static str) -> Schema {
    if of.is_empty() { Schema::Leaf } else { Schema::Type(of) }
}

/// `spec/containers[]/image`; a slash within a name is written `\/`.
fn parts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Part>, D::Error> {
    let path = String::deserialize(from)?;
    let part = |name: &str| {
        let name = name.replace('\0', "/");
        match name.strip_suffix("[]") {
            Some(name) => Part { name: name.to_owned(), list: true },
            None => Part { name, list: false },
        }
    };
    Ok(path.replace("\\/", "\0").split('/').map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_kustomizes_own() {
        let facts = Facts::get();
        assert!(facts.is_cluster_scoped("v1", "Namespace") && !facts.is_cluster_scoped("apps/v1", "Deployment"));
        let schema = facts.schema("apps/v1", "Deployment");
        let down = ["spec", "template", "spec"].iter().fold(schema, |at, field| facts.below(at, field).0);
        assert_eq!(facts.below(down, "containers").1, ["name"]);
        assert_eq!(facts.below(down, "tolerations").1.len(), 0);
        assert_eq!(facts.schema("example.com/v1", "Thing"), Schema::Unknown);
        let ingress: Vec<String> =
            facts.references_of("Ingress").map(|(_, spec)| spec.path.last().unwrap().name.clone()).collect();
        assert!(ingress.contains(&"nginx.ingress.kubernetes.io/auth-secret".to_owned()), "{ingress:?}");
    }
}

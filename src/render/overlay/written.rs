//! A kustomization file, as far as the core knows it. A key that is not here is outside the core.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::budget::Budget;
use super::{Outside, outside, text};

type Texts = BTreeMap<String, String>;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Kustomization {
    pub(super) api_version: String,
    pub(super) kind: String,
    metadata: Metadata,
    pub(super) resources: Vec<String>,
    pub(super) bases: Vec<String>,
    pub(super) components: Vec<String>,
    pub(super) namespace: String,
    pub(super) name_prefix: String,
    pub(super) name_suffix: String,
    pub(super) common_labels: Texts,
    pub(super) labels: Vec<Labels>,
    pub(super) common_annotations: Texts,
    pub(super) images: Vec<Image>,
    pub(super) replicas: Vec<Replicas>,
    pub(super) config_map_generator: Vec<Generator>,
    pub(super) secret_generator: Vec<Generator>,
    pub(super) generator_options: Options,
    pub(super) patches: Vec<Patch>,
    pub(super) patches_strategic_merge: Vec<String>,
    pub(super) patches_json6902: Vec<Patch>,
    sort_options: SortOptions,
}

/// Of the file itself: nothing depends on it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code, reason = "read so that what is written there is known to be harmless")]
struct Metadata {
    name: String,
    labels: Texts,
}

/// Alters the order of objects, which means nothing to a set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SortOptions {
    order: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Labels {
    pub(super) pairs: Texts,
    pub(super) include_selectors: bool,
    pub(super) include_templates: bool,
    pub(super) include_volume_claim_templates: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new_name: String,
    pub(super) new_tag: String,
    pub(super) digest: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replicas {
    pub(super) name: String,
    pub(super) count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Generator {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) behavior: String,
    pub(super) literals: Vec<String>,
    pub(super) files: Vec<String>,
    pub(super) envs: Vec<String>,
    pub(super) env: String,
    pub(super) options: Options,
    /// Of a Secret.
    #[serde(rename = "type")]
    pub(super) of: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Options {
    pub(super) labels: Texts,
    pub(super) annotations: Texts,
    pub(super) disable_name_suffix_hash: bool,
    pub(super) immutable: bool,
}

impl Options {
    /// With what the whole kustomization says: its own labels win, and a switch that is on stays on.
    pub(super) fn within(&self, whole: &Self, budget: &mut Budget) -> Result<Self, Outside> {
        budget.spend(8)?;
        for (key, value) in [self, whole].iter().flat_map(|one| one.labels.iter().chain(&one.annotations)) {
            budget.spend(2)?;
            budget.written(key.len() + value.len())?;
        }
        let mut all = whole.clone();
        all.labels.extend(self.labels.clone());
        all.annotations.extend(self.annotations.clone());
        all.disable_name_suffix_hash |= self.disable_name_suffix_hash;
        all.immutable |= self.immutable;
        Ok(all)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Patch {
    pub(super) path: String,
    pub(super) patch: String,
    pub(super) target: Option<Target>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Target {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) label_selector: String,
    pub(super) annotation_selector: String,
}

impl Kustomization {
    pub(super) fn read(content: &[u8], budget: &mut Budget) -> Result<Self, Outside> {
        let mut documents = text::documents(content, budget)?;
        let (Some(value @ Value::Object(_)), true) = (documents.pop(), documents.is_empty()) else {
            return outside("a kustomization is not one mapping");
        };
        let read: Self = serde_json::from_value(value).map_err(|error| {
            // What was expected is a long list, and a value may be a secret.
            let said = error.to_string();
            let unknown = said.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
            match unknown {
                Some(key) => Outside::new(format!("`{}`", key.chars().take(60).collect::<String>())),
                None => Outside::new("a value in a kustomization is of another type than it should be"),
            }
        })?;
        read.check()?;
        Ok(read)
    }

    pub(super) fn is_component(&self) -> bool {
        self.kind == "Component"
    }

    fn check(&self) -> Result<(), Outside> {
        let version = match self.kind.as_str() {
            "" | "Kustomization" => "kustomize.config.k8s.io/v1beta1",
            "Component" => "kustomize.config.k8s.io/v1alpha1",
            _ => return outside("a kustomization is of another kind"),
        };
        if !self.api_version.is_empty() && self.api_version != version {
            return outside("a kustomization is of another version");
        }
        if !matches!(self.sort_options.order.as_str(), "" | "legacy" | "fifo") {
            return outside("`sortOptions`");
        }
        // They end up in annotations that kustomize takes apart at commas, and unquoted in names.
        let words = [&self.name_prefix, &self.name_suffix, &self.namespace];
        if words.iter().any(|word| word.len() > 253 || word.contains([',', '\n', ' '])) {
            return outside("a prefix, suffix or namespace no object can have");
        }
        Ok(())
    }
}

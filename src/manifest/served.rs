//! The shapes of everything a cluster serves, as its OpenAPI tells them: kept, they judge objects where no cluster can be
//! asked. They say what is no field and what is of another type, and nothing of what admission or quotas would.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema::{Fit, fit_served};

/// What a cluster serves, by its own words of one day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServedSchemas {
    /// When the cluster was asked: `2026-11-20`.
    pub of: String,
    /// `apps/v1 Deployment` → the name of its schema.
    kinds: BTreeMap<String, String>,
    /// By name; they name each other.
    schemas: Map<String, Value>,
}

impl ServedSchemas {
    /// Those of a day, none so far.
    pub fn of(day: String) -> Self {
        Self { of: day, ..Self::default() }
    }

    /// Adds what one document of `/openapi/v3` says: that of one group at one version.
    pub fn add(&mut self, mut document: Value) {
        let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas").map(Value::take) else { return };
        for (name, mut schema) in schemas {
            undescribed(&mut schema);
            for kind in schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array).into_iter().flatten() {
                let word = |word: &str| kind.get(word).and_then(Value::as_str).unwrap_or_default();
                let group = if word("group").is_empty() { String::new() } else { format!("{}/", word("group")) };
                self.kinds.insert(format!("{group}{} {}", word("version"), word("kind")), name.clone());
            }
            self.schemas.insert(name, schema);
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// How an object fits the schema of its kind.
    pub fn fit(&self, object: &Value) -> Fit {
        let word = |word: &str| object.get(word).and_then(Value::as_str).unwrap_or_default();
        let named = self.kinds.get(&format!("{} {}", word("apiVersion"), word("kind")));
        match named.and_then(|name| self.schemas.get(name)) {
            Some(schema) => fit_served(schema, &self.schemas, object),
            None => Fit::NoSchema,
        }
    }
}

/// Without the words for people, which are most of it. A field may be called `description`; that is no text.
fn undescribed(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(undescribed);
        }
        Value::Array(items) => items.iter_mut().for_each(undescribed),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_field_or_of_another_type_is_told_by_its_path() {
        let mut served = ServedSchemas::of("2026-11-20".to_owned());
        assert!(served.is_empty());
        served.add(json!({"components": {"schemas": {
            "Deployment": {
                "description": "words", "type": "object",
                "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                    "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}], "default": {}},
                    "spec": {"allOf": [{"$ref": "#/components/schemas/Spec"}], "default": {}}},
                "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
            },
            "Meta": {"type": "object", "properties": {"name": {"type": "string"},
                "created": {"type": "string"},
                "annotations": {"type": "object", "additionalProperties": {"default": "", "type": "string"}}}},
            "Spec": {"type": "object", "required": ["template"], "properties": {
                "description": {"type": "string"}, "replicas": {"type": "integer"},
                "template": {"$ref": "#/components/schemas/Meta"}, "raw": {"type": "object"},
                "port": {"oneOf": [{"type": "integer"}, {"type": "string"}]}}},
        }}}));
        let served: ServedSchemas = serde_json::from_value(serde_json::to_value(&served).unwrap()).unwrap();
        let said = |spec: Value| {
            let metadata = json!({"name": "web", "uid": "anything of a whole object's"});
            served.fit(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}))
        };
        let good = json!({"replicas": 1, "description": "x", "raw": {"a": [1]}, "port": "http",
            "template": {"created": null, "annotations": {"a": "b"}}});
        assert_eq!(said(good), Fit::Fits);
        let Fit::Faults(faults) = said(json!({"replica": 1, "replicas": "1", "template": {"annotations": {"a": 1}}}))
        else {
            panic!("it fits")
        };
        insta::assert_snapshot!(faults.join("\n"), @"
        .spec.replica: field not declared in schema
        .spec.replicas: expected integer, got text
        .spec.template.annotations.a: expected string, got a number
        ");
        assert!(matches!(said(json!({})), Fit::Faults(_)), "what is required is not there");
        assert_eq!(served.fit(&json!({"apiVersion": "apps/v2", "kind": "Deployment"})), Fit::NoSchema);
    }

    #[test]
    fn schemas_that_name_each_other_in_a_circle_come_to_an_end() {
        let mut served = ServedSchemas::of(String::new());
        served.add(json!({"components": {"schemas": {
            "A": {"$ref": "#/components/schemas/B", "x-kubernetes-group-version-kind": [{"version": "v1", "kind": "A"}]},
            "B": {"$ref": "#/components/schemas/A"},
        }}}));
        assert_eq!(served.fit(&json!({"apiVersion": "v1", "kind": "A", "x": 1})), Fit::Fits);
    }
}

//! What would make an object, as it is written, what it is in the cluster: of fields that are ours, and of nothing else.

use serde_json::{Map, Value};

use super::fields::own_fields;
use crate::manifest::edit::{Edit, Step, at, shown};

/// What has to be written differently. `sent` is the object as it was sent, `would` what an apply of it would make of `live`: of fields
/// that the server fills in or writes in its own way, both have its words.
///
/// # Errors
/// A field that is written in no way of its own.
pub fn adopt(sent: &Value, would: &Value, live: &Value) -> Result<Vec<Edit>, String> {
    let mut walk = Walk { sent, would, live, edits: Vec::new() };
    if let Some(fields) = own_fields(would).and_then(Value::as_object) {
        walk.below(fields, &mut Vec::new())?;
    }
    Ok(walk.edits)
}

struct Walk<'v> {
    sent: &'v Value,
    would: &'v Value,
    live: &'v Value,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    fn below(&mut self, fields: &Map<String, Value>, path: &mut Vec<Step>) -> Result<(), String> {
        let Some(would) = at(self.would, path) else { return Ok(()) };
        let live = at(self.live, path);
        if live == Some(would) {
            return Ok(());
        }
        let Some(sent) = at(self.sent, path) else {
            return Err(format!("`{}` is not written as the cluster has it", shown(path)));
        };
        let Some(live) = live else {
            self.edits.push(Edit { path: path.clone(), to: None });
            return Ok(());
        };
        if fields.keys().all(|name| name == ".") {
            // What is written empty may be filled by others.
            let is_empty = sent.as_object().is_some_and(Map::is_empty) || sent.as_array().is_some_and(Vec::is_empty);
            if !is_empty {
                self.edits.push(Edit { path: path.clone(), to: Some(live.clone()) });
            }
            return Ok(());
        }
        let of_set = |name: &str| name.strip_prefix("v:").and_then(|json| serde_json::from_str::<Value>(json).ok());
        let lost: Vec<Value> = fields.keys().filter_map(|name| of_set(name)).collect();
        if !lost.is_empty() {
            let (Some(live), Some(sent)) = (live.as_array(), sent.as_array()) else {
                return Err(format!("`{}` is not written as the cluster has it", shown(path)));
            };
            let kept: Vec<Value> = sent.iter().filter(|item| live.contains(item)).cloned().collect();
            if kept.len() < sent.len() {
                self.edits.push(Edit { path: path.clone(), to: Some(Value::Array(kept)) });
            }
            return Ok(());
        }
        for (name, inner) in fields {
            let step = if let Some(name) = name.strip_prefix("f:") {
                Step::Key(name.to_owned())
            } else if let Some(keys) = name.strip_prefix("k:").and_then(|json| serde_json::from_str(json).ok()) {
                Step::Item(keys)
            } else if name == "." {
                continue;
            } else {
                return Err(format!("an item of `{}` has no name by which it could be found", shown(path)));
            };
            let Some(inner) = inner.as_object() else { continue };
            path.push(step);
            let done = self.below(inner, path);
            path.pop();
            done?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::FIELD_MANAGER;
    use serde_json::json;

    fn owned(mut object: Value, fields: Value) -> Value {
        object["metadata"]["managedFields"] =
            json!([{ "manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields }]);
        object
    }

    fn deployment(replicas: u32, containers: Value) -> Value {
        json!({ "metadata": { "labels": { "tier": "web" } },
            "spec": { "replicas": replicas, "template": { "spec": { "containers": containers } } } })
    }

    #[test]
    fn what_is_ours_and_another_is_written_and_what_others_added_is_not() {
        let fields = json!({ "f:metadata": { "f:labels": { "f:tier": {} } }, "f:spec": { "f:replicas": {}, "f:template": { "f:spec": {
            "f:containers": { "k:{\"name\":\"web\"}": { ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:resources": { "f:requests": { "f:cpu": {} } } } } } } } });
        let ours = json!([{ "name": "web", "image": "nginx:1", "args": ["a"], "resources": { "requests": { "cpu": "1000m" } } }]);
        let answered = json!([{ "name": "web", "image": "nginx:1", "args": ["a"], "resources": { "requests": { "cpu": "1" } },
            "imagePullPolicy": "IfNotPresent" }]);
        let now = json!([{ "name": "proxy", "image": "envoy:1" }, { "name": "web", "image": "nginx:2", "args": ["a", "b"],
            "resources": { "requests": { "cpu": "1" } }, "imagePullPolicy": "Always" }]);
        let mut live = deployment(5, now);
        live["metadata"]["labels"] = json!({ "theirs": "x" });
        let would = owned(deployment(3, answered), fields);
        let edits = adopt(&deployment(3, ours.clone()), &would, &live).unwrap();
        let told: Vec<String> = edits.iter().map(|edit| format!("{} = {:?}", shown(&edit.path), edit.to)).collect();
        assert_eq!(
            told,
            [
                ".metadata.labels.tier = None".to_owned(),
                ".spec.replicas = Some(Number(5))".to_owned(),
                r#".spec.template.spec.containers[name="web"].args = Some(Array [String("a"), String("b")])"#
                    .to_owned(),
                r#".spec.template.spec.containers[name="web"].image = Some(String("nginx:2"))"#.to_owned(),
            ]
        );
        assert_eq!(adopt(&deployment(3, ours), &would, &would), Ok(Vec::new()));
    }

    #[test]
    fn of_a_set_only_what_was_ours_goes_and_what_has_no_name_is_refused() {
        let of = |list: Value| json!({ "metadata": { "finalizers": list } });
        let would =
            owned(of(json!(["a", "b"])), json!({ "f:metadata": { "f:finalizers": { "v:\"a\"": {}, "v:\"b\"": {} } } }));
        let edits = adopt(&of(json!(["a", "b"])), &would, &of(json!(["b", "theirs"]))).unwrap();
        assert_eq!(edits[0].to, Some(json!(["b"])));
        let would = owned(of(json!([1, 2])), json!({ "f:metadata": { "f:finalizers": { "i:0": {} } } }));
        assert!(adopt(&of(json!([1, 2])), &would, &of(json!([2, 1]))).unwrap_err().contains("has no name"));
        // What was written empty is not ours to fill.
        let would = owned(json!({ "data": {}, "metadata": {} }), json!({ "f:data": {} }));
        assert_eq!(adopt(&json!({ "data": {} }), &would, &json!({ "data": { "theirs": "x" } })), Ok(Vec::new()));
    }
}

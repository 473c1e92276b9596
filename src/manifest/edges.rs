//! What an object needs of its own set before it is sent: order where order matters, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::ids::ObjectKey;

use super::order::is_last;
use super::set::Object;

/// For each object the others of these that have to be there before it. What is outside is not waited for: it is there, or
/// the API server says that it is not.
pub fn edges<'a>(objects: impl IntoIterator<Item = &'a Object>) -> BTreeMap<&'a ObjectKey, BTreeSet<&'a ObjectKey>> {
    let all: BTreeMap<&ObjectKey, &Object> = objects.into_iter().map(|object| (&object.key, object)).collect();
    let mut edges = BTreeMap::new();
    let first: Vec<&ObjectKey> = all.keys().copied().filter(|key| !is_last(key)).collect();
    for (key, object) in &all {
        let mut needs = BTreeSet::new();
        if is_last(key) {
            // It could refuse what comes after it, and is often served by what comes before.
            needs.extend(first.iter().copied());
        }
        for name in named(object) {
            needs.extend(all.get_key_value(&name).map(|(found, _)| *found));
        }
        needs.remove(key);
        edges.insert(*key, needs);
    }
    edges
}

/// Everything that the object names and that must be there, whether it is in the set or not.
fn named(object: &Object) -> Vec<ObjectKey> {
    let namespace = object.key.namespace.clone();
    let core = |kind: &str, name: &str| ObjectKey {
        group: String::new(),
        kind: kind.to_owned(),
        namespace: namespace.clone(),
        name: name.to_owned(),
    };
    let text = |pointer: &str| object.json.pointer(pointer).and_then(Value::as_str);
    match (object.key.group.as_str(), object.key.kind.as_str()) {
        ("" | "apps" | "batch", _) if !pod(&object.json).is_null() => of_pod(pod(&object.json), &core),
        ("", "PersistentVolumeClaim") => {
            let class = text("/spec/storageClassName").filter(|name| !name.is_empty());
            class.map(|name| cluster("storage.k8s.io", "StorageClass", name)).into_iter().collect()
        }
        // Who may not give a right away by itself may bind only a role that is there.
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let (Some(kind), Some(name)) = (text("/roleRef/kind"), text("/roleRef/name")) else { return Vec::new() };
            let namespace = namespace.filter(|_| kind == "Role");
            let group = "rbac.authorization.k8s.io".to_owned();
            vec![ObjectKey { group, kind: kind.to_owned(), namespace, name: name.to_owned() }]
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let version = text("/spec/scaleTargetRef/apiVersion").unwrap_or_default();
            let group = version.split_once('/').map_or("", |(group, _)| group).to_owned();
            let (Some(kind), Some(name)) = (text("/spec/scaleTargetRef/kind"), text("/spec/scaleTargetRef/name"))
            else {
                return Vec::new();
            };
            vec![ObjectKey { group, kind: kind.to_owned(), namespace, name: name.to_owned() }]
        }
        ("apiregistration.k8s.io", "APIService") => {
            let (Some(namespace), Some(name)) = (text("/spec/service/namespace"), text("/spec/service/name")) else {
                return Vec::new();
            };
            vec![ObjectKey { namespace: Some(namespace.to_owned()), ..core("Service", name) }]
        }
        _ => Vec::new(),
    }
}

fn cluster(group: &str, kind: &str, name: &str) -> ObjectKey {
    ObjectKey { group: group.to_owned(), kind: kind.to_owned(), namespace: None, name: name.to_owned() }
}

/// Where pods are described: in a Pod, in a template of any kind, and in a CronJob's template of a Job.
fn pod(json: &Value) -> &Value {
    let spec = &json["spec"];
    let within = [&spec["template"]["spec"], &spec["jobTemplate"]["spec"]["template"]["spec"], spec];
    within.into_iter().find(|spec| spec["containers"].is_array()).unwrap_or(&Value::Null)
}

fn of_pod(pod: &Value, core: &dyn Fn(&str, &str) -> ObjectKey) -> Vec<ObjectKey> {
    let mut needs = Vec::new();
    let mut add = |kind: &str, name: &Value| needs.extend(name.as_str().map(|name| core(kind, name)));
    add("ServiceAccount", &pod["serviceAccountName"]);
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for one in items(&pod["imagePullSecrets"]) {
        add("Secret", &one["name"]);
    }
    for volume in items(&pod["volumes"]) {
        add("ConfigMap", &volume["configMap"]["name"]);
        add("Secret", &volume["secret"]["secretName"]);
        add("PersistentVolumeClaim", &volume["persistentVolumeClaim"]["claimName"]);
        for source in items(&volume["projected"]["sources"]) {
            add("ConfigMap", &source["configMap"]["name"]);
            add("Secret", &source["secret"]["name"]);
        }
    }
    for container in ["initContainers", "containers"].iter().flat_map(|list| items(&pod[*list])) {
        for from in items(&container["envFrom"]) {
            add("ConfigMap", &from["configMapRef"]["name"]);
            add("Secret", &from["secretRef"]["name"]);
        }
        for variable in items(&container["env"]) {
            add("ConfigMap", &variable["valueFrom"]["configMapKeyRef"]["name"]);
            add("Secret", &variable["valueFrom"]["secretKeyRef"]["name"]);
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::ObjectHash;

    fn object(json: Value) -> Object {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let api_version = text("/apiVersion");
        let group = api_version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
        let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
        let key = ObjectKey { group, kind: text("/kind"), namespace, name: text("/metadata/name") };
        Object { key, api_version, json, file: None, line: None, hash: ObjectHash([0; 32]) }
    }

    fn named(version: &str, kind: &str, name: &str) -> Value {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}})
    }

    fn told(objects: &[Object]) -> String {
        let edges = edges(objects);
        let line = |(key, needs): (&&ObjectKey, &BTreeSet<&ObjectKey>)| {
            let needs: Vec<_> = needs.iter().map(|key| format!("{} {}", key.kind, key.name)).collect();
            let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
            format!("{} {} needs {needs}", key.kind, key.name)
        };
        edges.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_object_needs_what_it_names_and_nothing_else() {
        let mut web = named("apps/v1", "Deployment", "web");
        web["spec"] = json!({"template": {"spec": {"serviceAccountName": "web", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"configMap": {"name": "files"}}, {"secret": {"secretName": "keys"}},
                {"persistentVolumeClaim": {"claimName": "disk"}}, {"projected": {"sources": [{"secret": {"name": "more"}}]}}],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "env"}}]}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "one"}}}, {"value": "x"}]}]}}});
        let mut nightly = named("batch/v1", "CronJob", "nightly");
        nightly["spec"] = json!({"jobTemplate": {"spec": {"template": web["spec"]["template"]}}});
        let mut scaler = named("autoscaling/v2", "HorizontalPodAutoscaler", "web");
        scaler["spec"] = json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}});
        let mut binding = named("rbac.authorization.k8s.io/v1", "RoleBinding", "web");
        binding["roleRef"] = json!({"kind": "Role", "name": "web"});
        let mut elsewhere = named("v1", "ConfigMap", "files");
        elsewhere["metadata"]["namespace"] = "other".into();
        let objects = [
            web,
            nightly,
            scaler,
            binding,
            elsewhere,
            named("v1", "ServiceAccount", "web"),
            named("v1", "Secret", "pull"),
            named("v1", "ConfigMap", "files"),
            named("v1", "Secret", "keys"),
            named("v1", "PersistentVolumeClaim", "disk"),
            named("v1", "Secret", "more"),
            named("v1", "ConfigMap", "env"),
            named("v1", "Secret", "one"),
            named("v1", "ConfigMap", "unused"),
            named("rbac.authorization.k8s.io/v1", "Role", "web"),
        ]
        .map(object);
        insta::assert_snapshot!(told(&objects), @r"
        ConfigMap files needs nothing
        ConfigMap env needs nothing
        ConfigMap files needs nothing
        ConfigMap unused needs nothing
        PersistentVolumeClaim disk needs nothing
        Secret keys needs nothing
        Secret more needs nothing
        Secret one needs nothing
        Secret pull needs nothing
        ServiceAccount web needs nothing
        Deployment web needs ConfigMap env, ConfigMap files, PersistentVolumeClaim disk, Secret keys, Secret more, Secret one, Secret pull, ServiceAccount web
        HorizontalPodAutoscaler web needs Deployment web
        CronJob nightly needs ConfigMap env, ConfigMap files, PersistentVolumeClaim disk, Secret keys, Secret more, Secret one, Secret pull, ServiceAccount web
        Role web needs nothing
        RoleBinding web needs Role web
        ");
    }

    #[test]
    fn what_could_refuse_the_others_needs_all_of_them() {
        let objects = [
            named("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "guard"),
            named("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "rule"),
            named("v1", "Service", "guard"),
            named("v1", "ConfigMap", "a"),
        ]
        .map(object);
        insta::assert_snapshot!(told(&objects), @r"
        ConfigMap a needs nothing
        Service guard needs nothing
        ValidatingAdmissionPolicy rule needs ConfigMap a, Service guard
        ValidatingWebhookConfiguration guard needs ConfigMap a, Service guard
        ");
    }
}

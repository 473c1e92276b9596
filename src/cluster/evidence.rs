//! What a cluster says of an object that is not well: its pods, the warnings about it, the end of a log.
//!
//! Asked once, when a sync has failed, and bounded. What may not be read is no failure: the rule that would allow it is
//! named in its place.

use serde_json::Value;

use crate::ids::ObjectKey;
use crate::sync::explain::{Evidence, Log, Trouble, selector, trouble, unwell};

use super::Cluster;
use super::discovery::Resource;
use super::error::ClusterError;
use super::wire::{self, segment};

/// Warnings of a namespace that are looked through.
const EVENTS: usize = 500;
/// Pods of one workload that are looked at.
const PODS: usize = 100;
/// Lines of a log.
const LINES: usize = 10;
/// Bytes of a log: a line may be long.
const BYTES: usize = 8192;

impl Cluster {
    /// What there is to say of one object.
    pub async fn evidence(&self, resource: &Resource, key: &ObjectKey) -> Evidence {
        let mut evidence = Evidence::default();
        match self.get(resource, key).await {
            Ok(found) => evidence.live = found,
            Err(error) => evidence.missing.push(format!("it cannot be read: {error}")),
        }
        let namespace = key.namespace.as_deref();
        if let (Some(namespace), Some(live)) = (namespace, evidence.live.clone()) {
            self.pods(namespace, key, &live, &mut evidence).await;
        }
        // Warnings about what has no namespace are kept in this one.
        self.warnings(namespace.unwrap_or("default"), &mut evidence).await;
        if let Some(namespace) = namespace {
            self.log(namespace, &mut evidence).await;
        }
        evidence
    }

    async fn pods(&self, namespace: &str, key: &ObjectKey, live: &Value, evidence: &mut Evidence) {
        if (key.group.as_str(), key.kind.as_str()) == ("", "Pod") {
            evidence.pods.push(live.clone());
            return;
        }
        let Some(selector) = selector(live) else { return };
        let path =
            format!("/api/v1/namespaces/{}/pods?limit={PODS}&labelSelector={}", segment(namespace), segment(&selector));
        match self.read_json(&path, wire::JSON).await {
            Ok(list) => evidence.pods = items(list),
            Err(error) => evidence.missing.push(unreadable("its pods", &error, "pods", "list")),
        }
    }

    async fn warnings(&self, namespace: &str, evidence: &mut Evidence) {
        let path =
            format!("/api/v1/namespaces/{}/events?limit={EVENTS}&fieldSelector=type%3DWarning", segment(namespace));
        match self.read_json(&path, wire::JSON).await {
            Ok(list) => evidence.events = items(list),
            Err(error) => evidence.missing.push(unreadable("its events", &error, "events", "list")),
        }
    }

    /// Of the first container that is in trouble and has run.
    async fn log(&self, namespace: &str, evidence: &mut Evidence) {
        let found = unwell(&evidence.pods).find_map(|pod| {
            let trouble = trouble(pod, &str::to_owned).filter(|trouble| trouble.has_run)?;
            Some((pod.pointer("/metadata/name")?.as_str()?.to_owned(), trouble))
        });
        let Some((pod, Trouble { container, has_ended, .. })) = found else { return };
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/log?container={}&tailLines={LINES}&limitBytes={BYTES}",
            segment(namespace),
            segment(&pod),
            segment(&container)
        );
        // What it wrote before it ended is what is asked for; some runtimes have thrown that away.
        let mut told = Err(ClusterError::NotFound(String::new()));
        if has_ended {
            told = self.read_text(&format!("{path}&previous=true")).await;
        }
        if told.as_ref().is_ok_and(String::is_empty) || matches!(&told, Err(error) if !is_forbidden(error)) {
            told = self.read_text(&path).await;
        }
        match told {
            Ok(text) => match whole_lines(text) {
                Some(text) => evidence.log = Some(Log { container, text }),
                None => evidence
                    .missing
                    .push(format!("the log of {container} ends with a line that is too long to be shown")),
            },
            Err(error) => {
                evidence.missing.push(unreadable(&format!("the log of {container}"), &error, "pods/log", "get"));
            }
        }
    }
}

/// Without the last line where the limit may have cut it: nothing hides the half of a secret. `None`: it is one such line.
fn whole_lines(text: String) -> Option<String> {
    if text.len() < BYTES { Some(text) } else { text.rsplit_once('\n').map(|(whole, _)| whole.to_owned()) }
}

fn items(list: Value) -> Vec<Value> {
    match list {
        Value::Object(mut list) => match list.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn is_forbidden(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Refused { status: 403, .. })
}

/// What a person reads in its place: of what we may not read, the rule that would let us.
fn unreadable(what: &str, error: &ClusterError, resource: &str, verb: &str) -> String {
    if is_forbidden(error) {
        format!(
            "{what} may not be read: add `{{ apiGroups: [\"\"], resources: [{resource}], verbs: [{verb}] }}` to the role \
             of the account that syncs"
        )
    } else {
        format!("{what} cannot be read: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_may_have_been_cut_is_no_part_of_a_log() {
        let long = "x".repeat(BYTES);
        assert_eq!(whole_lines("one\ntwo".to_owned()).as_deref(), Some("one\ntwo"));
        assert_eq!(whole_lines(format!("one\n{long}")).as_deref(), Some("one"));
        assert_eq!(whole_lines(long), None);
    }
}

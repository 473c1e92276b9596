//! Drift while everything goes wrong: whoever works dies, somebody edits again, a kind or the API server goes away, and very much
//! happens at once.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::drift::{BY_HAND, REPLICAS, Watching, writes};
use super::*;

/// Changes of our object and of strangers that come at once.
const BURST: usize = 300;

impl Town {
    /// The drift of before is so long ago that nobody is known by it any more.
    fn hours_pass(&self) {
        self.context.clock.advance(SignedDuration::from_hours(3));
        self.forge.waits(SignedDuration::from_hours(3));
    }

    /// Somebody writes this at this place of an object, whatever its version is: as fast as it goes.
    async fn puts(&self, path: &str, manager: &str, (pointer, value): (&str, Value)) {
        let mut object = self.plane.get(path).await.unwrap();
        object["metadata"]["resourceVersion"] = Value::Null;
        *object.pointer_mut(pointer).unwrap() = value;
        let path = format!("{path}?fieldManager={manager}");
        self.plane.request(Method::PUT, &path, Some(&object)).await.unwrap();
    }
}

#[test]
fn whoever_dies_between_a_look_and_a_write_or_after_it_leaves_it_to_the_next() {
    check(async |t| {
        t.runs(&format!("{RULES}    drift: heal\n"), &[(WEB, &settings("web", "1"))]).await;
        let watching = Watching::begins(t, "one");
        t.somebody_writes("theirs").await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.dies_before("environment.heal").await;
        assert_eq!(t.objects().await, ["web=theirs"], "nothing is written before it is said that it will be");
        t.is_right_again(&["web=1"]).await;
        let healed = ["drift.began", "environment.heal", "environment.healed"];
        assert_eq!(t.said_of_drift().await, healed);

        t.hours_pass();
        t.database.owner.execute("DROP FUNCTION waits()").await.unwrap();
        t.somebody_writes("mine").await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.dies_before("environment.healed").await;
        assert_eq!(t.objects().await, ["web=1"], "written, and nobody knows");
        t.is_right_again(&["web=1"]).await;
        // What came of it is not known, but that it is right again: it is not written once more.
        assert_eq!(t.actions("intent.unknown").await.len(), 1);
        let said = t.said_of_drift().await;
        assert_eq!(said[healed.len()..], ["drift.began", "environment.heal", "drift.ended"]);
        watching.ends().await;
    });
}

#[test]
fn what_is_edited_while_it_is_put_right_is_looked_at_once_more() {
    check(async |t| {
        let front = t.runs_behind_a_front("    drift: heal\n", &[(WEB, &settings("web", "1"))]).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        let (plane, namespace) = (t.plane, t.namespace.clone());
        // Between the first try, which is refused since somebody holds it, and the answer to it.
        front.loses_the_next_answer(Box::pin(async move {
            let patch = r#"{"data":{"value":"again","more":"x"}}"#;
            let edit = [
                "-n",
                &namespace,
                "--field-manager=kubectl-edit",
                "patch",
                "configmap",
                "web",
                "--type=merge",
                "-p",
                patch,
            ];
            plane.kubectl(&edit).await.unwrap();
        }));
        t.somebody_writes("theirs").await;
        t.is_right_again(&["web=1"]).await;
        let path = format!("/api/v1/namespaces/{}/configmaps/web", t.namespace);
        assert_eq!(t.plane.get(&path).await.unwrap()["data"]["more"], "x", "what was never ours stays");
        watching.ends().await;
        t.troubles.clear();
    });
}

#[test]
fn what_an_autoscaler_counts_is_no_drift_and_stays_when_the_rest_is_put_right() {
    check(async |t| {
        let counted = REPLICAS.replace(r#""selector""#, r#""replicas": 1, "selector""#);
        let front = t.runs_behind_a_front("    drift: heal\n", &[("deploy/set.yaml", &counted)]).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", t.namespace);
        // As the controller of autoscalers does it.
        let mut scale = t.plane.get(&format!("{path}/scale")).await.unwrap();
        scale["spec"]["replicas"] = 4.into();
        let written = format!("{path}/scale?fieldManager=kube-controller-manager");
        t.plane.request(Method::PUT, &written, Some(&scale)).await.unwrap();
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.run_jobs().await;
        assert_eq!(t.drifted().await, [""; 0]);
        assert_eq!(t.said_of_drift().await, [""; 0]);
        // A person's hand on something else goes back, and the count does not.
        t.kubectl(&["label", "--overwrite", "deployment", "web", "tier=other"]).await;
        t.until("SELECT FROM audit_entry WHERE action = 'environment.healed' OR (SELECT suspect FROM inventory)").await;
        t.comes_to(&[]).await;
        t.until("SELECT FROM audit_entry WHERE action = 'environment.healed'").await;
        let live = t.plane.get(&path).await.unwrap();
        assert_eq!((&live["metadata"]["labels"]["tier"], &live["spec"]["replicas"]), (&json!("web"), &json!(4)));
        watching.ends().await;
    });
}

#[test]
fn a_kind_that_goes_away_under_a_watch_takes_its_objects_along_and_they_come_back_with_it() {
    check(async |t| {
        let group = format!("{}.example.com", t.namespace);
        let schema = "{ type: object, x-kubernetes-preserve-unknown-fields: true }";
        let definition = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: toys.{group} }}\n\
             spec: {{ group: {group}, scope: Namespaced, names: {{ plural: toys, kind: Toy }},\n  \
             versions: [{{ name: v1, served: true, storage: true, schema: {{ openAPIV3Schema: {schema} }} }}] }}\n"
        );
        let named = format!("crd/toys.{group}");
        let established = ["wait", "--for=condition=Established", named.as_str()];
        t.plane.apply(&definition).await.unwrap();
        t.plane.kubectl(&established).await.unwrap();
        let toy = format!("apiVersion: {group}/v1\nkind: Toy\nmetadata: {{ name: bear }}\nspec: {{ legs: 4 }}\n");
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1")), ("deploy/toy.yaml", &toy)]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "9"))]).await;
        t.run_jobs().await;
        let (watching, _) = t.watches(&front, "one", 2).await;
        t.plane.kubectl(&["delete", &named]).await.unwrap();
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.run_jobs().await;
        let drifted = t.drifted().await;
        assert!(drifted.len() == 1 && drifted[0].replace(&group, "x").starts_with("Toy"), "{drifted:?}");
        assert!(drifted[0].contains(" gone ["), "{drifted:?}");
        // The other kind is watched as before.
        t.somebody_writes("theirs").await;
        t.until("SELECT FROM inventory WHERE suspect AND kind = 'ConfigMap'").await;
        t.run_jobs().await;
        assert_eq!(t.drifted().await.len(), 2, "{:?}", t.drifted().await);
        t.plane.apply(&definition).await.unwrap();
        t.plane.kubectl(&established).await.unwrap();
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.is_right_again(&["web=1"]).await;
        let path = format!("/apis/{group}/v1/namespaces/{}/toys/bear", t.namespace);
        assert_eq!(t.plane.get(&path).await.unwrap()["spec"]["legs"], 4);
        watching.ends().await;
        t.plane.kubectl(&["delete", &named]).await.unwrap();
    });
}

#[test]
fn an_api_server_that_goes_away_is_asked_again_and_what_happened_meanwhile_is_found() {
    check(async |t| {
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1"))]).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        front.refuses(503);
        front.breaks_off();
        t.somebody_writes("theirs").await;
        front.recovers();
        t.comes_to(&[BY_HAND]).await;
        // Away when it is to be looked at: it stays suspect, and is looked at when it is back.
        t.kubectl(&["delete", "configmap", "web"]).await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        front.refuses(503);
        front.breaks_off();
        t.tries(1).await;
        assert_eq!(t.drifted().await, [BY_HAND], "not known is not gone");
        front.recovers();
        t.comes_to(&["ConfigMap shop/web gone [] by []"]).await;
        assert_eq!(writes(&front.asked()), [""; 0]);
        watching.ends().await;
        t.troubles.clear();
    });
}

#[test]
fn very_many_changes_at_once_are_one_look() {
    check(async |t| {
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1"))]).await;
        t.kubectl(&["create", "configmap", "stranger"]).await;
        for name in ["web", "stranger"] {
            t.kubectl(&["label", "configmap", name, "theirs=0"]).await;
        }
        let (watching, _) = t.watches(&front, "one", 1).await;
        let all = format!("/api/v1/namespaces/{}/configmaps", t.namespace);
        let changes = (0..BURST).map(|at| {
            let name = if at % 2 == 0 { "web" } else { "stranger" };
            let (path, labels, town) = (format!("{all}/{name}"), json!({ "theirs": at.to_string() }), &*t);
            async move { town.puts(&path, "somebody", ("/metadata/labels", labels)).await }
        });
        stream::iter(changes).buffer_unordered(8).collect::<Vec<()>>().await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        let jobs = "SELECT WHERE (SELECT count(*) FROM job WHERE state = 'pending' AND kind = 'sync_environment') = 1";
        t.until(jobs).await;
        let asked = front.asked();
        assert_eq!(asked.len(), 0, "nothing is read while it happens: {asked:#?}");
        // What comes last is what counts.
        t.somebody_writes("theirs").await;
        t.comes_to(&[BY_HAND]).await;
        assert_eq!(t.said_of_drift().await, ["drift.began"]);
        t.kubectl(&["delete", "configmap", "stranger"]).await;
        watching.ends().await;
    });
}

#[test]
fn a_hand_is_known_of_as_soon_as_it_was_there() {
    check(async |t| {
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1"))]).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        let path = format!("/api/v1/namespaces/{}/configmaps/web", t.namespace);
        t.puts(&path, "kubectl-edit", ("/data/value", "theirs".into())).await;
        let began = Instant::now();
        let mut ran = Vec::new();
        while t.drifted().await.is_empty() {
            match t.claim().await {
                Some(job) => {
                    ran.push(format!("{} after {:?}", job.kind, began.elapsed()));
                    t.run(&job, &tokio_util::sync::CancellationToken::new()).await;
                }
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        // A figure to look at; how fast a machine is proves nothing.
        println!("from the edit to the row: {:?} ({})", began.elapsed(), ran.join(", "));
        assert_eq!(t.drifted().await, [BY_HAND]);
        assert_eq!(ran.len(), 1, "one look: {ran:?}");
        watching.ends().await;
    });
}

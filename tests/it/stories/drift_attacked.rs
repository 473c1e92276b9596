//! Drift while everything goes wrong: whoever works dies, somebody edits again, a kind or the API server goes away, and very much
//! happens at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bascule::cluster::Identity;
use bascule::db::freezes::{self, Freeze};
use bascule::ids::{RepositoryKey, TraceId};
use bascule::{jobs, queue};
use futures::{StreamExt as _, stream};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::drift::{BY_HAND, REPLICAS, Watching, writes};
use super::*;
use crate::support::front::IsIt;

/// Changes of our object and of strangers that come at once.
const BURST: usize = 300;

impl Town {
    /// The drift of before is so long ago that nobody is known by it any more.
    fn hours_pass(&self) {
        self.context.clock.advance(SignedDuration::from_hours(3));
        self.forge.waits(SignedDuration::from_hours(3));
    }

    /// Its job is asked for, for the gate and by a person who wants everything put right.
    async fn is_asked_for_everything(&self) {
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: self.shop.id };
        let trace = TraceId(Uuid::from_u128(7));
        let mut conn = self.database.pool.acquire().await.unwrap();
        let jobs = [jobs::asked_heal(&key, 1, trace), jobs::sync_environment(&key, 1, trace)];
        queue::enqueue_all(&mut conn, &jobs).await.unwrap();
    }

    /// Toys, a kind of this town's, at these versions; the last one is stored.
    async fn has_toys(&self, versions: &[&str]) {
        let group = self.toys();
        let schema = "{ type: object, x-kubernetes-preserve-unknown-fields: true }";
        let version = |(at, name): (usize, &&str)| {
            let stored = at + 1 == versions.len();
            format!("{{ name: {name}, served: true, storage: {stored}, schema: {{ openAPIV3Schema: {schema} }} }}")
        };
        let versions: Vec<String> = versions.iter().enumerate().map(version).collect();
        let definition = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: toys.{group} }}\n\
             spec: {{ group: {group}, scope: Namespaced, names: {{ plural: toys, kind: Toy }}, versions: [{}] }}\n",
            versions.join(", ")
        );
        self.plane.apply(&definition).await.unwrap();
        let named = format!("crd/toys.{group}");
        self.plane.kubectl(&["wait", "--for=condition=Established", &named]).await.unwrap();
    }

    fn toys(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    async fn has_no_toys(&self) {
        self.plane.kubectl(&["delete", &format!("crd/toys.{}", self.toys())]).await.unwrap();
    }

    /// A toy at this version, as a file.
    fn toy(&self, version: &str) -> String {
        format!("apiVersion: {}/{version}\nkind: Toy\nmetadata: {{ name: bear }}\nspec: {{ legs: 4 }}\n", self.toys())
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
        t.has_toys(&["v1"]).await;
        let (group, toy) = (t.toys(), t.toy("v1"));
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1")), ("deploy/toy.yaml", &toy)]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "9"))]).await;
        t.run_jobs().await;
        let (watching, _) = t.watches(&front, "one", 2).await;
        t.has_no_toys().await;
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
        t.has_toys(&["v1"]).await;
        // A watch asks within a minute what is served; whoever renders takes its word.
        let other = t.context.clusters.get(&"other".parse().unwrap(), &Identity::Own).await.unwrap();
        other.served_now().await.unwrap();
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.is_right_again(&["web=1"]).await;
        let path = format!("/apis/{group}/v1/namespaces/{}/toys/bear", t.namespace);
        assert_eq!(t.plane.get(&path).await.unwrap()["spec"]["legs"], 4);
        watching.ends().await;
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
                    t.run(&job, &CancellationToken::new()).await;
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

#[test]
fn a_person_s_word_is_carried_out_once_whatever_its_job_is_tried_again_for() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.somebody_writes("theirs").await;
        t.is_asked_for_everything().await;
        // The cluster is there, and the forge is not: the gate is judged again and again.
        t.forge.goes_away().await;
        t.tries(1).await;
        assert_eq!(t.objects().await, ["web=1"]);
        t.somebody_writes("mine").await;
        t.forge.returns().await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=mine"], "nobody said that this is to go");
        assert_eq!(t.actions("environment.heal").await.len(), 1);
        // Said once more, it goes.
        t.is_asked_for_everything().await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn a_word_that_the_cluster_was_not_there_for_is_carried_out_when_it_is_back() {
    check(async |t| {
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1"))]).await;
        t.somebody_writes("theirs").await;
        t.is_asked_for_everything().await;
        front.refuses(503);
        t.tries(1).await;
        front.recovers();
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));
        t.troubles.clear();
    });
}

#[test]
fn a_freeze_that_begins_while_much_is_put_right_keeps_hands_off_the_rest() {
    check(async |t| {
        let files = [(WEB, settings("web", "1")), ("deploy/b.yaml", settings("b", "1"))];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let front = t.runs_behind_a_front("    drift: heal\n", &files).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        // Between the two tries of the first, and after it was written.
        let asked: [(IsIt, &[&str]); 2] = [
            (
                |asked| asked.starts_with("PATCH ") && asked.contains("dryRun") && asked.contains("force=true"),
                &["b=theirs", "web=theirs"],
            ),
            (
                |asked| asked.starts_with("PATCH ") && !asked.contains("dryRun") && asked.contains("force=true"),
                &["b=1", "web=theirs"],
            ),
        ];
        for (is_it, left) in asked {
            t.hours_pass();
            let (pool, began_at) = (t.database.pool.clone(), t.context.clock.now());
            let until = Some(began_at + SignedDuration::from_hours(1));
            let freeze = Freeze {
                id: Uuid::new_v4(),
                environment: Some(1),
                by: "work/lee (5)".to_owned(),
                reason: "by hand".to_owned(),
                until,
                began_at,
            };
            for name in ["b", "web"] {
                let patch = r#"{"data":{"value":"theirs"}}"#;
                let edit = ["--field-manager=kubectl-edit", "patch", "configmap", name, "--type=merge", "-p", patch];
                t.kubectl(&edit).await;
                t.until(&format!("SELECT FROM inventory WHERE suspect AND name = '{name}'")).await;
            }
            front.before_it_answers(
                is_it,
                Box::pin(async move { freezes::begin(&mut pool.acquire().await.unwrap(), &freeze).await.unwrap() }),
            );
            t.tries(1).await;
            assert_eq!(t.objects().await, left);
            t.context.clock.advance(SignedDuration::from_hours(2));
            t.forge.waits(SignedDuration::from_hours(2));
            t.is_right_again(&["b=1", "web=1"]).await;
        }
        watching.ends().await;
    });
}

#[test]
fn a_look_takes_its_turn_among_the_syncs_of_its_cluster() {
    check(async |t| {
        let front = t.runs_behind_a_front("    drift: heal\n", &[(WEB, &settings("web", "1"))]).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        t.somebody_writes("theirs").await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.until("SELECT FROM job WHERE state = 'pending' AND kind = 'sync_environment'").await;
        front.asked();
        let turns = t.context.clusters.turns(&"other".parse().unwrap());
        let all = turns.available_permits();
        let others = turns.clone().acquire_many_owned(u32::try_from(all).unwrap()).await.unwrap();
        let job = t.claim().await.unwrap();
        // Whoever waits for a turn stops at once when it is told to.
        let told = CancellationToken::new();
        told.cancel();
        t.run(&job, &told).await;
        assert_eq!(front.asked(), [""; 0], "it asks nothing before it is its turn");
        drop(others);
        t.is_right_again(&["web=1"]).await;
        assert_eq!(turns.available_permits(), all, "and gives it back");
        watching.ends().await;
    });
}

#[test]
fn a_version_that_goes_under_a_watch_leaves_its_objects_watched_at_another() {
    check(async |t| {
        t.has_toys(&["v1", "v2"]).await;
        let toy = t.toy("v1");
        let front = t.runs_behind_a_front("", &[("deploy/toy.yaml", &toy)]).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        let crd = format!("toys.{}", t.toys());
        let unserved = r#"[{"op":"replace","path":"/spec/versions/0/served","value":false}]"#;
        t.plane.kubectl(&["patch", "crd", &crd, "--type=json", "-p", unserved]).await.unwrap();
        let toys = format!("toys.v2.{}", t.toys());
        t.kubectl(&["patch", &toys, "bear", "--type=merge", "-p", r#"{"spec":{"legs":5}}"#]).await;
        // What that is, only a deployment at the other version says: an apply at this one is refused.
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.run_jobs().await;
        watching.ends().await;
        t.has_no_toys().await;
        t.troubles.clear();
    });
}

#[test]
fn a_kind_that_goes_while_nobody_watches_is_found_by_who_watches_next() {
    check(async |t| {
        t.has_toys(&["v1"]).await;
        let toy = t.toy("v1");
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1")), ("deploy/toy.yaml", &toy)]).await;
        t.has_no_toys().await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        t.until("SELECT FROM inventory WHERE suspect AND kind = 'Toy'").await;
        t.run_jobs().await;
        let drifted: Vec<String> = t.drifted().await.into_iter().map(|one| one.replace(&t.toys(), "x")).collect();
        assert_eq!(drifted.len(), 1, "{drifted:?}");
        assert!(drifted[0].ends_with(" gone [] by []: the cluster does not have its kind any more"), "{drifted:?}");
        watching.ends().await;
        t.troubles.clear();
    });
}

#[test]
fn a_namespace_that_somebody_made_anew_is_not_written_to_before_the_fence() {
    check(async |t| {
        let mut platform = (*t.context.platform).clone();
        platform.grants.get_mut("shop").unwrap().cluster_scoped.push("Namespace".to_owned());
        Arc::get_mut(&mut t.context).expect("no job runs").platform = Arc::new(platform);
        let (name, plane) = (t.namespace.clone(), t.plane);
        let namespace =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name}, labels: {{ tier: web }} }}\n");
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1")), ("deploy/ns.yaml", &namespace)]).await;
        // Nothing here clears a namespace that is deleted: it goes, and its objects with it.
        t.kubectl(&["delete", "leases,configmaps", "--all"]).await;
        let path = format!("/api/v1/namespaces/{name}");
        t.plane.request(Method::DELETE, &path, None).await.unwrap();
        let mut leaving = t.plane.get(&path).await.unwrap();
        leaving["spec"]["finalizers"] = json!([]);
        t.plane.request(Method::PUT, &format!("{path}/finalize"), Some(&leaving)).await.unwrap();
        assert!(t.plane.get(&path).await.is_err(), "it is gone");
        // Somebody makes it after the fence was not to be had.
        let again = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { "tier": "theirs" } } });
        front.before_it_answers(
            |asked| asked.starts_with("POST ") && asked.contains("/leases"),
            Box::pin(async move {
                plane.request(Method::POST, "/api/v1/namespaces", Some(&again)).await.unwrap();
            }),
        );
        t.is_asked_for_everything().await;
        t.tries(1).await;
        let asked = front.asked();
        let is_write = |one: &&String| !one.starts_with("GET ") && !one.contains("dryRun");
        let written: Vec<&String> = asked.iter().filter(is_write).collect();
        let fence = |one: &&&String| one.starts_with("POST ") && one.contains("/leases");
        assert_eq!(written.iter().take(2).filter(fence).count(), 2, "tried, and taken: {written:#?}");
        let namespaces = written.iter().filter(|one| one.contains(&format!("/namespaces/{name}?")));
        assert_eq!(namespaces.count(), 0, "whose it is, is for the next look to say: {written:#?}");
        assert_eq!(t.objects().await, ["web=1"]);
        t.run_jobs().await;
        assert!(t.drifted().await[0].starts_with("Namespace shop replaced ["), "{:?}", t.drifted().await);
        t.troubles.clear();
    });
}

//! What is not in the cluster as it was left: seen by a watch, shown with whose hand it was, and put right where the rules or a person say so.

use std::time::Duration;

use bascule::app;
use bascule::db::{drift, restored};
use bascule::ids::{RepositoryKey, TraceId};
use bascule::sync::fence;
use bascule::{jobs, queue};
use jiff::SignedDuration;
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::fake::forge::Right;
use crate::support::front::Front;

/// A deployment whose number of replicas is nobody's business here; nothing makes it well.
pub(super) const REPLICAS: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"tier": "web"}}, "spec": {
 "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
 "spec": {"containers": [{"name": "web", "image": "nginx:1", "resources": {"requests": {"cpu": "1000m"}}}]}}}}
"#;

pub(super) const BY_HAND: &str = r#"ConfigMap shop/web changed [".data.value"] by ["kubectl-edit"]"#;

/// As `RULES`, through a front.
pub(super) fn rules(more: &str) -> String {
    format!("{}    sync: {{ timeout: 1s }}\n{more}", RULES.replace("cluster: test", "cluster: other"))
}

/// A server that watches.
pub(super) struct Watching {
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Watching {
    pub(super) fn begins(t: &Town, holder: &str) -> Self {
        let (stop, context, holder) = (CancellationToken::new(), t.context.clone(), holder.to_owned());
        let until = stop.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { app::watch_clusters(context, &holder, until).await });
        Self { stop, task }
    }

    pub(super) async fn ends(mut self) {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap();
    }
}

impl Town {
    pub(super) async fn runs_behind_a_front(&mut self, more: &str, files: &[(&str, &str)]) -> Front {
        let front = Front::of(self.plane).await;
        self.reaches_other_by(&front.kubeconfig());
        self.runs(&rules(more), files).await;
        front.asked();
        front
    }

    /// Somebody begins to watch so many kinds; what was asked for that.
    pub(super) async fn watches(&self, front: &Front, holder: &str, kinds: usize) -> (Watching, Vec<String>) {
        let (watching, mut asked) = (Watching::begins(self, holder), Vec::new());
        while asked.iter().filter(|one: &&String| one.contains("watch=true")).count() < kinds {
            tokio::time::sleep(Duration::from_millis(5)).await;
            asked.extend(front.asked());
        }
        (watching, asked)
    }

    pub(super) async fn kubectl(&self, arguments: &[&str]) {
        self.plane.kubectl(&[&["-n", &self.namespace], arguments].concat()).await.unwrap();
    }

    /// Somebody's hand is on the value of `web`.
    pub(super) async fn somebody_writes(&self, value: &str) {
        let patch = format!(r#"{{"data":{{"value":"{value}"}}}}"#);
        self.kubectl(&["--field-manager=kubectl-edit", "patch", "configmap", "web", "--type=merge", "-p", &patch])
            .await;
    }

    /// Asks the database until this is so: what a watch tells comes by itself.
    pub(super) async fn until(&self, condition: &str) {
        for _ in 0..1500 {
            let query = format!("SELECT EXISTS ({condition})");
            if sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.database.owner).await.unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not come to: {condition}");
    }

    /// What a watch tells is looked at, until exactly this has drifted.
    pub(super) async fn comes_to(&mut self, drifted: &[&str]) {
        self.comes_to_be(drifted, None).await;
    }

    /// What a watch tells is looked at and put right, until nothing has drifted and the objects are these.
    pub(super) async fn is_right_again(&mut self, objects: &[&str]) {
        self.comes_to_be(&[], Some(objects)).await;
    }

    async fn comes_to_be(&mut self, drifted: &[&str], objects: Option<&[&str]>) {
        for _ in 0..1500 {
            self.run_jobs().await;
            if self.drifted().await == drifted && (objects.is_none() || Some(self.objects().await) == owned(objects)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "it does not come to {drifted:#?} {objects:?}, but is {:#?} {:?}",
            self.drifted().await,
            self.objects().await
        );
    }

    /// What drifted, a line each.
    pub(super) async fn drifted(&self) -> Vec<String> {
        let mut conn = self.database.pool.acquire().await.unwrap();
        let all = drift::list(&mut conn, &drift::Which::default(), 100).await.unwrap();
        let mut lines: Vec<String> = all
            .into_iter()
            .map(|one| {
                let name = one.key.to_string().replace(&self.namespace, "shop");
                let mut line =
                    format!("{name} {} {:?} by {:?}", one.drift.what.as_str(), one.drift.fields, one.drift.by);
                for more in one.drift.detail.iter().chain(&one.trouble) {
                    line += &format!(": {}", more.replace(&self.namespace, "shop"));
                }
                line
            })
            .collect();
        lines.sort();
        lines
    }

    /// Somebody with a number that this database did not give yet wrote last; gives the number.
    async fn fence_moves_ahead(&self) -> i64 {
        let all = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace);
        let mut lease = self.plane.get(&all).await.unwrap()["items"][0].clone();
        let number = &mut lease["metadata"]["annotations"][fence::FENCE_ANNOTATION];
        // Further than a restore that was confirmed lets it count on.
        let ahead = number.as_str().unwrap().parse::<i64>().unwrap() + 2_000_000;
        *number = ahead.to_string().into();
        lease["spec"]["holderIdentity"] = "another".into();
        let path = format!("{all}/{}", lease["metadata"]["name"].as_str().unwrap());
        self.plane.request(reqwest::Method::PUT, &path, Some(&lease)).await.unwrap();
        ahead
    }

    /// What the log says of it, and how often.
    pub(super) async fn said_of_drift(&self) -> Vec<String> {
        let query = "SELECT action FROM audit_entry WHERE action LIKE 'drift.%' OR action LIKE '%heal%' ORDER BY seq";
        sqlx::query_scalar(query).fetch_all(&self.database.owner).await.unwrap()
    }
}

fn owned(lines: Option<&[&str]>) -> Option<Vec<String>> {
    lines.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect())
}

/// Of what was asked, the writes that were meant of objects.
pub(super) fn writes(asked: &[String]) -> Vec<&String> {
    asked.iter().filter(|one| !one.starts_with("GET ") && !one.contains("dryRun") && !is_of_fence(one)).collect()
}

fn is_of_fence(asked: &str) -> bool {
    asked.contains("/coordination.k8s.io/")
}

fn are_watches(asked: &[String]) -> bool {
    asked.iter().all(|one| one.contains("watch=true"))
}

#[test]
fn a_hand_on_our_field_is_drift_and_what_others_write_is_none() {
    check(async |t| {
        let front = t.runs_behind_a_front("", &[(WEB, &settings("web", "1")), ("deploy/set.yaml", REPLICAS)]).await;
        let (watching, mut asked) = t.watches(&front, "one", 2).await;
        t.somebody_writes("theirs").await;
        t.comes_to(&[BY_HAND]).await;
        assert_eq!(t.objects().await, ["web=theirs"], "shown, and nothing more");
        asked.extend(front.asked());
        assert_eq!(asked.iter().filter(|one| one.contains("watch=true")).count(), 2, "one for each kind: {asked:#?}");
        let others: Vec<&String> = asked.iter().filter(|one| !one.contains("watch=true")).collect();
        assert_eq!(others.len(), 2, "it is read, and the server is asked: {others:#?}");
        assert_eq!(writes(&asked), [""; 0]);

        // What is not ours: a label, a note, the number of replicas, a status.
        t.kubectl(&["label", "configmap", "web", "theirs=x"]).await;
        t.kubectl(&["annotate", "deployment", "web", "theirs=x"]).await;
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", t.namespace);
        let mut live = t.plane.get(&path).await.unwrap();
        live["status"] = serde_json::json!({ "observedGeneration": 1, "replicas": 1 });
        t.plane.request(reqwest::Method::PUT, &format!("{path}/status"), Some(&live)).await.unwrap();
        t.kubectl(&["scale", "deployment", "web", "--replicas=3"]).await;
        // A label of ours on it is, by the metadata alone: and nothing of what was before.
        let labelled = r#"Deployment shop/web changed [".metadata.labels.tier"] by ["kubectl-label"]"#;
        t.kubectl(&["label", "--overwrite", "deployment", "web", "tier=other"]).await;
        t.comes_to(&[BY_HAND, labelled]).await;
        // Whoever puts it back ends it, though it is not ours any more; and it is seen when they take it once more.
        t.kubectl(&["label", "--overwrite", "deployment", "web", "tier=web"]).await;
        t.comes_to(&[BY_HAND]).await;
        t.kubectl(&["label", "--overwrite", "deployment", "web", "tier=another"]).await;
        t.comes_to(&[BY_HAND, labelled]).await;
        t.kubectl(&["label", "--overwrite", "deployment", "web", "tier=web"]).await;
        t.comes_to(&[BY_HAND]).await;
        // What is gone is gone.
        t.kubectl(&["delete", "configmap", "web"]).await;
        t.comes_to(&["ConfigMap shop/web gone [] by []"]).await;
        // Another one of its name is not ours, also with our value in it; and it may be somebody else's.
        t.kubectl(&["create", "configmap", "web", "--from-literal=value=1"]).await;
        t.comes_to(&["ConfigMap shop/web replaced [] by []"]).await;
        t.kubectl(&["annotate", "configmap", "web", "bascule.dev/environment=another"]).await;
        t.comes_to(&["ConfigMap shop/web owned [] by []: it belongs to `another`"]).await;
        assert_eq!(writes(&front.asked()), [""; 0]);
        let said = ["drift.began", "drift.began", "drift.ended", "drift.began", "drift.ended"];
        assert_eq!(t.said_of_drift().await, said);
        watching.ends().await;
        t.until("SELECT WHERE NOT EXISTS (SELECT FROM cluster_watch)").await;
    });
}

#[test]
fn a_restart_writes_nothing_and_only_one_server_watches() {
    check(async |t| {
        let files = [(WEB, settings("web", "1")), ("deploy/set.yaml", REPLICAS.to_owned())];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let front = t.runs_behind_a_front("    drift: heal\n", &files).await;
        let (watching, mut asked) = t.watches(&front, "one", 2).await;
        // Something that is known to have been told before the other begins.
        t.kubectl(&["label", "configmap", "web", "theirs=x"]).await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.run_jobs().await;
        t.until("SELECT WHERE NOT EXISTS (SELECT FROM inventory WHERE suspect)").await;
        asked.extend(front.asked());
        assert_eq!(asked.len(), 3, "two watches, and a look: {asked:#?}");
        // At rest, another server changes nothing, and does not watch.
        let other = Watching::begins(t, "two");
        t.run_jobs().await;
        other.ends().await;
        assert_eq!(front.asked(), [""; 0]);
        watching.ends().await;
        // While nobody watches, somebody deletes what is ours; the next server finds it, and nothing else.
        t.kubectl(&["delete", "configmap", "web"]).await;
        let (next, _) = t.watches(&front, "three", 2).await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.is_right_again(&["web=1"]).await;
        assert_eq!(writes(&front.asked()).len(), 1, "one request for what changed");
        next.ends().await;
        // One more: everything is as it was left, and is not even read.
        t.context.clock.advance(SignedDuration::from_hours(3));
        t.forge.waits(SignedDuration::from_hours(3));
        front.asked();
        let (last, mut asked) = t.watches(&front, "four", 2).await;
        t.somebody_writes("theirs").await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        asked.extend(front.asked());
        assert!(are_watches(&asked) && asked.len() == 2, "{asked:#?}");
        t.is_right_again(&["web=1"]).await;
        let read: Vec<String> = front.asked().into_iter().filter(|one| one.contains("/deployments")).collect();
        assert_eq!(read, [""; 0], "what did not move is not even read");
        last.ends().await;
    });
}

#[test]
fn what_drifted_is_put_right_unless_it_is_frozen_and_who_fights_back_is_named() {
    check(async |t| {
        let front = t.runs_behind_a_front("    drift: heal\n", &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "9"))]).await;
        t.run_jobs().await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        t.somebody_writes("theirs").await;
        t.is_right_again(&["web=1"]).await;
        // Again at once: it is left alone for a minute.
        t.somebody_writes("mine").await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.tries(1).await;
        assert_eq!(t.objects().await, ["web=mine"]);
        let waits = "SELECT FROM drift WHERE ended_at IS NULL AND heals = 1 AND by_whom = '[\"kubectl-edit\"]'";
        t.until(waits).await;
        t.context.clock.advance(SignedDuration::from_secs(61));
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));

        // Whoever froze it mends it by hand; when that is over it goes back.
        t.context.clock.advance(SignedDuration::from_hours(3));
        t.forge.waits(SignedDuration::from_hours(3));
        t.forge.comments("dev", &pr, "/bascule freeze production --reason by hand").await;
        t.run_jobs().await;
        t.somebody_writes("mended").await;
        t.comes_to(&[BY_HAND]).await;
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await.len()), (vec!["web=mended".to_owned()], 1));
        t.forge.comments("dev", &pr, "/bascule unfreeze production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));

        // Who applies it, too, has a say.
        let theirs = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"web","namespace":"{}"}},"data":{{"value":"applied"}}}}"#,
            t.namespace
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.json");
        std::fs::write(&file, theirs).unwrap();
        t.context.clock.advance(SignedDuration::from_hours(3));
        t.forge.waits(SignedDuration::from_hours(3));
        let apply =
            ["apply", "--server-side", "--force-conflicts", "--field-manager=flux", "-f", file.to_str().unwrap()];
        t.kubectl(&apply).await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.tries(1).await;
        insta::assert_snapshot!(t.drifted().await.join("\n"), @r#"ConfigMap shop/web changed [".data.value"] by ["flux"]: `flux` holds `.data.value`; `flux` applies it, too: take it out of one of the two"#);
        watching.ends().await;
        // They give in.
        t.kubectl(&["delete", "configmap", "web"]).await;
        t.context.clock.advance(SignedDuration::from_hours(3));
        t.forge.waits(SignedDuration::from_hours(3));
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));
    });
}

#[test]
fn somebody_s_word_puts_right_what_nobody_watched_and_no_other_object_is_sent() {
    check(async |t| {
        let front =
            t.runs_behind_a_front("", &[(WEB, &settings("web", "1")), ("deploy/b.yaml", &settings("b", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "9"))]).await;
        t.run_jobs().await;
        t.somebody_writes("theirs").await;
        front.asked();
        t.forge.lets("olga", &t.shop, Right::Read);
        t.forge.comments("olga", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["b=1", "web=theirs"], "not by the word of whoever may only read");
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["b=1", "web=1"]);
        let asked = front.asked();
        let sent = writes(&asked);
        assert!(
            sent.len() == 2 && sent.iter().all(|one| one.contains("/configmaps/web?")),
            "refused, and taken back: {sent:#?}"
        );
        let is_write = |one: &String| !one.starts_with("GET ") && !one.contains("dryRun");
        let first = asked.iter().find(|one| is_write(one)).unwrap();
        assert!(first.starts_with("PUT ") && is_of_fence(first), "the fence is taken before anything: {first}");
        assert!(sent[0].contains("force=false") && sent[1].contains("force=true"), "{sent:#?}");
        let numbers: i64 =
            sqlx::query_scalar("SELECT count(*) FROM deployment").fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(numbers, 1, "nothing else is deployed than before");
        assert!(t.answers(&pr).contains("no drift is known; everything is looked at"), "{}", t.answers(&pr));
        assert_eq!(t.said_of_drift().await, ["heal.asked", "drift.began", "environment.heal", "environment.healed"]);
    });
}

#[test]
fn what_is_put_right_is_what_was_gone_back_to_and_not_what_is_newest() {
    check(async |t| {
        t.runs(&format!("{RULES}    drift: heal\n"), &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.forge.comments("dev", &pr, "/bascule rollback production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let deployments = t.deployments().await;
        t.somebody_writes("theirs").await;
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));
        assert_eq!(t.deployments().await, deployments, "and nothing is deployed anew");

        // Somebody resumes and asks for that at the same time: what is pinned is put right first, and then it goes forward.
        t.somebody_writes("theirs").await;
        t.forge.comments("dev", &pr, "/bascule resume production").await;
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=2".to_owned()], Vec::new()));
        // While somebody's word to go back is not acted on yet, what it takes away is not put right first.
        t.kubectl(&["delete", "configmap", "web"]).await;
        t.is_asked_back(None).await;
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        let before = t.said_of_drift().await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let said = t.said_of_drift().await;
        assert_eq!(said[before.len()..], ["heal.asked"], "the way back wrote it");
    });
}

#[test]
fn nothing_is_put_right_in_what_nobody_follows_or_by_a_database_that_went_back() {
    check(async |t| {
        let rules = format!("{RULES}    drift: heal\n");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "9"))]).await;
        t.run_jobs().await;
        t.somebody_writes("theirs").await;

        // What a backup calls the last deployment may be an old one: shown, and left until somebody has looked.
        let mut conn = t.database.pool.acquire().await.unwrap();
        assert!(restored::notice(&mut conn, 1, None).await.unwrap());
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await.len()), (vec!["web=theirs".to_owned()], 1));
        assert!(restored::confirm(&mut conn).await.unwrap());

        // The cluster was written by a number this database has yet to count to: it says so, and nothing is written.
        let ahead = t.fence_moves_ahead().await;
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.hears().await;
        t.tries(1).await;
        assert_eq!(t.objects().await, ["web=theirs"]);
        assert_eq!(restored::open(&mut conn).await.unwrap().unwrap().fence, Some(ahead));
        assert_eq!(t.actions("restore.noticed").await.len(), 1);
        assert!(restored::confirm(&mut conn).await.unwrap());
        drop(conn);
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));

        // Its file does not have it any more.
        let canary = t.rules(&RULES.replace("production", "canary").replace("path: deploy", "path: canary"));
        let files = [(".bascule.yaml", canary.as_str())];
        t.forge.pushes_to("dev", &t.shop, "main", &files).await;
        t.run_jobs().await;
        t.somebody_writes("mine").await;
        let id: i64 = sqlx::query_scalar("SELECT id FROM environment WHERE state = 'orphaned'")
            .fetch_one(&t.database.owner)
            .await
            .unwrap();
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: t.shop.id };
        let mut conn = t.database.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &jobs::asked_heal(&key, id, TraceId(Uuid::from_u128(7)))).await.unwrap();
        drop(conn);
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await.len()), (vec!["web=mine".to_owned()], 1), "seen, and left");
    });
}

#[test]
fn hooks_and_the_fence_are_nobody_s_state() {
    check(async |t| {
        let hook = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "once", "annotations": {"bascule.dev/hook": "pre-sync"}}}"#;
        let hook = format!("---\n{hook}\n");
        t.runs(&format!("{RULES}    drift: heal\n"), &[(WEB, &settings("web", "1")), ("deploy/once.yaml", &hook)])
            .await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "9"))]).await;
        t.run_jobs().await;
        t.kubectl(&["get", "configmap", "once"]).await;
        t.kubectl(&["delete", "configmap", "once"]).await;
        t.kubectl(&["delete", "leases", "--all"]).await;
        t.forge.comments("dev", &pr, "/bascule heal production").await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));
        assert_eq!(t.said_of_drift().await, ["heal.asked"]);
    });
}

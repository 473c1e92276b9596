//! Hooks: run and awaited, once for a rendered set.

use bascule::db::deployments;
use bascule::db::rollbacks::{self, NewRollback};
use bascule::ids::TraceId;
use bascule::jobs::sync_environment::{Interrupted, run_deployment};
use bascule::queue::Source as _;
use bascule::sync::{HoldReason, Step};
use insta::assert_snapshot;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Place, Server, kills::dies_at, lease, settings};
use crate::plane::{on_plane, on_rolling_plane};
use crate::support::front::Front;

/// A Job with these annotations.
fn job(name: &str, annotations: Value) -> String {
    job_of(name, annotations, json!({}))
}

fn job_of(name: &str, annotations: Value, pod: Value) -> String {
    let mut spec = json!({"restartPolicy": "Never", "containers": [{"name": "run", "image": "busybox"}]});
    for (key, value) in pod.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": annotations},
        "spec": {"activeDeadlineSeconds": 60, "template": {"spec": spec}}});
    format!("---\n{object}\n")
}

impl Place<'_> {
    async fn uid_of(&self, job: &str) -> String {
        self.kubectl(&[
            "get",
            "jobs",
            "--field-selector",
            &format!("metadata.name={job}"),
            "-o",
            "jsonpath={.items[*].metadata.uid}",
        ])
        .await
    }

    /// When it was made and when it ended, of a Job; when it was made, of anything else.
    async fn times_of(&self, what: &str) -> (String, String) {
        let times = "jsonpath={.metadata.creationTimestamp}/{.status.completionTime}";
        let times = self.kubectl(&["get", what, "-o", times]).await;
        let (made, ended) = times.split_once('/').unwrap();
        (made.to_owned(), ended.to_owned())
    }
}

#[test]
fn hooks_run_before_and_after_everything_else_and_once_for_a_set() {
    on_rolling_plane(async |plane| {
        let place = Place::new(plane, "sync-hooks").await;
        let set = settings("a", "1")
            + &job("second", json!({"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "2"}))
            + &job("first", json!({"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-1"}))
            + &job("after", json!({"bascule.dev/hook": "post-sync"}))
            + &job(
                "gone",
                json!({"argocd.argoproj.io/hook": "PostSync", "argocd.argoproj.io/hook-delete-policy": "HookSucceeded"}),
            )
            + &job("upgrade-only", json!({"helm.sh/hook": "pre-upgrade"}));
        let (outcome, _) = place.syncs(&set).await;
        assert_snapshot!(outcome.sentence(), @"1 created, 4 hooks run");
        assert_eq!(place.inventory().await, ["ConfigMap sync-hooks/a"], "hooks are nobody's state");
        assert_eq!([place.uid_of("gone").await, place.uid_of("upgrade-only").await], ["", ""]);
        let (first, second) = (place.times_of("job/first").await, place.times_of("job/second").await);
        let (made, after) = (place.times_of("configmap/a").await, place.times_of("job/after").await);
        assert!(
            first.1 <= second.0 && second.1 <= made.0 && made.0 <= after.0,
            "{first:?} {second:?} {made:?} {after:?}"
        );
        assert!(!first.1.is_empty() && !after.1.is_empty(), "each was awaited: {first:?} {after:?}");

        // The same set again runs nothing; another runs all of an upgrade anew.
        let ran = place.uid_of("first").await;
        let (again, writes) = place.syncs(&set).await;
        assert_eq!((again.hooks, writes, place.uid_of("first").await == ran), (1, 1, true), "{}", again.sentence());
        assert!(!place.uid_of("upgrade-only").await.is_empty(), "what only an upgrade runs had not run yet");
        let (again, writes) = place.syncs(&set).await;
        assert_eq!((again.sentence().as_str(), writes), ("1 unchanged", 0));
        let (other, _) = place.syncs(&(set + &settings("b", "1"))).await;
        assert_eq!(other.hooks, 5, "{}", other.sentence());
        assert_ne!(place.uid_of("first").await, ran);
    });
}

#[test]
fn a_hook_of_both_moments_runs_at_both_and_a_sync_that_only_runs_hooks_takes_the_fence() {
    on_rolling_plane(async |plane| {
        let place = Place::new(plane, "sync-hook-twice").await;
        let set = settings("a", "1") + &job("both", json!({"helm.sh/hook": "pre-upgrade,post-upgrade"}));
        let (first, _) = place.syncs(&set).await;
        assert_eq!((first.sentence().as_str(), place.fences()), ("1 created", 1));
        let (outcome, _) = place.syncs(&set).await;
        assert_eq!((outcome.sentence().as_str(), place.fences()), ("1 unchanged, 2 hooks run", 2));
        assert_eq!(place.pods_ever("both").await, 2);
        let (again, writes) = place.syncs(&set).await;
        assert_eq!((again.sentence().as_str(), writes, place.fences()), ("1 unchanged", 0, 2));
    });
}

#[test]
fn a_deployment_that_goes_back_runs_no_hooks() {
    on_rolling_plane(async |plane| {
        let place = Place::new(plane, "sync-hook-back").await;
        place.syncs(&settings("a", "1")).await;
        place.deploys(&(settings("a", "2") + &job("migrate", json!({"bascule.dev/hook": "pre-sync"})))).await;
        let mut conn = place.database.pool.acquire().await.unwrap();
        let of_newest = deployments::list(&mut conn, place.environment, None, 2).await.unwrap();
        let (running, before) = (of_newest[0].new.id, of_newest[1].new.id);
        let back = NewRollback {
            id: Uuid::new_v4(),
            environment: place.environment,
            back_to: before,
            by: "work/lead (1)".to_owned(),
            reason: None,
            is_by_itself: false,
            asked_in: None,
            trace: TraceId(Uuid::from_u128(1)),
            asked_at: Timestamp::UNIX_EPOCH,
        };
        rollbacks::ask(&mut conn, &back).await.unwrap();
        assert!(rollbacks::became(&mut conn, back.id, (before, running), Timestamp::UNIX_EPOCH).await.unwrap());
        drop(conn);
        assert_eq!(place.runs().await.unwrap().sentence(), "1 updated");
        assert_eq!(place.uid_of("migrate").await, "");
    });
}

#[test]
fn a_hook_that_nobody_could_see_to_end_is_not_run_a_second_time() {
    on_rolling_plane(async |plane| {
        let mut place = Place::new(plane, "sync-hook-away").await;
        place.block.sync.timeout_seconds = 2;
        let front = Front::of(plane).await;
        let place = Place { server: Server::new(place.database.pool.clone(), front.kubeconfig()), ..place };
        place.deploys(&(settings("a", "1") + &job("migrate", json!({"bascule.dev/hook": "pre-sync"})))).await;
        let claimed = place.server.claim().await.unwrap();
        let goes_away = |step: Step| {
            if step == Step::HookRecorded {
                front.refuses(401);
            }
        };
        let (world, lease) = (place.server.world(), lease(&claimed));
        let away = Box::pin(run_deployment(&world, &claimed, &lease, place.environment, &goes_away)).await.unwrap_err();
        assert!(matches!(away, Interrupted::Away(_)), "{away}");
        place.server.source().settle(&claimed, &away.verdict()).await.unwrap();
        front.recovers();
        place.kubectl(&["wait", "--for=condition=complete", "job/migrate", "--timeout=60s"]).await;
        place.lets_time_pass().await;
        assert_eq!(place.runs().await.unwrap().sentence(), "1 created, 1 hook run");
        assert_eq!(place.pods_ever("migrate").await, 1);
    });
}

#[test]
fn a_hook_that_fails_stops_the_sync_and_says_why_and_is_run_again_only_when_somebody_syncs() {
    on_rolling_plane(async |plane| {
        let place = Place::new(plane, "sync-hook-fails").await;
        place.syncs(&settings("a", "1")).await;
        let stuck = json!({"nodeSelector": {"disk": "none"}});
        let mut hook = job_of("migrate", json!({"helm.sh/hook": "pre-upgrade"}), stuck);
        hook = hook.replace(r#""activeDeadlineSeconds":60"#, r#""activeDeadlineSeconds":2"#);
        let set = settings("a", "2") + &hook;
        let (outcome, _) = place.syncs(&set).await;
        assert_snapshot!(outcome.sentence(), @"not healthy: Job sync-hook-fails/migrate: the pre-upgrade hook has failed: Job was active longer than specified deadline; ConfigMap sync-hook-fails/a was not sent: a hook that goes before it did not end well");
        assert_eq!(place.state().await, ("failed".to_owned(), Some(HoldReason::Failed.to_string())));
        let value = || place.kubectl(&["get", "configmap", "a", "-o", "jsonpath={.data.value}"]);
        assert_eq!(value().await, "1", "nothing of it is sent");
        let failed = place.uid_of("migrate").await;
        // The same set by another deployment, as after `sync production`: it is made anew.
        let (outcome, _) = place.syncs(&set).await;
        assert_eq!(outcome.state().as_str(), "failed");
        let again = place.uid_of("migrate").await;
        assert!(!failed.is_empty() && !again.is_empty() && failed != again, "{failed} {again}");
    });
}

#[test]
fn an_object_of_somebody_else_is_never_taken_for_a_hook() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-hook-theirs").await;
        place.makes(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hook"}, "data": {"value": "theirs"}})).await;
        let hook = settings("hook", "1")
            .replace(r#""name":"hook""#, r#""annotations":{"bascule.dev/hook":"pre-sync"},"name":"hook""#);
        let (outcome, writes) = place.syncs(&(settings("a", "1") + &hook)).await;
        assert_snapshot!(outcome.sentence(), @"not healthy: ConfigMap sync-hook-theirs/hook: the pre-sync hook cannot be run: an object of that name is there, and is not this environment's; ConfigMap sync-hook-theirs/a was not sent: a hook that goes before it did not end well");
        assert_eq!(writes, 0);
        assert_eq!(place.kubectl(&["get", "configmap", "hook", "-o", "jsonpath={.data.value}"]).await, "theirs");
    });
}

#[test]
fn a_hook_runs_once_whenever_its_worker_dies() {
    on_rolling_plane(async |plane| {
        for step in [Step::HookBegun, Step::HookSent, Step::HookRecorded, Step::HookEnded] {
            let place = Place::new(plane, &format!("sync-{}", step.label())).await;
            let hook = job("migrate", json!({"bascule.dev/hook": "pre-sync"}));
            // Gone as soon as it has ended, for anybody who does not look at once.
            let hook =
                hook.replace(r#""activeDeadlineSeconds""#, r#""ttlSecondsAfterFinished":0,"activeDeadlineSeconds""#);
            place.deploys(&(settings("a", "1") + &hook)).await;
            assert!(dies_at(&place, step, 0).await, "no sync meets {}", step.label());
            place.lets_the_lease_run_out().await;
            let outcome = place.runs().await.unwrap();
            assert_eq!(outcome.state().as_str(), "healthy", "{}: {}", step.label(), outcome.sentence());
            let pods = place.pods_ever("migrate").await;
            assert_eq!(pods, 1, "{}: as many jobs as were ever made", step.label());
        }
    });
}

impl Place<'_> {
    /// How many Jobs of this name were ever made here: each has its pods made by one event.
    async fn pods_ever(&self, job: &str) -> usize {
        let uids = "jsonpath={.items[*].involvedObject.uid}";
        let about = format!("involvedObject.kind=Job,involvedObject.name={job},reason=SuccessfulCreate");
        let uids = self.kubectl(&["get", "events", "--field-selector", &about, "-o", uids]).await;
        uids.split_whitespace().collect::<std::collections::BTreeSet<_>>().len()
    }
}

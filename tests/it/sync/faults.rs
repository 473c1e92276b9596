use std::time::Duration;

use bascule::jobs::sync_environment::{Interrupted, Ran, run_deployment};
use bascule::queue::{Lease, Source, Verdict};
use bascule::sync::{HoldReason, Step};
use futures::FutureExt;
use futures::future::BoxFuture;
use insta::assert_snapshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Place, Server, settings};
use crate::plane::{on_own_plane, on_plane};

#[test]
fn a_mistake_is_named_stops_nothing_unrelated_and_nothing_is_deleted() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-mistake").await;
        place.syncs(&(settings("a", "1") + &settings("old", "1"))).await;
        let wrong = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: wrong}, dta: {}}\n";
        let (outcome, _) = place.syncs(&(settings("a", "2") + wrong + &settings("b", "1"))).await;
        assert_eq!((outcome.created, outcome.updated, outcome.deleted), (1, 1, 0));
        assert_snapshot!(outcome.sentence(), @"failed at ConfigMap sync-mistake/wrong: failed to create typed patch object (sync-mistake/wrong; /v1, Kind=ConfigMap): .dta: field not declared in schema (500)");
        assert_eq!(outcome.kept[0].why, "nothing is deleted while something could not be applied");
        assert_eq!(place.state().await, ("failed".to_owned(), Some(HoldReason::Failed.to_string())));
        assert_eq!(place.settings().await, ["a", "b", "old"]);
        assert_eq!(place.inventory().await.len(), 3, "what was refused is not ours");
    });
}

#[test]
fn a_kind_that_may_not_be_read_stops_only_itself() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-forbidden").await;
        let rights = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: narrow, namespace: sync-forbidden }
rules:
  - { apiGroups: [''], resources: [configmaps], verbs: ['*'] }
  - { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: narrow, namespace: sync-forbidden }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: narrow }
subjects: [{ kind: User, name: narrow, apiGroup: rbac.authorization.k8s.io }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: sync-forbidden-view }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sync-forbidden-uid }
subjects: [{ kind: User, name: narrow, apiGroup: rbac.authorization.k8s.io }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: sync-forbidden-uid }
rules: [{ apiGroups: [''], resources: [namespaces], resourceNames: [kube-system], verbs: [get] }]
";
        plane.apply(rights).await.unwrap();
        let narrow = plane.kubeconfig_for("narrow", &["system:authenticated"]).unwrap();
        let place = Place { server: Server::new(place.database.pool.clone(), narrow), ..place };
        let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n";
        let (outcome, _) = place.syncs(&(settings("a", "1") + service)).await;
        assert_eq!(outcome.created, 1);
        assert_snapshot!(outcome.sentence(), @r#"failed at Service sync-forbidden/web: the cluster did not say what is there: services is forbidden: User "narrow" cannot list resource "services" in API group "" in the namespace "sync-forbidden": a Role in sync-forbidden needs { apiGroups: [""], resources: ["services"], verbs: ["list"] } (403)"#);
    });
}

#[test]
fn a_cluster_that_is_away_is_waited_for_and_what_was_begun_is_ended() {
    on_own_plane(async |plane| {
        let place = Place::new(&plane, "sync-away").await;
        place.syncs(&settings("a", "1")).await;
        plane.stop_apiserver().await.unwrap();
        place.deploys(&settings("a", "2")).await;
        let interrupted = place.runs().await.unwrap_err();
        assert!(matches!(interrupted, Interrupted::Away(_)), "{interrupted}");
        assert!(matches!(interrupted.verdict(), Verdict::Snooze { wait } if wait > Duration::ZERO));
        assert_eq!(place.state().await, ("running".to_owned(), Some(HoldReason::ClusterAway.to_string())));
        let told = place.log().await.len();
        place.lets_time_pass().await;
        place.runs().await.unwrap_err();
        assert_eq!(place.log().await.len(), told, "told once");

        plane.start_apiserver().await.unwrap();
        place.lets_time_pass().await;
        assert_eq!(place.runs().await.unwrap().sentence(), "1 updated");
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
    });
}

#[test]
fn a_worker_that_lost_its_lease_writes_nothing() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-lease").await;
        place.deploys(&settings("a", "1")).await;
        let stale = place.server.claim().await.unwrap();
        // Its own clock says so.
        let over = Lease::new(stale.fence, Instant::now(), Duration::from_secs(5), CancellationToken::new());
        let lost = place.server.run(&stale, &over).await.unwrap_err();
        assert!(matches!(lost, Interrupted::Lost(_)), "{lost}");
        assert_eq!(place.server.cluster().await.writes(), 0);
        // The database says so, although it believes itself in time.
        place.lets_the_lease_run_out().await;
        assert_eq!(place.runs().await.unwrap().sentence(), "1 created");
        let lost = place.server.run(&stale, &super::lease(&stale)).await;
        assert!(!matches!(lost, Ok(Ran::Recorded(_))), "{lost:?}");
    });
}

#[test]
fn a_worker_that_slept_through_its_lease_undoes_nothing_of_the_next() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-slept").await;
        place.syncs(&(settings("changes", "1") + &settings("returns", "1"))).await;
        // It is to change one and delete another, and sleeps before its first write, with a clock that did not move.
        place.deploys(&settings("changes", "2")).await;
        let sleeper = place.server.claim().await.unwrap();
        let next = async {
            place.lets_the_lease_run_out().await;
            place.runs().await.unwrap();
            let newer = settings("changes", "3") + &settings("returns", "2");
            assert_eq!(place.syncs(&newer).await.0.sentence(), "1 created, 1 updated");
        };
        let meanwhile = Meanwhile::new(next.boxed());
        let observe = |step| meanwhile.at(step, Step::InventoryGrown);
        let (world, lease) = (place.server.world(), super::lease(&sleeper));
        let slept = Box::pin(run_deployment(&world, &sleeper, &lease, place.environment, &observe)).await;
        assert!(matches!(slept, Err(Interrupted::Lost(_))), "{slept:?}");
        let value = place.kubectl(&["get", "configmap", "changes", "-o", "jsonpath={.data.value}"]).await;
        assert_eq!(value, "3");
        assert_eq!(place.settings().await, ["changes", "returns"]);
    });
}

#[test]
fn what_appears_between_the_look_and_the_write_is_looked_at_again() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-race").await;
        place.deploys(&(settings("equal", "1") + &settings("other", "1"))).await;
        let job = place.server.claim().await.unwrap();
        let somebody = async {
            place.kubectl(&["create", "configmap", "equal", "--from-literal=value=1"]).await;
            place.kubectl(&["create", "configmap", "other", "--from-literal=value=2"]).await;
        };
        let meanwhile = Meanwhile::new(somebody.boxed());
        let observe = |step| meanwhile.at(step, Step::InventoryGrown);
        let (world, lease) = (place.server.world(), super::lease(&job));
        let ran = Box::pin(run_deployment(&world, &job, &lease, place.environment, &observe)).await.unwrap();
        let Ran::Recorded(outcome) = ran else { panic!("{ran:?}") };
        assert_eq!((outcome.adopted, outcome.conflicts.len()), (1, 1), "{outcome:?}");
        assert_eq!(place.inventory().await, ["ConfigMap sync-race/equal"]);
    });
}

/// Something that happens once, while the worker stands still at a step.
struct Meanwhile<'a>(std::sync::Mutex<Option<BoxFuture<'a, ()>>>);

impl<'a> Meanwhile<'a> {
    fn new(what: BoxFuture<'a, ()>) -> Self {
        Self(std::sync::Mutex::new(Some(what)))
    }

    fn at(&self, met: Step, step: Step) {
        if met == step
            && let Some(what) = self.0.lock().unwrap().take()
        {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(what));
        }
    }
}

#[test]
fn what_never_becomes_well_and_what_cannot_go_are_reported_when_the_time_is_up() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "sync-timeout").await;
        place.block.sync.timeout_seconds = 1;
        let held = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/held]}}\n";
        place.syncs(&(settings("stays", "1") + held)).await;
        let (outcome, _) = place.syncs(&(settings("stays", "1") + super::stories::WEB)).await;
        let lines: Vec<_> = outcome.unhealthy.iter().map(|one| format!("{}: {}", one.object, one.why)).collect();
        assert_snapshot!(lines.join("\n"), @r"
        ConfigMap sync-timeout/held: is still being deleted, held up by example.com/held (waited 1 s)
        Deployment sync-timeout/web: its controller has not seen it yet (waited 1 s)
        ");
        assert_eq!(place.state().await, ("failed".to_owned(), Some(HoldReason::Failed.to_string())));
        assert!(
            place.inventory().await.contains(&"ConfigMap sync-timeout/held".to_owned()),
            "not gone, so not forgotten"
        );
        // Whoever held it lets go, and the next sync forgets it.
        place.kubectl(&["patch", "configmap", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":[]}}"#]).await;
        place.syncs(&settings("stays", "1")).await;
        assert_eq!(place.inventory().await, ["ConfigMap sync-timeout/stays"]);
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
    });
}

#[test]
fn what_no_grant_reaches_any_more_is_not_sent_and_another_user_is_who_the_grant_says() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "sync-grant").await;
        let grant = place.server.platform.grants.get_mut("shop").unwrap();
        grant.deny = vec!["ConfigMap".to_owned()];
        let (outcome, writes) = place.syncs(&settings("a", "1")).await;
        assert_snapshot!(outcome.sentence(), @"nothing could be tried: grant `shop` does not reach ConfigMap sync-grant/a: ConfigMap is denied by the grant");
        assert_eq!(writes, 0);
        let grant = place.server.platform.grants.get_mut("shop").unwrap();
        grant.deny = Vec::new();
        grant.impersonate = Some("system:serviceaccount:{namespace}:deployer".to_owned());
        let (outcome, _) = place.syncs(&settings("a", "1")).await;
        assert_snapshot!(outcome.sentence(), @r#"failed at ConfigMap sync-grant/a: the cluster did not say what is there: configmaps is forbidden: User "system:serviceaccount:sync-grant:deployer" cannot list resource "configmaps" in API group "" in the namespace "sync-grant": a Role in sync-grant needs { apiGroups: [""], resources: ["configmaps"], verbs: ["list"] } (403)"#);
    });
}

#[test]
fn a_worker_that_stops_hands_the_deployment_on() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-stop").await;
        place.deploys(&settings("a", "1")).await;
        let job = place.server.claim().await.unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        let lease = Lease::new(job.fence, Instant::now(), super::TERM, stop);
        let stopped = place.server.run(&job, &lease).await.unwrap_err();
        assert!(matches!(stopped, Interrupted::Stopping), "{stopped}");
        place.server.source().settle(&job, &stopped.verdict()).await.unwrap();
        assert_eq!(place.runs().await.unwrap().sentence(), "1 created");
    });
}

#[test]
fn a_stored_object_that_was_altered_is_never_sent() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-altered").await;
        place.deploys(&settings("a", "1")).await;
        sqlx::query("UPDATE object_content SET sealed = sealed || '\\x00'")
            .execute(&place.database.owner)
            .await
            .unwrap();
        let outcome = place.runs().await.unwrap();
        assert_snapshot!(outcome.sentence(), @"nothing could be tried: a stored object does not open under this server's key: restore `server.key` from the backup the database is of");
        assert_eq!(place.server.cluster().await.writes(), 0);
        assert_eq!(place.state().await, ("failed".to_owned(), Some(HoldReason::Failed.to_string())));
    });
}

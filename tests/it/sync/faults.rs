use std::time::Duration;

use bascule::jobs::sync_environment::Interrupted;
use bascule::queue::{Lease, Source, Verdict};
use bascule::sync::HoldReason;
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
rules: [{ apiGroups: [''], resources: [configmaps], verbs: ['*'] }]
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
        assert_snapshot!(outcome.sentence(), @r#"failed at Service sync-forbidden/web: the cluster did not say what is there: services is forbidden: User "narrow" cannot list resource "services" in API group "" in the namespace "sync-forbidden" (403)"#);
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
        assert!(!matches!(lost, Ok(bascule::jobs::sync_environment::Ran::Recorded(_))), "{lost:?}");
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

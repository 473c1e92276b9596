//! The fence in the cluster: taken before anything is written, and what an older number may do: nothing.

use bascule::db::restored;
use bascule::jobs::sync_environment::Interrupted;
use bascule::queue::Verdict;
use bascule::sync::{HoldReason, Step, fence};
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Place, Server, settings};
use crate::plane::on_plane;

/// The environment's Lease, whole.
async fn lease(place: &Place<'_>) -> Value {
    place.plane.get(&path(place)).await.unwrap()
}

fn path(place: &Place<'_>) -> String {
    let name = fence::name("work/17/production@00000000-0000-0000-0000-000000000000");
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{name}", place.namespace())
}

fn number(lease: &Value) -> i64 {
    lease["metadata"]["annotations"][fence::FENCE_ANNOTATION].as_str().unwrap().parse().unwrap()
}

/// Somebody with this number wrote last.
async fn was_taken_by(place: &Place<'_>, number: &str) {
    let mut lease = lease(place).await;
    lease["metadata"]["annotations"][fence::FENCE_ANNOTATION] = number.into();
    lease["spec"]["holderIdentity"] = "another".into();
    place.plane.request(Method::PUT, &path(place), Some(&lease)).await.unwrap();
}

#[test]
fn a_fence_is_taken_before_anything_is_written_and_costs_nothing_where_nothing_is() {
    on_plane(async |plane| {
        let place = Place::new(plane, "fence-taken").await;
        let cluster = place.server.cluster().await;
        place.syncs(&settings("a", "1")).await;
        let first = lease(&place).await;
        let steps = std::mem::take(&mut *place.server.steps.lock().unwrap());
        let at = |step| steps.iter().position(|met| *met == step).unwrap();
        assert!(at(Step::FenceTaken) < at(Step::InventoryGrown) && at(Step::FenceTaken) < at(Step::ObjectSent));

        // What is to be written costs one look and one write beside it.
        let before = (cluster.reads(), cluster.writes());
        place.syncs(&settings("a", "2")).await;
        assert_eq!((cluster.reads() - before.0, cluster.writes() - before.1), (2, 2));
        let second = lease(&place).await;
        assert!(number(&second) > number(&first));
        assert_ne!(second["spec"]["holderIdentity"], first["spec"]["holderIdentity"], "its bytes always change");

        // An unchanged sync costs its one list.
        let before = (cluster.reads(), cluster.writes());
        place.syncs(&settings("a", "2")).await;
        assert_eq!((cluster.reads() - before.0, cluster.writes() - before.1), (1, 0));
        assert_eq!(lease(&place).await, second);
        assert_eq!(place.inventory().await, ["ConfigMap fence-taken/a"], "it is no object of the environment");
    });
}

#[test]
fn a_database_that_went_back_writes_nothing_until_an_operator_has_looked() {
    on_plane(async |plane| {
        let place = Place::new(plane, "fence-back").await;
        place.syncs(&(settings("a", "1") + &settings("leaves", "1"))).await;
        let ahead = number(&lease(&place).await) + 500;
        was_taken_by(&place, &ahead.to_string()).await;
        place.deploys(&settings("a", "2")).await;
        let older = place.runs().await.unwrap_err();
        assert!(matches!(older, Interrupted::Older { theirs, .. } if theirs == ahead), "{older}");
        assert!(matches!(older.verdict(), Verdict::Snooze { .. }));
        let mut conn = place.database.pool.acquire().await.unwrap();
        let hold = bascule::db::holds::get(&mut conn, place.environment).await.unwrap().unwrap();
        assert_eq!(hold.reason, HoldReason::Failed.to_string());
        let said = hold.detail.replace(&ahead.to_string(), "N");
        let said = said.split(", and this").next().unwrap().to_owned() + "\n" + &hold.lifts;
        assert_snapshot!(said, @r"
        the cluster was written by number N of this environment
        bascule restored confirm --reason …, on the server's host
        ");
        let noticed = restored::open(&mut conn).await.unwrap().unwrap();
        assert_eq!((noticed.signed, noticed.fence), (None, Some(ahead)));

        // Tried again it says so once, and the cluster is as it was.
        let told = place.log().await.iter().filter(|(action, _)| action == "restore.noticed").count();
        place.lets_time_pass().await;
        place.runs().await.unwrap_err();
        let again = place.log().await.iter().filter(|(action, _)| action == "restore.noticed").count();
        assert_eq!((told, again), (1, 1));
        let value = place.kubectl(&["get", "configmap", "a", "-o", "jsonpath={.data.value}"]).await;
        assert_eq!((value.as_str(), place.settings().await.len()), ("1", 2));

        // The operator's word: the count goes on above, and what waited goes on.
        assert!(restored::confirm(&mut conn).await.unwrap());
        place.lets_time_pass().await;
        assert_eq!(place.runs().await.unwrap().sentence(), "1 updated, 1 deleted");
        assert!(number(&lease(&place).await) > ahead);
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
    });
}

#[test]
fn a_number_that_was_given_twice_is_another_worker_s() {
    on_plane(async |plane| {
        let place = Place::new(plane, "fence-twice").await;
        place.syncs(&settings("a", "1")).await;
        place.deploys(&settings("a", "2")).await;
        let job = place.server.claim().await.unwrap();
        was_taken_by(&place, &job.fence.to_string()).await;
        let older = place.server.run(&job, &super::lease(&job)).await.unwrap_err();
        assert!(matches!(older, Interrupted::Older { ours, theirs } if ours == theirs), "{older}");
    });
}

#[test]
fn a_fence_that_may_not_be_written_is_an_error_that_names_the_rule() {
    on_plane(async |plane| {
        let place = Place::new(plane, "fence-forbidden").await;
        let rights = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: fenceless, namespace: fence-forbidden }
rules: [{ apiGroups: [''], resources: [configmaps], verbs: ['*'] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: fenceless, namespace: fence-forbidden }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: fenceless }
subjects: [{ kind: User, name: fenceless, apiGroup: rbac.authorization.k8s.io }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: fence-forbidden-uid }
rules: [{ apiGroups: [''], resources: [namespaces], resourceNames: [kube-system], verbs: [get] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: fence-forbidden-uid }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fence-forbidden-uid }
subjects: [{ kind: User, name: fenceless, apiGroup: rbac.authorization.k8s.io }]
";
        plane.apply(rights).await.unwrap();
        let narrow = plane.kubeconfig_for("fenceless", &["system:authenticated"]).unwrap();
        let place = Place { server: Server::new(place.database.pool.clone(), narrow), ..place };
        let (outcome, writes) = place.syncs(&settings("a", "1")).await;
        assert_snapshot!(outcome.sentence(), @r#"nothing could be tried: who deploys is written down in a Lease of the namespace fence-forbidden, and that is refused: leases.coordination.k8s.io "bascule-fence-fcd20ff360628bdc5bce" is forbidden: User "fenceless" cannot get resource "leases" in API group "coordination.k8s.io" in the namespace "fence-forbidden": a Role in fence-forbidden needs { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get"] } (403). The account needs `get`, `create` and `update` of `leases` (`coordination.k8s.io`) there"#);
        assert_eq!((writes, place.settings().await.len(), place.inventory().await.len()), (0, 0, 0));
    });
}

#[test]
fn a_fence_that_somebody_spoilt_stops_the_environment_and_is_named() {
    on_plane(async |plane| {
        let place = Place::new(plane, "fence-spoilt").await;
        place.syncs(&settings("a", "1")).await;
        was_taken_by(&place, "soon").await;
        let (outcome, writes) = place.syncs(&settings("a", "2")).await;
        assert_snapshot!(outcome.sentence(), @"nothing could be tried: the Lease fence-spoilt/bascule-fence-fcd20ff360628bdc5bce does not say who wrote last (`bascule.dev/fence`): look who changed it, then delete it");
        assert_eq!(writes, 0);
        // A number that no worker can have been given is as good as none: it stops no other environment's deletes.
        was_taken_by(&place, &i64::MAX.to_string()).await;
        let (outcome, writes) = place.syncs(&settings("a", "2")).await;
        assert!(outcome.sentence().contains("does not say who wrote last"), "{}", outcome.sentence());
        let mut conn = place.database.pool.acquire().await.unwrap();
        assert_eq!((writes, restored::open(&mut conn).await.unwrap()), (0, None));
        drop(conn);
        // Whoever deletes it makes room for the next.
        plane.request(Method::DELETE, &path(&place), Some(&json!({}))).await.unwrap();
        assert_eq!(place.syncs(&settings("a", "2")).await.0.sentence(), "1 updated");
    });
}

#[test]
fn a_namespace_that_the_set_makes_comes_first_and_the_fence_before_the_rest() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "fence-made").await;
        place.block.target.namespace = "fence-made-new".to_owned();
        let namespace = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: fence-made-new}}\n";
        let (outcome, _) = place.syncs(&(namespace.to_owned() + &settings("a", "1"))).await;
        assert_eq!(outcome.sentence(), "2 created");
        let steps = std::mem::take(&mut *place.server.steps.lock().unwrap());
        let sent = |met: &Step| *met == Step::ObjectSent;
        let fence = steps.iter().position(|met| *met == Step::FenceTaken).unwrap();
        assert_eq!(
            (steps[..fence].iter().filter(|met| sent(met)).count(), steps.iter().filter(|met| sent(met)).count()),
            (1, 2)
        );
        lease(&place).await;
        assert_eq!(place.syncs(&(namespace.to_owned() + &settings("a", "1"))).await.0.sentence(), "2 unchanged");

        let mut place = Place::new(plane, "fence-nowhere").await;
        place.block.target.namespace = "fence-not-there".to_owned();
        let (outcome, writes) = place.syncs(&settings("a", "1")).await;
        assert_snapshot!(outcome.sentence(), @"nothing could be tried: there is no namespace fence-not-there, in which it is written down who deploys to this environment: create it, or have the set make it");
        assert_eq!(writes, 1, "the fence itself was tried");
        assert_eq!(place.inventory().await, [] as [&str; 0], "what was never sent is not ours");
    });
}

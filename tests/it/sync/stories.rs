use bascule::db::restored;
use bascule::sync::HoldReason;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use super::{Place, block, settings};
use crate::plane::on_plane;

pub(super) const WEB: &str = r#"---
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 1,
 "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
 "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}}}
"#;

#[test]
fn what_is_unchanged_is_not_sent_and_one_change_is_one_request() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-unchanged").await;
        let both = settings("a", "1") + &settings("b", "1");
        let (first, writes) = place.syncs(&both).await;
        assert_eq!((first.sentence().as_str(), writes), ("2 created", 2));
        let (again, writes) = place.syncs(&both).await;
        assert_eq!((again.sentence().as_str(), writes), ("2 unchanged", 0));
        let (changed, writes) = place.syncs(&(settings("a", "2") + &settings("b", "1"))).await;
        assert_eq!((changed.sentence().as_str(), writes), ("1 updated, 1 unchanged", 1));

        // Others write beside us: nothing is sent, and the next time nothing is even looked at.
        place.kubectl(&["annotate", "configmap", "a", "note=x"]).await;
        let (beside, writes) = place.syncs(&(settings("a", "2") + &settings("b", "1"))).await;
        assert_eq!((beside.sentence().as_str(), writes), ("2 unchanged", 0));
        let cluster = place.server.cluster().await;
        let reads = cluster.reads();
        place.syncs(&(settings("a", "2") + &settings("b", "1"))).await;
        assert_eq!(cluster.reads() - reads, 1, "one list");

        // Somebody deletes one of ours: it comes back.
        place.kubectl(&["delete", "configmap", "b"]).await;
        let (back, writes) = place.syncs(&(settings("a", "2") + &settings("b", "1"))).await;
        assert_eq!((back.sentence().as_str(), writes), ("1 created, 1 unchanged", 1));
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
    });
}

#[test]
fn what_exists_with_equal_values_is_adopted_and_a_conflict_is_named_and_held() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-adopt").await;
        place.kubectl(&["create", "configmap", "equal", "--from-literal=value=1"]).await;
        place.kubectl(&["create", "configmap", "other", "--from-literal=value=theirs"]).await;
        let (outcome, _) =
            place.syncs(&(settings("equal", "1") + &settings("other", "1") + &settings("new", "1"))).await;
        assert_eq!((outcome.adopted, outcome.created, outcome.conflicts.len()), (1, 1, 1));
        assert_snapshot!(outcome.sentence(), @"conflict at ConfigMap sync-adopt/other: `kubectl-create` holds `.data.value`");
        assert_eq!(place.state().await, ("conflict".to_owned(), Some(HoldReason::Conflict.to_string())));
        assert_eq!(
            place.inventory().await,
            ["ConfigMap sync-adopt/equal", "ConfigMap sync-adopt/new"],
            "not the other's"
        );
        let theirs = place.kubectl(&["get", "configmap", "other", "-o", "jsonpath={.data.value}"]).await;
        assert_eq!(theirs, "theirs", "never forced");
        // They let go, and the next sync lifts the hold.
        place.kubectl(&["delete", "configmap", "other"]).await;
        let (outcome, _) =
            place.syncs(&(settings("equal", "1") + &settings("other", "1") + &settings("new", "1"))).await;
        assert_eq!(outcome.sentence(), "1 created, 2 unchanged");
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
    });
}

#[test]
fn after_a_restore_nothing_is_deleted_until_an_operator_confirms_it() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-restored").await;
        place.syncs(&(settings("leaves", "1") + &settings("stays", "1"))).await;
        let mut conn = place.database.pool.acquire().await.unwrap();
        assert!(restored::notice(&mut conn, 3, Some(5)).await.unwrap());
        assert!(!restored::notice(&mut conn, 4, Some(5)).await.unwrap(), "once");
        let (outcome, writes) = place.syncs(&settings("stays", "2")).await;
        assert_eq!((writes, place.settings().await), (1, vec!["leaves".to_owned(), "stays".to_owned()]));
        assert_snapshot!(outcome.stays().unwrap(), @"ConfigMap sync-restored/leaves stays: the server's database was put back from a backup: nothing is deleted until an operator types `bascule restored confirm`");
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
        assert!(restored::confirm(&mut conn).await.unwrap());
        let (outcome, _) = place.syncs(&settings("stays", "2")).await;
        assert_eq!((outcome.sentence().as_str(), outcome.stays()), ("1 deleted, 1 unchanged", None));
        assert_eq!(place.settings().await, ["stays"]);
    });
}

#[test]
fn only_what_is_ours_by_inventory_and_uid_is_deleted() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-prune").await;
        let names = ["stays", "leaves", "recreated", "never"];
        place.syncs(&names.map(|name| settings(name, "1")).concat()).await;
        place.kubectl(&["delete", "configmap", "recreated"]).await;
        place.kubectl(&["create", "configmap", "recreated"]).await;
        place.kubectl(&["annotate", "configmap", "never", "bascule.dev/prune=never"]).await;
        // Somebody's own, with a copy of our annotation.
        place.kubectl(&["create", "configmap", "foreign"]).await;
        let owner = place
            .kubectl(&["get", "configmap", "stays", "-o", r"jsonpath={.metadata.annotations.bascule\.dev/environment}"])
            .await;
        assert_eq!(owner, "work/17/production@00000000-0000-0000-0000-000000000000");
        for name in ["foreign", "recreated"] {
            place.kubectl(&["annotate", "configmap", name, &format!("bascule.dev/environment={owner}")]).await;
        }
        let (outcome, writes) = place.syncs(&settings("stays", "1")).await;
        assert_eq!(writes, 1);
        let kept: Vec<_> = outcome.kept.iter().map(|kept| format!("{}: {}", kept.object, kept.why)).collect();
        assert_snapshot!(format!("{}\n{}", outcome.sentence(), kept.join("\n")), @r"
        1 deleted, 1 unchanged, 2 kept
        ConfigMap sync-prune/recreated: somebody else made it anew: it is not ours any more
        ConfigMap sync-prune/never: `bascule.dev/prune: never`
        ");
        assert_eq!(place.settings().await, ["foreign", "never", "recreated", "stays"]);
        assert_eq!(place.inventory().await, ["ConfigMap sync-prune/never", "ConfigMap sync-prune/stays"]);
    });
}

#[test]
fn an_empty_set_deletes_nothing() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-empty").await;
        place.syncs(&settings("a", "1")).await;
        let (outcome, writes) = place.syncs("").await;
        assert_eq!((outcome.kept[0].why.as_str(), writes), ("an empty set deletes nothing", 0));
        assert_eq!(place.settings().await, ["a"]);
    });
}

#[test]
fn a_namespace_a_definition_and_an_object_of_it_come_in_one_sync_and_go_in_one() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-order").await;
        let all = r#"
apiVersion: ordered.example.org/v1
kind: Gadget
metadata: { name: one, namespace: sync-order-new }
size: 3
---
apiVersion: v1
kind: Namespace
metadata: { name: sync-order-new }
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: gadgets.ordered.example.org }
spec:
  group: ordered.example.org
  scope: Namespaced
  names: { plural: gadgets, kind: Gadget }
  versions:
    - name: v1
      served: true
      storage: true
      schema: { openAPIV3Schema: { type: object, properties: { size: { type: integer } } } }
"#;
        let (outcome, _) = place.syncs(&(all.to_owned() + &settings("a", "1"))).await;
        assert_eq!((outcome.sentence().as_str(), outcome.state().as_str()), ("4 created", "healthy"));
        let (outcome, writes) = place.syncs(&(all.to_owned() + &settings("a", "1"))).await;
        assert_eq!((outcome.sentence().as_str(), writes), ("4 unchanged", 0));
        let gadget = all.split("---").next().unwrap().replace("size: 3", "size: 4");
        let rest: Vec<_> = all.split("---").skip(1).collect();
        let (outcome, writes) = place.syncs(&format!("{gadget}---{}{}", rest.join("---"), settings("a", "1"))).await;
        assert_eq!((outcome.sentence().as_str(), writes), ("1 updated, 3 unchanged", 1));
        // The object goes before its definition; the namespace stays until a controller that is not there empties it.
        let namespace = rest[0];
        let (outcome, _) = place.syncs(&format!("{namespace}{}", settings("a", "1"))).await;
        assert_eq!(outcome.sentence(), "2 deleted, 2 unchanged");
    });
}

#[test]
fn an_object_of_another_environment_is_left_alone_and_named() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-taken").await;
        place.syncs(&settings("shared", "1")).await;
        let mut conn = place.database.pool.acquire().await.unwrap();
        let other = block("canary", "sync-taken");
        let id = bascule::db::environments::upsert(&mut conn, place.repository.id, &other, "main").await.unwrap().id;
        let canary = Place { environment: id, block: other, ..place };
        let (outcome, writes) = canary.syncs(&(settings("shared", "2") + &settings("own", "1"))).await;
        assert_eq!((outcome.created, writes), (1, 1), "an unrelated object goes on");
        assert_snapshot!(outcome.sentence(), @"failed at ConfigMap sync-taken/shared: it belongs to the environment production of acme/shop");
        assert_eq!(canary.inventory().await, ["ConfigMap sync-taken/own"]);
    });
}

#[test]
fn a_rollout_is_awaited_and_who_waits_for_it_is_told() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-health").await;
        let mut conn = place.database.pool.acquire().await.unwrap();
        let mut next = block("after", "elsewhere");
        next.after =
            vec![bascule::policy::rules::After { environment: "production".parse().unwrap(), soak_seconds: None }];
        let next = bascule::db::environments::upsert(&mut conn, place.repository.id, &next, "main").await.unwrap().id;
        place.deploys(WEB).await;
        let becomes_ready = async {
            let path = "/apis/apps/v1/namespaces/sync-health/deployments/web";
            let mut live = loop {
                match plane.get(path).await {
                    Ok(live) => break live,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            live["status"] = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
            plane.request(Method::PUT, &format!("{path}/status"), Some(&live)).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(place.runs(), becomes_ready);
        assert_eq!(outcome.unwrap().sentence(), "1 created");
        let environment = bascule::db::environments::get(&mut conn, place.environment).await.unwrap().unwrap();
        assert_eq!(environment.healthy, environment.position);
        let jobs = bascule::queue::list(&mut conn, None, None, 10).await.unwrap();
        let mut jobs: Vec<_> = jobs.into_iter().map(|job| format!("{} {}", job.kind, job.key)).collect();
        jobs.sort();
        // And its own gate: this run began with a deployment on its way, and looked at nothing that came since.
        let gates = [place.environment, next].map(|gate| format!("sync_environment {gate}"));
        assert_eq!(jobs, [&["attend_pull work/17#7".to_owned()], &gates[..]].concat());
        let actions: Vec<_> = place.log().await.into_iter().map(|(action, _)| action).collect();
        assert_eq!(actions, ["deployment.sync", "deployment.ended"]);
    });
}

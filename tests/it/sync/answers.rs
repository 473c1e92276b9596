//! A write whose answer never came: the server may have taken it.

use bascule::jobs::sync_environment::Interrupted;
use futures::FutureExt;
use insta::assert_snapshot;

use super::{Place, Server, settings};
use crate::plane::on_plane;
use crate::support::front::Front;

#[test]
fn what_somebody_holds_after_a_write_without_an_answer_stays_in_the_inventory() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-disputed").await;
        let front = Front::of(plane).await;
        let place = Place { server: Server::new(place.database.pool.clone(), front.kubeconfig()), ..place };
        // The object is created, somebody takes its value before we could look, and the answer is lost.
        let patched = |value: &'static str| async move {
            let patch = format!(r#"{{"data":{{"value":"{value}"}}}}"#);
            let by =
                ["-n", "sync-disputed", "--field-manager=somebody", "patch", "configmap", "a", "--type=merge", "-p"];
            plane.kubectl(&[&by[..], &[&patch]].concat()).await.unwrap();
        };
        front.loses_the_next_answer(patched("theirs").boxed());
        let (outcome, _) = place.syncs(&settings("a", "1")).await;
        assert_snapshot!(outcome.sentence(), @"conflict at ConfigMap sync-disputed/a: `somebody` holds `.data.value`");
        assert_eq!(place.inventory().await, ["ConfigMap sync-disputed/a?"], "it is ours, for all we know: we made it");

        // What is in the inventory is told from what is somebody else's, and goes when it leaves the set.
        patched("1").await;
        let (outcome, _) = place.syncs(&settings("a", "1")).await;
        assert_eq!(outcome.conflicts.len() + outcome.failed.len(), 0, "{outcome:?}");
        let (outcome, _) = place.syncs(&settings("b", "1")).await;
        assert_eq!((outcome.created, outcome.deleted), (1, 1), "{outcome:?}");
        assert_eq!(place.settings().await, ["b"]);
    });
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_what_it_did_is_done_once() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-busy").await;
        let front = Front::of(plane).await;
        let place = Place { server: Server::new(place.database.pool.clone(), front.kubeconfig()), ..place };
        place.syncs(&(settings("a", "1") + &settings("old", "1"))).await;
        // The fence, the object, the delete: each is refused, and asked for again.
        for (value, statuses) in [("2", [429, 503, 1]), ("3", [1, 504, 500]), ("4", [1, 429, 429])] {
            front.refuses_the_next_writes(&statuses);
            let (outcome, _) = place.syncs(&(settings("a", value) + &settings("old", "1"))).await;
            assert_eq!(outcome.sentence(), "1 updated, 1 unchanged", "{statuses:?}");
            let live = place.kubectl(&["get", "configmap", "a", "-o", "jsonpath={.data.value}"]).await;
            assert_eq!(live, value);
        }
        front.refuses_the_next_writes(&[1, 503]);
        assert_eq!(place.syncs(&settings("a", "4")).await.0.sentence(), "1 deleted, 1 unchanged");
    });
}

#[test]
fn rights_that_end_in_the_middle_stop_the_sync_and_nothing_is_deleted() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-cut").await;
        let front = Front::of(plane).await;
        let place = Place { server: Server::new(place.database.pool.clone(), front.kubeconfig()), ..place };
        place.syncs(&(settings("a", "1") + &settings("old", "1"))).await;
        place.deploys(&(settings("a", "2") + &settings("b", "1"))).await;
        front.refuses_the_next_writes(&[403]);
        let outcome = place.runs().await.unwrap();
        assert_snapshot!(outcome.sentence(), @"nothing could be tried: who deploys is written down in a Lease of the namespace sync-cut, and that is refused: the front says Forbidden (403). The account needs `get`, `create` and `update` of `leases` (`coordination.k8s.io`) there");
        assert_eq!((place.settings().await.len(), outcome.sent()), (2, 0), "nobody who may not write the fence writes");

        // The fence is taken, and then something is refused: the other is sent, and nothing is deleted.
        place.deploys(&(settings("a", "2") + &settings("b", "1"))).await;
        front.refuses_the_next_writes(&[1, 403]);
        let outcome = place.runs().await.unwrap();
        assert_eq!((outcome.failed.len(), outcome.sent(), outcome.deleted), (1, 1, 0), "{outcome:?}");

        // A token that ran out: it is waited for, and what was begun is ended.
        place.deploys(&(settings("a", "3") + &settings("b", "3"))).await;
        front.refuses_the_next_writes(&[1, 401]);
        let away = place.runs().await.unwrap_err();
        assert!(matches!(away, Interrupted::Away(_)), "{away}");
        assert!(place.settings().await.contains(&"old".to_owned()));
        place.lets_time_pass().await;
        assert_eq!(place.runs().await.unwrap().deleted, 1);
        assert_eq!(
            (place.settings().await, place.state().await.0),
            (vec!["a".to_owned(), "b".to_owned()], "healthy".to_owned())
        );
    });
}

#[test]
fn a_connection_that_breaks_in_the_middle_of_an_answer_loses_nothing() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-broken-off").await;
        let front = Front::of(plane).await;
        let place = Place { server: Server::new(place.database.pool.clone(), front.kubeconfig()), ..place };
        place.deploys(&settings("a", "1")).await;
        front.refuses_the_next_writes(&[1, 0]);
        let away = place.runs().await.unwrap_err();
        assert!(matches!(away, Interrupted::Away(_)), "{away}");
        place.lets_time_pass().await;
        assert_eq!(place.runs().await.unwrap().sentence(), "1 created");
        assert_eq!(place.inventory().await, ["ConfigMap sync-broken-off/a"]);
    });
}

//! A write whose answer never came: the server may have taken it.

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

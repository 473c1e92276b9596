//! Who waits takes nothing from those who work: neither a slot of the worker, nor a turn in the cluster.

use std::sync::Arc;
use std::time::Duration;

use bascule::jobs::sync_environment::{Ran, run_deployment};
use bascule::queue::worker::{self, Settings};
use bascule::queue::{Bell, Claimed, Lane, Lease, NewJob, Verdict, enqueue};
use bascule::sync::Step;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Place, Server, cluster_name, lease, settings};
use crate::plane::on_plane;

/// Nothing starts pods on this control plane: it is never well.
const HANGS: &str = r#"---
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "hangs"}, "spec": {"replicas": 1,
 "selector": {"matchLabels": {"app": "hangs"}}, "template": {"metadata": {"labels": {"app": "hangs"}},
 "spec": {"containers": [{"name": "hangs", "image": "registry.invalid/hangs:1"}]}}}}
"#;

#[test]
fn a_rollout_that_hangs_holds_up_nobody_else() {
    on_plane(async |plane| {
        let place = Place::new(plane, "turns").await;
        place.deploys(HANGS).await;
        let mut tx = place.database.pool.begin().await.unwrap();
        let other = NewJob {
            kind: "other".to_owned(),
            key: "other".to_owned(),
            lane: Lane::Sync,
            share: "work/18".to_owned(),
            payload: json!({}),
            trace: bascule::ids::TraceId(uuid::Uuid::nil()),
            run_after: Duration::ZERO,
        };
        let (waits, mut waiting) = tokio::sync::mpsc::unbounded_channel();
        let (ran, mut others) = tokio::sync::mpsc::unbounded_channel();
        let server = Arc::new(Server::new(place.database.pool.clone(), plane.kubeconfig().to_owned()));
        let turns = server.clusters.turns(&cluster_name());
        let all = turns.available_permits();
        let handler = move |job: Claimed, lease: Lease| {
            let (server, waits, ran) = (server.clone(), waits.clone(), ran.clone());
            async move {
                if job.kind == "other" {
                    ran.send(()).unwrap();
                }
                if job.kind != "sync_environment" {
                    return Verdict::Done;
                }
                let environment = job.payload["environment"].as_i64().unwrap();
                let observe = |met: Step| {
                    if met == Step::Applied {
                        waits.send(()).unwrap();
                    }
                };
                match Box::pin(run_deployment(&server.world(), &job, &lease, environment, &observe)).await {
                    Ok(Ran::Recorded(_) | Ran::Nothing) => Verdict::Done,
                    Ok(Ran::Waits(wait)) => Verdict::Snooze { wait },
                    Err(interrupted) => interrupted.verdict(),
                }
            }
        };
        let stop = CancellationToken::new();
        let mut slots = Settings { poll: Duration::from_millis(20), ..Settings::default() };
        slots.slots.insert(Lane::Sync, 1);
        let source = Arc::new(place.server.source());
        let work = worker::run(source, Arc::new(handler), Bell::new("one slot"), slots, stop.clone());
        tokio::join!(work, async {
            waiting.recv().await.unwrap();
            // Everything is sent, and the only slot is its own: whoever comes now is served all the same.
            enqueue(&mut tx, &other).await.unwrap();
            tx.commit().await.unwrap();
            others.recv().await.unwrap();
            assert_eq!(place.state().await.0, "running");
            assert_eq!(turns.available_permits(), all, "nor does it keep others from its cluster");
            stop.cancel();
        });
    });
}

#[test]
fn a_cluster_that_has_no_turn_left_is_waited_for_beside_the_slots() {
    on_plane(async |plane| {
        let place = Place::new(plane, "turns-taken").await;
        place.deploys(&settings("one", "1")).await;
        let turns = place.server.clusters.turns(&cluster_name());
        let all = turns.available_permits();
        let others = turns.clone().acquire_many_owned(u32::try_from(all).unwrap()).await.unwrap();
        let job = place.server.claim().await.unwrap();
        let (cluster, of_the_job) = (place.server.cluster().await, lease(&job));
        let run = place.server.run(&job, &of_the_job);
        tokio::pin!(run);
        // It gets as far as the turn that it does not have.
        let taken_over = async {
            let taken = "SELECT EXISTS (SELECT FROM deployment WHERE fence = $1)";
            while !sqlx::query_scalar::<_, bool>(taken).bind(job.fence).fetch_one(&place.database.owner).await.unwrap()
            {
            }
        };
        tokio::select! {
            _ = &mut run => panic!("it had no turn"),
            () = taken_over => {}
        }
        assert_eq!((cluster.reads(), cluster.writes()), (0, 0), "nothing was asked");
        drop(others);
        let ended = run.await.unwrap();
        assert!(matches!(ended, Ran::Recorded(outcome) if outcome.state().as_str() == "healthy"));
        assert_eq!(turns.available_permits(), all);
    });
}

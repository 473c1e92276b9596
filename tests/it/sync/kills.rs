//! A worker dies at each labelled step; whoever comes next brings the deployment to its end.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use bascule::queue::{Source, Verdict};
use bascule::sync::Step;
use rustix::process::{Signal, getpid, kill_process};
use sqlx::PgPool;

use super::{Place, Server, lease, settings};
use crate::plane::on_plane;

/// What the child is told: step, how often to let it pass, database, kubeconfig.
const ORDERS: &str = "BASCULE_TEST_DIES_AT";

/// The worker that dies. Does nothing in a run of the tests; [`dies_at`] starts it in a process of its own.
#[test]
fn worker() {
    #[expect(clippy::disallowed_methods, reason = "a test's own orders to its child")]
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let [step, passes, database, kubeconfig] = orders.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
    let passes: u32 = passes.parse().unwrap();
    let left = AtomicU32::new(passes);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::new(PgPool::connect(database).await.unwrap(), kubeconfig.into());
        let job = server.claim().await.unwrap();
        let environment = job.payload["environment"].as_i64().unwrap();
        let observe = |met: Step| {
            if met.label() == step && left.fetch_sub(1, Ordering::SeqCst) == 0 {
                // Not a way out of a program: nothing is flushed, dropped or said.
                kill_process(getpid(), Signal::KILL).unwrap();
            }
        };
        let world = server.world();
        let of_the_job = lease(&job);
        let run = bascule::jobs::sync_environment::run_deployment(&world, &job, &of_the_job, environment, &observe);
        Box::pin(run).await.unwrap();
    });
}

/// Runs the job that is due in a process that is killed at this step; whether it met it.
pub(super) async fn dies_at(place: &Place<'_>, step: Step, passes: u32) -> bool {
    let orders =
        format!("{} {passes} {} {}", step.label(), place.database.server_url(), place.plane.kubeconfig().display());
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program);
    child.args(["--exact", "sync::kills::worker", "--nocapture"]).env(ORDERS, orders);
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let ended = tokio::task::spawn_blocking(move || child.status()).await.unwrap().unwrap();
    std::os::unix::process::ExitStatusExt::signal(&ended) == Some(9)
}

/// A set that meets every step: a namespace, a definition with an object of it, things to add, change and remove.
fn before(name: &str) -> String {
    settings("stays", "1") + &settings("changes", "1") + &settings("leaves", "1") + &namespace(name, "one")
}

fn after(name: &str) -> String {
    let definition = format!(
        "
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{ name: things.{name}.example.org }}
spec:
  group: {name}.example.org
  scope: Namespaced
  names: {{ plural: things, kind: Thing }}
  versions:
    - {{ name: v1, served: true, storage: true, schema: {{ openAPIV3Schema: {{ type: object }} }} }}
---
apiVersion: {name}.example.org/v1
kind: Thing
metadata: {{ name: one }}
"
    );
    settings("stays", "1")
        + &settings("changes", "2")
        + &settings("comes", "1")
        + &namespace(name, "one")
        + &namespace(name, "two")
        + &definition
        + HOOK
}

/// Nothing is awaited of it: it is there for one that is.
const HOOK: &str = r#"---
{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hook", "annotations": {"bascule.dev/hook": "pre-sync"}}}
"#;

fn namespace(name: &str, which: &str) -> String {
    format!("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}-{which}}}}}\n")
}

async fn check(place: &Place<'_>, name: &str, step: Step, passes: u32) {
    let what = format!("{} after {passes}", step.label());
    place.syncs(&before(name)).await;
    place.deploys(&after(name)).await;
    assert!(dies_at(place, step, passes).await, "no sync meets the step {what}");
    place.lets_the_lease_run_out().await;
    if step == Step::Recorded {
        // The job ended with its record; the next one finds no deployment, and judges the gate.
        let next = place.server.claim().await.unwrap();
        let ran = place.server.run(&next, &lease(&next)).await.unwrap();
        assert_eq!(ran, bascule::jobs::sync_environment::Ran::Nothing, "{what}");
        place.server.source().settle(&next, &Verdict::Done).await.unwrap();
    } else {
        let outcome = place.runs().await.unwrap();
        assert_eq!(outcome.state().as_str(), "healthy", "{what}: {}", outcome.sentence());
    }
    assert_eq!(place.state().await, ("healthy".to_owned(), None), "{what}");
    // The cluster is the covered set …
    assert_eq!(place.settings().await, ["changes", "comes", "hook", "stays"], "{what}");
    let uid = place.kubectl(&["get", "configmap", "hook", "-o", "jsonpath={.metadata.uid}"]).await;
    let changed = place.kubectl(&["get", "configmap", "changes", "-o", "jsonpath={.data.value}"]).await;
    assert_eq!(changed, "2", "{what}");
    let thing = place.kubectl(&["get", &format!("things.{name}.example.org"), "-o", "name"]).await;
    assert!(thing.contains("/one"), "{what}: {thing}");
    // … the inventory is the cluster, every row of it confirmed …
    let expected = [
        format!("ConfigMap {name}/changes"),
        format!("ConfigMap {name}/comes"),
        format!("ConfigMap {name}/stays"),
        format!("Namespace {name}-one"),
        format!("Namespace {name}-two"),
        format!("CustomResourceDefinition things.{name}.example.org"),
        format!("Thing {name}/one"),
    ];
    let mut inventory = place.inventory().await;
    inventory.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(inventory, expected, "{what}");
    // … nothing more is to be done, and every intent has exactly one end.
    let (again, writes) = place.syncs(&after(name)).await;
    assert_eq!((again.sentence().as_str(), writes), ("7 unchanged", 0), "{what}");
    let same = place.kubectl(&["get", "configmap", "hook", "-o", "jsonpath={.metadata.uid}"]).await;
    assert_eq!((uid.is_empty(), same), (false, uid), "{what}: run once");
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_entry e WHERE opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq)",
    )
    .fetch_one(&place.database.owner)
    .await
    .unwrap();
    assert_eq!(open, 0, "{what}");
    let ended = place.log().await.iter().filter(|(action, _)| action == "deployment.ended").count();
    assert_eq!(ended, 3, "{what}: each deployment ended once");
}

#[test]
fn a_sync_survives_its_worker_at_every_step() {
    on_plane(async |plane| {
        // What follows a sync has its own story (`stories/verify.rs`).
        let verified = [Step::VerifyBegun, Step::VerifyAsked];
        for step in Step::ALL.into_iter().filter(|step| !verified.contains(step)) {
            let name = format!("kill-{}", step.label());
            Box::pin(check(&Place::new(plane, &name).await, &name, step, 0)).await;
        }
    });
}

#[test]
fn a_sync_survives_its_worker_between_any_two_objects() {
    on_plane(async |plane| {
        for passes in 1..4 {
            let name = format!("kill-sent-{passes}");
            Box::pin(check(&Place::new(plane, &name).await, &name, Step::ObjectSent, passes)).await;
            let name = format!("kill-recorded-{passes}");
            Box::pin(check(&Place::new(plane, &name).await, &name, Step::ObjectRecorded, passes)).await;
        }
    });
}

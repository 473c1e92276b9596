//! The measures, ours and theirs by turns.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::parts::ControlPlane;
use crate::peers::{self, Generator, processor};
use crate::place::{Place, Server};
use crate::table::{Cell, Table};

/// How many requests a sync of ours has on its way.
const WIDTH: usize = 16;

fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort();
    all.get(all.len() / 2).copied()
}

/// The deployment's run: how long, how many writes, and what of the processor.
async fn run(place: &Place<'_>, text: &str) -> (Duration, u64, Duration) {
    place.deploys(text).await;
    let writes_before = place.server.cluster().await.writes();
    let used_before = processor(std::process::id()).own;
    let begun = Instant::now();
    let outcome = place.runs().await.unwrap();
    let took = begun.elapsed();
    assert!(outcome.is_applied(), "{outcome:?}");
    (took, place.server.cluster().await.writes() - writes_before, processor(std::process::id()).own - used_before)
}

pub(crate) async fn measured(plane: &ControlPlane, n: usize, runs: usize, table: &mut Table) {
    let mut place = Place::new(plane, &format!("ours-{n}")).await;
    let bare = Generator::new(plane, &format!("bare-{n}")).await;
    let theirs = format!("kubectl-{n}");
    plane.kubectl(&["create", "namespace", &theirs]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();

    // Everything is there, once.
    let text = |value: &str| peers::manifests(place_namespace(n).as_str(), n, value);
    run(&place, &text("first")).await;
    bare.applies(n, "first", WIDTH).await;
    peers::kubectl(plane, &peers::file(folder.path(), &theirs, n, "first")).await;

    let (mut changed, mut cold, mut warm, mut used, mut used_cold) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut kubectl_changed, mut kubectl_same, mut kubectl_used) = (vec![], vec![], vec![]);
    let (mut bare_changed, mut four, mut twenty, mut listed) = (vec![], vec![], vec![], vec![]);
    let (mut sent, mut sent_again) = (0, 0);
    for number in 0..runs {
        let value = format!("run-{number}");
        let (took, writes, own) = run(&place, &text(&value)).await;
        changed.push(took);
        used.push(own);
        sent = sent.max(writes);
        // As after a start: nothing is known, no connection is open.
        place.server = Server::new(place.database.pool.clone(), plane.kubeconfig().to_owned());
        let (took, writes, own) = run(&place, &text(&value)).await;
        cold.push(took);
        used_cold.push(own);
        sent_again = sent_again.max(writes);
        let (took, writes, _) = run(&place, &text(&value)).await;
        warm.push(took);
        sent_again = sent_again.max(writes);

        let file = peers::file(folder.path(), &theirs, n, &value);
        let before = processor(std::process::id()).children;
        kubectl_changed.push(peers::kubectl(plane, &file).await);
        kubectl_used.push(processor(std::process::id()).children - before);
        kubectl_same.push(peers::kubectl(plane, &file).await);

        bare_changed.push(bare.applies(n, &value, WIDTH).await);
        four.push(bare.looks_at_each(n, &value, 4).await);
        twenty.push(bare.looks_at_each(n, &value, 20).await);
        listed.push(bare.lists().await);
    }

    let time = |table: &mut Table, name, goal, of: &Vec<Duration>| {
        if let Some(of) = median(of.clone()) {
            table.put(name, goal, n, Cell::Time(of));
        }
    };
    let ratio = |table: &mut Table, name, goal, theirs: &Vec<Duration>, ours: &Vec<Duration>| {
        if let (Some(theirs), Some(ours)) = (median(theirs.clone()), median(ours.clone())) {
            table.put(name, goal, n, Cell::Ratio(theirs.as_secs_f64() / ours.as_secs_f64().max(1e-6)));
        }
    };
    time(table, "8. nothing changed, after a start", "linear", &cold);
    time(table, "9. nothing changed, the same server", "linear", &warm);
    time(table, "10. each object changed", "linear", &changed);
    time(table, "`kubectl apply --server-side`, nothing changed", "", &kubectl_same);
    time(table, "`kubectl apply --server-side`, each changed", "", &kubectl_changed);
    time(table, "a GET and a dry run each, 4 wide (as Flux asks)", "", &four);
    time(table, "a GET and a dry run each, 20 wide (as Argo CD asks)", "", &twenty);
    time(table, "a list of all, 500 a page", "", &listed);
    time(table, "an apply of each, 16 wide, bare", "", &bare_changed);
    ratio(table, "8. kubectl : ours", "≥ 50 at 1,000; ≥ 30 at 5,000", &kubectl_same, &cold);
    ratio(table, "8. ours : the list", "≤ 3", &cold, &listed);
    ratio(table, "9. kubectl : ours", "≥ 500", &kubectl_same, &warm);
    ratio(table, "9. as Flux asks : ours", "≥ 100", &four, &warm);
    ratio(table, "9. as Argo CD asks : ours", "", &twenty, &warm);
    ratio(table, "10. bare : ours", "≥ 0.9", &bare_changed, &changed);
    ratio(table, "10. kubectl : ours", "≥ 3", &kubectl_changed, &changed);
    let each = |of: &Vec<Duration>| median(of.clone()).map(|of| of / u32::try_from(n).unwrap_or(u32::MAX));
    for (name, of) in [
        ("11. our processor time of a changed object", &used),
        ("11. the same, nothing changed, after a start", &used_cold),
        ("11. kubectl's, of a changed object", &kubectl_used),
    ] {
        if let Some(each) = each(of).filter(|_| n >= 100) {
            table.put(name, "", n, Cell::Time(each));
        }
    }
    if n >= 100 {
        ratio(table, "11. kubectl : ours", "≥ 8", &kubectl_used, &used);
    }
    table.put("requests that write, each changed", "one an object", n, Cell::Count(sent));
    table.put("the same, nothing changed", "0", n, Cell::Count(sent_again));
}

fn place_namespace(n: usize) -> String {
    format!("ours-{n}")
}

/// From a status written by its controller, which we are here, to the deployment's row.
pub(crate) async fn health(plane: &ControlPlane, runs: usize, table: &mut Table) {
    let place = Place::new(plane, "health").await;
    let mut all = Vec::new();
    for number in 0..runs.max(3) {
        let number = number.to_string();
        let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "web" } }, "template": {
                "metadata": { "labels": { "app": "web", "run": number } },
                "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] } } } });
        place.deploys(&format!("---\n{object}\n")).await;
        let becomes_well = async {
            let path = "/apis/apps/v1/namespaces/health/deployments/web";
            let mut live = loop {
                match plane.get(path).await {
                    Ok(live) if live["spec"]["template"]["metadata"]["labels"]["run"] == number.as_str() => {
                        break live;
                    }
                    Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            };
            // Whoever waits has begun to.
            tokio::time::sleep(Duration::from_millis(300)).await;
            live["status"] = json!({ "observedGeneration": live["metadata"]["generation"], "replicas": 1,
                "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1 });
            plane.request(Method::PUT, &format!("{path}/status"), Some(&live)).await.unwrap();
            Instant::now()
        };
        let ends = async {
            let outcome = place.runs().await.unwrap();
            (Instant::now(), outcome)
        };
        let (written, (ended, outcome)) = tokio::join!(becomes_well, ends);
        assert!(outcome.is_applied(), "{outcome:?}");
        all.push(ended.saturating_duration_since(written));
    }
    all.sort();
    if let (Some(half), Some(most)) = (all.get(all.len() / 2), all.last()) {
        table.put("12. a status is written → its deployment is recorded as healthy", "", 1, Cell::Time(*half));
        table.put("12. the slowest of them", "≤ 50 ms", 1, Cell::Time(*most));
    }
}

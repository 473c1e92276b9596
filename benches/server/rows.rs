//! The measures.

use std::time::Duration;

use crate::Options;
use crate::parts::ControlPlane;
use crate::reflector::Reflector;
use crate::running::{OBJECTS, World};
use crate::table::{Cell, Table};

/// Environments of one merge, when the server is killed in the middle of it.
const CHANGED: usize = 10;
/// For everything that is not the first deployment.
const PATIENCE: Duration = Duration::from_secs(60);

fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort();
    all.get(all.len() / 2).copied()
}

/// Kibibytes of a process that are in memory.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) async fn measured(plane: &ControlPlane, n: usize, options: &Options, table: &mut Table) {
    let world = World::new(plane, n).await;
    let (server, _) = world.starts();
    let empty = resident(server.id());
    let everything = format!(
        "SELECT FROM (SELECT count(*) AS n FROM deployment WHERE state = 'healthy') healthy, (SELECT count(*) AS n FROM inventory \
         WHERE live_hash IS NOT NULL) live WHERE healthy.n >= {n} AND live.n >= {}",
        n * OBJECTS
    );
    let Some(took) = world.until(&everything, Duration::from_secs(60 * options.patience)).await else {
        println!("  {} of {n} environments are deployed after {} minutes", world.healthy().await, options.patience);
        world.says_why().await;
        return;
    };
    println!("  all are deployed after {:.1} s", took.as_secs_f64());

    let deployed = resident(server.id());
    // Before somebody's hand is on what is deployed: that is a conflict, which ends no deployment well.
    let server = again(&world, server, options.runs.min(3), table).await;
    drift(&world, options.runs, table).await;
    memory(&world, server.id(), (empty, deployed), table);
}

/// Row 14.
fn memory(world: &World<'_>, server: u32, (empty, deployed): (u64, u64), table: &mut Table) {
    let n = world.environments;
    let watched = resident(server);
    let reflector = Reflector::start(world.plane.kubeconfig(), &world.namespace);
    let theirs = resident(reflector.id());
    table.put("14. memory of a server that watches them all (KiB)", "", n, Cell::Count(watched));
    table.put("of one that has just deployed them all (KiB)", "", n, Cell::Count(deployed));
    table.put("of one that has just started, with nothing there (KiB)", "", n, Cell::Count(empty));
    table.put("of a `kube` reflector with these objects alone (KiB)", "", n, Cell::Count(theirs));
    table.put("14. server : reflector", "≤ 0.2", n, Cell::Ratio(watched as f64 / theirs as f64));
}

/// Row 13: from the answer to somebody's edit to the row of it.
async fn drift(world: &World<'_>, runs: usize, table: &mut Table) {
    let mut all = Vec::new();
    // The first waits for a server that was just started to watch, and is not counted.
    for run in 0..=runs {
        let name = format!("a{:05}-{}", run * 7 % world.environments, run % OBJECTS);
        let kubectl = async |arguments: &[&str]| {
            world.plane.kubectl(&[&["-n", &world.namespace], arguments].concat()).await.unwrap()
        };
        let writes = async |value: &str| {
            let patch = format!("{{\"data\":{{\"value\":\"{value}\"}}}}");
            kubectl(&["patch", "configmap", &name, "--type=merge", "-p", &patch]).await;
        };
        let before = kubectl(&["get", "configmap", &name, "-o", "jsonpath={.data.value}"]).await;
        writes(&format!("by hand {run}")).await;
        let question = format!("SELECT FROM drift WHERE name = '{name}' AND ended_at IS NULL");
        match world.until(&question, PATIENCE).await {
            Some(took) if run > 0 => all.push(took),
            Some(_) => {}
            None => println!("  the edit of {name} was not seen"),
        }
        // Back by the same hand, so that the next one is seen as the first was.
        writes(&before).await;
        let over = format!("SELECT WHERE NOT EXISTS (SELECT FROM drift WHERE name = '{name}' AND ended_at IS NULL)");
        if world.until(&over, PATIENCE).await.is_none() {
            println!("  {name} drifts still");
        }
    }
    let n = world.environments;
    if let Some(slowest) = all.iter().max().copied() {
        table.put("13. edit answered → row, the slowest", "≤ 100 ms", n, Cell::Time(slowest));
    }
    if let Some(took) = median(all) {
        table.put("13. edit answered → row", "flat", n, Cell::Time(took));
    }
}

/// Row 17: killed in the middle of what a merge asks for, and started again.
async fn again(
    world: &World<'_>,
    mut server: crate::running::Server,
    runs: usize,
    table: &mut Table,
) -> crate::running::Server {
    let (mut ready, mut claimed, mut lost) = (Vec::new(), Vec::new(), 0);
    let some = CHANGED.min(world.environments);
    world.tells(true);
    for run in 0..runs {
        let before = world.healthy().await;
        world.changes(some, &format!("run {run}")).await;
        drop(server);
        let begun = std::time::Instant::now();
        let (next, took) = world.starts();
        ready.push(took);
        server = next;
        let done = before + i64::try_from(some).unwrap();
        // Something of it was begun, whichever job that is.
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(fence), 0) FROM job")
            .fetch_one(&world.database.owner)
            .await
            .unwrap();
        let is_begun = format!(
            "SELECT FROM job WHERE state = 'running' AND fence > {newest} UNION ALL \
             SELECT FROM (SELECT count(*) AS n FROM job WHERE state <> 'failed') open WHERE n = 0"
        );
        if world.until(&is_begun, PATIENCE).await.is_some() {
            claimed.push(begun.elapsed());
        }
        let all = format!(
            "SELECT FROM (SELECT count(*) AS n FROM deployment WHERE state = 'healthy') healthy WHERE n >= {done}"
        );
        if world.until(&all, PATIENCE).await.is_none() {
            lost += u64::try_from(done - world.healthy().await).unwrap_or_default();
        }
    }
    let n = world.environments;
    if let (Some(ready), Some(claimed)) = (median(ready), median(claimed)) {
        table.put("17. process begun → ready", "", n, Cell::Time(ready));
        table.put("17. process begun → first job claimed", "≤ 1 s", n, Cell::Time(claimed));
    }
    table.put("17. deployments lost of those a killed server had heard of", "0", n, Cell::Count(lost));
    server
}

//! The measures, ours and theirs by turns.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Options;
use crate::stage::{Met, Stage, deployment, settings};
use crate::table::{Cell, Table};

/// Folders of which a peer is timed; the rest is counted up.
const SOME: usize = 5;

fn median(all: &[Duration]) -> Option<Duration> {
    let mut all = all.to_vec();
    all.sort();
    all.get(all.len() / 2).copied()
}

/// From the webhook to a step of the preview.
fn until(begun: Instant, met: &[Met], steps: &[&str]) -> Option<Duration> {
    let is_it = |one: &&Met| one.kind == "attend_pull" && steps.contains(&one.step.as_str());
    met.iter().find(is_it).map(|met| met.at - begun)
}

/// From the job's first step.
fn thinking(met: &[Met]) -> Option<Duration> {
    let at = |step: &str| met.iter().find(|met| met.kind == "attend_pull" && met.step == step).map(|met| met.at);
    Some(at("preview-stored")? - at("left-open-closed")?)
}

pub(crate) async fn measured(stage: &Stage<'_>, options: &Options, table: &mut Table) {
    let n = stage.environments;
    let patience = Duration::from_secs(options.patience);
    println!("\n{n} environments");
    let has_cluster = stage.is_deployed().await;
    // Who reads what is found out by the first.
    stage.opens(&format!("plain/{}/web.yaml", stage.app(0, 1)), &settings(&stage.app(0, 1), "first")).await;
    let Some((begun, met)) = stage.told(patience * 4).await else {
        println!("  the first preview did not come: {:#?}", stage.failed_jobs().await);
        return;
    };
    if let Some(first) = until(begun, &met, &["preview-stored"]) {
        table.put("the first preview after a start", "linear", n, Cell::Time(first));
    }

    let mut ours: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let mut stages: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    let (mut floors, mut trees, mut kustomizes, mut helms, mut kubectls) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut git, mut writes) = (0, 0);
    for run in 0..options.runs {
        for (kind, what) in [(0, "plain"), (1, "kustomize"), (2, "helm")] {
            let app = stage.app(kind, run + 2);
            let (path, text) = match kind {
                0 => (format!("plain/{app}/web.yaml"), settings(&app, &format!("run {run}"))),
                1 => (format!("overlays/{app}/settings.yaml"), settings(&app, &format!("run {run}"))),
                _ => (format!("charts/{app}/values.yaml"), format!("value: run-{run}\n")),
            };
            // The base's side is there, as after any deployment or earlier pull request.
            let text_before = format!("{text}# seen before\n");
            let pr = stage.opens(&path, &text_before).await;
            stage.told(patience).await;
            stage.forge.pushes("dev", &pr, &[(&path, &text)]).await;
            stage.forge.take_calls();
            let before = stage.context.git.started();
            let Some((begun, met)) = stage.told(patience).await else { continue };
            git = git.max(stage.context.git.started() - before);
            let calls = stage.forge.take_calls();
            writes =
                writes.max(calls.iter().filter(|call| !call.starts_with("GET") && call.contains("comments")).count());
            ours.entry(what).or_default().extend(until(begun, &met, &["preview-stored"]));
            if kind == 0 {
                ours.entry("posted").or_default().extend(until(begun, &met, &["edit-written", "comment-written"]));
                ours.entry("thinking").or_default().extend(thinking(&met));
                let mut last = begun;
                for one in met.iter().filter(|one| one.kind == "attend_pull") {
                    stages.entry(one.step.clone()).or_default().push(one.at - last);
                    last = one.at;
                }
                if let Some((floor, tree)) = stage.floor(&pr).await {
                    floors.push(floor);
                    trees.push(tree);
                }
                // Another commit, the same content.
                let before = stage.context.renderer.renders();
                stage.forge.force_pushes("dev", &pr, &[(&path, &text)]).await;
                if let Some((begun, met)) = stage.told(patience).await {
                    ours.entry("again").or_default().extend(until(begun, &met, &["preview-stored"]));
                }
                table.put(
                    "7. renders when only the commit changed",
                    "0",
                    n,
                    Cell::Count(stage.context.renderer.renders() - before),
                );
            }
        }
        kustomizes.extend(stage.kustomize(SOME).await);
        helms.extend(stage.helm(SOME).await);
        if has_cluster && n <= 1_000 && run < 2 {
            kubectls.extend(stage.kubectl_diff().await);
        }
    }

    let theirs = |all: &[Duration]| median(all);
    let of = |what: &str| ours.get(what).and_then(|all| median(all));
    let time = |table: &mut Table, name, goal, value: Option<Duration>| {
        if let Some(value) = value {
            table.put(name, goal, n, Cell::Time(value));
        }
    };
    let ratio = |table: &mut Table, name, goal, a: Option<Duration>, b: Option<Duration>| {
        if let (Some(a), Some(b)) = (a, b) {
            table.put(name, goal, n, Cell::Ratio(a.as_secs_f64() / b.as_secs_f64()));
        }
    };
    let third = u32::try_from(n.div_ceil(3)).unwrap_or(u32::MAX);
    let kustomize_all = theirs(&kustomizes).map(|one| one * third);
    let helm_all = theirs(&helms).map(|one| one * third);
    let kubectl = theirs(&kubectls);
    let everything = kubectl.zip(kustomize_all).map(|(kubectl, kustomize)| kubectl + kustomize);
    time(table, "5. one line, plain: webhook → text ready", "flat", of("plain"));
    time(table, "5. the same, kustomize", "flat", of("kustomize"));
    time(table, "5. the same, helm", "flat", of("helm"));
    time(table, "5. plain: webhook → on the forge", "flat", of("posted"));
    time(table, "5. plain: the job's own time until then", "flat", of("thinking"));
    time(table, "floor: fetch, diff-tree, one dry run", "", theirs(&floors));
    time(table, "`kubectl diff --server-side` of all", "", kubectl);
    time(table, "`kustomize build` of that third (≈)", "", kustomize_all);
    time(table, "`helm template` of that third (≈)", "", helm_all);
    ratio(table, "5. ours : floor", "≤ 2", of("plain"), theirs(&floors));
    ratio(table, "5. kubectl diff : ours", "≥ 100 at 1,000", kubectl, of("plain"));
    ratio(table, "5. kustomize build and kubectl diff : ours", "", everything, of("kustomize"));
    ratio(table, "5. helm template of all : ours", "", helm_all, of("helm"));
    time(table, "7. again, only the commit changed", "flat", of("again"));
    ratio(table, "7. again : `git diff-tree`", "≤ 1.2", of("again"), theirs(&trees));
    table.put("`git` programs of one push", "flat", n, Cell::Count(git));
    table.put("18. comment writes of one push", "1", n, Cell::Count(writes as u64));
    println!("  where the time goes (plain, median of each step, from the one before):");
    for (step, all) in &stages {
        println!("    {step:24} {:7.1} ms", median(all).unwrap_or_default().as_secs_f64() * 1e3);
    }

    base(stage, table, patience, theirs(&kustomizes)).await;
    storm(stage, table, patience, of("plain")).await;
    for (renderer, times) in stage.renderers().await {
        println!("  rendered by {renderer}: {times}");
    }
    let failed = stage.failed_jobs().await;
    if !failed.is_empty() {
        println!("  jobs that failed: {failed:#?}");
    }
}

/// A base that a third of all read changes.
async fn base(stage: &Stage<'_>, table: &mut Table, patience: Duration, one: Option<Duration>) {
    let n = stage.environments;
    let third = u32::try_from(n.div_ceil(3)).unwrap_or(u32::MAX);
    if one.is_none_or(|one| one * third > patience) {
        println!("  6. left out: a process each would take longer than {} s", patience.as_secs());
        return;
    }
    stage.opens("base/web.yaml", &deployment("web", "registry.example/web:2")).await;
    let Some((begun, met)) = stage.told(patience * 4).await else {
        println!("  6. took longer than {} s", patience.as_secs() * 4);
        return;
    };
    let Some(time) = until(begun, &met, &["preview-stored"]) else { return };
    table.put("6. a base that a third reads", "linear", n, Cell::Time(time));
    if let Some(one) = one {
        let ratio = (one * third).as_secs_f64() / time.as_secs_f64();
        table.put("6. a `kustomize` process each : ours", "≥ 200", n, Cell::Ratio(ratio));
    }
}

/// A hundred pushes as fast as they come; while they do, another pull request.
async fn storm(stage: &Stage<'_>, table: &mut Table, patience: Duration, alone: Option<Duration>) {
    let n = stage.environments;
    let app = stage.app(0, 0);
    let path = format!("plain/{app}/web.yaml");
    let pr = stage.opens(&path, &settings(&app, "calm")).await;
    stage.told(patience).await;
    for push in 0..100 {
        stage.forge.pushes("dev", &pr, &[(&path, &settings(&app, &format!("push {push}")))]).await;
    }
    let before = stage.context.renderer.renders();
    let Some((begun, met)) = stage.told(patience).await else { return };
    let renders = stage.context.renderer.renders() - before;
    table.put("15. renders of 100 pushes", "≤ 3", n, Cell::Count(renders));
    let is_ready = |one: &&Met| one.kind == "attend_pull" && one.step == "preview-stored";
    let ready = met.iter().rev().find(is_ready).map(|met| met.at - begun);
    if let (Some(ready), Some(alone)) = (ready, alone) {
        table.put("15. 100 pushes → the newest ready", "", n, Cell::Time(ready));
        table.put(
            "15. the same : a lone preview",
            "≤ 1.3 and the deliveries",
            n,
            Cell::Ratio(ready.as_secs_f64() / alone.as_secs_f64()),
        );
    }
}

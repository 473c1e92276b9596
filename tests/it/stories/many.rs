//! Many environments: what a push costs that touches one of them.

use std::sync::{Arc, Mutex, mpsc};

use bascule::jobs::{self, Observer, Step, Write};
use bascule::queue::{Claimed, Lease, Verdict};
use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::town::TERM;
use super::*;
use crate::fake::forge::{Pr, Right};

/// Every folder is an environment, and nobody is asked.
const APPS: &str = "\
version: 1
environments:
  '{app}': { path: 'apps/{app}', cluster: test, namespace: '{ns}' }
";

/// What was done, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    renders: u64,
    git: u64,
    fetches: usize,
    calls: usize,
    comments: usize,
    statuses: usize,
    dry_runs: u64,
}

impl Town {
    /// The repository is made with so many environments. Nothing of it is deployed: that is another story.
    async fn has_apps(&mut self, environments: usize) {
        let rules = self.rules(APPS);
        let app = |number| (format!("apps/a{number:04}/web.yaml"), settings(&format!("a{number:04}"), "1"));
        let files: Vec<(String, String)> = (0..environments).map(app).collect();
        let mut all = vec![(".bascule.yaml", rules.as_str())];
        all.extend(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        self.shop = self.forge.repository("acme/shop", &all).await;
        self.forge.lets("dev", &self.shop, Right::Write);
        sqlx::query("DELETE FROM job").execute(&self.database.owner).await.unwrap();
    }

    /// Runs the jobs, and counts.
    async fn counted(&mut self) -> Counts {
        let (renders, git, tried) = (self.context.renderer.renders(), self.context.git.started(), self.tried().await);
        self.forge.take_calls();
        self.forge.take_fetches();
        self.run_jobs().await;
        let calls = self.forge.take_calls();
        let written = |what: &str| calls.iter().filter(|call| !call.starts_with("GET") && call.contains(what)).count();
        Counts {
            renders: self.context.renderer.renders() - renders,
            git: self.context.git.started() - git,
            fetches: self.forge.take_fetches(),
            calls: calls.len(),
            comments: written("comments"),
            statuses: written("statuses"),
            dry_runs: self.tried().await - tried,
        }
    }

    async fn opens_for(&mut self, app: &str, value: &str) -> Pr {
        let path = format!("apps/{app}/web.yaml");
        self.forge.opens_pull("dev", &self.shop, &[(&path, &settings(app, value))]).await
    }
}

#[test]
fn a_push_to_one_environment_costs_the_same_among_ten_and_among_a_thousand() {
    on_plane(async |plane| {
        let mut told = Vec::new();
        for environments in [10, 1_000] {
            let mut town = Town::new(plane, &format!("among-{environments}"), Told::ByDeliveries).await;
            let t = &mut town;
            t.has_apps(environments).await;
            // Who reads what is found out for the first one.
            t.opens_for("a0003", "2").await;
            t.run_jobs().await;
            let pr = t.opens_for("a0005", "2").await;
            let first = t.counted().await;
            t.forge.pushes("dev", &pr, &[("apps/a0005/web.yaml", &settings("a0005", "3"))]).await;
            let pushed = t.counted().await;
            t.forge.force_pushes("dev", &pr, &[("apps/a0005/web.yaml", &settings("a0005", "3"))]).await;
            let again = t.counted().await;
            assert!(t.troubles.is_empty(), "{:#?}", t.troubles);
            let comment = t.forge.comment(&pr);
            assert!(comment.contains("a0005") && !comment.contains("a0003"), "{comment}");
            told.push([first, pushed, again]);
        }
        assert_eq!(told[0], told[1]);
        let [first, pushed, again] = told[0];
        assert_eq!((first.renders, pushed.renders, again.renders), (2, 1, 0), "both sides, one side, the same content");
        for counts in [first, pushed, again] {
            assert_eq!((counts.comments, counts.statuses, counts.dry_runs), (1, 2, 1), "{counts:?}");
        }
    });
}

/// A job that was begun, and stands still at one of its steps until it is let go.
struct Paused {
    at_step: tokio::sync::mpsc::UnboundedReceiver<()>,
    go: mpsc::Sender<()>,
    running: JoinSet<Verdict>,
}

impl Town {
    /// Begins the next job that is due. It takes eleven seconds to fetch, and stands still when it first meets `step`.
    async fn begins_until(&mut self, step: Step) -> (Claimed, Paused) {
        let (met, at_step) = tokio::sync::mpsc::unbounded_channel();
        let (go, goes) = mpsc::channel();
        let (clock, once) = (self.context.clock.clone(), Mutex::new(Some(goes)));
        let mut context = (*self.context).clone();
        context.observer = Observer::new(move |_, at| {
            if at == Step::Fetched {
                clock.advance(SignedDuration::from_secs(11));
            }
            if at == step
                && let Some(goes) = once.lock().unwrap().take()
            {
                met.send(()).unwrap();
                // A worker that only blocked would keep what stands in its queue, and nobody else would do it.
                tokio::task::block_in_place(|| goes.recv().unwrap());
            }
        });
        let job = self.claim().await.expect("a job is due");
        let (lease, ours) =
            (Lease::new(job.fence, tokio::time::Instant::now(), TERM, CancellationToken::new()), job.clone());
        let mut running = JoinSet::new();
        running.spawn(async move { jobs::run(&Arc::new(context), &ours, &lease).await });
        (job, Paused { at_step, go, running })
    }

    /// It is let go, and ends.
    async fn lets_go(&mut self, job: &Claimed, mut paused: Paused) -> Verdict {
        paused.go.send(()).unwrap();
        let verdict = paused.running.join_next().await.unwrap().unwrap();
        self.settles(job, &verdict).await;
        verdict
    }
}

#[test]
fn a_preview_of_many_says_how_far_it_is_and_ends_when_a_newer_push_comes() {
    on_plane(async |plane| {
        let mut town = Town::new(plane, "overtaken", Told::ByDeliveries).await;
        let t = &mut town;
        t.has_apps(12).await;
        let all = |value: &str| -> Vec<(String, String)> {
            let app = |number| (format!("apps/a{number:04}/web.yaml"), settings(&format!("a{number:04}"), value));
            (0..12).map(app).collect()
        };
        fn named(files: &[(String, String)]) -> Vec<(&str, &str)> {
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
        }
        let pr = t.forge.opens_pull("dev", &t.shop, &named(&all("2"))).await;
        sqlx::query("DELETE FROM job WHERE kind <> 'attend_pull'").execute(&t.database.owner).await.unwrap();
        let (job, mut paused) = t.begins_until(Step::Told(Write::Comment)).await;
        paused.at_step.recv().await.unwrap();
        let words = t.forge.comment(&pr);
        assert!(words.contains("**: 1 of 12 environments."), "{words}");
        let newest = t.forge.pushes("dev", &pr, &named(&all("3"))).await;
        let before = t.context.renderer.renders();
        assert_eq!(t.lets_go(&job, paused).await, Verdict::Done);
        assert!(t.context.renderer.renders() - before <= 6, "no more than were begun: it is idle work");
        assert_eq!(t.forge.comment(&pr), words, "and nothing is said of it any more");
        t.run_jobs().await;
        let comment = t.forge.comment(&pr);
        assert!(comment.contains(&newest[..7]) && !comment.contains("Making the preview of"), "{comment}");
        assert!(comment.contains("12 environments"), "{comment}");
    });
}

#[test]
fn a_hundred_pushes_in_a_row_are_rendered_three_times_at_most() {
    on_plane(async |plane| {
        let mut town = Town::new(plane, "storm", Told::ByDeliveries).await;
        let t = &mut town;
        t.has_apps(3).await;
        let pr = t.opens_for("a0001", "0").await;
        sqlx::query("DELETE FROM job WHERE kind <> 'attend_pull'").execute(&t.database.owner).await.unwrap();
        let before = t.context.renderer.renders();
        let (job, mut paused) = t.begins_until(Step::Fetched).await;
        paused.at_step.recv().await.unwrap();
        let mut newest = String::new();
        for push in 1..=100 {
            let text = settings("a0001", &push.to_string());
            newest = t.forge.pushes("dev", &pr, &[("apps/a0001/web.yaml", &text)]).await;
        }
        assert_eq!(t.lets_go(&job, paused).await, Verdict::Done);
        t.run_jobs().await;
        let renders = t.context.renderer.renders() - before;
        assert_eq!(renders, 3, "the base, what was there when it began, and the newest");
        let comment = t.forge.comment(&pr);
        assert!(comment.contains(&newest[..7]), "{comment}");
    });
}

#[test]
fn a_worker_that_dies_right_after_it_said_how_far_it_is_leaves_no_line_behind() {
    on_plane(async |plane| {
        for then in ["closed", "touches nothing"] {
            let mut town = Town::new(plane, &format!("left-{}", &then[..6]), Told::ByDeliveries).await;
            let t = &mut town;
            t.has_apps(12).await;
            let app = |number| (format!("apps/a{number:04}/web.yaml"), settings(&format!("a{number:04}"), "2"));
            let files: Vec<(String, String)> = (0..12).map(app).collect();
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
            sqlx::query("DELETE FROM job WHERE kind <> 'attend_pull'").execute(&t.database.owner).await.unwrap();
            let (_, mut paused) = t.begins_until(Step::Written(Write::Comment)).await;
            paused.at_step.recv().await.unwrap();
            let words = t.forge.comment(&pr);
            assert!(words.contains("**: 1 of 12 environments."), "{words}");
            // It stood still for too long: its job is another's, and what it wrote is in no row of ours.
            let taken = "UPDATE job SET state = 'pending', holder = NULL, fence = NULL, lease_until = NULL, crashes = crashes + 1
                         WHERE state = 'running'";
            sqlx::query(taken).execute(&t.database.owner).await.unwrap();
            match then {
                "closed" => t.forge.closes("dev", &pr).await,
                _ => {
                    let back = (0..12)
                        .map(|number| (format!("apps/a{number:04}/web.yaml"), settings(&format!("a{number:04}"), "1")));
                    let back: Vec<(String, String)> =
                        back.chain([("README.md".to_owned(), "shop".to_owned())]).collect();
                    let back: Vec<(&str, &str)> =
                        back.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
                    t.forge.pushes("dev", &pr, &back).await;
                }
            }
            t.run_jobs().await;
            let comment = t.forge.comment(&pr);
            assert!(!comment.contains("Making the preview of"), "{then}: {comment}");
            paused.go.send(()).unwrap();
            paused.running.join_next().await.unwrap().unwrap();
            assert_eq!(t.forge.comment(&pr), comment, "{then}");
        }
    });
}

//! A worker is killed at every labelled step of every job, and whoever comes next brings the story to the end it has when
//! nobody dies. (The steps of a sync to the cluster have their own kills, in `sync/kills.rs`.)

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use bascule::app;
use bascule::clock::Clock;
use bascule::config;
use bascule::ids::{RepositoryKey, TraceId};
use bascule::jobs::{self, Observer, Step};
use bascule::queue::{self, Bell, Lane, Lease, PgSource, Source as _, Verdict};
use rustix::process::{Signal, getpid, kill_process};
use sqlx::PgPool;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::town::{TERM, environ};
use super::*;
use crate::fake::forge::{Delivering, TOKEN};
use crate::support::child::{TestChild, say};

/// A job and a step of it, as the parent and the child call it.
type Death = (&'static str, Step);

fn told(death: &Death) -> String {
    format!("{} {}", death.0, death.1.label())
}

/// Every step of every job.
fn all_deaths() -> Vec<Death> {
    Step::OF.iter().flat_map(|(kind, steps)| steps.iter().map(move |step| (*kind, *step))).collect()
}

/// A worker in a process of its own: runs what is due until nothing is, or until it meets one of the steps it is told to die
/// at.
pub(crate) fn child(arguments: &[String]) {
    let [file, database, deaths @ ..] = arguments else { panic!("{arguments:?}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(works(Path::new(file), database, deaths.to_vec())));
}

async fn works(file: &Path, database: &str, deaths: Vec<String>) {
    let environ = environ(database, Tongue::GitHub, TOKEN);
    let loaded = config::load(Some(file), &environ).unwrap();
    let clock = Clock::manual("2026-01-05T09:00:00Z".parse().unwrap());
    let pool = PgPool::connect(database).await.unwrap();
    let bell = Bell::new("a server that dies");
    let mut context = app::context(&loaded.server, &environ, &clock, &[5; 32], &pool, &bell).await.unwrap();
    context.observer = Observer::new(move |job, step| {
        let met = format!("{} {}", job.kind, step.label());
        if deaths.contains(&met) {
            say(&format!("dies at {met}"));
            // Not a way out of a program: nothing is flushed, dropped or said.
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    });
    let source = PgSource::new(pool, "a server that dies".to_owned());
    loop {
        let mut job = None;
        for lane in Lane::ALL {
            if job.is_none() {
                job = source.claim(lane, 1, TERM).await.unwrap().pop();
            }
        }
        let Some(job) = job else { break };
        let lease = Lease::new(job.fence, Instant::now(), TERM, CancellationToken::new());
        let verdict = Box::pin(jobs::run(&context, &job, &lease)).await;
        if let Verdict::Retry { error } | Verdict::Fail { error } = &verdict {
            say(&format!("trouble {}: {error}", job.kind));
        }
        source.settle(&job, &verdict).await.unwrap();
        say(&format!("ran {}", job.kind));
    }
    say("is done");
}

impl Town {
    /// From here on whoever works dies at each of these, once.
    fn dies_at(&mut self, deaths: &[Death]) {
        self.deaths = deaths.iter().map(told).collect();
    }

    /// The doomed work until nothing is due, each from where the one before it died; which jobs ran to their end.
    pub(super) async fn the_doomed_work(&mut self) -> Vec<String> {
        let mut ran = Vec::new();
        loop {
            let (file, url) = (self.file().display().to_string(), self.database.server_url());
            let arguments: Vec<&str> = [&file, &url].into_iter().chain(&self.deaths).map(String::as_str).collect();
            let mut child = TestChild::start("town", &arguments);
            // Its answers are waited for on a thread of their own: our forge has to answer it meanwhile.
            let said = tokio::task::spawn_blocking(move || std::iter::from_fn(|| child.hear_or_end()).collect());
            let said: Vec<String> = said.await.unwrap();
            let word = |begin: &'static str| said.iter().filter_map(move |line| line.strip_prefix(begin));
            ran.extend(word("ran ").map(str::to_owned));
            self.troubles.extend(word("trouble ").map(str::to_owned));
            match said.last().map(String::as_str) {
                Some("is done") => return ran,
                Some(last) if last.starts_with("dies at ") => {
                    let died = last.trim_start_matches("dies at ");
                    self.deaths.retain(|death| death != died);
                    let over = "UPDATE job SET lease_until = now() - interval '1 second' WHERE state = 'running'";
                    sqlx::query(over).execute(&self.database.owner).await.unwrap();
                    ran.push("a dead one".to_owned());
                }
                other => panic!("the worker ended after {other:?}"),
            }
            if self.deaths.is_empty() {
                return ran;
            }
        }
    }

    /// The gate of the one environment is judged, and nothing else is heard.
    async fn judges_the_gate(&mut self) {
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: self.shop.id };
        let environment: i64 =
            sqlx::query_scalar("SELECT id FROM environment").fetch_one(&self.database.owner).await.unwrap();
        let job = jobs::sync_environment(&key, environment, TraceId(uuid::Uuid::from_u128(7)));
        queue::enqueue(&mut self.database.pool.acquire().await.unwrap(), &job).await.unwrap();
        self.drain().await;
    }

    /// Our App is told that it was given repositories, too many to be named; here we are none.
    async fn looks_what_it_was_given(&mut self) {
        let job = jobs::sweep_installations(&"work".parse().unwrap(), TraceId(uuid::Uuid::from_u128(7)));
        queue::enqueue(&mut self.database.pool.acquire().await.unwrap(), &job).await.unwrap();
        self.drain().await;
    }

    /// The clock of a worker that dies stands still.
    async fn owes_a_review_for_one_more_day(&mut self) {
        let passed = "UPDATE emergency SET began_at = began_at - interval '25 hours'";
        sqlx::query(passed).execute(&self.database.owner).await.unwrap();
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: self.shop.id };
        let job = jobs::tell_emergencies(&key, TraceId(uuid::Uuid::from_u128(8)));
        queue::enqueue(&mut self.database.pool.acquire().await.unwrap(), &job).await.unwrap();
        self.drain().await;
    }

    async fn counts(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.database.owner).await.unwrap()
    }
}

/// A story in which every job meets every step of it.
async fn life(t: &mut Town) {
    // A first set: held in an issue, approved there, deployed when the CI is through with it, and the issue closed.
    t.runs_checked().await;
    // A pull request.
    let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
    t.run_jobs().await;
    t.forge.comments("dev", &pr, "/bascule explain").await;
    t.forge.approves("lee", &pr).await;
    t.run_jobs().await;
    // By a merge queue, which asks first.
    let queue = t.forge.queues("dev", &[&pr]).await;
    t.run_jobs().await;
    t.forge.merges_queue("dev", &queue).await;
    t.run_jobs().await;
    t.ci_says("ci/test", "success").await;
    t.run_jobs().await;
    // Back to what was before, which opens its revert, and on again.
    t.forge.comments("dev", &pr, "/bascule rollback production").await;
    t.run_jobs().await;
    assert_eq!(t.objects().await, ["web=1"]);
    t.forge.comments("dev", &pr, "/bascule resume production").await;
    t.run_jobs().await;
    // A direct push of what an application's people wait for: held in an issue, and approved there; the gate is the first to hear of it.
    let (app, commit) = t.has_app().await;
    t.forge.commits_say(&format!("Deploy the app\n\nDeploys: acme/app@{commit}\n"));
    t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "3"))]).await;
    t.forge.commits_say("Change files");
    t.ci_says("ci/test", "success").await;
    t.run_jobs().await;
    let held = t.held_issues().await.remove(0);
    t.forge.delivers(Delivering::Lost);
    t.forge.comments("lee", &held, "/bascule approve production").await;
    t.judges_the_gate().await;
    t.forge.delivers(Delivering::AtOnce);
    t.run_jobs().await;
    // Another one, which nobody approved: two let it pass, are reminded for two days, and a third reviews it.
    t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "5"))]).await;
    t.ci_says("ci/test", "success").await;
    t.run_jobs().await;
    let held = t.held_issues().await.remove(0);
    for login in ["kim", "olga"] {
        t.forge.comments(login, &held, "/bascule emergency production --reason the tills are down").await;
        t.run_jobs().await;
    }
    for _ in 0..2 {
        t.owes_a_review_for_one_more_day().await;
    }
    let issue: i64 = t.counts("SELECT issue FROM emergency").await;
    let issue = t.forge.place_of(t.shop.id, issue);
    t.forge.comments("lee", &issue, "/bascule reviewed").await;
    t.run_jobs().await;
    // Another one, which is taken back by force; and one that changes nothing of ours.
    let before = t.forge.tip(&t.shop, "main").unwrap();
    t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "4"))]).await;
    t.run_jobs().await;
    t.forge.resets("dev", &t.shop, "main", &before).await;
    t.run_jobs().await;
    t.forge.pushes_to("dev", &t.shop, "main", &[("README.md", "# the shop\n")]).await;
    t.run_jobs().await;
    t.looks_what_it_was_given().await;
    assert_eq!(t.objects().await, ["web=5"]);
    assert_eq!(t.forge.statuses_of(app, &commit)["bascule/deploy/acme/shop/production"].0, "success");
}

/// One telling of it, with these deaths, and what is left at its end.
async fn tells(told: Told, deaths: &[Death], observer: Option<Observer>) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let namespace = format!("kills-{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let plane = crate::plane::shared().await;
    let mut town = Box::pin(Town::on(Database::new().await, plane, &namespace, Tongue::GitHub, told)).await;
    if let Some(observer) = observer {
        std::sync::Arc::get_mut(&mut town.context).unwrap().observer = observer;
    }
    town.dies_at(deaths);
    let which: Vec<String> = deaths.iter().map(self::told).collect();
    Box::pin(life(&mut town)).await;
    assert!(town.deaths.is_empty(), "{which:?}: no job meets {:?}", town.deaths);
    assert!(town.troubles.is_empty(), "{which:?}: {:#?}", town.troubles);
    let unended = "SELECT count(*) FROM audit_entry e
                   WHERE opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq)";
    assert_eq!(town.counts(unended).await, 0, "{which:?}: everything that was begun has an end");
    let ended = "SELECT count(*) FROM audit_entry WHERE action = 'deployment.ended'";
    assert_eq!(town.counts(ended).await, 6, "{which:?}: each deployment ended once");
    // Every comment, status and issue of ours is among the rows, and two comments in one place fail by themselves.
    // The clock of a worker that dies stands still, and a minute may have passed on that of the others.
    town.rows().await.replace("until `13:01Z`", "until `13:00Z`")
}

#[test]
fn every_step_of_every_job_is_met_and_no_other() {
    on_plane(async |_| {
        let met = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
        let notes = met.clone();
        let observer = Observer::new(move |job, step| {
            if !matches!(step, Step::Sync(_)) {
                notes.lock().unwrap().insert((job.kind.clone(), step));
            }
        });
        tells(Told::BySweeps, &[], Some(observer)).await;
        let listed: BTreeSet<_> = all_deaths().into_iter().map(|(kind, step)| (kind.to_owned(), step)).collect();
        assert_eq!(*met.lock().unwrap(), listed);
    });
}

/// Deaths of one telling: so few that no job is taken for poison.
const DEATHS: usize = 4;

/// What is left when nobody dies; told once, with deliveries and with sweeps alone.
async fn undisturbed(by: Told) -> &'static str {
    static BY_DELIVERIES: OnceCell<String> = OnceCell::const_new();
    static BY_SWEEPS: OnceCell<String> = OnceCell::const_new();
    let known = if by == Told::BySweeps { &BY_SWEEPS } else { &BY_DELIVERIES };
    known.get_or_init(async || tells(by, &[], None).await).await
}

/// Kills a worker at each of these.
fn survives(deaths: impl Fn(&Death) -> bool) {
    on_plane(async |_| {
        let all: Vec<Death> = all_deaths().into_iter().filter(|death| deaths(death)).collect();
        let tellings = all.len().div_ceil(DEATHS);
        let mut differ = String::new();
        for telling in 0..tellings {
            let deaths: Vec<Death> = all.iter().skip(telling).step_by(tellings).copied().collect();
            let sweeps = deaths.iter().any(|(kind, _)| kind.starts_with("sweep_"));
            let by = if sweeps { Told::BySweeps } else { Told::ByDeliveries };
            let (undisturbed, rows) = (undisturbed(by).await, tells(by, &deaths, None).await);
            if rows != undisturbed {
                let which: Vec<String> = deaths.iter().map(told).collect();
                let diff = similar::TextDiff::from_lines(undisturbed, &rows).unified_diff().to_string();
                differ += &format!("\n{which:?}: - undisturbed, + with these deaths\n{diff}");
            }
        }
        assert!(differ.is_empty(), "{differ}");
    });
}

#[test]
fn a_preview_survives_its_worker_at_every_step() {
    survives(|(kind, _)| *kind == "attend_pull");
}

#[test]
fn every_other_job_survives_its_worker_at_every_step() {
    // The worker that dies reads a clock that stands still, and leaves the review of an emergency to the next one.
    survives(|(kind, step)| *kind != "attend_pull" && !is_of_review(kind, *step));
}

fn is_of_review(kind: &str, step: Step) -> bool {
    let label = step.label();
    kind == "tell_emergencies" && (label.starts_with("reaction") || label.starts_with("issue-end"))
}

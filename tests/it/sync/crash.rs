//! Two workers in processes of their own, one of which is always about to die, to stand still, or to lose its connections, at a
//! step or somewhere in between. Afterwards the cluster is what was consented to, the inventory is the cluster, nothing was
//! deleted that should not be, nothing is told twice, and no older number wrote after a newer one's first write.
//!
//! `make test-crash` is the long form: `BASCULE_CRASH_ROUNDS=500`. A seed is printed; `BASCULE_CRASH_SEED` gives it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bascule::db::pool;
use bascule::jobs::sync_environment::{Ran, run_deployment};
use bascule::queue::worker::{self, Settings};
use bascule::queue::{Bell, Claimed, Lease, PgSource, Verdict};
use bascule::sync::Step;
use rustix::process::{Signal, getpid, kill_process};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{Place, Server, settings};
use crate::plane::on_plane;
use crate::support::child::{TestChild, say};
use crate::support::random::Random;
use crate::support::recorder::{Record, Recorder};

/// Long enough that a write's own limit fits between two renewals, short enough to be waited for.
const SHORT: Duration = Duration::from_secs(12);
/// Rounds of the short form: each blow is dealt at least twice, and standing still, which takes a lease, once.
const ROUNDS: usize = 12;
/// Objects a round chooses from.
const NAMES: usize = 8;

/// What happens to the worker that is hit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    /// It is killed when it meets this step for the n-th time.
    Dies(Step, u32),
    /// It is killed after so many milliseconds.
    DiesSomewhere(u64),
    /// It stands still when it meets this step, until another has brought the deployment to its end.
    StandsStill(Step, u32),
    /// Its connections to the cluster break.
    LosesTheCluster,
    /// Its connections to the database are cut.
    LosesTheDatabase,
}

fn blow(random: &mut Random, round: usize, is_long: bool) -> Blow {
    // Nothing is verified here.
    let verified = [Step::VerifyBegun, Step::VerifyAsked];
    let steps: Vec<Step> = Step::ALL.into_iter().filter(|step| !verified.contains(step)).collect();
    let step = steps[random.below(steps.len())];
    let passes = u32::try_from(random.below(3)).unwrap();
    // Few syncs of the short form meet a later step more often than once.
    let passes = if matches!(step, Step::ObjectSent | Step::ObjectRecorded) { passes } else { 0 };
    let still = if is_long { random.below(5) == 0 } else { round == ROUNDS / 2 };
    match random.below(5) {
        _ if still => Blow::StandsStill([Step::Gathered, Step::FenceTaken, Step::ObjectSent][random.below(3)], 0),
        0 | 1 => Blow::Dies(step, passes),
        2 => Blow::DiesSomewhere(random.next() % 200),
        3 => Blow::LosesTheCluster,
        _ => Blow::LosesTheDatabase,
    }
}

/// What every deployment of the loop has of its own: which of the names, with which value.
fn content(random: &mut Random, round: usize) -> BTreeMap<String, String> {
    let mut chosen = BTreeMap::from([("always".to_owned(), round.to_string())]);
    for at in 0..NAMES {
        if random.below(2) == 0 {
            let value = if random.below(2) == 0 { "same".to_owned() } else { round.to_string() };
            chosen.insert(format!("o{at}"), value);
        }
    }
    chosen
}

#[expect(clippy::disallowed_methods, reason = "how a person asks for more rounds, or for those of before")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_to_one_of_two_workers_the_cluster_ends_as_was_consented_to() {
    let rounds = asked("BASCULE_CRASH_ROUNDS").map(|rounds| usize::try_from(rounds).unwrap());
    let seed = asked("BASCULE_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BASCULE_CRASH_SEED={seed}");
    on_plane(async |plane| {
        let name = format!("crash-{seed}");
        let place = Place::new(plane, &name).await;
        let mut storm = Storm::new(&place, seed).await;
        for round in 0..rounds.unwrap_or(ROUNDS) {
            storm.round(round, rounds.is_some()).await;
        }
        println!(
            "{} rounds, {} writes, {} deaths",
            rounds.unwrap_or(ROUNDS),
            storm.record.of(&name).len(),
            storm.deaths
        );
    });
}

struct Storm<'a> {
    place: &'a Place<'a>,
    random: Random,
    record: Arc<Record>,
    recorders: Vec<Recorder>,
    workers: Vec<Option<TestChild>>,
    deaths: u32,
}

impl<'a> Storm<'a> {
    async fn new(place: &'a Place<'a>, seed: u64) -> Self {
        let record = Arc::<Record>::default();
        let mut recorders = Vec::new();
        for worker in 0..2 {
            recorders.push(Recorder::of(place.plane, &record, seed + worker).await);
        }
        // Somebody's own, in the same namespace, with our own annotation copied to it.
        place.kubectl(&["create", "configmap", "bystander", "--from-literal=value=theirs"]).await;
        let owner = "bascule.dev/environment=work/17/production@00000000-0000-0000-0000-000000000000";
        place.kubectl(&["annotate", "configmap", "bystander", owner]).await;
        Self { place, random: Random(seed), record, recorders, workers: vec![None, None], deaths: 0 }
    }

    fn start(&mut self, worker: usize, orders: &str) {
        let kubeconfig = self.recorders[worker].kubeconfig().display().to_string();
        let (url, term) = (self.place.database.server_url(), SHORT.as_millis().to_string());
        let mut child = TestChild::start("syncer", &[&url, &kubeconfig, &term, &worker.to_string(), orders]);
        // From here on it may be told to stop.
        assert_eq!(child.hear(), "ready");
        self.workers[worker] = Some(child);
    }

    /// One deployment, and one blow.
    async fn round(&mut self, round: usize, is_long: bool) {
        let blow = blow(&mut self.random, round, is_long);
        let wanted = content(&mut self.random, round);
        let what = format!("round {round}, {blow:?}");
        let hit = self.random.below(2);
        let orders = match blow {
            Blow::Dies(step, passes) => format!("kill {} {passes}", step.label()),
            Blow::StandsStill(step, passes) => format!("stop {} {passes}", step.label()),
            Blow::DiesSomewhere(_) | Blow::LosesTheCluster | Blow::LosesTheDatabase => String::new(),
        };
        let manifests: String = wanted.iter().map(|(name, value)| settings(name, value)).collect();
        self.place.deploys(&manifests).await;
        // The one that is hit is alone until it is: or the other would have all the work.
        self.start(hit, &orders);
        let other = 1 - hit;
        match blow {
            Blow::Dies(..) => self.until_it_died_or_ended(hit).await,
            Blow::DiesSomewhere(after) => {
                // There is nothing to be told of a moment that nobody chose.
                self.wait(Duration::from_millis(after)).await;
                self.kill(hit).await;
            }
            Blow::StandsStill(..) => self.until_it_stands_still_or_ended().await,
            Blow::LosesTheCluster => self.recorders[hit].loses(30),
            Blow::LosesTheDatabase => self.cut_the_database().await,
        }
        self.start(other, "");
        self.until_ended(&what).await;
        self.recorders[hit].loses(0);
        if let Blow::StandsStill(..) = blow
            && let Some(child) = &self.workers[hit]
        {
            // It wakes up in another time, with what it was about to do.
            child.signal(Signal::CONT);
        }
        self.rest().await;
        self.check(&wanted, &what).await;
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn is_running(&self) -> bool {
        let running = "SELECT EXISTS (SELECT FROM deployment WHERE state = 'running')";
        sqlx::query_scalar(running).fetch_one(&self.place.database.owner).await.unwrap()
    }

    /// Until the deployment has ended. A run that was interrupted makes a pause longer than a request of it may still be on its
    /// way; that pause is shortened, and not below that.
    async fn until_ended(&mut self, what: &str) {
        let pauses = "SELECT NOT EXISTS (SELECT FROM job WHERE state = 'running' AND kind = 'sync_environment')
                      AND EXISTS (SELECT FROM job WHERE state = 'pending' AND kind = 'sync_environment' AND run_at > now())";
        let mut paused = 0;
        for _ in 0..12_000 {
            if !self.is_running().await {
                return;
            }
            let is_paused: bool = sqlx::query_scalar(pauses).fetch_one(&self.place.database.owner).await.unwrap();
            paused = if is_paused { paused + 1 } else { 0 };
            if paused > 600 {
                self.place.lets_time_pass().await;
            }
            self.wait(Duration::from_millis(10)).await;
        }
        panic!("{what}: it does not end; {:?}", self.place.state().await);
    }

    async fn until_it_died_or_ended(&mut self, hit: usize) {
        while self.is_running().await {
            if self.workers[hit].as_mut().is_none_or(TestChild::has_ended) {
                break;
            }
            self.wait(Duration::from_millis(5)).await;
        }
        self.kill(hit).await;
    }

    async fn until_it_stands_still_or_ended(&mut self) {
        // A worker that stands still renews nothing; that its lease ends is what the other waits for.
        let late =
            "SELECT EXISTS (SELECT FROM job WHERE state = 'running' AND lease_until < now() + interval '4 seconds')";
        while self.is_running().await {
            if sqlx::query_scalar(late).fetch_one(&self.place.database.owner).await.unwrap() {
                return;
            }
            self.wait(Duration::from_millis(20)).await;
        }
    }

    /// It is dead, and the dead hold nothing: nobody waits for its lease.
    async fn kill(&mut self, worker: usize) {
        if let Some(mut child) = self.workers[worker].take() {
            // The system knows no process any more that was seen to have ended.
            if !child.has_ended() {
                child.kill();
            }
            self.deaths += 1;
        }
        let over = "UPDATE job SET lease_until = now() - interval '1 second' WHERE state = 'running' AND holder = $1";
        sqlx::query(over).bind(holder(worker)).execute(&self.place.database.owner).await.unwrap();
    }

    async fn cut_the_database(&self) {
        let administrator = PgPool::connect(&self.place.database.administrator_url()).await.unwrap();
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE usename = 'bascule_server' AND datname = current_database() AND application_name = 'syncer'";
        for _ in 0..5 {
            sqlx::query_scalar::<_, i64>(cut).fetch_one(&administrator).await.unwrap();
            self.wait(Duration::from_millis(20)).await;
        }
    }

    /// Both workers come to their ends: what one of them still had in hand is done, or refused.
    async fn rest(&mut self) {
        for worker in 0..2 {
            let Some(child) = self.workers[worker].take() else { continue };
            child.signal(Signal::TERM);
            let said = tokio::task::spawn_blocking(move || child.all_it_says()).await.unwrap();
            assert!(said.last().is_some_and(|line| line == "stopped"), "{said:?}");
        }
        let over = "UPDATE job SET lease_until = now() - interval '1 second' WHERE state = 'running'";
        sqlx::query(over).execute(&self.place.database.owner).await.unwrap();
    }

    async fn check(&self, wanted: &BTreeMap<String, String>, what: &str) {
        let place = self.place;
        assert_eq!(place.state().await, ("healthy".to_owned(), None), "{what}");
        // The cluster is what was consented to, and whoever is there beside it still is …
        let live = place.kubectl(&["get", "configmaps", "-o", "json"]).await;
        let live: serde_json::Value = serde_json::from_str(&live).unwrap();
        let live: BTreeMap<String, String> = live["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (
                    one["metadata"]["name"].as_str().unwrap().to_owned(),
                    one["data"]["value"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        let mut expected = wanted.clone();
        expected.insert("bystander".to_owned(), "theirs".to_owned());
        assert_eq!(live, expected, "{what}");
        // … the inventory is the cluster, every row of it confirmed …
        let rows: Vec<String> = wanted.keys().map(|name| format!("ConfigMap {}/{name}", place.namespace())).collect();
        assert_eq!(place.inventory().await, rows, "{what}");
        // … each deployment ended once, and every intent has one end, but for one whose worker had no time to …
        let log = place.log().await;
        let mut ended: Vec<i64> = log
            .iter()
            .filter(|(action, _)| action == "deployment.ended")
            .map(|(_, detail)| detail["deployment"].as_i64().unwrap())
            .collect();
        let all = ended.len();
        ended.sort_unstable();
        ended.dedup();
        assert_eq!(ended.len(), all, "{what}: told twice");
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM audit_entry e WHERE opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq)",
        )
        .fetch_one(&place.database.owner)
        .await
        .unwrap();
        assert_eq!(open, 0, "{what}");
        // … and no older number wrote after a newer one's first write.
        let writes = self.record.of(place.namespace());
        let late = writes.windows(2).find(|pair| pair[1].number < pair[0].number);
        assert_eq!(late, None, "{what}: {writes:#?}");
        assert!(writes.iter().all(|one| one.number > 0), "{what}: written without a fence: {writes:#?}");
    }
}

fn holder(worker: usize) -> String {
    format!("syncer {worker}")
}

/// A worker that runs what is due, until it is told to stop or meets what it is told to die at.
pub(crate) fn child(arguments: &[String]) {
    let [url, kubeconfig, term, worker, orders] = arguments else { panic!("{arguments:?}") };
    let term = Duration::from_millis(term.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        // With the server's own bounds: what stands still in the middle of a record holds up nobody for longer.
        let pool = pool::connect_with(options.application_name("syncer")).await.unwrap();
        let server = Arc::new(Server::new(pool.clone(), kubeconfig.into()));
        let order = Order::read(orders);
        let handler = Arc::new(move |job: Claimed, lease: Lease| {
            let (server, order) = (server.clone(), order.clone());
            async move { sync(&server, &job, &lease, &order).await }
        });
        let stop = CancellationToken::new();
        let settings = Settings { term, poll: Duration::from_millis(50), ..Settings::default() };
        let source = PgSource::new(pool, holder(worker.parse().unwrap()));
        let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        say("ready");
        let work = worker::run(Arc::new(source), handler, Bell::new("child"), settings, stop.clone());
        tokio::join!(work, async {
            asked.recv().await;
            stop.cancel();
        });
        say("stopped");
    });
}

/// What a child does to itself, and where.
#[derive(Clone)]
struct Order(Option<(Signal, String, Arc<AtomicU32>)>);

impl Order {
    fn read(text: &str) -> Self {
        let mut words = text.split(' ');
        let signal = match words.next() {
            Some("kill") => Signal::KILL,
            Some("stop") => Signal::STOP,
            _ => return Self(None),
        };
        let (step, passes) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
        Self(Some((signal, step, Arc::new(AtomicU32::new(passes)))))
    }

    fn met(&self, met: Step) {
        let Some((signal, step, left)) = &self.0 else { return };
        // Below zero it wraps around, and is never met again.
        if met.label() == step && left.fetch_sub(1, Ordering::SeqCst) == 0 {
            kill_process(getpid(), *signal).unwrap();
        }
    }
}

async fn sync(server: &Server, job: &Claimed, lease: &Lease, order: &Order) -> Verdict {
    if job.kind != "sync_environment" {
        // What is said of a sync on a forge goes the same way, and there is no forge here.
        return Verdict::Done;
    }
    let environment = job.payload["environment"].as_i64().unwrap();
    let observe = |met: Step| order.met(met);
    match Box::pin(run_deployment(&server.world(), job, lease, environment, &observe)).await {
        // The job's row is gone with the record.
        Ok(Ran::Recorded(_) | Ran::Nothing) => Verdict::Done,
        Ok(Ran::Waits(wait)) => Verdict::Snooze { wait },
        Err(interrupted) => interrupted.verdict(),
    }
}

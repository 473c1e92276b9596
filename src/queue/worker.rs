//! The loop that runs jobs: slots per lane, leases renewed behind the jobs' backs, an orderly stop.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bell::Bell;
use super::lease::Lease;
use super::room::Room;
use super::{Claimed, Lane, Source, Verdict};

/// How a worker works. The defaults are a server's; a test shortens the lease instead of waiting for it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a claim holds without being renewed; renewed three times in it. With `poll` it bounds how long a dead
    /// worker's jobs lie still: 20 s + 2.5 s, under the 30 s that are promised.
    pub term: Duration,
    /// How often to look without having been called, ± a quarter so that servers do not look together.
    pub poll: Duration,
    /// How long running jobs have to come to a safe point when the worker is told to stop.
    pub grace: Duration,
    /// Jobs at once, per lane.
    pub slots: HashMap<Lane, usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            term: Duration::from_secs(20),
            poll: Duration::from_secs(2),
            grace: Duration::from_secs(25),
            slots: HashMap::from([(Lane::Sync, 16), (Lane::Default, 8), (Lane::Sweep, 2)]),
        }
    }
}

/// What runs a job of any kind. It must come to an end: a job that never answers keeps its slot.
pub trait Handler: Send + Sync + 'static {
    /// Runs `job`; asks `lease` before every write outside, and heeds [`Lease::stopping`].
    fn run(&self, job: Claimed, lease: Lease) -> impl Future<Output = Verdict> + Send;
}

impl<F, Running> Handler for F
where
    F: Fn(Claimed, Lease) -> Running + Send + Sync + 'static,
    Running: Future<Output = Verdict> + Send,
{
    fn run(&self, job: Claimed, lease: Lease) -> impl Future<Output = Verdict> + Send {
        self(job, lease)
    }
}

/// The leases of the jobs that run, by row.
type Held = Arc<Mutex<HashMap<i64, Lease>>>;

/// Runs jobs from `source` until `stop`; then claims no more, lets the running ones come to a safe point (they see it
/// through [`Lease::stopping`]), and drops what has not ended within the grace: its lease runs out, and another worker
/// takes it over. Completes when nothing of it is left.
pub async fn run<S: Source, H: Handler>(
    source: Arc<S>,
    handler: Arc<H>,
    bell: Bell,
    settings: Settings,
    stop: CancellationToken,
) {
    let held = Held::default();
    let idle = CancellationToken::new();
    let lanes = Lane::ALL.into_iter().map(|lane| {
        let worker = Worker {
            lane,
            slots: settings.slots.get(&lane).copied().unwrap_or(0),
            source: source.clone(),
            handler: handler.clone(),
            settings: settings.clone(),
            held: held.clone(),
            room: Arc::default(),
            stop: stop.clone(),
        };
        worker.run(bell.clone())
    });
    let lanes = async {
        futures::future::join_all(lanes).await;
        idle.cancel();
    };
    // Renewing goes on while jobs come to their end.
    tokio::join!(lanes, renew(&*source, &held, settings.term, idle.clone()));
}

struct Worker<S, H> {
    lane: Lane,
    slots: usize,
    source: Arc<S>,
    handler: Arc<H>,
    settings: Settings,
    held: Held,
    room: Arc<Room>,
    stop: CancellationToken,
}

impl<S: Source, H: Handler> Worker<S, H> {
    async fn run(self, bell: Bell) {
        if self.slots == 0 {
            return;
        }
        let mut running = JoinSet::new();
        let mut looks: u64 = 0;
        while !self.stop.is_cancelled() {
            looks += 1;
            let free = self.free(&running);
            let took = if free > 0 { self.claim(free, &mut running).await } else { 0 };
            // A full hand may mean that there is more.
            if took > 0 && took == free && self.free(&running) > 0 {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(_) = running.join_next() => while running.try_join_next().is_some() {},
                () = bell.rung(self.lane), if self.free(&running) > 0 => {}
                // It left its slot to whoever is next.
                () = self.room.changed() => {}
                () = tokio::time::sleep(self.pause(looks)) => {}
            }
        }
        let ended = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(self.settings.grace, ended).await.is_err() {
            tracing::warn!(
                lane = self.lane.as_str(),
                left = running.len(),
                "jobs did not come to a safe point in time"
            );
        }
        running.shutdown().await;
    }

    /// Slots that nobody works in. One that waited and goes on has one again at once, so that there may be too few.
    fn free(&self, running: &JoinSet<()>) -> usize {
        self.slots.saturating_sub(running.len().saturating_sub(self.room.resting()))
    }

    /// The poll's length, spread over a quarter either way.
    fn pause(&self, looks: u64) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.lane, looks, std::ptr::from_ref(&self.held).addr()).hash(&mut hasher);
        let quarters = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        self.settings.poll.mul_f64(0.75 + quarters / 2.0)
    }

    async fn claim(&self, free: usize, running: &mut JoinSet<()>) -> usize {
        // Before the request: the lease must not end later here than in the database.
        let asked = Instant::now();
        let jobs = match self.source.claim(self.lane, free, self.settings.term).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(lane = self.lane.as_str(), error = chain(&error), "no jobs could be claimed");
                return 0;
            }
        };
        let took = jobs.len();
        for job in jobs {
            let lease = Lease::new(job.fence, asked, self.settings.term, self.stop.clone()).within(self.room.clone());
            self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(job.id, lease.clone());
            let (source, handler, held) = (self.source.clone(), self.handler.clone(), self.held.clone());
            running.spawn(async move {
                let letting_go = LettingGo { held, id: job.id, fence: job.fence };
                run_one(&*source, &*handler, job, lease).await;
                drop(letting_go);
            });
        }
        took
    }
}

/// Takes a lease out of the renewed ones when its job ends, also when the job is dropped.
struct LettingGo {
    held: Held,
    id: i64,
    fence: i64,
}

impl Drop for LettingGo {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // The same row may have been claimed anew, with a higher fence.
        if held.get(&self.id).is_some_and(|lease| lease.fence() == self.fence) {
            held.remove(&self.id);
        }
    }
}

async fn run_one<S: Source, H: Handler>(source: &S, handler: &H, job: Claimed, lease: Lease) {
    let began = Instant::now();
    let work = AssertUnwindSafe(handler.run(job.clone(), lease.clone())).catch_unwind();
    let verdict = tokio::select! {
        biased;
        // Somebody else has it: what this run would still do, it must not.
        () = lease.lost() => {
            tracing::warn!(kind = job.kind, key = job.key, fence = job.fence, "dropped a job whose lease is lost");
            return;
        }
        ended = work => ended.unwrap_or_else(|panic| Verdict::Retry { error: panic_text(&*panic) }),
    };
    metrics::histogram!("bascule_job_seconds", "kind" => job.kind.clone()).record(began.elapsed().as_secs_f64());
    metrics::counter!("bascule_jobs_total", "kind" => job.kind.clone(), "verdict" => label(&verdict)).increment(1);
    match &verdict {
        Verdict::Done | Verdict::Snooze { .. } => {}
        Verdict::NoRoom { error, .. } => {
            tracing::info!(kind = job.kind, key = job.key, error, "a job waits until there is room");
        }
        Verdict::Retry { error } | Verdict::Later { error } | Verdict::Fail { error } => {
            tracing::warn!(kind = job.kind, key = job.key, attempt = job.attempt, error, "a job did not succeed");
        }
        Verdict::Refused { error } => {
            tracing::error!(
                job = job.id,
                kind = job.kind,
                key = job.key,
                error,
                "a job is refused, and waits for a person"
            );
        }
    }
    // While the lease lasts the verdict is worth saying again; after that the rescue says it for us.
    while let Err(error) = source.settle(&job, &verdict).await {
        tracing::warn!(kind = job.kind, key = job.key, error = chain(&error), "a job could not be settled");
        if lease.check(SETTLE_PAUSE).is_err() {
            return;
        }
        tokio::time::sleep(SETTLE_PAUSE).await;
    }
}

/// Between two tries to say how a job ended: a database that restarts is back within a few.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// Until a lease is asked for again whose row somebody had locked, most likely its own job: one that writes much has it locked most of
/// the time, and must not lose its lease by that.
const PASSED_OVER: Duration = Duration::from_millis(100);

async fn renew<S: Source>(source: &S, held: &Held, term: Duration, idle: CancellationToken) {
    // The first look is at once, and a late one is not made up for by two in a row.
    let mut ticks = tokio::time::interval(term / 3);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = idle.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let leases: HashMap<i64, Lease> = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if leases.is_empty() {
            continue;
        }
        let pairs: Vec<(i64, i64)> = leases.iter().map(|(id, lease)| (*id, lease.fence())).collect();
        let asked = Instant::now();
        // A request that hangs must not eat the time in which the next could succeed.
        let answer = tokio::time::timeout(term / 3, source.renew(&pairs, term)).await;
        match answer {
            Ok(Ok(renewal)) => {
                let mut is_passed_over = false;
                for (id, lease) in &leases {
                    if renewal.lost.contains(id) {
                        lease.lose();
                    } else if renewal.renewed.contains(id) {
                        lease.renewed(asked, term);
                    } else {
                        is_passed_over = true;
                    }
                }
                if is_passed_over {
                    ticks.reset_after(PASSED_OVER);
                }
            }
            Ok(Err(error)) => tracing::warn!(jobs = pairs.len(), error = chain(&error), "leases were not renewed"),
            Err(_) => tracing::warn!(jobs = pairs.len(), "leases were not renewed in time"),
        }
    }
}

fn label(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Done => "done",
        Verdict::Retry { .. } => "retry",
        Verdict::Snooze { .. } => "snooze",
        Verdict::NoRoom { .. } => "no_room",
        Verdict::Later { .. } => "later",
        Verdict::Refused { .. } => "refused",
        Verdict::Fail { .. } => "fail",
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a text"))
}

/// An error with everything below it, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(source) = below {
        text.push_str(": ");
        text.push_str(&source.to_string());
        below = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_worker_s_jobs_lie_still_for_less_than_thirty_seconds() {
        let Settings { term, poll, .. } = Settings::default();
        // It died right after it renewed, and whoever takes over had just looked, and looks late.
        assert!(term + poll * 5 / 4 < Duration::from_secs(30));
    }
}

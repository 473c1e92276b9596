//! Reloads: `bascule.toml` read again on SIGHUP, and when it, a file it includes or a secret it names has changed.
//!
//! Changes are found by reading, not by a watch of the kernel's: there are a handful of small files, a folder of includes
//! may gain one, a mounted ConfigMap changes behind a symbolic link and a network share tells nobody. Reading them every
//! other second sees all of that, and costs less than explaining what a watch misses. What is found by itself counts when
//! two looks in a row saw the same, so that a file is not judged while it is being written.
//!
//! What cannot be used changes nothing: the configuration in force stays, and the log says what is wrong and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::assemble;
use super::people::People;
use crate::audit::{self, NewEntry};
use crate::clock::Clock;
use crate::config::{self, Difference, Environ, Keys, Loaded, Server, Sweep};
use crate::db::holds;
use crate::ids::TraceId;
use crate::jobs::Context;
use crate::jobs::route::sync_environment;
use crate::policy::Located;
use crate::policy::rules::Platform;
use crate::queue::{self, Lane};
use crate::webhook::Endpoints;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What a reload replaces while the server runs. Whoever works with it takes it anew for each piece of work.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) context: Arc<Context>,
    pub(super) sweep: Sweep,
}

/// What tells one state of the files from the next: every key, and a digest of every secret that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    keys: Keys,
    secrets: BTreeMap<String, Vec<[u8; 32]>>,
}

/// What was found at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Good(State),
    Bad(Vec<Located>),
}

/// Reads again, judges, records, replaces.
pub(super) struct Reloads {
    file: Option<PathBuf>,
    environ: Environ,
    pool: PgPool,
    clock: Clock,
    live: watch::Sender<Live>,
    endpoints: Endpoints,
    people: Arc<People>,
    /// What is in force.
    server: Server,
    state: State,
    /// What was judged last, in force or refused: it is not judged again by itself.
    judged: Found,
}

impl Reloads {
    /// From what the server started with.
    pub(super) fn new(
        loaded: &Loaded,
        environ: &Environ,
        (pool, clock): (PgPool, Clock),
        live: watch::Sender<Live>,
        (endpoints, people): (Endpoints, Arc<People>),
    ) -> Self {
        let state = state(loaded);
        Self {
            file: loaded.files.first().cloned(),
            environ: environ.clone(),
            pool,
            clock,
            live,
            endpoints,
            people,
            server: loaded.server.clone(),
            judged: Found::Good(state.clone()),
            state,
        }
    }

    /// Until the server stops.
    pub(super) async fn run(mut self, mut hangup: Signal, stop: CancellationToken) {
        let mut before = None;
        loop {
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = hangup.recv() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let loaded = config::load(self.file.as_deref(), &self.environ);
            let found = match &loaded {
                Ok(loaded) => Found::Good(state(loaded)),
                Err(complaints) => Found::Bad(complaints.clone()),
            };
            let is_settled = before.as_ref() == Some(&found);
            if is_asked || (is_settled && found != self.judged) {
                let cause = if is_asked { "SIGHUP" } else { "a file changed" };
                match self.judge(loaded, cause).await {
                    Ok(()) => self.judged = found.clone(),
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a reload cannot be recorded, so it does not count; the next look tries again"
                    ),
                }
            }
            before = Some(found);
        }
    }

    /// Puts a load in force, or refuses it. The entry is committed before anything is replaced: there is no
    /// configuration in force that the log does not know.
    async fn judge(&mut self, loaded: Result<Loaded, Vec<Located>>, cause: &str) -> Result<(), sqlx::Error> {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(complaints) => return self.refuse(complaints.iter().map(placed).collect(), cause).await,
        };
        let missing: Vec<String> = loaded.secrets_missing().into_iter().chain(loaded.policy_faults()).collect();
        if !missing.is_empty() {
            return self
                .refuse(missing.into_iter().map(|problem| json!({ "problem": problem })).collect(), cause)
                .await;
        }
        let state = state(&loaded);
        let rotated = rotated(&self.state, &state);
        let old = self.live.borrow().context.clone();
        let context = match assemble::reloaded(&old, &self.server, &loaded.server, &self.environ, &rotated) {
            Ok(context) => context,
            Err(error) => return self.refuse(vec![json!({ "problem": format!("{error:#}") })], cause).await,
        };
        let people = match self.people.reloaded(&loaded.server, &context.forges) {
            Ok(people) => people,
            Err(error) => return self.refuse(vec![json!({ "problem": format!("{error:#}") })], cause).await,
        };
        let difference = config::difference(&self.state.keys, &state.keys);
        let all = difference.paths().chain(rotated.iter().map(String::as_str));
        let waits = all.filter(|path| config::is_read_at_start(path)).collect();
        let changed = Changed { difference: &difference, rotated: &rotated, waits };
        record_load(&self.pool, &self.clock, &loaded, &changed, cause).await?;
        self.endpoints.set(assemble::endpoints(&loaded.server));
        self.people.set(people);
        let context = Arc::new(context);
        self.live.send_replace(Live { context: context.clone(), sweep: loaded.server.sweep });
        // A token may have been mended. When this is not to be had, their own time comes within the hour.
        match queue::hurry_refused(&mut *self.pool.acquire().await?).await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(jobs, "what the forge refused is tried again"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "what the forge refused waits for its time")
            }
        }
        // No commit mends what a floor closed, so nobody else looks again. Not before the new floors judge.
        let clusters = under_other_floors(&self.server.platform, &loaded.server.platform);
        match look_again(&self.pool, &self.clock, &clusters).await {
            Ok(0) => {}
            Ok(held) => {
                context.bell.ring(Lane::Sync);
                tracing::info!(held, "what is held under the floors that changed is judged again");
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what is held under the floors that changed waits for the next commit, comment or reload"
            ),
        }
        (self.server, self.state) = (loaded.server, state);
        say_load(&changed, cause);
        Ok(())
    }

    async fn refuse(&self, complaints: Vec<Value>, cause: &str) -> Result<(), sqlx::Error> {
        record(&self.pool, &self.clock, "config.refused", json!({ "complaints": complaints }), cause).await?;
        for complaint in &complaints {
            tracing::error!(cause, %complaint, "the configuration is refused; the one before stays in force");
        }
        Ok(())
    }
}

/// Enqueues the environments of these clusters that are held; how many they are.
pub(super) async fn look_again(
    pool: &PgPool,
    clock: &Clock,
    clusters: &BTreeSet<String>,
) -> Result<usize, sqlx::Error> {
    if clusters.is_empty() {
        return Ok(0);
    }
    let mut tx = pool.begin().await?;
    let held = holds::held_in(&mut tx, &clusters.iter().cloned().collect::<Vec<_>>()).await?;
    let trace = TraceId(clock.new_id());
    let jobs = held.iter().map(|(repository, environment)| sync_environment(repository, *environment, trace));
    queue::enqueue_all(&mut tx, &jobs.collect::<Vec<_>>()).await?;
    tx.commit().await?;
    Ok(held.len())
}

/// What a load changed.
struct Changed<'c> {
    difference: &'c Difference,
    rotated: &'c BTreeSet<String>,
    waits: BTreeSet<&'c str>,
}

async fn record_load(
    pool: &PgPool,
    clock: &Clock,
    loaded: &Loaded,
    changed: &Changed<'_>,
    cause: &str,
) -> Result<(), sqlx::Error> {
    let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    let Changed { difference, rotated, waits } = changed;
    let detail = json!({ "files": files, "version": env!("CARGO_PKG_VERSION"), "difference": difference,
        "secrets": rotated, "needs_restart": waits, "keys": loaded.keys() });
    record(pool, clock, "config.loaded", detail, cause).await
}

/// One line, when everything it tells of is so.
fn say_load(changed: &Changed<'_>, cause: &str) {
    let Changed { difference, rotated, waits } = changed;
    let words = |words: Vec<&str>| words.join(" ");
    tracing::info!(
        cause,
        changed = words(difference.paths().collect()),
        secrets = words(rotated.iter().map(String::as_str).collect()),
        needs_restart = words(waits.iter().copied().collect()),
        "configuration loaded"
    );
}

/// The load at the start, compared with the last one the log knows.
pub(super) async fn record_start(pool: &PgPool, clock: &Clock, loaded: &Loaded) -> Result<(), sqlx::Error> {
    let filter = audit::read::Filter { action: Some("config.loaded".to_owned()), ..Default::default() };
    let last = audit::read::list(&mut *pool.acquire().await?, &filter, 1).await?;
    let detail: Option<Value> = last.first().and_then(|row| serde_json::from_str(&row.detail).ok());
    let keys: Option<Keys> = detail.and_then(|mut detail| serde_json::from_value(detail["keys"].take()).ok());
    let difference = config::difference(&keys.unwrap_or_default(), &loaded.keys());
    let changed = Changed { difference: &difference, rotated: &BTreeSet::new(), waits: BTreeSet::new() };
    record_load(pool, clock, loaded, &changed, "start").await?;
    say_load(&changed, "start");
    Ok(())
}

async fn record(
    pool: &PgPool,
    clock: &Clock,
    action: &'static str,
    detail: Value,
    cause: &str,
) -> Result<(), sqlx::Error> {
    let entry = NewEntry {
        actor: config::FILE_NAME.to_owned(),
        action,
        subject: "config".to_owned(),
        detail,
        cause: cause.to_owned(),
        trace: TraceId(clock.new_id()),
    };
    let mut tx = pool.begin().await?;
    audit::append(&mut tx, &entry).await?;
    tx.commit().await
}

/// A complaint as the log keeps it.
fn placed(complaint: &Located) -> Value {
    let place = &complaint.place;
    json!({ "file": place.file.as_ref(), "line": place.line, "column": place.column,
        "problem": complaint.problem, "advice": complaint.advice })
}

fn state(loaded: &Loaded) -> State {
    let mut secrets = BTreeMap::<String, Vec<[u8; 32]>>::new();
    for (key, secret) in loaded.secrets() {
        let digest = secret.read().map_or([0; 32], |value| Sha256::digest(value.expose_secret()).into());
        secrets.entry(key).or_default().push(digest);
    }
    State { keys: loaded.keys(), secrets }
}

/// Keys of secrets that both states have, with another content.
fn rotated(old: &State, new: &State) -> BTreeSet<String> {
    let differs = |(key, now): (&String, &Vec<[u8; 32]>)| {
        old.secrets.get(key).is_some_and(|before| before != now).then(|| key.clone())
    };
    new.secrets.iter().filter_map(differs).collect()
}

/// Clusters that another floor lies under than before, or the same one with other rules or policies.
fn under_other_floors(old: &Platform, new: &Platform) -> BTreeSet<String> {
    let names = old.floors.keys().chain(new.floors.keys());
    let pairs = names.map(|name| (old.floors.get(name), new.floors.get(name))).filter(|(old, new)| old != new);
    let floors = pairs.flat_map(|(old, new)| old.into_iter().chain(new));
    floors.flat_map(|floor| &floor.clusters).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::code::{Effect, Source};
    use crate::policy::rules::{Floor, Policy};

    fn floor(clusters: &[&str], cel: &str) -> Floor {
        let source = Source::Cel(cel.to_owned());
        let policy = Policy { effect: Effect::Deny, message: None, approvals: Vec::new(), source };
        let clusters = clusters.iter().map(|name| name.parse().unwrap()).collect();
        Floor { clusters, policies: BTreeMap::from([("p".to_owned(), policy)]), ..Floor::default() }
    }

    fn platform(floors: &[(&str, Floor)]) -> Platform {
        let floors = floors.iter().map(|(name, floor)| ((*name).to_owned(), floor.clone())).collect();
        Platform { floors, ..Platform::default() }
    }

    #[test]
    fn a_floor_that_is_mended_has_its_clusters_looked_at_again() {
        let broken = platform(&[("prod", floor(&["east", "west"], "object.")), ("dev", floor(&["dev"], "true"))]);
        let mended = platform(&[("prod", floor(&["east", "west"], "object.a")), ("dev", floor(&["dev"], "true"))]);
        let names = |old: &Platform, new: &Platform| under_other_floors(old, new).into_iter().collect::<Vec<_>>();
        assert_eq!(names(&broken, &mended), ["east", "west"]);
        assert_eq!(names(&broken, &broken), [""; 0]);
        assert_eq!(names(&broken, &platform(&[])), ["dev", "east", "west"], "gone, it closes nothing any more");
        let moved = platform(&[("prod", floor(&["west"], "object.")), ("dev", floor(&["dev"], "true"))]);
        assert_eq!(names(&broken, &moved), ["east", "west"]);
    }
}

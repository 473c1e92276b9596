//! A freeze of everything a server deploys: an operator's word, on its host. And what goes on by the clock: after a freeze, or
//! when windows open.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::audit::{self, NewEntry};
use crate::clock::Clock;
use crate::db::freezes::{self, Freeze};
use crate::db::{emergencies, holds};
use crate::event::command::LONGEST_REASON;
use crate::event::until::Until;
use crate::ids::{RepositoryKey, TraceId};
use crate::jobs::route::{sync_environment, tell_emergencies};
use crate::queue::{self, Bell, Lane};

const BY: &str = "operator";
const SUBJECT: &str = "everything";

/// Begins it; one that stands ends with it.
///
/// # Errors
/// When the database cannot be asked, or the end is none.
pub(super) async fn freeze(pool: &PgPool, clock: &Clock, reason: &str, until: Option<&str>) -> anyhow::Result<String> {
    let (reason, now) = (reason.trim(), clock.now());
    if reason.is_empty() || reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        bail!("`--reason` is one line of up to {LONGEST_REASON} characters that says why; nothing was done");
    }
    let until = match until {
        Some(text) => {
            let until: Until = text.parse().with_context(|| format!("`--until {text}`"))?;
            Some(until.moment(now).with_context(|| format!("`--until {text}` is past"))?)
        }
        None => None,
    };
    let (by, reason) = (BY.to_owned(), reason.to_owned());
    let freeze = Freeze { id: clock.new_id(), environment: None, by, reason, until, began_at: now };
    let mut tx = pool.begin().await?;
    freezes::begin(&mut tx, &freeze).await?;
    let detail = json!({ "reason": freeze.reason, "until": freeze.until });
    audit::append(&mut tx, &entry(clock, "environment.frozen", detail)).await?;
    tx.commit().await?;
    Ok(format!("everything is {}; `bascule unfreeze --everything` ends it\n", freeze.sentence()))
}

/// Ends it. What was held for it is synced, as far as the gate lets it.
///
/// # Errors
/// When the database cannot be asked, or there is none.
pub(super) async fn unfreeze(pool: &PgPool, clock: &Clock) -> anyhow::Result<String> {
    let mut tx = pool.begin().await?;
    if !freezes::end(&mut tx, None, BY, clock.now()).await? {
        bail!("everything is not frozen; `bascule status` lists the environments that are");
    }
    let held = go_on(&mut tx, clock).await?;
    audit::append(&mut tx, &entry(clock, "environment.unfrozen", json!({ "held": held }))).await?;
    tx.commit().await?;
    Ok(format!("not everything is frozen any more; {} waited for it\n", count(held)))
}

/// How often it is looked whether a freeze is over; what waits for a moment that is known is looked at then.
const LOOK: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody is to be reminded of an emergency: what is owed for days is not asked for by the
/// second, and a reminder that cannot be said is tried again as rarely.
const REMIND: SignedDuration = SignedDuration::from_mins(10);

/// Goes on with what was held for a freeze that ended by itself, or until a moment that has come.
pub(super) async fn thaws(pool: PgPool, clock: Clock, bell: Bell, stop: CancellationToken) {
    let mut reminded: Option<Timestamp> = None;
    loop {
        let now = clock.now();
        let looked = if reminded.is_some_and(|at| now.duration_since(at) < REMIND) {
            wake(&pool, &clock).await
        } else {
            reminded = Some(now);
            thaw(&pool, &clock).await
        };
        match looked {
            Ok(0) => {}
            Ok(_) => bell.ring(Lane::Sync),
            Err(error) => tracing::warn!(%error, "cannot look whether a freeze is over; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(until_next(&pool, &clock).await) => {}
        }
    }
}

/// How long nothing is due, and no longer than [`LOOK`].
async fn until_next(pool: &PgPool, clock: &Clock) -> Duration {
    let next = async { holds::next_wake(&mut *pool.acquire().await?).await };
    let left = next.await.ok().flatten().map(|next| next.duration_since(clock.now()));
    // One that is due by now waits for a freeze as well, or was noted a moment ago.
    left.and_then(|left| Duration::try_from(left).ok())
        .filter(|left| !left.is_zero())
        .map_or(LOOK, |left| left.min(LOOK))
}

/// Enqueues what waited for a freeze that is over, or for a moment that has come, and the reminders of emergencies that are
/// due; how many environments go on.
///
/// # Errors
/// When the database cannot be asked.
pub async fn thaw(pool: &PgPool, clock: &Clock) -> Result<usize, sqlx::Error> {
    let woken = wake(pool, clock).await?;
    let mut tx = pool.begin().await?;
    let trace = TraceId(clock.new_id());
    let owed: Vec<_> =
        emergencies::due(&mut tx, clock.now()).await?.iter().map(|key| tell_emergencies(key, trace)).collect();
    queue::enqueue_all(&mut tx, &owed).await?;
    tx.commit().await?;
    Ok(woken)
}

/// The same without the reminders.
async fn wake(pool: &PgPool, clock: &Clock) -> Result<usize, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let woken = holds::wake(&mut tx, clock.now()).await?;
    enqueue(&mut tx, clock, &woken).await?;
    let held = go_on(&mut tx, clock).await?;
    tx.commit().await?;
    Ok(held + woken.len())
}

async fn go_on(conn: &mut PgConnection, clock: &Clock) -> Result<usize, sqlx::Error> {
    let held = freezes::over(&mut *conn, clock.now()).await?;
    enqueue(conn, clock, &held).await?;
    Ok(held.len())
}

async fn enqueue(conn: &mut PgConnection, clock: &Clock, held: &[(RepositoryKey, i64)]) -> Result<(), sqlx::Error> {
    let trace = TraceId(clock.new_id());
    let jobs = held.iter().map(|(repository, environment)| sync_environment(repository, *environment, trace));
    queue::enqueue_all(conn, &jobs.collect::<Vec<_>>()).await
}

fn count(environments: usize) -> String {
    match environments {
        1 => "1 environment".to_owned(),
        count => format!("{count} environments"),
    }
}

fn entry(clock: &Clock, action: &'static str, detail: Value) -> NewEntry {
    NewEntry {
        actor: BY.to_owned(),
        action,
        subject: SUBJECT.to_owned(),
        detail,
        cause: "the server's host".to_owned(),
        trace: TraceId(clock.new_id()),
    }
}

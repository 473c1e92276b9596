//! How full the queue is, for the metrics: what waits, for how long, and what failed.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::worker::chain;
use super::{Claimed, Lane};

/// How full a lane is.
#[derive(Debug, Clone, PartialEq)]
pub struct Depth {
    /// Which.
    pub lane: Lane,
    /// Pending and due.
    pub due: i64,
    /// Pending for later: backing off, snoozed.
    pub later: i64,
    /// Pending until a person changes what refuses us.
    pub refused: i64,
    /// Held by workers.
    pub running: i64,
    /// Set aside.
    pub failed: i64,
    /// Seconds the oldest due job has waited; 0 without one.
    pub oldest: f64,
}

impl Depth {
    /// Sets this lane's `bascule_queue_jobs` (by state) and `bascule_queue_oldest_seconds`.
    pub fn tell(&self) {
        let lane = self.lane.as_str();
        for (state, jobs) in [
            ("due", self.due),
            ("later", self.later),
            ("refused", self.refused),
            ("running", self.running),
            ("failed", self.failed),
        ] {
            metrics::gauge!("bascule_queue_jobs", "lane" => lane, "state" => state).set(jobs as f64);
        }
        metrics::gauge!("bascule_queue_oldest_seconds", "lane" => lane).set(self.oldest);
    }
}

/// How long ago a job that is ours was asked for, by the database's clock. What was put back waits on.
///
/// # Errors
/// The statement's.
pub async fn age(connection: &mut PgConnection, job: &Claimed) -> Result<Duration, sqlx::Error> {
    let age = sqlx::query_scalar!(
        r#"SELECT greatest(extract(epoch FROM now() - created_at), 0)::float8 AS "age!" FROM job WHERE id = $1"#,
        job.id
    )
    .fetch_optional(connection)
    .await?;
    Ok(age.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
}

/// How full every lane is, as the metrics show it.
///
/// # Errors
/// The statement's.
pub async fn depths(connection: &mut PgConnection) -> Result<Vec<Depth>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT lane, count(*) FILTER (WHERE state = 'pending' AND run_at <= now()) AS "due!",
                  count(*) FILTER (WHERE state = 'pending' AND run_at > now() AND NOT refused) AS "later!",
                  count(*) FILTER (WHERE state = 'pending' AND run_at > now() AND refused) AS "refused!",
                  count(*) FILTER (WHERE state = 'running') AS "running!",
                  count(*) FILTER (WHERE state = 'failed') AS "failed!",
                  coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'pending' AND run_at <= now())),
                           0)::float8 AS "oldest!"
           FROM job GROUP BY lane"#
    )
    .fetch_all(connection)
    .await?;
    let depth = |lane: Lane| {
        let found = rows.iter().find(|row| row.lane == lane.as_str());
        Depth {
            lane,
            due: found.map_or(0, |row| row.due),
            later: found.map_or(0, |row| row.later),
            refused: found.map_or(0, |row| row.refused),
            running: found.map_or(0, |row| row.running),
            failed: found.map_or(0, |row| row.failed),
            oldest: found.map_or(0.0, |row| row.oldest),
        }
    };
    Ok(Lane::ALL.into_iter().map(depth).collect())
}

/// Sets `bascule_queue_jobs` (by lane and state) and `bascule_queue_oldest_seconds` (by lane) now and then, until
/// `stop`. Every server tells the same, so that a panel takes the largest, not the sum.
pub async fn measure(pool: PgPool, every: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match measure_once(&pool).await {
            Ok(depths) => depths.iter().for_each(Depth::tell),
            Err(error) => tracing::debug!(error = chain(&error), "the queue could not be measured"),
        }
    }
}

/// Jobs that wait until a forge has room for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub forge: String,
    /// How many.
    pub jobs: i64,
    /// The first of them comes then.
    pub until: Timestamp,
    /// Why, as the last of them was told.
    pub why: Option<String>,
}

/// What waits until its forge has room for it, by forge.
///
/// # Errors
/// The statement's.
pub async fn waiting(connection: &mut PgConnection) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT waits_for AS "forge!", count(*) AS "jobs!", min(run_at) AS "until!: jiff_sqlx::Timestamp", max(error) AS why
           FROM job WHERE state = 'pending' AND waits_for IS NOT NULL AND run_at > now() GROUP BY waits_for ORDER BY 1"#
    )
    .fetch_all(connection)
    .await?;
    let waiting = rows.into_iter().map(|row| Waiting {
        forge: row.forge,
        jobs: row.jobs,
        until: row.until.to_jiff(),
        why: row.why,
    });
    Ok(waiting.collect())
}

async fn measure_once(pool: &PgPool) -> Result<Vec<Depth>, sqlx::Error> {
    depths(&mut *pool.acquire().await?).await
}

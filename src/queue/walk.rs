//! The statement that claims: a walk around the shares, so that each is served in turn.

use std::time::Duration;

use sqlx::PgPool;

use super::enqueue::seconds;
use super::{Claimed, Lane};
use crate::ids::TraceId;

/// Shares one statement looks at. More than a server's slots, so that one look usually fills them; few enough that a
/// thousand repositories with work make a claim no slower than sixty-four.
const SHARES: i32 = 64;

/// What one look found.
pub(super) struct Look {
    pub(super) claimed: Vec<Claimed>,
    /// The last share it looked at; empty when nothing is pending at all.
    pub(super) walked: String,
    /// The last share it took from.
    pub(super) served: Option<String>,
    /// It came to the end of the shares' names and began with the first again.
    pub(super) around: bool,
    /// Other claimers were at the same jobs, and took some.
    pub(super) crowded: bool,
}

/// One statement: walks at most [`SHARES`] shares that have something pending, from the one after `after` and around;
/// takes the oldest due of each in turn (a share that already runs jobs comes later); leaves out keys that are
/// running; and marks what it could lock.
pub(super) async fn claim(
    pool: &PgPool,
    lane: Lane,
    max: usize,
    term: Duration,
    holder: &str,
    after: &str,
) -> Result<Look, sqlx::Error> {
    let rows = sqlx::query!(
        r#"WITH RECURSIVE steps AS (
               SELECT (SELECT share FROM job WHERE state = 'pending' AND lane = $1 AND share > $5
                       ORDER BY share LIMIT 1) AS share, false AS around, 1 AS step
               UNION ALL
               SELECT CASE WHEN steps.share IS NULL
                           THEN (SELECT share FROM job WHERE state = 'pending' AND lane = $1 ORDER BY share LIMIT 1)
                           ELSE (SELECT job.share FROM job WHERE state = 'pending' AND lane = $1
                                     AND job.share > steps.share ORDER BY job.share LIMIT 1) END,
                      around OR steps.share IS NULL, step + 1
               FROM steps
               WHERE step < $6 AND NOT (around AND (steps.share IS NULL OR steps.share >= $5))),
           shares AS (SELECT share, min(step) AS step FROM steps WHERE share IS NOT NULL GROUP BY share),
           busy AS (SELECT share, count(*) AS running FROM job WHERE state = 'running' AND lane = $1 GROUP BY share),
           due AS (
               SELECT front.id, shares.share, shares.step,
                      coalesce(busy.running, 0)
                          + row_number() OVER (PARTITION BY shares.share ORDER BY front.run_at, front.id) AS turn
               FROM shares LEFT JOIN busy USING (share),
                    LATERAL (SELECT id, run_at FROM job
                             WHERE state = 'pending' AND lane = $1 AND job.share = shares.share AND run_at <= now()
                                 AND NOT EXISTS (SELECT FROM job other WHERE other.state = 'running'
                                                 AND other.kind = job.kind AND other.key = job.key)
                             ORDER BY run_at, id LIMIT $2) AS front),
           next AS (SELECT id, share, step, turn FROM due ORDER BY turn, step LIMIT $2),
           mine AS (SELECT job.id FROM job JOIN next USING (id) WHERE state = 'pending' FOR UPDATE OF job SKIP LOCKED),
           claimed AS (
               UPDATE job SET state = 'running', attempt = attempt + 1, fence = nextval('job_fence'), holder = $3,
                              lease_until = now() + make_interval(secs => $4)
               FROM mine WHERE job.id = mine.id
               RETURNING job.id, kind, key, payload, trace, attempt, fence)
           SELECT claimed.id AS "id?", kind AS "kind?", key AS "key?", payload AS "payload?", trace AS "trace?",
                  attempt AS "attempt?", fence,
                  (SELECT count(*) FROM next) AS "next!",
                  (SELECT bool_or(around) FROM steps) AS "around!",
                  (SELECT share FROM next ORDER BY turn DESC, step DESC LIMIT 1) AS served,
                  (SELECT share FROM shares ORDER BY step DESC LIMIT 1) AS walked
           FROM (SELECT) AS always LEFT JOIN claimed ON true"#,
        lane.as_str(),
        i64::try_from(max).unwrap_or(i64::MAX),
        holder,
        seconds(term),
        after,
        SHARES
    )
    .fetch_all(pool)
    .await?;
    let mut look = Look { claimed: Vec::new(), walked: String::new(), served: None, around: false, crowded: false };
    let mut next = 0;
    for row in rows {
        next = row.next;
        look.around = row.around;
        look.walked = row.walked.unwrap_or_default();
        look.served = row.served;
        let (Some(id), Some(kind), Some(key), Some(payload), Some(trace), Some(attempt), Some(fence)) =
            (row.id, row.kind, row.key, row.payload, row.trace, row.attempt, row.fence)
        else {
            continue;
        };
        look.claimed.push(Claimed { id, kind, key, lane, payload, trace: TraceId(trace), attempt, fence });
    }
    look.crowded = i64::try_from(look.claimed.len()).unwrap_or(i64::MAX) < next;
    Ok(look)
}

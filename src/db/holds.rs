//! Holds: which environment is not synced further, why, and the change it waits for.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::consent::{Awaited, BY_A_RE_RUN, BY_ITSELF};
use crate::ids::{ChangeDigest, CommitId, RepositoryKey, SetDigest};
use crate::sync::{HoldReason, Relief};

/// A hold, as stored and as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Our number of the environment.
    pub environment: i64,
    /// One of the closed list (`hold_reason` in the schema).
    pub reason: String,
    /// One sentence: what is missing and who can give it.
    pub detail: String,
    /// The one command that lifts it.
    pub lifts: String,
    /// The change it waits for, when it waits for one.
    pub change: Option<HeldChange>,
    /// The pull request or issue it is shown in.
    pub shown_in: Option<i64>,
    /// Commits whose checks are waited for.
    pub awaits: Vec<AwaitedAt>,
    /// Whether something covered waits for a freeze to end, perhaps beside what it is held for.
    pub thaws: bool,
    /// When something covered may be synced by the clock alone, perhaps beside what it is held for.
    pub wakes: Option<Timestamp>,
    /// Where the environment would go if nothing were in its way.
    pub ahead: Option<Ahead>,
}

/// Where an environment would go, from where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The commit.
    pub commit: CommitId,
    /// Its set.
    pub set: SetDigest,
    /// What that changes.
    pub change: ChangeDigest,
    /// Since when it is this.
    pub since: Timestamp,
}

impl Ahead {
    /// Whether both are the same, whenever that was found.
    pub fn is_still(&self, before: &Self) -> bool {
        (&self.commit, self.set, self.change) == (&before.commit, before.set, before.change)
    }
}

/// A commit whose checks are waited for, and how they stood when they were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedAt {
    /// Which commit.
    pub commit: CommitId,
    /// All that have to be green.
    pub checks: BTreeSet<String>,
    /// What was not.
    pub awaited: Awaited,
}

impl Hold {
    /// Whether this ends it; a reason that this version does not know, nothing does.
    pub fn ends_with(&self, relief: Relief) -> bool {
        self.reason.parse::<HoldReason>().is_ok_and(|reason| reason.ends_with(relief))
    }
}

impl Hold {
    /// Whether a sync that ended badly is what it is about.
    pub fn is_of_a_failure(&self) -> bool {
        self.reason.parse().is_ok_and(|reason| matches!(reason, HoldReason::Failed | HoldReason::Conflict))
    }
}

/// What may end a hold, for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Time: another environment, a check that runs, a cluster that comes back.
    ByItself,
    /// A check that failed, which may be run again.
    ByACheck,
    /// A person alone.
    ByAPerson,
}

impl Ends {
    /// Of a hold as it is stored. What this version does not know takes a person.
    pub fn of(reason: &str, lifts: &str) -> Self {
        match reason.parse() {
            Ok(HoldReason::Waiting) if lifts == BY_ITSELF => Self::ByItself,
            Ok(HoldReason::Waiting) if lifts == BY_A_RE_RUN => Self::ByACheck,
            Ok(HoldReason::ClusterAway | HoldReason::Window) => Self::ByItself,
            Ok(_) | Err(_) => Self::ByAPerson,
        }
    }

    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByItself => "itself",
            Self::ByACheck => "check",
            Self::ByAPerson => "person",
        }
    }
}

/// The change a hold waits for: from the newest covered commit to the one it was fixed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldChange {
    /// The newest covered commit; `None` is before the first.
    pub from_commit: Option<CommitId>,
    /// Its set; `None` is the empty set.
    pub from_set: Option<SetDigest>,
    /// The commit whose set it ends in.
    pub to_commit: CommitId,
    /// That set.
    pub to_set: SetDigest,
    /// Its digest.
    pub digest: ChangeDigest,
}

/// Stores a hold over whatever was there; it keeps its beginning while the reason is the same.
///
/// # Errors
/// The database's own.
pub async fn put(conn: &mut PgConnection, hold: &Hold) -> Result<(), sqlx::Error> {
    let change = hold.change.as_ref();
    sqlx::query!(
        "INSERT INTO hold (environment_id, reason, detail, lifts, from_commit, to_commit, from_set, to_set, change_digest, shown_in, awaits, thaws, wakes, ahead)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (environment_id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, lifts = excluded.lifts,
             from_commit = excluded.from_commit, to_commit = excluded.to_commit, from_set = excluded.from_set, to_set = excluded.to_set,
             change_digest = excluded.change_digest, shown_in = excluded.shown_in, awaits = excluded.awaits, thaws = excluded.thaws, wakes = excluded.wakes, ahead = excluded.ahead,
             place_seen = CASE WHEN hold.shown_in = excluded.shown_in THEN hold.place_seen END,
             since = CASE WHEN hold.reason = excluded.reason THEN hold.since ELSE now() END",
        hold.environment,
        hold.reason,
        hold.detail,
        hold.lifts,
        change.and_then(|c| c.from_commit.as_ref()).map(CommitId::as_str),
        change.map(|c| c.to_commit.as_str()),
        change.and_then(|c| c.from_set.as_ref()).map(|s| s.as_bytes() as &[u8]),
        change.map(|c| c.to_set.as_bytes() as &[u8]),
        change.map(|c| c.digest.as_bytes() as &[u8]),
        hold.shown_in,
        Json(&hold.awaits) as _,
        hold.thaws,
        hold.wakes.map(|wakes| wakes.to_sqlx()) as Option<Stored>,
        hold.ahead.as_ref().map(Json) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The environments of a repository that wait for checks.
///
/// # Errors
/// The database's own.
pub async fn waiting_for_checks(
    conn: &mut PgConnection,
    repository: &RepositoryKey,
) -> Result<Vec<(i64, Vec<AwaitedAt>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT h.environment_id, h.awaits AS "awaits: Json<Vec<AwaitedAt>>"
           FROM hold h JOIN environment e ON e.id = h.environment_id JOIN repository r ON r.id = e.repository_id
           WHERE r.forge = $1 AND r.forge_id = $2 AND h.awaits <> '[]' ORDER BY e.name"#,
        repository.forge.as_str(),
        repository.id
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.environment_id, row.awaits.0)).collect())
}

/// Lifts a hold. Gives its reason; `None` when there was none.
///
/// # Errors
/// The database's own.
pub async fn lift(conn: &mut PgConnection, environment: i64) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("DELETE FROM hold WHERE environment_id = $1 RETURNING reason", environment)
        .fetch_optional(conn)
        .await
}

/// The environments of a repository whose held change is shown in this pull request or issue.
///
/// # Errors
/// The database's own.
pub async fn shown_in(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT h.environment_id FROM hold h JOIN environment e ON e.id = h.environment_id
         WHERE e.repository_id = $1 AND h.shown_in = $2 ORDER BY e.name",
        repository,
        number
    )
    .fetch_all(conn)
    .await
}

/// Forgets that held changes were shown in this issue, which is there no more; gives their environments.
///
/// # Errors
/// The database's own.
pub async fn place_is_gone(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE hold SET shown_in = NULL FROM environment e
         WHERE e.id = hold.environment_id AND e.repository_id = $1 AND hold.shown_in = $2
         RETURNING hold.environment_id",
        repository,
        number
    )
    .fetch_all(conn)
    .await
}

/// The issues of ours in which held changes of a repository are shown.
///
/// # Errors
/// The database's own.
pub async fn issues(conn: &mut PgConnection, repository: i64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT h.shown_in AS "number!" FROM hold h JOIN environment e ON e.id = h.environment_id
           WHERE e.repository_id = $1 AND h.shown_in IS NOT NULL
             AND NOT EXISTS (SELECT FROM pull WHERE pull.repository_id = $1 AND pull.number = h.shown_in)
           ORDER BY 1"#,
        repository
    )
    .fetch_all(conn)
    .await
}

/// Stores what a sweep saw of an issue, as a hash; whether that is news.
///
/// # Errors
/// The database's own.
pub async fn place_changed(
    conn: &mut PgConnection,
    repository: i64,
    number: i64,
    seen: &[u8],
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE hold SET place_seen = $3 FROM environment e
         WHERE e.id = hold.environment_id AND e.repository_id = $1 AND hold.shown_in = $2
           AND hold.place_seen IS DISTINCT FROM $3",
        repository,
        number,
        seen,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The hold of an environment.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, environment: i64) -> Result<Option<Hold>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT environment_id, reason, detail, lifts, from_commit, to_commit, from_set, to_set, change_digest, shown_in,
                  awaits AS "awaits: Json<Vec<AwaitedAt>>", thaws, wakes AS "wakes: Stored",
                  ahead AS "ahead: Json<Ahead>"
           FROM hold WHERE environment_id = $1"#,
        environment
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let bad = || sqlx::Error::Decode("a stored digest or commit is not one".into());
    let change = match (row.to_commit, row.to_set, row.change_digest) {
        (Some(to_commit), Some(to_set), Some(digest)) => Some(HeldChange {
            from_commit: row.from_commit.map(|c| c.parse().map_err(|_| bad())).transpose()?,
            from_set: row.from_set.map(|s| SetDigest::from_bytes(&s).ok_or_else(bad)).transpose()?,
            to_commit: to_commit.parse().map_err(|_| bad())?,
            to_set: SetDigest::from_bytes(&to_set).ok_or_else(bad)?,
            digest: ChangeDigest::from_bytes(&digest).ok_or_else(bad)?,
        }),
        _ => None,
    };
    Ok(Some(Hold {
        environment: row.environment_id,
        reason: row.reason,
        detail: row.detail,
        lifts: row.lifts,
        change,
        shown_in: row.shown_in,
        awaits: row.awaits.0,
        thaws: row.thaws,
        wakes: row.wakes.map(|wakes| wakes.to_jiff()),
        ahead: row.ahead.map(|Json(ahead)| ahead),
    }))
}

/// Notes that nothing waits for a freeze any more, but for these environments; gives those of which it was noted until now,
/// each with its repository.
///
/// # Errors
/// The database's own.
pub async fn thaw(conn: &mut PgConnection, but_for: &[i64]) -> Result<Vec<(RepositoryKey, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "UPDATE hold SET thaws = false FROM environment e JOIN repository r ON r.id = e.repository_id
         WHERE e.id = hold.environment_id AND hold.thaws AND NOT (e.id = ANY($1))
         RETURNING e.id, r.forge, r.forge_id",
        but_for
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let forge = row.forge.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok((RepositoryKey { forge, id: row.forge_id }, row.id))
    });
    held.collect()
}

/// The environments whose moment has come, each with its repository. Each is given once: whoever judges it next says what it
/// waits for still.
///
/// # Errors
/// The database's own.
pub async fn wake(conn: &mut PgConnection, now: Timestamp) -> Result<Vec<(RepositoryKey, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "UPDATE hold SET wakes = NULL FROM environment e JOIN repository r ON r.id = e.repository_id
         WHERE e.id = hold.environment_id AND hold.wakes <= $1 RETURNING e.id, r.forge, r.forge_id",
        now.to_sqlx() as Stored,
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let forge = row.forge.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok((RepositoryKey { forge, id: row.forge_id }, row.id))
    });
    held.collect()
}

/// The next moment at which one of them wakes.
///
/// # Errors
/// The database's own.
pub async fn next_wake(conn: &mut PgConnection) -> Result<Option<Timestamp>, sqlx::Error> {
    let next = sqlx::query_scalar!(r#"SELECT min(wakes) AS "next: Stored" FROM hold"#).fetch_one(conn).await?;
    Ok(next.map(|next| next.to_jiff()))
}

/// How many environments are held, for each reason there is.
///
/// # Errors
/// The database's own.
pub async fn counted(conn: &mut PgConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT reason AS "reason!", count(*) AS "count!"
           FROM (SELECT h.reason FROM hold h JOIN environment e ON e.id = h.environment_id WHERE e.state <> 'orphaned'
                 UNION ALL SELECT state FROM environment WHERE state = 'orphaned') AS held
           GROUP BY reason"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.reason, row.count)).collect())
}

/// The environments (our numbers) of these clusters that are held, each with its repository.
///
/// # Errors
/// The database's own.
pub async fn held_in(conn: &mut PgConnection, clusters: &[String]) -> Result<Vec<(RepositoryKey, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT h.environment_id, r.forge, r.forge_id FROM hold h JOIN environment e ON e.id = h.environment_id
         JOIN repository r ON r.id = e.repository_id WHERE e.cluster = ANY($1) ORDER BY h.environment_id",
        clusters
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let forge = row.forge.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok((RepositoryKey { forge, id: row.forge_id }, row.environment_id))
    });
    held.collect()
}

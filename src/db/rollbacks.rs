//! Ways back: who asked for which, what it became, and where one may go back to. Kept for ever.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

use super::deployments::{self, Deployment};
use super::environments::Environment;
use super::sets::{self, SetError};
use crate::consent::{Change, Content, HashedSet, Named, NoWayBack, Running, pin, put_back};
use crate::event::back_to::BackTo;
use crate::ids::{CommitId, EnvironmentName, SetDigest, SetKey, TraceId};

/// A way back, as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRollback {
    /// Its id.
    pub id: Uuid,
    /// Our number of the environment.
    pub environment: i64,
    /// The deployment it goes back to.
    pub back_to: Uuid,
    /// Who, as the log names them.
    pub by: String,
    /// Why: a person's words, or the failure it goes back for.
    pub reason: Option<String>,
    /// Whether nobody asked: a sync failed.
    pub is_by_itself: bool,
    /// The place and the comment in which it was asked for.
    pub asked_in: Option<(i64, i64)>,
    /// The trace it belongs to.
    pub trace: TraceId,
    /// When.
    pub asked_at: Timestamp,
}

/// A way back, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// What was asked for.
    pub new: NewRollback,
    /// The number of the deployment it goes back to.
    pub back_to: i64,
    /// Its commit.
    pub commit: CommitId,
    /// What came of it; `None`: it was not tried yet.
    pub became: Option<Became>,
    /// What came of the pull request that reverts what it took away; `None`: nothing yet.
    pub revert: Option<Reverting>,
}

/// What came of a revert pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverting {
    /// It is open, or was: its number, and as people write it.
    By(i64, String),
    /// There is none, and why.
    Not(String),
}

impl Reverting {
    /// In a sentence's end.
    pub fn sentence(&self) -> String {
        match self {
            Self::By(_, pull) => format!("{pull} reverts what was taken away"),
            Self::Not(why) => format!("no pull request reverts what was taken away: {why}"),
        }
    }
}

/// What became of a way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// A deployment.
    Deployment {
        /// Its id.
        id: Uuid,
        /// Its number.
        number: i64,
        /// The number of the one it took away.
        taken_away: i64,
    },
    /// Nothing, and why.
    Refused(String),
}

impl Rollback {
    /// The number of its revert pull request, if there is one.
    pub fn reverted_in(&self) -> Option<i64> {
        match self.revert {
            Some(Reverting::By(number, _)) => Some(number),
            Some(Reverting::Not(_)) | None => None,
        }
    }

    /// Who, without the account's number, which is for the log.
    pub fn by(&self) -> &str {
        person(&self.new.by)
    }

    /// What it was, in a sentence's end: `back at #39 (abc1234) since #41 was taken away by …: reason`.
    pub fn sentence(&self) -> String {
        let reason = self.new.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let to = format!("#{} ({})", self.back_to, self.commit.short());
        match (&self.became, self.new.is_by_itself) {
            (Some(Became::Deployment { taken_away, .. }), true) => {
                format!("back at {to}, by itself, since #{taken_away} failed{reason}")
            }
            (Some(Became::Deployment { taken_away, .. }), false) => {
                format!("back at {to}, from #{taken_away}, by {}{reason}", self.by())
            }
            (None | Some(Became::Refused(_)), _) => format!("to go back to {to}, by {}{reason}", self.by()),
        }
    }
}

macro_rules! rollback {
    ($row:expr) => {{
        let row = $row;
        let became = match (row.refused, row.deployment_id, row.number, row.taken_away) {
            (Some(why), ..) => Some(Became::Refused(why)),
            (None, Some(id), Some(number), Some(taken_away)) => Some(Became::Deployment { id, number, taken_away }),
            _ => None,
        };
        let commit = row.commit_sha.parse().map_err(|_| sqlx::Error::Decode("a stored commit is none".into()))?;
        Ok::<_, sqlx::Error>(Rollback {
            new: NewRollback {
                id: row.id,
                environment: row.environment_id,
                back_to: row.back_to,
                by: row.by_whom,
                reason: row.reason,
                is_by_itself: row.is_by_itself,
                asked_in: row.place.zip(row.comment_id),
                trace: TraceId(row.trace),
                asked_at: row.asked_at.to_jiff(),
            },
            back_to: row.back_to_number,
            commit,
            became,
            revert: row
                .revert
                .zip(row.reverted_by)
                .map(|(number, pull)| Reverting::By(number, pull))
                .or(row.not_reverted.map(Reverting::Not)),
        })
    }};
}

/// Asks for one. One that was not tried yet is not tried any more.
///
/// # Errors
/// The database's own.
pub async fn ask(conn: &mut PgConnection, new: &NewRollback) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE rollback SET refused = 'another way back was asked for', ended_at = $2
         WHERE environment_id = $1 AND ended_at IS NULL",
        new.environment,
        new.asked_at.to_sqlx() as Stored,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO rollback (id, environment_id, back_to, by_whom, reason, is_by_itself, place, comment_id, trace, asked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id,
        new.environment,
        new.back_to,
        new.by,
        new.reason,
        new.is_by_itself,
        new.asked_in.map(|(place, _)| place),
        new.asked_in.map(|(_, comment)| comment),
        new.trace.0,
        new.asked_at.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The one that is to be tried.
///
/// # Errors
/// The database's own.
pub async fn open(conn: &mut PgConnection, environment: i64) -> Result<Option<Rollback>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT b.id, b.environment_id, b.back_to, t.number AS back_to_number, t.commit_sha, b.by_whom, b.reason,
                  b.is_by_itself, b.place, b.comment_id, b.trace, b.asked_at AS "asked_at: Stored", b.refused,
                  b.deployment_id, d.number AS "number?", a.number AS "taken_away?",
                  r.shown_as AS "reverted_by?", r.number AS "revert?", r.why_not AS "not_reverted?"
           FROM rollback b JOIN deployment t ON t.id = b.back_to
           LEFT JOIN deployment d ON d.id = b.deployment_id LEFT JOIN deployment a ON a.id = b.taken_away
           LEFT JOIN our_pull r ON r.id = b.id
           WHERE b.environment_id = $1 AND b.ended_at IS NULL"#,
        environment
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| rollback!(row)).transpose()
}

/// Whether there is one to be tried; asked where something else would start.
///
/// # Errors
/// The database's own.
pub async fn is_open(conn: &mut PgConnection, environment: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM rollback WHERE environment_id = $1 AND ended_at IS NULL) AS "open!""#,
        environment
    )
    .fetch_one(conn)
    .await
}

/// One.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<Rollback>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT b.id, b.environment_id, b.back_to, t.number AS back_to_number, t.commit_sha, b.by_whom, b.reason,
                  b.is_by_itself, b.place, b.comment_id, b.trace, b.asked_at AS "asked_at: Stored", b.refused,
                  b.deployment_id, d.number AS "number?", a.number AS "taken_away?",
                  r.shown_as AS "reverted_by?", r.number AS "revert?", r.why_not AS "not_reverted?"
           FROM rollback b JOIN deployment t ON t.id = b.back_to
           LEFT JOIN deployment d ON d.id = b.deployment_id LEFT JOIN deployment a ON a.id = b.taken_away
           LEFT JOIN our_pull r ON r.id = b.id
           WHERE b.id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| rollback!(row)).transpose()
}

/// Those that were asked for in a place of a repository, each with its environment's name, by the comment.
///
/// # Errors
/// The database's own.
pub async fn asked_in(
    conn: &mut PgConnection,
    repository: i64,
    place: i64,
) -> Result<BTreeMap<i64, Vec<(EnvironmentName, Rollback)>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT e.name, b.id, b.environment_id, b.back_to, t.number AS back_to_number, t.commit_sha, b.by_whom, b.reason,
                  b.is_by_itself, b.place, b.comment_id, b.trace, b.asked_at AS "asked_at: Stored", b.refused,
                  b.deployment_id, d.number AS "number?", a.number AS "taken_away?",
                  r.shown_as AS "reverted_by?", r.number AS "revert?", r.why_not AS "not_reverted?"
           FROM rollback b JOIN environment e ON e.id = b.environment_id JOIN deployment t ON t.id = b.back_to
           LEFT JOIN deployment d ON d.id = b.deployment_id LEFT JOIN deployment a ON a.id = b.taken_away
           LEFT JOIN our_pull r ON r.id = b.id
           WHERE e.repository_id = $1 AND b.place = $2 ORDER BY e.name, b.asked_at"#,
        repository,
        place
    )
    .fetch_all(conn)
    .await?;
    let mut all: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for row in rows {
        let name = row.name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let comment = row.comment_id.unwrap_or_default();
        all.entry(comment).or_default().push((name, rollback!(row)?));
    }
    Ok(all)
}

/// Those that became these deployments, or whose content one of these sends once more; by deployment.
///
/// # Errors
/// The database's own.
pub async fn of(conn: &mut PgConnection, deployments: &[Uuid]) -> Result<BTreeMap<Uuid, Rollback>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT asked.id AS asked, b.id, b.environment_id, b.back_to, t.number AS back_to_number, t.commit_sha, b.by_whom,
                  b.reason, b.is_by_itself, b.place, b.comment_id, b.trace, b.asked_at AS "asked_at: Stored", b.refused,
                  b.deployment_id, d.number AS "number?", a.number AS "taken_away?",
                  r.shown_as AS "reverted_by?", r.number AS "revert?", r.why_not AS "not_reverted?"
           FROM deployment asked JOIN rollback b ON b.deployment_id = coalesce(asked.again_of, asked.id)
           JOIN deployment t ON t.id = b.back_to
           LEFT JOIN deployment d ON d.id = b.deployment_id LEFT JOIN deployment a ON a.id = b.taken_away
           LEFT JOIN our_pull r ON r.id = b.id
           WHERE asked.id = ANY($1)"#,
        deployments
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.asked, rollback!(row)?))).collect()
}

/// It became this deployment. `false`: it is not to be tried any more.
///
/// # Errors
/// The database's own.
pub async fn became(
    conn: &mut PgConnection,
    id: Uuid,
    (taken_away, deployment): (Uuid, Uuid),
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE rollback SET taken_away = $2, deployment_id = $3, ended_at = $4 WHERE id = $1 AND ended_at IS NULL",
        id,
        taken_away,
        deployment,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Nothing was done. `false`: it is not to be tried any more.
///
/// # Errors
/// The database's own.
pub async fn refuse(conn: &mut PgConnection, id: Uuid, why: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE rollback SET refused = $2, ended_at = $3 WHERE id = $1 AND ended_at IS NULL",
        id,
        why,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The one that was not tried yet will not be. `false`: there is none.
///
/// # Errors
/// The database's own.
pub async fn take_back(
    conn: &mut PgConnection,
    environment: i64,
    by: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let why = format!("it was taken back by {}", person(by));
    let done = sqlx::query!(
        "UPDATE rollback SET refused = $2, ended_at = $3 WHERE environment_id = $1 AND ended_at IS NULL",
        environment,
        why,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Who, without the account's number.
fn person(by: &str) -> &str {
    by.split(" (").next().unwrap_or_default()
}

/// A way back that is there.
#[derive(Debug, Clone)]
pub struct Way {
    /// The newest deployment: what is taken away.
    pub runs: Deployment,
    /// Its content.
    pub running: HashedSet,
    /// What is gone back to.
    pub back: Content,
    /// What is sent: its objects, under the rules in force.
    pub put_back: HashedSet,
    /// What that changes.
    pub change: Change,
}

impl Way {
    /// What it does, for people: how many objects, and which are removed.
    pub fn sentence(&self) -> String {
        pin::sentence(&self.change)
    }

    /// Each object that becomes another, and how: `added`, `changed` or `removed`.
    pub fn objects(&self) -> impl Iterator<Item = (String, &'static str)> {
        let objects = self.change.items().iter().filter(|item| item.key != SetKey::Entry);
        objects.map(|item| {
            let does = match (&item.old, &item.new) {
                (None, _) => "added",
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "removed",
            };
            (item.key.to_string(), does)
        })
    }
}

/// Healthy deployments that are looked at for contents that differ in an object.
const LOOKED_AT: i64 = 60;

/// The way back of an environment: to what is named, else to the healthy content before what runs.
///
/// # Errors
/// [`SetError`]; inside it, why there is none.
pub async fn way(
    conn: &mut PgConnection,
    environment: &Environment,
    to: Option<&BackTo>,
) -> Result<Result<Way, NoWayBack>, SetError> {
    let Some(runs) = deployments::list(conn, environment.id, None, 1).await?.pop() else {
        return Ok(Err(NoWayBack::NeverSynced));
    };
    let Some(position) = &environment.position else { return Ok(Err(NoWayBack::NeverSynced)) };
    let named = match to {
        None => None,
        Some(to) => match named(conn, environment.id, to).await? {
            Some(named) => Some(named),
            None => return Ok(Err(NoWayBack::Unknown(to.to_string()))),
        },
    };
    let contents = contents(conn, environment.id).await?;
    let running = sets::load_hashed(conn, &runs.new.to.set).await?;
    let now = Running { number: runs.new.number, set: &running, is_well: runs.is_healthy() };
    let back = match pin::back(&contents, now, named.as_ref()) {
        Ok(back) => back,
        Err(why) => return Ok(Err(why)),
    };
    let put_back = put_back(&back.set, &sets::load_hashed(conn, &position.set).await?);
    let change = Change::between(Some(&running), &put_back);
    Ok(Ok(Way { runs, running, back, put_back, change }))
}

/// The contents that were healthy here since it was last forgotten, newest first. What a rollback brought is the content that
/// it put back.
async fn contents(conn: &mut PgConnection, environment: i64) -> Result<Vec<Content>, SetError> {
    let rows = sqlx::query!(
        "SELECT id, number, commit_sha, set_digest FROM deployment d
         WHERE environment_id = $1 AND state = 'healthy'
           AND number >= (SELECT first_number FROM environment WHERE id = $1)
           AND NOT EXISTS (SELECT FROM rollback b WHERE b.deployment_id = coalesce(d.again_of, d.id))
         ORDER BY number DESC LIMIT $2",
        environment,
        LOOKED_AT
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut found: Vec<Content> = Vec::new();
    for row in rows {
        if pin::contents(found.iter().cloned()).len() == pin::CONTENTS {
            break;
        }
        found.push(content(conn, row.id, row.number, &row.commit_sha, &row.set_digest).await?);
    }
    Ok(pin::contents(found))
}

/// The deployment that is named, of those since it was last forgotten; of a commit, the newest one.
async fn named(conn: &mut PgConnection, environment: i64, to: &BackTo) -> Result<Option<Named>, SetError> {
    let (number, commit) = match to {
        BackTo::Number(number) => (Some(*number), None),
        BackTo::Commit(commit) => (None, Some(format!("{commit}%"))),
    };
    let row = sqlx::query!(
        r#"SELECT id, number, commit_sha, set_digest,
                  EXISTS (SELECT FROM deployment h WHERE h.environment_id = $1 AND h.set_digest = d.set_digest
                          AND h.state = 'healthy') AS "was_healthy!"
           FROM deployment d WHERE environment_id = $1 AND ($2::bigint IS NULL OR number = $2)
             AND ($3::text IS NULL OR commit_sha LIKE $3)
             AND number >= (SELECT first_number FROM environment WHERE id = $1)
           ORDER BY 5 DESC, number DESC LIMIT 1"#,
        environment,
        number,
        commit
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let content = content(conn, row.id, row.number, &row.commit_sha, &row.set_digest).await?;
    Ok(Some(Named { content, was_healthy: row.was_healthy }))
}

async fn content(
    conn: &mut PgConnection,
    deployment: Uuid,
    number: i64,
    commit: &str,
    digest: &[u8],
) -> Result<Content, SetError> {
    let bad = || sqlx::Error::Decode("a stored deployment holds a digest or commit that is none".into());
    let digest = SetDigest::from_bytes(digest).ok_or_else(bad)?;
    let commit = commit.parse().map_err(|_| bad())?;
    Ok(Content { deployment, number, commit, set: sets::load_hashed(conn, &digest).await? })
}

//! Emergencies: who asked for one, what came of it, and whether somebody else looked at it afterwards.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::environments::Environment;
use super::holds::Hold;
use crate::ids::{Account, ChangeDigest, CommitId, EnvironmentName, RepositoryKey, SetDigest};
use crate::sync::HoldReason;

/// For how long a request counts. Who asks alone asks again.
pub const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(4);
/// How long a review is owed before somebody is reminded of it, and how often.
pub const REVIEW_WITHIN: SignedDuration = SignedDuration::from_hours(24);
/// Reminders there are; whoever did not read seven does not read the eighth. The report goes on.
pub const MOST_REMINDERS: i32 = 7;

/// What somebody asks to pass: from what runs, to what waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// The set that runs.
    pub from_set: SetDigest,
    /// Where it would go.
    pub to_commit: CommitId,
    /// With which set.
    pub to_set: SetDigest,
    /// What that changes.
    pub change: ChangeDigest,
}

impl Aim {
    /// What waits in an environment, if an emergency can let it pass and it was so when somebody asked.
    ///
    /// # Errors
    /// Why not, in words that complete "ENV: …".
    pub fn bound(environment: &Environment, hold: Option<&Hold>, asked_at: Timestamp) -> Result<Self, String> {
        let hold = hold.ok_or("nothing waits there")?;
        let from = environment.position.as_ref().ok_or("a first set is no matter of emergency")?;
        let passes = [HoldReason::Uncovered, HoldReason::Window, HoldReason::Waiting].map(HoldReason::as_str);
        if !passes.contains(&hold.reason.as_str()) {
            return Err(format!("an emergency does not pass what is held as `{}`", hold.reason));
        }
        let ahead = hold.ahead.as_ref().ok_or("nothing waits there that an emergency could let pass")?;
        if ahead.since > asked_at {
            return Err("what waits is another change by now: look at it, and say it again".to_owned());
        }
        Ok(Self { from_set: from.set, to_commit: ahead.commit.clone(), to_set: ahead.set, change: ahead.change })
    }
}

/// Somebody's word that what an environment waits for has to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: Uuid,
    /// Our number of the environment.
    pub environment: i64,
    /// What.
    pub aim: Aim,
    /// Whose.
    pub person: Account,
    /// Why: a person's words.
    pub reason: String,
    /// How it was said: `comment 12`, `api`.
    pub source: String,
    /// When, by our clock.
    pub at: Timestamp,
}

/// Stores a request.
///
/// # Errors
/// The database's own.
pub async fn ask(conn: &mut PgConnection, new: &Request) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO emergency_request (id, environment_id, from_set, to_commit, to_set, change_digest, person, reason, source, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id,
        new.environment,
        new.aim.from_set.as_bytes(),
        new.aim.to_commit.as_str(),
        new.aim.to_set.as_bytes(),
        new.aim.change.as_bytes(),
        Json(&new.person) as _,
        new.reason,
        new.source,
        new.at.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The requests of an environment that count at this moment, oldest first.
///
/// # Errors
/// The database's own.
pub async fn asked(conn: &mut PgConnection, environment: i64, now: Timestamp) -> Result<Vec<Request>, sqlx::Error> {
    let since = now.checked_sub(COUNTS_FOR).unwrap_or(Timestamp::MIN);
    let rows = sqlx::query!(
        r#"SELECT id, from_set, to_commit, to_set, change_digest, person AS "person: Json<Account>", reason, source,
                  at AS "at: Stored"
           FROM emergency_request WHERE environment_id = $1 AND at > $2 ORDER BY at, id"#,
        environment,
        since.to_sqlx() as Stored,
    )
    .fetch_all(conn)
    .await?;
    let bad = || sqlx::Error::Decode("a stored request holds a digest or commit that is none".into());
    let request = rows.into_iter().map(|row| {
        Ok(Request {
            id: row.id,
            environment,
            aim: Aim {
                from_set: SetDigest::from_bytes(&row.from_set).ok_or_else(bad)?,
                to_commit: row.to_commit.parse().map_err(|_| bad())?,
                to_set: SetDigest::from_bytes(&row.to_set).ok_or_else(bad)?,
                change: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(bad)?,
            },
            person: row.person.0,
            reason: row.reason,
            source: row.source,
            at: row.at.to_jiff(),
        })
    });
    request.collect()
}

/// An emergency that was let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// The deployment it began.
    pub deployment: Uuid,
    /// Its number.
    pub number: i64,
    /// The environment.
    pub environment: i64,
    /// Its name.
    pub name: EnvironmentName,
    /// The configured forge and `owner/name`.
    pub repository: String,
    /// Where it went.
    pub commit: String,
    /// Who let it pass.
    pub people: Vec<Account>,
    /// Why, in their words, in their order.
    pub reasons: Vec<String>,
    /// What it passed over, in words.
    pub passed: Vec<String>,
    /// When.
    pub began_at: Timestamp,
    /// The issue of ours.
    pub issue: Option<i64>,
    /// Reminders so far.
    pub reminders: i32,
    /// When somebody looked at it.
    pub reviewed_at: Option<Timestamp>,
    /// Who, as the log names them.
    pub reviewed_by: Option<String>,
}

/// Stores one, with the start of its deployment.
///
/// # Errors
/// The database's own.
pub async fn begin(
    conn: &mut PgConnection,
    (deployment, environment): (Uuid, i64),
    requests: &[&Request],
    passed: &[String],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = requests.iter().map(|one| one.id).collect();
    let people: Vec<&Account> = requests.iter().map(|one| &one.person).collect();
    let reasons: Vec<&str> = requests.iter().map(|one| one.reason.as_str()).collect();
    sqlx::query!(
        "INSERT INTO emergency (deployment_id, environment_id, requests, people, reasons, passed, began_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        deployment,
        environment,
        Json(&ids) as _,
        Json(&people) as _,
        Json(&reasons) as _,
        Json(&passed) as _,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Which emergencies; an empty field is not asked about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    /// Of this repository (our number).
    pub repository: Option<i64>,
    /// `owner/name`, or `forge/owner/name`.
    pub named: Option<&'a str>,
    /// Of this environment's name.
    pub environment: Option<&'a str>,
    /// Those nobody reviewed alone.
    pub open: bool,
    /// Only of these repositories (our numbers).
    pub readable: Option<&'a [i64]>,
    /// Only smaller ids of deployments: the cursor.
    pub before: Option<Uuid>,
}

/// At most `limit` emergencies, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &mut PgConnection, which: &Which<'_>, limit: i64) -> Result<Vec<Emergency>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT m.deployment_id, d.number, m.environment_id, e.name, r.forge, r.full_name, d.commit_sha,
                  m.people AS "people: Json<Vec<Account>>", m.reasons AS "reasons: Json<Vec<String>>",
                  m.passed AS "passed: Json<Vec<String>>", m.began_at AS "began_at: Stored", m.issue, m.reminders,
                  m.reviewed_at AS "reviewed_at: Stored", m.reviewed_by
           FROM emergency m JOIN deployment d ON d.id = m.deployment_id JOIN environment e ON e.id = m.environment_id
           JOIN repository r ON r.id = e.repository_id
           WHERE ($1::bigint IS NULL OR r.id = $1)
             AND ($2::text IS NULL OR r.full_name = $2 OR r.forge || '/' || r.full_name = $2)
             AND ($3::text IS NULL OR e.name = $3)
             AND (NOT $4 OR m.reviewed_at IS NULL)
             AND ($5::bigint[] IS NULL OR r.id = ANY($5))
             AND ($6::uuid IS NULL OR m.deployment_id < $6)
           ORDER BY m.deployment_id DESC LIMIT $7"#,
        which.repository,
        which.named,
        which.environment,
        which.open,
        which.readable,
        which.before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let one = rows.into_iter().map(|row| {
        Ok(Emergency {
            deployment: row.deployment_id,
            number: row.number,
            environment: row.environment_id,
            name: row.name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            repository: format!("{}/{}", row.forge, row.full_name),
            commit: row.commit_sha,
            people: row.people.0,
            reasons: row.reasons.0,
            passed: row.passed.0,
            began_at: row.began_at.to_jiff(),
            issue: row.issue,
            reminders: row.reminders,
            reviewed_at: row.reviewed_at.map(|at| at.to_jiff()),
            reviewed_by: row.reviewed_by,
        })
    });
    one.collect()
}

/// Whether an issue of a repository is about an emergency that waits for its review.
///
/// # Errors
/// The database's own.
pub async fn waits_in(conn: &mut PgConnection, repository: i64, issue: i64) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM emergency m JOIN environment e ON e.id = m.environment_id
                          WHERE e.repository_id = $1 AND m.issue = $2 AND m.reviewed_at IS NULL) AS "found!""#,
        repository,
        issue
    );
    found.fetch_one(conn).await
}

/// Notes the issue of ours it is told in; `None`: it is there no more.
///
/// # Errors
/// The database's own.
pub async fn told(conn: &mut PgConnection, deployment: Uuid, issue: Option<i64>) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE emergency SET issue = $2 WHERE deployment_id = $1", deployment, issue).execute(conn).await?;
    Ok(())
}

/// Notes a reminder.
///
/// # Errors
/// The database's own.
pub async fn reminded(conn: &mut PgConnection, deployment: Uuid, reminders: i32) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE emergency SET reminders = $2 WHERE deployment_id = $1", deployment, reminders)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes the review. `false`: somebody did before.
///
/// # Errors
/// The database's own.
pub async fn reviewed(
    conn: &mut PgConnection,
    deployment: Uuid,
    by: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE emergency SET reviewed_at = $3, reviewed_by = $2 WHERE deployment_id = $1 AND reviewed_at IS NULL",
        deployment,
        by,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The repositories in which somebody is to be reminded.
///
/// # Errors
/// The database's own.
pub async fn due(conn: &mut PgConnection, now: Timestamp) -> Result<Vec<RepositoryKey>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT DISTINCT r.forge, r.forge_id FROM emergency m JOIN environment e ON e.id = m.environment_id
         JOIN repository r ON r.id = e.repository_id
         WHERE m.reviewed_at IS NULL AND m.reminders < $2 AND m.began_at + (m.reminders + 1) * interval '24 hours' <= $1",
        now.to_sqlx() as Stored,
        MOST_REMINDERS,
    )
    .fetch_all(conn)
    .await?;
    let key = rows.into_iter().map(|row| {
        let forge = row.forge.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(RepositoryKey { forge, id: row.forge_id })
    });
    key.collect()
}

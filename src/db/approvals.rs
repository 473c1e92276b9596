//! Approvals: added, voided, used up, never changed and never taken back from being void.

use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::previews::{read_shown_as, shown_as};
use crate::consent::{Approval, ApprovalKey, Denial, Place, Recorded, State};
use crate::ids::{Account, ChangeDigest, ObjectHash, OpinionDigest, PolicyDigest, SetDigest};
use crate::policy::rules::ApprovalSource;

/// A stored approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Our id, named by the audit log.
    pub id: Uuid,
    /// Our number of the environment.
    pub environment: i64,
    /// The approval, and what became of it.
    pub recorded: Recorded,
}

fn source(text: &str) -> ApprovalSource {
    if text == "review" { ApprovalSource::Review } else { ApprovalSource::Command }
}

fn source_word(source: ApprovalSource) -> &'static str {
    match source {
        ApprovalSource::Review => "review",
        ApprovalSource::Command => "command",
    }
}

/// Records an approval. `false` when this review or comment already gave one for this environment: it gives at most
/// one, ever.
///
/// # Errors
/// The database's own.
pub async fn record(
    conn: &mut PgConnection,
    id: Uuid,
    (repository, environment): (i64, i64),
    approval: &Approval,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO approval (id, repository_id, environment_id, pull_number, base_branch, reviewed_head, shown_as, base_set,
             head_set, change_digest, preview_id, person, source, source_id, policy_digest, deletions, reason, waives, waives_text,
             waives_said, given_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
         ON CONFLICT ON CONSTRAINT approval_once DO NOTHING",
        id,
        repository,
        environment,
        approval.place.number,
        approval.place.base_branch,
        approval.head.as_str(),
        shown_as(approval.shown_as),
        approval.old_set.as_ref().map(|s| s.as_bytes() as &[u8]),
        approval.new_set.as_bytes(),
        approval.change.as_bytes(),
        approval.preview,
        Json(&approval.person) as _,
        source_word(approval.key.source),
        approval.key.source_id,
        approval.policy.as_bytes(),
        approval.deletions.map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
        approval.reason.as_ref().map(|reason| reason.replace('\0', "\u{fffd}")),
        approval.waives.as_ref().map(|denial| denial.policy.as_str()),
        approval.waives.as_ref().map(|denial| denial.text.as_bytes()),
        approval.waives.as_ref().map(|denial| denial.said.as_bytes()),
        approval.at.to_sqlx() as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Voids an approval, for ever. `false` when it already was.
///
/// # Errors
/// The database's own.
pub async fn void(conn: &mut PgConnection, id: Uuid, reason: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO approval_void (approval_id, reason) VALUES ($1, $2) ON CONFLICT (approval_id) DO NOTHING",
        id,
        reason
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An approval that a sync was started on, or beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its id.
    pub approval: Uuid,
    /// Why it did not count; `None`: it did.
    pub why_not: Option<String>,
}

/// Uses approvals up: a sync was started on them.
///
/// # Errors
/// The database's own; one already used up violates the primary key, and the sync does not start.
pub async fn use_up(conn: &mut PgConnection, used: &[Used], deployment: Uuid) -> Result<(), sqlx::Error> {
    let (ids, why_not): (Vec<Uuid>, Vec<Option<String>>) =
        used.iter().map(|one| (one.approval, one.why_not.clone())).unzip();
    sqlx::query!(
        "INSERT INTO approval_use (approval_id, why_not, deployment_id)
         SELECT given, why_not, $3 FROM unnest($1::uuid[], $2::text[]) AS used (given, why_not)",
        &ids,
        &why_not as &[Option<String>],
        deployment
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every approval given in a pull request or an issue of ours, void and used ones too, in the order they were recorded.
///
/// # Errors
/// The database's own.
pub async fn given_in(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<Stored>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT a.id, environment_id, e.name, pull_number, base_branch, reviewed_head, shown_as, base_set, head_set,
               change_digest, preview_id, person AS "person: Json<Account>", source, source_id, policy_digest, deletions,
               a.reason, waives, waives_text, waives_said, given_at, v.reason AS "void?", u.deployment_id AS "used?"
           FROM approval a JOIN environment e ON e.id = a.environment_id
               LEFT JOIN approval_void v ON v.approval_id = a.id LEFT JOIN approval_use u ON u.approval_id = a.id
           WHERE a.repository_id = $1 AND pull_number = $2 ORDER BY a.recorded_at, a.id"#,
        repository,
        number
    )
    .fetch_all(conn)
    .await?;
    let bad = || sqlx::Error::Decode("a stored digest, commit or name is not one".into());
    rows.into_iter()
        .map(|row| {
            let key = ApprovalKey {
                environment: row.name.parse().map_err(|_| bad())?,
                source: source(&row.source),
                source_id: row.source_id,
            };
            let approval = Approval {
                key,
                place: Place { number: row.pull_number, base_branch: row.base_branch },
                head: row.reviewed_head.parse().map_err(|_| bad())?,
                shown_as: read_shown_as(&row.shown_as),
                old_set: row.base_set.map(|b| SetDigest::from_bytes(&b).ok_or_else(bad)).transpose()?,
                new_set: SetDigest::from_bytes(&row.head_set).ok_or_else(bad)?,
                change: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(bad)?,
                preview: row.preview_id,
                person: row.person.0,
                policy: ObjectHash::from_bytes(&row.policy_digest).ok_or_else(bad)?,
                deletions: row.deletions.and_then(|number| u64::try_from(number).ok()),
                reason: row.reason,
                waives: match (row.waives, row.waives_text, row.waives_said) {
                    (Some(policy), Some(text), Some(said)) => Some(Denial {
                        policy,
                        text: PolicyDigest::from_bytes(&text).ok_or_else(bad)?,
                        said: OpinionDigest::from_bytes(&said).ok_or_else(bad)?,
                    }),
                    // The three are there together, or the constraint `approval_waiver` is broken.
                    _ => None,
                },
                at: row.given_at.to_jiff(),
            };
            let state = match (row.void, row.used) {
                (Some(reason), _) => State::Void(reason),
                (None, Some(_)) => State::UsedUp,
                (None, None) => State::Stands,
            };
            Ok(Stored { id: row.id, environment: row.environment_id, recorded: Recorded { approval, state } })
        })
        .collect()
}

/// Which of these comments' commands were already carried out or answered.
///
/// # Errors
/// The database's own.
pub async fn commands_done(
    conn: &mut PgConnection,
    repository: i64,
    comments: &[i64],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT comment_id FROM command_done WHERE repository_id = $1 AND comment_id = ANY($2)",
        repository,
        comments
    )
    .fetch_all(conn)
    .await
}

/// Says that a command was carried out or answered.
///
/// # Errors
/// The database's own.
pub async fn command_done(
    conn: &mut PgConnection,
    repository: i64,
    comment: i64,
    answer: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO command_done (repository_id, comment_id, answer) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        repository,
        comment,
        answer.replace('\0', "\u{fffd}")
    )
    .execute(conn)
    .await?;
    Ok(())
}

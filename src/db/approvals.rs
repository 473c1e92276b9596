//! Approvals: added, voided, never changed and never taken back from being void.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::ids::{Account, ChangeDigest, CommitId, SetDigest};
use crate::policy::rules::ApprovalSource;

/// A recorded approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Our id, named by the audit log.
    pub id: Uuid,
    /// Our number of the repository.
    pub repository: i64,
    /// Our number of the environment.
    pub environment: i64,
    /// The pull request, or the issue of ours.
    pub number: i64,
    /// The branch it was for.
    pub base_branch: String,
    /// The head that was reviewed.
    pub reviewed_head: CommitId,
    /// The set the change begins from; `None` is the empty set.
    pub base_set: Option<SetDigest>,
    /// The set it ends in.
    pub head_set: SetDigest,
    /// The change consented to.
    pub change: ChangeDigest,
    /// The preview it was shown in.
    pub preview: i64,
    /// Who.
    pub person: Account,
    /// How.
    pub source: ApprovalSource,
    /// The review's or the comment's number on the forge.
    pub source_id: i64,
    /// Of the rules in force when it was given.
    pub policy: [u8; 32],
    /// The exact number of deletions it carries, if any.
    pub deletions: Option<i64>,
    /// Why, for an owner's consent to a held change.
    pub reason: Option<String>,
    /// The forge's time.
    pub given_at: Timestamp,
    /// Why it is void, if it is.
    pub void: Option<String>,
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

/// Records an approval. `false` when this review or comment already gave one for this environment: it gives at most one, ever.
///
/// # Errors
/// The database's own.
pub async fn record(conn: &mut PgConnection, approval: &Approval) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO approval (id, repository_id, environment_id, pull_number, base_branch, reviewed_head, base_set, head_set,
             change_digest, preview_id, person, source, source_id, policy_digest, deletions, reason, given_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT ON CONSTRAINT approval_once DO NOTHING",
        approval.id,
        approval.repository,
        approval.environment,
        approval.number,
        approval.base_branch,
        approval.reviewed_head.as_str(),
        approval.base_set.as_ref().map(|s| s.as_bytes() as &[u8]),
        approval.head_set.as_bytes(),
        approval.change.as_bytes(),
        approval.preview,
        Json(&approval.person) as _,
        source_word(approval.source),
        approval.source_id,
        &approval.policy[..],
        approval.deletions,
        approval.reason,
        approval.given_at.to_sqlx() as _,
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

/// Every approval given in a pull request or an issue of ours, void ones too, in the order they were recorded.
///
/// # Errors
/// The database's own.
pub async fn given_in(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<Approval>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT a.id, environment_id, pull_number, base_branch, reviewed_head, base_set, head_set, change_digest, preview_id,
               person AS "person: Json<Account>", source, source_id, policy_digest, deletions, a.reason, given_at,
               v.reason AS "void?"
           FROM approval a LEFT JOIN approval_void v ON v.approval_id = a.id
           WHERE repository_id = $1 AND pull_number = $2 ORDER BY a.recorded_at, a.id"#,
        repository,
        number
    )
    .fetch_all(conn)
    .await?;
    let bad = || sqlx::Error::Decode("a stored digest is not 32 bytes".into());
    rows.into_iter()
        .map(|row| {
            Ok(Approval {
                id: row.id,
                repository,
                environment: row.environment_id,
                number: row.pull_number,
                base_branch: row.base_branch,
                reviewed_head: row.reviewed_head.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                base_set: row.base_set.map(|b| SetDigest::from_bytes(&b).ok_or_else(bad)).transpose()?,
                head_set: SetDigest::from_bytes(&row.head_set).ok_or_else(bad)?,
                change: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(bad)?,
                preview: row.preview_id,
                person: row.person.0,
                source: source(&row.source),
                source_id: row.source_id,
                policy: row.policy_digest.try_into().map_err(|_| bad())?,
                deletions: row.deletions,
                reason: row.reason,
                given_at: row.given_at.to_jiff(),
                void: row.void,
            })
        })
        .collect()
}

/// Whether a command was already carried out or answered.
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

//! Previews, and which change of which environment was shown to people from when to when, by the forge's clock.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::consent::Change;
use crate::ids::{ChangeDigest, CommitId, SetDigest, TraceId};

/// A preview to be stored.
#[derive(Debug, Clone)]
pub struct NewPreview<'a> {
    /// Our number of the repository.
    pub repository: i64,
    /// The pull request, or the issue a held change is shown in.
    pub number: i64,
    /// What was previewed.
    pub head: &'a CommitId,
    /// Against what.
    pub base: &'a CommitId,
    /// The merge result's tree; `None` when there is none to compute.
    pub merge_tree: Option<&'a CommitId>,
    /// The page, already redacted.
    pub page: &'a Value,
    /// From delivery to sync.
    pub trace: TraceId,
}

/// Stores a preview and gives its number, the one of `/previews/{id}`.
///
/// # Errors
/// The database's own.
pub async fn insert(conn: &mut PgConnection, preview: &NewPreview<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO preview (repository_id, pull_number, head_sha, base_sha, merge_tree, page, trace)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        preview.repository,
        preview.number,
        preview.head.as_str(),
        preview.base.as_str(),
        preview.merge_tree.map(CommitId::as_str),
        preview.page,
        preview.trace.0
    )
    .fetch_one(conn)
    .await
}

/// Replaces a preview's page: consent and deployment columns move on while the changes stay.
///
/// # Errors
/// The database's own.
pub async fn set_page(conn: &mut PgConnection, id: i64, page: &Value) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE preview SET page = $2 WHERE id = $1", id, page).execute(conn).await?;
    Ok(())
}

/// The newest preview of a pull request: its number, head, base and merge result.
///
/// # Errors
/// The database's own.
pub async fn newest(
    conn: &mut PgConnection,
    repository: i64,
    number: i64,
) -> Result<Option<(i64, String, String, Option<String>)>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT id, head_sha, base_sha, merge_tree FROM preview WHERE repository_id = $1 AND pull_number = $2 ORDER BY id DESC LIMIT 1",
        repository,
        number
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id, row.head_sha, row.base_sha, row.merge_tree)))
}

/// A change of one environment that is, was or is about to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownChange {
    /// Our number.
    pub id: i64,
    /// Of which preview.
    pub preview: i64,
    /// Of which environment.
    pub environment: i64,
    /// The set it begins from; `None` is the empty set.
    pub base_set: Option<SetDigest>,
    /// The set it ends in.
    pub head_set: SetDigest,
    /// Its digest.
    pub digest: ChangeDigest,
    /// The change itself.
    pub change: Change,
    /// For which head of the pull request.
    pub head: CommitId,
    /// The forge's time of the write that first carried it; `None`: not posted yet.
    pub shown_at: Option<Timestamp>,
    /// The forge's time of the write that took it away; `None`: still shown.
    pub hidden_at: Option<Timestamp>,
}

/// Stores that a change is about to be shown, and gives its number.
///
/// # Errors
/// The database's own.
pub async fn about_to_show(
    conn: &mut PgConnection,
    preview: i64,
    environment: i64,
    sets: (Option<&SetDigest>, &SetDigest),
    change: (&Change, &ChangeDigest),
    head: &CommitId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO shown_change (preview_id, environment_id, base_set, head_set, change_digest, change, head_sha)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        preview,
        environment,
        sets.0.map(|s| s.as_bytes() as &[u8]),
        sets.1.as_bytes(),
        change.1.as_bytes(),
        Json(change.0) as _,
        head.as_str()
    )
    .fetch_one(conn)
    .await
}

/// Says that the comment now shows these changes, since this write, and no others of the pull request.
///
/// # Errors
/// The database's own.
pub async fn now_shown(
    conn: &mut PgConnection,
    repository: i64,
    number: i64,
    ids: &[i64],
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE shown_change SET shown_at = $2 WHERE id = ANY($1) AND shown_at IS NULL",
        ids,
        at.to_sqlx() as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE shown_change s SET hidden_at = $4 FROM preview p
         WHERE p.id = s.preview_id AND p.repository_id = $1 AND p.pull_number = $2 AND s.id <> ALL($3)
           AND s.shown_at IS NOT NULL AND s.hidden_at IS NULL",
        repository,
        number,
        ids,
        at.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every change ever shown in a pull request, oldest first.
///
/// # Errors
/// The database's own.
pub async fn shown_in(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<ShownChange>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT s.id, s.preview_id, s.environment_id, s.base_set, s.head_set, s.change_digest, s.change AS "change: Json<Change>",
               s.head_sha, s.shown_at, s.hidden_at
           FROM shown_change s JOIN preview p ON p.id = s.preview_id
           WHERE p.repository_id = $1 AND p.pull_number = $2 ORDER BY s.id"#,
        repository,
        number
    )
    .fetch_all(conn)
    .await?;
    let bad = || sqlx::Error::Decode("a stored digest is not 32 bytes".into());
    rows.into_iter()
        .map(|row| {
            Ok(ShownChange {
                id: row.id,
                preview: row.preview_id,
                environment: row.environment_id,
                base_set: row.base_set.map(|b| SetDigest::from_bytes(&b).ok_or_else(bad)).transpose()?,
                head_set: SetDigest::from_bytes(&row.head_set).ok_or_else(bad)?,
                digest: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(bad)?,
                change: row.change.0,
                head: row.head_sha.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                shown_at: row.shown_at.map(jiff_sqlx::Timestamp::to_jiff),
                hidden_at: row.hidden_at.map(jiff_sqlx::Timestamp::to_jiff),
            })
        })
        .collect()
}

//! Previews, and which change of which environment was shown to people from when to when, by the forge's clock.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use std::collections::{BTreeMap, BTreeSet};

use crate::consent::{Change, Denial, Shown, ShownAs, Size};
use crate::ids::{ChangeDigest, CommitId, EnvironmentName, SetDigest, TraceId};

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
    /// What was looked at: each environment that renders, with its change if there is one.
    pub looks: &'a Looks,
    /// From delivery to sync.
    pub trace: TraceId,
}

/// Environments that render at a head → what it changes of them, if anything.
pub type Looks = BTreeMap<EnvironmentName, Option<ChangeDigest>>;

/// Stores a preview and gives its number, the one of `/previews/{id}`.
///
/// # Errors
/// The database's own.
pub async fn insert(conn: &mut PgConnection, preview: &NewPreview<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO preview (repository_id, pull_number, head_sha, base_sha, merge_tree, page, looks, trace)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        preview.repository,
        preview.number,
        preview.head.as_str(),
        preview.base.as_str(),
        preview.merge_tree.map(CommitId::as_str),
        preview.page,
        Json(preview.looks) as _,
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

/// A stored preview.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The number of `/previews/{id}`.
    pub id: i64,
    /// What was previewed.
    pub head: CommitId,
    /// The page as last stored, of the newest; of the others nothing: after a hundred pushes they would be a hundred pages.
    pub page: Value,
    /// What was looked at.
    pub looks: Looks,
    /// The forge's time of the write that first carried it; `None`: not posted yet.
    pub shown_at: Option<Timestamp>,
}

/// Every preview of a pull request (or an issue of ours), oldest first.
///
/// # Errors
/// The database's own.
pub async fn of(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<Preview>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, head_sha, looks AS "looks: Json<Looks>", shown_at,
               CASE WHEN row_number() OVER (ORDER BY id DESC) = 1 THEN page ELSE 'null' END AS "page!"
           FROM preview WHERE repository_id = $1 AND pull_number = $2 ORDER BY id"#,
        repository,
        number
    )
    .fetch_all(conn)
    .await?;
    let parse = |sha: String| sha.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)));
    rows.into_iter()
        .map(|row| {
            let shown_at = row.shown_at.map(jiff_sqlx::Timestamp::to_jiff);
            Ok(Preview { id: row.id, head: parse(row.head_sha)?, page: row.page, looks: row.looks.0, shown_at })
        })
        .collect()
}

/// The page of one preview, and the repository it is of.
///
/// # Errors
/// The database's own.
pub async fn page(conn: &mut PgConnection, id: i64) -> Result<Option<(i64, Value)>, sqlx::Error> {
    let row = sqlx::query!("SELECT repository_id, page FROM preview WHERE id = $1", id).fetch_optional(conn).await?;
    Ok(row.map(|row| (row.repository_id, row.page)))
}

/// A preview as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The number of `/previews/{id}`.
    pub id: i64,
    /// The configured forge.
    pub forge: String,
    /// `owner/name`.
    pub repository: String,
    /// The pull request, or the issue a held change is shown in.
    pub number: Option<i64>,
    /// What was previewed.
    pub head: String,
    /// Against what.
    pub base: String,
    /// The forge's time of the write that first carried it.
    pub shown_at: Option<Timestamp>,
    /// From delivery to sync.
    pub trace: TraceId,
}

/// Which previews.
#[derive(Debug, Clone, Copy, Default)]
pub struct WhichPreviews<'a> {
    /// `owner/name` or `forge/owner/name`.
    pub repository: Option<&'a str>,
    /// Of one pull request or issue.
    pub number: Option<i64>,
    /// Below this number.
    pub before: Option<i64>,
    /// Only of these repositories (our numbers).
    pub readable: Option<&'a [i64]>,
}

/// At most `limit` previews, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &mut PgConnection, which: &WhichPreviews<'_>, limit: i64) -> Result<Vec<Listed>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT p.id, r.forge, r.full_name, p.pull_number, p.head_sha, p.base_sha, p.shown_at, p.trace
         FROM preview p JOIN repository r ON r.id = p.repository_id
         WHERE ($1::text IS NULL OR r.full_name = $1 OR r.forge || '/' || r.full_name = $1)
           AND ($2::bigint IS NULL OR p.pull_number = $2) AND ($3::bigint IS NULL OR p.id < $3)
           AND ($5::bigint[] IS NULL OR r.id = ANY($5))
         ORDER BY p.id DESC LIMIT $4",
        which.repository,
        which.number,
        which.before,
        limit,
        which.readable
    )
    .fetch_all(conn)
    .await?;
    let listed = rows.into_iter().map(|row| Listed {
        id: row.id,
        forge: row.forge,
        repository: row.full_name,
        number: row.pull_number,
        head: row.head_sha,
        base: row.base_sha,
        shown_at: row.shown_at.map(jiff_sqlx::Timestamp::to_jiff),
        trace: TraceId(row.trace),
    });
    Ok(listed.collect())
}

/// A change of one environment that is, was or is about to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownChange {
    /// Our number.
    pub id: i64,
    /// Our number of the environment.
    pub environment: i64,
    /// As consent sees it.
    pub shown: Shown,
    /// The change itself.
    pub change: Change,
    /// Changed files it comes from that the render reads, or read before.
    pub files: std::collections::BTreeSet<String>,
    /// How much it alters.
    pub size: Size,
}

/// Stores that a change is about to be shown, and gives its number.
///
/// # Errors
/// The database's own.
pub async fn about_to_show(conn: &mut PgConnection, change: &ShownChange) -> Result<i64, sqlx::Error> {
    let shown = &change.shown;
    sqlx::query_scalar!(
        "INSERT INTO shown_change (preview_id, environment_id, base_set, head_set, change_digest, change, head_sha, shown_as,
             deletions, denials, made)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
        shown.preview,
        change.environment,
        shown.old_set.as_ref().map(|s| s.as_bytes() as &[u8]),
        shown.new_set.as_bytes(),
        shown.change.as_bytes(),
        Json(&change.change) as _,
        shown.head.as_str(),
        shown_as(shown.shown_as),
        shown.deletions.map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
        Json(&shown.denials) as _,
        Json((&change.files, change.size.files, change.size.lines, change.size.objects)) as _,
    )
    .fetch_one(conn)
    .await
}

/// The word stored for whose change was shown.
pub(super) fn shown_as(shown_as: ShownAs) -> &'static str {
    match shown_as {
        ShownAs::Pull => "pull",
        ShownAs::Held => "held",
    }
}

/// And back.
pub(super) fn read_shown_as(text: &str) -> ShownAs {
    if text == "held" { ShownAs::Held } else { ShownAs::Pull }
}

/// Says that our comment carries this preview, since this write of it.
///
/// # Errors
/// The database's own.
pub async fn now_shown(conn: &mut PgConnection, showing: &Showing, at: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE shown_change SET shown_at = $3 WHERE preview_id = $1 AND environment_id = ANY($2) AND shown_at IS NULL",
        showing.preview,
        &showing.environments,
        at.to_sqlx() as _
    )
    .execute(&mut *conn)
    .await?;
    let preview = showing.preview;
    sqlx::query!("UPDATE preview SET shown_at = $2 WHERE id = $1 AND shown_at IS NULL", preview, at.to_sqlx() as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// What a text of ours shows: not all of a preview, when there is no room for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Showing {
    /// The preview.
    pub preview: i64,
    /// Our numbers of the environments whose change is in the text.
    pub environments: Vec<i64>,
}

/// Every change ever shown in a pull request or an issue of ours, oldest first.
///
/// # Errors
/// The database's own.
pub async fn shown_in(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<ShownChange>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT s.id, s.preview_id, s.environment_id, e.name, s.base_set, s.head_set, s.change_digest,
               s.change AS "change: Json<Change>", s.head_sha, s.shown_as, s.deletions,
               s.denials AS "denials: Json<BTreeSet<Denial>>",
               s.made AS "made: Json<(std::collections::BTreeSet<String>, u64, u64, u64)>", s.shown_at
           FROM shown_change s JOIN preview p ON p.id = s.preview_id JOIN environment e ON e.id = s.environment_id
           WHERE p.repository_id = $1 AND p.pull_number = $2 ORDER BY s.id"#,
        repository,
        number
    )
    .fetch_all(conn)
    .await?;
    let bad = || sqlx::Error::Decode("a stored digest, commit or name is not one".into());
    rows.into_iter()
        .map(|row| {
            let (files, changed_files, lines, objects) = row.made.0;
            let shown = Shown {
                environment: row.name.parse().map_err(|_| bad())?,
                shown_as: read_shown_as(&row.shown_as),
                preview: row.preview_id,
                head: row.head_sha.parse().map_err(|_| bad())?,
                old_set: row.base_set.map(|b| SetDigest::from_bytes(&b).ok_or_else(bad)).transpose()?,
                new_set: SetDigest::from_bytes(&row.head_set).ok_or_else(bad)?,
                change: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(bad)?,
                deletions: row.deletions.and_then(|number| u64::try_from(number).ok()),
                denials: row.denials.0,
                from: row.shown_at.map(jiff_sqlx::Timestamp::to_jiff),
            };
            let size = Size { files: changed_files, lines, objects };
            Ok(ShownChange { id: row.id, environment: row.environment_id, shown, change: row.change.0, files, size })
        })
        .collect()
}

/// Whether a pull request has a preview and no comment of ours yet.
///
/// # Errors
/// The database's own.
pub async fn is_unsaid(conn: &mut PgConnection, repository: i64, number: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pull WHERE repository_id = $1 AND number = $2 AND comment_id IS NULL)
               AND EXISTS (SELECT FROM preview WHERE repository_id = $1 AND pull_number = $2) AS "is!""#,
        repository,
        number
    )
    .fetch_one(conn)
    .await
}

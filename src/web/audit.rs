//! `/api/v1/audit`: the log, page by page, one entry, whether it is whole, and all of it. Every answer is itself an
//! entry, committed before the answer is given.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::asked::{Asked, Named, Page, limit, moment, text};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Audit};
use super::{Of, State};
use crate::audit;
use crate::audit::checkpoint::{Checkpoint, Checkpoints};
use crate::audit::offline::{EXPORTED, Exported, HeadLine};
use crate::audit::read::{self, Filter};
use crate::audit::row::Row;
use crate::audit::verify::Finding;
use crate::ids::TraceId;

/// Entries of one piece of an export: a piece fits in memory many times.
const PIECE: i64 = 500;

/// One entry of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    /// 1, 2, 3 … without gaps.
    seq: i64,
    /// When, by the database.
    at: String,
    /// Who.
    actor: String,
    /// What was done.
    action: String,
    /// On what.
    subject: String,
    /// The particulars.
    detail: Value,
    /// What made it happen.
    cause: String,
    /// From delivery to sync.
    trace: String,
    /// Whether it is an intent.
    opens: bool,
    /// The intent it closes.
    intent: Option<i64>,
    /// Its hash, in hex.
    hash: String,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            seq: row.seq,
            at: row.at.to_string(),
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            // It was JSON when it was hashed; changed to something else it is shown as the text it is.
            detail: serde_json::from_str(&row.detail).unwrap_or(Value::String(row.detail)),
            cause: row.cause,
            trace: row.trace.to_string(),
            opens: row.opens,
            intent: row.intent,
            hash: hex::encode(row.hash),
        }
    }
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The cursor.
    before: Option<i64>,
    /// Entries of a page, at most 200.
    limit: Option<i64>,
    /// The subject begins with this.
    subject: Option<String>,
    /// Exactly this action.
    action: Option<String>,
    /// One trace.
    trace: Option<uuid::Uuid>,
    /// Not before.
    from: Option<String>,
    /// Before.
    to: Option<String>,
}

impl Which {
    fn filter(&self) -> Result<Filter, Problem> {
        Ok(Filter {
            before: self.before,
            subject: text(self.subject.as_deref())?.map(str::to_owned),
            action: text(self.action.as_deref())?.map(str::to_owned),
            trace: self.trace.map(TraceId),
            from: moment("from", self.from.as_deref())?,
            to: moment("to", self.to.as_deref())?,
        })
    }

    fn detail(&self) -> Value {
        json!({ "before": self.before, "subject": self.subject, "action": self.action,
            "trace": self.trace, "from": self.from, "to": self.to })
    }
}

/// Entries, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Which),
    responses((status = 200, body = Page<Entry>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Audit>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Entry>>, Problem> {
    let (filter, limit) = (which.filter()?, limit(which.limit)?);
    let mut tx = state.pool.begin().await?;
    let rows = read::list(&mut tx, &filter, limit).await?;
    audit::append(&mut tx, &who.entry("audit.read", "audit".to_owned(), which.detail())).await?;
    tx.commit().await?;
    let items = rows.into_iter().map(Entry::from).collect();
    Ok(Json(Page::of(items, limit, |entry: &Entry| entry.seq.to_string())))
}

/// One entry.
#[utoipa::path(get, path = "/api/v1/audit/{seq}", tag = "audit", params(("seq" = i64, Path, description = "Its number")),
    responses((status = 200, body = Entry), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(
    who: Allowed<Audit>,
    Of(state): Of<State>,
    Named(seq): Named<i64>,
) -> Result<Json<Entry>, Problem> {
    let mut tx = state.pool.begin().await?;
    let row = read::show(&mut tx, seq).await?.ok_or_else(|| Problem::absent("entry"))?;
    audit::append(&mut tx, &who.entry("audit.read", "audit".to_owned(), json!({ "seq": seq }))).await?;
    tx.commit().await?;
    Ok(Json(row.into()))
}

/// Whether the log is whole.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verified {
    /// Whether nothing was found.
    whole: bool,
    /// Entries read.
    entries: i64,
    /// Good checkpoints held against them.
    checkpoints: usize,
    /// The newest entry a signed head outside the database vouches for; 0 for none.
    vouched: i64,
    /// When that head was signed.
    vouched_at: Option<String>,
    /// When the first of the heads was signed.
    signed_since: Option<String>,
    /// What is not as it was written.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<Finding>,
}

/// Reads the whole log against its signed heads.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit",
    responses((status = 200, body = Verified), (status = "4XX", body = ProblemBody)))]
pub(super) async fn verify(who: Allowed<Audit>, Of(state): Of<State>) -> Result<Json<Verified>, Problem> {
    let checkpoints = heads(&state)?;
    // The key is the running server's, not the one beside the checkpoints: whoever can write there can replace both.
    let report = read::verify(&state.pool, checkpoints, &state.public_key).await?;
    let detail = json!({ "entries": report.entries, "vouched": report.vouched, "findings": report.findings });
    let mut tx = state.pool.begin().await?;
    audit::append(&mut tx, &who.entry("audit.verified", "audit".to_owned(), detail)).await?;
    tx.commit().await?;
    Ok(Json(Verified {
        whole: report.is_whole(),
        entries: report.entries,
        checkpoints: report.checkpoints,
        vouched: report.vouched,
        vouched_at: report.vouched_at.map(|at| at.to_string()),
        signed_since: report.signed_since.map(|at| at.to_string()),
        findings: report.findings,
    }))
}

fn heads(state: &super::State) -> Result<Vec<Checkpoint>, Problem> {
    let (checkpoints, _) = Checkpoints::read(&state.checkpoints).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the checkpoints cannot be read");
        Problem::unavailable("the signed heads cannot be read; see the server's log")
    })?;
    Ok(checkpoints)
}

/// Where an export begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Start {
    /// Entries after this number; all without it. Only a whole export can be verified offline.
    after: Option<i64>,
}

/// The signed heads, and then the log, oldest first, one JSON object a line, exactly as hashed: what `audit verify --offline` reads.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit", params(Start),
    responses((status = 200, content_type = "application/x-ndjson"), (status = "4XX", body = ProblemBody)))]
pub(super) async fn export(
    who: Allowed<Audit>,
    Of(state): Of<State>,
    Asked(start): Asked<Start>,
) -> Result<Response, Problem> {
    let after = start.after.unwrap_or(0);
    let heads = heads(&state)?;
    let exported = Exported { after, heads: heads.len(), newest_head: heads.iter().map(|head| head.size).max() };
    let mut tx = state.pool.begin().await?;
    // The export ends with its own entry: what comes later would make it endless on a busy server.
    let last = audit::append(&mut tx, &who.entry(EXPORTED, "audit".to_owned(), json!(exported))).await?;
    tx.commit().await?;
    let pool = state.pool.clone();
    let mut first = Vec::new();
    for signed_head in heads {
        serde_json::to_writer(&mut first, &HeadLine { signed_head })
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        first.push(b'\n');
    }
    let entries = stream::try_unfold(after, move |after| {
        let pool = pool.clone();
        async move {
            if after >= last {
                return Ok::<_, sqlx::Error>(None);
            }
            let mut connection = pool.acquire().await?;
            let rows = read::after(&mut connection, after, PIECE.min(last - after)).await?;
            let Some(newest) = rows.last().map(|row| row.seq) else { return Ok(None) };
            let mut piece = Vec::new();
            for row in rows.iter().filter(|row| row.seq <= last) {
                serde_json::to_writer(&mut piece, row).map_err(|error| sqlx::Error::Encode(error.into()))?;
                piece.push(b'\n');
            }
            Ok(Some((Bytes::from(piece), newest)))
        }
    });
    let lines = stream::iter([Ok(Bytes::from(first))]).chain(entries);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

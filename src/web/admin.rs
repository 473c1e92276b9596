//! `/metrics`, `/healthz`, `/readyz`: for the machines that watch, on a listener of their own.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::State as Of;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;

use crate::db::{Schema, budgets, deployed, drift, holds, restored, watches};
use crate::queue;

/// Every reason of `hold_reason`: one that no environment has any more is shown as 0.
const REASONS: [&str; 10] = [
    "uncovered",
    "frozen",
    "window",
    "waiting",
    "pinned",
    "failed",
    "conflict",
    "over-cap",
    "orphaned",
    "cluster-away",
];

/// What the floors' policies can make of what is deployed, as stored.
const RULINGS: [&str; 4] = ["broken", "denies", "reviews", "warns"];

/// Every word of `drift_what`: a cluster in which nothing drifted so is shown with 0.
const DRIFTS: [&str; 5] = ["changed", "gone", "leaving", "owned", "replaced"];

#[derive(Clone)]
struct Admin {
    pool: PgPool,
    recorded: PrometheusHandle,
}

/// The routes of `admin_listen`.
pub fn admin_router(pool: PgPool, recorded: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(Admin { pool, recorded })
}

/// What was counted, and what the queue and the holds are at this moment. A database that is away takes only the latter
/// from the page.
async fn metrics(Of(admin): Of<Admin>) -> Response {
    let looked = look(&admin.pool).await;
    metrics::gauge!("bascule_database_up").set(f64::from(u8::from(looked.is_ok())));
    if let Err(error) = looked {
        tracing::warn!(error = &error as &dyn std::error::Error, "the metrics of the queue cannot be read");
    }
    admin.recorded.run_upkeep();
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([kind], admin.recorded.render()).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "a count of rows is far below 2^52")]
async fn look(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    queue::depths(&mut connection).await?.iter().for_each(queue::Depth::tell);
    let is_restored = restored::open(&mut connection).await?.is_some();
    metrics::gauge!("bascule_restore_unconfirmed").set(f64::from(u8::from(is_restored)));
    let waiting = queue::waiting(&mut connection).await?;
    for (forge, _, _) in budgets::all(&mut connection).await? {
        let jobs = waiting.iter().find(|one| one.forge == forge).map_or(0, |one| one.jobs);
        metrics::gauge!("bascule_forge_jobs_waiting", "forge" => forge).set(jobs as f64);
    }
    let held = holds::counted(&mut connection).await?;
    for reason in REASONS {
        let count = held.iter().find(|(held, _)| held == reason).map_or(0, |(_, count)| *count);
        metrics::gauge!("bascule_environments_held", "reason" => reason).set(count as f64);
    }
    let drifted = drift::counted(&mut connection).await?;
    let clusters: BTreeSet<String> = watches::clusters(&mut connection).await?.into_iter().collect();
    for cluster in clusters {
        for what in DRIFTS {
            let here = drifted.iter().find(|(at, how, _)| *at == cluster && how == what);
            let count = here.map_or(0, |(_, _, count)| *count);
            metrics::gauge!("bascule_drifted_objects", "cluster" => cluster.clone(), "what" => what).set(count as f64);
        }
    }
    let said = deployed::counted(&mut connection).await?;
    for ruling in RULINGS {
        let count = said.iter().find(|(said, _)| said == ruling).map_or(0, |(_, count)| *count);
        metrics::gauge!("bascule_deployed_findings", "ruling" => ruling).set(count as f64);
    }
    Ok(())
}

/// Whether a request sent here would be answered: the database answers, and its schema is ours, or what a newer version
/// made of ours. While that version is started, one server after the other, this one has to go on.
async fn ready(Of(admin): Of<Admin>) -> (StatusCode, String) {
    let not = |why: String| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    let Ok(mut connection) = admin.pool.acquire().await else {
        return not("the database does not answer".to_owned());
    };
    let Ok(schema) = Schema::look(&mut connection).await else {
        return not("the database does not answer".to_owned());
    };
    let word = match &schema {
        Schema::Newer { .. } => "ready, until the newer version that migrated the database takes over\n",
        _ => "ready\n",
    };
    match schema.require_workable() {
        Ok(()) => (StatusCode::OK, word.to_owned()),
        Err(schema) => not(schema.to_string()),
    }
}

//! What happens by itself: sweeps, and the signing of the log's head.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::reload::Live;
use super::restored;
use crate::audit::signing::{Looked, Signing};
use crate::clock::Clock;
use crate::db::repositories::RepositoryState;
use crate::db::{check_runs, deployed, drift, redeliveries, repositories, sets, told_deployments};
use crate::forge::{DeliveryLogs, Fate};
use crate::ids::TraceId;
use crate::jobs::{self, Context};
use crate::queue::{self, Lane};
use crate::sync::drift::CALM;
use crate::web::once;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the length of the log is looked at between two signed heads.
const LOOK: Duration = Duration::from_secs(1);

/// Enqueues a sweep of every granted repository, as often as the configuration says, give or take a tenth so that servers
/// do not sweep together; and at once after a reload, which may have granted something.
pub(super) async fn sweeps(mut follows: watch::Receiver<Live>, stop: CancellationToken) {
    loop {
        let Live { context, sweep } = follows.borrow_and_update().clone();
        if let Err(error) = sweep_all(&context).await {
            tracing::warn!(%error, "cannot enqueue sweeps; the next round tries again");
        }
        let jitter = u32::from(context.clock.new_id().as_bytes()[15]) % 20;
        let wait = sweep.pulls.min(sweep.branches).mul_f64(f64::from(90 + jitter) / 100.0);
        tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = follows.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Enqueues a sweep of every granted repository: of those that are known, and of those that a grant names; and of what the
/// forges say of their deliveries.
///
/// # Errors
/// When the database cannot be asked.
pub async fn sweep_all(context: &Context) -> anyhow::Result<()> {
    for (name, access) in &context.forges {
        let mut conn = context.pool.acquire().await?;
        let mut known: BTreeSet<_> = BTreeSet::new();
        let mut keys = Vec::new();
        for repository in repositories::of_forge(&mut conn, name).await? {
            // A name whose repository is gone may be another's by now.
            if repository.state != RepositoryState::Gone {
                known.insert(repository.full_name.clone());
            }
            keys.push(repository.key);
        }
        // Asking a forge takes a connection of its own.
        drop(conn);
        // A granted repository that never sent anything: its webhook may be missing, and it is ours all the same.
        let prefix = format!("{name}/");
        let granted = context.platform.grants.values().flat_map(|grant| &grant.repositories);
        let exact =
            granted.filter(|pattern| !pattern.contains('*')).filter_map(|pattern| pattern.strip_prefix(&prefix));
        for full_name in exact.filter(|full_name| !known.contains(*full_name)) {
            let Ok(at) = access.forge.repository_name(full_name) else { continue };
            match access.forge.repository_by_name(&at).await {
                Ok(found) => keys.push(found.key),
                Err(error) if error.fate == Fate::Refused => {
                    tracing::error!(repository = full_name, %error, "a granted repository is refused to us");
                }
                Err(error) => tracing::debug!(repository = full_name, %error, "a granted repository cannot be read"),
            }
        }
        let mut tx = context.pool.begin().await?;
        let logs = access.forge.delivery_logs();
        for key in keys {
            queue::enqueue(&mut tx, &jobs::sweep_repository(&key, TraceId(context.clock.new_id()))).await?;
            if logs == DeliveryLogs::OfRepositories {
                queue::enqueue(&mut tx, &jobs::sweep_deliveries(&key, TraceId(context.clock.new_id()))).await?;
            }
        }
        if logs == DeliveryLogs::OfApp {
            // What is granted by its name is asked for by its name.
            if context.platform.grants.values().flat_map(|grant| &grant.repositories).any(|one| one.contains('*')) {
                queue::enqueue(&mut tx, &jobs::sweep_installations(name, TraceId(context.clock.new_id()))).await?;
            }
            queue::enqueue(&mut tx, &jobs::sweep_app_deliveries(name, TraceId(context.clock.new_id()))).await?;
        }
        tx.commit().await?;
    }
    context.bell.ring(Lane::Sweep);
    Ok(())
}

/// Has the floors' policies asked about everything that is deployed, as often as the configuration says, give or take a tenth;
/// and at once after a reload, which may have brought other policies.
pub(super) async fn judgements(mut follows: watch::Receiver<Live>, stop: CancellationToken) {
    loop {
        let Live { context, sweep } = follows.borrow_and_update().clone();
        if let Err(error) = judge_all(&context).await {
            tracing::warn!(%error, "cannot have what is deployed judged; the next round tries again");
        }
        let jitter = u32::from(context.clock.new_id().as_bytes()[15]) % 20;
        tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = follows.changed() => {}
            () = tokio::time::sleep(sweep.policies.mul_f64(f64::from(90 + jitter) / 100.0)) => {}
        }
    }
}

/// Enqueues a judgement of each environment that lies over a floor with policies, or of which an earlier one is stored.
///
/// # Errors
/// When the database cannot be asked.
pub async fn judge_all(context: &Context) -> anyhow::Result<()> {
    let mut tx = context.pool.begin().await?;
    for (environment, repository) in deployed::to_judge(&mut tx, &policed(context)).await? {
        let job = jobs::judge_deployed(&repository, environment, TraceId(context.clock.new_id()));
        queue::enqueue(&mut tx, &job).await?;
    }
    tx.commit().await?;
    context.bell.ring(Lane::Sweep);
    Ok(())
}

/// Clusters under whose environments a floor has policies.
fn policed(context: &Context) -> Vec<String> {
    let floors = context.platform.floors.values().filter(|floor| !floor.policies.is_empty());
    let clusters: BTreeSet<String> = floors.flat_map(|floor| &floor.clusters).map(ToString::to_string).collect();
    clusters.into_iter().collect()
}

/// Closes what nobody ends any more, see [`jobs::close_abandoned`], and forgets what nobody needs any more, after
/// [`sets::KEPT`]: when the server starts, and daily.
pub(super) async fn tidying(pool: PgPool, clock: Clock, stop: CancellationToken) {
    loop {
        match jobs::close_abandoned(&pool).await {
            Ok(0) => {}
            Ok(closed) => tracing::warn!(closed, "effects of jobs that nobody runs any more are closed as unknown"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "effects that were begun and never ended cannot be closed; tomorrow it is tried again"
            ),
        }
        let before = clock.now() - sets::KEPT;
        for (what, gone) in [
            ("rendered sets", sets::tidy(&pool, before).await),
            ("lost deliveries", redeliveries::tidy(&pool, before).await),
            ("check runs", check_runs::tidy(&pool, before).await),
            ("answers to acts", once::tidy(&pool, clock.now()).await),
            ("deployments that a forge was told of", told_deployments::tidy(&pool, before).await),
            ("drift that is over", over(&pool, clock.now()).await),
        ] {
            match gone {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, what, "what nobody needs any more is forgotten"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    what,
                    "what nobody needs any more cannot be forgotten; tomorrow it is tried again"
                ),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(DAY) => {}
        }
    }
}

/// Forgets drift that is over and by which nobody is known any more.
async fn over(pool: &PgPool, now: jiff::Timestamp) -> Result<u64, sqlx::Error> {
    let calm = jiff::SignedDuration::try_from(CALM).unwrap_or_default();
    drift::tidy(&mut *pool.acquire().await?, now - calm).await
}

/// Signs the head of the log every minute or thousand entries, and once more at the end.
pub async fn checkpoints(mut signing: Signing, pool: PgPool, clock: Clock, stop: CancellationToken) {
    loop {
        let stopping = stop.is_cancelled();
        let looked = if stopping { signing.sign(clock.now()).await } else { signing.look(clock.now()).await };
        match looked {
            Ok(Looked::NotDue | Looked::Quiet | Looked::Signed(_)) => {}
            Ok(Looked::Refused(refusal)) => {
                tracing::error!(
                    %refusal,
                    "the head of the audit log is NOT signed: somebody changed the log, or put an older database in its place; \
                     if it was restored from a backup, `bascule restored confirm` puts the heads of what was lost aside"
                );
                // A chain that is broken after that head is no restore, and nobody could confirm it away.
                let noticed = match signing.lost().await {
                    Ok(Some(lost)) => restored::notice(&pool, &clock, &lost).await.map_err(anyhow::Error::from),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = noticed {
                    tracing::error!(%error, "that cannot be stored, and pruning goes on");
                }
            }
            Err(error) => tracing::error!(error = queue::worker::chain(&error), "cannot sign the head of the log"),
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

//! An operator's word that a repository may have the name it took.

use anyhow::{Context as _, bail};
use serde_json::json;
use sqlx::PgPool;

use crate::audit::{self, NewEntry};
use crate::clock::Clock;
use crate::db::pulls;
use crate::db::repositories::{self, Repository, RepositoryState};
use crate::ids::TraceId;
use crate::jobs;
use crate::queue;

/// All repositories that are known.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn known(pool: &PgPool) -> anyhow::Result<Vec<Repository>> {
    Ok(repositories::all(&mut *pool.acquire().await?).await?)
}

/// Gives `FORGE/OWNER/NAME` to the repository that took it. What it says of it is for a person.
///
/// # Errors
/// When no repository that is refused has the name, or several have and `id` does not say which.
pub async fn accept(pool: &PgPool, clock: &Clock, name: &str, id: Option<i64>) -> anyhow::Result<String> {
    let (forge, full_name) = name.split_once('/').context("write FORGE/OWNER/NAME")?;
    let mut tx = pool.begin().await?;
    let mut refused = repositories::all(&mut tx).await?;
    refused.retain(|one| {
        one.state == RepositoryState::Recreated
            && one.key.forge.as_str() == forge
            && one.full_name == full_name
            && id.is_none_or(|id| id == one.key.id)
    });
    let one = match refused.as_slice() {
        [one] => one,
        [] => bail!("no repository is refused under the name {name}; `bascule repositories list` shows them"),
        several => {
            let ids: Vec<String> = several.iter().map(|one| one.key.id.to_string()).collect();
            bail!("several took the name {name}: say which with --id ({})", ids.join(", "))
        }
    };
    let trace = TraceId(clock.new_id());
    repositories::pin_anew(&mut tx, &one.key, full_name).await?;
    repositories::set_state(&mut tx, one.id, RepositoryState::Active).await?;
    let entry = NewEntry {
        actor: "operator".to_owned(),
        action: "repository.accepted",
        subject: name.to_owned(),
        detail: json!({ "id": one.key.id }),
        cause: "bascule repositories accept".to_owned(),
        trace,
    };
    audit::append(&mut tx, &entry).await?;
    // What came while it was refused was answered by refusing: look at all of it.
    pulls::forget_seen(&mut tx, one.id).await?;
    queue::enqueue(&mut tx, &jobs::sweep_repository(&one.key, trace)).await?;
    tx.commit().await?;
    Ok(format!("{name} is the repository with the number {} from now on\n", one.key.id))
}

//! A database that was put back from a backup. What it does not remember cannot be told from what left a set, so that nothing
//! is pruned until an operator has looked.

use anyhow::bail;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::audit::checkpoint::{Checkpoints, Signer};
use crate::audit::signing::{Refusal, Signing};
use crate::audit::{self, NewEntry};
use crate::clock::Clock;
use crate::config::Server;
use crate::db::restored::{self, Restored};
use crate::ids::TraceId;

use super::keys;

/// What nobody confirmed yet.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn restored(pool: &PgPool) -> anyhow::Result<Option<Restored>> {
    Ok(restored::open(&mut *pool.acquire().await?).await?)
}

/// Stores that the log is not the one whose head was signed last, and says so in it. Once is enough.
pub(super) async fn notice(pool: &PgPool, clock: &Clock, refusal: &Refusal) -> Result<(), sqlx::Error> {
    let signed = match refusal {
        Refusal::Shrunk { signed, .. } | Refusal::Broken { signed, .. } => *signed,
    };
    let found = json!({ "signed": signed, "found": refusal.to_string() });
    if store(pool, clock, Some(signed), ("bascule", "restore.noticed", "the signed heads"), found).await? {
        tracing::error!(
            %refusal,
            "the database was put back from a backup, or somebody changed the log: nothing is deleted from any cluster until \
             an operator types `bascule restored confirm`"
        );
    }
    Ok(())
}

/// An operator's word that the database was put back, where the signed heads cannot tell: they came from the same backup.
///
/// # Errors
/// When the database cannot be asked, or knows it already.
pub(super) async fn declare(pool: &PgPool, clock: &Clock, reason: &str) -> anyhow::Result<String> {
    let by = ("operator", "restore.declared", "bascule restored declare");
    if !store(pool, clock, None, by, json!({ "reason": reason })).await? {
        bail!("that is known already: `bascule restored show`");
    }
    Ok("nothing is deleted from any cluster until `bascule restored confirm`\n".to_owned())
}

async fn store(
    pool: &PgPool,
    clock: &Clock,
    signed: Option<i64>,
    (actor, action, cause): (&str, &'static str, &str),
    mut detail: Value,
) -> Result<bool, sqlx::Error> {
    let (entries, _) = audit::read::head(pool).await?;
    let mut tx = pool.begin().await?;
    if !restored::notice(&mut tx, entries, signed).await? {
        return Ok(false);
    }
    detail["entries"] = entries.into();
    audit::append(&mut tx, &entry(clock, actor, action, cause, detail)).await?;
    tx.commit().await?;
    Ok(true)
}

/// An operator's word that the cluster may be pruned again by what this database remembers. Heads that this log does not have
/// are put aside, and new ones are signed.
///
/// # Errors
/// When there is nothing to confirm, or the heads cannot be moved.
pub(super) async fn confirm(server: &Server, pool: &PgPool, clock: &Clock, reason: &str) -> anyhow::Result<String> {
    if restored(pool).await?.is_none() {
        bail!("no restore waits for a word");
    }
    // First the heads: who dies in between has deleted nothing, and confirms again.
    let signer = Signer::open(keys::file(&server.audit.key)?)?;
    let checkpoints = Checkpoints::open(&server.audit.checkpoints, &signer)?;
    let aside = Signing::open(pool.clone(), signer, checkpoints)?.set_aside_if_lost().await?;
    let aside = aside.map(|path| path.display().to_string());
    let mut tx = pool.begin().await?;
    restored::confirm(&mut tx).await?;
    let detail = json!({ "reason": reason, "heads": aside });
    audit::append(&mut tx, &entry(clock, "operator", "restore.confirmed", "bascule restored confirm", detail)).await?;
    tx.commit().await?;
    let heads = aside.map_or_else(String::new, |path| {
        format!("the signed heads of what was lost are in {path}: keep them; new ones are signed from now on\n")
    });
    Ok(format!(
        "syncs delete again what left their sets; what they kept meanwhile goes with the next of each, or with \
         `/bascule sync ENV`\n{heads}"
    ))
}

fn entry(clock: &Clock, actor: &str, action: &'static str, cause: &str, detail: Value) -> NewEntry {
    let (actor, cause) = (actor.to_owned(), cause.to_owned());
    NewEntry { actor, action, subject: "database".to_owned(), detail, cause, trace: TraceId(clock.new_id()) }
}

//! What is asked on the server's own host, of the database in its file: whose a name is, what was restored, machine tokens.
//! Whoever can read that file can do more than any of this.

use anyhow::bail;
use serde_json::json;

use super::accept::{accept, known};
use super::restored;
use crate::cli;
use crate::cli::table;
use crate::clock::Clock;
use crate::config::{Reach, Server};
use crate::db::repositories::RepositoryState;
use crate::web;

/// Lists and accepts repositories.
///
/// # Errors
/// When the database cannot be asked, or there is nothing to accept.
pub async fn repositories(server: Server, act: cli::repositories::Act) -> anyhow::Result<String> {
    use cli::repositories::Act;
    let pool = super::attach(&server).await?;
    Ok(match act {
        Act::List { output } => {
            let rows: Vec<_> = known(&pool)
                .await?
                .into_iter()
                .map(|one| {
                    json!({ "name": format!("{}/{}", one.key.forge, one.full_name), "id": one.key.id,
                        "state": if one.state == RepositoryState::Recreated { "refused" } else { one.state.as_str() } })
                })
                .collect();
            let columns = [("REPOSITORY", "/name"), ("ID", "/id"), ("STATE", "/state")];
            table::show(output, &columns, &rows).text
        }
        Act::Accept { name, id } => accept(&pool, &Clock::system(), &name, id).await?,
    })
}

/// Tells, declares and confirms that the database was put back from a backup.
///
/// # Errors
/// When the database cannot be asked, or what is said of it cannot be so.
pub async fn restored(server: Server, act: cli::restored::Act) -> anyhow::Result<String> {
    use cli::restored::Act;
    let (pool, clock) = (super::attach(&server).await?, Clock::system());
    Ok(match act {
        Act::Show { output } => {
            let rows: Vec<_> = restored::restored(&pool)
                .await?
                .map(|one| json!({ "noticed": one.noticed_at, "entries": one.entries, "signed": one.signed, "fence": one.fence }))
                .into_iter()
                .collect();
            let columns =
                [("NOTICED", "/noticed"), ("ENTRIES", "/entries"), ("SIGNED", "/signed"), ("FENCE", "/fence")];
            table::show(output, &columns, &rows).text
        }
        Act::Declare { reason } => restored::declare(&pool, &clock, &reason).await?,
        Act::Confirm { reason } => restored::confirm(&server, &pool, &clock, &reason).await?,
    })
}

/// Freezes everything this server deploys.
///
/// # Errors
/// When the database cannot be asked, or the end is none.
pub async fn freeze(server: Server, asked: cli::freeze::Freeze) -> anyhow::Result<String> {
    let (pool, clock) = (super::attach(&server).await?, Clock::system());
    super::frozen::freeze(&pool, &clock, &asked.reason, asked.until.as_deref()).await
}

/// Ends the freeze of everything.
///
/// # Errors
/// When the database cannot be asked, or there is none.
pub async fn unfreeze(server: Server) -> anyhow::Result<String> {
    let (pool, clock) = (super::attach(&server).await?, Clock::system());
    super::frozen::unfreeze(&pool, &clock).await
}

/// Makes, lists and ends tokens.
///
/// # Errors
/// When the database cannot be asked, or there is no such token.
pub async fn tokens(server: Server, act: cli::token::Act) -> anyhow::Result<String> {
    use cli::token::{Act, Scope};
    let (pool, clock) = (super::attach(&server).await?, Clock::system());
    Ok(match act {
        Act::Create { name, scope, expires } => {
            let one = |scope| {
                Ok(match scope {
                    Scope::Read => web::token::Scope::Read,
                    Scope::Operate => web::token::Scope::Operate,
                    Scope::Audit => web::token::Scope::Audit,
                    Scope::Agent(cluster) => match server.clusters.get(&cluster).map(|found| &found.reach) {
                        Some(Some(Reach::Agent)) => web::token::Scope::Agent(cluster),
                        _ => bail!(
                            "the server's file has no `[cluster.{cluster}]` with `agent = true`: write that first"
                        ),
                    },
                })
            };
            let scopes: Vec<_> = scope.into_iter().map(one).collect::<anyhow::Result<_>>()?;
            web::token::create(&pool, &clock, &name, &scopes, expires).await? + "\n"
        }
        Act::List { output } => {
            let tokens = web::token::list(&pool).await?.into_iter().map(|token| {
                json!({ "name": token.name, "person": null, "scopes": token.scopes,
                    "created": token.created_at, "expires": token.expires_at, "revoked": token.revoked_at })
            });
            let people = web::session::of_command_lines(&pool).await?.into_iter().map(|session| {
                let person = session.person;
                json!({ "name": session.id, "person": format!("{}/{}", person.forge, person.login),
                    "scopes": [], "created": session.created_at, "expires": session.expires_at, "revoked": null })
            });
            let rows: Vec<_> = tokens.chain(people).collect();
            let columns = [
                ("NAME", "/name"),
                ("PERSON", "/person"),
                ("SCOPES", "/scopes"),
                ("CREATED", "/created"),
                ("EXPIRES", "/expires"),
                ("REVOKED", "/revoked"),
            ];
            table::show(output, &columns, &rows).text
        }
        Act::Revoke { name } => {
            let is_person = match name.parse() {
                Ok(id) => web::session::revoke(&pool, &clock, id).await?,
                Err(_) => false,
            };
            if !is_person {
                web::token::revoke(&pool, &clock, &name).await?;
            }
            format!("token {name} is revoked\n")
        }
    })
}

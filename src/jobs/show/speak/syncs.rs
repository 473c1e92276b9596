//! `sync`: what is answered.

use super::may::Permitted;
use crate::db::{deployments, freezes, pins};
use crate::event::command::Selector;
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;

/// What a sync that somebody asks for will come to, as far as it can be said before the gate is judged.
pub(super) async fn answer(
    repository: &Repository<'_>,
    selector: &Selector,
    may: &Permitted,
) -> Result<String, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let mut sentences = Vec::new();
    for (name, is_left_to_some) in &may.refused {
        let whom = if *is_left_to_some { "those whom its `may` names" } else { "somebody with write access" };
        sentences.push(format!("{name}: a sync is started by {whom}"));
    }
    let freezes = freezes::all(&mut conn, repository.context.clock.now()).await?;
    for environment in &may.permitted {
        let name = &environment.name;
        if let Some(freeze) = freezes::longest(&freezes, Some(environment.id)) {
            sentences.push(format!("{name} is {}", freeze.sentence()));
            continue;
        }
        let last = deployments::list(&mut conn, environment.id, None, 1).await?.pop();
        if let Some(pin) = pins::standing(&mut conn, environment.id).await? {
            let sentence = pin.sentence();
            sentences.push(match last.filter(|last| last.ended.is_some() && !last.is_healthy()) {
                Some(last) => {
                    format!("{name} is {sentence}; what #{} should have brought is sent once more", last.new.number)
                }
                None => format!("{name} is {sentence}; `/bascule resume {name}` ends that"),
            });
            continue;
        }
        let tip = repository.forge().branch(&repository.at, &environment.branch).await.map(|branch| branch.tip).ok();
        let at = environment.position.as_ref().map(|at| &at.commit);
        sentences.push(match last {
            Some(last) if last.ended.is_none() => format!("{name}: #{} is running", last.new.number),
            Some(last) if at == tip.as_ref() && last.is_healthy() => {
                let commit = at.map(|commit| commit.short()).unwrap_or_default();
                format!("{name}: there is nothing to do, #{} is healthy at {commit}", last.new.number)
            }
            Some(last) if at == tip.as_ref() => {
                format!("{name}: what #{} should have brought is sent once more", last.new.number)
            }
            Some(_) | None => format!("{name}: the sync goes as far as the gate lets it"),
        });
    }
    Ok(if sentences.is_empty() { format!("no environment is called {selector}") } else { sentences.join("; ") })
}

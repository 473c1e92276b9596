//! `heal`: what is answered.

use super::may::Permitted;
use crate::db::drift;
use crate::db::freezes;
use crate::event::command::Selector;
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;

/// What will be done, as far as it can be said before everything was looked at.
pub(super) async fn answer(
    repository: &Repository<'_>,
    selector: &Selector,
    may: &Permitted,
) -> Result<String, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let mut sentences = Vec::new();
    for (name, is_left_to_some) in &may.refused {
        let whom =
            if *is_left_to_some { "those whom its `may` names for a sync" } else { "somebody with write access" };
        sentences.push(format!("{name}: what drifted is put right by the word of {whom}"));
    }
    let freezes = freezes::all(&mut conn, repository.context.clock.now()).await?;
    let ids: Vec<i64> = may.permitted.iter().map(|one| one.id).collect();
    let drifted = drift::counts(&mut conn, &ids).await?;
    for environment in &may.permitted {
        let name = &environment.name;
        if let Some(freeze) = freezes::longest(&freezes, Some(environment.id)) {
            sentences.push(format!("{name} is {}", freeze.sentence()));
            continue;
        }
        sentences.push(match drifted.get(&environment.id) {
            Some((1, _)) => format!("{name}: 1 object drifted, and is applied again as it was deployed last"),
            Some((objects, _)) => {
                format!("{name}: {objects} objects drifted, and are applied again as they were deployed last")
            }
            None => format!("{name}: no drift is known; everything is looked at, and put right if there is any"),
        });
    }
    Ok(if sentences.is_empty() { format!("no environment is called {selector}") } else { sentences.join("; ") })
}

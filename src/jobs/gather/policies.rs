//! What the policies in force say of a step from one set to another.

use super::repository::Repository;
use crate::consent::{Court, HashedSet, Said, StandingPolicy};
use crate::db::sets;
use crate::jobs::error::JobError;
use crate::jobs::show::judged::law;
use crate::manifest::RenderedSet;
use crate::policy::rules::Environment;
use crate::render;

/// Asks them; `after` is the environment's block afterwards.
pub(in crate::jobs) async fn said(
    repository: &Repository<'_>,
    standing: &[StandingPolicy],
    after: &Environment,
    old: Option<&RenderedSet>,
    new: &RenderedSet,
) -> Result<Said, JobError> {
    if standing.is_empty() {
        return Ok(Said::default());
    }
    let questions = standing.iter().map(|one| one.question.clone()).collect();
    let opinions = repository.context.renderer.opinions(questions, render::matter(after, old, new)).await?;
    Ok(Said::of(standing, opinions, after))
}

/// Answers what a walk asked for; the walk is then walked again, until it asks for nothing more.
pub(in crate::jobs) async fn ask(
    repository: &Repository<'_>,
    court: &mut Court,
    unasked: Vec<(HashedSet, HashedSet)>,
) -> Result<(), JobError> {
    for (from, to) in unasked {
        let seal = &repository.context.seal;
        let mut conn = repository.context.pool.acquire().await?;
        let old = match from.entry() {
            Some(_) => Some(sets::load_objects(&mut conn, from.clone(), seal).await?),
            None => None,
        };
        let new = sets::load_objects(&mut conn, to.clone(), seal).await?;
        drop(conn);
        let standing = {
            let old = from.entry().map(|_| &from);
            crate::consent::policies_in_force(law(court, old, &to))
        };
        // Its entry is known, or no policy would be in force.
        let after = to.entry().and_then(|entry| court.entries.get(entry)).cloned();
        let said = match after {
            Some(after) => said(repository, &standing, &after, old.as_ref(), &new).await?,
            None => Said::default(),
        };
        court.said.insert((from.entry().map(|_| from.digest()), to.digest()), said);
    }
    Ok(())
}

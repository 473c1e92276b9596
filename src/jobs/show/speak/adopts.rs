//! `adopt`: what is answered, and what is stored with the end of the job. What came of an adoption takes the answer's place.

use serde_json::json;
use sqlx::PgConnection;

use super::may::Permitted;
use crate::audit::{self, NewEntry};
use crate::db::adoptions::{self, Adopting, Adoption};
use crate::event::command::Selector;
use crate::event::of_object::OfObject;
use crate::ids::{EnvironmentName, TraceId};
use crate::jobs::error::JobError;
use crate::jobs::gather::place::{Asked, actor};
use crate::jobs::gather::repository::Repository;
use crate::jobs::route::open_adoption;
use crate::preview::{Answer, Answered};
use crate::queue::NewJob;

/// Between the sentences of an answer.
const BETWEEN: &str = "; ";

/// What commands ask for.
#[derive(Debug, Default)]
pub(super) struct Adoptions(Vec<(Adoption, NewEntry)>);

impl Adoptions {
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(super) async fn record(&self, conn: &mut PgConnection) -> Result<(), JobError> {
        for (new, entry) in &self.0 {
            adoptions::ask(&mut *conn, new).await?;
            audit::append(&mut *conn, entry).await?;
        }
        Ok(())
    }

    /// What opens their pull requests.
    pub(super) fn jobs(&self, repository: &Repository<'_>) -> Vec<NewJob> {
        let key = &repository.row.key;
        self.0.iter().map(|(new, _)| open_adoption(key, new.id, new.trace)).collect()
    }
}

/// What a command asks for: of each environment in which something is known to have drifted.
pub(super) async fn adopting(
    repository: &Repository<'_>,
    asked: &Asked,
    (place, of): (i64, Option<&OfObject>),
    may: &Permitted,
    (cause, trace): (String, TraceId),
) -> Result<Adoptions, JobError> {
    let clock = &repository.context.clock;
    let mut conn = repository.context.pool.acquire().await?;
    let mut all = Vec::new();
    for environment in &may.permitted {
        if adoptions::drifted(&mut conn, environment.id, of).await? == 0 {
            continue;
        }
        let new = Adoption {
            id: clock.new_id(),
            environment: environment.id,
            of: of.cloned(),
            by: actor(&asked.by),
            asked_in: Some((place, asked.id)),
            trace,
            asked_at: clock.now(),
        };
        let entry = NewEntry {
            actor: new.by.clone(),
            action: "adoption.asked",
            subject: format!("{} {}", repository.granted_name(), environment.name),
            detail: json!({ "adoption": new.id, "of": of.map(ToString::to_string), "comment": asked.id }),
            cause: cause.clone(),
            trace,
        };
        all.push((new, entry));
    }
    Ok(Adoptions(all))
}

/// What is answered at once.
pub(super) async fn answer(
    repository: &Repository<'_>,
    (selector, of): (&Selector, Option<&OfObject>),
    may: &Permitted,
) -> Result<String, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let mut sentences = Vec::new();
    for (name, is_left_to_some) in &may.refused {
        let whom =
            if *is_left_to_some { "those whom its `may` names for a sync" } else { "somebody with write access" };
        sentences.push(format!("{name}: what drifted is adopted by the word of {whom}"));
    }
    for environment in &may.permitted {
        let name = &environment.name;
        sentences.push(match (adoptions::drifted(&mut conn, environment.id, of).await?, of) {
            (0, Some(of)) => format!("{name}: no drift of {of} is known; `bascule drift {name}` lists what there is"),
            (0, None) => format!("{name}: no drift is known; `bascule drift {name}` lists what there is"),
            _ => format!("{name}: {}", Adopting::Asked.sentence()),
        });
    }
    Ok(if sentences.is_empty() { format!("no environment is called {selector}") } else { sentences.join(BETWEEN) })
}

/// Answers to adoptions say what came of them.
pub(super) async fn told(repository: &Repository<'_>, place: i64, answers: &mut [Answer]) -> Result<(), JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let all = adoptions::asked_in(&mut conn, repository.row.id, place).await?;
    for answer in answers {
        let Answered::Said { sentence } = &mut answer.answered else { continue };
        for (name, came) in all.get(&answer.asked).into_iter().flatten() {
            *sentence = with(sentence, name, came);
        }
    }
    Ok(())
}

/// An answer in which what came of an environment's adoption stands where it was said that it is being made. A whole sentence is
/// compared: one name may end as another does.
fn with(answer: &str, name: &EnvironmentName, came: &Adopting) -> String {
    let asked = format!("{name}: {}", Adopting::Asked.sentence());
    let said = format!("{name}: {}", came.sentence());
    let sentences: Vec<&str> =
        answer.split(BETWEEN).map(|one| if one == asked { said.as_str() } else { one }).collect();
    sentences.join(BETWEEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_one_environment_is_not_said_of_another_whose_name_ends_so() {
        let name = |name: &str| name.parse::<EnvironmentName>().unwrap();
        let asked = Adopting::Asked.sentence();
        let answer = format!("us-prod: {asked}; prod: {asked}; qa: no drift is known");
        let came = Adopting::By(7, "#7".to_owned());
        let first = with(&answer, &name("prod"), &came);
        assert_eq!(first, format!("us-prod: {asked}; prod: {}; qa: no drift is known", came.sentence()));
        let not = Adopting::Not("nothing of it has drifted; ask again".to_owned());
        let both = with(&first, &name("us-prod"), &not);
        assert_eq!(both, format!("us-prod: {}; prod: {}; qa: no drift is known", not.sentence(), came.sentence()));
    }
}

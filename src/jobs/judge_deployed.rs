//! What the floors' policies say of what is deployed: on a schedule, from the stored set, and reported only. Nothing is held,
//! synced or written on a forge for it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::error::JobError;
use super::step::Step;
use super::work;
use crate::audit::{self, NewEntry};
use crate::db::deployed::{self, Verdict};
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::db::{deployments, repositories, sets};
use crate::ids::SetDigest;
use crate::policy::code::Question;
use crate::preview::{PolicyRemark, Ruling};
use crate::queue::{self, Claimed};
use crate::render;

/// Findings the log has of one environment; the others are counted.
const LOGGED: usize = 20;

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    environment: i64,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed) -> Result<(), JobError> {
    // Gather.
    let Ids { environment: id } = work::ids(job)?;
    let mut conn = context.pool.acquire().await?;
    let Some(environment) = environments::get(&mut conn, id).await? else { return work::finish(context, job).await };
    let Some(repository) = repositories::get(&mut conn, environment.repository).await? else {
        return work::finish(context, job).await;
    };
    let known = deployed::get(&mut conn, id).await?;
    drop(conn);
    let questions = questions(context, &environment);
    let found = said(context, &environment, questions, known.as_ref()).await?;
    let judged_at = context.clock.now();
    let now = found.map(|(set, policies, remarks)| Verdict { set, policies, remarks, judged_at });

    // Decide: whether it is news.
    let remarks = |verdict: &Option<Verdict>| verdict.as_ref().map(|one| one.remarks.clone()).unwrap_or_default();
    let (before, after) = (remarks(&known), remarks(&now));

    // Record.
    let mut tx = context.pool.begin().await?;
    match &now {
        Some(verdict) => deployed::put(&mut tx, id, verdict).await?,
        None => deployed::forget(&mut tx, id).await?,
    }
    if before != after {
        let lines: Vec<String> = after.iter().take(LOGGED).map(PolicyRemark::line).collect();
        let denies = after.iter().filter(|one| one.ruling == Ruling::Denies).count();
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "deployed.judged",
            subject: format!("{}/{} {}", repository.key.forge, repository.full_name, environment.name),
            detail: json!({
                "set": now.as_ref().map(|one| one.set), "policies": now.as_ref().map(|one| hex::encode(&one.policies)),
                "findings": after.len(), "denies": denies, "says": lines,
            }),
            cause: work::cause(job),
            trace: job.trace,
        };
        audit::append(&mut tx, &entry).await?;
    }
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    context.observer.met(job, Step::Recorded);
    Ok(())
}

/// What the floors under an environment ask of it.
fn questions(context: &Context, environment: &Environment) -> Vec<Question> {
    let floors = context.platform.floors_under(&environment.target.cluster).into_iter();
    floors
        .flat_map(|(floor, rules)| {
            rules.policies.iter().map(move |(name, policy)| policy.question(format!("{floor}/{name}")))
        })
        .collect()
}

type Said = (SetDigest, Vec<u8>, Vec<PolicyRemark>);

/// What they say of what was deployed last, as something that stays as it is; what they said before, of the same content by
/// the same policies. `None`: there is nobody to ask, or nothing to ask about.
///
/// What was deployed last is the newest deployment's content: a rollback leaves the position where it is.
async fn said(
    context: &Context,
    environment: &Environment,
    questions: Vec<Question>,
    known: Option<&Verdict>,
) -> Result<Option<Said>, JobError> {
    let is_there = matches!(environment.state, EnvironmentState::Active | EnvironmentState::Orphaned);
    let Some(position) = environment.position.as_ref().filter(|_| is_there && !questions.is_empty()) else {
        return Ok(None);
    };
    let mut conn = context.pool.acquire().await?;
    let newest = deployments::list(&mut conn, environment.id, None, 1).await?.pop();
    drop(conn);
    let deployed = newest.map_or(position.set, |newest| newest.new.to.set);
    let asked = serde_json::to_vec(&questions).map_err(|error| JobError::Final(error.to_string()))?;
    let policies = Sha256::digest(asked).to_vec();
    if let Some(known) = known.filter(|known| still_says(known, deployed, &policies)) {
        return Ok(Some((known.set, policies, known.remarks.clone())));
    }
    let mut conn = context.pool.acquire().await?;
    let Some(rules) = environments::in_force(&mut conn, environment).await? else { return Ok(None) };
    let set = sets::load(&mut conn, &deployed, &context.seal).await?;
    drop(conn);
    let matter = render::matter(&rules, Some(&set), &set);
    let opinions = context.renderer.opinions(questions, matter).await?;
    let mut remarks = render::remarks(&opinions, &BTreeSet::new());
    remarks.sort();
    Ok(Some((deployed, policies, remarks)))
}

/// Whether a verdict is still what they would say. What could not be asked may be by now: it may have failed by the machine,
/// which was busy.
fn still_says(known: &Verdict, set: SetDigest, policies: &[u8]) -> bool {
    let is_whole = known.remarks.iter().all(|one| one.ruling != Ruling::Broken);
    is_whole && (known.set, known.policies.as_slice()) == (set, policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_kept_for_the_same_question_unless_somebody_could_not_be_asked() {
        let known = |rulings: &[Ruling]| {
            let remark = |ruling: &Ruling| PolicyRemark {
                ruling: *ruling,
                policy: "prod/p".to_owned(),
                object: None,
                message: "x".to_owned(),
                more: 0,
            };
            let remarks = rulings.iter().map(remark).collect();
            Verdict { set: SetDigest([1; 32]), policies: vec![1], remarks, judged_at: jiff::Timestamp::UNIX_EPOCH }
        };
        let still = |rulings: &[Ruling]| still_says(&known(rulings), SetDigest([1; 32]), &[1]);
        assert!(still(&[]) && still(&[Ruling::Denies, Ruling::Warns]));
        assert!(!still(&[Ruling::Denies, Ruling::Broken]));
        assert!(!still_says(&known(&[]), SetDigest([2; 32]), &[1]), "of other content");
        assert!(!still_says(&known(&[]), SetDigest([1; 32]), &[2]), "by other policies");
    }
}

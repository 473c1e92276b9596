//! After a sync that ended well: the deployment runs on until what its rules ask of a Prometheus (`verify`) has held for long
//! enough. Each look is a run of its own, so nobody's slot is taken in between, and what is known is in the database.

use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::audit;
use crate::db::deployments::Deployment;
use crate::db::verifications::{self, Verification};
use crate::db::{environments, repositories, sets};
use crate::ids::{ObjectHash, Target};
use crate::jobs::route::report_in;
use crate::policy::rules::Verify;
use crate::prometheus::{Answer, Fate};
use crate::queue::enqueue_all;
use crate::sync::verify::{Said, Terms, Watched};
use crate::sync::{Outcome, Step, Unverified};

use super::gather::Scene;
use super::record::Subject;
use super::{Interrupted, Ran, Run};

/// Between two looks: what most Prometheuses scrape anew.
const EVERY: Duration = Duration::from_secs(15);
/// A look that something else caused asks again only after this long.
const SOON: SignedDuration = SignedDuration::from_secs(10);

impl Run<'_> {
    /// The sync is over, and the deployment is not.
    pub(super) async fn begin_to_verify(
        &self,
        scene: &Scene,
        intent: i64,
        outcome: &Outcome,
    ) -> Result<(), Interrupted> {
        let new = &scene.deployment.new;
        let detail = json!({
            "deployment": new.number, "state": "verifying", "sentence": outcome.sentence(),
            "queries": scene.verify.len(), "outcome": outcome.without_words_of_programs(),
        });
        let mut tx = self.begin().await?;
        verifications::begin(&mut tx, new.id, outcome, self.world.clock.now()).await?;
        let jobs: Vec<_> =
            new.pulls.iter().map(|number| report_in(scene.subject.repository(), *number, new.trace)).collect();
        enqueue_all(&mut tx, &jobs).await?;
        audit::outcome(&mut tx, intent, &scene.subject.entry("deployment.verifying", detail)).await?;
        tx.commit().await?;
        self.observe(Step::VerifyBegun);
        Ok(())
    }

    /// Whether the sync of a deployment is over, and this is what is left of it.
    pub(super) async fn is_verified(&self, deployment: &Deployment) -> Result<Option<Verification>, Interrupted> {
        let mut conn = self.world.pool.acquire().await?;
        Ok(verifications::of(&mut conn, deployment.new.id).await?)
    }

    /// One look: every query that has not held for long enough yet is asked.
    pub(super) async fn verify(&self, deployment: &Deployment, begun: Verification) -> Result<Ran, Interrupted> {
        if let Some(wait) = begun.asked_at.and_then(|at| too_soon(at, self.world.clock.now())) {
            return Ok(Ran::Waits(wait));
        }
        let new = &deployment.new;
        let mut conn = self.world.pool.acquire().await?;
        let gone = || sqlx::Error::RowNotFound;
        let environment = environments::get(&mut conn, new.environment).await?.ok_or_else(gone)?;
        let repository = repositories::get(&mut conn, environment.repository).await?.ok_or_else(gone)?;
        let subject = Subject::of(deployment, &environment, &repository);
        let mut outcome = begun.outcome;
        let set = match sets::load_hashed(&mut conn, &new.to.set).await {
            Ok(set) => set,
            Err(sets::SetError::Database(error)) => return Err(error.into()),
            Err(error) => {
                outcome.broken = Some(error.to_string());
                return self.record_broken(&subject, outcome).await;
            }
        };
        let digest: Vec<ObjectHash> = set.entry().copied().into_iter().collect();
        let entry = sets::entries(&mut conn, &digest).await?.into_values().next();
        drop(conn);
        let Some(verify) = entry.map(|entry| entry.verify) else {
            outcome.broken = Some("the rules of its set are not stored".to_owned());
            return self.record_broken(&subject, outcome).await;
        };

        let name = format!("{}/{}", repository.key.forge, repository.full_name);
        let before: Vec<Watched> =
            (0..verify.len()).map(|at| begun.watched.get(at).cloned().unwrap_or_default()).collect();
        let asked = verify.iter().zip(&before).map(|(one, watched)| self.ask(&name, &set.target, one, watched));
        let said = tokio::select! {
            said = join_all(asked) => said,
            () = self.lease.stopping() => return Err(Interrupted::Stopping),
        };
        self.observe(Step::VerifyAsked);

        let now = self.world.clock.now();
        let mut watched = Vec::with_capacity(verify.len());
        for ((one, before), said) in verify.iter().zip(&before).zip(said) {
            let (next, failed) = match said {
                None => (before.clone(), None),
                Some(said) => before.with(said, terms(one, begun.began_at), now),
            };
            if let Some(why) = failed {
                let (prometheus, query) = (one.prometheus.to_string(), one.query.clone());
                outcome.unverified.push(Unverified { prometheus, query, why: format!("{why} ({})", asked_for(one)) });
            }
            watched.push(next);
        }
        if !outcome.unverified.is_empty() || watched.iter().all(|one| one.is_met) {
            return self.record_broken(&subject, outcome).await;
        }
        let mut tx = self.begin().await?;
        verifications::remember(&mut tx, new.id, &watched, now).await?;
        tx.commit().await?;
        Ok(Ran::Waits(EVERY))
    }

    /// What is answered to one; nothing where that is known already.
    async fn ask(&self, repository: &str, target: &Target, one: &Verify, watched: &Watched) -> Option<Said> {
        if watched.is_met {
            return None;
        }
        if !self.world.platform.may_ask(repository, target, &one.prometheus) {
            return Some(Said::Unknown(format!("prometheus `{}` is not granted to this repository", one.prometheus)));
        }
        let answered = match self.world.prometheus.named(&one.prometheus) {
            Ok(server) => server.holds(&one.query).await,
            Err(error) => Err(error),
        };
        Some(match answered {
            Ok(Answer::Holds) => Said::Holds,
            Ok(Answer::DoesNot) => Said::DoesNot,
            Err(error) => {
                tracing::info!(
                    key = self.job.key,
                    error = &error as &dyn std::error::Error,
                    "a query of `verify` was not answered"
                );
                match error.fate {
                    Fate::Never => Said::Never(error.to_string()),
                    Fate::Later | Fate::Refused => Said::Unknown(error.to_string()),
                }
            }
        })
    }
}

fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn terms(one: &Verify, began: Timestamp) -> Terms {
    Terms { began, held_for: seconds(one.for_seconds), within: seconds(one.within_seconds) }
}

/// For how long it has to hold, for people.
fn asked_for(one: &Verify) -> String {
    let span = crate::ids::Span::of_seconds;
    format!("it has to hold for {} within {}", span(one.for_seconds), span(one.within_seconds))
}

/// How long it is waited until the next look, when the last one was a moment ago. A clock that went back asks.
fn too_soon(asked: Timestamp, now: Timestamp) -> Option<Duration> {
    let passed = now.duration_since(asked);
    let is_soon = !passed.is_negative() && passed < SOON;
    is_soon.then(|| EVERY.saturating_sub(passed.unsigned_abs()))
}

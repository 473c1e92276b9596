//! The intent before, the outcome after, and everything that follows from it, in one transaction.

use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::audit::{self, NewEntry};
use crate::db::deployments::{self, Deployment};
use crate::db::deploys;
use crate::db::environments::{self, Environment};
use crate::db::holds::{self, Hold};
use crate::db::pins;
use crate::db::repositories::Repository;
use crate::db::rollbacks;
use crate::db::sets::SetError;
use crate::db::verifications;
use crate::ids::{EnvironmentName, ObjectKey, RepositoryKey};
use crate::jobs::roll_back;
use crate::jobs::route::{report_in, sync_environment, tell_applications, tell_deployments};
use crate::manifest::When;
use crate::policy::rules::{self, OnFailure};
use crate::queue::{NewJob, enqueue_all, finish};
use crate::sync::{Action, HoldReason, Outcome, Prune, Relief, State, Step};

use super::gather::Scene;
use super::{Interrupted, Ran, Run};

/// Objects named in one entry of the log; the rest is counted. A set may have five thousand.
const NAMED: usize = 500;

/// What entries and holds are about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    deployment: Deployment,
    environment: i64,
    repository_row: i64,
    name: EnvironmentName,
    repository: RepositoryKey,
    full_name: String,
}

impl Subject {
    pub(super) fn of(deployment: &Deployment, environment: &Environment, repository: &Repository) -> Self {
        Self {
            deployment: deployment.clone(),
            environment: environment.id,
            repository_row: repository.id,
            name: environment.name.clone(),
            repository: repository.key.clone(),
            full_name: repository.full_name.clone(),
        }
    }

    pub(super) fn repository(&self) -> &RepositoryKey {
        &self.repository
    }

    pub(super) fn entry(&self, action: &'static str, detail: Value) -> NewEntry {
        NewEntry {
            actor: "bascule".to_owned(),
            action,
            subject: format!("{}/{} {}", self.repository.forge, self.full_name, self.name),
            detail,
            cause: cause(&self.deployment),
            trace: self.deployment.new.trace,
        }
    }

    pub(super) fn hold(&self, reason: HoldReason, detail: String) -> Hold {
        Hold {
            environment: self.environment,
            reason: reason.as_str().to_owned(),
            detail,
            lifts: reason.lifted_by(&self.name, None, 0),
            change: None,
            shown_in: None,
            awaits: Vec::new(),
            thaws: false,
            wakes: None,
            ahead: None,
        }
    }
}

/// A change that waits for consent goes on waiting while a sync is in trouble: it stays the one to approve.
fn over(hold: Hold, before: Option<Hold>) -> Hold {
    let (change, shown_in) = before.map(|before| (before.change, before.shown_in)).unwrap_or_default();
    Hold { change, shown_in, ..hold }
}

/// The cause of everything a deployment does, the same in every run of it.
pub(super) fn cause(deployment: &Deployment) -> String {
    format!("deployment {}", deployment.new.id)
}

impl Run<'_> {
    /// What is about to be done, object by object, before any of it is.
    pub(super) async fn intend(&self, scene: &Scene) -> Result<i64, Interrupted> {
        let mut sends: Vec<(&str, &ObjectKey)> = Vec::new();
        for (_, object, action) in &scene.plan.actions {
            match action {
                Action::Create => sends.push(("create", &object.key)),
                Action::Update { .. } => sends.push(("update", &object.key)),
                Action::Adopt { .. } => sends.push(("adopt", &object.key)),
                Action::Unchanged { .. } | Action::Blocked(_) => {}
            }
        }
        for when in When::ALL {
            let hooks = self.hooks_of(scene, when).await?;
            sends.extend(hooks.into_iter().map(|(object, _)| ("run", &object.key)));
        }
        for (_, row, verdict) in &scene.plan.prunes {
            if matches!(verdict, Prune::Delete { .. }) {
                sends.push(("delete", &row.key));
            }
        }
        let named: Vec<_> = sends.iter().take(NAMED).map(|(verb, key)| format!("{verb} {key}")).collect();
        let new = &scene.deployment.new;
        let detail = json!({
            "deployment": new.number, "commit": new.to.commit, "set": new.to.set, "change": new.change,
            "cluster": scene.cluster_uid, "fence": self.job.fence,
            "objects": named, "more": sends.len().saturating_sub(NAMED),
        });
        let entry = scene.subject.entry("deployment.sync", detail);
        let mut tx = self.begin().await?;
        let intent = audit::intent(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(intent)
    }

    /// The end of the deployment and of the job.
    pub(super) async fn record(&self, scene: &Scene, intent: i64, outcome: Outcome) -> Result<Ran, Interrupted> {
        self.end(&scene.subject, Some(intent), outcome).await
    }

    /// The end of a deployment whose sync ended before, or could not begin.
    pub(super) async fn record_broken(&self, subject: &Subject, outcome: Outcome) -> Result<Ran, Interrupted> {
        self.end(subject, None, outcome).await
    }

    async fn end(&self, subject: &Subject, intent: Option<i64>, outcome: Outcome) -> Result<Ran, Interrupted> {
        let new = &subject.deployment.new;
        let state = outcome.state();
        let mut tx = self.world.pool.begin().await?;
        if !deployments::finish(&mut tx, new.id, state, &outcome).await? {
            // It was ended behind our back; what is true of the environment now is somebody else's to say.
            return self.overtaken(tx, subject, intent, outcome).await;
        }
        verifications::end(&mut tx, new.id).await?;
        if state == State::Healthy {
            environments::set_healthy(&mut tx, subject.environment, &new.to).await?;
        }
        let environment = environments::get(&mut tx, subject.environment).await?.ok_or(sqlx::Error::RowNotFound)?;
        let rules = match outcome.hold() {
            Some(_) => in_force(&mut tx, &environment).await?,
            None => None,
        };
        let runbook = rules.as_ref().and_then(|rules| rules.runbook.as_deref());
        self.hold_or_lift(&mut tx, subject, &outcome, runbook).await?;
        let mut jobs: Vec<_> =
            new.pulls.iter().map(|number| report_in(&subject.repository, *number, new.trace)).collect();
        if let Some(rollback) = rollbacks::of(&mut tx, &[new.id]).await?.remove(&new.id) {
            jobs.extend(rollback.new.asked_in.map(|(place, _)| report_in(&subject.repository, place, new.trace)));
        }
        if rules.is_some_and(|rules| rules.on_failure == OnFailure::Rollback) {
            let fresh = (self.world.clock.new_id(), self.world.clock.now());
            let whose = (&environment, &subject.repository);
            jobs.extend(roll_back::after_failure(&mut tx, whose, &subject.deployment, &outcome, fresh).await?);
        }
        if !deploys::of(&mut tx, new.id).await?.is_empty() {
            jobs.push(tell_applications(&subject.repository, new.id, new.trace));
        }
        for waiting in self.waiting(&mut tx, subject).await? {
            jobs.push(sync_environment(&subject.repository, waiting, new.trace));
        }
        if new.fence != self.job.fence {
            // This run began with a deployment that was on its way, and judged nothing that came since.
            jobs.push(sync_environment(&subject.repository, subject.environment, new.trace));
        }
        jobs.extend(self.to_tell(subject));
        enqueue_all(&mut tx, &jobs).await?;
        finish(&mut tx, self.job).await?;
        let detail = json!({
            "deployment": new.number, "state": state.as_str(), "sentence": outcome.sentence(),
            "outcome": outcome.without_words_of_programs(),
        });
        // Last before the commit: it locks the head of the log.
        let entry = subject.entry("deployment.ended", detail);
        match intent {
            Some(intent) => audit::outcome(&mut tx, intent, &entry).await?,
            None => audit::append(&mut tx, &entry).await?,
        };
        tx.commit().await?;
        count(&outcome, state);
        self.observe(Step::Recorded);
        Ok(Ran::Recorded(Box::new(outcome)))
    }

    /// The job ends, and the log says what this run did to the cluster.
    async fn overtaken(
        &self,
        mut tx: Transaction<'_, Postgres>,
        subject: &Subject,
        intent: Option<i64>,
        outcome: Outcome,
    ) -> Result<Ran, Interrupted> {
        finish(&mut tx, self.job).await?;
        let detail = json!({
            "deployment": subject.deployment.new.number, "state": "superseded", "sentence": outcome.sentence(),
            "outcome": outcome.without_words_of_programs(),
        });
        let entry = subject.entry("deployment.ended", detail);
        match intent {
            Some(intent) => audit::outcome(&mut tx, intent, &entry).await?,
            None => audit::append(&mut tx, &entry).await?,
        };
        tx.commit().await?;
        self.observe(Step::Recorded);
        Ok(Ran::Recorded(Box::new(outcome)))
    }

    /// A sync that ended well lifts what only a sync can lift; any other hold is somebody else's to lift.
    async fn hold_or_lift(
        &self,
        conn: &mut PgConnection,
        subject: &Subject,
        outcome: &Outcome,
        runbook: Option<&str>,
    ) -> Result<(), Interrupted> {
        let pin = pins::standing(&mut *conn, subject.environment).await?;
        if let Some(reason) = outcome.hold() {
            let before = holds::get(&mut *conn, subject.environment).await?;
            let runbook = runbook.map(|runbook| format!("; runbook: {runbook}")).unwrap_or_default();
            let pinned = pin.map(|pin| format!("; {} is {}", subject.name, pin.sentence())).unwrap_or_default();
            let detail = format!("{}{pinned}{runbook}", outcome.told());
            let hold = over(subject.hold(reason, detail), before.clone());
            holds::put(conn, &hold).await?;
            let detail = json!({ "reason": hold.reason, "detail": outcome.sentence(), "lifts": hold.lifts });
            audit::append(conn, &subject.entry("environment.held", detail)).await?;
            held(&hold, before.as_ref());
            return Ok(());
        }
        if let Some(hold) = holds::get(&mut *conn, subject.environment).await?
            && hold.ends_with(Relief::SyncedWell)
        {
            holds::lift(&mut *conn, subject.environment).await?;
            audit::append(&mut *conn, &subject.entry("hold.lifted", json!({ "reason": hold.reason }))).await?;
        }
        if let Some(pin) = pin {
            // What held it beside the pin is over, and the pin is not.
            let before = holds::get(&mut *conn, subject.environment).await?;
            if before.as_ref().is_none_or(|before| before.ends_with(Relief::SyncedWell)) {
                holds::put(conn, &pin.hold(subject.environment, &subject.name, before)).await?;
            }
        }
        Ok(())
    }

    /// Has the forge's page of deployments told, where there is one.
    fn to_tell(&self, subject: &Subject) -> Option<NewJob> {
        let is_shown = self.world.shown_on.contains(&subject.repository.forge);
        is_shown.then(|| tell_deployments(&subject.repository, subject.deployment.new.trace))
    }

    /// Environments that may wait for this one, whatever became of it.
    async fn waiting(&self, conn: &mut PgConnection, subject: &Subject) -> Result<Vec<i64>, Interrupted> {
        let all = environments::of_repository(conn, subject.repository_row).await?;
        let waits = |other: &Environment| {
            other.block.as_ref().is_some_and(|block| block.after.iter().any(|after| after.environment == subject.name))
        };
        Ok(all.iter().filter(|other| waits(other)).map(|other| other.id).collect())
    }

    /// The intent ends: how far it came before the cluster was away.
    pub(super) async fn close_away(
        &self,
        subject: &Subject,
        intent: i64,
        outcome: &Outcome,
        why: &str,
    ) -> Result<(), Interrupted> {
        let detail = json!({ "deployment": subject.deployment.new.number, "state": "interrupted", "why": why,
            "outcome": outcome.without_words_of_programs() });
        let mut tx = self.begin().await?;
        audit::outcome(&mut tx, intent, &subject.entry("deployment.interrupted", detail)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The deployment stays running; people are told once what it waits for.
    pub(super) async fn away(&self, subject: &Subject, why: String) -> Interrupted {
        match self.tell_away(subject, &why).await {
            Ok(()) => Interrupted::Away(why),
            Err(interrupted) => interrupted,
        }
    }

    async fn tell_away(&self, subject: &Subject, why: &str) -> Result<(), Interrupted> {
        let detail = format!("the cluster cannot be used, and is tried again by itself: {why}");
        let hold = subject.hold(HoldReason::ClusterAway, detail);
        let mut tx = self.begin().await?;
        self.put_once(&mut tx, subject, hold).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A hold of a deployment that goes on running: stored, and told, when it is news.
    pub(super) async fn put_once(
        &self,
        conn: &mut PgConnection,
        subject: &Subject,
        hold: Hold,
    ) -> Result<(), Interrupted> {
        let new = &subject.deployment.new;
        let before = holds::get(&mut *conn, subject.environment).await?;
        let same = |before: &Hold| (&before.reason, &before.detail) == (&hold.reason, &hold.detail);
        if !before.as_ref().is_some_and(same) {
            let entry = subject.entry("environment.held", json!({ "reason": hold.reason, "detail": hold.detail }));
            held(&hold, before.as_ref());
            holds::put(&mut *conn, &over(hold, before)).await?;
            let mut jobs: Vec<_> =
                new.pulls.iter().map(|number| report_in(&subject.repository, *number, new.trace)).collect();
            jobs.extend(self.to_tell(subject));
            enqueue_all(&mut *conn, &jobs).await?;
            audit::append(conn, &entry).await?;
        }
        Ok(())
    }
}

/// The rules in force. What cannot be read back asks for nothing more than a hold.
async fn in_force(
    conn: &mut PgConnection,
    environment: &Environment,
) -> Result<Option<rules::Environment>, Interrupted> {
    match environments::in_force(conn, environment).await {
        Ok(rules) => Ok(rules),
        Err(SetError::Database(error)) => Err(error.into()),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the rules in force cannot be read");
            Ok(None)
        }
    }
}

/// Counts a hold that is news.
fn held(hold: &Hold, before: Option<&Hold>) {
    if before.is_none_or(|before| before.reason != hold.reason) {
        metrics::counter!("bascule_holds_total", "reason" => hold.reason.clone()).increment(1);
    }
}

fn count(outcome: &Outcome, state: State) {
    metrics::counter!("bascule_syncs_total", "state" => state.as_str()).increment(1);
    metrics::counter!("bascule_objects_sent_total").increment(outcome.sent());
    metrics::counter!("bascule_objects_skipped_total").increment(outcome.unchanged);
    metrics::counter!("bascule_objects_deleted_total").increment(outcome.deleted);
}

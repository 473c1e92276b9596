//! `/api/v1/environments`: where each is, what runs there, and what holds it.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asked::{Asked, Named, Page, limit};
use super::deployments::{Deployment, mark};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Read};
use super::{Of, State};
use crate::db::deployed::{self, Verdict};
use crate::db::drift;
use crate::db::environments;
use crate::db::freezes::{self, Freeze};
use crate::db::holds::Ends;
use crate::db::reports::{self, EnvironmentNow, WhichDeployments, WhichEnvironments};
use crate::ids::CommitId;
use crate::preview::PolicyRemark;

/// An environment as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Environment {
    /// Our number.
    id: i64,
    /// `forge/owner/name`.
    repository: String,
    /// Its name.
    name: String,
    /// Its stage.
    stage: Option<String>,
    /// The configured cluster.
    cluster: String,
    /// The namespace of objects that name none.
    namespace: String,
    /// `active`, `orphaned` or `forgotten`.
    state: String,
    /// The branch it follows.
    branch: String,
    /// The newest commit a sync was started for.
    commit: Option<String>,
    /// When that was.
    commit_at: Option<String>,
    /// The newest commit seen healthy.
    healthy_commit: Option<String>,
    /// Its newest deployment's number.
    deployment: Option<i64>,
    /// Its newest deployment's state.
    deployment_state: Option<String>,
    /// `true`: its sync ended well, and it runs on until what `verify` asks for has held.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    verifying: bool,
    /// How many objects we applied to it that are not confirmed gone.
    objects: i64,
    /// What holds it back.
    hold: Option<Hold>,
    /// What the platform's policies say of what is deployed; absent where none is asked. Nothing is done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<Policies>,
    /// What is not in the cluster as it was left; absent: nothing that is known of.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Drift>,
    /// The freeze that stands: nothing new is synced.
    frozen: Option<Frozen>,
    /// Where it is written what to do when it fails: a file of the repository, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<String>,
    /// Of the commit that was asked about: whether a sync to it, or to a newer one of the same branch, was started (or none
    /// was needed). Known for thirty days.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed: Option<bool>,
}

/// What holds an environment back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Hold {
    /// One word.
    reason: String,
    /// What is missing and who can give it.
    detail: String,
    /// The one command that lifts it.
    lifts: String,
    /// What may end it: `itself`, a `check` that failed and may be run again, or a `person` alone.
    ends: String,
}

/// What the platform's policies say of what is deployed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Policies {
    /// A line for each finding; empty when all is well.
    says: Vec<String>,
    /// When they were asked last.
    judged_at: String,
}

impl From<&Verdict> for Policies {
    fn from(verdict: &Verdict) -> Self {
        let says = verdict.remarks.iter().map(PolicyRemark::line).collect();
        Self { says, judged_at: verdict.judged_at.to_string() }
    }
}

/// What is not in the cluster as it was left; `/api/v1/drift` has the objects.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Drift {
    /// How many objects.
    objects: i64,
    /// Since when the first of them.
    since: String,
}

/// A freeze that stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Frozen {
    /// Who began it.
    by: String,
    /// Why.
    reason: String,
    /// When it ends by itself; `null`: when somebody says so.
    until: Option<String>,
    /// Whether it is of everything this server deploys.
    everything: bool,
}

impl From<Freeze> for Frozen {
    fn from(freeze: Freeze) -> Self {
        let until = freeze.until.map(|until| until.to_string());
        Self { by: freeze.by, reason: freeze.reason, until, everything: freeze.environment.is_none() }
    }
}

impl From<EnvironmentNow> for Environment {
    fn from(now: EnvironmentNow) -> Self {
        let hold = now.held.map(|reason| {
            let lifts = now.held_lifts.unwrap_or_default();
            let ends = Ends::of(&reason, &lifts).as_str().to_owned();
            Hold { reason, detail: now.held_detail.unwrap_or_default(), lifts, ends }
        });
        Self {
            id: now.id,
            repository: format!("{}/{}", now.forge, now.repository),
            name: now.name,
            stage: now.stage,
            cluster: now.cluster,
            namespace: now.namespace,
            state: now.state,
            branch: now.branch,
            commit: now.commit,
            commit_at: now.commit_at.map(|at| at.to_string()),
            healthy_commit: now.healthy_commit,
            deployment: now.deployment,
            deployment_state: now.deployment_state,
            verifying: now.is_being_verified,
            objects: now.objects,
            hold,
            policies: None,
            drift: None,
            frozen: None,
            runbook: None,
            passed: None,
        }
    }
}

/// Which environments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The cursor.
    before: Option<i64>,
    /// Environments of a page, at most 200.
    limit: Option<i64>,
    /// Exactly this name.
    name: Option<String>,
    /// `owner/name` or `forge/owner/name`.
    repository: Option<String>,
    /// A whole commit id, to be told of each whether it is there: the field `passed`.
    commit: Option<String>,
}

/// Environments, newest first.
#[utoipa::path(get, path = "/api/v1/environments", tag = "environments", params(Which),
    responses((status = 200, body = Page<Environment>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Environment>>, Problem> {
    let limit = limit(which.limit)?;
    let sight = who.sees(&state, which.repository.as_deref()).await?;
    let commit: Option<CommitId> = which
        .commit
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| Problem::bad("`commit` is no whole commit id"))?;
    let asked = WhichEnvironments {
        id: None,
        name: super::asked::text(which.name.as_deref())?,
        repository: super::asked::text(which.repository.as_deref())?,
        before: which.before,
        readable: sight.ours(),
        commit: commit.as_ref(),
    };
    let mut connection = state.pool.acquire().await?;
    let items = reports::environments(&mut connection, &asked, limit).await?;
    let ids: Vec<i64> = items.iter().map(|now| now.id).collect();
    let verdicts = deployed::of(&mut connection, &ids).await?;
    let drifts = drift::counts(&mut connection, &ids).await?;
    let freezes = freezes::all(&mut connection, state.clock.now()).await?;
    let runbooks = environments::runbooks(&mut connection, &ids).await?;
    let shown = |now: EnvironmentNow| {
        let passed = commit.as_ref().map(|_| now.passed);
        let policies = verdicts.get(&now.id).map(Policies::from);
        let frozen = freezes::longest(&freezes, Some(now.id)).cloned().map(Frozen::from);
        let drift = drifts.get(&now.id).map(|(objects, since)| Drift { objects: *objects, since: since.to_string() });
        let runbook = runbooks.get(&now.id).cloned();
        Environment { passed, policies, drift, frozen, runbook, ..Environment::from(now) }
    };
    let items: Vec<Environment> = items.into_iter().map(shown).collect();
    Ok(Json(Page::of(items, limit, |one: &Environment| one.id.to_string())))
}

/// Which deployments of one environment.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichOfOne {
    /// The cursor.
    before: Option<uuid::Uuid>,
    /// Deployments of a page, at most 200.
    limit: Option<i64>,
}

/// One environment's deployments, newest first.
#[utoipa::path(get, path = "/api/v1/environments/{id}/deployments", tag = "environments",
    params(("id" = i64, Path, description = "The environment's number"), WhichOfOne),
    responses((status = 200, body = Page<Deployment>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn deployments(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    Asked(which): Asked<WhichOfOne>,
) -> Result<Json<Page<Deployment>>, Problem> {
    let limit = limit(which.limit)?;
    let absent = || Problem::absent("environment");
    let repository = environments::repository_of(&mut *state.pool.acquire().await?, id).await?;
    who.may_read(&state, repository.ok_or_else(absent)?, "environment").await?;
    let mut connection = state.pool.acquire().await?;
    let asked = WhichDeployments { environment_id: Some(id), before: which.before, ..WhichDeployments::default() };
    let items = reports::deployments(&mut connection, &asked, limit).await?;
    let mut items: Vec<Deployment> = items.into_iter().map(|one| Deployment::of(one, &state)).collect();
    mark(&mut connection, &mut items).await?;
    Ok(Json(Page::of(items, limit, |one: &Deployment| one.id.to_string())))
}

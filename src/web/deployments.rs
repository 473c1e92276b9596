//! `/api/v1/deployments`, and the two reports over them: who approved what runs, and was it exactly that?

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};

use super::asked::{Asked, Page, limit, moment, text};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Audit, Read, Sight};
use super::{Of, State, place};
use crate::audit;
use crate::db::emergencies;
use crate::db::reports::{self, ApprovalUsed, Only, Proof, WhichDeployments};
use crate::db::rollbacks::{Became, Rollback};

/// One deployment with its proof.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deployment {
    /// Its id.
    pub(super) id: uuid::Uuid,
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    environment: String,
    /// Our number of the environment.
    environment_id: i64,
    /// Its number there.
    number: i64,
    /// Whether it is what the environment was last brought to.
    current: bool,
    /// `running`, `healthy`, `failed`, `conflict` or `superseded`.
    state: String,
    /// The commit it went to.
    commit: String,
    /// The commit it came from.
    from_commit: Option<String>,
    /// The digest of the set that was sent.
    set: String,
    /// The digest of the change that was judged.
    change: String,
    /// The pull requests whose changes it carries.
    pulls: Vec<i64>,
    /// The same as people write them there: `#5`, or `!5`.
    places: Vec<String>,
    /// The approvals it used up, those that did not count too.
    approvals: Vec<Approval>,
    /// Whether what was sent is what was approved.
    answer: Answer,
    /// `true`: two people let it pass as an emergency, past what would have held it.
    #[serde(skip_serializing_if = "Option::is_none")]
    emergency: Option<bool>,
    /// Of a rollback, or of one that sends what it brought once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback: Option<WentBack>,
    /// Objects sent, skipped, deleted; where it failed. Of one that runs: its sync has ended well, and it is being verified.
    #[schema(value_type = Object)]
    outcome: Option<Value>,
    /// From delivery to sync.
    trace: String,
    /// When it started.
    started_at: String,
    /// When it ended.
    finished_at: Option<String>,
}

/// To what a rollback went back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WentBack {
    /// Its id, at `/api/v1/rollbacks/{id}`.
    id: uuid::Uuid,
    /// The number of the deployment that it went back to.
    to: i64,
    /// The number of the one that it took away.
    taken_away: Option<i64>,
    /// Who asked, as the log names them.
    by: String,
    /// Whether nobody asked: a sync failed.
    by_itself: bool,
    /// Why.
    reason: Option<String>,
}

impl From<Rollback> for WentBack {
    fn from(way: Rollback) -> Self {
        let taken_away = match way.became {
            Some(Became::Deployment { taken_away, .. }) => Some(taken_away),
            Some(Became::Refused(_)) | None => None,
        };
        let (id, to) = (way.new.id, way.back_to);
        Self { id, to, taken_away, by: way.new.by, by_itself: way.new.is_by_itself, reason: way.new.reason }
    }
}

/// Whether what was sent is what was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Every approval that counted is of exactly this change.
    Exact,
    /// The approvals are of parts that together are this change: several pull requests, or one with others' changes
    /// beside it. The entry `sync.started` of the log names each part.
    Composed,
    /// An owner approved a held change: nobody saw it in a pull request.
    Held,
    /// Nobody approved, and the rules in force asked for nobody in every case.
    NotAsked,
    /// Nobody approved, and the rules in force ask for somebody in every case: content that was covered before (a
    /// return to what had been approved), or a fault. The entry `sync.started` of the log says which.
    Unapproved,
    /// The same, and two people let it pass as an emergency.
    Emergency,
    /// A rollback, by its own rule: to objects that were consented to before.
    RolledBack,
    /// Nobody approved: what a rollback took away was taken out of the branch, too, by the pull request that the rollback opened,
    /// and that is what it had consented to.
    GivenBack,
    /// Nobody approved, and the rules in force are not stored.
    Unknown,
}

/// One approval that was used up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Approval {
    /// Its id, as in the log.
    id: uuid::Uuid,
    /// `forge/login (number)`.
    person: String,
    /// `review` or `command`.
    source: String,
    /// The pull request, or the issue of ours, which is negative where issues are counted apart.
    pull: i64,
    /// The same as people write it there: `#5`, or `!5`.
    place: String,
    /// The digest of the change they were shown.
    change: String,
    /// Whether that is this deployment's change, to the last object.
    exact: bool,
    /// The policy that it waives: then it is no consent to the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    waives: Option<String>,
    /// The reason given, where one had to be.
    reason: Option<String>,
    /// Why it did not count for this deployment; absent: it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_counted: Option<String>,
    /// When, by the forge.
    at: String,
}

impl Deployment {
    /// As it is shown.
    pub(super) fn of(proof: Proof, state: &State) -> Self {
        let answer = answer(&proof);
        let place = |number: i64| place::written(state, &proof.forge, number);
        let approval = |one: ApprovalUsed| Approval {
            id: one.id,
            person: format!("{}/{} ({})", one.person.forge, one.person.login, one.person.id),
            source: one.source,
            pull: one.pull,
            place: place(one.pull),
            exact: one.change == proof.change,
            change: one.change.to_string(),
            waives: one.waives,
            reason: one.reason,
            not_counted: one.why_not,
            at: one.given_at.to_string(),
        };
        Self {
            id: proof.id,
            repository: format!("{}/{}", proof.forge, proof.repository),
            environment: proof.environment,
            environment_id: proof.environment_id,
            number: proof.number,
            current: proof.current,
            state: proof.state,
            commit: proof.commit,
            from_commit: proof.from_commit,
            set: proof.set.to_string(),
            change: proof.change.to_string(),
            places: proof.pulls.iter().copied().map(place).collect(),
            approvals: proof.approvals.into_iter().map(approval).collect(),
            pulls: proof.pulls,
            answer,
            emergency: None,
            rollback: proof.rollback.map(WentBack::from),
            outcome: proof.outcome,
            trace: proof.trace.to_string(),
            started_at: proof.started_at.to_string(),
            finished_at: proof.finished_at.map(|at| at.to_string()),
        }
    }
}

/// Emergencies that are looked through for one page of deployments: there are days without any.
const MOST_EMERGENCIES: i64 = 1_000;

/// Marks those of a page, newest first, that were let pass as emergencies.
pub(super) async fn mark(conn: &mut PgConnection, page: &mut [Deployment]) -> Result<(), sqlx::Error> {
    let Some(newest) = page.first() else { return Ok(()) };
    let before = uuid::Uuid::from_u128(newest.id.as_u128().saturating_add(1));
    let which = emergencies::Which { before: Some(before), ..emergencies::Which::default() };
    let all = emergencies::list(conn, &which, MOST_EMERGENCIES).await?;
    for one in page.iter_mut().filter(|one| all.iter().any(|known| known.deployment == one.id)) {
        one.emergency = Some(true);
        if one.answer == Answer::Unapproved {
            one.answer = Answer::Emergency;
        }
    }
    Ok(())
}

fn answer(proof: &Proof) -> Answer {
    if proof.rollback.is_some() {
        return Answer::RolledBack;
    }
    let consents = |one: &&ApprovalUsed| one.why_not.is_none() && one.waives.is_none();
    let counted: Vec<&ApprovalUsed> = proof.approvals.iter().filter(consents).collect();
    match (counted.as_slice(), proof.rules) {
        ([], None) => Answer::Unknown,
        ([], Some(0)) => Answer::NotAsked,
        ([], Some(_)) if proof.gives_back => Answer::GivenBack,
        ([], Some(_)) => Answer::Unapproved,
        (given, _) if given.iter().any(|one| one.shown_as == "held") => Answer::Held,
        (given, _) if given.iter().all(|one| one.change == proof.change) => Answer::Exact,
        _ => Answer::Composed,
    }
}

/// Which deployments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The cursor.
    before: Option<uuid::Uuid>,
    /// Deployments of a page, at most 200.
    limit: Option<i64>,
    /// The environment's name.
    environment: Option<String>,
    /// `owner/name` or `forge/owner/name`.
    repository: Option<String>,
    /// Not started before.
    from: Option<String>,
    /// Started before.
    to: Option<String>,
    /// `true`: the newest of each environment only.
    current: Option<bool>,
}

impl Which {
    async fn read(&self, state: &State, only: Only, sight: Option<&Sight>) -> Result<Page<Deployment>, Problem> {
        let limit = limit(self.limit)?;
        let which = WhichDeployments {
            environment_id: None,
            environment: text(self.environment.as_deref())?,
            repository: text(self.repository.as_deref())?,
            from: moment("from", self.from.as_deref())?,
            to: moment("to", self.to.as_deref())?,
            before: self.before,
            only,
            readable: sight.and_then(Sight::ours),
        };
        let mut connection = state.pool.acquire().await?;
        let items = reports::deployments(&mut connection, &which, limit).await?;
        let mut items: Vec<Deployment> = items.into_iter().map(|one| Deployment::of(one, state)).collect();
        mark(&mut connection, &mut items).await?;
        Ok(Page::of(items, limit, |one: &Deployment| one.id.to_string()))
    }

    fn only(&self) -> Only {
        if self.current == Some(true) { Only::Newest } else { Only::All }
    }

    async fn report(
        &self,
        who: &Allowed<Audit>,
        state: &State,
        name: &str,
        only: Only,
    ) -> Result<Json<Page<Deployment>>, Problem> {
        let page = self.read(state, only, None).await?;
        let detail = json!({ "report": name, "environment": self.environment, "repository": self.repository,
            "from": self.from, "to": self.to, "current": self.current, "before": self.before });
        let mut tx = state.pool.begin().await?;
        audit::append(&mut tx, &who.entry("audit.reported", "audit".to_owned(), detail)).await?;
        tx.commit().await?;
        Ok(Json(page))
    }
}

/// Deployments of all environments, newest first.
#[utoipa::path(get, path = "/api/v1/deployments", tag = "deployments", params(Which),
    responses((status = 200, body = Page<Deployment>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Deployment>>, Problem> {
    let sight = who.sees(&state, which.repository.as_deref()).await?;
    Ok(Json(which.read(&state, which.only(), Some(&sight)).await?))
}

/// Who approved what, and was it exactly that? An entry of the log.
#[utoipa::path(get, path = "/api/v1/reports/deployments", tag = "reports", params(Which),
    responses((status = 200, body = Page<Deployment>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn report(
    who: Allowed<Audit>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Deployment>>, Problem> {
    which.report(&who, &state, "deployments", which.only()).await
}

/// Deployments somebody should look at: held changes that were approved, and those nobody approved though the rules ask
/// for somebody in every case. An entry of the log.
#[utoipa::path(get, path = "/api/v1/reports/exceptions", tag = "reports", params(Which),
    responses((status = 200, body = Page<Deployment>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn exceptions(
    who: Allowed<Audit>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Deployment>>, Problem> {
    if which.current.is_some() {
        return Err(Problem::bad("`current` belongs to the report `deployments`"));
    }
    which.report(&who, &state, "exceptions", Only::Exceptions).await
}

//! A pull request, or an issue of ours, as a place where people consent: what was given, revoked and asked there, read
//! from the forge as it is now; and the recording of approvals and voids.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::PgConnection;

mod said;

pub(in crate::jobs) use said::{Asked, Said, Stages, listen};

use super::repository::Repository;
use super::{court, people};
use crate::audit::{self, NewEntry};
use crate::consent::{
    Answer, Approval, Identities, InForce, Look, People, Place, Recorded, State, WhyNot, bind, voids,
};
use crate::db::approvals::{self, Stored};
use crate::db::previews::{self, Preview, ShownChange};
use crate::db::pulls::{self, PullState};
use crate::db::{environments, reverts, sets};
use crate::ids::{Account, ChangeDigest, CommitId, EnvironmentName, ObjectHash, SetDigest, TraceId};
use crate::jobs::error::JobError;
use crate::jobs::route;
use crate::jobs::step::Step;
use crate::policy::rules::{ApprovalSource, Environment, OnPush, Voters};
use crate::queue::{self, Lane};

/// What is stored about a place.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Remembered {
    pub(in crate::jobs) previews: Vec<Preview>,
    pub(in crate::jobs) shown: Vec<ShownChange>,
    pub(in crate::jobs) approvals: Vec<Stored>,
}

/// Reads what is stored about a place.
pub(in crate::jobs) async fn remember(
    conn: &mut PgConnection,
    repository: i64,
    number: i64,
) -> Result<Remembered, sqlx::Error> {
    Ok(Remembered {
        previews: previews::of(conn, repository, number).await?,
        shown: previews::shown_in(conn, repository, number).await?,
        approvals: approvals::given_in(conn, repository, number).await?,
    })
}

impl Remembered {
    /// Every file that a change shown of one environment has.
    fn files(&self, environment: &EnvironmentName) -> BTreeSet<String> {
        let shown = self.shown.iter().filter(|one| one.shown.environment == *environment);
        shown.flat_map(|one| one.files.iter().cloned()).collect()
    }

    /// What was looked at, per environment, oldest first.
    pub(in crate::jobs) fn looks(&self) -> BTreeMap<EnvironmentName, Vec<Look>> {
        let mut looks: BTreeMap<EnvironmentName, Vec<Look>> = BTreeMap::new();
        for preview in &self.previews {
            for (name, change) in &preview.looks {
                let look = Look { head: preview.head.clone(), from: preview.shown_at, change: *change };
                looks.entry(name.clone()).or_default().push(look);
            }
        }
        looks
    }
}

/// Something that was given and is no approval of an environment.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Unbound {
    pub(in crate::jobs) source: (ApprovalSource, i64),
    pub(in crate::jobs) environment: EnvironmentName,
    pub(in crate::jobs) why: WhyNot,
}

/// A recorded approval that is void now.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Voided {
    id: uuid::Uuid,
    environment: EnvironmentName,
    reason: String,
    /// The policy, of a waiver.
    waives: Option<String>,
}

/// What hearing a place came to.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Heard {
    /// New approvals, with the environment each is of.
    pub(in crate::jobs) approvals: Vec<(i64, Approval)>,
    /// Recorded approvals that are void now.
    pub(in crate::jobs) voids: Vec<Voided>,
    /// What bound nothing.
    pub(in crate::jobs) unbound: Vec<Unbound>,
}

/// Binds what was given and finds what is void. Pure; [`record`] stores it.
#[expect(clippy::too_many_arguments, reason = "the facts of one judgement, each from another place")]
pub(in crate::jobs) fn hear(
    said: &Said,
    remembered: &Remembered,
    head: &CommitId,
    stages: &Stages,
    ourselves: &Account,
    identities: &Identities,
    on_push: impl Fn(&EnvironmentName) -> OnPush,
    named: impl Fn(&Account) -> BTreeMap<EnvironmentName, ObjectHash>,
) -> Heard {
    let shown: Vec<_> = remembered.shown.iter().map(|one| one.shown.clone()).collect();
    // By the change and not by the name alone: with another target it is another environment of the same name.
    let id = |approval: &Approval| {
        let same = |one: &&ShownChange| {
            (&one.shown.environment, one.shown.change) == (&approval.key.environment, approval.change)
        };
        remembered.shown.iter().find(same).map(|one| one.environment)
    };
    let recorded: BTreeSet<_> = remembered.approvals.iter().map(|one| one.recorded.approval.key.clone()).collect();
    let (mut approvals, mut unbound) = (Vec::new(), Vec::new());
    for given in said.given(ourselves, stages) {
        for (environment, bound) in bind(&given, &shown, &said.place, &named(&given.person)) {
            match bound {
                Ok(approval) if recorded.contains(&approval.key) => {}
                Ok(approval) => approvals.extend(id(&approval).map(|id| (id, approval))),
                Err(why) => unbound.push(Unbound { source: (given.source, given.source_id), environment, why }),
            }
        }
    }
    let now = said.now(head, remembered.looks(), stages);
    let standing = remembered.approvals.iter().filter(|one| one.recorded.state == State::Stands);
    let voids = standing
        .filter_map(|one| {
            let approval = &one.recorded.approval;
            let environment = approval.key.environment.clone();
            let reason = voids(approval, &now, on_push(&environment), identities)?.to_string();
            let waives = approval.waives.as_ref().map(|denial| denial.policy.clone());
            Some(Voided { id: one.id, environment, reason, waives })
        })
        .collect();
    Heard { approvals, voids, unbound }
}

/// Stores new approvals and voids with their audit entries. Gives whether there was anything.
pub(in crate::jobs) async fn record(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    heard: &Heard,
    cause: &str,
    trace: TraceId,
) -> Result<bool, sqlx::Error> {
    let mut anything = false;
    let subject = |environment: &EnvironmentName| format!("{} {environment}", repository.granted_name());
    for (environment, approval) in &heard.approvals {
        let id = repository.context.clock.new_id();
        if !approvals::record(conn, id, (repository.row.id, *environment), approval).await? {
            continue;
        }
        anything = true;
        let person = &approval.person;
        let entry = NewEntry {
            actor: actor(person),
            action: if approval.waives.is_some() { "waiver.recorded" } else { "approval.recorded" },
            subject: subject(&approval.key.environment),
            detail: with_waiver(
                approval,
                json!({
                    "approval": id, "number": approval.place.number, "base_branch": approval.place.base_branch,
                    "head": approval.head, "change": approval.change, "old_set": approval.old_set, "new_set": approval.new_set,
                    "preview": approval.preview, "person": person, "source": approval.key.source,
                    "source_id": approval.key.source_id, "policy": approval.policy, "deletions": approval.deletions,
                    "reason": approval.reason, "given_at": approval.at,
                }),
            ),
            cause: cause.to_owned(),
            trace,
        };
        audit::append(conn, &entry).await?;
    }
    for Voided { id, environment, reason, waives } in &heard.voids {
        if !approvals::void(conn, *id, reason).await? {
            continue;
        }
        anything = true;
        let (action, detail) = match waives {
            None => ("approval.voided", json!({ "approval": id, "reason": reason })),
            Some(policy) => ("waiver.voided", json!({ "approval": id, "reason": reason, "waives": policy })),
        };
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action,
            subject: subject(environment),
            detail,
            cause: cause.to_owned(),
            trace,
        };
        audit::append(conn, &entry).await?;
    }
    Ok(anything)
}

/// What the log says of an approval; of a waiver also what it waives.
fn with_waiver(approval: &Approval, mut detail: serde_json::Value) -> serde_json::Value {
    if let Some(denial) = &approval.waives {
        detail["waives"] = json!({
            "policy": denial.policy, "text": denial.text, "said": denial.said,
            "denial": denial.digest(&approval.change),
        });
    }
    detail
}

/// A place that was heard: what was said, what is stored after it, and who everybody is.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Attended {
    pub(in crate::jobs) said: Said,
    pub(in crate::jobs) remembered: Remembered,
    pub(in crate::jobs) people: People,
    pub(in crate::jobs) unbound: Vec<Unbound>,
}

impl Attended {
    /// Everything given here for one environment.
    pub(in crate::jobs) fn recorded(&self, environment: &EnvironmentName) -> Vec<Recorded> {
        let of = |one: &&Stored| one.recorded.approval.key.environment == *environment;
        self.remembered.approvals.iter().filter(of).map(|one| one.recorded.clone()).collect()
    }
}

/// Listens to a place, and stores at once what was approved and what is void, whatever becomes of the rest of the job.
pub(in crate::jobs) async fn attend(
    repository: &Repository<'_>,
    place: Place,
    is_pull: bool,
    head: &CommitId,
    cause: &str,
    trace: TraceId,
) -> Result<Attended, JobError> {
    let ourselves = repository.ourselves().await?;
    let said = said::listen(repository, place, is_pull).await?;
    let mut conn = repository.context.pool.acquire().await?;
    let mut remembered = remember(&mut conn, repository.row.id, said.place.number).await?;
    let rules = rules_shown(&mut conn, &remembered).await?;
    drop(conn);
    let voters: BTreeMap<&EnvironmentName, Vec<Voters>> = rules
        .iter()
        .map(|(name, shown)| (name, court::voters(repository, &shown.own, &shown.neighbours, &remembered.files(name))))
        .collect();
    let people = people::people(repository, &said.people(&remembered.approvals), voters.values().flatten()).await;
    let stages = Stages(rules.iter().map(|(name, shown)| (name.clone(), shown.own.stage.clone())).collect());
    let named = |account: &Account| -> BTreeMap<EnvironmentName, ObjectHash> {
        let Some(standing) = people.standings.get(account) else { return BTreeMap::new() };
        let names = |name| voters[name].iter().any(|voters| people.is_one_of(standing, voters) == Answer::Yes);
        rules.iter().filter(|(name, _)| names(*name)).map(|(name, shown)| (name.clone(), shown.entry)).collect()
    };
    let on_push = |name: &EnvironmentName| rules.get(name).map_or(OnPush::Keep, |shown| shown.on_push);
    // Until nothing is new: what was given and taken back before we first looked is void from its beginning, and only
    // what is recorded can be void. Each round records something for ever, so there is a last one.
    let unbound = loop {
        let heard = hear(&said, &remembered, head, &stages, ourselves, &people.identities, on_push, named);
        if heard.approvals.is_empty() && heard.voids.is_empty() {
            break heard.unbound;
        }
        let mut tx = repository.context.pool.begin().await?;
        if is_behind_us(&mut tx, repository, said.place.number, is_pull).await? {
            // Whoever hears it first, the gate it may open has to be judged.
            let gates =
                heard.approvals.iter().map(|(gate, _)| route::sync_environment(&repository.row.key, *gate, trace));
            queue::enqueue_all(&mut tx, &gates.collect::<Vec<_>>()).await?;
        }
        let recorded = record(&mut tx, repository, &heard, cause, trace).await?;
        tx.commit().await?;
        repository.met(Step::ConsentHeard);
        repository.context.bell.ring(Lane::Sync);
        let mut conn = repository.context.pool.acquire().await?;
        remembered.approvals = approvals::given_in(&mut conn, repository.row.id, said.place.number).await?;
        if !recorded {
            break heard.unbound;
        }
    };
    Ok(Attended { said, remembered, people, unbound })
}

/// Whether consent given here can open a gate at once: in an issue of ours, and once a pull request is merged.
async fn is_behind_us(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    number: i64,
    is_pull: bool,
) -> Result<bool, JobError> {
    let pull = pulls::get(conn, repository.row.id, number).await?;
    Ok(!is_pull || pull.is_some_and(|pull| pull.facts.state == PullState::Merged))
}

/// The rules in force for an environment whose change was shown.
struct RulesShown {
    entry: ObjectHash,
    own: Environment,
    /// Of a first set.
    neighbours: Vec<Environment>,
    /// By the rules in force, which are those of what runs: what is shown may begin at rules nobody approved.
    on_push: OnPush,
}

/// By the newest showing of each: the rules of the set it begins from, and of the set itself where it is the first.
async fn rules_shown(
    conn: &mut PgConnection,
    remembered: &Remembered,
) -> Result<BTreeMap<EnvironmentName, RulesShown>, JobError> {
    let newest: BTreeMap<&EnvironmentName, &ShownChange> =
        remembered.shown.iter().map(|one| (&one.shown.environment, one)).collect();
    let begins = |one: &ShownChange| one.shown.old_set.unwrap_or(one.shown.new_set);
    let ids: Vec<i64> = newest.values().map(|one| one.environment).collect();
    let environments = environments::all(conn, &ids).await?;
    let position = |one: &ShownChange| environments.get(&one.environment)?.position.as_ref().map(|at| at.set);
    let sets: BTreeSet<SetDigest> =
        newest.values().flat_map(|one| [Some(begins(one)), position(one)]).flatten().collect();
    let (entries, said) = sets::rules_of(conn, &sets.into_iter().collect::<Vec<_>>()).await?;
    let of_set = |set: &SetDigest| entries.get(set).and_then(|entry| Some((*entry, said.get(entry)?)));
    let mut rules = BTreeMap::new();
    for (name, one) in newest {
        let Some((entry, own)) = of_set(&begins(one)) else { continue };
        let neighbours = match (one.shown.old_set, environments.get(&one.environment)) {
            (None, Some(environment)) => court::neighbours(conn, environment).await?,
            (None, None) | (Some(_), _) => Vec::new(),
        };
        // Where they cannot be read, a push voids.
        let on_push = match position(one) {
            Some(set) => of_set(&set).map_or(InForce::Unreadable, |(_, rules)| InForce::OfSet(rules)).on_push(),
            None => own.consent.on_push,
        };
        rules.insert(name.clone(), RulesShown { entry, own: own.clone(), neighbours, on_push });
    }
    Ok(rules)
}

/// A person, as the log names them.
pub(in crate::jobs) fn actor(account: &Account) -> String {
    format!("{}/{} ({})", account.forge, account.login, account.id)
}

/// The change of an environment to which a rollback has consented that pins it, and whose revert a pull request is (rule 15).
pub(in crate::jobs) async fn given_back(
    repository: &Repository<'_>,
    pull: i64,
    environment: &EnvironmentName,
) -> Result<Option<ChangeDigest>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let revert = reverts::of_pull(&mut conn, repository.row.id, pull).await?;
    Ok(revert.filter(|one| one.is_pinned && one.environment == *environment).map(|one| one.change))
}

/// The account that [`actor`] made this of; `None`: it is no account's, but a token's, or ours.
pub(in crate::jobs) fn whom(actor: &str) -> Option<Account> {
    let (account, id) = actor.strip_suffix(')')?.rsplit_once(" (")?;
    let (forge, login) = account.split_once('/')?;
    Some(Account { forge: forge.parse().ok()?, id: id.parse().ok()?, login: login.to_owned() })
}

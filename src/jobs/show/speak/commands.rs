//! Commands: what each is answered, and what it starts.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::PgConnection;

use super::ANSWERS;
use crate::audit::{self, NewEntry};
use crate::consent::{Answer as Member, Kind, People, Right};
use crate::db::environments::{self, Environment};
use crate::db::holds::{self, Hold};
use crate::db::{approvals, deployments, pulls};
use crate::event::command::{Command, Selector};
use crate::forge::Reaction;
use crate::ids::{Account, CommitId, EnvironmentName};
use crate::jobs::error::JobError;
use crate::jobs::gather::people;
use crate::jobs::gather::place::{Asked, Attended, actor};
use crate::jobs::gather::repository::Repository;
use crate::jobs::route;
use crate::jobs::show::writer::Writer;
use crate::jobs::work;
use crate::policy::rules::{Role, Voters};
use crate::preview::{Answer, Answered, Consent, Deployment, Page};
use crate::queue::{Claimed, NewJob};
use crate::sync::{HoldReason, Relief};

/// Commands that were not answered yet. Who asks for a sync, and could not be asked about, is answered when they can be.
pub(super) async fn new_commands(repository: &Repository<'_>, heard: &Attended) -> Result<Vec<Asked>, JobError> {
    let asked = heard.said.asked(repository.ourselves().await?);
    let ids: Vec<i64> = asked.iter().map(|one| one.id).collect();
    let mut conn = repository.context.pool.acquire().await?;
    let done = approvals::commands_done(&mut conn, repository.row.id, &ids).await?;
    drop(conn);
    let mut open = Vec::new();
    for one in asked.into_iter().filter(|one| !done.contains(&one.id)) {
        let waits = match &one.command {
            Command::Sync { environments } => may_sync(repository, heard, &one, environments).await?.is_unasked,
            _ => false,
        };
        if !waits {
            open.push(one);
        }
    }
    Ok(open)
}

/// What somebody who asks for a sync may.
struct MaySync {
    /// Environments that they may ask it of.
    permitted: Vec<Environment>,
    /// Those that they may not, and whether rules say who may.
    refused: Vec<(EnvironmentName, bool)>,
    /// Whether the forge is asked again about them.
    is_unasked: bool,
}

/// By the rules in force of each environment meant, and by who they are now.
async fn may_sync(
    repository: &Repository<'_>,
    heard: &Attended,
    asked: &Asked,
    selector: &Selector,
) -> Result<MaySync, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let mut rules = Vec::new();
    for environment in meant(&mut conn, repository, selector).await? {
        let whom = environments::in_force(&mut conn, &environment).await?.and_then(|rules| rules.may.sync);
        rules.push((environment, whom));
    }
    drop(conn);
    let mut known = People { standings: BTreeMap::new(), ..heard.people.clone() };
    known.standings.extend(heard.people.standings.get_key_value(&asked.by).map(|(by, one)| (by.clone(), one.clone())));
    let voters: Vec<Voters> = rules.iter().filter_map(|(_, whom)| whom.clone()).collect();
    people::complete(repository, &mut known, &voters).await;
    let mut may = MaySync { permitted: Vec::new(), refused: Vec::new(), is_unasked: false };
    for (environment, whom) in rules {
        let is_left_to_some = whom.is_some();
        match may_ask(&known, &asked.by, whom.as_ref()) {
            Member::Yes => may.permitted.push(environment),
            Member::No => may.refused.push((environment.name, is_left_to_some)),
            Member::Unknown => {
                may.is_unasked |= known.away.is_some();
                may.refused.push((environment.name, is_left_to_some));
            }
        }
    }
    Ok(may)
}

/// Whether somebody may ask for a sync: one of those whom the rules name, else whoever may push. A bot may push; nobody
/// is named who is no person.
fn may_ask(people: &People, by: &Account, whom: Option<&Voters>) -> Member {
    let Some(standing) = people.standings.get(by) else { return Member::No };
    let writers = Voters { roles: [Role::Write].into(), ..Voters::default() };
    match (whom, standing.kind, standing.right) {
        (_, _, Right::Unknown) => Member::Unknown,
        (_, _, Right::None) => Member::No,
        (None, _, Right::Has(_)) => people.is_one_of(standing, &writers),
        (Some(_), Kind::Unknown, Right::Has(_)) => Member::Unknown,
        (Some(_), Kind::Bot | Kind::Inactive, Right::Has(_)) => Member::No,
        (Some(whom), Kind::Person, Right::Has(_)) => people.is_one_of(standing, whom),
    }
}

/// The answers a comment carries: those of before, and to new commands.
pub(in crate::jobs) async fn answers(
    repository: &Repository<'_>,
    heard: &Attended,
    page: &Page,
) -> Result<Vec<Answer>, JobError> {
    let newest = heard.remembered.previews.last();
    let before: Option<Page> = newest.and_then(|newest| serde_json::from_value(newest.page.clone()).ok());
    let mut answers = before.map(|page| page.answers).unwrap_or_default();
    for asked in new_commands(repository, heard).await? {
        // Of a run that died after it had said so and before it could note that it had.
        answers.retain(|one| one.asked != asked.id);
        let answered = match &asked.command {
            Command::Sync { environments } => {
                let may = may_sync(repository, heard, &asked, environments).await?;
                Some(Answered::Said { sentence: sync_answer(repository, environments, &may).await? })
            }
            // A render costs us something, and what it renders is a stranger's.
            Command::Preview if !writes(heard, &asked) && is_of_fork(repository, heard).await? => {
                Some(Answered::Said {
                    sentence: "what comes from a fork is rendered again for somebody with write access".to_owned(),
                })
            }
            _ => answered(heard, page, &asked),
        };
        if let Some(answered) = answered {
            answers.push(Answer { to: asked.by.login.clone(), asked: asked.id, answered });
        }
    }
    Ok(answers.split_off(answers.len().saturating_sub(ANSWERS)))
}

fn writes(heard: &Attended, asked: &Asked) -> bool {
    may_ask(&heard.people, &asked.by, None) == Member::Yes
}

/// Whether what is said here is said of a pull request from a fork.
async fn is_of_fork(repository: &Repository<'_>, heard: &Attended) -> Result<bool, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let pull = pulls::get(&mut conn, repository.row.id, heard.said.place.number).await?;
    Ok(pull.is_some_and(|pull| pull.facts.from_fork))
}

/// Whether somebody with write access saw what this head changes, and then asked for its preview: the cluster is asked about
/// a stranger's objects on their word, and about these alone.
pub(in crate::jobs) async fn lets_in(
    repository: &Repository<'_>,
    heard: &Attended,
    head: &CommitId,
) -> Result<bool, JobError> {
    let shown = heard.remembered.previews.iter().filter(|preview| preview.head == *head);
    let Some(first) = shown.filter_map(|preview| preview.shown_at).min() else { return Ok(false) };
    let asked = heard.said.asked(repository.ourselves().await?);
    let lets = |one: &Asked| matches!(one.command, Command::Preview) && one.at > first && writes(heard, one);
    Ok(asked.iter().any(lets))
}

fn answered(heard: &Attended, page: &Page, asked: &Asked) -> Option<Answered> {
    let sentence = |sentence: &str| Some(Answered::Said { sentence: sentence.to_owned() });
    match &asked.command {
        Command::Help => Some(Answered::Help),
        Command::Explain { environments } => {
            let meant = |name: &EnvironmentName, stage: Option<&str>| {
                environments.as_ref().is_none_or(|selector| selector.matches(name, stage))
            };
            let rows = page.environments.iter().filter(|row| meant(&row.name, row.stage.as_deref()));
            let sentences = rows.map(|row| {
                let consent = match &row.consent {
                    Consent::Asked { missing, .. } if !missing.is_empty() => missing.clone(),
                    Consent::Asked { .. } => format!("{} has its consent", row.name),
                    Consent::NotNeeded => format!("{} needs no approval", row.name),
                    Consent::Closed { why } => format!("{} is closed: {why}", row.name),
                };
                match &row.deployment {
                    // What consent is missing was just said.
                    Deployment::Held { reason, detail, lifts } if *reason == HoldReason::Waiting.as_str() => {
                        format!("{consent}; held ({reason}): {detail}; lifted by: {lifts}")
                    }
                    Deployment::Held { reason, lifts, .. } => {
                        format!("{consent}; held ({reason}), lifted by: {lifts}")
                    }
                    Deployment::AfterMerge { checks, .. } | Deployment::OnCommand { checks } if !checks.is_empty() => {
                        let are = if checks.len() == 1 { "is" } else { "are" };
                        format!("{consent}; once merged it waits until {} {are} green", checks.join(", "))
                    }
                    Deployment::Nothing
                    | Deployment::AfterMerge { .. }
                    | Deployment::OnCommand { .. }
                    | Deployment::Never
                    | Deployment::Local
                    | Deployment::Queued
                    | Deployment::Running { .. }
                    | Deployment::Healthy { .. }
                    | Deployment::Failed { .. } => consent,
                }
            });
            Some(Answered::Explain { sentences: sentences.collect() })
        }
        Command::Approve { .. } => {
            let given = heard.remembered.approvals.iter().map(|one| &one.recorded.approval.key);
            let given = given.filter(|key| (key.source, key.source_id) == asked.source);
            let environments: Vec<EnvironmentName> = given.map(|key| key.environment.clone()).collect();
            let refused = heard.unbound.iter().filter(|one| one.source == asked.source);
            let refused: Vec<String> = refused.map(|one| format!("{}: {}", one.environment, one.why)).collect();
            if environments.is_empty() && refused.is_empty() {
                return sentence("nothing shown here is yours to approve");
            }
            Some(Answered::Approved { environments, refused })
        }
        Command::Revoke { .. } => {
            let own = heard.remembered.approvals.iter().map(|one| &one.recorded);
            let void = own
                .filter(|one| one.approval.person == asked.by && matches!(one.state, crate::consent::State::Void(_)));
            let environments = void.map(|one| one.approval.key.environment.clone()).collect();
            Some(Answered::Revoked { environments })
        }
        Command::Preview => sentence("rendered again"),
        // Answered by what they may.
        Command::Sync { .. } => None,
        Command::NotInThisVersion { word } => sentence(&format!("`{word}` is not in this version")),
        Command::Misunderstood { answer } => sentence(answer),
    }
}

pub(super) async fn react(writer: Writer<'_>, number: i64, asked: &Asked) -> Result<(), JobError> {
    let reaction = match &asked.command {
        Command::Misunderstood { .. } | Command::NotInThisVersion { .. } => Reaction::Confused,
        Command::Help
        | Command::Explain { .. }
        | Command::Preview
        | Command::Approve { .. }
        | Command::Revoke { .. }
        | Command::Sync { .. } => Reaction::Agreed,
    };
    // A review has no comment to react to; the answer is in our comment either way.
    if asked.id > 0
        && let Err(error) = writer.reaction(number, asked.id, reaction).await?
    {
        tracing::debug!(%error, "cannot react to a command");
    }
    Ok(())
}

/// What a command starts beside its answer: committed with the end of the job, once.
#[derive(Debug, Default)]
pub(super) struct Acts {
    entries: Vec<NewEntry>,
    /// Environments whose held change moves on to the newest commit.
    moved_on: Vec<i64>,
    pub(super) jobs: Vec<NewJob>,
}

impl Acts {
    pub(super) fn extend(&mut self, more: Self) {
        self.entries.extend(more.entries);
        self.moved_on.extend(more.moved_on);
        self.jobs.extend(more.jobs);
    }

    /// Stores all but the jobs, which the end of the job enqueues with its own.
    pub(super) async fn record(&self, conn: &mut PgConnection) -> Result<(), JobError> {
        for environment in &self.moved_on {
            // The next judgement fixes the held change anew, and shows it in the same place. A sync in trouble goes on
            // being told.
            if let Some(hold) = holds::get(conn, *environment).await? {
                let shown_in = hold.shown_in.filter(|_| hold.ends_with(Relief::ShownAnew));
                holds::put(conn, &Hold { change: None, shown_in, ..hold }).await?;
            }
        }
        for entry in &self.entries {
            audit::append(conn, entry).await?;
        }
        Ok(())
    }
}

/// What one command starts.
pub(super) async fn acts(
    repository: &Repository<'_>,
    heard: &Attended,
    asked: &Asked,
    job: &Claimed,
) -> Result<Acts, JobError> {
    let key = &repository.row.key;
    let entry = |action, detail| NewEntry {
        actor: actor(&asked.by),
        action,
        subject: repository.place(heard.said.place.number),
        detail,
        cause: work::cause(job),
        trace: job.trace,
    };
    let mut conn = repository.context.pool.acquire().await?;
    let held = holds::shown_in(&mut conn, repository.row.id, heard.said.place.number).await?;
    drop(conn);
    let sync = |ids: &[i64]| ids.iter().map(|id| route::sync_environment(key, *id, job.trace)).collect();
    Ok(match &asked.command {
        Command::Sync { environments } => {
            let may = may_sync(repository, heard, asked, environments).await?;
            let names: Vec<&EnvironmentName> = may.permitted.iter().map(|one| &one.name).collect();
            let detail = json!({ "environments": names, "comment": asked.id });
            Acts {
                entries: if names.is_empty() { Vec::new() } else { vec![entry("sync.asked", detail)] },
                moved_on: Vec::new(),
                jobs: may.permitted.iter().map(|one| route::asked_sync(key, one.id, job.trace)).collect(),
            }
        }
        Command::Preview if !held.is_empty() => Acts {
            entries: vec![entry("hold.moved_on", json!({ "environments": held, "comment": asked.id }))],
            jobs: sync(&held),
            moved_on: held,
        },
        // An approval of a held change opens its gate.
        Command::Approve { .. } => Acts { jobs: sync(&held), ..Acts::default() },
        Command::Help
        | Command::Explain { .. }
        | Command::Preview
        | Command::Revoke { .. }
        | Command::NotInThisVersion { .. }
        | Command::Misunderstood { .. } => Acts::default(),
    })
}

/// The environments a selector means.
async fn meant(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    selector: &Selector,
) -> Result<Vec<Environment>, JobError> {
    let all = environments::of_repository(conn, repository.row.id).await?;
    let stage = |one: &Environment| one.block.as_ref().and_then(|block| block.stage.clone());
    Ok(all.into_iter().filter(|one| selector.matches(&one.name, stage(one).as_deref())).collect())
}

/// What a sync that somebody asks for will come to, as far as it can be said before the gate is judged.
async fn sync_answer(repository: &Repository<'_>, selector: &Selector, may: &MaySync) -> Result<String, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let mut sentences = Vec::new();
    for (name, is_left_to_some) in &may.refused {
        let whom = if *is_left_to_some { "those whom its `may` names" } else { "somebody with write access" };
        sentences.push(format!("{name}: a sync is started by {whom}"));
    }
    for environment in &may.permitted {
        let name = &environment.name;
        let last = deployments::list(&mut conn, environment.id, None, 1).await?.pop();
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

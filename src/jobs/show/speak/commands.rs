//! Commands: what each is answered, and what it starts.

use serde_json::json;
use sqlx::PgConnection;

use super::ANSWERS;
use super::adopts::{self, Adoptions};
use super::emergencies;
use super::explains;
use super::freezes::{self, Freezing};
use super::heals;
use super::may::{Gated, may_give, permitted};
use super::rollbacks::{self, WaysBack};
use super::syncs;
use crate::audit::{self, NewEntry};
use crate::consent::Answer as Member;
use crate::db::emergencies::{self as wanted, Request};
use crate::db::holds::{self, Hold};
use crate::db::{approvals, pulls};
use crate::event::command::Command;
use crate::forge::Reaction;
use crate::ids::{CommitId, EnvironmentName};
use crate::jobs::error::JobError;
use crate::jobs::gather::place::{Asked, Attended, actor};
use crate::jobs::gather::repository::Repository;
use crate::jobs::route;
use crate::jobs::show::writer::Writer;
use crate::jobs::work;
use crate::preview::{Answer, Answered, Page};
use crate::queue::{Claimed, NewJob};
use crate::sync::Relief;

/// Commands that were not answered yet. Whoever gives one that is left to some, and could not be asked about, is
/// answered when they can be.
pub(super) async fn new_commands(repository: &Repository<'_>, heard: &Attended) -> Result<Vec<Asked>, JobError> {
    let asked = heard.said.asked(repository.ourselves().await?);
    let ids: Vec<i64> = asked.iter().map(|one| one.id).collect();
    let mut conn = repository.context.pool.acquire().await?;
    let done = approvals::commands_done(&mut conn, repository.row.id, &ids).await?;
    drop(conn);
    let mut open = Vec::new();
    for one in asked.into_iter().filter(|one| !done.contains(&one.id)) {
        let waits = match Gated::of(&one.command) {
            Some(gated) => permitted(repository, heard, &one, gated).await?.is_unasked,
            None => false,
        };
        if !waits {
            open.push(one);
        }
    }
    Ok(open)
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
                let may = permitted(repository, heard, &asked, (Gated::Sync, environments)).await?;
                Some(Answered::Said { sentence: syncs::answer(repository, environments, &may).await? })
            }
            Command::Heal { environments } => {
                let may = permitted(repository, heard, &asked, (Gated::Sync, environments)).await?;
                Some(Answered::Said { sentence: heals::answer(repository, environments, &may).await? })
            }
            Command::Adopt { environments, of } => {
                let may = permitted(repository, heard, &asked, (Gated::Sync, environments)).await?;
                let sentence = adopts::answer(repository, (environments, of.as_ref()), &may).await?;
                Some(Answered::Said { sentence })
            }
            Command::Freeze { environments, .. } | Command::Unfreeze { environments } => {
                let may = permitted(repository, heard, &asked, (Gated::Freeze, environments)).await?;
                Some(Answered::Said { sentence: freezes::answer(repository, &asked, environments, &may).await? })
            }
            Command::Emergency { environments, .. } => {
                let may = permitted(repository, heard, &asked, (Gated::Emergency, environments)).await?;
                Some(Answered::Said { sentence: emergencies::answer(repository, &asked, environments, &may).await? })
            }
            Command::Rollback { environments, .. } | Command::Resume { environments } => {
                let may = permitted(repository, heard, &asked, (Gated::Rollback, environments)).await?;
                Some(Answered::Said { sentence: rollbacks::answer(repository, &asked, environments, &may).await? })
            }
            // A render costs us something, and what it renders is a stranger's.
            Command::Preview if !writes(heard, &asked) && is_of_fork(repository, heard).await? => {
                Some(Answered::Said {
                    sentence: "what comes from a fork is rendered again for somebody with write access".to_owned(),
                })
            }
            _ => answered(heard, page, &asked, &repository.context.public_url),
        };
        if let Some(answered) = answered {
            answers.push(Answer { to: asked.by.login.clone(), asked: asked.id, answered });
        }
    }
    let mut answers = answers.split_off(answers.len().saturating_sub(ANSWERS));
    rollbacks::told(repository, heard.said.place.number, &mut answers).await?;
    adopts::told(repository, heard.said.place.number, &mut answers).await?;
    Ok(answers)
}

fn writes(heard: &Attended, asked: &Asked) -> bool {
    may_give(&heard.people, &asked.by, None) == Member::Yes
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

fn answered(heard: &Attended, page: &Page, asked: &Asked, public_url: &str) -> Option<Answered> {
    let sentence = |sentence: &str| Some(Answered::Said { sentence: sentence.to_owned() });
    match &asked.command {
        Command::Help => Some(Answered::Help),
        Command::Explain { environments } => Some(explains::answer(page, environments.as_ref(), public_url)),
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
        Command::Waive { policy, .. } => {
            let given = heard.remembered.approvals.iter().map(|one| &one.recorded.approval);
            let given = given.filter(|one| (one.key.source, one.key.source_id) == asked.source);
            let environments: Vec<EnvironmentName> = given.map(|one| one.key.environment.clone()).collect();
            let refused = heard.unbound.iter().filter(|one| one.source == asked.source);
            let refused: Vec<String> = refused.map(|one| format!("{}: {}", one.environment, one.why)).collect();
            if environments.is_empty() && refused.is_empty() {
                return sentence("no policy of that name denies something here that is yours to waive");
            }
            Some(Answered::Waived { policy: policy.clone(), environments, refused })
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
        Command::Sync { .. }
        | Command::Heal { .. }
        | Command::Adopt { .. }
        | Command::Freeze { .. }
        | Command::Unfreeze { .. }
        | Command::Emergency { .. }
        | Command::Rollback { .. }
        | Command::Resume { .. } => None,
        Command::Reviewed { .. } => sentence("an emergency is reviewed in its own issue"),
        Command::Misunderstood { answer } => sentence(answer),
    }
}

pub(super) async fn react(writer: Writer<'_>, number: i64, asked: &Asked) -> Result<(), JobError> {
    let reaction = match &asked.command {
        Command::Misunderstood { .. } => Reaction::Confused,
        Command::Help
        | Command::Explain { .. }
        | Command::Preview
        | Command::Approve { .. }
        | Command::Waive { .. }
        | Command::Revoke { .. }
        | Command::Sync { .. }
        | Command::Heal { .. }
        | Command::Adopt { .. }
        | Command::Freeze { .. }
        | Command::Unfreeze { .. }
        | Command::Emergency { .. }
        | Command::Reviewed { .. }
        | Command::Rollback { .. }
        | Command::Resume { .. } => Reaction::Agreed,
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
    freezing: Freezing,
    /// What is asked to pass, as an emergency.
    requests: Vec<Request>,
    ways_back: WaysBack,
    adoptions: Adoptions,
    pub(super) jobs: Vec<NewJob>,
}

impl Acts {
    pub(super) fn extend(&mut self, more: Self) {
        self.entries.extend(more.entries);
        self.moved_on.extend(more.moved_on);
        self.freezing.extend(more.freezing);
        self.requests.extend(more.requests);
        self.ways_back.extend(more.ways_back);
        self.adoptions.extend(more.adoptions);
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
        self.freezing.record(conn).await?;
        for request in &self.requests {
            wanted::ask(conn, request).await?;
        }
        self.ways_back.record(conn).await?;
        self.adoptions.record(conn).await?;
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
            let may = permitted(repository, heard, asked, (Gated::Sync, environments)).await?;
            let names: Vec<&EnvironmentName> = may.permitted.iter().map(|one| &one.name).collect();
            let detail = json!({ "environments": names, "comment": asked.id });
            Acts {
                entries: if names.is_empty() { Vec::new() } else { vec![entry("sync.asked", detail)] },
                jobs: may.permitted.iter().map(|one| route::asked_sync(key, one.id, job.trace)).collect(),
                ..Acts::default()
            }
        }
        Command::Heal { environments } => {
            let may = permitted(repository, heard, asked, (Gated::Sync, environments)).await?;
            let names: Vec<&EnvironmentName> = may.permitted.iter().map(|one| &one.name).collect();
            let detail = json!({ "environments": names, "comment": asked.id });
            Acts {
                entries: if names.is_empty() { Vec::new() } else { vec![entry("heal.asked", detail)] },
                jobs: may.permitted.iter().map(|one| route::asked_heal(key, one.id, job.trace)).collect(),
                ..Acts::default()
            }
        }
        Command::Adopt { environments, of } => {
            let may = permitted(repository, heard, asked, (Gated::Sync, environments)).await?;
            let meant = (heard.said.place.number, of.as_ref());
            let adoptions = adopts::adopting(repository, asked, meant, &may, (work::cause(job), job.trace)).await?;
            Acts { jobs: adoptions.jobs(repository), adoptions, ..Acts::default() }
        }
        Command::Preview if !held.is_empty() => Acts {
            entries: vec![entry("hold.moved_on", json!({ "environments": held, "comment": asked.id }))],
            jobs: sync(&held),
            moved_on: held,
            ..Acts::default()
        },
        Command::Freeze { environments, .. } | Command::Unfreeze { environments } => {
            let may = permitted(repository, heard, asked, (Gated::Freeze, environments)).await?;
            let freezing = freezes::freezing(&repository.context.clock, asked, &may);
            let names: Vec<&EnvironmentName> = may.permitted.iter().map(|one| &one.name).collect();
            let said = freezing.said(json!(names), asked.id).map(|(action, detail)| entry(action, detail));
            let ended: Vec<i64> = freezing.ended().collect();
            Acts { freezing: freezing.logged_as(said), jobs: sync(&ended), ..Acts::default() }
        }
        Command::Emergency { environments, .. } => {
            let may = permitted(repository, heard, asked, (Gated::Emergency, environments)).await?;
            let requests = emergencies::asking(repository, asked, &may).await?.requests;
            let of = |one: &Request| {
                let name = may.permitted.iter().find(|known| known.id == one.environment).map(|known| &known.name);
                json!({ "environment": name, "request": one.id, "change": one.aim.change, "to": one.aim.to_commit,
                    "set": one.aim.to_set, "reason": one.reason, "comment": asked.id })
            };
            let gates: Vec<i64> = requests.iter().map(|one| one.environment).collect();
            let entries = requests.iter().map(|one| entry("emergency.asked", of(one))).collect();
            Acts { entries, requests, jobs: sync(&gates), ..Acts::default() }
        }
        Command::Rollback { environments, .. } | Command::Resume { environments } => {
            let may = permitted(repository, heard, asked, (Gated::Rollback, environments)).await?;
            let cause = (work::cause(job), job.trace);
            let number = heard.said.place.number;
            let ways_back = rollbacks::ways_back(repository, asked, number, &may, cause).await?;
            let next = |(id, is_asked): (i64, bool)| {
                if is_asked {
                    route::asked_sync(key, id, job.trace)
                } else {
                    route::sync_environment(key, id, job.trace)
                }
            };
            Acts { jobs: ways_back.moved().map(next).collect(), ways_back, ..Acts::default() }
        }
        // An approval of a held change opens its gate, and so may a waiver.
        Command::Approve { .. } | Command::Waive { .. } => Acts { jobs: sync(&held), ..Acts::default() },
        Command::Help
        | Command::Explain { .. }
        | Command::Preview
        | Command::Revoke { .. }
        | Command::Reviewed { .. }
        | Command::Misunderstood { .. } => Acts::default(),
    })
}

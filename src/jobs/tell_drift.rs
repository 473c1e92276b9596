//! Drift in issues: where an environment's rules say so, what is not in the cluster as it was left is told in one issue, which is
//! kept up to date, and closed when it was calm for as long as somebody who fights back is remembered. Whoever closes it before
//! knows of what it tells, and is not told again until all of that is over.

use serde::Deserialize;

use super::context::Context;
use super::error::JobError;
use super::gather::repository::{self, Repository};
use super::show::writer::Writer;
use super::work;
use crate::db::drift::{self, Drifted, Which};
use crate::db::drift_issues::{self, DriftIssue};
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::forge::Issue;
use crate::ids::{ForgeName, RepositoryKey};
use crate::preview::{DriftTold, drift_issue, drift_over, is_drift_issue};
use crate::queue::{Claimed, Lease};
use crate::sync::drift::{CALM, What};

/// Objects told of by name; the rest is counted. A comment of every forge has room for them.
const NAMED: usize = 50;

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let Some(repository) = repository::granted(context, &key, job).await? else {
        return work::finish(context, job).await;
    };
    let mut conn = context.pool.acquire().await?;
    let due = drift_issues::due(&mut conn, repository.row.id, None, context.clock.now()).await?;
    drop(conn);
    let mut first = None;
    for one in due {
        match work::boxed(tell(&repository, &one, lease)).await {
            Ok(()) => {}
            // What is so of the others, too.
            Err(error @ (JobError::Lost(_) | JobError::NoRoom { .. })) => return Err(error),
            // One that cannot be told keeps nobody from hearing of the others.
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    match first {
        Some(error) => Err(error),
        None => work::finish(context, job).await,
    }
}

async fn tell(repository: &Repository<'_>, one: &DriftIssue, lease: &Lease) -> Result<(), JobError> {
    let (writer, context) = (Writer::new(repository, lease), repository.context);
    let mut conn = context.pool.acquire().await?;
    let Some(environment) = environments::get(&mut conn, one.environment).await? else { return Ok(()) };
    let is_followed = matches!(environment.state, EnvironmentState::Active | EnvironmentState::Orphaned);
    let tells =
        is_followed && environments::in_force(&mut conn, &environment).await?.is_some_and(|rules| rules.drift_issue);
    let of = Which { environment: Some(environment.id), ..Which::default() };
    let drifted = if tells { drift::list(&mut conn, &of, i64::MAX).await? } else { Vec::new() };
    drop(conn);

    // Names of environments come again, and an account may serve two installations.
    let whose = format!("{}/{}", context.installation, environment.id);
    let known = known(repository, one.issue, &whose).await?;
    if drifted.is_empty() {
        return calm(writer, repository, (one, &environment, &whose), known, tells).await;
    }
    let told: Vec<DriftTold<'_>> = drifted.iter().take(NAMED).map(told).collect();
    let more = drifted.len() - told.len();
    let cluster = environment.target.cluster.as_str();
    let (title, body) = drift_issue(&environment.name, cluster, &whose, &told, more);
    let number = match known {
        Some(issue) => {
            says(writer, &issue, &title, &body).await?;
            issue.number
        }
        None => writer.issue(environment.name.as_str(), &title, &body).await??.number,
    };
    let mut conn = context.pool.acquire().await?;
    Ok(drift_issues::told(&mut conn, environment.id, number, &one.now, None).await?)
}

fn told(one: &Drifted) -> DriftTold<'_> {
    let is_secret = one.key.group.is_empty() && one.key.kind == "Secret";
    DriftTold {
        object: one.key.to_string(),
        what: one.drift.what.as_str(),
        fields: &one.drift.fields,
        by: &one.drift.by,
        detail: one.drift.detail.as_deref(),
        since: one.since,
        trouble: one.trouble.as_deref(),
        can_be_healed: one.drift.what.can_be_healed(),
        can_be_adopted: one.drift.what == What::Changed && !is_secret,
    }
}

/// Nothing drifts, or nobody is to be told of it any more.
async fn calm(
    writer: Writer<'_>,
    repository: &Repository<'_>,
    (one, environment, whose): (&DriftIssue, &Environment, &str),
    known: Option<Issue>,
    tells: bool,
) -> Result<(), JobError> {
    let context = repository.context;
    let now = context.clock.now();
    let since = one.calm_since.unwrap_or(now);
    let Some(issue) = known.filter(|issue| issue.is_open) else {
        return Ok(drift_issues::end(&mut *context.pool.acquire().await?, environment.id).await?);
    };
    if tells {
        let (title, body) = drift_over(&environment.name, whose, since);
        says(writer, &issue, &title, &body).await?;
    }
    let mut is_over = !tells;
    is_over |= since.checked_add(CALM).is_ok_and(|over| over <= now);
    if is_over {
        let issue = repository.forge().issue(&repository.at, issue.number).await?;
        writer.end_issue(&issue).await??;
        return Ok(drift_issues::end(&mut *context.pool.acquire().await?, environment.id).await?);
    }
    let mut conn = context.pool.acquire().await?;
    Ok(drift_issues::told(&mut conn, environment.id, issue.number, "", Some(since)).await?)
}

/// The issue, wherever it is known from: a worker that opened one may have died before it could store its number.
async fn known(repository: &Repository<'_>, number: Option<i64>, whose: &str) -> Result<Option<Issue>, JobError> {
    let (forge, at) = (repository.forge(), &repository.at);
    if let Some(number) = number {
        return match forge.issue(at, number).await {
            Ok(issue) => Ok(Some(issue)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    let ourselves = repository.ourselves().await?;
    let ours = forge.open_issues_of(at, &ourselves.login).await?;
    let is_it = |issue: &Issue| issue.author.as_ref() == Some(ourselves) && is_drift_issue(&issue.body, whose);
    Ok(ours.into_iter().find(is_it))
}

/// Has an open issue say this, once.
async fn says(writer: Writer<'_>, issue: &Issue, title: &str, body: &str) -> Result<(), JobError> {
    if !issue.is_open || (issue.title == title && issue.body.trim() == body.trim()) {
        return Ok(());
    }
    let new = Issue { title: title.to_owned(), body: body.to_owned(), ..issue.clone() };
    writer.issue_text(&new).await??;
    Ok(())
}

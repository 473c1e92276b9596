//! Which jobs an event causes, and how each job is keyed. Deliveries and sweeps enqueue through the same functions.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::event::Event;
use crate::ids::{ForgeName, RepositoryKey, TraceId};
use crate::queue::{Lane, NewJob};

/// The jobs an event causes.
pub fn route(repository: &RepositoryKey, event: &Event, trace: TraceId) -> Vec<NewJob> {
    match event {
        Event::PullChanged { number, .. }
        | Event::ReviewChanged { number }
        | Event::ReviewEdited { number, .. }
        | Event::CommentCreated { number, .. }
        | Event::CommentEdited { number, .. } => vec![attend_pull(repository, *number, trace)],
        // The sweep knows which open pull requests have that head.
        Event::LookAsked { numbers, .. } if numbers.is_empty() => vec![sweep_repository(repository, trace)],
        Event::LookAsked { numbers, .. } => {
            numbers.iter().map(|number| attend_pull(repository, *number, trace)).collect()
        }
        // There may be something to sync, which never waits for previews.
        Event::Pushed { branch, .. } => {
            vec![NewJob { lane: Lane::Sync, ..follow_branch(repository, branch, trace) }]
        }
        Event::GroupFormed { branch } => vec![attend_group(repository, branch, trace)],
        Event::ChecksChanged => vec![look_at_checks(repository, trace)],
        Event::RepositoryChanged => vec![sweep_repository(repository, trace)],
        Event::InstallationChanged | Event::Ping | Event::Ignored { .. } => Vec::new(),
    }
}

/// Those an event causes that is about no single repository.
pub fn route_forge(forge: &ForgeName, event: &Event, trace: TraceId) -> Option<NewJob> {
    (*event == Event::InstallationChanged).then(|| sweep_installations(forge, trace))
}

/// Looks at a pull request, or at an issue of ours.
pub fn attend_pull(repository: &RepositoryKey, number: i64, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id, "number": number });
    // Where issues are counted apart, ours are negative: nobody reads that in a key.
    let share = share(repository);
    let key = if number < 0 { format!("{share} issue {}", number.unsigned_abs()) } else { format!("{share}#{number}") };
    job("attend_pull", key, Lane::Default, repository, payload, trace)
}

/// The same, to say what became of a sync: that never waits for previews.
pub(super) fn report_in(repository: &RepositoryKey, number: i64, trace: TraceId) -> NewJob {
    NewJob { lane: Lane::Sync, ..attend_pull(repository, number, trace) }
}

/// Answers a merge queue that asks about this branch of its own.
pub(super) fn attend_group(repository: &RepositoryKey, branch: &str, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id, "branch": branch });
    job("attend_group", format!("{}@{branch}", share(repository)), Lane::Default, repository, payload, trace)
}

/// Looks at a branch.
pub fn follow_branch(repository: &RepositoryKey, branch: &str, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id, "branch": branch });
    job("follow_branch", format!("{}@{branch}", share(repository)), Lane::Default, repository, payload, trace)
}

/// Brings an environment (our number) to its newest covered content.
pub fn sync_environment(repository: &RepositoryKey, environment: i64, trace: TraceId) -> NewJob {
    let payload = json!({ "environment": environment, "gate": true });
    job("sync_environment", environment.to_string(), Lane::Sync, repository, payload, trace)
}

/// The same, because somebody with write access asked for it: an environment of mode `manual` goes on.
pub fn asked_sync(repository: &RepositoryKey, environment: i64, trace: TraceId) -> NewJob {
    let mut job = sync_environment(repository, environment, trace);
    job.payload = json!({ "environment": environment, "gate": true, "asked": true });
    job
}

/// Looks at what a watch found in an environment (our number), and no further: whoever runs it is the only one who touches it.
pub fn look_at_drift(repository: &RepositoryKey, environment: i64, trace: TraceId) -> NewJob {
    let mut job = sync_environment(repository, environment, trace);
    job.payload = json!({ "environment": environment, "look": true });
    job
}

/// The same, because somebody asked to have put right whatever is found.
pub fn asked_heal(repository: &RepositoryKey, environment: i64, trace: TraceId) -> NewJob {
    let mut job = sync_environment(repository, environment, trace);
    job.payload = json!({ "environment": environment, "heal": true });
    job
}

/// Asks the floors' policies about what is deployed to an environment (our number).
pub fn judge_deployed(repository: &RepositoryKey, environment: i64, trace: TraceId) -> NewJob {
    let payload = json!({ "environment": environment });
    job("judge_deployed", environment.to_string(), Lane::Sweep, repository, payload, trace)
}

/// Looks at the checks that environments of a repository wait for.
pub fn look_at_checks(repository: &RepositoryKey, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id });
    job("look_at_checks", share(repository), Lane::Default, repository, payload, trace)
}

/// Tells the forge how the deployments of a repository stand. A report of a sync does not wait behind previews.
pub fn tell_deployments(repository: &RepositoryKey, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id });
    job("tell_deployments", share(repository), Lane::Sync, repository, payload, trace)
}

/// Says beside commits of applications what became of a deployment.
pub fn tell_applications(repository: &RepositoryKey, deployment: Uuid, trace: TraceId) -> NewJob {
    let payload = json!({ "deployment": deployment });
    job("tell_applications", deployment.to_string(), Lane::Default, repository, payload, trace)
}

/// Tells of the emergencies of a repository that wait for their review, and reminds.
pub fn tell_emergencies(repository: &RepositoryKey, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id });
    job("tell_emergencies", share(repository), Lane::Sync, repository, payload, trace)
}

/// Tells of drift in the issues of a repository.
pub fn tell_drift(repository: &RepositoryKey, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id });
    job("tell_drift", share(repository), Lane::Default, repository, payload, trace)
}

/// Opens the pull request that writes into the repository what is in a cluster.
pub fn open_adoption(repository: &RepositoryKey, adoption: Uuid, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id, "adoption": adoption });
    job("open_adoption", adoption.to_string(), Lane::Default, repository, payload, trace)
}

/// Opens the pull request that reverts what a rollback took away.
pub fn open_revert(repository: &RepositoryKey, rollback: Uuid, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id, "rollback": rollback });
    job("open_revert", rollback.to_string(), Lane::Default, repository, payload, trace)
}

/// Compares our memory of a repository with the forge.
pub fn sweep_repository(repository: &RepositoryKey, trace: TraceId) -> NewJob {
    let payload = json!({ "forge": repository.forge, "repository": repository.id });
    job("sweep_repository", share(repository), Lane::Sweep, repository, payload, trace)
}

/// Reads the forge's log of what it delivered by the webhook of a repository.
pub fn sweep_deliveries(repository: &RepositoryKey, trace: TraceId) -> NewJob {
    NewJob { kind: "sweep_deliveries".to_owned(), ..sweep_repository(repository, trace) }
}

/// The same of what it delivered to our App, about all repositories.
pub fn sweep_app_deliveries(forge: &ForgeName, trace: TraceId) -> NewJob {
    NewJob { kind: "sweep_deliveries".to_owned(), ..sweep_installations(forge, trace) }
}

/// Looks which repositories our App was given.
pub fn sweep_installations(forge: &ForgeName, trace: TraceId) -> NewJob {
    NewJob {
        kind: "sweep_installations".to_owned(),
        key: forge.to_string(),
        lane: Lane::Sweep,
        share: forge.to_string(),
        payload: json!({ "forge": forge }),
        trace,
        run_after: Duration::ZERO,
    }
}

fn share(repository: &RepositoryKey) -> String {
    format!("{}/{}", repository.forge, repository.id)
}

fn job(
    kind: &str,
    key: String,
    lane: Lane,
    repository: &RepositoryKey,
    payload: serde_json::Value,
    trace: TraceId,
) -> NewJob {
    let share = share(repository);
    NewJob { kind: kind.to_owned(), key, lane, share, payload, trace, run_after: Duration::ZERO }
}

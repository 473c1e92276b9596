//! After the merge: what became of a pull request's environments, and the changes that are held, shown where people can
//! consent to them: in their pull request, else in an issue of ours.

use std::collections::BTreeMap;

use super::rows::Thinned;
use super::speak::{self, Seen, Spoken};
use super::writer::Writer;
use super::{judged, rows};
use crate::consent::{Held, Place, Shown, ShownAs, Size};
use crate::db::deployments::{self, Deployment as Stored};
use crate::db::deploys;
use crate::db::holds::{self, Hold};
use crate::db::{environments, pins, previews, pulls, sets};
use crate::ids::CommitId;
use crate::jobs::error::JobError;
use crate::jobs::gather::baselines::{self, Patience};
use crate::jobs::gather::branch::{self, Walked};
use crate::jobs::gather::contents::Contents;
use crate::jobs::gather::live::{self, Looked, Origin, Whose};
use crate::jobs::gather::place;
use crate::jobs::gather::repository::Repository;
use crate::jobs::route::sync_environment;
use crate::jobs::work;
use crate::manifest::Room;
use crate::preview::{Deployment, EnvironmentRow, Page, RowChange, Subject};
use crate::queue::{self, Claimed, Lane, Lease};

/// An issue of ours. `None`: nothing of ours is shown in it.
pub(in crate::jobs) async fn in_issue(
    repository: &Repository<'_>,
    number: i64,
    job: &Claimed,
    lease: &Lease,
) -> Result<Option<Spoken>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let held = holds::shown_in(&mut conn, repository.row.id, number).await?;
    let remembered = place::remember(&mut conn, repository.row.id, number).await?;
    drop(conn);
    if held.is_empty() && remembered.previews.is_empty() {
        return Ok(None);
    }
    match repository.forge().issue(&repository.at, number).await {
        Ok(_) => {}
        Err(error) if error.is_gone() => return deleted(repository, number, job).await,
        Err(error) => return Err(error.into()),
    }
    let walked = match held.first() {
        Some(id) => match walk(repository, *id, job).await {
            Err(JobError::ClusterAway(away)) => {
                // As it was shown last: people go on consenting to it, and it is shown anew when the cluster is back.
                let Some(mut spoken) = settled(repository, number, &remembered, job, lease).await? else {
                    return Err(JobError::ClusterAway(away));
                };
                spoken.away = Some(away.why);
                return Ok(Some(spoken));
            }
            walked => walked?,
        },
        None => None,
    };
    let Some(walked) = walked else {
        return settled(repository, number, &remembered, job, lease).await;
    };
    let Some((one, hold)) = held_here(repository, &walked).await? else {
        return settled(repository, number, &remembered, job, lease).await;
    };
    let mut page = judged::empty(Subject::Held { commit: one.to.clone(), branch: walked.environment.branch.clone() });
    let mut seen = Vec::new();
    let patience = Patience::begins();
    let away = add(repository, &walked, (one, &hold), (&mut page, &mut seen), &patience).await?;
    let place = Place { number, base_branch: walked.environment.branch.clone() };
    let mut spoken = speak_of(repository, place, None, page, seen, (&one.to, &one.to), job, lease).await?;
    spoken.away = away.or(spoken.away);
    Ok(Some(spoken))
}

/// Somebody deleted the issue. What was shown in it goes on being held, and is shown in another when its gate is judged.
async fn deleted(repository: &Repository<'_>, number: i64, job: &Claimed) -> Result<Option<Spoken>, JobError> {
    let mut tx = repository.context.pool.begin().await?;
    let environments = holds::place_is_gone(&mut tx, repository.row.id, number).await?;
    let key = &repository.row.key;
    let jobs: Vec<_> = environments.into_iter().map(|one| sync_environment(key, one, job.trace)).collect();
    queue::enqueue_all(&mut tx, &jobs).await?;
    tx.commit().await?;
    tracing::warn!(repository = repository.granted_name(), number, "an issue in which a change is held was deleted");
    repository.context.bell.ring(Lane::Sync);
    Ok(None)
}

/// What was held is not any more: the issue says what became of it, and is closed.
async fn settled(
    repository: &Repository<'_>,
    number: i64,
    remembered: &place::Remembered,
    job: &Claimed,
    lease: &Lease,
) -> Result<Option<Spoken>, JobError> {
    let Some(newest) = remembered.previews.last() else { return Ok(None) };
    let page = serde_json::from_value(newest.page.clone()).map(Page::shown_before);
    let Ok(mut page) = page else { return Ok(None) };
    let mut conn = repository.context.pool.acquire().await?;
    let all = environments::of_repository(&mut conn, repository.row.id).await?;
    let mut over = true;
    let mut branch = repository.row.default_branch.clone();
    for row in &mut page.environments {
        let Some(environment) = all.iter().find(|one| one.name == row.name && one.target == row.target) else {
            continue;
        };
        branch.clone_from(&environment.branch);
        let newest = deployments::list(&mut conn, environment.id, None, 1).await?.pop();
        let of_this = newest.filter(|newest| Some(newest.new.change) == row.digest().copied());
        let hold = holds::get(&mut conn, environment.id).await?;
        row.deployment = match (&of_this, &hold) {
            (Some(newest), hold) => rows::deployed(newest, hold.as_ref()),
            // Consented to, and not there yet: what is typed next is typed here.
            (None, Some(hold)) if hold.shown_in == Some(number) => rows::held_by(hold),
            (None, Some(_) | None) => Deployment::Nothing,
        };
        row.deployment = rows::with_runbook(row.deployment.clone(), environment.block.as_ref());
        row.consent = rows::consented(row, of_this.as_ref(), remembered);
        over &= !matches!(
            row.deployment,
            Deployment::Running { .. } | Deployment::Verifying { .. } | Deployment::Held { .. }
        );
    }
    drop(conn);
    let head = newest.head.clone();
    let place = Place { number, base_branch: branch };
    let seen = remembered.shown.iter().filter(|one| one.shown.preview == newest.id);
    let seen = seen.cloned().map(Seen::changed).collect();
    let spoken = speak_of(repository, place, None, page, seen, (&head, &head), job, lease).await?;
    if over {
        let issue = repository.forge().issue(&repository.at, number).await?;
        if issue.is_open && issue.author.as_ref() == Some(repository.ourselves().await?) {
            Writer::new(repository, lease).end_issue(&issue).await??;
        }
    }
    Ok(Some(spoken))
}

/// A merged pull request: its last preview, with what became of each environment.
pub(in crate::jobs) async fn in_merged(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    job: &Claimed,
    lease: &Lease,
) -> Result<Option<Spoken>, JobError> {
    let number = row.facts.number;
    let mut conn = repository.context.pool.acquire().await?;
    let held = holds::shown_in(&mut conn, repository.row.id, number).await?;
    let remembered = place::remember(&mut conn, repository.row.id, number).await?;
    let all = environments::of_repository(&mut conn, repository.row.id).await?;
    let carried = deployments::of_pull(&mut conn, repository.row.id, number).await?;
    let newest = remembered.previews.last();
    let stored = newest.and_then(|newest| serde_json::from_value(newest.page.clone()).ok()).map(Page::shown_before);
    let mut holds_of: BTreeMap<i64, Hold> = BTreeMap::new();
    let mut pinned_at: BTreeMap<i64, i64> = BTreeMap::new();
    // Those that are shown here: of a thousand others nothing is asked.
    let rows: Vec<_> = stored.iter().flat_map(|page: &Page| &page.environments).collect();
    let is_shown =
        |one: &&environments::Environment| rows.iter().any(|row| row.name == one.name && row.target == one.target);
    for environment in all.iter().filter(is_shown) {
        if let Some(pin) = pins::standing(&mut conn, environment.id).await? {
            pinned_at.insert(environment.id, pin.rollback.back_to);
        }
        if let Some(hold) = holds::get(&mut conn, environment.id).await? {
            holds_of.insert(environment.id, hold);
        }
    }
    drop(conn);
    let mut seen: Vec<Seen> = match newest {
        Some(newest) => newest
            .looks
            .keys()
            .map(|name| {
                let shown = remembered
                    .shown
                    .iter()
                    .find(|one| one.shown.preview == newest.id && one.shown.environment == *name);
                shown.cloned().map_or_else(|| Seen::unchanged(name.clone()), Seen::changed)
            })
            .collect(),
        None => Vec::new(),
    };
    let into = row.facts.base_branch.clone();
    let subject = Subject::Pull { head: row.facts.head_sha.clone(), into };
    let mut page = stored.unwrap_or_else(|| judged::empty(subject));
    if page.environments.is_empty() && held.is_empty() {
        return Ok(None);
    }
    for shown in &mut page.environments {
        let Some(environment) = all.iter().find(|one| one.name == shown.name && one.target == shown.target) else {
            continue;
        };
        let newest =
            carried.iter().filter(|one| one.new.environment == environment.id).max_by_key(|one| one.new.number);
        shown.deployment = match (holds_of.get(&environment.id), newest) {
            (Some(hold), None) => rows::held_by(hold),
            // What it brought was taken away.
            (Some(hold), Some(deployment))
                if pinned_at.get(&environment.id).is_some_and(|number| deployment.new.number > *number) =>
            {
                rows::held_by(hold)
            }
            (hold, Some(deployment)) => rows::deployed(deployment, hold),
            (None, None) if is_behind(repository, environment, row).await? => Deployment::Nothing,
            (None, None) => Deployment::Queued,
        };
        shown.deployment = rows::with_runbook(shown.deployment.clone(), environment.block.as_ref());
        shown.consent =
            rows::consented(shown, carried.iter().filter(|one| one.new.environment == environment.id), &remembered);
    }
    untold(repository, &carried, &mut page).await?;
    let (mut away, patience) = (None, Patience::begins());
    for id in held {
        let walked = match walk(repository, id, job).await {
            Err(JobError::ClusterAway(unseen)) => {
                // Its row stays as it was shown last, with the hold that stands.
                away = away.or(Some(unseen.why));
                continue;
            }
            walked => walked?,
        };
        if let Some(walked) = walked
            && let Some((one, hold)) = held_here(repository, &walked).await?
        {
            let name = walked.environment.name.clone();
            page.environments.retain(|row| row.name != name);
            seen.retain(|seen| seen.name() != &name);
            away = away.or(add(repository, &walked, (one, &hold), (&mut page, &mut seen), &patience).await?);
        }
    }
    let place = Place { number, base_branch: row.facts.base_branch.clone() };
    let commits = (&row.facts.head_sha, &row.facts.base_sha);
    let mut spoken = speak_of(repository, place, Some(row), page, seen, commits, job, lease).await?;
    spoken.away = away.or(spoken.away);
    Ok(Some(spoken))
}

/// Notes what the commits say they deploy and nothing could be told of; each once, also where it was noted before.
async fn untold(repository: &Repository<'_>, carried: &[Stored], page: &mut Page) -> Result<(), JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    for deployment in carried {
        for one in deploys::of(&mut conn, deployment.new.id).await? {
            let Some(trouble) = one.trouble else { continue };
            let at = one.commit.map(|commit| format!("@{}", commit.short())).unwrap_or_default();
            let note = format!("the trailer Deploys: {}{at} is told to nobody: {trouble}", one.written);
            if !page.notes.contains(&note) {
                page.notes.push(note);
            }
        }
    }
    Ok(())
}

/// Whether an environment stands at the merge, or further on: nothing of the merge is left to deploy there.
async fn is_behind(
    repository: &Repository<'_>,
    environment: &environments::Environment,
    row: &pulls::Pull,
) -> Result<bool, JobError> {
    let (Some(position), Some(merge)) = (&environment.position, &row.facts.merge_commit) else { return Ok(false) };
    if environment.branch != row.facts.base_branch || position.commit == *merge {
        return Ok(environment.branch == row.facts.base_branch);
    }
    let mirror = &repository.mirror;
    let is_there = mirror.has_commit(merge).await? && mirror.has_commit(&position.commit).await?;
    Ok(is_there && mirror.is_ancestor(merge, &position.commit).await?)
}

async fn walk(repository: &Repository<'_>, environment: i64, job: &Claimed) -> Result<Option<Walked>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let Some(environment) = environments::get(&mut conn, environment).await? else { return Ok(None) };
    drop(conn);
    let cause = work::cause(job);
    let contents = Contents::new(repository);
    work::boxed(branch::walked(repository, &contents, environment, &cause, job.trace)).await
}

/// What an environment is held for, judged now, while it is the change that has its place here. One that comes after it
/// gets a place of its own when the gate is judged: here it would be shown to people whose consent could not count.
async fn held_here<'w>(repository: &Repository<'_>, walked: &'w Walked) -> Result<Option<(&'w Held, Hold)>, JobError> {
    let Some(held) = &walked.walk.held else { return Ok(None) };
    let mut conn = repository.context.pool.acquire().await?;
    let stored = holds::get(&mut conn, walked.environment.id).await?;
    let is_here = |hold: &Hold| hold.change.as_ref().is_some_and(|change| change.digest == held.digest);
    Ok(stored.filter(is_here).map(|hold| (held, hold)))
}

/// Adds the row of a held change. Says which cluster was away, when a first set was to be looked at there.
async fn add(
    repository: &Repository<'_>,
    walked: &Walked,
    (held, hold): (&Held, &Hold),
    (page, seen): (&mut Page, &mut Vec<Seen>),
    patience: &Patience,
) -> Result<Option<String>, JobError> {
    let environment = &walked.environment;
    let seal = &repository.context.seal;
    let mut conn = repository.context.pool.acquire().await?;
    let new = sets::load(&mut conn, &held.new_set, seal).await?;
    let old = match &held.old_set {
        Some(digest) => Some(sets::load(&mut conn, digest, seal).await?),
        None => None,
    };
    drop(conn);
    let block = walked.court.entries.get(&new.entry);
    let whose = Whose { environment: environment.id, name: &environment.name, sync: block.map(|block| &block.sync) };
    let sets = (old.as_ref(), &new);
    let compared = baselines::compare(repository, &whose, sets, Origin::Branch, patience).await?;
    let looked = match &old {
        Some(_) => Looked::default(),
        None => live::look(repository, &whose, &new, Origin::Branch, patience).await?,
    };
    let before = old.as_ref().and_then(|old| walked.court.entries.get(&old.entry));
    let thinned = Thinned { fingerprints: &repository.fingerprints(), before };
    let objects = rows::found(rows::objects(sets, &thinned, &mut Room::default()), &looked.live);
    let row = EnvironmentRow {
        name: environment.name.clone(),
        stage: block.and_then(|block| block.stage.clone()),
        target: environment.target.clone(),
        change: RowChange::Change {
            digest: Some(held.digest),
            rules: block.map(|block| rows::rules(before, block)).unwrap_or_default(),
            objects: rows::compared(objects, &compared),
        },
        consent: rows::consent(&environment.name, &held.verdict, &walked.court.people),
        deployment: rows::held_by(hold),
        rendering: None,
        left_out: new.left_out,
        unasked: looked.unasked,
        standing: compared.standing(),
        admission_is_required: false, // It is merged: no status waits for it.
        policies: rows::remarks(walked.court.said.get(&(held.old_set, held.new_set)), &held.verdict),
        waivers: rows::waivers(&environment.name, &held.digest, &held.verdict),
    };
    page.environments.push(row);
    let shown = Shown {
        environment: environment.name.clone(),
        shown_as: ShownAs::Held,
        preview: 0,
        head: held.to.clone(),
        old_set: held.old_set,
        new_set: held.new_set,
        change: held.digest,
        deletions: held.verdict.deletions,
        denials: held.verdict.denials(),
        from: None,
    };
    let change = held.change.clone();
    let size = Size { objects: change.objects(), ..Size::default() };
    let files = std::collections::BTreeSet::new();
    seen.push(Seen::changed(previews::ShownChange { id: 0, environment: environment.id, shown, change, files, size }));
    Ok(looked.away.or_else(|| walked.court.people.away.clone()))
}

#[expect(clippy::too_many_arguments, reason = "a place, what is said there, and the job that says it")]
async fn speak_of(
    repository: &Repository<'_>,
    place: Place,
    row: Option<&pulls::Pull>,
    mut page: Page,
    seen: Vec<Seen>,
    (head, base): (&CommitId, &CommitId),
    job: &Claimed,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    let cause = work::cause(job);
    let number = place.number;
    let heard = place::attend(repository, place, row.is_some(), head, &cause, job.trace).await?;
    page.answers = speak::answers(repository, &heard, &page).await?;
    let said = speak::Said {
        number,
        head,
        base,
        comment: row.and_then(|row| row.comment_id),
        comment_hash: row.and_then(|row| row.comment_hash.as_deref()),
        statuses: row.map(|row| row.status_hash.as_deref()),
    };
    speak::say(repository, said, &heard, page, seen, job, lease).await
}

//! Reads the log that a forge keeps of its own deliveries, and asks once more for those that failed and that we do not have: what
//! was sent while no server of ours listened. Each is asked for once, whatever comes of it; what is lost all the same, the
//! other sweep finds.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::context::{Context, ForgeAccess};
use super::error::JobError;
use super::show::writer::Pen;
use super::work;
use crate::db::redeliveries::{self, Log, Lost, Whose};
use crate::db::repositories::{self, RepositoryState};
use crate::forge::{DeliveryLog, DeliveryLogs, DeliveryTry, Fate, ForgeError, RepositoryAt};
use crate::ids::{ForgeName, RepositoryKey};
use crate::queue::{Claimed, Lease};

/// Pages of a hundred that are read in one run; the next goes on.
const PAGES: usize = 5;
/// Deliveries that are asked for in one run, at five points each; the next goes on.
const MOST: i64 = 50;
/// A try is in the log when it is over: one that began earlier may come later.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);

/// The payload: of a repository's webhook, or of our App.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: Option<i64>,
}

/// Whose log it is.
struct Place<'c> {
    access: &'c ForgeAccess,
    whose: Whose<'c>,
    /// For people: `work`, or `work/acme/shop`.
    name: String,
    /// Where a webhook of it is.
    at: Option<RepositoryAt>,
}

/// What was read.
struct Read {
    log: Log,
    lost: Vec<Lost>,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    if let Some(place) = place(context, &ids).await? {
        let log = redeliveries::log(&mut *context.pool.acquire().await?, place.whose).await?;
        if !log.rests {
            sweep(context, job, lease, &place, log).await?;
        }
    }
    work::finish(context, job).await
}

/// `None`: nothing is granted to it, or there is no such log.
async fn place<'c>(context: &'c Context, ids: &'c Ids) -> Result<Option<Place<'c>>, JobError> {
    let Some(access) = context.forges.get(&ids.forge) else { return Ok(None) };
    let whose = Whose { forge: &ids.forge, repository: ids.repository.unwrap_or(0) };
    match (access.forge.delivery_logs(), ids.repository) {
        (DeliveryLogs::OfApp, None) => Ok(Some(Place { access, whose, name: ids.forge.to_string(), at: None })),
        (DeliveryLogs::OfRepositories, Some(id)) => {
            let key = RepositoryKey { forge: ids.forge.clone(), id };
            let known = repositories::by_key(&mut *context.pool.acquire().await?, &key).await?;
            let Some(known) = known.filter(|known| known.state == RepositoryState::Active) else { return Ok(None) };
            let name = format!("{}/{}", ids.forge, known.full_name);
            let Ok(at) = access.forge.repository_name(&known.full_name) else { return Ok(None) };
            let is_granted = !context.platform.grants_for(&name).is_empty();
            Ok(is_granted.then_some(Place { access, whose, name, at: Some(RepositoryAt { id, name: at }) }))
        }
        (DeliveryLogs::None | DeliveryLogs::OfApp | DeliveryLogs::OfRepositories, _) => Ok(None),
    }
}

async fn sweep(context: &Context, job: &Claimed, lease: &Lease, place: &Place<'_>, log: Log) -> Result<(), JobError> {
    let Place { access, whose, name, .. } = place;
    let goes_on = log.next_page.is_some();
    let (at, read) = match find_and_read(context, place, log).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(redeliveries::absent(&mut *context.pool.acquire().await?, *whose).await?),
        Err(error) if error.fate == Fate::Refused => return refused(context, place, &error).await,
        // The webhook is gone, or the page is: looked for, and read from the newest end, anew.
        Err(error) if error.is_gone() || goes_on && error.fate == Fate::Invalid => {
            return Ok(redeliveries::absent(&mut *context.pool.acquire().await?, *whose).await?);
        }
        Err(error) => return Err(error.into()),
    };

    let mut tx = context.pool.begin().await?;
    redeliveries::found(&mut tx, *whose, &read.lost).await?;
    redeliveries::read(&mut tx, *whose, &read.log).await?;
    let wanted = redeliveries::wanted(&mut tx, *whose, MOST).await?;
    tx.commit().await?;

    let owner = place.at.as_ref().map_or("", |at| at.name.owner());
    let pen = Pen { context, job, lease, forge: &access.forge, owner };
    for lost in wanted {
        match pen.ask_again(&at, &lost, name).await? {
            Ok(()) => {
                let forge = whose.forge.as_str().to_owned();
                metrics::counter!("bascule_redeliveries_total", "forge" => forge).increment(1);
                redeliveries::permitted(&mut *context.pool.acquire().await?, *whose).await?;
            }
            Err(error) if error.fate == Fate::Refused => return refused(context, place, &error).await,
            // The forge keeps it no more, or will not make it again: the others may be there.
            Err(error) if error.is_gone() || error.fate == Fate::Invalid => {
                tracing::info!(log = name, delivery = lost.delivery_id, %error, "a lost delivery is not made again");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Said once. Nothing else waits for it, and it is tried again: somebody may give us the right.
async fn refused(context: &Context, place: &Place<'_>, error: &ForgeError) -> Result<(), JobError> {
    if redeliveries::refused(&mut *context.pool.acquire().await?, place.whose).await? {
        tracing::warn!(log = place.name, %error, "deliveries that were lost cannot be asked for again; sweeps make up for them");
    }
    Ok(())
}

/// `None`: there is no webhook of ours.
async fn find_and_read(
    context: &Context,
    place: &Place<'_>,
    log: Log,
) -> Result<Option<(DeliveryLog, Read)>, ForgeError> {
    let forge = &place.access.forge;
    let (at, hook) = match (&place.at, log.hook) {
        (None, _) => (DeliveryLog::App, None),
        (Some(at), Some(hook)) => (DeliveryLog::Webhook { at: at.clone(), hook }, Some(hook)),
        (Some(at), None) => {
            let ours = format!("{}/webhooks/{}", context.public_url, place.whose.forge);
            let all = forge.webhooks(at).await?;
            let Some(hook) = all.into_iter().find(|hook| hook.url == ours).and_then(|hook| hook.id) else {
                return Ok(None);
            };
            (DeliveryLog::Webhook { at: at.clone(), hook }, Some(hook))
        }
    };
    let (mut reading, mut attempts) = (Reading { log, now: context.clock.now() }, Vec::new());
    for _ in 0..PAGES {
        let page = forge.delivery_tries(&at, reading.log.next_page.as_deref()).await?;
        let (new, is_over) = reading.takes(page.tries, page.next);
        attempts.extend(new);
        if is_over {
            break;
        }
    }
    let read = Read { log: Log { hook, ..reading.log }, lost: lost(attempts) };
    Ok(Some((at, read)))
}

/// A log that is read from its newest end to where it was read before.
struct Reading {
    log: Log,
    now: Timestamp,
}

impl Reading {
    /// What is news of a page, and whether it was the last to be read.
    fn takes(&mut self, page: Vec<DeliveryTry>, next: Option<String>) -> (Vec<DeliveryTry>, bool) {
        // One time that is none would have all that follows taken for old.
        let believed = |at: Timestamp| at.clamp(Timestamp::UNIX_EPOCH, self.now + OVERLAP);
        let newest = page.iter().map(|one| believed(one.at)).max().max(self.log.newest);
        let Some(read_to) = self.log.read_to else {
            // Before the first look nothing is missed: every pull request that is new to us is looked at whole.
            self.log.read_to = Some(newest.map_or(Timestamp::UNIX_EPOCH, |at| at + OVERLAP));
            return (Vec::new(), true);
        };
        let known = read_to - OVERLAP;
        let is_over = next.is_none() || page.last().is_none_or(|oldest| oldest.at <= known);
        let log = std::mem::take(&mut self.log);
        self.log = match is_over {
            true => Log { read_to: log.read_to.max(newest), newest: None, next_page: None, ..log },
            false => Log { newest, next_page: next, ..log },
        };
        (page.into_iter().filter(|one| one.at > known).collect(), is_over)
    }
}

/// Of each delivery of which no try went well, the newest.
fn lost(mut attempts: Vec<DeliveryTry>) -> Vec<Lost> {
    let well = attempts.iter().filter(|one| one.went_well).map(|one| one.delivery_id.clone());
    let well: BTreeSet<String> = well.collect();
    attempts.sort_by_key(|one| (one.at, one.id));
    let failed = attempts.into_iter().filter(|one| !well.contains(&one.delivery_id));
    let newest: BTreeMap<String, i64> = failed.map(|one| (one.delivery_id, one.id)).collect();
    newest.into_iter().map(|(delivery_id, attempt)| Lost { delivery_id, attempt }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-05T09:00:00Z";

    fn attempt(id: i64, delivery: &str, at: &str, went_well: bool) -> DeliveryTry {
        DeliveryTry { id, delivery_id: delivery.to_owned(), at: at.parse().unwrap(), went_well }
    }

    fn reading(log: Log) -> Reading {
        Reading { log, now: NOW.parse().unwrap() }
    }

    #[test]
    fn a_delivery_is_lost_when_no_try_of_it_went_well() {
        let tries = vec![
            attempt(4, "again", "2026-01-05T08:03:00Z", true),
            attempt(3, "twice", "2026-01-05T08:02:00Z", false),
            attempt(2, "again", "2026-01-05T08:01:00Z", false),
            attempt(1, "twice", "2026-01-05T08:00:00Z", false),
        ];
        assert_eq!(lost(tries), [Lost { delivery_id: "twice".to_owned(), attempt: 3 }]);
    }

    #[test]
    fn a_log_is_read_back_to_where_it_was_read_before_however_many_runs_that_takes() {
        let mut first = reading(Log::default());
        let old = attempt(1, "old", "2026-01-05T07:00:00Z", false);
        assert_eq!(
            first.takes(vec![old.clone()], Some("older".to_owned())),
            (Vec::new(), true),
            "nothing is missed yet"
        );

        let mut second = reading(first.log);
        let new = attempt(3, "new", "2026-01-05T08:00:00Z", false);
        assert_eq!(second.takes(vec![new.clone()], Some("more".to_owned())), (vec![new.clone()], false));
        let mut third = reading(second.log);
        assert_eq!(third.log.next_page.as_deref(), Some("more"), "goes on where the last one stopped");
        let between = attempt(2, "between", "2026-01-05T07:30:00Z", false);
        let page = vec![between.clone(), old];
        assert_eq!(third.takes(page, Some("older".to_owned())), (vec![between], true));
        assert_eq!(third.log, Log { read_to: Some(new.at), ..Log::default() });
        // What was under way then is told later.
        let late = attempt(4, "late", "2026-01-05T07:55:00Z", false);
        assert_eq!(third.takes(vec![new.clone(), late.clone()], None), (vec![new, late], true));
    }

    #[test]
    fn a_time_that_is_none_does_not_make_all_that_follows_old() {
        for at in ["9999-12-30T22:00:00Z", "-009999-01-02T01:59:59Z"] {
            let mut one = reading(Log { read_to: Some(NOW.parse().unwrap()), ..Log::default() });
            one.takes(vec![attempt(1, "strange", at, false)], None);
            let next = attempt(2, "next", "2026-01-05T09:10:00Z", false);
            assert_eq!(one.takes(vec![next.clone()], None), (vec![next], true), "{at}");
        }
        let mut empty = reading(Log::default());
        empty.takes(Vec::new(), None);
        let first = attempt(1, "first", NOW, false);
        assert_eq!(empty.takes(vec![first.clone()], None), (vec![first], true), "an empty log was read whole");
    }
}

//! `emergency`: what is asked for, and what is answered. The gate counts who asked, when it is judged next.

use super::may::Permitted;
use crate::consent::Identities;
use crate::db::emergencies::{self, Aim, COUNTS_FOR, Request};
use crate::db::{holds, pins};
use crate::event::command::{Command, Selector};
use crate::jobs::error::JobError;
use crate::jobs::gather::place::Asked;
use crate::jobs::gather::repository::Repository;

/// What a command asks for, each with the answer.
pub(super) struct Asking {
    pub(super) requests: Vec<Request>,
    sentences: Vec<String>,
}

/// Binds what somebody asks for to what waits, as it was when they did.
pub(super) async fn asking(repository: &Repository<'_>, asked: &Asked, may: &Permitted) -> Result<Asking, JobError> {
    let mut asking = Asking { requests: Vec::new(), sentences: Vec::new() };
    let Command::Emergency { reason, .. } = &asked.command else { return Ok(asking) };
    let context = repository.context;
    let now = context.clock.now();
    for environment in &may.permitted {
        let name = &environment.name;
        let mut conn = context.pool.acquire().await?;
        if pins::standing(&mut conn, environment.id).await?.is_some() {
            asking.sentences.push(format!("{name}: it is pinned; `/bascule resume {name}` comes first"));
            continue;
        }
        // From when it was written, however late it is read; a forge's clock may be ahead of ours.
        let at = asked.at.min(now);
        if now.duration_since(at) >= COUNTS_FOR {
            let hours = COUNTS_FOR.as_hours();
            asking.sentences.push(format!("{name}: that was said {hours} hours ago and counts no more; say it again"));
            continue;
        }
        let hold = holds::get(&mut conn, environment.id).await?;
        let aim = match Aim::bound(environment, hold.as_ref(), asked.at) {
            Ok(aim) => aim,
            Err(why) => {
                asking.sentences.push(format!("{name}: {why}"));
                continue;
            }
        };
        let request = Request {
            id: context.clock.new_id(),
            environment: environment.id,
            aim,
            person: asked.by.clone(),
            reason: reason.clone(),
            source: format!("comment {}", asked.id),
            at,
        };
        let others = emergencies::asked(&mut conn, environment.id, now).await?;
        drop(conn);
        let identities = Identities::of(&repository.platform.groups);
        let is_other = |one: &Request| one.aim == request.aim && !identities.same(&one.person, &request.person);
        asking.sentences.push(sentence(name.as_str(), &request, others.iter().find(|one| is_other(one))));
        asking.requests.push(request);
    }
    Ok(asking)
}

fn sentence(name: &str, request: &Request, other: Option<&Request>) -> String {
    let what = format!("`{}` at `{}`", request.aim.change.short(), request.aim.to_commit.short());
    match other {
        Some(other) => format!(
            "{name}: {} and {} ask for {what}; the gate is judged now, and a review is owed within 24 h",
            other.person.login, request.person.login
        ),
        None => {
            let until = request.at.checked_add(COUNTS_FOR).unwrap_or(request.at).strftime("%H:%MZ");
            format!(
                "{name}: one asks for {what}; a second one of those whom `may.emergency` names says the same until {until}"
            )
        }
    }
}

/// What is answered.
pub(super) async fn answer(
    repository: &Repository<'_>,
    asked: &Asked,
    selector: &Selector,
    may: &Permitted,
) -> Result<String, JobError> {
    let refused = may.refused.iter().map(|(name, _)| format!("{name}: `may.emergency` does not name you"));
    let mut sentences: Vec<String> = refused.collect();
    sentences.extend(asking(repository, asked, may).await?.sentences);
    Ok(if sentences.is_empty() { format!("no environment is called {selector}") } else { sentences.join("; ") })
}

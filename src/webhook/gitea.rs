//! What a delivery of Gitea or Forgejo says, as an [`Event`].

use serde::Deserialize;

use super::payload::{
    self, DeleteBody, Object, RepositoryBody, RepositoryName, Unreadable, User, about, branch_name, named, parse,
    positive, unless_zero,
};
use crate::event::{Delivered, Event, HeadPush};
use crate::ids::{Account, CommitId, ForgeName};

/// Reads a verified body. `event` is the header `X-Gitea-Event` (or `X-Forgejo-Event`).
pub fn read(forge: &ForgeName, event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    match event {
        "push" => push(forge, parse(body)?),
        "delete" => delete(forge, parse(body)?),
        "pull_request" => pull(forge, parse(body)?),
        "pull_request_approved" | "pull_request_rejected" | "pull_request_comment" | "pull_request_review" => {
            let body: PullBody = parse(body)?;
            let number = positive(body.number, "the pull request's number")?;
            about(body.repository, Event::ReviewChanged { number })
        }
        "issue_comment" => payload::comment(parse(body)?),
        // Gitea 1.23 and newer; before 1.23.2 without the header that says what it is, and then found by sweeps.
        "status" => payload::status(parse(body)?),
        "repository" => about(parse::<RepositoryBody>(body)?.repository, Event::RepositoryChanged),
        "ping" => plain(body, Event::Ping),
        "create" => plain(body, Event::Ignored { why: "the push that created it is told too" }),
        _ => plain(body, Event::Ignored { why: "not an event we act on" }),
    }
}

fn push(forge: &ForgeName, body: PushBody) -> Result<Delivered, Unreadable> {
    let Some(branch) = body.reference.strip_prefix("refs/heads/") else {
        return about(body.repository, Event::Ignored { why: "not a push to a branch" });
    };
    let (before, after) = (unless_zero(&body.before)?, unless_zero(&body.after)?);
    if before == after {
        // What the button "test delivery" sends.
        return about(body.repository, Event::Ping);
    }
    let branch = branch_name(branch)?;
    let pusher = account(body.pusher, forge)?;
    about(body.repository, Event::Pushed { branch, before, after, pusher })
}

fn delete(forge: &ForgeName, mut body: DeleteBody) -> Result<Delivered, Unreadable> {
    let pusher = account(body.sender.take(), forge)?;
    payload::deleted(body, pusher)
}

fn pull(forge: &ForgeName, body: PullBody) -> Result<Delivered, Unreadable> {
    let number = positive(body.number, "the pull request's number")?;
    let event = match body.action.as_str() {
        "opened" | "closed" | "reopened" | "edited" => Event::PullChanged { number, head_push: None },
        "synchronized" | "synchronize" => {
            // Without it when the repository was renamed before the delivery was written.
            let after = body.pull_request.map(|pull| pull.0.head.0.sha);
            let pusher = account(body.sender, forge)?;
            let head_push = after.zip(pusher).map(|(after, pusher)| HeadPush { after, pusher });
            Event::PullChanged { number, head_push }
        }
        "reviewed" => Event::ReviewChanged { number },
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.repository, event)
}

fn plain(body: &[u8], event: Event) -> Result<Delivered, Unreadable> {
    let body: PlainBody = parse(body)?;
    let repositories = body.repository.map(named).transpose()?.into_iter().collect();
    Ok(Delivered { repositories, event })
}

/// Deleted accounts (-1) are nobody; the forge's own are somebody, though no person.
fn account(user: Option<Object<User>>, forge: &ForgeName) -> Result<Option<Account>, Unreadable> {
    let user = user.filter(|user| user.0.id != 0 && user.0.id != -1);
    user.map(|user| payload::account(user, forge)).transpose()
}

#[derive(Deserialize)]
struct PlainBody {
    repository: Option<Object<RepositoryName>>,
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    pusher: Option<Object<User>>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct PullBody {
    action: String,
    number: i64,
    pull_request: Option<Object<Pull>>,
    sender: Option<Object<User>>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct Pull {
    head: Object<Head>,
}

#[derive(Deserialize)]
struct Head {
    sha: CommitId,
}

#[cfg(test)]
#[path = "gitea_tests.rs"]
mod tests;

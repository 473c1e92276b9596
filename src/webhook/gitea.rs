//! What a delivery of Gitea or Forgejo says, as an [`Event`].
//!
//! Read leniently where it does not matter (fields we do not name, events we do not know) and strictly where it does:
//! a number that is none, a missing repository, a commit that is no commit make the delivery unreadable, and it is
//! kept in quarantine. No address in it is ever used.

use serde::Deserialize;

use crate::event::{Delivered, Event, HeadPush, NamedRepository};
use crate::ids::{Account, CommitId, ForgeName};

/// Deeper than any real delivery (8); a body that is deeper was made to hurt a parser.
const DEEPEST: usize = 64;

/// Why a signed delivery could not be read; it is stored, quarantined and listed.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON of the shape this event has.
    #[error("not the JSON this event has: {0}")]
    Shape(#[from] serde_json::Error),
    /// Made to hurt.
    #[error("nested deeper than {DEEPEST} levels")]
    Deep,
    /// A number or name that cannot be one.
    #[error("{0} is not one")]
    Field(&'static str),
}

/// Reads a verified body. `event` is the header `X-Gitea-Event` (or `X-Forgejo-Event`).
pub fn read(forge: &ForgeName, event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    if is_deep(body) {
        return Err(Unreadable::Deep);
    }
    match event {
        "push" => push(forge, serde_json::from_slice(body)?),
        "delete" => delete(forge, serde_json::from_slice(body)?),
        "pull_request" => pull(forge, serde_json::from_slice(body)?),
        "pull_request_approved" | "pull_request_rejected" | "pull_request_comment" | "pull_request_review" => {
            let body: PullBody = serde_json::from_slice(body)?;
            let number = positive(body.number, "the pull request's number")?;
            about(body.repository, Event::ReviewChanged { number })
        }
        "issue_comment" => comment(serde_json::from_slice(body)?),
        "repository" => about(serde_json::from_slice::<RepositoryBody>(body)?.repository, Event::RepositoryChanged),
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
    let pusher = body.pusher.and_then(|user| user.account(forge));
    about(body.repository, Event::Pushed { branch, before, after, pusher })
}

fn delete(forge: &ForgeName, body: DeleteBody) -> Result<Delivered, Unreadable> {
    if body.ref_type != "branch" {
        return about(body.repository, Event::Ignored { why: "not a branch" });
    }
    let event = Event::Pushed {
        branch: branch_name(&body.reference)?,
        before: None,
        after: None,
        pusher: body.sender.and_then(|user| user.account(forge)),
    };
    about(body.repository, event)
}

fn pull(forge: &ForgeName, body: PullBody) -> Result<Delivered, Unreadable> {
    let number = positive(body.number, "the pull request's number")?;
    let event = match body.action.as_str() {
        "opened" | "closed" | "reopened" | "edited" => Event::PullChanged { number, head_push: None },
        "synchronized" | "synchronize" => {
            // Without it when the repository was renamed before the delivery was written.
            let after = body.pull_request.map(|pull| pull.head.sha);
            let pusher = body.sender.and_then(|user| user.account(forge));
            let head_push = after.zip(pusher).map(|(after, pusher)| HeadPush { after, pusher });
            Event::PullChanged { number, head_push }
        }
        "reviewed" => Event::ReviewChanged { number },
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.repository, event)
}

fn comment(body: CommentBody) -> Result<Delivered, Unreadable> {
    let number = positive(body.issue.number, "the issue's number")?;
    let comment = positive(body.comment.id, "the comment's number")?;
    let event = match body.action.as_str() {
        "created" => Event::CommentCreated { number, comment },
        "edited" | "deleted" => Event::CommentEdited { number, comment },
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.repository, event)
}

fn plain(body: &[u8], event: Event) -> Result<Delivered, Unreadable> {
    let body: PlainBody = serde_json::from_slice(body)?;
    match body.repository {
        Some(repository) => about(repository, event),
        None => Ok(Delivered { repository: None, event }),
    }
}

fn about(repository: RepositoryName, event: Event) -> Result<Delivered, Unreadable> {
    let id = positive(repository.id, "the repository's number")?;
    let full_name = repository.full_name;
    if full_name.is_empty() || full_name.len() > 300 || full_name.chars().any(char::is_control) {
        return Err(Unreadable::Field("the repository's name"));
    }
    Ok(Delivered { repository: Some(NamedRepository { id, full_name }), event })
}

fn positive(number: i64, what: &'static str) -> Result<i64, Unreadable> {
    if number > 0 { Ok(number) } else { Err(Unreadable::Field(what)) }
}

/// Git allows no control character in a name; one would break a log line.
fn branch_name(name: &str) -> Result<String, Unreadable> {
    if name.is_empty() || name.len() > 1_000 || name.chars().any(char::is_control) {
        return Err(Unreadable::Field("the branch's name"));
    }
    Ok(name.to_owned())
}

/// All zeros is Git's "no commit": the branch is new, or gone.
fn unless_zero(text: &str) -> Result<Option<CommitId>, Unreadable> {
    let commit: CommitId = text.parse().map_err(|_| Unreadable::Field("the commit"))?;
    Ok(Some(commit).filter(|_| text.bytes().any(|b| b != b'0')))
}

/// Counts brackets outside strings; the body need not be JSON.
fn is_deep(body: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

#[derive(Deserialize)]
struct RepositoryName {
    id: i64,
    full_name: String,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    login: String,
}

impl User {
    /// Deleted accounts (-1) are nobody; the forge's own are somebody, though no person.
    fn account(self, forge: &ForgeName) -> Option<Account> {
        let known = self.id != 0 && self.id != -1;
        known.then(|| Account { forge: forge.clone(), id: self.id, login: self.login })
    }
}

#[derive(Deserialize)]
struct PlainBody {
    repository: Option<RepositoryName>,
}

#[derive(Deserialize)]
struct RepositoryBody {
    repository: RepositoryName,
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    pusher: Option<User>,
    repository: RepositoryName,
}

#[derive(Deserialize)]
struct DeleteBody {
    #[serde(rename = "ref")]
    reference: String,
    ref_type: String,
    sender: Option<User>,
    repository: RepositoryName,
}

#[derive(Deserialize)]
struct PullBody {
    action: String,
    number: i64,
    pull_request: Option<Pull>,
    sender: Option<User>,
    repository: RepositoryName,
}

#[derive(Deserialize)]
struct Pull {
    head: Head,
}

#[derive(Deserialize)]
struct Head {
    sha: CommitId,
}

#[derive(Deserialize)]
struct CommentBody {
    action: String,
    issue: Issue,
    comment: Comment,
    repository: RepositoryName,
}

#[derive(Deserialize)]
struct Issue {
    number: i64,
}

#[derive(Deserialize)]
struct Comment {
    id: i64,
}

#[cfg(test)]
#[path = "gitea_tests.rs"]
mod tests;

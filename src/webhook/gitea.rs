//! What a delivery of Gitea or Forgejo says, as an [`Event`].
//!
//! Read leniently where it does not matter (fields we do not name, events we do not know) and strictly where it does:
//! a number that is none, a missing repository, a commit that is no commit make the delivery unreadable, and it is
//! kept in quarantine. No address in it is ever used.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
        "push" => push(forge, parse(body)?),
        "delete" => delete(forge, parse(body)?),
        "pull_request" => pull(forge, parse(body)?),
        "pull_request_approved" | "pull_request_rejected" | "pull_request_comment" | "pull_request_review" => {
            let body: PullBody = parse(body)?;
            let number = positive(body.number, "the pull request's number")?;
            about(body.repository, Event::ReviewChanged { number })
        }
        "issue_comment" => comment(parse(body)?),
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

fn delete(forge: &ForgeName, body: DeleteBody) -> Result<Delivered, Unreadable> {
    if body.ref_type != "branch" {
        return about(body.repository, Event::Ignored { why: "not a branch" });
    }
    let event = Event::Pushed {
        branch: branch_name(&body.reference)?,
        before: None,
        after: None,
        pusher: account(body.sender, forge)?,
    };
    about(body.repository, event)
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

fn comment(body: CommentBody) -> Result<Delivered, Unreadable> {
    let number = positive(body.issue.0.number, "the issue's number")?;
    let comment = positive(body.comment.0.id, "the comment's number")?;
    let id = |user: Option<Object<Id>>| user.map(|user| user.0.id);
    let (sender, author) = (id(body.sender), id(body.comment.0.user));
    // Whoever sent it did it; that it is their own comment as well is what makes it theirs alone.
    let by = sender.filter(|_| sender == author);
    let event = match body.action.as_str() {
        "created" => Event::CommentCreated { number, comment, by },
        "edited" => Event::CommentEdited { number, comment, by },
        "deleted" => Event::CommentEdited { number, comment, by: None },
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.repository, event)
}

fn plain(body: &[u8], event: Event) -> Result<Delivered, Unreadable> {
    let body: PlainBody = parse(body)?;
    match body.repository {
        Some(repository) => about(repository, event),
        None => Ok(Delivered { repository: None, event }),
    }
}

fn about(Object(repository): Object<RepositoryName>, event: Event) -> Result<Delivered, Unreadable> {
    let id = positive(repository.id, "the repository's number")?;
    let full_name = repository.full_name;
    if !is_plain(&full_name, 300) {
        return Err(Unreadable::Field("the repository's name"));
    }
    Ok(Delivered { repository: Some(NamedRepository { id, full_name }), event })
}

fn positive(number: i64, what: &'static str) -> Result<i64, Unreadable> {
    if number > 0 { Ok(number) } else { Err(Unreadable::Field(what)) }
}

/// Git allows no control character in a name; one would break a log line.
fn branch_name(name: &str) -> Result<String, Unreadable> {
    if is_plain(name, 1_000) { Ok(name.to_owned()) } else { Err(Unreadable::Field("the branch's name")) }
}

/// Deleted accounts (-1) are nobody; the forge's own are somebody, though no person.
fn account(user: Option<Object<User>>, forge: &ForgeName) -> Result<Option<Account>, Unreadable> {
    let Some(Object(User { id, login })) = user.filter(|user| user.0.id != 0 && user.0.id != -1) else {
        return Ok(None);
    };
    // What a login may hold is the forge's to say; what no database stores and no line of a log shows is none.
    if !is_plain(&login, 300) {
        return Err(Unreadable::Field("the account's name"));
    }
    Ok(Some(Account { forge: forge.clone(), id, login }))
}

fn is_plain(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
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

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body).map(|Object(body)| body)
}

/// An object. Without it a list of its values, in the order in which we happen to declare them, would be read as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        from.deserialize_map(Members(PhantomData)).map(Object)
    }
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

#[derive(Deserialize)]
struct PlainBody {
    repository: Option<Object<RepositoryName>>,
}

#[derive(Deserialize)]
struct RepositoryBody {
    repository: Object<RepositoryName>,
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
struct DeleteBody {
    #[serde(rename = "ref")]
    reference: String,
    ref_type: String,
    sender: Option<Object<User>>,
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

#[derive(Deserialize)]
struct CommentBody {
    action: String,
    issue: Object<Issue>,
    comment: Object<Comment>,
    sender: Option<Object<Id>>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct Issue {
    number: i64,
}

#[derive(Deserialize)]
struct Comment {
    id: i64,
    user: Option<Object<Id>>,
}

#[derive(Deserialize)]
struct Id {
    id: i64,
}

#[cfg(test)]
#[path = "gitea_tests.rs"]
mod tests;

//! What the payloads of every forge are read with: leniently where it does not matter (fields we do not name, events we
//! do not know) and strictly where it does. A number that is none, a missing repository, a commit that is no commit make
//! a delivery unreadable, and it is kept in quarantine. No address in it is ever used.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::event::{Delivered, Event, NamedRepository};
use crate::ids::{Account, CommitId, ForgeName};

/// Deeper than any real delivery (8); a body that is deeper was made to hurt a parser.
const DEEPEST: usize = 64;

/// The account that stands for all that were deleted, on GitHub and on GitLab.
pub(super) const GHOST: &str = "ghost";

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

/// A body of a shape.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    if is_deep(body) {
        return Err(Unreadable::Deep);
    }
    let Object(body) = serde_json::from_slice(body)?;
    Ok(body)
}

/// An event of a repository.
pub(super) fn about(repository: Object<RepositoryName>, event: Event) -> Result<Delivered, Unreadable> {
    Ok(Delivered { repositories: vec![named(repository)?], event })
}

/// A repository, as a delivery names it.
pub(super) fn named(Object(repository): Object<RepositoryName>) -> Result<NamedRepository, Unreadable> {
    repository_of(repository.id, repository.full_name)
}

/// The repository of this number, which has this name.
pub(super) fn repository_of(id: i64, full_name: String) -> Result<NamedRepository, Unreadable> {
    let id = positive(id, "the repository's number")?;
    if !is_plain(&full_name, 300) {
        return Err(Unreadable::Field("the repository's name"));
    }
    Ok(NamedRepository { id, full_name })
}

/// What was said on an issue or pull request: all forges tell it alike.
pub(super) fn comment(body: CommentBody) -> Result<Delivered, Unreadable> {
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

/// The state of a commit, as a CI reports it: all forges tell it alike. What is only begun makes nothing green or red.
pub(super) fn status(body: StatusBody) -> Result<Delivered, Unreadable> {
    let event = match (body.state.as_str(), body.context.starts_with(OUR_STATUSES)) {
        (_, true) => Event::Ignored { why: "a status of our own" },
        ("pending", false) => Event::Ignored { why: "a check that is not over" },
        (_, false) => Event::ChecksChanged,
    };
    match event {
        Event::ChecksChanged => about(body.repository, event),
        _ => Ok(Delivered { repositories: Vec::new(), event }),
    }
}

/// How the names of our own statuses begin.
pub(super) const OUR_STATUSES: &str = "bascule/";

/// A branch that is there no more.
pub(super) fn deleted(body: DeleteBody, pusher: Option<Account>) -> Result<Delivered, Unreadable> {
    let event = match body.ref_type.as_str() {
        "branch" => Event::Pushed { branch: branch_name(&body.reference)?, before: None, after: None, pusher },
        _ => Event::Ignored { why: "not a branch" },
    };
    about(body.repository, event)
}

/// A number of something there is.
pub(super) fn positive(number: i64, what: &'static str) -> Result<i64, Unreadable> {
    if number > 0 { Ok(number) } else { Err(Unreadable::Field(what)) }
}

/// Git allows no control character in a name; one would break a log line.
pub(super) fn branch_name(name: &str) -> Result<String, Unreadable> {
    if is_plain(name, 1_000) { Ok(name.to_owned()) } else { Err(Unreadable::Field("the branch's name")) }
}

/// An account of people or of the forge itself.
pub(super) fn account(Object(User { id, login }): Object<User>, forge: &ForgeName) -> Result<Account, Unreadable> {
    account_of(id, login, forge)
}

/// The account of this number, which has this login.
pub(super) fn account_of(id: i64, login: String, forge: &ForgeName) -> Result<Account, Unreadable> {
    // What a login may hold is the forge's to say; what no database stores and no line of a log shows is none.
    if !is_plain(&login, 300) {
        return Err(Unreadable::Field("the account's name"));
    }
    Ok(Account { forge: forge.clone(), id, login })
}

/// A commit; all zeros is Git's "no commit": the branch is new, or gone.
pub(super) fn unless_zero(text: &str) -> Result<Option<CommitId>, Unreadable> {
    let commit: CommitId = text.parse().map_err(|_| Unreadable::Field("the commit"))?;
    Ok(Some(commit).filter(|_| text.bytes().any(|b| b != b'0')))
}

fn is_plain(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
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

/// An object. Without it a list of its values, in the order in which we happen to declare them, would be read as well.
pub(super) struct Object<T>(pub(super) T);

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

/// Of any event: only that it is an object.
#[derive(Deserialize)]
pub(super) struct Anything {}

#[derive(Deserialize)]
pub(super) struct RepositoryName {
    pub(super) id: i64,
    full_name: String,
}

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) login: String,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub(super) id: i64,
}

#[derive(Deserialize)]
pub(super) struct RepositoryBody {
    pub(super) repository: Object<RepositoryName>,
}

/// A commit status.
#[derive(Deserialize)]
pub(super) struct StatusBody {
    state: String,
    context: String,
    repository: Object<RepositoryName>,
}

/// A branch or tag that is there no more.
#[derive(Deserialize)]
pub(super) struct DeleteBody {
    #[serde(rename = "ref")]
    reference: String,
    ref_type: String,
    pub(super) sender: Option<Object<User>>,
    repository: Object<RepositoryName>,
}

/// A comment on an issue or pull request.
#[derive(Deserialize)]
pub(super) struct CommentBody {
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

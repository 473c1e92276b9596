//! What a delivery of GitHub, github.com or Enterprise, says, as an [`Event`]. GitHub adds events and actions without
//! notice; what we do not know is ignored.
//!
//! A push names its pusher by name and mail address only, which anybody can choose: who pushed is the `sender`.

use serde::Deserialize;

use super::payload::{
    self, Anything, DeleteBody, GHOST, Id, OUR_STATUSES, Object, RepositoryBody, RepositoryName, Unreadable, User,
    about, branch_name, named, parse, positive, unless_zero,
};
use crate::event::{Delivered, Event, HeadPush};
use crate::ids::{Account, CommitId, ForgeName};

/// Pull requests or repositories that one delivery has looked at; it may name thousands, each of which is a call or more
/// to the forge.
const LISTED: usize = 100;

/// Reads a verified body. `event` is the header `X-GitHub-Event`.
pub fn read(forge: &ForgeName, event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    match event {
        "push" => push(forge, parse(body)?),
        "delete" => delete(forge, parse(body)?),
        "pull_request" => pull(forge, parse(body)?),
        "pull_request_review" => review(parse(body)?),
        "issue_comment" => payload::comment(parse(body)?),
        "check_run" | "check_suite" => match parse::<ActionBody>(body)?.action.as_str() {
            "rerequested" => rerequested(parse(body)?),
            "completed" => completed(parse(body)?),
            _ => ignored(body, "nothing of it is shown or judged"),
        },
        "status" => payload::status(parse(body)?),
        "repository" => match parse::<ActionBody>(body)?.action.as_str() {
            "created" | "edited" | "renamed" | "transferred" | "deleted" | "archived" | "unarchived" | "publicized"
            | "privatized" => about(parse::<RepositoryBody>(body)?.repository, Event::RepositoryChanged),
            // Some of Enterprise name no repository.
            _ => ignored(body, "changes nothing we show or judge"),
        },
        "installation" => admitted(parse::<InstallationBody>(body)?.repositories.unwrap_or_default()),
        // Of the other list nothing is promised.
        "installation_repositories" => match parse::<ActionBody>(body)?.action.as_str() {
            "added" => admitted(parse::<AddedBody>(body)?.repositories_added),
            "removed" => admitted(parse::<RemovedBody>(body)?.repositories_removed),
            _ => ignored(body, "changes nothing we show or judge"),
        },
        "ping" => of_none(body, Event::Ping),
        "create" => ignored(body, "the push that created it is told too"),
        "merge_group" => match parse::<ActionBody>(body)?.action.as_str() {
            "checks_requested" => group(parse(body)?),
            // Merged, or thrown out: the branch it was for, and its pull requests, tell that.
            _ => ignored(body, "nothing is to be answered"),
        },
        _ => ignored(body, "not an event we act on"),
    }
}

fn push(forge: &ForgeName, body: PushBody) -> Result<Delivered, Unreadable> {
    let Some(branch) = body.reference.strip_prefix("refs/heads/") else {
        return about(body.repository, Event::Ignored { why: "not a push to a branch" });
    };
    let event = Event::Pushed {
        branch: branch_name(branch)?,
        before: unless_zero(&body.before)?,
        after: unless_zero(&body.after)?,
        pusher: person(body.sender, forge)?,
    };
    about(body.repository, event)
}

fn delete(forge: &ForgeName, mut body: DeleteBody) -> Result<Delivered, Unreadable> {
    let pusher = person(body.sender.take(), forge)?;
    payload::deleted(body, pusher)
}

fn pull(forge: &ForgeName, body: PullBody) -> Result<Delivered, Unreadable> {
    let number = positive(body.number, "the pull request's number")?;
    let event = match body.action.as_str() {
        "opened" | "closed" | "reopened" | "edited" | "ready_for_review" | "converted_to_draft" => {
            Event::PullChanged { number, head_push: None }
        }
        "synchronize" => {
            let after = body.after.ok_or(Unreadable::Field("the head that was pushed"))?;
            let head_push = person(body.sender, forge)?.map(|pusher| HeadPush { after, pusher });
            Event::PullChanged { number, head_push }
        }
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.repository, event)
}

fn review(body: ReviewBody) -> Result<Delivered, Unreadable> {
    let number = positive(body.pull_request.0.number, "the pull request's number")?;
    let event = match body.action.as_str() {
        "submitted" | "dismissed" => Event::ReviewChanged { number },
        "edited" => Event::ReviewEdited { number, review: positive(body.review.0.id, "the review's number")? },
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.repository, event)
}

/// Somebody asked for a check of ours to run again: GitHub tells it to nobody but the app whose check it is. The list may
/// have pull requests of other repositories, into which the same commit is to go.
fn rerequested(body: CheckBody) -> Result<Delivered, Unreadable> {
    let here = |pull: &Listed| pull.base.0.repo.0.id == body.repository.0.id;
    let pulls = body.check.0.pull_requests.into_iter().map(|Object(pull)| pull).filter(here);
    let numbers: Vec<i64> =
        pulls.map(|pull| positive(pull.number, "the pull request's number")).collect::<Result<_, _>>()?;
    match numbers.len() {
        // Of a fork's pull request there is none in the list.
        0..=LISTED => about(body.repository, Event::LookAsked { numbers, head: body.check.0.head_sha }),
        _ => Err(Unreadable::Field("the list of pull requests")),
    }
}

fn group(body: GroupBody) -> Result<Delivered, Unreadable> {
    let reference = body.merge_group.0.head_ref;
    let branch = branch_name(reference.strip_prefix("refs/heads/").unwrap_or(&reference))?;
    match body.repository {
        Some(repository) => about(repository, Event::GroupFormed { branch }),
        // By what is published it may be left out.
        None => Ok(nothing("it names no repository")),
    }
}

fn completed(body: CompletedBody) -> Result<Delivered, Unreadable> {
    match body.check_run.is_some_and(|run| run.0.name.starts_with(OUR_STATUSES)) {
        true => Ok(nothing("a check of our own")),
        false => about(body.repository, Event::ChecksChanged),
    }
}

/// Our app was installed or removed, or was given or lost repositories: those it names are looked at. That they are all is
/// promised by nobody, and a sweep reads the list.
fn admitted(repositories: Vec<Object<RepositoryName>>) -> Result<Delivered, Unreadable> {
    let repositories: Vec<_> = repositories.into_iter().map(named).collect::<Result<_, _>>()?;
    Ok(match repositories.len() {
        0 => nothing("it names no repository"),
        1..=LISTED => Delivered { repositories, event: Event::RepositoryChanged },
        _ => Delivered { repositories: Vec::new(), event: Event::InstallationChanged },
    })
}

/// Also what is no fact about its repository: an event that comes with every step of every check would spoil each
/// judgement that was made just before it.
fn ignored(body: &[u8], why: &'static str) -> Result<Delivered, Unreadable> {
    of_none(body, Event::Ignored { why })
}

fn of_none(body: &[u8], event: Event) -> Result<Delivered, Unreadable> {
    let Anything {} = parse(body)?;
    Ok(Delivered { repositories: Vec::new(), event })
}

fn nothing(why: &'static str) -> Delivered {
    Delivered { repositories: Vec::new(), event: Event::Ignored { why } }
}

fn person(sender: Option<Object<User>>, forge: &ForgeName) -> Result<Option<Account>, Unreadable> {
    sender.filter(|sender| sender.0.login != GHOST).map(|sender| payload::account(sender, forge)).transpose()
}

#[derive(Deserialize)]
struct ActionBody {
    action: String,
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    sender: Option<Object<User>>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct PullBody {
    action: String,
    number: i64,
    after: Option<CommitId>,
    sender: Option<Object<User>>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct ReviewBody {
    action: String,
    review: Object<Id>,
    pull_request: Object<Numbered>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct Numbered {
    number: i64,
}

#[derive(Deserialize)]
struct CheckBody {
    #[serde(rename = "check_run", alias = "check_suite")]
    check: Object<Check>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct Check {
    head_sha: CommitId,
    pull_requests: Vec<Object<Listed>>,
}

#[derive(Deserialize)]
struct GroupBody {
    merge_group: Object<Group>,
    repository: Option<Object<RepositoryName>>,
}

#[derive(Deserialize)]
struct Group {
    head_ref: String,
}

#[derive(Deserialize)]
struct CompletedBody {
    check_run: Option<Object<NamedCheck>>,
    repository: Object<RepositoryName>,
}

#[derive(Deserialize)]
struct NamedCheck {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Listed {
    number: i64,
    base: Object<Base>,
}

#[derive(Deserialize)]
struct Base {
    repo: Object<Id>,
}

#[derive(Deserialize)]
struct InstallationBody {
    repositories: Option<Vec<Object<RepositoryName>>>,
}

#[derive(Deserialize)]
struct AddedBody {
    repositories_added: Vec<Object<RepositoryName>>,
}

#[derive(Deserialize)]
struct RemovedBody {
    repositories_removed: Vec<Object<RepositoryName>>,
}

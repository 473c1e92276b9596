//! What a delivery of GitLab says, as an [`Event`]. It comes from a webhook of a project or of a group, or from one of
//! the whole instance, a system hook, which tells in its own way what becomes of projects.
//!
//! GitLab counts issues apart from merge requests; [`Iid`] says which number of ours is which. Nobody is told that a note
//! was deleted, nor of a push that moved more than three branches: sweeps find both.

use serde::Deserialize;

use super::payload::{
    Anything, GHOST, Id, Object, Unreadable, account_of, branch_name, parse, positive, repository_of, unless_zero,
};
use crate::event::{Delivered, Event, HeadPush};
use crate::ids::{Account, CommitId, ForgeName, Iid};

/// Reads a verified body. `event` is the header `X-Gitlab-Event` in one word: `merge_request` of `Merge Request Hook`.
pub fn read(forge: &ForgeName, event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    match event {
        "push" => push(forge, parse(body)?),
        "merge_request" => pull(forge, parse(body)?),
        // One that not everybody may read is told apart by its name alone; where it counts is for the jobs to say.
        "note" | "confidential_note" => note(parse(body)?),
        "pipeline" => pipeline(parse(body)?),
        "system" | "project" => of_instance(forge, body),
        "tag_push" => ignored(body, "not a push to a branch"),
        _ => ignored(body, "not an event we act on"),
    }
}

fn push(forge: &ForgeName, body: PushBody) -> Result<Delivered, Unreadable> {
    let event = match body.reference.strip_prefix("refs/heads/") {
        Some(branch) => Event::Pushed {
            branch: branch_name(branch)?,
            before: unless_zero(&body.before)?,
            after: unless_zero(&body.after)?,
            pusher: person(forge, body.user_id.zip(body.user_username))?,
        },
        None => Event::Ignored { why: "not a push to a branch" },
    };
    about(body.project_id, body.project.0.path_with_namespace, event)
}

fn pull(forge: &ForgeName, body: PullBody) -> Result<Delivered, Unreadable> {
    let Object(pull) = body.object_attributes;
    let number = Iid::MergeRequest(positive(pull.iid, "the merge request's number")?).number();
    // Without an action it is the button "test" of the webhook's page.
    let event = match pull.action.as_deref().unwrap_or("update") {
        "open" | "close" | "reopen" | "merge" => Event::PullChanged { number, head_push: None },
        "update" => {
            // Only a push has an old revision.
            let pushed = pull.oldrev.map(|_| pull.last_commit.ok_or(Unreadable::Field("the head that was pushed")));
            let pusher = person(forge, body.user.map(|Object(user)| (user.id, user.username)))?;
            let head_push = pushed.transpose()?.zip(pusher);
            Event::PullChanged {
                number,
                head_push: head_push.map(|(Object(head), pusher)| HeadPush { after: head.id, pusher }),
            }
        }
        // Of one person, and of all that were needed.
        "approval" | "unapproval" | "approved" | "unapproved" => Event::ReviewChanged { number },
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.project.0.id, body.project.0.path_with_namespace, event)
}

fn note(body: NoteBody) -> Result<Delivered, Unreadable> {
    let Object(note) = body.object_attributes;
    let iid = |on: Option<Object<Numbered>>| {
        on.map_or(Err(Unreadable::Field("what the note is on")), |Object(on)| positive(on.iid, "the note's place"))
    };
    let place = match note.noteable_type.as_str() {
        "MergeRequest" => Iid::MergeRequest(iid(body.merge_request)?),
        "Issue" => Iid::Issue(iid(body.issue)?),
        _ => return Ok(nothing("said where nobody consents")),
    };
    let (number, comment) = (place.number(), positive(note.id, "the note's number")?);
    // Whoever sent it did it; that it is their own note as well is what makes it theirs alone.
    let by = body.user.map(|Object(user)| user.id).filter(|id| Some(*id) == note.author_id);
    // An older one tells of new notes only, and does not say so.
    let event = match note.action.as_deref().unwrap_or("create") {
        _ if note.system == Some(true) => Event::Ignored { why: "GitLab wrote it itself" },
        "create" => Event::CommentCreated { number, comment, by },
        "update" => Event::CommentEdited { number, comment, by },
        _ => Event::Ignored { why: "changes nothing we show or judge" },
    };
    about(body.project.0.id, body.project.0.path_with_namespace, event)
}

/// Jobs and statuses are told with their pipeline. What is only begun makes nothing green or red.
fn pipeline(body: PipelineBody) -> Result<Delivered, Unreadable> {
    match body.object_attributes.0.status.as_str() {
        "success" | "failed" | "canceled" | "skipped" => {
            about(body.project.0.id, body.project.0.path_with_namespace, Event::ChecksChanged)
        }
        _ => Ok(nothing("a pipeline that is not over")),
    }
}

/// Of the whole instance; a group's webhook tells alike which projects it gains and loses.
fn of_instance(forge: &ForgeName, body: &[u8]) -> Result<Delivered, Unreadable> {
    let KindBody { object_kind, event_name } = parse(body)?;
    match object_kind.or(event_name).as_deref() {
        Some("push") => push(forge, parse(body)?),
        Some("merge_request") => pull(forge, parse(body)?),
        Some("project_create" | "project_destroy" | "project_rename" | "project_transfer" | "project_update") => {
            let project: ProjectBody = parse(body)?;
            about(project.project_id, project.path_with_namespace, Event::RepositoryChanged)
        }
        Some("repository_update") => ignored(body, "the pushes are told too"),
        Some("tag_push") => ignored(body, "not a push to a branch"),
        Some(_) | None => ignored(body, "not an event we act on"),
    }
}

fn about(id: i64, full_name: String, event: Event) -> Result<Delivered, Unreadable> {
    Ok(Delivered { repositories: vec![repository_of(id, full_name)?], event })
}

/// Also what is no fact about its project: an event that comes with every step of every pipeline would spoil each
/// judgement that was made just before it.
fn ignored(body: &[u8], why: &'static str) -> Result<Delivered, Unreadable> {
    let Anything {} = parse(body)?;
    Ok(nothing(why))
}

fn nothing(why: &'static str) -> Delivered {
    Delivered { repositories: Vec::new(), event: Event::Ignored { why } }
}

fn person(forge: &ForgeName, named: Option<(i64, String)>) -> Result<Option<Account>, Unreadable> {
    let named = named.filter(|(id, username)| *id > 0 && username != GHOST);
    named.map(|(id, username)| account_of(id, username, forge)).transpose()
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    user_id: Option<i64>,
    user_username: Option<String>,
    project_id: i64,
    /// Of a system hook it has no number of its own.
    project: Object<Path>,
}

#[derive(Deserialize)]
struct Path {
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct Project {
    id: i64,
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct PipelineBody {
    project: Object<Project>,
    object_attributes: Object<Pipeline>,
}

#[derive(Deserialize)]
struct Pipeline {
    status: String,
}

#[derive(Deserialize)]
struct PullBody {
    user: Option<Object<User>>,
    project: Object<Project>,
    object_attributes: Object<Pull>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    username: String,
}

#[derive(Deserialize)]
struct Pull {
    iid: i64,
    action: Option<String>,
    oldrev: Option<String>,
    last_commit: Option<Object<Commit>>,
}

#[derive(Deserialize)]
struct Commit {
    id: CommitId,
}

#[derive(Deserialize)]
struct NoteBody {
    user: Option<Object<Id>>,
    project: Object<Project>,
    object_attributes: Object<Note>,
    merge_request: Option<Object<Numbered>>,
    issue: Option<Object<Numbered>>,
}

#[derive(Deserialize)]
struct Note {
    id: i64,
    noteable_type: String,
    author_id: Option<i64>,
    action: Option<String>,
    system: Option<bool>,
}

#[derive(Deserialize)]
struct Numbered {
    iid: i64,
}

#[derive(Deserialize)]
struct KindBody {
    object_kind: Option<String>,
    event_name: Option<String>,
}

#[derive(Deserialize)]
struct ProjectBody {
    project_id: i64,
    path_with_namespace: String,
}

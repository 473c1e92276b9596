//! The door: bound, verify, deduplicate, store, answer. It makes no call outwards, and parses nothing before the
//! signature of the raw bytes was checked under the secrets of the endpoint, which the path alone chooses.
//!
//! ```text
//!   POST /webhooks/{forge} ─▶ headers ─▶ body (bounded) ─▶ signature ─▶ read by kind ─▶ jobs::route ─▶ store ─▶ 202
//!          404 unknown        401, 415     413, 408, 503      401        unreadable: quarantined      503
//! ```

pub mod body;
pub mod gitea;
pub mod github;
pub mod gitlab;
pub mod payload;
pub mod signature;
pub mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::db::deliveries::{DeliveryState, NewDelivery, Stored};
use crate::db::pushes::{Push, ToldBy};
use crate::event::{Delivered, Event, NamedRepository};
use crate::ids::{CommitId, ForgeName, RepositoryKey, TraceId};
use crate::jobs;
use crate::queue::NewJob;

use body::{InFlight, Limits, Unread};
use signature::{Kind, Refused};
use store::{Intake, Store};

/// Reads the secrets of an endpoint anew for each delivery, so that a rotated file counts at once.
/// `None`: they cannot be read now.
pub type Secrets = Arc<dyn Fn() -> Option<Vec<SecretString>> + Send + Sync>;

/// One configured forge's endpoint.
#[derive(Clone)]
pub struct Endpoint {
    /// How its deliveries are signed, and read.
    pub kind: Kind,
    /// Under what; never empty where deliveries are accepted.
    pub secrets: Secrets,
}

/// All of them, by the name in the path. Clones are the same list, which a reload replaces while the door is open.
#[derive(Clone, Default)]
pub struct Endpoints(Arc<RwLock<BTreeMap<ForgeName, Endpoint>>>);

impl Endpoints {
    /// Replaces the list.
    pub fn set(&self, endpoints: BTreeMap<ForgeName, Endpoint>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = endpoints;
    }

    /// What kind of forge is configured under this name.
    pub fn kind(&self, forge: &ForgeName) -> Option<Kind> {
        self.get(forge).map(|endpoint| endpoint.kind)
    }

    fn get(&self, forge: &ForgeName) -> Option<Endpoint> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(forge).cloned()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.0.read().unwrap_or_else(PoisonError::into_inner);
        out.debug_set().entries(endpoints.keys()).finish()
    }
}

impl From<BTreeMap<ForgeName, Endpoint>> for Endpoints {
    fn from(endpoints: BTreeMap<ForgeName, Endpoint>) -> Self {
        Self(Arc::new(RwLock::new(endpoints)))
    }
}

/// All of the door's state.
#[derive(Clone)]
struct Door {
    endpoints: Endpoints,
    store: Store,
    clock: Clock,
    limits: Limits,
    room: InFlight,
    turns: Arc<tokio::sync::Semaphore>,
}

/// The door's routes.
pub fn router(endpoints: impl Into<Endpoints>, store: Store, clock: Clock, limits: Limits) -> Router {
    let door = Door {
        endpoints: endpoints.into(),
        store,
        clock,
        limits,
        room: InFlight::new(limits.in_flight),
        turns: Arc::new(tokio::sync::Semaphore::new(limits.concurrent)),
    };
    Router::new().route("/webhooks/{forge}", post(receive)).with_state(door)
}

/// What a sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Pong,
    UnknownForge,
    NotJson,
    Refused(Refused),
    NoDeliveryId,
    Unread(Unread),
    Conflict,
    Unavailable,
}

impl Answer {
    /// The status, and the word the counter carries.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Accepted => (StatusCode::ACCEPTED, "accepted", "stored"),
            Self::Pong => (StatusCode::OK, "ping", "pong"),
            Self::UnknownForge => (StatusCode::NOT_FOUND, "unknown_forge", "no such endpoint"),
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "set the webhook's content type to application/json")
            }
            Self::Refused(Refused::Absent) => (StatusCode::UNAUTHORIZED, "no_signature", "refused"),
            Self::Refused(Refused::Doubled) => (StatusCode::UNAUTHORIZED, "doubled_signature", "refused"),
            Self::Refused(Refused::Malformed) => (StatusCode::UNAUTHORIZED, "malformed_signature", "refused"),
            Self::Refused(Refused::Wrong) => (StatusCode::UNAUTHORIZED, "wrong_signature", "refused"),
            Self::Refused(Refused::Stale) => (StatusCode::UNAUTHORIZED, "stale_signature", "refused"),
            Self::NoDeliveryId => (StatusCode::BAD_REQUEST, "no_delivery_id", "the delivery has no id or event header"),
            Self::Unread(Unread::TooLarge(_)) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large"),
            Self::Unread(Unread::TooSlow) => (StatusCode::REQUEST_TIMEOUT, "too_slow", "the body came too slowly"),
            Self::Unread(Unread::Broken) => (StatusCode::BAD_REQUEST, "broken", "the body ended early"),
            Self::Unread(Unread::Full) => (StatusCode::SERVICE_UNAVAILABLE, "full", "busy; try again"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "this delivery id came before with another body"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "cannot store it now; try again"),
        }
    }

    /// After these the rest of the body is not read, so the connection cannot be used again.
    fn closes(self) -> bool {
        matches!(self, Self::Unread(_) | Self::NotJson | Self::Refused(_) | Self::NoDeliveryId)
    }
}

async fn receive(State(door): State<Door>, request: Request) -> Response {
    // As it was sent: there is one way to write an endpoint's path. What `%77ork` says, a proxy in front of us may have
    // read differently.
    let forge = request.uri().path().strip_prefix("/webhooks/").unwrap_or_default().to_owned();
    let answer = match take(&door, &forge, request).await {
        Ok(answer) | Err(answer) => answer,
    };
    let (status, outcome, text) = answer.parts();
    // An unknown forge's name is the sender's choice: it must not become a label.
    let forge = if answer == Answer::UnknownForge { "unknown".to_owned() } else { forge };
    metrics::counter!("bascule_webhook_deliveries_total", "forge" => forge, "outcome" => outcome).increment(1);
    let mut response = (status, format!("{text}\n")).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    }
    if answer.closes() {
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

async fn take(door: &Door, forge: &str, request: Request) -> Result<Answer, Answer> {
    let forge: ForgeName = forge.parse().map_err(|_| Answer::UnknownForge)?;
    let endpoint = door.endpoints.get(&forge).ok_or(Answer::UnknownForge)?;
    let _turn = door.turns.try_acquire().map_err(|_| Answer::Unread(Unread::Full))?;
    let (parts, raw) = request.into_parts();
    let claimed = signature::claimed(endpoint.kind, &parts.headers).map_err(Answer::Refused)?;
    is_json(&parts.headers).then_some(()).ok_or(Answer::NotJson)?;
    let delivery_id = word(&parts.headers, endpoint.kind.delivery_headers()).ok_or(Answer::NoDeliveryId)?;
    let event = event(endpoint.kind, &parts.headers).ok_or(Answer::NoDeliveryId)?;
    let held =
        body::read(raw, content_length(&parts.headers)?, &door.limits, &door.room).await.map_err(Answer::Unread)?;
    let secrets = (endpoint.secrets)().unwrap_or_default();
    if secrets.is_empty() || !secrets.iter().all(|secret| signature::is_usable(endpoint.kind, secret)) {
        tracing::error!(%forge, "the webhook secret cannot be read, is empty or was cut; deliveries are refused until it can");
        return Err(Answer::Unavailable);
    }
    signature::verify(&secrets, &claimed, &held.bytes, door.clock.now()).map_err(Answer::Refused)?;
    if event == "ping" {
        return Ok(Answer::Pong);
    }
    let intake = read(door, (&forge, endpoint.kind), delivery_id, event, held.bytes);
    let id = (intake.delivery.id, intake.delivery.delivery_id.clone());
    let answer = tokio::time::timeout(door.limits.answer, door.store.put(intake, held.room)).await;
    match answer.map_err(|_| Answer::Unavailable)?.map_err(|_| Answer::Unavailable)? {
        Stored::New | Stored::Duplicate => Ok(Answer::Accepted),
        Stored::Conflict => {
            let (conflict, delivery_id) = id;
            tracing::warn!(%forge, delivery_id, %conflict, "a delivery's id came before with another body; it is not acted on");
            Err(Answer::Conflict)
        }
    }
}

/// What is to be committed for a verified body: also one that cannot be read is kept, for a person to look at.
fn read(door: &Door, (forge, kind): (&ForgeName, Kind), delivery_id: String, event: String, body: Vec<u8>) -> Intake {
    let trace = TraceId(door.clock.new_id());
    let told = tell((forge, kind), &event, &body, trace);
    let (of, state) = (forge.to_string(), told.state.as_str());
    metrics::counter!("bascule_webhook_reads_total", "forge" => of, "state" => state).increment(1);
    let delivery = NewDelivery {
        id: door.clock.new_id(),
        forge: forge.clone(),
        delivery_id,
        event,
        body_hash: Sha256::digest(&body).into(),
        body,
        trace,
        state: told.state,
        reason: told.reason,
        repositories: told.repositories.iter().map(|repository| repository.id).collect(),
    };
    let Told { repositories, push, edited, again, by, jobs, .. } = told;
    Intake { delivery, repositories, push, edited, again, by, jobs }
}

/// What a stored body says and causes: the same for the door and for a replay.
#[derive(Debug)]
pub struct Told {
    /// What becomes of the delivery.
    pub state: DeliveryState,
    /// Why it is ignored or quarantined.
    pub reason: Option<String>,
    /// The repositories it is a fact about.
    pub repositories: Vec<RepositoryKey>,
    /// A push it tells of.
    pub push: Option<Push>,
    /// A comment it tells was edited or deleted; a review's text is negative.
    pub edited: Option<i64>,
    /// A commit whose check of ours is to run again.
    pub again: Option<CommitId>,
    /// Whose own comment it tells of: when that is us, it is no news.
    pub by: Option<i64>,
    /// What to do about it.
    pub jobs: Vec<NewJob>,
}

/// Why a delivery of our own comment is ignored.
pub const OUR_OWN: &str = "we wrote it ourselves";

impl Told {
    /// Something nothing comes of.
    pub fn nothing(state: DeliveryState, reason: Option<String>) -> Self {
        let (repositories, jobs) = (Vec::new(), Vec::new());
        Self { state, reason, repositories, push: None, edited: None, again: None, by: None, jobs }
    }

    /// Takes from an event what the forge cannot be asked for later.
    fn keep(&mut self, event: Event) {
        let Some(repository) = self.repositories.first().cloned() else { return };
        match event {
            Event::Pushed { branch, before, after: Some(after), pusher } => {
                let told_by = ToldBy::Delivery;
                self.push = Some(Push { repository, branch, before, after, pusher, told_by });
            }
            Event::PullChanged { number, head_push: Some(push) } => {
                // The head may be a branch of a fork; it is filed under the reference the forge keeps for it here.
                let branch = format!("refs/pull/{number}/head");
                let (before, after, pusher, told_by) = (None, push.after, Some(push.pusher), ToldBy::Delivery);
                self.push = Some(Push { repository, branch, before, after, pusher, told_by });
            }
            Event::CommentCreated { by, .. } => self.by = by,
            Event::CommentEdited { comment, by, .. } => (self.edited, self.by) = (Some(comment), by),
            Event::LookAsked { head, .. } => self.again = Some(head),
            // Forges number reviews apart from comments.
            Event::ReviewEdited { review, .. } => self.edited = Some(-review),
            Event::Pushed { after: None, .. }
            | Event::PullChanged { head_push: None, .. }
            | Event::ReviewChanged { .. }
            | Event::GroupFormed { .. }
            | Event::ChecksChanged
            | Event::RepositoryChanged
            | Event::InstallationChanged
            | Event::Ping
            | Event::Ignored { .. } => {}
        }
    }
}

/// Reads a verified body as the forge of its endpoint writes it. `event` is the event header it came with.
pub fn tell((forge, kind): (&ForgeName, Kind), event: &str, body: &[u8], trace: TraceId) -> Told {
    let read = match kind {
        Kind::Gitea | Kind::Forgejo => gitea::read(forge, event, body),
        Kind::GitHub => github::read(forge, event, body),
        Kind::GitLab => gitlab::read(forge, event, body),
    };
    let (state, reason) = match &read {
        Ok(Delivered { event: Event::Ignored { why }, .. }) => (DeliveryState::Ignored, Some((*why).to_owned())),
        Ok(_) => (DeliveryState::Done, None),
        Err(unreadable) => (DeliveryState::Quarantined, Some(unreadable.to_string().replace('\0', "\u{fffd}"))),
    };
    let Ok(Delivered { repositories, event }) = read else { return Told::nothing(state, reason) };
    let key = |named: NamedRepository| RepositoryKey { forge: forge.clone(), id: named.id };
    let repositories: Vec<RepositoryKey> = repositories.into_iter().map(key).collect();
    let mut jobs: Vec<NewJob> =
        repositories.iter().flat_map(|repository| jobs::route(repository, &event, trace)).collect();
    jobs.extend(jobs::route::route_forge(forge, &event, trace));
    let repositories = if event == Event::ChecksChanged { Vec::new() } else { repositories };
    let mut told = Told { repositories, jobs, ..Told::nothing(state, reason) };
    told.keep(event);
    told
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// What happened, in one word. GitLab writes it for people: `Merge Request Hook` is its `merge_request`.
fn event(kind: Kind, headers: &HeaderMap) -> Option<String> {
    let names = kind.event_headers();
    match kind {
        Kind::Gitea | Kind::Forgejo | Kind::GitHub => word(headers, names),
        Kind::GitLab => {
            let written = printable(headers, names)?;
            Some(written.strip_suffix(" Hook").unwrap_or(&written).to_ascii_lowercase().replace(' ', "_"))
        }
    }
}

/// A header that must be one printable word of a sane length, once.
fn word(headers: &HeaderMap, names: &[&str]) -> Option<String> {
    printable(headers, names).filter(|value| !value.contains(' '))
}

fn printable(headers: &HeaderMap, names: &[&str]) -> Option<String> {
    let name = names.iter().find(|name| headers.contains_key(**name))?;
    let mut values = headers.get_all(*name).iter();
    let value = values.next()?.to_str().ok()?;
    let fits = (1..=200).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    (values.next().is_none() && fits).then(|| value.to_owned())
}

fn content_length(headers: &HeaderMap) -> Result<Option<usize>, Answer> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or(Answer::Unread(Unread::Broken))
}

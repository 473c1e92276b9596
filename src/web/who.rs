//! Who a request is, and what it may do: a machine token with scopes, or a person who signed in and sees what they may
//! read on their forge. What they may not read is not there, for them.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;

use super::people::{Away, Right, SHOWN_FOR};
use super::problem::Problem;
use super::token::{self, Scope};
use super::{State, origin, session, sign_in};
use crate::audit::NewEntry;
use crate::db::deliveries::About;
use crate::db::environments::Whom;
use crate::db::repositories;
use crate::db::sessions::{Session, Way};
use crate::ids::{Account, ForgeName, RepositoryKey, TraceId};

/// What a route asks of a request, as a type: a route that takes an [`Allowed`] cannot be reached without it.
pub(super) trait Asks {
    /// The scope of a token; `None`: any token.
    const SCOPE: Option<Scope>;
    /// Whether people may come here at all.
    const PEOPLE: bool;
}

/// Any token, every person.
pub(super) struct Any;
/// Scope `read`; a person, for what they may read.
pub(super) struct Read;
/// Scope `operate`; a person, for what they may write to.
pub(super) struct Operate;
/// Scope `audit`. The log tells of everything at once: it is for tokens.
pub(super) struct Audit;

impl Asks for Any {
    const SCOPE: Option<Scope> = None;
    const PEOPLE: bool = true;
}
impl Asks for Read {
    const SCOPE: Option<Scope> = Some(Scope::Read);
    const PEOPLE: bool = true;
}
impl Asks for Operate {
    const SCOPE: Option<Scope> = Some(Scope::Operate);
    const PEOPLE: bool = true;
}
impl Asks for Audit {
    const SCOPE: Option<Scope> = Some(Scope::Audit);
    const PEOPLE: bool = false;
}

/// Who a request is.
enum Who {
    /// A machine, by its token's name.
    Machine(String),
    Person(Session),
}

/// A request of somebody who may.
pub(super) struct Allowed<R> {
    who: Who,
    /// The request's own, in log lines, entries and the jobs it causes.
    pub(super) trace: TraceId,
    asks: std::marker::PhantomData<R>,
}

impl<R> Allowed<R> {
    /// What the log calls it.
    pub(super) fn actor(&self) -> String {
        match &self.who {
            Who::Machine(token) => format!("token {token}"),
            Who::Person(session) => named(&session.person),
        }
    }

    /// The session of a person.
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.who {
            Who::Machine(_) => None,
            Who::Person(session) => Some(session),
        }
    }

    /// An entry of what it does.
    pub(super) fn entry(&self, action: &'static str, subject: String, detail: serde_json::Value) -> NewEntry {
        NewEntry { actor: self.actor(), action, subject, detail, cause: "api".to_owned(), trace: self.trace }
    }
}

/// As the log names a person.
pub(super) fn named(person: &Account) -> String {
    format!("{}/{} ({})", person.forge, person.login, person.id)
}

/// What of all repositories a request sees; `None`: everything.
pub(super) struct Sight(Option<Seen>);

struct Seen {
    forge: ForgeName,
    ours: Vec<i64>,
    theirs: Vec<i64>,
}

impl Sight {
    /// Our numbers of the repositories.
    pub(super) fn ours(&self) -> Option<&[i64]> {
        self.0.as_ref().map(|seen| seen.ours.as_slice())
    }

    /// The repositories as deliveries name them.
    pub(super) fn about(&self) -> Option<About<'_>> {
        self.0.as_ref().map(|seen| About { forge: &seen.forge, repositories: &seen.theirs })
    }

    /// The repositories as jobs name whose work they are.
    pub(super) fn shares(&self) -> Option<Vec<String>> {
        let share = |seen: &Seen| seen.theirs.iter().map(|id| format!("{}/{id}", seen.forge)).collect();
        self.0.as_ref().map(share)
    }
}

impl Allowed<Read> {
    /// What of all repositories is shown; of those of this name alone, when one is asked for.
    pub(super) async fn sees(&self, state: &State, name: Option<&str>) -> Result<Sight, Problem> {
        let Who::Person(session) = &self.who else { return Ok(Sight(None)) };
        let forge = &session.person.forge;
        let mut known = repositories::of_forge(&mut *state.pool.acquire().await?, forge).await?;
        known.retain(|one| {
            name.is_none_or(|name| name == one.full_name || name == format!("{forge}/{}", one.full_name))
        });
        let keys = known.iter().map(|one| one.key.clone()).collect();
        let rights = rights(state, &session.person, keys, SHOWN_FOR).await?;
        known.retain(|one| rights.iter().any(|(key, _)| *key == one.key));
        let (ours, theirs) = known.into_iter().map(|one| (one.id, one.key.id)).unzip();
        Ok(Sight(Some(Seen { forge: forge.clone(), ours, theirs })))
    }

    /// Whether a thing of this repository (our number) is shown; else it is not there.
    pub(super) async fn may_read(&self, state: &State, repository: i64, what: &str) -> Result<(), Problem> {
        let Who::Person(session) = &self.who else { return Ok(()) };
        let found = repositories::get(&mut *state.pool.acquire().await?, repository).await?;
        let key = found.ok_or_else(|| Problem::absent(what))?.key;
        let rights = rights(state, &session.person, vec![key], SHOWN_FOR).await?;
        if rights.is_empty() { Err(Problem::absent(what)) } else { Ok(()) }
    }
}

impl Allowed<Operate> {
    /// Whose the keys are that it gives its acts.
    pub(super) fn owner(&self) -> String {
        match &self.who {
            Who::Machine(token) => format!("token {token}"),
            // Not by the login, which may become another's.
            Who::Person(session) => format!("person {}/{}", session.person.forge, session.person.id),
        }
    }

    /// Whether what was answered about these repositories is told again; else the thing is not there.
    pub(super) async fn may_still_read(
        &self,
        state: &State,
        repositories: Vec<RepositoryKey>,
        what: &str,
    ) -> Result<(), Problem> {
        let Who::Person(session) = &self.who else { return Ok(()) };
        let count = repositories.len();
        let rights = rights(state, &session.person, repositories, SHOWN_FOR).await?;
        if rights.len() < count { Err(Problem::absent(what)) } else { Ok(()) }
    }

    /// Whether an act on a thing of these repositories is permitted: a person has to have write access to each, now.
    pub(super) async fn may_write(
        &self,
        state: &State,
        repositories: Vec<RepositoryKey>,
        what: &str,
    ) -> Result<(), Problem> {
        let Who::Person(session) = &self.who else { return Ok(()) };
        let count = repositories.len();
        let rights = rights(state, &session.person, repositories, SignedDuration::ZERO).await?;
        if count == 0 || rights.len() < count {
            return Err(Problem::absent(what));
        }
        if rights.iter().any(|(_, right)| *right < Right::Write) {
            return Err(Problem::forbidden("this needs write access to the repository"));
        }
        Ok(())
    }
}

impl Allowed<Operate> {
    /// Whether a command that rules leave to some is permitted: a person has to be one of them, now, and to see the
    /// repository; where rules name nobody, to have write access.
    pub(super) async fn may_command(
        &self,
        state: &State,
        repository: &RepositoryKey,
        whom: Option<&Whom>,
        what: &str,
    ) -> Result<(), Problem> {
        let Some(whom) = whom else { return self.may_write(state, vec![repository.clone()], what).await };
        let Who::Person(session) = &self.who else {
            return Err(Problem::forbidden(
                "the environment leaves this to people, by `may`: sign in with `bascule login`",
            ));
        };
        let rights = rights(state, &session.person, vec![repository.clone()], SignedDuration::ZERO).await?;
        if rights.is_empty() {
            return Err(Problem::absent(what));
        }
        let named = state.people.is_one_of(&session.person, repository, whom).await;
        match named.map_err(|Away| Problem::unavailable("your forge does not say now what you may do; try again"))? {
            true => Ok(()),
            false => Err(Problem::forbidden("the environment leaves this to others, by `may`")),
        }
    }
}

impl Allowed<Operate> {
    /// The same of what has to be possible while the forge is away: then what it said of somebody's right within the last
    /// minutes counts. Whom rules name cannot be known without it.
    pub(super) async fn may_go_back(
        &self,
        state: &State,
        repository: &RepositoryKey,
        whom: Option<&Whom>,
        what: &str,
    ) -> Result<(), Problem> {
        let problem = match self.may_command(state, repository, whom, what).await {
            Err(problem) if problem.is_unavailable() => problem,
            said => return said,
        };
        let (None, Who::Person(session)) = (whom, &self.who) else { return Err(problem) };
        let remembered = state.people.rights(&session.person, vec![repository.clone()], SHOWN_FOR).await;
        let may = remembered.is_ok_and(|rights| rights.iter().any(|(_, right)| *right >= Right::Write));
        if may { Ok(()) } else { Err(problem) }
    }
}

async fn rights(
    state: &State,
    person: &Account,
    repositories: Vec<RepositoryKey>,
    age: SignedDuration,
) -> Result<Vec<(RepositoryKey, Right)>, Problem> {
    state.people.rights(person, repositories, age).await.map_err(|Away| {
        Problem::unavailable("your forge does not say now what you may see, so nothing is shown; try again")
    })
}

impl<R: Asks> FromRequestParts<State> for Allowed<R> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let who = if parts.headers.contains_key(header::AUTHORIZATION) {
            // Only what a script sets itself: a browser sends Basic credentials along with requests of other sites.
            let said = bearer(&parts.headers).ok_or_else(nobody)?;
            of_token::<R>(state, said).await?
        } else {
            of_cookie(parts, state).await?
        };
        allow(who, state)
    }
}

pub(super) fn nobody() -> Problem {
    Problem::unauthorized("send `Authorization: Bearer …`: `bascule login` gets one, or `bascule token create`")
}

fn allow<R: Asks>(who: Who, state: &State) -> Result<Allowed<R>, Problem> {
    if matches!(who, Who::Person(_)) && !R::PEOPLE {
        return Err(Problem::forbidden("the log tells of every repository: it is read with a token of scope `audit`"));
    }
    Ok(Allowed { who, trace: TraceId(state.clock.new_id()), asks: std::marker::PhantomData })
}

async fn of_token<R: Asks>(state: &State, said: &str) -> Result<Who, Problem> {
    if said.starts_with(session::PREFIX) {
        let found = session::find(state, said, Way::Command).await?;
        return found.map(Who::Person).ok_or_else(|| Problem::unauthorized("you are signed out: `bascule login`"));
    }
    let token = token::good(state, said).await?;
    token::may(&token, R::SCOPE.as_ref())?;
    Ok(Who::Machine(token.name))
}

/// A browser sends its cookie wherever it is sent itself: what changes something needs a proof that a page of ours asked.
async fn of_cookie(parts: &Parts, state: &State) -> Result<Who, Problem> {
    let said = session::cookie(&parts.headers, &session::name(state)).ok_or_else(nobody)?;
    let found = session::find(state, said, Way::Browser).await?;
    let session = found.ok_or_else(|| Problem::unauthorized("you are signed out"))?;
    if ![Method::GET, Method::HEAD].contains(&parts.method) {
        let shown = parts.headers.get("x-bascule-csrf").and_then(|value| value.to_str().ok()).unwrap_or_default();
        origin::prove(&parts.headers, &state.public_url, said, shown)?;
    }
    Ok(Who::Person(session))
}

/// Somebody who may look at pages: as the API's, or with a token as the password of a browser's prompt. Pages only show.
pub(super) struct Reader(pub(super) Allowed<Read>);

impl FromRequestParts<State> for Reader {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        let is_told = parts.headers.contains_key(header::AUTHORIZATION);
        let who = if is_told { of_prompt(parts, state).await } else { of_cookie(parts, state).await };
        match who.and_then(|who| allow(who, state)) {
            Ok(allowed) => Ok(Self(allowed)),
            Err(problem) if problem.is_unauthorized() && !is_told && !state.people.doors().is_empty() => {
                Err(sign_in::towards(state, parts.uri.path_and_query().map_or("/", |path| path.as_str())))
            }
            Err(problem) => {
                let mut response = problem.into_response();
                if response.status() == StatusCode::UNAUTHORIZED {
                    // A browser asks for a password; any name will do.
                    let ask =
                        HeaderValue::from_static("Basic realm=\"bascule: a token as the password\", charset=\"UTF-8\"");
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
                }
                Err(response)
            }
        }
    }
}

async fn of_prompt(parts: &Parts, state: &State) -> Result<Who, Problem> {
    let prompted = || {
        let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let pair = String::from_utf8(STANDARD.decode(after_scheme(value, "basic")?).ok()?).ok()?;
        pair.split_once(':').map(|(_, password)| password.to_owned())
    };
    let said = bearer(&parts.headers).map(str::to_owned).or_else(prompted);
    let said = said.ok_or_else(|| Problem::unauthorized("this page needs a token: give it as the password"))?;
    of_token::<Read>(state, &said).await
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| after_scheme(value, "bearer")).flatten()
}

fn after_scheme<'v>(value: &'v str, scheme: &str) -> Option<&'v str> {
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

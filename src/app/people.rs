//! What the forges say of people, for the windows: who signed in, and what they may read.
//!
//! Rights are asked under our own account, so that nobody's token has to be kept, and an answer is good for as long as who
//! asks says. A repository is asked for by its number first, since its name may be another's by now; a person by their
//! login, which has to be the account's that signed in still.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Context as _;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::assemble;
use crate::clock::Clock;
use crate::config::Server;
use crate::consent;
use crate::forge::{Application, Fate, ForgeError, RepositoryAt, Standing};
use crate::ids::{Account, ForgeName, RepositoryKey};
use crate::jobs::ForgeAccess;
use crate::policy::rules::{Group, Role, Voters};
use crate::web::people::{Attempt, Away, Forges, NotSignedIn, Right};

/// Questions at once, for one person: as many as a forge is asked at once in all.
const AT_ONCE: usize = 8;
/// Answers that are kept, of each kind: a thousand people who look at twenty repositories.
const KEPT: usize = 20_000;

/// The forges that are configured, and what they said in the last minutes.
#[derive(Debug)]
pub struct People {
    clock: Clock,
    forges: RwLock<BTreeMap<ForgeName, Known>>,
    persons: Memory<(ForgeName, i64), bool>,
    places: Memory<RepositoryKey, Option<RepositoryAt>>,
    rights: Memory<(RepositoryKey, i64), Option<Right>>,
    groups: RwLock<BTreeMap<String, Group>>,
}

#[derive(Debug, Clone)]
struct Known {
    access: Arc<ForgeAccess>,
    application: Option<Arc<Application>>,
}

impl People {
    /// Of a server's forges.
    ///
    /// # Errors
    /// An application that cannot be set up.
    pub fn new(
        server: &Server,
        forges: &BTreeMap<ForgeName, Arc<ForgeAccess>>,
        clock: &Clock,
    ) -> anyhow::Result<Arc<Self>> {
        let people = Self {
            clock: clock.clone(),
            forges: RwLock::default(),
            persons: Memory::default(),
            places: Memory::default(),
            rights: Memory::default(),
            groups: RwLock::default(),
        };
        people.set(people.reloaded(server, forges)?);
        Ok(Arc::new(people))
    }

    /// What a reload makes of them: to be had before anything is replaced.
    pub(super) fn reloaded(
        &self,
        server: &Server,
        forges: &BTreeMap<ForgeName, Arc<ForgeAccess>>,
    ) -> anyhow::Result<Reloaded> {
        let forges = known(server, forges, &self.clock)?;
        Ok(Reloaded { forges, groups: server.platform.groups.clone() })
    }

    /// From now on these.
    pub(super) fn set(&self, reloaded: Reloaded) {
        *self.forges.write().unwrap_or_else(PoisonError::into_inner) = reloaded.forges;
        *self.groups.write().unwrap_or_else(PoisonError::into_inner) = reloaded.groups;
        // A name may be another forge's now.
        self.persons.forget();
        self.places.forget();
        self.rights.forget();
    }

    fn known(&self, forge: &ForgeName) -> Option<Known> {
        self.forges.read().unwrap_or_else(PoisonError::into_inner).get(forge).cloned()
    }

    /// Whether the account that signed in is there still, under its login, and may act.
    async fn is_still(&self, known: &Known, person: &Account, since: Timestamp) -> Result<bool, Away> {
        let key = (person.forge.clone(), person.id);
        if let Some((said, _)) = self.persons.since(&key, since) {
            return Ok(said);
        }
        let asked_at = self.clock.now();
        let said = match known.access.forge.user(&person.login).await {
            Ok(user) => user.account == *person && user.standing != Standing::Suspended,
            Err(error) => nothing(&error).map(|()| false)?,
        };
        self.persons.keep(key, said, asked_at);
        Ok(said)
    }

    async fn place(
        &self,
        known: &Known,
        repository: &RepositoryKey,
        since: Timestamp,
    ) -> Result<(Option<RepositoryAt>, Timestamp), Away> {
        if let Some(said) = self.places.since(repository, since) {
            return Ok(said);
        }
        let asked_at = self.clock.now();
        let said = match known.access.forge.repository_by_id(repository.id).await {
            Ok(found) => Some(found.at),
            Err(error) => nothing(&error).map(|()| None)?,
        };
        self.places.keep(repository.clone(), said.clone(), asked_at);
        Ok((said, asked_at))
    }

    async fn right(
        &self,
        known: &Known,
        person: &Account,
        repository: &RepositoryKey,
        since: Timestamp,
    ) -> Result<Option<Right>, Away> {
        let key = (repository.clone(), person.id);
        if let Some((said, _)) = self.rights.since(&key, since) {
            return Ok(said);
        }
        // As old as the oldest of what it rests on.
        let (place, asked_at) = self.place(known, repository, since).await?;
        let said = match place {
            None => None,
            Some(at) => match known.access.forge.permission(&at, &person.login).await {
                Ok(role) => role.map(|role| if role >= Role::Write { Right::Write } else { Right::Read }),
                Err(error) => nothing(&error).map(|()| None)?,
            },
        };
        self.rights.keep(key, said, asked_at);
        Ok(said)
    }

    /// Whether somebody is one of these, by what the forge says now.
    async fn named(&self, person: &Account, repository: &RepositoryKey, whom: &Voters) -> Result<bool, Away> {
        let Some(known) = self.known(&person.forge).filter(|_| person.forge == repository.forge) else {
            return Ok(false);
        };
        let now = self.clock.now();
        if !self.is_still(&known, person, now).await? {
            return Ok(false);
        }
        let (Some(at), _) = self.place(&known, repository, now).await? else { return Ok(false) };
        let forge = &known.access.forge;
        let right = match forge.permission(&at, &person.login).await {
            Ok(Some(role)) => consent::Right::Has(role),
            Ok(None) => return Ok(false),
            Err(error) => return nothing(&error).map(|()| false),
        };
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut teams = BTreeMap::new();
        for team in consent::People::teams_asked(&person.forge, &groups, whom) {
            let Some((_, name)) = team.split_once('/').filter(|(of, _)| *of == person.forge.as_str()) else { continue };
            let is_member = match forge.is_team_member(name, &person.login).await {
                Ok(is_member) => is_member,
                Err(error) => nothing(&error).map(|()| false)?,
            };
            teams.insert(team, if is_member { consent::Answer::Yes } else { consent::Answer::No });
        }
        let (account, kind) = (person.clone(), consent::Kind::Person);
        let standing = consent::Standing { account, kind, right, teams, email: None };
        let people = consent::People::new(person.forge.clone(), groups, Vec::new());
        Ok(people.is_one_of(&standing, whom) == consent::Answer::Yes)
    }

    async fn all(
        &self,
        person: &Account,
        repositories: Vec<RepositoryKey>,
        age: SignedDuration,
    ) -> Result<Vec<(RepositoryKey, Right)>, Away> {
        let Some(known) = self.known(&person.forge) else { return Ok(Vec::new()) };
        // An age of nothing: only what is asked for at this moment.
        let since = self.clock.now().checked_sub(age).unwrap_or(Timestamp::MIN);
        if !self.is_still(&known, person, since).await? {
            return Ok(Vec::new());
        }
        let mut asked = Vec::new();
        for repository in repositories.into_iter().filter(|one| one.forge == person.forge) {
            let known = &known;
            asked.push(
                async move {
                    let right = self.right(known, person, &repository, since).await?;
                    Ok(right.map(|right| (repository, right)))
                }
                .boxed(),
            );
        }
        let said: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        said.into_iter().filter_map(Result::transpose).collect()
    }
}

/// What follows from an answer that is none: a forge that is away is asked again, and whatever else it is costs this one
/// repository or person only.
fn nothing(error: &ForgeError) -> Result<(), Away> {
    match error.fate {
        Fate::Retry { .. } => {
            tracing::warn!(error = error as &dyn std::error::Error, "a forge does not say what somebody may");
            Err(Away)
        }
        Fate::Gone => Ok(()),
        Fate::Refused | Fate::Invalid => {
            tracing::warn!(error = error as &dyn std::error::Error, "what somebody may is not to be had");
            Ok(())
        }
    }
}

/// What a reload makes of the forges.
pub(super) struct Reloaded {
    forges: BTreeMap<ForgeName, Known>,
    groups: BTreeMap<String, Group>,
}

fn known(
    server: &Server,
    forges: &BTreeMap<ForgeName, Arc<ForgeAccess>>,
    clock: &Clock,
) -> anyhow::Result<BTreeMap<ForgeName, Known>> {
    let mut all = BTreeMap::new();
    for (name, access) in forges {
        let Some(forge) = server.forges.get(name) else { continue };
        let application = match &forge.application {
            None => None,
            Some(one) => {
                let secret = one.client_secret.read();
                let secret = secret.with_context(|| format!("forge.{name}.sign_in.client_secret"))?;
                let settings = assemble::settings(name, forge)?;
                let ours = (one.client_id.clone(), secret);
                Some(Arc::new(Application::new(assemble::kind(forge.kind), &settings, ours, clock.clone())?))
            }
        };
        all.insert(name.clone(), Known { access: access.clone(), application });
    }
    Ok(all)
}

impl Forges for People {
    fn doors(&self) -> Vec<ForgeName> {
        let forges = self.forges.read().unwrap_or_else(PoisonError::into_inner);
        forges.iter().filter(|(_, known)| known.application.is_some()).map(|(name, _)| name.clone()).collect()
    }

    fn address(&self, forge: &ForgeName, attempt: &Attempt, challenge: &str) -> Option<String> {
        Some(self.known(forge)?.application?.address(&attempt.redirect, &attempt.state, challenge))
    }

    fn account<'a>(
        &'a self,
        forge: &'a ForgeName,
        code: &'a str,
        attempt: &'a Attempt,
    ) -> BoxFuture<'a, Result<Account, NotSignedIn>> {
        async move {
            let application = self.known(forge).and_then(|known| known.application).ok_or(NotSignedIn::Refused)?;
            let Attempt { redirect, state, verifier } = attempt;
            let attempt = crate::forge::Attempt { redirect, state, verifier };
            application.account(code, &attempt).await.map_err(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "nobody signed in");
                if error.is_passing() { NotSignedIn::Away } else { NotSignedIn::Refused }
            })
        }
        .boxed()
    }

    fn rights<'a>(
        &'a self,
        person: &'a Account,
        repositories: Vec<RepositoryKey>,
        age: SignedDuration,
    ) -> BoxFuture<'a, Result<Vec<(RepositoryKey, Right)>, Away>> {
        self.all(person, repositories, age).boxed()
    }

    fn is_one_of<'a>(
        &'a self,
        person: &'a Account,
        repository: &'a RepositoryKey,
        whom: &'a Voters,
    ) -> BoxFuture<'a, Result<bool, Away>> {
        self.named(person, repository, whom).boxed()
    }
}

/// Answers with the time they were asked for.
#[derive(Debug)]
struct Memory<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Memory<K, V> {
    /// An answer that was asked for after this.
    fn since(&self, key: &K, since: Timestamp) -> Option<(V, Timestamp)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(_, at)| *at > since).cloned()
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn keep(&self, key: K, said: V, at: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            // Whoever is forgotten is asked about again.
            kept.clear();
        }
        kept.insert(key, (said, at));
    }
}

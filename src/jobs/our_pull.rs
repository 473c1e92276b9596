//! A pull request of ours that somebody asked for, whatever it is for: what will be pushed is stored before it is, one that does the
//! same and is open is taken instead, and it is looked for before it is opened, so that no second one is.

use uuid::Uuid;

use super::error::JobError;
use super::gather::repository::Repository;
use super::show::writer::Writer;
use crate::db::our_pulls::{self, OurPull};
use crate::forge::{Fate, NewPull, PullState};
use crate::git::{BranchName, ChangedPath, GitError};
use crate::ids::{CommitId, EnvironmentName};
use crate::queue::Lease;

/// What our account needs for it, beside what it needs for everything else.
const TO_PUSH: &str = "our account has to be able to push branches (`bascule connect` says which right is missing)";

/// Letters of an id in a branch's name: an environment that moves gives its numbers anew, and its name to another.
const LETTERS: usize = 8;

/// Why there is no pull request.
pub(super) enum Stop {
    /// There never will be.
    Never(String),
    /// Our account may not: tried again, less and less often, until somebody lets it.
    Refused(String),
    /// Not now.
    Job(JobError),
}

impl<E: Into<JobError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

/// A branch to push, and what to say of it.
pub(super) struct Plan {
    pub(super) branch: BranchName,
    pub(super) commit: CommitId,
    pub(super) pull: NewPull,
}

/// `bascule/NAME-1a2b3c4d`: the end of an id is random.
pub(super) fn branch(name: &str, id: Uuid) -> Result<BranchName, Stop> {
    let id = id.simple().to_string();
    let letters = id.get(id.len() - LETTERS..).unwrap_or_default();
    format!("bascule/{name}-{letters}").parse::<BranchName>().map_err(|error| Stop::Never(error.to_string()))
}

/// What was meant to be pushed and is there already, so that nothing else is made of it. What is not there is planned anew: a
/// forge may have refused it for weeks.
pub(super) async fn pushed(repository: &Repository<'_>, known: &OurPull) -> Result<Option<CommitId>, Stop> {
    let Some((branch, commit)) = &known.planned else { return Ok(None) };
    if !repository.mirror.has_commit(commit).await? {
        return Ok(None);
    }
    match repository.forge().branch(&repository.at, branch).await {
        Ok(there) if there.tip == *commit => Ok(Some(commit.clone())),
        Ok(_) => Ok(None),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens one.
pub(super) struct Opener<'r> {
    pub(super) repository: &'r Repository<'r>,
    pub(super) lease: &'r Lease,
    pub(super) id: Uuid,
    /// Our number of the environment it is for, and its name.
    pub(super) environment: (i64, &'r EnvironmentName),
}

impl Opener<'_> {
    /// The number of the pull request, which is open then.
    pub(super) async fn opens(&self, plan: &Plan) -> Result<i64, Stop> {
        let Plan { branch, commit, pull } = plan;
        let repository = self.repository;
        if let Some(same) = self.is_open_already(commit).await? {
            return Ok(same);
        }
        our_pulls::planned(&mut *repository.context.pool.acquire().await?, self.id, (branch.as_str(), commit)).await?;
        let (forge, at) = (repository.forge(), &repository.at);
        let writer = Writer::new(repository, self.lease);
        let name = self.environment.1.as_str();
        match forge.branch(at, branch.as_str()).await {
            Ok(there) if there.tip == *commit => {}
            Ok(_) => return Err(Stop::Never(format!("a branch `{branch}` is there, and is not ours"))),
            Err(error) if error.is_gone() => match writer.branch(name, branch, commit).await? {
                Ok(()) => {}
                Err(GitError::Refused { .. }) => return Err(Stop::Refused(TO_PUSH.to_owned())),
                Err(error @ (GitError::Unreachable { .. } | GitError::TimedOut { .. })) => return Err(error.into()),
                Err(error) => {
                    return Err(Stop::Never(format!("the forge does not take the branch `{branch}`: {error}")));
                }
            },
            Err(error) => return Err(error.into()),
        }
        // Whoever died after it was opened knows nothing of it.
        if let Some(known) = found(repository, branch.as_str()).await? {
            return Ok(known);
        }
        match writer.pull(name, pull).await? {
            Ok(number) => Ok(number),
            Err(error) => Err(match error.fate {
                Fate::Refused => Stop::Refused(error.to_string()),
                Fate::Retry { .. } => error.into(),
                // It may be there all the same, where only the answer could not be read.
                Fate::Invalid | Fate::Gone => match found(repository, branch.as_str()).await? {
                    Some(known) => return Ok(known),
                    None => Stop::Never(format!("the forge does not open it: {error}")),
                },
            }),
        }
    }

    /// An earlier pull request of ours that does the same, to the letter, and is open: as of a rollback that was resumed from, and
    /// failed again.
    async fn is_open_already(&self, commit: &CommitId) -> Result<Option<i64>, Stop> {
        let repository = self.repository;
        let mirror = &repository.mirror;
        let earlier = our_pulls::earlier(&mut *repository.context.pool.acquire().await?, self.environment.0).await?;
        let ours = self.does(commit).await?;
        for (number, known) in earlier {
            if !mirror.has_commit(&known).await? || ours.is_none() || self.does(&known).await? != ours {
                continue;
            }
            match repository.forge().pull(&repository.at, number).await {
                Ok(pull) if pull.state == PullState::Open && pull.head == known => return Ok(Some(number)),
                Ok(_) => {}
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// What a commit does to its parent: each file with what it was and what it becomes.
    async fn does(&self, commit: &CommitId) -> Result<Option<Vec<ChangedPath>>, Stop> {
        let mirror = &self.repository.mirror;
        let Some(parent) = mirror.parents(commit).await?.into_iter().next() else { return Ok(None) };
        Ok(Some(mirror.changed_paths(&parent, commit).await?))
    }
}

/// The one that is open from a branch of ours, and is ours.
async fn found(repository: &Repository<'_>, branch: &str) -> Result<Option<i64>, JobError> {
    let ourselves = repository.ourselves().await?;
    let open = repository.forge().open_pulls(&repository.at).await?;
    let is_it = |one: &&crate::forge::Pull| {
        !one.from_fork && one.head_branch == branch && one.author.as_ref() == Some(ourselves)
    };
    Ok(open.iter().find(is_it).map(|one| one.number))
}

/// The one that an earlier run of the job opened, and nobody lived to write down.
pub(super) async fn found_of(repository: &Repository<'_>, known: &OurPull) -> Result<Option<i64>, JobError> {
    match &known.planned {
        Some((branch, _)) => found(repository, branch).await,
        None => Ok(None),
    }
}

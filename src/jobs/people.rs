//! Who people are, as of now: asked of the forge just before a judgement, never remembered.
//!
//! Also whose a change is: pushers, authors, committers and co-authors, as far as the forge knows them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::JobError;
use super::repository::Repository;
use crate::consent::{Answer, Brings, Kind, People, Push, Right, Standing, Written};
use crate::db::pushes;
use crate::forge::{self, AccountKind};
use crate::git::CommitFacts;
use crate::ids::{Account, CommitId};
use crate::policy::rules::Voters;

/// Asks the forge about everybody who gave something: what could not be asked is unknown, and does not count.
pub(super) async fn people<'v>(
    repository: &Repository<'_>,
    accounts: &BTreeSet<Account>,
    voters: impl IntoIterator<Item = &'v Voters>,
) -> People {
    let (forge, groups) = (&repository.row.key.forge, &repository.platform.groups);
    let teams: BTreeSet<String> =
        voters.into_iter().flat_map(|voters| People::teams_asked(forge, groups, voters)).collect();
    let mut standings = Vec::new();
    for account in accounts {
        standings.push(standing(repository, account, &teams).await);
    }
    People::new(forge.clone(), groups.clone(), standings)
}

async fn standing(repository: &Repository<'_>, account: &Account, teams: &BTreeSet<String>) -> Standing {
    let forge = repository.forge();
    let (kind, account) = match forge.user(&account.login).await {
        // Another account has the login now: this one's rights cannot be asked for by name.
        Ok(user) if user.account != *account => (Kind::Unknown, account.clone()),
        Ok(user) => {
            let kind = match (user.kind, user.standing) {
                (AccountKind::NotAPerson, _) => Kind::Bot,
                (AccountKind::Person, forge::Standing::Suspended) => Kind::Inactive,
                (AccountKind::Person, forge::Standing::Active | forge::Standing::NotShown) => Kind::Person,
            };
            (kind, user.account)
        }
        Err(error) if error.is_gone() => (Kind::Inactive, account.clone()),
        Err(error) => {
            tracing::warn!(account = account.login, %error, "cannot ask the forge about a person");
            (Kind::Unknown, account.clone())
        }
    };
    let right = match forge.permission(&repository.at, &account.login).await {
        Ok(Some(role)) => Right::Has(role),
        Ok(None) => Right::None,
        Err(error) if error.is_gone() => Right::None,
        Err(_) => Right::Unknown,
    };
    let mut answers = BTreeMap::new();
    for team in teams {
        answers.insert(team.clone(), member(repository, &account, team).await);
    }
    Standing { account, kind, right, teams: answers }
}

/// `forge/org/team`; a team of another forge is asked of nobody here.
async fn member(repository: &Repository<'_>, account: &Account, team: &str) -> Answer {
    let mut parts = team.splitn(3, '/');
    let (Some(of), Some(organisation), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Answer::Unknown;
    };
    if of != repository.row.key.forge.as_str() {
        return Answer::No;
    }
    match repository.forge().is_team_member(organisation, name, &account.login).await {
        Ok(true) => Answer::Yes,
        Ok(false) => Answer::No,
        // A team that is gone has no members.
        Err(error) if error.is_gone() => Answer::No,
        Err(_) => Answer::Unknown,
    }
}

/// Every account the forge maps to the commits' authors, committers and co-authors.
pub(super) async fn written(repository: &Repository<'_>, commits: &[CommitFacts]) -> Result<Vec<Written>, JobError> {
    let mut by_email: BTreeMap<String, Option<Account>> = BTreeMap::new();
    let mut all = Vec::with_capacity(commits.len());
    for commit in commits {
        let clean = commit.parents.len() == 2 && repository.mirror.is_clean_merge(&commit.id).await?;
        if clean {
            all.push(Written { people: Vec::new(), brings: Brings::CleanMerges });
            continue;
        }
        let named = repository.forge().commit_people(&repository.at, &commit.id).await?;
        let mut people: Vec<Account> = [named.author, named.committer].into_iter().flatten().collect();
        for email in &commit.co_authors {
            if !by_email.contains_key(email) {
                by_email.insert(email.clone(), repository.forge().account_by_email(email).await?);
            }
            people.extend(by_email.get(email).cloned().flatten());
        }
        all.push(Written { people, brings: Brings::Work });
    }
    Ok(all)
}

/// A branch whose pushes are older than this, before its pull request last changed, was pushed by nobody known.
const LOOKED_BACK: SignedDuration = SignedDuration::from_hours(24 * 14);

/// The pushes that brought these commits (newest last) to the head of a pull request.
pub(super) async fn pushes_to_pull(
    repository: &Repository<'_>,
    pull: &forge::Pull,
    written: &[(CommitId, Brings)],
) -> Result<Vec<Push>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let ids: Vec<CommitId> = written.iter().map(|(id, _)| id.clone()).collect();
    let stored = pushes::pushers_of(&mut conn, &repository.row.key, &ids).await?;
    drop(conn);
    let mut known: Vec<(CommitId, Option<Account>)> = stored;
    for push in repository.forge().pull_pushes(&repository.at, pull).await? {
        known.extend(push.commits.into_iter().map(|commit| (commit, push.pusher.clone())));
    }
    let is_known = |known: &[(CommitId, Option<Account>)]| {
        known.iter().any(|(commit, pusher)| *commit == pull.head && pusher.is_some())
    };
    if !is_known(&known) && !pull.from_fork {
        // No delivery told us, and the pull request itself does not know who pushed before it was opened.
        let since = pull.updated_at - LOOKED_BACK;
        let told = repository.forge().pushes(&repository.at, since).await?;
        let to_head = told.into_iter().filter(|push| push.branch == pull.head_branch);
        known.extend(to_head.filter_map(|push| Some((push.after?, push.pusher))));
    }
    let brings =
        |commit: &CommitId| written.iter().find(|(id, _)| id == commit).map_or(Brings::Work, |(_, brings)| *brings);
    let mut pushes: Vec<Push> = known
        .iter()
        .filter(|(_, pusher)| pusher.is_some())
        .map(|(commit, pusher)| Push { pusher: pusher.clone(), brings: brings(commit) })
        .collect();
    if !is_known(&known) {
        pushes.push(Push { pusher: None, brings: brings(&pull.head) });
    }
    Ok(pushes)
}

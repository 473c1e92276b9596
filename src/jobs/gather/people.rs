//! Who people are, as of now: asked of the forge just before a judgement, never remembered.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _, stream};

use super::repository::Repository;
use crate::consent::{Answer, Kind, People, Right, Standing};
use crate::forge::{self, AccountKind};
use crate::ids::Account;
use crate::policy::rules::Voters;

/// People who are asked about side by side.
const ASKED_AT_ONCE: usize = 4;

/// Asks the forge about everybody who gave something: what could not be asked is unknown, and does not count.
pub(in crate::jobs) async fn people<'v>(
    repository: &Repository<'_>,
    accounts: &BTreeSet<Account>,
    voters: impl IntoIterator<Item = &'v Voters>,
) -> People {
    let (forge, groups) = (&repository.row.key.forge, &repository.platform.groups);
    let teams: BTreeSet<String> =
        voters.into_iter().flat_map(|voters| People::teams_asked(forge, groups, voters)).collect();
    let asks: Vec<_> = accounts.iter().map(|account| standing(repository, account, &teams).boxed()).collect();
    let asked: Vec<_> = stream::iter(asks).buffered(ASKED_AT_ONCE).collect().await;
    let mut away = None;
    let standings = asked.into_iter().map(|(standing, unasked)| {
        away = away.take().or(unasked);
        standing
    });
    let standings = standings.collect::<Vec<_>>();
    People { away, ..People::new(forge.clone(), groups.clone(), standings) }
}

/// Asks for the memberships that these voters need and nobody asked for yet: a place asks for those of the rules it
/// shows, and a judgement may find others in force.
pub(in crate::jobs) async fn complete(repository: &Repository<'_>, people: &mut People, voters: &[Voters]) {
    let (forge, groups) = (&repository.row.key.forge, &repository.platform.groups);
    let teams: BTreeSet<String> = voters.iter().flat_map(|voters| People::teams_asked(forge, groups, voters)).collect();
    for standing in people.standings.values_mut() {
        for team in &teams {
            if !standing.teams.contains_key(team) {
                let answer = member(repository, &standing.account, team, &mut people.away).await;
                standing.teams.insert(team.clone(), answer);
            }
        }
    }
}

/// Who somebody is, with what passes by itself and kept us from knowing.
async fn standing(
    repository: &Repository<'_>,
    account: &Account,
    teams: &BTreeSet<String>,
) -> (Standing, Option<String>) {
    let forge = repository.forge();
    let mut away = None;
    let (user, permission, answers) = tokio::join!(
        forge.user(&account.login),
        forge.permission(&repository.at, &account.login),
        members(repository, account, teams),
    );
    let (kind, account, email) = match user {
        // Another account has the login now: this one's rights cannot be asked for by name.
        Ok(user) if user.account != *account => (Kind::Unknown, account.clone(), None),
        Ok(user) => {
            let kind = match (user.kind, user.standing) {
                (AccountKind::NotAPerson, _) => Kind::Bot,
                (AccountKind::Person, forge::Standing::Suspended) => Kind::Inactive,
                (AccountKind::Person, forge::Standing::Active | forge::Standing::NotShown) => Kind::Person,
            };
            (kind, user.account, user.email)
        }
        Err(error) if error.is_gone() => (Kind::Inactive, account.clone(), None),
        Err(error) => {
            tracing::warn!(account = account.login, %error, "cannot ask the forge about a person");
            note(&error, &mut away);
            (Kind::Unknown, account.clone(), None)
        }
    };
    let right = match permission {
        Ok(Some(role)) => Right::Has(role),
        Ok(None) => Right::None,
        Err(error) if error.is_gone() => Right::None,
        Err(error) => {
            note(&error, &mut away);
            Right::Unknown
        }
    };
    let (teams, unasked) = answers;
    (Standing { account, kind, right, teams, email }, away.or(unasked))
}

/// Of which teams somebody is a member.
async fn members(
    repository: &Repository<'_>,
    account: &Account,
    teams: &BTreeSet<String>,
) -> (BTreeMap<String, Answer>, Option<String>) {
    let (mut answers, mut away) = (BTreeMap::new(), None);
    for team in teams {
        answers.insert(team.clone(), member(repository, account, team, &mut away).await);
    }
    (answers, away)
}

/// `forge/org/team`; a team of another forge is asked of nobody here.
async fn member(repository: &Repository<'_>, account: &Account, team: &str, away: &mut Option<String>) -> Answer {
    let Some((of, team)) = team.split_once('/') else { return Answer::Unknown };
    if of != repository.row.key.forge.as_str() {
        return Answer::No;
    }
    match repository.forge().is_team_member(team, &account.login).await {
        Ok(true) => Answer::Yes,
        Ok(false) => Answer::No,
        // A team that is gone has no members.
        Err(error) if error.is_gone() => Answer::No,
        Err(error) => {
            note(&error, away);
            Answer::Unknown
        }
    }
}

/// What passes by itself is asked again; what our account may not see stays unknown until a person changes that.
fn note(error: &forge::ForgeError, away: &mut Option<String>) {
    if error.is_passing() {
        away.get_or_insert_with(|| format!("not everybody could be asked about: {error}"));
    }
}

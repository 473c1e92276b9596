//! Who may give a command that `may` can leave to some: by the rules in force of each environment meant, and by who they
//! are now.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::consent::{Answer as Member, Kind, People, Right};
use crate::db::environments::{self, Environment};
use crate::event::command::{Command, Selector};
use crate::ids::{Account, EnvironmentName};
use crate::jobs::error::JobError;
use crate::jobs::gather::people;
use crate::jobs::gather::place::{Asked, Attended};
use crate::jobs::gather::repository::Repository;
use crate::policy::rules::{May, Role, Voters};

/// A command that `may` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gated {
    Sync,
    Freeze,
    Emergency,
    Rollback,
}

impl Gated {
    /// Which of them a comment gives, and of what.
    pub(super) fn of(command: &Command) -> Option<(Self, &Selector)> {
        match command {
            // No word of `may`'s own: it is the same content once more, or a pull request, which is reviewed as any other.
            Command::Sync { environments } | Command::Heal { environments } | Command::Adopt { environments, .. } => {
                Some((Self::Sync, environments))
            }
            Command::Freeze { environments, .. } | Command::Unfreeze { environments } => {
                Some((Self::Freeze, environments))
            }
            Command::Emergency { environments, .. } => Some((Self::Emergency, environments)),
            Command::Rollback { environments, .. } | Command::Resume { environments } => {
                Some((Self::Rollback, environments))
            }
            Command::Reviewed { .. }
            | Command::Help
            | Command::Explain { .. }
            | Command::Preview
            | Command::Approve { .. }
            | Command::Waive { .. }
            | Command::Revoke { .. }
            | Command::Misunderstood { .. } => None,
        }
    }

    fn left_to(self, may: May) -> Option<Voters> {
        match self {
            Self::Sync => may.sync,
            Self::Freeze => may.freeze,
            // Where nobody is named, nobody may.
            Self::Emergency => Some(may.emergency.unwrap_or_default()),
            Self::Rollback => may.rollback,
        }
    }
}

/// What somebody who gives a command may.
pub(super) struct Permitted {
    /// Environments that they may give it of.
    pub(super) permitted: Vec<Environment>,
    /// Those that they may not, and whether rules say who may.
    pub(super) refused: Vec<(EnvironmentName, bool)>,
    /// Whether the forge is asked again about them.
    pub(super) is_unasked: bool,
}

/// By the rules in force of each environment meant, and by who they are now.
pub(super) async fn permitted(
    repository: &Repository<'_>,
    heard: &Attended,
    asked: &Asked,
    (gated, selector): (Gated, &Selector),
) -> Result<Permitted, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let mut rules = Vec::new();
    for environment in meant(&mut conn, repository, selector).await? {
        let whom = environments::in_force(&mut conn, &environment).await?.and_then(|rules| gated.left_to(rules.may));
        rules.push((environment, whom));
    }
    drop(conn);
    let mut known = People { standings: BTreeMap::new(), ..heard.people.clone() };
    known.standings.extend(heard.people.standings.get_key_value(&asked.by).map(|(by, one)| (by.clone(), one.clone())));
    let voters: Vec<Voters> = rules.iter().filter_map(|(_, whom)| whom.clone()).collect();
    people::complete(repository, &mut known, &voters).await;
    let mut may = Permitted { permitted: Vec::new(), refused: Vec::new(), is_unasked: false };
    for (environment, whom) in rules {
        let is_left_to_some = whom.is_some();
        match may_give(&known, &asked.by, whom.as_ref()) {
            Member::Yes => may.permitted.push(environment),
            Member::No => may.refused.push((environment.name, is_left_to_some)),
            Member::Unknown => {
                may.is_unasked |= known.away.is_some();
                may.refused.push((environment.name, is_left_to_some));
            }
        }
    }
    Ok(may)
}

/// Whether somebody may give such a command: one of those whom the rules name, else whoever may push. A bot may push; nobody
/// is named who is no person.
pub(super) fn may_give(people: &People, by: &Account, whom: Option<&Voters>) -> Member {
    let Some(standing) = people.standings.get(by) else { return Member::No };
    let writers = Voters { roles: [Role::Write].into(), ..Voters::default() };
    match (whom, standing.kind, standing.right) {
        (_, _, Right::Unknown) => Member::Unknown,
        (_, _, Right::None) => Member::No,
        (None, _, Right::Has(_)) => people.is_one_of(standing, &writers),
        (Some(_), Kind::Unknown, Right::Has(_)) => Member::Unknown,
        (Some(_), Kind::Bot | Kind::Inactive, Right::Has(_)) => Member::No,
        (Some(whom), Kind::Person, Right::Has(_)) => people.is_one_of(standing, whom),
    }
}

/// The environments a selector means.
async fn meant(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    selector: &Selector,
) -> Result<Vec<Environment>, JobError> {
    let all = environments::of_repository(conn, repository.row.id).await?;
    let stage = |one: &Environment| one.block.as_ref().and_then(|block| block.stage.clone());
    Ok(all.into_iter().filter(|one| selector.matches(&one.name, stage(one).as_deref())).collect())
}

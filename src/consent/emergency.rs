//! An emergency: two people whom the rules in force name for it let pass what an environment waits for. Past windows, `after`
//! and missing approvals; never past what a policy denies or a floor asks, and never a change of the rules themselves.

use std::collections::BTreeSet;

use super::approval::ApprovalKey;
use super::change::HashedSet;
use super::ground::{Ground, Why};
use super::people::{Answer, Kind, People, Person};
use super::walk::{Covered, Held, Walk};
use crate::ids::{Account, CommitId, SetKey};
use crate::policy::rules::Voters;

/// How many people it takes.
const PEOPLE: usize = 2;

/// Those of whoever asked who count, by person: the first account of each. `None`: too few, as of now.
pub fn enough<'a>(
    asked: impl IntoIterator<Item = &'a Account>,
    whom: &Voters,
    people: &People,
) -> Option<Vec<&'a Account>> {
    let mut counted: Vec<(Person, &Account)> = Vec::new();
    for account in asked {
        let person = people.identities.person(account);
        let counts = people
            .standings
            .get(account)
            .is_some_and(|standing| standing.kind == Kind::Person && people.is_one_of(standing, whom) == Answer::Yes);
        if counts && !counted.iter().any(|(known, _)| *known == person) {
            counted.push((person, account));
        }
    }
    (counted.len() >= PEOPLE).then(|| counted.into_iter().map(|(_, account)| account).collect())
}

/// Why a held change does not pass in an emergency either; `None`: it does.
pub fn stops(held: &Held) -> Option<String> {
    if let Some(why) = &held.verdict.closed {
        return Some(why.clone());
    }
    if held.change.items().iter().any(|item| item.key == SetKey::Entry) {
        return Some("it changes the environment's own rules".to_owned());
    }
    if let Some(deletions) = held.verdict.deletions {
        return Some(format!("it deletes {deletions} objects, which has to be approved with that number"));
    }
    let missing = held.verdict.rules.iter().filter(|rule| rule.missing() > 0);
    let binding = missing.map(|rule| &rule.required.origin).find(|origin| origin.binds())?;
    Some(match binding.denial() {
        Some(denial) => format!("policy {} denies it", denial.policy),
        None => "a floor of the server's asks for more approvals".to_owned(),
    })
}

impl Walk {
    /// The commit a held change ends in, as one that a sync may go to: with everything the commits of `line` up to it
    /// carry, and the approvals that were given for it and will not be asked for any more.
    pub fn let_pass(&mut self, line: &[CommitId], set: HashedSet, spends: BTreeSet<ApprovalKey>) -> Option<Covered> {
        let held = self.held.as_ref()?;
        let end = line.iter().position(|commit| *commit == held.to)?;
        let is_before =
            |ground: &Ground| line.iter().position(|commit| *commit == ground.commit).is_some_and(|at| at <= end);
        self.grounds.retain(is_before);
        let why = Why::Held(held.digest, held.verdict.clone());
        self.grounds.push(Ground { commit: held.to.clone(), why, pull: held.pull, spends });
        Some(Covered::by_all(held.to.clone(), set, &self.grounds))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::consent::{Right, Standing};
    use crate::policy::rules::Group;

    #[test]
    fn two_people_are_needed_and_two_accounts_of_one_are_one() {
        let account = |id: i64, login: &str| Account { forge: "work".parse().unwrap(), id, login: login.to_owned() };
        let (lee, lees, kim, bot, dev) =
            (account(1, "lee"), account(2, "lee-too"), account(3, "kim"), account(4, "robot"), account(5, "dev"));
        let standing = |account: &Account, kind| Standing {
            account: account.clone(),
            kind,
            right: Right::None,
            teams: BTreeMap::new(),
            email: None,
        };
        let one = ["work/lee", "work/lee-too"].map(str::to_owned);
        let sre = Group { people: BTreeMap::from([("lee".to_owned(), BTreeSet::from(one))]), ..Group::default() };
        let standings = vec![
            standing(&lee, Kind::Person),
            standing(&lees, Kind::Person),
            standing(&kim, Kind::Person),
            standing(&bot, Kind::Bot),
            standing(&dev, Kind::Person),
        ];
        let people = People::new("work".parse().unwrap(), BTreeMap::from([("sre".to_owned(), sre)]), standings);
        let users = ["kim", "robot"].map(str::to_owned);
        let whom =
            Voters { users: BTreeSet::from(users), groups: BTreeSet::from(["sre".to_owned()]), ..Voters::default() };
        let gone = account(6, "gone");
        for (asked, expected) in [
            (vec![], None),
            (vec![&lee], None),
            (vec![&lee, &lee], None),
            (vec![&lee, &lees], None),
            (vec![&lee, &bot], None),
            (vec![&lee, &dev], None),
            (vec![&lee, &gone], None),
            (vec![&lee, &lees, &kim], Some(vec![&lee, &kim])),
            (vec![&kim, &lees], Some(vec![&kim, &lees])),
        ] {
            assert_eq!(enough(asked.iter().copied(), &whom, &people), expected, "{asked:?}");
        }
    }
}

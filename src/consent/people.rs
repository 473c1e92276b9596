//! People: who is one person, and who is in what, as of now.
//!
//! Nothing here remembers. A membership is a fact read from the forge just before a judgement; what could not be read
//! is [`Answer::Unknown`], which never counts and is always said.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Account, ForgeName};
use crate::policy::rules::{Group, Role, Voters};

/// What the forge said when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It is not so.
    No,
    /// It could not be asked: unreachable, refused, unreadable.
    Unknown,
    /// It is so.
    Yes,
}

/// What kind of account this is, as of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody.
    Person,
    /// A bot, an app, a machine's token.
    Bot,
    /// Deleted, suspended, or not allowed to sign in.
    Inactive,
    /// It could not be asked.
    Unknown,
}

/// A right on the repository, as of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// This one.
    Has(Role),
    /// None at all.
    None,
    /// It could not be asked.
    Unknown,
}

/// What the forge says about one account, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The account, with the login it has now.
    pub account: Account,
    /// Whether it is somebody.
    pub kind: Kind,
    /// Its right on the repository.
    pub right: Right,
    /// `forge/org/team` → whether the account, or another account of the same person on that forge, is a member.
    /// A team that is not here was not asked.
    pub teams: BTreeMap<String, Answer>,
    /// An address that the forge made sure is theirs, when it says one.
    pub email: Option<String>,
}

/// One person, by whichever account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Person {
    /// Listed with accounts in a group of the server; the first of all accounts tied together there.
    Listed(String),
    /// An account that no group lists.
    Account(ForgeName, i64),
}

/// Which accounts are one person: whatever any group of the server lists together, transitively, since one account
/// belongs to one person whatever the groups call them.
#[derive(Debug, Clone, Default)]
pub struct Identities(BTreeMap<String, String>);

impl Identities {
    /// Reads them from the server's groups. Logins are compared as forges do, without regard to case.
    pub fn of(groups: &BTreeMap<String, Group>) -> Self {
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        for accounts in groups.values().flat_map(|group| group.people.values()) {
            let accounts: BTreeSet<String> = accounts.iter().map(|account| account.to_ascii_lowercase()).collect();
            let known: BTreeSet<String> = accounts.iter().filter_map(|account| first.get(account)).cloned().collect();
            let Some(root) = accounts.iter().chain(&known).min().cloned() else { continue };
            for held in first.values_mut().filter(|held| known.contains(*held)) {
                held.clone_from(&root);
            }
            first.extend(accounts.into_iter().map(|account| (account, root.clone())));
        }
        Self(first)
    }

    /// Whose account this is.
    pub fn person(&self, account: &Account) -> Person {
        match self.0.get(&written(account)) {
            Some(root) => Person::Listed(root.clone()),
            None => Person::Account(account.forge.clone(), account.id),
        }
    }

    /// Whether two accounts are one person's.
    pub fn same(&self, one: &Account, other: &Account) -> bool {
        one == other || self.person(one) == self.person(other)
    }
}

fn written(account: &Account) -> String {
    format!("{}/{}", account.forge, account.login).to_ascii_lowercase()
}

/// Everything known about people for one judgement.
#[derive(Debug, Clone)]
pub struct People {
    /// The repository's forge: whose logins `users` and whose teams `teams` of a rule are.
    pub forge: ForgeName,
    /// The server's groups.
    pub groups: BTreeMap<String, Group>,
    /// Which accounts are one person.
    pub identities: Identities,
    /// Facts of each account that gave an approval. An account that is not here could not be asked.
    pub standings: BTreeMap<Account, Standing>,
    /// Why something could not be asked that can be later: what is judged now may be judged otherwise then.
    pub away: Option<String>,
}

impl People {
    /// Binds the server's groups to facts.
    pub fn new(forge: ForgeName, groups: BTreeMap<String, Group>, standings: Vec<Standing>) -> Self {
        let identities = Identities::of(&groups);
        let standings = standings.into_iter().map(|standing| (standing.account.clone(), standing)).collect();
        Self { forge, groups, identities, standings, away: None }
    }

    /// The teams, `forge/org/team`, whose members have to be asked for a judgement by these voters.
    pub fn teams_asked(forge: &ForgeName, groups: &BTreeMap<String, Group>, voters: &Voters) -> BTreeSet<String> {
        let own = voters.teams.iter().map(|team| format!("{forge}/{team}"));
        own.chain(voters.groups.iter().filter_map(|name| groups.get(name)).flat_map(|group| group.teams.clone()))
            .collect()
    }

    /// Whether somebody is one of these voters, now. One membership suffices; with none, an unread one is `Unknown`.
    pub fn is_one_of(&self, standing: &Standing, voters: &Voters) -> Answer {
        let account = &standing.account;
        let at_home = account.forge == self.forge;
        let named = at_home && voters.users.iter().any(|login| login.eq_ignore_ascii_case(&account.login));
        let address = standing.email.as_ref().filter(|_| at_home);
        let named = named || address.is_some_and(|own| voters.emails.iter().any(|one| one.eq_ignore_ascii_case(own)));
        let person = self.identities.person(account);
        let listed = voters.groups.iter().filter_map(|name| self.groups.get(name)).any(|group| {
            let mut accounts = group.people.values().flatten().map(|account| account.to_ascii_lowercase());
            matches!(&person, Person::Listed(root) if accounts.any(|a| self.identities.0.get(&a) == Some(root)))
        });
        let right = voters.roles.iter().map(|wanted| match standing.right {
            Right::Has(role) if role >= *wanted => Answer::Yes,
            Right::Has(_) | Right::None => Answer::No,
            Right::Unknown => Answer::Unknown,
        });
        let teams = Self::teams_asked(&self.forge, &self.groups, voters);
        let member = teams.iter().map(|team| standing.teams.get(team).copied().unwrap_or(Answer::Unknown));
        let sure = if named || listed { Answer::Yes } else { Answer::No };
        right.chain(member).chain([sure]).max().unwrap_or(Answer::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(forge: &str, id: i64, login: &str) -> Account {
        Account { forge: forge.parse().unwrap(), id, login: login.into() }
    }

    fn group(people: &[(&str, &[&str])]) -> Group {
        let people = people.iter().map(|(name, accounts)| {
            ((*name).to_owned(), accounts.iter().map(|account| (*account).to_owned()).collect::<BTreeSet<_>>())
        });
        Group { teams: BTreeSet::new(), people: people.collect() }
    }

    #[test]
    fn accounts_listed_together_anywhere_are_one_person() {
        let groups = BTreeMap::from([
            ("a".to_owned(), group(&[("alice", &["work/alice", "gh/alice-acme"]), ("bob", &["work/bob"])])),
            ("b".to_owned(), group(&[("al", &["gh/Alice-Acme", "work/alice2"]), ("carl", &["gh/carl"])])),
            ("c".to_owned(), group(&[("bobs", &["work/bob", "gh/carl"])])),
        ]);
        let who = Identities::of(&groups);
        assert!(who.same(&account("work", 1, "alice"), &account("work", 2, "ALICE2")), "through two groups");
        assert!(who.same(&account("work", 3, "bob"), &account("gh", 4, "carl")), "tied by a later group");
        assert!(!who.same(&account("work", 1, "alice"), &account("work", 3, "bob")));
        assert!(!who.same(&account("work", 8, "x"), &account("work", 9, "y")), "listed nowhere");
        assert!(who.same(&account("work", 8, "x"), &account("work", 8, "renamed")), "an account is its number");
    }

    #[test]
    fn one_membership_suffices_and_what_was_not_read_is_not_one() {
        let groups = BTreeMap::from([(
            "sre".to_owned(),
            Group { teams: BTreeSet::from(["work/acme/platform".to_owned()]), ..group(&[("lee", &["work/lee"])]) },
        )]);
        let people = People::new("work".parse().unwrap(), groups, vec![]);
        let standing = |login: &str, right, teams: &[(&str, Answer)]| Standing {
            account: account("work", 1, login),
            kind: Kind::Person,
            right,
            teams: teams.iter().map(|(team, answer)| ((*team).to_owned(), *answer)).collect(),
            email: Some("kim@example.com".to_owned()),
        };
        let voters = |users: &[&str], groups: &[&str], roles: &[Role]| Voters {
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            roles: roles.iter().copied().collect(),
            ..Voters::default()
        };
        let mailed = |one: &str| Voters { emails: BTreeSet::from([one.to_owned()]), ..Voters::default() };
        let (read, write) = (Right::Has(Role::Read), Right::Has(Role::Write));
        for (who, by, expected, why) in [
            (standing("kim", read, &[]), voters(&["Kim"], &[], &[]), Answer::Yes, "named, whatever the case"),
            (standing("kim", write, &[]), voters(&[], &[], &[Role::Write]), Answer::Yes, "a right"),
            (
                standing("kim", Right::Has(Role::Admin), &[]),
                voters(&[], &[], &[Role::Write]),
                Answer::Yes,
                "a higher one",
            ),
            (standing("kim", read, &[]), voters(&[], &[], &[Role::Write]), Answer::No, "a lower one"),
            (standing("kim", Right::Unknown, &[]), voters(&[], &[], &[Role::Write]), Answer::Unknown, "not read"),
            (standing("kim", Right::Unknown, &[]), voters(&["kim"], &[], &[Role::Write]), Answer::Yes, "named anyway"),
            (
                standing("lee", read, &[("work/acme/platform", Answer::No)]),
                voters(&[], &["sre"], &[]),
                Answer::Yes,
                "listed",
            ),
            (
                standing("kim", read, &[("work/acme/platform", Answer::Yes)]),
                voters(&[], &["sre"], &[]),
                Answer::Yes,
                "by team",
            ),
            (standing("kim", read, &[]), voters(&[], &["sre"], &[]), Answer::Unknown, "the team was not asked"),
            (standing("kim", read, &[]), voters(&[], &["gone"], &[]), Answer::No, "a group that is not there"),
            (standing("kim", write, &[]), voters(&[], &[], &[]), Answer::No, "voters that are nobody"),
            (standing("kim", read, &[]), mailed("Kim@example.com"), Answer::Yes, "by address"),
            (standing("kim", read, &[]), mailed("lee@example.com"), Answer::No, "another address"),
        ] {
            assert_eq!(people.is_one_of(&who, &by), expected, "{why}");
        }
    }
}

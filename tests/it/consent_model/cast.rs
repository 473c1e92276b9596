//! The world's things in the product's words: names, accounts, sets, rules, and who is in what.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bascule::consent::{Answer, Change, Court, HashedSet, Kind, Law, People, Right, Said, Standing, policies_in_force};
use bascule::ids::{
    Account, ChangeDigest, CommitId, EnvironmentName, ObjectHash, ObjectKey, RepositoryKey, SetDigest, SetKey, Target,
};
use bascule::policy::code::{Effect, Finding, Opinion, Source};
use bascule::policy::rules::{
    After, ApprovalRule, ApprovalSource, Binds, Consent, Environment, Floor, Group, Limits, May, OnPush, Policy, Role,
    SyncMode, SyncRules, Voters, When,
};

use super::world::{BEN, BOT, C, EVERYBODY, FILE_S, FILE_X, FILE_Y, KIM, KIM2, LEE, POOL, SAM, STAGING, Sam, Set, Who};

/// How many kinds of rules production may have.
pub(super) const RULES: u8 = 15;
/// Those with a policy, in two texts.
pub(super) const POLICED: [u8; 2] = [13, 14];

/// Who sits in a court: of which environment, with the rules of which neighbour in force, with what the forge says of
/// Sam, and with a floor or without.
pub(super) type Bench = (u8, Option<u8>, Sam, bool);

pub(super) struct Cast {
    pub(super) repository: RepositoryKey,
    pub(super) names: [EnvironmentName; 2],
    pub(super) accounts: Vec<Account>,
    pub(super) commits: Vec<CommitId>,
    pub(super) targets: [Target; 3],
    x: SetKey,
    y: SetKey,
    courts: BTreeMap<Bench, Court>,
}

thread_local! {
    static DIGESTS: RefCell<BTreeMap<(Option<Set>, Set), ChangeDigest>> = const { RefCell::new(BTreeMap::new()) };
    static SET_DIGESTS: RefCell<BTreeMap<Set, SetDigest>> = const { RefCell::new(BTreeMap::new()) };
}

pub(super) static CAST: LazyLock<Cast> = LazyLock::new(Cast::new);

impl Cast {
    fn new() -> Self {
        let forge = "work".parse().unwrap();
        let repository = RepositoryKey { forge, id: 7 };
        let logins = ["ann", "ben", "lee", "kim", "kim2", "robot", "sam", "una", "uri", "ute", "ugo", "ulf"];
        let accounts = logins.iter().zip(1..).map(|(login, id)| Account {
            forge: repository.forge.clone(),
            id,
            login: (*login).to_owned(),
        });
        let target = |namespace: &str| Target { cluster: "c".parse().unwrap(), namespace: namespace.to_owned() };
        let key = |kind: &str| {
            let (group, namespace) = (String::new(), None);
            SetKey::Object(ObjectKey { group, kind: kind.to_owned(), namespace, name: "o".to_owned() })
        };
        let mut cast = Self {
            names: ["production", "staging"].map(|name| name.parse().unwrap()),
            accounts: accounts.collect(),
            commits: (0..=255u8).map(|index| format!("{index:040x}").parse().unwrap()).collect(),
            targets: [target("shop"), target("shop-two"), target("shop-staging")],
            x: key("ConfigMap"),
            y: key("Secret"),
            courts: BTreeMap::new(),
            repository,
        };
        for environment in [0, 1, 2] {
            for neighbour in (0..RULES).map(Some).chain([None]) {
                for sam in [Sam::Member, Sam::Left, Sam::Unread, Sam::Suspended] {
                    for floor in [false, true] {
                        let bench = (environment, neighbour, sam, floor);
                        let court = cast.new_court(bench);
                        cast.courts.insert(bench, court);
                    }
                }
            }
        }
        cast
    }

    /// Who judges an environment.
    pub(super) fn court(&self, bench: Bench) -> &Court {
        &self.courts[&bench]
    }

    fn new_court(&self, (environment, neighbour, sam, floor): Bench) -> Court {
        let floor =
            Some(("platform".to_owned(), Floor { approvals: vec![rule(1, "platform", None)], ..Floor::default() }))
                .filter(|_| floor && environment != STAGING);
        let entries = (0..RULES).map(|rules| (entry(environment, rules), self.rules(environment, rules)));
        Court {
            repository: self.repository.clone(),
            environment: self.names[usize::from(environment == STAGING)].clone(),
            target: self.targets[usize::from(environment)].clone(),
            entries: entries.collect(),
            neighbours: neighbour
                .map(|rules| without_policies(self.rules(1 - environment.min(1), rules)))
                .into_iter()
                .collect(),
            floors: floor.into_iter().collect(),
            grant_owners: Some(rule(1, "owners", None)),
            people: self.people(sam),
            said: BTreeMap::new(),
            was_here: BTreeSet::new(),
        }
    }

    fn people(&self, sam: Sam) -> People {
        let account = |who: Who| format!("work/{}", self.accounts[usize::from(who)].login);
        let group = |members: &[Who], team: Option<&str>| {
            let mut people: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for who in members {
                let person = if *who == KIM2 { KIM } else { *who };
                people.entry(account(person)).or_default().insert(account(*who));
            }
            Group { teams: team.map(str::to_owned).into_iter().collect(), people }
        };
        let pool: Vec<Who> = POOL.collect();
        let with_pool = |more: &[Who]| [more, &pool].concat();
        let groups = BTreeMap::from([
            ("sre".to_owned(), group(&with_pool(&[BEN, LEE, KIM, KIM2, BOT]), Some("work/acme/sre"))),
            ("leads".to_owned(), group(&with_pool(&[LEE]), None)),
            ("owners".to_owned(), group(&with_pool(&[KIM]), None)),
            ("platform".to_owned(), group(&with_pool(&[BEN, LEE]), None)),
        ]);
        let standings = (0..EVERYBODY).map(|who| {
            let member = match sam {
                _ if who != SAM => Answer::No,
                Sam::Member | Sam::Suspended => Answer::Yes,
                Sam::Left => Answer::No,
                Sam::Unread => Answer::Unknown,
            };
            let kind = match who {
                BOT => Kind::Bot,
                SAM if sam == Sam::Suspended => Kind::Inactive,
                _ => Kind::Person,
            };
            Standing {
                account: self.accounts[usize::from(who)].clone(),
                kind,
                right: Right::Has(Role::Write),
                teams: BTreeMap::from([("work/acme/sre".to_owned(), member)]),
                email: None,
            }
        });
        People::new(self.repository.forge.clone(), groups, standings.collect())
    }

    /// What each kind of rules says. `oracle.rs` says it again in its own words.
    pub(super) fn rules(&self, environment: u8, rules: u8) -> Environment {
        let secrets = || Some(When { kinds: BTreeSet::from(["Secret".to_owned()]), ..When::default() });
        let file = |file| Some(When { paths: BTreeSet::from([path(file).to_owned()]), ..When::default() });
        let base = Consent { approvals: vec![rule(1, "sre", None)], ..Consent::none() };
        let consent = match rules {
            1 => Consent { approvals: vec![rule(2, "sre", None)], ..base },
            2 => Consent::none(),
            3 => Consent { binds: Binds::Set, ..base },
            4 => Consent { on_push: OnPush::Void, ..base },
            5 => Consent { by: BTreeSet::from([ApprovalSource::Command]), ..base },
            6 => Consent { approvals: vec![rule(1, "sre", None), rule(1, "leads", secrets())], ..base },
            7 => Consent { approvals: vec![rule(1, "sre", secrets())], ..base },
            9 => Consent { approvals: vec![rule(1, "sre", file(FILE_X)), rule(1, "leads", file(FILE_Y))], ..base },
            11 => Consent::none(),
            _ => base,
        };
        let after = After { environment: self.names[1].clone(), soak_seconds: None };
        Environment {
            name: self.names[usize::from(environment == STAGING)].clone(),
            stage: None,
            path: String::new(),
            chart: None,
            helm: None,
            target: self.targets[usize::from(environment)].clone(),
            branch: None,
            after: Some(after).filter(|_| rules == 12 && environment != STAGING).into_iter().collect(),
            windows: Vec::new(),
            consent,
            deletions_confirm_above: [8, 11].contains(&rules).then_some(0),
            sync: SyncRules { mode: SyncMode::Auto, prune: true, timeout_seconds: 1 },
            admission: bascule::policy::rules::Admission::default(),
            drift: Default::default(),
            drift_issue: false,
            owners: Some(rule(1, "leads", None)),
            limits: if rules == 10 { Limits { files: 1, ..Limits::default() } } else { Limits::default() },
            may: May::default(),
            on_failure: Default::default(),
            verify: Vec::new(),
            runbook: None,
            owner_file: None,
            policies: policies(environment, rules),
            health: BTreeMap::new(),
            ignore: BTreeMap::new(),
        }
    }

    pub(super) fn hashed(&self, set: Set) -> HashedSet {
        let mut hashes = BTreeMap::from([(SetKey::Entry, entry(set.environment, set.rules))]);
        for (key, value) in [(&self.x, set.a), (&self.y, set.b)] {
            if value > 0 {
                hashes.insert(key.clone(), ObjectHash([value; 32]));
            }
        }
        HashedSet { target: self.targets[usize::from(set.environment)].clone(), hashes }
    }

    pub(super) fn change(&self, old: Option<Set>, new: Set) -> Change {
        Change::between(old.map(|old| self.hashed(old)).as_ref(), &self.hashed(new))
    }

    pub(super) fn digest(&self, old: Option<Set>, new: Set) -> ChangeDigest {
        DIGESTS.with_borrow_mut(|known| {
            *known.entry((old, new)).or_insert_with(|| {
                let name = &self.names[usize::from(new.environment == STAGING)];
                self.change(old, new).digest(&self.repository, name)
            })
        })
    }

    pub(super) fn set_digest(&self, set: Set) -> SetDigest {
        SET_DIGESTS.with_borrow_mut(|known| *known.entry(set).or_insert_with(|| self.hashed(set).digest()))
    }

    pub(super) fn commit(&self, commit: C) -> CommitId {
        self.commits[usize::from(commit)].clone()
    }

    pub(super) fn account(&self, who: Who) -> Account {
        self.accounts[usize::from(who)].clone()
    }
}

/// Nobody but leads may let X be 2. What is asked is the driver's to answer, so that the text says only which it is.
fn policies(environment: u8, rules: u8) -> BTreeMap<String, Policy> {
    let policy = || Policy {
        effect: Effect::Deny,
        message: None,
        approvals: vec![rule(1, "leads", None)],
        source: Source::Cel(format!("text {rules}")),
    };
    let is_policed = POLICED.contains(&rules) && environment != STAGING;
    is_policed.then(|| ("p".to_owned(), policy())).into_iter().collect()
}

fn without_policies(rules: Environment) -> Environment {
    Environment { policies: BTreeMap::new(), ..rules }
}

/// What the policies in force say of a set: that X is 2, and beside what. `alike`: not beside what.
pub(super) fn said(law: Law<'_>, new: &HashedSet, alike: bool) -> Said {
    let value = |key: &SetKey| new.hashes.get(key).map_or(0, |hash| hash.0[0]);
    let beside = if alike { 0 } else { value(&CAST.y) };
    let found = (value(&CAST.x) == 2).then(|| Finding {
        effect: Effect::Deny,
        object: None,
        message: format!("2 beside {beside}"),
    });
    let opinion = Opinion { found: found.into_iter().collect(), ..Opinion::default() };
    let opinions = policies_in_force(law).into_iter().map(|one| (one.question.name, opinion.clone())).collect();
    Said { opinions, mended: BTreeSet::new() }
}

/// The path of a file that production reads.
pub(super) fn path(file: u8) -> &'static str {
    match file {
        FILE_X => "production/x.yaml",
        FILE_Y => "production/y.yaml",
        _ => "shared/s.yaml",
    }
}

/// The paths of files, given as bits, that an environment reads.
pub(super) fn paths(environment: u8, files: u8) -> BTreeSet<String> {
    let read = if environment == STAGING { FILE_S } else { FILE_X | FILE_Y | FILE_S };
    let each = [FILE_X, FILE_Y, FILE_S].into_iter().filter(|file| files & read & file != 0);
    each.map(|file| path(file).to_owned()).collect()
}

pub(super) fn entry(environment: u8, rules: u8) -> ObjectHash {
    ObjectHash([100 + 16 * environment + rules; 32])
}

fn rule(count: u32, group: &str, when: Option<When>) -> ApprovalRule {
    ApprovalRule { count, voters: Voters { groups: BTreeSet::from([group.to_owned()]), ..Voters::default() }, when }
}

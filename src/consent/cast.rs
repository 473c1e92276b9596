//! People, sets and rules that the tests of this module tell their stories with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::*;
use crate::ids::*;
use crate::policy::rules::*;

pub(super) fn account(login: &str) -> Account {
    let id = login.bytes().fold(1_i64, |id, byte| id * 31 + i64::from(byte));
    Account { forge: "work".parse().unwrap(), id, login: login.into() }
}

pub(super) fn commit(name: char) -> CommitId {
    let digits: String = std::iter::repeat_n(name, 40).collect();
    digits.parse().unwrap()
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

pub(super) fn production() -> EnvironmentName {
    "production".parse().unwrap()
}

pub(super) fn target() -> Target {
    Target { cluster: "prod".parse().unwrap(), namespace: "shop".into() }
}

pub(super) fn repository() -> RepositoryKey {
    RepositoryKey { forge: "work".parse().unwrap(), id: 7 }
}

pub(super) fn key(kind: &str, name: &str) -> SetKey {
    let (group, namespace) = (String::new(), Some("shop".to_owned()));
    SetKey::Object(ObjectKey { group, kind: kind.into(), namespace, name: name.into() })
}

/// A set of ConfigMaps with the entry `entry`; a value of 0 is an absent one.
pub(super) fn set(entry: u8, objects: &[(&str, u8)]) -> HashedSet {
    let objects = objects.iter().filter(|(_, value)| *value > 0);
    let objects = objects.map(|(name, value)| (key("ConfigMap", name), ObjectHash([*value; 32])));
    HashedSet { target: target(), hashes: objects.chain([(SetKey::Entry, ObjectHash([entry; 32]))]).collect() }
}

pub(super) fn voters(groups: &[&str]) -> Voters {
    Voters { groups: groups.iter().map(|group| (*group).to_owned()).collect(), ..Voters::default() }
}

pub(super) fn rule(count: u32, group: &str) -> ApprovalRule {
    ApprovalRule { count, voters: voters(&[group]), when: None }
}

/// `production`, with these approvals asked.
pub(super) fn rules(approvals: Vec<ApprovalRule>) -> Environment {
    Environment {
        name: production(),
        stage: None,
        path: "deploy".into(),
        chart: None,
        helm: None,
        target: target(),
        branch: None,
        after: vec![],
        windows: vec![],
        consent: Consent { approvals, ..Consent::none() },
        deletions_confirm_above: None,
        sync: SyncRules { mode: SyncMode::Auto, prune: true, timeout_seconds: 300 },
        admission: Admission::default(),
        drift: Default::default(),
        drift_issue: false,
        owners: Some(rule(1, "leads")),
        limits: Limits::default(),
        may: May::default(),
        on_failure: Default::default(),
        verify: Vec::new(),
        runbook: None,
        owner_file: None,
        policies: BTreeMap::new(),
        health: BTreeMap::new(),
        ignore: BTreeMap::new(),
    }
}

/// `sre` is lee, kim (who is kim-home too) and, by team, sam; `leads` is ada; robot is a bot in `sre`.
pub(super) fn people() -> People {
    let person =
        |accounts: &[&str]| -> BTreeSet<String> { accounts.iter().map(|account| format!("work/{account}")).collect() };
    let sre = BTreeMap::from([
        ("lee".to_owned(), person(&["lee"])),
        ("kim".to_owned(), person(&["kim", "kim-home"])),
        ("robot".to_owned(), person(&["robot"])),
        ("gone".to_owned(), person(&["gone"])),
    ]);
    let teams = BTreeSet::from(["work/acme/sre".to_owned()]);
    let leads = BTreeMap::from([("ada".to_owned(), person(&["ada"]))]);
    let groups = BTreeMap::from([
        ("sre".to_owned(), Group { teams, people: sre }),
        ("leads".to_owned(), Group { teams: BTreeSet::new(), people: leads }),
    ]);
    let standing = |(login, kind, member): (&str, Kind, Answer)| Standing {
        account: account(login),
        kind,
        right: Right::Has(Role::Write),
        teams: BTreeMap::from([("work/acme/sre".to_owned(), member)]),
        email: None,
    };
    let standings = [
        ("lee", Kind::Person, Answer::No),
        ("kim", Kind::Person, Answer::No),
        ("kim-home", Kind::Person, Answer::No),
        ("ada", Kind::Person, Answer::No),
        ("ann", Kind::Person, Answer::No),
        ("sam", Kind::Person, Answer::Yes),
        ("left", Kind::Person, Answer::No),
        ("away", Kind::Person, Answer::Unknown),
        ("robot", Kind::Bot, Answer::No),
        ("gone", Kind::Inactive, Answer::No),
    ];
    People::new("work".parse().unwrap(), groups, standings.into_iter().map(standing).collect())
}

pub(super) fn place() -> Place {
    Place { number: 17, base_branch: "main".into() }
}

/// An approval of a change, by command, at second 100.
pub(super) fn approval(who: &str, change: &Change) -> Recorded {
    let approval = Approval {
        key: ApprovalKey { environment: production(), source: ApprovalSource::Command, source_id: account(who).id },
        place: place(),
        head: commit('a'),
        shown_as: ShownAs::Pull,
        old_set: None,
        new_set: SetDigest([0; 32]),
        change: change.digest(&repository(), &production()),
        preview: 1,
        person: account(who),
        policy: ObjectHash([0; 32]),
        deletions: None,
        reason: None,
        waives: None,
        at: at(100),
    };
    Recorded { approval, state: State::Stands }
}

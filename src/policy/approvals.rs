//! Reads who may consent: approval rules and owners, the same shapes in both files.

use std::collections::BTreeSet;

use super::block::{Block, Keys, list, text};
use super::document::{Node, Value};
use super::globs::kind_pattern_fault;
use super::located::Complaints;
use super::rules::{ApprovalRule, Role, Voters, When};

const ROLES: [(&str, Role); 3] = [("read", Role::Read), ("write", Role::Write), ("admin", Role::Admin)];

/// The keys of one approval rule.
pub const RULE_KEYS: Keys =
    Keys { known: &["count", "users", "teams", "groups", "roles", "codeowners", "when"], later: &["any"] };
/// The keys of one approval rule of a floor, which knows no repository's files.
pub const FLOOR_RULE_KEYS: Keys =
    Keys { known: &["count", "users", "teams", "groups", "roles", "when"], later: &["any"] };
/// The keys of `owners`.
pub const OWNERS_KEYS: Keys = Keys { known: &["count", "users", "teams", "groups", "roles"], later: &["any"] };
/// The keys of whom a command is left to.
pub const WHOM_KEYS: Keys = Keys { known: &["users", "teams", "groups", "roles"], later: &[] };
/// The keys of `when`.
pub const WHEN_KEYS: Keys = Keys { known: &["paths", "kinds"], later: &[] };

/// Why no floor asks for owners of files: they would be part of each environment's entry, so that a change of the server's
/// file would be a change of every environment.
const NO_FLOOR: &str = "a floor names people of the platform's: a repository's own file would say who they are; name groups \
    here, and write `codeowners: true` in the environments' approvals";
/// Why `owners` are named: they consent to changes of who is asked.
const NO_OWNERS: &str = "`owners` consent to changes of who is asked, those of the owner file among them: name people. Where an \
    environment's approvals say `codeowners: true`, the owners of .bascule.yaml are asked beside them";

/// Why `reverts` are named: it is a matter of what was deployed, and not of whose files are altered.
const NO_REVERTS: &str = "`reverts` are enough for a whole content that was deployed here before: name people";

/// The most people a rule can ask for: more is a mistyped number.
const MOST_PEOPLE: u32 = 100;

/// Reads a list of approval rules. An empty list is refused: it would ask for nothing without saying so.
pub fn approval_rules(node: &Node, what: &str, keys: Keys, complaints: &mut Complaints) -> Option<Vec<ApprovalRule>> {
    let items = list(node, "approvals", complaints)?;
    if items.is_empty() {
        complaints.add(&node.at, format!("`approvals` {what} is empty"), "name a rule, or remove the key");
        return None;
    }
    let rules: Vec<ApprovalRule> =
        items.iter().filter_map(|item| approval_rule(item, what, keys, complaints)).collect();
    (rules.len() == items.len()).then_some(rules)
}

fn approval_rule(node: &Node, what: &str, keys: Keys, complaints: &mut Complaints) -> Option<ApprovalRule> {
    let before = complaints.len();
    let what = format!("in an approval rule {what}");
    if !keys.known.contains(&"codeowners") {
        refuse_codeowners(node, &what, NO_FLOOR, complaints)?;
    }
    let block = Block::open(node, &what, keys, complaints)?;
    if complaints.len() > before {
        return None;
    }
    let (count, voters) = people(&block, complaints)?;
    let when = match block.get("when") {
        Some(when) => Some(conditions(when, complaints)?),
        None => None,
    };
    (complaints.len() == before).then_some(ApprovalRule { count, voters, when })
}

/// Reads `owners`: an approval rule that always applies.
pub fn owners(node: &Node, what: &str, complaints: &mut Complaints) -> Option<ApprovalRule> {
    let before = complaints.len();
    let what = format!("in `owners` {what}");
    refuse_codeowners(node, &what, NO_OWNERS, complaints)?;
    let block = Block::open(node, &what, OWNERS_KEYS, complaints)?;
    let (count, voters) = people(&block, complaints)?;
    (complaints.len() == before).then_some(ApprovalRule { count, voters, when: None })
}

/// Reads `reverts`: an approval rule that is enough for content that was deployed before.
pub fn reverts(node: &Node, what: &str, complaints: &mut Complaints) -> Option<ApprovalRule> {
    let before = complaints.len();
    let what = format!("in `reverts` {what}");
    refuse_codeowners(node, &what, NO_REVERTS, complaints)?;
    let block = Block::open(node, &what, OWNERS_KEYS, complaints)?;
    let (count, voters) = people(&block, complaints)?;
    (complaints.len() == before).then_some(ApprovalRule { count, voters, when: None })
}

/// `None`, with why, where a block asks for owners of files and cannot.
fn refuse_codeowners(node: &Node, what: &str, why: &str, complaints: &mut Complaints) -> Option<()> {
    let Value::Map(entries) = &node.value else { return Some(()) };
    let Some((key, _)) = entries.iter().find(|(key, _)| key.name == "codeowners") else { return Some(()) };
    complaints.add(&key.at, format!("`codeowners` cannot stand {what}"), why);
    None
}

fn people(block: &Block<'_>, complaints: &mut Complaints) -> Option<(u32, Voters)> {
    let count = match block.get("count") {
        Some(_) => block.number("count", 1, complaints)?,
        None => 1,
    };
    let voters = Voters { codeowners: codeowners(block, complaints), ..voters(block, complaints) };
    if voters == Voters::default() {
        let keys = ["users", "teams", "groups", "roles"];
        if !keys.iter().any(|key| block.get(key).is_some_and(|node| node.value != Value::List(Vec::new()))) {
            complaints.add(block.at, "this rule names nobody", "add `users`, `teams`, `groups` or `roles`");
        }
        return None;
    }
    if let Some(at) = block.place_of("codeowners").filter(|_| voters.codeowners)
        && voters != (Voters { codeowners: true, ..Voters::default() })
    {
        let advice = "make two rules of it: each has to be met";
        complaints.add(at, "`codeowners` stands beside others in one rule", advice);
    }
    let others = voters.teams.is_empty() && voters.groups.is_empty() && voters.roles.is_empty();
    let only_users = others && !voters.codeowners;
    let named = u32::try_from(voters.users.len()).unwrap_or(u32::MAX);
    let reachable = if only_users { named } else { MOST_PEOPLE };
    if count > reachable {
        let at = block.get("count").map_or(block.at, |node| &node.at);
        let problem = format!("this rule asks for {count} people and can never be met");
        complaints.add(at, problem, format!("lower `count` to {reachable} or less, or name more people"));
    }
    Some((count, voters))
}

/// Reads whom a command is left to: groups of the server's file, or a map that names users, teams, groups and roles.
pub fn whom(node: &Node, key: &str, complaints: &mut Complaints) -> Option<Voters> {
    let before = complaints.len();
    let named = match &node.value {
        Value::Map(_) => voters(&Block::open(node, &format!("in `may.{key}`"), WHOM_KEYS, complaints)?, complaints),
        _ => {
            let mut groups = BTreeSet::new();
            for item in list(node, key, complaints)? {
                let Some((word, at)) = text(item, key, complaints) else { continue };
                if !groups.insert(word.to_owned()) {
                    complaints.add(at, format!("`{word}` is in `{key}` twice"), "remove one");
                }
            }
            Voters { groups, ..Voters::default() }
        }
    };
    if named == Voters::default() && complaints.len() == before {
        let advice = "name groups, or remove it: then whoever may push may";
        complaints.add(&node.at, format!("`may.{key}` names nobody"), advice);
    }
    (complaints.len() == before).then_some(named)
}

fn voters(block: &Block<'_>, complaints: &mut Complaints) -> Voters {
    Voters {
        users: words(block, "users", user_fault, complaints),
        teams: words(block, "teams", team_fault, complaints),
        groups: words(block, "groups", |_| None, complaints),
        roles: roles(block, complaints),
        ..Voters::default()
    }
}

fn codeowners(block: &Block<'_>, complaints: &mut Complaints) -> bool {
    let says = block.flag("codeowners", complaints);
    if let (Some(false), Some(node)) = (says, block.get("codeowners")) {
        complaints.add(&node.at, "`codeowners: false` asks for nothing", "write `true`, or remove it");
    }
    says.unwrap_or_default()
}

fn words(
    block: &Block<'_>,
    key: &str,
    fault: fn(&str) -> Option<&'static str>,
    complaints: &mut Complaints,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (word, at) in block.texts(key, complaints).unwrap_or_default() {
        match fault(word) {
            Some(advice) => complaints.add(at, format!("`{word}` in `{key}` cannot be"), advice),
            None if !found.insert(word.to_owned()) => {
                complaints.add(at, format!("`{word}` is in `{key}` twice"), "remove one");
            }
            None => {}
        }
    }
    found
}

fn user_fault(user: &str) -> Option<&'static str> {
    let plain = !user.contains(['/', '@']) && !user.contains(char::is_whitespace);
    (!plain).then_some("write the login on this repository's forge, without `@`; teams belong in `teams`")
}

fn team_fault(team: &str) -> Option<&'static str> {
    let parts: Vec<&str> = team.split('/').collect();
    // More where a group within groups is the team.
    let good = parts.len() >= 2 && parts.iter().all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
    (!good || team.starts_with('@')).then_some("write it as `organisation/team`")
}

fn roles(block: &Block<'_>, complaints: &mut Complaints) -> BTreeSet<Role> {
    let written = block.texts("roles", complaints).unwrap_or_default();
    written.into_iter().filter_map(|word| super::block::one_of(word, "roles", &ROLES, complaints)).collect()
}

fn conditions(node: &Node, complaints: &mut Complaints) -> Option<When> {
    let block = Block::open(node, "in `when`", WHEN_KEYS, complaints)?;
    let when = When {
        paths: words(&block, "paths", path_fault, complaints),
        kinds: words(&block, "kinds", kind_pattern_fault, complaints),
    };
    if block.get("paths").is_none() && block.get("kinds").is_none() {
        complaints.add(block.at, "`when` names neither paths nor kinds", "add one, or remove `when`");
    }
    for key in ["paths", "kinds"] {
        if let Some(Node { at, value: Value::List(items) }) = block.get(key)
            && items.is_empty()
        {
            complaints.add(at, format!("`{key}` is empty, so the rule would never apply"), "add one, or remove `when`");
        }
    }
    Some(when)
}

/// A glob that leaves the repository, or looks like one of another dialect, would never match and so never ask.
fn path_fault(glob: &str) -> Option<&'static str> {
    if glob.split('/').any(|segment| segment == ".." || segment == ".") {
        return Some("write it from the repository's root, without `.` or `..`");
    }
    if glob.contains(['[', '{', '!', '\\']) {
        return Some("only `*`, `?` and `**` are understood; write one glob for each alternative");
    }
    if glob.len() > 1_024 {
        return Some("shorten it: paths end at 1,024 bytes");
    }
    let stray = glob.split('/').any(|segment| segment.contains("**") && segment != "**");
    stray.then_some("`**` stands for whole folders: `deploy/**/*.yaml`")
}

/// Every group a piece of either file names, with the place of the name.
pub fn groups_named(rules: &Node) -> Vec<(&str, &super::located::Place)> {
    let mut found = Vec::new();
    collect_groups(rules, &mut found);
    found
}

/// Where a block asks for the owners of files.
pub fn codeowners_asked(rules: &Node) -> Option<&super::located::Place> {
    match &rules.value {
        Value::List(items) => items.iter().find_map(codeowners_asked),
        Value::Map(entries) => super::block::named(entries)
            .find_map(|(key, value)| if key.name == "codeowners" { Some(&key.at) } else { codeowners_asked(value) }),
        Value::Nothing | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::Strange(_) => None,
    }
}

fn collect_groups<'n>(node: &'n Node, found: &mut Vec<(&'n str, &'n super::located::Place)>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| collect_groups(item, found)),
        Value::Map(entries) => {
            for (key, value) in super::block::named(entries) {
                if key.name == "groups"
                    && let Value::List(groups) = &value.value
                {
                    found.extend(groups.iter().filter_map(|group| text(group, "groups", &mut Complaints::default())));
                } else if let ("may", Value::Map(commands)) = (key.name.as_str(), &value.value) {
                    for (_, whom) in super::block::named(commands) {
                        match &whom.value {
                            Value::List(groups) => found.extend(
                                groups.iter().filter_map(|group| text(group, "may", &mut Complaints::default())),
                            ),
                            _ => collect_groups(whom, found),
                        }
                    }
                } else {
                    collect_groups(value, found);
                }
            }
        }
        Value::Nothing | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::Strange(_) => {}
    }
}

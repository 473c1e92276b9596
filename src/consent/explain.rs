//! One sentence for a verdict: what is missing, who can give it, and whose approval does not count. Plain text: names in
//! it come from files and forges, and whoever puts it into a comment or a page escapes it there.

use std::collections::BTreeSet;

use super::contributors::Contributors;
use super::judge::{Discount, NotCounted, RuleVerdict, Verdict};
use super::people::People;
use super::required::Origin;
use crate::ids::{Account, EnvironmentName};
use crate::policy::rules::Role;

/// More names than this are counted instead of written.
const NAMES: usize = 5;

/// The sentence. `reader` is the person it is for, addressed as "you".
pub fn explain(environment: &EnvironmentName, verdict: &Verdict, people: &People, reader: Option<&Account>) -> String {
    let mut parts = vec![format!("{environment} {}", needs(verdict, people))];
    if let Some(number) = verdict.deletions.filter(|_| !verdict.met()) {
        parts.push(format!("each approval has to say `--deletions {number}`"));
    }
    let unknown = verdict.contributors.more();
    if unknown > 0 && !verdict.rules.is_empty() {
        let pushes = if unknown == 1 { "a push".to_owned() } else { format!("{unknown} pushes") };
        parts.push(format!("{unknown} more than the rules say, for {pushes} by nobody known"));
    }
    let reader_is = |one: &NotCounted| reader.is_some_and(|reader| people.identities.same(reader, &one.person));
    let (yours, others): (Vec<_>, Vec<_>) = verdict.not_counted.iter().partition(|one| reader_is(one));
    parts.extend(yours.iter().map(|one| format!("yours does not count: {}", to_you(&one.why))));
    parts.extend(others.iter().take(NAMES).map(|one| format!("@{}'s does not count: {}", one.person.login, one.why)));
    if others.len() > NAMES {
        parts.push(format!("{} more do not count", others.len() - NAMES));
    }
    parts.join("; ")
}

fn needs(verdict: &Verdict, people: &People) -> String {
    if let Some(why) = verdict.closed {
        return format!("is closed: {why}");
    }
    if verdict.rules.is_empty() {
        return "needs no approval".to_owned();
    }
    if let Some(reasons) = &verdict.exception {
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        return format!("passes by its grant's owners, an exception to be reviewed: {}", reasons.join(", "));
    }
    let open: Vec<String> =
        verdict.rules.iter().filter(|rule| rule.missing() > 0).map(|rule| open(rule, verdict, people)).collect();
    if open.is_empty() {
        format!("has its consent: {}", given(verdict))
    } else {
        format!("needs {}", open.join(", and "))
    }
}

fn given(verdict: &Verdict) -> String {
    let who: BTreeSet<&Account> = verdict.rules.iter().flat_map(|rule| &rule.counted).collect();
    names(&who.into_iter().map(|account| format!("@{}", account.login)).collect())
}

fn open(rule: &RuleVerdict, verdict: &Verdict, people: &People) -> String {
    let why = match &rule.required.origin {
        Origin::Environment => String::new(),
        Origin::Neighbour(name) => format!(" (by the rules of {name})"),
        Origin::Floor(name) => format!(" (by floor {name})"),
        Origin::Owners => " (its own rules change)".to_owned(),
        Origin::Limits => " (larger than the file's limits)".to_owned(),
        Origin::GrantOwners => " (its first set)".to_owned(),
        Origin::Deletions => " (it deletes more than may pass unsaid)".to_owned(),
    };
    let given = match rule.counted.len() {
        0 => String::new(),
        _ => format!(" beside {}", names(&rule.counted.iter().map(|account| format!("@{}", account.login)).collect())),
    };
    format!("{} more of: {}{given}{why}", rule.missing(), who(rule, &verdict.contributors, people))
}

/// Who can give what is missing: people by name, without those who have given it or may not.
fn who(rule: &RuleVerdict, contributors: &Contributors, people: &People) -> String {
    let voters = &rule.required.rule.voters;
    let may = |login: &str| {
        // An account is known here by its login alone; no account has the number 0, so it equals nobody by number.
        let account = Account { forge: people.forge.clone(), id: 0, login: login.to_owned() };
        let is = |one: &Account| {
            one.login.eq_ignore_ascii_case(login) && one.forge == people.forge || people.identities.same(one, &account)
        };
        !rule.counted.iter().any(is) && !contributors.accounts.keys().any(is)
    };
    let login = |account: &str| -> Option<String> {
        let (forge, login) = account.split_once('/')?;
        (forge == people.forge.as_str() && may(login)).then(|| format!("@{login}"))
    };
    let mut all = Vec::new();
    let users: BTreeSet<String> = voters.users.iter().filter(|user| may(user)).map(|user| format!("@{user}")).collect();
    if !users.is_empty() {
        all.push(names(&users));
    }
    for name in &voters.groups {
        let group = people.groups.get(name);
        let listed: BTreeSet<String> =
            group.into_iter().flat_map(|group| group.people.values().flatten()).filter_map(|one| login(one)).collect();
        let teams = group.is_some_and(|group| !group.teams.is_empty());
        match (listed.is_empty(), teams) {
            (false, _) => all.push(format!("{} (group {name})", names(&listed))),
            (true, true) => all.push(format!("group {name}")),
            (true, false) => all.push(format!("group {name}, which has nobody else")),
        }
    }
    all.extend(voters.teams.iter().map(|team| format!("team {team}")));
    all.extend(voters.roles.iter().map(|role| format!("anyone with {} access who did not contribute", word(*role))));
    if all.is_empty() { "nobody that the rule names is left".to_owned() } else { all.join(", ") }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Write => "write",
        Role::Admin => "admin",
    }
}

fn names(all: &BTreeSet<String>) -> String {
    let mut written: Vec<&str> = all.iter().take(NAMES).map(String::as_str).collect();
    let rest = all.len().saturating_sub(NAMES);
    let rest = format!("{rest} others");
    if all.len() > NAMES {
        written.push(&rest);
    }
    written.join(", ")
}

fn to_you(why: &Discount) -> String {
    match why {
        Discount::Contributor(how) => format!("you {how}"),
        Discount::NotNamed => "no rule that applies names you".to_owned(),
        Discount::Unread => "the forge could not be asked about you".to_owned(),
        other => other.to_string(),
    }
}

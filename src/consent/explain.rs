//! One sentence for a verdict: what is missing, who can give it, and whose approval does not count. Plain text: names in
//! it come from files and forges, and whoever puts it into a comment or a page escapes it there.

use std::collections::BTreeSet;

use super::contributors::Contributors;
use super::judge::{Discount, NotCounted, RuleVerdict, Verdict};
use super::origin::Origin;
use super::people::People;
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
    if let Some(why) = &verdict.closed {
        return format!("is closed: {why}");
    }
    if verdict.rules.is_empty() {
        return "needs no approval".to_owned();
    }
    if let Some(reasons) = &verdict.exception {
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        return format!("passes by its grant's owners, an exception to be reviewed: {}", reasons.join(", "));
    }
    if verdict.by_rollback {
        return "passes: the rollback has consented to it".to_owned();
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
        Origin::Reverts => " (enough for what was deployed here before)".to_owned(),
        Origin::Neighbour(name) => format!(" (by the rules of {name})"),
        Origin::Floor(name) => format!(" (by floor {name})"),
        Origin::Owners => " (its own rules change)".to_owned(),
        Origin::Limits => " (larger than the file's limits)".to_owned(),
        Origin::GrantOwners => " (its first set)".to_owned(),
        Origin::CodeOwners(file) => format!(" (owners of {file})"),
        Origin::Unowned(file) => format!(" (nobody owns {file})"),
        Origin::Policy(name) | Origin::FloorPolicy(name) => format!(" (policy {name})"),
        Origin::Mended(name) => format!(" (policy {name} cannot be asked, and changes)"),
        Origin::Waiver(denial) => format!(" (to waive policy {}, which denies it)", denial.policy),
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
    // On GitLab a name is a person's or a group's, and only the forge knows which.
    let teams = voters.teams.iter().filter(|team| !voters.users.contains(*team));
    all.extend(teams.map(|team| format!("team {team}")));
    all.extend(voters.emails.iter().map(|address| format!("whoever shows the address {address}")));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::cast::{account, approval, people, place, production, rule, rules, set};
    use super::super::*;
    use super::explain;
    use crate::policy::rules::{ApprovalRule, ApprovalSource, Environment, Floor, Role, Voters, When};

    /// What is said about a change of two objects to the reader `ann`, and whether it passes.
    fn said(
        rules: &Environment,
        contributors: &Contributors,
        given: impl Fn(&Change) -> Vec<Recorded>,
        floors: &[(String, Floor)],
    ) -> (bool, String) {
        let change = Change::between(Some(&set(1, &[("a", 1), ("b", 1)])), &set(1, &[("a", 2)]));
        let approvals = given(&change);
        let files = BTreeSet::new();
        let case = Case {
            subject: Subject {
                change: &change,
                files: &files,
                size: Size::default(),
                stands: 2,
                said: None,
                becomes: Becomes::New,
            },
            digest: change.digest(&super::super::cast::repository(), &production()),
            from_set: None,
            place: Some(&place()),
            head: None,
            passage: Passage::Rules,
            contributors,
            approvals: &approvals,
        };
        let law = Law { rules: InForce::OfSet(rules), floors, grant_owners: None };
        let verdict = judge(case, law, &people());
        (verdict.met(), explain(&production(), &verdict, &people(), Some(&account("ann"))))
    }

    fn by(people: &[&str]) -> impl Fn(&Change) -> Vec<Recorded> {
        let people: Vec<String> = people.iter().map(|who| (*who).to_owned()).collect();
        move |change| people.iter().map(|who| approval(who, change)).collect()
    }

    fn anns() -> Contributors {
        let push = Push { pusher: Some(account("ann")), brings: Brings::Work };
        Contributors::of_pull((account("opener"), Contributed::Opened), "#17", &[push], &[])
    }

    #[test]
    fn one_sentence_says_what_is_missing_and_who_can_give_it() {
        let two = rules(vec![rule(2, "sre")]);
        let none = by(&[]);
        insta::assert_snapshot!(said(&two, &anns(), none, &[]).1, @"production needs 2 more of: @gone, @kim, @kim-home, @lee, @robot (group sre)");
        insta::assert_snapshot!(said(&two, &anns(), by(&["lee", "ann"]), &[]).1, @"production needs 1 more of: @gone, @kim, @kim-home, @robot (group sre) beside @lee; yours does not count: you pushed to it");
        insta::assert_snapshot!(said(&two, &anns(), by(&["kim", "kim-home"]), &[]).1, @"production needs 1 more of: @gone, @lee, @robot (group sre) beside @kim");
        insta::assert_snapshot!(said(&two, &anns(), by(&["lee", "kim"]), &[]).1, @"production has its consent: @kim, @lee");
        insta::assert_snapshot!(said(&rules(vec![]), &anns(), by(&[]), &[]).1, @"production needs no approval");
        let floors = [("prod".to_owned(), Floor { approvals: vec![rule(1, "leads")], ..Floor::default() })];
        insta::assert_snapshot!(said(&two, &anns(), by(&["lee", "sam"]), &floors).1, @"production needs 1 more of: @ada (group leads) (by floor prod)");
        let exact = Environment { deletions_confirm_above: Some(0), ..rules(vec![rule(1, "sre")]) };
        insta::assert_snapshot!(said(&exact, &anns(), by(&["lee"]), &[]).1, @"production needs 1 more of: @gone, @kim, @kim-home, @lee, @robot (group sre); each approval has to say `--deletions 1`; @lee's does not count: it does not say `--deletions 1`");
        let unknown = Contributors::of_pushes("x", &[Push { pusher: None, brings: Brings::Work }], &[]);
        insta::assert_snapshot!(said(&two, &unknown, by(&["lee", "kim"]), &[]).1, @"production needs 1 more of: @gone, @robot (group sre) beside @kim, @lee; 1 more than the rules say, for a push by nobody known");
    }

    #[test]
    fn whose_approval_counts() {
        let one = rules(vec![rule(1, "sre")]);
        let mut command_only = one.clone();
        command_only.consent.by = BTreeSet::from([ApprovalSource::Review]);
        let nobody = Contributors::default();
        let kims = Contributors::of_pull((account("kim"), Contributed::Opened), "#17", &[], &[]);
        let written = Written { people: vec![account("lee")], brings: Brings::Work };
        let lees = Contributors::of_pull((account("ann"), Contributed::Opened), "#17", &[], &[written]);
        for (who, contributors, rules, expected, why) in [
            ("lee", &nobody, &one, true, "a member by name"),
            ("sam", &nobody, &one, true, "a member by team"),
            ("left", &nobody, &one, false, "a member removed since"),
            ("away", &nobody, &one, false, "the forge could not be asked"),
            ("stranger", &nobody, &one, false, "nobody asked about"),
            ("robot", &nobody, &one, false, "a bot"),
            ("gone", &nobody, &one, false, "deleted or suspended"),
            ("kim", &kims, &one, false, "the author"),
            ("kim-home", &kims, &one, false, "the author's other account"),
            ("lee", &lees, &one, false, "who wrote a commit"),
            ("lee", &nobody, &command_only, false, "another way than the rules want"),
        ] {
            let (met, sentence) = said(rules, contributors, by(&[who]), &[]);
            assert_eq!(met, expected, "{why}: {sentence}");
            assert!(met || sentence.contains("does not count"), "{why}: it is said why: {sentence}");
        }
        let elsewhere = |change: &Change| {
            let mut given = approval("lee", change);
            given.approval.place.base_branch = "release".into();
            vec![given]
        };
        let void =
            |change: &Change| vec![Recorded { state: State::Void("dismissed".into()), ..approval("lee", change) }];
        let used = |change: &Change| vec![Recorded { state: State::UsedUp, ..approval("lee", change) }];
        let other = |_: &Change| vec![approval("lee", &Change::between(None, &set(1, &[("a", 2)])))];
        assert!(!said(&one, &nobody, elsewhere, &[]).0, "for another branch");
        assert!(!said(&one, &nobody, void, &[]).0, "void");
        assert!(!said(&one, &nobody, used, &[]).0, "used up");
        assert!(!said(&one, &nobody, other, &[]).0, "for another change");
    }

    #[test]
    fn which_rules_apply() {
        let when = |paths: &[&str], kinds: &[&str]| When {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        };
        let of = |name: &str, when| ApprovalRule { when: Some(when), ..rule(1, name) };
        let split = vec![
            rule(1, "always"),
            of("front", when(&["front/**"], &[])),
            of("back", when(&["back/**"], &[])),
            of("maps", when(&[], &["ConfigMap"])),
            of("nets", when(&[], &["networking.k8s.io/*"])),
        ];
        let mut rules = rules(split);
        let base = set(1, &[("a", 1), ("b", 1)]);
        let names = |rules: &Environment, new: &HashedSet, files: &[&str], lines: u64| -> String {
            let change = Change::between(Some(&base), new);
            let files = files.iter().map(|file| (*file).to_owned()).collect();
            let subject = Subject {
                change: &change,
                files: &files,
                size: Size { lines, ..Size::default() },
                stands: 2,
                said: None,
                becomes: Becomes::New,
            };
            let asked = required(subject, Law { rules: InForce::OfSet(rules), floors: &[], grant_owners: None });
            let who = |voters: &Voters| match voters.groups.first() {
                Some(group) => group.clone(),
                None => format!("{:?}", voters.roles.first().unwrap()),
            };
            let all: Vec<String> = asked.rules.iter().map(|one| who(&one.rule.voters)).collect();
            format!("{}{}", all.join(" "), asked.deletions.map(|n| format!(" --deletions {n}")).unwrap_or_default())
        };
        let (altered, entry) = (set(1, &[("a", 2), ("b", 1)]), set(2, &[("a", 1), ("b", 1)]));
        assert_eq!(names(&rules, &base, &["front/x"], 9_999), "", "no change asks nobody");
        assert_eq!(names(&rules, &altered, &["front/x"], 0), "always front maps");
        assert_eq!(names(&rules, &altered, &["front/x", "back/y"], 0), "always front back maps");
        assert_eq!(names(&rules, &altered, &["front/x", "shared"], 0), "always front back maps nets", "nobody's file");
        assert_eq!(names(&rules, &altered, &[], 0), "always front back maps nets", "without any file: a new renderer");
        assert_eq!(names(&rules, &entry, &[], 0), "always front back maps nets leads", "its own rules change");
        assert_eq!(names(&rules, &altered, &["front/x"], 5_001), "always front maps leads", "over the limits");
        rules.owners = None;
        assert_eq!(names(&rules, &altered, &["front/x"], 5_001), format!("always front maps {:?}", Role::Admin));
        rules.consent.approvals.clear();
        rules.deletions_confirm_above = Some(0);
        assert_eq!(names(&rules, &altered, &[], 0), "", "nothing is deleted");
        assert_eq!(names(&rules, &set(1, &[("a", 1)]), &[], 0), format!("{:?} --deletions 1", Role::Write));
    }
}

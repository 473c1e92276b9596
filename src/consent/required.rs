//! Rules 8 and 9: which rules a change has to meet.

use std::collections::BTreeSet;

use super::change::Change;
use super::origin::Origin;
use super::policies::{Asks, Said, asks as policy_asks, policies_in_force};
use crate::ids::SetKey;
use crate::policy::rules::{
    ApprovalRule, ApprovalSource, Binds, Consent, Environment, Floor, Limits, OnPush, Role, Voters, When,
};
use crate::policy::{FILE_NAME, kind_matches, path_matches};

/// How much a pull request alters; of several steps, the most that any of them does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Files of the repository.
    pub files: u64,
    /// Lines of them.
    pub lines: u64,
    /// Objects over all environments.
    pub objects: u64,
}

impl Size {
    /// The larger of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            files: self.files.max(other.files),
            lines: self.lines.max(other.lines),
            objects: self.objects.max(other.objects),
        }
    }

    fn exceeds(self, limits: Limits) -> bool {
        self.files > limits.files || self.lines > limits.lines || self.objects > limits.objects
    }
}

/// A change with everything a rule may ask about it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What it changes.
    pub change: &'a Change,
    /// The changed files that the render reads, or read before.
    pub files: &'a BTreeSet<String>,
    /// How much.
    pub size: Size,
    /// How many objects there are before it: what a number of deletions is measured by.
    pub stands: usize,
    /// What the policies in force say of it, where they were asked.
    pub said: Option<&'a Said>,
    /// What comes of it.
    pub becomes: Becomes,
}

/// What comes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// Something else than what was deployed here before, as far as anybody needs to know.
    New,
    /// A set that was deployed here before, and was healthy: `consent.reverts` may be enough.
    WasHere,
}

/// The rules a change is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Law<'a> {
    /// The environment's.
    pub rules: InForce<'a>,
    /// The platform's under it, by name.
    pub floors: &'a [(String, Floor)],
    /// The grant's owners.
    pub grant_owners: Option<&'a ApprovalRule>,
}

/// Rule 8: the rules of the environment itself.
#[derive(Debug, Clone, Copy)]
pub enum InForce<'a> {
    /// Those in the entry of the set at hand.
    OfSet(&'a Environment),
    /// There is no set yet.
    First {
        /// The new set's own.
        own: &'a Environment,
        /// In force for environments of its name or namespace, orphaned ones too until they are forgotten.
        neighbours: &'a [Environment],
    },
    /// They cannot be read: nothing passes.
    Unreadable,
}

impl InForce<'_> {
    /// What an approved change has to fit.
    pub fn binds(&self) -> Binds {
        match self {
            Self::OfSet(rules) | Self::First { own: rules, .. } => rules.consent.binds,
            Self::Unreadable => Binds::Set,
        }
    }

    /// What a push does to approvals.
    pub fn on_push(&self) -> OnPush {
        match self {
            Self::OfSet(rules) | Self::First { own: rules, .. } => rules.consent.on_push,
            Self::Unreadable => OnPush::Void,
        }
    }
}

/// One rule that has to be met.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Required {
    /// Who, and how many.
    pub rule: ApprovalRule,
    /// The ways that count for it.
    pub by: BTreeSet<ApprovalSource>,
    /// Where it comes from; of equal rules the first, or the first that binds.
    pub origin: Origin,
}

/// Every rule a change has to meet, and the number its approvals have to carry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// All of them.
    pub rules: Vec<Required>,
    /// The exact number of deletions.
    pub deletions: Option<u64>,
    /// Why nothing passes at all.
    pub closed: Option<String>,
}

impl Requirements {
    /// Whether nobody has to be asked.
    pub fn is_nothing(&self) -> bool {
        self.rules.is_empty() && self.closed.is_none()
    }
}

/// What a change asks for: by the rules, and by the policies in force.
pub fn required(subject: Subject<'_>, law: Law<'_>) -> Requirements {
    let mut asked = by_rules(subject, law);
    if subject.change.is_empty() || asked.closed.is_some() {
        return asked;
    }
    for standing in policies_in_force(law) {
        let name = &standing.question.name;
        let (review, owners) = match policy_asks(&standing, subject.said) {
            Asks::Nothing => continue,
            Asks::Closed(why) => {
                asked.closed = Some(why);
                return asked;
            }
            Asks::Denied(denial) => {
                // It is a command, whatever the ways are in which changes are approved.
                let every_way = Consent::none().by;
                let rules = standing.approvals.iter();
                rules.for_each(|rule| asked.add(rule, &every_way, Origin::Waiver(denial.clone())));
                continue;
            }
            Asks::People { review, owners } => (review, owners),
        };
        if review {
            let origin = if standing.is_floors { Origin::FloorPolicy } else { Origin::Policy };
            standing.approvals.iter().for_each(|rule| asked.add(rule, &standing.by, origin(name.clone())));
        }
        if owners {
            let owners = match law.rules {
                InForce::OfSet(own) | InForce::First { own, .. } => own.owners.as_ref(),
                InForce::Unreadable => None,
            };
            let owners = owners.or(law.grant_owners).cloned().unwrap_or_else(admin);
            asked.add(&owners, &standing.by, Origin::Mended(name.clone()));
        }
    }
    asked
}

impl Requirements {
    /// Adds a rule; of equal ones the first stays, with an origin that binds where one of them has it. What is to be waived
    /// is asked by itself: consent to the change is none to that.
    fn add(&mut self, rule: &ApprovalRule, by: &BTreeSet<ApprovalSource>, origin: Origin) {
        let same = |one: &Required| {
            (one.rule.count, &one.rule.voters, &one.by, one.origin.denial())
                == (rule.count, &rule.voters, by, origin.denial())
        };
        match self.rules.iter().position(same).and_then(|at| self.rules.get_mut(at)) {
            Some(known) if origin.binds() && !known.origin.binds() => known.origin = origin,
            Some(_) => {}
            None => self.rules.push(Required { rule: rule.clone(), by: by.clone(), origin }),
        }
    }
}

/// A file that names nobody must not close itself for ever.
fn admin() -> ApprovalRule {
    ApprovalRule { count: 1, voters: role(Role::Admin), when: None }
}

/// What a change asks for whatever its policies say.
pub fn by_rules(subject: Subject<'_>, law: Law<'_>) -> Requirements {
    let mut asked = Requirements::default();
    if subject.change.is_empty() {
        return asked;
    }
    let (own, neighbours, first) = match law.rules {
        InForce::OfSet(rules) => (rules, &[][..], None),
        InForce::First { own, neighbours } => (own, neighbours, law.grant_owners),
        InForce::Unreadable => {
            asked.closed = Some("the rules in force cannot be read".to_owned());
            return asked;
        }
    };
    let by = &own.consent.by;
    let everything = subject.change.alters_entry();
    // First, because of equal rules the floor's is the one that no exception passes.
    for (name, floor) in law.floors {
        for rule in applying(&floor.approvals, everything, subject) {
            asked.add(rule, by, Origin::Floor(name.clone()));
        }
    }
    let files = Files { changed: subject.files, alters_entry: everything };
    let own_rules = applying(&own.consent.approvals, everything, subject);
    let mut all: Vec<_> = own_rules.map(|rule| (own, rule, Origin::Environment)).collect();
    // Never for the rules themselves: a set holds those of its time, and to bring back weaker ones is no way back.
    if let (Becomes::WasHere, InForce::OfSet(_), Some(rule), false, false) =
        (subject.becomes, law.rules, &own.consent.reverts, all.is_empty(), everything)
    {
        all = vec![(own, rule, Origin::Reverts)];
    }
    for neighbour in neighbours {
        let rules = neighbour.consent.approvals.iter().chain(&neighbour.owners);
        all.extend(rules.map(|rule| (neighbour, rule, Origin::Neighbour(neighbour.name.to_string()))));
    }
    for (whose, rule, origin) in all {
        let Some(all) = asks(rule, whose, files, origin) else {
            asked.closed = Some("the owners of its files cannot be read".to_owned());
            return asked;
        };
        for (rule, origin) in all {
            asked.add(&rule, &whose.consent.by, origin);
        }
    }
    if let (true, Some(owners)) = (everything, &own.owners) {
        asked.add(owners, by, Origin::Owners);
    }
    if let Some(owners) = first {
        asked.add(owners, by, Origin::GrantOwners);
    }
    if subject.size.exceeds(own.limits) {
        asked.add(own.owners.as_ref().or(law.grant_owners).unwrap_or(&admin()), by, Origin::Limits);
    }
    let deletions = subject.change.deletions();
    if deletions > may_go_unsaid(own, subject.stands) {
        asked.deletions = Some(deletions);
        // Where nobody is asked, somebody who may push still has to say the number.
        if asked.rules.is_empty() {
            for rule in &Consent::one_writer().approvals {
                asked.add(rule, by, Origin::Deletions);
            }
        }
    }
    asked
}

/// How many deletions pass without their number: what the environment says, else three, or a tenth of what there is.
fn may_go_unsaid(own: &Environment, stands: usize) -> u64 {
    let tenth = u64::try_from(stands / 10).unwrap_or(u64::MAX);
    own.deletions_confirm_above.map_or(tenth.max(3), u64::from)
}

/// Files whose owners may be asked.
#[derive(Debug, Clone, Copy)]
struct Files<'a> {
    changed: &'a BTreeSet<String>,
    /// Whether the environment's own rules change, which are in files too.
    alters_entry: bool,
}

/// What a rule asks: itself; or, where it asks for the owners of files, the owners of each. What nobody owns asks for one
/// who may push, as where no rule is written, so that a new file opens nothing. `None`: the owner file cannot be read.
fn asks(
    rule: &ApprovalRule,
    whose: &Environment,
    files: Files<'_>,
    origin: Origin,
) -> Option<Vec<(ApprovalRule, Origin)>> {
    if !rule.voters.codeowners {
        return Some(vec![(rule.clone(), origin)]);
    }
    let owner_file = whose.owner_file.as_ref()?;
    let of_the_entry = [FILE_NAME, owner_file.path.as_str()];
    let mut owned = owner_file.owners(
        files.changed.iter().map(String::as_str).chain(of_the_entry.into_iter().filter(|_| files.alters_entry)),
    )?;
    if files.alters_entry {
        // Another of these files would take the place of the one there is.
        let places = owner_file.owners(owner_file.forge.places().iter().copied())?;
        owned.claims.extend(places.claims);
        // Whose consent is asked is nobody's to change alone: where nobody is named for that, everybody who owns something is
        // asked.
        if whose.owners.is_none() && owner_file.owners(of_the_entry)?.unowned.is_some() {
            owned.claims.extend(owner_file.everybody()?);
        }
    }
    let mut all: Vec<(ApprovalRule, Origin)> = Vec::new();
    for claim in owned.claims {
        if all.iter().any(|(rule, _)| (rule.count, &rule.voters) == (claim.count.max(rule.count), &claim.owners)) {
            continue;
        }
        let rule = ApprovalRule { count: claim.count.max(rule.count), voters: claim.owners, when: None };
        all.push((rule, Origin::CodeOwners(claim.file)));
    }
    let unowned = owned.unowned.map(Origin::Unowned).or_else(|| all.is_empty().then_some(origin));
    all.extend(
        unowned.map(|origin| (ApprovalRule { count: rule.count, voters: role(Role::Write), when: None }, origin)),
    );
    Some(all)
}

/// Everybody whom some rule may ask for, whatever the change of these files turns out to be: who can approve at all, and
/// whose memberships have to be known. Neighbours judge a first set only.
pub fn voters(
    own: &Environment,
    neighbours: &[Environment],
    floors: &[&Floor],
    grant_owners: &[&ApprovalRule],
    files: &BTreeSet<String>,
) -> Vec<Voters> {
    let files = Files { changed: files, alters_entry: true };
    let of_policies = floors.iter().flat_map(|floor| floor.policies.values()).flat_map(|policy| &policy.approvals);
    let of_policies: Vec<Voters> = of_policies.map(|rule| rule.voters.clone()).collect();
    let floors = || floors.iter().flat_map(|floor| &floor.approvals);
    let mut all: Vec<Voters> = floors().chain(grant_owners.iter().copied()).map(|rule| rule.voters.clone()).collect();
    all.extend(of_policies);
    for whose in neighbours.iter().chain([own]) {
        let rules = whose.consent.approvals.iter().chain(&whose.owners).chain(&whose.consent.reverts);
        let asked = rules.filter_map(|rule| asks(rule, whose, files, Origin::Environment)).flatten();
        all.extend(asked.map(|(rule, _)| rule.voters));
        all.extend(whose.policies.values().flat_map(|policy| &policy.approvals).map(|rule| rule.voters.clone()));
    }
    if own.owners.is_none() && grant_owners.is_empty() {
        // What is larger than the file's limits is asked of somebody.
        all.push(role(Role::Admin));
    }
    let asks_always = own.consent.approvals.iter().chain(floors()).any(|rule| rule.when.is_none());
    if !asks_always {
        // And so is a number of deletions where no rule asks.
        all.extend(Consent::one_writer().approvals.into_iter().map(|rule| rule.voters));
    }
    all
}

fn role(role: Role) -> Voters {
    Voters { roles: BTreeSet::from([role]), ..Voters::default() }
}

/// The rules of one list that apply: all of them, when a changed file that the render reads matches no `paths` of a
/// rule that has them, because then nobody knows whose file it is. So too when no file changed at all: a new version of
/// a renderer, say, may alter what is anybody's.
fn applying<'r>(
    rules: &'r [ApprovalRule],
    everything: bool,
    subject: Subject<'_>,
) -> impl Iterator<Item = &'r ApprovalRule> {
    let globs: Vec<&String> = rules.iter().filter_map(|rule| rule.when.as_ref()).flat_map(|when| &when.paths).collect();
    let nobodys = |file: &String| !globs.iter().any(|glob| path_matches(glob, file));
    let nobody_knows = subject.files.is_empty() || subject.files.iter().any(nobodys);
    let all = everything || (!globs.is_empty() && nobody_knows);
    rules.iter().filter(move |rule| all || rule.when.as_ref().is_none_or(|when| applies(when, subject)))
}

fn applies(when: &When, subject: Subject<'_>) -> bool {
    let path = || subject.files.iter().any(|file| when.paths.iter().any(|glob| path_matches(glob, file)));
    let kind = || {
        subject.change.items().iter().any(|item| match &item.key {
            SetKey::Entry => false,
            SetKey::Object(key) => when.kinds.iter().any(|pattern| kind_matches(pattern, &key.group, &key.kind)),
        })
    };
    // A `when` that says nothing excludes nothing.
    (when.paths.is_empty() && when.kinds.is_empty()) || path() || kind()
}

#[cfg(test)]
#[path = "required_tests.rs"]
mod tests;

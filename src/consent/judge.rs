//! Rules 6, 8 and 9: whether a change has the approvals it needs, from whom, and who can give what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::approval::{Approval, ApprovalKey, Place, Recorded, State};
use super::contributors::{Contributed, Contributors};
use super::origin::Origin;
use super::passage::Passage;
use super::people::{Answer, Kind, People, Person, Right, Standing};
use super::required::{Becomes, InForce, Law, Required, Requirements, Subject, by_rules, required};
use super::void::VoidReason;
use super::waiver::{Denial, Waiver};
use crate::ids::{Account, ChangeDigest, CommitId, SetDigest};
use crate::policy::rules::{ApprovalRule, ApprovalSource, Binds, OnPush, Role};

/// A change that waits for consent, and what was given for it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What is judged.
    pub subject: Subject<'a>,
    /// Its digest.
    pub digest: ChangeDigest,
    /// The set it is to be added to; `None` is the empty set.
    pub from_set: Option<SetDigest>,
    /// The pull request, or the place a held change is shown in. `None` when it is not shown anywhere yet.
    pub place: Option<&'a Place>,
    /// The pull request's head, or the one that was merged; a held change has none.
    pub head: Option<&'a CommitId>,
    /// Whether the grant's owners may let it pass by themselves.
    pub passage: Passage,
    /// Whose change it is.
    pub contributors: &'a Contributors,
    /// Everything given in that place for that environment.
    pub approvals: &'a [Recorded],
}

/// Why an approval does not count; `Display` completes "…'s does not count: …".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discount {
    /// Void, for this reason.
    Void(String),
    /// A sync was started on it before.
    UsedUp,
    /// It was given elsewhere, or for another branch.
    Elsewhere,
    /// It is for another change.
    OtherChange,
    /// The rules bind whole sets, and it was given on top of another.
    OtherSet,
    /// It does not carry the exact number of deletions.
    Deletions(u64),
    /// The account is a bot's.
    Bot,
    /// The account is deleted or suspended.
    Inactive,
    /// The forge could not be asked about this person.
    Unread,
    /// They are a contributor.
    Contributor(Contributed),
    /// It waives what the policy does not deny here, or not with these words.
    OtherDenial(String),
    /// The rules want another way of approving.
    Way(ApprovalSource),
    /// No rule that applies names them.
    NotNamed,
}

impl fmt::Display for Discount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void(why) => write!(out, "void, {why}"),
            Self::UsedUp => out.write_str("it was used for an earlier deployment"),
            Self::Elsewhere => out.write_str("it was given for another pull request or branch"),
            Self::OtherChange => out.write_str("it is for another change"),
            Self::OtherSet => out.write_str("it was given on top of another state, and the rules bind the whole set"),
            Self::Deletions(number) => write!(out, "it does not say `--deletions {number}`"),
            Self::Bot => out.write_str("a bot cannot consent"),
            Self::Inactive => out.write_str("the account is not active"),
            Self::Unread => out.write_str("the forge could not be asked about this person"),
            Self::Contributor(how) => write!(out, "contributor: {how}"),
            Self::OtherDenial(policy) => {
                write!(
                    out,
                    "policy {policy} does not deny this, or its text or what it finds is another than was waived"
                )
            }
            Self::Way(ApprovalSource::Review) => {
                out.write_str("a review is not a way to approve here; use the command")
            }
            Self::Way(ApprovalSource::Command) => out.write_str("a command is not a way to approve here; use a review"),
            Self::NotNamed => out.write_str("no rule that applies names this person"),
        }
    }
}

/// One rule, and how far it is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVerdict {
    /// The rule.
    pub required: Required,
    /// How many distinct people it needs here: its count, and one more for each push by nobody known.
    pub needed: u32,
    /// Whose approvals count for it, one account a person.
    pub counted: Vec<Account>,
}

impl RuleVerdict {
    /// How many are missing.
    pub fn missing(&self) -> u32 {
        self.needed.saturating_sub(u32::try_from(self.counted.len()).unwrap_or(u32::MAX))
    }
}

/// An approval that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCounted {
    /// Which.
    pub key: ApprovalKey,
    /// Whose.
    pub person: Account,
    /// Why.
    pub why: Discount,
}

/// The verdict on one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Each rule that applies. One person may count for several rules: each asks its own question.
    pub rules: Vec<RuleVerdict>,
    /// The number of deletions every approval has to carry.
    pub deletions: Option<u64>,
    /// Waivers that count.
    pub waivers: Vec<Waiver>,
    /// Approvals that count for at least one rule.
    pub counted: BTreeSet<ApprovalKey>,
    /// Those that do not, and why.
    pub not_counted: Vec<NotCounted>,
    /// Contributors, to leave out of who can give what is missing.
    pub contributors: Contributors,
    /// Why nothing passes at all.
    pub closed: Option<String>,
    /// A held change that the grant's owners let pass, with these reasons: an exception to be reviewed later.
    pub exception: Option<BTreeSet<String>>,
    /// Whether it passes because a rollback has consented to it.
    pub by_rollback: bool,
}

impl Verdict {
    /// Whether the change may pass.
    pub fn met(&self) -> bool {
        let by_rules = || self.rules.iter().all(|rule| rule.missing() == 0);
        self.closed.is_none() && (self.exception.is_some() || self.by_rollback || by_rules())
    }

    /// Whether what `reverts` ask was asked, since what comes of it was deployed here before.
    pub fn by_reverts(&self) -> bool {
        self.rules.iter().any(|rule| rule.required.origin == Origin::Reverts)
    }

    /// What policies deny and somebody may waive, waived or not.
    pub fn denials(&self) -> BTreeSet<Denial> {
        self.rules.iter().filter_map(|rule| rule.required.origin.denial().cloned()).collect()
    }

    /// What has to be waived, where nothing else is missing.
    pub fn only_denials(&self) -> impl Iterator<Item = &Denial> {
        let missing = self.rules.iter().filter(|rule| rule.missing() > 0);
        let is_only = missing.clone().all(|rule| rule.required.origin.denial().is_some());
        missing.filter(move |_| is_only).filter_map(|rule| rule.required.origin.denial())
    }

    /// Whether a denial was waived by everybody whom its policy asks.
    pub fn waives(&self, denial: &Denial) -> bool {
        let mut of_it = self.rules.iter().filter(|rule| rule.required.origin.denial() == Some(denial)).peekable();
        of_it.peek().is_some() && of_it.all(|rule| rule.missing() == 0)
    }

    /// Whether nobody had to be asked.
    pub fn asks_nothing(&self) -> bool {
        self.closed.is_none() && self.rules.is_empty()
    }
}

/// Judges a change. Where less is enough because of what was deployed before, what is enough otherwise is, too.
pub fn judge(case: Case<'_>, law: Law<'_>, people: &People) -> Verdict {
    either(required, case, law, people)
}

fn either(asks: fn(Subject<'_>, Law<'_>) -> Requirements, case: Case<'_>, law: Law<'_>, people: &People) -> Verdict {
    let verdict = judge_by(asks(case.subject, law), case, law, people);
    if verdict.met() || case.subject.becomes == Becomes::New {
        return verdict;
    }
    let case = Case { subject: Subject { becomes: Becomes::New, ..case.subject }, ..case };
    let otherwise = judge_by(asks(case.subject, law), case, law, people);
    if otherwise.met() { otherwise } else { verdict }
}

/// The same, as if there were no policies. They only ever ask for more: what may not pass here passes nowhere, and no
/// policy has to be asked about it.
pub(super) fn judge_without_policies(case: Case<'_>, law: Law<'_>, people: &People) -> Verdict {
    either(by_rules, case, law, people)
}

fn judge_by(asked: Requirements, case: Case<'_>, law: Law<'_>, people: &People) -> Verdict {
    let Requirements { rules, deletions, closed } = asked;
    let more = case.contributors.more();
    let mut verdict = Verdict {
        rules: Vec::new(),
        deletions,
        waivers: Vec::new(),
        counted: BTreeSet::new(),
        not_counted: Vec::new(),
        contributors: case.contributors.clone(),
        closed,
        exception: None,
        by_rollback: false,
    };
    let mut eligible: Vec<(&Approval, &Standing)> = Vec::new();
    for recorded in case.approvals {
        match discount(recorded, case, law.rules, deletions, people) {
            Ok(standing) => eligible.push((&recorded.approval, standing)),
            Err(why) => verdict.not_counted.push(not_counted(&recorded.approval, why)),
        }
    }
    let mut best: BTreeMap<&ApprovalKey, Vec<Discount>> = BTreeMap::new();
    for required in rules {
        let mut counted: BTreeMap<Person, Account> = BTreeMap::new();
        for (approval, standing) in &eligible {
            if !is_about(&required.origin, approval) {
                continue;
            }
            let counts = match owns_and_may(&required.origin, standing) {
                Ok(()) => counts_for(&required.rule, &required.by, approval, standing, people),
                Err(why) => Err(why),
            };
            match counts {
                Ok(()) => {
                    verdict.waivers.extend(waiver(approval, &verdict.waivers));
                    counted.entry(people.identities.person(&standing.account)).or_insert(standing.account.clone());
                    verdict.counted.insert(approval.key.clone());
                }
                Err(why) => best.entry(&approval.key).or_default().push(why),
            }
        }
        let needed = required.rule.count.saturating_add(more);
        verdict.rules.push(RuleVerdict { needed, counted: counted.into_values().collect(), required });
    }
    if case.passage == Passage::RulesOrOwners {
        verdict.exception = exception(&mut verdict, &eligible, law, more, people);
    }
    if case.passage == Passage::GivenBack && !case.subject.change.alters_entry() {
        let mut missing = verdict.rules.iter().filter(|rule| rule.missing() > 0).peekable();
        verdict.by_rollback = missing.peek().is_some() && missing.all(|rule| !rule.required.origin.binds());
    }
    for (approval, _) in &eligible {
        if !verdict.counted.contains(&approval.key) && !verdict.rules.is_empty() {
            // The most telling of what the rules said: unread before another way before not named.
            let why = best.remove(&approval.key).and_then(|mut whys| {
                whys.sort_unstable();
                whys.into_iter().next()
            });
            let other = approval.waives.as_ref().map(|waived| Discount::OtherDenial(waived.policy.clone()));
            verdict.not_counted.push(not_counted(approval, why.or(other).unwrap_or(Discount::NotNamed)));
        }
    }
    verdict
}

/// Whether an approval has something to say to a rule: consent to the change to all but waivers, and a waiver to its own
/// denial alone.
fn is_about(origin: &Origin, approval: &Approval) -> bool {
    origin.denial() == approval.waives.as_ref()
}

/// The waiver that an approval is, unless it is known: it may count for several rules of its policy.
fn waiver(approval: &Approval, known: &[Waiver]) -> Option<Waiver> {
    let denial = approval.waives.clone()?;
    let waiver =
        Waiver { denial, person: approval.person.clone(), reason: approval.reason.clone().unwrap_or_default() };
    (!known.contains(&waiver)).then_some(waiver)
}

fn not_counted(approval: &Approval, why: Discount) -> NotCounted {
    NotCounted { key: approval.key.clone(), person: approval.person.clone(), why }
}

/// Why an approval counts for no rule at all, or whose it is as of now.
fn discount<'p>(
    recorded: &Recorded,
    case: Case<'_>,
    rules: InForce<'_>,
    deletions: Option<u64>,
    people: &'p People,
) -> Result<&'p Standing, Discount> {
    let approval = &recorded.approval;
    match &recorded.state {
        State::Stands => {}
        State::Void(why) => return Err(Discount::Void(why.clone())),
        State::UsedUp => return Err(Discount::UsedUp),
    }
    if case.place != Some(&approval.place) {
        return Err(Discount::Elsewhere);
    }
    if approval.change != case.digest {
        return Err(Discount::OtherChange);
    }
    // By the rules of the set at hand, which may be others than those at the time of the push.
    if rules.on_push() == OnPush::Void && case.head.is_some_and(|head| *head != approval.head) {
        return Err(Discount::Void(VoidReason::Pushed.to_string()));
    }
    if rules.binds() == Binds::Set && approval.old_set != case.from_set {
        return Err(Discount::OtherSet);
    }
    // A waiver consents to no deletion, so it has none to count.
    let is_consent = approval.waives.is_none();
    if let Some(number) = deletions.filter(|number| is_consent && approval.deletions != Some(*number)) {
        return Err(Discount::Deletions(number));
    }
    let standing = people.standings.get(&approval.person).ok_or(Discount::Unread)?;
    match standing.kind {
        Kind::Person => {}
        Kind::Bot => return Err(Discount::Bot),
        Kind::Inactive => return Err(Discount::Inactive),
        Kind::Unknown => return Err(Discount::Unread),
    }
    let contributed = case.contributors.find(&approval.person, &people.identities);
    match contributed.or_else(|| case.contributors.find(&standing.account, &people.identities)) {
        Some(how) => Err(Discount::Contributor(how)),
        None => Ok(standing),
    }
}

/// Who is named in an owner file and may not write is no owner for any forge.
fn owns_and_may(origin: &Origin, standing: &Standing) -> Result<(), Discount> {
    match (origin, standing.right) {
        (Origin::CodeOwners(_), Right::Unknown) => Err(Discount::Unread),
        (Origin::CodeOwners(_), Right::Has(role)) if role >= Role::Write => Ok(()),
        (Origin::CodeOwners(_), Right::Has(_) | Right::None) => Err(Discount::NotNamed),
        _ => Ok(()),
    }
}

fn counts_for(
    rule: &ApprovalRule,
    by: &BTreeSet<ApprovalSource>,
    approval: &Approval,
    standing: &Standing,
    people: &People,
) -> Result<(), Discount> {
    match people.is_one_of(standing, &rule.voters) {
        Answer::No => Err(Discount::NotNamed),
        Answer::Unknown => Err(Discount::Unread),
        Answer::Yes if !by.contains(&approval.key.source) => Err(Discount::Way(approval.key.source)),
        Answer::Yes => Ok(()),
    }
}

/// The owners' way past a held change: enough of them with a reason, and every floor.
fn exception(
    verdict: &mut Verdict,
    eligible: &[(&Approval, &Standing)],
    law: Law<'_>,
    more: u32,
    people: &People,
) -> Option<BTreeSet<String>> {
    let owners = law.grant_owners?;
    let by_rules = verdict.rules.iter().all(|rule| rule.missing() == 0);
    let floors = verdict.rules.iter().filter(|rule| rule.required.origin.binds());
    if by_rules || verdict.closed.is_some() || floors.map(RuleVerdict::missing).any(|missing| missing > 0) {
        return None;
    }
    let with_reason = eligible.iter().filter(|(approval, standing)| {
        approval.reason.is_some()
            && approval.waives.is_none()
            && people.is_one_of(standing, &owners.voters) == Answer::Yes
    });
    let given: Vec<_> = with_reason.collect();
    let persons: BTreeSet<Person> =
        given.iter().map(|(_, standing)| people.identities.person(&standing.account)).collect();
    let needed = usize::try_from(owners.count.saturating_add(more)).unwrap_or(usize::MAX);
    if persons.len() < needed {
        return None;
    }
    verdict.counted.extend(given.iter().map(|(approval, _)| approval.key.clone()));
    Some(given.iter().filter_map(|(approval, _)| approval.reason.clone()).collect())
}

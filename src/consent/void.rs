//! Rule 7: what makes an approval void, for ever.
//!
//! Voids are found by comparing an approval with the forge as it is read now, never with the order in which deliveries
//! came. Whoever finds one records it at once; a recorded one is [`super::State::Void`] whatever is read later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::approval::{Approval, Place, ShownAs};
use super::people::Identities;
use crate::ids::{Account, ChangeDigest, CommitId, EnvironmentName};
use crate::policy::rules::{ApprovalSource, OnPush};

/// Why an approval is void; `Display` completes "void: …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VoidReason {
    /// `revoke`, by its giver.
    Revoked,
    /// The review was dismissed.
    Dismissed,
    /// The review or comment is gone.
    Deleted,
    /// Its comment was edited.
    Edited,
    /// Its giver asked for changes afterwards.
    ChangesRequested,
    /// The pull request is for another branch now.
    Retargeted,
    /// A push altered the change.
    ChangeAltered,
    /// A push, where the rules say that any push voids.
    Pushed,
}

impl fmt::Display for VoidReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Revoked => "its giver revoked it",
            Self::Dismissed => "the review was dismissed",
            Self::Deleted => "the review or comment was deleted",
            Self::Edited => "its comment was edited",
            Self::ChangesRequested => "its giver asked for changes afterwards",
            Self::Retargeted => "the pull request was retargeted",
            Self::ChangeAltered => "a push altered the change",
            Self::Pushed => "something was pushed, and the rules void approvals at any push",
        })
    }
}

/// A review or comment that gave an approval, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceNow {
    /// As it was.
    Stands,
    /// Dismissed.
    Dismissed,
    /// Its text was changed.
    Edited,
}

/// A review that asks for changes. One that was dismissed since is still one: dismissing it revives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// Who.
    pub person: Account,
    /// When, by the forge's clock.
    pub at: Timestamp,
}

/// A `revoke` command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Who.
    pub person: Account,
    /// Of which environments; `None` is all.
    pub environments: Option<BTreeSet<EnvironmentName>>,
    /// When, by the forge's clock.
    pub at: Timestamp,
    /// The comment's number: orders two commands of one second.
    pub comment: i64,
}

/// A head of the pull request that was rendered, and what it would change of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The head.
    pub head: CommitId,
    /// When our comment had it first, by the forge's clock; `None` when that is not known, which is taken as after
    /// everything.
    pub from: Option<Timestamp>,
    /// The change; `None` when it was rendered and leaves the environment as it is. A head that does not render or does
    /// not merge is not listed at all.
    pub change: Option<ChangeDigest>,
}

/// A pull request or issue of ours as the forge tells it now, and what we showed there.
#[derive(Debug, Clone)]
pub struct Now {
    /// Its number, and the branch that it is into.
    pub place: Place,
    /// Every review and comment there is. The list must be whole: what is not in it was deleted.
    pub sources: BTreeMap<(ApprovalSource, i64), SourceNow>,
    /// Every review that ever asked for changes.
    pub objections: Vec<Objection>,
    /// Every `revoke`.
    pub revocations: Vec<Revocation>,
    /// Heads pushed and not merged yet; of a merged one, the head that was merged.
    pub head: CommitId,
    /// What was rendered for each environment, oldest first.
    pub looks: BTreeMap<EnvironmentName, Vec<Look>>,
}

/// Why an approval is void, if it is. `on_push` is the environment's, by the rules in force.
pub fn voids(approval: &Approval, now: &Now, on_push: OnPush, identities: &Identities) -> Option<VoidReason> {
    if now.place != approval.place {
        return Some(VoidReason::Retargeted);
    }
    match now.sources.get(&(approval.key.source, approval.key.source_id)) {
        None => return Some(VoidReason::Deleted),
        Some(SourceNow::Dismissed) => return Some(VoidReason::Dismissed),
        Some(SourceNow::Edited) => return Some(VoidReason::Edited),
        Some(SourceNow::Stands) => {}
    }
    if now.revocations.iter().any(|revocation| revokes(revocation, approval, identities)) {
        return Some(VoidReason::Revoked);
    }
    // Of one second, the objection is taken as the later: the giver can say it again.
    let objects = |one: &&Objection| one.at >= approval.at && identities.same(&one.person, &approval.person);
    if now.objections.iter().find(objects).is_some() {
        return Some(VoidReason::ChangesRequested);
    }
    match approval.shown_as {
        // What is merged already is not altered by a push to where it came from.
        ShownAs::Held => None,
        ShownAs::Pull if alters(approval, now.looks.get(&approval.key.environment)) => Some(VoidReason::ChangeAltered),
        ShownAs::Pull if on_push == OnPush::Void && now.head != approval.head => Some(VoidReason::Pushed),
        ShownAs::Pull => None,
    }
}

fn revokes(revocation: &Revocation, approval: &Approval, identities: &Identities) -> bool {
    let covers = revocation.environments.as_ref().is_none_or(|names| names.contains(&approval.key.environment));
    let later = match approval.key.source {
        ApprovalSource::Command => (revocation.at, revocation.comment) > (approval.at, approval.key.source_id),
        // Reviews and comments are numbered apart: of one second, the revocation is taken as the later.
        ApprovalSource::Review => revocation.at >= approval.at,
    };
    covers && later && identities.same(&revocation.person, &approval.person)
}

/// Whether a push after the approval made the change another one: the first look at a new head differs from the last
/// look at the head before, and is not what was approved. A later look at the same head differs only by its base, and
/// a move of the base voids nothing.
fn alters(approval: &Approval, looks: Option<&Vec<Look>>) -> bool {
    let looks = looks.map_or(&[][..], Vec::as_slice);
    looks.windows(2).any(|pair| {
        let [before, after] = pair else { return false };
        after.head != before.head
            && after.change != before.change
            && after.change != Some(approval.change)
            && after.from.is_none_or(|from| from >= approval.at)
    })
}

#[cfg(test)]
mod tests {
    use super::super::cast::{account, approval, at, commit, people, place, production, set};
    use super::super::{Change, Recorded};
    use super::*;

    fn world(given: &Approval) -> Now {
        let looks = vec![Look { head: commit('a'), from: Some(at(10)), change: Some(given.change) }];
        Now {
            place: place(),
            sources: BTreeMap::from([((given.key.source, given.key.source_id), SourceNow::Stands)]),
            objections: vec![],
            revocations: vec![],
            head: commit('a'),
            looks: BTreeMap::from([(production(), looks)]),
        }
    }

    #[test]
    fn what_voids_an_approval_and_what_does_not() {
        let change = Change::between(None, &set(1, &[("a", 1)]));
        let Recorded { approval: kims, .. } = approval("kim", &change);
        let other = ChangeDigest([7; 32]);
        let source = (kims.key.source, kims.key.source_id);
        let same = kims.change;
        let look = |head, second: Option<i64>, change| Look { head: commit(head), from: second.map(at), change };
        let with = |alter: &dyn Fn(&mut Now)| {
            let mut now = world(&kims);
            alter(&mut now);
            now
        };
        let looks =
            |more: &[Look]| with(&|now: &mut Now| now.looks.get_mut(&production()).unwrap().extend(more.to_vec()));
        let objects = |who: &str, second| {
            let objection = Objection { person: account(who), at: at(second) };
            with(&move |now: &mut Now| now.objections.push(objection.clone()))
        };
        let revokes = |second, comment, environments: Option<&str>| {
            let environments = environments.map(|name| BTreeSet::from([name.parse().unwrap()]));
            let revocation = Revocation { person: account("kim"), environments, at: at(second), comment };
            with(&move |now: &mut Now| now.revocations.push(revocation.clone()))
        };
        let later = kims.key.source_id + 1;
        for (now, on_push, expected, why) in [
            (world(&kims), OnPush::Void, None, "nothing happened"),
            (
                with(&|now| now.place.base_branch = "release".into()),
                OnPush::Keep,
                Some(VoidReason::Retargeted),
                "retargeted",
            ),
            (with(&|now| now.sources.clear()), OnPush::Keep, Some(VoidReason::Deleted), "deleted"),
            (
                with(&|now| *now.sources.get_mut(&source).unwrap() = SourceNow::Dismissed),
                OnPush::Keep,
                Some(VoidReason::Dismissed),
                "dismissed",
            ),
            (
                with(&|now| *now.sources.get_mut(&source).unwrap() = SourceNow::Edited),
                OnPush::Keep,
                Some(VoidReason::Edited),
                "edited",
            ),
            (
                objects("kim", 101),
                OnPush::Keep,
                Some(VoidReason::ChangesRequested),
                "asked for changes, dismissed since or not",
            ),
            (objects("kim-home", 101), OnPush::Keep, Some(VoidReason::ChangesRequested), "by another account"),
            (objects("kim", 99), OnPush::Keep, None, "asked for changes, then approved"),
            (objects("lee", 101), OnPush::Keep, None, "somebody else asked for changes"),
            (revokes(101, 0, None), OnPush::Keep, Some(VoidReason::Revoked), "revoked"),
            (
                revokes(100, later, Some("production")),
                OnPush::Keep,
                Some(VoidReason::Revoked),
                "in the same second, after it",
            ),
            (revokes(100, 0, None), OnPush::Keep, None, "in the same second, before it"),
            (revokes(101, later, Some("staging")), OnPush::Keep, None, "another environment"),
            (
                looks(&[look('b', Some(110), Some(other))]),
                OnPush::Keep,
                Some(VoidReason::ChangeAltered),
                "a push altered it",
            ),
            (
                looks(&[look('b', Some(110), None)]),
                OnPush::Keep,
                Some(VoidReason::ChangeAltered),
                "a push took it away",
            ),
            (
                looks(&[look('b', None, Some(other))]),
                OnPush::Keep,
                Some(VoidReason::ChangeAltered),
                "at a time unknown",
            ),
            (
                looks(&[look('b', Some(110), Some(other)), look('a', Some(120), Some(same))]),
                OnPush::Keep,
                Some(VoidReason::ChangeAltered),
                "and pushed back",
            ),
            (looks(&[look('b', Some(110), Some(same))]), OnPush::Keep, None, "a push that leaves it the same"),
            (looks(&[look('a', Some(110), Some(other))]), OnPush::Keep, None, "a move of the base"),
            (
                looks(&[look('a', Some(110), Some(other)), look('b', Some(120), Some(other))]),
                OnPush::Keep,
                None,
                "a push after it that alters nothing",
            ),
            (with(&|now| now.head = commit('b')), OnPush::Keep, None, "a head nobody rendered"),
            (
                with(&|now| now.head = commit('b')),
                OnPush::Void,
                Some(VoidReason::Pushed),
                "any push, where the rules say so",
            ),
        ] {
            assert_eq!(voids(&kims, &now, on_push, &people().identities), expected, "{why}");
        }
        let held = Approval { shown_as: ShownAs::Held, ..kims.clone() };
        let pushed = looks(&[look('b', Some(110), Some(other))]);
        assert_eq!(voids(&held, &pushed, OnPush::Void, &people().identities), None, "a held change is merged already");
    }
}

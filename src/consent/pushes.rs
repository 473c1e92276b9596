//! Rule 6, pushes: whether everybody who moved a branch is known.
//!
//! A branch is moved by one push after the other, each from where the one before it left the branch. What tells of
//! them (deliveries, the forge's own lists) may miss any, so the chain is followed back from the head: where a push
//! began at a commit that no known push left, somebody pushed of whom nothing is known.
//!
//! ```text
//!    base ◄─── a ◄─── x ◄─── y   head       told: ann  nothing → a
//!              ann    ?      ann                  ann  x → y          x was left by nobody known
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::contributors::{Brings, Push};
use crate::ids::{Account, CommitId};

/// Where a push found the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundAt {
    /// It made the branch.
    Nothing,
    /// There.
    At(CommitId),
    /// Who tells of the push does not say.
    Unsaid,
}

/// One push, as one source tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Where it left the branch.
    pub after: CommitId,
    /// Where it found it.
    pub before: FoundAt,
    /// Who; `None` when the source does not say.
    pub pusher: Option<Account>,
}

/// A commit that a pull request's head has and its base has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Which.
    pub id: CommitId,
    /// What it was made on.
    pub parents: Vec<CommitId>,
    /// Whether it is more than a clean merge.
    pub brings: Brings,
}

/// The commits at which a push began or the head stands, and that no told push left. `base` are those that belong to
/// the base branch: a branch may begin at any of them.
pub fn gaps(head: &CommitId, own: &[Own], told: &[Told], base: &BTreeSet<CommitId>) -> BTreeSet<CommitId> {
    visit(head, own, told, base).into_iter().filter(|tip| told.iter().all(|one| one.after != *tip)).collect()
}

/// Whether told pushes lead a branch from one tip to another, or from nothing, each from where the one before it left it.
/// Where a list does not say where a push began, there is nobody else to ask.
pub fn leads(from: Option<&CommitId>, to: &CommitId, told: &[Told]) -> bool {
    let (mut open, mut seen) = (vec![to], BTreeSet::new());
    while let Some(tip) = open.pop() {
        if Some(tip) == from {
            return true;
        }
        if !seen.insert(tip) {
            continue;
        }
        for one in told.iter().filter(|one| one.after == *tip) {
            match &one.before {
                FoundAt::At(before) => open.push(before),
                // It was deleted in between, and made anew.
                FoundAt::Nothing | FoundAt::Unsaid => return true,
            }
        }
    }
    false
}

/// Every push that led to the head of a pull request, one by nobody known for each gap among them.
pub fn every_push(head: &CommitId, own: &[Own], told: &[Told], base: &BTreeSet<CommitId>) -> Vec<Push> {
    let tips = visit(head, own, told, base);
    let mut all = Vec::new();
    for tip in &tips {
        let here: Vec<&Told> = told.iter().filter(|one| one.after == *tip).collect();
        let pushers: BTreeSet<&Account> = here.iter().filter_map(|one| one.pusher.as_ref()).collect();
        for pusher in &pushers {
            let by = here.iter().filter(|one| one.pusher.as_ref() == Some(*pusher));
            let said: Vec<&FoundAt> = by.map(|one| &one.before).collect();
            let brings = worst(said.into_iter().map(|before| brings(tip, before, own, &tips)));
            all.push(Push { pusher: Some((*pusher).clone()), brings });
        }
        if pushers.is_empty() {
            let said = here.iter().map(|one| &one.before).chain([&FoundAt::Unsaid]);
            all.push(Push { pusher: None, brings: worst(said.map(|before| brings(tip, before, own, &tips))) });
        }
    }
    all
}

/// Every commit the branch is known to have been at, or must have been at, on the way to its head.
fn visit(head: &CommitId, own: &[Own], told: &[Told], base: &BTreeSet<CommitId>) -> BTreeSet<CommitId> {
    let is_own = |commit: &CommitId| own.iter().any(|one| one.id == *commit);
    let mut open: Vec<&CommitId> = told.iter().map(|one| &one.after).filter(|after| is_own(after)).collect();
    open.push(head);
    let mut tips = BTreeSet::new();
    while let Some(tip) = open.pop() {
        if base.contains(tip) || !tips.insert(tip.clone()) {
            continue;
        }
        open.extend(told.iter().filter(|one| one.after == *tip).filter_map(|one| match &one.before {
            FoundAt::At(before) => Some(before),
            FoundAt::Nothing | FoundAt::Unsaid => None,
        }));
    }
    tips
}

fn worst(all: impl Iterator<Item = Brings>) -> Brings {
    all.min().unwrap_or(Brings::Work)
}

/// Whether a push brought more than clean merges on top of the head before it.
fn brings(after: &CommitId, before: &FoundAt, own: &[Own], tips: &BTreeSet<CommitId>) -> Brings {
    let commits: BTreeMap<&CommitId, &Own> = own.iter().map(|one| (&one.id, one)).collect();
    let reached = reach(after, &commits);
    let stops: Vec<&CommitId> = match before {
        FoundAt::Nothing => Vec::new(),
        FoundAt::At(before) => vec![before],
        // It began at the newest commit that another push left, or at a later one that nobody told of.
        FoundAt::Unsaid => tips.iter().filter(|tip| *tip != after).collect(),
    };
    let mut brought = reached.clone();
    for stop in stops.into_iter().filter(|stop| reached.contains(stop)) {
        let behind = reach(stop, &commits);
        brought.retain(|commit| !behind.contains(commit));
    }
    // A push that brings nothing took something back, and that is work, too.
    let clean = !brought.is_empty() && brought.iter().all(|commit| commits[*commit].brings == Brings::CleanMerges);
    if clean { Brings::CleanMerges } else { Brings::Work }
}

/// A commit and its ancestors, as far as they are the pull request's own.
fn reach<'o>(from: &CommitId, commits: &BTreeMap<&'o CommitId, &'o Own>) -> BTreeSet<&'o CommitId> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&CommitId> = vec![from];
    while let Some(commit) = open.pop() {
        let Some(own) = commits.get(commit) else { continue };
        if reached.insert(&own.id) {
            open.extend(&own.parents);
        }
    }
    reached
}

/// Who brought a commit to a branch, directly or by a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought<'t> {
    /// One of these.
    By(Vec<&'t Told>),
    /// Nobody known, in the push that left the branch at this commit.
    Unknown(CommitId),
}

/// Who brought a commit of a branch's first-parent line (oldest first) to the branch: the first push told to leave the
/// branch there or later, if it began before.
pub fn brought<'t>(line: &[CommitId], commit: &CommitId, told: &'t [Told]) -> Brought<'t> {
    let place = |commit: &CommitId| line.iter().position(|one| one == commit);
    let at = place(commit).unwrap_or_default();
    for after in line.iter().skip(at) {
        let here: Vec<&Told> = told.iter().filter(|one| one.after == *after).collect();
        let sure: Vec<&Told> = here.iter().copied().filter(|one| one.before != FoundAt::Unsaid).collect();
        let here = if sure.is_empty() { here } else { sure };
        let begins = |one: &Told| match &one.before {
            FoundAt::At(before) => place(before).filter(|before| *before >= at),
            FoundAt::Nothing | FoundAt::Unsaid => None,
        };
        let (later, bring): (Vec<&Told>, Vec<&Told>) = here.into_iter().partition(|one| begins(one).is_some());
        if !bring.is_empty() {
            return Brought::By(bring);
        }
        if let Some(left) = later.into_iter().filter_map(begins).min().and_then(|place| line.get(place)) {
            return Brought::Unknown(left.clone());
        }
    }
    Brought::Unknown(line.last().unwrap_or(commit).clone())
}

#[cfg(test)]
mod tests {
    use super::super::cast::{account, commit};
    use super::*;

    fn told(before: Option<char>, after: char, who: Option<&str>) -> Told {
        let before = before.map_or(FoundAt::Nothing, |before| FoundAt::At(commit(before)));
        Told { after: commit(after), before, pusher: who.map(account) }
    }

    fn own(id: char, parents: &[char], brings: Brings) -> Own {
        Own { id: commit(id), parents: parents.iter().map(|one| commit(*one)).collect(), brings }
    }

    /// `0` is the base; `a`, `b` and `c` are work, one on the other.
    fn line() -> Vec<Own> {
        [('a', '0'), ('b', 'a'), ('c', 'b')].map(|(id, parent)| own(id, &[parent], Brings::Work)).to_vec()
    }

    fn people(head: char, own: &[Own], told: &[Told]) -> Vec<String> {
        let base = BTreeSet::from([commit('0')]);
        let all = every_push(&commit(head), own, told, &base).into_iter().filter(|push| push.brings == Brings::Work);
        let mut names: Vec<String> = all.map(|push| push.pusher.map_or("?".to_owned(), |who| who.login)).collect();
        names.sort();
        names
    }

    #[test]
    fn a_push_nobody_told_of_is_seen_by_the_gap_it_leaves() {
        let unsaid = |after, who| Told { before: FoundAt::Unsaid, ..told(None, after, Some(who)) };
        for (head, pushed, expected, why) in [
            ('c', vec![told(None, 'c', Some("ann"))], vec!["ann"], "one push of three commits"),
            ('c', vec![told(Some('0'), 'c', Some("ann"))], vec!["ann"], "to a branch made at a commit of the base"),
            ('c', vec![], vec!["?"], "nothing is known"),
            ('c', vec![told(None, 'b', Some("ann"))], vec!["?", "ann"], "the last push is lost"),
            ('c', vec![told(Some('b'), 'c', Some("ann"))], vec!["?", "ann"], "the first push is lost"),
            (
                'c',
                vec![told(None, 'a', Some("ann")), told(Some('b'), 'c', Some("ann"))],
                vec!["?", "ann", "ann"],
                "one between them is lost",
            ),
            (
                'c',
                vec![
                    told(None, 'a', Some("ann")),
                    told(Some('a'), 'b', Some("mal")),
                    told(Some('b'), 'c', Some("ann")),
                ],
                vec!["ann", "ann", "mal"],
                "and then told by the forge",
            ),
            ('c', vec![told(None, 'c', None)], vec!["?"], "the forge does not say who"),
            ('c', vec![told(None, 'c', None), unsaid('c', "ann")], vec!["ann"], "until it does"),
            ('c', vec![unsaid('a', "ann"), unsaid('c', "mal")], vec!["ann", "mal"], "none says from where"),
            (
                'c',
                vec![told(Some('9'), 'c', Some("ann"))],
                vec!["?", "ann"],
                "what was pushed away by force was somebody's",
            ),
            (
                'c',
                vec![told(None, '9', Some("mal")), told(Some('9'), 'c', Some("ann"))],
                vec!["ann", "mal"],
                "who is not forgotten for it",
            ),
            (
                'c',
                vec![told(None, 'c', Some("ann")), told(Some('8'), '7', Some("old"))],
                vec!["ann"],
                "an earlier branch of the same name is no part of it",
            ),
        ] {
            assert_eq!(people(head, &line(), &pushed), expected, "{why}");
        }
    }

    #[test]
    fn a_clean_merge_of_the_base_is_nobodys_work_and_hides_none() {
        let own = [own('a', &['0'], Brings::Work), own('f', &['a', '0'], Brings::CleanMerges)];
        let ann = told(None, 'a', Some("ann"));
        for (pushed, expected, why) in [
            (vec![ann.clone(), told(Some('a'), 'f', Some("una"))], vec!["ann"], "the button"),
            (vec![ann.clone()], vec!["ann"], "by nobody known"),
            (vec![told(None, 'f', Some("mal"))], vec!["mal"], "a push of work with a merge on top of it"),
            (vec![], vec!["?"], "the same by nobody known"),
        ] {
            assert_eq!(people('f', &own, &pushed), expected, "{why}");
        }
    }

    #[test]
    fn known_pushes_lead_from_tip_to_tip_or_one_was_missed() {
        let chain = [told(None, 'a', Some("ann")), told(Some('a'), 'b', Some("ann")), told(Some('b'), 'c', None)];
        let leads =
            |from: Option<char>, to: char, told: &[Told]| super::leads(from.map(commit).as_ref(), &commit(to), told);
        assert!(leads(Some('a'), 'c', &chain) && leads(None, 'c', &chain) && leads(Some('e'), 'c', &chain));
        assert!(
            !leads(Some('a'), 'c', &chain[2..]) && !leads(None, 'c', &chain[1..]) && !leads(Some('a'), 'd', &chain)
        );
        assert!(leads(Some('c'), 'c', &[]), "it did not move");
        // Forced back and forth.
        let round = [told(Some('b'), 'a', None), told(Some('a'), 'b', None)];
        assert!(leads(Some('b'), 'a', &round) && !leads(Some('c'), 'a', &round));
    }

    #[test]
    fn gaps_are_where_the_forge_has_to_be_asked() {
        let base = BTreeSet::from([commit('0')]);
        let of = |told: &[Told]| gaps(&commit('c'), &line(), told, &base);
        assert!(of(&[told(None, 'c', Some("ann"))]).is_empty());
        assert_eq!(of(&[told(Some('b'), 'c', Some("ann"))]), BTreeSet::from([commit('b')]));
        assert_eq!(of(&[]), BTreeSet::from([commit('c')]));
    }

    #[test]
    fn who_brought_a_commit_to_a_branch() {
        let line = ['a', 'b', 'c'].map(commit);
        let by = |of: char, told: &[Told]| match brought(&line, &commit(of), told) {
            Brought::By(all) => {
                all.iter().map(|one| one.pusher.as_ref().map_or("?", |who| &who.login).to_owned()).collect()
            }
            Brought::Unknown(left) => format!("unknown until {}", &left.as_str()[..1]),
        };
        let whole = [told(Some('0'), 'c', Some("ann"))];
        let last = [told(Some('b'), 'c', Some("ann"))];
        let two = [told(Some('0'), 'a', Some("mal")), told(Some('a'), 'c', Some("ann"))];
        let unsaid = [Told { before: FoundAt::Unsaid, ..told(None, 'c', Some("ann")) }];
        for (of, told, expected) in [
            ('a', &whole[..], "ann"),
            ('c', &whole, "ann"),
            ('a', &last, "unknown until b"),
            ('b', &last, "unknown until b"),
            ('c', &last, "ann"),
            ('a', &two, "mal"),
            ('b', &two, "ann"),
            ('a', &unsaid, "ann"),
            ('a', &[], "unknown until c"),
        ] {
            assert_eq!(by(of, told), expected, "{of}");
        }
    }
}

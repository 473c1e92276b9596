//! A small world: a repository, its pull requests, reviews and comments, people and what each has on their screen.
//!
//! It knows nothing of the product. What it stores of us (`ours`) is filled by `bascule.rs`, what people really consented
//! to (`truth`) is written down at the moment they do it (`voices.rs`), for `oracle.rs`.

pub(super) use super::content::{
    ENVIRONMENTS, Edit, FILE_S, FILE_X, FILE_Y, STAGING, Set, Tree, deletions, files, merge, name, set_of,
};
pub(super) use super::voices::{Command, Comment, Consent, Page, Review, Says, Typed, What};

pub(super) type Who = u8;
/// A commit, by its index.
pub(super) type C = u8;
/// Commits, as bits.
pub(super) type Commits = u64;
/// A pull request by its index, or the issue of environment `n` at `ISSUE + n`.
pub(super) type PlaceId = u8;

pub(super) const ISSUE: PlaceId = 100;
pub(super) const ANN: Who = 0;
pub(super) const BEN: Who = 1;
pub(super) const LEE: Who = 2;
pub(super) const KIM: Who = 3;
/// Kim's second account.
pub(super) const KIM2: Who = 4;
pub(super) const BOT: Who = 5;
/// Is in a team, and may not stay there.
pub(super) const SAM: Who = 6;
/// People who do nothing until they are asked to cooperate.
pub(super) const POOL: std::ops::RangeInclusive<Who> = 7..=11;
pub(super) const EVERYBODY: u8 = 12;

pub(super) fn human(who: Who) -> Who {
    if who == KIM2 { KIM } else { who }
}

/// What the forge says of Sam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Sam {
    Member,
    Left,
    /// It cannot be asked about the team.
    Unread,
    /// A member whose account is suspended.
    Suspended,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Commit {
    pub(super) tree: Tree,
    pub(super) parent: Option<C>,
    /// The second parent of a merge.
    pub(super) merges: Option<C>,
    /// Authors and co-authors whose work it is; nobody for a clean merge.
    pub(super) authors: Vec<Who>,
    /// Who pushed it to the branch itself, and whether we were told.
    pub(super) pushed: Option<(Who, bool)>,
    /// The pull request it came to the branch with, and whether it is its last commit.
    pub(super) pull: Option<(PlaceId, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Open,
    Merged,
}

/// Kinds of merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Commit,
    Squash,
    Rebase,
    FastForward,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pull {
    pub(super) author: Who,
    /// Whether it is for the branch the environments follow, or for another.
    pub(super) for_main: bool,
    pub(super) head: C,
    /// Where its head left the branch: a force push begins there again.
    pub(super) fork: C,
    /// Its commits in order, without those a force push dropped.
    pub(super) commits: Vec<C>,
    /// Everybody who ever wrote a commit of it.
    pub(super) authors: Vec<Who>,
    /// Who pushed work to it, and whether we were told.
    pub(super) pushes: Vec<(Who, bool)>,
    /// How often its head moved.
    pub(super) moves: u8,
    /// The commit of the branch it was merged on.
    pub(super) onto: Option<C>,
    pub(super) fate: Fate,
}

/// The branch was forced back by one commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rewind {
    pub(super) from: C,
    pub(super) to: C,
    pub(super) who: Who,
    /// Whether we were told.
    pub(super) told: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) commits: Vec<Commit>,
    /// The branch along first parents.
    pub(super) main: Vec<C>,
    pub(super) rewinds: Vec<Rewind>,
    pub(super) pulls: Vec<Pull>,
    pub(super) reviews: Vec<Review>,
    pub(super) commands: Vec<Command>,
    pub(super) pages: Vec<Page>,
    pub(super) sam: Sam,
    /// Whether the platform has a floor under production.
    pub(super) floor: bool,
    /// What staging was healthy with, the newest last.
    pub(super) healthy: Vec<Set>,
    /// Counts what has a time on the forge; two of them share a second.
    pub(super) events: u8,
    pub(super) truth: Vec<Consent>,
    pub(super) ours: super::memory::Ours,
}

pub(super) fn has(commits: Commits, commit: C) -> bool {
    commits & (1 << commit) != 0
}

impl World {
    pub(super) fn new(tree: Tree) -> Self {
        let first = Commit { tree, parent: None, merges: None, authors: vec![], pushed: None, pull: None };
        Self {
            commits: vec![first],
            main: vec![0],
            rewinds: vec![],
            pulls: vec![],
            reviews: vec![],
            commands: vec![],
            pages: vec![],
            sam: Sam::Member,
            floor: false,
            healthy: vec![],
            events: 0,
            truth: vec![],
            ours: super::memory::Ours::default(),
        }
    }

    pub(super) fn second(&mut self) -> u8 {
        self.events += 1;
        self.events / 2
    }

    pub(super) fn at(&self, commit: C) -> &Commit {
        &self.commits[usize::from(commit)]
    }

    pub(super) fn tree(&self, commit: C) -> Tree {
        self.at(commit).tree
    }

    pub(super) fn tip(&self) -> C {
        *self.main.last().unwrap()
    }

    fn commit(&mut self, commit: Commit) -> C {
        self.commits.push(commit);
        C::try_from(self.commits.len() - 1).unwrap()
    }

    fn on_main(&mut self, commit: Commit) {
        let commit = self.commit(Commit { parent: Some(self.tip()), ..commit });
        self.main.push(commit);
    }

    /// A commit and everything behind it.
    pub(super) fn behind(&self, commit: C) -> Commits {
        let mut all = 1 << commit;
        for one in (0..=commit).rev() {
            if has(all, one) {
                let at = self.at(one);
                at.parent.iter().chain(&at.merges).for_each(|parent| all |= 1 << parent);
            }
        }
        all
    }

    /// What a commit brings to what is behind another.
    pub(super) fn brings(&self, commit: C, to: Option<C>) -> Vec<C> {
        let brought = self.behind(commit) & !to.map_or(0, |to| self.behind(to));
        (0..=commit).filter(|one| has(brought, *one)).collect()
    }

    /// A commit and its first parents, newest first.
    pub(super) fn line(&self, commit: C) -> impl Iterator<Item = C> {
        std::iter::successors(Some(commit), |commit| self.at(*commit).parent)
    }

    /// Commits of the branch that are not behind `position`, oldest first.
    pub(super) fn after(&self, position: Option<C>) -> Vec<C> {
        let behind = position.map_or(0, |position| self.behind(position));
        self.main.iter().copied().filter(|commit| !has(behind, *commit)).collect()
    }

    /// The files that a commit of the branch alters.
    pub(super) fn files_of(&self, commit: C) -> u8 {
        self.at(commit).parent.map_or(0, |parent| files(self.tree(parent), self.tree(commit)))
    }

    /// The newest commit with a set at or behind one, the set, and the commits reached over to find it.
    pub(super) fn set_behind(&self, environment: u8, commit: C) -> (Option<(C, Set)>, Vec<C>) {
        let mut over = vec![];
        for commit in self.line(commit) {
            match set_of(environment, self.tree(commit)) {
                Some(set) => return (Some((commit, set)), over),
                None => over.push(commit),
            }
        }
        (None, vec![])
    }

    fn merge_base(&self, one: C, other: C) -> C {
        let both = self.behind(one) & self.behind(other);
        C::try_from(both.ilog2()).unwrap()
    }

    /// What merging a head into a commit of the branch gives.
    pub(super) fn merged_tree(&self, head: C, into: C) -> Option<Tree> {
        merge(self.tree(self.merge_base(head, into)), self.tree(into), self.tree(head))
    }

    pub(super) fn open(&mut self, author: Who, edit: Edit, told: bool) {
        let tip = self.tip();
        let tree = edit.of(self.tree(tip), None);
        let head = Commit { tree, parent: Some(tip), merges: None, authors: vec![author], pushed: None, pull: None };
        let head = self.commit(head);
        self.pulls.push(Pull {
            author,
            for_main: true,
            head,
            fork: tip,
            commits: vec![head],
            authors: vec![author],
            pushes: vec![(author, told)],
            moves: 0,
            onto: None,
            fate: Fate::Open,
        });
    }

    /// A push: on top, or instead of everything before.
    pub(super) fn push(&mut self, pull: PlaceId, pusher: Who, author: Who, edit: Edit, force: bool, told: bool) {
        let at = &self.pulls[usize::from(pull)];
        let below = if force { at.fork } else { at.head };
        let tree = edit.of(self.tree(below), None);
        let head = Commit { tree, parent: Some(below), merges: None, authors: vec![author], pushed: None, pull: None };
        let head = self.commit(head);
        let at = &mut self.pulls[usize::from(pull)];
        if force {
            at.commits.clear();
        }
        at.commits.push(head);
        at.head = head;
        at.moves += 1;
        at.authors.push(author);
        at.pushes.push((pusher, told));
    }

    /// Merges the branch into the head exactly as Git does.
    pub(super) fn update(&mut self, pull: PlaceId) {
        let (head, tip) = (self.pulls[usize::from(pull)].head, self.tip());
        if has(self.behind(head), tip) {
            return;
        }
        let Some(tree) = self.merged_tree(head, tip) else { return };
        let parent = Some(head);
        let head = self.commit(Commit { tree, parent, merges: Some(tip), authors: vec![], pushed: None, pull: None });
        let at = &mut self.pulls[usize::from(pull)];
        (at.head, at.fork) = (head, tip);
        at.moves += 1;
        at.commits.push(head);
    }

    pub(super) fn merge_pull(&mut self, pull: PlaceId, how: How) {
        let at = self.pulls[usize::from(pull)].clone();
        let tip = self.tip();
        let Some(tree) = self.merged_tree(at.head, tip) else { return };
        let merged = |tree, merges, last| Commit {
            tree,
            parent: None,
            merges,
            authors: vec![],
            pushed: None,
            pull: Some((pull, last)),
        };
        match how {
            _ if !at.for_main => {}
            How::Commit => self.on_main(merged(tree, Some(at.head), true)),
            How::Squash => self.on_main(merged(tree, None, true)),
            How::Rebase => {
                let below = at.commits.split_last().map(|(_, below)| below.to_vec()).unwrap_or_default();
                let steps: Vec<Tree> = below.into_iter().filter_map(|commit| self.merged_tree(commit, tip)).collect();
                steps.into_iter().for_each(|step| self.on_main(merged(step, None, false)));
                self.on_main(merged(tree, None, true));
            }
            How::FastForward if has(self.behind(at.head), tip) => {
                self.main = self.line(at.head).collect();
                self.main.reverse();
                for commit in self.brings(at.head, Some(tip)) {
                    let last = commit == at.head;
                    self.commits[usize::from(commit)].pull.get_or_insert((pull, last));
                }
            }
            How::FastForward => return,
        }
        let at = &mut self.pulls[usize::from(pull)];
        (at.fate, at.onto) = (Fate::Merged, Some(tip));
    }

    pub(super) fn direct(&mut self, who: Who, edit: Edit, told: bool) {
        let before = self.main.len().checked_sub(2).map(|index| self.tree(self.main[index]));
        let tree = edit.of(self.tree(self.tip()), before);
        let (authors, pushed) = (vec![who], Some((who, told)));
        self.on_main(Commit { tree, parent: None, merges: None, authors, pushed, pull: None });
    }

    pub(super) fn rewind(&mut self, who: Who, told: bool) {
        let from = self.tip();
        self.main.pop();
        self.rewinds.push(Rewind { from, to: self.tip(), who, told });
    }

    /// The times a commit was taken off the branch, with their numbers.
    pub(super) fn took_off(&self, commit: C) -> impl Iterator<Item = (usize, &Rewind)> {
        let took = move |(_, rewind): &(usize, &Rewind)| {
            has(self.behind(rewind.from), commit) && !has(self.behind(rewind.to), commit)
        };
        self.rewinds.iter().enumerate().filter(took)
    }

    /// The branch is pushed back to where a pull request that was taken off it had been merged.
    pub(super) fn restore(&mut self) {
        if let Some(merge) = self.dropped_merge() {
            self.main = self.line(merge).collect();
            self.main.reverse();
        }
    }

    pub(super) fn dropped_merge(&self) -> Option<C> {
        let merges = (0..).zip(&self.commits).filter(|(_, commit)| commit.pull.is_some_and(|(_, last)| last));
        merges.map(|(index, _)| index).find(|index| !has(self.behind(self.tip()), *index))
    }
}

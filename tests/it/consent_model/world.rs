//! A small world: a repository, its pull requests, reviews and comments, people and what each has on their screen.
//!
//! It knows nothing of the product. What it stores of us (`ours`) is filled by `bascule.rs`, what people really consented
//! to (`truth`) is written down at the moment they do it, for `oracle.rs`.

pub(super) use super::content::{ENVIRONMENTS, Edit, STAGING, Set, Tree, deletions, merge, name, set_of};

pub(super) type Who = u8;
/// A commit, by its index.
pub(super) type C = u8;
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
/// May leave the team.
pub(super) const SAM: Who = 6;
/// People who do nothing until they are asked to cooperate.
pub(super) const POOL: std::ops::RangeInclusive<Who> = 7..=11;
pub(super) const EVERYBODY: u8 = 12;

pub(super) fn human(who: Who) -> Who {
    if who == KIM2 { KIM } else { who }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Commit {
    pub(super) tree: Tree,
    pub(super) parent: Option<C>,
    /// Authors and co-authors whose work it is; nobody for a clean merge.
    pub(super) authors: Vec<Who>,
    /// Who pushed it to the branch itself, and whether we were told.
    pub(super) pushed: Option<(Who, bool)>,
    /// The pull request it came with, and whether it is its last commit.
    pub(super) pull: Option<(PlaceId, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Open,
    Merged,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pull {
    pub(super) author: Who,
    /// Whether it is for the branch the environments follow, or for another.
    pub(super) for_main: bool,
    pub(super) head: C,
    /// Where its head left the branch.
    pub(super) fork: C,
    /// Its commits in order, without those a force push dropped.
    pub(super) commits: Vec<C>,
    /// Everybody who ever wrote a commit of it.
    pub(super) authors: Vec<Who>,
    /// Who pushed work to it, and whether we were told.
    pub(super) pushes: Vec<(Who, bool)>,
    pub(super) fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Review {
    pub(super) who: Who,
    pub(super) place: PlaceId,
    pub(super) head: C,
    pub(super) approves: bool,
    pub(super) dismissed: bool,
    pub(super) at: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Says {
    /// Of an environment's name; with the digest of the change on the screen, or without.
    Approve {
        environment: u8,
        change: Option<(Option<Set>, Set)>,
        deletions: Option<u8>,
        reason: bool,
    },
    Revoke,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Command {
    pub(super) who: Who,
    pub(super) place: PlaceId,
    pub(super) says: Says,
    pub(super) edited: bool,
    pub(super) at: u8,
}

/// What our comment says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Comment {
    pub(super) head: C,
    pub(super) held: bool,
    pub(super) lines: Vec<(u8, Option<Set>, Set)>,
}

/// What somebody has on the screen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Page {
    pub(super) who: Who,
    pub(super) place: PlaceId,
    pub(super) head: C,
    pub(super) comment: Option<Comment>,
}

/// What somebody really consented to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// The change on the screen.
    Change(Option<Set>, Set),
    /// A commit, with no word of ours for it on the screen.
    Commit(C),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Consent {
    pub(super) who: Who,
    pub(super) place: PlaceId,
    /// The environment's name.
    pub(super) environment: u8,
    pub(super) what: What,
    pub(super) command: bool,
    /// Index of the review or command.
    pub(super) source: u8,
    pub(super) deletions: Option<u8>,
    pub(super) reason: bool,
    pub(super) at: u8,
    pub(super) withdrawn: bool,
    /// The environments whose deployment went past it, as bits.
    pub(super) spent: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) commits: Vec<Commit>,
    pub(super) main: Vec<C>,
    pub(super) pulls: Vec<Pull>,
    pub(super) reviews: Vec<Review>,
    pub(super) commands: Vec<Command>,
    pub(super) pages: Vec<Page>,
    pub(super) sam_is_member: bool,
    /// Counts what has a time on the forge; two of them share a second.
    pub(super) events: u8,
    pub(super) truth: Vec<Consent>,
    pub(super) ours: super::memory::Ours,
}

impl World {
    pub(super) fn new(tree: Tree) -> Self {
        let first = Commit { tree, parent: None, authors: vec![], pushed: None, pull: None };
        Self {
            commits: vec![first],
            main: vec![0],
            pulls: vec![],
            reviews: vec![],
            commands: vec![],
            pages: vec![],
            sam_is_member: true,
            events: 0,
            truth: vec![],
            ours: super::memory::Ours::default(),
        }
    }

    pub(super) fn second(&mut self) -> u8 {
        self.events += 1;
        self.events / 2
    }

    pub(super) fn tree(&self, commit: C) -> Tree {
        self.commits[usize::from(commit)].tree
    }

    pub(super) fn tip(&self) -> C {
        *self.main.last().unwrap()
    }

    fn commit(&mut self, commit: Commit) -> C {
        self.commits.push(commit);
        C::try_from(self.commits.len() - 1).unwrap()
    }

    fn on_main(&mut self, tree: Tree, authors: Vec<Who>, pushed: Option<(Who, bool)>, pull: Option<(PlaceId, bool)>) {
        let commit = Commit { tree, parent: Some(self.tip()), authors, pushed, pull };
        let commit = self.commit(commit);
        self.main.push(commit);
    }

    /// A commit and everything behind it.
    pub(super) fn behind(&self, commit: C) -> Vec<C> {
        std::iter::successors(Some(commit), |commit| self.commits[usize::from(*commit)].parent).collect()
    }

    /// Commits of the branch that are not behind `position`, oldest first.
    pub(super) fn after(&self, position: Option<C>) -> Vec<C> {
        let behind = position.map(|position| self.behind(position)).unwrap_or_default();
        self.main.iter().copied().filter(|commit| !behind.contains(commit)).collect()
    }

    /// The newest set at or behind a commit, and the commits reached over to find it.
    pub(super) fn set_behind(&self, environment: u8, commit: C) -> (Option<Set>, Vec<C>) {
        let mut over = vec![];
        for commit in self.behind(commit) {
            match set_of(environment, self.tree(commit)) {
                Some(set) => return (Some(set), over),
                None => over.push(commit),
            }
        }
        (None, vec![])
    }

    /// What merging a pull request's head into a commit of the branch gives.
    pub(super) fn merged_tree(&self, pull: &Pull, head: C, into: C) -> Option<Tree> {
        merge(self.tree(pull.fork), self.tree(into), self.tree(head))
    }

    pub(super) fn open(&mut self, author: Who, edit: Edit, told: bool) {
        let tip = self.tip();
        let tree = edit.of(self.tree(tip), None);
        let head = self.commit(Commit { tree, parent: Some(tip), authors: vec![author], pushed: None, pull: None });
        self.pulls.push(Pull {
            author,
            for_main: true,
            head,
            fork: tip,
            commits: vec![head],
            authors: vec![author],
            pushes: vec![(author, told)],
            fate: Fate::Open,
        });
    }

    /// A push: on top, or instead of everything before.
    pub(super) fn push(&mut self, pull: PlaceId, pusher: Who, author: Who, edit: Edit, force: bool, told: bool) {
        let at = &self.pulls[usize::from(pull)];
        let below = if force { at.fork } else { at.head };
        let tree = edit.of(self.tree(below), None);
        let head = self.commit(Commit { tree, parent: Some(below), authors: vec![author], pushed: None, pull: None });
        let at = &mut self.pulls[usize::from(pull)];
        if force {
            at.commits.clear();
        }
        at.commits.push(head);
        at.head = head;
        at.authors.push(author);
        at.pushes.push((pusher, told));
    }

    /// Merges the branch into the head exactly as Git does.
    pub(super) fn update(&mut self, pull: PlaceId) {
        let (at, tip) = (self.pulls[usize::from(pull)].clone(), self.tip());
        if let Some(tree) = self.merged_tree(&at, at.head, tip) {
            let head = Commit { tree, parent: Some(at.head), authors: vec![], pushed: None, pull: None };
            let head = self.commit(head);
            let at = &mut self.pulls[usize::from(pull)];
            (at.head, at.fork) = (head, tip);
            at.commits.push(head);
        }
    }

    pub(super) fn merge_pull(&mut self, pull: PlaceId, rebase: bool) {
        let at = self.pulls[usize::from(pull)].clone();
        let tip = self.tip();
        let Some(tree) = self.merged_tree(&at, at.head, tip) else { return };
        if at.for_main {
            let below = at.commits.split_last().map(|(_, below)| below.to_vec()).unwrap_or_default();
            let steps = below.into_iter().filter(|_| rebase).filter_map(|commit| self.merged_tree(&at, commit, tip));
            for step in steps.collect::<Vec<_>>() {
                self.on_main(step, vec![], None, Some((pull, false)));
            }
            self.on_main(tree, vec![], None, Some((pull, true)));
        }
        self.pulls[usize::from(pull)].fate = Fate::Merged;
    }

    pub(super) fn direct(&mut self, who: Who, edit: Edit, told: bool) {
        let before = self.main.len().checked_sub(2).map(|index| self.tree(self.main[index]));
        let tree = edit.of(self.tree(self.tip()), before);
        self.on_main(tree, vec![who], Some((who, told)), None);
    }

    /// The branch is pushed back to where a pull request that was taken off it had been merged.
    pub(super) fn restore(&mut self) {
        if let Some(merge) = self.dropped_merge() {
            self.main = self.behind(merge);
            self.main.reverse();
        }
    }

    pub(super) fn dropped_merge(&self) -> Option<C> {
        let merges = (0..).zip(&self.commits).filter(|(_, commit)| commit.pull.is_some_and(|(_, last)| last));
        merges.map(|(index, _)| index).find(|index| !self.main.contains(index))
    }

    pub(super) fn load(&mut self, who: Who, place: PlaceId) {
        let comment = self.ours.place(place).and_then(|memory| memory.comment.clone());
        let head = self.pulls.get(usize::from(place)).map_or(0, |pull| pull.head);
        self.pages.retain(|page| (page.who, page.place) != (who, place));
        self.pages.push(Page { who, place, head, comment });
        self.pages.sort_by_key(|page| (page.who, page.place));
    }

    pub(super) fn page(&self, who: Who, place: PlaceId) -> Option<&Page> {
        self.pages.iter().find(|page| (page.who, page.place) == (who, place))
    }

    /// An approving review, or one that asks for changes, of the commit on the screen.
    pub(super) fn review(&mut self, who: Who, place: PlaceId, approves: bool) {
        let Some(page) = self.page(who, place).cloned() else { return };
        let at = self.second();
        let source = u8::try_from(self.reviews.len()).unwrap();
        self.reviews.push(Review { who, place, head: page.head, approves, dismissed: false, at });
        if !approves {
            return self.withdraw(|consent| human(consent.who) == human(who) && consent.place == place);
        }
        for environment in [0, 1] {
            let on_screen = page.comment.as_ref().filter(|comment| !comment.held && comment.head == page.head);
            let line = on_screen.and_then(|comment| comment.lines.iter().find(|line| name(line.0) == environment));
            let what = line.map_or(What::Commit(page.head), |line| What::Change(line.1, line.2));
            let (command, deletions, reason) = (false, None, false);
            let (withdrawn, spent) = (false, 0);
            self.truth.push(Consent {
                who,
                place,
                environment,
                what,
                command,
                source,
                deletions,
                reason,
                at,
                withdrawn,
                spent,
            });
        }
    }

    /// A command for what is on the screen.
    pub(super) fn approve(&mut self, who: Who, place: PlaceId, environment: u8, digest: bool, reason: bool) {
        let comment = self.page(who, place).and_then(|page| page.comment.clone());
        let line = comment.iter().flat_map(|comment| &comment.lines).find(|line| name(line.0) == environment).copied();
        let Some((_, old, new)) = line else { return };
        let at = self.second();
        let source = u8::try_from(self.commands.len()).unwrap();
        let deletions = Some(deletions(old, new)).filter(|number| *number > 0 && digest);
        let says = Says::Approve { environment, change: digest.then_some((old, new)), deletions, reason };
        self.commands.push(Command { who, place, says, edited: false, at });
        let what = What::Change(old, new);
        let (command, withdrawn, spent) = (true, false, 0);
        self.truth.push(Consent {
            who,
            place,
            environment,
            what,
            command,
            source,
            deletions,
            reason,
            at,
            withdrawn,
            spent,
        });
    }

    pub(super) fn revoke(&mut self, who: Who, place: PlaceId) {
        let at = self.second();
        self.commands.push(Command { who, place, says: Says::Revoke, edited: false, at });
        self.withdraw(|consent| human(consent.who) == human(who) && consent.place == place);
    }

    pub(super) fn dismiss(&mut self, review: u8) {
        self.reviews[usize::from(review)].dismissed = true;
        self.withdraw(|consent| !consent.command && consent.source == review);
    }

    pub(super) fn edit(&mut self, command: u8) {
        self.commands[usize::from(command)].edited = true;
        self.withdraw(|consent| consent.command && consent.source == command);
    }

    pub(super) fn withdraw(&mut self, whose: impl Fn(&Consent) -> bool) {
        self.truth.iter_mut().filter(|consent| whose(consent)).for_each(|consent| consent.withdrawn = true);
    }
}

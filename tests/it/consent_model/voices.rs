//! What people have on their screen, and what they say to it; with what they really consented to.

use super::law::{Denied, denied};
use super::world::{C, PlaceId, Set, Who, World, deletions, human, name};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Review {
    pub(super) who: Who,
    pub(super) place: PlaceId,
    pub(super) head: C,
    pub(super) approves: bool,
    pub(super) dismissed: bool,
    /// When a dismissal was undone. The forge shows that there was one.
    pub(super) undone: Option<u8>,
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
    /// What a policy denies of the change on the screen, by its digits.
    Waive {
        environment: u8,
        change: (Option<Set>, Set),
    },
    Revoke,
}

/// How a command is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Without a digest.
    Bare,
    /// The line on the screen.
    Line,
    /// The line on the screen with another number of deletions.
    Miscounted,
    /// The line on the screen and a reason.
    Reason,
    /// The line on the screen that waives what a policy denies.
    Waive,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Command {
    pub(super) who: Who,
    pub(super) place: PlaceId,
    pub(super) says: Says,
    pub(super) edited: bool,
    pub(super) deleted: bool,
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
    /// Whether it was a held change on the screen.
    pub(super) held: bool,
    pub(super) command: bool,
    /// Index of the review or command.
    pub(super) source: u8,
    pub(super) deletions: Option<u8>,
    pub(super) reason: bool,
    /// What of it was waived: then nothing else was consented to.
    pub(super) waives: Option<Denied>,
    /// How often the head had moved.
    pub(super) moves: u8,
    pub(super) at: u8,
    pub(super) withdrawn: bool,
    /// The environments whose deployment went past it, as bits.
    pub(super) spent: u8,
}

/// What somebody gave, and how.
struct Given {
    what: What,
    held: bool,
    command: bool,
    source: u8,
    deletions: Option<u8>,
    reason: bool,
    waives: Option<Denied>,
}

impl World {
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

    fn moves(&self, place: PlaceId) -> u8 {
        self.pulls.get(usize::from(place)).map_or(0, |pull| pull.moves)
    }

    /// An approving review, or one that asks for changes, of the commit on the screen.
    pub(super) fn review(&mut self, who: Who, place: PlaceId, approves: bool) {
        let Some(page) = self.page(who, place).cloned() else { return };
        let at = self.second();
        let source = u8::try_from(self.reviews.len()).unwrap();
        self.reviews.push(Review { who, place, head: page.head, approves, dismissed: false, undone: None, at });
        if !approves {
            return self.withdraw(|consent| human(consent.who) == human(who) && consent.place == place);
        }
        for environment in [0, 1] {
            let on_screen = page.comment.as_ref().filter(|comment| !comment.held && comment.head == page.head);
            let line = on_screen.and_then(|comment| comment.lines.iter().find(|line| name(line.0) == environment));
            let what = line.map_or(What::Commit(page.head), |line| What::Change(line.1, line.2));
            let given =
                Given { what, held: false, command: false, source, deletions: None, reason: false, waives: None };
            self.gives((who, place, environment), given, at);
        }
    }

    /// A command for what is on the screen.
    pub(super) fn approve(&mut self, who: Who, place: PlaceId, environment: u8, typed: Typed) {
        let Some(comment) = self.page(who, place).and_then(|page| page.comment.clone()) else { return };
        let line = comment.lines.iter().find(|line| name(line.0) == environment).copied();
        let Some((_, old, new)) = line else { return };
        let at = self.second();
        let source = u8::try_from(self.commands.len()).unwrap();
        let exact = Some(deletions(old, new)).filter(|number| *number > 0);
        let (digest, deletions, reason) = match typed {
            Typed::Bare => (false, None, false),
            Typed::Line => (true, exact, false),
            Typed::Miscounted => (true, exact.map(|number| 3 - number), false),
            Typed::Reason => (true, exact, true),
            Typed::Waive => (true, None, true),
        };
        let says = match typed {
            Typed::Waive => Says::Waive { environment, change: (old, new) },
            _ => Says::Approve { environment, change: digest.then_some((old, new)), deletions, reason },
        };
        let waives = denied(old, new, new).filter(|_| typed == Typed::Waive);
        self.commands.push(Command { who, place, says, edited: false, deleted: false, at });
        let what = What::Change(old, new);
        let given = Given { what, held: comment.held, command: true, source, deletions, reason, waives };
        self.gives((who, place, environment), given, at);
    }

    /// Somebody meant it, and has not taken it back.
    fn gives(&mut self, (who, place, environment): (Who, PlaceId, u8), given: Given, at: u8) {
        let Given { what, held, command, source, deletions, reason, waives } = given;
        let (moves, withdrawn, spent) = (self.moves(place), false, 0);
        self.truth.push(Consent {
            who,
            place,
            environment,
            what,
            held,
            command,
            source,
            deletions,
            reason,
            waives,
            moves,
            at,
            withdrawn,
            spent,
        });
    }

    pub(super) fn revoke(&mut self, who: Who, place: PlaceId) {
        let at = self.second();
        self.commands.push(Command { who, place, says: Says::Revoke, edited: false, deleted: false, at });
        self.withdraw(|consent| human(consent.who) == human(who) && consent.place == place);
    }

    pub(super) fn dismiss(&mut self, review: u8) {
        self.reviews[usize::from(review)].dismissed = true;
        self.withdraw(|consent| !consent.command && consent.source == review);
    }

    /// What was withdrawn stays withdrawn.
    pub(super) fn undismiss(&mut self, review: u8) {
        let at = self.second();
        self.reviews[usize::from(review)].undone = Some(at);
    }

    pub(super) fn edit(&mut self, command: u8) {
        self.commands[usize::from(command)].edited = true;
        self.withdraw(|consent| consent.command && consent.source == command);
    }

    pub(super) fn delete(&mut self, command: u8) {
        self.commands[usize::from(command)].deleted = true;
        self.withdraw(|consent| consent.command && consent.source == command);
    }

    pub(super) fn withdraw(&mut self, whose: impl Fn(&Consent) -> bool) {
        self.truth.iter_mut().filter(|consent| whose(consent)).for_each(|consent| consent.withdrawn = true);
    }
}

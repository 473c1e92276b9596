//! What the product stores, as far as the model needs it.

use bascule::consent::Denial;

use super::world::{C, Comment, PlaceId, Sam, Set, Who};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) held: bool,
    /// The commit a held change begins at.
    pub(super) begin: Option<C>,
    pub(super) head: C,
    pub(super) old: Option<Set>,
    pub(super) new: Set,
    /// When the comment had it, and whether we know.
    pub(super) from: u8,
    pub(super) known: bool,
    /// Commits that the comparison reached over.
    pub(super) over: Vec<C>,
    /// Files that differ between what was compared, as bits.
    pub(super) files: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// The environment's name.
    pub(super) environment: u8,
    pub(super) head: C,
    pub(super) from: u8,
    pub(super) change: Option<(Option<Set>, Set)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Became {
    Stands,
    Void,
    UsedUp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) environment: u8,
    pub(super) command: bool,
    pub(super) source: u8,
    pub(super) who: Who,
    pub(super) on_main: bool,
    pub(super) head: C,
    pub(super) held: bool,
    pub(super) old: Option<Set>,
    pub(super) new: Set,
    pub(super) deletions: Option<u8>,
    pub(super) reason: bool,
    pub(super) waives: Option<Denial>,
    pub(super) at: u8,
    pub(super) became: Became,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Memory {
    pub(super) comment: Option<Comment>,
    pub(super) rows: Vec<Row>,
    pub(super) seen: Vec<Seen>,
    pub(super) approvals: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HoldRow {
    pub(super) from: Option<C>,
    pub(super) old: Option<Set>,
    pub(super) to: C,
    pub(super) new: Set,
    pub(super) place: PlaceId,
}

/// An approval that a sync would use up: whether a command gave it, and which.
pub(super) type Spent = (bool, u8);

/// A judgement that nobody acted on yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Judged {
    pub(super) to: C,
    pub(super) spends: Vec<Spent>,
    /// Whether we were told of something since.
    pub(super) overtaken: bool,
    /// What the forge said of Sam.
    pub(super) sam: Sam,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct EnvironmentRow {
    pub(super) position: Option<(C, Set)>,
    pub(super) hold: Option<HoldRow>,
    pub(super) judged: Option<Judged>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ours {
    pub(super) places: Vec<(PlaceId, Memory)>,
    pub(super) environments: [EnvironmentRow; 3],
}

impl Ours {
    pub(super) fn place(&self, place: PlaceId) -> Option<&Memory> {
        self.places.iter().find(|(id, _)| *id == place).map(|(_, memory)| memory)
    }

    pub(super) fn place_mut(&mut self, place: PlaceId) -> &mut Memory {
        if self.place(place).is_none() {
            self.places.push((place, Memory::default()));
            self.places.sort_by_key(|(id, _)| *id);
        }
        self.places.iter_mut().find(|(id, _)| *id == place).map(|(_, memory)| memory).unwrap()
    }
}

//! Everything that can happen, and what it does.

use super::bascule::{Bascule, Counts};
use super::mutant::Mutant;
use super::world::{Edit, How, PlaceId, Sam, Typed, Who, World};

pub(super) const FREE_RULES: u8 = 2;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Open(Who, Edit, bool),
    Push {
        pull: PlaceId,
        pusher: Who,
        author: Who,
        edit: Edit,
        force: bool,
        told: bool,
    },
    Update(PlaceId),
    Merge {
        pull: PlaceId,
        how: How,
    },
    Retarget(PlaceId),
    Direct(Who, Edit, bool),
    /// By somebody, of whom we are told or not; that the branch moved we are.
    Rewind(Who, bool),
    Restore,
    Load(Who, PlaceId),
    Approve(Who, PlaceId),
    Object(Who, PlaceId),
    Dismiss(u8),
    Undismiss(u8),
    Command {
        who: Who,
        place: PlaceId,
        environment: u8,
        typed: Typed,
    },
    Revoke(Who, PlaceId),
    EditComment(u8),
    DeleteComment(u8),
    SamBecomes(Sam),
    /// The platform sets its floor, or takes it away.
    Floor,
    Preview {
        place: PlaceId,
        lost: bool,
    },
    Look(PlaceId),
    /// Judges and starts at once.
    Sync(u8),
    /// Judges; something may come in between before it starts.
    Judge(u8),
    Start(u8),
    MoveOn(u8),
    StagingIsHealthy,
}

impl Act {
    pub(super) fn starts_a_sync(self) -> bool {
        matches!(self, Self::Sync(_) | Self::Start(_))
    }

    /// Whether the forge or the platform told us that it happened. A team does not tell who leaves it.
    fn is_told(self) -> bool {
        match self {
            Self::Open(_, _, told) | Self::Push { told, .. } => told,
            Self::Direct(_, _, told) => told,
            Self::Undismiss(_) | Self::Load(..) | Self::SamBecomes(_) => false,
            Self::Preview { .. } | Self::Look(_) | Self::Sync(_) | Self::Judge(_) | Self::Start(_) => false,
            Self::MoveOn(_) | Self::StagingIsHealthy => false,
            Self::Update(_) | Self::Merge { .. } | Self::Retarget(_) => true,
            Self::Rewind(..) | Self::Restore => true,
            Self::Approve(..) | Self::Object(..) | Self::Dismiss(_) | Self::Command { .. } => true,
            Self::Revoke(..) | Self::EditComment(_) | Self::DeleteComment(_) | Self::Floor => true,
        }
    }
}

/// Does it. The error is what is wrong with where it leads.
pub(super) fn act(world: &mut World, act: Act, mutant: Mutant, counts: &mut Counts) -> Result<(), String> {
    if act.is_told() {
        let judged = world.ours.environments.iter_mut().filter_map(|row| row.judged.as_mut());
        judged.for_each(|judged| judged.overtaken = true);
    }
    let mut bascule = Bascule { mutant, counts };
    match act {
        Act::Open(who, edit, told) => world.open(who, edit, told),
        Act::Push { pull, pusher, author, edit, force, told } => world.push(pull, pusher, author, edit, force, told),
        Act::Update(pull) => world.update(pull),
        Act::Merge { pull, how } => world.merge_pull(pull, how),
        Act::Retarget(pull) => {
            let pull = &mut world.pulls[usize::from(pull)];
            pull.for_main = !pull.for_main;
        }
        Act::Direct(who, edit, told) => world.direct(who, edit, told),
        Act::Rewind(who, told) => world.rewind(who, told),
        Act::Restore => world.restore(),
        Act::Load(who, place) => world.load(who, place),
        Act::Approve(who, place) => world.review(who, place, true),
        Act::Object(who, place) => world.review(who, place, false),
        Act::Dismiss(review) => world.dismiss(review),
        Act::Undismiss(review) => world.undismiss(review),
        Act::Command { who, place, environment, typed } => world.approve(who, place, environment, typed),
        Act::Revoke(who, place) => world.revoke(who, place),
        Act::EditComment(command) => world.edit(command),
        Act::DeleteComment(command) => world.delete(command),
        Act::SamBecomes(sam) => world.sam = sam,
        Act::Floor => world.floor = !world.floor,
        Act::Preview { place, lost } => bascule.preview(world, place, lost),
        Act::Look(place) => bascule.look(world, place),
        Act::Sync(environment) => bascule.sync(world, environment)?,
        Act::Judge(environment) => bascule.judge(world, environment),
        Act::Start(environment) => bascule.start(world, environment)?,
        Act::MoveOn(environment) => bascule.move_on(world, environment),
        Act::StagingIsHealthy => world.staging_is_healthy(),
    }
    Ok(())
}

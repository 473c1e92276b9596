//! What an environment may reach, judged on every object's identity, in the preview already.

use crate::ids::ObjectKey;

/// Whether an object may be written by one grant; the error is a sentence for a person. The rule itself is
/// `policy::rules::Grant::allows`.
pub type Judge<'a> = &'a dyn Fn(&ObjectKey) -> Result<(), String>;

/// Where a set's objects may be.
#[derive(Clone, Copy)]
pub enum Within<'a> {
    /// Anywhere: a local look, where nothing is deployed.
    Anywhere,
    /// Inside one of these grants, as a whole: several are never mixed. None at all reaches nothing.
    OneOf(&'a [Judge<'a>]),
}

//! Where in the repository's files it stands what the API server would not take and what policies say of objects.

use crate::git::Tree;
use crate::ids::ObjectKey;
use crate::jobs::error::JobError;
use crate::jobs::gather::contents::Contents;
use crate::jobs::gather::touched::Touched;
use crate::policy::rules::Environment;
use crate::preview::{Admission, Mark, ObjectChange, PolicyRemark, Tells};

/// The objects with their files, and the lines where those are lines of the repository: a remembered set does not know
/// them.
pub(super) async fn placed(
    (contents, merged): (&Contents<'_>, &Tree),
    block: &Environment,
    touched: &Touched,
    mut objects: Vec<ObjectChange>,
    remarks: &[PolicyRemark],
) -> Result<(Vec<ObjectChange>, Vec<Mark>), JobError> {
    let mut marks = Vec::new();
    let is_refused = |one: &ObjectChange| matches!(one.admission, Some(Admission::Refused { .. }));
    if !objects.iter().any(is_refused) && remarks.iter().all(|one| one.object.is_none()) {
        return Ok((objects, marks));
    }
    let Ok(set) = contents.afresh(block, merged).await? else { return Ok((objects, marks)) };
    let place = |key: &ObjectKey| {
        let object = set.objects.get(key).filter(|_| touched.is_plain())?;
        Some((object.file.clone()?, object.line.and_then(|line| u32::try_from(line).ok())?))
    };
    for one in objects.iter_mut().filter(|one| is_refused(one)) {
        let Some(object) = set.objects.get(&one.diff.key) else { continue };
        one.diff.file.clone_from(&object.file);
        if let (Some((path, line)), Some(Admission::Refused { why })) = (place(&one.diff.key), &one.admission) {
            let message = format!("{}: the API server refuses it: {why}", one.diff.key);
            marks.push(Mark { path, line, message, tells: Tells::Wrong });
        }
    }
    for one in remarks {
        let Some((path, line)) = one.object.as_ref().and_then(place) else { continue };
        let tells = if one.ruling.closes() { Tells::Wrong } else { Tells::Warns };
        marks.push(Mark { path, line, message: one.line(), tells });
    }
    Ok((objects, marks))
}

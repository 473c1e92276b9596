//! Patches: which text is what kind of patch, and which objects it is for.

use serde_json::Value;

use super::build::Build;
use super::object::{self, Object};
use super::operations::{self, Operation};
use super::written::{Kustomization, Patch};
use super::{Outside, merge, outside, select, text};

/// A patch that was read.
enum Read {
    Merge(Vec<Object>),
    Json(Vec<Operation>),
}

/// `patchesStrategicMerge`, then `patches`.
pub(super) fn apply(
    build: &mut Build<'_>,
    folder: &str,
    kustomization: &Kustomization,
    list: &mut [Object],
) -> Result<(), Outside> {
    let mut first = Vec::new();
    for text in &kustomization.patches_strategic_merge {
        // A path, or the patch itself.
        let content = if text.contains('\n') { text.as_bytes() } else { build.file(folder, text)? };
        first.extend(object::read(content, &mut build.budget)?);
    }
    for patch in &first {
        let place = only(list, patch, build)?;
        merge::apply(&mut list[place], patch, &mut build.budget)?;
    }
    for patch in &kustomization.patches {
        let content = content(build, folder, patch)?;
        match (read(content, build)?, &patch.target) {
            (Read::Merge(patches), None) => {
                for patch in &patches {
                    let place = only(list, patch, build)?;
                    merge::apply(&mut list[place], patch, &mut build.budget)?;
                }
            }
            (Read::Merge(patches), Some(target)) => {
                let [patch] = patches.as_slice() else { return outside("several patches for one target") };
                for place in select::places(list, target, &mut build.budget)? {
                    merge::apply(&mut list[place], patch, &mut build.budget)?;
                }
            }
            (Read::Json(operations), Some(target)) => {
                for place in select::places(list, target, &mut build.budget)? {
                    list[place].remember(&mut build.budget)?;
                    operate(&mut list[place], &operations, true, build)?;
                }
            }
            (Read::Json(_), None) => return outside("a JSON patch without a target"),
        }
    }
    Ok(())
}

/// `patchesJson6902`, which come later.
pub(super) fn apply_json6902(
    build: &mut Build<'_>,
    folder: &str,
    kustomization: &Kustomization,
    list: &mut [Object],
) -> Result<(), Outside> {
    for patch in &kustomization.patches_json6902 {
        let content = content(build, folder, patch)?;
        let (Read::Json(operations), Some(target)) = (read(content, build)?, &patch.target) else {
            return outside("a JSON patch without a target, or that is none");
        };
        if target.name.is_empty() {
            return outside("a JSON patch whose target has no name");
        }
        for place in select::places(list, target, &mut build.budget)? {
            operate(&mut list[place], &operations, false, build)?;
        }
    }
    Ok(())
}

fn content<'c>(build: &Build<'c>, folder: &str, patch: &'c Patch) -> Result<&'c [u8], Outside> {
    match (patch.patch.trim(), patch.path.as_str()) {
        ("", "") => outside("a patch is empty"),
        ("", path) => build.file(folder, path),
        (text, "") => Ok(text.as_bytes()),
        _ => outside("a patch has a text and a path"),
    }
}

fn read(content: &[u8], build: &mut Build<'_>) -> Result<Read, Outside> {
    let mut documents = text::documents(content, &mut build.budget)?;
    if let [Value::Array(_)] = documents.as_slice() {
        return operations::read(documents.remove(0)).map(Read::Json);
    }
    let objects = object::read(content, &mut build.budget)?;
    if objects.is_empty() { outside("a patch is empty") } else { Ok(Read::Merge(objects)) }
}

/// The one object that is, or was, what a patch calls itself.
fn only(list: &[Object], patch: &Object, build: &mut Build<'_>) -> Result<usize, Outside> {
    match object::who_was(list, &patch.id(), &mut build.budget)? {
        (Some(place), None) => Ok(place),
        _ => outside("a patch is for no object, or for several"),
    }
}

fn operate(
    object: &mut Object,
    operations: &[Operation],
    annotated: bool,
    build: &mut Build<'_>,
) -> Result<(), Outside> {
    operations::apply(object, operations, annotated, &mut build.budget)
}

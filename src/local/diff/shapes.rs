//! What a cluster's schemas say of what changes, where they were kept: no cluster is asked.

use std::path::Path;

use crate::ids::Target;
use crate::manifest::{Fit, RenderedSet, ServedSchemas};

use super::super::schemas;

/// Faults that are told of one environment; more of them is one mistake made often.
const MOST: usize = 20;

/// A sentence for each fault of an object that is added or changed, at its file and line.
pub(super) fn faults(kept: &Path, target: &Target, old: Option<&RenderedSet>, new: &RenderedSet) -> Vec<String> {
    match schemas::read(kept, &target.cluster) {
        Some(schemas) => judged(&schemas, target, old, new),
        None => Vec::new(),
    }
}

fn judged(schemas: &ServedSchemas, target: &Target, old: Option<&RenderedSet>, new: &RenderedSet) -> Vec<String> {
    let before = |key| old.and_then(|old| old.objects.get(key)).map(|object| object.hash);
    let by = format!("by the schema of cluster {} of {}", target.cluster, schemas.of);
    let mut said = Vec::new();
    for object in new.objects.values().filter(|object| before(&object.key) != Some(object.hash)) {
        let Fit::Faults(faults) = schemas.fit(&object.json) else { continue };
        let line = object.line.map(|line| format!(":{line}")).unwrap_or_default();
        let at = object.file.as_ref().map(|file| format!("{file}{line}: ")).unwrap_or_default();
        said.extend(faults.iter().map(|fault| format!("{at}{} {fault} ({by})", object.key)));
    }
    if said.len() > MOST {
        let more = said.len() - MOST;
        said.truncate(MOST);
        said.push(format!("and {more} more like these, {by}"));
    }
    said
}

//! Plain YAML and JSON: every manifest below the folder, in the order of their paths.

use super::RenderError;
use super::closure::{CHART, KUSTOMIZATIONS, Reading};
use super::files::Files;
use super::paths::{folder_of, is_manifest};
use crate::ids::EntryKind;

/// Takes every `*.yaml`, `*.yml` and `*.json` below the folder. Names that begin with a dot are left out: they are
/// configuration of tools (`.github`, `.bascule.yaml`), not manifests.
pub(super) async fn read<F: Files>(reading: &mut Reading<'_, F>, path: &str) -> Result<(), RenderError> {
    let keep = |_: &str, entry: &super::Entry| {
        let hidden = entry.name.starts_with('.');
        let marks = entry.name == "Kustomization";
        !hidden && (entry.kind != EntryKind::File || is_manifest(&entry.name) || marks)
    };
    let found = reading.below(path, keep).await?;
    for file in &found {
        let name = file.rsplit('/').next().unwrap_or(file);
        let folder = folder_of(file);
        if folder != path && (KUSTOMIZATIONS.contains(&name) || name == CHART) {
            let why = format!(
                "`{folder}` is not plain YAML: give it an environment of its own, or name it from a kustomization"
            );
            return Err(RenderError::refused(file, why));
        }
    }
    if found.is_empty() {
        return Err(RenderError::Empty { path: path.to_owned() });
    }
    Ok(())
}

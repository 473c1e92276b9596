//! Helm hooks. A sync is an install or upgrade, so a hook that those would run is an object like any other, and a hook
//! that belongs to another act is left out: applying a chart's `pre-delete` Job would clean up what was just deployed,
//! and its `test` Pods are not part of it. What is left out is named in the preview.

use serde_json::Value;

use super::yaml::{Dialect, Parsed};

/// The acts `helm template` renders hooks for, and a sync is not.
const OTHER_ACTS: &[&str] =
    &["test", "test-success", "test-failure", "pre-delete", "post-delete", "pre-rollback", "post-rollback"];

/// The acts this hook is for, when a sync is none of them.
pub(super) fn left_out(parsed: &Parsed) -> Option<String> {
    match parsed.dialect {
        Dialect::Helm => {}
        // In files that nobody rendered as a chart the annotation is a leftover: `kubectl` would apply them.
        Dialect::Plain | Dialect::Kustomize => return None,
    }
    let acts = parsed.json.get("metadata")?.get("annotations")?.get("helm.sh/hook").and_then(Value::as_str)?;
    let other = |act: &str| OTHER_ACTS.contains(&act);
    let mut named = acts.split(',').map(str::trim).filter(|act| !act.is_empty()).peekable();
    named.peek()?;
    let all: Vec<&str> = named.collect();
    all.iter().all(|act| other(act)).then(|| all.join(", "))
}

//! What an environment may reach: a grant's namespaces and kinds, judged on every object's identity, in the preview
//! already.

use crate::ids::ObjectKey;

use super::error::Problem;

/// The part of one grant that speaks of objects.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    /// Namespaces, with `*`.
    pub namespaces: &'a [String],
    /// Cluster-scoped kinds that may be written: `Kind`, `group/Kind`, `group/*`; the core group is `core`.
    pub cluster_scoped: &'a [String],
    /// Kinds that may not be written, in the same words.
    pub deny: &'a [String],
}

/// Where a set's objects may be.
#[derive(Debug, Clone, Copy)]
pub enum Within<'a> {
    /// Anywhere: a local look, where nothing is deployed.
    Anywhere,
    /// Inside one of these, as a whole: several grants are never mixed. None at all reaches nothing.
    OneOf(&'a [Reach<'a>]),
}

impl Reach<'_> {
    /// Why this object is out of reach; `None` when it is not.
    pub(super) fn refuses(&self, key: &ObjectKey) -> Option<Problem> {
        let named = || if key.group.is_empty() { key.kind.clone() } else { format!("{}/{}", key.group, key.kind) };
        if self.deny.iter().any(|pattern| names_kind(pattern, key)) {
            return Some(Problem::KindDenied(named()));
        }
        let reaches = |namespace: &str| self.namespaces.iter().any(|pattern| glob(pattern, namespace));
        match &key.namespace {
            Some(namespace) if reaches(namespace) => None,
            Some(namespace) => Some(Problem::NamespaceNotGranted(namespace.clone())),
            None if !self.cluster_scoped.iter().any(|pattern| names_kind(pattern, key)) => {
                Some(Problem::ClusterScopedNotGranted(named()))
            }
            // Who may write namespaces may write their own, not everybody's.
            None if key.group.is_empty() && key.kind == "Namespace" && !reaches(&key.name) => {
                Some(Problem::NamespaceNotGranted(key.name.clone()))
            }
            None => None,
        }
    }
}

/// `Kind` in any group, or `group/Kind` with `*` in either; `core` is the group without a name.
fn names_kind(pattern: &str, key: &ObjectKey) -> bool {
    match pattern.split_once('/') {
        None => glob(pattern, &key.kind),
        Some((group, kind)) => {
            let own = if key.group.is_empty() { "core" } else { &key.group };
            glob(group, own) && glob(kind, &key.kind)
        }
    }
}

/// `*` stands for any number of characters. Linear in the text for each `*`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_within_a_name() {
        for (pattern, text) in
            [("shop-*", "shop-"), ("shop-*", "shop-a-b"), ("*", ""), ("a*b*c", "axxbyyc"), ("x", "x")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("shop-*", "shop"), ("a*b", "ab-"), ("a*a", "a"), ("", "x"), ("x", "xy")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}

//! Hooks: objects that run once for a rendered set, before or after everything else of it, and are awaited.
//!
//! Read from Helm's annotations, Argo CD's, and our own. A sync is an install or an upgrade, so a hook that belongs to
//! another act is left out: applying a chart's `pre-delete` Job would clean up what was just deployed, and its `test` Pods
//! are not part of it. What is left out is named in the preview.

use std::collections::BTreeSet;

use serde_json::Value;

use super::yaml::{Dialect, Parsed};
use super::{OUR_PREFIX, order};

/// What a sync is to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// The environment was never healthy.
    Install,
    /// It was.
    Upgrade,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// After namespaces and definitions, before everything else.
    Before,
    /// When everything is well.
    After,
}

impl When {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::Before, Self::After];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// What becomes of a hook's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// One of an earlier run is deleted before the next is made: always so, since a Job runs once.
    BeforeCreation,
    /// It goes when it ended well.
    Succeeded,
    /// It goes when it did not.
    Failed,
}

/// How an object is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Some run at both moments of a sync.
    moments: BTreeSet<(Act, When)>,
    /// As written, for people: `pre-install, pre-upgrade`.
    pub acts: String,
    /// Lower ones run first.
    pub weight: i64,
    /// When its object is deleted.
    pub deletes: Vec<Deletes>,
}

impl Hook {
    /// Whether it runs at this moment of such a sync.
    pub fn runs(&self, act: Act, when: When) -> bool {
        self.moments.contains(&(act, when))
    }

    /// What people call it: `pre-upgrade hook`.
    pub fn label(&self) -> String {
        format!("{} hook", self.acts)
    }
}

const HELM: &str = "helm.sh/hook";
const ARGO: &str = "argocd.argoproj.io/hook";

/// What is ours in a name of annotation: `bascule.dev/hook`.
fn ours(name: &str) -> String {
    format!("{OUR_PREFIX}{name}")
}

/// How this object is run, when it is a hook.
pub fn hook(object: &Value) -> Option<Hook> {
    let annotations = object.pointer("/metadata/annotations")?.as_object()?;
    let text = |name: &str| annotations.get(name).and_then(Value::as_str);
    let listed = |name: &str| words(text(name).unwrap_or_default());
    let wave = order::wave(object);
    let (own, argo, helm) = (listed(&ours("hook")), listed(ARGO), listed(HELM));
    if !own.is_empty() {
        let deletes = listed(&ours("hook-delete-policy"));
        return of(&own, &["pre-sync"], &["post-sync"], wave, &deletes);
    }
    if let Some(found) = of(&argo, &["PreSync"], &["PostSync"], wave, &listed("argocd.argoproj.io/hook-delete-policy"))
    {
        return Some(found);
    }
    let weight = text("helm.sh/hook-weight").and_then(|weight| weight.trim().parse().ok()).unwrap_or(0);
    let deletes = listed("helm.sh/hook-delete-policy");
    let moment = |word: &&str| match *word {
        "pre-install" => Some((Act::Install, When::Before)),
        "pre-upgrade" => Some((Act::Upgrade, When::Before)),
        "post-install" => Some((Act::Install, When::After)),
        "post-upgrade" => Some((Act::Upgrade, When::After)),
        _ => None,
    };
    let moments: BTreeSet<_> = helm.iter().filter_map(moment).collect();
    let runs = !moments.is_empty();
    runs.then(|| Hook { moments, acts: helm.join(", "), weight, deletes: policies(&deletes) })
}

fn of(words: &[&str], before: &[&str], after: &[&str], weight: i64, deletes: &[&str]) -> Option<Hook> {
    let has = |when: &When| {
        let list = if *when == When::Before { before } else { after };
        words.iter().any(|word| list.contains(word))
    };
    let of_both = |when: When| [(Act::Install, when), (Act::Upgrade, when)];
    let moments: BTreeSet<_> = When::ALL.into_iter().filter(has).flat_map(of_both).collect();
    let runs = !moments.is_empty();
    runs.then(|| Hook { moments, acts: words.join(", "), weight, deletes: policies(deletes) })
}

fn words(list: &str) -> Vec<&str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
}

fn policies(words: &[&str]) -> Vec<Deletes> {
    let mut deletes = vec![Deletes::BeforeCreation];
    for word in words {
        match *word {
            "hook-succeeded" | "HookSucceeded" => deletes.push(Deletes::Succeeded),
            "hook-failed" | "HookFailed" => deletes.push(Deletes::Failed),
            _ => {}
        }
    }
    deletes
}

/// The acts `helm template` renders hooks for, and a sync is not.
const OTHER_HELM: &[&str] =
    &["test", "test-success", "test-failure", "pre-delete", "post-delete", "pre-rollback", "post-rollback"];
/// The same of Argo CD: a sync that failed runs nothing more, and nothing is run when an application is deleted.
const OTHER_ARGO: &[&str] = &["Skip", "SyncFail", "PreDelete", "PostDelete"];

/// The acts this hook is for, when a sync is none of them.
pub(super) fn left_out(parsed: &Parsed) -> Option<String> {
    let annotations = parsed.json.get("metadata")?.get("annotations")?;
    let listed = |name: &str| words(annotations.get(name).and_then(Value::as_str).unwrap_or_default());
    let only = |words: Vec<&str>, others: &[&str]| {
        let all = !words.is_empty() && words.iter().all(|act| others.contains(act));
        all.then(|| words.join(", "))
    };
    let argo = only(listed(ARGO), OTHER_ARGO);
    match parsed.dialect {
        Dialect::Helm => argo.or_else(|| only(listed(HELM), OTHER_HELM)),
        // In files that nobody rendered as a chart the annotation is a leftover: `kubectl` would apply them.
        Dialect::Plain | Dialect::Kustomize => argo,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_say_when_and_in_which_order_a_hook_runs() {
        let told = |annotations: Value| {
            let Some(hook) = hook(&json!({"metadata": {"annotations": annotations}})) else {
                return "no hook".to_owned();
            };
            let at = |act| {
                let moments: Vec<_> = When::ALL.into_iter().filter(|when| hook.runs(act, *when)).collect();
                format!("{moments:?}")
            };
            let (install, upgrade) = (at(Act::Install), at(Act::Upgrade));
            format!(
                "{}: install {install}, upgrade {upgrade}, weight {}, {:?}",
                hook.label(),
                hook.weight,
                hook.deletes
            )
        };
        let all = [
            told(json!({"helm.sh/hook": "pre-install, pre-upgrade", "helm.sh/hook-weight": "-5"})),
            told(
                json!({"helm.sh/hook": "post-install", "helm.sh/hook-delete-policy": "hook-succeeded,before-hook-creation"}),
            ),
            told(json!({"helm.sh/hook": "post-upgrade,pre-delete", "helm.sh/hook-delete-policy": "hook-failed"})),
            told(json!({"helm.sh/hook": "pre-install,pre-upgrade,post-install,post-upgrade"})),
            told(json!({"helm.sh/hook": "test"})),
            told(json!({"helm.sh/hook": "crd-install"})),
            told(json!({"argocd.argoproj.io/hook": "PreSync", "argocd.argoproj.io/sync-wave": "2"})),
            told(json!({"argocd.argoproj.io/hook": "PreSync,PostSync"})),
            told(json!({"argocd.argoproj.io/hook": "Sync"})),
            told(json!({"bascule.dev/hook": "post-sync", "bascule.dev/wave": "-1",
                "bascule.dev/hook-delete-policy": "hook-succeeded", "helm.sh/hook": "pre-install"})),
            told(json!({})),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        pre-install, pre-upgrade hook: install [Before], upgrade [Before], weight -5, [BeforeCreation]
        post-install hook: install [After], upgrade [], weight 0, [BeforeCreation, Succeeded]
        post-upgrade, pre-delete hook: install [], upgrade [After], weight 0, [BeforeCreation, Failed]
        pre-install, pre-upgrade, post-install, post-upgrade hook: install [Before, After], upgrade [Before, After], weight 0, [BeforeCreation]
        no hook
        no hook
        PreSync hook: install [Before], upgrade [Before], weight 2, [BeforeCreation]
        PreSync, PostSync hook: install [Before, After], upgrade [Before, After], weight 0, [BeforeCreation]
        no hook
        post-sync hook: install [After], upgrade [After], weight -1, [BeforeCreation, Succeeded]
        no hook
        ");
    }
}

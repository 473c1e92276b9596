//! Rows of a page, from what was computed.

use std::collections::BTreeMap;

use crate::consent::{People, Said, Verdict, explain};
use crate::ids::{EnvironmentName, ObjectKey};
use crate::manifest::{Body, Hunk, Object, ObjectDiff, RenderedSet, Room, Verb, apply_order, compare, diff_rules};
use crate::policy::rules::Environment;
use crate::preview::{
    Consent, Deployment, EnvironmentRow, Live, NotCounted, ObjectChange, PolicyRemark, Rendering, RowChange,
};
use crate::render;

use crate::jobs::gather::contents::Content;

/// An environment that does not render, or renders what it may not: then with its objects, as far as they are known.
pub(in crate::jobs) fn failed(block: &Environment, errors: Vec<String>, objects: Vec<ObjectChange>) -> EnvironmentRow {
    EnvironmentRow {
        name: block.name.clone(),
        stage: block.stage.clone(),
        target: block.target.clone(),
        change: RowChange::Failed { errors, objects },
        consent: Consent::Closed { why: "it does not render".to_owned() },
        deployment: Deployment::Nothing,
        rendering: None,
        left_out: Vec::new(),
        unasked: None,
        policies: Vec::new(),
    }
}

/// Its objects' changes.
pub(in crate::jobs) fn objects(old: Option<&RenderedSet>, new: &RenderedSet, room: &mut Room) -> Vec<ObjectChange> {
    compare(old, new, room).into_iter().map(|diff| ObjectChange { diff, live: None }).collect()
}

/// The same, with what the cluster has of them.
pub(in crate::jobs) fn found(objects: Vec<ObjectChange>, live: &BTreeMap<ObjectKey, Live>) -> Vec<ObjectChange> {
    let found = |object: ObjectChange| ObjectChange { live: live.get(&object.diff.key).cloned(), ..object };
    objects.into_iter().map(found).collect()
}

/// The objects of a set that cannot be, by name, with what is known of them.
pub(in crate::jobs) fn named(set: &RenderedSet, live: &BTreeMap<ObjectKey, Live>) -> Vec<ObjectChange> {
    let named = |object: &Object| {
        let (key, file) = (object.key.clone(), object.file.clone());
        let diff =
            ObjectDiff { key, verb: Verb::Added, file, plus: 0, minus: 0, body: Body::Name, notable: Vec::new() };
        ObjectChange { diff, live: live.get(&object.key).cloned() }
    };
    apply_order(set.objects.keys()).into_iter().filter_map(|key| set.objects.get(key)).map(named).collect()
}

/// What changes in its own rules; nothing is a first set's, whose rules are the file's own text.
pub(in crate::jobs) fn rules(old: Option<&Environment>, new: &Environment) -> Vec<Hunk> {
    let Some(old) = old.filter(|old| *old != new) else { return Vec::new() };
    let value = |rules| serde_json::to_value(rules).unwrap_or_default();
    diff_rules(Some(&value(old)), &value(new))
}

/// Who consents.
pub(in crate::jobs) fn consent(name: &EnvironmentName, verdict: &Verdict, people: &People) -> Consent {
    if let Some(why) = &verdict.closed {
        return Consent::Closed { why: why.clone() };
    }
    if verdict.rules.is_empty() {
        return Consent::NotNeeded;
    }
    let wanted: u32 = verdict.rules.iter().map(|rule| rule.needed).sum();
    let missing: u32 = verdict.rules.iter().map(crate::consent::RuleVerdict::missing).sum();
    let met = verdict.met();
    let mut counted: Vec<String> =
        verdict.rules.iter().flat_map(|rule| &rule.counted).map(|account| account.login.clone()).collect();
    counted.sort();
    counted.dedup();
    let not_counted = verdict
        .not_counted
        .iter()
        .map(|one| NotCounted { login: one.person.login.clone(), why: one.why.to_string() })
        .collect();
    Consent::Asked {
        wanted,
        given: if met { wanted } else { wanted.saturating_sub(missing.max(1)) },
        counted,
        not_counted,
        missing: if met { String::new() } else { explain(name, verdict, people, None) },
    }
}

/// What rendered it.
pub(in crate::jobs) fn rendering(content: &Content) -> Rendering {
    let milliseconds = content.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    Rendering { renderer: content.renderer.clone(), milliseconds }
}

/// What policies said, where they were asked.
pub(in crate::jobs) fn remarks(said: Option<&Said>) -> Vec<PolicyRemark> {
    said.map(|said| render::remarks(&said.opinions)).unwrap_or_default()
}

//! Rows of a page, from what was computed.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::consent::{People, Said, Verdict, explain};
use crate::db::deployments::Deployment as Stored;
use crate::db::holds::Hold;
use crate::ids::{EnvironmentName, ObjectKey};
use crate::manifest::{Body, Hunk, Object, ObjectDiff, RenderedSet, Room, Verb, apply_order, compare, diff_rules};
use crate::policy::rules::{Admission, Environment};
use crate::preview::{
    Consent, Deployment, EnvironmentRow, Live, NotCounted, ObjectChange, PolicyRemark, Rendering, RowChange,
};
use crate::render;

use crate::jobs::gather::baselines::Compared;
use crate::jobs::gather::contents::Content;
use crate::jobs::gather::place;
use crate::sync::HoldReason;

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
        standing: None,
        admission_is_required: block.admission == Admission::Required,
        policies: Vec::new(),
    }
}

/// Its objects' changes.
pub(in crate::jobs) fn objects(old: Option<&RenderedSet>, new: &RenderedSet, room: &mut Room) -> Vec<ObjectChange> {
    compare(old, new, room).into_iter().map(ObjectChange::from).collect()
}

/// The same, with what the cluster has of them.
pub(in crate::jobs) fn found(objects: Vec<ObjectChange>, live: &BTreeMap<ObjectKey, Live>) -> Vec<ObjectChange> {
    let found = |object: ObjectChange| ObjectChange { live: live.get(&object.diff.key).cloned(), ..object };
    objects.into_iter().map(found).collect()
}

/// The same, with what the cluster says beside a change.
pub(in crate::jobs) fn compared(objects: Vec<ObjectChange>, compared: &Compared) -> Vec<ObjectChange> {
    let beside = |object: ObjectChange| {
        let admission = compared.admission.get(&object.diff.key).cloned();
        let effect = compared.effect.get(&object.diff.key).cloned();
        ObjectChange { admission, effect, ..object }
    };
    objects.into_iter().map(beside).collect()
}

/// The objects of a set that cannot be, by name, with what is known of them.
pub(in crate::jobs) fn named(set: &RenderedSet, live: &BTreeMap<ObjectKey, Live>) -> Vec<ObjectChange> {
    let named = |object: &Object| {
        let (key, file) = (object.key.clone(), object.file.clone());
        let diff =
            ObjectDiff { key, verb: Verb::Added, file, plus: 0, minus: 0, body: Body::Name, notable: Vec::new() };
        ObjectChange { live: live.get(&object.key).cloned(), ..ObjectChange::from(diff) }
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
        deletions: verdict.deletions,
    }
}

/// What rendered it.
pub(in crate::jobs) fn rendering(content: &Content) -> Rendering {
    let milliseconds = content.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    Rendering { renderer: content.renderer.clone(), milliseconds }
}

/// What policies said, where they were asked.
pub(in crate::jobs) fn remarks(said: Option<&Said>) -> Vec<PolicyRemark> {
    said.map(|said| render::remarks(&said.opinions, &said.mended)).unwrap_or_default()
}

/// What a deployment was consented by, once there is one: more may have been given than when its change was shown last.
/// One that is sent again used none itself, so those before it are asked as well.
pub(super) fn consented<'a>(
    row: &EnvironmentRow,
    deployments: impl IntoIterator<Item = &'a Stored>,
    remembered: &place::Remembered,
) -> Consent {
    let used: Vec<Uuid> = deployments.into_iter().flat_map(|one| one.new.approvals.iter().copied()).collect();
    match &row.consent {
        Consent::Asked { wanted, not_counted, deletions, .. } if !used.is_empty() => {
            let given = remembered.approvals.iter().filter(|one| used.contains(&one.id));
            let mut counted: Vec<String> = given.map(|one| one.recorded.approval.person.login.clone()).collect();
            counted.sort_unstable();
            let not_counted = not_counted.iter().filter(|one| !counted.contains(&one.login)).cloned().collect();
            let (wanted, deletions, missing) = (*wanted, *deletions, String::new());
            Consent::Asked { wanted, given: wanted, counted, not_counted, missing, deletions }
        }
        asked => asked.clone(),
    }
}

/// What keeps an environment from being synced further.
pub(super) fn held_by(hold: &Hold) -> Deployment {
    Deployment::Held { reason: hold.reason.clone(), detail: hold.detail.clone(), lifts: hold.lifts.clone() }
}

/// What became of a deployment; of one that waits for its cluster that it does, of one that failed also what sends it
/// again, while that is what it waits for.
pub(super) fn deployed(deployment: &Stored, hold: Option<&Hold>) -> Deployment {
    let number = deployment.new.number;
    let Some(ended) = &deployment.ended else {
        let away = hold.filter(|hold| hold.reason == HoldReason::ClusterAway.as_str());
        return away.map_or(Deployment::Running { number }, held_by);
    };
    let Some(reason) = ended.outcome.hold() else {
        return Deployment::Healthy { number, kept: ended.outcome.stays().unwrap_or_default() };
    };
    let lifts = hold.filter(|hold| hold.reason == reason.as_str()).map(|hold| format!("; lifted by {}", hold.lifts));
    let why = ended.outcome.sentence() + &lifts.unwrap_or_default();
    Deployment::Failed { number, object: None, why }
}

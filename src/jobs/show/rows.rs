//! Rows of a page, from what was computed.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::consent::{Denial, People, Said, Verdict, explain};
use crate::db::deployments::Deployment as Stored;
use crate::db::holds::Hold;
use crate::ids::{ChangeDigest, EnvironmentName, ObjectKey};
use crate::manifest::{
    Body, Fingerprints, Hunk, Manner, Object, ObjectDiff, RenderedSet, Room, Verb, apply_order, compare, diff_rules,
};
use crate::policy::Noise;
use crate::policy::rules::{Admission, Environment};
use crate::preview::{
    Consent, Deployment, EnvironmentRow, Live, NotCounted, ObjectChange, PolicyRemark, PolicyWaiver, Rendering,
    RowChange, Ruling, WaivedBy,
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
        waivers: Vec::new(),
    }
}

/// How its objects' changes are written: hidden values as they are compared in this repository, and without what the
/// rules in force say nobody wants to read. A head's own rules are not in force.
pub(in crate::jobs) struct Thinned<'r> {
    /// The repository's.
    pub(in crate::jobs) fingerprints: &'r Fingerprints,
    /// The environment as it was; `None` when it is new.
    pub(in crate::jobs) before: Option<&'r Environment>,
}

/// Its objects' changes.
pub(in crate::jobs) fn objects(
    (old, new): (Option<&RenderedSet>, &RenderedSet),
    thinned: &Thinned<'_>,
    room: &mut Room,
) -> Vec<ObjectChange> {
    let noise = Noise::of(thinned.before);
    let quiet = |key: &ObjectKey, trail: &[String], values: Option<[&str; 2]>| noise.hides(key, trail, values);
    let manner = Manner { fingerprints: Some(thinned.fingerprints), quiet: &quiet };
    compare(old, new, manner, room).into_iter().map(ObjectChange::from).collect()
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
        let (body, notable, hidden) = (Body::Name, Vec::new(), BTreeMap::new());
        let diff = ObjectDiff { key, verb: Verb::Added, file, plus: 0, minus: 0, body, notable, hidden };
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
    if verdict.by_rollback {
        return Consent::ByRollback;
    }
    let wanted: u32 = verdict.rules.iter().map(|rule| rule.needed).sum();
    let missing: u32 = verdict.rules.iter().map(crate::consent::RuleVerdict::missing).sum();
    let met = verdict.met();
    // Who waives what is denied has consented to nothing, and is named there.
    let consenting = verdict.rules.iter().filter(|rule| rule.required.origin.denial().is_none());
    let mut counted: Vec<String> =
        consenting.flat_map(|rule| &rule.counted).map(|account| account.login.clone()).collect();
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
        missing: match (met, verdict.by_reverts()) {
            (false, _) => explain(name, verdict, people, None),
            (true, true) => format!("{name} becomes what was deployed here before: by `reverts` that is enough"),
            (true, false) => String::new(),
        },
        deletions: verdict.deletions,
    }
}

/// What rendered it.
pub(in crate::jobs) fn rendering(content: &Content) -> Rendering {
    let milliseconds = content.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    Rendering { renderer: content.renderer.clone(), milliseconds }
}

/// What policies said, where they were asked; what is waived closes nothing.
pub(in crate::jobs) fn remarks(said: Option<&Said>, verdict: &Verdict) -> Vec<PolicyRemark> {
    let waived: BTreeSet<String> =
        verdict.denials().into_iter().filter(|one| verdict.waives(one)).map(|one| one.policy).collect();
    let mut remarks = said.map(|said| render::remarks(&said.opinions, &said.mended)).unwrap_or_default();
    for one in remarks.iter_mut().filter(|one| one.ruling == Ruling::Denies && waived.contains(&one.policy)) {
        one.ruling = Ruling::Waived;
    }
    remarks
}

/// What policies deny of a change and somebody may waive, and who did.
pub(in crate::jobs) fn waivers(name: &EnvironmentName, change: &ChangeDigest, verdict: &Verdict) -> Vec<PolicyWaiver> {
    let one = |denial: Denial| {
        let rules = verdict.rules.iter().filter(|rule| rule.required.origin.denial() == Some(&denial));
        let by = verdict.waivers.iter().filter(|one| one.denial == denial);
        let by = by.map(|one| WaivedBy { login: one.person.login.clone(), reason: one.reason.clone() });
        PolicyWaiver {
            digest: denial.digest(change).short(),
            line: denial.line_to_type(name, change),
            needed: rules.map(|rule| rule.needed).sum(),
            is_waived: verdict.waives(&denial),
            by: by.collect(),
            policy: denial.policy,
        }
    };
    verdict.denials().into_iter().map(one).collect()
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
            let given = given.map(|one| &one.recorded.approval).filter(|one| one.waives.is_none());
            let mut counted: Vec<String> = given.map(|one| one.person.login.clone()).collect();
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
    if deployment.is_being_verified {
        return Deployment::Verifying { number };
    }
    let Some(ended) = &deployment.ended else {
        let away = hold.filter(|hold| hold.reason == HoldReason::ClusterAway.as_str());
        return away.map_or(Deployment::Running { number }, held_by);
    };
    let Some(reason) = ended.outcome.hold() else {
        return Deployment::Healthy { number, kept: ended.outcome.remarks() };
    };
    let lifts = hold.filter(|hold| hold.reason == reason.as_str()).map(|hold| format!("; lifted by {}", hold.lifts));
    let why = ended.outcome.told() + &lifts.unwrap_or_default();
    Deployment::Failed { number, object: None, why, runbook: None }
}

/// The same with the runbook of its environment, where it failed and there is one.
pub(super) fn with_runbook(deployment: Deployment, block: Option<&Environment>) -> Deployment {
    let runbook = block.and_then(|block| block.runbook.as_deref());
    match (deployment, runbook) {
        (Deployment::Failed { number, object, why, .. }, Some(runbook)) => {
            Deployment::Failed { number, object, why, runbook: Some(runbook.to_owned()) }
        }
        (deployment, _) => deployment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{Contributors, Origin, Required, RuleVerdict};
    use crate::ids::{Account, OpinionDigest, PolicyDigest};
    use crate::policy::rules::{ApprovalRule, Voters};

    #[test]
    fn who_waives_is_not_shown_among_those_who_consent() {
        let met = |origin: Origin, login: &str| RuleVerdict {
            required: Required {
                rule: ApprovalRule { count: 1, voters: Voters::default(), when: None },
                by: BTreeSet::new(),
                origin,
            },
            needed: 1,
            counted: vec![Account { forge: "work".parse().unwrap(), id: 1, login: login.to_owned() }],
        };
        let (text, said) = (PolicyDigest([1; 32]), OpinionDigest([1; 32]));
        let denial = Denial { policy: "p".to_owned(), text, said };
        let verdict = Verdict {
            rules: vec![met(Origin::Environment, "ann"), met(Origin::Waiver(denial), "lee")],
            deletions: None,
            waivers: Vec::new(),
            counted: BTreeSet::new(),
            not_counted: Vec::new(),
            contributors: Contributors::default(),
            closed: None,
            exception: None,
            by_rollback: false,
        };
        let people = People::new("work".parse().unwrap(), BTreeMap::new(), Vec::new());
        let Consent::Asked { counted, .. } = consent(&"production".parse().unwrap(), &verdict, &people) else {
            panic!("somebody is asked");
        };
        assert_eq!(counted, ["ann"]);
    }
}

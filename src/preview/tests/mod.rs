//! What people read, and that nobody else can write in it.

mod baselines;
mod beside;
mod fitting;
mod inert;
mod live;
mod read;

use super::answer::{Answer, Answered};
use super::check::check;
use super::comment::{Comment, MARKER, comment, is_marked};
use super::live::Live;
use super::mark::Mark;
use super::markdown::NAME;
use super::markdown::{clip, html};
use super::merge_rule::MergeRule;
use super::page::*;
use super::status::{consent_status, preview_status};
use super::terminal::{Look, terminal};
use crate::ids::{ChangeDigest, ObjectKey, Target};
use crate::manifest::{Body, Hunk, LeftOut, Notable, ObjectDiff, Verb, visible};

use std::collections::BTreeMap;

const LINK: &str = "https://bascule.example.com/previews/17";

fn key(name: &str) -> ObjectKey {
    let (group, namespace) = ("apps".to_owned(), Some("shop".to_owned()));
    ObjectKey { group, kind: "Deployment".to_owned(), namespace, name: name.to_owned() }
}

fn object(name: &str, verb: Verb, text: &str, live: Option<Live>) -> ObjectChange {
    let body = match verb {
        Verb::Removed => Body::Name,
        Verb::Added | Verb::Changed => Body::Hunks(vec![Hunk {
            path: text.to_owned(),
            lines: vec![format!(" {text}"), format!("-{text}"), format!("+{text}"), "+x".to_owned()],
        }]),
    };
    let diff = ObjectDiff {
        key: key(name),
        verb,
        file: Some(text.to_owned()),
        plus: 2,
        minus: 1,
        body,
        notable: Vec::new(),
        hidden: BTreeMap::new(),
    };
    ObjectChange { live, ..ObjectChange::from(diff) }
}

fn row(name: &str, change: RowChange, consent: Consent, deployment: Deployment) -> EnvironmentRow {
    EnvironmentRow {
        name: name.parse().unwrap(),
        stage: None,
        target: Target { cluster: "prod".parse().unwrap(), namespace: "shop".to_owned() },
        change,
        consent,
        deployment,
        rendering: None,
        left_out: Vec::new(),
        unasked: None,
        standing: None,
        admission_is_required: false,
        policies: Vec::new(),
        waivers: Vec::new(),
    }
}

fn change(objects: Vec<ObjectChange>) -> RowChange {
    RowChange::Change { digest: Some(ChangeDigest([0x9f; 32])), rules: Vec::new(), objects }
}

fn pull() -> Subject {
    Subject::Pull { head: "a1b2c3d".repeat(6)[..40].parse().unwrap(), into: "main".to_owned() }
}

fn page(environments: Vec<EnvironmentRow>) -> Page {
    let (notes, answers, marks, merge_rules) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Page { subject: pull(), outcome: Outcome::Compared, environments, notes, answers, marks, merge_rules }
}

/// A page with `x` wherever a name or value from outside can stand, and `prose` wherever a sentence can.
fn page_of(x: &str, prose: &str) -> Page {
    let asked = |missing: &str| Consent::Asked {
        wanted: 2,
        given: 1,
        counted: vec![x.to_owned()],
        not_counted: vec![NotCounted { login: x.to_owned(), why: prose.to_owned() }],
        missing: missing.to_owned(),
        deletions: None,
    };
    let conflict = Live::Conflict { held: [(x.to_owned(), vec![x.to_owned()])].into() };
    let first = vec![
        object(x, Verb::Added, x, Some(conflict)),
        object(x, Verb::Added, x, Some(Live::Absent { unchecked: Some(prose.to_owned()) })),
        object(x, Verb::Added, x, Some(Live::Refused { why: prose.to_owned() })),
        object(x, Verb::Changed, x, Some(Live::Owned { by: x.to_owned() })),
        object(x, Verb::Removed, x, Some(Live::Unknown { why: prose.to_owned() })),
    ];
    let mut ungranted = vec![object(x, Verb::Removed, x, Some(Live::NotGranted { why: prose.to_owned() }))];
    ungranted[0].diff.verb = Verb::Added;
    let failed = Deployment::Failed { number: 41, object: Some(key(x)), why: prose.to_owned(), runbook: None };
    let held = Deployment::Held { reason: x.to_owned(), detail: prose.to_owned(), lifts: x.to_owned() };
    let mut rows = vec![
        row("staging", change(first), asked(""), failed),
        row("production", RowChange::Same, asked(prose), held),
        row(
            "broken",
            RowChange::Failed { errors: vec![x.to_owned()], objects: ungranted },
            Consent::NotNeeded,
            Deployment::Nothing,
        ),
        row("closed", RowChange::Same, Consent::Closed { why: prose.to_owned() }, Deployment::Never),
        EnvironmentRow { name: "ahead".parse().unwrap(), ..baselines::everything(x, prose) },
    ];
    let value = || Some(x.to_owned());
    let notable = [
        Notable::Fixed { field: x.to_owned() },
        Notable::Access { given: true, what: x.to_owned() },
        Notable::Access { given: false, what: x.to_owned() },
        Notable::Exposure { what: x.to_owned(), old: value(), new: value() },
        Notable::Image { container: x.to_owned(), old: value(), new: value() },
        Notable::Image { container: x.to_owned(), old: None, new: value() },
        Notable::Replicas { old: value(), new: None },
        Notable::Hook { acts: x.to_owned() },
        Notable::Resources { container: x.to_owned(), what: x.to_owned(), old: value(), new: value() },
    ];
    for row in &mut rows {
        if let RowChange::Change { objects, .. } = &mut row.change {
            for one in objects {
                one.diff.notable = notable.to_vec();
                one.diff.hidden = [(x.to_owned(), 1)].into();
            }
        }
    }
    rows[0].left_out = vec![LeftOut { key: key(x), acts: x.to_owned() }];
    rows[0].rendering = Some(Rendering { renderer: prose.to_owned(), milliseconds: Some(1_234) });
    rows[2].unasked = Some(prose.to_owned());
    let mut page = page(rows);
    page.subject = Subject::Pull { head: "a".repeat(40).parse().unwrap(), into: x.to_owned() };
    page.notes = vec![prose.to_owned()];
    let rule = MergeRule { name: x.to_owned(), wanted: 2, given: vec![x.to_owned()], is_met: false };
    page.merge_rules = vec![MergeRule { is_met: true, ..rule.clone() }, rule];
    page.answers = vec![
        Answer { to: x.to_owned(), asked: 0, answered: Answered::Said { sentence: prose.to_owned() } },
        Answer { to: x.to_owned(), asked: 0, answered: Answered::WhichChange { lines: vec![x.to_owned()] } },
        Answer {
            to: x.to_owned(),
            asked: 0,
            answered: Answered::Explain { sentences: vec![prose.to_owned()], meanings: Vec::new() },
        },
    ];
    page
}

fn two_environments() -> Page {
    let text = |old: &str, new: &str| {
        Body::Hunks(vec![Hunk {
            path: "spec.template.spec.containers[web]".to_owned(),
            lines: vec![
                "       - name: web".to_owned(),
                format!("-        image: {old}"),
                format!("+        image: {new}"),
            ],
        }])
    };
    let web = |namespace: &str| {
        let mut key = key("web");
        key.namespace = Some(namespace.to_owned());
        let file = Some("deploy/web.yaml".to_owned());
        let body = text("shop/web:1.26", "shop/web:1.27");
        let (old, new) = (Some("shop/web:1.26".to_owned()), Some("shop/web:1.27".to_owned()));
        let notable = vec![Notable::Image { container: "web".to_owned(), old, new }];
        ObjectChange::from(ObjectDiff {
            key,
            verb: Verb::Changed,
            file,
            plus: 1,
            minus: 1,
            body,
            notable,
            hidden: BTreeMap::new(),
        })
    };
    let mut legacy = object("legacy", Verb::Removed, "deploy/legacy.yaml", None);
    legacy.diff.key.kind = "Service".to_owned();
    let asked = Consent::Asked {
        wanted: 2,
        given: 1,
        counted: vec!["lee".to_owned()],
        not_counted: vec![NotCounted { login: "kim".to_owned(), why: "contributor: opened the pull request".to_owned() }],
        missing: "production needs 1 more of: @ann, @bob (group sre) beside @lee; @kim's does not count: contributor: opened the pull request".to_owned(),
        deletions: None,
    };
    let mut rows = vec![
        row(
            "staging",
            change(vec![web("shop-staging")]),
            Consent::NotNeeded,
            Deployment::AfterMerge {
                after: Vec::new(),
                soaks: BTreeMap::new(),
                checks: Vec::new(),
                windows: Vec::new(),
            },
        ),
        row(
            "production",
            change(vec![web("shop"), legacy]),
            asked,
            Deployment::AfterMerge {
                after: vec!["staging".parse().unwrap()],
                soaks: BTreeMap::from([("staging".parse().unwrap(), "10m".to_owned())]),
                checks: vec!["ci/test".to_owned()],
                windows: vec!["Mon–Fri 09:00–17:00 (Europe/Berlin)".to_owned()],
            },
        ),
    ];
    for row in &mut rows {
        row.rendering = Some(Rendering { renderer: "helm 4.3.1".to_owned(), milliseconds: Some(210) });
    }
    page(rows)
}

/// Many environments with many objects, each with `lines` lines.
fn crowd(environments: usize, objects: usize, lines: usize) -> Page {
    let one = |n: usize, o: usize| {
        let mut object =
            object(&format!("web-{n}-{o}"), if o % 3 == 2 { Verb::Removed } else { Verb::Changed }, "x", None);
        if let Body::Hunks(hunks) = &mut object.diff.body {
            hunks[0].lines = vec!["+a line of forty characters, to fill a page".to_owned(); lines];
        }
        object
    };
    let asked = || Consent::Asked {
        wanted: 1,
        given: 0,
        counted: Vec::new(),
        not_counted: Vec::new(),
        missing: "e needs 1 more of: group sre".to_owned(),
        deletions: None,
    };
    let row = |n: usize| {
        row(&format!("edge-{n}"), change((0..objects).map(|o| one(n, o)).collect()), asked(), Deployment::Never)
    };
    page((0..environments).map(row).collect())
}

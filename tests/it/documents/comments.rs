//! `docs/comments`: comments as people see them, from manifests to Markdown, held to what the program writes.

use std::path::Path;

use bascule::ids::{ChangeDigest, ObjectKey, RepositoryKey, Target};
use bascule::manifest::{
    Dialect, Fingerprints, HashKey, Limits, Manner, RenderedSet, Room, Scopes, Within, compare, parse,
};
use bascule::policy::Noise;
use bascule::preview::{
    Admission, Consent, Deployment, Drift, Drifted, EnvironmentRow, NotCounted, ObjectChange, Outcome, Page,
    PolicyRemark, Rendering, RowChange, Ruling, Standing, Subject, comment,
};

const LINK: &str = "https://bascule.example.com/previews/17";
/// What the server keeps to: GitHub takes a little more.
const LIMIT: usize = 60_000;

/// What changes in an environment, from what is rendered on both sides.
fn changes(namespace: &str, old: &str, new: &str) -> Vec<ObjectChange> {
    let key = HashKey::new([7; 32]);
    let target = Target { cluster: "prod".parse().unwrap(), namespace: namespace.to_owned() };
    let set = |text: &str| {
        let files = [("deploy/shop.yaml".to_owned(), text.as_bytes().to_vec())];
        let parsed = parse(&files, Dialect::Plain, &Limits::default()).unwrap();
        RenderedSet::build(&target, &"rules", parsed, Within::Anywhere, &Scopes::without_cluster(), &key).unwrap()
    };
    let repository = RepositoryKey { forge: "work".parse().unwrap(), id: 1 };
    let fingerprints = Fingerprints::of(&key, &repository);
    let noise = Noise::of(None);
    let quiet = |key: &ObjectKey, trail: &[String], values: Option<[&str; 2]>| noise.hides(key, trail, values);
    let manner = Manner { fingerprints: Some(&fingerprints), quiet: &quiet };
    compare(Some(&set(old)), &set(new), manner, &mut Room::default()).into_iter().map(ObjectChange::from).collect()
}

fn row(name: &str, digest: u8, change: Vec<ObjectChange>) -> EnvironmentRow {
    let namespace = if name == "production" { "shop".to_owned() } else { format!("shop-{name}") };
    EnvironmentRow {
        waivers: Vec::new(),
        name: name.parse().unwrap(),
        stage: None,
        target: Target { cluster: "prod".parse().unwrap(), namespace },
        change: RowChange::Change { digest: Some(ChangeDigest([digest; 32])), rules: Vec::new(), objects: change },
        consent: Consent::NotNeeded,
        deployment: Deployment::AfterMerge {
            after: Vec::new(),
            soaks: std::collections::BTreeMap::new(),
            checks: Vec::new(),
            windows: Vec::new(),
        },
        rendering: Some(Rendering { renderer: "helm 4.3.1".to_owned(), milliseconds: Some(210) }),
        left_out: Vec::new(),
        unasked: None,
        standing: Some(Standing { unknown: None, drift: Vec::new(), more: 0 }),
        admission_is_required: false,
        policies: Vec::new(),
    }
}

fn asked(wanted: u32, missing: &str) -> Consent {
    let not_counted =
        vec![NotCounted { login: "kim".to_owned(), why: "contributor: opened the pull request".to_owned() }];
    let (counted, missing) = (vec!["lee".to_owned()], missing.to_owned());
    Consent::Asked { wanted, given: 1, counted, not_counted, missing, deletions: None }
}

fn taken(mut row: EnvironmentRow) -> EnvironmentRow {
    if let RowChange::Change { objects, .. } = &mut row.change {
        objects.iter_mut().for_each(|one| one.admission = Some(Admission::Taken { warnings: Vec::new() }));
    }
    row
}

fn page(environments: Vec<EnvironmentRow>) -> Page {
    Page {
        subject: Subject::Pull { head: "a1b2c3d4e5".repeat(4).parse().unwrap(), into: "main".to_owned() },
        outcome: Outcome::Compared,
        environments,
        notes: Vec::new(),
        answers: Vec::new(),
        marks: Vec::new(),
        merge_rules: Vec::new(),
    }
}

fn shop(image: &str, password: &str, checksum: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web, labels: {{ app: web }} }}
spec:
  replicas: 3
  selector: {{ matchLabels: {{ app: web }} }}
  template:
    metadata: {{ labels: {{ app: web }}, annotations: {{ checksum/config: {checksum} }} }}
    spec:
      containers:
      - name: web
        image: registry.example.com/shop/web:{image}
        ports: [{{ containerPort: 8080 }}]
---
apiVersion: v1
kind: Secret
metadata: {{ name: db }}
stringData: {{ user: shop, password: {password} }}
"
    )
}

/// An image and a password: the everyday.
pub(crate) fn small() -> Page {
    let (old, new) = (shop("1.26", "hunter1", "0f1e"), shop("1.27", "hunter2", "2d3c"));
    let staging = row("staging", 0x3e, changes("shop-staging", &old, &new));
    let mut production = row("production", 0x9f, changes("shop", &old, &new));
    production.consent = asked(
        2,
        "production needs 1 more of: @ann, @bob (group sre) beside @lee; @kim's does not count: contributor: opened the pull request",
    );
    production.deployment = Deployment::AfterMerge {
        after: vec!["staging".parse().unwrap()],
        soaks: std::collections::BTreeMap::from([("staging".parse().unwrap(), "10m".to_owned())]),
        checks: vec!["ci/test".to_owned()],
        windows: vec!["Mon–Fri 09:00–17:00 (Europe/Berlin)".to_owned()],
    };
    page(vec![taken(staging), taken(production)])
}

/// What a reviewer has to see before anything else.
pub(crate) fn failing() -> Page {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { type: LoadBalancer, selector: { app: web }, ports: [{ port: 443 }] }\n";
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: uploads }\nspec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 10Gi } } }\n";
    let old = shop("1.26", "hunter1", "0f1e") + claim;
    let new =
        shop("latest", "hunter1", "0f1e").replace("matchLabels: { app: web }", "matchLabels: { app: shop }") + service;
    let mut production = row("production", 0x9f, changes("shop", &old, &new));
    production.consent = asked(
        2,
        "production needs 1 more of: @ann, @bob (group sre) beside @lee; @kim's does not count: contributor: opened the pull request",
    );
    production.admission_is_required = true;
    if let RowChange::Change { objects, .. } = &mut production.change {
        for one in objects.iter_mut() {
            one.admission = match one.diff.key.kind.as_str() {
                "Deployment" => {
                    Some(Admission::Refused { why: "spec.selector: Invalid value: field is immutable".to_owned() })
                }
                "Service" => Some(Admission::Taken { warnings: Vec::new() }),
                _ => None,
            };
        }
    }
    let web = ObjectKey {
        group: "apps".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("shop".to_owned()),
        name: "web".to_owned(),
    };
    production.policies = vec![PolicyRemark {
        ruling: Ruling::Denies,
        policy: "pinned-images".to_owned(),
        object: Some(web.clone()),
        message: "container web runs the tag latest".to_owned(),
        more: 0,
    }];
    let how = Drifted::Fields { paths: vec![".spec.replicas".to_owned()], held: [].into() };
    let drift = vec![Drift { key: web, how, is_touched: true }];
    production.standing = Some(Standing { unknown: None, drift, more: 0 });
    let mut staging = row("staging", 0x3e, Vec::new());
    staging.change = RowChange::Failed {
        errors: vec![
            "charts/shop/templates/web.yaml:14: values.image.tag is required, and values-staging.yaml has none"
                .to_owned(),
        ],
        objects: Vec::new(),
    };
    (staging.standing, staging.rendering, staging.deployment) = (None, None, Deployment::Nothing);
    page(vec![staging, production])
}

/// More than a comment holds.
pub(crate) fn oversize() -> Page {
    let many = |image: &str, size: usize| -> String {
        let config = |n: usize| {
            let lines: String = (0..120).map(|line| format!("    option_{line} = {}\n", line * n * size)).collect();
            format!(
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: options-{n:02} }}\ndata:\n  shop.conf: |\n{lines}"
            )
        };
        shop(image, "hunter1", "0f1e") + &(1..=12).map(config).collect::<String>()
    };
    let mut production = row("production", 0x9f, changes("shop", &many("1.26", 1), &many("1.27", 2)));
    production.consent = asked(
        2,
        "production needs 1 more of: @ann, @bob (group sre) beside @lee; @kim's does not count: contributor: opened the pull request",
    );
    page(vec![taken(production)])
}

#[test]
fn the_comments_in_the_documents_are_what_is_written() {
    let mut stale = Vec::new();
    for (name, page) in [("small", small()), ("failing", failing()), ("oversize", oversize())] {
        let text = comment(&page, Some(LINK), LIMIT).text;
        assert!(text.len() <= LIMIT && !text.contains("hunter"), "{name}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/comments").join(format!("{name}.md"));
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.md"));
            std::fs::write(&fresh, &text).unwrap();
            stale.push(format!("{} is not up to date; copy {} over it", path.display(), fresh.display()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

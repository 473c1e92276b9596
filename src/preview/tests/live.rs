//! What a first sync would find: the words.

use super::*;

fn held(all: &[(&str, &[&str])]) -> Live {
    let fields = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
    Live::Conflict { held: all.iter().map(|(manager, of)| ((*manager).to_owned(), fields(of))).collect() }
}

fn every() -> Vec<Live> {
    let why = |text: &str| text.to_owned();
    vec![
        Live::Absent { unchecked: None },
        Live::Absent { unchecked: Some(why("namespace `shop` is not there yet")) },
        Live::Absent { unchecked: Some(why("its kind is defined by the same change")) },
        Live::Same,
        Live::Differs,
        held(&[("kubectl-client-side-apply", &[".spec.replicas"])]),
        held(&[("helm", &[".a", ".b", ".c", ".d", ".e"]), ("kube-controller-manager (scale)", &[".spec.replicas"])]),
        Live::NotGranted { why: why("namespace `other` is not granted") },
        Live::Owned { by: why("staging of acme/shop") },
        Live::Refused { why: why("spec.selector: field is immutable (422)") },
        Live::Unknown { why: why("deployments.apps is forbidden: User `deployer` cannot get resource (403)") },
    ]
}

fn named(live: Live) -> ObjectChange {
    let mut one = object("web", Verb::Added, "web.yaml", Some(live));
    one.diff.body = Body::Name;
    one
}

#[test]
fn every_object_of_a_first_set_says_what_a_sync_would_do_with_it() {
    let mut first =
        row("production", change(every().into_iter().map(named).collect()), Consent::NotNeeded, Deployment::Queued);
    first.unasked = Some("it was asked about 300 objects, and not about the other 12".to_owned());
    let text = comment(&page(vec![first]), None, 65_536).text;
    insta::assert_snapshot!(text, @r"
    <!-- bascule:preview -->
    **Bascule** · `a1b2c3d` into `main` · 1 environment, 11 objects

    | environment | + | ~ | − | consent | deployment |
    |---|--:|--:|--:|---|---|
    | `production` | 11 | 0 | 0 | none needed | merged, queued |

    `production` in the cluster: 3 create, 1 adopt unchanged, 1 adopt and change, 2 conflict, 1 not granted, 1 of another environment, 1 refused by the cluster, 1 not known

    `production`: what the cluster has is not fully known: it was asked about 300 objects, and not about the other 12

    No consent is needed for `production` `b1:9f9f9f9f9f9f`

    <details><summary><b>production</b>: <code>Deployment shop/web, Deployment shop/web, Deployment shop/web, Deployment shop/web, …</code></summary>

    - Deployment `shop/web`: create
    - Deployment `shop/web`: create, not checked: namespace `shop` is not there yet
    - Deployment `shop/web`: create, not checked: its kind is defined by the same change
    - Deployment `shop/web`: adopt unchanged
    - Deployment `shop/web`: adopt and change
    - Deployment `shop/web`: ⚠ conflict with `kubectl-client-side-apply` at `.spec.replicas`
    - Deployment `shop/web`: ⚠ conflict with `helm` at `.a`, `.b`, `.c`, `.d`, 1 more; conflict with `kube-controller-manager (scale)` at `.spec.replicas`
    - Deployment `shop/web`: ⚠ not granted: namespace `other` is not granted
    - Deployment `shop/web`: ⚠ belongs to `staging of acme/shop`
    - Deployment `shop/web`: ⚠ refused by the cluster: spec.selector: field is immutable (422)
    - Deployment `shop/web`: not known: deployments.apps is forbidden: User `deployer` cannot get resource (403)

    </details>
    ");
}

#[test]
fn an_environment_outside_the_grant_says_what_of_it_is_not_granted_and_what_the_rest_would_be() {
    let objects = vec![
        named(Live::Absent { unchecked: None }),
        named(Live::NotGranted { why: "cluster-scoped ClusterRole is not granted".to_owned() }),
    ];
    let errors =
        vec!["deploy/role.yaml:1: ClusterRole reader: is outside what the server grants this repository".to_owned()];
    let mut failed = row("production", RowChange::Failed { errors, objects }, Consent::NotNeeded, Deployment::Nothing);
    failed.unasked = Some("the cluster cannot be reached: Connection refused (os error 111)".to_owned());
    let page = page(vec![failed]);
    insta::assert_snapshot!(comment(&page, None, 65_536).text, @r"
    <!-- bascule:preview -->
    **Bascule** · `a1b2c3d` into `main` · 1 environment

    | environment | + | ~ | − | consent | deployment |
    |---|--:|--:|--:|---|---|
    | `production` | — | — | — | — | **does not render** |

    `production` does not render:

    ```text
    deploy/role.yaml:1: ClusterRole reader: is outside what the server grants this repository
    ```

    `production` in the cluster: 1 create, 1 not granted

    `production`: what the cluster has is not fully known: the cluster cannot be reached: Connection refused (os error `111`)

    <details><summary><b>production</b>: <code>Deployment shop/web, Deployment shop/web</code></summary>

    - Deployment `shop/web`: create
    - Deployment `shop/web`: ⚠ not granted: cluster-scoped ClusterRole is not granted

    </details>
    ");
    insta::assert_snapshot!(terminal(&page, Look::Plain), @r"
    Bascule · a1b2c3d into main · 1 environment, 0 objects

    production prod/shop: does not render
      ✗ deploy/role.yaml:1: ClusterRole reader: is outside what the server grants this repository
    + Deployment shop/web  web.yaml
      in the cluster: create
    + Deployment shop/web  web.yaml
      in the cluster: not granted: cluster-scoped ClusterRole is not granted
    ");
    assert_eq!(
        (page.environments[0].counts(), page.environments[0].digest()),
        ([0, 0, 0], None),
        "nothing to consent to"
    );
}

//! Three baselines beside each other, each by its name: the change, what applying it now would do, and what drifted already.

use std::sync::Arc;

use bascule::cluster::Identity;
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use super::*;
use crate::fake::forge::{Pr, Right};

/// A kind with a schema, served by the cluster of all stories.
const WIDGETS: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: widgets.baselines.example.com }
spec:
  group: baselines.example.com
  scope: Namespaced
  names: { kind: Widget, plural: widgets, singular: widget }
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: { spec: { type: object, properties: { size: { type: integer } } } }
";

/// Nothing of this namespace is called `forbidden`, and who writes `old` is warned.
const POLICY: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: '{ns}-RULE' }
spec:
  matchConstraints:
    resourceRules: [{ apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps] }]
  validations: [{ expression: \"object.data['value'] != 'RULE'\", message: nothing is RULE here }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: '{ns}-RULE' }
spec:
  policyName: '{ns}-RULE'
  validationActions: [ACTION]
  matchResources: { namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: '{ns}' } } }
";

impl Town {
    async fn by_hand(&self, arguments: &[&str]) {
        self.plane.kubectl(&[&["-n", &self.namespace], arguments].concat()).await.unwrap();
    }

    /// The repository may make a namespace, and kinds.
    fn is_granted_new_namespaces(&mut self) {
        let mut platform = (*self.context.platform).clone();
        let grant = platform.grants.get_mut("shop").unwrap();
        grant.namespaces.push(format!("{}-new", self.namespace));
        grant.cluster_scoped.extend(["Namespace".to_owned(), "apiextensions.k8s.io/*".to_owned()]);
        Arc::get_mut(&mut self.context).expect("no job runs").platform = Arc::new(platform);
    }

    /// A policy of the cluster's, in force when this returns.
    async fn forbids(&self) {
        for (rule, action) in [("old", "Warn"), ("forbidden", "Deny")] {
            let policy = self.rules(POLICY).replace("RULE", rule).replace("ACTION", action);
            self.plane.apply(&policy).await.unwrap();
        }
        let tries =
            ["-n", &self.namespace, "create", "configmap", "x", "--from-literal=value=forbidden", "--dry-run=server"];
        while self.plane.kubectl(&tries).await.is_ok() {}
    }

    /// No room for a service: as the controller would write it, which does not run here.
    async fn has_no_room_for_services(&self) {
        let path = format!("/api/v1/namespaces/{}/resourcequotas", self.namespace);
        let hard = json!({"count/services": "0"});
        let quota =
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}});
        let mut made = self.plane.request(Method::POST, &path, Some(&quota)).await.unwrap();
        made["status"] = json!({"hard": hard, "used": {"count/services": "0"}});
        self.plane.request(Method::PUT, &format!("{path}/small/status"), Some(&made)).await.unwrap();
    }

    /// Requests that tried to write so far.
    pub(super) async fn tried(&self) -> u64 {
        self.context.clusters.get(&"test".parse().unwrap(), &Identity::Own).await.unwrap().writes()
    }

    /// What our comment says beside the change.
    fn baselines_of(&self, pr: &Pr) -> String {
        let comment = self.comment(pr);
        let table = comment.lines().skip_while(|line| !line.contains("live → base"));
        table.take_while(|line| !line.starts_with("To consent")).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

#[test]
fn what_the_api_server_says_to_each_object_is_in_the_preview_and_nothing_is_written() {
    check(async |t| {
        t.plane.apply(WIDGETS).await.unwrap();
        t.is_granted_new_namespaces();
        let fixed = |value: &str| format!("{}immutable: true\n", settings("fixed", value));
        let files = [
            (WEB, settings("web", "1")),
            ("deploy/fixed.yaml", fixed("1")),
            ("deploy/shared.yaml", settings("shared", "1")),
            ("deploy/still.yaml", settings("still", "1")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        t.runs(RULES, &files).await;
        t.forbids().await;
        t.has_no_room_for_services().await;
        t.by_hand(&["patch", "configmap", "shared", "-p", r#"{"data":{"value":"2"}}"#]).await;
        let before = (t.objects().await, t.tried().await);

        let service = "apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { ports: [{ port: 80 }] }\n";
        let widget =
            "apiVersion: baselines.example.com/v1\nkind: Widget\nmetadata: { name: web }\nspec: { colour: red }\n";
        let new = format!("{}-new", t.namespace);
        let inside = settings("inside", "1").replace("name: inside", &format!("name: inside, namespace: {new}"));
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {new} }}\n");
        let gadgets = WIDGETS.replace("widget", "gadget").replace("Widget", "Gadget");
        let gadget = "apiVersion: baselines.example.com/v1\nkind: Gadget\nmetadata: { name: web }\n";
        let pr = [
            (WEB, settings("web", "2")),
            ("deploy/fixed.yaml", fixed("2")),
            ("deploy/shared.yaml", settings("shared", "3")),
            ("deploy/old.yaml", settings("old", "old")),
            ("deploy/forbidden.yaml", settings("forbidden", "forbidden")),
            ("deploy/service.yaml", service.to_owned()),
            ("deploy/widget.yaml", widget.to_owned()),
            ("deploy/namespace.yaml", namespace),
            ("deploy/inside.yaml", inside),
            ("deploy/gadgets.yaml", gadgets),
            ("deploy/gadget.yaml", gadget.to_owned()),
        ];
        let pr: Vec<(&str, &str)> = pr.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let pr = t.forge.opens_pull("dev", &t.shop, &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.baselines_of(&pr), @r#"
        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 8 added, 3 changed | the change | 1 changed | ✗ 4 refused, ✗ 1 in conflict, – 2 not asked, ✓ 4 taken |

        - `production` ConfigMap `shop/fixed` (`deploy/fixed.yaml`): ✗ the API server refuses it: data: Forbidden: field is immutable when `immutable` is set
        - `production` ConfigMap `shop/forbidden` (`deploy/forbidden.yaml`): ✗ the API server refuses it: ValidatingAdmissionPolicy 'shop-forbidden' with binding 'shop-forbidden' denied request: nothing is forbidden here
        - `production` ConfigMap `shop/shared`: ✗ a sync would stop at a conflict: `.data.value` held by `kubectl-patch`
        - `production` Service `shop/web` (`deploy/service.yaml`): ✗ the API server refuses it: services "web" is forbidden: exceeded quota: small, requested: `count/services=1`, used: `count/services=0`, limited: `count/services=0`
        - `production` Widget `shop/web` (`deploy/widget.yaml`): ✗ the API server refuses it: failed to create typed patch object (shop/web; baselines.example.com/v1, `Kind=Widget`): .spec.colour: field not declared in schema
        - `production` drift: ConfigMap `shop/shared`: `.data.value` held by `kubectl-patch`
        - `production` ConfigMap `shop/old`: ✓ the API server takes it, and warns: Validation failed for ValidatingAdmissionPolicy 'shop-old' with binding 'shop-old': nothing is old here
        - `production` ConfigMap `shop-new/inside`: not asked of the API server: its namespace is new
        - `production` Gadget `shop/web`: not asked of the API server: the definition of its kind comes with it; it fits the schema in there

        - ⚠ `data` cannot be changed in place: the sync would fail: ConfigMap `shop/fixed`

        production needs 1 more of: `@lee`
        "#);
        assert_snapshot!(t.statuses(&pr), @r"
        consent: failure, missing: production 0 of 1
        preview: failure, the API server would not take 5 objects: production
        ");
        let (objects, tried) = (t.objects().await, t.tried().await - before.1);
        assert_eq!(objects, before.0, "nothing is written");
        assert!(
            tried > 0 && tried % 11 == 0,
            "ten that change and one that drifted, each time they are shown: {tried}"
        );
    });
}

/// A settings object that is made anew before each sync.
fn hook(name: &str, value: &str) -> String {
    let annotated = format!("name: {name}, annotations: {{ bascule.dev/hook: pre-sync }}");
    settings(name, value).replace(&format!("name: {name}"), &annotated)
}

#[test]
fn a_hook_is_tried_as_it_would_be_made() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1")), ("deploy/seed.yaml", &hook("seed", "1"))]).await;
        t.forbids().await;
        t.by_hand(&["create", "configmap", "theirs", "--from-literal=value=1"]).await;
        let before = t.objects().await;
        let files = [
            ("deploy/seed.yaml", hook("seed", "2")),
            ("deploy/fresh.yaml", hook("fresh", "1")),
            ("deploy/forbidden.yaml", hook("forbidden", "forbidden")),
            ("deploy/theirs.yaml", hook("theirs", "2")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        assert_snapshot!(t.baselines_of(&pr), @"
        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 3 added, 1 changed | the change, but 1 stops it | none | ✗ 1 refused, – 1 not asked, ✓ 2 taken |

        - `production` ConfigMap `shop/forbidden` (`deploy/forbidden.yaml`): ✗ the API server refuses it: ValidatingAdmissionPolicy 'shop-forbidden' with binding 'shop-forbidden' denied request: nothing is forbidden here
        - `production` effect: ConfigMap `shop/theirs`: the sync would stop there: somebody else's object has the name of this hook, and is never taken over
        - `production` ConfigMap `shop/seed`: ✓ the API server takes it, tried as `seed-dry-run`: what its last run made still has its own
        - `production` ConfigMap `shop/theirs`: not asked of the API server: its name is taken

        - `pre-sync` hook: runs once for this set, and is awaited: ConfigMap `shop/forbidden`, ConfigMap `shop/fresh`, ConfigMap `shop/seed` and 1 more

        production needs 1 more of: `@lee`
        ");
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: failure, the API server would not take 1 object: production
        ");
        assert_eq!(t.objects().await, before, "nothing is written");
    });
}

#[test]
fn a_first_set_takes_nothing_over_for_a_hook() {
    check(async |t| {
        t.begins_without_rules(&[("README.md", "# the shop\n")]).await;
        t.by_hand(&["create", "configmap", "theirs", "--from-literal=value=1"]).await;
        let files = [
            (".bascule.yaml", t.rules(RULES)),
            (WEB, settings("web", "1")),
            ("deploy/fresh.yaml", hook("fresh", "1")),
            ("deploy/theirs.yaml", hook("theirs", "1")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        let comment = t.comment(&pr);
        assert!(comment.contains("2 create, 1 in the place of a hook"), "{comment}");
        assert!(comment.contains("⚠ cannot be run: somebody else's object has the name of this hook"), "{comment}");
    });
}

#[test]
fn what_somebody_changed_by_hand_is_drift_and_not_the_pull_requests() {
    check(async |t| {
        let files = [
            (WEB, settings("web", "1")),
            ("deploy/gone.yaml", settings("gone", "1")),
            ("deploy/lost.yaml", settings("lost", "1")),
            ("deploy/held.yaml", settings("held", "1")),
            ("deploy/leaves.yaml", settings("leaves", "1")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        t.runs(RULES, &files).await;
        let change = settings("web", "2");
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &change)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.baselines_of(&pr), @r"
        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | the change | none | ✓ takes it |

        production needs 1 more of: `@lee`
        ");

        t.by_hand(&["delete", "configmap", "gone", "leaves"]).await;
        t.by_hand(&["patch", "configmap", "lost", "--type=json", "-p", r#"[{"op":"remove","path":"/data/value"}]"#])
            .await;
        t.by_hand(&["patch", "configmap", "held", "-p", r#"{"data":{"value":"2"}}"#]).await;
        t.forge.comments("dev", &pr, "/bascule preview").await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | 0 of 1 | after merge |

        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | the change; also puts drift right in 3 objects, stops at drift in 1 object | 2 gone, 2 changed | ✓ takes it |

        - `production` drift: ConfigMap `shop/gone`: it is gone; applying now creates it again
        - `production` drift: ConfigMap `shop/held`: `.data.value` held by `kubectl-patch`; applying now stops there: nothing is taken from others
        - `production` drift: ConfigMap `shop/leaves`: it is gone; applying now creates it again
        - `production` drift: ConfigMap `shop/lost`: `.data.value`; applying now puts it right

        production needs 1 more of: `@lee`

        To consent to exactly this:

        - `/bascule approve production …`

        <details><summary><b>production</b>: <code>ConfigMap shop/web</code></summary>

        **ConfigMap `shop/web`** changed, +1 −1 · ✓ API server

        ```diff
        @@ data @@
           name: web
           namespace: shop
         data:
        -  value: "1"
        +  value: "2"
        ```

        </details>

        > `dev`: rendered again

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);

        // A fork's pull request says what it changes, and no more, until somebody with write access has seen it.
        t.forge.lets("stranger", &t.shop, Right::Read);
        let fork = t.forge.opens_pull_from_fork("stranger", &t.shop, &[(WEB, &change)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.baselines_of(&fork), @r"
        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | not known | not known | – 1 not asked |

        `production`: effect and drift are not known: the cluster is not asked for a pull request from a fork, until somebody with write access has seen this preview and comments /bascule preview

        production needs 1 more of: `@lee`
        ");
        t.forge.comments("stranger", &fork, "/bascule preview").await;
        t.run_jobs().await;
        assert!(t.baselines_of(&fork).contains("not known"), "a stranger lets nobody in: {}", t.baselines_of(&fork));
        t.forge.comments("lee", &fork, "/bascule preview").await;
        t.run_jobs().await;
        assert_snapshot!(t.baselines_of(&fork), @r"
        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | the change; also puts drift right in 3 objects, stops at drift in 1 object | 2 gone, 2 changed | ✓ takes it |

        - `production` drift: ConfigMap `shop/gone`: it is gone; applying now creates it again
        - `production` drift: ConfigMap `shop/held`: `.data.value` held by `kubectl-patch`; applying now stops there: nothing is taken from others
        - `production` drift: ConfigMap `shop/leaves`: it is gone; applying now creates it again
        - `production` drift: ConfigMap `shop/lost`: `.data.value`; applying now puts it right

        production needs 1 more of: `@lee`
        ");
        // What was let in was that head.
        t.forge.pushes("stranger", &fork, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert!(t.baselines_of(&fork).contains("not known"), "{}", t.baselines_of(&fork));
    });
}

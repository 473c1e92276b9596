//! What the cluster has of a proposal or a first set, before anybody consented to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule::cluster::{Clusters, Identity, Kubeconfig};
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use super::*;
use crate::fake::forge::Right;

/// Two environments: one whole, one of which a part is not granted.
const PROPOSAL: &str = "\
version: 1
defaults: { cluster: test }
environments:
  production: { path: deploy, namespace: '{ns}' }
  staging: { path: staging, namespace: '{ns}-staging' }
  review: { path: review, namespace: '{ns}', sync: { mode: none } }
";

/// A repository that has no rules yet.
const README: &[(&str, &str)] = &[("README.md", "a shop\n")];

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: reader }\n";

impl Town {
    async fn has(&self, name: &str, value: &str) {
        let literal = format!("--from-literal=value={value}");
        self.plane.kubectl(&["-n", &self.namespace, "create", "configmap", name, &literal]).await.unwrap();
    }

    async fn asked(&self, identity: Identity) -> (u64, u64) {
        let cluster = self.context.clusters.get(&"test".parse().unwrap(), &identity).await.unwrap();
        (cluster.reads(), cluster.writes())
    }

    /// The lines of our comment that say what the cluster has.
    fn found(&self, pr: &crate::fake::forge::Pr) -> String {
        let said = |line: &&str| line.starts_with("- ConfigMap") || line.contains("the cluster");
        self.comment(pr).lines().filter(said).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_proposal_says_of_each_object_what_the_cluster_has_and_writes_nothing() {
    check(async |t| {
        t.begins_without_rules(README).await;
        t.has("equal", "1").await;
        t.has("theirs", "2").await;
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: { name: key }\nstringData: { token: guessed }\n";
        t.plane
            .kubectl(&["-n", &t.namespace, "create", "secret", "generic", "key", "--from-literal=token=guessed"])
            .await
            .unwrap();
        let rules = t.rules(PROPOSAL);
        let files = [
            (".bascule.yaml", rules.as_str()),
            ("deploy/equal.yaml", &settings("equal", "1")),
            ("deploy/theirs.yaml", &settings("theirs", "1")),
            ("deploy/new.yaml", &settings("new", "1")),
            ("deploy/key.yaml", secret),
            ("staging/web.yaml", &settings("web", "1")),
            ("staging/role.yaml", ROLE),
            ("review/one.yaml", &settings("one", "1")),
        ];
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · **proposal** · `…` into `main` · 3 environments, 5 objects

        This adds the first `.bascule.yaml`. Nothing is enforced before it is merged; then this would be ours:

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 4 | 0 | 0 | 0 of 2 | after merge |
        | `review` | 1 | 0 | 0 | 0 of 2 | never: preview and consent only |
        | `staging` | — | — | — | — | **does not render** |

        production needs 1 more of: anyone with write access who did not contribute, and 1 more of: `@olga` (group platform) (its first set)

        `production` in the cluster: 1 create, 1 adopt unchanged, 1 conflict, 1 not known

        review needs 1 more of: anyone with write access who did not contribute, and 1 more of: `@olga` (group platform) (its first set)

        `staging` does not render:

        ```text
        staging/role.yaml:1: ClusterRole reader: is outside what the server grants this repository: cluster-scoped rbac.authorization.k8s.io/ClusterRole is not granted
        ```

        `staging`: consent cannot be judged: it does not render

        `staging` in the cluster: 1 create, 1 not granted

        To consent to exactly this:

        - `/bascule approve production …`
        - `/bascule approve review …`

        <details><summary><b>production</b>: <code>Secret shop/key, ConfigMap shop/equal, ConfigMap shop/new, ConfigMap shop/theirs</code></summary>

        - Secret `shop/key`: not known: it is there, and a Secret is not compared before the merge
        - ConfigMap `shop/equal`: adopt unchanged
        - ConfigMap `shop/new`: create
        - ConfigMap `shop/theirs`: ⚠ conflict with `kubectl-create` at `.data.value`

        **Secret `shop/key`** added, +7 −0

        ```diff
        +apiVersion: v1
        +kind: Secret
        +metadata:
        +  name: key
        +  namespace: shop
        +data:
        +  token: (redacted …)
        ```

        **ConfigMap `shop/equal`** added, +7 −0

        ```diff
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: equal
        +  namespace: shop
        +data:
        +  value: "1"
        ```

        **ConfigMap `shop/new`** added, +7 −0

        ```diff
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: new
        +  namespace: shop
        +data:
        +  value: "1"
        ```

        **ConfigMap `shop/theirs`** added, +7 −0

        ```diff
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: theirs
        +  namespace: shop
        +data:
        +  value: "1"
        ```

        </details>

        <details><summary><b>review</b>: <code>ConfigMap shop/one</code></summary>

        **ConfigMap `shop/one`** added, +7 −0

        ```diff
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: one
        +  namespace: shop
        +data:
        +  value: "1"
        ```

        </details>

        <details><summary><b>staging</b>: <code>ConfigMap shop-staging/web, ClusterRole reader</code></summary>

        - ConfigMap `shop-staging/web`: create
        - ClusterRole `reader`: ⚠ not granted: cluster-scoped rbac.authorization.k8s.io/ClusterRole is not granted

        </details>

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);
        assert_eq!(t.objects().await, ["equal=1", "theirs=2"], "nothing is written");
        assert_eq!(t.objects_in("-staging").await, [""; 0]);
    });
}

#[test]
fn a_proposal_from_a_fork_asks_the_cluster_nothing() {
    check(async |t| {
        t.begins_without_rules(README).await;
        let rules = t.rules(RULES);
        let before = t.asked(Identity::Own).await.1;
        let files = [(".bascule.yaml", rules.as_str()), (WEB, &settings("web", "1"))];
        let pr = t.forge.opens_pull_from_fork("stranger", &t.shop, &files).await;
        t.run_jobs().await;
        assert_snapshot!(t.found(&pr), @"`production`: what the cluster has is not fully known: the cluster is not asked for a pull request from a fork, until somebody with write access has seen this preview and comments /bascule preview");
        assert_eq!(t.asked(Identity::Own).await.1, before, "not even a dry run");
    });
}

#[test]
fn a_held_first_set_names_who_holds_what() {
    check(async |t| {
        t.has("web", "theirs").await;
        t.begins(RULES, &[(WEB, &settings("web", "1")), ("deploy/new.yaml", &settings("new", "1"))]).await;
        let issue = t.held_issues().await.remove(0);
        assert_snapshot!(t.found(&issue), @r"
        `production` in the cluster: 1 create, 1 conflict
        - ConfigMap `shop/new`: create
        - ConfigMap `shop/web`: ⚠ conflict with `kubectl-create` at `.data.value`
        ");
        // Of what runs already, only what changes is asked about, and beside its change.
        t.plane.kubectl(&["-n", &t.namespace, "delete", "configmap", "web"]).await.unwrap();
        t.forge.comments("lee", &issue, "/bascule approve").await;
        t.forge.comments("olga", &issue, "/bascule approve").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["new=1", "web=1"]);
        let writes = t.asked(Identity::Own).await.1;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_eq!(t.found(&pr), "");
        let asked = t.asked(Identity::Own).await.1 - writes;
        assert!((1..=3).contains(&asked), "one dry run each time it is shown: {asked}");
    });
}

#[test]
fn a_cluster_that_is_away_is_named_and_the_preview_is_there() {
    check(async |t| {
        t.begins_without_rules(README).await;
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join("kubeconfig");
        let text =
            std::fs::read_to_string(t.plane.kubeconfig()).unwrap().replace(&t.plane.url(), "https://127.0.0.1:1");
        std::fs::write(&dead, text).unwrap();
        let clusters = |file: &std::path::Path| {
            Arc::new(Clusters::new(BTreeMap::from([("test".parse().unwrap(), Kubeconfig::File(file.to_owned()))])))
        };
        let context = Arc::get_mut(&mut t.context).expect("no job runs");
        context.clusters = clusters(&dead);
        let rules = t.rules(RULES);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(".bascule.yaml", &rules), (WEB, &settings("web", "1"))]).await;
        t.hears().await;
        t.tries(3).await;
        assert_snapshot!(t.found(&pr), @"`production`: what the cluster has is not fully known: the cluster cannot be reached: Connection refused (os error `111`)");
        assert!(t.troubles.is_empty(), "a cluster that is away is no failure: {:#?}", t.troubles);

        let context = Arc::get_mut(&mut t.context).expect("no job runs");
        context.clusters = clusters(t.plane.kubeconfig());
        t.run_jobs().await;
        assert_snapshot!(t.found(&pr), @r"
        `production` in the cluster: 1 create
        - ConfigMap `shop/web`: create
        ");
    });
}

#[test]
fn a_grant_that_names_a_user_has_everything_asked_and_written_as_that_user() {
    check(async |t| {
        let mut platform = (*t.context.platform).clone();
        let grant = platform.grants.get_mut("shop").unwrap();
        grant.impersonate = Some("system:serviceaccount:{namespace}:deployer".to_owned());
        Arc::get_mut(&mut t.context).expect("no job runs").platform = Arc::new(platform);
        let deployer = Identity::Impersonated(format!("system:serviceaccount:{}:deployer", t.namespace));
        t.begins(RULES, &[(WEB, &settings("web", "1"))]).await;
        let issue = t.held_issues().await.remove(0);
        assert_snapshot!(t.found(&issue), @r#"
        `production` in the cluster: 1 not known
        - ConfigMap `shop/web`: not known: configmaps "web" is forbidden: User `"system:serviceaccount:shop:deployer"` cannot get resource "configmaps" in API group "" in the namespace "shop": a Role in shop needs `{` apiGroups: `[""]`, resources: `["configmaps"]`, verbs: `["get"] }` (403)
        "#);

        let (role, path) = ("deployer", format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", t.namespace));
        let rule = json!({"apiGroups": [""], "resources": ["configmaps"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"]});
        let fence = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]});
        let body = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": role}, "rules": [rule, fence]});
        t.plane.request(Method::POST, &format!("{path}/roles"), Some(&body)).await.unwrap();
        let body = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": t.namespace}]});
        t.plane.request(Method::POST, &format!("{path}/rolebindings"), Some(&body)).await.unwrap();
        t.forge.comments("lee", &issue, "/bascule approve").await;
        t.run_jobs().await;
        assert_snapshot!(t.found(&issue), @r"
        `production` in the cluster: 1 create
        - ConfigMap `shop/web`: create
        ");
        t.forge.comments("olga", &issue, "/bascule approve").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let (reads, writes) = t.asked(deployer).await;
        assert!(reads > 1 && writes > 1, "{reads} {writes}");
        assert_eq!(t.asked(Identity::Own).await, (1, 0), "ourselves we asked only which cluster it is");
    });
}

#[test]
fn of_a_large_first_set_the_cluster_is_asked_about_300_objects() {
    check(async |t| {
        let many: String = (0..303).map(|number| format!("---\n{}", settings(&format!("web-{number}"), "1"))).collect();
        let before = t.asked(Identity::Own).await.1;
        t.begins(RULES, &[(WEB, &many)]).await;
        let issue = t.held_issues().await.remove(0);
        let comment = t.comment(&issue);
        assert!(comment.contains("it was asked about 300 objects, and not about the other 3"), "{comment}");
        assert!(comment.contains("`production` in the cluster: 300 create"), "{comment}");
        let asked = t.asked(Identity::Own).await.1 - before;
        assert!(asked > 0 && asked % 300 == 0, "a dry run of 300 each time it is shown: {asked}");
        assert_eq!(t.objects().await, [""; 0]);
    });
}

/// A repository whose environment was there for so many commits before anybody looked; what its first set needs.
async fn first_looked_at_after(t: &mut Town, commits: usize) -> String {
    let rules = t.rules(RULES);
    t.shop = t.forge.repository("acme/shop", &[(".bascule.yaml", &rules), (WEB, &settings("web", "0"))]).await;
    t.forge.team("acme", "release", Right::Write, &["lee", "kim"]);
    for login in ["dev", "lee", "kim", "olga"] {
        t.forge.lets(login, &t.shop, Right::Write);
    }
    for number in 1..commits {
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", &number.to_string()))]).await;
    }
    t.run_jobs().await;
    let issue = t.held_issues().await.remove(0);
    t.row(&issue)
}

#[test]
fn a_first_set_of_twenty_commits_is_judged_by_all_of_them() {
    check(async |t| {
        assert_snapshot!(first_looked_at_after(t, 20).await, @"| `production` | 1 | 0 | 0 | 0 of 2 | **held**: `uncovered` |");
    });
}

#[test]
fn a_first_set_of_more_than_twenty_commits_asks_for_one_approval_more() {
    check(async |t| {
        assert_snapshot!(first_looked_at_after(t, 21).await, @"| `production` | 1 | 0 | 0 | 0 of 4 | **held**: `uncovered` |");
        let issue = t.held_issues().await.remove(0);
        assert!(t.comment(&issue).contains("for a push by nobody known"), "{}", t.comment(&issue));
    });
}

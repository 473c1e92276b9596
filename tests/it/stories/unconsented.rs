//! What nobody consented to yet waits, and is shown where people can consent to it.

use insta::assert_snapshot;

use super::*;

#[test]
fn a_first_set_is_held_and_approved_as_a_whole() {
    check(async |t| {
        t.begins(RULES, &[(WEB, &settings("web", "1")), ("deploy/more.yaml", &settings("more", "1"))]).await;
        let issue = t.held_issues().await.pop().unwrap();
        assert_snapshot!(t.comment(&issue), @r#"
        <!-- bascule:preview -->
        **Bascule** · **held** · `…` of `main` waits for consent · 1 environment, 2 objects

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 2 | 0 | 0 | 0 of 2 | **held**: `uncovered` |

        production needs 1 more of: `@lee`, and 1 more of: `@olga` (group platform) (its first set)

        `production` is held: production needs 1 more of: `@lee`, and 1 more of: `@olga` (group platform) (its first set). It is lifted by `/bascule approve production …`

        `production` in the cluster: 2 create

        To consent to exactly this:

        - `/bascule approve production …`

        <details><summary><b>production</b>: <code>ConfigMap shop/more, ConfigMap shop/web</code></summary>

        - ConfigMap `shop/more`: create
        - ConfigMap `shop/web`: create

        **ConfigMap `shop/more`** added, +7 −0

        ```diff
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: more
        +  namespace: shop
        +data:
        +  value: "1"
        ```

        **ConfigMap `shop/web`** added, +7 −0

        ```diff
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: web
        +  namespace: shop
        +data:
        +  value: "1"
        ```

        </details>

        [whole diff](<http://bascule.example/previews/…>)
        "#);
        assert!(t.objects().await.is_empty());
        t.forge.comments("lee", &issue, "/bascule approve production").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&issue), @"| `production` | 2 | 0 | 0 | 1 of 2: `lee` | **held**: `uncovered` |");
        let line = t.to_type(&issue, "production");
        t.forge.comments("olga", &issue, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=1"]);
        assert_snapshot!(t.row(&issue), @"| `production` | 2 | 0 | 0 | given: `lee`, `olga` | `#1` healthy |");
        assert!(t.forge.our_issue(&t.shop, "production").is_none(), "it is closed");
    });
}

#[test]
fn a_direct_push_waits_in_an_issue_and_is_deployed_once_approved_there() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let issue = t.held_issues().await.pop().unwrap();
        assert_snapshot!(t.comment(&issue), @r#"
        <!-- bascule:preview -->
        **Bascule** · **held** · `…` of `main` waits for consent · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | 0 of 1 | **held**: `uncovered` |

        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | the change | none | ✓ takes it |

        production needs 1 more of: `@lee`

        `production` is held: production needs 1 more of: `@lee`. It is lifted by `/bascule approve production …`

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

        [whole diff](<http://bascule.example/previews/…>)
        "#);
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.comments("dev", &issue, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "who pushed it cannot approve it");
        t.forge.comments("lee", &issue, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&issue), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
        assert_snapshot!(t.audit_of(&issue).await, @"preview.posted, approval.recorded, preview.posted, sync.started, preview.posted, issue.closed");
    });
}

#[test]
fn a_direct_push_that_is_taken_back_needs_nothing() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let issue = t.held_issues().await.pop().unwrap();
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "1"))]).await;
        t.run_jobs().await;
        assert!(t.held_issues().await.is_empty());
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.row(&issue), @"| `production` | 0 | 1 | 0 | 0 of 1 | nothing to do |");
    });
}

#[test]
fn a_merge_nobody_approved_waits_in_its_pull_request() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | **held**: `uncovered` |");
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
        assert_snapshot!(t.audit_of(&pr).await, @"preview.posted, approval.recorded, preview.posted, sync.started, preview.posted");
    });
}

#[test]
fn what_is_held_stays_the_one_to_approve_when_more_commits_arrive() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let issue = t.held_issues().await.pop().unwrap();
        let line = t.to_type(&issue, "production");
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.comments("lee", &issue, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"], "exactly what was approved");
        let next = t.held_issues().await.pop().expect("what came after waits");
        assert_ne!(next.number, issue.number, "each has a place of its own");
        assert_snapshot!(t.row(&issue), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
        assert_snapshot!(t.row(&next), @"| `production` | 0 | 1 | 0 | 0 of 1 | **held**: `uncovered` |");
        let line = t.to_type(&next, "production");
        t.forge.comments("lee", &next, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=3"]);
        assert_snapshot!(t.row(&issue), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
    });
}

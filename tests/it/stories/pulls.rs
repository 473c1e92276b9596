//! A pull request from its opening to its deployment.

use insta::assert_snapshot;

use crate::fake::forge::Right;

use super::*;

#[test]
fn an_approved_pull_request_is_deployed_when_it_is_merged() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        assert_eq!(t.objects().await, ["web=1"]);

        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | 0 of 1 | after merge |

        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | the change | none | ✓ takes it |

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

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");

        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, given for 1 environment
        preview: success, 1 object in 1 environment would change
        ");

        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |

        <details><summary><b>production</b>: <code>ConfigMap shop/web</code></summary>

        **ConfigMap `shop/web`** changed, +1 −1

        ```diff
        @@ data @@
           name: web
           namespace: shop
         data:
        -  value: "1"
        +  value: "2"
        ```

        </details>

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);
        assert_snapshot!(t.audit_of(&pr).await, @"preview.posted, approval.recorded, preview.posted, sync.started, preview.posted");
    });
}

/// However it is merged, the same content is deployed as `#2` of the environment.
fn deployed_after(how: Merge) {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.forge.pushes("dev", &pr, &[("deploy/more.yaml", &settings("more", "1"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("kim", &pr, how).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 1 | 1 | 0 | given: `lee` | `#2` healthy |");
    });
}

#[test]
fn merged_by_squash_it_is_deployed() {
    deployed_after(Merge::Squash);
}

#[test]
fn merged_by_rebase_it_is_deployed() {
    deployed_after(Merge::Rebase);
}

#[test]
fn merged_by_a_merge_commit_it_is_deployed() {
    deployed_after(Merge::Commit);
}

#[test]
fn merged_by_fast_forward_it_is_deployed() {
    deployed_after(Merge::FastForward);
}

#[test]
fn a_pull_request_that_touches_nothing_gets_success_and_no_comment() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        assert_eq!(t.forge.comment(&pr), "");
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, nothing of ours is touched
        preview: success, nothing of ours is touched
        ");
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.forge.comment(&pr), "");
    });
}

#[test]
fn a_closed_pull_request_changes_nothing_and_comes_back_as_it_was() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.closes("dev", &pr).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.reopens("dev", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, given for 1 environment
        preview: success, 1 object in 1 environment would change
        ");
    });
}

#[test]
fn what_a_pull_request_removes_is_deleted() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1")), ("deploy/old.yaml", &settings("old", "1"))]).await;
        let pr = t.forge.opens_pull_that_removes("dev", &t.shop, &["deploy/old.yaml"]).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 0 | 1 | 0 of 1 | after merge |

        ⚠ `production` removes **ConfigMap `shop/old`**

        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 removed | the change | none | nothing to ask |

        production needs 1 more of: `@lee`

        To consent to exactly this:

        - `/bascule approve production …` (1 object removed)

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        ");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 0 | 1 | given: `lee` | `#2` healthy |");
    });
}

#[test]
fn a_draft_is_previewed_and_what_was_approved_of_it_counts_when_it_is_ready() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.forge.drafts("dev", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge |");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.readies("dev", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, given for 1 environment
        preview: success, 1 object in 1 environment would change
        ");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
    });
}

#[test]
fn what_a_stranger_brings_from_a_fork_is_deployed_once_somebody_else_approved_it() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.lets("stranger", &t.shop, Right::Read);
        let pr = t.forge.opens_pull_from_fork("stranger", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
        t.forge.comments("stranger", &pr, "/bascule approve production").await;
        t.forge.comments("stranger", &pr, "/bascule sync production").await;
        t.forge.comments("stranger", &pr, "/bascule preview").await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | 0 of 1 | after merge |

        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | not known | not known | – 1 not asked |

        `production`: effect and drift are not known: the cluster is not asked for a pull request from a fork, until somebody with write access has seen this preview and comments /bascule preview

        production needs 1 more of: `@lee`

        To consent to exactly this:

        - `/bascule approve production …`

        <details><summary><b>production</b>: <code>ConfigMap shop/web</code></summary>

        **ConfigMap `shop/web`** changed, +1 −1

        ```diff
        @@ data @@
           name: web
           namespace: shop
         data:
        -  value: "1"
        +  value: "2"
        ```

        </details>

        > `stranger`: nothing was approved. production: no rule of this environment names you

        > `stranger`: production: a sync is started by somebody with write access

        > `stranger`: what comes from a fork is rendered again for somebody with write access

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);
        for _ in 0..7 {
            t.forge.comments("stranger", &pr, "/bascule sync production").await;
        }
        t.run_jobs().await;
        assert_eq!(t.comment(&pr).matches("> `stranger`").count(), 5, "however much a stranger types");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.merges("kim", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
        // The fork may be gone when it is asked who pushed to it.
        let kept = "SELECT count(*) > 0 FROM push WHERE told_by = 'list' AND branch = 'refs/pull/' || $1 || '/head'";
        let kept: bool = sqlx::query_scalar(kept).bind(pr.number).fetch_one(&t.database.owner).await.unwrap();
        assert!(kept, "{:?}", t.forge.tongue());
    });
}

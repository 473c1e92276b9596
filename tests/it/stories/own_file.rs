//! The repository's own file: how it begins, what it says, and what happens when it cannot be read.

use insta::assert_snapshot;

use super::*;

const FILE: &str = ".bascule.yaml";

#[test]
fn the_first_file_is_a_proposal_and_then_a_first_set() {
    check(async |t| {
        t.begins_without_rules(&[(WEB, &settings("web", "1"))]).await;
        let rules = t.rules(RULES);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(FILE, &rules)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · **proposal** · `…` into `main` · 1 environment, 1 object

        This adds the first `.bascule.yaml`. Nothing is enforced before it is merged; then this would be ours:

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 1 | 0 | 0 | 0 of 2 | after merge |

        production needs 1 more of: `@lee`, and 1 more of: `@olga` (group platform) (its first set)

        `production` in the cluster: 1 create

        To consent to exactly this:

        - `/bascule approve production …`

        <details><summary><b>production</b>: <code>ConfigMap shop/web</code></summary>

        - ConfigMap `shop/web`: create

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

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert!(t.objects().await.is_empty());
        assert_snapshot!(t.row(&pr), @"| `production` | 1 | 0 | 0 | 0 of 2 | **held**: `uncovered` |");
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line).await;
        t.forge.comments("olga", &pr, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 1 | 0 | 0 | given: `lee`, `olga` | `#1` healthy |");
    });
}

#[test]
fn a_repository_without_a_file_hears_nothing_but_success() {
    check(async |t| {
        t.begins_without_rules(&[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_eq!(t.forge.comment(&pr), "");
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, nothing of ours is touched
        preview: success, nothing of ours is touched
        ");
    });
}

#[test]
fn a_file_that_cannot_be_read_closes_the_gate_until_it_can() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let broken =
            t.forge.opens_pull("dev", &t.shop, &[(FILE, "version: 1\nenvironments: {production: {}}\n")]).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&broken), @"
        consent: failure, there are no rules to judge by
        preview: failure, .bascule.yaml cannot be read: .bascule.yaml:2:16: environment `production` has no `cluster`; name the cluster, here or in `defaults`
        ");
        t.forge.merges("dev", &broken, Merge::Squash).await;
        t.run_jobs().await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);

        let rules = t.rules(RULES);
        let mended = t.forge.opens_pull("dev", &t.shop, &[(FILE, &rules), (WEB, &settings("web", "1"))]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &mended, Merge::Squash).await;
        t.run_jobs().await;
        assert!(t.held_issues().await.is_empty(), "what runs is what ran before");
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=3"]);
    });
}

#[test]
fn without_its_file_nothing_is_synced_and_nothing_is_deleted() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull_that_removes("dev", &t.shop, &[FILE]).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · `.bascule.yaml` cannot be read

        Nothing is synced by rules that cannot be read; what is deployed stays as it is.

        ```text
        .bascule.yaml would be gone
        ```

        [whole diff](<http://bascule.example/previews/…>)
        ");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn a_change_of_the_rules_needs_the_rules_before_it() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let rules = t.rules(&RULES.replace("users: [lee]", "users: [kim]"));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(FILE, &rules)]).await;
        t.run_jobs().await;
        t.forge.approves("kim", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production`, its own rules | 0 | 0 | 0 | 0 of 1 | after merge |");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production`, its own rules | 0 | 0 | 0 | given: `lee` | after merge |");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        let next = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("kim", &next).await;
        t.run_jobs().await;
        t.forge.merges("dev", &next, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
    });
}

#[test]
fn an_object_belongs_to_one_environment() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let second = "  copy: { path: copy, cluster: test, namespace: '{ns}', consent: none }\n";
        let rules = t.rules(&format!("{RULES}{second}"));
        let files = [(FILE, rules.as_str()), ("copy/web.yaml", &settings("web", "9"))];
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `copy` | — | — | — | — | **does not render** |

        `copy` does not render:

        ```text
        copy/web.yaml: ConfigMap shop/web belongs to production of acme/shop already
        ```

        `copy`: consent cannot be judged: it does not render

        [whole diff](<http://bascule.example/previews/…>)
        ");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn a_manual_environment_waits_for_the_word() {
    check(async |t| {
        let rules = format!("{RULES}    sync: {{ mode: manual }}\n");
        t.begins(&rules, &[(WEB, &settings("web", "1"))]).await;
        let issue = t.held_issues().await.pop().unwrap();
        t.forge.comments("lee", &issue, "/bascule approve").await;
        t.forge.comments("olga", &issue, "/bascule approve").await;
        t.run_jobs().await;
        assert!(t.objects().await.is_empty());
        t.forge.comments("dev", &issue, "/bascule sync production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);

        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge, by `/bascule sync` |");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | **held**: `waiting` |");
        t.forge.comments("dev", &pr, "/bascule sync production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
    });
}

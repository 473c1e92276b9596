//! Environments that a pattern makes, and what is left in a cluster on purpose.

use super::*;

/// One environment for each folder of `apps` and each cluster named.
const PATTERN: &str = "\
version: 1
environments:
  '{app}-{place}':
    path: apps/{app}
    for: { place: [test] }
    cluster: '{place}'
    namespace: '{ns}'
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

impl Town {
    /// Every environment with what the database calls it, and the number of its newest deployment.
    async fn environments(&self) -> Vec<(String, i64, Option<i64>)> {
        let all = "SELECT name, id, (SELECT max(number) FROM deployment WHERE environment_id = environment.id)::bigint
                   FROM environment ORDER BY id";
        sqlx::query_as(all).fetch_all(&self.database.owner).await.unwrap()
    }
}

#[test]
fn a_folder_that_is_added_is_an_environment_more_and_the_others_stay_what_they_were() {
    check(async |t| {
        t.runs(PATTERN, &[("apps/web/web.yaml", &settings("web", "1"))]).await;
        let before = t.environments().await;
        let names = |all: &[(String, i64, Option<i64>)]| all.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&before), ["web-test"]);

        // It comes first by name, and by the rules of the pattern: nobody has approved it.
        let pr = t.forge.opens_pull("dev", &t.shop, &[("apps/api/api.yaml", &settings("api", "1"))]).await;
        t.run_jobs().await;
        insta::assert_snapshot!(t.row(&pr), @"| `api-test` | 1 | 0 | 0 | 0 of 2 | after merge |");
        t.forge.approves("lee", &pr).await;
        t.forge.approves("olga", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["api=1", "web=1"]);
        let after = t.environments().await;
        assert_eq!(after[0], before[0], "the same environment, and nothing was deployed to it");
        assert_eq!(names(&after[1..]), ["api-test"]);
        assert_eq!(after[1].2, Some(1));
    });
}

#[test]
fn what_leaves_the_set_of_an_environment_that_does_not_prune_stays_where_it_is() {
    check(async |t| {
        let rules = format!("{RULES}    sync: {{ prune: false }}\n");
        t.runs(&rules, &[(WEB, &settings("web", "1")), ("deploy/old.yaml", &settings("old", "1"))]).await;
        let pr = t.forge.opens_pull_that_removes("dev", &t.shop, &["deploy/old.yaml"]).await;
        t.run_jobs().await;
        insta::assert_snapshot!(t.comment(&pr), @r"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 0 | 1 | 0 of 1 | after merge |

        ⚠ `production` removes **ConfigMap `shop/old`**

        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 removed | the change, but 1 stays | none | nothing to ask |

        - `production` effect: ConfigMap `shop/old`: it would stay: pruning is off for this environment

        production needs 1 more of: `@lee`

        To consent to exactly this:

        - `/bascule approve production …` (1 object removed)

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        ");
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["old=1", "web=1"]);
        insta::assert_snapshot!(t.row(&pr), @"| `production` | 0 | 0 | 1 | given: `lee` | `#2` healthy, see below |");
        let comment = t.comment(&pr);
        assert!(comment.contains("stays: pruning is off for this environment"), "{comment}");
    });
}

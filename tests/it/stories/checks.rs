//! Checks of a CI that a sync waits for: missing, running, red, green, unreadable; told and found.

use insta::assert_snapshot;

use super::*;
use crate::fake::forge::Fault;

/// Lee has to approve, and the CI has to be through with it.
const CHECKED: &str = "\
version: 1
environments:
  production:
    path: deploy
    cluster: test
    namespace: '{ns}'
    consent: { approvals: [{ count: 1, users: [lee] }], checks: [ci/test] }
    may: { emergency: { users: [kim, olga] } }
";

impl Town {
    /// The CI reports on the tip of `main`.
    pub(super) async fn ci_says(&self, context: &str, state: &str) {
        let tip = self.forge.tip(&self.shop, "main").unwrap();
        self.forge.sets_status("ci", (self.shop.id, &tip), context, state).await;
    }

    /// Everything runs: Lee and Olga approve the first set, and the CI is through with it.
    pub(super) async fn runs_checked(&mut self) {
        self.begins(CHECKED, &[(WEB, &settings("web", "1"))]).await;
        self.ci_says("ci/test", "success").await;
        for held in self.held_issues().await {
            self.forge.comments("lee", &held, "/bascule approve").await;
            self.forge.comments("olga", &held, "/bascule approve").await;
        }
        self.run_jobs().await;
        assert_eq!(self.objects().await, ["web=1"]);
    }
}

#[test]
fn what_was_approved_is_synced_when_its_checks_are_green() {
    check(async |t| {
        t.runs_checked().await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge, after `ci/test` is green |");
        t.forge.approves("lee", &pr).await;
        t.forge.comments("dev", &pr, "/bascule explain").await;
        t.run_jobs().await;
        assert_snapshot!(t.answers(&pr), @"
        `dev`, as of now:

        - production has its consent; once merged it waits until ci/test is green
        ");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | given: `lee` | **held**: `waiting` |

        `production` is held: production waits until `ci/test` is green on `…`: not reported yet. It is lifted by `nothing to type: it goes on by itself`

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

        > `dev`, as of now:
        > 
        > - production has its consent; once merged it waits until ci/test is green

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);
        // What is not asked for does not matter.
        t.ci_says("ci/lint", "failure").await;
        t.ci_says("ci/test", "failure").await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @r#"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | given: `lee` | **held**: `waiting` |

        `production` is held: production waits until `ci/test` is green on `…`: failed, see `https://ci.example.com/ci/test`. It is lifted by `nothing to type: a re-run that succeeds, or a commit that passes, and it goes on by itself`

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

        > `dev`, as of now:
        > 
        > - production has its consent; once merged it waits until ci/test is green

        rendered by plain · [whole diff](<http://bascule.example/previews/…>)
        "#);
        assert_eq!(t.objects().await, ["web=1"]);
        if t.forge.tongue() == Tongue::GitHub {
            // There two can report under one name, and both have to be green.
            let tip = t.forge.tip(&t.shop, "main").unwrap();
            t.forge.runs_check("actions", (t.shop.id, &tip), "ci/test", Some("failure")).await;
            t.ci_says("ci/test", "success").await;
            t.run_jobs().await;
            assert_eq!(t.objects().await, ["web=1"]);
            t.forge.runs_check("actions", (t.shop.id, &tip), "ci/test", Some("success")).await;
        } else {
            t.ci_says("ci/test", "success").await;
        }
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
    });
}

impl Town {
    /// An application's repository, and a commit of it.
    pub(super) async fn has_app(&mut self) -> (i64, String) {
        let app = self.forge.repository("acme/app", &[("README.md", "# the app\n")]).await;
        let commit = self.forge.tip(&app, "main").unwrap();
        (app.id, commit)
    }
}

#[test]
fn an_applications_commit_says_what_became_of_its_deployment() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let (app, commit) = t.has_app().await;
        let elsewhere = t.forge.repository("other/app", &[("README.md", "# another\n")]).await;
        let other = t.forge.tip(&elsewhere, "main").unwrap();
        t.forge.commits_say(&format!(
            "Deploy the app\n\nDeploys: acme/app@{commit}\nDeploys: other/app@{other}\nDeploys: acme/app@main\n"
        ));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_eq!(t.forge.statuses_of(app, &commit).len(), 0);
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        let (state, said) = t.forge.statuses_of(app, &commit).remove("bascule/deploy/acme/shop/production").unwrap();
        assert_eq!((state.as_str(), said.as_str()), ("success", "deployment #2 of acme/shop: healthy"));
        assert_eq!(t.forge.statuses_of(elsewhere.id, &other).len(), 0, "no grant names it");
        let comment = t.comment(&pr);
        let noted: Vec<&str> = comment.lines().filter(|line| line.contains("Deploys")).collect();
        assert_snapshot!(noted.join("\n"), @"
        the trailer Deploys: `acme/app@main` is told to nobody: its commit has to be a whole id, in small letters
        the trailer Deploys: `other/app@…` is told to nobody: no grant of the server names it together with this repository
        ");
    });
}

#[test]
fn checks_that_cannot_be_read_are_not_green() {
    check(async |t| {
        t.runs_checked().await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.ci_says("ci/test", "success").await;
        let tip = t.forge.tip(&t.shop, "main").unwrap();
        t.forge.breaks_at(&format!("/commits/{tip}/statuses"), Fault::Status(403));
        t.works().await;
        let comment = t.comment(&pr);
        assert!(comment.contains("`production` is held: production waits until its checks on"), "{comment}");
        assert!(
            comment.contains("can be read from the forge: forge work: does not let our account do this"),
            "{comment}"
        );
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.recovers();
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
    });
}

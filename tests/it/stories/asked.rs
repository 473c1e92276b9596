//! Who is asked, from the files to the gate: floors, the rule that nobody wrote, kinds, ways to say it, and who of the
//! people named does not count.

use std::sync::Arc;

use bascule::config;
use insta::assert_snapshot;

use super::*;
use crate::fake::forge::{Fault, Pr, Right, TOKEN};

/// One environment that says nothing of consent.
const SILENT: &str = "\
version: 1
environments:
  production: { path: deploy, cluster: test, namespace: '{ns}' }
";

impl Town {
    /// The server's file says this as well, from now on.
    pub(super) fn the_platform_says(&mut self, more: &str) {
        let text = std::fs::read_to_string(self.file()).unwrap() + more;
        std::fs::write(self.file(), text).unwrap();
        let loaded =
            config::load(Some(&self.file()), &town::environ(&self.database.server_url(), self.forge.tongue(), TOKEN))
                .unwrap();
        let context = Arc::get_mut(&mut self.context).expect("no job runs");
        context.platform = Arc::new(loaded.server.platform);
    }

    /// A pull request that makes another value of it, seen by everybody.
    async fn asks_for(&mut self, value: &str) -> Pr {
        let pr = self.forge.opens_pull("dev", &self.shop, &[(WEB, &settings("web", value))]).await;
        self.run_jobs().await;
        pr
    }

    /// Somebody approves, and what the row says then.
    async fn with_the_review_of(&mut self, login: &str, pr: &Pr) -> String {
        self.forge.approves(login, pr).await;
        self.run_jobs().await;
        self.row(pr)
    }

    /// It is merged; what runs then.
    async fn merged(&mut self, pr: &Pr) -> Vec<String> {
        self.forge.merges("dev", pr, Merge::Squash).await;
        self.run_jobs().await;
        self.objects().await
    }
}

#[test]
fn what_the_platform_asks_is_asked_beside_what_the_repository_asks() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.the_platform_says(
            "[floor.all]\nclusters = [\"test\"]\napprovals = [{ count = 1, groups = [\"platform\"] }]\n",
        );
        let pr = t.asks_for("2").await;
        assert_snapshot!(t.with_the_review_of("lee", &pr).await, @"| `production` | 0 | 1 | 0 | 1 of 2: `lee` | after merge |");
        assert_eq!(t.merged(&pr).await, ["web=1"], "no repository goes below it");
        t.forge.comments("olga", &pr, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
    });
}

#[test]
fn one_person_counts_once_whichever_of_their_accounts_they_use() {
    check(async |t| {
        let rules = RULES.replace("users: [lee]", "roles: [write]").replace("count: 1", "count: 2");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        // Kim is Lee.
        t.the_platform_says("[group.people]\npeople = { lee = [\"work/lee\", \"work/kim\"] }\n");
        let pr = t.asks_for("2").await;
        t.with_the_review_of("lee", &pr).await;
        assert_snapshot!(t.with_the_review_of("kim", &pr).await, @"| `production` | 0 | 1 | 0 | 1 of 2: `lee` | after merge |");
        assert_snapshot!(t.with_the_review_of("olga", &pr).await, @"| `production` | 0 | 1 | 0 | given: `lee`, `olga` | after merge |");
        assert_eq!(t.merged(&pr).await, ["web=2"]);

        // Who pushed by one account does not approve by the other.
        let pr = t.asks_for("3").await;
        t.forge.pushes("kim", &pr, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        t.with_the_review_of("olga", &pr).await;
        assert_snapshot!(t.with_the_review_of("lee", &pr).await, @"| `production` | 0 | 1 | 0 | 1 of 2: `olga` (not counted: `lee`) | after merge |");
        assert_eq!(t.merged(&pr).await, ["web=2"]);
    });
}

#[test]
fn where_nothing_is_said_one_person_with_write_access_who_did_not_contribute_is_asked() {
    check(async |t| {
        t.runs(SILENT, &[(WEB, &settings("web", "1"))]).await;
        t.forge.lets("reader", &t.shop, Right::Read);
        let pr = t.asks_for("2").await;
        for login in ["reader", "dev"] {
            let row = t.with_the_review_of(login, &pr).await;
            assert!(row.contains("| 0 of 1"), "{row}");
        }
        assert_snapshot!(t.with_the_review_of("kim", &pr).await, @"| `production` | 0 | 1 | 0 | given: `kim` (not counted: `dev`) | after merge |");
        assert_eq!(t.merged(&pr).await, ["web=2"]);
    });
}

#[test]
fn a_kind_that_somebody_answers_for_asks_them_too() {
    check(async |t| {
        let rules =
            RULES.replace("users: [lee] }", "users: [lee] }, { count: 1, users: [kim], when: { kinds: [Secret] } }");
        t.begins(&rules, &[(WEB, &settings("web", "1"))]).await;
        for login in ["lee", "kim", "olga"] {
            let held = t.held_issues().await.remove(0);
            t.forge.comments(login, &held, "/bascule approve").await;
        }
        t.run_jobs().await;
        let pr = t.asks_for("2").await;
        assert_snapshot!(t.with_the_review_of("lee", &pr).await, @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        assert_eq!(t.merged(&pr).await, ["web=2"]);

        let secret = "apiVersion: v1\nkind: Secret\nmetadata: { name: key }\nstringData: { a: b }\n";
        let pr = t.forge.opens_pull("dev", &t.shop, &[("deploy/key.yaml", secret)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.with_the_review_of("lee", &pr).await, @"| `production` | 1 | 0 | 0 | 1 of 2: `lee` | after merge |");
        assert_snapshot!(t.with_the_review_of("kim", &pr).await, @"| `production` | 1 | 0 | 0 | given: `kim`, `lee` | after merge |");
    });
}

#[test]
fn where_only_a_command_consents_a_review_does_not() {
    check(async |t| {
        let rules = RULES.replace("}] }", "}], by: [command] }");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.asks_for("2").await;
        assert_snapshot!(t.with_the_review_of("lee", &pr).await, @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        t.forge.comments("lee", &pr, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.merged(&pr).await, ["web=2"]);
    });
}

#[test]
fn whom_a_commit_names_and_what_is_no_person_do_not_count() {
    check(async |t| {
        t.runs(SILENT, &[(WEB, &settings("web", "1"))]).await;
        t.forge.bot("robo");
        t.forge.lets("robo", &t.shop, Right::Write);
        let pr = t.asks_for("1").await;
        t.forge.pushes_by("dev", "kim", &pr, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.pushes_with("dev", "lee", &pr, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        t.with_the_review_of("robo", &pr).await;
        t.with_the_review_of("lee", &pr).await;
        assert_snapshot!(t.with_the_review_of("kim", &pr).await, @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `robo`, `lee`, `kim`) | after merge |");
        assert_eq!(t.merged(&pr).await, ["web=1"]);
    });
}

#[test]
fn whom_the_forge_cannot_be_asked_about_does_not_count_until_it_can() {
    check(async |t| {
        t.runs(SILENT, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.asks_for("2").await;
        let away = "`@kim`'s does not count: the forge could not be asked about this person";
        t.forge.breaks_at("/collaborators/", Fault::Html(502));
        t.forge.approves("kim", &pr).await;
        t.hears().await;
        t.tries(3).await;
        assert!(t.row(&pr).contains("| 0 of 1"), "{}", t.row(&pr));
        // Nobody does or says anything more.
        t.forge.recovers();
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `kim` | after merge |");

        t.forge.breaks_at("/collaborators/", Fault::Html(502));
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.hears().await;
        t.tries(4).await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert!(t.comment(&pr).contains(away), "{}", t.comment(&pr));
        t.forge.recovers();
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `kim` | `#2` healthy |");
    });
}

#[test]
fn what_no_grant_reaches_is_an_error_that_names_file_and_object() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let elsewhere = settings("web", "2").replace("name: web", "name: web, namespace: elsewhere");
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &elsewhere)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · 1 environment

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | — | — | — | — | **does not render** |

        `production` does not render:

        ```text
        deploy/web.yaml:1: ConfigMap elsewhere/web: is outside what the server grants this repository: namespace `elsewhere` is not granted
        ```

        `production`: consent cannot be judged: it does not render

        [whole diff](<http://bascule.example/previews/…>)
        ");
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, what does not render cannot be consented to
        preview: failure, does not render: production
        ");
        assert_eq!(t.merged(&pr).await, ["web=1"]);
    });
}

#[test]
fn what_is_typed_is_answered_and_only_who_may_is_obeyed() {
    check(async |t| {
        let rules = format!("{RULES}    sync: {{ mode: manual }}\n");
        t.begins(&rules, &[(WEB, &settings("web", "1"))]).await;
        t.forge.lets("reader", &t.shop, Right::Read);
        let issue = t.held_issues().await.remove(0);
        for login in ["lee", "olga"] {
            t.forge.comments(login, &issue, "/bascule approve").await;
        }
        t.run_jobs().await;
        for (login, typed) in [
            ("reader", "/bascule sync production"),
            ("reader", "/bascule explain"),
            ("dev", "/bascule adopt production"),
            ("dev", "/bascule expalin"),
        ] {
            t.forge.comments(login, &issue, typed).await;
            t.run_jobs().await;
        }
        let said = t.answers(&issue);
        for sentence in ["started by somebody with write access", "production: no drift is known", "id you mean"] {
            assert!(said.contains(sentence), "{sentence}: {said}");
        }
        assert_eq!(t.objects().await, [""; 0], "nobody with write access said so");
        t.forge.comments("kim", &issue, "/bascule sync production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn a_sync_that_was_typed_while_nobody_could_tell_by_whom_is_started_when_somebody_can() {
    check(async |t| {
        let rules = format!("{RULES}    sync: {{ mode: manual }}\n");
        t.begins(&rules, &[(WEB, &settings("web", "1"))]).await;
        let issue = t.held_issues().await.remove(0);
        for login in ["lee", "olga"] {
            t.forge.comments(login, &issue, "/bascule approve").await;
        }
        t.run_jobs().await;
        let before = t.answers(&issue);
        t.forge.breaks_at("/collaborators/", Fault::Html(502));
        t.forge.comments("kim", &issue, "/bascule sync production").await;
        t.hears().await;
        t.tries(3).await;
        assert_eq!(t.objects().await, [""; 0]);
        assert_eq!(t.answers(&issue), before, "nobody is answered before it is known who they are");
        t.forge.recovers();
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let said = t.answers(&issue);
        assert!(said.contains("the sync goes as far as the gate lets it"), "{said}");
    });
}

//! Policies: what denies a change nobody can approve, what asks for a review asks whom it names, and a policy is changed by
//! the consent of the rules before it.

use bascule::app;
use insta::assert_snapshot;

use super::*;
use crate::fake::forge::Pr;

const FILE: &str = ".bascule.yaml";
const DB: &str = "deploy/db.yaml";
const REGO: &str = "policy/removals.rego";
/// In words of conftest's before Rego 1.0, over the whole change.
const REMOVALS: &str = "\
package bascule.change

deny[msg] {
\tone := input.objects[_]
\tone.operation == \"DELETE\"
\tmsg := sprintf(\"%s goes\", [one.name])
}
";

fn rules() -> String {
    format!(
        "{RULES}{}",
        "\
owners: { count: 1, users: [olga] }
policies:
  lucky: { cel: \"object.data.value != '13'\", effect: deny, message: \"<b>13</b> is @lee's\" }
  odd: { cel: \"object.data.value != '7'\", effect: warn, message: \"7 is odd\" }
  removals: { rego: policy, effect: review, approvals: [{ count: 1, users: [kim] }] }
"
    )
}

impl Town {
    /// What policies say in the comment, what may be waived, and what is missing.
    fn policies_say(&self, pr: &Pr) -> String {
        let comment = self.comment(pr);
        let begins = ["- ⛔", "- ⚠", "- `production`:", "production "];
        let said = |line: &&str| begins.iter().any(|begin| line.starts_with(begin));
        comment.lines().filter(said).map(str::to_owned).collect::<Vec<_>>().join("\n")
    }

    /// The line that waives, as the comment prints it, with a reason.
    fn waives(&self, pr: &Pr, reason: &str) -> String {
        let comment = self.forge.comment(pr);
        let at = comment.find("/bascule waive ").unwrap_or_else(|| panic!("nothing to waive:\n{comment}"));
        comment[at..].split('`').next().unwrap().replace('…', reason)
    }

    /// Waivers in the log: what became of them, and of which policy.
    async fn waivers(&self) -> Vec<String> {
        let told =
            "SELECT concat_ws(' ', action, coalesce(detail->'waives'->>'policy', detail->>'waives'), detail->>'reason')
                    FROM audit_entry WHERE action LIKE 'waiver.%' ORDER BY seq";
        sqlx::query_scalar(told).fetch_all(&self.database.owner).await.unwrap()
    }
}

#[test]
fn what_a_policy_denies_is_not_synced_whoever_approves_it() {
    check(async |t| {
        t.runs(&rules(), &[(WEB, &settings("web", "1")), (DB, &settings("db", "1")), (REGO, REMOVALS)]).await;
        // The policy of before judges, also the change that takes it away.
        let without = t.rules(&rules().replace("'13'", "'0'"));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "13")), (FILE, &without)]).await;
        t.run_jobs().await;
        for who in ["lee", "olga"] {
            t.forge.approves(who, &pr).await;
        }
        t.run_jobs().await;
        assert_snapshot!(t.policies_say(&pr), @"- ⛔ `production`: `lucky` **denies** at ConfigMap `shop/web`: `<b>13</b>` is `@lee`'s");
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production cannot be judged
        preview: failure, production is closed by policy lucky
        ");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["db=1", "web=1"]);
    });
}

#[test]
fn what_a_policy_denies_is_waived_by_whom_it_names_for_this_change_only() {
    check(async |t| {
        let may = "effect: deny, approvals: [{ count: 1, users: [kim] }]";
        t.runs(
            &rules().replacen("effect: deny", may, 1),
            &[(WEB, &settings("web", "1")), (DB, &settings("db", "1")), (REGO, REMOVALS)],
        )
        .await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "13"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.policies_say(&pr), @"
        - ⛔ `production`: `lucky` **denies** at ConfigMap `shop/web`: `<b>13</b>` is `@lee`'s
        - `production`: `lucky` is waived for this change alone by `/bascule waive lucky production … --reason …`
        production needs 1 more of: `@kim` (to waive policy lucky, which denies it)
        ");
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 1 of 2
        preview: failure, production is closed by policy lucky
        ");
        // Whoever wrote it, and whoever is not named, waives nothing. A quote is no command.
        let line = t.waives(&pr, "I like it");
        for who in ["dev", "lee"] {
            t.forge.comments(who, &pr, &line).await;
        }
        t.forge.comments("kim", &pr, &format!("> {line}")).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 1 of 2: `lee` (not counted: `lee`) | after merge |");
        // Her words are shown as words.
        t.forge.comments("kim", &pr, &t.waives(&pr, "<b>once</b>, said @olga")).await;
        t.run_jobs().await;
        assert_snapshot!(t.policies_say(&pr), @"
        - ⚠ `production`: `lucky` **denies, which is waived,** at ConfigMap `shop/web`: `<b>13</b>` is `@lee`'s
        - ⚠ `production`: `lucky` is waived, for `d1:…` only, by `@kim`: `<b>once</b>`, said `@olga`
        ");
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, given for 1 environment, policies waived: lucky
        preview: success, 1 object in 1 environment would change
        ");
        // Another push is another change.
        t.forge.pushes("dev", &pr, &[(DB, &settings("db", "13"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.policies_say(&pr), @"
        - ⛔ `production`: `lucky` **denies** at ConfigMap `shop/db`: `<b>13</b>` is `@lee`'s
        - ⛔ `production`: `lucky` **denies** at ConfigMap `shop/web`: `<b>13</b>` is `@lee`'s
        - `production`: `lucky` is waived for this change alone by `/bascule waive lucky production … --reason …`
        production needs 1 more of: `@lee`, and 1 more of: `@kim` (to waive policy lucky, which denies it); `@lee`'s does not count: void, a push altered the change; `@lee`'s does not count: void, a push altered the change; `@kim`'s does not count: void, a push altered the change
        ");
        t.forge.approves("lee", &pr).await;
        t.forge.comments("kim", &pr, &t.waives(&pr, "both")).await;
        t.run_jobs().await;
        t.forge.comments("kim", &pr, "/bascule revoke").await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 1 of 2
        preview: failure, production is closed by policy lucky
        ");
        t.forge.comments("kim", &pr, &t.waives(&pr, "and yet")).await;
        t.run_jobs().await;
        assert_snapshot!(t.waivers().await.join("\n"), @"
        waiver.recorded lucky I like it
        waiver.recorded lucky <b>once</b>, said @olga
        waiver.voided lucky a push altered the change
        waiver.voided lucky a push altered the change
        waiver.recorded lucky both
        waiver.voided lucky its giver revoked it
        waiver.recorded lucky and yet
        ");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["db=13", "web=13"]);
        // It is used up: the same again is denied again.
        let pr = t.forge.opens_pull("dev", &t.shop, &[(DB, &settings("db", "2"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.policies_say(&pr), @"
        - ⛔ `production`: `lucky` **denies** at ConfigMap `shop/web`: `<b>13</b>` is `@lee`'s
        - `production`: `lucky` is waived for this change alone by `/bascule waive lucky production … --reason …`
        production needs 1 more of: `@lee`, and 1 more of: `@kim` (to waive policy lucky, which denies it)
        ");
    });
}

#[test]
fn a_policy_asks_whom_it_names_and_only_warns_where_it_says_so() {
    check(async |t| {
        t.runs(&rules(), &[(WEB, &settings("web", "1")), (DB, &settings("db", "1")), (REGO, REMOVALS)]).await;
        let odd = settings("web", "7");
        let pr = t.forge.opens_pull_of("dev", &t.shop, "main", &[(WEB, Some(&odd)), (DB, None)]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.policies_say(&pr), @"
        - ⚠ `production`: `removals` **asks for a review**: db goes
        - ⚠ `production`: `odd` **warns** at ConfigMap `shop/web`: 7 is odd
        production needs 1 more of: `@kim` (policy removals)
        ");
        t.forge.approves("kim", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 1 | given: `kim`, `lee` | after merge |");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=7"]);

        // What cannot be asked is red before it is merged.
        let broken = t
            .forge
            .opens_pull("dev", &t.shop, &[(REGO, "package main\n\ndeny contains time.now_ns() if true\n")])
            .await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&broken), @"
        consent: failure, there are no rules to judge by
        preview: failure, .bascule.yaml cannot be read: .bascule.yaml:12:3: policy `removals`: policy/removals.rego:3:26: could not find function time.now_ns; correc…
        ");
    });
}

impl Town {
    /// The platform has these policies under everything.
    fn the_platforms_policies(&mut self, policies: &str) {
        let folder = self.file().parent().unwrap().join("platform");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("policies.yaml"), policies).unwrap();
        let is_known = std::fs::read_to_string(self.file()).unwrap().contains("[floor.all]");
        self.the_platform_says(if is_known {
            ""
        } else {
            "[floor.all]\nclusters = [\"test\"]\npolicies = \"platform\"\n"
        });
    }

    /// What the log says was found in what is deployed, each time that it was news.
    async fn found_deployed(&self) -> Vec<String> {
        let told = "SELECT detail->>'says' FROM audit_entry WHERE action = 'deployed.judged' ORDER BY seq";
        let told: Vec<String> = sqlx::query_scalar(told).fetch_all(&self.database.owner).await.unwrap();
        told.into_iter().map(|one| self.as_shown(&one)).collect()
    }
}

/// One of the name of the repository's own, which its Olga may waive.
const PLATFORM: &str = "\
policies:
  lucky: { cel: \"object.data.value != '13'\", effect: deny, approvals: [{ users: [olga] }], message: \"no 13\" }
";

#[test]
fn the_platforms_policies_judge_beside_the_repositorys_and_none_of_these_takes_their_place() {
    check(async |t| {
        let own = "effect: deny, approvals: [{ count: 1, users: [kim] }]";
        t.runs(
            &rules().replacen("effect: deny", own, 1),
            &[(WEB, &settings("web", "1")), (DB, &settings("db", "1")), (REGO, REMOVALS)],
        )
        .await;
        t.the_platforms_policies(PLATFORM);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "13"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.policies_say(&pr), @"
        - ⛔ `production`: `all/lucky` **denies** at ConfigMap `shop/web`: no 13
        - ⛔ `production`: `lucky` **denies** at ConfigMap `shop/web`: `<b>13</b>` is `@lee`'s
        - `production`: `all/lucky` is waived for this change alone by `/bascule waive all/lucky production … --reason …`
        - `production`: `lucky` is waived for this change alone by `/bascule waive lucky production … --reason …`
        production needs 1 more of: `@lee`, and 1 more of: `@olga` (to waive policy all/lucky, which denies it), and 1 more of: `@kim` (to waive policy lucky, which denies it)
        ");
        t.forge.approves("lee", &pr).await;
        for (who, policy) in [("kim", "lucky"), ("kim", "all/lucky")] {
            t.forge.comments(who, &pr, &format!("/bascule waive {policy} --reason we agreed")).await;
        }
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 2 of 3
        preview: failure, production is closed by policy all/lucky
        ");
        t.forge.comments("olga", &pr, "/bascule waive all/lucky --reason for a day").await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, given for 1 environment, policies waived: all/lucky, lucky
        preview: success, 1 object in 1 environment would change
        ");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["db=1", "web=13"]);
    });
}

#[test]
fn what_is_deployed_is_judged_by_the_platforms_policies_and_left_as_it_is() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "13"))]).await;
        t.the_platforms_policies(PLATFORM);
        let calls = t.forge.calls();
        for _ in 0..2 {
            app::judge_all(&t.context).await.unwrap();
            t.drain().await;
        }
        assert_eq!(t.forge.calls(), calls, "nobody is told on the forge");
        assert_eq!(t.objects().await, ["web=13"], "and nothing is done");
        assert_snapshot!(t.found_deployed().await.join("\n"), @r#"["policy all/lucky denies ConfigMap shop/web: no 13"]"#);
        t.the_platforms_policies(&PLATFORM.replace("13", "14"));
        app::judge_all(&t.context).await.unwrap();
        t.drain().await;
        assert_snapshot!(t.found_deployed().await.join("\n"), @r#"
        ["policy all/lucky denies ConfigMap shop/web: no 13"]
        []
        "#);
    });
}

#[test]
fn what_a_way_back_brought_is_what_is_deployed() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "13"))]).await;
        let pr = t.brings("2").await;
        t.the_platforms_policies(PLATFORM);
        app::judge_all(&t.context).await.unwrap();
        t.drain().await;
        assert_eq!(t.found_deployed().await, [""; 0], "what stands is good, and is what runs");
        t.forge.comments("dev", &pr, "/bascule rollback production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=13"]);
        app::judge_all(&t.context).await.unwrap();
        t.drain().await;
        // The position is still at what was good.
        assert_eq!(t.found_deployed().await, [r#"["policy all/lucky denies ConfigMap shop/web: no 13"]"#]);
    });
}

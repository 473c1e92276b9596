//! Policies: what denies a change nobody can approve, what asks for a review asks whom it names, and a policy is changed by
//! the consent of the rules before it.

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
    /// What policies say in the comment, and what is missing.
    fn policies_say(&self, pr: &Pr) -> String {
        let comment = self.comment(pr);
        let said = |line: &&str| line.starts_with("- ⛔") || line.starts_with("- ⚠") || line.starts_with("production ");
        comment.lines().filter(said).map(str::to_owned).collect::<Vec<_>>().join("\n")
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

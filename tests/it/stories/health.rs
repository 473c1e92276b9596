//! Health rules of a repository: a change of them needs the consent of the rules before it, and one that cannot be asked is red
//! before it is merged.

use insta::assert_snapshot;

use super::*;

const FILE: &str = ".bascule.yaml";

fn with_rule(healthy: &str) -> String {
    format!("{RULES}health:\n  databases:\n    kind: db.example.org/Database\n    healthy: {healthy}\n")
}

#[test]
fn a_health_rule_is_consented_to_like_any_other() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let rules = t.rules(&with_rule("object.status.phase == 'Ready'"));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(FILE, &rules)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 0 objects in 1 environment would change
        ");
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production`, its own rules | 0 | 0 | 0 | given: `lee` | `#2` healthy |");

        let broken = t.rules(&with_rule("object.status.phase =="));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(FILE, &broken)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, there are no rules to judge by
        preview: failure, .bascule.yaml cannot be read: .bascule.yaml:11:14: `healthy` of health rule `databases`: 1:23: Syntax error: mismatched input '<EOF>'; corr…
        ");
    });
}

//! Who consents to what, and what takes it back.

use insta::assert_snapshot;

use super::replay::heard;
use super::*;
use crate::fake::forge::{Pr, Right};

/// Production runs `web=1`, and somebody asks for `web=2`.
async fn asks_for_two(t: &mut Town) -> Pr {
    t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
    let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
    t.run_jobs().await;
    pr
}

/// It is merged as it is; what runs then.
async fn merged(t: &mut Town, pr: &Pr) -> Vec<String> {
    t.forge.merges("dev", pr, Merge::Squash).await;
    t.run_jobs().await;
    t.objects().await
}

#[test]
fn a_push_that_alters_the_change_voids_the_approval() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_snapshot!(t.audit_of(&pr).await, @"preview.posted, approval.recorded, preview.posted, approval.voided, preview.posted");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn a_push_that_leaves_the_change_keeps_the_approval() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.pushes("dev", &pr, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=2"]);
    });
}

#[test]
fn rules_nobody_approved_do_not_say_that_a_push_keeps_approvals() {
    check(async |t| {
        let void = RULES.replace("}] }", "}], on_push: void }");
        t.runs(&void, &[(WEB, &settings("web", "1"))]).await;
        // Merged by nobody's consent: what runs still has the rules of before.
        t.forge.pushes_to("dev", &t.shop, "main", &[(".bascule.yaml", &t.rules(RULES))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.pushes("dev", &pr, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
    });
}

#[test]
fn a_command_with_the_digest_counts() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=2"]);
    });
}

#[test]
fn a_command_without_a_digest_counts_while_one_change_was_shown() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.comments("lee", &pr, "/bascule approve production").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=2"]);
    });
}

#[test]
fn a_command_without_a_digest_is_answered_when_two_changes_were_shown() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.comments("lee", &pr, "/bascule approve production").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge |");
        assert_snapshot!(t.answers(&pr), @"`lee`: nothing was approved. production: more than one change of this environment was shown, so we do not know which you read; for the change shown now, type `/bascule approve production …`");
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert_eq!(merged(t, &pr).await, ["web=3"]);
    });
}

#[test]
fn the_authors_own_approval_does_not_count() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("lee", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn whoever_pushed_to_the_head_does_not_count() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.pushes("lee", &pr, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn whoever_pushed_does_not_count_where_the_head_is_behind_what_it_was_merged_as() {
    for how in [Merge::Commit, Merge::FastForward] {
        check(async |t| {
            let pr = asks_for_two(t).await;
            t.forge.pushes("lee", &pr, &[("README.md", "# Shop\n")]).await;
            t.forge.pushes("dev", &pr, &[("README.md", "# The shop\n")]).await;
            t.run_jobs().await;
            t.forge.approves("lee", &pr).await;
            t.run_jobs().await;
            t.forge.merges("dev", &pr, how).await;
            t.run_jobs().await;
            assert_eq!(t.objects().await, ["web=1"], "{how:?}");
            assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | **held**: `uncovered` |");
        });
    }
}

#[test]
fn somebody_no_rule_names_does_not_count() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.approves("kim", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn asking_for_changes_takes_ones_approval_back() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.requests_changes("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn a_dismissed_review_does_not_count() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        let review = t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.dismisses(review).await;
        t.sweeps().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_snapshot!(t.audit_of(&pr).await, @"preview.posted, approval.recorded, preview.posted, approval.voided, preview.posted");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn a_revoked_approval_does_not_count() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.comments("lee", &pr, "/bascule revoke").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_snapshot!(t.answers(&pr), @"`lee` took back what was approved for `production`.");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn an_edited_comment_does_not_count() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        let line = t.to_type(&pr, "production");
        let comment = t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        t.forge.edits_comment("lee", comment, "never mind").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | **held**: `uncovered` |");
    });
}

#[test]
fn a_deleted_comment_does_not_count() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        let line = t.to_type(&pr, "production");
        let comment = t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        t.forge.deletes_comment("lee", comment).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn a_dismissed_review_counts_no_more_when_the_dismissal_is_undone() {
    check(async |t| {
        let pr = asks_for_two(t).await;
        let review = t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        // Between two looks: nothing but its times tells.
        t.forge.dismisses(review).await;
        t.forge.undismisses(review);
        t.sweeps().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn a_review_of_what_was_not_shown_yet_does_not_count_when_a_dismissal_of_it_is_undone() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        let review = t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge |");
        t.forge.dismisses(review).await;
        t.forge.undismisses(review);
        t.sweeps().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn whoever_left_the_team_before_the_merge_does_not_count() {
    check(async |t| {
        let rules = RULES.replace("users: [lee]", "groups: [release]");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("kim", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `kim` | after merge |");
        t.forge.leaves_team("kim", "release");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `kim`) | **held**: `uncovered` |");
    });
}

#[test]
fn a_team_of_that_name_in_another_organisation_does_not_count() {
    check(async |t| {
        let rules = RULES.replace("users: [lee]", "teams: [acme/release]");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        // Eve may write here, and is of a neighbour's team that is called the same.
        t.forge.team("acme-two", "release", Right::Admin, &["eve"]);
        t.forge.repository("acme-two/shop", &[("README.md", "# Another\n")]).await;
        t.forge.lets("eve", &t.shop, Right::Write);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("eve", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge |");
        assert_eq!(merged(t, &pr).await, ["web=1"]);
    });
}

#[test]
fn a_review_that_was_deleted_is_not_claimed_any_more() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let review = t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert!(t.statuses(&pr).starts_with("consent: success"), "{}", t.statuses(&pr));
        // The forge tells nobody, and nothing of the pull request moves.
        t.forge.deletes_review(review);
        t.sweeps().await;
        assert!(t.statuses(&pr).starts_with("consent: failure, missing: production 0 of 1"), "{}", t.statuses(&pr));
        assert!(t.row(&pr).contains("| 0 of 1"), "{}", t.row(&pr));
        // Of one that stays nothing is said again, and it is asked for once a sweep.
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.sweeps().await;
        t.forge.take_calls();
        t.sweeps().await;
        let calls = t.forge.take_calls();
        let reviews = format!("GET /repos/acme/shop/pulls/{}/reviews", pr.number);
        assert_eq!(calls.iter().filter(|call| **call == reviews).count(), 1, "{calls:#?}");
        assert!(calls.iter().all(|call| call.starts_with("GET ")), "{calls:#?}");
    });
}

#[test]
fn a_review_that_was_deleted_after_the_merge_is_not_claimed_where_more_is_missing() {
    heard(async |t| {
        let rules = RULES.replace("{ count: 1, users: [lee] }", "{ count: 2, users: [lee, kim] }");
        t.begins(&rules, &[(WEB, &settings("web", "1"))]).await;
        let first = t.held_issues().await.remove(0);
        for who in ["lee", "kim", "olga"] {
            t.forge.comments(who, &first, "/bascule approve").await;
        }
        t.run_jobs().await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let review = t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert!(t.row(&pr).contains("1 of 2: `lee`"), "{}", t.row(&pr));
        t.forge.deletes_review(review);
        t.sweeps().await;
        assert!(t.row(&pr).contains("| 0 of 2"), "{}", t.row(&pr));
    });
}

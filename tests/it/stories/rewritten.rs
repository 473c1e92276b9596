//! A branch that is not what it was: forced back, or fast-forwarded to what merged it in.

use insta::assert_snapshot;

use super::*;

const MORE: &str = "deploy/more.yaml";

/// Two people may approve.
fn either() -> String {
    RULES.replace("users: [lee]", "users: [lee, kim]")
}

#[test]
fn what_was_taken_off_the_branch_asks_whose_files_it_was() {
    check(async |t| {
        let rules = RULES.replace(
            "[{ count: 1, users: [lee] }]",
            "[{ count: 1, users: [lee], when: { paths: [deploy/web.yaml] } },
               { count: 1, users: [kim], when: { paths: [deploy/more.yaml] } }]",
        );
        t.begins(&rules, &[(WEB, &settings("web", "1")), (MORE, &settings("more", "1"))]).await;
        for held in t.held_issues().await {
            for who in ["lee", "kim", "olga"] {
                t.forge.comments(who, &held, "/bascule approve").await;
            }
        }
        t.run_jobs().await;
        let before = t.forge.tip(&t.shop, "main").unwrap();
        let pr = t.forge.opens_pull("dev", &t.shop, &[(MORE, &settings("more", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("kim", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=2", "web=1"]);

        t.forge.resets("dev", &t.shop, "main", &before).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let held = t.held_issues().await.remove(0);
        t.forge.comments("lee", &held, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=2", "web=1"], "a file of Kim's is taken back with it");
        t.forge.comments("kim", &held, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=2"]);
    });
}

#[test]
fn whoever_took_something_off_the_branch_does_not_approve_that() {
    check(async |t| {
        t.runs(&either(), &[(WEB, &settings("web", "1"))]).await;
        let before = t.forge.tip(&t.shop, "main").unwrap();
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);

        t.forge.resets("kim", &t.shop, "main", &before).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        let held = t.held_issues().await.remove(0);
        t.forge.comments("kim", &held, "/bascule approve production").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&held), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `kim`) | **held**: `uncovered` |");
        assert_eq!(t.objects().await, ["web=2"]);
        t.forge.comments("lee", &held, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn whoever_pushed_what_a_fast_forward_hides_does_not_approve_it() {
    check(async |t| {
        t.runs(&either(), &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        // Somebody else's work, so that nothing but the push says that Kim had a part in it.
        t.forge.pushes_as("kim", "dev", &t.shop, "main", &[(MORE, &settings("more", "1"))]).await;
        t.run_jobs().await;
        t.forge.updates_from_base("dev", &pr).await;
        t.forge.merges("dev", &pr, Merge::FastForward).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let held = t.held_issues().await.remove(0);
        assert_eq!(held.number, pr.number, "it is shown where it was merged");
        let line = t.to_type(&held, "production");
        t.forge.comments("kim", &held, &line).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&held), @"| `production` | 1 | 1 | 0 | 0 of 1 (not counted: `kim`) | **held**: `uncovered` |");
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.comments("lee", &held, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=2"]);
    });
}

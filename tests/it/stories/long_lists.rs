//! Lists of the forge that are longer than anyone reads at once.

use insta::assert_snapshot;

use super::*;

#[test]
fn more_closed_pull_requests_than_are_read_at_once_delay_a_judgement_and_do_not_end_it() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[("README.md", "# shop\n")]).await;
        t.run_jobs().await;
        t.forge.closes("dev", &pr).await;
        // Forty-eight pages of this forge.
        t.forge.shortens_pages(5);
        t.forge.has_many_like(&pr, 240);
        let last = t.forge.opens_pull("dev", &t.shop, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        t.forge.closes("dev", &last).await;
        // Nobody tells whether a pull request brought this, so the forge's list is read.
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let held = t.held_issues().await;
        assert_eq!(held.len(), 1, "{}", t.rows().await);
        t.forge.comments("lee", &held[0], "/bascule approve").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        // What was read is not read again.
        t.forge.take_calls();
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        let pages = t.forge.take_calls().iter().filter(|call| *call == "GET /repos/acme/shop/pulls").count();
        assert!(pages < 20, "{pages}");
    });
}

#[test]
fn a_push_of_more_commits_than_its_delivery_lists_is_read_whole() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        // GitLab lists the newest twenty. The oldest is Lee's.
        t.forge.pushes_many("dev", "lee", &pr, 50).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        assert!(t.forge.asked_at_once() > 1, "one after the other, what is known of the first is old before the last");
    });
}

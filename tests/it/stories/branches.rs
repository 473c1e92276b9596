//! A pull request while its base moves, or becomes another one.

use insta::assert_snapshot;

use super::*;

const OTHER: &str = "deploy/other.yaml";

#[test]
fn a_retargeted_pull_request_has_lost_its_approvals() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "next", &[("README.md", "# Next\n")]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.retargets("dev", &pr, "next").await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, nothing of ours is touched
        preview: success, nothing of ours is touched
        ");
        t.forge.retargets("dev", &pr, "main").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn another_merge_into_the_base_voids_nothing() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        let other = t.forge.opens_pull("kim", &t.shop, &[(OTHER, &settings("other", "1"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.approves("lee", &other).await;
        t.run_jobs().await;
        t.forge.merges("kim", &other, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["other=1", "web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["other=1", "web=2"]);
    });
}

#[test]
fn two_merges_between_two_looks_are_both_deployed() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        let other = t.forge.opens_pull("kim", &t.shop, &[(OTHER, &settings("other", "1"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.approves("lee", &other).await;
        t.run_jobs().await;
        t.forge.merges("kim", &other, Merge::Squash).await;
        t.forge.merges("dev", &pr, Merge::Rebase).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["other=1", "web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
        assert_snapshot!(t.row(&other), @"| `production` | 1 | 0 | 0 | given: `lee` | `#2` healthy |");
    });
}

#[test]
fn a_base_that_has_what_the_pull_request_changes_makes_another_change_of_it() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2")), ("README.md", "# 2\n")]).await;
        let other = t.forge.opens_pull("kim", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.approves("lee", &other).await;
        t.run_jobs().await;
        t.forge.merges("kim", &other, Merge::Squash).await;
        t.run_jobs().await;
        assert_snapshot!(t.comment(&pr), @"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · nothing of ours is touched

        [whole diff](<http://bascule.example/previews/…>)
        ");
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
    });
}

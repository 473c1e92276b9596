//! What looks like an approval and is none; and a forge whose clock is wrong.

use jiff::SignedDuration;

use super::*;

#[test]
fn what_only_looks_like_an_approval_is_none() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let seen = t.forge.head(&pr);
        for text in
            ["LGTM", "lgtm\n/bascule approve", "> /bascule approve", "`/bascule approve`", "approved: production"]
        {
            t.forge.comments("lee", &pr, text).await;
        }
        t.forge.remarks("lee", &pr, "Looks good to me").await;
        // Lee has the page open, and sends the review of what was on it when the head is another.
        t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "3"))]).await;
        t.forge.approves_commit("lee", &pr, &seen).await;
        t.run_jobs().await;
        assert!(t.row(&pr).contains("| 0 of 1"), "{}", t.comment(&pr));
        // What was taken back does not come back when the reason is taken back.
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        let objection = t.forge.requests_changes("lee", &pr).await;
        t.run_jobs().await;
        t.forge.dismisses(objection).await;
        t.sweeps().await;
        assert!(t.row(&pr).contains("| 0 of 1"), "{}", t.comment(&pr));
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "held");
    });
}

#[test]
fn a_forge_whose_clock_is_a_year_ahead_is_asked_for_order_alone() {
    check(async |t| {
        t.forge.waits(SignedDuration::from_hours(366 * 24));
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
    });
}

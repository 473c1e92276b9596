//! Approval rules of the forge's own: shown beside consent, and no part of it.

use super::*;
use crate::fake::forge::Fault;

#[test]
fn what_gitlab_asks_for_before_it_merges_is_shown_and_consents_to_nothing() {
    on_plane(async |plane| {
        let (database, lab) = (Database::new().await, Tongue::GitLab);
        let mut town = Box::pin(Town::on(database, plane, "merge-rules", lab, Told::ByDeliveries)).await;
        let t = &mut town;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.forge.asks_before_merging(&pr, "security | *all*", 1, &["ann"]);
        t.forge.asks_before_merging(&pr, "release", 2, &["ann", "bea"]);
        t.run_jobs().await;
        t.forge.approves("ann", &pr).await;
        t.run_jobs().await;
        let shown = |t: &Town| {
            let comment = t.comment(&pr);
            comment.lines().find(|line| line.starts_with("Before it merges")).unwrap_or_default().to_owned()
        };
        let told = shown(t);
        insta::assert_snapshot!(told, @"Before it merges, the forge asks for approvals by rules of its own, which are no part of consent: `security | *all*` met (`ann`), `release` 1 of 2 (`ann`)");
        assert!(t.row(&pr).contains("| 0 of 1"), "{}", t.row(&pr));
        // GitLab does not say, for a while: what it said last is shown, and nothing else waits for it.
        t.forge.breaks_at("/approval_state", Fault::Status(503));
        t.forge.comments("dev", &pr, "/bascule preview").await;
        t.run_jobs().await;
        assert_eq!(shown(t), told);
        t.forge.recovers();
        // However many there are there: here it waits for whom our rule names.
        t.forge.approves("bea", &pr).await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

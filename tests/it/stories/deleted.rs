//! What a person deletes on the forge, and what is there instead.

use super::*;

#[test]
fn a_held_change_whose_issue_was_deleted_is_shown_in_another() {
    check(async |t| {
        t.begins(RULES, &[(WEB, &settings("web", "1"))]).await;
        let first = t.held_issues().await.remove(0);
        t.forge.deletes_issue(&first);
        // Who judges the gate before anybody sees that it is gone goes on without it.
        t.forge.pushes_to("dev", &t.shop, "main", &[("README.md", "# other\n")]).await;
        t.run_jobs().await;
        t.sweeps().await;
        let held = t.held_issues().await;
        assert_eq!(held.len(), 1, "{}", t.rows().await);
        assert_ne!(held[0].number, first.number, "one that is there");
        t.forge.comments("lee", &held[0], "/bascule approve").await;
        t.forge.comments("olga", &held[0], "/bascule approve").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

//! What a merge train of GitLab's merges: deployed like any other merge, by whatever way the train merges, and whoever put it
//! there.

use super::*;
use crate::fake::forge::Delivering;

#[test]
fn what_a_merge_train_merges_is_deployed_with_the_approvals_it_had() {
    on_plane(async |plane| {
        let (database, lab) = (Database::new().await, Tongue::GitLab);
        let mut town = Box::pin(Town::on(database, plane, "trains", lab, Told::ByDeliveries)).await;
        let t = &mut town;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let opens = async |t: &mut Town, name: &str, value: &str| {
            let file = format!("deploy/{name}.yaml");
            let pr = t.forge.opens_pull("dev", &t.shop, &[(&file, &settings(name, value))]).await;
            t.run_jobs().await;
            pr
        };
        let (web, other) = (opens(t, "web", "2").await, opens(t, "other", "1").await);
        for pr in [&web, &other] {
            t.forge.approves("lee", pr).await;
        }
        let unapproved = opens(t, "more", "1").await;

        // Fast-forwarded to, each rebased onto the one ahead: the merge requests go on naming heads that are on no branch.
        let train = t.forge.boards("kim", &[&web, &other, &unapproved], Merge::Rebase).await;
        assert!(train[1..].iter().all(|one| t.forge.statuses_of(t.shop.id, &one.commit).is_empty()));
        t.forge.arrives("kim", &train).await;
        t.run_jobs().await;
        assert_eq!(
            t.objects().await,
            ["other=1", "web=2"],
            "{:#?}\n{}\n{}\n{}",
            t.troubles,
            t.rows().await,
            t.comment(&web),
            t.comment(&other)
        );
        let newest =
            "SELECT detail ->> 'pulls' FROM audit_entry WHERE action = 'sync.started' ORDER BY seq DESC LIMIT 1";
        let pulls: String = sqlx::query_scalar(newest).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(pulls, format!("[{},{}]", web.number, other.number), "each whose change it carries");
        // What nobody approved waits in its own merge request, and for as many as the rules say.
        assert_eq!(t.held_issues().await, std::slice::from_ref(&unapproved));
        assert!(t.row(&unapproved).contains("0 of 1"), "{}", t.row(&unapproved));
        // The next look at one of them leaves it as what it was merged.
        t.forge.comments("kim", &other, "/bascule explain").await;
        t.forge.comments("lee", &unapproved, &t.to_type(&unapproved, "production")).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "other=1", "web=2"]);

        // Merged by a commit, and squashed; nothing of it was told.
        for (how, value) in [(Merge::Commit, "3"), (Merge::Squash, "4")] {
            let (first, second) = (opens(t, "web", value).await, opens(t, "other", value).await);
            for pr in [&first, &second] {
                t.forge.approves("lee", pr).await;
            }
            t.run_jobs().await;
            t.forge.delivers(Delivering::Lost);
            let train = t.forge.boards("kim", &[&first, &second], how).await;
            t.forge.arrives("kim", &train).await;
            t.forge.delivers(Delivering::AtOnce);
            t.sweeps().await;
            assert_eq!(t.objects().await, ["more=1".to_owned(), format!("other={value}"), format!("web={value}")]);
        }
        assert!(t.held_issues().await.is_empty() && t.troubles.is_empty(), "{:#?}", t.troubles);
    });
}

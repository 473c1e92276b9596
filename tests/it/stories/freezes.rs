//! A freeze: nothing new is synced for a while, whoever consented to it; and everything goes on when it is over.

use bascule::app;
use bascule::db::freezes::{self, Freeze};
use jiff::SignedDuration;

use super::*;
use crate::fake::forge::Right;

#[test]
fn what_is_frozen_waits_with_its_consent_and_goes_on_when_somebody_ends_it() {
    check(async |t| {
        let rules = format!("{RULES}    may: {{ freeze: {{ users: [kim] }} }}\n");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        t.forge.lets("kim", &t.shop, Right::Read);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        for (login, typed) in [
            ("dev", "/bascule freeze production --reason mine"),
            ("kim", "/bascule freeze production --until 2020-01-01T00:00:00Z --reason late"),
            ("kim", "/bascule freeze production --reason the *tills* are [down](https://example.org)"),
        ] {
            t.forge.comments(login, &pr, typed).await;
            t.run_jobs().await;
        }
        let said = t.answers(&pr);
        for sentence in ["is said by those whom its `may` names", "that end is past", "nothing new is synced until"] {
            assert!(said.contains(sentence), "{sentence}: {said}");
        }
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "approved, merged, and frozen");
        assert!(t.row(&pr).contains("**held**: `frozen`"), "{}", t.row(&pr));
        assert!(t.comment(&pr).contains("/bascule unfreeze production"), "{}", t.comment(&pr));
        assert!(!t.comment(&pr).contains("](https://example.org)"), "a reason is no Markdown: {}", t.comment(&pr));
        // Asking for it does not help, and neither does asking by somebody else.
        t.forge.comments("lee", &pr, "/bascule sync production").await;
        t.forge.comments("lee", &pr, "/bascule unfreeze production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.comments("kim", &pr, "/bascule unfreeze production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        // Where none stands any more, nothing ends.
        t.forge.comments("kim", &pr, "/bascule unfreeze production").await;
        t.run_jobs().await;
        let said: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM audit_entry WHERE action IN ('environment.frozen', 'environment.unfrozen')",
        )
        .fetch_one(&t.database.owner)
        .await
        .unwrap();
        assert_eq!(said, 2, "who did, and nobody who only tried");
    });
}

#[test]
fn a_freeze_ends_by_itself_and_one_of_everything_is_of_everything() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.comments("dev", &pr, "/bascule freeze * --reason the tills --until 2h").await;
        t.run_jobs().await;
        // An operator, on the server's host, for longer.
        let began_at = t.context.clock.now();
        let all = Freeze {
            id: t.context.clock.new_id(),
            environment: None,
            by: "operator".to_owned(),
            reason: "the region".to_owned(),
            until: Some(began_at + SignedDuration::from_hours(3)),
            began_at,
        };
        freezes::begin(&mut t.database.owner.acquire().await.unwrap(), &all).await.unwrap();
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert!(t.comment(&pr).contains("unfreeze --everything"), "what stands longest is told: {}", t.comment(&pr));
        // What nobody approved on top of it is what the environment is held for, and what was approved waits beside that.
        t.forge.pushes_to("dev", &t.shop, "main", &[("deploy/more.yaml", &settings("more", "1"))]).await;
        t.run_jobs().await;
        assert!(t.rows().await.contains("uncovered"), "{}", t.rows().await);
        for (hours, expected, left) in [(2, "web=1", 0), (1, "web=2", 1)] {
            let passed = SignedDuration::from_hours(hours) + SignedDuration::from_secs(1);
            t.forge.waits(passed);
            t.context.clock.advance(passed);
            let thawed = app::thaw(&t.database.pool, &t.context.clock).await.unwrap();
            t.run_jobs().await;
            assert_eq!((t.objects().await, thawed), (vec![expected.to_owned()], left), "after {hours} hours more");
        }
    });
}

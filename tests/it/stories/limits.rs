//! A forge that takes only so much: what waits, in which order it goes on, and what does not wait.

use bascule::app::SharedBudget;
use bascule::forge::budget::{Budget as _, Cost, Limits, Purse, Urgency};
use bascule::queue;
use jiff::SignedDuration;

use super::*;

/// As GitHub publishes them.
const LIMITS: Limits = Limits { points_a_minute: 900, creations_a_minute: 80, creations_an_hour: 500 };

#[test]
fn previews_wait_until_there_is_room_the_newest_first_and_a_sync_does_not() {
    on_plane(async |plane| {
        let database = Database::new().await;
        let mut town = Box::pin(Town::on(database, plane, "limits", Tongue::GitHub, Told::ByDeliveries)).await;
        let t = &mut town;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let merged = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &merged).await;
        t.run_jobs().await;
        let clock = t.context.clock.clone();
        clock.advance(SignedDuration::from_mins(2));
        t.forge.enforces(&clock, [900, 80, 500]);
        // Other repositories of the account had seventy comments written in this minute; previews may write seventy-two.
        let budget = SharedBudget::new(t.database.pool.clone(), clock.clone());
        let forge = "work".parse().unwrap();
        let purse = Purse { forge: &forge, account: "", limits: Some(LIMITS) };
        budget.take(purse, Cost { points: 0, creations: 70 }, Urgency::Preview).await.unwrap();

        let mut pulls = Vec::new();
        for n in 3..8 {
            let (path, text) = (WEB.replace("web", &format!("web-{n}")), settings(&format!("web-{n}"), "1"));
            pulls.push(t.forge.opens_pull("dev", &t.shop, &[(&path, &text)]).await.number);
        }
        t.forge.merges("dev", &merged, Merge::Commit).await;
        let due = async |t: &mut Town| {
            while let Some(job) = t.claim().await {
                let verdict = t.runs_until(&job, &tokio_util::sync::CancellationToken::new()).await;
                t.settles(&job, &verdict).await;
            }
        };
        t.forge.take_calls();
        due(t).await;
        let comments = |t: &Town| -> Vec<i64> {
            let calls = t.forge.take_calls();
            let of = |call: &String| {
                call.strip_prefix("POST /repos/acme/shop/issues/")?.strip_suffix("/comments")?.parse().ok()
            };
            calls.iter().filter_map(of).collect()
        };
        assert_eq!(comments(t), pulls[..2], "there is room for two");
        assert_eq!(t.objects().await, ["web=2"], "the sync went on");
        assert!(t.comment(&merged).contains("`#2` healthy"), "and was told of: {}", t.comment(&merged));
        let shown = "SELECT count(DISTINCT pull_number) FROM preview WHERE pull_number = ANY($1)";
        let shown: i64 = sqlx::query_scalar(shown).bind(&pulls).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(shown, 5, "each preview is on our own page at once");
        let waiting = queue::waiting(&mut t.database.pool.acquire().await.unwrap()).await.unwrap();
        assert_eq!(waiting.iter().map(|one| (one.forge.as_str(), one.jobs)).collect::<Vec<_>>(), [("work", 3)]);
        let failed = "SELECT count(*) FROM audit_entry WHERE action = 'preview.not_posted'";
        let failed: i64 = sqlx::query_scalar(failed).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(failed, 0, "what cannot be sent is not intended");

        // The minute is not over: who comes too early waits on, and costs the forge nothing.
        let earlier = "UPDATE job SET run_at = run_at - interval '1 day' WHERE state = 'pending'";
        sqlx::query(earlier).execute(&t.database.owner).await.unwrap();
        due(t).await;
        assert_eq!(t.forge.take_calls(), [""; 0]);
        clock.advance(SignedDuration::from_secs(66));
        sqlx::query(earlier).execute(&t.database.owner).await.unwrap();
        due(t).await;
        assert_eq!(comments(t), [pulls[4], pulls[3], pulls[2]], "the newest first, and none is lost");
        assert_eq!(t.forge.refusals(), (0, 0));
        t.run_jobs().await;
        assert!(t.troubles.is_empty(), "{:#?}", t.troubles);
    });
}

/// Calls at most: for a preview, for an approval that is heard, and for a sync with what is said of it.
const MOST: [(Tongue, [usize; 3]); 3] =
    [(Tongue::Gitea, [13, 14, 23]), (Tongue::GitHub, [13, 13, 24]), (Tongue::GitLab, [14, 16, 35])];

#[test]
fn a_preview_and_a_sync_ask_little_of_each_forge() {
    on_plane(async |plane| {
        for (tongue, most) in MOST {
            let (database, namespace) = (Database::new().await, format!("calls-{}", tongue.kind()));
            let mut town = Box::pin(Town::on(database, plane, &namespace, tongue, Told::ByDeliveries)).await;
            let t = &mut town;
            t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
            let calls = async |t: &mut Town| {
                t.forge.take_calls();
                t.run_jobs().await;
                t.forge.take_calls()
            };
            let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
            let preview = calls(t).await;
            t.forge.approves("lee", &pr).await;
            let approval = calls(t).await;
            t.forge.merges("dev", &pr, Merge::Commit).await;
            let sync = calls(t).await;
            assert_eq!(t.objects().await, ["web=2"]);
            for (calls, most) in [preview, approval, sync].iter().zip(most) {
                println!("{}: {} calls", tongue.name(), calls.len());
                assert!(calls.len() <= most, "{tongue:?}: {} calls: {calls:#?}", calls.len());
            }
        }
    });
}

//! Deliveries twice, late, in the wrong order, or never: whatever they say, what is done is what is true.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::Row as _;

use super::files::{RULES, WEB, settings};
use super::table;
use super::town::{Told, Town};
use crate::fake::forge::{Delivering, Delivery, Merge, Pr};
use crate::plane::on_plane;
use crate::support::database::Database;

/// Tells a story that is about deliveries, so with a door that keeps them alone.
pub(super) fn heard<S: AsyncFn(&mut Town)>(story: S) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    insta::allow_duplicates! { on_plane(async |plane| {
        let tellings = table::tellings(table::name_of::<S>()).into_iter();
        for (tongue, told) in tellings.filter(|(_, told)| *told == Told::ByDeliveries) {
            let namespace = format!("heard-{}", NEXT.fetch_add(1, Ordering::SeqCst));
            let mut town = Box::pin(Town::on(Database::new().await, plane, &namespace, tongue, told)).await;
            Box::pin(story(&mut town)).await;
            town.run_jobs().await;
        }
    }) }
}

/// Production runs `web=1`, and somebody asks for `web=2`; deliveries are kept from here on, and these are the first.
async fn asks_for_two(t: &mut Town) -> (Pr, Vec<Delivery>) {
    t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
    t.forge.delivers(Delivering::Kept);
    let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
    let told = t.forge.take_deliveries();
    (pr, told)
}

async fn sends(t: &Town, deliveries: &[Delivery]) {
    for delivery in deliveries {
        assert_eq!(t.forge.sends(delivery).await, Some(202));
    }
}

/// The same body under an id nobody has seen.
fn anew(deliveries: &[Delivery]) -> Vec<Delivery> {
    let again = |delivery: &Delivery| Delivery { id: format!("again-{}", delivery.id), ..delivery.clone() };
    deliveries.iter().map(again).collect()
}

/// What we wrote on the forge meanwhile.
fn written(t: &Town) -> Vec<String> {
    t.forge.take_calls().into_iter().filter(|call| !call.starts_with("GET ")).collect()
}

#[test]
fn a_delivery_that_comes_again_has_no_effect_again() {
    heard(async |t| {
        let (pr, opened) = asks_for_two(t).await;
        sends(t, &[opened.clone(), opened.clone()].concat()).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        let approved = t.forge.take_deliveries();
        sends(t, &[approved.clone(), approved.clone()].concat()).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        let merged = t.forge.take_deliveries();
        sends(t, &[merged.clone(), merged.clone()].concat()).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        let (before, _) = (t.rows().await, t.forge.take_calls());
        for again in [&opened, &approved, &merged] {
            sends(t, again).await;
            sends(t, &anew(again)).await;
            t.run_jobs().await;
        }
        assert_eq!(written(t), [""; 0], "nothing is said twice");
        assert_eq!(t.rows().await, before);
        assert!(t.troubles.is_empty(), "{:?}", t.troubles);
    });
}

#[test]
fn an_approval_replayed_after_its_dismissal_is_none() {
    heard(async |t| {
        let (pr, opened) = asks_for_two(t).await;
        sends(t, &opened).await;
        t.run_jobs().await;
        let review = t.forge.approves("lee", &pr).await;
        let approved = t.forge.take_deliveries();
        sends(t, &approved).await;
        t.run_jobs().await;
        t.forge.dismisses(review).await;
        t.sweeps().await;
        sends(t, &anew(&approved)).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        sends(t, &t.forge.take_deliveries()).await;
        sends(t, &anew(&anew(&approved))).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "held");
        assert!(t.troubles.is_empty(), "{:?}", t.troubles);
    });
}

#[test]
fn an_approval_that_is_told_only_after_its_dismissal_is_none() {
    heard(async |t| {
        let (pr, opened) = asks_for_two(t).await;
        sends(t, &opened).await;
        t.run_jobs().await;
        let review = t.forge.approves("lee", &pr).await;
        let approved = t.forge.take_deliveries();
        t.forge.dismisses(review).await;
        sends(t, &approved).await;
        t.run_jobs().await;
        let counted: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM approval WHERE id NOT IN (SELECT approval_id FROM approval_void) AND pull_number = $1",
        )
        .bind(pr.number)
        .fetch_one(&t.database.owner)
        .await
        .unwrap();
        assert_eq!(counted, 0);
        t.forge.merges("dev", &pr, Merge::Squash).await;
        sends(t, &t.forge.take_deliveries()).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "held");
    });
}

#[test]
fn two_pushes_told_in_the_wrong_order_give_the_preview_of_the_true_head() {
    heard(async |t| {
        let (pr, opened) = asks_for_two(t).await;
        sends(t, &opened).await;
        t.run_jobs().await;
        t.forge.pushes("kim", &pr, &[(WEB, &settings("web", "3"))]).await;
        let mut first = t.forge.take_deliveries();
        let head = t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "4"))]).await;
        let second = t.forge.take_deliveries();
        sends(t, &second).await;
        t.run_jobs().await;
        let at_second = t.forge.comment(&pr);
        first.reverse();
        sends(t, &first).await;
        t.run_jobs().await;
        assert_eq!(t.forge.comment(&pr), at_second, "an older push is no news");
        assert!(at_second.contains(&head[..7]) && at_second.contains("value"), "{at_second}");
        assert_eq!(t.forge.our_comments(pr.repository, pr.number).len(), 1);
        assert!(t.forge.statuses(&pr).contains_key("bascule/preview"), "on the true head");
        assert!(t.troubles.is_empty(), "{:?}", t.troubles);
    });
}

#[test]
fn what_was_stored_and_not_yet_done_is_done_once_when_it_is_delivered_again() {
    heard(async |t| {
        let (pr, opened) = asks_for_two(t).await;
        sends(t, &opened).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        let told = t.forge.take_deliveries();
        // Nobody works between these.
        for _ in 0..3 {
            sends(t, &told).await;
            sends(t, &anew(&told)).await;
        }
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        let deployments: i64 = sqlx::query_scalar("SELECT count(*) FROM deployment WHERE number > 1")
            .fetch_one(&t.database.owner)
            .await
            .unwrap();
        assert_eq!(deployments, 1);
    });
}

#[test]
fn what_no_delivery_told_is_found_by_a_sweep() {
    heard(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.delivers(Delivering::Lost);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.sweeps().await;
        t.forge.approves("lee", &pr).await;
        t.sweeps().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        // More branches than Gitea tells of in one push, and one that counts.
        for branch in ["a", "b", "c", "d"] {
            t.forge.pushes_to("dev", &t.shop, branch, &[("README.md", branch)]).await;
        }
        t.sweeps().await;
        assert_eq!(t.objects().await, ["web=2"]);
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "3"))]).await;
        t.sweeps().await;
        assert_eq!((t.objects().await, t.held_issues().await.len()), (vec!["web=2".to_owned()], 1), "held and said so");
    });
}

#[test]
fn a_head_that_stays_gone_when_we_fetch_it_is_said_once_and_waited_for() {
    heard(async |t| {
        let (pr, opened) = asks_for_two(t).await;
        sends(t, &opened).await;
        t.run_jobs().await;
        // The forge's pages still tell a head that a force push has thrown away.
        let head = t.forge.head(&pr);
        t.forge.tells_head(&pr, &"5".repeat(40));
        t.forge.take_calls();
        let mut told = anew(&opened);
        for _ in 0..3 {
            sends(t, &told).await;
            t.run_jobs().await;
            told = anew(&told);
        }
        let said = t.forge.comment(&pr);
        assert!(said.contains("the head moved while it was fetched"), "{said}");
        assert_eq!(t.forge.our_comments(pr.repository, pr.number).len(), 1);
        // Told three times and tried many times, it is said once.
        let wrote = written(t);
        assert!(wrote.iter().filter(|call| call.contains("comments")).count() <= 1, "{wrote:?}");
        t.forge.tells_head(&pr, &head);
        sends(t, &told).await;
        t.run_jobs().await;
        assert!(t.forge.comment(&pr).contains(&head[..7]));
    });
}

#[test]
fn one_trace_goes_from_a_delivery_to_what_it_led_to() {
    heard(async |t| {
        let (pr, opened) = asks_for_two(t).await;
        sends(t, &opened).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        let approved = t.forge.take_deliveries();
        sends(t, &approved).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        let merged = t.forge.take_deliveries();
        sends(t, &merged).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        let mut traces = Vec::new();
        for delivery in [opened, approved, merged].iter().flatten() {
            let trace = sqlx::query("SELECT trace FROM delivery WHERE delivery_id = $1").bind(&delivery.id);
            let trace: uuid::Uuid = trace.fetch_one(&t.database.owner).await.unwrap().get(0);
            // Some forges have a page of deployments, and are told.
            let led_to = "SELECT 'a preview' FROM (SELECT FROM preview WHERE trace = $1 LIMIT 1) AS one
                          UNION ALL SELECT 'a deployment' FROM deployment WHERE trace = $1
                          UNION ALL (SELECT action FROM audit_entry WHERE trace = $1
                                     AND action NOT LIKE 'deployment.t%' AND action NOT LIKE 'deployment.sh%' ORDER BY seq)";
            let led_to: Vec<String> =
                sqlx::query_scalar(led_to).bind(trace).fetch_all(&t.database.owner).await.unwrap();
            // Several deliveries tell of one thing, and the first of them has its job.
            if !led_to.is_empty() {
                traces.push(format!("{}: {}", delivery.event, led_to.join(", ")));
            }
        }
        // Each forge has its own word for a review.
        let traces = traces.join("\n").replace("pull_request_approved:", "pull_request_review:");
        let traces = traces.replace("Merge Request Hook: approval", "pull_request_review: approval");
        let traces = traces.replace("Merge Request Hook:", "pull_request:");
        insta::assert_snapshot!(traces, @"
        pull_request: a preview, preview.post, preview.posted, status.post, status.posted, status.post, status.posted
        pull_request_review: approval.recorded, preview.post, preview.posted, status.post, status.posted
        push: a deployment, sync.started, deployment.sync, deployment.ended, preview.post, preview.posted
        ");
    });
}

#[test]
fn of_a_repository_without_a_grant_everything_is_taken_and_nothing_is_said() {
    heard(async |t| {
        t.begins(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.delivers(Delivering::Kept);
        let rules = t.rules(RULES);
        let files = [(".bascule.yaml", rules.as_str()), (WEB, &settings("web", "1"))];
        let other = t.forge.repository("acme/other", &files).await;
        let pr = t.forge.opens_pull("dev", &other, &[(WEB, &settings("web", "2"))]).await;
        t.forge.comments("lee", &pr, "/bascule help").await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        let told = t.forge.take_deliveries();
        t.forge.take_calls();
        sends(t, &told).await;
        t.run_jobs().await;
        t.sweeps().await;
        assert!(told.len() >= 5, "{}", told.len());
        assert_eq!(written(t), [""; 0], "not a word on the forge");
        assert_eq!((t.forge.comment(&pr).as_str(), t.forge.statuses(&pr).len()), ("", 0));
        let known = "SELECT count(*) FROM environment JOIN repository ON repository.id = repository_id WHERE full_name = 'acme/other'";
        let known: i64 = sqlx::query_scalar(known).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(known, 0);
        assert!(t.troubles.is_empty(), "{:?}", t.troubles);
    });
}

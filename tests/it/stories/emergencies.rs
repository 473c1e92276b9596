//! An emergency: two people let pass what an environment waits for, and somebody else looks at it afterwards.

use bascule::app;
use jiff::SignedDuration;

use super::*;
use crate::fake::forge::Pr;

const OFFICE: &str = "    windows: [{ allow: 'Mon-Fri 09:00-17:00', timezone: Europe/Berlin }]\n";
const MAY: &str = "    may: { emergency: { users: [kim, olga] } }\n";

async fn passes(t: &mut Town, hours: i64) {
    let passed = SignedDuration::from_hours(hours);
    t.forge.waits(passed);
    t.context.clock.advance(passed);
    app::thaw(&t.database.pool, &t.context.clock).await.unwrap();
    t.run_jobs().await;
}

/// The number of the issue in which the only emergency is told.
async fn issue(t: &Town) -> Pr {
    let number: i64 = sqlx::query_scalar("SELECT issue FROM emergency").fetch_one(&t.database.owner).await.unwrap();
    t.forge.place_of(t.shop.id, number)
}

async fn count(t: &Town, of: &'static str) -> i64 {
    sqlx::query_scalar(of).fetch_one(&t.database.owner).await.unwrap()
}

/// What nobody approved is merged: the pull request.
async fn held(t: &mut Town, rules: &str) -> Pr {
    t.runs(rules, &[(WEB, &settings("web", "1"))]).await;
    let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
    t.run_jobs().await;
    t.forge.merges("dev", &pr, Merge::Squash).await;
    t.run_jobs().await;
    assert_eq!(t.objects().await, ["web=1"], "held");
    pr
}

#[test]
fn two_people_let_pass_what_nobody_approved_and_a_third_reviews_it() {
    check(async |t| {
        let pr = held(t, &format!("{RULES}{MAY}")).await;
        for (login, typed) in [
            ("lee", "/bascule emergency production --reason not mine to say"),
            ("kim", "/bascule emergency production --reason the tills are down"),
            ("kim", "/bascule emergency production --reason really, they are"),
        ] {
            t.forge.comments(login, &pr, typed).await;
            t.run_jobs().await;
        }
        assert_eq!(t.objects().await, ["web=1"], "one person twice is one person");
        let said = t.answers(&pr);
        for sentence in ["`may.emergency` does not name you", "a second one of those whom"] {
            assert!(said.contains(sentence), "{sentence}: {said}");
        }
        t.forge.comments("olga", &pr, "/bascule emergency production --reason I see it, too").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        let issue = issue(t).await;
        // Neither of them, nor a stranger, nor whoever closes it.
        for login in ["kim", "olga", "dev"] {
            t.forge.comments(login, &issue, "/bascule reviewed").await;
        }
        t.run_jobs().await;
        let open = "SELECT count(*) FROM emergency WHERE reviewed_at IS NULL";
        assert_eq!(count(t, open).await, 1);
        passes(t, 23).await;
        assert_eq!(count(t, "SELECT reminders::bigint FROM emergency").await, 0);
        passes(t, 2).await;
        passes(t, 24).await;
        passes(t, 24 * 30).await;
        assert_eq!(count(t, "SELECT reminders::bigint FROM emergency").await, 7, "and no more");
        t.forge.comments("lee", &issue, "/bascule reviewed --reason it was right").await;
        t.run_jobs().await;
        assert_eq!(count(t, open).await, 0);
        let told = "SELECT count(*) FROM audit_entry WHERE action IN ('emergency.asked', 'emergency.begun', 'emergency.reviewed')";
        assert_eq!(count(t, told).await, 5, "three asked, it began, and it was reviewed");
    });
}

/// Both of those who may ask for it.
async fn both_ask(t: &mut Town, pr: &Pr) {
    for login in ["kim", "olga"] {
        t.forge.comments(login, pr, "/bascule emergency production --reason the tills are down").await;
        t.run_jobs().await;
    }
}

#[test]
fn it_passes_a_window_and_a_freeze_it_does_not() {
    check(async |t| {
        t.runs(&format!("{RULES}{OFFICE}{MAY}"), &[(WEB, &settings("web", "1"))]).await;
        passes(t, 12).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert!(t.comment(&pr).contains("/bascule emergency production --reason …"), "{}", t.comment(&pr));
        both_ask(t, &pr).await;
        assert_eq!(t.objects().await, ["web=2"], "at night, {}", t.rows().await);
        let passed: String =
            sqlx::query_scalar("SELECT passed::text FROM emergency").fetch_one(&t.database.owner).await.unwrap();
        assert!(passed.contains("windows: `Mon–Fri 09:00–17:00 (Europe/Berlin)`"), "{passed}");
        passes(t, 24).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        t.forge.comments("lee", &pr, "/bascule freeze production --reason the region is down").await;
        t.run_jobs().await;
        both_ask(t, &pr).await;
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        assert!(t.row(&pr).contains("frozen"), "{}", t.row(&pr));
        t.forge.comments("lee", &pr, "/bascule unfreeze production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=3"], "it still counts: {}", t.rows().await);
    });
}

#[test]
fn it_passes_what_would_be_synced_by_hand_and_says_so() {
    check(async |t| {
        t.runs(&format!("{RULES}{OFFICE}{MAY}"), &[(WEB, &settings("web", "1"))]).await;
        passes(t, 12).await;
        let rules = t.rules(&format!("{RULES}{OFFICE}{MAY}    sync: {{ mode: manual }}\n"));
        let files = [(".bascule.yaml", rules.as_str()), (WEB, &settings("web", "2"))];
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.approves("olga", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "nobody asked for a sync");
        both_ask(t, &pr).await;
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        let passed: String =
            sqlx::query_scalar("SELECT passed::text FROM emergency").fetch_one(&t.database.owner).await.unwrap();
        assert!(passed.contains("sync.mode: manual") && passed.contains("windows: "), "{passed}");
    });
}

#[test]
fn it_is_of_the_change_that_waited_and_who_asks_alone_asks_again() {
    check(async |t| {
        let pr = held(t, &format!("{RULES}{MAY}")).await;
        t.forge.comments("kim", &pr, "/bascule emergency production --reason the tills are down").await;
        t.run_jobs().await;
        // Something else waits from now on, where people look at it.
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.comments("lee", &pr, "/bascule preview").await;
        t.run_jobs().await;
        let place = t.held_issues().await.pop().unwrap();
        t.forge.comments("olga", &place, "/bascule emergency production --reason the tills are down").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "they asked for two changes");
        passes(t, 5).await;
        t.forge.comments("kim", &place, "/bascule emergency production --reason the tills are down").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "nobody remembers what was asked five hours ago");
        t.forge.comments("olga", &place, "/bascule emergency production --reason still down").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=3"], "{}", t.rows().await);
    });
}

#[test]
fn what_a_policy_denies_and_a_change_of_the_rules_pass_for_nobody() {
    check(async |t| {
        let rules = format!(
            "{RULES}{MAY}policies:\n  plain: {{ cel: \"object.data.value != '2'\", effect: deny, message: no twos }}\n"
        );
        let pr = held(t, &rules).await;
        both_ask(t, &pr).await;
        assert_eq!(t.objects().await, ["web=1"], "{}", t.rows().await);
        assert!(t.comment(&pr).contains("the emergency does not pass"), "{}", t.comment(&pr));
        let rules = t.rules(&format!("{RULES}    may: {{ emergency: {{ users: [kim, olga, dev] }} }}\n"));
        let change = [(".bascule.yaml", rules.as_str()), (WEB, &settings("web", "4"))];
        t.forge.pushes_to("dev", &t.shop, "main", &change).await;
        t.run_jobs().await;
        t.forge.comments("lee", &pr, "/bascule preview").await;
        t.run_jobs().await;
        let place = t.held_issues().await.pop().unwrap();
        both_ask(t, &place).await;
        assert_eq!(t.objects().await, ["web=1"], "{}", t.rows().await);
        let begun: i64 = count(t, "SELECT count(*) FROM emergency").await;
        assert_eq!(begun, 0);
    });
}

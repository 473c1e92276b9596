//! Windows: what was consented to waits for its hours, and goes on by itself when they begin. A story begins on a Monday, at ten
//! o'clock in Berlin.

use bascule::app;
use jiff::{SignedDuration, Timestamp};

use super::*;

const OFFICE: &str = "    windows: [{ allow: 'Mon-Fri 09:00-17:00', timezone: Europe/Berlin }]\n";

/// It is that time now; how many environments go on because of it.
async fn it_is(t: &mut Town, when: &str) -> usize {
    let passed = when.parse::<Timestamp>().unwrap().duration_since(t.context.clock.now());
    assert!(passed > SignedDuration::ZERO, "time goes on");
    t.forge.waits(passed);
    t.context.clock.advance(passed);
    let woken = app::thaw(&t.database.pool, &t.context.clock).await.unwrap();
    t.run_jobs().await;
    woken
}

#[test]
fn what_is_merged_in_the_evening_waits_for_the_morning_and_goes_by_itself() {
    check(async |t| {
        t.runs(&format!("{RULES}{OFFICE}"), &[(WEB, &settings("web", "1"))]).await;
        it_is(t, "2026-01-05T16:00:00Z").await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert!(t.row(&pr).contains("after merge, `Mon–Fri 09:00–17:00 (Europe/Berlin)`"), "{}", t.row(&pr));
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "it is five o'clock in Berlin");
        assert!(t.row(&pr).contains("**held**: `window`"), "{}", t.row(&pr));
        let said = t.comment(&pr);
        for sentence in ["outside its windows, `Mon–Fri 09:00–17:00", "it opens `Tue 2026-01-06 09:00 (Europe/Berlin)`"]
        {
            assert!(said.contains(sentence), "{sentence}: {said}");
        }
        // Nobody has to ask for it, and asking does not help.
        t.forge.comments("lee", &pr, "/bascule sync production").await;
        t.run_jobs().await;
        assert_eq!(it_is(t, "2026-01-06T07:59:59Z").await, 0, "a second before it");
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(it_is(t, "2026-01-06T08:00:00Z").await, 1);
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        assert_eq!(it_is(t, "2026-01-07T08:00:00Z").await, 0, "once");
    });
}

#[test]
fn windows_are_those_of_what_runs_whatever_the_next_change_says_of_them() {
    check(async |t| {
        t.runs(&format!("{RULES}{OFFICE}"), &[(WEB, &settings("web", "1"))]).await;
        it_is(t, "2026-01-05T16:00:00Z").await;
        let rules = t.rules(RULES);
        let files = [(".bascule.yaml", rules.as_str()), (WEB, &settings("web", "2"))];
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        assert!(t.row(&pr).contains("Mon–Fri 09:00–17:00"), "those that hold it are shown: {}", t.row(&pr));
        t.forge.approves("lee", &pr).await;
        t.forge.approves("olga", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "its windows are gone only once it runs");
        it_is(t, "2026-01-06T08:00:00Z").await;
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        it_is(t, "2026-01-06T20:00:00Z").await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=3"], "{}", t.rows().await);
    });
}

#[test]
fn beside_what_nobody_approved_the_window_still_opens_for_what_was() {
    check(async |t| {
        t.runs(&format!("{RULES}{OFFICE}"), &[(WEB, &settings("web", "1"))]).await;
        it_is(t, "2026-01-09T20:00:00Z").await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        t.forge.pushes_to("dev", &t.shop, "main", &[("deploy/more.yaml", &settings("more", "1"))]).await;
        t.run_jobs().await;
        assert!(t.rows().await.contains("uncovered"), "{}", t.rows().await);
        assert_eq!(it_is(t, "2026-01-11T12:00:00Z").await, 0, "a Sunday");
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(it_is(t, "2026-01-12T08:00:00Z").await, 1);
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        assert!(t.rows().await.contains("uncovered"), "{}", t.rows().await);
    });
}

/// Staging asks nobody; production asks Lee, and goes after staging.
const TWO: &str = "\
version: 1
environments:
  staging:
    path: staging
    cluster: test
    namespace: '{ns}-staging'
    consent: none
  production:
    path: production
    cluster: test
    namespace: '{ns}'
    after: [staging]
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

#[test]
fn what_comes_after_another_environment_waits_until_that_was_healthy_for_long_enough() {
    check(async |t| {
        let in_staging = |value: &str| ("staging/web.yaml", settings("web", value));
        let in_production = |value: &str| ("production/web.yaml", settings("web", value));
        let (one, other) = (in_staging("1"), in_production("1"));
        t.runs(TWO, &[(one.0, &one.1), (other.0, &other.1)]).await;
        let rules = t.rules(&TWO.replace("[staging]", "[{ environment: staging, soak: 10m }]"));
        let (one, other) = (in_staging("2"), in_production("2"));
        let files = [(".bascule.yaml", rules.as_str()), (one.0, &one.1), (other.0, &other.1)];
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        assert!(t.row(&pr).contains("after `staging` (healthy for `10m`)"), "{}", t.row(&pr));
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(
            (t.objects_in("-staging").await, t.objects().await),
            (vec!["web=2".to_owned()], vec!["web=1".to_owned()])
        );
        assert!(t.comment(&pr).contains("until staging has been healthy for 10m"), "{}", t.comment(&pr));
        assert_eq!(it_is(t, "2026-01-05T09:09:59Z").await, 0, "a second before");
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(it_is(t, "2026-01-05T09:10:00Z").await, 1);
        assert_eq!(t.objects().await, ["web=2"], "{}", t.rows().await);
        // Another deployment of staging begins the time anew.
        let (one, other) = (in_staging("3"), in_production("3"));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(one.0, &one.1), (other.0, &other.1)]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        it_is(t, "2026-01-05T09:15:00Z").await;
        let one = in_staging("4");
        t.forge.pushes_to("dev", &t.shop, "main", &[(one.0, &one.1)]).await;
        t.run_jobs().await;
        it_is(t, "2026-01-05T09:20:00Z").await;
        assert_eq!(
            (t.objects_in("-staging").await, t.objects().await),
            (vec!["web=4".to_owned()], vec!["web=2".to_owned()])
        );
        it_is(t, "2026-01-05T09:25:00Z").await;
        assert_eq!(t.objects().await, ["web=3"], "{}", t.rows().await);
    });
}

//! What has to hold after a sync (`verify`), asked of a Prometheus before an environment counts as healthy.

use std::sync::Arc;

use bascule::queue::Verdict;
use insta::assert_snapshot;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fake::forge::Pr;
use crate::fake::prometheus::{FakePrometheus, Says};

/// Another one waits for it.
const VERIFIED: &str = "\
version: 1
defaults: { cluster: test, consent: { approvals: [{ count: 1, users: [lee] }] } }
environments:
  production:
    path: deploy
    namespace: '{ns}'
    runbook: docs/shop.md
    on_failure: HOLD
    verify:
      - { prometheus: main, query: 'sum(rate(errors{namespace=\"${namespace}\"}[1m])) < 0.05', for: 2m, within: 4m }
";

impl Town {
    /// From now on `main` is this one, and everybody may have it asked.
    fn is_measured_by(&mut self, prometheus: &FakePrometheus) {
        let context = Arc::get_mut(&mut self.context).expect("no job runs");
        context.prometheus = prometheus.alone();
        for grant in Arc::make_mut(&mut context.platform).grants.values_mut() {
            grant.prometheus.insert("main".parse().unwrap());
        }
    }

    /// It runs, and a pull request that brings another value is merged; until the first look at what has to hold.
    async fn brings_what_is_verified(&mut self, prometheus: &FakePrometheus, on_failure: &str) -> Pr {
        self.is_measured_by(prometheus);
        self.runs(&VERIFIED.replace("HOLD", on_failure), &[(WEB, &settings("web", "1"))]).await;
        prometheus.asked();
        let pr = self.forge.opens_pull("dev", &self.shop, &[(WEB, &settings("web", "2"))]).await;
        self.run_jobs().await;
        self.forge.approves("lee", &pr).await;
        self.forge.merges("dev", &pr, Merge::Squash).await;
        self.verifies(1).await;
        pr
    }

    /// Everything that is due runs, with so many looks at what has to hold.
    async fn verifies(&mut self, times: usize) {
        self.hears().await;
        let mut looks = 0;
        while looks < times {
            match self.claim().await {
                Some(job) => {
                    let verdict = self.run(&job, &CancellationToken::new()).await;
                    looks += usize::from(matches!(verdict, Verdict::Snooze { .. }));
                }
                None => assert!(self.time_passes().await > 0, "it is looked at {looks} times"),
            }
        }
        while let Some(job) = self.claim().await {
            self.run(&job, &CancellationToken::new()).await;
        }
    }
}

#[test]
fn what_holds_for_as_long_as_it_has_to_is_healthy_then_and_not_before() {
    check(async |t| {
        let prometheus = FakePrometheus::new().await;
        let pr = t.brings_what_is_verified(&prometheus, "hold").await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` synced, being verified |");
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 running"]);
        // Nobody's slot is taken meanwhile.
        let running: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE state = 'running'")
            .fetch_one(&t.database.owner)
            .await
            .unwrap();
        let mut asked = prometheus.asked();
        assert!(running == 0 && !asked.is_empty(), "{running}, {asked:?}");
        // A worker that dies in a look: the next one goes on where it was.
        t.time_passes().await;
        let job = t.claim().await.unwrap();
        t.runs_until(&job, &CancellationToken::new()).await;
        sqlx::query("UPDATE job SET lease_until = now() - interval '1 second', run_at = now()")
            .execute(&t.database.owner)
            .await
            .unwrap();
        t.run_jobs().await;
        asked.extend(prometheus.asked());
        // Two minutes, four times a minute, and the beginning: whoever went on asked no more often.
        assert_eq!(asked.len(), 9, "{asked:#?}");
        assert!(asked[0].contains(&format!("errors%7Bnamespace%3D%22{}%22%7D", t.namespace)), "{}", asked[0]);
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 healthy"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
        let said = t.actions("deployment.%").await;
        assert_eq!(said[said.len() - 3..], ["deployment.sync", "deployment.verifying", "deployment.ended"]);
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM verification").fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(left, 0);
    });
}

#[test]
fn what_does_not_hold_any_more_has_failed_and_goes_back_where_the_rules_say_so() {
    check(async |t| {
        let prometheus = FakePrometheus::new().await;
        t.brings_what_is_verified(&prometheus, "rollback").await;
        prometheus.says(Says::Nothing);
        t.verifies(1).await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 running"], "it may hold again");
        // From then on there is not time enough; what it went back to is verified, too.
        let mut looked = 0;
        while t.deployments().await.len() == 2 {
            t.verifies(1).await;
            looked += 1;
            assert!(looked < 9, "{:?}", t.deployments().await);
        }
        prometheus.says(Says::Something);
        t.run_jobs().await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 failed", "#3 healthy, back to #1"]);
        assert_eq!(t.objects().await, ["web=1"]);
        let held = t.is_held_for().await;
        assert!(held.starts_with("pinned: ") && held.contains("not verified: `sum(rate(errors"), "{held}");
        assert!(held.contains("it does not hold (it has to hold for 2m within 4m)"), "{held}");
    });
}

#[test]
fn who_cannot_be_asked_is_asked_again_for_so_long_and_then_it_is_held_with_the_reason() {
    check(async |t| {
        let prometheus = FakePrometheus::new().await;
        let pr = t.brings_what_is_verified(&prometheus, "hold").await;
        prometheus.says(Says::This(503, String::new()));
        t.run_jobs().await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 failed"]);
        assert_eq!(t.objects().await, ["web=2"], "what was applied stays");
        assert_snapshot!(t.is_held_for().await.replace(&t.namespace, "shop"), @r#"failed: not verified: `sum(rate(errors{namespace="shop"}[1m])) < 0.05`: it could not be asked: prometheus `main`: it is not well (503) (it has to hold for 2m within 4m); runbook: docs/shop.md (/bascule sync production)"#);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` **failed**, see below |");
        // What it does not understand, it never will.
        prometheus.asked();
        let body = r#"{"status":"error","errorType":"bad_data","error":"1:4: parse error: <b>no</b>"}"#;
        prometheus.says(Says::This(400, body.to_owned()));
        t.forge.comments("lee", &pr, "/bascule resume production").await;
        t.run_jobs().await;
        assert_eq!(prometheus.asked().len(), 1);
        assert!(t.is_held_for().await.contains("does not understand the query"), "{}", t.is_held_for().await);
        assert!(t.comment(&pr).contains("`<b>no</b>`"), "as code: {}", t.comment(&pr));
        prometheus.says(Says::Something);
        t.forge.comments("lee", &pr, "/bascule resume production").await;
        t.run_jobs().await;
        assert!(t.deployments().await.last().unwrap().ends_with("healthy"), "{:?}", t.deployments().await);
        assert_eq!(t.is_held_for().await, "");
    });
}

#[test]
fn whoever_goes_back_waits_for_no_verdict_and_a_repository_names_only_what_it_was_granted() {
    check(async |t| {
        let prometheus = FakePrometheus::new().await;
        t.brings_what_is_verified(&prometheus, "hold").await;
        t.is_asked_back(None).await;
        t.run_jobs().await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 superseded", "#3 healthy, back to #1"]);
        assert_eq!(t.objects().await, ["web=1"]);
        let other = t.rules(&VERIFIED.replace("HOLD", "hold").replace("prometheus: main", "prometheus: other"));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(".bascule.yaml", &other)]).await;
        t.run_jobs().await;
        let said = t.statuses(&pr);
        assert!(said.contains("prometheus `other` is not granted to this repository"), "{said}");
    });
}

//! What we depend on is away for longer than any job is tried, or a worker is told to stop: nothing is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bascule::forge::{Forge, Kind, Settings, SignIn};
use bascule::ids::ForgeName;
use bascule::jobs::ForgeAccess;
use bascule::queue::Verdict;
use insta::assert_snapshot;
use secrecy::SecretString;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fake::forge::{Fault, Pr, TOKEN};

/// More than the tries after which a job that fails by itself is given up.
const TRIES: usize = 15;

impl Town {
    /// From now on an answer has to come within this; the way to the forge that there was.
    fn waits_for_the_forge(&mut self, answer_within: Duration) -> BTreeMap<ForgeName, Arc<ForgeAccess>> {
        let name: ForgeName = "work".parse().unwrap();
        let (url, sign_in) = (self.forge.url(), SignIn::Token(SecretString::from(TOKEN)));
        let settings = Settings { name: name.clone(), url: url.clone(), sign_in, ca_pem: None, answer_within };
        let forge = Forge::new(Kind::Gitea, settings, self.context.clock.clone()).unwrap();
        let access = ForgeAccess { forge, url, ca_file: None, ourselves: OnceLock::new() };
        let context = Arc::get_mut(&mut self.context).expect("no job runs");
        std::mem::replace(&mut context.forges, BTreeMap::from([(name, Arc::new(access))]))
    }

    /// What was tried and did not go well; the story expected it.
    pub(super) fn take_troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }
}

/// An approved change of production is merged, and that is all that was heard of it.
async fn merged_and_heard(t: &mut Town) -> Pr {
    t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
    let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
    t.run_jobs().await;
    t.forge.approves("lee", &pr).await;
    t.forge.merges("dev", &pr, Merge::Commit).await;
    t.hears().await;
    pr
}

/// The forge is back: what was heard before happens, and nobody had to ask for it.
async fn everything_happens(t: &mut Town, pr: &Pr) {
    let failed = "SELECT count(*) FROM job WHERE state = 'failed' OR attempt > 0";
    let failed: i64 = sqlx::query_scalar(failed).fetch_one(&t.database.owner).await.unwrap();
    assert_eq!(failed, 0, "an outage is no try");
    assert_eq!(t.objects().await, ["web=1"]);
    t.run_jobs().await;
    assert_eq!(t.objects().await, ["web=2"]);
    assert!(t.comment(pr).contains("`#2` healthy"), "{}", t.comment(pr));
}

#[test]
fn a_forge_that_nobody_reaches_for_an_hour_loses_nothing() {
    check(async |t| {
        let pr = merged_and_heard(t).await;
        t.forge.goes_away().await;
        t.tries(TRIES).await;
        t.forge.returns().await;
        everything_happens(t, &pr).await;
    });
}

#[test]
fn a_forge_that_answers_with_a_proxys_page_for_an_hour_loses_nothing() {
    check(async |t| {
        let pr = merged_and_heard(t).await;
        t.forge.breaks(Fault::Html(502));
        t.tries(TRIES).await;
        t.forge.recovers();
        everything_happens(t, &pr).await;
    });
}

#[test]
fn a_forge_that_does_not_answer_in_time_for_an_hour_loses_nothing() {
    check(async |t| {
        let pr = merged_and_heard(t).await;
        // Nobody waits for it here: a server gives it ten seconds.
        let patient = t.waits_for_the_forge(Duration::from_millis(50));
        t.forge.breaks(Fault::Hangs);
        t.tries(TRIES).await;
        t.forge.recovers();
        Arc::get_mut(&mut t.context).unwrap().forges = patient;
        everything_happens(t, &pr).await;
    });
}

#[test]
fn a_forge_whose_git_is_away_for_an_hour_loses_nothing() {
    check(async |t| {
        let pr = merged_and_heard(t).await;
        t.forge.breaks_at("info/refs", Fault::Html(502));
        t.tries(TRIES).await;
        t.forge.recovers();
        everything_happens(t, &pr).await;
    });
}

#[test]
fn a_token_that_is_refused_for_an_hour_loses_nothing() {
    check(async |t| {
        let pr = merged_and_heard(t).await;
        t.forge.breaks(Fault::Status(401));
        t.tries(TRIES).await;
        t.forge.recovers();
        everything_happens(t, &pr).await;
    });
}

#[test]
fn one_thing_that_is_said_not_to_be_there_is_asked_for_again() {
    for part in ["/commits/", "/pulls/"] {
        check(async |t| {
            merged_and_heard(t).await;
            // Whose a commit is, only GraphQL tells there.
            let is_graphql = t.forge.tongue() == Tongue::GitLab && part == "/commits/";
            t.forge.breaks_at(if is_graphql { "/graphql" } else { part }, Fault::Status(404));
            t.tries(3).await;
            assert!(!t.take_troubles().is_empty(), "{part}: not passed over in silence");
            t.forge.recovers();
            t.run_jobs().await;
            assert_eq!(t.objects().await, ["web=2"], "{part}");
        });
    }
}

#[test]
fn a_worker_that_stops_hands_back_what_waits_for_the_forge() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        bascule::app::sweep_all(&t.context).await.unwrap();
        t.forge.breaks(Fault::Hangs);
        let mut handed_back = Vec::new();
        while let Some(job) = t.claim().await {
            t.forge.take_calls();
            let stopping = CancellationToken::new();
            let told = async {
                // It waits for an answer that never comes.
                while t.forge.calls() == 0 {
                    tokio::task::yield_now().await;
                }
                stopping.cancel();
            };
            let (verdict, ()) = tokio::join!(t.runs_until(&job, &stopping), told);
            assert_eq!(verdict, Verdict::Snooze { wait: Duration::ZERO }, "{}", job.kind);
            assert_eq!(t.forge.calls(), 1, "{}: nothing more was asked", job.kind);
            handed_back.push((job, verdict));
        }
        for (job, verdict) in &handed_back {
            t.settles(job, verdict).await;
        }
        assert!(handed_back.iter().any(|(job, _)| job.kind == "sweep_repository"));
        let tried: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE state <> 'pending' OR attempt > 0")
            .fetch_one(&t.database.owner)
            .await
            .unwrap();
        assert_eq!(tried, 0, "another worker may take each at once");
        t.forge.recovers();
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
    });
}

#[test]
fn a_database_that_is_away_is_no_try() {
    check(async |t| {
        let pr = merged_and_heard(t).await;
        let job = t.claim().await.unwrap();
        let closed = PgPool::connect_lazy(&t.database.server_url()).unwrap();
        closed.close().await;
        let context = Arc::get_mut(&mut t.context).unwrap();
        let open = std::mem::replace(&mut context.pool, closed);
        let verdict = t.runs_until(&job, &CancellationToken::new()).await;
        Arc::get_mut(&mut t.context).unwrap().pool = open;
        assert!(matches!(verdict, Verdict::Later { .. }), "{verdict:?}");
        t.settles(&job, &verdict).await;
        everything_happens(t, &pr).await;
    });
}

#[test]
fn an_issue_whose_making_was_not_answered_is_found_and_no_second_one_is_made() {
    for fault in [Fault::Html(502), Fault::BreaksOff] {
        check(async |t| {
            t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
            let before = t.forge.numbers(&t.shop);
            t.forge.loses_the_answer("POST /repos/acme/shop/issues", fault.clone());
            t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
            t.run_jobs().await;
            assert!(t.forge.has_lost_the_answer(), "{fault:?}: it was made");
            assert_eq!(t.forge.numbers(&t.shop), before + 1, "{fault:?}: once");
            let held = t.held_issues().await;
            assert_eq!(held.iter().map(|issue| issue.number).collect::<Vec<_>>(), [before]);
            assert_eq!(t.forge.our_comments(t.shop.id, before).len(), 1);
            t.take_troubles();
            t.forge.comments("lee", &held[0], &t.to_type(&held[0], "production")).await;
            t.run_jobs().await;
            assert_eq!(t.objects().await, ["web=2"], "{fault:?}");
        });
    }
}

#[test]
fn a_comment_whose_writing_was_not_answered_is_found_and_no_second_one_is_written() {
    for fault in [Fault::Html(502), Fault::BreaksOff] {
        check(async |t| {
            t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
            let call = format!("POST /repos/acme/shop/issues/{}/comments", t.forge.numbers(&t.shop));
            t.forge.loses_the_answer(&call, fault.clone());
            let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
            t.run_jobs().await;
            assert!(t.forge.has_lost_the_answer(), "{fault:?}: it was written");
            assert_eq!(t.forge.our_comments(pr.repository, pr.number).len(), 1, "{fault:?}: once");
            t.take_troubles();
            // It was shown from when the forge wrote it, so that a review of it counts.
            t.forge.approves("lee", &pr).await;
            t.forge.merges("dev", &pr, Merge::Squash).await;
            t.run_jobs().await;
            assert_eq!(t.objects().await, ["web=2"], "{fault:?}");
        });
    }
}

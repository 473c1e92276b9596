//! Rules of consent that take more than one look: another branch, an exception, a held change that moves on, and a fact
//! that arrives while the gate is judged.

use bascule::queue::Verdict;
use insta::assert_snapshot;
use tokio_util::sync::CancellationToken;

use super::replay::heard;
use super::*;

#[test]
fn a_pull_request_that_was_for_another_branch_has_lost_its_approvals_for_ever() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "release", &[("README.md", "# Release\n")]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.retargets("dev", &pr, "release").await;
        t.run_jobs().await;
        t.forge.retargets("dev", &pr, "main").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn a_push_that_takes_the_change_away_voids_the_approval_also_when_it_comes_back() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        for value in ["1", "2"] {
            t.forge.pushes("dev", &pr, &[(WEB, &settings("web", value))]).await;
            t.run_jobs().await;
        }
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
    });
}

#[test]
fn a_push_by_force_voids_the_approval_of_what_it_alters_and_no_other() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        // The head that was approved is gone; its change is not.
        t.forge.force_pushes("dev", &pr, &[(WEB, &settings("web", "2")), ("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        for value in ["3", "2"] {
            t.forge.force_pushes("dev", &pr, &[(WEB, &settings("web", value))]).await;
            t.run_jobs().await;
            assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        }
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "held");
    });
}

#[test]
fn a_sync_is_asked_for_by_whom_the_rules_leave_it_to() {
    check(async |t| {
        let rules = RULES.to_owned() + "    may: { sync: { users: [kim] } }\n";
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        for who in ["lee", "kim"] {
            t.forge.comments(who, &pr, "/bascule sync production").await;
            t.run_jobs().await;
        }
        let answers = t.answers(&pr);
        assert!(answers.contains("those whom its") && answers.contains("there is nothing to do"), "{answers}");
        let asked = "SELECT actor FROM audit_entry WHERE action = 'sync.asked'";
        let asked: Vec<String> = sqlx::query_scalar(asked).fetch_all(&t.database.owner).await.unwrap();
        assert!(matches!(asked.as_slice(), [one] if one.starts_with("work/kim (")), "{asked:?}");
    });
}

#[test]
fn rules_come_from_the_default_branch_alone() {
    check(async |t| {
        let rules = RULES.replace("    consent:", "    follow: { branch: release }\n    consent:");
        t.begins(&rules, &[("README.md", "# Shop\n")]).await;
        // The branch it follows says that nobody has to be asked.
        let none = t.rules(&rules.replace("{ approvals: [{ count: 1, users: [lee] }] }", "none"));
        let files = [(WEB, settings("web", "1")), (".bascule.yaml", none)];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        t.forge.pushes_to("dev", &t.shop, "release", &files).await;
        t.run_jobs().await;
        let held = t.held_issues().await.remove(0);
        t.forge.comments("lee", &held, "/bascule approve").await;
        t.forge.comments("olga", &held, "/bascule approve").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.pushes_to("dev", &t.shop, "release", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(t.held_issues().await.len(), 1, "{}", t.rows().await);
    });
}

#[test]
fn an_owner_lets_a_held_change_pass_when_they_say_why() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let held = t.held_issues().await.remove(0);
        t.forge.comments("olga", &held, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "no rule names Olga");
        t.forge.comments("olga", &held, "/bascule approve production --reason the shop is down").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        let reasons =
            "SELECT detail->>'exceptions' FROM audit_entry WHERE action = 'sync.started' ORDER BY seq DESC LIMIT 1";
        let reasons: String = sqlx::query_scalar(reasons).fetch_one(&t.database.owner).await.unwrap();
        assert_snapshot!(reasons, @r#"[["the shop is down"]]"#);
    });
}

#[test]
fn a_held_change_stays_the_one_to_approve_until_somebody_moves_it_on() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let held = t.held_issues().await.remove(0);
        let line = t.to_type(&held, "production");
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert_eq!(t.to_type(&held, "production"), line, "what somebody may be reading");
        t.forge.comments("dev", &held, "/bascule preview").await;
        t.run_jobs().await;
        assert_eq!(t.held_issues().await, std::slice::from_ref(&held), "people find it where they looked before");
        let moved_on = t.to_type(&held, "production");
        assert_ne!(moved_on, line);
        t.forge.comments("lee", &held, &moved_on).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=3"]);
    });
}

#[test]
fn what_is_taken_back_while_the_gate_is_judged_is_not_synced() {
    // Only a delivery arrives so soon; facts that a sweep would find may be thirty seconds old.
    heard(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        let job = loop {
            let job = t.claim().await.expect("a merge leads to a sync");
            if job.kind == "sync_environment" {
                break job;
            }
            t.run(&job, &CancellationToken::new()).await;
        };

        // Everything is read and judged before the job's own row is asked for.
        let mut stop = t.database.owner.begin().await.unwrap();
        sqlx::query("SELECT FROM job WHERE id = $1 FOR UPDATE").bind(job.id).execute(&mut *stop).await.unwrap();
        let stopping = CancellationToken::new();
        let waits = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                     WHERE NOT l.granted AND a.datname = current_database()";
        let verdict = {
            let mut running = std::pin::pin!(t.runs_until(&job, &stopping));
            let judged = async {
                while sqlx::query_scalar::<_, i64>(waits).fetch_one(&t.database.owner).await.unwrap() == 0 {}
                t.forge.comments("lee", &pr, "/bascule revoke").await;
                stop.commit().await.unwrap();
            };
            tokio::select! {
                verdict = &mut running => panic!("nothing stopped it: {verdict:?}"),
                () = judged => {}
            }
            running.await
        };
        assert_eq!(verdict, Verdict::Done);
        t.settles(&job, &verdict).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | **held**: `uncovered` |");
    });
}

#[test]
fn what_is_taken_back_once_a_sync_has_begun_does_not_stop_it() {
    heard(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let review = t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        // It was begun, and nothing is written yet.
        t.dies_before("deployment.sync").await;
        t.forge.dismisses(review).await;
        t.sweeps().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |");
        assert_snapshot!(t.audit_of(&pr).await, @"preview.posted, approval.recorded, preview.posted, sync.started, preview.posted");
    });
}

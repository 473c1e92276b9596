//! Back to what was healthy before, and pinned there: nothing goes forward until somebody says so, or until no commit has what
//! was taken away.

use bascule::clock::Clock;
use bascule::db::pins;
use bascule::db::rollbacks::{self, NewRollback};
use bascule::event::back_to::BackTo;
use bascule::ids::{RepositoryKey, TraceId};
use bascule::jobs;
use bascule::queue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::fake::forge::{Pr, Right};

impl Town {
    /// A pull request that makes another value of it is approved and merged.
    pub(super) async fn brings(&mut self, value: &str) -> Pr {
        let pr = self.forge.opens_pull("dev", &self.shop, &[(WEB, &settings("web", value))]).await;
        self.run_jobs().await;
        self.forge.approves("lee", &pr).await;
        self.forge.merges("dev", &pr, Merge::Squash).await;
        self.run_jobs().await;
        pr
    }

    /// Somebody types this.
    pub(super) async fn hears_of(&mut self, login: &str, pr: &Pr, typed: &str) {
        self.forge.comments(login, pr, typed).await;
        self.run_jobs().await;
    }

    /// Number and state of each deployment, and what a rollback went back to: `#3 healthy, back to #1`.
    pub(super) async fn deployments(&self) -> Vec<String> {
        let all = "SELECT format('#%s %s%s', d.number, d.state, coalesce(', back to #' || t.number, ''))
                   FROM deployment d LEFT JOIN rollback b ON b.deployment_id = d.id LEFT JOIN deployment t ON t.id = b.back_to
                   ORDER BY d.number";
        sqlx::query_scalar(all).fetch_all(&self.database.owner).await.unwrap()
    }

    /// What the one environment is held for, in words.
    pub(super) async fn is_held_for(&self) -> String {
        let held = "SELECT reason || ': ' || detail || ' (' || lifts || ')' FROM hold";
        let held: Option<String> = sqlx::query_scalar(held).fetch_optional(&self.database.owner).await.unwrap();
        self.as_shown(&held.unwrap_or_default())
    }

    /// A way back is asked for, as by the API, and nothing is asked of the forge.
    pub(super) async fn is_asked_back(&self, to: Option<BackTo>) {
        let clock: Clock = self.context.clock.clone();
        let mut conn = self.database.pool.acquire().await.unwrap();
        let id: i64 = sqlx::query_scalar("SELECT id FROM environment").fetch_one(&mut *conn).await.unwrap();
        let environment = bascule::db::environments::get(&mut conn, id).await.unwrap().unwrap();
        let way = rollbacks::way(&mut conn, &environment, to.as_ref()).await.unwrap().unwrap();
        let new = NewRollback {
            id: clock.new_id(),
            environment: id,
            back_to: way.back.deployment,
            by: "token ci".to_owned(),
            reason: None,
            is_by_itself: false,
            asked_in: None,
            trace: TraceId(Uuid::from_u128(7)),
            asked_at: clock.now(),
        };
        rollbacks::ask(&mut conn, &new).await.unwrap();
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: self.shop.id };
        queue::enqueue(&mut conn, &jobs::sync_environment(&key, id, new.trace)).await.unwrap();
    }

    pub(super) async fn actions(&self, like: &str) -> Vec<String> {
        let all = "SELECT action FROM audit_entry WHERE action LIKE $1 ORDER BY seq";
        sqlx::query_scalar(all).bind(like).fetch_all(&self.database.owner).await.unwrap()
    }
}

#[test]
fn what_was_healthy_is_put_back_and_nothing_goes_forward_until_somebody_resumes() {
    check(async |t| {
        let rules = format!("{RULES}    may: {{ rollback: {{ users: [kim] }} }}\n");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        t.forge.lets("kim", &t.shop, Right::Read);
        let pr = t.brings("2").await;
        assert_eq!(t.objects().await, ["web=2"]);

        // Whom `may` does not name is told so, and nothing is done.
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        assert_eq!((t.objects().await, t.deployments().await.len()), (vec!["web=2".to_owned()], 2));
        t.hears_of("kim", &pr, "/bascule rollback production --reason the *tills* [hang](https://example.org)").await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 healthy", "#3 healthy, back to #1"]);
        let said = t.answers(&pr);
        for sentence in ["is said by those whom its `may` names", "is pinned until `/bascule resume production`"] {
            assert!(said.contains(sentence), "{sentence}: {said}");
        }
        let held = t.is_held_for().await;
        assert!(
            held.starts_with("pinned: production is pinned: back at #1 (…), from #2, by work/kim: the *tills*"),
            "{held}"
        );
        assert!(held.ends_with("(/bascule resume production)"), "{held}");
        assert!(t.row(&pr).contains("**held**: `pinned`"), "{}", t.row(&pr));
        assert!(!t.comment(&pr).contains("](https://example.org)"), "a reason is no Markdown: {}", t.comment(&pr));

        // A merge that leaves what was taken away as it is, a sync that is asked for, and a commit that changes nothing of ours
        // leave it there.
        let next = t.forge.opens_pull("dev", &t.shop, &[("deploy/more.yaml", &settings("more", "1"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &next).await;
        t.forge.merges("dev", &next, Merge::Squash).await;
        t.run_jobs().await;
        t.hears_of("lee", &next, "/bascule sync production").await;
        t.forge.pushes_to("dev", &t.shop, "main", &[("README.md", "# the shop\n")]).await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.deployments().await.len()), (vec!["web=1".to_owned()], 3));
        assert!(t.answers(&next).contains("`/bascule resume production` ends that"), "{}", t.answers(&next));
        assert!(t.row(&next).contains("**held**: `pinned`"), "{}", t.row(&next));

        // Nobody else ends it.
        t.hears_of("lee", &next, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["web=1"]);
        t.hears_of("kim", &next, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["more=1", "web=2"]);
        assert_eq!(t.deployments().await.last().unwrap(), "#4 healthy");
        assert_eq!(t.is_held_for().await, "");
        assert_eq!(t.actions("rollback.%").await, ["rollback.asked", "rollback.started"]);
        assert_eq!(t.actions("environment.resumed").await.len(), 1, "who did, and nobody who only tried");
        // Where it was asked for, nobody has to type anything to read how it is now.
        let said = t.answers(&pr);
        assert!(said.contains("is said by those whom its `may` names"), "what is said of it before stays: {said}");
        assert!(said.contains("where it is pinned no more") && !said.contains("is pinned until"), "{said}");
        assert!(!t.row(&pr).contains("**held**"), "{}", t.row(&pr));
    });
}

#[test]
fn a_pin_is_over_when_a_covered_commit_has_nothing_of_what_was_taken_away() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1")), ("deploy/more.yaml", &settings("more", "1"))]).await;
        let pr = t.brings("2").await;
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        assert_eq!(t.objects().await, ["more=1", "web=1"]);
        // What has it still, and another object, is merged with consent, and waits.
        let other = t.forge.opens_pull("dev", &t.shop, &[("deploy/more.yaml", &settings("more", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &other).await;
        t.forge.merges("dev", &other, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=1"], "{}", t.is_held_for().await);
        // A revert that nobody consents to ends nothing; with consent, it does.
        let back = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "1"))]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &back, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=1"]);
        assert!(t.is_held_for().await.contains("pinned"), "{}", t.is_held_for().await);
        let line = t.to_type(&back, "production");
        t.hears_of("lee", &back, &line).await;
        assert_eq!(t.objects().await, ["more=2", "web=1"], "{}", t.rows().await);
        assert_eq!(t.is_held_for().await, "");
        assert_eq!(t.actions("pin.ended").await.len(), 1);
        let said = t.answers(&pr);
        assert!(said.contains("where it is pinned no more") && !said.contains("is pinned until"), "{said}");
        assert!(!t.row(&pr).contains("**held**"), "{}", t.row(&pr));
    });
}

#[test]
fn a_revert_that_waits_for_its_checks_brings_nothing_of_what_was_taken_away() {
    check(async |t| {
        t.runs_checked().await;
        let pr = t.brings("2").await;
        t.ci_says("ci/test", "success").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        assert_eq!(t.objects().await, ["web=1"]);
        // A commit with what was taken away, which needs no checks, and then the revert of it, which does.
        t.forge.pushes_to("dev", &t.shop, "main", &[("README.md", "# the shop\n")]).await;
        t.run_jobs().await;
        let back = t.brings("1").await;
        t.hears_of("lee", &back, "/bascule sync production").await;
        t.sweeps().await;
        let until_then = ["#1 healthy", "#2 healthy", "#3 healthy, back to #1"];
        assert_eq!(t.deployments().await, until_then, "{}", t.is_held_for().await);
        assert!(t.is_held_for().await.starts_with("waiting: production waits until"), "{}", t.is_held_for().await);
        assert_eq!(t.actions("pin.ended").await, [""; 0], "it is not synced yet");
        t.ci_says("ci/test", "success").await;
        t.run_jobs().await;
        assert_eq!(t.deployments().await, [&until_then[..], &["#4 healthy"]].concat());
        assert_eq!((t.objects().await, t.is_held_for().await), (vec!["web=1".to_owned()], String::new()));
        assert_eq!(t.actions("pin.ended").await.len(), 1);
        // Where it was gone back from, it is told how it is now.
        assert!(!t.row(&pr).contains("**held**"), "{}", t.row(&pr));
    });
}

#[test]
fn resuming_brings_nothing_of_what_was_taken_away_before_something_newer_that_waits() {
    check(async |t| {
        t.runs_checked().await;
        let pr = t.brings("2").await;
        t.ci_says("ci/test", "success").await;
        t.run_jobs().await;
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        let next = t.brings("3").await;
        t.hears_of("dev", &next, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["web=1"], "{}", t.is_held_for().await);
        assert!(t.is_held_for().await.starts_with("waiting: production waits until"), "{}", t.is_held_for().await);
        t.ci_says("ci/test", "success").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=3"]);
        let all = ["#1 healthy", "#2 healthy", "#3 healthy, back to #1", "#4 healthy"];
        assert_eq!(t.deployments().await, all);
    });
}

#[test]
fn a_way_back_that_was_not_tried_yet_is_taken_back() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.brings("2").await;
        t.is_asked_back(None).await;
        let mut conn = t.database.pool.acquire().await.unwrap();
        let id: i64 = sqlx::query_scalar("SELECT id FROM environment").fetch_one(&mut *conn).await.unwrap();
        assert!(pins::resume(&mut conn, id, "work/kim (7)", t.context.clock.now()).await.unwrap());
        assert_eq!(rollbacks::open(&mut conn, id).await.unwrap(), None);
        drop(conn);
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.deployments().await.len()), (vec!["web=2".to_owned()], 2));
        let why: String =
            sqlx::query_scalar("SELECT refused FROM rollback").fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(why, "it was taken back by work/kim");
    });
}

#[test]
fn it_goes_back_to_a_number_or_a_commit_that_was_healthy_and_is_one_of_the_last_ten() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let mut last = t.brings("2").await;
        let commit = t.forge.tip(&t.shop, "main").unwrap();
        for value in 3..=11 {
            last = t.brings(&value.to_string()).await;
        }
        assert_eq!(t.objects().await, ["web=11"]);
        for (typed, answer) in [
            ("--to 1", "is not one of the last 10 contents that were healthy here"),
            ("--to 11", "brought is what runs, and is well"),
            ("--to 40", "there is no deployment"),
        ] {
            t.hears_of("dev", &last, &format!("/bascule rollback production {typed}")).await;
            assert!(t.answers(&last).contains(answer), "{typed}: {}", t.answers(&last));
        }
        assert_eq!(t.actions("rollback.%").await, [""; 0]);
        t.hears_of("dev", &last, "/bascule rollback production --to 4").await;
        assert_eq!(t.objects().await, ["web=4"]);
        // Further back, by its commit; and with nothing named, what was healthy before that is the eleventh.
        t.hears_of("dev", &last, &format!("/bascule rollback production --to {}", &commit[..8])).await;
        assert_eq!(t.objects().await, ["web=2"]);
        t.hears_of("dev", &last, "/bascule rollback production").await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert!(t.answers(&last).contains("nothing else was healthy here before"), "{}", t.answers(&last));
        t.hears_of("dev", &last, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["web=11"], "to where it stands");
        let newest = t.deployments().await.pop().unwrap();
        assert_eq!(newest, "#14 healthy");
        // It is one of the ten as it was, and not what the ways back went to.
        t.hears_of("dev", &last, "/bascule rollback production").await;
        assert_eq!(t.objects().await, ["web=10"]);
    });
}

#[test]
fn what_the_cluster_would_not_take_is_refused_before_anything_is_written() {
    check(async |t| {
        let more = ("deploy/more.yaml", settings("more", "1"));
        t.runs(RULES, &[(WEB, &settings("web", "1")), (more.0, &more.1)]).await;
        let pr = t.brings("2").await;
        // Somebody else owns one of the objects by now.
        let theirs = ["annotate", "--overwrite", "configmap", "more", "bascule.dev/environment=another"];
        t.plane.kubectl(&[&["-n", &t.namespace], &theirs[..]].concat()).await.unwrap();
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        assert_eq!(t.objects().await, ["more=1", "web=2"], "neither the one nor the other");
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 healthy"]);
        assert!(t.answers(&pr).contains("nothing was rolled back: ConfigMap"), "{}", t.answers(&pr));
        assert_eq!(t.is_held_for().await, "", "and nothing is pinned");
        assert_eq!(t.actions("rollback.%").await, ["rollback.asked", "rollback.refused"]);
    });
}

#[test]
fn the_forge_is_not_needed_to_go_back() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.brings("2").await;
        let calls = t.forge.calls();
        t.is_asked_back(None).await;
        let job = t.claim().await.unwrap();
        assert_eq!(job.kind, "sync_environment");
        t.run(&job, &CancellationToken::new()).await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(t.forge.calls(), calls, "it was asked for nothing");
        assert_eq!(t.deployments().await.last().unwrap(), "#3 healthy, back to #1");
    });
}

/// An object of which the API server changes no field that counts.
fn fixed(value: &str) -> String {
    settings("web", value) + "immutable: true\n"
}

#[test]
fn a_failed_sync_goes_back_by_itself_once_where_the_rules_say_so_and_names_the_runbook() {
    check(async |t| {
        let more = "    on_failure: rollback\n    runbook: docs/runbooks/shop.md\n";
        let rules = format!("{RULES}{more}");
        t.runs(&rules, &[(WEB, &fixed("1")), ("deploy/more.yaml", &settings("more", "1"))]).await;
        let files = [(WEB, fixed("2")), ("deploy/more.yaml", settings("more", "2"))];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 failed", "#3 healthy, back to #1"]);
        assert_eq!(t.objects().await, ["more=1", "web=1"]);
        let held = t.is_held_for().await;
        assert!(held.starts_with("pinned: production is pinned: back at #1 (…), by itself, since #2 failed"), "{held}");
        assert!(held.contains("immutable"), "{held}");
        // Whoever asks is led to what the word means.
        t.hears_of("dev", &pr, "/bascule explain production").await;
        let link = "[`pinned`](<http://bascule.example/docs/operations#pinned>)";
        assert!(t.comment(&pr).contains(link), "{}", t.comment(&pr));
        // Asked to try again, it does, and comes back as before: it does not go round.
        t.hears_of("dev", &pr, "/bascule resume production").await;
        let all = t.deployments().await;
        assert_eq!(all[3..], ["#4 failed", "#5 healthy, back to #1"]);
        assert_eq!(t.objects().await, ["more=1", "web=1"]);
        t.sweeps().await;
        assert_eq!(t.deployments().await.len(), 5);
    });
}

#[test]
fn without_such_a_rule_it_is_held_with_its_runbook_and_resuming_tries_again() {
    check(async |t| {
        let rules = format!("{RULES}    runbook: https://example.org/shop\n");
        t.runs(&rules, &[(WEB, &fixed("1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &fixed("2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 failed"]);
        let held = t.is_held_for().await;
        assert!(held.starts_with("failed: ") && held.contains("; runbook: https://example.org/shop"), "{held}");
        assert!(t.comment(&pr).contains("[runbook](<https://example.org/shop>)"), "{}", t.comment(&pr));
        t.plane.kubectl(&["-n", &t.namespace, "delete", "configmap", "web"]).await.unwrap();
        t.hears_of("dev", &pr, "/bascule resume production").await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 failed", "#3 healthy"]);
        assert_eq!((t.objects().await, t.is_held_for().await), (vec!["web=2".to_owned()], String::new()));
        t.hears_of("dev", &pr, "/bascule resume production").await;
        assert!(t.answers(&pr).contains("there is nothing to resume from"), "{}", t.answers(&pr));
    });
}

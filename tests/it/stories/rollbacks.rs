//! Back to what was healthy before, and pinned there: nothing goes forward until somebody says so, or until no commit has what
//! was taken away.

use bascule::clock::Clock;
use bascule::db::rollbacks::{self, NewRollback};
use bascule::event::back_to::BackTo;
use bascule::ids::{RepositoryKey, TraceId};
use bascule::jobs;
use bascule::queue;
use bascule::web::token::{self, Scope};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::fake::forge::{Pr, Right};
use crate::support::random::Random;

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
    async fn hears_of(&mut self, login: &str, pr: &Pr, typed: &str) {
        self.forge.comments(login, pr, typed).await;
        self.run_jobs().await;
    }

    /// Number and state of each deployment, and what a rollback went back to: `#3 healthy, back to #1`.
    pub(super) async fn deployments(&self) -> Vec<String> {
        let all = "SELECT format('#%s %s%s', d.number, d.state, coalesce(format(', back to #%s', t.number), ''))
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

    async fn actions(&self, like: &str) -> Vec<String> {
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
        insta::assert_snapshot!(t.answers(&pr), @"");
        insta::assert_snapshot!(t.is_held_for().await, @"");
        assert!(t.row(&pr).contains("**held**: `pinned`"), "{}", t.row(&pr));
        assert!(!t.comment(&pr).contains("](https://example.org)"), "a reason is no Markdown: {}", t.comment(&pr));

        // A merge, a sync that is asked for, and a commit that changes nothing of ours leave it there.
        let next = t.brings("3").await;
        t.hears_of("lee", &next, "/bascule sync production").await;
        t.forge.pushes_to("dev", &t.shop, "main", &[("README.md", "# the shop\n")]).await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.deployments().await.len()), (vec!["web=1".to_owned()], 3));
        insta::assert_snapshot!(t.answers(&next), @"");
        assert!(t.row(&next).contains("**held**: `pinned`"), "{}", t.row(&next));

        // Nobody else ends it.
        t.hears_of("lee", &next, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["web=1"]);
        t.hears_of("kim", &next, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["web=3"]);
        assert_eq!(t.deployments().await.last().unwrap(), "#4 healthy");
        assert_eq!(t.is_held_for().await, "");
        assert_eq!(t.actions("rollback.%").await, ["rollback.asked", "rollback.started"]);
        assert_eq!(t.actions("environment.resumed").await.len(), 1, "who did, and nobody who only tried");
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
            ("--to 1", "#1 is not one of the last 10 contents that were healthy here"),
            ("--to 11", "what #11 brought is what runs, and is well"),
            ("--to 40", "there is no deployment #40 of it"),
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
        assert!(t.answers(&last).contains("nothing else was healthy here before #13"), "{}", t.answers(&last));
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

impl Town {
    /// What the program says to these words, with a token that may operate.
    async fn types(&self, words: &str) -> (i32, String) {
        let hour = jiff::SignedDuration::from_hours(1);
        let clock = &self.context.clock;
        let name = format!("t{}", clock.new_id().simple());
        let token =
            token::create(&self.database.pool, clock, &name, &[Scope::Read, Scope::Operate], hour).await.unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(words.split(' ')).env_clear().env("BASCULE_SERVER", &self.url).env("BASCULE_TOKEN", token);
        let ran = command.kill_on_drop(true).output().await.unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        (ran.status.code().unwrap(), self.as_shown(&said).replace(&name, "ci"))
    }
}

#[test]
fn a_command_line_shows_what_it_would_do_does_it_and_says_what_came_of_it() {
    on_plane(async |plane| {
        let town = Town::on(Database::new().await, plane, "typed-back", Tongue::Gitea, Told::ByDeliveries);
        let t = &mut Box::pin(town).await;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.brings("2").await;
        insta::assert_snapshot!(t.types("rollback production --dry-run").await.1, @"");
        assert_eq!(t.actions("rollback.%").await, [""; 0], "nothing is asked for");
        let (code, said) = t.types("rollback production --to main").await;
        assert!(code == 2 && said.contains("seven digits"), "{said}");
        let (code, said) = t.types("rollback production --to 2").await;
        assert!(code == 2 && said.contains("what #2 brought is what runs"), "{said}");
        // It waits for what comes of it, which a worker does meanwhile.
        let (mut ran, mut claimed) = (None, false);
        {
            let typed = t.types("rollback production --to 1 --reason tills");
            tokio::pin!(typed);
            while ran.is_none() {
                tokio::select! {
                    said = &mut typed => ran = Some(said),
                    job = t.claim(), if !claimed => {
                        if let Some(job) = job {
                            claimed = true;
                            let verdict = t.runs_until(&job, &CancellationToken::new()).await;
                            t.settles(&job, &verdict).await;
                        }
                    }
                }
            }
        }
        insta::assert_snapshot!(ran.unwrap().1, @"");
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        insta::assert_snapshot!(t.types("history production").await.1, @"");
        insta::assert_snapshot!(t.types("status production").await.1, @"");
        insta::assert_snapshot!(t.types("resume production").await.1, @"");
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        insta::assert_snapshot!(t.types("resume production").await.1, @"");
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
        assert!(t.comment(&pr).contains("runbook: https"), "{}", t.comment(&pr));
        t.plane.kubectl(&["-n", &t.namespace, "delete", "configmap", "web"]).await.unwrap();
        t.hears_of("dev", &pr, "/bascule resume production").await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 failed", "#3 healthy"]);
        assert_eq!((t.objects().await, t.is_held_for().await), (vec!["web=2".to_owned()], String::new()));
        t.hears_of("dev", &pr, "/bascule resume production").await;
        assert!(t.answers(&pr).contains("there is nothing to resume from"), "{}", t.answers(&pr));
    });
}

/// A workload that nobody makes well: there is no controller.
const STUCK: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: stuck }\nspec:\n  selector: { matchLabels: { a: b } }\n  \
    template: { metadata: { labels: { a: b } }, spec: { containers: [{ name: a, image: a }] } }\n";

#[test]
fn a_sync_that_waits_for_health_gives_way() {
    on_plane(async |plane| {
        let town = Town::on(Database::new().await, plane, "stuck-back", Tongue::Gitea, Told::ByDeliveries);
        let t = &mut Box::pin(town).await;
        let rules = RULES.replace("{ approvals: [{ count: 1, users: [lee] }] }", "none");
        t.runs(&format!("{rules}    sync: {{ timeout: 1h }}\n"), &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2")), ("deploy/stuck.yaml", STUCK)]).await;
        let waits = async |t: &Town| {
            let applied = "SELECT count(*) FROM deployment WHERE state = 'running' AND applied_at IS NOT NULL";
            while sqlx::query_scalar::<_, i64>(applied).fetch_one(&t.database.owner).await.unwrap() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            t.is_asked_back(None).await;
        };
        loop {
            let job = t.claim().await.expect("a sync is due");
            let stopping = CancellationToken::new();
            if job.kind == "sync_environment" {
                let (verdict, ()) = tokio::join!(t.runs_until(&job, &stopping), waits(&*t));
                t.settles(&job, &verdict).await;
                break;
            }
            t.run(&job, &stopping).await;
        }
        t.run_jobs().await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 superseded", "#3 healthy, back to #1"]);
        assert_eq!(t.objects().await, ["web=1"]);
        let left = t.plane.kubectl(&["-n", "stuck-back", "get", "deployments", "-o", "name"]).await.unwrap();
        assert_eq!(left, "", "what was new is gone");
        let unended = "SELECT count(*) FROM audit_entry e
                       WHERE opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq)";
        let unended: i64 = sqlx::query_scalar(unended).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(unended, 0, "everything that was begun has an end");
    });
}

/// Points of a way back, at which a worker may die.
const POINTS: [&str; 8] = [
    "way-back-decided",
    "sync-gathered",
    "sync-intent-written",
    "sync-inventory-grown",
    "sync-object-sent",
    "sync-object-recorded",
    "sync-delete-sent",
    "sync-recorded",
];

#[test]
fn whatever_was_deployed_a_way_back_ends_there_wherever_workers_die_and_nothing_goes_forward() {
    const HISTORIES: u64 = 6;
    on_plane(async |plane| {
        let rules = RULES.replace("{ approvals: [{ count: 1, users: [lee] }] }", "none");
        for seed in 0..HISTORIES {
            let random = &mut Random(seed);
            let namespace = format!("back-{seed}");
            let mut t =
                Box::pin(Town::on(Database::new().await, plane, &namespace, Tongue::GitHub, Told::ByDeliveries)).await;
            t.runs(&rules, &[(WEB, &settings("web", "0"))]).await;
            let mut contents = vec![t.objects().await];
            for value in 1..=3 {
                let files = ["web", "more", "other"]
                    .map(|name| (format!("deploy/{name}.yaml"), settings(name, &random.below(3).to_string())));
                // What is not web may be left out: then it is there no more.
                let web = ("deploy/web.yaml".to_owned(), settings("web", &value.to_string()));
                let some = files.into_iter().filter(|(path, _)| !path.contains("web") && random.below(2) == 0);
                let all: Vec<(String, String)> = some.chain([web]).collect();
                let all: Vec<(&str, &str)> = all.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
                t.forge.pushes_to("dev", &t.shop, "main", &all).await;
                t.run_jobs().await;
                contents.push(t.objects().await);
            }
            let to = random.below(3);
            let number = i64::try_from(to).unwrap() + 1;
            t.is_asked_back(Some(BackTo::Number(number))).await;
            t.deaths = (0..2).map(|_| format!("sync_environment {}", random.one(&POINTS))).collect();
            t.drain().await;
            // A set that changes nothing has no object to send, and no death there.
            t.deaths.clear();
            t.run_jobs().await;
            assert_eq!(t.objects().await, contents[to], "seed {seed}, back to #{number}: {:?}", t.deployments().await);
            let newest = t.deployments().await;
            assert_eq!(newest.len(), 5, "seed {seed}: once: {newest:?}");
            assert_eq!(newest[4], format!("#5 healthy, back to #{number}"), "seed {seed}");
            // What is pushed beside what was taken away, and sweeps, bring nothing forward; somebody's word does.
            t.forge.pushes_to("dev", &t.shop, "main", &[("deploy/extra.yaml", &settings("extra", "9"))]).await;
            t.run_jobs().await;
            t.sweeps().await;
            assert_eq!(t.objects().await, contents[to], "seed {seed}: {}", t.is_held_for().await);
            assert!(t.is_held_for().await.starts_with("pinned: "), "seed {seed}: {}", t.is_held_for().await);
            let held = t.actions("pin.ended").await;
            assert!(held.is_empty(), "seed {seed}");
            assert!(t.troubles.is_empty(), "seed {seed}: {:#?}", t.troubles);
        }
    });
}

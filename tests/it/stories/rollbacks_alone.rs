//! A way back of one server: typed at a command line, in the way of a sync that waits, and with workers that die on it, whatever
//! was deployed before.

use bascule::db::environments::{self, Environment, EnvironmentState};
use bascule::db::{pins, rollbacks};
use bascule::event::back_to::BackTo;
use bascule::web::token::{self, Scope};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::random::Random;

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
        let town = Town::on(Database::new().await, plane, "typed-back", Tongue::GitHub, Told::ByDeliveries);
        let t = &mut Box::pin(town).await;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.brings("2").await;
        let (code, said) = t.types("rollback production --dry-run").await;
        let would = "production would go back from #2 to #1 (…); objects: 1 changed\n  changed ConfigMap shop/web\n";
        assert_eq!((code, said.as_str()), (0, would));
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
        let does = "production goes back from #2 to #1 (…); objects: 1 changed: it is deployment #3, and pinned there until `bascule resume \
                    production`\n";
        assert_eq!(ran.unwrap(), (0, does.to_owned()));
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let (_, history) = t.types("history production").await;
        assert!(history.contains("rollback of #2 to #1 by token ") && history.contains("rolled_back"), "{history}");
        let (_, status) = t.types("status production").await;
        assert!(
            status.contains("is held (pinned): production is pinned: back at #1 (…), from #2, by token "),
            "{status}"
        );
        let (_, resumed) = t.types("resume production").await;
        assert!(resumed.starts_with("production goes on as far as the gate lets it; until now: pinned: "), "{resumed}");
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_eq!(t.types("resume production").await.1, "production: there is nothing to resume from\n");
    });
}

/// A workload that nobody makes well: there is no controller.
const STUCK: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: stuck }\nspec:\n  selector: { matchLabels: { a: b } }\n  \
    template: { metadata: { labels: { a: b } }, spec: { containers: [{ name: a, image: a }] } }\n";

#[test]
fn a_sync_that_waits_for_health_gives_way() {
    on_plane(async |plane| {
        let town = Town::on(Database::new().await, plane, "stuck-back", Tongue::GitHub, Told::ByDeliveries);
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

#[test]
fn what_ran_before_it_was_forgotten_is_not_gone_back_to_and_pins_nothing() {
    on_plane(async |plane| {
        let town = Town::on(Database::new().await, plane, "forgotten-back", Tongue::GitHub, Told::ByDeliveries);
        let t = &mut Box::pin(town).await;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.brings("2").await;
        t.is_asked_back(None).await;
        t.run_jobs().await;
        assert!(t.is_held_for().await.starts_with("pinned: "), "{}", t.is_held_for().await);
        t.is_asked_back(Some(BackTo::Number(2))).await;
        let mut conn = t.database.pool.acquire().await.unwrap();
        let id: i64 = sqlx::query_scalar("SELECT id FROM environment").fetch_one(&mut *conn).await.unwrap();
        let known = environments::get(&mut conn, id).await.unwrap().unwrap();
        environments::forget(&mut conn, id, EnvironmentState::Active).await.unwrap();
        assert_eq!(pins::standing(&mut conn, id).await.unwrap(), None);
        assert_eq!(rollbacks::open(&mut conn, id).await.unwrap(), None);
        // As if it had begun anew, with the same content.
        let begun = environments::get(&mut conn, id).await.unwrap().unwrap();
        let begun = Environment { position: known.position, ..begun };
        let why = rollbacks::way(&mut conn, &begun, Some(&BackTo::Number(1))).await.unwrap().unwrap_err();
        assert!(why.to_string().contains("there is no deployment"), "{why}");
        let why = rollbacks::way(&mut conn, &begun, None).await.unwrap().unwrap_err();
        assert!(why.to_string().contains("nothing else was healthy here before"), "{why}");
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

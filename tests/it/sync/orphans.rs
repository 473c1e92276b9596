//! What nobody follows: nothing of it is touched, and it ends by people's word alone.

use std::collections::BTreeMap;

use bascule::cluster::{Clusters, Kubeconfig};
use bascule::db::destructions::{self, Destruction, End};
use bascule::db::environments::{self, EnvironmentState};
use bascule::ids::Account;
use bascule::jobs::sync_environment::{Interrupted, destroy};
use bascule::policy::rules::Group;
use bascule::sync::HoldReason;
use insta::assert_snapshot;
use jiff::Timestamp;
use sqlx::Executor as _;

use super::{Place, cluster_name, lease, settings};
use crate::plane::{on_own_plane, on_plane};

fn person(login: &str, id: i64) -> Account {
    Account { forge: "work".parse().unwrap(), id, login: login.to_owned() }
}

impl Place<'_> {
    /// The default branch's file names it no more.
    async fn is_orphaned(&self) {
        let mut conn = self.database.pool.acquire().await.unwrap();
        assert_eq!(environments::orphan_others(&mut conn, self.repository.id, &[]).await.unwrap(), 1);
    }

    /// Two people agree on its end; whether that is what the job did, and the sentences of the log.
    async fn is_destroyed_by(&self, second: Account, objects: i64) -> (bool, Vec<String>) {
        let mut tx = self.database.pool.begin().await.unwrap();
        let reason = "moved away".to_owned();
        let asked_at = Timestamp::UNIX_EPOCH;
        let end = End::Destroy;
        let new = Destruction { end, objects, reason, asked_by: person("ann", 1), asked_at, agreed_by: None };
        destructions::ask(&mut tx, self.environment, &new).await.unwrap();
        destructions::agree(&mut tx, self.environment, &second).await.unwrap();
        let job = bascule::jobs::sync_environment(
            &self.repository.key,
            self.environment,
            bascule::ids::TraceId(uuid::Uuid::nil()),
        );
        bascule::queue::enqueue(&mut tx, &job).await.unwrap();
        tx.commit().await.unwrap();
        self.lets_time_pass().await;
        let before = self.log().await.len();
        let job = self.server.claim().await.unwrap();
        let world = self.server.world();
        let done = Box::pin(destroy(&world, &job, &lease(&job), self.environment, &|_| {})).await;
        let done = !matches!(done, Err(Interrupted::Unwanted)) && done.unwrap();
        if !done {
            use bascule::queue::Source as _;
            self.server.source().settle(&job, &bascule::queue::Verdict::Done).await.unwrap();
        }
        let log = self.log().await.split_off(before);
        let told = |(action, detail): (String, serde_json::Value)| {
            let why = detail["why"].as_str().unwrap_or_default();
            format!("{action} {} {} {why}", detail["deleted"], detail["left"]).trim_end().to_owned()
        };
        (done, log.into_iter().map(told).collect())
    }

    async fn stands(&self) -> EnvironmentState {
        let mut conn = self.database.pool.acquire().await.unwrap();
        environments::get(&mut conn, self.environment).await.unwrap().unwrap().state
    }
}

#[test]
fn what_two_people_agreed_on_is_deleted_with_proof_and_forgotten() {
    on_plane(async |plane| {
        let place = Place::new(plane, "orphan-destroyed").await;
        place.syncs(&(settings("a", "1") + &settings("b", "1"))).await;
        place.kubectl(&["create", "configmap", "foreign"]).await;
        place.is_orphaned().await;
        let (done, log) = Box::pin(place.is_destroyed_by(person("bob", 2), 2)).await;
        assert!(done);
        assert_snapshot!(log.join("\n"), @r"
        environment.destroy null null
        environment.destroyed 2 0
        ");
        assert_eq!((place.settings().await, place.inventory().await), (vec!["foreign".to_owned()], vec![]));
        assert_eq!(place.stands().await, EnvironmentState::Forgotten);
        let leases = place.kubectl(&["get", "leases", "-o", "name"]).await;
        assert_eq!(leases, "", "its fence went with it");
    });
}

#[test]
fn what_hooks_left_goes_with_the_rest_and_what_only_looks_like_it_stays() {
    on_plane(async |plane| {
        let place = Place::new(plane, "orphan-hooks").await;
        let hook = |name: &str| {
            let marked = format!(r#""annotations":{{"bascule.dev/hook":"pre-sync"}},"name":"{name}""#);
            settings(name, "1").replace(&format!(r#""name":"{name}""#), &marked)
        };
        place.syncs(&(settings("a", "1") + &hook("old"))).await;
        // A later set has another hook, and nobody runs the old one any more: its object is there still.
        let set = settings("a", "1") + &["left", "anew", "never"].map(hook).concat();
        assert_eq!(place.syncs(&set).await.0.hooks, 3);
        place.kubectl(&["delete", "configmap", "anew"]).await;
        place.kubectl(&["create", "configmap", "anew"]).await;
        place.kubectl(&["annotate", "configmap", "never", "bascule.dev/prune=never"]).await;
        assert_eq!(place.inventory().await, ["ConfigMap orphan-hooks/a"]);
        place.is_orphaned().await;
        // What hooks left is in the number that they agree on.
        let (done, log) = Box::pin(place.is_destroyed_by(person("bob", 2), 1)).await;
        assert!(!done);
        assert_snapshot!(log.join("\n"), @"environment.not_destroyed null null it has more objects than they were shown");
        let (_, log) = Box::pin(place.is_destroyed_by(person("bob", 2), 5)).await;
        assert_snapshot!(log.join("\n"), @r"
        environment.destroy null null
        environment.not_destroyed 3 1
        ");
        assert_eq!(place.settings().await, ["anew", "never"]);
        assert_eq!(place.stands().await, EnvironmentState::Orphaned, "somebody asked for one to stay");
        place.kubectl(&["annotate", "configmap", "never", "bascule.dev/prune-"]).await;
        let (_, log) = Box::pin(place.is_destroyed_by(person("bob", 2), 4)).await;
        assert_snapshot!(log.join("\n"), @r"
        environment.destroy null null
        environment.destroyed 1 0
        ");
        assert_eq!(
            (place.settings().await, place.stands().await),
            (vec!["anew".to_owned()], EnvironmentState::Forgotten)
        );
    });
}

#[test]
fn what_is_not_provably_ours_stays_and_the_environment_with_it() {
    on_plane(async |plane| {
        let place = Place::new(plane, "orphan-kept").await;
        place.syncs(&["goes", "never", "anew"].map(|name| settings(name, "1")).concat()).await;
        place.kubectl(&["annotate", "configmap", "never", "bascule.dev/prune=never"]).await;
        place.kubectl(&["delete", "configmap", "anew"]).await;
        place.kubectl(&["create", "configmap", "anew"]).await;
        place.is_orphaned().await;
        let (_, log) = Box::pin(place.is_destroyed_by(person("bob", 2), 3)).await;
        assert_snapshot!(log.join("\n"), @r"
        environment.destroy null null
        environment.not_destroyed 1 1
        ");
        assert_eq!(place.settings().await, ["anew", "never"]);
        assert_eq!(place.inventory().await, ["ConfigMap orphan-kept/never"]);
        assert_eq!(place.stands().await, EnvironmentState::Orphaned);
    });
}

#[test]
fn one_person_is_not_two_and_nobody_destroys_what_is_followed_or_was_not_shown() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "orphan-refused").await;
        place.syncs(&settings("a", "1")).await;
        let followed = Box::pin(place.is_destroyed_by(person("bob", 2), 1)).await;
        place.is_orphaned().await;
        let alone = Box::pin(place.is_destroyed_by(person("ann", 1), 1)).await;
        let accounts = ["work/Ann", "work/ann-HOME"].map(str::to_owned).into();
        let group = Group { people: BTreeMap::from([("ann".to_owned(), accounts)]), ..Group::default() };
        place.server.platform.groups.insert("sre".to_owned(), group);
        let twice = Box::pin(place.is_destroyed_by(person("ann-home", 7), 1)).await;
        let unseen = Box::pin(place.is_destroyed_by(person("bob", 2), 0)).await;
        let all = [followed, alone, twice, unseen];
        assert!(all.iter().all(|(done, _)| !done));
        assert_snapshot!(all.into_iter().flat_map(|(_, log)| log).collect::<Vec<_>>().join("\n"), @r"
        environment.not_destroyed null null it is not orphaned any more, or a sync of it runs
        environment.not_destroyed null null who asked and who agreed are one person, by the server's file
        environment.not_destroyed null null who asked and who agreed are one person, by the server's file
        environment.not_destroyed null null it has more objects than they were shown
        ");
        assert_eq!(place.settings().await, ["a"]);
    });
}

#[test]
fn what_is_followed_again_meanwhile_is_not_forgotten() {
    on_plane(async |plane| {
        let place = Place::new(plane, "orphan-revived").await;
        place.syncs(&(settings("a", "1") + &settings("b", "1"))).await;
        place.is_orphaned().await;
        // The default branch's file names it again as soon as the first object is gone.
        let revives = "CREATE FUNCTION revives() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                DELETE FROM destruction;
                UPDATE environment SET state = 'active';
                RETURN NULL;
            END $$;
            CREATE TRIGGER revives AFTER DELETE ON inventory FOR EACH ROW EXECUTE FUNCTION revives();";
        place.database.owner.execute(revives).await.unwrap();
        let (_, log) = Box::pin(place.is_destroyed_by(person("bob", 2), 2)).await;
        assert!(log.iter().all(|line| !line.starts_with("environment.destroyed")), "{log:?}");
        assert!(log.iter().any(|line| line.ends_with("or somebody wants to go back")), "{log:?}");
        assert_eq!(place.stands().await, EnvironmentState::Active);
    });
}

#[test]
fn a_name_that_leads_to_another_cluster_deploys_nothing_and_deletes_nothing_there() {
    on_own_plane(async |other| {
        let place = Place::new(crate::plane::shared().await, "orphan-elsewhere").await;
        place.syncs(&(settings("a", "1") + &settings("b", "1"))).await;
        let home = place.plane.kubeconfig().to_owned();
        let mut place = place;
        let leads_to = |place: &mut Place<'_>, file: std::path::PathBuf| {
            place.server.clusters = Clusters::new(BTreeMap::from([(cluster_name(), Kubeconfig::File(file))]));
        };
        other.kubectl(&["create", "namespace", "orphan-elsewhere"]).await.unwrap();
        leads_to(&mut place, other.kubeconfig().to_owned());
        let (outcome, writes) = place.syncs(&settings("a", "2")).await;
        assert_eq!(writes, 0);
        assert_snapshot!(outcome.sentence(), @"nothing could be tried: `test` is another cluster now (by the uid of its namespace kube-system), and 2 objects of this environment are in the one it was: nothing is sent to this one, and nothing is deleted. Lead the name back, or forget those objects");
        assert_eq!(place.state().await, ("failed".to_owned(), Some(HoldReason::Orphaned.to_string())));
        assert_eq!(place.settings().await, ["a", "b"]);
        let there = other.kubectl(&["-n", "orphan-elsewhere", "get", "configmaps", "-o", "name"]).await.unwrap();
        assert_eq!(there, "");
        // It leads back, and goes on.
        leads_to(&mut place, home);
        assert_eq!(place.syncs(&settings("a", "2")).await.0.sentence(), "1 updated, 1 deleted");
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
    });
}

//! Deliveries that were lost while nobody listened: GitHub's own log of them is read, and each is asked for once more.

use bascule::ids::{RepositoryKey, TraceId};
use bascule::{jobs, queue};

use super::*;
use crate::fake::forge::{Delivering, Fault};

/// What the log of an App needs no right for.
const PERMISSIONS: &[(&str, &str)] = &[
    ("contents", "read"),
    ("issues", "write"),
    ("members", "read"),
    ("metadata", "read"),
    ("pull_requests", "write"),
    ("statuses", "write"),
];

impl Town {
    /// Nothing is swept but the log, and what is heard of that is done; how many deliveries were asked for.
    async fn sweeps_the_log(&mut self) -> usize {
        let (forge, trace) = ("work".parse().unwrap(), TraceId(uuid::Uuid::from_u128(7)));
        let key = RepositoryKey { forge, id: self.shop.id };
        let both = [jobs::sweep_app_deliveries(&key.forge, trace), jobs::sweep_deliveries(&key, trace)];
        queue::enqueue_all(&mut self.database.pool.acquire().await.unwrap(), &both).await.unwrap();
        self.forge.take_calls();
        self.drain().await;
        self.forge.take_calls().iter().filter(|call| call.ends_with("/attempts")).count()
    }

    async fn entries(&self, action: &str) -> usize {
        let count = "SELECT count(*) FROM audit_entry WHERE action = $1";
        let count: i64 = sqlx::query_scalar(count).bind(action).fetch_one(&self.database.owner).await.unwrap();
        usize::try_from(count).unwrap()
    }

    /// An approved change is merged while nobody listens.
    async fn is_away_while_it_is_merged(&mut self, value: &str) {
        self.forge.delivers(Delivering::AtOnce);
        let pr = self.forge.opens_pull("dev", &self.shop, &[(WEB, &settings("web", value))]).await;
        self.run_jobs().await;
        self.forge.delivers(Delivering::Lost);
        self.forge.approves("lee", &pr).await;
        self.forge.merges("dev", &pr, Merge::Squash).await;
        assert_eq!(self.drain().await, [""; 0], "nobody heard of it");
    }
}

#[test]
fn what_was_lost_while_the_server_was_away_is_asked_for_once_and_happens_once() {
    on_plane(async |plane| {
        let (database, told) = (Database::new().await, Told::ByDeliveries);
        let t = &mut Box::pin(Town::by_app(database, plane, "redelivery-app", PERMISSIONS, told)).await;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        assert_eq!(t.sweeps_the_log().await, 0, "before the first look nothing is missed");
        t.is_away_while_it_is_merged("2").await;
        t.forge.delivers(Delivering::AtOnce);
        let asked = t.sweeps_the_log().await;
        assert!(asked >= 3, "the review, the merge, the push: {asked}");
        assert_eq!(t.objects().await, ["web=2"]);
        let rows = t.rows().await;
        assert_eq!((t.entries("delivery.ask").await, t.entries("delivery.asked").await), (asked, asked));
        assert_eq!(t.sweeps_the_log().await, 0, "it has come");
        t.sweeps().await;
        assert_eq!(t.rows().await, rows, "and nothing of it is left to be found");

        // What is lost again is not asked for again: the other sweep finds what it told.
        t.is_away_while_it_is_merged("3").await;
        assert!(t.sweeps_the_log().await >= 3);
        t.forge.delivers(Delivering::AtOnce);
        assert_eq!((t.sweeps_the_log().await, t.objects().await), (0, vec!["web=2".to_owned()]));
        t.sweeps().await;
        assert_eq!(t.objects().await, ["web=3"]);
        assert!(t.troubles.is_empty(), "{:#?}", t.troubles);
    });
}

#[test]
fn by_a_token_the_log_of_our_webhook_is_read_where_it_is_shown_and_used_when_that_is_permitted() {
    on_plane(async |plane| {
        let (database, told) = (Database::new().await, Told::ByDeliveries);
        let t = &mut Box::pin(Town::on(database, plane, "redelivery-token", Tongue::GitHub, told)).await;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let refused = "SELECT bool_or(refused) FROM delivery_log";
        let in_an_hour = "UPDATE delivery_log SET rests_until = now()";
        t.forge.breaks_at("/hooks", Fault::Status(403));
        assert_eq!(t.sweeps_the_log().await, 0);
        assert!(sqlx::query_scalar::<_, bool>(refused).fetch_one(&t.database.owner).await.unwrap());
        t.forge.recovers();
        t.is_away_while_it_is_merged("2").await;
        assert_eq!(t.sweeps_the_log().await, 0, "it is not asked for over and over");
        sqlx::query(in_an_hour).execute(&t.database.owner).await.unwrap();
        assert_eq!(t.sweeps_the_log().await, 0, "the first look");
        let is_refused =
            async |t: &Town| sqlx::query_scalar::<_, bool>(refused).fetch_one(&t.database.owner).await.unwrap();
        assert!(is_refused(t).await, "to read it is no permission to ask: another refusal is no news");

        t.is_away_while_it_is_merged("3").await;
        t.forge.delivers(Delivering::AtOnce);
        t.forge.breaks_at("/attempts", Fault::Status(403));
        assert_eq!(t.sweeps_the_log().await, 1, "may be read, and nothing may be asked for");
        assert_eq!(t.sweeps_the_log().await, 0, "it is not asked over and over");
        t.forge.recovers();
        sqlx::query(in_an_hour).execute(&t.database.owner).await.unwrap();
        assert!(t.sweeps_the_log().await >= 3, "what was refused was not done");
        assert!(!is_refused(t).await);
        assert_eq!(t.objects().await, ["web=3"]);
        assert!(t.troubles.is_empty() && t.refused().await.is_empty(), "{:#?}", t.troubles);
    });
}

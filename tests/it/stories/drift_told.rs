//! Drift in an issue, where the rules ask for that: one, kept up to date, and closed when it is over.

use insta::assert_snapshot;
use jiff::SignedDuration;

use super::drift::{BY_HAND, REPLICAS};
use super::*;
use crate::fake::forge::Pr;

const LABELLED: &str = r#"Deployment shop/web changed [".metadata.labels.tier"] by ["kubectl-label"]"#;
const TELL: &str = "    drift: { tell: issue }\n";

impl Town {
    /// The text of the open issue that tells of drift, with no time in it.
    fn tells_of_drift(&self) -> String {
        let text = self.forge.our_issue(&self.shop, "drift in production").map_or_else(String::new, |(.., text)| text);
        let text = text.lines().skip(1).collect::<Vec<_>>().join("\n").replace(&self.namespace, "shop");
        text.split(", since 20")
            .enumerate()
            .map(|(at, part)| match at {
                0 => part.to_owned(),
                _ => format!(", since …{}", part.split_at("26-01-01 00:00Z".len()).1),
            })
            .collect()
    }

    async fn drift_issue(&self) -> Option<Pr> {
        let number = "SELECT issue FROM drift_issue WHERE issue IS NOT NULL";
        let number: Option<i64> = sqlx::query_scalar(number).fetch_optional(&self.database.owner).await.unwrap();
        number.map(|number| self.forge.place_of(self.shop.id, number))
    }

    /// How many of these issues were opened, and how often one got another text.
    async fn wrote(&self) -> (i64, i64) {
        let count = "SELECT count(*) FILTER (WHERE action = 'issue.open' AND detail->>'title' LIKE 'Bascule: drift%'),
                         count(*) FILTER (WHERE action = 'issue.edited') FROM audit_entry";
        sqlx::query_as(count).fetch_one(&self.database.owner).await.unwrap()
    }

    /// By the hands that changed it.
    async fn everything_is_put_back(&mut self) {
        self.somebody_writes("1").await;
        self.kubectl(&["label", "--overwrite", "deployment", "web", "tier=web"]).await;
        self.comes_to(&[]).await;
        self.run_jobs().await;
    }

    async fn looks_by_after(&mut self, hours: i64) {
        let passed = SignedDuration::from_hours(hours);
        self.forge.waits(passed);
        self.context.clock.advance(passed);
        self.sweeps().await;
    }
}

#[test]
fn what_drifts_is_told_once_kept_up_to_date_and_closed_when_it_was_calm() {
    check(async |t| {
        let front = t.runs_behind_a_front(TELL, &[(WEB, &settings("web", "1")), ("deploy/set.yaml", REPLICAS)]).await;
        let (watching, _) = t.watches(&front, "one", 2).await;
        assert_eq!(t.tells_of_drift(), "", "nothing is told of nothing");
        t.somebody_writes("theirs").await;
        t.comes_to(&[BY_HAND]).await;
        t.run_jobs().await;
        assert_snapshot!(t.tells_of_drift(), @r"
        1 object of `production` in the cluster `other` is not as deployed:

        - `ConfigMap shop/web`: changed: `.data.value`, by `kubectl-edit`, since …

        `bascule heal production`, or `/bascule heal production` in a pull request, puts back what was deployed. `bascule adopt production` keeps what is there, by a pull request. This text is kept up to date, and the issue is closed when everything was as deployed for two hours.
        ");
        let issue = t.drift_issue().await.unwrap();
        // More of it: the same issue, another text; and no word for what is the same.
        t.kubectl(&["label", "--overwrite", "deployment", "web", "tier=other"]).await;
        t.comes_to(&[BY_HAND, LABELLED]).await;
        t.run_jobs().await;
        t.looks_by_after(3).await;
        assert_snapshot!(t.tells_of_drift(), @r"
        2 objects of `production` in the cluster `other` are not as deployed:

        - `Deployment shop/web`: changed: `.metadata.labels.tier`, by `kubectl-label`, since …
        - `ConfigMap shop/web`: changed: `.data.value`, by `kubectl-edit`, since …

        `bascule heal production`, or `/bascule heal production` in a pull request, puts back what was deployed. `bascule adopt production` keeps what is there, by a pull request. This text is kept up to date, and the issue is closed when everything was as deployed for two hours.
        ");
        assert_eq!(t.wrote().await, (1, 1));
        // Over: it says so, and stays open as long as somebody may change it again.
        t.everything_is_put_back().await;
        assert_snapshot!(t.tells_of_drift(), @"Everything of `production` is as deployed, since ….");
        t.looks_by_after(1).await;
        assert!(t.forge.is_open(&issue), "{}", t.tells_of_drift());
        t.looks_by_after(1).await;
        assert!(!t.forge.is_open(&issue));
        assert_eq!(t.drift_issue().await, None);
        let wrote = t.wrote().await;
        // One of the two may have been seen to be back before the other.
        assert!(matches!(wrote, (1, 2 | 3)), "{wrote:?}");
        t.looks_by_after(1).await;
        assert_eq!(t.wrote().await, wrote, "and no more of it");
        watching.ends().await;
    });
}

#[test]
fn whoever_closes_it_is_not_told_again_and_who_died_in_between_made_no_second_one() {
    check(async |t| {
        let front = t.runs_behind_a_front(TELL, &[(WEB, &settings("web", "1")), ("deploy/set.yaml", REPLICAS)]).await;
        let (watching, _) = t.watches(&front, "one", 2).await;
        t.somebody_writes("theirs").await;
        t.comes_to(&[BY_HAND]).await;
        t.run_jobs().await;
        // As if whoever opened it had died before the number was stored.
        let died = "UPDATE drift_issue SET issue = NULL, told = ''";
        sqlx::query(died).execute(&t.database.owner).await.unwrap();
        t.sweeps().await;
        assert_eq!(t.wrote().await, (1, 0));
        let first = t.drift_issue().await.unwrap();
        t.forge.closes_issue(&first);
        t.kubectl(&["label", "--overwrite", "deployment", "web", "tier=other"]).await;
        t.comes_to(&[BY_HAND, LABELLED]).await;
        t.sweeps().await;
        assert!(!t.forge.is_open(&first), "whoever closed it knows");
        assert_eq!(t.wrote().await, (1, 0));
        // All of that is over; what comes next is told anew.
        t.everything_is_put_back().await;
        assert_eq!(t.drift_issue().await, None);
        t.somebody_writes("again").await;
        t.comes_to(&[BY_HAND]).await;
        t.run_jobs().await;
        let second = t.drift_issue().await.unwrap();
        assert_ne!(second.number, first.number);
        // Somebody deletes it: it is over without it.
        t.forge.deletes_issue(&second);
        t.everything_is_put_back().await;
        assert_eq!(t.drift_issue().await, None, "one that is gone is closed by nobody");
        watching.ends().await;
    });
}

#[test]
fn what_is_put_right_at_once_is_told_to_nobody() {
    check(async |t| {
        let rules = "    drift: { mode: heal, tell: issue }\n";
        let front = t.runs_behind_a_front(rules, &[(WEB, &settings("web", "1"))]).await;
        let (watching, _) = t.watches(&front, "one", 1).await;
        t.somebody_writes("theirs").await;
        t.is_right_again(&["web=1"]).await;
        t.run_jobs().await;
        assert_eq!((t.wrote().await, t.drift_issue().await), ((0, 0), None));
        // Who writes it again is told of while it is left alone.
        t.somebody_writes("mine").await;
        t.until("SELECT FROM inventory WHERE suspect").await;
        t.tries(1).await;
        t.until("SELECT FROM drift_issue WHERE issue IS NOT NULL").await;
        assert_snapshot!(t.tells_of_drift(), @r"
        1 object of `production` in the cluster `other` is not as deployed:

        - `ConfigMap shop/web`: changed: `.data.value`, by `kubectl-edit`, since …

        `bascule heal production`, or `/bascule heal production` in a pull request, puts back what was deployed. `bascule adopt production` keeps what is there, by a pull request. This text is kept up to date, and the issue is closed when everything was as deployed for two hours.
        ");
        t.context.clock.advance(SignedDuration::from_secs(61));
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.drifted().await), (vec!["web=1".to_owned()], Vec::new()));
        assert_snapshot!(t.tells_of_drift(), @"Everything of `production` is as deployed, since ….");
        watching.ends().await;
    });
}

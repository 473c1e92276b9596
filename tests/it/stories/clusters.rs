//! A cluster that is away, or will not have us, costs its own environments and no others.

use super::*;
use crate::fake::forge::Pr;
use crate::support::front::Front;

/// Two environments in two clusters.
const TWO: &str = "\
version: 1
environments:
  here: { path: here, cluster: test, namespace: '{ns}', consent: none }
  there: { path: there, cluster: other, namespace: '{ns}-staging', consent: none }
";

/// The same value in both.
fn both(value: &str) -> [(&'static str, String); 2] {
    [("here/web.yaml", settings("web", value)), ("there/web.yaml", settings("web", value))]
}

impl Town {
    /// Both run, `there` through a front.
    async fn runs_in_two_clusters(&mut self) -> Front {
        let front = Front::of(self.plane).await;
        self.reaches_other_by(&front.kubeconfig());
        let files = both("1");
        self.runs(TWO, &files.each_ref().map(|(path, text)| (*path, text.as_str()))).await;
        front
    }

    /// A change of both is merged while the other cluster does not answer as it should, and that is heard.
    async fn merges_for_both(&mut self) -> Pr {
        let files = both("2");
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let pr = self.forge.opens_pull("dev", &self.shop, &files).await;
        self.run_jobs().await;
        self.forge.merges("dev", &pr, Merge::Squash).await;
        self.hears().await;
        pr
    }

    /// One was synced, and the other is held for its cluster, which the pull request names.
    async fn one_goes_on(&mut self, pr: &Pr, why: &str) {
        assert_eq!(self.objects().await, ["web=2"], "the other environment goes on");
        assert_eq!(self.objects_in("-staging").await, ["web=1"]);
        let comment = self.comment(pr);
        assert!(self.row(pr).contains("| `there` | 0 | 1 | 0 | none needed | **held**: `cluster-away` |"), "{comment}");
        assert!(comment.contains(why), "{comment}");
        assert!(comment.contains("It is lifted by `/bascule sync there`"), "{comment}");
        assert!(self.troubles.is_empty(), "an outage is no failure: {:#?}", self.troubles);
    }

    /// The cluster is back, and so is everything that waited for it.
    async fn both_are_well(&self, pr: &Pr) {
        assert_eq!(self.objects_in("-staging").await, ["web=2"]);
        let rows = self.row(pr);
        assert_eq!(rows.matches("`#2` healthy").count(), 2, "{rows}");
        let holds: i64 = sqlx::query_scalar("SELECT count(*) FROM hold").fetch_one(&self.database.owner).await.unwrap();
        assert_eq!(holds, 0);
        let of = "SELECT action FROM audit_entry WHERE subject LIKE '% there' ORDER BY seq DESC LIMIT 2";
        let last: Vec<String> = sqlx::query_scalar(of).fetch_all(&self.database.owner).await.unwrap();
        assert_eq!(last, ["deployment.ended", "hold.lifted"]);
    }
}

#[test]
fn a_cluster_that_is_away_is_waited_for_and_the_other_environment_goes_on() {
    check(async |t| {
        let mut front = t.runs_in_two_clusters().await;
        front.goes_away().await;
        let pr = t.merges_for_both().await;
        t.tries(3).await;
        t.one_goes_on(&pr, "the cluster cannot be reached").await;
        front.returns().await;
        // By itself; nobody has to say anything.
        t.run_jobs().await;
        t.both_are_well(&pr).await;
    });
}

#[test]
fn a_cluster_that_does_not_know_us_any_more_is_waited_for_and_the_command_lifts_it() {
    check(async |t| {
        let front = t.runs_in_two_clusters().await;
        front.refuses(401);
        let pr = t.merges_for_both().await;
        t.tries(3).await;
        t.one_goes_on(&pr, "(401)").await;
        front.recovers();
        t.forge.comments("dev", &pr, "/bascule sync there").await;
        t.run_jobs().await;
        t.both_are_well(&pr).await;
    });
}

#[test]
fn a_cluster_that_forbids_everything_is_named_and_the_other_environment_goes_on() {
    check(async |t| {
        let front = t.runs_in_two_clusters().await;
        front.refuses(403);
        let pr = t.merges_for_both().await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"], "the other environment goes on");
        assert_eq!(t.objects_in("-staging").await, ["web=1"]);
        let comment = t.comment(&pr);
        assert!(comment.contains("(403)"), "{comment}");
        assert!(comment.contains("/bascule sync there"), "{comment}");
        front.recovers();
        t.forge.comments("dev", &pr, "/bascule sync there").await;
        t.run_jobs().await;
        assert_eq!(t.objects_in("-staging").await, ["web=2"]);
        assert!(t.row(&pr).contains("| `there` | 0 | 1 | 0 | none needed | `#"), "{}", t.row(&pr));
    });
}

//! A cluster that is away, or will not have us, costs its own environments and no others.

use bascule::db::reports::{self, WhichEnvironments};
use insta::assert_snapshot;

use super::replay::heard;
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
        self.runs_through_a_front(TWO).await
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
        // What a forge's own page of deployments is told comes after it.
        let of = "SELECT action FROM audit_entry WHERE subject LIKE '% there' AND action NOT LIKE 'deployment.t%'
                  ORDER BY seq DESC LIMIT 2";
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

/// The same, and `here` comes after `there`.
const AFTER: &str = "\
version: 1
environments:
  here: { path: here, cluster: test, namespace: '{ns}', consent: none, after: [{ environment: there }] }
  there: { path: there, cluster: other, namespace: '{ns}-staging', consent: none }
";

/// The same two, and Lee has to approve what goes `there`.
const ASKED: &str = "\
version: 1
environments:
  here: { path: here, cluster: test, namespace: '{ns}', consent: none }
  there:
    path: there
    cluster: other
    namespace: '{ns}-staging'
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

impl Town {
    /// Both run by these rules, `there` through a front.
    async fn runs_through_a_front(&mut self, rules: &str) -> Front {
        let front = Front::of(self.plane).await;
        self.reaches_other_by(&front.kubeconfig());
        let files = both("1");
        self.runs(rules, &files.each_ref().map(|(path, text)| (*path, text.as_str()))).await;
        front
    }

    /// A pull request for both.
    async fn asks_for_both(&mut self) -> Pr {
        let files = both("2");
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let pr = self.forge.opens_pull("dev", &self.shop, &files).await;
        self.run_jobs().await;
        pr
    }

    /// From now on it is another server, which never heard of the other cluster.
    fn is_another_server(&mut self, front: &Front) {
        self.reaches_other_by(&front.kubeconfig());
    }

    /// How often the log says that an environment is held for its cluster.
    async fn times_said_away(&self, environment: &str) -> i64 {
        let said = "SELECT count(*) FROM audit_entry WHERE subject LIKE '% ' || $1 AND action = 'environment.held'
                    AND detail->>'reason' = 'cluster-away'";
        sqlx::query_scalar(said).bind(environment).fetch_one(&self.database.owner).await.unwrap()
    }

    /// What `bascule status` says each environment is held for.
    async fn held_for(&self) -> String {
        let mut conn = self.database.pool.acquire().await.unwrap();
        let mut all = reports::environments(&mut conn, &WhichEnvironments::default(), 10).await.unwrap();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let port = regex::Regex::new(r"127\.0\.0\.1:\d+").unwrap();
        let lines = all.into_iter().filter_map(|one| {
            let line = format!("{} {}: {}", one.name, one.held?, one.held_detail?);
            Some(format!("{}\nlifted by {}", port.replace_all(&line, "other.example"), one.held_lifts?))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_server_that_starts_while_a_cluster_is_away_says_so_and_the_other_environment_goes_on() {
    check(async |t| {
        let mut front = t.runs_in_two_clusters().await;
        let pr = t.asks_for_both().await;
        front.goes_away().await;
        t.is_another_server(&front);
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.hears().await;
        t.tries(3).await;
        t.one_goes_on(&pr, "the cluster other cannot be used, and is tried again by itself").await;
        assert_snapshot!(t.held_for().await, @"
        there cluster-away: the cluster other cannot be used, and is tried again by itself: the cluster cannot be reached: Connection refused (os error 111)
        lifted by /bascule sync there
        ");
        assert_eq!(t.times_said_away("there").await, 1, "said once, however often it is tried");
        front.returns().await;
        // By itself; nobody has to say anything.
        t.run_jobs().await;
        assert_eq!(t.objects_in("-staging").await, ["web=2"]);
        assert_eq!(t.row(&pr).matches("`#2` healthy").count(), 2, "{}", t.row(&pr));
        assert_snapshot!(t.held_for().await, @"");
    });
}

#[test]
fn a_server_that_starts_while_a_cluster_forbids_everything_waits_for_whoever_changes_that() {
    check(async |t| {
        let front = t.runs_in_two_clusters().await;
        let pr = t.asks_for_both().await;
        front.refuses(403);
        t.is_another_server(&front);
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.hears().await;
        // More often than anything is tried that will not pass.
        t.tries(14).await;
        t.one_goes_on(&pr, "(403)").await;
        front.recovers();
        t.run_jobs().await;
        assert_eq!(t.objects_in("-staging").await, ["web=2"]);
        assert_eq!(t.row(&pr).matches("`#2` healthy").count(), 2, "{}", t.row(&pr));
    });
}

#[test]
fn what_comes_after_an_environment_whose_cluster_is_away_is_held_and_says_for_which() {
    check(async |t| {
        let mut front = t.runs_through_a_front(AFTER).await;
        let pr = t.asks_for_both().await;
        front.goes_away().await;
        t.is_another_server(&front);
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.hears().await;
        t.tries(3).await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.held_for().await, @"
        here cluster-away: the cluster other of there, which it comes after, cannot be used, and is tried again by itself: the cluster cannot be reached: Connection refused (os error 111)
        lifted by /bascule sync here
        there cluster-away: the cluster other cannot be used, and is tried again by itself: the cluster cannot be reached: Connection refused (os error 111)
        lifted by /bascule sync there
        ");
        assert_snapshot!(t.row(&pr), @"
        | `here` | 0 | 1 | 0 | none needed | **held**: `cluster-away` |
        | `there` | 0 | 1 | 0 | none needed | **held**: `cluster-away` |
        ");
        assert!(t.troubles.is_empty(), "{:#?}", t.troubles);
        front.returns().await;
        t.run_jobs().await;
        assert_eq!((t.objects_in("-staging").await, t.objects().await), (vec!["web=2".into()], vec!["web=2".into()]));
        let syncs = t.syncs().await;
        assert_eq!(syncs[syncs.len() - 2..], ["there", "here"]);
        assert_snapshot!(t.held_for().await, @"");
    });
}

#[test]
fn a_change_that_is_held_while_its_cluster_is_away_is_consented_to_where_it_was_shown() {
    check(async |t| {
        let mut front = t.runs_through_a_front(ASKED).await;
        let pr = t.asks_for_both().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        let line = t.to_type(&pr, "there");
        front.goes_away().await;
        t.is_another_server(&front);
        t.forge.comments("lee", &pr, &line).await;
        t.hears().await;
        t.tries(3).await;
        assert_snapshot!(t.row(&pr), @"
        | `here` | 0 | 1 | 0 | none needed | `#2` healthy |
        | `there` | 0 | 1 | 0 | 0 of 1 | **held**: `cluster-away` |
        ");
        front.returns().await;
        t.run_jobs().await;
        assert_eq!(t.objects_in("-staging").await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"
        | `here` | 0 | 1 | 0 | none needed | `#2` healthy |
        | `there` | 0 | 1 | 0 | given: `lee` | `#2` healthy |
        ");

        // The same of what nobody asked for, in an issue of ours.
        t.forge.pushes_to("dev", &t.shop, "main", &[("there/web.yaml", &settings("web", "3"))]).await;
        t.run_jobs().await;
        let issue = t.held_issues().await.remove(0);
        front.goes_away().await;
        t.is_another_server(&front);
        t.forge.comments("lee", &issue, &t.to_type(&issue, "there")).await;
        t.hears().await;
        t.tries(3).await;
        assert!(t.row(&issue).contains("**held**: `cluster-away`"), "{}", t.comment(&issue));
        assert!(t.forge.is_open(&issue), "it waits for more than consent");
        front.returns().await;
        t.run_jobs().await;
        assert_eq!(t.objects_in("-staging").await, ["web=3"]);
        assert!(!t.forge.is_open(&issue), "and is over at last");
        assert!(t.troubles.is_empty(), "{:#?}", t.troubles);
    });
}

/// The same two, and the API server has to have taken what goes `there`.
const REQUIRED: &str = "\
version: 1
environments:
  here: { path: here, cluster: test, namespace: '{ns}', consent: none }
  there: { path: there, cluster: other, namespace: '{ns}-staging', consent: none, admission: required }
";

#[test]
fn an_answer_that_is_required_is_waited_for_while_its_cluster_is_away_and_the_other_environment_is_asked() {
    check(async |t| {
        let mut front = t.runs_through_a_front(REQUIRED).await;
        front.goes_away().await;
        let files = both("2");
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.hears().await;
        t.tries(3).await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, none needed
        preview: failure, the API server was not asked about 1 object, and has to be (admission): there
        ");
        let rows: Vec<String> =
            t.comment(&pr).lines().filter(|line| line.contains("API server")).map(str::to_owned).collect();
        assert_snapshot!(rows.join("\n"), @"
        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        - `there` ConfigMap `shop-staging/web`: not asked of the API server: the cluster cannot be reached: Connection refused (os error `111`)
        **ConfigMap `shop/web`** changed, +1 −1 · ✓ API server
        **ConfigMap `shop-staging/web`** changed, +1 −1 · API server not asked
        ");
        front.returns().await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: success, none needed
        preview: success, 2 objects in 2 environments would change
        ");
    });
}

#[test]
fn a_cluster_that_does_not_answer_a_dry_run_costs_its_own_environment_and_its_own_preview_alone() {
    heard(async |t| {
        let front = t.runs_in_two_clusters().await;
        front.thinks_about_dry_runs();
        let slow = t.asks_for_both().await;
        let quick = t.forge.opens_pull("dev", &t.shop, &[("here/web.yaml", &settings("web", "3"))]).await;
        t.run_jobs().await;
        // It was given five seconds, and then nothing was made of its silence.
        let comment = t.comment(&slow);
        let row = |comment: &str, name: &str| {
            let mut rows = comment.lines().filter(|line| line.starts_with(&format!("| `{name}` | 1 changed ")));
            rows.next().unwrap_or_else(|| panic!("{comment}")).to_owned()
        };
        assert!(row(&comment, "here").ends_with("| ✓ takes it |"), "{comment}");
        assert!(row(&comment, "there").ends_with("| – 1 not asked |"), "{comment}");
        assert!(comment.contains("no answer within 5 s"), "{comment}");
        assert!(row(&t.comment(&quick), "here").ends_with("| ✓ takes it |"), "{}", t.comment(&quick));
        assert!(t.troubles.is_empty(), "slowness is no failure: {:#?}", t.troubles);
        front.answers_dry_runs();
        t.forge.comments("dev", &slow, "/bascule preview").await;
        t.run_jobs().await;
        assert!(row(&t.comment(&slow), "there").ends_with("| ✓ takes it |"), "{}", t.comment(&slow));
    });
}

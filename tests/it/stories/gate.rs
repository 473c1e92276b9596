//! The gate where things went wrong before it: a sync that failed, a push nobody told of, a comment that was edited.

use bascule::ids::{RepositoryKey, TraceId};
use reqwest::Method;
use serde_json::{Value, json};

use super::replay::heard;
use super::*;
use crate::fake::forge::{Delivering, Pr};

const EXTRA: &str = "deploy/extra.yaml";

/// Anyone may deploy what is small.
const OPEN: &str = "\
version: 1
limits: { lines: 10 }
environments:
  production:
    path: deploy
    cluster: test
    namespace: '{ns}'
    consent: none
";

/// Two of the team `release` have to approve.
const TEAM: &str = "\
version: 1
environments:
  production:
    path: deploy
    cluster: test
    namespace: '{ns}'
    consent: { approvals: [{ count: 1, groups: [release] }] }
";

const MONTH: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 30);

impl Town {
    /// Somebody else makes a config map, and holds its value.
    async fn somebody_makes(&self, name: &str, value: &str) {
        let path = format!("/api/v1/namespaces/{}/configmaps?fieldManager=somebody", self.namespace);
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "value": value } });
        self.plane.request(Method::POST, &path, Some(&object)).await.unwrap();
    }

    async fn somebody_deletes(&self, name: &str) {
        let path = format!("/api/v1/namespaces/{}/configmaps/{name}", self.namespace);
        self.plane.request(Method::DELETE, &path, None).await.unwrap();
    }

    /// Deployments of production, `#1 healthy`, and why it is held.
    async fn production(&self) -> (Vec<String>, Option<String>) {
        let all = "SELECT '#' || number || ' ' || state FROM deployment ORDER BY number";
        let all: Vec<String> = sqlx::query_scalar(all).fetch_all(&self.database.owner).await.unwrap();
        let hold = "SELECT reason || ': ' || lifts FROM hold";
        let hold: Option<String> = sqlx::query_scalar(hold).fetch_optional(&self.database.owner).await.unwrap();
        let hex = regex::Regex::new("[0-9a-f]{12}").unwrap();
        (all, hold.map(|hold| hex.replace(&hold, "…").into_owned()))
    }

    /// The details of every start of a sync.
    async fn starts(&self) -> Vec<Value> {
        let query = "SELECT detail::text FROM audit_entry WHERE action = 'sync.started' ORDER BY seq";
        let all: Vec<String> = sqlx::query_scalar(query).fetch_all(&self.database.owner).await.unwrap();
        all.iter().map(|detail| serde_json::from_str(detail).unwrap()).collect()
    }

    /// The gate is judged once more, though nothing happened.
    async fn judges_again(&mut self) {
        let id: i64 = sqlx::query_scalar("SELECT id FROM environment").fetch_one(&self.database.owner).await.unwrap();
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: self.shop.id };
        let job = bascule::jobs::sync_environment(&key, id, TraceId(self.context.clock.new_id()));
        let mut conn = self.database.pool.acquire().await.unwrap();
        bascule::queue::enqueue(&mut conn, &job).await.unwrap();
        drop(conn);
        self.run_jobs().await;
    }

    /// Where the one held change waits.
    async fn held(&self) -> Pr {
        self.held_issues().await.pop().expect("something is held")
    }

    async fn says(&mut self, who: &str, pr: &Pr, text: &str) -> String {
        self.forge.comments(who, pr, text).await;
        self.run_jobs().await;
        let comment = self.comment(pr);
        let answer = comment.lines().rev().find(|line| line.contains(&format!("`{who}`")));
        answer.unwrap_or_else(|| panic!("no answer to {who}:\n{comment}")).to_owned()
    }
}

#[test]
fn a_failed_sync_is_sent_again_when_somebody_asks() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.somebody_makes("extra", "theirs").await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(EXTRA, &settings("extra", "ours"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        let held = Some("conflict: /bascule sync production".to_owned());
        assert_eq!(t.production().await, (vec!["#1 healthy".into(), "#2 conflict".into()], held.clone()));
        assert!(t.comment(&pr).contains("lifted by /bascule sync production"), "{}", t.comment(&pr));

        // Nothing is newer, and it is sent again all the same; the conflict is still there.
        let answer = t.says("dev", &pr, "/bascule sync production").await;
        assert!(answer.contains("should have brought is sent once more"), "{answer}");
        assert_eq!(t.production().await.0, ["#1 healthy", "#2 conflict", "#3 conflict"]);
        assert_eq!(t.production().await.1, held);

        t.somebody_deletes("extra").await;
        t.says("dev", &pr, "/bascule sync production").await;
        let all = ["#1 healthy", "#2 conflict", "#3 conflict", "#4 healthy"].map(str::to_owned);
        assert_eq!(t.production().await, (all.to_vec(), None));
        assert_eq!(t.objects().await, ["extra=ours", "web=1"]);
        let starts = t.starts().await;
        assert_eq!(starts[2]["again_of"], starts[1]["deployment"]);
        assert_eq!(starts[3]["again_of"], starts[1]["deployment"], "and its approvals are those of the first");
        assert_eq!((&starts[3]["approvals"], &starts[3]["change"]), (&json!([]), &starts[1]["change"]));

        let answer = t.says("dev", &pr, "/bascule sync production").await;
        assert!(answer.contains("there is nothing to do, `#4` is healthy at"), "{answer}");
        assert_eq!(t.production().await.0.len(), 4, "no new deployment");
        t.says("stranger", &pr, "/bascule explain").await;
    });
}

#[test]
fn a_failed_sync_is_passed_by_the_next_covered_commit_and_not_by_one_that_is_not() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.somebody_makes("extra", "theirs").await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(EXTRA, &settings("extra", "ours"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.production().await.0, ["#1 healthy", "#2 conflict"]);

        // Something nobody approved waits; asking sends what was approved, and that goes on waiting.
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_eq!(t.production().await.1.unwrap(), "uncovered: /bascule approve production …");
        t.somebody_deletes("extra").await;
        t.says("dev", &pr, "/bascule sync production").await;
        assert_eq!(t.production().await.0, ["#1 healthy", "#2 conflict", "#3 healthy"]);
        assert_eq!(t.production().await.1.unwrap(), "uncovered: /bascule approve production …");
        assert_eq!(t.objects().await, ["extra=ours", "web=1"]);

        // The command the hold prints lifts it.
        let held = t.held().await;
        let line = t.to_type(&held, "production");
        t.forge.comments("lee", &held, &line).await;
        t.run_jobs().await;
        assert_eq!(
            t.production().await,
            (["#1 healthy", "#2 conflict", "#3 healthy", "#4 healthy"].map(str::to_owned).to_vec(), None)
        );
        assert_eq!(t.objects().await, ["extra=ours", "web=2"]);
    });
}

#[test]
fn who_pushed_and_was_lost_is_a_contributor_as_soon_as_anything_tells() {
    check(async |t| {
        t.runs(TEAM, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "change", &[(WEB, &settings("web", "2"))]).await;
        // Lee pushes what says it is Dev's, and no delivery tells; then Dev pushes on, and opens the pull request.
        t.forge.delivers(Delivering::Lost);
        t.forge.pushes_as("lee", "dev", &t.shop, "change", &[(WEB, &settings("web", "3"))]).await;
        t.forge.delivers(Delivering::AtOnce);
        t.forge.pushes_to("dev", &t.shop, "change", &[(WEB, &settings("web", "4"))]).await;
        let pr = t.forge.opens_pull_from_branch("dev", &t.shop, "change").await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert!(t.comment(&pr).contains("contributor: pushed to it"), "{}", t.comment(&pr));
        t.forge.approves("kim", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=4"]);
    });
}

#[test]
fn who_pushed_and_was_lost_is_known_when_the_forge_does_not_tell_it_any_more() {
    check(async |t| {
        t.runs(TEAM, &[(WEB, &settings("web", "1"))]).await;
        // Of a branch that nobody asks to merge yet, of one that is asked for, and of the branch that is deployed.
        t.forge.pushes_to("dev", &t.shop, "asked", &[(WEB, &settings("web", "2"))]).await;
        let asked = t.forge.opens_pull_from_branch("dev", &t.shop, "asked").await;
        t.sweeps().await;
        t.forge.delivers(Delivering::Lost);
        t.forge.pushes_to("dev", &t.shop, "idea", &[("deploy/idea.yaml", &settings("idea", "1"))]).await;
        t.forge.pushes_as("lee", "dev", &t.shop, "idea", &[("deploy/idea.yaml", &settings("idea", "2"))]).await;
        t.forge.pushes_as("lee", "dev", &t.shop, "asked", &[(WEB, &settings("web", "3"))]).await;
        t.forge.pushes_as("lee", "dev", &t.shop, "main", &[(EXTRA, &settings("extra", "1"))]).await;
        t.forge.delivers(Delivering::AtOnce);
        t.sweeps().await;
        // Longer than any list is read back.
        for _ in 0..4 {
            t.forge.waits(MONTH);
            t.context.clock.advance(MONTH);
        }

        let held = t.held().await;
        let line = t.to_type(&held, "production");
        t.forge.comments("lee", &held, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "Lee pushed it");
        t.forge.comments("kim", &held, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["extra=1", "web=1"], "and nobody else did, so that Kim is enough");

        let idea = t.forge.opens_pull_from_branch("dev", &t.shop, "idea").await;
        t.forge.pushes_to("dev", &t.shop, "asked", &[(WEB, &settings("web", "4"))]).await;
        t.run_jobs().await;
        for pr in [&idea, &asked] {
            // By the digest: several changes were shown, and not every forge binds a review to a commit.
            let line = t.to_type(pr, "production");
            t.forge.comments("lee", pr, &line).await;
            t.run_jobs().await;
            assert!(t.comment(pr).contains("contributor: pushed to it"), "{}", t.comment(pr));
            t.forge.comments("kim", pr, &line).await;
            t.run_jobs().await;
            t.forge.merges("dev", pr, Merge::Commit).await;
            t.run_jobs().await;
        }
        assert_eq!(t.objects().await, ["extra=1", "idea=2", "web=4"]);
    });
}

#[test]
fn a_push_that_nothing_tells_of_asks_for_one_approval_more() {
    check(async |t| {
        t.runs(TEAM, &[(WEB, &settings("web", "1"))]).await;
        t.forge.hides_activity("lee");
        t.forge.pushes_to("dev", &t.shop, "change", &[(WEB, &settings("web", "2"))]).await;
        t.forge.delivers(Delivering::Lost);
        t.forge.pushes_as("lee", "dev", &t.shop, "change", &[(WEB, &settings("web", "3"))]).await;
        t.forge.delivers(Delivering::AtOnce);
        t.forge.pushes_to("dev", &t.shop, "change", &[(WEB, &settings("web", "4"))]).await;
        let pr = t.forge.opens_pull_from_branch("dev", &t.shop, "change").await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert!(t.comment(&pr).contains("1 more than the rules say, for a push by nobody known"), "{}", t.comment(&pr));
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "Lee alone is not enough, since it may have been Lee's push");
        t.forge.approves("kim", &pr).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=4"]);
    });
}

#[test]
fn a_comment_edited_within_its_first_second_consents_to_nothing() {
    // By deliveries alone: a sweep sees two times that are equal.
    heard(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;

        // Somebody with rights over comments makes an approval of Lee's remark.
        let line = t.to_type(&pr, "production");
        let remark = t.forge.comments("lee", &pr, "looks good at a first glance").await;
        t.forge.edits_comment_at_once("mallory", remark, &line).await;
        t.run_jobs().await;
        let given = "SELECT count(*) FROM approval WHERE source = 'command' AND source_id = $1";
        let given: i64 = sqlx::query_scalar(given).bind(remark).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(given, 0);

        // An approval that was heard is void with the edit.
        let approval = t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert!(t.statuses(&pr).contains("consent: success"), "{}", t.statuses(&pr));
        t.forge.edits_comment_at_once("lee", approval, "never mind").await;
        t.run_jobs().await;
        let void: String =
            sqlx::query_scalar("SELECT reason FROM approval_void").fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(void, "its comment was edited");
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn a_review_that_only_a_delivery_says_was_edited_consents_to_nothing() {
    on_plane(async |plane| {
        let mut town: Town = Box::pin(Town::new(plane, "shop-reworded", Told::ByDeliveries)).await;
        let t = &mut town;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let review = t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert!(t.statuses(&pr).contains("consent: success"), "{}", t.statuses(&pr));
        // What the door stores of such a delivery of GitHub, which shows the new text for the old one and tells no time.
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: t.shop.id };
        let mut connection = t.database.pool.acquire().await.unwrap();
        assert!(bascule::db::comment_edits::record(&mut connection, &key, -review).await.unwrap());
        drop(connection);
        t.forge.comments("dev", &pr, "somebody rewrote that review").await;
        t.run_jobs().await;
        let void: String =
            sqlx::query_scalar("SELECT reason FROM approval_void").fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(void, "its comment was edited");
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
    });
}

#[test]
fn what_is_stored_of_merged_pull_requests_is_not_asked_for_again() {
    on_plane(async |plane| {
        let mut town: Town = Box::pin(Town::new(plane, "shop-calls", Told::ByDeliveries)).await;
        let t = &mut town;
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        for value in ["2", "3"] {
            let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", value))]).await;
            t.run_jobs().await;
            t.forge.merges("dev", &pr, Merge::Commit).await;
            t.run_jobs().await;
        }
        t.forge.pushes_to("dev", &t.shop, "main", &[(EXTRA, &settings("extra", "1"))]).await;
        t.run_jobs().await;
        t.forge.take_calls();
        t.judges_again().await;
        let calls = t.forge.take_calls();
        let of = |part: &str| calls.iter().filter(|call| call.contains(part)).count();
        let single = regex::Regex::new(r"/pulls/\d+$").unwrap();
        assert_eq!(calls.iter().filter(|call| single.is_match(call)).count(), 0, "{calls:#?}");
        assert_eq!(
            of("GET /repos/acme/shop/pulls?") + calls.iter().filter(|call| call.ends_with("/pulls")).count(),
            1,
            "{calls:#?}"
        );
    });
}

#[test]
fn a_direct_push_is_measured_as_a_pull_request_is() {
    check(async |t| {
        t.runs(OPEN, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"], "small enough");
        let large: String = (0..5).map(|n| format!("---\n{}", settings(&format!("more-{n}"), "1"))).collect();
        t.forge.pushes_to("dev", &t.shop, "main", &[(EXTRA, &large)]).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        let held = t.held().await;
        assert!(t.comment(&held).contains("larger than the file's limits"), "{}", t.comment(&held));
    });
}

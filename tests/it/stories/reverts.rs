//! What a rollback took away is taken out of the branch, too, by a pull request of ours: the rollback has consented to it, and
//! waits for none of it.

use bascule::db::reports::{self, WhichDeployments};
use bascule::web::token::{self, Scope};
use uuid::Uuid;

use super::*;
use crate::fake::forge::{Pr, Right};

impl Town {
    /// The branch that is meant for the newest one of ours.
    async fn branch_of_ours(&self) -> String {
        let newest = "SELECT branch FROM our_pull o JOIN rollback b USING (id) ORDER BY b.asked_at DESC LIMIT 1";
        sqlx::query_scalar(newest).fetch_one(&self.database.owner).await.unwrap()
    }

    /// The one pull request of ours: it, its title, and what it says, as it is shown.
    fn revert(&self) -> (Pr, String, String) {
        let mut ours = self.forge.our_pulls(&self.shop);
        assert_eq!(ours.len(), 1, "{ours:?}");
        let (pr, title, body) = ours.remove(0);
        (pr, title, self.as_shown(&body))
    }
}

#[test]
fn a_rollback_opens_its_revert_and_whoever_merges_that_ends_the_pin() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.hears_of("kim", &pr, "/bascule rollback production --reason the *tills* [hang](https://example.org)").await;
        assert_eq!(t.objects().await, ["web=1"]);
        let (revert, title, body) = t.revert();
        let (_, place) = t.forge.known_as(&pr);
        assert_eq!(title, format!("Revert {place}: production was rolled back"));
        insta::assert_snapshot!(body.replace(&format!("here: {place}"), "here: THAT"), @"
        `production` was rolled back: deployment `#3` took `#2` away and put back what `#1` (`…`) had.

        - why: `work/kim` asked for it: the `*tills* [hang](https://example.org`)
        - taken away, and reverted here: THAT

        `production` is pinned there. The pin ends when `main` has nothing of what was taken away any more, as after this is merged, or when somebody types `/bascule resume production`. The rollback has consented to what this changes in `production`, while the pin stands; floors, and the rules of other environments, are asked as ever.

        To go forward again instead, close this and type `/bascule resume production`.
        ");
        let (_, place) = t.forge.known_as(&revert);
        assert!(t.answers(&pr).contains(&format!("; `{place}` reverts what was taken away")), "{}", t.answers(&pr));
        assert!(
            t.is_held_for().await.contains(&format!("; {place} reverts what was taken away")),
            "{}",
            t.is_held_for().await
        );
        // Nobody has to approve it.
        assert!(t.row(&revert).contains("given by the rollback"), "{}", t.row(&revert));
        assert_eq!(t.forge.statuses(&revert)["bascule/consent"].0, "success");
        assert_eq!(t.actions("revert.%").await, ["revert.opened"]);
        t.forge.merges("dev", &revert, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.is_held_for().await, "", "{}", t.rows().await);
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 healthy", "#3 healthy, back to #1", "#4 healthy"]);
        assert_eq!(t.actions("pin.ended").await.len(), 1);
        // Which of them nobody had to approve, and why, is known later.
        let mut conn = t.database.pool.acquire().await.unwrap();
        let all = reports::deployments(&mut conn, &WhichDeployments::default(), 10).await.unwrap();
        let mut all: Vec<_> = all.iter().map(|one| (one.number, one.rollback.is_some(), one.gives_back)).collect();
        all.sort_unstable();
        assert_eq!(all, [(1, false, false), (2, false, false), (3, true, false), (4, false, true)]);
        drop(conn);
        // And on: what comes next is asked for its own consent, as ever.
        t.brings("3").await;
        assert_eq!(t.objects().await, ["web=3"]);
        assert_eq!(t.forge.our_pulls(&t.shop).len(), 1);
    });
}

#[test]
fn who_asked_for_the_rollback_consents_to_nothing_else_in_its_revert() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.hears_of("lee", &pr, "/bascule rollback production").await;
        let (revert, ..) = t.revert();
        let branch = t.branch_of_ours().await;
        assert!(branch.starts_with("bascule/revert-production-3-"), "{branch}");
        t.forge.pushes_to("dev", &t.shop, &branch, &[(WEB, &settings("web", "666"))]).await;
        t.run_jobs().await;
        assert!(t.row(&revert).contains("0 of 1"), "{}", t.row(&revert));
        t.forge.approves("lee", &revert).await;
        t.run_jobs().await;
        assert!(t.comment(&revert).contains("asked for the pull request"), "{}", t.comment(&revert));
        t.forge.merges("dev", &revert, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert!(t.is_held_for().await.contains("production is pinned"), "{}", t.is_held_for().await);
    });
}

#[test]
fn a_revert_has_no_consent_any_more_once_somebody_resumed() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.hears_of("kim", &pr, "/bascule rollback production").await;
        t.hears_of("kim", &pr, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["web=2"]);
        let (revert, ..) = t.revert();
        assert!(t.row(&revert).contains("0 of 1"), "{}", t.row(&revert));
        assert_eq!(t.forge.statuses(&revert)["bascule/consent"].0, "failure");
        t.forge.merges("dev", &revert, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"], "nobody consented to that");
        let line = t.to_type(&revert, "production");
        t.hears_of("lee", &revert, &line).await;
        assert_eq!(t.objects().await, ["web=1"], "{}", t.answers(&revert));
    });
}

#[test]
fn what_was_merged_in_any_way_is_reverted_newest_first() {
    check(async |t| {
        let more = "deploy/more.yaml";
        t.runs(RULES, &[(WEB, &settings("web", "1")), (more, &settings("more", "1"))]).await;
        for (how, value) in
            [(Merge::Commit, "2"), (Merge::Rebase, "3"), (Merge::FastForward, "4"), (Merge::Squash, "5")]
        {
            let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", value))]).await;
            t.run_jobs().await;
            t.forge.approves("lee", &pr).await;
            t.forge.merges("dev", &pr, how).await;
            t.run_jobs().await;
            assert_eq!(t.objects().await, ["more=1", &format!("web={value}")], "{how:?}");
        }
        let other = t.forge.opens_pull("dev", &t.shop, &[(more, &settings("more", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &other).await;
        t.run_jobs().await;
        t.hears_of("dev", &other, "/bascule rollback production --to 1").await;
        assert_eq!(t.objects().await, ["more=1", "web=1"]);
        let (revert, title, _) = t.revert();
        assert_eq!(title, "Revert 4 pull requests: production was rolled back");
        // What was merged since, and is none of it, stays and goes with it.
        t.forge.merges("dev", &other, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=1"]);
        t.forge.merges("dev", &revert, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=2", "web=1"], "{}", t.is_held_for().await);
        assert_eq!(t.is_held_for().await, "");
    });
}

#[test]
fn what_cannot_be_reverted_is_said_and_the_rollback_stands() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        // Merged without consent: it waits, and is in the way.
        let next = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &next, Merge::Squash).await;
        t.run_jobs().await;
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(t.forge.our_pulls(&t.shop), []);
        let (_, place) = t.forge.known_as(&pr);
        let said = t.answers(&pr);
        let conflicts = "conflicts with what came later, in `deploy/web.yaml`";
        let begins = "no pull request reverts what was taken away: reverting";
        assert!(said.contains(begins) && said.contains(conflicts), "{said}");
        let held = t.is_held_for().await;
        assert!(held.contains(&format!("{begins} {place} {conflicts}")), "{held}");
        assert_eq!(t.actions("revert.%").await, ["revert.not_opened"]);
    });
}

#[test]
fn what_came_without_a_pull_request_has_none_to_revert() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let held = t.held_issues().await.remove(0);
        t.forge.comments("lee", &held, "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        t.is_asked_back(None).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let held = t.is_held_for().await;
        assert!(held.contains("no pull request reverts what was taken away: it came without a pull request"), "{held}");
    });
}

#[test]
fn a_right_that_is_missing_is_said_once_and_used_when_it_is_given() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.forge.lets("bascule", &t.shop, Right::Read);
        t.forge.comments("dev", &pr, "/bascule rollback production").await;
        t.works().await;
        assert_eq!(t.objects().await, ["web=1"], "it waits for none of it");
        let refused = t.refused().await.join("\n");
        insta::assert_snapshot!(refused, @"open_revert: our account has to be able to push branches (`bascule connect` says which right is missing)");
        assert!(t.answers(&pr).contains("`bascule connect` says which right is missing"), "{}", t.answers(&pr));
        t.time_passes().await;
        t.works().await;
        assert_eq!(t.actions("revert.%").await, ["revert.not_opened"], "once");
        t.forge.lets("bascule", &t.shop, Right::Admin);
        t.run_jobs().await;
        let (revert, ..) = t.revert();
        assert!(t.row(&revert).contains("given by the rollback"), "{}", t.row(&revert));
        assert!(!t.answers(&pr).contains("is missing"), "{}", t.answers(&pr));
        assert_eq!(t.refused().await, [""; 0]);
    });
}

#[test]
fn a_branch_of_that_name_that_is_somebody_elses_is_left_alone() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        // Nobody can know its name before it is meant to be pushed, and then it cannot be.
        t.forge.lets("bascule", &t.shop, Right::Read);
        t.forge.comments("dev", &pr, "/bascule rollback production").await;
        t.works().await;
        let branch = t.branch_of_ours().await;
        let theirs = t.forge.pushes_to("mallory", &t.shop, &branch, &[(WEB, &settings("web", "666"))]).await;
        t.forge.lets("bascule", &t.shop, Right::Admin);
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!((t.forge.our_pulls(&t.shop), t.forge.tip(&t.shop, &branch)), (Vec::new(), Some(theirs)));
        assert!(t.answers(&pr).contains("is there, and is not ours"), "{}", t.answers(&pr));
    });
}

#[test]
fn whoever_asked_is_its_author_also_where_nobody_lived_to_write_that_down() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.forge.comments("lee", &pr, "/bascule rollback production").await;
        t.dies_before("revert.opened").await;
        let (revert, ..) = t.revert();
        // Meanwhile somebody goes on: there is nothing to revert any more, and there is a pull request that does.
        t.forge.comments("kim", &pr, "/bascule resume production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        let known = "SELECT count(*) FROM our_pull WHERE number IS NOT NULL AND why_not IS NULL";
        let known: i64 = sqlx::query_scalar(known).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(known, 1, "{:?}", t.actions("revert.%").await);
        t.forge.approves("lee", &revert).await;
        t.run_jobs().await;
        assert!(t.row(&revert).contains("0 of 1"), "{}", t.row(&revert));
        assert!(t.comment(&revert).contains("asked for the pull request"), "{}", t.comment(&revert));
    });
}

#[test]
fn whoever_asked_for_what_is_open_already_and_whoever_asked_first_are_both_its_authors() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.hears_of("lee", &pr, "/bascule rollback production").await;
        let (revert, ..) = t.revert();
        t.hears_of("kim", &pr, "/bascule resume production").await;
        t.hears_of("kim", &pr, "/bascule rollback production").await;
        assert_eq!(t.revert().0, revert, "the one that is open does it");
        t.hears_of("kim", &pr, "/bascule resume production").await;
        t.forge.approves("lee", &revert).await;
        t.run_jobs().await;
        assert!(t.row(&revert).contains("0 of 1"), "{}", t.row(&revert));
        assert!(t.comment(&revert).contains("asked for the pull request"), "{}", t.comment(&revert));
    });
}

#[test]
fn one_that_was_opened_and_not_answered_is_found_and_no_second_one_is_opened() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.forge.loses_the_answer("POST /repos/acme/shop/pulls", crate::fake::forge::Fault::BreaksOff);
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        assert!(t.forge.has_lost_the_answer());
        t.troubles.clear();
        let (revert, ..) = t.revert();
        assert!(t.row(&revert).contains("given by the rollback"), "{}", t.row(&revert));
        assert_eq!(t.actions("revert.%").await, ["revert.opened"]);
    });
}

#[test]
fn what_fails_again_after_it_was_resumed_has_one_revert() {
    check(async |t| {
        let fixed = |value: &str| settings("web", value) + "immutable: true\n";
        t.runs(&format!("{RULES}    on_failure: rollback\n"), &[(WEB, &fixed("1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &fixed("2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.deployments().await, ["#1 healthy", "#2 failed", "#3 healthy, back to #1"]);
        let (revert, _, body) = t.revert();
        assert!(body.contains("`on_failure: rollback` did it by itself"), "{body}");
        t.hears_of("dev", &pr, "/bascule resume production").await;
        assert_eq!(t.deployments().await.last().unwrap(), "#5 healthy, back to #1");
        assert_eq!(t.revert().0, revert, "the one that is open does it");
        assert!(t.row(&revert).contains("given by the rollback"), "{}", t.row(&revert));
        t.forge.merges("dev", &revert, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!((t.objects().await, t.is_held_for().await), (vec!["web=1".to_owned()], String::new()));
    });
}

#[test]
fn what_was_deployed_here_before_needs_what_its_rules_say_is_enough_for_that() {
    check(async |t| {
        let rules = RULES.replace("users: [lee] }] }", "users: [lee] }], reverts: { users: [kim] } }");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        t.brings("2").await;
        let other = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        t.forge.approves("kim", &other).await;
        t.run_jobs().await;
        assert!(t.row(&other).contains("0 of 1"), "it was never here: {}", t.row(&other));
        t.forge.closes("dev", &other).await;
        let back = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "1"))]).await;
        t.run_jobs().await;
        let said = t.comment(&back);
        assert!(said.contains("enough for what was deployed here before") && said.contains("kim"), "{said}");
        t.forge.approves("kim", &back).await;
        t.run_jobs().await;
        assert!(t.comment(&back).contains("by `reverts` that is enough"), "{}", t.comment(&back));
        t.forge.merges("dev", &back, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"], "{}", t.rows().await);
        let by = "SELECT count(*) FROM audit_entry WHERE action = 'sync.started' AND json_array_length(detail->'by_reverts') = 1";
        let by: i64 = sqlx::query_scalar(by).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(by, 1);
    });
}

#[test]
fn what_was_taken_back_or_let_pass_unreviewed_is_no_content_to_come_back_to_lightly() {
    check(async |t| {
        let rules = RULES.replace("users: [lee] }] }", "users: [lee] }], reverts: { users: [kim] } }")
            + "    may: { emergency: { users: [dev, sam] } }\n";
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.hears_of("dev", &pr, "/bascule rollback production").await;
        t.forge.closes("dev", &t.revert().0).await;
        t.run_jobs().await;
        t.brings("3").await;
        t.hears_of("dev", &pr, "/bascule resume production").await;
        assert_eq!(t.objects().await, ["web=3"]);
        // What was taken away by the rollback was healthy, too.
        let back = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert!(!t.comment(&back).contains("enough for what was deployed here before"), "{}", t.comment(&back));
        t.forge.closes("dev", &back).await;
        // So is what an emergency let pass, until somebody has reviewed it.
        let urgent = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "4"))]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &urgent, Merge::Squash).await;
        t.run_jobs().await;
        for login in ["dev", "sam"] {
            t.forge.comments(login, &urgent, "/bascule emergency production --reason tills").await;
        }
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=4"]);
        t.brings("5").await;
        let back = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "4"))]).await;
        t.run_jobs().await;
        assert!(!t.comment(&back).contains("enough for what was deployed here before"), "{}", t.comment(&back));
        t.forge.closes("dev", &back).await;
        let reviewed = "UPDATE emergency SET reviewed_at = now(), reviewed_by = 'work/kim (1)'";
        sqlx::raw_sql(reviewed).execute(&t.database.owner).await.unwrap();
        let back = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "4"))]).await;
        t.run_jobs().await;
        assert!(t.comment(&back).contains("enough for what was deployed here before"), "{}", t.comment(&back));
    });
}

#[test]
fn a_way_back_names_its_revert() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.brings("2").await;
        t.hears_of("kim", &pr, "/bascule rollback production").await;
        let (_, shown) = t.forge.known_as(&t.revert().0);
        let id: Uuid = sqlx::query_scalar("SELECT id FROM rollback").fetch_one(&t.database.owner).await.unwrap();
        let hour = jiff::SignedDuration::from_hours(1);
        let (pool, clock) = (&t.database.pool, &t.context.clock);
        let token = token::create(pool, clock, "reader", &[Scope::Read], hour).await.unwrap();
        let url = format!("{}/api/v1/rollbacks/{id}", t.url);
        #[expect(clippy::disallowed_methods, reason = "a reader of the API")]
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let said = client.get(url).bearer_auth(token).send().await.unwrap();
        let said: serde_json::Value = said.json().await.unwrap();
        assert_eq!(
            (&said["revert_shown_as"], &said["not_reverted"]),
            (&shown.as_str().into(), &serde_json::Value::Null)
        );
        assert!(said["revert"].as_i64().is_some_and(|number| shown.ends_with(&number.to_string())), "{said}");
    });
}

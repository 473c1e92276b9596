//! What we write comes back as a delivery, and is no news; what anybody else makes of it is.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use regex::Regex;

use super::replay::heard;
use super::*;

impl Town {
    /// Deliveries of comments: what became of each, oldest first.
    async fn comments_heard(&self) -> Vec<String> {
        // Ids are of the clock, and a story's stands still.
        let heard = "SELECT concat_ws(': ', state, reason) FROM delivery WHERE event = 'issue_comment'
                     ORDER BY received_at";
        sqlx::query_scalar(heard).fetch_all(&self.database.owner).await.unwrap()
    }

    /// The kinds of all jobs there were to run.
    async fn ran(&mut self) -> Vec<String> {
        let mut ran = self.drain().await;
        ran.sort_unstable();
        ran
    }

    /// What was asked of the forge since the last time, each with how often.
    fn calls(&self) -> String {
        let mut calls = BTreeMap::<String, usize>::new();
        let commit = Regex::new("[0-9a-f]{40}").unwrap();
        for call in self.forge.take_calls() {
            *calls.entry(commit.replace(&call, "…").into_owned()).or_default() += 1;
        }
        calls.into_iter().map(|(call, times)| format!("{times} × {call}\n")).collect()
    }
}

#[test]
fn what_we_write_ourselves_is_kept_and_starts_nothing() {
    heard(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let before = t.comments_heard().await.len();
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        assert_eq!(t.ran().await, ["attend_pull", "follow_branch"], "the pull request, and the branch it is of");
        assert_eq!(t.comments_heard().await[before..], ["ignored: we wrote it ourselves"]);

        t.forge.take_calls();
        t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "3"))]).await;
        assert_eq!(t.ran().await, ["attend_pull", "follow_branch"]);
        assert_eq!(t.comments_heard().await[before..], ["ignored: we wrote it ourselves"; 2], "written, and edited");
        assert_snapshot!(t.calls(), @"
        1 × GET /repos/acme/shop/branches/main
        2 × GET /repos/acme/shop/git/commits/…
        1 × GET /repos/acme/shop/issues/2/comments
        2 × GET /repos/acme/shop/issues/2/timeline
        1 × GET /repos/acme/shop/pulls/2
        1 × GET /repos/acme/shop/pulls/2/reviews
        2 × GET /repositories/3
        1 × PATCH /repos/acme/shop/issues/comments/32
        2 × POST /repos/acme/shop/statuses/…
        ");
    });
}

#[test]
fn what_somebody_makes_of_our_comment_is_put_right() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let (said, ours) = (t.forge.comment(&pr), t.forge.our_comment(&pr).unwrap());
        t.forge.edits_comment("olga", ours, &said.replace("0 of 1", "1 of 1")).await;
        t.run_jobs().await;
        assert_eq!(t.forge.comment(&pr), said);
        t.forge.deletes_comment("olga", ours).await;
        t.run_jobs().await;
        assert_eq!(t.forge.comment(&pr), said, "said once more");
        // The same where a held change is shown.
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "9"))]).await;
        t.run_jobs().await;
        let held = t.held_issues().await.remove(0);
        let (said, ours) = (t.forge.comment(&held), t.forge.our_comment(&held).unwrap());
        t.forge.edits_comment("olga", ours, "<!-- bascule:preview -->\nnothing to see").await;
        t.run_jobs().await;
        assert_eq!(t.forge.comment(&held), said);
    });
}

#[test]
fn what_a_person_does_with_our_own_account_is_found_by_a_sweep_and_consents_to_nothing() {
    heard(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let (said, ours) = (t.forge.comment(&pr), t.forge.our_comment(&pr).unwrap());
        t.forge.edits_comment("bascule", ours, &said.replace("0 of 1", "1 of 1")).await;
        assert_eq!(t.drain().await, [""; 0], "it looks like our own");
        t.sweeps().await;
        assert_eq!(t.forge.comment(&pr), said);
        // What it did to others' words is told apart, and heard at once.
        let approved = t.forge.comments("lee", &pr, "/bascule approve").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");
        t.forge.edits_comment("bascule", approved, "/bascule approve production").await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        // Deleting its own words is nothing we do.
        t.forge.deletes_comment("bascule", ours).await;
        t.run_jobs().await;
        assert!(t.forge.comment(&pr).contains("bascule:preview"));
        t.forge.comments("bascule", &pr, "/bascule approve").await;
        t.sweeps().await;
        assert!(t.forge.our_comments(pr.repository, pr.number).len() > 1, "both stand");
        assert_eq!(
            t.statuses(&pr),
            "consent: failure, missing: production 0 of 1\npreview: success, 1 object in 1 environment would change"
        );
        t.sweeps().await;
        assert_eq!(t.drain().await, [""; 0], "and it is no news for ever");
    });
}

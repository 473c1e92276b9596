//! What the forge does not let us do: said by name, asked less and less often, and done when somebody gave the permission.

use bascule::queue::{self, State};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fake::forge::Fault;

impl Town {
    /// Jobs that wait for a person, with what is said about them.
    pub(super) async fn refused(&self) -> Vec<String> {
        let mut conn = self.database.pool.acquire().await.unwrap();
        let all = queue::list(&mut conn, Some(State::Refused), None, 10).await.unwrap();
        all.into_iter().map(|job| format!("{}: {}", job.kind, job.error.unwrap_or_default())).collect()
    }

    /// Every job that is due runs, and those it causes.
    pub(super) async fn works(&mut self) {
        self.hears().await;
        while let Some(job) = self.claim().await {
            self.run(&job, &CancellationToken::new()).await;
        }
    }
}

#[test]
fn a_permission_that_is_missing_is_named_and_used_when_it_is_given() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.forge.breaks_at("/statuses/", Fault::Status(403));
        t.works().await;
        let head = t.forge.head(&pr);
        let needs = match t.forge.tongue() {
            Tongue::Gitea => "write access to the repository, and a token with the scope `write:repository`",
            Tongue::GitHub => "the repository permission “Commit statuses: Read and write”",
            Tongue::GitLab => "the role Developer or higher in the project, and a token with the scope `api`",
        };
        let place = format!("/v4/projects/{}/", t.shop.id);
        let refused = t.refused().await.join("\n").replace(&head, "HEAD").replace(needs, "WHAT THE FORGE CALLS IT");
        let refused = refused.replace(&place, "/repos/acme/shop/");
        insta::assert_snapshot!(refused, @"attend_pull: forge work: does not let our account do this (POST /repos/acme/shop/statuses/HEAD answered 403: as you wished); it needs WHAT THE FORGE CALLS IT");
        t.forge.recovers();
        t.run_jobs().await;
        assert_eq!(t.refused().await, [""; 0]);
        insta::assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
    });
}

#[test]
fn code_that_we_may_not_fetch_is_said_in_the_pull_request() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.forge.breaks_at("info/refs", Fault::Status(403));
        t.works().await;
        let refused = t.refused().await.join("\n").replace(&t.forge.url(), "FORGE");
        insta::assert_snapshot!(refused, @"attend_pull: the remote refused to let git fetch: fatal: unable to access 'FORGE/acme/shop.git/': The requested URL returned error: 403; the token of `bascule.toml` has to be able to read the repository's code");
        assert!(t.comment(&pr).contains("has to be able to read the repository"), "{}", t.comment(&pr));
        t.forge.recovers();
        t.run_jobs().await;
        assert!(t.row(&pr).contains("0 of 1"), "{}", t.comment(&pr));
    });
}

#[test]
fn a_comment_that_cannot_be_written_keeps_no_sync_from_going_on() {
    for status in [403, 422, 500] {
        check(async |t| {
            t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
            let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
            t.run_jobs().await;
            t.forge.approves("lee", &pr).await;
            t.run_jobs().await;
            t.forge.merges("dev", &pr, Merge::Squash).await;
            t.hears().await;
            // An edit names the comment; what is read of them does not.
            let edits = if t.forge.tongue() == Tongue::GitLab { "/notes/" } else { "/issues/comments/" };
            t.forge.breaks_at(edits, Fault::Status(status));
            // What is refused waits for a person, and is not among what comes again.
            for _ in 0..3 {
                while let Some(job) = t.claim().await {
                    t.run(&job, &CancellationToken::new()).await;
                }
                t.time_passes().await;
            }
            assert_eq!(t.objects().await, ["web=2"], "{status}: it is synced");
            assert!(!t.row(&pr).contains("healthy"), "{status}: {}", t.row(&pr));
            t.take_troubles();
            t.forge.recovers();
            if status == 422 {
                // What the forge calls wrong is not sent again by itself.
                t.forge.comments("dev", &pr, "/bascule explain production").await;
            }
            t.run_jobs().await;
            assert!(t.row(&pr).contains("`#2` healthy"), "{status}: {}", t.row(&pr));
        });
    }
}

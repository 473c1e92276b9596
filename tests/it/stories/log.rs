//! What the log says of what happened, and of what nobody can say any more.

use bascule::ids::{RepositoryKey, TraceId};
use bascule::{jobs, queue};

use super::*;

impl Town {
    async fn told(&self, query: &'static str) -> Vec<String> {
        sqlx::query_scalar(query).fetch_all(&self.database.owner).await.unwrap()
    }

    /// Effects that were begun, and of which the log does not say what came of them.
    async fn unended(&self) -> Vec<String> {
        self.told(
            "SELECT action FROM audit_entry e WHERE opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq)",
        )
        .await
    }

    async fn held_because_of(&self) -> Vec<String> {
        self.told(
            "SELECT coalesce((SELECT string_agg(m->'account'->>'login', ' ') FROM json_array_elements(detail->'memberships') m), '')
             FROM audit_entry WHERE action = 'environment.held' ORDER BY seq",
        )
        .await
    }
}

#[test]
fn a_comment_whose_writer_died_is_closed_as_unknown_and_found_again() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.dies_before("preview.posted").await;
        let posted = t.forge.comment(&pr);
        assert_eq!(t.unended().await, ["preview.post"], "it was posted, and nobody said so");
        t.run_jobs().await;
        assert_eq!(t.unended().await, Vec::<String>::new());
        let unknown = t.told("SELECT detail->>'of' FROM audit_entry WHERE action = 'intent.unknown'").await;
        assert_eq!(unknown, ["preview.post"]);
        assert_eq!(t.forge.comment(&pr), posted, "the same comment, not another");
    });
}

#[test]
fn an_environment_that_comes_goes_and_comes_back_is_in_the_log() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        for rules in [RULES.replace("production", "canary"), RULES.to_owned()] {
            let rules = t.rules(&rules);
            t.forge.pushes_to("dev", &t.shop, "main", &[(".bascule.yaml", &rules)]).await;
            t.run_jobs().await;
        }
        let became = "SELECT substr(action, 13) || ' ' || split_part(subject, ' ', 2) FROM audit_entry
                      WHERE action IN ('environment.created', 'environment.orphaned', 'environment.revived') ORDER BY seq";
        insta::assert_snapshot!(t.told(became).await.join("\n"), @r"
        created production
        created canary
        orphaned production
        revived production
        orphaned canary
        ");
    });
}

#[test]
fn a_judgement_that_holds_says_once_whom_it_took_for_whom() {
    check(async |t| {
        t.begins(RULES, &[(WEB, &settings("web", "1"))]).await;
        assert_eq!(t.held_because_of().await, [""], "nobody gave anything");
        let issue = t.held_issues().await.remove(0);
        t.forge.comments("lee", &issue, "/bascule approve").await;
        t.run_jobs().await;
        assert_eq!(t.held_because_of().await, ["", "lee"], "the platform's owners have not, so it is held still");
        // Judged again, with the same answers: the log does not grow.
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: t.shop.id };
        let environment: i64 =
            sqlx::query_scalar("SELECT id FROM environment").fetch_one(&t.database.owner).await.unwrap();
        let mut conn = t.database.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &jobs::sync_environment(&key, environment, TraceId(uuid::Uuid::nil())))
            .await
            .unwrap();
        drop(conn);
        t.run_jobs().await;
        assert_eq!(t.held_because_of().await, ["", "lee"]);
        t.forge.comments("olga", &issue, "/bascule approve").await;
        t.run_jobs().await;
        let lifted = t.told("SELECT detail->>'reason' FROM audit_entry WHERE action = 'hold.lifted'").await;
        assert_eq!(lifted, ["uncovered"]);
        // What was given is caused by the delivery that told of it, where one did.
        let deliveries = t.told("SELECT id::text FROM delivery").await;
        let caused = t
            .told("SELECT split_part(cause, ' of delivery ', 2) FROM audit_entry WHERE action = 'approval.recorded'")
            .await;
        assert!(
            caused
                .iter()
                .all(|id| deliveries.is_empty() == id.is_empty() && (id.is_empty() || deliveries.contains(id))),
            "{caused:?}"
        );
    });
}

#[test]
fn a_sync_says_whom_its_judgement_took_for_whom() {
    check(async |t| {
        let rules = RULES.replace("users: [lee]", "groups: [release]");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("kim", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        let memberships = "SELECT concat_ws(' ', m->'account'->>'login', m->>'kind', m->>'right', m->>'teams')
            FROM (SELECT detail FROM audit_entry WHERE action = 'sync.started' ORDER BY seq DESC LIMIT 1) newest,
            json_array_elements(detail->'memberships') m";
        insta::assert_snapshot!(t.told(memberships).await.join("\n"), @r#"kim Person Has(Write) {"work/acme/release":"Yes"}"#);
    });
}

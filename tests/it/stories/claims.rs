//! An object belongs to one environment.

use insta::assert_snapshot;

use super::*;

/// Two environments that share a namespace.
const TWO: &str = "\
version: 1
environments:
  production:
    path: deploy
    cluster: test
    namespace: '{ns}'
    consent: { approvals: [{ count: 1, users: [lee] }] }
  tools:
    path: tools
    cluster: test
    namespace: '{ns}'
    consent: { approvals: [{ count: 1, users: [lee] }] }
";
const TOOL: &str = "tools/tool.yaml";

#[test]
fn a_second_claim_on_an_object_is_an_error_that_names_the_first() {
    check(async |t| {
        t.runs(TWO, &[(WEB, &settings("web", "1")), (TOOL, &settings("tool", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[("tools/web.yaml", &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert!(
            t.comment(&pr).contains("tools/web.yaml: ConfigMap shop/web belongs to production of acme/shop already")
        );
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, what does not render cannot be consented to
        preview: failure, does not render: tools
        ");
    });
}

#[test]
fn two_environments_cannot_begin_with_the_same_object() {
    check(async |t| {
        t.runs(TWO, &[(WEB, &settings("web", "1")), (TOOL, &settings("tool", "1"))]).await;
        let files = [("tools/new.yaml", &*settings("new", "2")), ("deploy/new.yaml", &*settings("new", "1"))];
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, what does not render cannot be consented to
        preview: failure, does not render: tools
        ");
    });
}

#[test]
fn an_object_may_move_from_one_environment_to_another() {
    check(async |t| {
        let files = [(WEB, &*settings("web", "1")), ("deploy/cron.yaml", &*settings("cron", "1"))];
        t.runs(TWO, &[files[0], files[1], (TOOL, &settings("tool", "1"))]).await;
        let moved = settings("cron", "1");
        let changes = [("deploy/cron.yaml", None), ("tools/cron.yaml", Some(moved.as_str()))];
        let pr = t.forge.opens_pull_of("dev", &t.shop, "main", &changes).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1, tools 0 of 1
        preview: success, 2 objects in 2 environments would change
        ");
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["cron=1", "tool=1", "web=1"]);
    });
}

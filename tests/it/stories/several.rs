//! Several environments, and the order in which they go.

use insta::assert_snapshot;

use super::*;

/// Staging asks nobody; production asks Lee, and goes after staging.
const TWO: &str = "\
version: 1
environments:
  staging:
    path: staging
    cluster: test
    namespace: '{ns}-staging'
    consent: none
  production:
    path: production
    cluster: test
    namespace: '{ns}'
    after: [staging]
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

/// The same value in both.
fn both(value: &str) -> [(&'static str, String); 2] {
    [("staging/web.yaml", settings("web", value)), ("production/web.yaml", settings("web", value))]
}

fn files<'a>(both: &'a [(&'static str, String); 2]) -> [(&'static str, &'a str); 2] {
    [(both[0].0, &both[0].1), (both[1].0, &both[1].1)]
}

#[test]
fn production_goes_after_staging() {
    check(async |t| {
        t.runs(TWO, &files(&both("1"))).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &files(&both("2"))).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"
        | `production` | 0 | 1 | 0 | 0 of 1 | after merge, after `staging` |
        | `staging` | 0 | 1 | 0 | none needed | after merge |
        ");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_eq!(t.objects_in("-staging").await, ["web=2"]);
        assert_eq!(t.syncs().await, ["staging", "production", "staging", "production"]);
        assert_snapshot!(t.row(&pr), @"
        | `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |
        | `staging` | 0 | 1 | 0 | none needed | `#2` healthy |
        ");
    });
}

#[test]
fn staging_does_not_wait_for_the_consent_production_needs() {
    check(async |t| {
        t.runs(TWO, &files(&both("1"))).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &files(&both("2"))).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_eq!(t.objects_in("-staging").await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"
        | `staging` | 0 | 1 | 0 | none needed | `#2` healthy |
        | `production` | 0 | 1 | 0 | 0 of 1 | **held**: `uncovered` |
        ");
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"
        | `staging` | 0 | 1 | 0 | none needed | `#2` healthy |
        | `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |
        ");
    });
}

#[test]
fn what_fails_in_staging_does_not_reach_production() {
    const BAD: &str = "apiVersion: v1\nkind: Service\nmetadata: { name: bad }\nspec: { ports: [{ port: 70000 }] }\n";
    check(async |t| {
        t.runs(TWO, &files(&both("1"))).await;
        let two = both("2");
        let mut changed = files(&two).to_vec();
        changed.push(("staging/bad.yaml", BAD));
        let pr = t.forge.opens_pull("dev", &t.shop, &changed).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.row(&pr), @"
        | `production` | 0 | 1 | 0 | given: `lee` | **held**: `waiting` |
        | `staging` | 1 | 1 | 0 | none needed | `#2` **failed**, see below |
        ");

        let mending = t.forge.opens_pull_that_removes("dev", &t.shop, &["staging/bad.yaml"]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &mending, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_snapshot!(t.row(&pr), @"
        | `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |
        | `staging` | 1 | 1 | 0 | none needed | `#2` **failed**, see below |
        ");
        assert_snapshot!(t.row(&mending), @"| `staging` | 0 | 0 | 1 | none needed | `#3` healthy |");
    });
}

//! Whose a granted name is: the repository's that was first used under it, until an operator says another.

use bascule::app;
use bascule::db::reports::{self, WhichEnvironments};
use insta::assert_snapshot;

use super::*;
use crate::fake::forge::Pr;

impl Town {
    /// What the log says of repositories, each thing once.
    async fn audit_of_repositories(&self) -> Vec<String> {
        let of = "SELECT action FROM audit_entry WHERE action LIKE 'repository.%' ORDER BY action";
        sqlx::query_scalar(of).fetch_all(&self.database.owner).await.unwrap()
    }

    /// What `bascule status` says of what is held, oldest environment first.
    async fn holds_in_status(&self) -> String {
        let mut conn = self.database.pool.acquire().await.unwrap();
        let mut all = reports::environments(&mut conn, &WhichEnvironments::default(), 10).await.unwrap();
        all.reverse();
        let said = all.into_iter().map(|one| {
            let [reason, detail] = [one.held, one.held_detail].map(Option::unwrap_or_default);
            format!("{}: {reason}: {detail}", one.name)
        });
        said.collect::<Vec<_>>().join("\n")
    }
}

/// Another repository than the one that runs has its name now; it is refused, accepted, and looked at as any.
async fn another_has_the_name(t: &mut Town, pr: &Pr) {
    t.run_jobs().await;
    assert_snapshot!(t.statuses(pr), @"
    consent: failure, this repository took another's name; a Bascule operator has to accept it
    preview: failure, this repository took another's name; a Bascule operator has to accept it
    ");
    assert_eq!(t.forge.comment(pr), "");
    assert_eq!(t.objects().await, ["web=1"]);
    // What became of the one that had it is found by a sweep alone.
    t.sweeps().await;
    let said = app::accept(&t.database.pool, &t.context.clock, "work/acme/else", None).await.unwrap_err();
    assert_snapshot!(said, @"no repository is refused under the name work/acme/else; `bascule repositories list` shows them");

    app::accept(&t.database.pool, &t.context.clock, "work/acme/shop", None).await.unwrap();
    t.run_jobs().await;
    t.sweeps().await;
    assert_snapshot!(t.statuses(pr), @"
    consent: failure, missing: production 0 of 1
    preview: success, 1 object in 1 environment would change
    ");
    assert_eq!(t.objects().await, ["web=1"]);
}

#[test]
fn a_repository_that_is_made_anew_is_refused_until_an_operator_accepts_it() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let rules = t.rules(RULES);
        t.shop = t.forge.recreates(&t.shop, &[(".bascule.yaml", &rules), (WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        another_has_the_name(t, &pr).await;
        t.sweeps().await;
        assert_snapshot!(t.holds_in_status().await, @"
        production: orphaned: the forge says that acme/shop is not there
        production: uncovered: production needs 1 more of: @lee, and 1 more of: @olga (group platform) (its first set)
        ");
        let log = ["repository.accepted", "repository.gone", "repository.refused"];
        assert_eq!(t.audit_of_repositories().await, log);
    });
}

#[test]
fn a_repository_that_is_renamed_to_a_name_of_another_does_not_get_its_grant() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let rules = t.rules(RULES);
        let other = t.forge.repository("acme/other", &[(".bascule.yaml", &rules), (WEB, &settings("web", "1"))]).await;
        // The one that runs is called something else by now, and nobody told us.
        t.forge.renames(&t.shop, "acme/old").await;
        t.shop = t.forge.renames(&other, "acme/shop").await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        another_has_the_name(t, &pr).await;
        assert_eq!(t.audit_of_repositories().await, ["repository.accepted", "repository.refused"]);
    });
}

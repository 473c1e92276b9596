//! Owners of files: a rule that asks for them is met by whom the repository's CODEOWNERS names, as its own forge reads it.

use insta::assert_snapshot;

use super::*;
use crate::fake::forge::Pr;

const OWNERS: &str = "CODEOWNERS";
const DB: &str = "deploy/db.yaml";

fn rules() -> String {
    RULES.replace("{ count: 1, users: [lee] }", "{ codeowners: true }")
}

impl Town {
    /// Whose consent is missing.
    fn missing(&self, pr: &Pr) -> String {
        let comment = self.comment(pr);
        let said = |line: &&str| line.starts_with("production needs") || line.contains("CODEOWNERS:");
        // What to write instead is its forge's own.
        let first = |line: &str| line.split(';').next().unwrap_or_default().to_owned();
        comment.lines().filter(said).map(first).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn an_owner_of_each_changed_file_consents() {
    check(async |t| {
        // One text that every forge reads alike.
        let owners = "deploy/web.yaml @lee\ndeploy/db.yaml @acme/release\n";
        let files = [(WEB, settings("web", "1")), (DB, settings("db", "1")), (OWNERS, owners.to_owned())];
        t.runs(&rules(), &files.each_ref().map(|(path, text)| (*path, text.as_str()))).await;
        let new = settings("cache", "1");
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2")), (DB, &settings("db", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("kim", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.missing(&pr), @"production needs 1 more of: `@lee` (owners of deploy/web.yaml)");
        t.forge.pushes("dev", &pr, &[("deploy/cache.yaml", &new)]).await;
        t.run_jobs().await;
        for who in ["lee", "kim"] {
            t.forge.approves(who, &pr).await;
        }
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 1 | 2 | 0 | given: `kim`, `lee` (not counted: `kim`) | after merge |");
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["cache=1", "db=2", "web=2"]);

        // Whoever makes themselves an owner is asked for by the owners of before.
        let own = owners.replace("@lee", "@dev");
        let pr = t.forge.opens_pull("dev", &t.shop, &[(OWNERS, &own), (WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.missing(&pr), @"production needs 1 more of: `@lee` (owners of deploy/web.yaml), and 1 more of: team acme/release (owners of CODEOWNERS), and 1 more of: anyone with write access who did not contribute (nobody owns .bascule.yaml)");
        // What no forge would read closes the gate, and says where.
        t.forge.pushes("dev", &pr, &[(OWNERS, "deploy/web.yaml !!\n")]).await;
        t.run_jobs().await;
        assert_snapshot!(t.missing(&pr), @"CODEOWNERS:1:1: `!!` cannot be an owner");
        let endless = owners.to_owned() + &"# \n".repeat(4 << 20 >> 1);
        t.forge.pushes("dev", &pr, &[(OWNERS, &endless)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.missing(&pr), @"CODEOWNERS: it is larger than the 256 KiB we read");
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["cache=1", "db=2", "web=2"]);
    });
}

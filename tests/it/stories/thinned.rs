//! Fields whose changes nobody wants to read: not shown, and judged, bound and deployed as everything else.

use insta::assert_snapshot;

use super::*;
use crate::fake::forge::Pr;

const FILE: &str = ".bascule.yaml";

fn rules() -> String {
    let noise = "    ignore: { builds: { kinds: [ConfigMap], fields: [data.value], values: '[0-9]+' } }\n";
    let lucky = "policies:\n  lucky: { cel: \"object.data.value != '13'\", effect: deny }\n";
    format!("{RULES}{noise}{lucky}")
}

impl Town {
    /// What the comment shows of objects, and its last line.
    fn diffs(&self, pr: &Pr) -> String {
        let comment = self.comment(pr);
        let from = comment.find("<details>").unwrap_or_else(|| panic!("nothing is shown:\n{comment}"));
        comment[from..].replace("\n\n", "\n")
    }
}

#[test]
fn what_nobody_wants_to_read_is_judged_bound_and_deployed_as_everything_else() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        // The rule of a head hides nothing of it.
        let files = [(FILE, t.rules(&rules())), (WEB, settings("web", "2"))];
        let first =
            t.forge.opens_pull("dev", &t.shop, &files.each_ref().map(|(path, text)| (*path, text.as_str()))).await;
        t.run_jobs().await;
        let shown = t.diffs(&first);
        assert!(shown.contains("-  value: \"1\"\n+  value: \"2\"\n"), "{shown}");
        t.forge.approves("lee", &first).await;
        t.run_jobs().await;
        t.forge.merges("dev", &first, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);

        // Of the default branch's it does; that something changes is still seen, and asks for consent.
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.diffs(&pr), @"
        <details><summary><b>production</b>: <code>ConfigMap shop/web</code></summary>
        **ConfigMap `shop/web`** changed, +0 −0 · ✓ API server · 1 field hidden by rule

        </details>
        rendered by plain · 1 field hidden by rule (`builds` 1) · [whole diff](<http://bascule.example/previews/…>)
        ");
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 | after merge |");
        let before = t.to_type(&pr, "production");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | given: `lee` | after merge |");

        // What is not shown is another change when it is another one: the approval was for the first.
        t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "13"))]).await;
        t.run_jobs().await;
        assert_ne!(t.to_type(&pr, "production"), before);
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production cannot be judged
        preview: failure, production is closed by policy lucky
        ");
        t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "4"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 0 of 1 (not counted: `lee`) | after merge |");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=4"]);
    });
}

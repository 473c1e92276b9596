//! What is held, and where people see it, when it is not the only thing that happens.

use insta::assert_snapshot;

use super::*;

impl Town {
    /// Why environments are held, and what lifts it.
    async fn holds(&self) -> String {
        let query = "SELECT reason || ': ' || detail || E'\nlifted by ' || lifts FROM hold ORDER BY environment_id";
        let all: Vec<String> = sqlx::query_scalar(query).fetch_all(&self.database.owner).await.unwrap();
        all.join("\n").replace(&self.namespace, "shop")
    }
}

#[test]
fn what_nobody_approved_is_held_also_when_it_arrives_with_an_approved_merge() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        // Seen in one look: the merge, and what was pushed on top of it.
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[("deploy/more.yaml", &settings("more", "1"))]).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"], "what was approved is there, and no more");
        let held = t.held_issues().await;
        assert_eq!(held.len(), 1, "{}", t.rows().await);
        assert!(t.comment(&held[0]).contains("ConfigMap"), "{}", t.comment(&held[0]));
        t.forge.comments("lee", &held[0], "/bascule approve production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1", "web=2"]);
    });
}

#[test]
fn what_nobody_approved_is_held_also_while_an_approved_merge_waits() {
    check(async |t| {
        let rules = format!("{RULES}    sync: {{ mode: manual }}\n");
        t.begins(&rules, &[(WEB, &settings("web", "1"))]).await;
        let first = t.held_issues().await.remove(0);
        t.forge.comments("lee", &first, "/bascule approve").await;
        t.forge.comments("olga", &first, "/bascule approve").await;
        t.run_jobs().await;
        assert_snapshot!(t.holds().await, @"
        waiting: production is synced when somebody with write access says so
        lifted by /bascule sync production
        ");
        t.forge.comments("lee", &first, "/bascule sync production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.forge.pushes_to("dev", &t.shop, "main", &[("deploy/more.yaml", &settings("more", "1"))]).await;
        t.run_jobs().await;
        assert_eq!(t.held_issues().await.len(), 1, "{}", t.rows().await);
        assert_eq!(t.objects().await, ["web=1"]);
        t.forge.comments("lee", &pr, "/bascule sync production").await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
        assert_eq!(t.held_issues().await.len(), 1, "what came on top is still held:\n{}", t.rows().await);
    });
}

#[test]
fn rules_that_cannot_be_read_close_the_gate_and_the_status_names_the_line() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let broken = t.rules(RULES).replace("path:", "paths:");
        t.forge.pushes_to("dev", &t.shop, "main", &[(".bascule.yaml", &broken)]).await;
        t.run_jobs().await;
        assert_snapshot!(t.holds().await, @"
        waiting: production waits until the rules can be read: .bascule.yaml:3:3: environment `production` has no `path`; name the folder it is rendered from, or a `chart` (and 1 more)
        lifted by nothing to type: a commit on main that corrects it
        ");
        let endless = t.rules(RULES) + &"# \n".repeat(4 << 20 >> 1);
        t.forge.pushes_to("dev", &t.shop, "main", &[(".bascule.yaml", &endless)]).await;
        t.run_jobs().await;
        assert!(t.holds().await.contains("larger than 262144 bytes"), "{}", t.holds().await);
        t.forge.pushes_to("dev", &t.shop, "main", &[(".bascule.yaml", &t.rules(RULES))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.holds().await, @"");
    });
}

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
/// A secret, so that what differs each time is in no text people read. Its function has no name that a look at the text could
/// find, so that no preview shows what it does.
const RANDOM: &str = "apiVersion: v1\nkind: Secret\nmetadata: { name: web }\nstringData: { value: '{{ tpl (print \"{{ rand\" \"AlphaNum 20 }}\") . }}' }\n";

#[test]
fn what_renders_to_something_else_than_what_was_approved_is_not_synced() {
    check(async |t| {
        t.begins(RULES, &[("deploy/Chart.yaml", CHART), ("deploy/templates/web.yaml", RANDOM)]).await;
        for held in t.held_issues().await {
            t.forge.comments("lee", &held, "/bascule approve").await;
            t.forge.comments("olga", &held, "/bascule approve").await;
        }
        t.run_jobs().await;
        let applied: i64 =
            sqlx::query_scalar("SELECT count(*) FROM inventory").fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(applied, 0);
        assert_snapshot!(t.holds().await, @"
        failed: production renders to something else than what was consented to: Secret shop/web. A template that reads the time or draws random values does so every time
        lifted by /bascule sync production
        ");
    });
}

#[test]
fn what_renders_otherwise_is_held_where_people_consented_and_their_consent_goes_on() {
    check(async |t| {
        let fixed = RANDOM.replace("{{ tpl (print \"{{ rand\" \"AlphaNum 20 }}\") . }}", "1");
        t.runs(RULES, &[("deploy/Chart.yaml", CHART), ("deploy/templates/web.yaml", &fixed)]).await;
        // Held in an issue of ours; what is merged on top of it renders to something else each time.
        let more = settings("more", "1");
        t.forge.pushes_to("dev", &t.shop, "main", &[("deploy/templates/more.yaml", &more)]).await;
        t.run_jobs().await;
        let issue = t.held_issues().await.remove(0);
        let pr = t.forge.opens_pull("dev", &t.shop, &[("deploy/templates/web.yaml", RANDOM)]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        t.forge.comments("lee", &issue, &t.to_type(&issue, "production")).await;
        t.run_jobs().await;
        assert!(t.holds().await.starts_with("failed: "), "{}", t.holds().await);
        assert_eq!(t.held_issues().await[0].number, issue.number, "where it was consented to");
        // Once that is mended, nobody has to consent again to what waited below it.
        let pr = t.forge.opens_pull("dev", &t.shop, &[("deploy/templates/web.yaml", &fixed)]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["more=1"]);
        assert_snapshot!(t.holds().await, @"");
    });
}

#[test]
fn more_deletions_than_may_go_unnamed_wait_until_their_number_is_typed() {
    check(async |t| {
        let rules = format!("{RULES}    deletions: {{ confirm_above: 1 }}\n");
        let [a, b] = ["a", "b"].map(|name| settings(name, "1"));
        t.runs(&rules, &[(WEB, &settings("web", "1")), ("deploy/a.yaml", &a), ("deploy/b.yaml", &b)]).await;
        let pr = t.forge.opens_pull_that_removes("dev", &t.shop, &["deploy/a.yaml", "deploy/b.yaml"]).await;
        t.run_jobs().await;
        // A review carries no number.
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["a=1", "b=1", "web=1"]);
        let holds = regex::Regex::new("[0-9a-f]{12}").unwrap().replace_all(&t.holds().await, "…").into_owned();
        assert!(holds.starts_with("over-cap: "), "{holds}");
        assert!(holds.ends_with("lifted by /bascule approve production … --deletions 2"), "{holds}");
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line.replace("--deletions 2", "--deletions 3")).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["a=1", "b=1", "web=1"], "another number than it is");
        t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        assert_snapshot!(t.holds().await, @"");
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 0 | 2 | given: `lee` | `#2` healthy |");
    });
}

#[test]
fn what_is_held_is_not_voided_by_a_push_where_any_push_voids() {
    check(async |t| {
        let rules = RULES.replace(
            "{ approvals: [{ count: 1, users: [lee] }] }",
            "{ on_push: void, approvals: [{ count: 2, users: [lee, kim] }] }",
        );
        let rules = rules.as_str();
        t.begins(rules, &[(WEB, &settings("web", "1"))]).await;
        let first = t.held_issues().await.remove(0);
        for who in ["lee", "kim", "olga"] {
            t.forge.comments(who, &first, "/bascule approve").await;
        }
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=1"]);
        // Merged with nobody's approval, it waits where it was shown; half of what it needs is given there.
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        let line = t.to_type(&pr, "production");
        t.forge.comments("lee", &pr, &line).await;
        t.run_jobs().await;
        // Neither more commits on the branch, nor a push to where it came from, alter what waits.
        t.forge.pushes_to("dev", &t.shop, "main", &[("deploy/more.yaml", &settings("more", "1"))]).await;
        t.forge.pushes_to("dev", &t.shop, &format!("change-{}", pr.number), &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"| `production` | 0 | 1 | 0 | 1 of 2: `lee` | **held**: `uncovered` |");
        t.forge.comments("kim", &pr, &line).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);
    });
}

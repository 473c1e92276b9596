//! What only an App on GitHub shows: a check run with a summary and marked lines, and what asks for it to run again; and what
//! only GitHub asks: whether its merge queue may merge.

use insta::assert_snapshot;

use super::*;
use crate::fake::forge::{CheckRun, Fault, Pr, Queued};

/// What `docs/github.md` asks for.
pub(super) const PERMISSIONS: &[(&str, &str)] = &[
    ("checks", "write"),
    ("contents", "read"),
    ("deployments", "write"),
    ("issues", "write"),
    ("members", "read"),
    ("metadata", "read"),
    ("pull_requests", "write"),
    ("repository_hooks", "read"),
    ("statuses", "write"),
];

/// Tells a story to a server that is an App, with deliveries, then with sweeps alone; both have to end the same.
fn check_as_app<S: AsyncFn(&mut Town)>(permissions: &[(&str, &str)], story: S) {
    let (name, mut ends) = (table::name_of::<S>(), Vec::new());
    insta::allow_duplicates! { on_plane(async |plane| {
        for told in [Told::ByDeliveries, Told::BySweeps] {
            let namespace = format!("app-{}-{}", name.len(), ends.len());
            let mut t = Box::pin(Town::by_app(Database::new().await, plane, &namespace, permissions, told)).await;
            Box::pin(story(&mut t)).await;
            t.run_jobs().await;
            assert!(t.troubles.is_empty(), "{told:?}: {:#?}", t.troubles);
            ends.push(t.rows().await);
        }
        assert_eq!(ends[0], ends[1], "with deliveries, with sweeps");
    }) }
}

impl Town {
    /// Where our newest check run marks something.
    fn marked(&self, pr: &Pr) -> Vec<String> {
        let newest = self.forge.our_checks(pr).pop().unwrap();
        let mark = |mark: &serde_json::Value| format!("{}:{}", mark["path"].as_str().unwrap(), mark["start_line"]);
        newest.marks.iter().map(mark).collect()
    }

    /// Our check runs on the head, each with its summary and the lines it marks.
    fn checks(&self, pr: &Pr) -> String {
        let one = |run: &CheckRun| {
            let mark = |mark: &serde_json::Value| {
                format!(
                    "{}:{} {}\n",
                    mark["path"].as_str().unwrap(),
                    mark["start_line"],
                    mark["message"].as_str().unwrap()
                )
            };
            let marks: String = run.marks.iter().map(mark).collect();
            let conclusion = run.conclusion.as_deref().unwrap_or("runs");
            format!("{}: {conclusion}, {}\n{}\n{marks}", run.name, run.title, run.summary.trim_end())
        };
        let all: Vec<String> = self.forge.our_checks(pr).iter().map(one).collect();
        self.as_shown(&all.join("---\n"))
    }
}

#[test]
fn a_check_run_says_what_would_change_and_marks_the_lines_that_are_wrong() {
    check_as_app(PERMISSIONS, async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.checks(&pr), @r"
        bascule/preview: success, 1 object in 1 environment would change
        **Bascule** · `…` into `main` · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 1 | 0 | 0 of 1 | after merge |

        | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
        |---|---|---|---|---|
        | `production` | 1 changed | the change | none | ✓ takes it |

        production needs 1 more of: `@lee`

        [whole preview](<http://bascule.example/previews/…>)
        ");
        // The consent stays a status, and both say what is said elsewhere.
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");

        // Two lines of a manifest, and then one of the rules.
        t.forge.pushes("dev", &pr, &[(WEB, "kind: ConfigMap\n---\napiVersion: v1\nkind: ConfigMap\n")]).await;
        t.run_jobs().await;
        assert_eq!(t.marked(&pr), ["deploy/web.yaml:1", "deploy/web.yaml:1", "deploy/web.yaml:3"], "{}", t.checks(&pr));
        assert!(
            t.checks(&pr).starts_with("bascule/preview: failure, does not render: production\n"),
            "{}",
            t.checks(&pr)
        );
        let rules = t.rules(&RULES.replace("path:", "paht:"));
        let line = rules.lines().position(|line| line.contains("paht:")).unwrap() + 1;
        t.forge.pushes("dev", &pr, &[(".bascule.yaml", &rules)]).await;
        t.run_jobs().await;
        assert!(t.marked(&pr).contains(&format!(".bascule.yaml:{line}")), "{}", t.checks(&pr));
        assert!(
            t.checks(&pr).starts_with("bascule/preview: failure, .bascule.yaml cannot be read"),
            "{}",
            t.checks(&pr)
        );
    });
}

#[test]
fn what_policies_say_of_an_object_is_marked_where_it_stands() {
    check_as_app(PERMISSIONS, async |t| {
        let policies = "policies:
  lucky: { cel: \"object.data.value != '13'\", effect: deny, message: \"no 13\" }
  odd: { cel: \"object.data.value != '7'\", effect: warn, message: \"7 is odd\" }
";
        t.runs(&format!("{RULES}{policies}"), &[(WEB, &settings("web", "1"))]).await;
        let two = format!("{}---\n{}", settings("web", "7"), settings("db", "13"));
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &two)]).await;
        t.run_jobs().await;
        let newest = t.forge.our_checks(&pr).pop().unwrap();
        let mark = |mark: &serde_json::Value| {
            let [level, path, said] = ["annotation_level", "path", "message"].map(|key| mark[key].as_str().unwrap());
            format!("{level} {path}:{} {said}", mark["start_line"])
        };
        let marks: Vec<String> = newest.marks.iter().map(mark).collect();
        assert_snapshot!(t.as_shown(&marks.join("\n")), @"
        failure deploy/web.yaml:6 policy lucky denies ConfigMap shop/db: no 13
        warning deploy/web.yaml:1 policy odd warns ConfigMap shop/web: 7 is odd
        ");
    });
}

#[test]
fn a_check_that_is_run_again_is_a_fresh_look_and_another_run() {
    check_as_app(PERMISSIONS, async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        let fork = t.forge.opens_pull_from_fork("eve", &t.shop, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        for (pr, runs) in [(&pr, 2), (&fork, 2)] {
            t.forge.reruns_our_check("dev", pr).await;
            t.run_jobs().await;
            // Without the delivery nobody knows.
            let runs = if t.is_told() { runs } else { 1 };
            assert_eq!(t.forge.our_checks(pr).len(), runs);
        }
        // Nothing else is said again.
        let _ = t.forge.take_calls();
        t.forge.comments("dev", &pr, "/bascule preview").await;
        t.run_jobs().await;
        let writes: Vec<String> = t.forge.take_calls().into_iter().filter(|call| call.contains("check-runs")).collect();
        assert_eq!(writes, [""; 0]);
    });
}

#[test]
fn a_check_run_whose_making_was_not_answered_is_found_and_no_second_one_is_made() {
    check_as_app(PERMISSIONS, async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.loses_the_answer("POST /repos/acme/shop/check-runs", Fault::BreaksOff);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert!(t.forge.has_lost_the_answer());
        t.troubles.clear();
        assert_eq!(t.forge.our_checks(&pr).len(), 1);
    });
}

#[test]
fn an_app_without_the_right_says_it_in_a_status_and_goes_on_so_on_that_commit() {
    let without: Vec<(&str, &str)> =
        PERMISSIONS.iter().map(|(name, level)| (*name, if *name == "checks" { "read" } else { level })).collect();
    check_as_app(&without, async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
        t.forge.gives_apps("checks", "write");
        // The tokens that were given before run out.
        let hours = jiff::SignedDuration::from_hours(2);
        t.forge.waits(hours);
        t.context.clock.advance(hours);
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert!(t.forge.our_checks(&pr).is_empty(), "one of a name on a commit");
        t.forge.pushes("dev", &pr, &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert_eq!(t.forge.our_checks(&pr).len(), 1);
    });
}

#[test]
fn a_merge_queue_is_answered_and_what_it_merges_at_once_is_deployed() {
    check_as_app(PERMISSIONS, async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let web = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        let other = t.forge.opens_pull("dev", &t.shop, &[("deploy/other.yaml", &settings("other", "1"))]).await;
        let readme = t.forge.opens_pull("dev", &t.shop, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &web).await;
        t.run_jobs().await;
        let queue = t.forge.queues("dev", &[&readme, &web, &other]).await;
        t.run_jobs().await;
        let said = |t: &Town, queue: &[Queued]| {
            let all: Vec<String> = queue.iter().map(|one| t.forge.said_of(one)).collect();
            all.join("\n---\n")
        };
        assert_snapshot!(said(t, &queue), @"
        consent: success, #4: nothing of ours is touched
        preview: success, #4: nothing of ours is touched
        ---
        consent: success, each of #4, #2
        preview: success, each of #4, #2
        ---
        consent: failure, #3: missing: production 0 of 1
        preview: success, each of #4, #2, #3
        ");
        // Whoever may push makes a branch of such a name at any commit: nothing of ours is green there for that.
        let head = t.forge.head(&other);
        let alike = format!("gh-readonly-queue/main/pr-{}-{head}", other.number);
        t.forge.resets("dev", &t.shop, &alike, &head).await;
        t.run_jobs().await;
        let beside = t.forge.statuses_of(t.shop.id, &head);
        assert_eq!(beside["bascule/consent"].0, "failure", "{beside:?}");
        t.forge.deletes_branch("dev", &t.shop, &alike).await;
        // The last is thrown out, and comes back when it is approved, on top of what is left.
        t.forge.leaves_queue(&queue[2..]).await;
        t.forge.approves("lee", &other).await;
        t.run_jobs().await;
        let queue = t.forge.queues("dev", &[&readme, &web, &other]).await;
        t.run_jobs().await;
        assert!(said(t, &queue).contains("consent: success, each of #4, #2, #3"), "{}", said(t, &queue));
        t.forge.merges_queue("dev", &queue).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["other=1", "web=2"]);
        let newest =
            "SELECT detail ->> 'pulls' FROM audit_entry WHERE action = 'sync.started' ORDER BY seq DESC LIMIT 1";
        let pulls: String = sqlx::query_scalar(newest).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(pulls, "[2,3]", "each whose change it carries");
        let judged = "SELECT detail ->> 'pulls' FROM audit_entry WHERE action = 'group.judged' ORDER BY seq";
        let judged: Vec<String> = sqlx::query_scalar(judged).fetch_all(&t.database.owner).await.unwrap();
        assert!(judged.contains(&"[4,2,3]".to_owned()), "{judged:?}");
    });
}

//! Many environments that share a namespace: what a cluster is asked for a base that all of them read.

use std::sync::Arc;

use bascule::jobs;
use bascule::queue::{Lease, Verdict};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::town::TERM;
use super::*;
use crate::fake::forge::{Pr, Right};
use crate::support::front::Front;

/// Every folder is an environment of one namespace, and reads one base.
const OVERLAYS: &str = "\
version: 1
environments:
  '{app}': { path: 'apps/{app}', cluster: other, namespace: '{ns}-staging' }
";

const BASE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: web }\ndata: { value: 'VALUE' }\n";

fn app(number: usize) -> String {
    format!("a{number:02}")
}

impl Town {
    /// So many environments read one base, and have a config map of it and one of their own, and a service account.
    async fn has_overlays(&mut self, environments: usize) -> Front {
        let front = Front::of(self.plane).await;
        self.reaches_other_by(&front.kubeconfig());
        let mut files = vec![("base/kustomization.yaml".to_owned(), "resources: [web.yaml]\n".to_owned()), base("1")];
        for app in (0..environments).map(app) {
            let text = format!("resources: [../../base, own.yaml]\nnamePrefix: {app}-\n");
            files.push((format!("apps/{app}/kustomization.yaml"), text));
            let account = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: { name: runner }\n";
            files.push((format!("apps/{app}/own.yaml"), format!("{}{account}", settings("own", "1"))));
        }
        let rules = self.rules(OVERLAYS);
        let mut all = vec![(".bascule.yaml", rules.as_str())];
        all.extend(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        self.shop = self.forge.repository("acme/shop", &all).await;
        self.forge.lets("dev", &self.shop, Right::Write);
        sqlx::query("DELETE FROM job").execute(&self.database.owner).await.unwrap();
        front
    }

    async fn changes_the_base(&mut self, value: &str) -> Pr {
        let (path, text) = base(value);
        self.forge.opens_pull("dev", &self.shop, &[(&path, &text)]).await
    }
}

fn base(value: &str) -> (String, String) {
    ("base/web.yaml".to_owned(), BASE.replace("VALUE", value))
}

/// How many requests hold each of these.
fn counted<const N: usize>(asked: &[String], what: [&str; N]) -> [usize; N] {
    what.map(|what| asked.iter().filter(|one| one.contains(what)).count())
}

#[test]
fn environments_that_share_a_namespace_look_at_it_together() {
    on_plane(async |plane| {
        for (environments, lists, alone) in [(3, 0, 1), (10, 1, 0)] {
            let mut town = Town::new(plane, &format!("together-{environments}"), Told::ByDeliveries).await;
            let t = &mut town;
            let front = t.has_overlays(environments).await;
            let pr = t.changes_the_base("2").await;
            t.run_jobs().await;
            assert!(t.troubles.is_empty(), "{:#?}", t.troubles);
            let asked = front.asked();
            let one =
                |kind: &str, app: &str| format!("GET /api/v1/namespaces/together-{environments}-staging/{kind}/{app}");
            let (own, account) = (one("configmaps", "a01-own"), one("serviceaccounts", "a01-runner"));
            let kinds = ["/configmaps?limit", "/serviceaccounts?limit", &own, &account, "dryRun=All"];
            // Of few, each is asked for by itself. Ten service accounts are few, and twenty config maps are not.
            assert_eq!(counted(&asked, kinds), [lists, 0, alone, 1, environments], "{asked:#?}");
            let comment = t.forge.comment(&pr);
            assert!(comment.contains(&format!("{environments} environments")), "{comment}");
            // The same, when only the commit is another one.
            let (path, text) = base("2");
            t.forge.force_pushes("dev", &pr, &[(&path, &text)]).await;
            t.run_jobs().await;
            assert_eq!(counted(&front.asked(), kinds), [lists, 0, alone, 1, environments]);
        }
    });
}

#[test]
fn a_newer_push_ends_what_clusters_are_asked() {
    on_plane(async |plane| {
        let mut town = Town::new(plane, "asked-no-more", Told::ByDeliveries).await;
        let t = &mut town;
        let front = t.has_overlays(20).await;
        let pr = t.changes_the_base("2").await;
        sqlx::query("DELETE FROM job WHERE kind <> 'attend_pull'").execute(&t.database.owner).await.unwrap();
        let job = t.claim().await.expect("a job is due");
        front.thinks_about_dry_runs();
        let (context, ours) = (Arc::clone(&t.context), job.clone());
        let lease = Lease::new(job.fence, tokio::time::Instant::now(), TERM, CancellationToken::new());
        let mut running = JoinSet::new();
        running.spawn(async move { jobs::run(&context, &ours, &lease).await });
        front.was_asked("dryRun=All", 1).await;
        let (path, text) = base("3");
        let newest = t.forge.pushes("dev", &pr, &[(&path, &text)]).await;
        front.answers_dry_runs();
        let verdict = running.join_next().await.unwrap().unwrap();
        assert_eq!(verdict, Verdict::Done);
        t.settles(&job, &verdict).await;
        let [tried] = counted(&front.asked(), ["dryRun=All"]);
        assert!(tried <= 8, "nobody is asked any more but by those that were begun: {tried}");
        t.run_jobs().await;
        let [tried] = counted(&front.asked(), ["dryRun=All"]);
        assert_eq!(tried, 20);
        let comment = t.forge.comment(&pr);
        assert!(comment.contains(&newest[..7]) && comment.contains("20 environments"), "{comment}");
    });
}

impl Town {
    /// Which version of their rows the environments have, by name.
    async fn rows_of_environments(&self) -> Vec<(String, String)> {
        let rows = "SELECT name, xmin::text FROM environment ORDER BY name";
        sqlx::query_as(rows).fetch_all(&self.database.owner).await.unwrap()
    }

    /// The branch is followed, and nothing else is done.
    async fn follows_the_branch(&mut self) {
        sqlx::query("DELETE FROM job WHERE kind <> 'follow_branch'").execute(&self.database.owner).await.unwrap();
        let job = self.claim().await.expect("the branch moved");
        assert_eq!(self.run(&job, &CancellationToken::new()).await, Verdict::Done);
        assert!(self.troubles.is_empty(), "{:#?}", self.troubles);
    }
}

#[test]
fn a_push_that_leaves_the_rules_writes_no_environment() {
    on_plane(async |plane| {
        let mut town = Town::new(plane, "followed", Told::ByDeliveries).await;
        let t = &mut town;
        let _front = t.has_overlays(5).await;
        let (path, text) = base("2");
        t.forge.pushes_to("dev", &t.shop, "main", &[(&path, &text)]).await;
        t.follows_the_branch().await;
        let first = t.rows_of_environments().await;
        assert_eq!(first.len(), 5, "{first:?}");
        let (path, text) = base("3");
        t.forge.pushes_to("dev", &t.shop, "main", &[(&path, &text)]).await;
        t.follows_the_branch().await;
        assert_eq!(t.rows_of_environments().await, first, "nothing of them is another one");
        let rules = t.rules(OVERLAYS).replace(" }", ", sync: { prune: false } }");
        t.forge.pushes_to("dev", &t.shop, "main", &[(".bascule.yaml", &rules)]).await;
        t.follows_the_branch().await;
        let now = t.rows_of_environments().await;
        assert!(now.iter().all(|row| !first.contains(row)), "each has other rules: {now:?}");
    });
}

//! A chart of a registry, from the pull request to the cluster.

use std::sync::Arc;

use super::*;
use crate::fake::registry::{FakeRegistry, Fault, Way, packed};

const CHARTED: &str = "\
version: 1
defaults: { cluster: test }
environments:
  staging: { path: deploy, namespace: '{ns}-staging', consent: none }
  production:
    chart: { registry: charts, name: shop, version: 1.4.x }
    namespace: '{ns}'
    helm: { release: shop, values: [/values/production.yaml] }
    consent: { approvals: [{ count: 1, users: [lee] }] }
";
const VALUES: &str = "values/production.yaml";

impl Town {
    /// From now on charts come from there.
    fn charts_come_from(&mut self, registry: &FakeRegistry, way: Way) {
        let folder = self.file().with_file_name("charts");
        let context = Arc::get_mut(&mut self.context).expect("no job runs");
        context.registries = registry.alone(way, &folder);
        Arc::make_mut(&mut context.platform).registries.insert("charts".parse().unwrap());
    }
}

/// A chart whose object says which it is.
fn shop(version: &str, word: &str) -> Vec<u8> {
    let template = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: '{{{{ .Release.Name }}}}' }}\ndata: {{ value: '{{{{ .Values.value }}}} {word} {{{{ .Chart.Version }}}} on {{{{ .Capabilities.KubeVersion }}}}' }}\n"
    );
    packed("shop", version, &template)
}

#[test]
fn what_was_shown_of_a_registrys_chart_is_synced_wherever_its_tag_points_by_then() {
    check(async |t| {
        let way = if t.is_told() { Way::Oci } else { Way::Index };
        let registry = FakeRegistry::new().await;
        registry.has("shop", "1.4.2", shop("1.4.2", "of"));
        t.charts_come_from(&registry, way);
        t.runs(CHARTED, &[(WEB, &settings("web", "1")), (VALUES, "value: 1\n")]).await;
        let version = t.plane.get("/version").await.unwrap()["gitVersion"].as_str().unwrap().to_owned();
        assert_eq!(t.objects().await, [format!("shop=1 of 1.4.2 on {version}")]);
        // Once for all that was previewed, held, approved and synced: list, manifest and archive, or index and archive.
        assert_eq!(registry.asked().len(), if way == Way::Oci { 3 } else { 2 });

        let pr = t.forge.opens_pull("dev", &t.shop, &[(VALUES, "value: 2\n")]).await;
        t.run_jobs().await;
        let comment = t.comment(&pr);
        let by = format!(" for Kubernetes {version} of charts/shop 1.4.x → 1.4.2, ");
        assert!(comment.contains(&by), "{comment}");
        registry.has("shop", "1.4.2", shop("1.4.2", "other than"));
        registry.has("shop", "1.4.3", shop("1.4.3", "of"));
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, [format!("shop=2 of 1.4.2 on {version}")]);
        assert_eq!(registry.asked(), [""; 0], "a second preview, its sync and their sweeps fetch nothing");

        // A stranger has nothing fetched.
        let rules = t.rules(CHARTED).replace("1.4.x", "1.4.3");
        let fork = t.forge.opens_pull_from_fork("stranger", &t.shop, &[(".bascule.yaml", &rules)]).await;
        t.run_jobs().await;
        let comment = t.comment(&fork);
        assert!(comment.contains("is not fetched for a pull request from a fork"), "{comment}");
        assert_eq!(registry.asked(), [""; 0]);

        // Another version is asked for, and the registry is not well: an error of that environment alone.
        registry.fails(Some(Fault::Status(503)));
        let files = [(".bascule.yaml", &*rules), (WEB, &settings("web", "2"))];
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        let comment = t.comment(&pr);
        assert!(comment.contains("registry `charts`: it is not well (503)"), "{comment}");
        assert!(comment.contains("| `staging` | 0 | 1 | 0 | none needed | after merge |"), "{comment}");
        // It is back, and asked again.
        registry.fails(None);
        t.forge.comments("dev", &pr, "/bascule preview").await;
        t.run_jobs().await;
        let comment = t.comment(&pr);
        assert!(comment.contains("charts/shop 1.4.3, "), "{comment}");
    });
}

const OWN: &str = "\
version: 1
defaults: { cluster: test }
environments:
  production: { path: chart, namespace: '{ns}', consent: { approvals: [{ count: 1, users: [lee] }] } }
";
const CHART: &str = "apiVersion: v2\nname: own\nversion: 0.1.0\n";
const TEMPLATE: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: own }\ndata: { value: '{{ .Values.value }}' }\n";

#[test]
fn what_a_fork_names_as_a_dependency_or_in_a_first_file_is_never_fetched() {
    check(async |t| {
        let registry = FakeRegistry::new().await;
        registry.has("shop", "1.4.2", shop("1.4.2", "of"));
        t.charts_come_from(&registry, Way::Index);
        let files =
            [("chart/Chart.yaml", CHART), ("chart/values.yaml", "value: 1\n"), ("chart/templates/own.yaml", TEMPLATE)];
        t.runs(OWN, &files).await;
        // Its own registry, and one that the server may fetch from.
        for from in
            ["https://evil.example.com/charts", "oci://evil.example.com/charts", &registry.settings(Way::Index).url]
        {
            let text = format!("{CHART}dependencies: [{{ name: shop, version: 1.4.2, repository: '{from}' }}]\n");
            let fork = t.forge.opens_pull_from_fork("stranger", &t.shop, &[("chart/Chart.yaml", &text)]).await;
            t.run_jobs().await;
            let comment = t.comment(&fork);
            let said = "chart/Chart.yaml: the dependency `shop` is not in `chart/charts`, and nothing is fetched while rendering";
            assert!(comment.contains(said) && comment.contains("**does not render**"), "{comment}");
            assert!(!t.statuses(&fork).contains("success"), "{}", t.statuses(&fork));
        }
        assert_eq!(registry.asked(), [""; 0]);
    });
    check(async |t| {
        let registry = FakeRegistry::new().await;
        registry.has("shop", "1.4.2", shop("1.4.2", "of"));
        t.charts_come_from(&registry, Way::Index);
        t.begins_without_rules(&[("README.md", "# shop\n")]).await;
        let rules = t.rules(CHARTED);
        let files = [(".bascule.yaml", &*rules), (WEB, &settings("web", "1")), (VALUES, "value: 1\n")];
        let fork = t.forge.opens_pull_from_fork("stranger", &t.shop, &files).await;
        t.run_jobs().await;
        let comment = t.comment(&fork);
        assert!(comment.contains("is not fetched for a pull request from a fork"), "{comment}");
        assert!(!comment.contains("1 of 1.4.2"), "nothing of the chart is shown: {comment}");
        assert_eq!(registry.asked(), [""; 0]);
    });
}

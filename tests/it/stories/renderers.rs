//! kustomize and helm, from the pull request to the cluster.

use insta::assert_snapshot;

use super::*;

/// An overlay of a base and a component, and a chart with values from elsewhere, which goes after it.
const TWO: &str = "\
version: 1
defaults: { cluster: test }
environments:
  staging: { path: overlay, namespace: '{ns}-staging', consent: none }
  production:
    path: chart
    namespace: '{ns}'
    after: [staging]
    helm: { release: shop, values: [values.yaml, /values/production.yaml] }
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

const FILES: &[(&str, &str)] = &[
    ("base/kustomization.yaml", "resources: [web.yaml]\n"),
    ("base/web.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: web }\ndata: { value: '1' }\n"),
    (
        "tls/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [tls.yaml]\n",
    ),
    ("tls/tls.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: tls }\ndata: { value: '1' }\n"),
    ("overlay/kustomization.yaml", "namePrefix: small-\nresources: [../base]\ncomponents: [../tls]\n"),
    ("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n"),
    ("chart/values.yaml", "value: 0\n"),
    (
        "chart/templates/web.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: '{{ .Release.Name }}' }\ndata: { value: '{{ .Values.value }}' }\n",
    ),
    ("values/production.yaml", "value: 1\n"),
];

#[test]
fn an_overlay_and_a_chart_are_previewed_approved_and_deployed() {
    check(async |t| {
        t.runs(TWO, FILES).await;
        assert_eq!(t.objects_in("-staging").await, ["small-tls=1", "small-web=1"]);
        assert_eq!(t.objects().await, ["shop=1"]);

        let changed = [("base/web.yaml", &*settings("web", "2")), ("values/production.yaml", "value: 2\n")];
        let pr = t.forge.opens_pull("dev", &t.shop, &changed).await;
        t.run_jobs().await;
        assert_snapshot!(t.row(&pr), @"
        | `production` | 0 | 1 | 0 | 0 of 1 | after merge, after `staging` |
        | `staging` | 0 | 1 | 0 | none needed | after merge |
        ");
        let comment = t.comment(&pr);
        assert!(comment.contains("ConfigMap `shop-staging/small-web`"), "{comment}");
        assert!(comment.contains("helm") && comment.contains("kustomize"), "{comment}");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        t.run_jobs().await;
        assert_eq!(t.objects_in("-staging").await, ["small-tls=1", "small-web=2"]);
        assert_eq!(t.objects().await, ["shop=2"]);
        assert_snapshot!(t.row(&pr), @"
        | `production` | 0 | 1 | 0 | given: `lee` | `#2` healthy |
        | `staging` | 0 | 1 | 0 | none needed | `#2` healthy |
        ");
    });
}

//! The demo's repository and configuration, as a newcomer would write them.

use std::path::Path;

use crate::Options;

/// The first commit.
pub(crate) fn first(options: &Options) -> Vec<(String, String)> {
    let image = &options.image;
    vec![
        (".bascule.yaml".to_owned(), RULES.to_owned()),
        ("deploy/base/kustomization.yaml".to_owned(), "resources: [web.yaml, service.yaml]\n".to_owned()),
        ("deploy/base/web.yaml".to_owned(), deployment("web", image, 1)),
        ("deploy/base/service.yaml".to_owned(), SERVICE.to_owned()),
        ("deploy/staging/kustomization.yaml".to_owned(), "resources: [../base]\nnamespace: shop-staging\n".to_owned()),
        ("charts/shop/Chart.yaml".to_owned(), "apiVersion: v2\nname: shop\nversion: 1.0.0\n".to_owned()),
        ("charts/shop/values.yaml".to_owned(), values(image, 2, true, "64Mi")),
        ("charts/shop/templates/web.yaml".to_owned(), CHART_WEB.to_owned()),
        ("charts/shop/templates/legacy.yaml".to_owned(), CHART_LEGACY.to_owned()),
    ]
}

/// Both environments get another image.
pub(crate) fn second_image(options: &Options) -> Vec<(String, String)> {
    let image = &options.next_image;
    vec![
        ("deploy/base/web.yaml".to_owned(), deployment("web", image, 1)),
        ("charts/shop/values.yaml".to_owned(), values(image, 2, true, "64Mi")),
    ]
}

/// Production loses an object.
pub(crate) fn without_legacy(options: &Options) -> Vec<(String, String)> {
    replicas(options, 2)
}

/// Production has so many replicas.
pub(crate) fn replicas(options: &Options, replicas: u32) -> Vec<(String, String)> {
    vec![("charts/shop/values.yaml".to_owned(), values(&options.next_image, replicas, false, "64Mi"))]
}

/// Production wants more memory than any node has.
pub(crate) fn too_large(options: &Options, replicas: u32) -> Vec<(String, String)> {
    vec![("charts/shop/values.yaml".to_owned(), values(&options.next_image, replicas, false, "64Ti"))]
}

fn values(image: &str, replicas: u32, legacy: bool, memory: &str) -> String {
    format!("image: {image}\nreplicas: {replicas}\nlegacy: {legacy}\nmemory: {memory}\n")
}

const RULES: &str = "\
version: 1
environments:
  staging:
    stage: staging
    path: deploy/staging
    cluster: demo
    namespace: shop-staging
    consent: none
    drift: heal
  production:
    stage: production
    path: charts/shop
    helm: { release: shop }
    cluster: demo
    namespace: shop
    after: [staging]
    sync: { timeout: 20s }
    consent:
      approvals:
        - { count: 1, groups: [release] }
policies:
  services-that-go:
    cel: \"request.operation != 'DELETE' || oldObject.kind != 'Service'\"
    effect: warn
    message: somebody may still call it
";

/// The platform's people make namespaces; the grant lets the repository write into them.
pub(crate) const NAMESPACES: &str = "\
apiVersion: v1
kind: Namespace
metadata: { name: shop-staging }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop }
";

fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  replicas: {replicas}\n  selector: \
         {{ matchLabels: {{ app: {name} }} }}\n  template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    spec:\n      \
         containers:\n        - name: {name}\n          image: {image}\n"
    )
}

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080 }]
";

const CHART_WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: {{ .Values.replicas }}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: {{ .Values.image }}
          resources: { requests: { memory: {{ .Values.memory }} } }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080 }]
";

const CHART_LEGACY: &str = "\
{{ if .Values.legacy }}
apiVersion: v1
kind: Service
metadata: { name: legacy }
spec:
  selector: { app: web }
  ports: [{ port: 8000, targetPort: 8080 }]
{{ end }}
";

/// Where the server of the demo finds everything.
pub(crate) struct Places<'a> {
    pub(crate) data: &'a Path,
    pub(crate) gitea: &'a str,
    pub(crate) kubeconfig: &'a Path,
    /// What people sign in with, as Gitea calls it.
    pub(crate) application: &'a str,
    pub(crate) listen: u16,
    pub(crate) admin: u16,
    pub(crate) repository: &'a str,
    pub(crate) author: &'a str,
    pub(crate) approver: &'a str,
}

/// `bascule.toml`.
pub(crate) fn server(places: &Places<'_>) -> String {
    let Places { data, gitea, kubeconfig, application, listen, admin, repository, author, approver } = places;
    let (data, kubeconfig) = (data.display(), kubeconfig.display());
    format!(
        r#"version = 1
[server]
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
public_url = "http://127.0.0.1:{listen}"
key = {{ file = "{data}/server.key" }}
[database]
url = "embedded"
data_dir = "{data}"
[audit]
checkpoints = "{data}/checkpoints"
key = {{ file = "{data}/audit.key" }}
[forge.work]
kind = "gitea"
url = "{gitea}"
webhook_secrets = [{{ env = "DEMO_WEBHOOK_SECRET" }}]
token = {{ env = "DEMO_TOKEN" }}
sign_in = {{ client_id = "{application}", client_secret = {{ env = "DEMO_OAUTH" }} }}
[cluster.demo]
kubeconfig = {{ file = "{kubeconfig}" }}
[group.release]
people = {{ author = ["work/{author}"], approver = ["work/{approver}"] }}
[grant.shop]
repositories = ["work/{repository}"]
clusters = ["demo"]
namespaces = ["shop", "shop-*"]
owners = {{ count = 1, groups = ["release"] }}
[sweep]
pulls = "15s"
branches = "15s"
"#
    )
}

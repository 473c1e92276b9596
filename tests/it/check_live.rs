//! `bascule check --live`: what `bascule.toml` names is asked, and told as it is.

use std::path::Path;
use std::process::Command;

use bascule::manifest::{Fit, ServedSchemas};
use serde_json::{Value, json};

use crate::fake::forge::{FakeForge, TOKEN};
use crate::fake::prometheus::FakePrometheus;
use crate::fake::registry::FakeRegistry;
use crate::plane::on_plane;
use crate::support::database::Database;

/// What it says and how it ends, with what differs from run to run left out.
fn checked(folder: &Path, database: &str, hidden: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    command.args(["check", "--live", "bascule.toml"]).current_dir(folder).env("DATABASE_URL", database);
    command.env("XDG_CACHE_HOME", folder.join("cache"));
    let ran = command.output().unwrap();
    let mut said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    for (hide, show) in hidden {
        said = said.replace(hide, show);
    }
    let is_of_programs = |line: &&str| line.starts_with("renderer ") || line.starts_with("sops ");
    let lines = said.lines().filter(|line| !is_of_programs(line)).collect::<Vec<_>>().join("\n");
    let versions = regex::Regex::new(r"Kubernetes v[0-9.]+").unwrap().replace_all(&lines, "Kubernetes vX").into_owned();
    format!("{versions}\nends with {}", ran.status.code().unwrap())
}

/// What is kept of the real cluster knows its own kinds.
fn judges_like_the_server(folder: &Path) {
    let kept = std::fs::read(folder.join("cache/bascule/schemas/dev.json")).unwrap();
    let schemas: ServedSchemas = serde_json::from_slice(&kept).unwrap();
    let with = |spec: Value| {
        schemas.fit(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}))
    };
    let container = json!({"name": "web", "image": "x", "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "env": [{"name": "A", "value": "1"}],
        "livenessProbe": {"httpGet": {"port": "http", "path": "/"}}, "readinessProbe": {"httpGet": {"port": 80}}});
    let template =
        json!({"metadata": {"creationTimestamp": null, "labels": {"app": "web"}}, "spec": {"containers": [container]}});
    let good = json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template,
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}});
    assert_eq!(with(good.clone()), Fit::Fits);
    let mut bad = good;
    bad["replica"] = json!(2);
    bad["replicas"] = json!("2");
    bad["template"]["spec"]["containers"][0]["env"][0]["value"] = json!(1);
    let Fit::Faults(faults) = with(bad) else { panic!("it fits") };
    insta::assert_snapshot!(faults.join("\n"), @"
    .spec.replica: field not declared in schema
    .spec.replicas: expected integer, got text
    .spec.template.spec.containers[0].env[0].value: expected string, got a number
    ");
    for (version, kind) in
        [("v1", "ConfigMap"), ("batch/v1", "CronJob"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition")]
    {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "bogus": 1});
        assert!(matches!(schemas.fit(&object), Fit::Faults(_)), "{kind}");
    }
}

#[test]
fn what_the_file_names_is_asked_and_told_as_it_is() {
    on_plane(|plane| async move {
        let database = Database::new().await;
        let forge = FakeForge::start().await;
        forge.repository("acme/shop", &[("README.md", "# shop\n")]).await;
        let (charts, closed) = (FakeRegistry::new().await, FakeRegistry::new().await);
        closed.wants("secret");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        std::fs::write(folder.path().join("secret"), "hunter2").unwrap();
        let text = format!(
            r#"version = 1
[database]
url = {{ env = "DATABASE_URL" }}
[forge.work]
kind = "gitea"
url = "{}"
webhook_secrets = [{{ file = "secret" }}]
token = {{ file = "token" }}
[cluster.dev]
kubeconfig = {{ file = "{}" }}
[cluster.paper]
[grant.shop]
repositories = ["work/acme/shop", "work/acme/other-*"]
clusters = ["dev", "paper"]
namespaces = ["shop", "shop-*"]
[grant.guest]
repositories = ["work/acme/shop"]
clusters = ["dev"]
namespaces = ["guest"]
impersonate = "system:serviceaccount:{{namespace}}:deployer"
"#,
            forge.url(),
            plane.kubeconfig().display()
        );
        let registries = format!(
            "[registry.away]\nurl = \"oci://127.0.0.1:1/acme\"\nplain_http = true\n[registry.charts]\nurl = \"http://{}/index\"\n\
             [registry.closed]\nurl = \"oci://{}/acme\"\nplain_http = true\n",
            charts.host, closed.host
        );
        let measures = FakePrometheus::new().await;
        let measured = format!(
            "[prometheus.away]\nurl = \"http://127.0.0.1:1\"\n[prometheus.main]\nurl = \"{}/\"\ntoken = {{ file = \"secret\" }}\n",
            measures.url
        );
        let write = |text: &str| std::fs::write(folder.path().join("bascule.toml"), text).unwrap();
        write(&format!("{text}{registries}{measured}"));
        let url = forge.url();
        let hidden = [(url.as_str(), "FORGE"), ("127.0.0.1:1)", "…)")];
        insta::assert_snapshot!(checked(folder.path(), &database.server_url(), &hidden), @r"
        bascule.toml: good, 1 forge, 2 clusters, 2 grants, 0 floors, 0 groups
        database: there, of this version, and its role cannot rewrite the log
        forge work: we are bascule (1) at FORGE
        BAD    acme/shop: no webhook to http://127.0.0.1:8080/webhooks/work: `bascule connect` makes it; sweeps find what it would have told, later
        cluster dev: Kubernetes vX
        BAD    guest: system:serviceaccount:guest:deployer may not patch deployments, patch services, patch configmaps, delete deployments, delete services, delete configmaps, get leases, create leases, update leases
          shop: we may apply and prune
          shop-*: a pattern, about which a cluster cannot be asked
          its schemas are kept for `bascule diff`
        cluster paper: no way to reach it; only environments with `sync: { mode: none }` use it
        ?    registry `away`: it cannot be reached
        registry charts: there, and lets us in
        BAD  registry `closed`: it does not let us have a token (401): `[registry.closed]` has no `username` and `password`
        ?    prometheus `away`: it cannot be reached
        prometheus main: there, and answers queries
        ends with 2
        ");

        assert_eq!(measures.shown().as_deref(), Some("Bearer hunter2"));
        judges_like_the_server(folder.path());

        // With its webhook, and without the grant that the cluster does not know.
        forge.hooks_to("http://127.0.0.1:8080/webhooks/work");
        write(text.split_once("[grant.guest]").unwrap().0);
        insta::assert_snapshot!(checked(folder.path(), &database.server_url(), &hidden), @"
        bascule.toml: good, 1 forge, 2 clusters, 1 grant, 0 floors, 0 groups
        database: there, of this version, and its role cannot rewrite the log
        forge work: we are bascule (1) at FORGE
          acme/shop: its webhook is there
        cluster dev: Kubernetes vX
          shop: we may apply and prune
          shop-*: a pattern, about which a cluster cannot be asked
          its schemas are kept for `bascule diff`
        cluster paper: no way to reach it; only environments with `sync: { mode: none }` use it
        ends with 0
        ");

        // Nobody there.
        std::fs::write(folder.path().join("token"), "another").unwrap();
        insta::assert_snapshot!(checked(folder.path(), "postgres://x@127.0.0.1:1/x", &hidden), @"
        bascule.toml: good, 1 forge, 2 clusters, 1 grant, 0 floors, 0 groups
        ?    database: the database cannot be reached: pool timed out while waiting for an open connection
        BAD  forge work: does not take our token (GET /user answered 401: invalid username, password or token); it needs a valid one, where `forge.work.token` says
        cluster dev: Kubernetes vX
          shop: we may apply and prune
          shop-*: a pattern, about which a cluster cannot be asked
          its schemas are kept for `bascule diff`
        cluster paper: no way to reach it; only environments with `sync: { mode: none }` use it
        ends with 2
        ");
    });
}

#[test]
fn a_server_that_runs_in_no_pod_has_no_cluster_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let text = "version = 1\n[cluster.home]\nin_cluster = true\n";
    std::fs::write(folder.path().join("bascule.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    command.args(["check", "--live"]).current_dir(folder.path()).env_remove("KUBERNETES_SERVICE_HOST");
    let ran = command.output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    let line = "BAD  cluster.home.in_cluster: KUBERNETES_SERVICE_HOST is not set; it is set in every pod: outside of one, \
                name a `kubeconfig` instead";
    assert!(said.contains(line), "{said}");
}

#[test]
fn without_a_server_the_walls_of_this_machine_are_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("deploy")).unwrap();
    let file = "version: 1\nenvironments:\n  dev: { path: deploy, cluster: dev, namespace: shop, consent: none }\n";
    std::fs::write(folder.path().join(".bascule.yaml"), file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    let ran = command.args(["check", "--live"]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(said.contains("no bascule.toml here: no forge, cluster or database is asked"), "{said}");
    let helm = said.lines().find(|line| line.starts_with("renderer helm")).unwrap();
    assert!(helm.contains("walls: network "), "{said}");
}

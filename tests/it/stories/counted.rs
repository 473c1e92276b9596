//! What is not done twice: renders of the same content, and words that were said.

use super::*;

/// Three environments: kustomize with a base and a component, plain YAML beside a file nobody reads, and helm with a
/// values file.
const MANY: &str = "\
version: 1
defaults: { cluster: test, namespace: '{ns}', sync: { mode: none } }
environments:
  overlay: { path: overlay }
  plain: { path: plain }
  chart: { path: chart, helm: { release: shop, values: [/values/chart.yaml] } }
";

const FILES: &[(&str, &str)] = &[
    ("base/kustomization.yaml", "resources: [web.yaml]\n"),
    ("base/web.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: base }\ndata: { value: '1' }\n"),
    (
        "tls/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [tls.yaml]\n",
    ),
    ("tls/tls.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: tls }\ndata: { value: '1' }\n"),
    ("overlay/kustomization.yaml", "resources: [../base]\ncomponents: [../tls]\n"),
    ("overlay/README.md", "unread\n"),
    ("plain/web.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: plain }\ndata: { value: '1' }\n"),
    ("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n"),
    (
        "chart/templates/web.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: chart }\ndata: { value: '{{ .Values.value }}' }\n",
    ),
    ("values/chart.yaml", "value: 1\n"),
];

impl Town {
    async fn renders(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM render_cache").fetch_one(&self.database.owner).await.unwrap()
    }

    /// Opens a pull request with this change; the environments it names and how many renders it took.
    async fn touched_by(&mut self, path: &str, text: &str) -> (String, i64) {
        let before = self.renders().await;
        let pr = self.forge.opens_pull("dev", &self.shop, &[(path, text)]).await;
        self.run_jobs().await;
        let named = self.row(&pr).lines().filter_map(|row| row.split('`').nth(1)).collect::<Vec<_>>().join(" ");
        (named, self.renders().await - before)
    }
}

#[test]
fn a_change_renders_exactly_the_environments_that_read_it() {
    check(async |t| {
        t.begins(MANY, FILES).await;
        // What the base gives is rendered for the first pull request that is compared with it.
        let object = |name: &str, value: &str| settings(name, value);
        t.touched_by("base/web.yaml", &object("base", "0")).await;
        t.touched_by("plain/web.yaml", &object("plain", "0")).await;
        t.touched_by("values/chart.yaml", "value: 0\n").await;

        let one = |name: &str| (name.to_owned(), 1);
        assert_eq!(
            t.touched_by("base/web.yaml", &object("base", "2")).await,
            one("overlay"),
            "a base outside its path"
        );
        assert_eq!(t.touched_by("tls/tls.yaml", &object("tls", "2")).await, one("overlay"), "a component");
        assert_eq!(t.touched_by("values/chart.yaml", "value: 2\n").await, one("chart"), "a values file");
        assert_eq!(t.touched_by("plain/web.yaml", &object("plain", "2")).await, one("plain"));
        let none = (String::new(), 0);
        assert_eq!(t.touched_by("overlay/README.md", "still unread\n").await, none, "beside what is read");
        assert_eq!(t.touched_by("base/notes.md", "unread\n").await, none);
        let again = t.touched_by("base/web.yaml", &object("base", "2")).await;
        assert_eq!(again, ("overlay".to_owned(), 0), "the same content in another pull request");
    });
}

#[test]
fn what_was_said_is_not_said_again() {
    check(async |t| {
        t.begins(MANY, FILES).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[("plain/web.yaml", &settings("plain", "2"))]).await;
        t.forge.take_calls();
        t.run_jobs().await;
        let writes =
            |calls: Vec<String>| -> Vec<String> { calls.into_iter().filter(|call| !call.starts_with("GET")).collect() };
        let said = writes(t.forge.take_calls());
        let comments = said.iter().filter(|call| call.contains("comments")).count();
        assert_eq!((comments, said.len()), (1, 3), "one comment and two statuses: {said:#?}");
        // Somebody talks, and an unread file changes: everything is looked at again.
        t.forge.comments("lee", &pr, "nice").await;
        t.forge.take_calls();
        t.run_jobs().await;
        assert_eq!(writes(t.forge.take_calls()), [""; 0]);
    });
}

#[test]
fn git_is_asked_only_for_what_is_new() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let mut told = Vec::new();
        let mut fetched = async |t: &mut Town, what| {
            t.forge.take_fetches();
            t.run_jobs().await;
            told.push((what, t.forge.take_fetches()));
        };
        fetched(t, "nothing").await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        fetched(t, "a pull request").await;
        t.forge.comments("dev", &pr, "/bascule preview").await;
        fetched(t, "another look at it").await;
        t.forge.approves("lee", &pr).await;
        fetched(t, "an approval").await;
        t.forge.merges("dev", &pr, Merge::Commit).await;
        fetched(t, "the merge, and its sync").await;
        // A pull request's files come with its commits; a merge brings no new ones.
        let expected = [
            ("nothing", 0),
            ("a pull request", 1),
            ("another look at it", 0),
            ("an approval", 0),
            ("the merge, and its sync", 1),
        ];
        assert_eq!(told, expected);
        assert!(t.comment(&pr).contains("`#2` healthy"), "{}", t.comment(&pr));
        // Where the branch is now is asked each time, and of what was taken off it nothing is left to see.
        let before = t.forge.tip(&t.shop, "main").unwrap();
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &settings("web", "3"))]).await;
        t.run_jobs().await;
        assert!(!t.held_issues().await.is_empty(), "a push nobody approved is held");
        t.forge.resets("dev", &t.shop, "main", &before).await;
        t.forge.take_fetches();
        t.run_jobs().await;
        assert_eq!(t.forge.take_fetches(), 0, "what the branch is back at is here");
        assert!(t.held_issues().await.is_empty(), "and the held change is gone:\n{}", t.rows().await);
    });
}

#[test]
fn a_definition_that_nobody_uses_renders_nothing_again() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        let before = t.renders().await;
        let group = format!("{}.example.com", t.namespace);
        let schema = "{ type: object, x-kubernetes-preserve-unknown-fields: true }";
        let definition = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: toys.{group} }}\n\
             spec: {{ group: {group}, scope: Namespaced, names: {{ plural: toys, kind: Toy }},\n  \
             versions: [{{ name: v1, served: true, storage: true, schema: {{ openAPIV3Schema: {schema} }} }}] }}\n"
        );
        t.plane.apply(&definition).await.unwrap();
        t.plane.kubectl(&["wait", "--for=condition=Established", &format!("crd/toys.{group}")]).await.unwrap();
        let kubeconfig = t.plane.kubeconfig();
        // As after a restart: what the cluster serves is asked anew.
        t.reaches_other_by(kubeconfig);
        t.forge.comments("dev", &pr, "/bascule preview").await;
        t.run_jobs().await;
        assert_eq!(t.touched_by(WEB, &settings("web", "2")).await, ("production".to_owned(), 0));
        assert_eq!(t.renders().await, before);
    });
}

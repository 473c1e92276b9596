//! What drifted is written into the repository as it is in the cluster, by a pull request of whoever asked: exactly that, or nothing and why.

use bascule::ids::{RepositoryKey, TraceId};
use bascule::{jobs, queue};
use uuid::Uuid;

use super::drift::REPLICAS;
use super::*;
use crate::fake::forge::{Pr, Right};

/// A config map that people look after.
const KEPT: &str = "\
# What the shop says. Ask marketing.
apiVersion: v1
kind: ConfigMap
metadata:
  name: web   # not the till
data:
  value: '1' # of the day
  other: \"x\"
---
# The second one.
apiVersion: v1
kind: ConfigMap
metadata: { name: more }
data: { value: '1' }
";

impl Town {
    /// What a watch would have seen is looked at.
    async fn looks(&mut self) {
        sqlx::raw_sql("UPDATE inventory SET suspect = true").execute(&self.database.owner).await.unwrap();
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: self.shop.id };
        let all: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM environment").fetch_all(&self.database.owner).await.unwrap();
        let mut conn = self.database.pool.acquire().await.unwrap();
        for id in all {
            queue::enqueue(&mut conn, &jobs::look_at_drift(&key, id, TraceId(Uuid::from_u128(8)))).await.unwrap();
        }
        drop(conn);
        self.run_jobs().await;
    }

    /// Somebody's hand is on a value of a config map.
    async fn somebody_puts(&mut self, name: &str, value: &str) {
        let patch = serde_json::json!({ "data": { "value": value } }).to_string();
        let by = "--field-manager=kubectl-edit";
        self.kubectl(&[by, "patch", "configmap", name, "--type=merge", "-p", &patch]).await;
    }

    /// A pull request in which commands can be given, of something that nobody here is about.
    async fn has_a_place(&mut self, path: &str, text: &str) -> Pr {
        let pr = self.forge.opens_pull("dev", &self.shop, &[(path, text)]).await;
        self.run_jobs().await;
        pr
    }

    /// The pull requests of ours: each with its title, and what it says.
    fn adoptions(&self) -> Vec<(Pr, String, String)> {
        let ours = self.forge.our_pulls(&self.shop).into_iter();
        ours.map(|(pr, title, body)| (pr, self.as_shown(&title), self.as_shown(&body))).collect()
    }

    /// A file at the head of a pull request of ours.
    async fn written(&self, path: &str) -> String {
        let branch =
            "SELECT branch FROM our_pull WHERE number IS NOT NULL AND branch IS NOT NULL ORDER BY number DESC LIMIT 1";
        let branch: String = sqlx::query_scalar(branch).fetch_one(&self.database.owner).await.unwrap();
        self.forge.file(&self.shop, &branch, path).await
    }
}

#[test]
fn what_somebody_changed_is_written_where_it_stands_and_whoever_asked_is_the_author() {
    check(async |t| {
        t.runs(RULES, &[(WEB, KEPT)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        t.somebody_puts("web", "theirs").await;
        t.looks().await;
        t.hears_of("lee", &place, "/bascule adopt production").await;
        let (pr, title, body) = t.adoptions().remove(0);
        assert_eq!(title, "Adopt ConfigMap shop/web as it is in production");
        for part in
            ["- `ConfigMap shop/web`: `.data.value`\n", "Written: `deploy/web.yaml`.", "`work/lee` asked for it"]
        {
            assert!(body.contains(part), "{part}: {body}");
        }
        assert_eq!(t.written(WEB).await, KEPT.replacen("value: '1'", "value: 'theirs'", 1), "and nothing else");
        let (_, shown) = t.forge.known_as(&pr);
        let said = format!("production: `{shown}` writes what is live into the repository");
        assert!(t.answers(&place).contains(&said), "{}", t.answers(&place));
        assert_eq!(t.actions("adoption.%").await, ["adoption.asked", "adoption.opened"]);

        // Lee could approve anything else.
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert!(t.row(&pr).contains("0 of 1"), "{}", t.row(&pr));
        assert!(t.comment(&pr).contains("asked for the pull request"), "{}", t.comment(&pr));
        // Asked twice, by somebody else: it is the same one, and both are its authors.
        t.hears_of("kim", &place, "/bascule adopt production configmap/web").await;
        assert_eq!(t.adoptions().len(), 1);
        assert_eq!(t.actions("adoption.opened").await.len(), 2);
        let askers = "SELECT count(DISTINCT by_whom) FROM our_pull WHERE number IS NOT NULL";
        let askers: i64 = sqlx::query_scalar(askers).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(askers, 2);
    });
}

#[test]
fn what_is_adopted_and_merged_is_no_drift_any_more_and_nothing_is_written_to_the_cluster() {
    check(async |t| {
        let rules = RULES.replace("consent: { approvals: [{ count: 1, users: [lee] }] }", "consent: none");
        t.runs(&rules, &[(WEB, KEPT)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        t.somebody_puts("web", "theirs").await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production ConfigMap/web").await;
        let (pr, ..) = t.adoptions().remove(0);
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        t.looks().await;
        assert_eq!(t.objects().await, ["more=1", "web=theirs"]);
        assert_eq!(t.drifted().await, [""; 0]);
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert!(t.answers(&place).contains("production: no drift is known"), "{}", t.answers(&place));
        assert_eq!(t.adoptions().len(), 1);
    });
}

#[test]
fn what_cannot_be_adopted_is_named_with_why_and_what_can_is_adopted() {
    check(async |t| {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: { name: key }\nstringData: { value: one }\n";
        let password =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: login }\ndata: { password: one, value: '1' }\n";
        let files = [
            (WEB, KEPT),
            ("deploy/key.yaml", secret),
            ("deploy/login.yaml", password),
            ("deploy/gone.yaml", &*settings("gone", "1")),
            ("deploy/owned.yaml", &*settings("owned", "1")),
        ];
        t.runs(RULES, &files).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        let by = "--field-manager=kubectl-edit";
        t.kubectl(&[by, "patch", "secret", "key", "--type=merge", "-p", r#"{"stringData":{"value":"hunter2"}}"#]).await;
        t.kubectl(&[by, "patch", "configmap", "login", "--type=merge", "-p", r#"{"data":{"password":"hunter2"}}"#])
            .await;
        t.kubectl(&["delete", "configmap", "gone"]).await;
        t.kubectl(&["annotate", "--overwrite", "configmap", "owned", "bascule.dev/environment=another"]).await;
        t.looks().await;
        for (of, why) in [
            ("Secret/key", "the values of a Secret are never written into a repository"),
            ("ConfigMap/login", "`.data.password` looks like a credential, which is never written into a repository"),
            ("ConfigMap/gone", "it is gone"),
            ("ConfigMap/owned", "it is owned by somebody else now"),
        ] {
            t.hears_of("dev", &place, &format!("/bascule adopt production {of}")).await;
            let said = t.answers(&place);
            assert!(said.contains("production: nothing is adopted: ") && said.contains(why), "{of}: {said}");
        }
        assert_eq!(t.adoptions(), [], "nothing was opened");
        t.somebody_puts("more", "2").await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        let (_, title, body) = t.adoptions().remove(0);
        assert_eq!(title, "Adopt ConfigMap shop/more as it is in production");
        let left_out = body.split_once("Not adopted:").unwrap().1;
        for object in ["`Secret shop/key`", "`ConfigMap shop/login`", "`ConfigMap shop/gone`", "`ConfigMap shop/owned`"]
        {
            assert!(left_out.contains(object), "{object}: {body}");
        }
        let everything = format!("{}{}", t.written("deploy/key.yaml").await, body);
        assert!(!everything.contains("hunter2"), "{everything}");
        let log: String = sqlx::query_scalar("SELECT string_agg(detail::text, '') FROM audit_entry")
            .fetch_one(&t.database.owner)
            .await
            .unwrap();
        assert!(!log.contains("hunter2"), "{log}");
    });
}

/// Two overlays of one base.
const OVERLAYS: &str = "\
version: 1
defaults: { cluster: test }
environments:
  staging: { path: staging, namespace: '{ns}-staging', consent: none }
  production: { path: production, namespace: '{ns}', consent: { approvals: [{ count: 1, users: [lee] }] } }
";

#[test]
fn what_a_base_shares_is_patched_in_the_overlay_and_what_is_the_overlays_own_is_written_there() {
    check(async |t| {
        let overlay = "# Ours.\nresources: [../base, own.yaml]\nnamePrefix: p-\n";
        let files = [
            ("base/kustomization.yaml", "resources: [web.yaml]\n"),
            ("base/web.yaml", &*settings("web", "1")),
            ("staging/kustomization.yaml", "resources: [../base]\n"),
            ("production/kustomization.yaml", overlay),
            ("production/own.yaml", KEPT),
        ];
        let files = files.map(|(path, text)| (path, text.replace("name: web   #", "name: own   #")));
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        t.runs(OVERLAYS, &files).await;
        let place = t.has_a_place("production/own.yaml", &settings("place", "1")).await;
        t.somebody_puts("p-web", "theirs").await;
        t.somebody_puts("p-own", "mine").await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert_eq!(t.adoptions().len(), 1, "{}", t.answers(&place));
        let own = KEPT.replace("name: web   #", "name: own   #");
        assert_eq!(t.written("production/own.yaml").await, own.replacen("'1'", "'mine'", 1));
        assert_eq!(t.written("base/web.yaml").await, settings("web", "1"), "staging reads it, too");
        assert_eq!(
            t.written("production/adopted-configmap-p-web.yaml").await,
            "# As it was in the cluster: written by `/bascule adopt production`.\n\
             apiVersion: v1\ndata:\n  value: theirs\nkind: ConfigMap\nmetadata:\n  name: web\n"
        );
        let listed = format!("{overlay}patches:\n- path: adopted-configmap-p-web.yaml\n");
        assert_eq!(t.written("production/kustomization.yaml").await, listed);
        let (pr, _, body) = t.adoptions().remove(0);
        assert!(!t.row(&pr).contains("staging"), "{}", t.row(&pr));
        assert!(body.contains("Written: `production/adopted-configmap-p-web.yaml`"), "{body}");
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["p-more=1", "p-own=mine", "p-web=theirs"]);
        // Once more: the patch that is there is written.
        t.somebody_puts("p-web", "again").await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert_eq!(t.adoptions().len(), 2, "{}", t.answers(&place));
        assert!(t.written("production/adopted-configmap-p-web.yaml").await.contains("value: again"));
    });
}

#[test]
fn what_an_overlay_says_after_all_patches_is_not_written_where_it_has_no_effect() {
    check(async |t| {
        let files = [
            ("deploy/kustomization.yaml", "resources: [web.yaml]\nimages: [{ name: nginx, newTag: '1.1' }]\n"),
            ("deploy/web.yaml", REPLICAS),
        ];
        t.runs(&format!("{RULES}    sync: {{ timeout: 1s }}\n"), &files).await;
        let place = t.has_a_place("deploy/web.yaml", &settings("place", "1")).await;
        t.kubectl(&["set", "image", "deployment/web", "web=nginx:1.2"]).await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert_eq!(t.adoptions(), []);
        let said = t.answers(&place);
        assert!(said.contains("something else of the render has the last word"), "{said}");
    });
}

#[test]
fn a_deployments_containers_are_found_by_their_names() {
    check(async |t| {
        let file = "\
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 1
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
      - name: proxy
        image: envoy:1   # the same everywhere
      - image: nginx:1
        name: web
        resources: { requests: { cpu: 100m } }
";
        t.runs(&format!("{RULES}    sync: {{ timeout: 1s }}\n"), &[(WEB, file)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        t.kubectl(&["set", "image", "deployment/web", "web=nginx:2"]).await;
        t.kubectl(&["set", "resources", "deployment/web", "-c", "web", "--requests=cpu=200m"]).await;
        t.kubectl(&["scale", "deployment", "web", "--replicas=4"]).await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production deployment/web").await;
        assert_eq!(t.adoptions().len(), 1, "{}", t.answers(&place));
        let wanted = file.replace("nginx:1", "nginx:2").replace("100m", "200m").replace("replicas: 1", "replicas: 4");
        assert_eq!(t.written(WEB).await, wanted);
    });
}

#[test]
fn what_a_chart_makes_is_not_written_back_and_its_values_are_named() {
    check(async |t| {
        let template =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: web }\ndata: { value: '{{ .Values.value }}' }\n";
        let files = [
            ("deploy/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n"),
            ("deploy/values.yaml", "value: 1\n"),
            ("deploy/templates/web.yaml", template),
        ];
        t.runs(RULES, &files).await;
        let place = t.has_a_place("deploy/values.yaml", "value: 9\n").await;
        t.somebody_puts("web", "theirs").await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert_eq!(t.adoptions(), []);
        let said = t.answers(&place);
        for part in [
            "ConfigMap shop/web: the chart in `deploy` makes it, and what made `.data.value` cannot be told",
            "change its values, or type `/bascule heal production`",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    });
}

#[test]
fn what_the_branch_changed_since_is_not_written_over() {
    check(async |t| {
        t.runs(RULES, &[(WEB, KEPT)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        t.somebody_puts("web", "theirs").await;
        t.looks().await;
        // Merged without consent: it waits, and the file is another one by now.
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &KEPT.replacen("'1'", "'2'", 1))]).await;
        t.run_jobs().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert_eq!(t.adoptions(), []);
        let said = t.answers(&place);
        assert!(said.contains("`.data.value` has changed in `main` since it was deployed"), "{said}");
        // What changed elsewhere in the file stays as it is there.
        let moved = KEPT.replace("other: \"x\"", "other: \"y\" # new");
        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, &moved)]).await;
        t.run_jobs().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert_eq!(t.written(WEB).await, moved.replacen("'1'", "'theirs'", 1), "{}", t.answers(&place));
    });
}

#[test]
fn what_waited_for_a_right_is_written_as_it_is_by_then() {
    check(async |t| {
        t.runs(RULES, &[(WEB, KEPT)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        t.somebody_puts("web", "theirs").await;
        t.looks().await;
        t.forge.lets("bascule", &t.shop, Right::Read);
        t.forge.comments("lee", &place, "/bascule adopt production").await;
        t.works().await;
        assert!(t.answers(&place).contains("`bascule connect` says which right is missing"), "{}", t.answers(&place));
        // Days later, both the cluster and the branch have gone on.
        t.somebody_puts("web", "theirs again").await;
        let moved = KEPT.replace("Ask marketing", "Ask sales");
        t.forge.pushes_to("kim", &t.shop, "main", &[(WEB, &moved)]).await;
        t.forge.lets("bascule", &t.shop, Right::Admin);
        t.time_passes().await;
        t.run_jobs().await;
        assert_eq!(t.written(WEB).await, moved.replacen("'1'", "'theirs again'", 1), "{}", t.answers(&place));
        assert_eq!(t.adoptions().len(), 1);
    });
}

#[test]
fn a_file_that_two_environments_read_as_it_is_is_left_alone() {
    check(async |t| {
        let rules = OVERLAYS.replace("path: staging", "path: deploy").replace("path: production", "path: deploy");
        t.runs(&rules, &[(WEB, KEPT)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        t.somebody_puts("web", "theirs").await;
        t.looks().await;
        t.hears_of("dev", &place, "/bascule adopt production").await;
        assert_eq!(t.adoptions(), []);
        let said = t.answers(&place);
        assert!(said.contains("`deploy/web.yaml` is read by `staging`, too"), "{said}");
    });
}

#[test]
fn names_and_values_of_others_are_words_and_nothing_else() {
    check(async |t| {
        t.runs(RULES, &[(WEB, KEPT)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        let evil = "'; } # @everybody ![x](https://example.org)\n---\nkind: Secret\n\u{202e}";
        t.somebody_puts("web", evil).await;
        t.looks().await;
        for typed in ["../../x", "ConfigMap/..;x", "ConfigMap/web/../..", "`x`/y", "ConfigMap/*"] {
            t.hears_of("dev", &place, &format!("/bascule adopt production {typed}")).await;
            assert_eq!(t.adoptions(), [], "{typed}");
        }
        // Whoever may not write does not ask for one.
        t.forge.lets("stranger", &t.shop, crate::fake::forge::Right::Read);
        t.hears_of("stranger", &place, "/bascule adopt production").await;
        assert_eq!(t.adoptions(), []);
        assert!(
            t.answers(&place).contains("what drifted is adopted by the word of somebody with write access"),
            "{}",
            t.answers(&place)
        );
        t.hears_of("dev", &place, "/bascule adopt production").await;
        let (pr, _, body) = t.adoptions().remove(0);
        assert!(!body.contains("example.org"), "no value is told: {body}");
        let file = t.written(WEB).await;
        assert!(file.contains(r"\u202e") && file.lines().count() == KEPT.lines().count(), "{file}");
        assert!(t.row(&pr).contains("| 0 | 1 | 0 |"), "{}", t.row(&pr));
    });
}

#[test]
fn whoever_died_after_it_was_opened_has_its_pull_request_found() {
    check(async |t| {
        t.runs(RULES, &[(WEB, KEPT)]).await;
        let place = t.has_a_place("deploy/place.yaml", &settings("place", "1")).await;
        t.somebody_puts("web", "theirs").await;
        t.looks().await;
        t.forge.comments("lee", &place, "/bascule adopt production").await;
        t.dies_before("adoption.opened").await;
        assert_eq!(t.adoptions().len(), 1);
        t.run_jobs().await;
        assert_eq!(t.adoptions().len(), 1, "and no second one is opened");
        assert_eq!(t.actions("adoption.%").await, ["adoption.asked", "adoption.opened"]);
        let (pr, ..) = t.adoptions().remove(0);
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        assert!(t.comment(&pr).contains("asked for the pull request"), "{}", t.comment(&pr));
    });
}

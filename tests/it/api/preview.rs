//! A preview: the page and the same in JSON.

use std::path::Path;

use bascule::web::token::Scope;
use serde_json::{Value, json};

use super::{Api, store_preview};
use crate::clone::{Clone, looked_at};
use crate::documents::comments;

#[tokio::test]
async fn a_preview_is_a_page_that_runs_nothing_and_is_shown_to_whom_it_may() {
    let hostile = "</p><script>alert(1)</script>";
    let page = json!({ "subject": { "kind": "pull", "head": "a".repeat(40), "into": hostile },
        "outcome": { "kind": "untouched" }, "notes": [hostile] });
    let api = Api::new().await;
    let id = store_preview(&api, page.clone()).await;
    assert_eq!(api.get(&format!("/previews/{id}"), "").await.status, 401, "from this machine, too");
    let here = api.token("here", &[Scope::Read]).await;
    let shown = api.get(&format!("/previews/{id}"), &here).await;
    assert_eq!((shown.status, shown.kind.as_str()), (200, "text/html; charset=utf-8"), "{}", shown.text);
    assert!(!shown.text.contains("<script") && shown.text.contains("&lt;script&gt;"));
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"));
    assert_eq!(api.get("/previews/999", &here).await.status, 404);

    let public = Api::at("https://bascule.example.com").await;
    let id = store_preview(&public, page).await;
    let reader = public.token("reader", &[Scope::Read]).await;
    let auditor = public.token("auditor", &[Scope::Audit]).await;
    let path = format!("/previews/{id}");
    let asked = public.get(&path, "").await;
    assert_eq!(asked.status, 401);
    assert!(asked.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    assert_eq!(public.get(&path, &reader).await.status, 200);
    assert_eq!(public.get(&path, &auditor).await.status, 403);
    let prompted = public.client.get(format!("http://{}{path}", public.at)).basic_auth("any", Some(&reader));
    assert_eq!(prompted.send().await.unwrap().status(), 200);
    let json = public.get(&format!("/api/v1{path}"), &reader).await.json();
    assert_eq!(json["page"]["notes"], json!([hostile]));
}

/// Each as the server answers with it, beside the build's other files: `scripts/pages-check` looks at them in a browser.
#[tokio::test]
async fn the_pages_of_previews_are_served() {
    let api = Api::new().await;
    let here = api.token("here", &[Scope::Read]).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, page) in
        [("small", comments::small()), ("failing", comments::failing()), ("oversize", comments::oversize())]
    {
        let id = store_preview(&api, serde_json::to_value(&page).unwrap()).await;
        for (layout, query) in [("unified", ""), ("split", "?layout=split"), ("found", "?find=web")] {
            let shown = api.get(&format!("/previews/{id}{query}"), &here).await;
            assert_eq!(shown.status, 200, "{name} {layout}");
            assert!(!shown.text.contains("hunter") && shown.text.ends_with("</html>\n"), "{name} {layout}");
            std::fs::write(folder.join(format!("{name}-{layout}.html")), &shown.text).unwrap();
        }
        let json = api.get(&format!("/api/v1/previews/{id}"), &here).await.json();
        assert_eq!(json["page"], serde_json::to_value(&page).unwrap(), "in JSON it is all of it");
    }
}

const HOOKED: &str = "version: 1
environments:
  chart: { path: chart, cluster: prod, namespace: shop, consent: none }
  plain: { path: plain, cluster: prod, namespace: shop, consent: none }
";

/// A Job with this annotation.
fn job(name: &str, annotation: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{ {annotation} }}\nspec:\n  template:\n    spec: {{ restartPolicy: Never, containers: [{{ name: run, image: busybox }}] }}\n"
    )
}

/// From a chart's annotation and from ours to what people read: in the comment, on the page, in the terminal.
#[tokio::test]
async fn a_hook_is_shown_as_one_wherever_a_preview_is_shown() {
    let clone = Clone::of(&[
        (".bascule.yaml", HOOKED),
        ("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n"),
        ("chart/templates/migrate.yaml", &job("migrate", "helm.sh/hook: \"pre-install, pre-upgrade\"")),
        ("plain/seed.yaml", &job("seed", "bascule.dev/hook: post-sync")),
    ]);
    clone.write("chart/templates/check.yaml", job("check", "helm.sh/hook: test").as_bytes());
    for (path, name, annotation) in [
        ("chart/templates/migrate.yaml", "migrate", "helm.sh/hook: \"pre-install, pre-upgrade\""),
        ("plain/seed.yaml", "seed", "bascule.dev/hook: post-sync"),
    ] {
        clone.write(path, job(name, annotation).replace("busybox", "busybox:2").as_bytes());
    }
    let terminal = looked_at(&clone, false, "", &[]);
    let comment = looked_at(&clone, false, "--output markdown", &[]);
    let json: Value = serde_json::from_str(&looked_at(&clone, false, "--output json", &[])).unwrap();
    let api = Api::new().await;
    let id = store_preview(&api, json).await;
    let here = api.token("here", &[Scope::Read]).await;
    let page = api.get(&format!("/previews/{id}"), &here).await.text;
    // What each place writes names in.
    let around = regex::Regex::new("<[^>]*>|[`*]").unwrap();
    for (place, shown) in [("terminal", terminal), ("comment", comment), ("page", page)] {
        let words = around.replace_all(&shown, "").into_owned();
        for said in [
            "pre-install, pre-upgrade hook: runs once for this set, and is awaited",
            "post-sync hook: runs once for this set, and is awaited",
            "Job shop/migrate",
            "Job shop/seed",
        ] {
            assert!(words.contains(said), "{place} does not say {said:?}:\n{words}");
        }
        // What no sync runs is named, and shown as no change.
        let left: Vec<&str> = words.lines().filter(|line| line.contains("shop/check")).collect();
        assert!(left.iter().any(|line| line.contains("hook") && line.contains("test")), "{place}: {left:?}");
    }
}

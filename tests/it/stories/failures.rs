//! What is tried in vain is said in the pull request, and the next good try takes it back.

use std::path::Path;
use std::sync::Arc;

use bascule::git;
use bascule::render::{Limits, Programs, Renderer};
use insta::assert_snapshot;

use super::*;
use crate::fake::forge::Pr;
use crate::support::script;

const CHART: &[(&str, &str)] = &[
    ("deploy/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n"),
    ("deploy/templates/web.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: web }\ndata: { value: '2' }\n"),
];

/// A `git` whose merges write more than they may.
async fn git_that_is_full(folder: &Path) -> git::Program {
    let path = folder.join("git");
    let full = "case \" $* \" in *\" merge-tree \"*) echo 'fatal: write error: File too large' >&2; exit 128;; esac\n\
        exec git \"$@\"";
    script::write(&path, full);
    git::Program::find(&path).await.unwrap()
}

#[test]
fn a_pull_request_that_is_too_large_for_us_says_so() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let folder = tempfile::tempdir().unwrap();
        let full = git_that_is_full(folder.path()).await;
        let good = std::mem::replace(&mut Arc::get_mut(&mut t.context).unwrap().git, full);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        // Its own comment tells the server once more that something happened.
        assert!((1..=2).contains(&t.troubles.len()), "it is final: {:#?}", t.troubles);
        t.troubles.clear();
        assert_snapshot!(t.comment(&pr), @"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · there is no preview

        What this would change could not be found out, and nothing here can be consented to before it is:

        ```text
        what git would have to store is larger than … bytes
        ```

        A push or `/bascule preview` tries again, and so does whoever runs Bascule with `bascule jobs retry`.
        ");
        assert_snapshot!(errors(t, &pr), @"
        consent: error, there is no preview to consent to
        preview: error, what git would have to store is larger than 134217728 bytes
        ");

        // Somebody mends it, and the pull request moves.
        Arc::get_mut(&mut t.context).unwrap().git = good;
        t.forge.pushes("dev", &pr, &[("README.md", "# Shop\n")]).await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
        assert!(t.comment(&pr).contains("To consent to exactly this"), "{}", t.comment(&pr));
    });
}

#[test]
fn a_server_without_helm_says_so_where_a_chart_waits_for_it() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let folder = tempfile::tempdir().unwrap();
        let nothing = Programs { search: Some(folder.path().into()), ..Programs::default() };
        let without = Arc::new(Renderer::new(&nothing, folder.path(), Limits::default()).await);
        let with = std::mem::replace(&mut Arc::get_mut(&mut t.context).unwrap().renderer, without);
        let pr = t.forge.opens_pull("dev", &t.shop, CHART).await;
        t.run_jobs().await;
        assert!(t.troubles.len() >= 12, "an operator may mend it meanwhile: {:#?}", t.troubles);
        t.troubles.clear();
        assert_snapshot!(t.comment(&pr), @"
        <!-- bascule:preview -->
        **Bascule** · `…` into `main` · there is no preview

        What this would change could not be found out, and nothing here can be consented to before it is:

        ```text
        helm 3.14 or newer is needed, and is not on PATH
        ```

        A push or `/bascule preview` tries again, and so does whoever runs Bascule with `bascule jobs retry`.
        ");
        assert_snapshot!(errors(t, &pr), @"
        consent: error, there is no preview to consent to
        preview: error, helm 3.14 or newer is needed, and is not on PATH
        ");

        Arc::get_mut(&mut t.context).unwrap().renderer = with;
        t.forge.comments("dev", &pr, "/bascule preview").await;
        t.run_jobs().await;
        assert_snapshot!(t.statuses(&pr), @"
        consent: failure, missing: production 0 of 1
        preview: success, 1 object in 1 environment would change
        ");
    });
}

/// Our statuses, where GitLab has one word for what is wrong and what could not be found out.
fn errors(t: &Town, pr: &Pr) -> String {
    let word = if t.forge.tongue() == Tongue::GitLab { ": failure," } else { ": error," };
    t.statuses(pr).replace(word, ": error,")
}

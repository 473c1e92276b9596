//! `/docs/{page}`: what is written about this very version, for whoever follows a link of a comment at three in the morning and
//! has no repository of ours at hand.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use comrak::nodes::NodeValue;
use comrak::{Arena, Options, format_html, parse_document};

use super::asked::Named;
use super::html::Html;
use super::problem::Problem;
use super::who::Reader;

/// Every page of `docs/`.
const PAGES: &[(&str, &str)] = &[
    ("agent", include_str!("../../docs/agent.md")),
    ("backup", include_str!("../../docs/backup.md")),
    ("ci", include_str!("../../docs/ci.md")),
    ("gitea", include_str!("../../docs/gitea.md")),
    ("github", include_str!("../../docs/github.md")),
    ("gitlab", include_str!("../../docs/gitlab.md")),
    ("install", include_str!("../../docs/install.md")),
    ("kustomize", include_str!("../../docs/kustomize.md")),
    ("metrics", include_str!("../../docs/metrics.md")),
    ("operations", include_str!("../../docs/operations.md")),
    ("owners", include_str!("../../docs/owners.md")),
    ("performance", include_str!("../../docs/performance.md")),
    ("policies", include_str!("../../docs/policies.md")),
    ("previews", include_str!("../../docs/previews.md")),
    ("rendering", include_str!("../../docs/rendering.md")),
    ("secrets", include_str!("../../docs/secrets.md")),
    ("sign-in", include_str!("../../docs/sign-in.md")),
    ("stories", include_str!("../../docs/stories.md")),
    ("syncing", include_str!("../../docs/syncing.md")),
    ("upgrade", include_str!("../../docs/upgrade.md")),
    ("windows", include_str!("../../docs/windows.md")),
];

/// As HTML, each made once.
static WRITTEN: LazyLock<BTreeMap<&str, String>> =
    LazyLock::new(|| PAGES.iter().map(|(name, text)| (*name, written(text))).collect());

/// A page, by its name with or without `.md`: they link each other with it.
pub(super) async fn page(_: Reader, Named(name): Named<String>) -> Result<Response, Problem> {
    let name = name.strip_suffix(".md").unwrap_or(&name);
    let (name, body) = WRITTEN.get_key_value(name).ok_or_else(|| Problem::absent("page"))?;
    let mut html = Html::begin(&format!("{name} · Bascule"));
    html.ours("<main>").ours(body).ours("</main>");
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html.end()).into_response())
}

/// Its HTML. What it says of files beside it, in other folders, which are not served, stays without a link.
fn written(text: &str) -> String {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.header_id_prefix = Some(String::new());
    let arena = Arena::new();
    let root = parse_document(&arena, text, &options);
    for node in root.descendants() {
        let value = &mut node.data.borrow_mut().value;
        if let NodeValue::Link(link) = value
            && link.url.contains('/')
            && !link.url.starts_with("https://")
        {
            *value = NodeValue::Emph;
        }
    }
    let mut html = String::new();
    // Writing to a String cannot fail.
    let _ = format_html(root, &options, &mut html);
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_served_and_what_it_links_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".md").map(str::to_owned))
            .collect();
        files.sort_unstable();
        assert_eq!(WRITTEN.keys().collect::<Vec<_>>(), files.iter().collect::<Vec<_>>());
        for (name, html) in WRITTEN.iter() {
            for target in html.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                if target.starts_with("https://") || target.starts_with('#') {
                    continue;
                }
                let (page, anchor) = target.split_once('#').unwrap_or((target, ""));
                let page = page.strip_suffix(".md").and_then(|page| WRITTEN.get(page));
                let page = page.unwrap_or_else(|| panic!("{name} links {target}"));
                assert!(anchor.is_empty() || page.contains(&format!("id=\"{anchor}\"")), "{name} links {target}");
            }
        }
    }

    #[test]
    fn every_word_of_a_hold_has_its_place_on_the_page_that_a_comment_links() {
        let page = &WRITTEN["operations"];
        for reason in crate::sync::HoldReason::ALL {
            assert!(page.contains(&format!("id=\"{reason}\"")), "{reason}");
        }
    }
}

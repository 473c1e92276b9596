//! `/previews/{id}`: a preview, whole, as the page a comment links to when it had to leave something out.
//!
//! In pages where it is long, searched by its address, readable with nothing but HTML: it runs no script.

mod diff;
mod pieces;
#[cfg(test)]
mod tests;
mod whole;
mod words;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use self::diff::{Layout, hunk};
use self::pieces::{Lines, Pages, Piece};
use self::whole::{answers, list, merge_rules, outcome, subject};
use super::asked::{Asked, Named, text};
use super::html::{self, Html};
use super::problem::Problem;
use super::who::Reader;
use super::{Of, State};
use crate::db::previews;
use crate::manifest::{Body, Notable, Verb};
use crate::preview::{EnvironmentRow, HEADS, Live, ObjectChange, Page};

/// What of a preview, and how.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct View {
    /// From 1.
    page: Option<usize>,
    /// Words that an object's environment, kind, namespace, name or file hold, all of them.
    find: Option<String>,
    #[serde(default)]
    layout: Layout,
}

/// The page of a preview.
pub(super) async fn page(
    Reader(who): Reader,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    Asked(view): Asked<View>,
) -> Result<Response, Problem> {
    text(view.find.as_deref())?;
    let found = previews::page(&mut *state.pool.acquire().await?, id).await?;
    let (repository, stored) = found.ok_or_else(|| Problem::absent("preview"))?;
    who.may_read(&state, repository, "preview").await?;
    let page: Page = serde_json::from_value(stored).map_err(|error| {
        tracing::error!(preview = id, error = &error as &dyn std::error::Error, "a stored preview cannot be read");
        Problem::unavailable("this preview was stored by another version and cannot be shown")
    })?;
    let Some(written) = write(id, &page, &view) else { return Err(Problem::absent("page")) };
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], written).into_response();
    // Its search leads to itself.
    if let Ok(policy) = HeaderValue::from_str(&html::policy("'self'")) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// One page; `None` when there are not so many.
fn write(id: i64, page: &Page, view: &View) -> Option<String> {
    Writing::new(id, page, view).page(view.page.unwrap_or(1).checked_sub(1)?)
}

/// A preview, as it is asked for.
struct Writing<'p> {
    id: i64,
    page: &'p Page,
    pages: Pages<'p>,
    find: &'p str,
    layout: Layout,
}

impl<'p> Writing<'p> {
    fn new(id: i64, page: &'p Page, view: &'p View) -> Self {
        let find = view.find.as_deref().unwrap_or_default();
        Self { id, page, pages: Pages::of(page, find), find, layout: view.layout }
    }

    /// The page at this place, from 0.
    fn page(&self, at: usize) -> Option<String> {
        let pieces = self.pages.pages.get(at)?;
        let is_whole = self.find.is_empty();
        let id = self.id.to_string();
        let mut html = Html::begin(&format!("Bascule preview {id}"));
        html.ours("<a class=\"skip\" href=\"#changes\">To the changes</a><header>");
        html.within("<h1>Preview ", &id, "</h1>");
        if at == 0 && is_whole {
            subject(&mut html, &self.page.subject);
        }
        self.tools(&mut html, at);
        html.ours("</header><main id=\"changes\">");
        if at == 0 && is_whole {
            outcome(&mut html, self.page);
        }
        self.turning(&mut html, at, "Pages, above");
        for piece in pieces {
            self.piece(&mut html, piece);
        }
        if at + 1 == self.pages.pages.len() && is_whole {
            if let Some(hidden) = self.page.hidden_by_rule(str::to_owned) {
                html.within("<p>", &hidden, "</p>");
            }
            merge_rules(&mut html, self.page);
            answers(&mut html, self.page);
        }
        self.turning(&mut html, at, "Pages, below");
        html.ours("</main>");
        Some(html.end())
    }

    /// An address of this preview, laid out and searched as this page is.
    fn address(&self, page: usize, find: &str, layout: Layout) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if page > 0 {
            query.append_pair("page", &(page + 1).to_string());
        }
        if !find.is_empty() {
            query.append_pair("find", find);
        }
        if layout == Layout::Split {
            query.append_pair("layout", "split");
        }
        format!("?{}", query.finish())
    }

    fn link(&self, html: &mut Html, address: &str, words: &str) {
        html.within("<a href=\"", address, "\">").within("", words, "</a>");
    }

    /// Search and layout.
    fn tools(&self, html: &mut Html, at: usize) {
        html.ours("<form method=\"get\" role=\"search\">");
        html.within("<label>Find objects <input type=\"search\" name=\"find\" value=\"", self.find, "\"></label>");
        if self.layout == Layout::Split {
            html.ours("<input type=\"hidden\" name=\"layout\" value=\"split\">");
        }
        html.ours(" <button>Find</button></form><p>Lines ");
        for (layout, name) in [(Layout::Unified, "one below the other"), (Layout::Split, "side by side")] {
            if layout == self.layout {
                html.within("<strong>", name, "</strong> ");
            } else {
                self.link(html, &self.address(at, self.find, layout), name);
                html.ours(" ");
            }
        }
        html.ours("</p>");
        if !self.find.is_empty() {
            let found = match self.pages.objects {
                0 => "No object is found by ".to_owned(),
                1 => "1 object is found by ".to_owned(),
                several => format!("{several} objects are found by "),
            };
            html.within("<p role=\"status\">", &found, "").within("<q>", self.find, "</q>. ");
            self.link(html, &self.address(0, "", self.layout), "Show everything");
            html.ours("</p>");
        }
    }

    /// Where the other pages are.
    fn turning(&self, html: &mut Html, at: usize, label: &'static str) {
        let pages = self.pages.pages.len();
        if pages < 2 {
            return;
        }
        html.within("<nav aria-label=\"", label, "\"><p>");
        if at > 0 {
            self.link(html, &self.address(at - 1, self.find, self.layout), "Page before");
        }
        html.within(" Page ", &format!("{} of {pages}", at + 1), " ");
        if at + 1 < pages {
            self.link(html, &self.address(at + 1, self.find, self.layout), "Next page");
        }
        html.ours("</p><p class=\"quiet\">");
        for page in (0..pages).filter(|page| *page != at) {
            self.link(html, &self.address(page, self.find, self.layout), &(page + 1).to_string());
            html.ours(" ");
        }
        html.ours("</p></nav>");
    }

    fn piece(&self, html: &mut Html, piece: &Piece<'_>) {
        match piece {
            Piece::Table(range) => self.table(html, range.clone()),
            Piece::Environment(at) => {
                if let Some(row) = self.page.environments.get(*at) {
                    html.within("<h2 id=\"e", &at.to_string(), "\">").within("", row.name.as_str(), "</h2>");
                    facts(html, row);
                    if matches!(row.change, crate::preview::RowChange::Same) {
                        html.ours("<p>Nothing changes.</p>");
                    }
                }
            }
            Piece::Continued(at) => {
                if let Some(row) = self.page.environments.get(*at) {
                    html.within("<h2>", row.name.as_str(), ", continued</h2>");
                }
            }
            Piece::List(title, items) => {
                html.within("<h3>", title, "</h3>");
                list(html, items);
            }
            Piece::Rules(lines) => {
                html.ours("<h3>The environment's own rules</h3>");
                self.lines(html, lines);
            }
            Piece::Object(one, answer, lines) => {
                object(html, one, *answer);
                self.lines(html, lines);
            }
            Piece::More(one, lines) => {
                html.within("<h3><code>", &one.diff.key.to_string(), "</code>, continued</h3>");
                self.lines(html, lines);
            }
        }
    }

    fn table(&self, html: &mut Html, range: std::ops::Range<usize>) {
        html.ours("<table><caption>Environments</caption><thead><tr><th scope=\"col\">environment</th>");
        for (verb, sign) in [(Verb::Added, "+"), (Verb::Changed, "~"), (Verb::Removed, "−")] {
            html.within("<th scope=\"col\"><abbr title=\"", named(verb), "\">").within("", sign, "</abbr></th>");
        }
        html.ours("<th scope=\"col\">consent</th><th scope=\"col\">deployment</th></tr></thead><tbody>");
        for at in range {
            let Some(row) = self.page.environments.get(at) else { continue };
            html.ours("<tr><th scope=\"row\">");
            let page = self.pages.page_of(at).unwrap_or_default();
            self.link(html, &format!("{}#e{at}", self.address(page, "", self.layout)), row.name.as_str());
            html.ours("</th>");
            for count in row.counts() {
                html.within("<td>", &count.to_string(), "</td>");
            }
            html.within("<td>", &words::consent(&row.consent), "</td>");
            html.within("<td>", &words::deployment(&row.deployment), "</td></tr>");
        }
        html.ours("</tbody></table>");
    }

    fn lines(&self, html: &mut Html, lines: &Lines<'_>) {
        for (one, range) in lines {
            hunk(html, one, range.clone(), self.layout);
        }
    }
}

fn facts(html: &mut Html, row: &EnvironmentRow) {
    html.ours("<dl>");
    let mut fact = |name: &'static str, value: &str| {
        html.ours("<dt>").ours(name).within("</dt><dd>", value, "</dd>");
    };
    fact("Where", &format!("namespace {} of cluster {}", row.target.namespace, row.target.cluster));
    if let Some(stage) = &row.stage {
        fact("Stage", stage);
    }
    if let Some(digest) = row.digest() {
        fact("Change", &digest.to_string());
    }
    fact("Consent", &words::consent(&row.consent));
    fact("Deployment", &words::deployment(&row.deployment));
    if let Some(rendering) = &row.rendering {
        fact("Rendered by", &rendering.renderer);
    }
    if let Some(why) = &row.unasked {
        fact("In the cluster", &format!("not fully known: {why}"));
    }
    html.ours("</dl>");
    baselines(html, row);
}

/// The three baselines, each by its name.
fn baselines(html: &mut Html, row: &EnvironmentRow) {
    let Some(cells) = row.baselines() else { return };
    html.ours("<table><caption>Three baselines</caption><thead><tr>");
    for head in HEADS {
        html.ours("<th scope=\"col\">").ours(head).ours("</th>");
    }
    html.ours("</tr></thead><tbody><tr>");
    for cell in &cells {
        html.within("<td>", cell, "</td>");
    }
    html.ours("</tr></tbody></table>");
    if let Some(why) = row.not_compared() {
        html.within("<p>Effect and drift are not known: ", why, "</p>");
    }
}

fn named(verb: Verb) -> &'static str {
    match verb {
        Verb::Added => "added",
        Verb::Changed => "changed",
        Verb::Removed => "removed",
    }
}

fn object(html: &mut Html, one: &ObjectChange, answer: Option<&'static str>) {
    html.within("<h3><code>", &one.diff.key.to_string(), "</code> ").ours(named(one.diff.verb));
    html.ours("</h3><p class=\"quiet\">");
    if let Some(file) = &one.diff.file {
        html.within("from <code>", file, "</code>, ");
    }
    let lines = |count: usize| if count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
    html.text(&format!("{} more, {} less", lines(one.diff.plus), lines(one.diff.minus)));
    if let Some(hidden) = one.hidden_by_rule() {
        html.within("; ", &hidden, "");
    }
    if let Some(live) = &one.live {
        html.within("; in the cluster: ", &found(live), "");
    }
    if let Some(answer) = answer {
        html.ours("; ").ours(answer);
    }
    html.ours("</p>");
    if !one.diff.notable.is_empty() {
        let mark = |fact: &Notable| if fact.is_warning() { "⚠ " } else { "" };
        let facts: Vec<String> =
            one.diff.notable.iter().map(|fact| format!("{}{}", mark(fact), fact.sentence())).collect();
        list(html, &facts);
    }
    match &one.diff.body {
        Body::Name | Body::Hunks(_) => {}
        Body::TooLarge(paths) => {
            html.ours("<p>Too large to be shown line by line; these differ:</p>");
            list(html, paths);
        }
    }
}

fn found(live: &Live) -> String {
    live.words(str::to_owned, str::to_owned)
}

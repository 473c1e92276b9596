//! `/previews/{id}`: a preview, whole, as the page a comment links to when it had to leave something out.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::asked::Named;
use super::html::Html;
use super::problem::Problem;
use super::who::Reader;
use super::{Of, State};
use crate::db::previews;
use crate::manifest::{Body, Hunk, Notable, Verb};
use crate::preview::{
    Answered, Consent, Deployment, EnvironmentRow, Live, ObjectChange, Outcome, Page, PolicyRemark, RowChange, Subject,
};

/// The page of a preview.
pub(super) async fn page(
    Reader(who): Reader,
    Of(state): Of<State>,
    Named(id): Named<i64>,
) -> Result<Response, Problem> {
    let found = previews::page(&mut *state.pool.acquire().await?, id).await?;
    let (repository, stored) = found.ok_or_else(|| Problem::absent("preview"))?;
    who.may_read(&state, repository, "preview").await?;
    let page: Page = serde_json::from_value(stored).map_err(|error| {
        tracing::error!(preview = id, error = &error as &dyn std::error::Error, "a stored preview cannot be read");
        Problem::unavailable("this preview was stored by another version and cannot be shown")
    })?;
    let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    Ok(([kind], write(id, &page)).into_response())
}

fn write(id: i64, page: &Page) -> String {
    let mut html = Html::begin(&format!("Bascule preview {id}"));
    html.within("<h1>Preview ", &id.to_string(), "</h1><p>");
    match &page.subject {
        Subject::Pull { head, into } => {
            html.within("A pull request at <code>", head.as_str(), "</code> for ").within("<code>", into, "</code>");
        }
        Subject::Proposal { head, into } => {
            html.within("A first configuration at <code>", head.as_str(), "</code> for ").within(
                "<code>",
                into,
                "</code>: nothing is enforced before it is merged",
            );
        }
        Subject::Held { commit, branch } => {
            html.within("A held change: <code>", commit.as_str(), "</code> of ").within("<code>", branch, "</code>");
        }
        Subject::Local { base, head } => {
            html.within("<code>", base, "</code> to ").within("<code>", head, "</code>");
        }
    }
    html.ours("</p>");
    match &page.outcome {
        Outcome::Compared => {}
        Outcome::Untouched => {
            html.ours("<p>No environment is touched.</p>");
        }
        Outcome::Conflict { paths } => {
            html.ours("<p>It cannot be merged as it is; these files are in conflict:</p>");
            list(&mut html, paths);
        }
        Outcome::RulesInvalid { errors } => {
            html.ours("<p>The repository's rules cannot be read:</p>");
            list(&mut html, errors);
        }
        Outcome::Failed { why } => {
            html.within("<p>What it would change could not be found out: ", why, "</p>");
        }
    }
    for note in &page.notes {
        html.within("<p>", note, "</p>");
    }
    for row in &page.environments {
        environment(&mut html, row);
    }
    if !page.answers.is_empty() {
        html.ours("<h2>Answers</h2>");
        for answer in &page.answers {
            html.within("<p>To <code>", &answer.to, "</code>:</p>");
            list(&mut html, &sentences(&answer.answered));
        }
    }
    html.end()
}

fn list(html: &mut Html, items: &[String]) {
    html.ours("<ul>");
    for item in items {
        html.within("<li>", item, "</li>");
    }
    html.ours("</ul>");
}

fn sentences(answered: &Answered) -> Vec<String> {
    let named = |word: &str, names: &[crate::ids::EnvironmentName]| {
        names.iter().map(|name| format!("{word}: {name}")).collect()
    };
    match answered {
        Answered::Help => vec!["the list of commands".to_owned()],
        Answered::Explain { sentences } => sentences.clone(),
        Answered::Approved { environments, refused } => {
            let mut all: Vec<String> = named("approved", environments);
            all.extend(refused.iter().cloned());
            all
        }
        Answered::WhichChange { lines } => lines.clone(),
        Answered::Revoked { environments } => named("revoked", environments),
        Answered::Said { sentence } => vec![sentence.clone()],
    }
}

fn environment(html: &mut Html, row: &EnvironmentRow) {
    html.within("<h2>", row.name.as_str(), "</h2><table>");
    let mut fact = |name: &'static str, value: &str| {
        html.ours("<tr><th>").ours(name).within("</th><td>", value, "</td></tr>");
    };
    fact("Where", &format!("namespace {} of cluster {}", row.target.namespace, row.target.cluster));
    if let Some(stage) = &row.stage {
        fact("Stage", stage);
    }
    if let Some(digest) = row.digest() {
        fact("Change", &digest.to_string());
    }
    fact("Consent", &consent(&row.consent));
    fact("Deployment", &deployment(&row.deployment));
    if let Some(rendering) = &row.rendering {
        fact("Rendered by", &rendering.renderer);
    }
    if let Some(why) = &row.unasked {
        fact("In the cluster", &format!("not fully known: {why}"));
    }
    for left in &row.left_out {
        fact("Left out", &format!("{} (hook of {})", left.key, left.acts));
    }
    html.ours("</table>");
    if !row.policies.is_empty() {
        html.ours("<h3>Policies</h3>");
        list(html, &row.policies.iter().map(PolicyRemark::line).collect::<Vec<_>>());
    }
    match &row.change {
        RowChange::Same => {
            html.ours("<p>Nothing changes.</p>");
        }
        RowChange::Failed { errors, objects } => {
            html.ours("<p>It cannot be computed:</p>");
            list(html, errors);
            objects.iter().for_each(|one| object(html, one));
        }
        RowChange::Change { rules, objects, .. } => {
            if !rules.is_empty() {
                html.ours("<h3>The environment's own rules</h3>");
                hunks(html, rules);
            }
            objects.iter().for_each(|one| object(html, one));
        }
    }
}

fn consent(consent: &Consent) -> String {
    match consent {
        Consent::NotNeeded => "nobody is asked".to_owned(),
        Consent::Closed { why } => format!("cannot be judged: {why}"),
        Consent::Asked { wanted, given, counted, not_counted, missing } => {
            let mut text = format!("{given} of {wanted}");
            if !counted.is_empty() {
                text += &format!(" by {}", counted.join(", "));
            }
            for one in not_counted {
                text += &format!("; {} does not count: {}", one.login, one.why);
            }
            if missing.is_empty() { text } else { format!("{text}; {missing}") }
        }
    }
}

fn deployment(deployment: &Deployment) -> String {
    match deployment {
        Deployment::Nothing => "none: nothing changes".to_owned(),
        Deployment::AfterMerge { after, checks } if after.is_empty() => format!("after the merge{}", green(checks)),
        Deployment::AfterMerge { after, checks } => {
            let names: Vec<&str> = after.iter().map(crate::ids::EnvironmentName::as_str).collect();
            format!("after the merge, and after {}{}", names.join(", "), green(checks))
        }
        Deployment::OnCommand { checks } => format!("after the merge, when somebody says so{}", green(checks)),
        Deployment::Never => "never: previews and consent only".to_owned(),
        Deployment::Local => "none: a local look".to_owned(),
        Deployment::Queued => "its turn comes".to_owned(),
        Deployment::Running { number } => format!("number {number} runs"),
        Deployment::Healthy { number, kept } if kept.is_empty() => format!("number {number} is healthy"),
        Deployment::Healthy { number, kept } => format!("number {number} is healthy; {kept}"),
        Deployment::Failed { number, object, why } => {
            let at = object.as_ref().map(|object| format!(" at {object}")).unwrap_or_default();
            format!("number {number} failed{at}: {why}")
        }
        Deployment::Held { reason, detail, lifts } => format!("held ({reason}): {detail}; lifted by {lifts}"),
    }
}

/// `, after ci/test is green`; nothing when no check is waited for.
fn green(checks: &[String]) -> String {
    match checks {
        [] => String::new(),
        [only] => format!(", after {only} is green"),
        several => format!(", after {} are green", several.join(", ")),
    }
}

fn object(html: &mut Html, one: &ObjectChange) {
    let verb = match one.diff.verb {
        Verb::Added => "added",
        Verb::Changed => "changed",
        Verb::Removed => "removed",
    };
    html.within("<h3><code>", &one.diff.key.to_string(), "</code> ").ours(verb).ours("</h3><p class=\"quiet\">");
    if let Some(file) = &one.diff.file {
        html.within("from <code>", file, "</code>, ");
    }
    html.text(&format!("{} lines more, {} lines less", one.diff.plus, one.diff.minus));
    if let Some(live) = &one.live {
        html.within("; in the cluster: ", &found(live), "");
    }
    html.ours("</p>");
    if !one.diff.notable.is_empty() {
        let mark = |fact: &Notable| if fact.is_warning() { "⚠ " } else { "" };
        let facts: Vec<String> =
            one.diff.notable.iter().map(|fact| format!("{}{}", mark(fact), fact.sentence())).collect();
        list(html, &facts);
    }
    match &one.diff.body {
        Body::Name => {}
        Body::Hunks(all) => hunks(html, all),
        Body::TooLarge(paths) => {
            html.ours("<p>Too large to be shown line by line; these differ:</p>");
            list(html, paths);
        }
    }
}

fn found(live: &Live) -> String {
    live.words(str::to_owned, str::to_owned)
}

fn hunks(html: &mut Html, hunks: &[Hunk]) {
    for hunk in hunks {
        html.within("<p class=\"quiet\"><code>", &hunk.path, "</code></p><pre><code>");
        for line in &hunk.lines {
            html.ours(match line.as_bytes().first() {
                Some(b'+') => "<span class=\"plus\">",
                Some(b'-') => "<span class=\"minus\">",
                _ => "<span class=\"same\">",
            });
            html.within("", line, "</span>");
        }
        html.ours("</code></pre>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::Ruling;

    /// What an author would put wherever a word of theirs is shown.
    const HOSTILE: &str = "</pre><script>alert(1)</script><img src=x onerror='a()'>\" & \u{202e}evil\u{200b}";

    #[test]
    fn a_page_of_hostile_words_has_no_markup_but_ours() {
        let page = |x: &str| Page {
            subject: Subject::Local { base: x.to_owned(), head: x.to_owned() },
            outcome: Outcome::RulesInvalid { errors: vec![x.to_owned()] },
            environments: vec![EnvironmentRow {
                name: "production".parse().unwrap(),
                stage: Some(x.to_owned()),
                target: crate::ids::Target { cluster: "prod".parse().unwrap(), namespace: x.to_owned() },
                change: RowChange::Change {
                    digest: None,
                    rules: vec![Hunk { path: x.to_owned(), lines: vec![format!("+{x}")] }],
                    objects: vec![ObjectChange {
                        diff: crate::manifest::ObjectDiff {
                            key: crate::ids::ObjectKey {
                                group: String::new(),
                                kind: x.to_owned(),
                                namespace: None,
                                name: x.to_owned(),
                            },
                            verb: Verb::Changed,
                            file: Some(x.to_owned()),
                            plus: 1,
                            minus: 0,
                            notable: vec![Notable::Image {
                                container: x.to_owned(),
                                old: Some(x.to_owned()),
                                new: Some(x.to_owned()),
                            }],
                            body: Body::TooLarge(vec![x.to_owned()]),
                        },
                        live: Some(Live::Conflict { held: [(x.to_owned(), vec![x.to_owned()])].into() }),
                    }],
                },
                consent: Consent::Closed { why: x.to_owned() },
                deployment: Deployment::Held { reason: x.to_owned(), detail: x.to_owned(), lifts: x.to_owned() },
                rendering: None,
                left_out: Vec::new(),
                unasked: Some(x.to_owned()),
                policies: vec![PolicyRemark {
                    ruling: Ruling::Denies,
                    policy: x.to_owned(),
                    object: None,
                    message: x.to_owned(),
                    more: 1,
                }],
            }],
            notes: vec![x.to_owned()],
            marks: Vec::new(),
            answers: vec![crate::preview::Answer {
                to: x.to_owned(),
                asked: 0,
                answered: Answered::Said { sentence: x.to_owned() },
            }],
        };
        let (hostile, plain) = (write(1, &page(HOSTILE)), write(1, &page("word")));
        let marks = |html: &str| html.matches(['<', '>', '"', '\'']).count();
        assert_eq!(marks(&hostile), marks(&plain), "every mark is one of ours");
        assert!(!hostile.contains("<script") && !hostile.contains("<img"));
        assert!(!hostile.contains('\u{202e}') && !hostile.contains('\u{200b}'));
        assert!(hostile.contains("&lt;script&gt;"), "shown as what it is");
    }
}

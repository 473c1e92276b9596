//! What is too much for a comment.

use bascule::web::token::{self, Scope};
use jiff::SignedDuration;

use super::*;
use crate::fake::forge::Pr;

/// A config map of so many lines.
fn long(name: &str, lines: usize) -> String {
    let lines: String =
        (0..lines).map(|line| format!("    {name} says line {line} of something long enough\n")).collect();
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata:\n  value: |\n{lines}")
}

impl Town {
    /// The whole page behind the link of our comment, and the same as JSON.
    async fn whole(&self, pr: &Pr) -> (String, String) {
        let comment = self.forge.comment(pr);
        let link = comment.split("http://bascule.example/previews/").nth(1).expect("a link").split('>').next().unwrap();
        let token = token::create(
            &self.database.pool,
            &self.context.clock,
            "reader",
            &[Scope::Read],
            SignedDuration::from_hours(1),
        );
        let token = token.await.unwrap();
        let ask = async |path: String| {
            #[expect(clippy::disallowed_methods, reason = "a reader's browser")]
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = client.get(format!("{}{path}", self.url)).bearer_auth(&token).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            answer.text().await.unwrap()
        };
        (ask(format!("/previews/{link}")).await, ask(format!("/api/v1/previews/{link}")).await)
    }
}

#[test]
fn what_leaves_the_comment_for_want_of_room_is_named_and_is_on_the_page() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let names: Vec<String> = (0..12).map(|number| format!("long-{number}")).collect();
        let files: Vec<(String, String)> =
            names.iter().map(|name| (format!("deploy/{name}.yaml"), long(name, 150))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        let comment = t.forge.comment(&pr);
        assert!(comment.len() <= 60_000 && comment.contains("Not shown here for want of room: "), "{}", comment.len());
        let left: Vec<&String> =
            names.iter().filter(|name| !comment.contains(&format!("{name} says line 0 "))).collect();
        assert!(!left.is_empty() && left.len() < names.len(), "some are shown and some are not: {left:?}");
        for name in &names {
            assert!(comment.contains(&format!("/{name}`")), "{name} is named");
            let whole = (0..150).filter(|line| comment.contains(&format!("{name} says line {line} "))).count();
            assert!(whole == 150 || whole == 0, "{name} is there whole or not at all");
        }
        let (page, json) = t.whole(&pr).await;
        for (name, line) in names.iter().flat_map(|name| (0..150).map(move |line| (name, line))) {
            let text = format!("{name} says line {line} ");
            assert!(page.contains(&text) && json.contains(&text), "{text}is on the page");
        }
    });
}

//! What is too much for a comment.

use bascule::web::token::{self, Scope};
use jiff::SignedDuration;

use super::replay::heard;
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

/// Every folder is an environment that is never synced, and Lee is asked.
const MANY: &str = "\
version: 1
environments:
  '{app}':
    path: apps/{app}
    cluster: test
    namespace: '{ns}'
    sync: { mode: none }
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

#[test]
fn an_environment_that_the_comment_has_no_room_for_is_consented_to_once_it_has() {
    heard(async |t| {
        t.begins(MANY, &[]).await;
        let names: Vec<String> = (0..620).map(|number| format!("a{number:03}-{}", "a".repeat(55))).collect();
        let files: Vec<(String, String)> =
            names.iter().map(|name| (format!("apps/{name}/web.yaml"), settings(&name[..4], "1"))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        let comment = t.forge.comment(&pr);
        let is_in = |comment: &str, name: &String| comment.contains(&format!("`/bascule approve {name} "));
        let left: Vec<&String> = names.iter().filter(|name| !is_in(&comment, name)).collect();
        assert!(
            !left.is_empty() && left.len() < 300,
            "some are shown and some are not: {}\n{comment:.3000}",
            left.len()
        );
        let counted = format!("- and {} environments that this comment has no room for", left.len());
        assert!(comment.contains(&counted) && comment.contains("[**everything**]"), "{comment}");
        let (page, json) = t.whole(&pr).await;
        assert!(left.iter().all(|name| page.contains(name.as_str())), "all are on the page");

        // Nobody saw them, so neither a review nor a command consents to them, however well it is guessed.
        let (last, digest) = (left[left.len() - 1].clone(), digest_of(&json, left[left.len() - 1]));
        t.forge.comments("lee", &pr, &format!("/bascule approve {last} {digest}")).await;
        // Of a first set the platform's Olga is asked, too.
        t.forge.approves("lee", &pr).await;
        t.forge.approves("olga", &pr).await;
        t.run_jobs().await;
        let approved = "SELECT name FROM approval JOIN environment ON environment.id = environment_id
                        WHERE person->>'login' = 'lee'";
        let approved: Vec<String> = sqlx::query_scalar(approved).fetch_all(&t.database.owner).await.unwrap();
        assert_eq!(approved.len(), names.len() - left.len());
        assert!(left.iter().all(|name| !approved.contains(name)), "{left:?}");
        assert!(t.statuses(&pr).starts_with("consent: failure"), "{}", t.statuses(&pr));

        // What has its consent makes room for them, and then they are shown.
        let comment = t.forge.comment(&pr);
        assert!(left.iter().all(|name| is_in(&comment, name)), "{comment}");
        t.forge.comments("lee", &pr, &format!("/bascule approve {last} {digest}")).await;
        t.run_jobs().await;
        let of = "SELECT count(*) FROM approval JOIN environment ON environment.id = environment_id WHERE name = $1";
        let given: i64 = sqlx::query_scalar(of).bind(&last).fetch_one(&t.database.owner).await.unwrap();
        assert_eq!(given, 1, "{}", t.forge.comment(&pr));
    });
}

#[test]
fn while_a_long_preview_is_made_anew_the_comment_says_for_which_commit() {
    heard(async |t| {
        t.begins(MANY, &[]).await;
        let names: Vec<String> = (0..10).map(|number| format!("a{number}")).collect();
        let files: Vec<(String, String)> =
            names.iter().map(|name| (format!("apps/{name}/web.yaml"), settings(name, "1"))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let pr = t.forge.opens_pull("dev", &t.shop, &files).await;
        t.run_jobs().await;
        let before = t.forge.comment(&pr);
        let head = t.forge.pushes("dev", &pr, &[("apps/a0/web.yaml", &settings("a0", "2"))]).await;
        t.dies_before("preview.posted").await;
        // What was shown is still there, with all that can be consented to; and it is one comment.
        let meanwhile = t.forge.comment(&pr);
        assert!(meanwhile.contains(&format!(" · **updating for `{}`**\n", &head[..7])), "{meanwhile}");
        assert_eq!(meanwhile.replace(&format!(" · **updating for `{}`**", &head[..7]), ""), before);
        t.run_jobs().await;
        let after = t.forge.comment(&pr);
        assert!(after.contains(&format!("`{}` into", &head[..7])) && !after.contains("updating"), "{after}");
    });
}

/// The digest of an environment's change, as its page tells it.
fn digest_of(page: &str, environment: &str) -> String {
    let page: serde_json::Value = serde_json::from_str(page).unwrap();
    let rows = page["page"]["environments"].as_array().unwrap_or_else(|| panic!("{page:#}"));
    let row = rows.iter().find(|row| row["name"] == environment).unwrap();
    row["change"]["digest"].as_str().unwrap_or_else(|| panic!("{row:#}"))[..12].to_owned()
}

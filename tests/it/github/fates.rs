//! GitHub when it is not well, or asks for patience: which fate each answer has, and that nothing goes elsewhere.

use std::fmt::Write as _;

use bascule::clock::Clock;
use bascule::forge::{Forge, SignIn};
use insta::assert_snapshot;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::wire::{Says, Wire, says};
use super::{TOKEN, by_token, client, clock, hello, told};

const PULL: &str = "GET /repos/octocat/Hello-World/pulls/1347";

fn message(status: u16, text: &str) -> Says {
    says(status, json!({ "message": text }))
}

async fn fate_of(wire: &Wire, answer: Says) -> String {
    wire.says(PULL, [answer]);
    // A client of its own: the pause that one answer asks for is not the next one's.
    let forge = client(wire, SignIn::Token(TOKEN.to_owned().into()), &clock());
    told(&forge.pull(&hello(), 1347).await.unwrap_err())
}

#[tokio::test]
async fn a_limit_is_a_pause_and_a_missing_right_is_named() {
    let wire = Wire::start().await;
    let reset = clock().now().as_second() + 90;
    let used_up = |status, of: &str| {
        let says = message(status, "API rate limit exceeded for user ID 1.").with("x-ratelimit-remaining", 0);
        says.with("x-ratelimit-reset", reset).with("x-ratelimit-resource", of)
    };
    let secondary = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    let mut lines = String::new();
    for (what, answer) in [
        ("limit, 403", used_up(403, "core")),
        ("limit, 429", used_up(429, "core")),
        ("limit of the search", used_up(403, "search")),
        ("secondary, with a time", message(403, secondary).with("retry-after", 120)),
        ("secondary, without", message(403, secondary)),
        ("abuse, in old words", message(403, "You have triggered an abuse detection mechanism.")),
        ("429 without anything", message(429, "")),
        ("no right", message(403, "Resource not accessible by personal access token")),
        ("single sign-on", message(403, "Resource protected by organization SAML enforcement.")),
        ("bad token", message(401, "Bad credentials")),
        ("not there", message(404, "Not Found")),
        ("unprocessable", message(422, "Validation Failed")),
        ("down", message(502, "Server Error")),
        ("maintenance", message(503, "").with("retry-after", 30)),
        (
            "renamed",
            message(301, "Moved Permanently").with("location", format!("{}/api/v3/repositories/1", wire.url())),
        ),
        ("to another host", message(301, "").with("location", "https://evil.example.com/api/v3/repositories/1")),
        ("to a page", message(302, "").with("location", "/login")),
    ] {
        writeln!(lines, "{what:24} {}", fate_of(&wire, answer).await).unwrap();
    }
    assert_snapshot!(lines, @r"
    limit, 403               retry in 90 s: forge hub: asks us to slow down (GET /repos/octocat/Hello-World/pulls/1347 answered 403: API rate limit exceeded for user ID 1.)
    limit, 429               retry in 90 s: forge hub: asks us to slow down (GET /repos/octocat/Hello-World/pulls/1347 answered 429: API rate limit exceeded for user ID 1.)
    limit of the search      retry in 90 s: forge hub: asks us to search less (GET /repos/octocat/Hello-World/pulls/1347 answered 403: API rate limit exceeded for user ID 1.)
    secondary, with a time   retry in 120 s: forge hub: asks us to slow down (GET /repos/octocat/Hello-World/pulls/1347 answered 403: You have exceeded a secondary rate limit. Please wait a few minutes before you try again.)
    secondary, without       retry in 60 s: forge hub: asks us to slow down (GET /repos/octocat/Hello-World/pulls/1347 answered 403: You have exceeded a secondary rate limit. Please wait a few minutes before you try again.)
    abuse, in old words      retry in 60 s: forge hub: asks us to slow down (GET /repos/octocat/Hello-World/pulls/1347 answered 403: You have triggered an abuse detection mechanism.)
    429 without anything     retry in 60 s: forge hub: asks us to slow down (GET /repos/octocat/Hello-World/pulls/1347 answered 429)
    no right                 refused: forge hub: does not let our account do this (GET /repos/octocat/Hello-World/pulls/1347 answered 403: Resource not accessible by personal access token); it needs the repository permission “Pull requests: Read-only”
    single sign-on           refused: forge hub: does not let our account do this (GET /repos/octocat/Hello-World/pulls/1347 answered 403: Resource protected by organization SAML enforcement.); it needs the repository permission “Pull requests: Read-only”
    bad token                refused: forge hub: does not take our token (GET /repos/octocat/Hello-World/pulls/1347 answered 401: Bad credentials); it needs a valid one, where `forge.hub.token` says
    not there                gone: forge hub: does not have it, or does not show it to our account (GET /repos/octocat/Hello-World/pulls/1347 answered 404: Not Found)
    unprocessable            invalid: forge hub: does not take this request (GET /repos/octocat/Hello-World/pulls/1347 answered 422: Validation Failed)
    down                     retry: forge hub: is failing (GET /repos/octocat/Hello-World/pulls/1347 answered 502: Server Error)
    maintenance              retry in 30 s: forge hub: is failing (GET /repos/octocat/Hello-World/pulls/1347 answered 503)
    renamed                  gone: forge hub: has it under another name now (GET /repos/octocat/Hello-World/pulls/1347 answered 301: Moved Permanently)
    to another host          retry: forge hub: did not answer as its API (GET /repos/octocat/Hello-World/pulls/1347 answered 301)
    to a page                retry: forge hub: did not answer as its API (GET /repos/octocat/Hello-World/pulls/1347 answered 302)
    ");
}

#[tokio::test]
async fn each_refusal_without_a_time_doubles_the_pause_and_one_call_tries_again() {
    let wire = Wire::start().await;
    let clock: Clock = clock();
    let forge: Forge = client(&wire, SignIn::Token(TOKEN.to_owned().into()), &clock);
    let at = hello();
    let refused = || message(403, "You have exceeded a secondary rate limit.");
    let pull: Value = wire.example("GET", "/repos/octocat/Hello-World/pulls/1347");
    wire.says(PULL, [refused(), refused(), refused(), says(200, pull), refused()]);
    for minutes in [1, 2, 4] {
        let error = forge.pull(&at, 1347).await.unwrap_err();
        assert!(told(&error).starts_with(&format!("retry in {} s", minutes * 60)), "{}", told(&error));
        assert_eq!(wire.take_lines().len(), 1);
        clock.advance(SignedDuration::from_secs(minutes * 60 - 1));
        assert!(forge.comments(&at, 1347).await.unwrap_err().is_passing());
        assert_eq!(wire.take_lines().len(), 0, "nothing is sent within it");
        clock.advance(SignedDuration::from_secs(2));
    }
    forge.pull(&at, 1347).await.unwrap();
    assert!(told(&forge.pull(&at, 1347).await.unwrap_err()).starts_with("retry in 60 s"));
}

#[tokio::test]
async fn what_the_search_refuses_stops_nothing_else() {
    let (wire, forge, at) = by_token().await;
    let no =
        message(403, "API rate limit exceeded").with("x-ratelimit-remaining", 0).with("x-ratelimit-resource", "search");
    wire.says("GET /search/users", [no]);
    assert!(forge.account_by_email("kim@example.com").await.unwrap_err().is_passing());
    forge.pull(&at, 1347).await.unwrap();
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_comes_back() {
    let (wire, forge, at) = by_token().await;
    for status in [500, 502, 403, 422] {
        wire.says("POST /repos/octocat/Hello-World/issues/1347/comments", [message(status, "no")]);
        forge.create_comment(&at, 1347, "hello").await.unwrap_err();
        assert_eq!(wire.take_lines().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_next_page_at_another_address_is_asked_for_at_ours() {
    let (wire, forge, at) = by_token().await;
    let elsewhere = Wire::start().await;
    let link = |query: &str| format!("<{}/api/v3/steal?{query}>; rel=\"next\"", elsewhere.url());
    let activity = wire.example("GET", "/repos/octocat/Hello-World/activity");
    let pages = [says(200, activity.clone()).with("link", link("after=Y3Vyc29y")), says(200, activity)];
    wire.says("GET /repos/octocat/Hello-World/activity", pages);
    forge.pushes(&at, jiff::Timestamp::MIN).await.unwrap();
    let branches = wire.example("GET", "/repos/octocat/Hello-World/branches");
    let pages = [says(200, branches.clone()).with("link", link("page=2")), says(200, branches)];
    wire.says("GET /repos/octocat/Hello-World/branches", pages);
    assert_eq!(forge.branches(&at).await.unwrap().len(), 2);
    assert_eq!(
        wire.take_lines(),
        [
            "GET /repos/octocat/Hello-World/activity?per_page=100&direction=desc",
            "GET /repos/octocat/Hello-World/activity?per_page=100&direction=desc&after=Y3Vyc29y",
            "GET /repos/octocat/Hello-World/branches?per_page=100&page=1",
            "GET /repos/octocat/Hello-World/branches?per_page=100&page=2",
        ]
    );
    assert_eq!(elsewhere.take_lines(), Vec::<String>::new(), "no token leaves");
    wire.check();
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_read_is_not_taken_for_whole() {
    let (wire, forge, at) = by_token().await;
    let path = "GET /repos/octocat/Hello-World/issues/1347/comments";
    let comment = wire.example("GET", "/repos/octocat/Hello-World/issues/comments/1");
    let page = |ids: &[i64]| -> Value {
        let with = |id: &i64| {
            let mut one = comment.clone();
            one["id"] = (*id).into();
            one
        };
        ids.iter().map(with).collect()
    };
    let first = |ids: &[i64]| says(200, page(ids)).with("link", "<https://x/?page=2>; rel=\"next\"");
    let last = |ids: &[i64]| says(200, page(ids));
    // The first was deleted after the first page was read, and so the third slipped to that page.
    wire.says(path, [first(&[1, 2]), last(&[4]), first(&[2, 3]), last(&[4])]);
    assert_snapshot!(told(&forge.comments(&at, 1347).await.unwrap_err()), @"retry: forge hub: /repos/octocat/Hello-World/issues/1347/comments changed while it was read");
    wire.says(path, [first(&[1, 2]), last(&[3]), first(&[1, 2]), last(&[3])]);
    let ids: Vec<i64> = forge.comments(&at, 1347).await.unwrap().iter().map(|comment| comment.id).collect();
    assert_eq!(ids, [1, 2, 3]);
}

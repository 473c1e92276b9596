//! What has not changed since it was asked for last: GitHub says so, and it costs nothing of its limit.

use secrecy::ExposeSecret as _;

use super::app::Test;
use super::wire::says;
use super::{by_token, hello, told};

const PULL: &str = "/repos/octocat/Hello-World/pulls/1347";

#[tokio::test]
async fn an_answer_is_asked_for_under_its_tag_until_something_is_written_there() {
    let (wire, forge, at) = by_token().await;
    let tags = || wire.take_asked().into_iter().map(|asked| asked.tag).collect::<Vec<_>>();
    let pull = wire.example("GET", PULL);
    let first = says(200, pull.clone()).with("etag", "W/\"1\"");
    let mut moved = pull;
    moved["title"] = "Another title".into();
    let other = says(200, moved).with("etag", "W/\"2\"");
    wire.says(&format!("GET {PULL}"), [first, says(304, "".into()), other, says(304, "".into())]);

    let asked = forge.pull(&at, 1347).await.unwrap();
    assert_eq!(forge.pull(&at, 1347).await.unwrap(), asked, "as it was told before");
    assert_eq!(tags(), ["", "W/\"1\""]);
    let moved = forge.pull(&at, 1347).await.unwrap();
    assert_eq!(moved.title, "Another title");
    assert_eq!(forge.pull(&at, 1347).await.unwrap(), moved);
    assert_eq!(tags(), ["W/\"1\"", "W/\"2\""], "the newest answer is the one that is kept");

    // Whatever comes of it: it may have been written.
    wire.says("POST /repos/octocat/Hello-World/issues/1347/comments", [says(502, "".into())]);
    forge.create_comment(&at, 1347, "hello").await.unwrap_err();
    tags();
    let error = forge.pull(&at, 1347).await.unwrap_err();
    assert_eq!(tags(), [""], "nothing of that repository is kept");
    let expected = "retry: forge hub: did not answer as its API";
    assert!(told(&error).starts_with(expected), "unchanged from what? {}", told(&error));
    wire.check();
}

#[tokio::test]
async fn what_is_new_on_the_page_after_a_full_one_that_is_unchanged_is_read() {
    const COMMENTS: &str = "/repos/octocat/Hello-World/issues/1347/comments";
    let (wire, forge, at) = by_token().await;
    let one = wire.example("GET", COMMENTS)[0].clone();
    let numbered = |numbers: std::ops::RangeInclusive<i64>| {
        let comment = |id| {
            let mut comment = one.clone();
            comment["id"] = serde_json::json!(id);
            comment
        };
        serde_json::Value::from(numbers.map(comment).collect::<Vec<_>>())
    };
    // The tag is of the entries alone: that there is another page by now is in no header of an unchanged one.
    let full = says(200, numbered(1..=100)).with("etag", "\"1\"");
    let none = || says(200, serde_json::json!([]));
    let (same, next) = (|| says(304, "".into()), || says(200, numbered(101..=101)));
    wire.says(&format!("GET {COMMENTS}"), [full, none(), same(), none(), same(), next(), same(), next()]);
    assert_eq!(forge.comments(&at, 1347).await.unwrap().len(), 100);
    assert_eq!(forge.comments(&at, 1347).await.unwrap().len(), 101);
    wire.check();
}

#[tokio::test]
async fn an_answer_is_for_the_token_that_got_it() {
    let t = Test::new().await;
    let pull = says(200, t.wire.example("GET", PULL)).with("etag", "\"1\"");
    t.wire.says(&format!("GET {PULL}"), [pull]);
    let tags = async || {
        t.forge.pull(&hello(), 1347).await.unwrap();
        t.wire.take_asked().last().unwrap().tag.clone()
    };
    assert_eq!((tags().await.as_str(), tags().await.as_str()), ("", "\"1\""));
    t.clock.advance(jiff::SignedDuration::from_mins(50));
    t.gives("ghs_second");
    assert_eq!(tags().await, "", "another token may be shown something else");
    assert_eq!(t.forge.git_token(&hello()).await.unwrap().expose_secret(), "ghs_second");
    assert_eq!(tags().await, "\"1\"");
}

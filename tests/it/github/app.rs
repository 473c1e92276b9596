//! An App's way in: what it signs, which tokens it asks for, and what becomes of an installation that goes.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use bascule::clock::Clock;
use bascule::forge::{Forge, Kind, Settings, SignIn};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use insta::assert_snapshot;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::wire::{Wire, says};
use super::{client, clock, hello, told};

const APP: u64 = 7;

/// An App's private key, made for a test.
pub(super) struct Key {
    pem: String,
    public: Vec<u8>,
}

pub(super) fn key() -> Key {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    // GitHub gives what is inside of it: the key without its kind.
    let pem = pem("RSA PRIVATE KEY", &der.as_ref()[26..]);
    Key { pem, public: pair.public_key().as_ref().to_vec() }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Key {
    pub(super) fn sign_in(&self) -> SignIn {
        SignIn::App { id: APP, private_key: self.pem.clone().into() }
    }

    /// The claims of what was signed with it.
    fn claims(&self, signed: &str) -> Value {
        let token = signed.strip_prefix("Bearer ").unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
        public.verify(text.as_bytes(), &signature).unwrap();
        let (head, claims) = text.split_once('.').unwrap();
        let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(json(head), json!({ "alg": "RS256", "typ": "JWT" }));
        json(claims)
    }
}

/// One installation of ours for each of these accounts, with everything we ask for.
pub(super) fn installs(wire: &Wire, accounts: &[&str]) {
    let all: Vec<Value> = accounts.iter().zip(1..).map(|(login, id)| installation(wire, id, login)).collect();
    wire.says("GET /app/installations", [says(200, all.into())]);
}

fn installation(wire: &Wire, id: i64, login: &str) -> Value {
    let mut one = wire.example("GET", "/app/installations")[0].clone();
    one["id"] = id.into();
    one["account"]["login"] = login.into();
    one["suspended_at"] = Value::Null;
    one["permissions"] = json!({
        "contents": "read", "issues": "write", "members": "read", "metadata": "read",
        "pull_requests": "write", "repository_hooks": "read", "statuses": "write", "administration": "write",
    });
    one
}

pub(super) struct Test {
    pub(super) wire: Wire,
    key: Key,
    pub(super) clock: Clock,
    pub(super) forge: Forge,
}

impl Test {
    pub(super) async fn new() -> Self {
        let (wire, key, clock) = (Wire::start().await, key(), clock());
        installs(&wire, &["github", "octocat"]);
        let forge = client(&wire, key.sign_in(), &clock);
        let test = Self { wire, key, clock, forge };
        test.gives("ghs_first");
        test
    }

    /// The token that is given from now on, for an hour.
    pub(super) fn gives(&self, token: &str) {
        for id in [1, 2] {
            let path = format!("/app/installations/{id}/access_tokens");
            let mut given = self.wire.example("POST", &path);
            given["token"] = token.into();
            given["expires_at"] = (self.clock.now() + SignedDuration::from_hours(1)).to_string().into();
            self.wire.says(&format!("POST {path}"), [says(201, given)]);
        }
    }
}

#[tokio::test]
async fn a_token_is_for_one_repository_and_asked_for_once_an_hour() {
    let t = Test::new().await;
    t.forge.pull(&hello(), 1347).await.unwrap();
    let asked = t.wire.take_asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /app/installations?per_page=100&page=1",
            "POST /app/installations/2/access_tokens",
            "GET /repos/octocat/Hello-World/pulls/1347"
        ]
    );
    let now = t.clock.now().as_second();
    for signed in &asked[..2] {
        let claims = json!({ "iat": now - 60, "exp": now + 540, "iss": "7" });
        assert_eq!(t.key.claims(&signed.signed), claims, "from a minute ago, for less than ten");
    }
    assert_snapshot!(asked[1].body, @r#"{"permissions":{"contents":"read","issues":"write","metadata":"read","pull_requests":"write","repository_hooks":"read","statuses":"write"},"repository_ids":[1296269]}"#);
    assert_eq!(asked[2].signed, "Bearer ghs_first");

    t.clock.advance(SignedDuration::from_mins(44));
    t.forge.pull(&hello(), 1347).await.unwrap();
    assert_eq!(t.forge.git_token(&hello()).await.unwrap().expose_secret(), "ghs_first");
    assert_eq!(t.wire.take_lines(), ["GET /repos/octocat/Hello-World/pulls/1347"]);
    t.clock.advance(SignedDuration::from_mins(2));
    t.gives("ghs_second");
    assert_eq!(t.forge.git_token(&hello()).await.unwrap().expose_secret(), "ghs_second", "long before the first ends");
    t.wire.check();
}

#[tokio::test]
async fn many_who_need_a_token_at_once_ask_for_one() {
    let t = Test::new().await;
    let at = hello();
    let (one, two, three) = tokio::join!(t.forge.git_token(&at), t.forge.git_token(&at), t.forge.comments(&at, 1347));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    let tokens = t.wire.take_lines().into_iter().filter(|line| line.starts_with("POST"));
    assert_eq!(tokens.count(), 1);
}

#[tokio::test]
async fn an_installation_that_goes_in_the_middle_of_a_job_ends_it_with_a_sentence() {
    let t = Test::new().await;
    let (at, suspended) = (hello(), |mut one: Value| {
        one["suspended_at"] = "2016-07-11T21:20:00Z".into();
        one
    });
    t.forge.pull(&at, 1347).await.unwrap();
    let bad = says(401, json!({ "message": "Bad credentials" }));
    t.wire.says("GET /repos/octocat/Hello-World/pulls/1347", [bad]);
    let one = suspended(installation(&t.wire, 2, "octocat"));
    t.wire.says("GET /app/installations", [says(200, json!([one]))]);
    let error = t.forge.pull(&at, 1347).await.unwrap_err();
    assert_snapshot!(told(&error), @"refused: forge hub: has our App suspended at `octocat`: an owner unsuspends it there, in “Installed GitHub Apps”");
    assert_snapshot!(told(&t.forge.repository_by_id(at.id).await.unwrap_err()), @"refused: forge hub: has our App suspended at `octocat`: an owner unsuspends it there, in “Installed GitHub Apps”");

    installs(&t.wire, &["github"]);
    t.clock.advance(SignedDuration::from_mins(2));
    assert_snapshot!(told(&t.forge.pull(&at, 1347).await.unwrap_err()), @"refused: forge hub: does not have our App installed at `octocat` (any more): install it there");
    assert_snapshot!(told(&t.forge.repository_by_name(&at.name).await.unwrap_err()), @"refused: forge hub: does not have our App installed at `octocat` (any more): install it there");
    // Nobody who is left has it.
    let unprocessable = says(
        422,
        json!({ "message": "There is at least one repository that does not exist or is not accessible to the parent installation." }),
    );
    t.wire.says("POST /app/installations/1/access_tokens", [unprocessable]);
    assert_snapshot!(told(&t.forge.repository_by_id(at.id).await.unwrap_err()), @"gone: forge hub: has no repository 1296269 where our App is installed");
    t.wire.says("GET /app/installations", [says(200, json!([]))]);
    t.clock.advance(SignedDuration::from_mins(2));
    assert_snapshot!(told(&t.forge.user("octocat").await.unwrap_err()), @"refused: forge hub: does not have our App installed anywhere: install it where the granted repositories are");
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_asked_for_anew_once() {
    let t = Test::new().await;
    let at = hello();
    t.forge.pull(&at, 1347).await.unwrap();
    t.wire.take_lines();
    let pull = t.wire.example("GET", "/repos/octocat/Hello-World/pulls/1347");
    let bad = || says(401, json!({ "message": "Bad credentials" }));
    t.wire.says("GET /repos/octocat/Hello-World/pulls/1347", [bad(), says(200, pull)]);
    t.gives("ghs_second");
    t.forge.pull(&at, 1347).await.unwrap();
    let signed: Vec<String> = t.wire.take_asked().into_iter().map(|asked| asked.signed).collect();
    assert_eq!((signed[0].as_str(), signed.last().unwrap().as_str()), ("Bearer ghs_first", "Bearer ghs_second"));

    t.wire.says("GET /repos/octocat/Hello-World/pulls/1347", [bad()]);
    let error = t.forge.pull(&at, 1347).await.unwrap_err();
    assert_snapshot!(told(&error), @"refused: forge hub: does not take our token (GET /repos/octocat/Hello-World/pulls/1347 answered 401: Bad credentials); it needs a valid one, where `forge.hub.app` says");
    let asked = t.wire.take_lines();
    assert_eq!(asked.iter().filter(|line| line.ends_with("pulls/1347")).count(), 2, "{asked:?}");
    assert!(!format!("{error:?} {:?}", t.forge).contains("ghs_"));
}

#[tokio::test]
async fn a_repository_is_found_by_its_number_wherever_the_app_is_installed_and_whatever_it_is_called_now() {
    let t = Test::new().await;
    let unprocessable = says(422, json!({ "message": "not accessible to the parent installation" }));
    t.wire.says("POST /app/installations/1/access_tokens", [unprocessable]);
    let found = t.forge.repository_by_id(1296269).await.unwrap();
    assert_eq!(found.at, hello());
    let lines = t.wire.take_lines();
    assert_eq!(
        lines[1..],
        [
            "POST /app/installations/1/access_tokens",
            "POST /app/installations/2/access_tokens",
            "GET /repos/octocat/Hello-World"
        ]
    );
    t.forge.repository_by_id(1296269).await.unwrap();
    assert_eq!(t.wire.take_lines(), ["GET /repos/octocat/Hello-World"]);

    // Renamed: the old name leads to the number, which no App needs to follow.
    let to = format!("{}/api/v3/repositories/1296269", t.wire.url());
    let moved = says(301, json!({ "message": "Moved Permanently", "url": to })).with("location", &to);
    t.wire.says("GET /repos/octocat/Hello-World", [moved]);
    let mut repository = t.wire.example("GET", "/repos/octocat/Hello-World");
    repository["full_name"] = "octocat/Goodbye".into();
    t.wire.says("GET /repos/octocat/Goodbye", [says(200, repository.clone())]);
    let mut given = t.wire.example("POST", "/app/installations/2/access_tokens");
    given["repositories"] = json!([repository]);
    t.wire.says("POST /app/installations/2/access_tokens", [says(201, given)]);
    assert_eq!(t.forge.repository_by_id(1296269).await.unwrap().at.name.to_string(), "octocat/Goodbye");
    assert!(t.forge.repository_by_name(&hello().name).await.unwrap_err().is_gone());
    t.wire.check();
}

#[tokio::test]
async fn what_the_installation_was_not_given_is_not_asked_for_and_named_when_it_is_missing() {
    let t = Test::new().await;
    let mut one = installation(&t.wire, 2, "octocat");
    one["permissions"] = json!({ "contents": "read", "metadata": "read", "issues": "read" });
    t.wire.says("GET /app/installations", [says(200, json!([one]))]);
    let no = says(403, json!({ "message": "Resource not accessible by integration" }));
    t.wire.says(&format!("POST /repos/octocat/Hello-World/statuses/{}", "1".repeat(40)), [no]);
    let status = bascule::forge::NewStatus {
        context: "bascule/preview".into(),
        state: bascule::forge::StatusState::Pending,
        description: "being computed".to_owned(),
        target_url: None,
    };
    let error = t.forge.set_status(&hello(), &"1".repeat(40).parse().unwrap(), &status).await.unwrap_err();
    assert_snapshot!(told(&error), @"refused: forge hub: does not let our account do this (POST /repos/octocat/Hello-World/statuses/1111111111111111111111111111111111111111 answered 403: Resource not accessible by integration); it needs the repository permission “Commit statuses: Read and write”");
    let asked = t.wire.take_asked();
    assert_snapshot!(asked[1].body["permissions"], @r#"{"contents":"read","issues":"read","metadata":"read"}"#);
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_what_a_refusal_says_and_no_further() {
    let t = Test::new().await;
    let all: Value =
        ["github", "octocat"].iter().zip(1..).map(|(login, id)| installation(&t.wire, id, login)).collect();
    let refusal = |at: String| {
        says(401, json!({ "message": "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued" })).with("date", at)
    };
    let rfc = |at: jiff::Timestamp| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut ahead = 0;
    for off in [600, -600] {
        let there = t.clock.now() + SignedDuration::from_secs(off);
        t.wire.says("GET /app/installations", [refusal(rfc(there)), says(200, all.clone())]);
        t.forge.git_token(&hello()).await.unwrap();
        let asked = t.wire.take_asked();
        let issued: Vec<i64> = asked.iter().map(|asked| t.key.claims(&asked.signed)["iat"].as_i64().unwrap()).collect();
        let now = t.clock.now().as_second();
        // Refused, once more, and for the token.
        assert_eq!(issued, [now + ahead - 60, now + off - 60, now + off - 60], "{off}");
        ahead = off;
        // The token that was given for an hour is over by whichever clock is right.
        t.clock.advance(SignedDuration::from_mins(80));
        t.gives("ghs_next");
    }
    // What no clock says, what a clock says that nothing is wrong with, and what is far off: as it was, and once.
    let now = t.clock.now() + SignedDuration::from_secs(ahead);
    let days = SignedDuration::from_hours(24 * 400);
    for date in
        ["yesterday".to_owned(), rfc(now), rfc(now + days), rfc(now - days), "Fri, 31 Dec 9999 23:59:59 GMT".into()]
    {
        t.wire.says("GET /app/installations", [refusal(date.clone())]);
        assert!(t.forge.git_token(&hello()).await.is_err(), "{date}");
        assert_eq!(t.wire.take_lines().len(), 1, "{date}");
    }
    // A time that helps nothing is forgotten.
    t.wire.says("GET /app/installations", [refusal(rfc(now + SignedDuration::from_mins(50)))]);
    assert!(t.forge.git_token(&hello()).await.is_err());
    assert_eq!(t.wire.take_lines().len(), 2);
    t.wire.says("GET /app/installations", [says(200, all)]);
    t.forge.git_token(&hello()).await.unwrap();
    let first = t.key.claims(&t.wire.take_asked()[0].signed)["iat"].as_i64().unwrap();
    assert_eq!(first, now.as_second() - 60);
}

#[test]
fn a_key_that_is_none_is_refused_before_any_call() {
    let refused = |sign_in: SignIn, kind: Kind| {
        let settings = Settings {
            name: "hub".parse().unwrap(),
            url: "https://github.com".to_owned(),
            sign_in,
            ca_pem: None,
            answer_within: bascule::forge::ANSWER_WITHIN,
        };
        Forge::new(kind, settings, Clock::system()).map(|_| ()).map_err(|error| error.to_string())
    };
    let of = |pem: String| SignIn::App { id: APP, private_key: pem.into() };
    let good = key();
    assert_eq!(refused(good.sign_in(), Kind::GitHub), Ok(()));
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    assert_eq!(refused(of(pem("PRIVATE KEY", der.as_ref())), Kind::GitHub), Ok(()), "turned into the newer form");
    let said = "forge hub: `app.private_key` is not the private key of an App (RSA, in PEM, of 2048 bits or more)";
    for bad in [String::new(), "hunter2".to_owned(), good.pem[..300].to_owned(), pem("RSA PRIVATE KEY", b"x")] {
        assert_eq!(refused(of(bad), Kind::GitHub), Err(said.to_owned()));
    }
    assert_snapshot!(refused(good.sign_in(), Kind::Gitea).unwrap_err(), @"forge hub: only GitHub has Apps: it needs a `token`");
}

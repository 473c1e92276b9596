//! The forge client when the forge is not well: every failure has a fate, nothing is concluded from one, and nothing
//! goes where the configuration does not say.

use std::fmt::Write as _;
use std::time::Duration;

use bascule::clock::Clock;
use bascule::forge::{AccountKind, Fate, Forge, ForgeError, Kind, RepositoryAt, Settings, SignIn, Standing};
use bascule::policy::rules::Role;
use insta::assert_snapshot;
use jiff::SignedDuration;

use crate::fake::forge::{FakeForge, Fault, Right, Shop, TOKEN, Tongue};

struct Test {
    fake: FakeForge,
    shop: Shop,
    at: RepositoryAt,
    clock: Clock,
    forge: Forge,
}

fn client(url: &str, clock: &Clock) -> Forge {
    client_with(url, clock, Duration::from_secs(30))
}

fn client_with(url: &str, clock: &Clock, answer_within: Duration) -> Forge {
    client_of(Kind::Gitea, url, clock, answer_within)
}

fn client_of(kind: Kind, url: &str, clock: &Clock, answer_within: Duration) -> Forge {
    let settings = Settings {
        name: "work".parse().unwrap(),
        url: url.to_owned(),
        sign_in: SignIn::Token(TOKEN.to_owned().into()),
        ca_pem: None,
        answer_within,
    };
    Forge::new(kind, settings, clock.clone()).unwrap()
}

impl Test {
    async fn new() -> Self {
        let fake = FakeForge::start().await;
        let shop = fake.repository("acme/shop", &[("README.md", "# shop\n")]).await;
        let clock = Clock::manual("2026-01-05T09:00:00Z".parse().unwrap());
        let forge = client(&fake.url(), &clock);
        let at = RepositoryAt { id: shop.id, name: shop.name.parse().unwrap() };
        fake.take_calls();
        Self { fake, shop, at, clock, forge }
    }
}

/// What the job is told, and what a person reads.
fn told(error: &ForgeError) -> String {
    let fate = match error.fate {
        Fate::Retry { after: None } => "retry".to_owned(),
        Fate::Retry { after: Some(after) } => format!("retry in {} s", after.as_secs()),
        Fate::Refused => "refused".to_owned(),
        Fate::Gone => "gone".to_owned(),
        Fate::Invalid => "invalid".to_owned(),
    };
    format!("{fate:13} {error}")
}

#[tokio::test]
async fn every_failure_has_a_fate() {
    let faults = [
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(409),
        Fault::Status(410),
        Fault::Status(422),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::SlowDown(120),
        Fault::SlowDown(0),
        Fault::SlowDown(1_000_000),
        Fault::Html(200),
        Fault::Html(401),
        Fault::Html(404),
        Fault::Html(503),
        Fault::BreaksOff,
        Fault::Hangs,
        Fault::Endless,
        Fault::OtherShape,
        Fault::Redirects("http://127.0.0.1:1/steal".to_owned()),
        Fault::Redirects("/user/login".to_owned()),
    ];
    let mut lines = String::new();
    let t = Test::new().await;
    for fault in faults {
        t.fake.breaks(fault.clone());
        // A client of its own: the pause one answer asks for is not the next one's.
        let patience = Duration::from_millis(if matches!(fault, Fault::Hangs) { 200 } else { 30_000 });
        let error = client_with(&t.fake.url(), &t.clock, patience).pull(&t.at, 1).await.unwrap_err();
        writeln!(lines, "{:40} {}", format!("{fault:?}"), told(&error)).unwrap();
    }
    assert_snapshot!(lines, @r#"
    Status(400)                              invalid       forge work: does not take this request (GET /repos/acme/shop/pulls/1 answered 400: as you wished)
    Status(401)                              refused       forge work: does not take our token (GET /repos/acme/shop/pulls/1 answered 401: as you wished); it needs a valid one, where `forge.work.token` says
    Status(403)                              refused       forge work: does not let our account do this (GET /repos/acme/shop/pulls/1 answered 403: as you wished); it needs read access to the repository, and a token with the scope `read:repository`
    Status(404)                              gone          forge work: does not have it, or does not show it to our account (GET /repos/acme/shop/pulls/1 answered 404: as you wished)
    Status(409)                              invalid       forge work: does not take this request (GET /repos/acme/shop/pulls/1 answered 409: as you wished)
    Status(410)                              gone          forge work: does not have it, or does not show it to our account (GET /repos/acme/shop/pulls/1 answered 410: as you wished)
    Status(422)                              invalid       forge work: does not take this request (GET /repos/acme/shop/pulls/1 answered 422: as you wished)
    Status(429)                              retry in 60 s forge work: asks us to slow down (GET /repos/acme/shop/pulls/1 answered 429: as you wished)
    Status(500)                              retry         forge work: is failing (GET /repos/acme/shop/pulls/1 answered 500: as you wished)
    Status(502)                              retry         forge work: is failing (GET /repos/acme/shop/pulls/1 answered 502: as you wished)
    Status(503)                              retry         forge work: is failing (GET /repos/acme/shop/pulls/1 answered 503: as you wished)
    SlowDown(120)                            retry in 120 s forge work: asks us to slow down (GET /repos/acme/shop/pulls/1 answered 429: slow down)
    SlowDown(0)                              retry in 1 s  forge work: asks us to slow down (GET /repos/acme/shop/pulls/1 answered 429: slow down)
    SlowDown(1000000)                        retry in 3600 s forge work: asks us to slow down (GET /repos/acme/shop/pulls/1 answered 429: slow down)
    Html(200)                                retry         forge work: did not answer as its API (GET /repos/acme/shop/pulls/1 answered 200)
    Html(401)                                retry         forge work: did not answer as its API (GET /repos/acme/shop/pulls/1 answered 401)
    Html(404)                                retry         forge work: did not answer as its API (GET /repos/acme/shop/pulls/1 answered 404)
    Html(503)                                retry         forge work: is failing (GET /repos/acme/shop/pulls/1 answered 503)
    BreaksOff                                retry         forge work: broke off its answer (GET /repos/acme/shop/pulls/1)
    Hangs                                    retry         forge work: did not answer in time (GET /repos/acme/shop/pulls/1)
    Endless                                  invalid       forge work: GET /repos/acme/shop/pulls/1: the answer is larger than 8388608 bytes
    OtherShape                               invalid       forge work: /repos/acme/shop/pulls/1 answered JSON of a shape we do not know
    Redirects("http://127.0.0.1:1/steal")    retry         forge work: did not answer as its API (GET /repos/acme/shop/pulls/1 answered 302)
    Redirects("/user/login")                 retry         forge work: did not answer as its API (GET /repos/acme/shop/pulls/1 answered 302)
    "#);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(&format!("http://{nobody}"), &t.clock).pull(&t.at, 1).await.unwrap_err();
    assert_snapshot!(told(&error), @"retry         forge work: cannot be reached (GET /repos/acme/shop/pulls/1)");
}

#[tokio::test]
async fn a_pause_the_forge_asks_for_is_kept_by_every_call_and_ends() {
    let t = Test::new().await;
    t.fake.breaks(Fault::SlowDown(120));
    assert!(t.forge.pull(&t.at, 1).await.unwrap_err().is_passing());
    t.fake.recovers();
    t.clock.advance(SignedDuration::from_secs(30));
    let error = t.forge.repository_by_id(t.shop.id).await.unwrap_err();
    assert_snapshot!(told(&error), @"retry in 90 s forge work: asked for a pause that is not over (/repositories/3 was not sent)");
    assert_eq!(t.fake.take_calls().len(), 1, "the second was not sent");
    t.clock.advance(SignedDuration::from_secs(91));
    t.forge.repository_by_id(t.shop.id).await.unwrap();
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_token_leaves() {
    let t = Test::new().await;
    let elsewhere = FakeForge::start().await;
    t.fake.breaks(Fault::Redirects(format!("{}/api/v1/repos/acme/shop", elsewhere.url())));
    assert!(t.forge.repository_by_name(&t.at.name).await.unwrap_err().is_passing(), "nothing is concluded from it");
    assert_eq!(elsewhere.take_calls(), Vec::<String>::new());
    assert!(!format!("{:?}", t.forge).contains(TOKEN));
    t.fake.breaks(Fault::Status(401));
    assert!(!format!("{:?}", t.forge.ourselves().await.unwrap_err()).contains(TOKEN));
}

#[tokio::test]
async fn what_is_no_answer_of_an_api_says_nothing_on_any_forge() {
    let clock = Clock::manual("2026-01-05T09:00:00Z".parse().unwrap());
    for (tongue, kind) in [(Tongue::GitHub, Kind::GitHub), (Tongue::GitLab, Kind::GitLab)] {
        let (fake, elsewhere) = (FakeForge::that_speaks(tongue).await, FakeForge::that_speaks(tongue).await);
        let shop = fake.repository("acme/shop", &[("README.md", "# shop\n")]).await;
        let at = RepositoryAt { id: shop.id, name: shop.name.parse().unwrap() };
        let pull = fake.opens_pull("alice", &shop, &[("a", "1")]).await;
        let mut told_of = String::new();
        for fault in [
            Fault::Html(200),
            Fault::Html(404),
            Fault::Html(503),
            Fault::BreaksOff,
            Fault::Hangs,
            Fault::Endless,
            Fault::OtherShape,
            Fault::Redirects(elsewhere.url()),
        ] {
            fake.breaks(fault.clone());
            let patience = Duration::from_millis(if matches!(fault, Fault::Hangs) { 200 } else { 30_000 });
            let forge = client_of(kind, &fake.url(), &clock, patience);
            let errors = [
                forge.pull(&at, pull.number).await.unwrap_err(),
                forge.comments(&at, pull.number).await.unwrap_err(),
                forge.create_comment(&at, pull.number, "hello").await.unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error.fate, Fate::Retry { .. } | Fate::Invalid), "{kind:?}, {fault:?}: {error}");
                told_of.push_str(&told(&error));
            }
        }
        assert!(!told_of.contains(TOKEN), "{told_of}");
        assert_eq!(elsewhere.take_calls(), [""; 0], "no redirect is followed");
        fake.recovers();
        let forge = client_of(kind, &fake.url(), &clock, Duration::from_secs(30));
        assert_eq!(forge.comments(&at, pull.number).await.unwrap().len(), 0, "what failed was not written");
    }
}

#[tokio::test]
async fn a_repository_that_is_renamed_deleted_or_made_anew_is_never_mistaken() {
    let t = Test::new().await;
    let pr = t.fake.opens_pull("alice", &t.shop, &[("a", "1")]).await;
    let renamed = t.fake.renames(&t.shop, "acme/store").await;
    assert_snapshot!(told(&t.forge.pull(&t.at, pr.number).await.unwrap_err()), @"gone          forge work: has it under another name now (GET /repos/acme/shop/pulls/1 answered 301)");
    let found = t.forge.repository_by_id(t.shop.id).await.unwrap();
    assert_eq!(found.at.name.to_string(), "acme/store");
    assert_eq!(t.forge.pull(&found.at, pr.number).await.unwrap().number, pr.number);

    let again = t.fake.recreates(&renamed, &[("README.md", "mine now\n")]).await;
    t.fake.opens_pull("eve", &again, &[("a", "1")]).await;
    let error = t.forge.pull(&found.at, 1).await.unwrap_err();
    assert_snapshot!(told(&error).replace(&again.id.to_string(), "N"), @"gone          forge work: has another repository (number N) at acme/store now");
    assert!(t.forge.open_pulls(&found.at).await.unwrap_err().is_gone());
    assert!(t.forge.repository_by_id(t.shop.id).await.unwrap_err().is_gone());
    assert_ne!(t.forge.repository_by_name(&found.at.name).await.unwrap().key.id, t.shop.id);
}

#[tokio::test]
async fn lists_are_whole_however_short_the_pages_are_and_cost_what_they_must() {
    let t = Test::new().await;
    let mut first = None;
    for number in 0..12 {
        let pr = t.fake.opens_pull("alice", &t.shop, &[(&format!("{number}.yaml"), "1")]).await;
        first.get_or_insert(pr);
    }
    let first = first.unwrap();
    for _ in 0..7 {
        t.fake.approves("lead", &first).await;
    }
    t.fake.take_calls();
    assert_eq!(t.forge.open_pulls(&t.at).await.unwrap().len(), 12);
    assert_eq!(t.fake.take_calls(), ["GET /repos/acme/shop/pulls"], "one call for up to fifty");
    let closed = t.forge.pulls_closed_since(&t.at, jiff::Timestamp::MIN, 1).await.unwrap();
    assert!(closed.pulls.is_empty() && closed.newest.is_none() && closed.goes_on_at.is_none(), "{closed:?}");
    assert_eq!(t.fake.take_calls().len(), 1);

    t.fake.shortens_pages(5);
    assert_eq!(t.forge.open_pulls(&t.at).await.unwrap().len(), 12);
    assert_eq!(t.fake.take_calls().len(), 3, "as many as the instance's own page needs");
    assert_eq!(t.forge.reviews(&t.at, first.number).await.unwrap().len(), 7);
    assert_eq!(t.forge.branches(&t.at).await.unwrap().len(), 13);
    let pushes = t.forge.pushes(&t.at, jiff::Timestamp::MIN).await.unwrap();
    assert_eq!(pushes.len(), 13, "one for each branch");
    t.fake.take_calls();
    assert_eq!(t.forge.pushes(&t.at, pushes[0].at).await.unwrap().len(), 1);
    assert_eq!(t.fake.take_calls().len(), 1, "what is newer than the last look is on the first page");
}

#[tokio::test]
async fn who_opens_a_pull_request_is_not_taken_for_who_pushed_it() {
    let t = Test::new().await;
    t.fake.pushes_to("bob", &t.shop, "topic", &[("a", "1")]).await;
    let pr = t.fake.opens_pull_from_branch("alice", &t.shop, "topic").await;
    let pull = t.forge.pull(&t.at, pr.number).await.unwrap();
    let told = async |pull| {
        let pushes = t.forge.pull_pushes(&t.at, pull).await.unwrap();
        pushes.into_iter().map(|push| push.pusher.unwrap().login).collect::<Vec<_>>()
    };
    assert_eq!(told(&pull).await, Vec::<String>::new(), "the timeline says alice, who only opened it");
    let pushes = t.forge.pushes(&t.at, jiff::Timestamp::MIN).await.unwrap();
    let push = pushes.iter().find(|push| push.after.as_ref() == Some(&pull.head)).unwrap();
    assert_eq!(push.pusher.as_ref().unwrap().login, "bob");
    t.fake.pushes("carol", &pr, &[("a", "2")]).await;
    assert_eq!(told(&pull).await, ["carol"]);

    let pr = t.fake.opens_pull_from_fork("eve", &t.shop, &[("b", "1")]).await;
    let pull = t.forge.pull(&t.at, pr.number).await.unwrap();
    assert!(pull.from_fork && pull.head_owner == pull.author);
    assert_eq!(told(&pull).await, ["eve"], "in a fork of her own it was her");
}

#[tokio::test]
async fn who_is_a_person_and_may_what_is_read_as_of_now() {
    let t = Test::new().await;
    t.fake.team("acme", "platform", Right::Write, &["lead"]);
    t.fake.team("acme", "readers", Right::Read, &["eve"]);
    for login in ["lead", "eve"] {
        t.fake.lets(login, &t.shop, Right::Read);
    }
    t.fake.lets("ann", &t.shop, Right::Admin);
    t.fake.lets("stranger", &t.shop, Right::None);
    for (login, right) in [
        ("lead", Some(Role::Write)),
        ("eve", Some(Role::Read)),
        ("ann", Some(Role::Admin)),
        ("stranger", None),
        ("nobody", None),
    ] {
        assert_eq!(t.forge.permission(&t.at, login).await.unwrap(), right, "{login}");
    }
    assert!(t.forge.is_team_member("acme/Platform", "lead").await.unwrap());
    t.fake.leaves_team("lead", "platform");
    assert!(!t.forge.is_team_member("acme/platform", "lead").await.unwrap());
    assert_eq!(t.forge.permission(&t.at, "lead").await.unwrap(), Some(Role::Read));

    t.fake.bot("robo");
    t.fake.suspends("eve");
    let kind = async |login: &str| {
        let user = t.forge.user(login).await.unwrap();
        (user.kind, user.standing)
    };
    assert_eq!(kind("lead").await, (AccountKind::Person, Standing::NotShown));
    assert_eq!(kind("robo").await.0, AccountKind::NotAPerson);
    assert_eq!(kind("acme").await.0, AccountKind::NotAPerson);
    t.fake.makes_us_site_admin();
    let forge = client(&t.fake.url(), &t.clock);
    assert_eq!(forge.user("lead").await.unwrap().standing, Standing::Active);
    assert_eq!(forge.user("eve").await.unwrap().standing, Standing::Suspended);
}

#[tokio::test]
async fn what_our_account_is_not_shown_is_an_error_and_never_a_no() {
    let t = Test::new().await;
    t.fake.team("acme", "platform", Right::Write, &["lead"]);
    t.fake.lets("lead", &t.shop, Right::Read);
    t.fake.breaks_at("/members/", Fault::Status(403));
    assert_snapshot!(told(&t.forge.is_team_member("acme/platform", "lead").await.unwrap_err()), @"refused       forge work: does not let our account do this (GET /teams/9/members/lead answered 403: as you wished); it needs to be an owner of the organisation or a site administrator, who alone see all teams, and a token with the scope `read:organization`");
    assert_snapshot!(told(&t.forge.permission(&t.at, "lead").await.unwrap_err()), @"refused       forge work: does not let our account do this (GET /teams/9/members/lead answered 403: as you wished); it needs to be an owner of the organisation or a site administrator, who alone see all teams, and a token with the scope `read:organization`");
    t.fake.breaks_at("/collaborators/", Fault::Status(404));
    t.fake.deletes(&t.shop).await;
    assert!(t.forge.permission(&t.at, "lead").await.unwrap_err().is_gone(), "the repository is gone, not the right");
    t.fake.recovers();
    assert!(t.forge.is_team_member("acme/no-such-team", "lead").await.unwrap_err().is_gone());
    for odd in ["", "..", "a/b", "a b", "a?b", "%2e%2e", &"a".repeat(200)] {
        assert!(t.forge.user(odd).await.unwrap_err().is_gone(), "{odd:?}");
        assert!(t.forge.permission(&t.at, odd).await.unwrap_err().is_gone(), "{odd:?}");
        assert!(t.forge.branch(&t.at, &format!("a/../{odd}")).await.unwrap_err().is_gone(), "{odd:?}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_before_any_call() {
    let settings = |url: &str, token: &str, ca: Option<&str>| {
        let settings = Settings {
            name: "work".parse().unwrap(),
            url: url.to_owned(),
            sign_in: SignIn::Token(token.to_owned().into()),
            ca_pem: ca.map(|pem| pem.as_bytes().to_vec()),
            answer_within: Duration::from_secs(1),
        };
        Forge::new(Kind::Gitea, settings, Clock::system()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(settings("https://git.example.com/sub/", TOKEN, None), Ok(()));
    for url in ["", "git.example.com", "ftp://x", "file:///etc", "https://user:pw@x", "https://x/?q", "mailto:x"] {
        assert!(settings(url, TOKEN, None).is_err(), "{url}");
    }
    assert_snapshot!(settings("https://x", "", None).unwrap_err(), @"forge work: the token is empty or has characters no token has");
    assert_snapshot!(settings("https://x", "a\nb", None).unwrap_err(), @"forge work: the token is empty or has characters no token has");
    assert_snapshot!(settings("https://x", TOKEN, Some("not PEM")).unwrap_err(), @"forge work: `ca_file` holds no usable PEM certificate");
}

#[tokio::test]
async fn a_long_list_of_closed_pull_requests_is_read_in_stretches_of_a_thousand() {
    let t = Test::new().await;
    let pr = t.fake.opens_pull("alice", &t.shop, &[("a.yaml", "1")]).await;
    t.fake.closes("alice", &pr).await;
    t.fake.has_many_like(&pr, 2_199);
    t.fake.take_calls();
    let (mut page, mut stretches, mut numbers) = (Some(1), Vec::new(), std::collections::BTreeSet::new());
    while let Some(from) = page {
        let closed = t.forge.pulls_closed_since(&t.at, jiff::Timestamp::MIN, from).await.unwrap();
        stretches.push((from, closed.pulls.len(), t.fake.take_calls().len()));
        numbers.extend(closed.pulls.iter().map(|pull| pull.number));
        page = closed.goes_on_at;
    }
    assert_eq!(stretches, [(1, 1_000, 20), (21, 1_000, 20), (41, 200, 5)], "the last call finds the list's end");
    assert_eq!(numbers.len(), 2_200);
}

//! What GitHub's answers are in our words: made of its published examples.

use bascule::forge::{AccountKind, Holding, NewWebhook, Pull, PullState, Right, Standing, Verdict};
use bascule::policy::rules::Role;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::wire::{Wire, says};
use super::{app, by_token, client, clock, hello};

const PULLS: &str = "/repos/octocat/Hello-World/pulls";

fn pull_with(wire: &Wire, change: impl FnOnce(&mut Value)) -> Value {
    let mut pull = wire.example("GET", &format!("{PULLS}/1347"));
    // The example is open and merged.
    pull["merged_at"] = Value::Null;
    change(&mut pull);
    pull
}

#[tokio::test]
async fn a_pull_request_is_open_closed_or_merged_of_a_fork_or_not_and_of_this_repository() {
    let (wire, forge, at) = by_token().await;
    let read = async |change: &dyn Fn(&mut Value)| {
        wire.says(&format!("GET {PULLS}/1347"), [says(200, pull_with(&wire, change))]);
        forge.pull(&at, 1347).await
    };
    let open = read(&|_| ()).await.unwrap();
    assert_eq!((open.state, open.from_fork, open.merge_base), (PullState::Open, false, None), "not the merge it tried");
    let closed = read(&|pull| pull["state"] = "closed".into()).await.unwrap();
    assert_eq!(closed.state, PullState::Closed);
    let merge = |pull: &mut Value| {
        pull["state"] = "closed".into();
        pull["merged_at"] = "2011-01-26T19:01:12Z".into();
    };
    let merged = read(&merge).await.unwrap();
    let PullState::Merged { commit, at: when, .. } = merged.state else { panic!("it is merged") };
    assert_eq!(commit.unwrap().as_str(), "e5bd3914e2e596debea16f433f57875b5b90bcd6");
    assert_eq!(when.unwrap().to_string(), "2011-01-26T19:01:12Z");
    let fork = read(&|pull| pull["head"]["repo"]["id"] = 5.into()).await.unwrap();
    assert_eq!((fork.from_fork, fork.head_repository), (true, Some(5)));
    let deleted = read(&|pull| pull["head"]["repo"] = Value::Null).await.unwrap();
    assert_eq!((deleted.from_fork, deleted.head_repository, deleted.head_owner), (true, None, None));
    let ghost = read(&|pull| pull["user"] = json!({ "id": 10137, "login": "ghost", "type": "User" })).await.unwrap();
    assert_eq!(ghost.author, None);
    assert!(read(&|pull| pull["base"]["repo"]["id"] = 6.into()).await.unwrap_err().is_gone());
}

#[tokio::test]
async fn reviews_say_what_they_said_when_dismissed_and_their_text_only_where_nobody_touched_it() {
    let (wire, forge, at) = by_token().await;
    let one = wire.example("GET", &format!("{PULLS}/1347/reviews"))[0].clone();
    let review = |id: i64, state: &str, body: &str| {
        let mut review = one.clone();
        (review["id"], review["state"], review["body"]) = (id.into(), state.into(), body.into());
        review
    };
    let mut draft = review(1, "PENDING", "");
    draft.as_object_mut().unwrap().remove("submitted_at");
    let all = [
        draft,
        review(2, "APPROVED", "looks good"),
        review(3, "DISMISSED", ""),
        review(4, "CHANGES_REQUESTED", ""),
        review(5, "DISMISSED", ""),
        review(6, "APPROVED", " /bascule approve staging"),
        review(7, "COMMENTED", "/bascule approve production"),
        review(8, "APPROVED", "/bascule approve staging"),
    ];
    wire.says(&format!("GET {PULLS}/1347/reviews"), [says(200, json!(all))]);
    let mut dismissed = wire.example("GET", "/repos/octocat/Hello-World/issues/1347/events")[0].clone();
    dismissed["event"] = "review_dismissed".into();
    dismissed["dismissed_review"] = json!({ "review_id": 3, "state": "approved", "dismissal_message": "no" });
    wire.says("GET /repos/octocat/Hello-World/issues/1347/events", [says(200, json!([dismissed]))]);
    let entry = |id: i64, updated: Value| {
        let mut entry = review(id, "approved", "");
        (entry["event"], entry["updated_at"]) = ("reviewed".into(), updated);
        entry
    };
    let submitted = one["submitted_at"].clone();
    let timeline = json!([entry(6, Value::Null), entry(7, "2026-01-01T00:00:00Z".into()), entry(8, submitted)]);
    wire.says("GET /repos/octocat/Hello-World/issues/1347/timeline", [says(200, timeline)]);
    let reviews = forge.reviews(&at, 1347).await.unwrap();
    let told: Vec<_> = reviews.iter().map(|one| (one.id, one.verdict, one.dismissed)).collect();
    assert_eq!(
        told,
        [
            (2, Verdict::Approved, false),
            (3, Verdict::Approved, true),
            (4, Verdict::ChangesRequested, false),
            // Nothing tells what it was, so it is the stricter.
            (5, Verdict::ChangesRequested, true),
            (6, Verdict::Commented, false),
            (7, Verdict::Commented, false),
            (8, Verdict::Approved, false),
        ]
    );
    let texts: Vec<&str> = reviews.iter().map(|review| review.body.as_str()).filter(|body| !body.is_empty()).collect();
    assert_eq!(texts, ["/bascule approve staging"], "whoever may push can edit the others unseen");
    assert_eq!(reviews[0].commit.as_ref().unwrap().as_str(), "ecdd80bb57125d7ba9641ffaa4d7d2c19d3f3091");
}

#[tokio::test]
async fn pushes_are_told_with_both_ends_and_of_a_fork_as_far_as_it_shows_them() {
    let (wire, forge, at) = by_token().await;
    let one = wire.example("GET", "/repos/octocat/Hello-World/activity")[0].clone();
    let commit = |digit: &str| digit.repeat(40);
    let activity = |kind: &str, before: &str, after: &str, minute: u8| {
        let mut entry = one.clone();
        (entry["activity_type"], entry["ref"]) = (kind.into(), "refs/heads/topic".into());
        (entry["before"], entry["after"]) = (commit(before).into(), commit(after).into());
        entry["timestamp"] = format!("2026-01-05T09:{minute:02}:00Z").into();
        entry
    };
    let mut tag = activity("branch_creation", "0", "9", 1);
    tag["ref"] = "refs/tags/v1".into();
    let all = json!([
        activity("branch_deletion", "3", "0", 6),
        activity("force_push", "2", "3", 5),
        activity("push", "1", "2", 4),
        activity("branch_creation", "0", "1", 3),
        tag,
    ]);
    wire.says("GET /repos/octocat/Hello-World/activity", [says(200, all.clone())]);
    let pushes = forge.pushes(&at, "2026-01-05T09:04:00Z".parse().unwrap()).await.unwrap();
    let first = |commit: &Option<bascule::ids::CommitId>| commit.as_ref().map(|commit| commit.as_str()[..1].to_owned());
    let told: Vec<_> =
        pushes.iter().map(|push| (push.branch.as_str(), first(&push.before), first(&push.after))).collect();
    let some = |digit: &str| Some(digit.to_owned());
    assert_eq!(told, [("topic", some("3"), None), ("topic", some("2"), some("3")), ("topic", some("1"), some("2"))]);

    wire.says(
        &format!("GET {PULLS}/1347"),
        [says(
            200,
            pull_with(&wire, |pull| {
                pull["head"]["repo"]["id"] = 5.into();
                pull["head"]["repo"]["full_name"] = "eve/Hello-World".into();
                pull["head"]["ref"] = "topic".into();
            }),
        )],
    );
    let fork: Pull = forge.pull(&at, 1347).await.unwrap();
    let mut commits = wire.example("GET", &format!("{PULLS}/1347/commits"));
    let mut earlier = commits[0].clone();
    (earlier["sha"], commits[0]["sha"]) = (commit("8").into(), commit("1").into());
    commits.as_array_mut().unwrap().insert(0, earlier);
    wire.says(&format!("GET {PULLS}/1347/commits"), [says(200, commits)]);
    wire.says("GET /repos/eve/Hello-World/activity", [says(200, all)]);
    let pushes = forge.pull_pushes(&at, &fork).await.unwrap();
    let told: Vec<(Vec<&str>, bool)> = pushes
        .iter()
        .map(|push| (push.commits.iter().map(|commit| &commit.as_str()[..1]).collect(), push.is_forced))
        .collect();
    let expected = [(vec!["8", "1"], false), (vec!["1", "2"], true), (vec!["2", "3"], true)];
    assert_eq!(told, expected, "the first brought the pull request's own commits up to there");
    wire.says("GET /repos/eve/Hello-World/activity", [says(404, json!({ "message": "Not Found" }))]);
    assert!(forge.pull_pushes(&at, &fork).await.unwrap().is_empty(), "nobody known");
    wire.says("GET /repos/eve/Hello-World/activity", [says(502, json!({ "message": "Server Error" }))]);
    assert!(forge.pull_pushes(&at, &fork).await.unwrap_err().is_passing());
    wire.take_lines();
    assert!(forge.pull_pushes(&at, &Pull { from_fork: false, ..fork }).await.unwrap().is_empty());
    assert_eq!(wire.take_lines().len(), 0, "the repository's own list tells them");
    wire.check();
}

#[tokio::test]
async fn the_closed_are_read_as_far_back_as_asked_and_one_that_changes_meanwhile_is_not_lost() {
    let (wire, forge, at) = by_token().await;
    let one = wire.example("GET", PULLS)[0].clone();
    let closed = |number: i64, closed: &str, updated: &str| {
        let mut pull = one.clone();
        (pull["number"], pull["state"]) = (number.into(), "closed".into());
        let day = |day: &str| format!("2026-01-{day}T00:00:00Z");
        (pull["closed_at"], pull["updated_at"]) = (day(closed).into(), day(updated).into());
        pull
    };
    let next = |page: usize| format!("<https://x/?page={page}>; rel=\"next\"");
    wire.says(
        &format!("GET {PULLS}"),
        [
            says(200, json!([closed(5, "03", "09"), closed(4, "08", "08")])).with("link", next(2)),
            // Number 2 had its place here; somebody commented on it.
            says(200, json!([closed(3, "01", "06"), closed(1, "02", "02")])).with("link", next(3)),
            says(200, json!([closed(2, "05", "10"), closed(5, "03", "09")])).with("link", next(2)),
        ],
    );
    let found = forge.pulls_closed_since(&at, "2026-01-03T00:00:00Z".parse().unwrap(), 1).await.unwrap();
    let numbers: Vec<i64> = found.pulls.iter().map(|pull| pull.number).collect();
    assert_eq!((numbers, found.goes_on_at), (vec![4, 2, 5], None));
    assert_eq!(found.newest.unwrap().to_string(), "2026-01-08T00:00:00Z");
    assert_eq!(wire.take_lines().len(), 3);

    wire.says(&format!("GET {PULLS}"), [says(200, json!([closed(5, "09", "09")])).with("link", next(2))]);
    let found = forge.pulls_closed_since(&at, Timestamp::MIN, 3).await.unwrap();
    assert_eq!(found.goes_on_at, Some(23), "a stretch of twenty");
    assert_eq!(wire.take_lines().len(), 21);
}

#[tokio::test]
async fn who_is_a_person_and_may_what_is_read_as_of_now() {
    let (wire, forge, at) = by_token().await;
    let kind = async |kind: &str, suspended: Value| {
        let mut user = wire.example("GET", "/users/octocat");
        (user["type"], user["suspended_at"]) = (kind.into(), suspended);
        wire.says("GET /users/octocat", [says(200, user)]);
        let user = forge.user("octocat").await.unwrap();
        (user.kind, user.standing)
    };
    assert_eq!(kind("User", Value::Null).await, (AccountKind::Person, Standing::Active));
    for other in ["Bot", "Organization", "Mannequin", "Enterprise"] {
        assert_eq!(kind(other, Value::Null).await.0, AccountKind::NotAPerson, "{other}");
    }
    assert_eq!(kind("User", "2026-01-01T00:00:00Z".into()).await.1, Standing::Suspended);
    assert!(forge.user("a/../b").await.unwrap_err().is_gone());

    let path = "/repos/octocat/Hello-World/collaborators/octocat/permission";
    for (base, role, expected) in [
        ("admin", "admin", Some(Role::Admin)),
        ("write", "maintain", Some(Role::Write)),
        ("write", "release manager", Some(Role::Write)),
        ("read", "triage", Some(Role::Read)),
        ("none", "none", None),
    ] {
        let mut told = wire.example("GET", path);
        (told["permission"], told["role_name"]) = (base.into(), role.into());
        wire.says(&format!("GET {path}"), [says(200, told)]);
        assert_eq!(forge.permission(&at, "octocat").await.unwrap(), expected, "{role}");
    }
    wire.says(&format!("GET {path}"), [says(404, json!({ "message": "octocat is not a user" }))]);
    wire.says("GET /repositories/1296269", [says(200, wire.example("GET", "/repos/octocat/Hello-World"))]);
    assert_eq!(forge.permission(&at, "octocat").await.unwrap(), None);
    wire.says("GET /repositories/1296269", [says(404, json!({ "message": "Not Found" }))]);
    assert!(forge.permission(&at, "octocat").await.is_err(), "nothing is concluded of a repository we do not see");
}

#[tokio::test]
async fn a_team_that_is_not_shown_is_an_error_and_never_a_no() {
    let (wire, forge, _) = by_token().await;
    let member = "GET /orgs/github/teams/justice-league/memberships/octocat";
    let is_member = async || forge.is_team_member("github/Justice-League", "octocat").await;
    assert!(is_member().await.unwrap());
    wire.says(member, [says(200, json!({ "url": "x", "role": "member", "state": "pending" }))]);
    assert!(!is_member().await.unwrap(), "invited, and did not accept");
    wire.says(member, [says(404, json!({ "message": "Not Found" }))]);
    assert!(!is_member().await.unwrap());
    wire.says("GET /orgs/github/teams/justice-league", [says(404, json!({ "message": "Not Found" }))]);
    assert!(is_member().await.unwrap_err().is_gone());
    wire.says(member, [says(403, json!({ "message": "Must have admin rights" }))]);
    assert!(is_member().await.is_err());
}

#[tokio::test]
async fn an_address_is_an_accounts_when_github_gave_it_or_shows_it() {
    let (wire, forge, _) = by_token().await;
    let of = async |email: &str| forge.account_by_email(email).await.unwrap().map(|account| account.id);
    assert_eq!(of("583231+octocat@users.noreply.127.0.0.1").await, Some(583231));
    assert_eq!((of("nobody").await, wire.take_lines().len()), (None, 0), "without a call");
    assert_eq!(of("octocat@users.noreply.127.0.0.1").await, Some(1));
    wire.says("GET /users/gone", [says(404, json!({ "message": "Not Found" }))]);
    assert_eq!(of("gone@users.noreply.127.0.0.1").await, None);
    wire.take_lines();

    let mut found = wire.example("GET", "/search/users");
    found["items"][0]["login"] = "octocat".into();
    wire.says("GET /search/users", [says(200, found)]);
    assert_eq!(of("octocat@github.com").await, Some(1));
    assert_eq!(wire.take_lines(), ["GET /search/users?q=octocat%40github.com+in%3Aemail&per_page=100"]);
    let mut found = wire.example("GET", "/search/users");
    found["items"][0]["login"] = "octocat".into();
    let other = found["items"][0].clone();
    found["items"].as_array_mut().unwrap().push(other);
    wire.says("GET /search/users", [says(200, found)]);
    assert_eq!(of("octocat@github.com").await, Some(1), "of several, who shows it");
    assert_eq!(of("cat@github.com").await, None, "what a search finds need not have it");
    wire.check();
}

#[tokio::test]
async fn issues_are_those_that_are_no_pull_requests_and_statuses_the_newest_of_each_context() {
    let (wire, forge, at) = by_token().await;
    let issue = |number: i64, is_pull: bool| {
        let mut issue = wire.example("GET", "/repos/octocat/Hello-World/issues")[0].clone();
        issue["number"] = number.into();
        if !is_pull {
            issue.as_object_mut().unwrap().remove("pull_request");
        }
        issue
    };
    wire.says("GET /repos/octocat/Hello-World/issues", [says(200, json!([issue(1, true), issue(2, false)]))]);
    let own = forge.open_issues_of(&at, "bascule[bot]").await.unwrap();
    assert_eq!(own.iter().map(|issue| issue.number).collect::<Vec<_>>(), [2]);

    let commit = "6dcb09b5b57875f334f61aebed695e2e4193db5e".parse().unwrap();
    let path = "/repos/octocat/Hello-World/commits/6dcb09b5b57875f334f61aebed695e2e4193db5e/statuses";
    let status = |id: i64, context: &str, state: &str| {
        let mut status = wire.example("GET", path)[0].clone();
        (status["id"], status["context"], status["state"]) = (id.into(), context.into(), state.into());
        status
    };
    let all = json!([status(3, "ci", "failure"), status(2, "bascule/preview", "pending"), status(1, "ci", "success")]);
    wire.says(&format!("GET {path}"), [says(200, all)]);
    let newest = forge.statuses(&hello(), &commit).await.unwrap();
    let told: Vec<String> = newest.iter().map(|one| format!("{} {:?}", one.context, one.state)).collect();
    assert_eq!(told, ["bascule/preview Pending", "ci Failure"]);
    wire.check();
}

fn lines(rights: &[Right]) -> String {
    rights.iter().map(|right| format!("{:?}: {}", right.holding, right.spelt)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_an_app_was_given_is_compared_with_what_it_needs() {
    let wire = Wire::start().await;
    let mut installed = wire.example("GET", "/app/installations")[0].clone();
    installed["account"]["login"] = "octocat".into();
    installed["suspended_at"] = Value::Null;
    installed["permissions"] = json!({
        "contents": "write", "issues": "read", "metadata": "read", "pull_requests": "write", "repository_hooks": "read",
        "statuses": "write", "administration": "read",
    });
    wire.says("GET /app/installations", [says(200, json!([installed]))]);
    let forge = client(&wire, app::key().sign_in(), &clock());
    insta::assert_snapshot!(lines(&forge.rights(&hello()).await.unwrap()), @"
    Missing: the organization permission “Members: Read-only”
    Missing: the repository permission “Checks: Read and write”
    Missing: the repository permission “Deployments: Read and write”
    Missing: the repository permission “Issues: Read and write”
    Missing: the repository permission “Merge queues: Read-only”
    TooMuch: the repository permission “Administration: Read-only”
    AsNeeded: the repository permission “Commit statuses: Read and write”
    AsNeeded: the repository permission “Contents: Read and write”
    AsNeeded: the repository permission “Metadata: Read-only”
    AsNeeded: the repository permission “Pull requests: Read and write”
    AsNeeded: the repository permission “Webhooks: Read-only”
    ");
}

#[tokio::test]
async fn a_classic_token_tells_its_scopes_and_a_fine_grained_one_nothing() {
    let (wire, forge, at) = by_token().await;
    let me = wire.example("GET", "/user");
    wire.says("GET /user", [says(200, me.clone()).with("x-oauth-scopes", "repo, admin:org, gist")]);
    insta::assert_snapshot!(lines(&forge.rights(&at).await.unwrap()), @"
    TooMuch: the scope `admin:org` of a classic token
    TooMuch: the scope `gist` of a classic token
    AsNeeded: the scope `read:org` of a classic token
    AsNeeded: the scope `repo` of a classic token
    ");
    wire.says("GET /user", [says(200, me)]);
    let told = forge.rights(&at).await.unwrap();
    assert!(told.iter().all(|right| right.holding == Holding::NotTold), "{told:?}");
    assert_eq!(told.len(), 10, "as in the documentation");
}

#[tokio::test]
async fn a_webhook_is_put_in_order_where_it_is_and_an_apps_wherever_it_leads() {
    let (wire, forge, at) = by_token().await;
    let mut hook = wire.example("GET", "/repos/octocat/Hello-World/hooks")[0].clone();
    (hook["events"], hook["config"]["content_type"]) = (json!(["push", "issue_comment"]), "form".into());
    wire.says("GET /repos/octocat/Hello-World/hooks", [says(200, json!([hook]))]);
    let found = forge.webhooks(&at).await.unwrap().remove(0);
    assert!(found.is_active && !found.is_json);
    assert_eq!(found.unheard, ["delete", "pull_request", "pull_request_review", "repository"]);
    wire.take_asked();
    let wanted = NewWebhook { url: "https://b.example/webhooks/hub", secret: &"whisper".to_owned().into() };
    forge.put_webhook(&at, found.id, wanted).await.unwrap();
    let asked = wire.take_asked().remove(0);
    assert_eq!(asked.line, format!("PATCH /repos/octocat/Hello-World/hooks/{}", found.id.unwrap()));
    let config = json!({ "url": wanted.url, "content_type": "json", "secret": "whisper", "insecure_ssl": "0" });
    assert_eq!(asked.body["config"], config);

    let forge = client(&wire, app::key().sign_in(), &clock());
    let of_app = forge.webhooks(&at).await.unwrap().remove(0);
    assert_eq!(of_app.id, None);
    wire.take_asked();
    forge.put_webhook(&at, of_app.id, wanted).await.unwrap();
    let asked = wire.take_asked().remove(0);
    assert_eq!((asked.line.as_str(), &asked.body), ("PATCH /app/hook/config", &config));
    wire.check();
}

//! The fake GitHub against the description that GitHub publishes: every answer it gives has every field that is always
//! there, of the type and among the values it can have. `tests/fixtures/github/description.json` is cut from the npm package
//! `@octokit/openapi`, so that neither the fake nor our client is held to what we remember.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::forge::{App, Delivering, Delivery, FakeForge, Merge, Pr, Right, Says, Shop, TOKEN, Tongue};
use super::signed::signed_request;

/// The description, as much of it as the fake speaks.
struct Description(Value);

impl Description {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/github/description.json");
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    fn faults_of(&self, answer: &str, value: &Value) -> Vec<String> {
        let schema = self.0["answers"].get(answer).unwrap_or_else(|| panic!("{answer} is not described"));
        self.faults(schema, value, "")
    }

    /// What is wrong with a value. Knows every word that the description uses.
    fn faults(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap();
            return self.faults(&self.0["schemas"][name], value, at);
        }
        if value.is_null() && schema["nullable"] == true {
            return Vec::new();
        }
        let mut found = Vec::new();
        let list = |word: &str| schema[word].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(kind) = schema["type"].as_str() {
            let is_it = match kind {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("a type that nobody told us of: {other}"),
            };
            if !is_it {
                return vec![format!("{at}: {value} is no {kind}")];
            }
        }
        if schema["enum"].is_array() && !list("enum").contains(value) {
            found.push(format!("{at}: {value} is none of {}", schema["enum"]));
        }
        if let (Some(format), Some(text)) = (schema["format"].as_str(), value.as_str()) {
            let is_it = match format {
                "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
                // Templates of addresses are given where addresses are promised.
                "uri" => reqwest::Url::parse(text).is_ok(),
                "email" => text.contains('@'),
                _ => true,
            };
            if !is_it {
                found.push(format!("{at}: `{text}` is no {format}"));
            }
        }
        for key in list("required").iter().filter_map(Value::as_str) {
            if value.get(key).is_none() {
                found.push(format!("{at}: has no {key}"));
            }
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(key) {
                Some(schema) => found.extend(self.faults(schema, inner, &format!("{at}/{key}"))),
                None if schema["additionalProperties"] == false => found.push(format!("{at}: {key} is not described")),
                None if schema["additionalProperties"].is_object() => {
                    found.extend(self.faults(&schema["additionalProperties"], inner, &format!("{at}/{key}")));
                }
                None => {}
            }
        }
        if schema["items"].is_object() {
            for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                found.extend(self.faults(&schema["items"], inner, &format!("{at}/{index}")));
            }
        }
        for all in list("allOf") {
            found.extend(self.faults(all, value, at));
        }
        for word in ["anyOf", "oneOf"] {
            let tried: Vec<Vec<String>> = list(word).iter().map(|one| self.faults(one, value, at)).collect();
            if !tried.is_empty() && !tried.iter().any(Vec::is_empty) {
                let nearest = tried.into_iter().min_by_key(Vec::len).unwrap_or_default();
                found.push(format!("{at}: is none of its forms; nearest: {nearest:?}"));
            }
        }
        found
    }
}

/// The forge with something of everything.
struct Town {
    forge: FakeForge,
    shop: Shop,
    pr: Pr,
    comment: i64,
    issue: i64,
    app: App,
    client: reqwest::Client,
}

impl Town {
    async fn new() -> Self {
        let forge = FakeForge::that_speaks(Tongue::GitHub).await;
        forge.delivers(Delivering::Kept);
        forge.hooks_to("http://bascule.example/webhooks/work");
        let shop = forge.repository("acme/shop", &[("README.md", "# shop\n")]).await;
        forge.team("acme", "release", Right::Write, &["lee"]);
        forge.bot("robot");
        let permissions = [("contents", "read"), ("statuses", "write"), ("issues", "write"), ("checks", "write")];
        let app = forge.has_app("acme", &permissions);
        forge.pushes_to("dev", &shop, "next", &[("a", "1")]).await;
        let pr = forge.opens_pull("dev", &shop, &[("README.md", "# Shop\n")]).await;
        let review = forge.approves("lee", &pr).await;
        forge.remarks("robot", &pr, "hm").await;
        forge.dismisses(review).await;
        forge.requests_changes("kim", &pr).await;
        forge.force_pushes("dev", &pr, &[("README.md", "# SHOP\n")]).await;
        forge.retargets("dev", &pr, "next").await;
        forge.retargets("dev", &pr, "main").await;
        forge.titles("dev", &pr, "Better").await;
        forge.drafts("dev", &pr).await;
        forge.readies("dev", &pr).await;
        forge.closes("dev", &pr).await;
        forge.reopens("dev", &pr).await;
        let comment = forge.comments("lee", &pr, "fine").await;
        forge.edits_comment("kim", comment, "not fine").await;
        let head = forge.head(&pr);
        forge.sets_status("ci", (shop.id, &head), "ci/test", "success").await;
        forge.runs_check("actions", (shop.id, &head), "test", Some("success")).await;
        forge.runs_check("circle", (shop.id, &head), "test", None).await;
        #[expect(clippy::disallowed_methods, reason = "calls the fake as a stranger would")]
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut town = Self { forge, shop, pr, comment, issue: 0, app, client };
        let (_, issue) =
            town.asks(Method::POST, "repos/acme/shop/issues", Some(json!({ "title": "Held", "body": "x" }))).await;
        town.issue = issue["number"].as_i64().unwrap();
        town
    }

    async fn sends(&self, method: Method, path: &str, body: Option<Value>, token: &str) -> reqwest::Response {
        let url = format!("{}/api/v3/{path}", self.forge.url());
        let mut request = self.client.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn asks_as(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let response = self.sends(method, path, body, token).await;
        (response.status(), response.json().await.unwrap_or(Value::Null))
    }

    async fn asks(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.asks_as(TOKEN, method, path, body).await
    }
}

#[tokio::test]
async fn every_answer_is_as_the_description_says() {
    let t = Town::new().await;
    let head = t.forge.head(&t.pr);
    let of = |rest: &str| format!("repos/acme/shop{rest}");
    let (pull, issue, comment) = (t.pr.number, t.issue, t.comment);
    let status = json!({ "state": "success", "context": "bascule/preview", "description": "fine" });
    let deployed = json!({
        "ref": head, "environment": "production", "auto_merge": false, "required_contexts": [], "payload": { "a": 1 },
    });
    let (_, deployment) = t.asks(Method::POST, &of("/deployments"), Some(deployed.clone())).await;
    let deployment = of(&format!("/deployments/{}", deployment["id"]));
    let word = json!({ "state": "in_progress", "description": "fine", "log_url": "https://bascule.example.com" });
    let repository = "/repos/{owner}/{repo}";
    let calls: Vec<(String, String, Option<Value>)> = [
        ("GET /user", "user".to_owned(), None),
        ("GET /users/{username}", "users/robot".to_owned(), None),
        ("GET /search/users", "search/users?q=lee@example.com+in:email".to_owned(), None),
        ("GET /orgs/{org}/teams/{team_slug}", "orgs/acme/teams/release".to_owned(), None),
        (
            "GET /orgs/{org}/teams/{team_slug}/memberships/{username}",
            "orgs/acme/teams/release/memberships/lee".to_owned(),
            None,
        ),
        ("GET R", of(""), None),
        ("GET R/hooks", of("/hooks"), None),
        ("GET R/branches", of("/branches"), None),
        ("GET R/branches/{branch}", of("/branches/main"), None),
        ("GET R/activity", of("/activity"), None),
        ("GET R/commits/{ref}", of(&format!("/commits/{head}")), None),
        ("GET R/commits/{ref}/status", of(&format!("/commits/{head}/status")), None),
        ("GET R/commits/{ref}/statuses", of(&format!("/commits/{head}/statuses")), None),
        ("GET R/commits/{ref}/check-runs", of(&format!("/commits/{head}/check-runs")), None),
        ("POST R/statuses/{sha}", of(&format!("/statuses/{head}")), Some(status)),
        ("POST R/deployments", of("/deployments"), Some(deployed)),
        ("GET R/deployments", of(&format!("/deployments?sha={head}&environment=production")), None),
        ("GET R/deployments/{deployment_id}", deployment.clone(), None),
        ("POST R/deployments/{deployment_id}/statuses", format!("{deployment}/statuses"), Some(word)),
        ("GET R/deployments/{deployment_id}/statuses", format!("{deployment}/statuses"), None),
        ("GET R/collaborators/{username}/permission", of("/collaborators/lee/permission"), None),
        ("GET R/pulls", of("/pulls?state=all"), None),
        ("GET R/pulls/{pull_number}", of(&format!("/pulls/{pull}")), None),
        ("GET R/pulls/{pull_number}/reviews", of(&format!("/pulls/{pull}/reviews")), None),
        ("GET R/pulls/{pull_number}/commits", of(&format!("/pulls/{pull}/commits")), None),
        ("GET R/issues", of("/issues?state=all"), None),
        ("POST R/issues", of("/issues"), Some(json!({ "title": "Held again", "body": "x" }))),
        ("GET R/issues/{issue_number}", of(&format!("/issues/{pull}")), None),
        ("PATCH R/issues/{issue_number}", of(&format!("/issues/{issue}")), Some(json!({ "state": "closed" }))),
        ("GET R/issues/{issue_number}/comments", of(&format!("/issues/{pull}/comments")), None),
        (
            "POST R/issues/{issue_number}/comments",
            of(&format!("/issues/{pull}/comments")),
            Some(json!({ "body": "x" })),
        ),
        ("GET R/issues/{issue_number}/events", of(&format!("/issues/{pull}/events")), None),
        ("GET R/issues/{issue_number}/timeline", of(&format!("/issues/{pull}/timeline")), None),
        ("GET R/issues/comments", of("/issues/comments"), None),
        ("GET R/issues/comments/{comment_id}", of(&format!("/issues/comments/{comment}")), None),
        (
            "PATCH R/issues/comments/{comment_id}",
            of(&format!("/issues/comments/{comment}")),
            Some(json!({ "body": "y" })),
        ),
        (
            "POST R/issues/comments/{comment_id}/reactions",
            of(&format!("/issues/comments/{comment}/reactions")),
            Some(json!({ "content": "eyes" })),
        ),
    ]
    .into_iter()
    .map(|(call, path, body)| (call.replace(" R", &format!(" {repository}")), path, body))
    .collect();

    let description = Description::read();
    let mut faults = Vec::new();
    let mut tried = BTreeSet::new();
    // Merged in between, so that both states are held to it.
    for round in 0..2 {
        for (call, path, body) in &calls {
            let method = call.split(' ').next().unwrap().parse().unwrap();
            let (status, answer) = t.asks(method, path, body.clone()).await;
            let name = format!("{call} {}", status.as_u16());
            faults.extend(description.faults_of(&name, &answer).into_iter().map(|fault| format!("{name} {fault}")));
            assert!(answer != json!([]), "{name}: nothing to look at");
            tried.insert(name);
        }
        if round == 0 {
            t.forge.merges("kim", &t.pr, Merge::Squash).await;
        }
    }
    let jwt = signed_request(&t.app.private_key, &t.app.client_id, "2026-01-05T09:00:00Z".parse().unwrap());
    let installation = t.app.installation;
    let token = format!("app/installations/{installation}/access_tokens");
    let (_, given) = t.asks_as(&jwt, Method::POST, &token, None).await;
    let given = given["token"].as_str().unwrap_or_default().to_owned();
    for (call, path, token) in [
        ("GET /app", "app".to_owned(), &jwt),
        ("GET /app/installations", "app/installations".to_owned(), &jwt),
        ("GET /app/installations/{installation_id}", format!("app/installations/{installation}"), &jwt),
        ("POST /app/installations/{installation_id}/access_tokens", token, &jwt),
        ("GET /installation/repositories", "installation/repositories".to_owned(), &given),
        ("GET /repos/{owner}/{repo}/installation", of("/installation"), &jwt),
    ] {
        let method = call.split(' ').next().unwrap().parse().unwrap();
        let body = call.starts_with("POST").then(|| json!({ "repository_ids": [t.shop.id] }));
        let (status, answer) = t.asks_as(token, method, &path, body).await;
        let name = format!("{call} {}", status.as_u16());
        faults.extend(description.faults_of(&name, &answer).into_iter().map(|fault| format!("{name} {fault}")));
        tried.insert(name);
    }
    let annotation = json!({
        "path": "README.md", "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "x",
    });
    let output = json!({ "title": "fine", "summary": "x", "annotations": [annotation] });
    let run = json!({ "name": "bascule/preview", "head_sha": head, "status": "in_progress", "output": output });
    let (_, made) = t.asks_as(&given, Method::POST, &of("/check-runs"), Some(run.clone())).await;
    let done = json!({ "status": "completed", "conclusion": "success", "output": { "title": "y", "summary": "y" } });
    let answers = [
        ("POST R/check-runs 201", made.clone()),
        (
            "PATCH R/check-runs/{check_run_id} 200",
            t.asks_as(&given, Method::PATCH, &of(&format!("/check-runs/{}", made["id"])), Some(done)).await.1,
        ),
    ];
    for (name, answer) in answers {
        let name = name.replace(" R", &format!(" {repository}"));
        faults.extend(description.faults_of(&name, &answer).into_iter().map(|fault| format!("{name} {fault}")));
        tried.insert(name);
    }
    let (status, refused) = t.asks(Method::POST, &of("/check-runs"), Some(run)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a token's account makes none: {refused}");
    // There the description says that an account is a person and an enterprise at once.
    faults.retain(|fault| !fault.starts_with("GET /app/installations 200 /0/account: has no "));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let known: BTreeSet<String> = description.0["answers"].as_object().unwrap().keys().cloned().collect();
    let left: Vec<&String> = known.difference(&tried).collect();
    insta::assert_debug_snapshot!(left, @"[]");
}

#[tokio::test]
async fn pages_follow_one_another() {
    let t = Town::new().await;
    t.forge.has_many_like(&t.pr, 120);
    let next = |response: &reqwest::Response| -> Option<String> {
        let links = response.headers().get("link")?.to_str().unwrap().to_owned();
        let next = links.split(", ").find(|link| link.ends_with("rel=\"next\""))?.to_owned();
        Some(next.split(['<', '>']).nth(1).unwrap().split("/api/v3/").nth(1).unwrap().to_owned())
    };
    for (first, pages) in [("repos/acme/shop/pulls?per_page=500", 2), ("repos/acme/shop/activity?per_page=3", 2)] {
        let (mut path, mut seen, mut ids) = (Some(first.to_owned()), 0, BTreeSet::new());
        while let Some(place) = path {
            let response = t.sends(Method::GET, &place, None, TOKEN).await;
            path = next(&response);
            let page: Vec<Value> = response.json().await.unwrap();
            assert!(page.len() <= 100, "no page is longer");
            ids.extend(page.iter().map(|one| one["id"].as_i64().unwrap()));
            seen += 1;
        }
        assert_eq!(seen, pages, "{first}: {ids:?}");
    }
    // A page's number means nothing where there are cursors.
    let (_, first) = t.asks(Method::GET, "repos/acme/shop/activity?per_page=2", None).await;
    let (_, again) = t.asks(Method::GET, "repos/acme/shop/activity?per_page=2&page=2", None).await;
    assert_eq!(first, again);
}

#[tokio::test]
async fn it_says_no_as_it_should() {
    let t = Town::new().await;
    let said = async |token: &str, method: Method, path: &str, body: Option<Value>| {
        let (status, answer) = t.asks_as(token, method, path, body).await;
        assert!(answer["documentation_url"].is_string(), "{answer}");
        format!("{} {}", status.as_u16(), answer["message"].as_str().unwrap())
    };
    let text = "x".repeat(65_537);
    let comments = format!("repos/acme/shop/issues/{}/comments", t.pr.number);
    assert_eq!(said("nonsense", Method::GET, "user", None).await, "401 Bad credentials");
    assert_eq!(said(TOKEN, Method::GET, "repos/acme/none", None).await, "404 Not Found");
    assert_eq!(said(TOKEN, Method::POST, &comments, Some(json!({ "body": text }))).await, "422 Validation Failed");
    let nothing = "0".repeat(40);
    let status = Some(json!({ "state": "success" }));
    let path = format!("repos/acme/shop/statuses/{nothing}");
    assert_eq!(said(TOKEN, Method::POST, &path, status).await, format!("422 No commit found for SHA: {nothing}"));
    let long = Some(json!({ "state": "success", "description": "x".repeat(141) }));
    let path = format!("repos/acme/shop/statuses/{}", t.forge.head(&t.pr));
    assert_eq!(said(TOKEN, Method::POST, &path, long).await, "422 Validation Failed");
    t.forge.deletes_issue(&Pr { repository: t.shop.id, number: t.issue });
    let path = format!("repos/acme/shop/issues/{}", t.issue);
    assert_eq!(said(TOKEN, Method::GET, &path, None).await, "410 This issue was deleted");

    t.forge.renames(&t.shop, "acme/store").await;
    let moved = t.sends(Method::GET, "repos/acme/shop/branches", None, TOKEN).await;
    assert_eq!(moved.status(), StatusCode::MOVED_PERMANENTLY);
    let to = moved.headers()["location"].to_str().unwrap();
    assert_eq!(to, format!("{}/api/v3/repositories/{}/branches", t.forge.url(), t.shop.id));
    assert_eq!(t.asks(Method::GET, &format!("repositories/{}", t.shop.id), None).await.1["full_name"], "acme/store");
}

#[tokio::test]
async fn what_has_not_changed_costs_nothing() {
    let t = Town::new().await;
    let url = format!("{}/api/v3/repos/acme/shop/pulls", t.forge.url());
    let first = t.client.get(&url).bearer_auth(TOKEN).send().await.unwrap();
    let (tag, left) = (first.headers()["etag"].clone(), first.headers()["x-ratelimit-remaining"].clone());
    let again = t.client.get(&url).bearer_auth(TOKEN).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!((again.status(), &again.headers()["x-ratelimit-remaining"]), (StatusCode::NOT_MODIFIED, &left));
    t.forge.titles("dev", &t.pr, "Another").await;
    let news = t.client.get(&url).bearer_auth(TOKEN).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(news.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_app_may_what_it_was_given_where_it_is_installed_and_for_an_hour() {
    let t = Town::new().await;
    let elsewhere = t.forge.repository("other/shop", &[("a", "1")]).await;
    let now = "2026-01-05T09:00:00Z".parse().unwrap();
    let jwt = signed_request(&t.app.private_key, &t.app.id.to_string(), now);
    let token = format!("app/installations/{}/access_tokens", t.app.installation);
    let asked = json!({ "repository_ids": [t.shop.id], "permissions": { "contents": "read" } });
    let (status, given) = t.asks_as(&jwt, Method::POST, &token, Some(asked)).await;
    assert_eq!(status, StatusCode::CREATED, "{given}");
    let given = given["token"].as_str().unwrap().to_owned();
    let status_of = async |path: &str| t.asks_as(&given, Method::GET, path, None).await.0.as_u16();
    assert_eq!(status_of("repos/acme/shop/branches").await, 200);
    assert_eq!(status_of("repos/acme/shop/pulls").await, 403, "not given");
    assert_eq!(status_of(&format!("repositories/{}", elsewhere.id)).await, 404, "not seen");
    let more = Some(json!({ "permissions": { "contents": "write" } }));
    assert_eq!(t.asks_as(&jwt, Method::POST, &token, more).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    t.forge.suspends_app(&t.app, true);
    assert_eq!(t.asks_as(&jwt, Method::POST, &token, None).await.0, StatusCode::FORBIDDEN);
    t.forge.suspends_app(&t.app, false);
    assert_eq!(status_of("repos/acme/shop/branches").await, 200);
    t.forge.waits(jiff::SignedDuration::from_hours(1));
    assert_eq!(status_of("repos/acme/shop/branches").await, 401, "it ran out");
    let tampered = format!("{jwt}x");
    assert_eq!(t.asks_as(&tampered, Method::GET, "app", None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn deliveries_have_what_the_published_ones_have() {
    let t = Town::new().await;
    t.forge
        .edits_review("kim", t.forge.reviews("kim", &t.pr, Says::Remarks, "hm", &t.forge.head(&t.pr)).await, "ah")
        .await;
    t.forge.merges("kim", &t.pr, Merge::Commit).await;
    t.forge.deletes_branch("dev", &t.shop, "next").await;
    t.forge.renames(&t.shop, "acme/store").await;
    let told = t.forge.take_deliveries();
    let mut seen = Vec::<String>::new();
    for Delivery { event, body, .. } in &told {
        let body: Value = serde_json::from_slice(body).unwrap();
        assert!(body["sender"]["login"].is_string() && body["repository"]["id"].is_i64(), "{event}: {body}");
        let action = body["action"].as_str().map_or(String::new(), |action| format!(" {action}"));
        let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let common = ["action", "sender", "repository", "organization", "installation"];
        let keys: Vec<&str> = keys.into_iter().filter(|key| !common.contains(key)).collect();
        let line = format!("{event}{action}:{}", keys.iter().map(|key| format!(" {key}")).collect::<String>());
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    insta::assert_snapshot!(seen.join("\n"), @"
    repository created:
    push: after base_ref before commits compare created deleted forced head_commit pusher ref
    create: description master_branch pusher_type ref ref_type
    pull_request opened: number pull_request
    pull_request_review submitted: pull_request review
    pull_request_review dismissed: pull_request review
    pull_request synchronize: after before number pull_request
    pull_request edited: changes number pull_request
    pull_request converted_to_draft: number pull_request
    pull_request ready_for_review: number pull_request
    pull_request closed: number pull_request
    pull_request reopened: number pull_request
    issue_comment created: comment issue
    issue_comment edited: changes comment issue
    status: avatar_url branches commit context created_at description id name sha state target_url updated_at
    check_run completed: check_run
    check_run created: check_run
    pull_request_review edited: changes pull_request review
    delete: pusher_type ref ref_type
    repository renamed: changes
    ");
}

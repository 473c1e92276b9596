//! `bascule connect`, with a real Gitea: rights are named, webhooks made, put in order and left alone.

use std::path::Path;
use std::process::Command;

use bascule::webhook::signature::{Kind, claimed, verify};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::parts::{Gitea, Permission, Progress};

const SECRET: &str = "of-the-deliveries-of-work";

/// A door that says of each delivery whether it was signed with our secret.
async fn door() -> (u16, mpsc::UnboundedReceiver<bool>, JoinSet<()>) {
    let (heard, hears) = mpsc::unbounded_channel();
    let router = axum::Router::new().fallback(async move |headers: axum::http::HeaderMap, body: axum::body::Bytes| {
        let is_ours = claimed(Kind::Gitea, &headers).is_ok_and(|signature| {
            verify(&[SECRET.to_owned().into()], &signature, &body, jiff::Timestamp::UNIX_EPOCH).is_ok()
        });
        heard.send(is_ours).unwrap();
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (port, hears, serving)
}

fn connect(folder: &Path, arguments: &[&str], hidden: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    let ran = command.args(["connect", "work"]).args(arguments).current_dir(folder).output().unwrap();
    let mut said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert!(!said.contains(SECRET), "{said}");
    for (hide, show) in hidden {
        said = said.replace(hide, show);
    }
    format!("{said}ends with {}", ran.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_named_and_webhooks_made_put_in_order_and_left_alone() {
    let gitea = Gitea::start(&Progress::silent()).await.unwrap();
    let ours = gitea.create_user("bascule").await.unwrap();
    gitea.create_organisation(gitea.admin(), "acme").await.unwrap();
    for name in ["shop", "till"] {
        let repository = gitea.create_repository("acme", name).await.unwrap();
        gitea.add_collaborator(&repository, &ours, Permission::Admin).await.unwrap();
    }
    gitea.create_repository("acme", "vault").await.unwrap();
    let token = async |scopes: Value| {
        #[expect(clippy::disallowed_methods, reason = "tokens are made with a password")]
        let asked = reqwest::Client::new()
            .post(format!("{}/api/v1/users/bascule/tokens", gitea.url()))
            .basic_auth("bascule", Some(&ours.password))
            .json(&json!({ "name": scopes.to_string(), "scopes": scopes }));
        let made: Value = asked.send().await.unwrap().json().await.unwrap();
        made["sha1"].as_str().unwrap().to_owned()
    };
    let (port, mut hears, _serving) = door().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("secret", SECRET);
    let (url, own) = (gitea.url(), format!("http://127.0.0.1:{port}"));
    let file = format!(
        r#"version = 1
[server]
public_url = "{own}"
[forge.work]
kind = "gitea"
url = "{url}"
webhook_secrets = [{{ file = "secret" }}]
token = {{ file = "token" }}
[cluster.dev]
[grant.acme]
repositories = ["work/acme/shop", "work/acme/t*", "work/acme/lost", "work/acme/vault"]
clusters = ["dev"]
namespaces = ["shop"]
"#
    );
    write("bascule.toml", &file);
    let hidden = [(url.as_str(), "FORGE"), (own.as_str(), "OURS"), (" (3)", " (N)"), (" (2)", " (N)")];
    let connect = |arguments: &[&str]| connect(folder.path(), arguments, &hidden);

    // Too little and too much.
    write("token", &token(json!(["read:user", "read:repository", "write:issue", "read:package"])).await);
    insta::assert_snapshot!(connect(&["--dry-run"]), @"
    forge work: we are bascule (N) at FORGE
    BAD    acme/lost: not there, or our account does not see it: correct the grant, or let it in
    BAD  acme/shop: missing: the token's scope `read:organization`
    BAD  acme/shop: missing: the token's scope `write:repository`
    !    acme/shop: more than we need: the token's scope `read:package`
      acme/shop: no webhook: would make one to OURS/webhooks/work
      acme/till: no webhook: would make one to OURS/webhooks/work
    BAD  acme/vault: missing: the token's scope `read:organization`
    BAD  acme/vault: missing: the token's scope `write:repository`
    BAD  acme/vault: missing: to be an administrator of the repository
    BAD  acme/vault: missing: write access to the repository
    !    acme/vault: more than we need: the token's scope `read:package`
    BAD  acme/vault: our account may not see its webhooks: make it an administrator there for as long as this takes, or add one to OURS/webhooks/work by hand
    ends with 1
    ");

    // What the documentation asks for; and two grants of what is not there or not shown are taken back.
    write("token", &token(json!(["read:user", "write:repository", "write:issue", "read:organization"])).await);
    write("bascule.toml", &file.replace(r#", "work/acme/lost", "work/acme/vault""#, ""));
    insta::assert_snapshot!(connect(&["--dry-run"]), @"
    forge work: we are bascule (N) at FORGE
      acme/shop: we may what we need, and no more
      acme/shop: no webhook: would make one to OURS/webhooks/work
      acme/till: no webhook: would make one to OURS/webhooks/work
    ends with 1
    ");
    let hooks = async |name: &str| {
        gitea.api().unwrap().get(&format!("/repos/acme/{name}/hooks")).await.unwrap().as_array().unwrap().clone()
    };
    assert_eq!(hooks("shop").await, [] as [Value; 0]);
    insta::assert_snapshot!(connect(&[]), @"
    forge work: we are bascule (N) at FORGE
      acme/shop: we may what we need, and no more
      acme/shop: no webhook: made one to OURS/webhooks/work
      acme/till: no webhook: made one to OURS/webhooks/work
    ends with 0
    ");
    let made = hooks("shop").await[0]["id"].clone();
    insta::assert_snapshot!(connect(&[]), @"
    forge work: we are bascule (N) at FORGE
      acme/shop: we may what we need, and no more
      acme/shop: its webhook is in order, as far as the forge shows it: its secret it does not
      acme/till: its webhook is in order, as far as the forge shows it: its secret it does not
    ends with 0
    ");
    assert_eq!((hooks("shop").await.len(), &hooks("shop").await[0]["id"]), (1, &made));

    // They are signed with our secret.
    let delivers = async |hook: &Value| {
        let test = format!("/repos/acme/shop/hooks/{}/tests", hook["id"]);
        gitea.api().unwrap().post(&test, json!({})).await.unwrap();
    };
    delivers(&hooks("shop").await[0]).await;
    assert_eq!(hears.recv().await, Some(true));

    // Somebody switches it off, or loses its events, or it has another secret.
    let edited = format!("/repos/acme/shop/hooks/{made}");
    gitea.api().unwrap().patch(&edited, json!({ "active": false, "events": ["push"] })).await.unwrap();
    insta::assert_snapshot!(connect(&[]), @"
    forge work: we are bascule (N) at FORGE
      acme/shop: we may what we need, and no more
      acme/shop: a webhook that is switched off, is not told of delete, pull_request, pull_request_sync, pull_request_comment, pull_request_review, issue_comment, repository: made one to OURS/webhooks/work
      acme/till: its webhook is in order, as far as the forge shows it: its secret it does not
    ends with 0
    ");
    assert_eq!(hooks("shop").await.len(), 1, "the old one is gone");
    write("secret", "another-secret-than-before");
    connect(&["--renew-secrets"]);
    delivers(&hooks("shop").await[0]).await;
    assert_eq!(hears.recv().await, Some(false), "the new one counts");

    // To a forge elsewhere, this machine's address is no address.
    write("bascule.toml", &file.replace(&url, "https://git.example.com").replace(&own, "http://localhost:8080"));
    insta::assert_snapshot!(connect(&[]), @"
    BAD  webhooks would go to http://localhost:8080/webhooks/work, which is this machine for whoever calls it: set server.public_url to where the forge reaches this server
    ends with 1
    ");
}

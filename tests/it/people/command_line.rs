//! `bascule login`: the program, a browser, and what is kept of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Browser, House, Seen};
use crate::fake::forge::Right;

fn program(words: &str, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    command.args(words.split(' ')).env_clear().env("XDG_CONFIG_HOME", home).kill_on_drop(true);
    command
}

/// How it ended, and what it said.
async fn ran(words: &str, home: &Path) -> (i32, String) {
    let ran = program(words, home).output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    (ran.status.code().unwrap(), said)
}

/// Begins it; the address that it prints.
async fn begins(house: &House, home: &Path) -> (Child, String) {
    let mut child = program(&format!("login {} --output json", house.url), home)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.trim().starts_with("http") {
            return (child, line.trim().to_owned());
        }
    }
    panic!("it prints no address");
}

/// The person lets it.
async fn lets(house: &House, browser: &mut Browser, page: &Seen) -> Seen {
    let [csrf, port, state, challenge] = ["csrf", "port", "state", "challenge"].map(|name| page.field(name));
    let fields = [("csrf", csrf.as_str()), ("port", &port), ("state", &state), ("challenge", &challenge)];
    browser.submit(&house.at("/login"), &house.url, &fields).await
}

#[tokio::test]
async fn a_command_line_acts_as_the_person_until_they_leave() {
    let house = House::new().await;
    let home = tempfile::tempdir().unwrap();
    let (code, said) = ran("status", home.path()).await;
    assert!(code == 2 && said.contains("sign in with `bascule login`"), "{said}");

    let (child, address) = begins(&house, home.path()).await;
    let mut alice = Browser::of("alice");
    // Nobody is signed in here yet: through the forge, and back to the question.
    let door = alice.follow(&address).await;
    let through = door.text.split_once("href=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let question = alice.follow(&through).await;
    assert!(question.text.contains("asks to act as <strong>work/alice"), "{}", question.text);
    let policy = question.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:"), "{policy}");
    // Another page cannot say yes for her.
    let port = question.field("port");
    let [state, challenge] = ["state", "challenge"].map(|name| question.field(name));
    let fields = [("csrf", "x"), ("port", port.as_str()), ("state", &state), ("challenge", &challenge)];
    assert_eq!(alice.submit(&house.at("/login"), "https://evil.example", &fields).await.status, 403);
    let back = lets(&house, &mut alice, &question).await.to();
    assert!(back.starts_with(&format!("http://127.0.0.1:{port}/?code=")), "{back}");
    // What does not know the question does not disturb it.
    assert_eq!(alice.open(&format!("http://127.0.0.1:{port}/?code=x&state=y")).await.status, 404);
    assert_eq!(alice.open(&back).await.status, 200);
    let ended = child.wait_with_output().await.unwrap();
    assert!(ended.status.success());
    let said: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(said["person"].as_str().unwrap().starts_with("work/alice ("), "{said}");

    // What it keeps is hers alone.
    let file = home.path().join("bascule/login.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, seen) = ran("status --output json", home.path()).await;
    assert!(code == 0 && seen.contains("acme/shop") && !seen.contains("vault"), "{seen}");
    // The word was good once.
    let word = back.split_once("code=").unwrap().1.split('&').next().unwrap();
    let again = alice.client().post(house.at("/api/v1/session")).json(&json!({ "code": word, "verifier": "x" }));
    assert_eq!(again.send().await.unwrap().status(), 401);

    // What she does is hers in the log, and needs write access.
    let (code, said) = ran("jobs retry 1", home.path()).await;
    assert!(code == 2 && said.contains("needs write access"), "{said}");
    house.forge.lets("alice", &house.shop, Right::Write);
    assert_eq!(ran("jobs retry 1", home.path()).await.0, 0);
    assert_eq!(house.log().await.last().unwrap(), "work/alice job.retried job 1 (api)");
    // She asks for a sync as one who may push, and where the rules leave it to some, as one of them.
    assert_eq!(ran("sync production1", home.path()).await.0, 0);
    assert_eq!(house.log().await.last().unwrap(), "work/alice sync.asked work/acme/shop production1 (api)");
    let leaves_it_to = async |login: &str| {
        let block = json!({
            "name": "production1", "path": "deploy", "target": { "cluster": "prod", "namespace": "shop1" },
            "consent": { "approvals": [], "by": ["review"], "on_push": "keep", "binds": "change" },
            "sync": { "mode": "auto", "prune": true, "timeout_seconds": 300 }, "may": { "sync": { "users": [login] } },
        });
        let leave = "UPDATE environment SET block = $1 WHERE name = 'production1'";
        sqlx::query(leave).bind(block).execute(&house.database.owner).await.unwrap();
    };
    leaves_it_to("bob").await;
    let (code, said) = ran("sync production1", home.path()).await;
    assert!(code == 2 && said.contains("leaves this to others"), "{said}");
    leaves_it_to("alice").await;
    assert_eq!(ran("sync production1", home.path()).await.0, 0);
    let (code, said) = ran("audit list", home.path()).await;
    assert!(code == 2 && said.contains("token of scope `audit`"), "{said}");

    // What she was answered under a key she is told again, for as long as she may read of it.
    let token = std::fs::read_to_string(&file).unwrap();
    let token = token.split('"').find(|word| word.starts_with("bsp_")).unwrap().to_owned();
    let sync = async |id: i64, key: &str| {
        let request = alice.client().post(house.at(&format!("/api/v1/environments/{id}/sync")));
        request.bearer_auth(&token).header("idempotency-key", key).send().await.unwrap().status().as_u16()
    };
    assert_eq!((sync(1, "k1").await, sync(1, "k1").await), (200, 200));
    assert_eq!(sync(2, "k1").await, 422);
    // She is the author of what is opened because she asked for it.
    let drifted =
        "INSERT INTO inventory (cluster_uid, api_group, kind, namespace, name, environment_id, api_version, uid, hash)
        VALUES ('c', '', 'ConfigMap', 'shop', 'web', 1, 'v1', 'u', '\\x00');
        INSERT INTO drift (cluster_uid, api_group, kind, namespace, name, what, fields, by_whom, since, heals)
        VALUES ('c', '', 'ConfigMap', 'shop', 'web', 'changed', '[\".data.value\"]', '[]', now(), 0)";
    sqlx::raw_sql(drifted).execute(&house.database.owner).await.unwrap();
    let request = alice.client().post(house.at("/api/v1/environments/1/adopt")).bearer_auth(&token);
    let asked = request.json(&json!({})).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    let asked: Value = asked.json().await.unwrap();
    assert!(asked["state"] == "asked" && asked["by"].as_str().unwrap().starts_with("work/alice ("), "{asked}");
    house.forge.lets("alice", &house.shop, Right::None);
    house.clock.advance(jiff::SignedDuration::from_mins(5));
    assert_eq!(sync(1, "k1").await, 404);
    house.forge.lets("alice", &house.shop, Right::Write);
    house.clock.advance(jiff::SignedDuration::from_mins(5));
    // Rules that nobody can read let nobody in, and do not tell of what she may not see.
    let broken = "UPDATE rendered_set SET hashes = '[7]';
        UPDATE environment SET position_commit = repeat('c', 40), position_set = (SELECT digest FROM rendered_set)";
    sqlx::raw_sql(broken).execute(&house.database.owner).await.unwrap();
    assert_eq!((sync(1, "k2").await, sync(2, "k2").await), (503, 404));

    // A file that others can read is not used.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = ran("status", home.path()).await;
    assert!(code == 2 && said.contains("can be read by others"), "{said}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();

    let kept = std::fs::read_to_string(&file).unwrap();
    let token = kept.split('"').find(|word| word.starts_with("bsp_")).unwrap().to_owned();
    let (code, said) = ran("logout", home.path()).await;
    assert!(code == 0 && said.contains("work/alice"), "{said}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("bsp_"), "forgotten here");
    let used = alice.client().get(house.at("/api/v1/session")).bearer_auth(token).send().await.unwrap();
    assert_eq!(used.status(), 401, "and there");
    assert_eq!(house.log().await.last().unwrap(), "work/alice person.signed_out person work/alice (bascule logout)");
}

#[tokio::test]
async fn a_word_for_a_command_line_is_of_use_to_that_one_alone() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice").await;
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; // RFC 7636, appendix B
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let address = |port: &str, challenge: &str| {
        house.at(&format!("/login?port={port}&state=0123456789abcdef&challenge={challenge}"))
    };
    for bad in [
        address("80", challenge),
        address("80000", challenge),
        address("2000", "x"),
        address("2000%40evil.example", challenge),
    ] {
        assert_eq!(alice.open(&bad).await.status, 400, "{bad}");
    }
    let lent = async |alice: &mut Browser| {
        let page = alice.open(&address("2000", challenge)).await;
        let back = lets(&house, alice, &page).await.to();
        back.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned()
    };
    let exchanged = async |word: &str, verifier: &str| {
        let request = Browser::new()
            .client()
            .post(house.at("/api/v1/session"))
            .json(&json!({ "code": word, "verifier": verifier }));
        request.send().await.unwrap().status().as_u16()
    };
    let word = lent(&mut alice).await;
    assert_eq!(exchanged(&word, "another key").await, 401);
    assert_eq!(exchanged(&word, verifier).await, 401, "a word that was tried is gone");
    let word = lent(&mut alice).await;
    house.clock.advance(jiff::SignedDuration::from_mins(1));
    assert_eq!(exchanged(&word, verifier).await, 401, "too late");
    let word = lent(&mut alice).await;
    assert_eq!(exchanged(&word, verifier).await, 200);

    // The operator sees it, and ends it.
    let sessions = bascule::web::session::of_command_lines(&house.database.pool).await.unwrap();
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(session.person.login, "alice");
    let revoke = async || bascule::web::session::revoke(&house.database.pool, &house.clock, session.id).await.unwrap();
    assert!(revoke().await && !revoke().await);
    assert!(house.log().await.last().unwrap().starts_with("operator person.signed_out person work/alice"));
}

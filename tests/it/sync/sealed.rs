//! Secrets that are kept sealed: by the real `sops` and keys of age, onto a real API server.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bascule::render::{AgeKeys, Unsealer};
use bascule::sync::HoldReason;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::stories::WEB;
use super::{Place, Server};
use crate::parts::program;
use crate::plane::on_plane;
use crate::support::front::Front;

const FIRST: &str = "correct-horse-battery";
const SECOND: &str = "staple-of-another-kind";

/// A private key and its public half.
fn key() -> (String, String) {
    let made = Command::new(program("age-keygen").unwrap()).stderr(Stdio::null()).output().unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    let public = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    (text, public)
}

/// As a person seals it: by sops, to this recipient.
fn seals(object: &Value, recipient: &str) -> Value {
    let arguments = ["encrypt", "--age", recipient, "--encrypted-regex", "^(data|stringData)$"];
    let types = ["--input-type", "json", "--output-type", "json", "--filename-override", "s.json"];
    let mut child = Command::new(program("sops").unwrap())
        .args(arguments)
        .args(types)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

fn secret(values: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": values})
}

async fn unsealer(private: &str) -> Unsealer {
    let private = private.to_owned();
    let keys: AgeKeys = Box::new(move || Ok(private.clone().into()));
    let bin = program("sops").unwrap();
    Unsealer::find(Some(bin.parent().unwrap().as_os_str()), BTreeMap::from([("prod".to_owned(), keys)])).await
}

/// Everything the database has, as text.
async fn stored(place: &Place<'_>) -> String {
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&place.database.owner)
    .await
    .unwrap();
    let mut all = String::new();
    for (table,) in tables {
        let query = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let (text,): (String,) =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_one(&place.database.owner).await.unwrap();
        all += &text;
    }
    all
}

#[test]
fn a_sealed_secret_is_opened_for_the_cluster_alone() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "sync-sealed").await;
        let (private, public) = key();
        place.server.unsealer = unsealer(&private).await;
        let sealed = seals(&secret(&json!({"user": "ann-of-the-database", "password": FIRST, "old": "x"})), &public);
        let file = |object: &Value| format!("---\n{object}\n");

        // Whose key it is, the platform says: nobody yet.
        let (outcome, writes) = place.syncs(&file(&sealed)).await;
        assert_eq!(writes, 0);
        assert_snapshot!(outcome.sentence(), @"failed at Secret sync-sealed/db: it is sealed, and grant `shop` names no keys: name some with its key `secrets`, and where they are in `[secrets.NAME]`");
        assert_eq!(place.state().await.1, Some(HoldReason::Failed.to_string()));

        place.server.platform.grants.get_mut("shop").unwrap().secrets = Some("prod".to_owned());
        let (outcome, writes) = place.syncs(&file(&sealed)).await;
        assert_eq!((outcome.sentence().as_str(), writes), ("1 created", 1));
        let live = place.kubectl(&["get", "secret", "db", "-o", "json"]).await;
        let live: Value = serde_json::from_str(&live).unwrap();
        assert_eq!(live["data"]["password"], "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5");
        assert_eq!((live.get("sops"), live["data"].as_object().unwrap().len()), (None, 3));

        // The same once more: nothing is sent.
        let (outcome, writes) = place.syncs(&file(&sealed)).await;
        assert_eq!((outcome.sentence().as_str(), writes), ("1 unchanged", 0));

        // Nor when somebody writes beside us: it is compared as it was opened.
        place.kubectl(&["annotate", "secret", "db", "note=x"]).await;
        let (outcome, writes) = place.syncs(&file(&sealed)).await;
        assert_eq!((outcome.sentence().as_str(), writes), ("1 unchanged", 0));

        // A key is another one, one goes; only these are told, and neither value is anywhere.
        let next = seals(&secret(&json!({"user": "ann-of-the-database", "password": SECOND})), &public);
        let (outcome, writes) = place.syncs(&file(&next)).await;
        assert_eq!((outcome.sentence().as_str(), writes), ("1 updated", 1));
        let names = place.kubectl(&["get", "secret", "db", "-o", "jsonpath={.data}"]).await;
        let names: BTreeMap<String, String> = serde_json::from_str(&names).unwrap();
        assert_eq!(names.keys().collect::<Vec<_>>(), ["password", "user"]);

        // A key that nobody here has, and a value that was put under another name.
        let (_, stranger) = key();
        let (outcome, writes) = place.syncs(&file(&seals(&secret(&json!({"password": FIRST})), &stranger))).await;
        assert_eq!(writes, 0);
        assert_snapshot!(outcome.sentence(), @"failed at Secret sync-sealed/db: no key of `[secrets.prod]` opens it: seal it to that key's recipient with `sops updatekeys`");
        let mut moved = next.clone();
        moved["stringData"]["user"] = next["stringData"]["password"].clone();
        let (outcome, writes) = place.syncs(&file(&moved)).await;
        assert_eq!(writes, 0);
        assert_snapshot!(outcome.sentence(), @"failed at Secret sync-sealed/db: a value of it is not as it was sealed: seal it anew with sops");

        // The API server quotes a key it does not take: not the value under it.
        let quoted = seals(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"},
            "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": FIRST}}),
            &public,
        );
        let (outcome, _) = place.syncs(&(file(&next) + &file(&quoted))).await;
        assert!(
            outcome.sentence().contains("Secret sync-sealed/other") && !outcome.told().contains(FIRST),
            "{}",
            outcome.told()
        );

        let stored = stored(&place).await;
        assert!(stored.contains("production"), "it is what the database has");
        for word in [FIRST, SECOND, "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5", "ann-of-the-database", "AGE-SECRET-KEY"] {
            assert!(!stored.contains(word), "{word} is in the database");
            let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!stored.contains(&hex), "{word} is in the database, as bytes");
        }
    });
}

/// A pod of `web` that was made by hand and crashes.
async fn crashes(place: &Place<'_>) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-6b4-x1", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}});
    place.makes(pod).await;
    let status = json!({"status": {"phase": "Running", "containerStatuses": [{"name": "web", "image": "nginx:1", "imageID": "",
        "ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}});
    place
        .kubectl(&["patch", "pod", "web-6b4-x1", "--subresource=status", "--type=merge", "-p", &status.to_string()])
        .await;
}

#[test]
fn what_a_program_prints_of_an_opened_value_is_not_told() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-sealed-log").await;
        crashes(&place).await;
        let front = Front::of(plane).await;
        let log = format!("login with {FIRST}\nas Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5\npanic: no table\n");
        front.says("/pods/web-6b4-x1/log", &log);
        let mut place = Place { server: Server::new(place.database.pool.clone(), front.kubeconfig()), ..place };
        let (private, public) = key();
        place.server.unsealer = unsealer(&private).await;
        place.server.platform.grants.get_mut("shop").unwrap().secrets = Some("prod".to_owned());
        place.block.sync.timeout_seconds = 1;
        let sealed = seals(&secret(&json!({"password": FIRST})), &public);
        let (outcome, _) = place.syncs(&format!("---\n{sealed}\n{WEB}")).await;
        let told = outcome.told();
        let words = "last lines of web: `login with (redacted)` `as (redacted)` `panic: no table`";
        assert!(told.contains(words), "{told}");

        // Whoever judges one object may have read another, and quotes it.
        let patched = |line: &str| line.starts_with("PATCH ") && line.contains("/deployments/web");
        front.answers_once(
            patched,
            403,
            &format!(
                "admission webhook \"judge\" denied the request: no {FIRST} and no Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5 here"
            ),
        );
        let web = WEB.replace("nginx:1", "nginx:2");
        let (outcome, _) = place.syncs(&format!("---\n{sealed}\n{web}")).await;
        assert_snapshot!(outcome.sentence(), @r#"failed at Deployment sync-sealed-log/web: admission webhook "judge" denied the request: no (redacted) and no (redacted) here (403)"#);

        // The key was taken away too early. The Secret is in the cluster as it was, and nobody here knows what to hide any more.
        place.server.unsealer = unsealer(&key().0).await;
        let (outcome, _) = place.syncs(&format!("---\n{sealed}\n{web}")).await;
        let told = format!("{} {}", outcome.sentence(), outcome.told());
        assert!(told.contains("(not shown: a sealed Secret of this environment could not be opened"), "{told}");
        let stored = stored(&place).await;
        for word in [FIRST, "panic: no table", "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"] {
            assert!(!told.contains(word), "{told}");
            assert!(word.starts_with("panic") || !stored.contains(word), "{word} is in the database");
        }
    });
}

#[tokio::test]
async fn only_our_keys_and_nothing_of_the_repository_decide_how_it_is_opened() {
    let (private, public) = key();
    let unsealer = unsealer(&private).await;
    assert!(unsealer.version().unwrap().starts_with("3."), "{:?}", unsealer.version());
    let sealed = seals(&secret(&json!({"password": FIRST, "empty": ""})), &public);
    let opened = unsealer.open(&sealed, "prod").await.unwrap();
    assert_eq!(opened["data"]["empty"], "");

    // An address of a key service that the repository wrote, even where nobody refused it before: it is not called.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut hostile = sealed.clone();
    hostile["sops"]["age"][0]["enc"] = "-----BEGIN AGE ENCRYPTED FILE-----".into();
    let entry = json!([{"vault_address": address, "engine_path": "t", "key_name": "k", "enc": "vault:v1:x", "created_at": "2026-01-01T00:00:00Z"}]);
    hostile["sops"]["hc_vault"] = entry;
    assert_snapshot!(unsealer.open(&hostile, "prod").await.unwrap_err(), @"no key of `[secrets.prod]` opens it: seal it to that key's recipient with `sops updatekeys`");
    assert!(listener.accept().is_err(), "nobody called");
    assert_snapshot!(unsealer.open(&sealed, "staging").await.unwrap_err(), @"the server's file has no `[secrets.staging]`");
    let nowhere = Unsealer::find(Some("/nonexistent".as_ref()), BTreeMap::new()).await;
    assert_snapshot!(nowhere.open(&sealed, "prod").await.unwrap_err(), @"sops 3.10 or newer is needed, and is not on PATH");
}

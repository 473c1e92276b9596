//! What is typed on the server's host: it runs on the PostgreSQL it starts for itself, tokens and names are given out from
//! its file, and its database is brought to its version by the owner.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::database::Database;
use crate::support::server::Server;

/// What a command said, on standard output and then on standard error, and how it ended.
fn typed(folder: &Path, line: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    command.args(line.split(' ')).current_dir(folder).env_clear().envs(environment.iter().copied());
    let ran = command.output().unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    let times = regex::Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap();
    format!("$ bascule {line}\n{}ends with {}\n", times.replace_all(&said, "TIME"), ran.status.code().unwrap())
}

const FILE: &str = r#"version = 1
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
log_format = "json"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomers_server_brings_its_database_and_says_how_to_move_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bascule.toml"), FILE).unwrap();
    let not_there = typed(folder.path(), "token list", &[]);
    assert!(not_there.ends_with("ends with 2\n"), "{not_there}");

    let path = [("PATH", "/usr/bin:/bin")];
    let server = Server::start(folder.path(), &path);
    let made = typed(folder.path(), "token create laptop --scope read,audit", &path);
    let token = made.lines().nth(1).unwrap();
    assert!(token.starts_with("bsc_") && made.ends_with("ends with 0\n"), "{made}");
    let url = format!("http://{}", server.listens);
    let asks = [("BASCULE_SERVER", url.as_str()), ("BASCULE_TOKEN", token)];
    let mut said = typed(folder.path(), "status", &asks);
    for line in [
        "token list",
        "repositories list",
        "repositories accept work/acme/shop",
        "token revoke laptop",
        "token revoke laptop",
        "migrate",
    ] {
        said += &typed(folder.path(), line, &path);
    }
    said += &typed(folder.path(), "status", &asks);
    insta::assert_snapshot!(said, @r"
    $ bascule status
    none
    ends with 0
    $ bascule token list
    ┌───────────────────────────────────────────────────────────────────────────────────────┐
    │ NAME     PERSON   SCOPES        CREATED                EXPIRES                REVOKED │
    ╞═══════════════════════════════════════════════════════════════════════════════════════╡
    │ laptop            read, audit   TIME   TIME           │
    └───────────────────────────────────────────────────────────────────────────────────────┘
    ends with 0
    $ bascule repositories list
    none
    ends with 0
    $ bascule repositories accept work/acme/shop
    bascule: no repository is refused under the name work/acme/shop; `bascule repositories list` shows them
    ends with 2
    $ bascule token revoke laptop
    token laptop is revoked
    ends with 0
    $ bascule token revoke laptop
    bascule: there is no token `laptop` that is not revoked already
    ends with 2
    $ bascule migrate
    bascule: the embedded database migrates itself when the server starts
    ends with 2
    $ bascule status
    bascule: 401 Unauthorized: the token is unknown, expired or revoked
    ends with 2
    ");

    let log = server.stops();
    let said =
        log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned());
    let said: Vec<String> = said.collect();
    let notice = said.iter().position(|line| line.contains("trying out")).unwrap();
    insta::assert_snapshot!(said[notice..notice + 3].join("\n"), @r#"
    PostgreSQL runs inside this server: good for trying out, and for one server only. To move on, give it a database of its own with two lines in bascule.toml under [database], and run `bascule migrate`:
      url = { env = "DATABASE_URL" }
      migrate_url = { env = "BASCULE_MIGRATE_URL" }
    "#);
}

#[tokio::test]
async fn a_database_of_its_own_is_migrated_by_its_owner_and_then_served() {
    let database = Database::unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let file = "[database]\nurl = { env = \"DATABASE_URL\" }\nmigrate_url = { env = \"BASCULE_MIGRATE_URL\" }\n";
    std::fs::write(folder.path().join("bascule.toml"), format!("{FILE}{file}")).unwrap();
    let (url, owner) = (database.server_url(), database.owner_url());
    let environment = [("PATH", "/usr/bin:/bin"), ("DATABASE_URL", url.as_str()), ("BASCULE_MIGRATE_URL", &owner)];
    let mut said = String::new();
    for line in ["serve --log error", "migrate", "migrate", "token list"] {
        said += &typed(folder.path(), line, &environment);
    }
    let said = regex::Regex::new(r"ran \[[\d, ]+\]").unwrap().replace(&said, "ran [EVERY MIGRATION]");
    insta::assert_snapshot!(said, @r"
    $ bascule serve --log error
    bascule: the database is empty: run `bascule migrate` with the owner's role (`database.migrate_url`), then start again
    ends with 2
    $ bascule migrate
    ran [EVERY MIGRATION]
    ends with 0
    $ bascule migrate
    the database is of this version
    ends with 0
    $ bascule token list
    none
    ends with 0
    ");
    Server::start(folder.path(), &environment).stops();
}

#[test]
fn the_schemas_are_printed_as_editors_read_them() {
    for (of, file) in [("server", "server.schema.json"), ("repository", "repository.schema.json")] {
        let ran = Command::new(env!("CARGO_BIN_EXE_bascule")).args(["schema", of]).output().unwrap();
        assert!(ran.status.success());
        let ours = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)).unwrap();
        let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        assert_eq!(read(&ran.stdout), read(&ours), "{of}");
    }
    let ran = Command::new(env!("CARGO_BIN_EXE_bascule")).args(["schema", "x"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
}

//! A running server reads its files again: what changed counts, what is broken does not, and the log knows both.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::database::Database;

/// `bascule serve`, and what it logs.
pub(crate) struct Server {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Server {
    /// Runs until it says that it is ready.
    pub(crate) fn start(folder: &Path, database: &Database) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(["serve", "--config", "bascule.toml"]).current_dir(folder);
        command.env("DATABASE_URL", database.server_url()).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut server = Self { process, log };
        let ready = server.hears("ready");
        let listens = ready["listen"].as_str().unwrap().to_owned();
        (server, listens)
    }

    /// The next log line with this message.
    pub(crate) fn hears(&mut self, message: &str) -> Value {
        let mut before = Vec::new();
        for line in self.log.by_ref().map(Result::unwrap) {
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value["message"] == message => return value,
                _ => before.push(line),
            }
        }
        panic!("the server ended without saying `{message}`:\n{}", before.join("\n"));
    }

    fn is_told(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    pub(crate) fn stops(mut self) {
        self.is_told(Signal::TERM);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The newest entry about the configuration: its action, cause and detail, without the keys in full.
async fn newest(database: &Database) -> Value {
    let (action, cause, detail): (String, String, String) = sqlx::query_as(
        "SELECT action, cause, detail::text FROM audit_entry WHERE subject = 'config' ORDER BY seq DESC LIMIT 1",
    )
    .fetch_one(&database.owner)
    .await
    .unwrap();
    let mut detail: Value = serde_json::from_str(&detail).unwrap();
    for key in ["keys", "files", "version"] {
        detail.as_object_mut().unwrap().remove(key);
    }
    json!({ "action": action, "cause": cause, "detail": detail })
}

async fn delivered_to(listens: &str, forge: &str) -> u16 {
    #[expect(clippy::disallowed_methods, reason = "a sender of webhooks")]
    let sender = reqwest::Client::new();
    let address = format!("http://{listens}/webhooks/{forge}");
    sender.post(address).header("content-type", "application/json").body("{}").send().await.unwrap().status().as_u16()
}

const FILE: &str = r#"version = 1
include = ["conf.d/*.toml"]
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
log_format = "json"
[database]
url = { env = "DATABASE_URL" }
"#;

const FORGE: &str = r#"[forge.work]
kind = "gitea"
url = "http://127.0.0.1:1"
webhook_secrets = [{ file = "webhook.secret" }]
token = { file = "work.token" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_counts_at_once_what_is_broken_does_not_and_the_log_knows_both() {
    let database = Database::new().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    write("bascule.toml", FILE);
    write("conf.d/webhook.secret", "hunter1");
    write("conf.d/work.token", "hunter2");

    let (mut server, listens) = Server::start(folder.path(), &database);
    insta::assert_json_snapshot!(newest(&database).await, @r#"
    {
      "action": "config.loaded",
      "cause": "start",
      "detail": {
        "difference": {
          "added": {
            "database.url.env": "\"DATABASE_URL\"",
            "include": "[\"conf.d/*.toml\"]",
            "server.admin_listen": "\"127.0.0.1:0\"",
            "server.listen": "\"127.0.0.1:0\"",
            "server.log_format": "\"json\"",
            "version": "1"
          }
        },
        "needs_restart": [],
        "secrets": []
      }
    }
    "#);
    assert_eq!(delivered_to(&listens, "work").await, 404);

    // A new file beside the others, and a signal.
    write("conf.d/forge.toml", FORGE);
    write("bascule.toml", &FILE.replace(":0\"\nadmin", ":1\"\nadmin"));
    server.is_told(Signal::HUP);
    server.hears("configuration loaded");
    insta::assert_json_snapshot!(newest(&database).await, @r#"
    {
      "action": "config.loaded",
      "cause": "SIGHUP",
      "detail": {
        "difference": {
          "added": {
            "forge.work.kind": "\"gitea\"",
            "forge.work.token.file": "\"work.token\"",
            "forge.work.url": "\"http://127.0.0.1:1\"",
            "forge.work.webhook_secrets": "[{ file = \"webhook.secret\" }]"
          },
          "changed": {
            "server.listen": [
              "\"127.0.0.1:0\"",
              "\"127.0.0.1:1\""
            ]
          }
        },
        "needs_restart": [
          "server.listen"
        ],
        "secrets": []
      }
    }
    "#);
    assert_eq!(delivered_to(&listens, "work").await, 401, "the door knows the forge, and wants a signature");

    // A mistake, and nobody who says so.
    write("conf.d/forge.toml", &FORGE.replace("kind = \"gitea\"", "kind = \"gitae\""));
    server.hears("the configuration is refused; the one before stays in force");
    insta::assert_json_snapshot!(newest(&database).await, @r#"
    {
      "action": "config.refused",
      "cause": "a file changed",
      "detail": {
        "complaints": [
          {
            "advice": "did you mean `gitea`?",
            "column": 8,
            "file": "conf.d/forge.toml",
            "line": 2,
            "problem": "`kind` cannot be `gitae`"
          }
        ]
      }
    }
    "#);
    assert_eq!(delivered_to(&listens, "work").await, 401);

    // Mended, with a rotated token: its key is told, and never what it is.
    write("conf.d/work.token", "hunter3");
    write("conf.d/forge.toml", FORGE);
    server.hears("configuration loaded");
    insta::assert_json_snapshot!(newest(&database).await, @r#"
    {
      "action": "config.loaded",
      "cause": "a file changed",
      "detail": {
        "difference": {},
        "needs_restart": [],
        "secrets": [
          "forge.work.token"
        ]
      }
    }
    "#);

    // A secret that is gone: what was read before stays in force.
    std::fs::remove_file(folder.path().join("conf.d/work.token")).unwrap();
    server.hears("the configuration is refused; the one before stays in force");
    insta::assert_json_snapshot!(newest(&database).await, @r#"
    {
      "action": "config.refused",
      "cause": "a file changed",
      "detail": {
        "complaints": [
          {
            "problem": "forge.work.token: file `conf.d/work.token` cannot be read"
          }
        ]
      }
    }
    "#);
    write("conf.d/work.token", "hunter3");
    server.hears("configuration loaded");
    server.stops();

    // While it was away a grant was added.
    write("bascule.toml", FILE);
    let grant = "[cluster.dev]\n[grant.shop]\nrepositories = [\"work/acme/shop\"]\nclusters = [\"dev\"]\nnamespaces = [\"shop\"]\n";
    write("conf.d/grant.toml", grant);
    let (server, _) = Server::start(folder.path(), &database);
    insta::assert_json_snapshot!(newest(&database).await, @r#"
    {
      "action": "config.loaded",
      "cause": "start",
      "detail": {
        "difference": {
          "added": {
            "cluster.dev": "{}",
            "grant.shop.clusters": "[\"dev\"]",
            "grant.shop.namespaces": "[\"shop\"]",
            "grant.shop.repositories": "[\"work/acme/shop\"]"
          },
          "changed": {
            "server.listen": [
              "\"127.0.0.1:1\"",
              "\"127.0.0.1:0\""
            ]
          }
        },
        "needs_restart": [],
        "secrets": []
      }
    }
    "#);
    server.stops();
    let all: Vec<String> =
        sqlx::query_scalar("SELECT detail::text FROM audit_entry").fetch_all(&database.owner).await.unwrap();
    assert!(!all.iter().any(|detail| detail.contains("hunter")));
}

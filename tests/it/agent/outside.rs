//! A real server that has no way into a real cluster, and a real agent that has only the account that the chart gives it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use bascule::config::Environ;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fake::forge::{FakeForge, Merge, Pr, SECRET, TOKEN};
use crate::parts::{self, ControlPlane, program};
use crate::plane::on_plane;
use crate::support::database::Database;
use crate::support::server::{Running, Server};
use crate::support::shop::{self, until, web};

const NAMESPACE: &str = "by-agent";
const HOME: &str = "agent-home";

/// Installs the agent's account, and those it may act as, as `docs/agent.md` says; with these rules for what is deployed.
async fn installs(plane: &ControlPlane, folder: &Path, rules: Option<&str>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut helm = Command::new(parts::program("helm").unwrap());
    helm.args(["template", "bascule", "deploy/chart", "--namespace", HOME, "--set", "agent.cluster=test"]);
    helm.args(["--set", "agent.servers={https://agents.example.com}", "--set"])
        .arg(format!("namespaces={{{NAMESPACE}}}"));
    if let Some(rules) = rules {
        helm.args(["--set-json", &format!("deployer.rules={rules}")]);
    }
    let ran = helm.current_dir(root).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(
        !text.contains("bascule-worker") && !text.contains("PersistentVolumeClaim\n"),
        "an agent, and no server: {text}"
    );
    let file = folder.join("agent.yaml");
    std::fs::write(&file, text).unwrap();
    let apply = ["apply", "--server-side", "--validate=strict", "--filename", file.to_str().unwrap()];
    plane.kubectl(&apply).await.unwrap();
}

struct Place<'p> {
    folder: &'p Path,
    environment: Vec<(&'p str, &'p str)>,
    kubeconfig: PathBuf,
}

impl Place<'_> {
    /// What `bascule token create` says, and how it ends.
    fn token(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.arg("token").args(arguments).arg("--config").arg(self.folder.join("bascule.toml"));
        let ran = command.env_clear().envs(self.environment.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        if ran.status.success() { Ok(text(ran.stdout)) } else { Err(text(ran.stderr)) }
    }

    fn agent(&self, server: &Server, token: &Path) -> Running {
        let url = format!("http://{}", server.listens);
        let arguments: Vec<&OsStr> = vec![
            "agent".as_ref(),
            "test".as_ref(),
            "--server".as_ref(),
            url.as_ref(),
            "--kubeconfig".as_ref(),
            self.kubeconfig.as_ref(),
            "--token-file".as_ref(),
            token.as_ref(),
            "--log-json".as_ref(),
        ];
        Running::start(&arguments, &[])
    }
}

/// What the API says to somebody.
async fn asks(server: &Server, path: &str, token: &str) -> (StatusCode, Value) {
    #[expect(clippy::disallowed_methods, reason = "the client of a test")]
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.get(format!("http://{}/api/v1/{path}", server.listens)).bearer_auth(token);
    let answer = asked.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// The configuration of [`shop`], of a server that has no kubeconfig.
fn configuration(forge: &FakeForge) -> String {
    let text = shop::configuration(forge, Path::new("none"), NAMESPACE, "1h");
    let (before, rest) = text.split_once("kubeconfig = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let namespaces = format!("namespaces = [\"{NAMESPACE}\"]\n");
    let impersonate = "impersonate = \"system:serviceaccount:{namespace}:bascule-deployer\"\n";
    let beside = "[cluster.other]\nagent = true\n";
    format!("{before}agent = true\n{beside}{after}").replace(&namespaces, &format!("{namespaces}{impersonate}"))
}

#[test]
fn a_server_deploys_keeps_and_explains_through_an_agent_that_has_the_charts_account() {
    on_plane(|plane| async move {
        let (forge, database) = (FakeForge::start().await, Database::new().await);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bascule.toml"), configuration(&forge)).unwrap();
        let tools = program("kustomize").unwrap();
        let ours = Environ::of_process().get("PATH").unwrap_or_default().to_owned();
        let path = format!("{}:{ours}", tools.parent().unwrap().display());
        let (url, owner) = (database.server_url(), database.owner_url());
        let environment = vec![("PATH", path.as_str()), ("DATABASE_URL", &url), ("SECRET", SECRET), ("TOKEN", TOKEN)];
        let user = format!("system:serviceaccount:{HOME}:bascule-agent");
        let kubeconfig = plane.kubeconfig_for(&user, &["system:serviceaccounts", "system:authenticated"]).unwrap();
        let place = Place { folder: folder.path(), environment, kubeconfig };
        let server = Server::start(folder.path(), &place.environment);
        let token_file = folder.path().join("agent.token");
        let agents = place.token(&["create", "far", "--scope", "agent:test"]).unwrap();
        std::fs::write(&token_file, &agents).unwrap();
        let reader = place.token(&["create", "reader", "--scope", "read"]).unwrap();

        // Its token is good for one thing.
        for (scope, why) in
            [("agent:nowhere", "agent = true"), ("agent:test,read", "no other scope"), ("write", "agent:CLUSTER")]
        {
            let refused = place.token(&["create", "x", "--scope", scope]).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        for path in ["environments", "clusters", "jobs", "audit/entries", "openapi.json", "agents/other"] {
            assert_eq!(asks(&server, path, &agents).await.0, StatusCode::FORBIDDEN, "{path}");
        }
        assert_eq!(asks(&server, "agents/test", &reader).await.0, StatusCode::FORBIDDEN);
        assert_eq!(asks(&server, "agents/test", &agents).await.0, StatusCode::UPGRADE_REQUIRED);

        // A verb is missing: the preview names the rule.
        let home = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": HOME } });
        plane.request(Method::POST, "/api/v1/namespaces", Some(&home)).await.unwrap();
        forge.hooks_to(&format!("http://{}/webhooks/work", server.listens));
        let agent = place.agent(&server, &token_file);
        agent.hears(|line| line["message"] == "connected");
        let shop = shop::opens(&forge, plane, NAMESPACE).await;
        installs(
            plane,
            folder.path(),
            Some(r#"[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","list","watch"]}]"#),
        )
        .await;
        let number: i64 = until(&owner, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL").await;
        let first = Pr { repository: shop.id, number };
        let told = forge.comment(&first);
        let rule = format!(
            "a Role in {NAMESPACE} needs `{{` apiGroups: `[\"\"]`, resources: `[\"configmaps\"]`, verbs: `[\"patch\"] }}`"
        );
        assert!(told.contains(&rule), "{told}");
        installs(plane, folder.path(), None).await;
        forge.comments("lee", &first, "/bascule approve").await;
        let _: i64 = until(&owner, "SELECT number FROM deployment WHERE state = 'healthy'").await;
        let (_, clusters) = asks(&server, "clusters", &reader).await;
        assert_eq!(clusters["items"][0]["agent"]["state"], "connected", "{clusters}");

        // What somebody changes by hand is seen through the tunnel, too, and put right.
        let map = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/web");
        let _: bool = until(&owner, "SELECT true FROM inventory WHERE mark IS NOT NULL").await;
        let mut live = plane.get(&map).await.unwrap();
        live["data"]["value"] = json!("by hand");
        plane.request(Method::PUT, &map, Some(&live)).await.unwrap();
        let _: i64 = until(&owner, "SELECT count(*) FROM drift WHERE ended_at IS NULL HAVING count(*) = 1").await;
        forge.comments("dev", &first, "/bascule heal production").await;
        let _: i64 = until(&owner, "SELECT count(*) FROM drift WHERE ended_at IS NOT NULL HAVING count(*) = 1").await;
        assert_eq!(plane.get(&map).await.unwrap()["data"]["value"], "1");

        // It is killed in the middle of everything; what is merged meanwhile waits, and says for what.
        drop(agent);
        let pr = forge.opens_pull("dev", &shop, &[("deploy/web.yaml", &web("2"))]).await;
        let _: i64 =
            until(&owner, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL AND pull_number > 1").await;
        forge.approves("lee", &pr).await;
        let _: i64 = until(&owner, "SELECT count(*) FROM approval HAVING count(*) >= 2").await;
        forge.merges("dev", &pr, Merge::Commit).await;
        let why: String = until(&owner, "SELECT detail::text FROM hold WHERE reason = 'cluster-away'").await;
        assert!(why.contains("no agent of cluster `test` is connected"), "{why}");
        let agent = place.agent(&server, &token_file);
        let _: i64 = until(&owner, "SELECT number FROM deployment WHERE state = 'healthy' AND number = 2").await;
        assert_eq!(plane.get(&map).await.unwrap()["data"]["value"], "2");

        // The token ends, and the tunnel with it.
        place.token(&["revoke", "far"]).unwrap();
        let ended = server.hears(|line| line["why"] == "its token has ended");
        assert_eq!((&ended["cluster"], &ended["token"]), (&json!("test"), &json!("far")), "{ended}");
        agent.hears(|line| line["error"].as_str().is_some_and(|error| error.contains("401")));
        let (_, clusters) = asks(&server, "clusters", &reader).await;
        assert_eq!(clusters["items"][0]["agent"]["state"], "away", "{clusters}");

        let log = [agent.stops(), server.stops()].concat();
        assert!(!log.iter().any(|line| line.contains(&agents)), "{log:#?}");
    });
}

/// What keeps it from beginning, it says at once; what may pass, it waits for.
#[test]
fn an_agent_that_cannot_begin_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("none.pem"), "no certificate").unwrap();
    let says = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        let ran = command.arg("agent").args(arguments).env_clear().output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap().replace(&folder.path().display().to_string(), "…");
        format!("{} {}", ran.status.code().unwrap(), said.trim())
    };
    let token = ["--token-file", "x", "--kubeconfig", "y"];
    let with = |more: &[&'static str]| says(&[&["far"], &token[..], more].concat());
    let told = [
        with(&[]),
        with(&["--server", "http://bascule.example.com"]),
        with(&["--server", "bascule.example.com"]),
        says(&["far", "--server", "https://bascule.example.com", "--kubeconfig", "y"]),
        says(&["far", "--server", "https://bascule.example.com", "--token-file", "x"]),
        says(&[
            "far",
            "--server",
            "https://a.example.com",
            "--kubeconfig",
            "y",
            "--token-file",
            "x",
            "--ca-file",
            &file("none.pem"),
        ]),
        says(&["Not A Name"]),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    2 bascule: which server? Write --server https://bascule.example.com, or set BASCULE_SERVER
    2 bascule: http://bascule.example.com is not encrypted, and the token and every Secret would be sent there in clear: write https://
    2 bascule: `bascule.example.com` is no address: write one like https://bascule.example.com
    2 bascule: no token: `bascule token create NAME --scope agent:far` makes it on the server's host; give it in --token-file or BASCULE_TOKEN
    2 bascule: KUBERNETES_SERVICE_HOST is not set; it is set in every pod: outside of one, name a `kubeconfig` instead
    2 bascule: --ca-file …/none.pem holds no certificate
    2 error: invalid value 'Not A Name' for '<CLUSTER>': cluster `Not A Name` must be 1 to 63 letters, digits, `-` or `_`

    For more information, try '--help'.
    ");
}

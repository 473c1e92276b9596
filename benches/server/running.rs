//! A server that runs, and the world around it: a forge with a repository of so many environments, a database, a cluster.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fake::forge::{Delivering, FakeForge, Right, SECRET, Shop, TOKEN, Tongue};
use crate::parts::{ControlPlane, program};
use crate::support::database::Database;

/// Objects of one environment.
pub(crate) const OBJECTS: usize = 10;

/// Ends with its value.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // As whoever pulls a plug.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct World<'p> {
    pub(crate) plane: &'p ControlPlane,
    pub(crate) environments: usize,
    pub(crate) namespace: String,
    pub(crate) database: Database,
    forge: FakeForge,
    shop: Shop,
    folder: tempfile::TempDir,
}

/// What an environment deploys: ten config maps of a usual size.
fn manifests(number: usize, value: &str) -> String {
    let one = |at: usize| {
        let settings: Vec<String> =
            (0..20).map(|line| format!("  setting-{line}: 'a line of settings, number {line}'\n")).collect();
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: a{number:05}-{at} }}\ndata:\n  value: '{value}'\n{}",
            settings.concat()
        )
    };
    (0..OBJECTS).map(one).collect()
}

impl<'p> World<'p> {
    pub(crate) async fn new(plane: &'p ControlPlane, environments: usize) -> Self {
        let namespace = format!("server-{environments}");
        plane.kubectl(&["create", "namespace", &namespace]).await.unwrap();
        let (forge, database) = (FakeForge::that_speaks(Tongue::Gitea).await, Database::new().await);
        forge.is_of_today();
        forge.shares(&bascule::clock::Clock::system());
        forge.delivers(Delivering::Lost);
        let rules = format!(
            "version: 1\nlimits: {{ files: 100000, lines: 10000000, objects: 1000000 }}\ndefaults: {{ cluster: test, namespace: {namespace}, consent: none }}\nenvironments:\n  '{{app}}': {{ path: 'apps/{{app}}' }}\n"
        );
        let mut files = vec![(".bascule.yaml".to_owned(), rules)];
        files.extend(
            (0..environments).map(|number| (format!("apps/a{number:05}/all.yaml"), manifests(number, "first"))),
        );
        let named: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let shop = forge.repository("acme/shop", &named).await;
        forge.lets("dev", &shop, Right::Write);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bascule.toml");
        std::fs::write(file, configuration(&forge, plane.kubeconfig(), folder.path(), &namespace)).unwrap();
        Self { plane, environments, namespace, database, forge, shop, folder }
    }

    /// Starts the server; it, and how long that took until it says that it is ready.
    pub(crate) fn starts(&self) -> (Server, Duration) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(["serve", "--log", "warn,bascule=info", "--config"]).arg(self.folder.path().join("bascule.toml"));
        let tools = program("kustomize").unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", Path::new(&tools).parent().unwrap().display());
        let url = self.database.server_url();
        let given = [("PATH", path.as_str()), ("DATABASE_URL", &url), ("SECRET", SECRET), ("TOKEN", TOKEN)];
        command
            .env_clear()
            .envs(given)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let mut process = command.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let server = Server(process);
        let ready = log
            .by_ref()
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|line| line["message"] == "ready")
            .expect("the server says that it is ready");
        let took = begun.elapsed();
        self.forge.hooks_to(&format!("http://{}/webhooks/work", ready["listen"].as_str().unwrap()));
        // Nobody reads it, and a full pipe would stop the server.
        std::thread::spawn(move || log.count());
        (server, took)
    }

    /// From now on, what happens on the forge is told to the server, or not.
    pub(crate) fn tells(&self, tells: bool) {
        self.forge.delivers(if tells { Delivering::Kept } else { Delivering::Lost });
    }

    /// Somebody merges a change of so many environments; what the forge has to tell of it is told.
    pub(crate) async fn changes(&self, some: usize, value: &str) {
        let files: Vec<(String, String)> =
            (0..some).map(|number| (format!("apps/a{number:05}/all.yaml"), manifests(number, value))).collect();
        let named: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.forge.pushes_to("dev", &self.shop, "main", &named).await;
        for delivery in self.forge.take_deliveries() {
            assert_eq!(self.forge.sends(&delivery).await, Some(202));
        }
    }

    /// How many deployments are healthy.
    pub(crate) async fn healthy(&self) -> i64 {
        let healthy = "SELECT count(*) FROM deployment WHERE state = 'healthy'";
        sqlx::query_scalar(healthy).fetch_one(&self.database.owner).await.unwrap()
    }

    /// What stands in the way, as far as the database knows.
    pub(crate) async fn says_why(&self) {
        let why = "SELECT 'job ' || kind || ' ' || key || ': ' || state || ' ' || coalesce(error, '') FROM job
                   UNION ALL SELECT 'held: ' || reason || ' ' || detail FROM hold
                   UNION ALL SELECT 'state: ' || state || ' ' || count(*) FROM deployment GROUP BY state LIMIT 20";
        let all: Vec<Option<String>> = sqlx::query_scalar(why).fetch_all(&self.database.owner).await.unwrap();
        all.into_iter().flatten().for_each(|line| println!("    {line}"));
    }

    /// Until a question to the database is answered with yes; how long that took.
    pub(crate) async fn until(&self, question: &str, patience: Duration) -> Option<Duration> {
        let begun = Instant::now();
        let question = format!("SELECT EXISTS ({question})");
        while begun.elapsed() < patience {
            let question = sqlx::AssertSqlSafe(question.as_str());
            if sqlx::query_scalar::<_, bool>(question).fetch_one(&self.database.owner).await.unwrap() {
                return Some(begun.elapsed());
            }
            // What takes minutes is not held up by being asked for.
            let pause = if begun.elapsed() < Duration::from_secs(1) { 1 } else { 20 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        None
    }
}

fn configuration(forge: &FakeForge, kubeconfig: &Path, folder: &Path, namespace: &str) -> String {
    let (forge, kubeconfig, folder) = (forge.url(), kubeconfig.display(), folder.display());
    format!(
        r#"
version = 1
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
public_url = "http://bascule.example"
log_format = "json"
key = {{ file = "{folder}/server.key" }}
[database]
url = {{ env = "DATABASE_URL" }}
data_dir = "{folder}/data"
[forge.work]
kind = "gitea"
url = "{forge}"
webhook_secrets = [{{ env = "SECRET" }}]
token = {{ env = "TOKEN" }}
[cluster.test]
kubeconfig = {{ file = "{kubeconfig}" }}
[grant.shop]
repositories = ["work/acme/shop"]
clusters = ["test"]
namespaces = ["{namespace}"]
"#
    )
}

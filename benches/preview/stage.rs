//! A server, a forge and a cluster with so many environments: a third each of plain YAML, kustomize over one base, and helm.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bascule::app;
use bascule::clock::Clock;
use bascule::config::{self, Environ};
use bascule::jobs::{self, Context, Observer};
use bascule::queue::worker::{self, Settings};
use bascule::queue::{Bell, Claimed, Lease, PgSource};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fake::forge::{Delivering, FakeForge, Pr, Right, SECRET, Shop, TOKEN, Tongue};
use crate::parts::{ControlPlane, program};
use crate::support::database::Database;

pub(crate) const NAMESPACE: &str = "bench";

const RULES: &str = "\
version: 1
defaults: { cluster: test, namespace: bench }
environments:
  'p-{app}': { path: 'plain/{app}' }
  'k-{app}': { path: 'overlays/{app}' }
  'h-{app}': { path: 'charts/{app}' }
";

/// When something was met, of which job.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    pub(crate) at: Instant,
    pub(crate) kind: String,
    pub(crate) step: String,
}

pub(crate) struct Stage<'p> {
    pub(crate) plane: &'p ControlPlane,
    pub(crate) environments: usize,
    pub(crate) forge: FakeForge,
    pub(crate) shop: Shop,
    pub(crate) database: Database,
    pub(crate) context: Arc<Context>,
    /// The repository's files, checked out for those who need that.
    pub(crate) folder: tempfile::TempDir,
    met: Arc<Mutex<Vec<Met>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What an environment's config map says.
pub(crate) fn settings(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ value: '{value}' }}\n")
}

pub(crate) fn deployment(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  replicas: 2\n  selector: {{ matchLabels: \
         {{ app: {name} }} }}\n  template:\n    metadata: {{ labels: {{ app: {name} }} }}\n    spec:\n      containers:\n        \
         - {{ name: web, image: '{image}', ports: [{{ containerPort: 80 }}] }}\n"
    )
}

fn files(environments: usize) -> Vec<(String, String)> {
    let mut files = vec![
        (".bascule.yaml".to_owned(), RULES.to_owned()),
        ("base/kustomization.yaml".to_owned(), "resources: [web.yaml]\n".to_owned()),
        ("base/web.yaml".to_owned(), deployment("web", "registry.example/web:1")),
    ];
    for number in 0..environments {
        let app = format!("a{number:05}");
        match number % 3 {
            0 => files.push((format!("plain/{app}/web.yaml"), settings(&app, "1"))),
            1 => {
                let text = format!(
                    "resources: [../../base, settings.yaml]\nnamePrefix: {app}-\nlabels:\n- pairs: {{ team: shop }}\n"
                );
                files.push((format!("overlays/{app}/kustomization.yaml"), text));
                files.push((format!("overlays/{app}/settings.yaml"), settings(&app, "1")));
            }
            _ => {
                files.push((
                    format!("charts/{app}/Chart.yaml"),
                    "apiVersion: v2\nname: shop\nversion: 0.1.0\n".to_owned(),
                ));
                let template = settings(&app, "{{ .Values.value }}");
                files.push((format!("charts/{app}/templates/web.yaml"), template));
                files.push((format!("charts/{app}/values.yaml"), "value: one\n".to_owned()));
            }
        }
    }
    files
}

impl<'p> Stage<'p> {
    pub(crate) async fn new(plane: &'p ControlPlane, environments: usize) -> Self {
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {NAMESPACE} }}\n");
        plane.apply(&namespace).await.unwrap();
        let (forge, database) = (FakeForge::that_speaks(Tongue::Gitea).await, Database::new().await);
        forge.is_of_today();
        forge.delivers(Delivering::Lost);
        let files = files(environments);
        let named: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let shop = forge.repository("acme/shop", &named).await;
        forge.lets("dev", &shop, Right::Write);
        forge.delivers(Delivering::Kept);
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in &files {
            let file = folder.path().join("repository").join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let file = folder.path().join("bascule.toml");
        std::fs::write(&file, configuration(&forge, plane.kubeconfig(), folder.path())).unwrap();
        let environ = environ(&database);
        let loaded = config::load(Some(&file), &environ).unwrap();
        let clock = Clock::system();
        forge.shares(&clock);
        let (bell, pool) = (Bell::new("bench"), database.pool.clone());
        let mut context = app::context(&loaded.server, &environ, &clock, &[5; 32], &pool, &bell).await.unwrap();
        let met: Arc<Mutex<Vec<Met>>> = Arc::default();
        let writing = met.clone();
        context.observer = Observer::new(move |job, step| {
            let one = Met { at: Instant::now(), kind: job.kind.clone(), step: step.label() };
            writing.lock().unwrap().push(one);
        });
        let context = Arc::new(context);
        let (routes, committer) = app::public_router(
            &loaded.server,
            app::endpoints(&loaded.server).into(),
            &pool,
            &clock,
            &bell,
            vec![1; 32],
            app::People::new(&loaded.server, &context.forges, &clock).unwrap(),
        );
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(committer.run());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        forge.hooks_to(&format!("http://{}/webhooks/work", listener.local_addr().unwrap()));
        let service = routes.into_make_service_with_connect_info::<std::net::SocketAddr>();
        tasks.spawn(async move { axum::serve(listener, service).await.unwrap() });
        let working = context.clone();
        let handler = Arc::new(move |job: Claimed, lease: Lease| {
            let context = working.clone();
            async move { jobs::run(&context, &job, &lease).await }
        });
        let source = Arc::new(PgSource::new(pool, "bench".to_owned()));
        tasks.spawn(worker::run(source, handler, bell, Settings::default(), stop.clone()));
        Self { plane, environments, forge, shop, database, context, folder, met, stop, tasks }
    }

    pub(crate) async fn ends(mut self) {
        self.stop.cancel();
        self.tasks.shutdown().await;
    }

    /// Of a kind (`p`, `k` or `h`), the nth.
    pub(crate) fn app(&self, kind: usize, nth: usize) -> String {
        let of_kind = (self.environments + 2 - kind) / 3;
        format!("a{:05}", 3 * (nth % of_kind.max(1)) + kind)
    }

    /// Opens a pull request and keeps what the forge would tell of it.
    pub(crate) async fn opens(&self, path: &str, text: &str) -> Pr {
        self.forge.opens_pull("dev", &self.shop, &[(path, text)]).await
    }

    /// The forge tells what it kept. Everything that was met, and when it began, once the jobs are done.
    pub(crate) async fn told(&self, patience: Duration) -> Option<(Instant, Vec<Met>)> {
        let deliveries = self.forge.take_deliveries();
        self.met.lock().unwrap().clear();
        let begun = Instant::now();
        for delivery in &deliveries {
            assert_eq!(self.forge.sends(delivery).await, Some(202));
        }
        while begun.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let is_done =
                self.met.lock().unwrap().iter().any(|met| met.kind == "attend_pull" && met.step == "recorded");
            if is_done && self.open_jobs().await == 0 {
                return Some((begun, self.met.lock().unwrap().clone()));
            }
        }
        None
    }

    async fn open_jobs(&self) -> i64 {
        let open = "SELECT count(*) FROM job WHERE state IN ('pending', 'running')";
        sqlx::query_scalar(open).fetch_one(&self.database.owner).await.unwrap()
    }

    pub(crate) async fn failed_jobs(&self) -> Vec<String> {
        let failed = "SELECT kind || ' ' || key || ': ' || coalesce(error, '') FROM job WHERE error IS NOT NULL";
        sqlx::query_scalar(failed).fetch_all(&self.database.owner).await.unwrap()
    }

    /// Which renderers gave what is remembered, and how often.
    pub(crate) async fn renderers(&self) -> Vec<(String, i64)> {
        let by = "SELECT renderer, count(*) FROM render_cache GROUP BY 1 ORDER BY 1";
        sqlx::query_as(by).fetch_all(&self.database.owner).await.unwrap()
    }
}

fn environ(database: &Database) -> Environ {
    let tools = program("kustomize").unwrap();
    let path = Environ::of_process().get("PATH").unwrap_or_default().to_owned();
    let path = format!("{}:{path}", Path::new(&tools).parent().unwrap().display());
    let url = database.server_url();
    let all = [("PATH", path.as_str()), ("DATABASE_URL", &url), ("SECRET", SECRET), ("TOKEN", TOKEN)];
    Environ::from_iter(all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn configuration(forge: &FakeForge, kubeconfig: &Path, folder: &Path) -> String {
    let (forge, kubeconfig, folder) = (forge.url(), kubeconfig.display(), folder.display());
    format!(
        r#"
version = 1
[server]
public_url = "http://bascule.example"
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
namespaces = ["{NAMESPACE}"]
"#
    )
}

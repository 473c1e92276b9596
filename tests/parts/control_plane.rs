//! A Kubernetes control plane of one's own: etcd and the API server, and what makes rollouts happen.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::folder::Folder;
use super::http;
use super::kubeconfig::{kubeconfig, signing_key};
use super::launch::Launch;
use super::people::People;
use super::ports::{again_if_taken, free_port};
use super::process::Process;
use super::progress::Progress;
use super::rollouts;

const ADMIN: &str = "admin";

/// Whether anything but the test moves what is in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollouts {
    /// Controllers, a scheduler and a simulated node: a Deployment becomes available, a deleted namespace goes away.
    Simulated,
    /// Status is what the test writes, and garbage stays. Enough for most tests, and every time the same.
    None,
}

/// A control plane that ends with this value. Fields are dropped in this order: first who would miss the others.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    rollouts: Vec<Process>,
    server: Mutex<Option<Process>>,
    etcd: Process,
    etcd_url: String,
    port: u16,
    token: String,
    people: People,
    ca: String,
    client: Client,
    kubeconfig: PathBuf,
    folder: Folder,
}

impl ControlPlane {
    pub(crate) async fn start(progress: &Progress, rollouts: Rollouts) -> Result<Self> {
        let mut plane = progress.of("Kubernetes API server", Self::create()).await?;
        if rollouts == Rollouts::Simulated {
            progress.of("Kubernetes controllers, scheduler and node", plane.start_rollouts()).await?;
        }
        Ok(plane)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The token of the user who may do everything.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The certificates, as PEM, that the API server is known by.
    pub(crate) fn ca(&self) -> &str {
        &self.ca
    }

    /// The kubeconfig of the user who may do everything.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig of any user, who may do what RBAC says: nothing, at first.
    pub(crate) fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let token = self.token_for(user, groups);
        let name = format!("{}.kubeconfig", Uuid::new_v4().simple());
        self.folder.write(&name, kubeconfig(&self.url(), &self.ca, user, &token))
    }

    /// A token of any user.
    pub(crate) fn token_for(&self, user: &str, groups: &[&str]) -> String {
        self.people.token_for(user, groups)
    }

    /// Runs `kubectl` as the user who may do everything; what it printed.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        let launch = Launch::new("kubectl", self.folder.path())?.arguments([kubeconfig]);
        let done = launch.arguments(arguments.iter().copied()).run().await;
        done.with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// Applies these manifests as `kubectl` does: as another manager than the product.
    pub(crate) async fn apply(&self, manifests: &str) -> Result<String> {
        let name = format!("{}.yaml", Uuid::new_v4().simple());
        let file = self.folder.write(&name, manifests)?;
        let applied = self.kubectl(&["apply", "-f", &file.to_string_lossy()]).await;
        std::fs::remove_file(file)?;
        applied
    }

    /// A request of the user who may do everything; the JSON of a good answer.
    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request = self.client.request(method, self.url() + path).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        http::answer(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.request(Method::GET, path, None).await
    }

    /// Ends the API server as a crash would: connections break, and nobody listens.
    pub(crate) async fn stop_apiserver(&self) -> Result<()> {
        match self.server.lock().await.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// Starts it again, at the same port, with the same certificate, tokens and objects.
    pub(crate) async fn start_apiserver(&self) -> Result<()> {
        let mut server = self.server.lock().await;
        if server.is_none() {
            *server = Some(again_if_taken(async || self.serve().await).await?);
        }
        Ok(())
    }

    /// The ids of the processes that run, for measurements.
    pub(crate) async fn process_ids(&self) -> Vec<u32> {
        let server = self.server.lock().await;
        self.rollouts.iter().chain(server.as_ref()).chain([&self.etcd]).map(Process::id).collect()
    }

    async fn create() -> Result<Self> {
        let folder = Folder::new("kubernetes")?;
        let (etcd, etcd_url) = again_if_taken(async || start_etcd(&folder).await).await?;
        let people = People::start()?;
        let token = Uuid::new_v4().simple().to_string();
        folder.write("signing.key", signing_key())?;
        folder.write("tokens.csv", format!("{token},{ADMIN},{ADMIN},system:masters\n"))?;
        folder.write("people.kubeconfig", people.configuration())?;
        folder.subfolder("certificates")?;

        let mut plane = Self {
            rollouts: Vec::new(),
            server: Mutex::new(None),
            etcd,
            etcd_url,
            port: 0,
            token,
            people,
            ca: String::new(),
            client: http::client(Vec::new())?,
            kubeconfig: folder.path().join("admin.kubeconfig"),
            folder,
        };
        let server = again_if_taken(async || {
            plane.port = free_port()?;
            plane.serve().await
        })
        .await?;
        plane.server = Mutex::new(Some(server));
        plane.ca = std::fs::read_to_string(plane.certificate())?;
        plane.client = http::client(Certificate::from_pem_bundle(plane.ca.as_bytes())?)?;
        plane.folder.write("admin.kubeconfig", kubeconfig(&plane.url(), &plane.ca, ADMIN, &plane.token))?;
        Ok(plane)
    }

    async fn serve(&self) -> Result<Process> {
        let folder = self.folder.path().display();
        let launch = Launch::new("kube-apiserver", self.folder.path())?.arguments([
            format!("--etcd-servers={}", self.etcd_url),
            format!("--secure-port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            // It would look for an address that others can reach, and there may be none.
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--cert-dir={folder}/certificates"),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={folder}/signing.key"),
            format!("--service-account-signing-key-file={folder}/signing.key"),
            format!("--token-auth-file={folder}/tokens.csv"),
            format!("--authentication-token-webhook-config-file={folder}/people.kubeconfig"),
            "--authentication-token-webhook-version=v1".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // Without controllers nobody makes the accounts that it would ask for.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ]);
        let mut server = Process::start(&launch)?;
        server.until_ready(async || self.is_ready().await).await?;
        Ok(server)
    }

    /// Asks with our own certificate and token: whoever else may listen there cannot answer well.
    async fn is_ready(&self) -> Result<()> {
        let ca = std::fs::read(self.certificate()).context("it has no certificate yet")?;
        let client = http::client(Certificate::from_pem_bundle(&ca)?)?;
        let request = client.get(self.url() + "/readyz").bearer_auth(&self.token);
        http::answer(request).await.map(drop)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificates/apiserver.crt")
    }

    async fn start_rollouts(&mut self) -> Result<()> {
        let [mut controllers, mut scheduler, mut nodes] = rollouts::start(&rollouts::Inputs {
            folder: self.folder.path(),
            kubeconfig: &self.kubeconfig,
            signing_key: &self.folder.path().join("signing.key"),
            ca: &self.certificate(),
        })?;
        self.request(Method::POST, "/api/v1/nodes", Some(&rollouts::node())).await?;
        // All three are waited for at once, so that the death of one is noticed.
        let ready = async || rollouts::node_takes_pods(&self.get("/api/v1/nodes/node-0").await?);
        tokio::try_join!(controllers.until_ready(ready), scheduler.until_ready(ready), nodes.until_ready(ready))?;
        self.rollouts = vec![controllers, scheduler, nodes];
        Ok(())
    }
}

async fn start_etcd(folder: &Folder) -> Result<(Process, String)> {
    // By its name we know it from somebody else's.
    let name = Uuid::new_v4().simple().to_string();
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let peers = format!("http://127.0.0.1:{}", free_port()?);
    let launch = Launch::new("etcd", folder.path())?.arguments([
        format!("--name={name}"),
        format!("--data-dir={}/etcd-{name}", folder.path().display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster={name}={peers}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    let mut etcd = Process::start(&launch)?;
    let client = http::client(Vec::new())?;
    etcd.until_ready(async || {
        let members = client.post(format!("{url}/v3/cluster/member/list")).json(&json!({}));
        let members = http::answer(members).await?;
        ensure!(members["members"][0]["name"] == name.as_str(), "another etcd answers: {members}");
        Ok(())
    })
    .await?;
    Ok((etcd, url))
}

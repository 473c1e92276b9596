//! One environment on a real database and a real API server: what the tests of syncs, and what measures them, stand on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use bascule::clock::Clock;
use bascule::cluster::{Cluster, Clusters, Identity, Kubeconfig};
use bascule::db::deployments::{self, NewDeployment};
use bascule::db::environments::{self, At};
use bascule::db::seal::Seal;
use bascule::db::{inventory, repositories, sets};
use bascule::ids::{ChangeDigest, ClusterName, RepositoryKey, Target, TraceId};
use bascule::jobs;
use bascule::jobs::sync_environment::{Interrupted, Ran, World, run_deployment};
use bascule::manifest::{Dialect, HashKey, Limits, RenderedSet, Scopes, Within, parse};
use bascule::policy::rules::{self, Consent, Grant, Platform, SyncMode, SyncRules};
use bascule::queue::{Claimed, Lane, Lease, PgSource, Source, Verdict, enqueue};
use bascule::render::{self, Programs, Renderer, Unsealer};
use bascule::sync::{Outcome, Step};
use futures::FutureExt as _;
use serde_json::{Value, json};
use sqlx::{Executor, PgPool};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::parts::ControlPlane;
use crate::support::database::Database;

const SERVER_KEY: [u8; 32] = [5; 32];
/// Long enough never to run out in a test that does not want it to.
pub(crate) const TERM: Duration = Duration::from_secs(600);

/// What the product is given, and what it is watched by.
pub(crate) struct Server {
    pub(crate) pool: PgPool,
    pub(crate) clusters: Clusters,
    pub(crate) seal: Seal,
    pub(crate) hash_key: HashKey,
    clock: Clock,
    pub(crate) platform: Platform,
    pub(crate) steps: Mutex<Vec<Step>>,
    renderer: Renderer,
    pub(crate) unsealer: Unsealer,
    /// Where its boxes are.
    prometheus: bascule::prometheus::Servers,
    _boxes: tempfile::TempDir,
}

impl Server {
    pub(crate) fn new(pool: PgPool, kubeconfig: PathBuf) -> Self {
        let clusters = BTreeMap::from([(cluster_name(), Kubeconfig::File(kubeconfig))]);
        let boxes = tempfile::tempdir().unwrap();
        let programs = Programs { judge: Some(env!("CARGO_BIN_EXE_bascule").into()), ..Programs::default() };
        // It looks for no program, so there is nothing to wait for.
        let renderer = Renderer::new(&programs, boxes.path(), render::Limits::default()).now_or_never().unwrap();
        Self {
            pool,
            clusters: Clusters::new(clusters),
            seal: Seal::new(&SERVER_KEY),
            hash_key: HashKey::new([6; 32]),
            clock: Clock::system(),
            platform: Platform { grants: BTreeMap::from([("shop".to_owned(), grant())]), ..Platform::default() },
            steps: Mutex::default(),
            renderer,
            prometheus: Default::default(),
            unsealer: Unsealer::find(None, BTreeMap::new()).now_or_never().unwrap(),
            _boxes: boxes,
        }
    }

    pub(crate) fn world(&self) -> World<'_> {
        World {
            pool: &self.pool,
            clusters: &self.clusters,
            seal: &self.seal,
            hash_key: &self.hash_key,
            installation: Uuid::nil(),
            clock: &self.clock,
            run: self.clock.new_id(),
            platform: &self.platform,
            renderer: &self.renderer,
            prometheus: &self.prometheus,
            unsealer: &self.unsealer,
            shown_on: Default::default(),
        }
    }

    pub(crate) fn source(&self) -> PgSource {
        PgSource::new(self.pool.clone(), "worker 1".to_owned())
    }

    pub(crate) async fn claim(&self) -> Option<Claimed> {
        loop {
            let job = self.source().claim(Lane::Sync, 1, TERM).await.unwrap().pop()?;
            if job.kind == "sync_environment" {
                return Some(job);
            }
            // What is said of a sync on a forge goes the same way, and there is no forge here.
            self.source().settle(&job, &bascule::queue::Verdict::Done).await.unwrap();
        }
    }

    pub(crate) async fn run(&self, job: &Claimed, lease: &Lease) -> Result<Ran, Interrupted> {
        let environment = job.payload["environment"].as_i64().unwrap();
        let observe = |step| self.steps.lock().unwrap().push(step);
        Box::pin(run_deployment(&self.world(), job, lease, environment, &observe)).await
    }

    pub(crate) async fn cluster(&self) -> Cluster {
        self.clusters.get(&cluster_name(), &Identity::Own).await.unwrap()
    }
}

pub(crate) fn cluster_name() -> ClusterName {
    "test".parse().unwrap()
}

pub(crate) fn lease(job: &Claimed) -> Lease {
    Lease::new(job.fence, Instant::now(), TERM, CancellationToken::new())
}

/// One environment with a namespace of its own, and everything around it.
pub(crate) struct Place<'a> {
    pub(crate) plane: &'a ControlPlane,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) block: rules::Environment,
    pub(crate) repository: repositories::Repository,
    pub(crate) environment: i64,
    pub(crate) commits: Mutex<u32>,
}

impl<'a> Place<'a> {
    pub(crate) async fn new(plane: &'a ControlPlane, namespace: &str) -> Self {
        let database = Database::new().await;
        let server = Server::new(database.pool.clone(), plane.kubeconfig().to_owned());
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: 17 };
        let mut conn = database.pool.acquire().await.unwrap();
        let repository = repositories::upsert(&mut conn, &key, "acme/shop", "main").await.unwrap();
        let block = block("production", namespace);
        let environment = environments::upsert(&mut conn, repository.id, &block, "main").await.unwrap().id;
        plane.kubectl(&["create", "namespace", namespace]).await.unwrap();
        Self { plane, server, database, block, repository, environment, commits: Mutex::new(0) }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.block.target.namespace
    }

    pub(crate) fn set(&self, manifests: &str) -> RenderedSet {
        // No render gives the empty set, and yet a sync has to know what it is.
        let text = if manifests.is_empty() { settings("a", "1") } else { manifests.to_owned() };
        let files = [("all.yaml".to_owned(), text.into_bytes())];
        let parsed = parse(&files, Dialect::Plain, &Limits::default()).unwrap();
        let (key, scopes) = (&self.server.hash_key, Scopes::without_cluster());
        let mut set =
            RenderedSet::build(&self.block.target, &self.block, parsed, Within::Anywhere, &scopes, key).unwrap();
        set.objects.retain(|_, _| !manifests.is_empty());
        set
    }

    /// What the gate does when it lets a commit through: moves the position, starts the deployment, asks for its job.
    pub(crate) async fn deploys(&self, manifests: &str) {
        let set = self.set(manifests);
        let mut tx = self.database.pool.begin().await.unwrap();
        let digest = sets::store(&mut tx, &set, &self.block, &self.server.seal).await.unwrap();
        let commit = {
            let mut commits = self.commits.lock().unwrap();
            *commits += 1;
            format!("{:040x}", *commits).parse().unwrap()
        };
        let to = At { commit, set: digest };
        let from = environments::get(&mut tx, self.environment).await.unwrap().unwrap().position;
        let number = environments::move_position(&mut tx, self.environment, &to).await.unwrap();
        let new = NewDeployment {
            id: Uuid::new_v4(),
            environment: self.environment,
            number,
            to,
            from,
            change: ChangeDigest([1; 32]),
            pulls: vec![7],
            approvals: Vec::new(),
            again_of: None,
            trace: TraceId(Uuid::from_u128(1)),
            fence: 0,
        };
        deployments::start(&mut tx, &new).await.unwrap();
        let job = jobs::sync_environment(&self.repository.key, self.environment, new.trace);
        enqueue(&mut tx, &job).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Runs the job that is due.
    pub(crate) async fn runs(&self) -> Result<Outcome, Interrupted> {
        let mut job = self.server.claim().await.expect("a job is due");
        // Every run here finds a deployment on its way, and has the gate judged afterwards: not of this environment.
        while job.key != self.environment.to_string() {
            self.server.source().settle(&job, &Verdict::Done).await.unwrap();
            job = self.server.claim().await.expect("a job is due");
        }
        let ran = self.server.run(&job, &lease(&job)).await;
        if let Err(interrupted) = &ran {
            self.server.source().settle(&job, &interrupted.verdict()).await.unwrap();
        }
        match ran? {
            Ran::Recorded(outcome) => Ok(*outcome),
            Ran::Nothing => panic!("no deployment runs"),
            Ran::Waits(_) => panic!("nothing is verified here"),
        }
    }

    /// Deploys these manifests; what came of it, and how many requests wrote beside the one that takes the fence.
    pub(crate) async fn syncs(&self, manifests: &str) -> (Outcome, u64) {
        self.deploys(manifests).await;
        let cluster = self.server.cluster().await;
        let (before, fences) = (cluster.writes(), self.fences());
        let outcome = self.runs().await.unwrap();
        (outcome, cluster.writes() - before - (self.fences() - fences))
    }

    /// How often a fence was taken.
    pub(crate) fn fences(&self) -> u64 {
        let steps = self.server.steps.lock().unwrap();
        steps.iter().filter(|step| **step == Step::FenceTaken).count().try_into().unwrap()
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(&[&["-n", self.namespace()], arguments].concat()).await.unwrap()
    }

    /// Somebody makes this in the namespace, by hand.
    pub(crate) async fn makes(&self, mut object: Value) {
        object["metadata"]["namespace"] = self.namespace().into();
        self.plane.apply(&object.to_string()).await.unwrap();
    }

    /// Names of the config maps of the namespace.
    pub(crate) async fn settings(&self) -> Vec<String> {
        let list = self.kubectl(&["get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}"]).await;
        list.split_whitespace().map(str::to_owned).collect()
    }

    /// The inventory, by what people call its objects; `?` behind one that was never confirmed.
    pub(crate) async fn inventory(&self) -> Vec<String> {
        let mut conn = self.database.pool.acquire().await.unwrap();
        let cluster = self.server.cluster().await;
        let rows = inventory::of(&mut conn, self.environment, cluster.uid().await.unwrap()).await.unwrap();
        rows.values().map(|row| format!("{}{}", row.key, if row.uid.is_some() { "" } else { "?" })).collect()
    }

    /// State of the newest deployment, and the hold, as stored.
    pub(crate) async fn state(&self) -> (String, Option<String>) {
        let mut conn = self.database.pool.acquire().await.unwrap();
        let newest = deployments::list(&mut conn, self.environment, None, 1).await.unwrap().pop().unwrap();
        let hold = bascule::db::holds::get(&mut conn, self.environment).await.unwrap();
        (newest.ended.map_or("running".to_owned(), |ended| ended.state), hold.map(|hold| hold.reason))
    }

    /// Action and detail of every entry of the log.
    pub(crate) async fn log(&self) -> Vec<(String, Value)> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT action, detail::text FROM audit_entry ORDER BY seq")
            .fetch_all(&self.database.owner)
            .await
            .unwrap();
        rows.into_iter().map(|(action, detail)| (action, serde_json::from_str(&detail).unwrap())).collect()
    }

    /// The lease of whoever runs is over, as if time had passed.
    pub(crate) async fn lets_the_lease_run_out(&self) {
        let end = "UPDATE job SET lease_until = now() - interval '1 second' WHERE state = 'running'";
        self.database.owner.execute(end).await.unwrap();
    }

    pub(crate) async fn lets_time_pass(&self) {
        self.database.owner.execute("UPDATE job SET run_at = now() WHERE state = 'pending'").await.unwrap();
    }
}

pub(crate) fn block(name: &str, namespace: &str) -> rules::Environment {
    rules::Environment {
        name: name.parse().unwrap(),
        stage: None,
        path: "deploy".to_owned(),
        chart: None,
        helm: None,
        target: Target { cluster: cluster_name(), namespace: namespace.to_owned() },
        branch: None,
        after: Vec::new(),
        windows: Vec::new(),
        consent: Consent::none(),
        deletions_confirm_above: None,
        sync: SyncRules { mode: SyncMode::Auto, prune: true, timeout_seconds: 30 },
        admission: bascule::policy::rules::Admission::default(),
        drift: Default::default(),
        drift_issue: false,
        owners: None,
        limits: rules::Limits::default(),
        may: rules::May::default(),
        on_failure: Default::default(),
        verify: Vec::new(),
        runbook: None,
        owner_file: None,
        policies: BTreeMap::new(),
        health: BTreeMap::new(),
        ignore: BTreeMap::new(),
    }
}

pub(crate) fn grant() -> Grant {
    Grant {
        repositories: vec!["work/acme/shop".to_owned()],
        clusters: BTreeSet::from([cluster_name()]),
        namespaces: vec!["*".to_owned()],
        cluster_scoped: vec!["Namespace".to_owned(), "apiextensions.k8s.io/*".to_owned()],
        deny: Vec::new(),
        prometheus: Default::default(),
        impersonate: None,
        secrets: None,
        owners: None,
    }
}

/// A config map with one value, as YAML.
pub(crate) fn settings(name: &str, value: &str) -> String {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
    format!("---\n{object}\n")
}

//! The town of a story: a forge with people, a server with everything it has, and a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bascule::app;
use bascule::clock::Clock;
use bascule::cluster::{Clusters, Kubeconfig};
use bascule::config::{self, Environ};
use bascule::jobs::{self, Context};
use bascule::queue::{Bell, Claimed, Lane, Lease, PgSource, Source, Verdict};
use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::door::Door;
use crate::fake::forge::{FakeForge, Pr, Right, Shop, TOKEN, Tongue};
use crate::parts::{ControlPlane, program};
use crate::support::database::Database;

/// Longer than any story.
pub(super) const TERM: Duration = Duration::from_secs(600);
/// How long a sync waits that is looked at again by the clock (`verify`): in the next moment of a story it is over.
const NEXT_LOOK: Duration = Duration::from_secs(15);
/// More jobs than any story has, so that one that goes in circles is told apart.
const MOST_JOBS: usize = 400;

/// How the server hears what happened on the forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    ByDeliveries,
    BySweeps,
}

/// Everything of one telling of a story.
pub(super) struct Town {
    pub(super) forge: FakeForge,
    /// The repository `acme/shop`; empty until [`Self::begins`].
    pub(super) shop: Shop,
    pub(super) context: Arc<Context>,
    pub(super) database: Database,
    pub(super) plane: &'static ControlPlane,
    pub(super) namespace: String,
    /// Errors of jobs that were tried again or given up; a story that expects some takes them.
    pub(super) troubles: Vec<String>,
    /// Where the server is reached, by whomever.
    pub(super) url: String,
    /// Steps at which whoever works dies, see [`super::kills`].
    pub(super) deaths: Vec<String>,
    told: Told,
    source: PgSource,
    _doors: Vec<Door>,
    _committing: JoinSet<()>,
    folder: tempfile::TempDir,
}

impl Town {
    /// With a Gitea.
    pub(super) async fn new(plane: &'static ControlPlane, namespace: &str, told: Told) -> Self {
        Self::on(Database::new().await, plane, namespace, Tongue::Gitea, told).await
    }

    /// On a database of the story's own, with a forge of this kind.
    pub(super) async fn on(
        database: Database,
        plane: &'static ControlPlane,
        namespace: &str,
        tongue: Tongue,
        told: Told,
    ) -> Self {
        let forge = FakeForge::that_speaks(tongue).await;
        Self::beside(forge, ("token = { env = \"TOKEN\" }", TOKEN), database, plane, namespace, told).await
    }

    /// On GitHub, where the server is an App with these permissions.
    pub(super) async fn by_app(
        database: Database,
        plane: &'static ControlPlane,
        namespace: &str,
        permissions: &[(&str, &str)],
        told: Told,
    ) -> Self {
        let forge = FakeForge::that_speaks(Tongue::GitHub).await;
        let app = forge.has_app("acme", permissions);
        let sign_in = format!("app = {{ id = {}, private_key = {{ env = \"TOKEN\" }} }}", app.id);
        Self::beside(forge, (&sign_in, &app.private_key), database, plane, namespace, told).await
    }

    async fn beside(
        forge: FakeForge,
        (sign_in, secret): (&str, &str),
        database: Database,
        plane: &'static ControlPlane,
        namespace: &str,
        told: Told,
    ) -> Self {
        for name in [namespace.to_owned(), format!("{namespace}-staging")] {
            let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            plane.request(Method::POST, "/api/v1/namespaces", Some(&body)).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bascule.toml");
        std::fs::write(&file, configuration(&forge, sign_in, plane.kubeconfig(), namespace)).unwrap();
        let environ = environ(&database.server_url(), forge.tongue(), secret);
        let loaded = config::load(Some(&file), &environ).unwrap();
        let clock = Clock::manual("2026-01-05T09:00:00Z".parse().unwrap());
        forge.shares(&clock);
        let (bell, pool) = (Bell::new("a server"), database.pool.clone());
        let context = app::context(&loaded.server, &environ, &clock, &[5; 32], &pool, &bell).await.unwrap();
        let (routes, committer) = app::public_router(
            &loaded.server,
            app::endpoints(&loaded.server).into(),
            &pool,
            &clock,
            &bell,
            vec![1; 32],
            app::People::new(&loaded.server, &context.forges, &clock).unwrap(),
        );
        let mut committing = JoinSet::new();
        committing.spawn(committer.run());
        let (door, deaf) = (Door::of(routes).await, Door::that_forgets().await);
        let listening = if told == Told::ByDeliveries { &door } else { &deaf };
        forge.hooks_to(&format!("{}/webhooks/work", listening.url));
        forge.hooks_are_called("http://bascule.example/webhooks/work");
        Self {
            url: door.url.clone(),
            shop: Shop { id: 0, name: "acme/shop".to_owned() },
            source: PgSource::new(pool, "a server".to_owned()),
            context: Arc::new(context),
            namespace: namespace.to_owned(),
            troubles: Vec::new(),
            deaths: Vec::new(),
            _doors: vec![door, deaf],
            _committing: committing,
            folder,
            forge,
            database,
            plane,
            told,
        }
    }

    /// The repository is made, with these rules (`{ns}` is the story's namespace) and files.
    pub(super) async fn begins(&mut self, rules: &str, files: &[(&str, &str)]) {
        let rules = self.rules(rules);
        let mut all = vec![(".bascule.yaml", rules.as_str())];
        all.extend(files);
        self.begins_without_rules(&all).await;
    }

    /// The repository is made, with these files.
    pub(super) async fn begins_without_rules(&mut self, files: &[(&str, &str)]) {
        self.shop = self.forge.repository("acme/shop", files).await;
        self.forge.team("acme", "release", Right::Write, &["lee", "kim"]);
        for login in ["dev", "lee", "kim", "olga"] {
            self.forge.lets(login, &self.shop, Right::Write);
        }
        self.run_jobs().await;
    }

    /// The same, and Lee and the platform's Olga approve every first set: everything runs when this returns.
    pub(super) async fn runs(&mut self, rules: &str, files: &[(&str, &str)]) {
        self.begins(rules, files).await;
        for held in self.held_issues().await {
            self.forge.comments("lee", &held, "/bascule approve").await;
            self.forge.comments("olga", &held, "/bascule approve").await;
        }
        self.run_jobs().await;
        assert!(self.held_issues().await.is_empty(), "everything runs:\n{}", self.rows().await);
    }

    /// From now on the cluster `other` is reached by this kubeconfig.
    pub(super) fn reaches_other_by(&mut self, kubeconfig: &Path) {
        let file = |file: &Path| Kubeconfig::File(file.to_owned());
        let all = [("test", file(self.plane.kubeconfig())), ("other", file(kubeconfig))];
        let all = all.into_iter().map(|(name, from)| (name.parse().unwrap(), from)).collect();
        Arc::get_mut(&mut self.context).expect("no job runs").clusters = Arc::new(Clusters::new(all));
    }

    /// The server's configuration.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("bascule.toml")
    }

    /// Rules as they are written for this telling.
    pub(super) fn rules(&self, rules: &str) -> String {
        rules.replace("{ns}", &self.namespace)
    }

    /// Where held changes wait, in issues of ours or pull requests.
    pub(super) async fn held_issues(&self) -> Vec<Pr> {
        let waiting = "SELECT shown_in FROM hold WHERE shown_in IS NOT NULL ORDER BY environment_id";
        let numbers: Vec<i64> = sqlx::query_scalar(waiting).fetch_all(&self.database.owner).await.unwrap();
        numbers.into_iter().map(|number| self.forge.place_of(self.shop.id, number)).collect()
    }

    /// Whether the server hears of what happens, and not only finds it.
    pub(super) fn is_told(&self) -> bool {
        self.told == Told::ByDeliveries
    }

    /// What happened is heard, and every job runs, until none is left. By sweeps: until a sweep finds nothing more.
    pub(super) async fn run_jobs(&mut self) {
        match self.told {
            Told::ByDeliveries => drop(self.drain().await),
            Told::BySweeps => self.sweeps().await,
        }
    }

    /// A sweep comes by, and again until it finds nothing: what no delivery tells is found so in either telling.
    pub(super) async fn sweeps(&mut self) {
        for _ in 0..8 {
            app::sweep_all(&self.context).await.unwrap();
            let ran = self.drain().await;
            // Checks that are waited for are looked at each time; when nothing is news, nothing else follows.
            let quiet =
                ["sweep_repository", "sweep_deliveries", "sweep_installations", "look_at_checks", "tell_emergencies"];
            if ran.iter().all(|kind| quiet.contains(&kind.as_str())) {
                return;
            }
        }
        panic!("sweeps keep finding something: {:#?}", self.troubles);
    }

    /// Runs jobs until none is left, also those that are due later; their kinds.
    pub(super) async fn drain(&mut self) -> Vec<String> {
        let mut ran = if self.deaths.is_empty() { Vec::new() } else { self.the_doomed_work().await };
        loop {
            while let Some(job) = self.claim().await {
                ran.push(job.kind.clone());
                assert!(ran.len() < MOST_JOBS, "jobs go in circles: {ran:?}, {:#?}", self.troubles);
                self.run(&job, &CancellationToken::new()).await;
            }
            if self.time_passes().await == 0 {
                return ran;
            }
        }
    }

    /// Everything that waits for a later time is due; how many jobs that is.
    pub(super) async fn time_passes(&self) -> u64 {
        let due = "UPDATE job SET run_at = now() WHERE state = 'pending'";
        self.database.owner.execute(due).await.unwrap().rows_affected()
    }

    /// Every job that is due is tried, and time passes, again and again.
    pub(super) async fn tries(&mut self, times: usize) {
        for _ in 0..times {
            while let Some(job) = self.claim().await {
                self.run(&job, &CancellationToken::new()).await;
            }
            assert!(self.time_passes().await > 0, "there is something to try");
        }
    }

    /// Runs a job, as a worker that is told to stop by `stopping`.
    pub(super) async fn run(&mut self, job: &Claimed, stopping: &CancellationToken) -> Verdict {
        let verdict = self.runs_until(job, stopping).await;
        if let Verdict::Retry { error } | Verdict::Fail { error } = &verdict {
            self.troubles.push(format!("{}: {error}", job.kind));
        }
        self.settles(job, &verdict).await;
        if let Verdict::Snooze { wait } = &verdict
            && *wait == NEXT_LOOK
        {
            self.context.clock.advance(jiff::SignedDuration::try_from(*wait).unwrap());
        }
        if let Verdict::NoRoom { wait, .. } = &verdict {
            // The forge has room for it a while later.
            self.context.clock.advance(jiff::SignedDuration::try_from(*wait).unwrap());
            self.database.owner.execute("UPDATE job SET run_at = now() WHERE waits_for IS NOT NULL").await.unwrap();
        }
        verdict
    }

    /// Runs a job, and leaves it claimed.
    pub(super) async fn runs_until(&self, job: &Claimed, stopping: &CancellationToken) -> Verdict {
        let lease = Lease::new(job.fence, Instant::now(), TERM, stopping.clone());
        Box::pin(jobs::run(&self.context, job, &lease)).await
    }

    /// Says how a job ended.
    pub(super) async fn settles(&self, job: &Claimed, verdict: &Verdict) {
        self.source.settle(job, verdict).await.unwrap();
    }

    /// What happened is heard, and nothing is done about it yet.
    pub(super) async fn hears(&mut self) {
        if self.told == Told::BySweeps {
            app::sweep_all(&self.context).await.unwrap();
            while let Some(job) = self.source.claim(Lane::Sweep, 1, TERM).await.unwrap().pop() {
                self.run(&job, &CancellationToken::new()).await;
            }
        }
    }

    /// What happened is heard, and whoever works on it is killed when it is about to write `action` into the log. Its lease
    /// runs out.
    pub(super) async fn dies_before(&mut self, action: &str) {
        let owner = self.database.owner.clone();
        let mut gate = owner.acquire().await.unwrap();
        gate.execute("SELECT pg_advisory_lock(4)").await.unwrap();
        let waits = format!(
            "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.action = '{action}' THEN PERFORM pg_advisory_xact_lock(4); END IF; RETURN NEW; END $$;
             CREATE TRIGGER waits BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION waits()"
        );
        sqlx::raw_sql(AssertSqlSafe(waits)).execute(&owner).await.unwrap();
        if self.told == Told::BySweeps {
            app::sweep_all(&self.context).await.unwrap();
        }
        let administrator = sqlx::PgPool::connect(&self.database.administrator_url()).await.unwrap();
        let ours = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waiting = format!("SELECT count(*) {ours}");
        let is_there = async || {
            while sqlx::query_scalar::<_, i64>(AssertSqlSafe(waiting.clone())).fetch_one(&administrator).await.unwrap()
                == 0
            {}
        };
        tokio::select! {
            ran = self.drain() => panic!("nobody wrote {action}: {ran:?}"),
            () = is_there() => {}
        }
        let kill = format!("SELECT pg_terminate_backend(pid) {ours}");
        administrator.execute(AssertSqlSafe(kill)).await.unwrap();
        gate.execute("SELECT pg_advisory_unlock(4)").await.unwrap();
        owner.execute("DROP TRIGGER waits ON audit_entry").await.unwrap();
        // A watch may ask for a look at this moment.
        let back = "BEGIN; LOCK TABLE job IN EXCLUSIVE MODE;
                    DELETE FROM job r WHERE state = 'running'
                        AND EXISTS (SELECT FROM job p WHERE p.state = 'pending' AND (p.kind, p.key) = (r.kind, r.key));
                    UPDATE job SET state = 'pending', holder = NULL, fence = NULL, lease_until = NULL, crashes = crashes + 1
                        WHERE state = 'running';
                    COMMIT";
        sqlx::raw_sql(back).execute(&owner).await.unwrap();
    }

    /// The next job that is due.
    pub(super) async fn claim(&self) -> Option<Claimed> {
        for lane in Lane::ALL {
            if let Some(job) = self.source.claim(lane, 1, TERM).await.unwrap().pop() {
                return Some(job);
            }
        }
        None
    }
}

pub(super) fn environ(database_url: &str, tongue: Tongue, token: &str) -> Environ {
    let tools = program("kustomize").unwrap();
    let path = Environ::of_process().get("PATH").unwrap_or_default().to_owned();
    // The tests are not the program that judges policies.
    let bascule = Path::new(env!("CARGO_BIN_EXE_bascule")).parent().unwrap().display();
    let path = format!("{}:{bascule}:{path}", Path::new(&tools).parent().unwrap().display());
    let secret = tongue.secret();
    let all = [("PATH", path.as_str()), ("DATABASE_URL", database_url), ("SECRET", &secret), ("TOKEN", token)];
    Environ::from_iter(BTreeMap::from(all).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn configuration(forge: &FakeForge, sign_in: &str, kubeconfig: &Path, namespace: &str) -> String {
    let (kind, forge) = (forge.tongue().kind(), forge.url());
    let kubeconfig = kubeconfig.display();
    format!(
        r#"
version = 1
[server]
public_url = "http://bascule.example"
[database]
url = {{ env = "DATABASE_URL" }}
data_dir = "./data"
[forge.work]
kind = "{kind}"
url = "{forge}"
webhook_secrets = [{{ env = "SECRET" }}]
{sign_in}
[cluster.test]
kubeconfig = {{ file = "{kubeconfig}" }}
[cluster.other]
kubeconfig = {{ file = "{kubeconfig}" }}
[group.release]
teams = ["work/acme/release"]
[group.platform]
people = {{ olga = ["work/olga"] }}
[grant.shop]
repositories = ["work/acme/shop", "work/acme/app"]
clusters = ["test", "other"]
namespaces = ["{namespace}", "{namespace}-staging"]
owners = {{ count = 1, groups = ["platform"] }}
"#
    )
}

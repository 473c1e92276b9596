//! PostgreSQL is restarted in the middle of real jobs of a real worker: nothing is lost, and nothing is said twice.

use std::sync::{Arc, Mutex, mpsc};

use bascule::db::pool;
use bascule::jobs::{self, Observer, Step, Write};
use bascule::queue::worker::{self, Settings};
use bascule::queue::{Claimed, Lease, PgSource};
use bascule::{app, sync};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;

/// Two environments that wait for nothing of each other.
const TWO: &str = "\
version: 1
environments:
  staging:
    path: staging
    cluster: test
    namespace: '{ns}-staging'
    consent: none
  production:
    path: deploy
    cluster: test
    namespace: '{ns}'
    consent: { approvals: [{ count: 1, users: [lee] }] }
";
const STAGED: &str = "staging/web.yaml";

/// Has a job stand still at a step until it is told to go on.
struct Pause {
    at: Arc<Mutex<Option<(&'static str, Step)>>>,
    stands: UnboundedReceiver<String>,
    go: mpsc::Sender<()>,
}

impl Pause {
    fn new() -> (Self, Observer) {
        let at = Arc::new(Mutex::new(None::<(&'static str, Step)>));
        let ((standing, stands), (go, told)) = (unbounded_channel(), mpsc::channel());
        let (wanted, told) = (at.clone(), Mutex::new(told));
        let observer = Observer::new(move |job: &Claimed, step| {
            let is_it = wanted.lock().unwrap().take_if(|(kind, at)| *kind == job.kind && *at == step).is_some();
            if is_it {
                standing.send(job.key.clone()).unwrap();
                tokio::task::block_in_place(|| told.lock().unwrap().recv()).unwrap();
            }
        });
        (Self { at, stands, go }, observer)
    }

    /// The next job of this kind stands still there.
    fn at(&self, kind: &'static str, step: Step) {
        *self.at.lock().unwrap() = Some((kind, step));
    }
}

impl Town {
    /// A real worker works until `stop`.
    fn is_worked_on(&self, stop: &CancellationToken) -> JoinSet<()> {
        let source = Arc::new(PgSource::new(pool::beside(&self.context.pool, 3), "a worker".to_owned()));
        let context = self.context.clone();
        let handler = Arc::new(move |job: Claimed, lease: Lease| {
            let context = context.clone();
            async move { Box::pin(jobs::run(&context, &job, &lease)).await }
        });
        let mut working = JoinSet::new();
        let bell = self.context.bell.clone();
        working.spawn(worker::run(source, handler, bell, Settings::default(), stop.clone()));
        working
    }

    async fn count(&self, query: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(query.to_owned());
        sqlx::query_scalar(query).fetch_one(&self.database.owner).await.unwrap()
    }

    /// Until there is nothing left to do, also for a sweep: what the forge told while nobody could store it is found.
    async fn is_quiet(&self) {
        let left = "SELECT count(*) FROM job WHERE state <> 'failed'";
        while self.count(left).await > 0 {}
        app::sweep_all(&self.context).await.unwrap();
        while self.count(left).await > 0 {}
    }
}

#[test]
fn a_database_that_is_restarted_in_the_middle_of_everything_loses_nothing_and_doubles_nothing() {
    on_plane(async |plane| {
        let database = Database::on_its_own().await;
        let mut t = Box::pin(Town::on(database, plane, "restarts", Tongue::Gitea, Told::ByDeliveries)).await;
        t.runs(TWO, &[(WEB, &settings("web", "1")), (STAGED, &settings("web", "1"))]).await;
        let (mut pause, observer) = Pause::new();
        Arc::get_mut(&mut t.context).unwrap().observer = observer;
        let stop = CancellationToken::new();
        let mut working = t.is_worked_on(&stop);

        // A preview: its comment is written, and nobody can store that.
        pause.at("attend_pull", Step::Written(Write::Comment));
        let files = |value: &str| [settings("web", value), settings("web", value)];
        let [web, staged] = files("2");
        let first = t.forge.opens_pull("dev", &t.shop, &[(WEB, &web), (STAGED, &staged)]).await;
        pause.stands.recv().await.unwrap();
        t.database.server.stop().await.unwrap();
        pause.go.send(()).unwrap();
        t.database.server.start_again().await.unwrap();
        t.is_quiet().await;
        assert!(t.comment(&first).contains("0 of 1"), "{}", t.comment(&first));

        // A gate: while it is judged.
        t.forge.approves("lee", &first).await;
        t.is_quiet().await;
        pause.at("sync_environment", Step::Fetched);
        t.forge.merges("dev", &first, Merge::Squash).await;
        pause.stands.recv().await.unwrap();
        t.database.server.stop().await.unwrap();
        pause.go.send(()).unwrap();
        t.database.server.start_again().await.unwrap();
        t.is_quiet().await;
        assert_eq!((t.objects().await, t.objects_in("-staging").await), (vec!["web=2".into()], vec!["web=2".into()]));

        // A sync: the cluster has an object, and nobody can store that. The other environment goes on meanwhile.
        let [web, staged] = files("3");
        let second = t.forge.opens_pull("dev", &t.shop, &[(WEB, &web), (STAGED, &staged)]).await;
        t.is_quiet().await;
        t.forge.approves("lee", &second).await;
        t.is_quiet().await;
        pause.at("sync_environment", Step::Sync(sync::Step::ObjectSent));
        t.forge.merges("dev", &second, Merge::Squash).await;
        let one = pause.stands.recv().await.unwrap();
        t.database.server.restart().await.unwrap();
        let other = format!(
            "SELECT count(*) FROM deployment WHERE number = 3 AND state = 'healthy' AND environment_id <> {one}"
        );
        while t.count(&other).await == 0 {}
        pause.go.send(()).unwrap();
        t.is_quiet().await;
        assert_eq!((t.objects().await, t.objects_in("-staging").await), (vec!["web=3".into()], vec!["web=3".into()]));

        stop.cancel();
        while working.join_next().await.is_some() {}
        assert_eq!(t.count("SELECT count(*) FROM job").await, 0, "no job was given up");
        assert_eq!(t.count("SELECT count(*) FROM deployment WHERE state = 'healthy'").await, 6, "three of each");
        assert_eq!(t.count("SELECT count(*) FROM deployment").await, 6);
        for pr in [&first, &second] {
            // Two comments would fail this.
            assert!(t.comment(pr).contains("healthy"), "{}", t.comment(pr));
        }
        let unended = "SELECT count(*) FROM audit_entry e
                       WHERE opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq)";
        assert_eq!(t.count(unended).await, 0);
    });
}

//! Where everything meets: a running server, from its configuration to its orderly end.
//!
//! ```text
//!   config ─▶ keys ─▶ database ─▶ forges, clusters, renderer ─▶ ┌ door ┬ worker ┬ sweeps ┬ checkpoints ┐ ─▶ stop
//! ```

mod accept;
pub mod agent;
mod agents;
mod assemble;
mod budget;
pub mod check;
mod clockwork;
pub mod connect;
pub mod create_app;
mod frozen;
pub mod host;
mod keys;
pub mod listen;
mod people;
mod reload;

mod restored;
mod watches;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::checkpoint::{Checkpoints, Signer};
use crate::audit::signing::Signing;
use crate::clock::Clock;
use crate::config::{DatabaseUrl, Environ, Loaded, Server, ServerRole};
use crate::db;
use crate::db::embedded::{self, Embedded};
use crate::jobs;
use crate::queue::worker::{self, Settings};
use crate::queue::{self, Bell, Lane, PgSource};
use crate::webhook::Endpoints;
use crate::{telemetry, web};
use listen::Patience;
use reload::{Live, Reloads};

pub use accept::accept;
pub use assemble::{context, endpoints, forges, public_router, registries};
pub use budget::SharedBudget;
pub use clockwork::{checkpoints, judge_all, sweep_all};
pub use frozen::thaw;
pub use people::People;
pub use watches::watch_clusters;

/// How often the queue's depth is looked up for the metrics: as often as they are usually collected.
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// Runs a server until it is told to stop (SIGINT or SIGTERM). SIGHUP reads its files again.
///
/// # Errors
/// What kept it from starting, with what to do.
pub async fn serve(loaded: Loaded, environ: &Environ) -> anyhow::Result<()> {
    // From here on it means "read the files again", and no more "end".
    let hangup = signal(SignalKind::hangup())?;
    let server = &loaded.server;
    let missing = loaded.secrets_missing();
    if !missing.is_empty() {
        bail!("secrets are missing:\n  {}", missing.join("\n  "));
    }
    listen::make_room();
    let clock = Clock::system();
    let key = keys::server_key(&server.http.key)?;
    let (embedded, pool) = database(server).await?;
    let result = run(&loaded, environ, clock, key, pool.clone(), hangup).await;
    pool.close().await;
    if let Some(embedded) = embedded {
        embedded.stop().await?;
    }
    result
}

async fn database(server: &Server) -> anyhow::Result<(Option<Embedded>, PgPool)> {
    match &server.database.url {
        DatabaseUrl::Embedded => {
            let embedded =
                Embedded::start(&server.database.data_dir).await.context("the embedded database does not start")?;
            // A line each: within an event a line end is written as what it is, and nobody could copy the lines.
            for line in embedded::NOTICE.lines() {
                tracing::info!("{line}");
            }
            let pool = db::pool::connect_with(embedded.options()).await?;
            Ok((Some(embedded), pool))
        }
        DatabaseUrl::At(url) => Ok((None, db::connect(url.read()?.expose_secret()).await?)),
    }
}

/// Opens the pool of the running server's role without starting anything: what commands on its host use.
///
/// # Errors
/// When the database is not there, or is not of this version.
pub async fn attach(server: &Server) -> anyhow::Result<PgPool> {
    match &server.database.url {
        DatabaseUrl::Embedded => Ok(db::pool::connect_with(embedded::attach(&server.database.data_dir)?).await?),
        DatabaseUrl::At(url) => Ok(db::connect(url.read()?.expose_secret()).await?),
    }
}

/// `bascule migrate`: brings the database to this version, as its owner.
///
/// # Errors
/// When there is no owner to run as, or a migration fails.
pub async fn migrate(server: &Server) -> anyhow::Result<Vec<i64>> {
    match (&server.database.url, &server.database.migrate_url) {
        (DatabaseUrl::Embedded, _) => bail!("the embedded database migrates itself when the server starts"),
        (DatabaseUrl::At(_), None) => bail!("set `database.migrate_url` to the address of the database's owner"),
        (DatabaseUrl::At(_), Some(owner)) => Ok(db::migrate::run_at(owner.read()?.expose_secret()).await?),
    }
}

async fn run(
    loaded: &Loaded,
    environ: &Environ,
    clock: Clock,
    key: [u8; 32],
    pool: PgPool,
    hangup: Signal,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let server = &loaded.server;
    let signer = Signer::open(keys::file(&server.audit.key)?)?;
    let public_key = signer.public_key();
    let checkpoints = Checkpoints::open(&server.audit.checkpoints, &signer)?;
    let signing = Signing::open(pool.clone(), signer, checkpoints)?;
    if let Some(refusal) = signing.lost().await? {
        restored::notice(&pool, &clock, &refusal).await?;
    }
    let recorded = telemetry::record()?;
    let holder = format!("{}-{}", std::process::id(), clock.new_id().simple());
    let bell = Bell::new(&holder);
    let context = Arc::new(context(server, environ, &clock, &key, &pool, &bell).await?);
    reload::record_start(&pool, &clock, loaded).await?;

    let public = TcpListener::bind(server.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}", server.http.listen))?;
    let admin = TcpListener::bind(server.http.admin_listen)
        .await
        .with_context(|| format!("cannot listen on {}", server.http.admin_listen))?;
    let told_to_stop = told_to_stop()?;
    tracing::info!(listen = %public.local_addr()?, admin = %admin.local_addr()?, "ready");

    let mut tasks = JoinSet::new();
    let people = People::new(server, &context.forges, &clock)?;
    let (live, follows) = watch::channel(Live { context, sweep: server.sweep });
    let agents = Arc::new(agents::Agents::new((&pool, &clock, &bell), follows.clone()));
    let endpoints = Endpoints::from(endpoints(server));
    let reloads =
        Reloads::new(loaded, environ, (pool.clone(), clock.clone()), live, (endpoints.clone(), people.clone()));
    tasks.spawn(reloads.run(hangup, stop.clone()));
    // One to listen on, and one each for claiming and for renewing leases: jobs that hold the others cannot delay them.
    let beside = db::pool::beside(&pool, 3);
    let carried = (bell.clone(), beside.clone(), stop.clone());
    tasks.spawn(async move { carried.0.carry(carried.1, carried.2).await });
    let mut committing = JoinSet::new();
    if server.http.role == ServerRole::Worker {
        let windows = assemble::windows(server, endpoints, (&pool, &clock, &bell), public_key, people);
        let routes = web::agents::router(windows, agents.clone());
        tasks.spawn(listen::serve(public, routes, Patience::default(), stop.clone()));
    } else {
        let (routes, committer) = public_router(server, endpoints, &pool, &clock, &bell, public_key, people);
        committing.spawn(committer.run());
        let is_dialled = server.http.role == ServerRole::All;
        let routes = if is_dialled { web::agents::with_agents(routes, agents.clone()) } else { routes };
        tasks.spawn(listen::serve(public, routes, Patience::default(), stop.clone()));
    }
    tasks.spawn(listen::serve(admin, web::admin_router(pool.clone(), recorded), Patience::default(), stop.clone()));
    if server.http.role != ServerRole::Web {
        let watcher = holder.clone();
        let source = Arc::new(PgSource::new(beside, holder));
        let working = follows.clone();
        let handler = Arc::new(move |job: crate::queue::Claimed, lease: crate::queue::Lease| {
            let context = working.borrow().context.clone();
            async move { jobs::run(&context, &job, &lease).await }
        });
        tasks.spawn(queue::measure(pool.clone(), MEASURE_EVERY, stop.clone()));
        tasks.spawn(worker::run(source, handler, bell.clone(), Settings::default(), stop.clone()));
        tasks.spawn(clockwork::judgements(follows.clone(), stop.clone()));
        tasks.spawn(watches::watches(follows.clone(), watcher, stop.clone()));
        tasks.spawn(clockwork::sweeps(follows, stop.clone()));
        tasks.spawn(frozen::thaws(pool.clone(), clock.clone(), bell.clone(), stop.clone()));
        tasks.spawn(clockwork::tidying(pool.clone(), clock.clone(), stop.clone()));
        tasks.spawn(clockwork::checkpoints(signing, pool.clone(), clock.clone(), stop.clone()));
    }
    bell.ring(Lane::Default);

    tokio::select! {
        () = told_to_stop => tracing::info!("stopping: running jobs come to a safe point"),
        ended = tasks.join_next() => {
            stop.cancel();
            if let Some(Err(error)) = ended {
                bail!("a part of the server ended: {error}");
            }
            bail!("a part of the server ended");
        }
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    while committing.join_next().await.is_some() {}
    // Last: jobs that came to a safe point did so through them.
    agents.end().await;
    Ok(())
}

/// Ends when somebody tells us to stop. Who is told before this is polled is heard as well.
///
/// # Errors
/// When the system lets nobody listen.
pub fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Reads the configuration the way every command does; the error is already fit to print.
///
/// # Errors
/// Every complaint, a line each, with its place.
pub fn load(file: Option<&Path>, environ: &Environ) -> Result<Loaded, String> {
    let loaded = crate::config::load(crate::config::find(file).as_deref(), environ)
        .map_err(|complaints| complaints.iter().map(|one| format!("{one}\n")).collect::<String>())?;
    let faults = loaded.policy_faults();
    if faults.is_empty() { Ok(loaded) } else { Err(faults.into_iter().map(|fault| fault + "\n").collect()) }
}

//! `bascule agent`: dials its server, carries what that asks to the API of the cluster it is in, and dials again.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::{assemble, told_to_stop};
use crate::cli;
use crate::clock::Clock;
use crate::cluster::Kubeconfig;
use crate::cluster::agent::Agent;
use crate::config::Environ;

/// The pause after the first failure; doubled with each, …
const FIRST: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST: Duration = Duration::from_secs(30);
/// A tunnel that lasted so long was a good one: the next failure is the first.
const GOOD: Duration = Duration::from_secs(60);

/// Runs an agent until it is told to stop.
///
/// # Errors
/// What will not pass by itself: no way into the cluster, an address that is none.
pub async fn run(asked: &cli::agent::Agent, environ: &Environ) -> anyhow::Result<()> {
    let into = match &asked.kubeconfig {
        Some(file) => Kubeconfig::File(file.clone()),
        None => assemble::in_cluster(environ)?,
    };
    let diallers = asked.diallers(environ)?;
    let (told, stop, clock) = (told_to_stop()?, CancellationToken::new(), Clock::system());
    let (asked, into, stopped, clock) = (&asked, &into, &stop, &clock);
    let dialling = futures::future::join_all(diallers.iter().map(|dialler| async move {
        let mut pause = FIRST;
        while !stopped.is_cancelled() {
            let began = tokio::time::Instant::now();
            match tunnel(asked, into, dialler, stopped).await {
                Ok(()) if stopped.is_cancelled() => break,
                Ok(()) => tracing::info!(server = dialler.server(), "the server ended the tunnel"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "no tunnel"),
            }
            if began.elapsed() >= GOOD {
                pause = FIRST;
            }
            // All agents of a server that starts again would come at once.
            let jitter = f64::from(clock.new_id().as_bytes()[15]) / 255.0;
            tokio::select! {
                () = stopped.cancelled() => break,
                () = tokio::time::sleep(pause.mul_f64(0.5 + jitter / 2.0)) => {}
            }
            pause = (pause * 2).min(LONGEST);
        }
    }));
    tokio::pin!(dialling);
    tokio::select! {
        _ = &mut dialling => return Ok(()),
        () = told => tracing::info!("stopping: what runs may end"),
    }
    stop.cancel();
    dialling.await;
    Ok(())
}

async fn tunnel(
    asked: &cli::agent::Agent,
    into: &Kubeconfig,
    dialler: &cli::agent::Dialler,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // Anew each time: a kubeconfig may have been renewed.
    let agent = Agent::new(asked.cluster.clone(), into).await?;
    let dialled = tokio::select! {
        dialled = dialler.dial() => dialled?,
        () = stop.cancelled() => return Ok(()),
    };
    tracing::info!(cluster = %asked.cluster, server = dialler.server(), "connected");
    Ok(agent.serve(TokioIo::new(dialled.stream), dialled.sent, stop.cancelled()).await?)
}

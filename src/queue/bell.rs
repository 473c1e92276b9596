//! The call that there is work, so that nobody waits for a poll: within the process at once, to the other servers by
//! a NOTIFY of its own after the work was committed.
//!
//! A NOTIFY inside a transaction takes a lock of the whole PostgreSQL server until that transaction has committed, and
//! has brought down busy ones. Hence one statement, outside any transaction, for everything rung within a moment. A
//! lost call costs a poll, never a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Lane;
use super::worker::chain;

const CHANNEL: &str = "bascule_jobs";

/// At most one NOTIFY in this long: fifty a second cost nothing, and nobody notices a fiftieth of one.
const GATHER: Duration = Duration::from_millis(20);

/// Until the listener is tried again; the polls work meanwhile.
const RECONNECT: Duration = Duration::from_secs(5);

/// Wakes workers. Clones are the same bell.
#[derive(Debug, Clone)]
pub struct Bell(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tells our own calls from those of others.
    name: String,
    lanes: [Notify; 3],
    /// A bit for each lane that was rung and not yet told to the others.
    untold: AtomicU8,
    tell: Notify,
}

impl Bell {
    /// A bell of the process `name`, unique among the servers.
    pub fn new(name: &str) -> Self {
        let lanes = [const { Notify::const_new() }; 3];
        Self(Arc::new(Inner { name: name.to_owned(), lanes, untold: AtomicU8::new(0), tell: Notify::new() }))
    }

    /// There is work in `lane`: call after the transaction that enqueued it has committed. Costs nothing.
    pub fn ring(&self, lane: Lane) {
        self.ring_here(lane);
        self.0.untold.fetch_or(bit(lane), Ordering::SeqCst);
        self.0.tell.notify_one();
    }

    fn ring_here(&self, lane: Lane) {
        self.0.lanes[index(lane)].notify_one();
    }

    /// Completes when `lane` was rung since the last time.
    pub(super) async fn rung(&self, lane: Lane) {
        self.0.lanes[index(lane)].notified().await;
    }

    /// Carries the calls between servers until `stop`; holds one connection of `pool` to listen on. Without it a bell
    /// rings in its own process only.
    pub async fn carry(&self, pool: PgPool, stop: CancellationToken) {
        let both = async { tokio::join!(self.tell(&pool), self.listen(&pool)) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = both => {}
        }
    }

    async fn tell(&self, pool: &PgPool) {
        loop {
            self.0.tell.notified().await;
            let lanes = self.0.untold.swap(0, Ordering::SeqCst);
            let payload = format!("{lanes} {}", self.0.name);
            if let Err(error) = sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, payload).execute(pool).await {
                tracing::debug!(error = chain(&error), "the other servers could not be called");
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    async fn listen(&self, pool: &PgPool) {
        loop {
            match self.listen_once(pool).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(error = chain(&error), "not listening for other servers; polling goes on");
                    tokio::time::sleep(RECONNECT).await;
                }
            }
            // What was called while nobody listened.
            Lane::ALL.into_iter().for_each(|lane| self.ring_here(lane));
        }
    }

    /// Until the connection is lost.
    async fn listen_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        while let Some(called) = listener.try_recv().await? {
            let Some((lanes, name)) = called.payload().split_once(' ') else { continue };
            let lanes: u8 = lanes.parse().unwrap_or(u8::MAX);
            if name != self.0.name {
                Lane::ALL.into_iter().filter(|lane| lanes & bit(*lane) != 0).for_each(|lane| self.ring_here(lane));
            }
        }
        Ok(())
    }
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Sync => 0,
        Lane::Default => 1,
        Lane::Sweep => 2,
    }
}

fn bit(lane: Lane) -> u8 {
    1 << index(lane)
}

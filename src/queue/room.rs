//! The room of a lane: of the jobs that run, how many only wait.
//!
//! A deployment may wait half an hour for its pods. If that took a slot, sixteen rollouts that hang would hold up every other
//! sync of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Jobs of one lane that may wait beside its slots: each keeps what it deploys in memory meanwhile.
const MOST: usize = 256;

/// How many jobs of a lane wait, and that one more does.
#[derive(Debug, Default)]
pub(super) struct Room {
    resting: AtomicUsize,
    changed: Notify,
}

impl Room {
    /// Jobs that run and need no slot.
    pub(super) fn resting(&self) -> usize {
        self.resting.load(Ordering::SeqCst)
    }

    /// Completes when a job began to wait since this was last awaited.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn rest(self: &Arc<Self>) -> Rest {
        let more = |resting| (resting < MOST).then_some(resting + 1);
        if self.resting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
            return Rest(None);
        }
        self.changed.notify_one();
        Rest(Some(self.clone()))
    }
}

/// While it lives, the job it was made for takes no slot of its worker. When it goes, the job goes on at once, so that for
/// that long one more than the slots may be at work.
#[derive(Debug)]
#[must_use = "the job rests for as long as this lives"]
pub struct Rest(Option<Arc<Room>>);

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(room) = &self.0 {
            room.resting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rest_than_memory_is_meant_for() {
        let room = Arc::<Room>::default();
        let all: Vec<_> = (0..MOST + 3).map(|_| room.rest()).collect();
        assert_eq!(room.resting(), MOST);
        drop(all);
        assert_eq!(room.resting(), 0);
    }
}

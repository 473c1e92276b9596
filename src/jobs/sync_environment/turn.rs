//! A run's turn among the syncs, and the looks, of its cluster: taken before it asks the cluster anything, given back while it
//! waits for health.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::queue::Lease;

use super::Interrupted;

/// One of a cluster's turns, held or not.
#[derive(Debug)]
pub(in crate::jobs) struct Turn {
    of: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Turn {
    /// One of these, not held yet.
    pub(in crate::jobs) fn of(turns: Arc<Semaphore>) -> Self {
        Self { of: turns, held: Mutex::default() }
    }

    /// Until it is held. Waiting for it takes no slot of the worker: other clusters' syncs have it.
    pub(in crate::jobs) async fn take(&self, lease: &Lease) -> Result<(), Interrupted> {
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let permit = match self.of.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _rest = lease.rests();
                tokio::select! {
                    permit = self.of.clone().acquire_owned() =>
                        permit.map_err(|_| Interrupted::Away("the cluster's turns are over".to_owned()))?,
                    () = lease.stopping() => return Err(Interrupted::Stopping),
                }
            }
        };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        Ok(())
    }

    /// Somebody else's, until it is taken again.
    pub(super) fn leave(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

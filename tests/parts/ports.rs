//! Free loopback ports.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use uuid::Uuid;

/// A part whose port was taken between our look and its start is started again this many times.
const ATTEMPTS: usize = 5;

const LOWEST: u16 = 15_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on, below those that the system gives to outgoing connections: a part that is stopped
/// for a fault test finds its port free when it starts again.
pub(crate) fn free_port() -> Result<u16> {
    let highest = first_outgoing_port().unwrap_or(32_768).max(LOWEST + 1_000);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let port = (0..1_000)
        .map(|_| {
            let (high, low) = Uuid::new_v4().as_u64_pair();
            let offset = (high ^ low) % u64::from(highest - LOWEST);
            LOWEST + u16::try_from(offset).unwrap_or_default()
        })
        .find(|port| !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .with_context(|| format!("no free loopback port between {LOWEST} and {highest}"))?;
    given.insert(port);
    Ok(port)
}

fn first_outgoing_port() -> Option<u16> {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?.split_whitespace().next()?.parse().ok()
}

/// Somebody else took the port that a part was to listen on.
#[derive(Debug)]
pub(super) struct PortTaken;

impl fmt::Display for PortTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its port was taken by somebody else")
    }
}

impl std::error::Error for PortTaken {}

/// Tries again, with whatever ports `attempt` chooses then, as long as the port is all that was wrong.
pub(super) async fn again_if_taken<T>(mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.is::<PortTaken>() => {}
            outcome => return outcome,
        }
    }
    attempt().await
}

//! How long a preview waits for clusters.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::ClusterName;
use crate::jobs::gather::lists::Lists;

/// How long one environment waits for its cluster: a request is given five seconds, and a list of many objects more.
const OF_ONE: Duration = Duration::from_secs(20);
/// How long a whole preview waits for clusters.
const OF_ALL: Duration = Duration::from_secs(60);

/// How long a preview waits for clusters, which of them it waits for no more, and what its environments ask together. Only
/// waiting counts, and that of many at a time once.
#[derive(Debug)]
pub(in crate::jobs) struct Patience {
    waiting: Mutex<Waiting>,
    lost: Mutex<BTreeMap<ClusterName, String>>,
    lists: Lists,
}

#[derive(Debug)]
struct Waiting {
    left: Duration,
    /// Environments that wait now.
    count: usize,
    /// Since when so many do.
    since: Instant,
}

impl Waiting {
    /// From now on so many wait.
    fn becomes(&mut self, now: Instant, count: impl FnOnce(usize) -> usize) {
        if self.count > 0 {
            self.left = self.left.saturating_sub(now - self.since);
        }
        (self.count, self.since) = (count(self.count), now);
    }
}

/// A cluster is not asked.
pub(in crate::jobs) struct Impatient {
    pub(in crate::jobs) why: String,
    /// Whether it is worth to ask again: nobody could be reached there.
    pub(in crate::jobs) is_away: bool,
}

/// One environment waits.
struct Waits<'p>(&'p Patience);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting().becomes(Instant::now(), |count| count.saturating_sub(1));
    }
}

impl Patience {
    /// All of it.
    pub(in crate::jobs) fn begins() -> Self {
        let waiting = Waiting { left: OF_ALL, count: 0, since: Instant::now() };
        Self { waiting: Mutex::new(waiting), lost: Mutex::default(), lists: Lists::default() }
    }

    /// What its environments ask together.
    pub(in crate::jobs) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Asks a cluster on behalf of one environment. `None`: it took too long.
    pub(in crate::jobs) async fn ask<T>(&self, asking: impl Future<Output = T>) -> Option<T> {
        let left = {
            let mut waiting = self.waiting();
            waiting.becomes(Instant::now(), |count| count + 1);
            waiting.left
        };
        let _waits = Waits(self);
        tokio::time::timeout(left.min(OF_ONE), asking).await.ok()
    }

    /// Why this cluster is not asked.
    pub(in crate::jobs) fn is_over(&self, cluster: &ClusterName) -> Option<Impatient> {
        if let Some(why) = self.lost.lock().expect(HELD).get(cluster).cloned() {
            return Some(Impatient { why, is_away: true });
        }
        let why = format!("clusters were waited for {} s", OF_ALL.as_secs());
        let mut waiting = self.waiting();
        waiting.becomes(Instant::now(), |count| count);
        waiting.left.is_zero().then_some(Impatient { why, is_away: false })
    }

    /// Nobody can be reached there: it is not waited for again.
    pub(in crate::jobs) fn lost(&self, cluster: &ClusterName, why: &str) {
        self.lost.lock().expect(HELD).insert(cluster.clone(), why.to_owned());
    }

    /// What is said of what it did not answer in time.
    pub(in crate::jobs) fn too_long() -> String {
        format!("it did not answer everything within {} s", OF_ONE.as_secs())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect(HELD)
    }
}

const HELD: &str = "nobody panics while it is held";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_wait_for_at_a_time_is_waited_for_once() {
        let patience = Patience::begins();
        let (mut waiting, begun) = (patience.waiting(), Instant::now());
        let mut waits = |after: u64, count: usize| {
            waiting.becomes(begun + Duration::from_secs(after), |_| count);
            OF_ALL - waiting.left
        };
        assert_eq!(
            [waits(100, 1), waits(105, 2), waits(110, 1), waits(112, 0)],
            [0, 5, 10, 12].map(Duration::from_secs)
        );
        assert_eq!(waits(200, 1), Duration::from_secs(12), "only waiting counts");
        assert_eq!(waits(300, 0), OF_ALL);
        drop(waiting);
        assert!(patience.is_over(&"here".parse().unwrap()).is_some_and(|over| !over.is_away));
    }

    #[tokio::test]
    async fn who_gives_up_waits_no_more() {
        let patience = Patience::begins();
        let mut asking = Box::pin(patience.ask(std::future::pending::<()>()));
        assert!(futures::poll!(&mut asking).is_pending());
        assert_eq!(patience.waiting().count, 1);
        drop(asking);
        assert_eq!(patience.waiting().count, 0);
    }
}

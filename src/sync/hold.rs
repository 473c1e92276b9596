use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{ChangeDigest, EnvironmentName};

/// Why an environment will not be synced further: a closed list, each with one command that lifts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldReason {
    /// The newest commit is not covered by consent.
    Uncovered,
    /// Somebody froze it.
    Frozen,
    /// Outside its windows.
    Window,
    /// For another environment, for checks, or for `sync` by hand.
    Waiting,
    /// A rollback pinned it.
    Pinned,
    /// The last sync failed.
    Failed,
    /// Another field manager holds a field with another value.
    Conflict,
    /// More deletions than may go unnamed.
    OverCap,
    /// Its block is gone, its target is another one now, or its cluster's name leads to another cluster.
    Orphaned,
    /// Its cluster cannot be reached.
    ClusterAway,
}

/// What may end a hold without a newer commit being synced. (One that is lifts whatever the environment was held for.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relief {
    /// It was judged, and there is nothing newer than what it is at.
    NothingNewer,
    /// Somebody asked for a look at its change as it is now.
    ShownAnew,
    /// What it is at is sent once more.
    SentAgain,
    /// A sync of it ended well.
    SyncedWell,
}

impl HoldReason {
    /// Whether this ends it. What it does not end goes on; what is found wrong then begins another.
    pub fn ends_with(self, relief: Relief) -> bool {
        match (self, relief) {
            (Self::Uncovered | Self::OverCap, Relief::NothingNewer | Relief::ShownAnew) => true,
            // What waits for consent, or for somebody's word, is about something newer.
            (Self::Uncovered | Self::OverCap, Relief::SentAgain | Relief::SyncedWell) => false,
            (Self::Waiting, Relief::NothingNewer) => true,
            (Self::Waiting, Relief::ShownAnew | Relief::SentAgain | Relief::SyncedWell) => false,
            // The freeze stands, or not, whatever is held for it; and so it is with windows.
            (Self::Frozen | Self::Window, Relief::NothingNewer | Relief::ShownAnew) => true,
            (Self::Frozen | Self::Window, Relief::SentAgain | Relief::SyncedWell) => false,
            // A failure ends with the next sync, not with there being nothing new.
            (Self::Failed | Self::Conflict | Self::ClusterAway, Relief::SentAgain | Relief::SyncedWell) => true,
            (Self::Failed | Self::Conflict, Relief::NothingNewer | Relief::ShownAnew) => false,
            // Nothing is judged while the cluster is away, nor while a sync waits for it.
            (Self::ClusterAway, Relief::NothingNewer | Relief::ShownAnew) => true,
            // Its cluster is the one again in which its objects are.
            (Self::Orphaned, Relief::SyncedWell) => true,
            (Self::Orphaned, Relief::NothingNewer | Relief::ShownAnew | Relief::SentAgain) => false,
            // These end by a person's word alone.
            (Self::Pinned, _) => false,
        }
    }

    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Uncovered,
        Self::Frozen,
        Self::Window,
        Self::Waiting,
        Self::Pinned,
        Self::Failed,
        Self::Conflict,
        Self::OverCap,
        Self::Orphaned,
        Self::ClusterAway,
    ];

    /// As stored, counted and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uncovered => "uncovered",
            Self::Frozen => "frozen",
            Self::Window => "window",
            Self::Waiting => "waiting",
            Self::Pinned => "pinned",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
            Self::OverCap => "over-cap",
            Self::Orphaned => "orphaned",
            Self::ClusterAway => "cluster-away",
        }
    }

    /// The one command that lifts it. `change` is the held change and `deletions` how many objects it deletes; both
    /// matter only where consent is what is missing.
    pub fn lifted_by(self, environment: &EnvironmentName, change: Option<&ChangeDigest>, deletions: usize) -> String {
        let digest = change.map(|digest| format!(" {}", digest.short())).unwrap_or_default();
        match self {
            Self::Uncovered => format!("/bascule approve {environment}{digest}"),
            Self::OverCap => format!("/bascule approve {environment}{digest} --deletions {deletions}"),
            Self::Frozen => format!("/bascule unfreeze {environment}"),
            Self::Window => format!("/bascule emergency {environment} --reason …"),
            Self::Pinned => format!("/bascule resume {environment}"),
            Self::Orphaned => format!("bascule environments forget {environment}"),
            Self::Waiting | Self::Failed | Self::Conflict | Self::ClusterAway => format!("/bascule sync {environment}"),
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for HoldReason {
    type Err = UnknownHold;
    fn from_str(text: &str) -> Result<Self, UnknownHold> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| UnknownHold(text.to_owned()))
    }
}

/// A stored reason that this version does not know: a newer version wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a reason to hold that this version knows")]
pub struct UnknownHold(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_hold_and_what_does_not() {
        let all = [Relief::NothingNewer, Relief::ShownAnew, Relief::SentAgain, Relief::SyncedWell];
        let table: Vec<String> = HoldReason::ALL
            .iter()
            .map(|reason| {
                let ends: Vec<String> = all
                    .iter()
                    .filter(|relief| reason.ends_with(**relief))
                    .map(|relief| format!("{relief:?}"))
                    .collect();
                format!("{reason}: {}", if ends.is_empty() { "nothing".to_owned() } else { ends.join(", ") })
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        uncovered: NothingNewer, ShownAnew
        frozen: NothingNewer, ShownAnew
        window: NothingNewer, ShownAnew
        waiting: NothingNewer
        pinned: nothing
        failed: SentAgain, SyncedWell
        conflict: SentAgain, SyncedWell
        over-cap: NothingNewer, ShownAnew
        orphaned: SyncedWell
        cluster-away: NothingNewer, ShownAnew, SentAgain, SyncedWell
        ");
    }

    #[test]
    fn every_reason_is_read_back_and_names_what_lifts_it() {
        let environment = "production".parse().unwrap();
        let change = ChangeDigest([0x9f; 32]);
        let lines: Vec<_> = HoldReason::ALL
            .iter()
            .map(|reason| {
                assert_eq!(reason.as_str().parse::<HoldReason>().unwrap(), *reason);
                format!("{reason}: {}", reason.lifted_by(&environment, Some(&change), 7))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        uncovered: /bascule approve production 9f9f9f9f9f9f
        frozen: /bascule unfreeze production
        window: /bascule emergency production --reason …
        waiting: /bascule sync production
        pinned: /bascule resume production
        failed: /bascule sync production
        conflict: /bascule sync production
        over-cap: /bascule approve production 9f9f9f9f9f9f --deletions 7
        orphaned: bascule environments forget production
        cluster-away: /bascule sync production
        ");
    }
}

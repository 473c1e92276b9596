//! Who may write an environment's objects: the number in the cluster against the worker's own.

use sha2::{Digest as _, Sha256};

/// The annotation of a fence that holds its number.
pub const FENCE_ANNOTATION: &str = "bascule.dev/fence";

/// How far above ours the number of a fence may be: a database that was put back has missed a day's or a year's claims, and
/// no count of them comes near. What says more was written by somebody who is no worker of ours.
pub const FAR: i64 = 1_000_000_000;

/// A fence as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The server's id of it.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
    /// The number of the worker that wrote last; `None` when somebody made it unreadable.
    pub number: Option<i64>,
    /// What that worker's run called itself.
    pub holder: Option<String>,
}

/// What a worker does about a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taking {
    /// There is none yet, or an older worker's: it is taken.
    Take,
    /// It is ours: an answer was lost.
    Ours,
    /// A worker with this number wrote, and ours is not higher: nothing is written.
    Refuse(i64),
    /// Nobody can tell whose it is: nothing is written.
    Unreadable,
}

/// Compares. An equal number of another holder is another worker's: no claim gives one twice, so that the count has gone
/// back.
pub fn taking(ours: i64, holder: &str, found: Option<&Fence>) -> Taking {
    let Some(found) = found else { return Taking::Take };
    match found.number {
        Some(theirs) if theirs < ours => Taking::Take,
        Some(theirs) if theirs == ours && found.holder.as_deref() == Some(holder) => Taking::Ours,
        Some(theirs) if theirs.saturating_sub(ours) <= FAR => Taking::Refuse(theirs),
        Some(_) | None => Taking::Unreadable,
    }
}

/// The fence's name for this owner: as long as any name of an environment is, and no two are the same.
pub fn name(owner: &str) -> String {
    let digest = Sha256::digest(owner.as_bytes());
    let digits: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("bascule-fence-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_higher_number_takes_a_fence() {
        let fence = |number, holder: &str| Fence {
            uid: "u".to_owned(),
            resource_version: "1".to_owned(),
            number,
            holder: Some(holder.to_owned()),
        };
        let taking = |found: Option<&Fence>| taking(7, "me", found);
        assert_eq!(taking(None), Taking::Take);
        assert_eq!(taking(Some(&fence(Some(6), "other"))), Taking::Take);
        assert_eq!(taking(Some(&fence(Some(7), "me"))), Taking::Ours);
        assert_eq!(taking(Some(&fence(Some(7), "other"))), Taking::Refuse(7));
        assert_eq!(taking(Some(&fence(Some(7 + FAR), "me"))), Taking::Refuse(7 + FAR));
        assert_eq!(
            taking(Some(&fence(Some(8 + FAR), "me"))),
            Taking::Unreadable,
            "one bad Lease stops one environment"
        );
        assert_eq!(taking(Some(&fence(Some(i64::MAX), "me"))), Taking::Unreadable);
        assert_eq!(taking(Some(&fence(None, "me"))), Taking::Unreadable);
    }

    #[test]
    fn a_name_is_one_environment_s_and_one_that_kubernetes_takes() {
        let [one, other] = ["work/17/production@a", "work/17/production@b"].map(name);
        assert_ne!(one, other);
        insta::assert_snapshot!(one, @"bascule-fence-496e00a70ac8c2ee8e3f");
    }
}

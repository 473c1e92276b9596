//! The checks of the commits a sync may go to, read from the forge as the other facts of a judgement are.

use std::collections::BTreeMap;

use crate::consent::{Awaited, Before, Covered, to_ask};
use crate::db::holds::AwaitedAt;
use crate::ids::{CommitId, EnvironmentName};
use crate::jobs::error::JobError;
use crate::jobs::gather::branch::Walked;
use crate::jobs::gather::checks;
use crate::jobs::gather::repository::Repository;

/// Commits whose checks are read in one judgement: facts are good for 30 s. Where so many in a row are not green, an older
/// one waits until a newer one is.
const MOST_COMMITS: usize = 5;

/// What is known of the checks of covered commits.
#[derive(Debug, Default)]
pub(super) struct Lights {
    /// By commit; what is not here needs none.
    found: BTreeMap<CommitId, Option<Awaited>>,
    /// Those that are not green, to be looked at again.
    awaits: Vec<AwaitedAt>,
    /// Why the forge did not say, when asking again may help.
    pub(super) away: Option<JobError>,
}

impl Lights {
    /// What a commit waits for.
    pub(super) fn awaited(&self, covered: &Covered) -> Option<Awaited> {
        self.found.get(&covered.commit).cloned().flatten()
    }

    /// Whether there is a commit of those that wait none of whose checks failed.
    pub(super) fn may_be_green(&self) -> bool {
        self.awaits.iter().any(|one| !one.awaited.is_red())
    }

    /// What is to be remembered of them with a hold.
    pub(super) fn awaits(&self) -> Vec<AwaitedAt> {
        self.awaits.clone()
    }
}

/// Reads them, newest commit first, until one is green.
pub(super) async fn lights(
    repository: &Repository<'_>,
    walked: &Walked,
    before: impl FnMut(&EnvironmentName, &Covered) -> Before,
) -> Lights {
    let runs = walked.position.as_ref().map(|position| &position.set);
    let asked = to_ask(&walked.walk, &walked.court.entries, runs, before);
    let mut lights = Lights::default();
    for (number, (covered, wanted)) in asked.into_iter().enumerate() {
        let awaited = if number >= MOST_COMMITS {
            Some(Awaited::NotAsked)
        } else {
            match checks::read(repository, &covered.commit, wanted).await {
                Ok(awaited) => awaited,
                Err(error) => {
                    let why = error.to_string();
                    tracing::warn!(repository = repository.granted_name(), %error, "cannot read the checks of a commit");
                    if error.is_passing() || error.fate == crate::forge::Fate::Refused {
                        lights.away.get_or_insert(error.into());
                    }
                    Some(Awaited::Unread(why))
                }
            }
        };
        let is_green = awaited.is_none();
        if let Some(awaited) = awaited.clone().filter(|one| *one != Awaited::NotAsked) {
            lights.awaits.push(AwaitedAt { commit: covered.commit.clone(), checks: wanted.clone(), awaited });
        }
        lights.found.insert(covered.commit.clone(), awaited);
        if is_green {
            break;
        }
    }
    lights
}

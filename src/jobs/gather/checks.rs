//! What commit statuses and checks say of a commit.

use std::collections::BTreeSet;

use super::repository::Repository;
use crate::consent::{Awaited, Light, Reported, awaited};
use crate::forge::{self, CommitCheck, StatusState};
use crate::ids::CommitId;

/// What of the wanted checks is not green on a commit now; `None` when all is.
pub(in crate::jobs) async fn read(
    repository: &Repository<'_>,
    commit: &CommitId,
    wanted: &BTreeSet<String>,
) -> forge::Result<Option<Awaited>> {
    let found = repository.forge().checks(&repository.at, commit, wanted).await?;
    let reported: Vec<Reported> = found.into_iter().map(reported).collect();
    Ok(awaited(wanted, &reported))
}

fn reported(check: CommitCheck) -> Reported {
    let light = match check.state {
        StatusState::Success => Light::Green,
        StatusState::Pending => Light::Pending,
        StatusState::Failure | StatusState::Error => Light::Red,
    };
    Reported { name: check.name, light, link: check.url }
}

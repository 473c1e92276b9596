//! Who and what judges an environment: rules, floors, the grant's owners, neighbours, and who everybody is as of now.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::branch::block_at;
use super::contents::Contents;
use super::people;
use super::repository::Repository;
use crate::consent::{self, Before, Court, Covered, People, Walk};
use crate::db::{deployments, environments, sets, soaks};
use crate::ids::{CommitId, EnvironmentName, ObjectHash};
use crate::jobs::error::JobError;
use crate::policy::rules::{Environment, Voters};

/// Everything that judges changes of these files in an environment: what entries say, and the neighbours of a first set, among
/// it. `heard` are the people of every place that has a say.
pub(in crate::jobs) async fn court<'p>(
    repository: &Repository<'_>,
    environment: &environments::Environment,
    (entries, neighbours): (BTreeMap<ObjectHash, Environment>, Vec<Environment>),
    files: &BTreeSet<String>,
    heard: impl IntoIterator<Item = &'p People>,
) -> Result<Court, JobError> {
    let platform = &repository.platform;
    let target = &environment.target;
    let floors = platform.floors_under(&target.cluster);
    let grants = platform.grants_reaching(&repository.granted_name(), target);
    let mut people = People::new(repository.row.key.forge.clone(), platform.groups.clone(), Vec::new());
    for heard in heard {
        people.away = people.away.or_else(|| heard.away.clone());
        for (account, standing) in &heard.standings {
            match people.standings.get_mut(account) {
                // Each place asked for the memberships of its own rules.
                Some(known) => known.teams.extend(standing.teams.clone()),
                None => drop(people.standings.insert(account.clone(), standing.clone())),
            }
        }
    }
    let voters: Vec<Voters> =
        entries.values().flat_map(|own| self::voters(repository, own, &neighbours, files)).collect();
    people::complete(repository, &mut people, &voters).await;
    let was_here = match entries.values().any(|own| own.consent.reverts.is_some()) {
        true => deployments::were_healthy(&mut *repository.context.pool.acquire().await?, environment.id).await?,
        false => BTreeSet::new(),
    };
    Ok(Court {
        repository: repository.row.key.clone(),
        environment: environment.name.clone(),
        target: target.clone(),
        entries,
        neighbours,
        floors: floors.into_iter().map(|(name, floor)| (name.to_owned(), floor.clone())).collect(),
        grant_owners: grants.into_iter().find_map(|granted| granted.grant.owners.clone()),
        people,
        said: BTreeMap::new(),
        was_here,
    })
}

/// The rules in force for environments of its name or namespace, which judge its first set.
pub(in crate::jobs) async fn neighbours(
    conn: &mut PgConnection,
    environment: &environments::Environment,
) -> Result<Vec<Environment>, JobError> {
    let digests = environments::neighbours(conn, environment).await?;
    let (of_sets, rules) = sets::rules_of(conn, &digests).await?;
    let entries = digests.iter().filter_map(|digest| of_sets.get(digest));
    Ok(entries.filter_map(|entry| rules.get(entry)).cloned().collect())
}

/// Everybody whom some rule may ask for consent to a change of these files in an environment.
pub(in crate::jobs) fn voters(
    repository: &Repository<'_>,
    own: &Environment,
    neighbours: &[Environment],
    files: &BTreeSet<String>,
) -> Vec<Voters> {
    let platform = &repository.platform;
    let floors: Vec<_> = platform.floors_under(&own.target.cluster).into_iter().map(|(_, floor)| floor).collect();
    let grants = platform.grants_reaching(&repository.granted_name(), &own.target);
    let owners: Vec<_> = grants.into_iter().filter_map(|granted| granted.grant.owners.as_ref()).collect();
    consent::voters(own, neighbours, &floors, &owners, files)
}

/// What the environments a covered commit waits for have there, and with what they were last healthy.
pub(in crate::jobs) async fn befores(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: &environments::Environment,
    court: &Court,
    walk: &Walk,
    default_tip: &CommitId,
) -> Result<BTreeMap<(EnvironmentName, CommitId), Before>, JobError> {
    let mut befores = BTreeMap::new();
    let rules_of = |covered: &Covered| covered.set.entry().and_then(|entry| court.entries.get(entry));
    // Most wait for nobody, and there may be a thousand of them.
    if walk.covered.iter().filter_map(rules_of).all(|rules| rules.after.is_empty()) {
        return Ok(befores);
    }
    let mut conn = repository.context.pool.acquire().await?;
    let all = environments::of_repository(&mut conn, repository.row.id).await?;
    drop(conn);
    for covered in &walk.covered {
        let rules = rules_of(covered);
        let wanted: BTreeSet<&EnvironmentName> =
            rules.into_iter().flat_map(|rules| &rules.after).map(|after| &after.environment).collect();
        for name in wanted {
            let same = |one: &&environments::Environment| one.name == *name && one.branch == environment.branch;
            let Some(other) = all.iter().find(same) else { continue };
            let at_commit = match block_at(repository, contents, other, &covered.commit, default_tip).await? {
                Some(block) => {
                    let set = contents.set_at(&block, &contents.tree(&covered.commit).await?).await?;
                    set.content().map(|content| content.hashed.clone())
                }
                None => None,
            };
            let mut conn = repository.context.pool.acquire().await?;
            let healthy = match &other.healthy {
                Some(at) => Some(sets::load_hashed(&mut conn, &at.set).await?),
                None => None,
            };
            let healthy_for =
                match rules.is_some_and(|rules| rules.after.iter().any(|after| after.soak_seconds.is_some())) {
                    true => soaks::healthy_for(&mut conn, other.id, repository.context.clock.now()).await?,
                    false => None,
                };
            befores.insert((name.clone(), covered.commit.clone()), Before { at_commit, healthy, healthy_for });
        }
    }
    Ok(befores)
}

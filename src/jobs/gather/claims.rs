//! An object belongs to one environment of one server: which of a pull request's objects somebody else has already.

use std::collections::BTreeMap;

use super::repository::Repository;
use super::touched::Touched;
use crate::db::inventory::{self, Taken};
use crate::ids::{ClusterName, EnvironmentName, ObjectKey, SetKey};
use crate::jobs::error::JobError;

/// A second claim on an object, and who has the first, in words.
pub(in crate::jobs) type Claims = BTreeMap<EnvironmentName, Vec<(ObjectKey, String)>>;

/// What environments would add that another one has: in its inventory, or in this very pull request.
pub(in crate::jobs) async fn second(
    repository: &Repository<'_>,
    touched: &BTreeMap<EnvironmentName, Touched>,
) -> Result<Claims, JobError> {
    let mut claims = within(touched);
    let mut conn = repository.context.pool.acquire().await?;
    for (name, one) in touched {
        let Some((block, _)) = &one.new else { continue };
        let keys: Vec<ObjectKey> = adds(one).cloned().collect();
        if keys.is_empty() {
            continue;
        }
        for taken in inventory::taken(&mut conn, None, &block.target.cluster, &keys).await? {
            let is_here = taken.repository == repository.row.full_name;
            if is_here
                && (taken.name == *name || touched.get(&taken.name).is_some_and(|other| gives(other, &taken.key)))
            {
                continue;
            }
            let Taken { key, name: owner, repository, .. } = taken;
            claims.entry(name.clone()).or_default().push((key, format!("belongs to {owner} of {repository} already")));
        }
    }
    Ok(claims)
}

/// Of several that claim an object in one pull request, the first is who has it on both sides, else the first by name.
fn within(touched: &BTreeMap<EnvironmentName, Touched>) -> Claims {
    let mut first: BTreeMap<(&ClusterName, &ObjectKey), &EnvironmentName> = BTreeMap::new();
    let cluster = |one: &'_ Touched| one.new.as_ref().map(|(block, _)| block.target.cluster.clone());
    let clusters: BTreeMap<&EnvironmentName, ClusterName> =
        touched.iter().filter_map(|(name, one)| Some((name, cluster(one)?))).collect();
    for (name, at) in &clusters {
        first.extend(keeps(&touched[*name]).map(|key| ((at, key), *name)));
    }
    let mut claims = Claims::new();
    for (name, at) in &clusters {
        for key in adds(&touched[*name]) {
            let owner = *first.entry((at, key)).or_insert(name);
            if owner != *name {
                let why = format!("belongs to {owner} of this repository, which has it too");
                claims.entry((*name).clone()).or_default().push((key.clone(), why));
            }
        }
    }
    claims
}

fn objects<'t>(set: impl IntoIterator<Item = &'t SetKey>) -> impl Iterator<Item = &'t ObjectKey> {
    set.into_iter().filter_map(|key| match key {
        SetKey::Object(key) => Some(key),
        SetKey::Entry => None,
    })
}

fn new_keys(one: &Touched) -> impl Iterator<Item = &ObjectKey> {
    objects(one.new.iter().filter_map(|(_, set)| set.content()).flat_map(|content| content.hashed.hashes.keys()))
}

fn had(one: &Touched, key: &ObjectKey) -> bool {
    one.old_content().is_some_and(|old| old.hashed.hashes.contains_key(&SetKey::Object(key.clone())))
}

fn adds(one: &Touched) -> impl Iterator<Item = &ObjectKey> {
    new_keys(one).filter(|key| !had(one, key))
}

fn keeps(one: &Touched) -> impl Iterator<Item = &ObjectKey> {
    new_keys(one).filter(|key| had(one, key))
}

/// Whether it had an object and has it no more: then the pull request moves it.
fn gives(one: &Touched, key: &ObjectKey) -> bool {
    one.new.as_ref().is_some_and(|(_, set)| set.content().is_some()) && new_keys(one).all(|new| new != key)
}

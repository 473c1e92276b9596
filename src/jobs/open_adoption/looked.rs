//! One object that drifted, looked at once more: what of it would have to be written differently, and whether that is all.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::{Cluster, ClusterError, Fate, Identity, Onto, Write};
use crate::consent::HashedSet;
use crate::db::environments::Environment;
use crate::db::{deployments, inventory, sets};
use crate::ids::{ObjectKey, SetKey};
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::jobs::gather::there::{find, identity};
use crate::jobs::our_pull::Stop;
use crate::manifest::edit::{Edit, Step, at, change, shown};
use crate::manifest::{is_secret_flag, looks_secret, visible};
use crate::sync::adopt::adopt;
use crate::sync::drift::{Glance, What, but_for_scalers, glance};
use crate::sync::{Owner, Recorded};

/// How often an object is read again that changes while it is looked at.
const LOOKS: u32 = 3;
/// Letters of a path that are shown.
const LONGEST: usize = 200;

/// A field that is to be written as it is live.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) edit: Edit,
    /// As people write its path.
    pub(super) shown: String,
}

/// What is to be written of one object.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As it was sent.
    pub(super) sent: Value,
    pub(super) edits: Vec<Field>,
}

/// What a look came to.
pub(super) enum Looked {
    Wants(Wanted),
    /// Nothing of it is adopted, and why.
    Not(String),
}

/// Looks at objects of one environment.
pub(super) struct Looker<'r> {
    repository: &'r Repository<'r>,
    cluster: Cluster,
    recorded: BTreeMap<ObjectKey, Recorded>,
    /// What was deployed last.
    set: HashedSet,
    owner: String,
}

impl<'r> Looker<'r> {
    pub(super) async fn at(repository: &'r Repository<'r>, environment: &Environment) -> Result<Self, Stop> {
        let context = repository.context;
        let never = |why: &str| Stop::Never(why.to_owned());
        let mut conn = context.pool.acquire().await?;
        let last = deployments::list(&mut conn, environment.id, None, 1).await?.pop();
        let last = last.ok_or_else(|| never("nothing was deployed to it"))?;
        if deployments::is_running(&mut conn, environment.id).await? {
            return Err(never("a sync is on its way, which decides about everything by itself; ask again after it"));
        }
        let set = sets::load_hashed(&mut conn, &last.new.to.set).await?;
        drop(conn);
        let keys = set.hashes.keys().filter_map(|key| match key {
            SetKey::Object(key) => Some(key),
            SetKey::Entry => None,
        });
        let acts_as = identity(&repository.platform, &repository.row, &set.target, keys).map_err(Stop::Never)?;
        let own = context.clusters.get(&set.target.cluster, &Identity::Own).await?;
        let cluster_uid = own.uid().await?.to_owned();
        let cluster = context.clusters.get(&set.target.cluster, &acts_as).await?;
        let mut conn = context.pool.acquire().await?;
        if inventory::elsewhere(&mut conn, environment.id, &cluster_uid).await? > 0 {
            return Err(never("its cluster is another one now"));
        }
        let recorded = inventory::of(&mut conn, environment.id, &cluster_uid).await?;
        let owner = Owner::of(context.installation, &repository.row.key, &environment.name).to_string();
        Ok(Self { repository, cluster, recorded, set, owner })
    }

    /// One object, as it is now.
    pub(super) async fn look(&self, key: &ObjectKey) -> Result<Looked, JobError> {
        let mut looks = 0;
        loop {
            match self.try_looking(key).await {
                Err(Ended::Cluster(error)) if error.fate() == Fate::Look && looks < LOOKS => looks += 1,
                Err(Ended::Cluster(error)) if error.fate() == Fate::Look => {
                    return Ok(Looked::Not("it changes faster than it can be looked at; ask again later".to_owned()));
                }
                Err(Ended::Cluster(ClusterError::Refused { message, .. })) => {
                    return Ok(Looked::Not(format!("the server would not take it: {message}")));
                }
                Err(Ended::Cluster(ClusterError::NotServed(what))) => {
                    return Ok(Looked::Not(format!("the cluster does not serve {what}")));
                }
                Err(Ended::Cluster(error)) => return Err(error.into()),
                Err(Ended::Job(error)) => return Err(error),
                Ok(looked) => return Ok(looked),
            }
        }
    }

    async fn try_looking(&self, key: &ObjectKey) -> Result<Looked, Ended> {
        let not = |why: &str| Ok(Looked::Not(why.to_owned()));
        if key.group.is_empty() && key.kind == "Secret" {
            return not("the values of a Secret are never written into a repository; `heal` puts it right");
        }
        let Some(recorded) = self.recorded.get(key).filter(|one| one.uid.is_some()) else {
            return not("it is not ours any more");
        };
        let hash_key = &self.repository.context.hash_key;
        let Some(sent) = self.sent(key, recorded).await? else {
            return not("it is not as it was deployed last: a sync decides about it");
        };
        let resource = find(&self.cluster, &recorded.api_version, &key.kind, Some(key)).await?;
        let found = self.cluster.inspect(&resource, key, &sent, hash_key).await?;
        match glance(&self.owner, recorded, found.as_ref().map(|found| &found.seen)) {
            Glance::Settled => return not("it is as it was left"),
            Glance::Drifted(drift) => return Ok(Looked::Not(word(drift.what, drift.detail.as_deref()))),
            Glance::Ask => {}
        }
        let Some(found) = found else { return Ok(Looked::Not(word(What::Gone, None))) };
        let onto = Onto::This { uid: found.seen.uid.clone(), resource_version: found.seen.resource_version.clone() };
        let ours = but_for_scalers(&sent, &found.live);
        let write = Write { resource: &resource, key, object: &ours, owner: &self.owner, onto: &onto };
        let would = self.cluster.would(write, hash_key).await?;
        let edits = match adopt(&ours, &would, &found.live) {
            Ok(edits) if edits.is_empty() => return not("it is as it was left, or not in a field that is ours"),
            Ok(edits) => edits,
            Err(why) => return Ok(Looked::Not(why)),
        };
        // The server has the last word: with these edits, an apply would change nothing any more.
        let mut wanted = sent.clone();
        if !edits.iter().all(|edit| change(&mut wanted, edit)) {
            return not("what is live has no place in what is written");
        }
        if let Some(hidden) = edits.iter().find(|edit| is_hidden(edit, &wanted)) {
            let path = readable(&hidden.path);
            return Ok(Looked::Not(format!(
                "`{path}` looks like a credential, which is never written into a repository"
            )));
        }
        let wanted = but_for_scalers(&wanted, &found.live);
        let write = Write { resource: &resource, key, object: &wanted, owner: &self.owner, onto: &onto };
        let left = self.cluster.differs(write, &found.live, hash_key).await?.fields;
        if let Some(field) = left.first() {
            return Ok(Looked::Not(format!("`{field}` would differ still, with all written that can be")));
        }
        let edits = edits.into_iter().map(|edit| Field { shown: readable(&edit.path), edit }).collect();
        Ok(Looked::Wants(Wanted { sent, edits }))
    }

    /// What was sent of it, where it is still in what was deployed last.
    async fn sent(&self, key: &ObjectKey, recorded: &Recorded) -> Result<Option<Value>, Ended> {
        let hash = self.set.hashes.get(&SetKey::Object(key.clone())).filter(|hash| recorded.hash == **hash);
        let Some(hash) = hash.copied() else { return Ok(None) };
        let hashes =
            self.set.hashes.iter().filter(|(one, _)| **one == SetKey::Entry).map(|(one, hash)| (one.clone(), *hash));
        let hashes = hashes.chain([(SetKey::Object(key.clone()), hash)]).collect();
        let some = HashedSet { target: self.set.target.clone(), hashes };
        let context = self.repository.context;
        let mut conn = context.pool.acquire().await.map_err(JobError::from)?;
        let mut contents = sets::load_objects(&mut conn, some, &context.seal).await.map_err(JobError::from)?;
        Ok(contents.objects.remove(key).map(|object| object.json))
    }
}

/// A path on one line, with nothing in it that cannot be seen: keys may be anybody's.
fn readable(path: &[Step]) -> String {
    visible(&shown(path)).chars().take(LONGEST).collect()
}

/// What ends a look.
enum Ended {
    Cluster(ClusterError),
    Job(JobError),
}

impl From<ClusterError> for Ended {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

impl From<JobError> for Ended {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

/// Why drift of this kind is not adopted.
fn word(what: What, detail: Option<&str>) -> String {
    let said = match what {
        What::Changed => "it changed",
        What::Gone => "it is gone: to have it gone, remove it from the repository; `heal` makes it again",
        What::Replaced => "it was replaced by another one of its name; `heal` puts it right",
        What::Owned => "it is owned by somebody else now",
        What::Leaving => "it is leaving",
    };
    match detail {
        Some(detail) => format!("{said}: {detail}"),
        None => said.to_owned(),
    }
}

/// Whether what would be written is what no preview shows, by itself or for what stands beside it in `wanted`, which has it.
fn is_hidden(edit: &Edit, wanted: &Value) -> bool {
    let name = |step: &Step| match step {
        Step::Key(key) => Some(key.clone()),
        Step::Item(keys) => keys.get("name").and_then(Value::as_str).map(str::to_owned),
        Step::At(_) => None,
    };
    // What an item of a list is may be said by the one before it.
    let end = edit.path.iter().rposition(|step| !matches!(step, Step::At(_))).map_or(0, |place| place + 1);
    let (path, items) = edit.path.split_at(end);
    let to = if items.is_empty() { edit.to.as_ref() } else { at(wanted, path) };
    // The value of a variable goes by the name of its item.
    let names = path.iter().rev().filter_map(name).take(2).collect::<Vec<_>>();
    let is_of_item = names.first().is_some_and(|name| name == "value");
    let named = names.iter().take(if is_of_item { 2 } else { 1 });
    to.is_some_and(|to| named.into_iter().any(|name| hides(name, to)))
}

fn hides(name: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => looks_secret(name, text),
        Value::Array(items) => {
            let by_flag = |pair: &[Value]| pair.first().and_then(Value::as_str).is_some_and(is_secret_flag);
            items.windows(2).any(by_flag)
                || items.iter().any(|item| {
                    let name = item.get("name").and_then(Value::as_str).unwrap_or(name);
                    hides(name, item)
                })
        }
        Value::Object(map) => {
            let name = map.get("name").and_then(Value::as_str);
            map.iter()
                .any(|(key, value)| hides(key, value) || name.is_some_and(|name| key == "value" && hides(name, value)))
        }
        Value::Number(number) => looks_secret(name, &number.to_string()),
        Value::Null | Value::Bool(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_preview_shows_is_written_nowhere() {
        let key = |key: &str| Step::Key(key.to_owned());
        let wanted = json!({ "spec": {
            "args": ["--quiet", "--password", "hunter2"], "ports": ["--port", 8080], "adminPassword": 12_345_678, "replicas": 3,
            "env": [{ "name": "API_TOKEN", "value": "hunter2" }], "words": { "password": "hunter2" },
        } });
        for (path, hidden) in [
            (vec![key("spec"), key("args")], true),
            (vec![key("spec"), key("args"), Step::At(2)], true),
            (vec![key("spec"), key("ports")], false),
            (vec![key("spec"), key("ports"), Step::At(1)], false),
            (vec![key("spec"), key("adminPassword")], true),
            (vec![key("spec"), key("replicas")], false),
            (vec![key("spec"), key("env")], true),
            (vec![key("spec"), key("env"), Step::At(0)], true),
            (vec![key("spec"), key("words")], true),
            (vec![key("spec"), key("words"), key("password")], true),
        ] {
            let edit = Edit { to: at(&wanted, &path).cloned(), path };
            assert!(edit.to.is_some(), "{}", readable(&edit.path));
            assert_eq!(is_hidden(&edit, &wanted), hidden, "{}", readable(&edit.path));
        }
    }
}

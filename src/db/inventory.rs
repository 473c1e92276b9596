//! What we applied, per environment: the only proof by which anything is ever deleted.
//!
//! It grows before an object is sent and shrinks after it is confirmed gone, both under the fence of the running sync.
//! That an object belongs to one environment is a constraint (`inventory_one_owner`), not a check.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::ids::{ClusterName, EnvironmentName, ObjectHash, ObjectKey};
use crate::sync::drift::Mark;
use crate::sync::fields::LiveHash;
use crate::sync::{Desired, Recorded};

/// An object that is in another environment's inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub key: ObjectKey,
    /// Our number of the environment it belongs to.
    pub environment: i64,
    /// That environment's name.
    pub name: EnvironmentName,
    /// The full name of that environment's repository.
    pub repository: String,
}

/// What an environment has in one cluster.
///
/// # Errors
/// The database's own.
pub async fn of(
    conn: &mut PgConnection,
    environment: i64,
    cluster_uid: &str,
) -> Result<BTreeMap<ObjectKey, Recorded>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT api_group, kind, namespace, name, api_version, uid, hash, resource_version, live_hash
         FROM inventory WHERE environment_id = $1 AND cluster_uid = $2",
        environment,
        cluster_uid
    )
    .fetch_all(conn)
    .await?;
    let mut inventory = BTreeMap::new();
    for row in rows {
        let key = key(row.api_group, row.kind, row.namespace, row.name);
        let hash = ObjectHash::from_bytes(&row.hash).ok_or_else(|| bad("a hash"))?;
        let live = row.live_hash.map(|hash| hash.try_into().map(LiveHash).map_err(|_| bad("a live hash")));
        let recorded = Recorded {
            key: key.clone(),
            api_version: row.api_version,
            uid: row.uid,
            hash,
            resource_version: row.resource_version,
            live: live.transpose()?,
        };
        inventory.insert(key, recorded);
    }
    Ok(inventory)
}

/// How many objects an environment has, in whatever cluster.
///
/// # Errors
/// The database's own.
pub async fn count(conn: &mut PgConnection, environment: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM inventory WHERE environment_id = $1"#, environment)
        .fetch_one(conn)
        .await
}

/// What an environment has, in whatever cluster.
///
/// # Errors
/// The database's own.
pub async fn named(conn: &mut PgConnection, environment: i64) -> Result<Vec<ObjectKey>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT api_group, kind, namespace, name FROM inventory WHERE environment_id = $1
         ORDER BY kind, api_group, namespace, name, cluster_uid",
        environment
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| key(row.api_group, row.kind, row.namespace, row.name)).collect())
}

/// How many objects an environment has in other clusters than this one: none, unless its cluster's name led elsewhere.
///
/// # Errors
/// The database's own.
pub async fn elsewhere(conn: &mut PgConnection, environment: i64, cluster_uid: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM inventory WHERE environment_id = $1 AND cluster_uid <> $2"#,
        environment,
        cluster_uid
    )
    .fetch_one(conn)
    .await
}

/// Adds what is about to be sent and is not there yet; gives those that another environment has, which are not added
/// and must not be sent.
///
/// # Errors
/// The database's own.
pub async fn grow(
    conn: &mut PgConnection,
    environment: i64,
    cluster_uid: &str,
    objects: &[Desired],
) -> Result<Vec<Taken>, sqlx::Error> {
    let list = List::of(objects.iter().map(|object| &object.key));
    let versions: Vec<String> = objects.iter().map(|object| object.api_version.clone()).collect();
    let hashes: Vec<Vec<u8>> = objects.iter().map(|object| object.hash.as_bytes().to_vec()).collect();
    sqlx::query!(
        "INSERT INTO inventory (cluster_uid, api_group, kind, namespace, name, environment_id, api_version, hash)
         SELECT $1, g, k, ns, n, $2, v, h
         FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[]) AS new (g, k, ns, n, v, h)
         ORDER BY g, k, ns, n
         ON CONFLICT ON CONSTRAINT inventory_one_owner DO NOTHING",
        cluster_uid,
        environment,
        &list.groups,
        &list.kinds,
        &list.namespaces,
        &list.names,
        &versions,
        &hashes
    )
    .execute(&mut *conn)
    .await?;
    let rows = sqlx::query_as!(
        TakenRow,
        "SELECT i.api_group, i.kind, i.namespace, i.name, i.environment_id, e.name AS environment, r.full_name
         FROM inventory i JOIN environment e ON e.id = i.environment_id JOIN repository r ON r.id = e.repository_id
         JOIN unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS new (g, k, ns, n)
           ON (i.api_group, i.kind, i.namespace, i.name) = (new.g, new.k, new.ns, new.n)
         WHERE i.cluster_uid = $1 AND i.environment_id <> $2 ORDER BY 1, 2, 3, 4",
        cluster_uid,
        environment,
        &list.groups,
        &list.kinds,
        &list.namespaces,
        &list.names
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TakenRow::read).collect()
}

/// Which of these objects belong to other environments of the cluster of this name: what a preview warns of.
///
/// # Errors
/// The database's own.
pub async fn taken(
    conn: &mut PgConnection,
    environment: Option<i64>,
    cluster: &ClusterName,
    keys: &[ObjectKey],
) -> Result<Vec<Taken>, sqlx::Error> {
    let list = List::of(keys);
    let rows = sqlx::query_as!(
        TakenRow,
        "SELECT DISTINCT i.api_group, i.kind, i.namespace, i.name, i.environment_id, e.name AS environment, r.full_name
         FROM inventory i JOIN environment e ON e.id = i.environment_id JOIN repository r ON r.id = e.repository_id
         JOIN unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS new (g, k, ns, n)
           ON (i.api_group, i.kind, i.namespace, i.name) = (new.g, new.k, new.ns, new.n)
         WHERE e.cluster = $1 AND i.environment_id IS DISTINCT FROM $2 ORDER BY 1, 2, 3, 4",
        cluster.as_str(),
        environment,
        &list.groups,
        &list.kinds,
        &list.namespaces,
        &list.names
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TakenRow::read).collect()
}

/// Remembers what the server answered to sends: one question, of however many.
///
/// # Errors
/// The database's own; [`sqlx::Error::RowNotFound`] when one of the objects is not in this environment's inventory.
pub async fn confirm(
    conn: &mut PgConnection,
    environment: i64,
    cluster_uid: &str,
    sent: &[(Recorded, Mark)],
) -> Result<(), sqlx::Error> {
    if sent.is_empty() {
        return Ok(());
    }
    let list = List::of(sent.iter().map(|(row, _)| &row.key));
    let versions: Vec<String> = sent.iter().map(|(row, _)| row.api_version.clone()).collect();
    let uids: Vec<Option<String>> = sent.iter().map(|(row, _)| row.uid.clone()).collect();
    let hashes: Vec<Vec<u8>> = sent.iter().map(|(row, _)| row.hash.as_bytes().to_vec()).collect();
    let moved: Vec<Option<String>> = sent.iter().map(|(row, _)| row.resource_version.clone()).collect();
    let live: Vec<Option<Vec<u8>>> =
        sent.iter().map(|(row, _)| row.live.as_ref().map(|live| live.0.to_vec())).collect();
    let marks: Vec<Vec<u8>> = sent.iter().map(|(_, mark)| mark.0.to_vec()).collect();
    let done = sqlx::query!(
        "UPDATE inventory SET api_version = new.v, uid = new.u, hash = new.h, resource_version = new.rv, live_hash = new.l,
           mark = new.m
         FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::text[],
           $11::bytea[], $12::bytea[]) AS new (g, k, ns, n, v, u, h, rv, l, m)
         WHERE cluster_uid = $1 AND environment_id = $2
           AND (api_group, kind, namespace, name) = (new.g, new.k, new.ns, new.n)",
        cluster_uid,
        environment,
        &list.groups,
        &list.kinds,
        &list.namespaces,
        &list.names,
        &versions,
        &uids as &[Option<String>],
        &hashes,
        &moved as &[Option<String>],
        &live as &[Option<Vec<u8>>],
        &marks
    )
    .execute(conn)
    .await?;
    if done.rows_affected() == sent.len() as u64 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// Remembers versions that moved without touching anything of ours, so that they are not looked at again.
///
/// # Errors
/// The database's own.
pub async fn moved(
    conn: &mut PgConnection,
    environment: i64,
    cluster_uid: &str,
    versions: &[(ObjectKey, String)],
) -> Result<(), sqlx::Error> {
    let list = List::of(versions.iter().map(|(key, _)| key));
    let versions: Vec<String> = versions.iter().map(|(_, version)| version.clone()).collect();
    sqlx::query!(
        "UPDATE inventory SET resource_version = new.v
         FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS new (g, k, ns, n, v)
         WHERE cluster_uid = $1 AND environment_id = $2
           AND (api_group, kind, namespace, name) = (new.g, new.k, new.ns, new.n)",
        cluster_uid,
        environment,
        &list.groups,
        &list.kinds,
        &list.namespaces,
        &list.names,
        &versions
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets go of an object that is confirmed gone, or that turned out not to be ours.
///
/// # Errors
/// The database's own.
pub async fn forget(
    conn: &mut PgConnection,
    environment: i64,
    cluster_uid: &str,
    key: &ObjectKey,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM inventory
         WHERE cluster_uid = $1 AND environment_id = $2 AND api_group = $3 AND kind = $4 AND namespace = $5 AND name = $6",
        cluster_uid,
        environment,
        key.group,
        key.kind,
        key.namespace.as_deref().unwrap_or_default(),
        key.name
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) fn key(group: String, kind: String, namespace: String, name: String) -> ObjectKey {
    ObjectKey { group, kind, namespace: (!namespace.is_empty()).then_some(namespace), name }
}

pub(super) fn bad(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} in the inventory is not one").into())
}

struct TakenRow {
    api_group: String,
    kind: String,
    namespace: String,
    name: String,
    environment_id: i64,
    environment: String,
    full_name: String,
}

impl TakenRow {
    fn read(self) -> Result<Taken, sqlx::Error> {
        Ok(Taken {
            key: key(self.api_group, self.kind, self.namespace, self.name),
            environment: self.environment_id,
            name: self.environment.parse().map_err(|_| bad("an environment's name"))?,
            repository: self.full_name,
        })
    }
}

/// Keys by columns, as statements take them.
#[derive(Default)]
pub(super) struct List {
    pub(super) groups: Vec<String>,
    pub(super) kinds: Vec<String>,
    pub(super) namespaces: Vec<String>,
    pub(super) names: Vec<String>,
}

impl List {
    pub(super) fn of<'a>(keys: impl IntoIterator<Item = &'a ObjectKey>) -> Self {
        let mut list = Self::default();
        for key in keys {
            list.groups.push(key.group.clone());
            list.kinds.push(key.kind.clone());
            list.namespaces.push(key.namespace.clone().unwrap_or_default());
            list.names.push(key.name.clone());
        }
        list
    }
}

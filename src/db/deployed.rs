//! What the floors' policies say of what is deployed: reported, and acted on by nobody.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::ids::{RepositoryKey, SetDigest};
use crate::preview::PolicyRemark;

/// What they say of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Of which content.
    pub set: SetDigest,
    /// A digest of what was asked.
    pub policies: Vec<u8>,
    /// What they say; empty when all is well.
    pub remarks: Vec<PolicyRemark>,
    /// When they were asked last.
    pub judged_at: Timestamp,
}

macro_rules! verdict {
    ($row:expr) => {{
        let row = $row;
        let set = SetDigest::from_bytes(&row.set_digest);
        let set = set.ok_or_else(|| sqlx::Error::Decode("a set digest is not 32 bytes".into()))?;
        Verdict { set, policies: row.policies, remarks: row.remarks.0, judged_at: row.judged_at.to_jiff() }
    }};
}

/// Of an environment.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, environment: i64) -> Result<Option<Verdict>, sqlx::Error> {
    Ok(of(conn, &[environment]).await?.remove(&environment))
}

/// Of environments, where there is one.
///
/// # Errors
/// The database's own.
pub async fn of(conn: &mut PgConnection, environments: &[i64]) -> Result<BTreeMap<i64, Verdict>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT environment_id, set_digest, policies, remarks AS "remarks: Json<Vec<PolicyRemark>>", judged_at
           FROM deployed_verdict WHERE environment_id = ANY($1)"#,
        environments
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.environment_id, verdict!(row)))).collect()
}

/// Stores what they say.
///
/// # Errors
/// The database's own.
pub async fn put(conn: &mut PgConnection, environment: i64, verdict: &Verdict) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO deployed_verdict (environment_id, set_digest, policies, remarks, judged_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (environment_id) DO UPDATE SET set_digest = excluded.set_digest, policies = excluded.policies,
             remarks = excluded.remarks, judged_at = excluded.judged_at",
        environment,
        verdict.set.as_bytes(),
        verdict.policies,
        Json(&verdict.remarks) as _,
        verdict.judged_at.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets it: nobody asks any more.
///
/// # Errors
/// The database's own.
pub async fn forget(conn: &mut PgConnection, environment: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM deployed_verdict WHERE environment_id = $1", environment).execute(conn).await?;
    Ok(())
}

/// Environments of these clusters that something is deployed to, and those of which a verdict is stored.
///
/// # Errors
/// The database's own.
pub async fn to_judge(conn: &mut PgConnection, clusters: &[String]) -> Result<Vec<(i64, RepositoryKey)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT e.id, r.forge, r.forge_id FROM environment e JOIN repository r ON r.id = e.repository_id
         WHERE e.state IN ('active', 'orphaned') AND e.position_set IS NOT NULL AND e.cluster = ANY($1)
             OR EXISTS (SELECT FROM deployed_verdict v WHERE v.environment_id = e.id)
         ORDER BY e.id",
        clusters
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let forge = row.forge.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok((row.id, RepositoryKey { forge, id: row.forge_id }))
        })
        .collect()
}

/// How often each thing is said of what is deployed, by the ruling's stored word.
///
/// # Errors
/// The database's own.
pub async fn counted(conn: &mut PgConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT one ->> 'ruling' AS "ruling!", count(*) AS "count!"
           FROM deployed_verdict, jsonb_array_elements(remarks) AS one GROUP BY 1"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.ruling, row.count)).collect())
}

//! The clusters that environments are in, each summed up.

use sqlx::PgConnection;

/// A cluster as the database knows it: nothing is asked of the cluster itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNow {
    /// `[cluster.NAME]`.
    pub name: String,
    /// Environments that go there and are followed, or were until lately.
    pub environments: i64,
    /// Objects that we applied for them and that are not confirmed gone.
    pub objects: i64,
    /// How many of those are not as they were left.
    pub drifted: i64,
    /// Deployments that run there now.
    pub syncing: i64,
    /// Environments that wait because it could not be used.
    pub away: i64,
    /// Whether a server watches it now.
    pub is_watched: bool,
}

/// The clusters after this one, by name; `readable`: only what environments of these repositories (our numbers) have there.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &mut PgConnection,
    readable: Option<&[i64]>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<ClusterNow>, sqlx::Error> {
    sqlx::query_as!(
        ClusterNow,
        r#"WITH names AS (
               SELECT DISTINCT cluster AS name FROM environment
               WHERE state IN ('active', 'orphaned') AND ($1::bigint[] IS NULL OR repository_id = ANY($1))
                   AND ($2::text IS NULL OR cluster > $2)
               ORDER BY 1 LIMIT $3),
           here AS (
               SELECT e.id, e.cluster FROM environment e JOIN names n ON n.name = e.cluster
               WHERE e.state IN ('active', 'orphaned') AND ($1::bigint[] IS NULL OR e.repository_id = ANY($1)))
           SELECT n.name AS "name!", (SELECT count(*) FROM here h WHERE h.cluster = n.name) AS "environments!",
               (SELECT count(*) FROM inventory i JOIN here h ON h.id = i.environment_id WHERE h.cluster = n.name) AS "objects!",
               (SELECT count(*) FROM drift d JOIN inventory i USING (cluster_uid, api_group, kind, namespace, name)
                    JOIN here h ON h.id = i.environment_id WHERE h.cluster = n.name AND d.ended_at IS NULL) AS "drifted!",
               (SELECT count(*) FROM deployment p JOIN here h ON h.id = p.environment_id
                    WHERE h.cluster = n.name AND p.state = 'running') AS "syncing!",
               (SELECT count(*) FROM hold o JOIN here h ON h.id = o.environment_id
                    WHERE h.cluster = n.name AND o.reason = 'cluster-away') AS "away!",
               EXISTS (SELECT FROM cluster_watch w WHERE w.cluster = n.name AND w.lease_until > now()) AS "is_watched!"
           FROM names n ORDER BY n.name"#,
        readable,
        after,
        limit
    )
    .fetch_all(conn)
    .await
}

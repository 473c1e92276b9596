//! The shapes of what a cluster serves, in its own words.

use super::Cluster;
use super::error::ClusterError;
use super::wire::JSON;
use crate::manifest::ServedSchemas;

impl Cluster {
    /// The schemas of every kind, as they are on this day. What a server behind the API server does not tell is left out.
    ///
    /// # Errors
    /// As every read; that of the list of documents.
    pub async fn schemas(&self, day: String) -> Result<ServedSchemas, ClusterError> {
        let list = self.read_json("/openapi/v3", JSON).await?;
        let mut schemas = ServedSchemas::of(day);
        for (path, document) in list["paths"].as_object().into_iter().flatten() {
            let at = document["serverRelativeURL"].as_str().filter(|at| at.starts_with("/openapi/v3/"));
            // Those without a version tell of versions, not of kinds.
            let has_version = path.starts_with("api/") || path.matches('/').count() >= 2;
            let Some(at) = at.filter(|_| has_version) else { continue };
            if let Ok(document) = self.read_json(at, JSON).await {
                schemas.add(document);
            }
        }
        if schemas.is_empty() {
            return Err(ClusterError::unreadable("it tells not how what it serves is shaped"));
        }
        Ok(schemas)
    }
}

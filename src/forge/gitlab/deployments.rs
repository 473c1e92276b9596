//! The page of environments. A deployment there has a commit and a state, and no place for what it is of ours: one whose
//! making was not answered is the newest of ours on that commit that no other of ours is known to be.
//!
//! By docs.gitlab.com/api/deployments: it is made in a state, and a state it has already is refused with 400.

use serde_json::{Value, json};

use super::lists::List;
use super::{GitLab, parts, project, wire};
use crate::forge::error::Result;
use crate::forge::facts::RepositoryAt;
use crate::forge::http::Call;
use crate::forge::shown::{DeploymentState, DeploymentWord, NewDeployment};

/// Deployments to one environment that are looked through for one of ours.
const MOST_DEPLOYMENTS: usize = 5_000;

impl GitLab {
    pub(crate) async fn create_deployment(&self, at: &RepositoryAt, new: &NewDeployment) -> Result<i64> {
        let path = project(at, &["deployments"]);
        let body = json!({
            "environment": new.environment, "sha": new.commit, "ref": new.branch, "tag": false, "status": "running",
        });
        let call = Call { name: "create_deployment", path: &parts(&path), query: &[] };
        let made: wire::DeploymentJson = self.http.post(call, &body).await?;
        Ok(made.id)
    }

    /// Without those that are `known` to be others of ours.
    pub(crate) async fn find_deployment(
        &self,
        at: &RepositoryAt,
        new: &NewDeployment,
        known: &[i64],
    ) -> Result<Option<i64>> {
        let ourselves = self.ourselves().await?;
        let path = project(at, &["deployments"]);
        let query = [("environment", new.environment.as_str())];
        let list = List { name: "deployments", path: &path, query: &query, most: MOST_DEPLOYMENTS };
        let all: Vec<wire::DeploymentJson> = self.all(list).await?;
        let ours = all.into_iter().filter(|one| {
            let by_us = one.user.as_ref().is_some_and(|user| user.id == ourselves.id);
            by_us && one.sha == new.commit && !known.contains(&one.id)
        });
        Ok(ours.map(|one| one.id).max())
    }

    pub(crate) async fn set_deployment(&self, at: &RepositoryAt, number: i64, word: &DeploymentWord) -> Result<()> {
        // It has no word for what another one took the place of: it is not the last one any more.
        if word.state == DeploymentState::Replaced || self.deployment_is(at, number, word.state).await? {
            return Ok(());
        }
        let path = project(at, &["deployments", &number.to_string()]);
        let call = Call { name: "set_deployment", path: &parts(&path), query: &[] };
        let _: Value = self.put(call, &json!({ "status": said(word.state) })).await?;
        Ok(())
    }

    /// Whether this was said of it last.
    pub(crate) async fn deployment_is(&self, at: &RepositoryAt, number: i64, state: DeploymentState) -> Result<bool> {
        let path = project(at, &["deployments", &number.to_string()]);
        let call = Call { name: "deployment", path: &parts(&path), query: &[] };
        let now: wire::DeploymentJson = self.http.get(call).await?;
        Ok(now.status == said(state))
    }
}

fn said(state: DeploymentState) -> &'static str {
    match state {
        // It has no waiting deployments but those of its own pipelines.
        DeploymentState::Queued | DeploymentState::Running => "running",
        DeploymentState::Well => "success",
        DeploymentState::Failed => "failed",
        DeploymentState::Replaced => "canceled",
    }
}

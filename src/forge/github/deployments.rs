//! The page of deployments: one of GitHub's for each of ours, found again by what is in its payload.

use serde_json::{Value, json};

use super::{GitHub, Way, Whom, lists, wire};
use crate::forge::error::Result;
use crate::forge::facts::RepositoryAt;
use crate::forge::http::Call;
use crate::forge::shown::{DeploymentState, DeploymentWord, NewDeployment};

impl GitHub {
    /// Whether we may: of a token only its use shows that.
    pub(crate) async fn may_deploy(&self, at: &RepositoryAt) -> Result<bool> {
        let Way::App(app) = &self.way else { return Ok(true) };
        let token = app.for_repository(&self.http, at.id, at.name.owner()).await?;
        Ok(token.permissions.get("deployments").is_some_and(|level| level == "write"))
    }

    /// Its number. Nothing is merged and no check is waited for: what may be deployed was judged by us.
    pub(crate) async fn create_deployment(&self, at: &RepositoryAt, new: &NewDeployment) -> Result<i64> {
        let path = self.path(at, &["deployments"]);
        let body = json!({
            "ref": new.commit,
            "environment": new.environment,
            "description": format!("{} #{}", new.ours, new.number),
            "payload": { "bascule": new.id, "environment": new.ours, "number": new.number },
            "auto_merge": false,
            "required_contexts": [],
        });
        let call = Call { name: "create_deployment", path: &path, query: &[] };
        let made: wire::DeploymentJson = self.post(at, call, &body).await?;
        Ok(made.id)
    }

    /// The one whose payload names ours.
    pub(crate) async fn find_deployment(&self, at: &RepositoryAt, new: &NewDeployment) -> Result<Option<i64>> {
        let path = self.path(at, &["deployments"]);
        let query = [("sha", new.commit.as_str()), ("environment", &new.environment), ("per_page", lists::PAGE)];
        let call = Call { name: "deployments", path: &path, query: &query };
        let all: Vec<wire::DeploymentJson> = self.get(Whom::Repository(at), call).await?;
        Ok(all.into_iter().find(|one| one.payload["bascule"] == json!(new.id)).map(|one| one.id))
    }

    pub(crate) async fn set_deployment(&self, at: &RepositoryAt, number: i64, word: &DeploymentWord) -> Result<()> {
        let number = number.to_string();
        let path = self.path(at, &["deployments", &number, "statuses"]);
        // Another environment of ours may share the stage: what another one replaced, we say ourselves.
        let mut body = json!({ "state": said(word.state), "description": word.description, "auto_inactive": false });
        if let Some(url) = &word.url {
            body["log_url"] = url.as_str().into();
        }
        let call = Call { name: "set_deployment", path: &path, query: &[] };
        let _: Value = self.post(at, call, &body).await?;
        Ok(())
    }

    /// Whether this was said of it last.
    pub(crate) async fn deployment_is(&self, at: &RepositoryAt, number: i64, state: DeploymentState) -> Result<bool> {
        let number = number.to_string();
        let path = self.path(at, &["deployments", &number, "statuses"]);
        let call = Call { name: "deployment_words", path: &path, query: &[("per_page", lists::PAGE)] };
        let all: Vec<wire::DeploymentWordJson> = self.get(Whom::Repository(at), call).await?;
        Ok(all.into_iter().max_by_key(|one| one.id).is_some_and(|newest| newest.state == said(state)))
    }
}

fn said(state: DeploymentState) -> &'static str {
    match state {
        DeploymentState::Queued => "queued",
        DeploymentState::Running => "in_progress",
        DeploymentState::Well => "success",
        DeploymentState::Failed => "failure",
        DeploymentState::Replaced => "inactive",
    }
}

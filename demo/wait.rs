//! Waiting until what a scene says is so, seen where a person would see it: on the forge, and in the cluster.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::stage::Stage;

/// The longest any scene waits; on two busy cores most take a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

impl Stage<'_> {
    /// Our comment on a pull request or issue, once it has all of these.
    pub(crate) async fn comment_with(&self, number: u64, wanted: &[&str]) -> Result<String> {
        let what = format!("a comment on #{number} with {wanted:?}");
        self.until(&what, async || {
            let path = format!("/repos/{}/issues/{number}/comments", self.options.repository);
            let comments = self.author.get(&path).await?;
            let ours = comments.as_array().into_iter().flatten().filter_map(|one| one["body"].as_str());
            Ok(ours
                .filter(|body| body.contains("**Bascule**"))
                .find(|body| wanted.iter().all(|word| body.contains(word)))
                .map(str::to_owned))
        })
        .await
    }

    pub(crate) async fn held_issue(&self, environment: &str) -> Result<(u64, String)> {
        let number = self
            .until(&format!("an issue that holds {environment}"), async || {
                let issues = self
                    .author
                    .get(&format!("/repos/{}/issues?type=issues&state=open", self.options.repository))
                    .await?;
                let named = |one: &&Value| one["title"].as_str().is_some_and(|title| title.contains(environment));
                Ok(issues.as_array().into_iter().flatten().find(named).and_then(|one| one["number"].as_u64()))
            })
            .await?;
        Ok((number, self.comment_with(number, &["/bascule approve"]).await?))
    }

    pub(crate) async fn closed(&self, issue: u64) -> Result<()> {
        self.until(&format!("issue #{issue} to be closed"), async || {
            let found = self.author.get(&format!("/repos/{}/issues/{issue}", self.options.repository)).await?;
            Ok((found["state"] == "closed").then_some(()))
        })
        .await
    }

    pub(crate) async fn status(&self, number: u64, context: &str, wanted: &str) -> Result<()> {
        self.until(&format!("{context} to be {wanted} on #{number}"), async || {
            let repository = &self.options.repository;
            let pull = self.author.get(&format!("/repos/{repository}/pulls/{number}")).await?;
            let head = pull["head"]["sha"].as_str().unwrap_or_default();
            let combined = self.author.get(&format!("/repos/{repository}/commits/{head}/status")).await?;
            let newest = combined["statuses"].as_array().into_iter().flatten().find(|one| one["context"] == context);
            Ok(newest.filter(|one| one["status"] == wanted).map(|_| ()))
        })
        .await
    }

    pub(crate) async fn rolled_out(&self, namespace: &str, replicas: u64) -> Result<()> {
        self.until(&format!("{replicas} ready pods in {namespace}"), async || {
            let found = self.cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).await;
            let ready = found.ok().and_then(|found| found["status"]["readyReplicas"].as_u64());
            Ok((ready == Some(replicas)).then_some(()))
        })
        .await
    }

    pub(crate) async fn image_is(&self, namespace: &str, image: &str) -> Result<()> {
        self.until(&format!("{image} in {namespace}"), async || {
            let found = self.cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).await?;
            Ok((found["spec"]["template"]["spec"]["containers"][0]["image"] == image).then_some(()))
        })
        .await
    }

    pub(crate) async fn gone(&self, path: &str) -> Result<()> {
        self.until(&format!("{path} to be gone"), async || Ok(self.cluster.get(path).await.is_err().then_some(())))
            .await
    }

    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < PATIENCE {
            match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => last = format!(" (last: {error:#})"),
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("waited {} s for {what}{last}", PATIENCE.as_secs())
    }
}

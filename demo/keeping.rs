//! The scenes of the day after: what somebody's hand did is seen and put right, a freeze holds a merge, and a rollout that fails
//! is rolled back.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::story::{approve_line, print_quoted};
use crate::{Options, files};

impl Stage<'_> {
    pub(crate) async fn drift(&self) -> Result<()> {
        println!("\n4. Somebody's hand is seen, and what it did is put right");
        let Options { approver, repository, .. } = self.options;
        let begun = Instant::now();
        self.edits("shop-staging", 7).await?;
        self.has_replicas("shop-staging", 1).await?;
        let took = begun.elapsed().as_secs_f64();
        self.say(&format!(
            "somebody gives staging 7 replicas with kubectl; its rules say `drift: heal`: it had 1 again after {took:.1} s"
        ));
        // Production's rules say nothing of it, so it is shown and left alone until somebody says more.
        self.edits("shop", 7).await?;
        let shown = self
            .until("the drift of production", async || {
                let said = self.client(&["drift", "production"]).await?;
                Ok(said.contains(".spec.replicas").then_some(said))
            })
            .await?;
        self.say("the same in production, whose rules do not: `bascule drift production` says");
        print_quoted(&shown);
        ensure!(self.replicas("shop").await? == 7, "production was put right, and nobody said so");
        let number = self.last_pull().await?;
        self.approver.comment(repository, number, "/bascule heal production").await?;
        self.has_replicas("shop", 2).await?;
        self.say(&format!("{approver} types `/bascule heal production` in #{number}: it has 2 again"));
        self.until("no drift", async || Ok((!self.client(&["drift"]).await?.contains(".spec.replicas")).then_some(())))
            .await
    }

    pub(crate) async fn freeze(&self) -> Result<()> {
        println!("\n6. A freeze holds a merge");
        let Options { author, approver, repository, .. } = self.options;
        let number = self.proposes("three-replicas", "Three replicas", &files::replicas(self.options, 3)).await?;
        let typed = "/bascule freeze production --reason \"the till is being counted\"";
        self.approver.comment(repository, number, typed).await?;
        self.comment_with(number, &["nothing new is synced until somebody ends it"]).await?;
        self.say(&format!("{author} opened #{number}, {approver} approved it, and types {typed}"));
        self.author.merge(repository, number, "merge").await?;
        let held = self.comment_with(number, &["**held**: `frozen`", "/bascule unfreeze production"]).await?;
        self.say("merged, and held:");
        print_quoted(line_with(&held, "**held**"));
        ensure!(self.replicas("shop").await? == 2, "production was synced while it was frozen");
        self.approver.comment(repository, number, "/bascule unfreeze production").await?;
        self.rolled_out("shop", 3).await?;
        self.comment_with(number, &["healthy"]).await?;
        self.say(&format!("{approver} types /bascule unfreeze production: production has 3 replicas"));
        Ok(())
    }

    pub(crate) async fn failure(&self) -> Result<()> {
        println!("\n7. A rollout that fails is explained, and rolled back with its revert");
        let Options { author, approver, repository, .. } = self.options;
        let number = self.proposes("memory", "More memory", &files::too_large(self.options, 3)).await?;
        self.author.merge(repository, number, "merge").await?;
        self.say(&format!("{author} asks for 64 Ti of memory in #{number}, {approver} approved it, and it is merged"));
        let told = self.comment_with(number, &["Insufficient memory"]).await?;
        self.say("no node has that; it is not well within its 20 s, and the comment says why:");
        print_quoted(line_with(&told, "Insufficient memory"));
        self.approver.comment(repository, number, "/bascule rollback production").await?;
        let memory = "/spec/template/spec/containers/0/resources/requests/memory";
        self.until("64Mi of memory in production", async || {
            let live = self.cluster.get("/apis/apps/v1/namespaces/shop/deployments/web").await?;
            Ok((live.pointer(memory) == Some(&json!("64Mi"))).then_some(()))
        })
        .await?;
        self.rolled_out("shop", 3).await?;
        self.say(&format!("{approver} types /bascule rollback production"));
        let revert = self.revert().await?;
        self.say(&format!(
            "production is as it was, and pinned there; Bascule opened #{revert}, which reverts on main:"
        ));
        let text = self.comment_with(revert, &["production"]).await?;
        print_quoted(&text);
        self.status(revert, "bascule/consent", "success").await?;
        self.author.merge(repository, revert, "merge").await?;
        self.until("the pin to end", async || {
            Ok((!self.client(&["status", "production"]).await?.contains("pinned")).then_some(()))
        })
        .await?;
        self.say(&format!("{author} merged #{revert}: nothing is pinned any more, and main and production agree"));
        Ok(())
    }

    /// A pull request of production's that the approver approved.
    async fn proposes(&self, branch: &str, title: &str, files: &[(String, String)]) -> Result<u64> {
        let repository = &self.options.repository;
        self.branch(branch).await?;
        self.commit(branch, title, files).await?;
        let number = self.author.open_pull(repository, branch, title).await?;
        let text = self.comment_with(number, &["/bascule approve production"]).await?;
        self.approver.comment(repository, number, &approve_line(&text, "production")?).await?;
        self.status(number, "bascule/consent", "success").await?;
        Ok(number)
    }

    /// The pull request that takes back what a rollback took away.
    async fn revert(&self) -> Result<u64> {
        self.until("a pull request that reverts", async || {
            let pulls = self.author.get(&format!("/repos/{}/pulls?state=open", self.options.repository)).await?;
            let reverts = |one: &&Value| one["title"].as_str().is_some_and(|title| title.contains("evert"));
            Ok(pulls.as_array().into_iter().flatten().find(reverts).and_then(|one| one["number"].as_u64()))
        })
        .await
    }

    async fn last_pull(&self) -> Result<u64> {
        let pulls = self
            .author
            .get(&format!("/repos/{}/pulls?state=closed&sort=recentupdate", self.options.repository))
            .await?;
        let numbers = pulls.as_array().into_iter().flatten().filter_map(|one| one["number"].as_u64());
        numbers.max().context("no pull request was merged")
    }

    /// Somebody's hand, as `kubectl edit` has one.
    async fn edits(&self, namespace: &str, replicas: u64) -> Result<()> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
        let mut object = self.cluster.get(&path).await?;
        object["spec"]["replicas"] = replicas.into();
        // Whoever wrote its status meanwhile is not to be minded.
        object["metadata"]["resourceVersion"] = Value::Null;
        self.cluster.request(Method::PUT, &format!("{path}?fieldManager=kubectl-edit"), Some(&object)).await?;
        Ok(())
    }

    async fn replicas(&self, namespace: &str) -> Result<u64> {
        let found = self.cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).await?;
        found["spec"]["replicas"].as_u64().context("a Deployment without replicas")
    }

    async fn has_replicas(&self, namespace: &str, wanted: u64) -> Result<()> {
        self.until(&format!("{wanted} replicas in {namespace}"), async || {
            Ok((self.replicas(namespace).await? == wanted).then_some(()))
        })
        .await
    }
}

fn line_with<'t>(text: &'t str, word: &str) -> &'t str {
    text.lines().find(|line| line.contains(word)).unwrap_or_default()
}

//! The story, scene by scene; each waits until what it says is so.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;

use crate::parts::Verdict;
use crate::stage::{CONFIG, DATA, Stage};
use crate::{Options, files, server, tamper};

/// Somebody pressed Ctrl-C before the end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

/// Tells it. `stay`: keeps everything running until Ctrl-C.
pub(crate) async fn tell(options: &Options, stay: bool) -> Result<()> {
    let stage = unless_interrupted(Box::pin(Stage::set(options))).await?;
    let played = unless_interrupted(Box::pin(stage.play())).await;
    if let Err(error) = &played
        && !error.is::<Interrupted>()
    {
        eprintln!("\nThe end of the server's log:\n{}", stage.server.log_tail());
        stage.show_comments().await;
    }
    if stay && played.is_ok() {
        println!("\nEverything stays up until Ctrl-C:");
        println!(
            "  Gitea       {}   ({} / {})",
            stage.gitea.url(),
            stage.author_user.login,
            stage.author_user.password
        );
        println!("  previews    http://127.0.0.1:{}/previews/1   (sign in as the same)", stage.listen);
        println!("  kubeconfig  {}", stage.cluster.kubeconfig().display());
        tokio::signal::ctrl_c().await?;
    }
    // In order, also after a failure: its database ends before the folder it lives in is removed.
    stage.server.stop().await?;
    played?;
    println!("\nThe whole story took {:.0} s, parts included.", stage.begun.elapsed().as_secs_f64());
    Ok(())
}

async fn unless_interrupted<T>(told: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        told = told => told,
        _ = tokio::signal::ctrl_c() => Err(Interrupted.into()),
    }
}

impl Stage<'_> {
    async fn play(&self) -> Result<()> {
        self.first_set().await?;
        self.pull_request().await?;
        self.removal().await?;
        self.drift().await?;
        self.direct_push().await?;
        self.freeze().await?;
        self.failure().await?;
        self.proof().await
    }

    pub(crate) fn say(&self, text: &str) {
        println!("{:>6.1} s  {text}", self.begun.elapsed().as_secs_f64());
    }

    /// What was said last, for whoever has to find out why a scene went wrong.
    async fn show_comments(&self) {
        let path = format!("/repos/{}/issues/comments?limit=50", self.options.repository);
        let comments = self.author.get(&path).await.unwrap_or_default();
        for comment in comments.as_array().into_iter().flatten().rev().take(4) {
            let (who, body) = (comment["user"]["login"].as_str(), comment["body"].as_str());
            eprintln!("\n{}:\n{}", who.unwrap_or_default(), body.unwrap_or_default());
        }
    }

    pub(crate) async fn commit(&self, branch: &str, message: &str, files: &[(String, String)]) -> Result<String> {
        let files: Vec<(&str, Option<&str>)> =
            files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
        self.author.commit(&self.options.repository, branch, message, &files).await
    }

    async fn first_set(&self) -> Result<()> {
        println!("\n1. A first set is held until it is approved");
        let Options { author, approver, repository, .. } = self.options;
        self.commit("main", "The shop, and the rules for its environments", &files::first(self.options)).await?;
        self.say(&format!("{author} pushed the first commit of {repository}"));
        for (environment, namespace, replicas) in [("staging", "shop-staging", 1), ("production", "shop", 2)] {
            let (issue, comment) = self.held_issue(environment).await?;
            let line = approve_line(&comment, environment)?;
            self.say(&format!("{environment} is held in issue #{issue}: a first set needs the grant's owners"));
            self.approver.comment(repository, issue, &format!("{line} --reason \"first rollout\"")).await?;
            self.say(&format!("{approver} consents there: {line}"));
            self.rolled_out(namespace, replicas).await?;
            self.say(&format!("{environment} is rolled out, its pods are ready (simulated)"));
            self.closed(issue).await?;
        }
        Ok(())
    }

    async fn pull_request(&self) -> Result<()> {
        println!("\n2. A pull request, from its preview to the cluster");
        let Options { author, approver, repository, next_image, .. } = self.options;
        self.branch("next-image").await?;
        self.commit("next-image", &format!("Run {next_image}"), &files::second_image(self.options)).await?;
        let opened = Instant::now();
        let number = self.author.open_pull(repository, "next-image", "Run the next image").await?;
        let text = self.comment_with(number, &[next_image, "staging", "production"]).await?;
        self.say(&format!(
            "{author} opened #{number}; the preview came after {:.1} s:",
            opened.elapsed().as_secs_f64()
        ));
        print_quoted(&text);
        let line = approve_line(&text, "production")?;
        self.author.comment(repository, number, &line).await?;
        let refused = self.comment_with(number, &["does not count"]).await?;
        ensure!(refused.contains(author.as_str()), "the refusal does not name {author}:\n{refused}");
        self.say(&format!("{author}'s own approval does not count: {}", why_not(&refused)));
        self.approver.review(repository, number, Verdict::Approve, "").await?;
        self.status(number, "bascule/consent", "success").await?;
        self.say(&format!("{approver} approved by a review, and bascule/consent is green"));
        self.author.merge(repository, number, "merge").await?;
        let merged = Instant::now();
        self.image_is("shop-staging", next_image).await?;
        self.say("merged: staging runs the next image");
        self.image_is("shop", next_image).await?;
        self.comment_with(number, &["healthy"]).await?;
        self.say(&format!("then production; healthy {:.1} s after the merge", merged.elapsed().as_secs_f64()));
        if let Some(memory) = self.server.memory() {
            self.say(&format!("the server uses {} MiB", memory / 1024));
        }
        Ok(())
    }

    async fn removal(&self) -> Result<()> {
        println!("\n3. Deliveries are lost, and the sweep finds what they would have told");
        let Options { author, approver, repository, .. } = self.options;
        let path = format!("/repos/{repository}/hooks/{}", self.hook);
        self.gitea.api()?.patch(&path, json!({ "active": false })).await?;
        self.say("the webhook is switched off");
        // Nobody's pull request did that: it is told apart from what one would do.
        let service = "/api/v1/namespaces/shop/services/web";
        self.cluster.request(Method::DELETE, service, None).await?;
        self.say("somebody deletes Service shop/web by hand, straight in the cluster");
        self.branch("remove-legacy").await?;
        self.commit("remove-legacy", "Remove the legacy port", &files::without_legacy(self.options)).await?;
        let number = self.author.open_pull(repository, "remove-legacy", "Remove the legacy port").await?;
        let wanted = ["legacy", "removes", "1 gone", "puts drift right", "services-that-go"];
        let text = self.comment_with(number, &wanted).await?;
        self.say(&format!(
            "{author} opened #{number}; the sweep found it, and the preview names what goes, what went by hand, and a policy's word:"
        ));
        print_quoted(&text);
        let line = approve_line(&text, "production")?;
        self.approver.comment(repository, number, &line).await?;
        self.status(number, "bascule/consent", "success").await?;
        self.say(&format!("{approver} consents: {line}"));
        self.author.merge(repository, number, "squash").await?;
        self.gone("/api/v1/namespaces/shop/services/legacy").await?;
        self.comment_with(number, &["healthy"]).await?;
        self.cluster.get(service).await?;
        self.say(
            "merged by squash, synced: Service shop/legacy is gone from the cluster, and Service shop/web is back",
        );
        self.gitea.api()?.patch(&path, json!({ "active": true })).await?;
        Ok(())
    }

    async fn direct_push(&self) -> Result<()> {
        println!("\n5. A direct push is held; taken back, it needs nothing");
        let Options { author, .. } = self.options;
        self.commit("main", "Five replicas, quickly", &files::replicas(self.options, 5)).await?;
        let (issue, _) = self.held_issue("production").await?;
        self.say(&format!("{author} pushed five replicas to main: production is held, in issue #{issue}"));
        self.commit("main", "Revert: two replicas", &files::replicas(self.options, 2)).await?;
        self.closed(issue).await?;
        let replicas = self.cluster.get("/apis/apps/v1/namespaces/shop/deployments/web").await?;
        ensure!(replicas["spec"]["replicas"] == json!(2), "production was synced to what nobody consented to");
        self.say("reverted: nothing is held any more, and production never had five");
        Ok(())
    }

    async fn proof(&self) -> Result<()> {
        println!("\n8. The record, and its proof");
        print_quoted(&self.client(&["audit", "report", "deployments"]).await?);
        let verified = self.client(&["audit", "verify"]).await?;
        print_quoted(&verified);
        self.say("the log is whole; and with the server's own database connection, to change it:");
        for (tried, answer) in tamper::tries(&self.folder.path().join(DATA)).await? {
            print_quoted(&format!("{tried}: {answer}"));
        }
        Ok(())
    }

    /// Runs the command line on the server's host.
    async fn bascule(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(server::program()?);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join(CONFIG))
            .env("DEMO_WEBHOOK_SECRET", "x")
            .env("DEMO_TOKEN", "x");
        said(command).await
    }

    /// Runs the command line as a client of the server.
    pub(crate) async fn client(&self, arguments: &[&str]) -> Result<String> {
        let token = self.token.get_or_try_init(async || {
            let said = self.bascule(&["token", "create", "demo", "--scope", "read,audit", "--expires", "1d"]).await?;
            let token = said.split_whitespace().find(|word| word.starts_with("bsc_"));
            token.map(str::to_owned).context("no token was printed")
        });
        let token = token.await?;
        let mut command = tokio::process::Command::new(server::program()?);
        command
            .args(arguments)
            .env("BASCULE_SERVER", format!("http://127.0.0.1:{}", self.listen))
            .env("BASCULE_TOKEN", token);
        said(command).await
    }

    pub(crate) async fn branch(&self, name: &str) -> Result<()> {
        let path = format!("/repos/{}/branches", self.options.repository);
        self.author.post(&path, json!({ "new_branch_name": name, "old_branch_name": "main" })).await?;
        Ok(())
    }
}

async fn said(mut command: tokio::process::Command) -> Result<String> {
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}{}", text, String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// The line the comment prints for an environment.
pub(crate) fn approve_line(comment: &str, environment: &str) -> Result<String> {
    let begin = format!("/bascule approve {environment} ");
    let at = comment.find(&begin).with_context(|| format!("no line to approve {environment}:\n{comment}"))?;
    let line = comment[at..].lines().next().unwrap_or_default();
    Ok(line.split('`').next().unwrap_or(line).trim().to_owned())
}

fn why_not(comment: &str) -> &str {
    comment
        .split("does not count")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default()
        .trim_matches([':', ' ', ')', '|'])
}

pub(crate) fn print_quoted(text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        println!("          │ {line}");
    }
}

//! The story, scene by scene; each waits until what it says is so.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Options;
use crate::files::{self, Places};
use crate::parts::{ControlPlane, Gitea, GiteaApi, Permission, Progress, Rollouts, User, Verdict};
use crate::server::{self, Server};

/// The longest any scene waits; on two busy cores most take a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

struct Stage<'a> {
    options: &'a Options,
    gitea: Gitea,
    cluster: ControlPlane,
    author: GiteaApi,
    approver: GiteaApi,
    server: Server,
    begun: Instant,
}

/// Tells it. `stay`: keeps everything running until Ctrl-C.
pub(crate) async fn tell(options: &Options, stay: bool) -> Result<()> {
    let begun = Instant::now();
    let progress = Progress::to(|step| println!("  {step}"));
    println!("Starting the parts:");
    let (gitea, cluster) =
        tokio::try_join!(Gitea::start(&progress), ControlPlane::start(&progress, Rollouts::Simulated))?;
    let folder = tempfile::Builder::new().prefix("bascule-demo-").tempdir()?;
    open_to_all(folder.path())?;

    let (author, approver, bot) = people(options, &gitea).await?;
    cluster.apply(files::NAMESPACES).await?;
    let [listen, admin] = ports()?;
    let config = folder.path().join("bascule.toml");
    let data = folder.path().join("data");
    let places = Places {
        data: &data,
        gitea: &gitea.url(),
        kubeconfig: cluster.kubeconfig(),
        listen,
        admin,
        repository: &options.repository,
        author: &options.author,
        approver: &options.approver,
    };
    std::fs::write(&config, files::server(&places))?;
    let secret = "demo-webhook-secret-0123456789abcdef";
    println!("  starting Bascule with its embedded PostgreSQL");
    let secrets = [("DEMO_WEBHOOK_SECRET", secret), ("DEMO_TOKEN", bot.token.as_str())];
    let server = Server::start(&config, folder.path(), listen, secrets).await?;
    let hook = gitea.add_hook(&options.repository, &format!("http://127.0.0.1:{listen}/webhooks/work"), secret).await?;
    let stage = Stage {
        options,
        author: gitea.api_of(&author)?,
        approver: gitea.api_of(&approver)?,
        gitea,
        cluster,
        server,
        begun,
    };
    let played = stage.play(&config, hook, listen).await;
    if let Err(error) = &played {
        eprintln!("\nThe end of the server's log:\n{}", stage.server.log_tail());
        stage.show_comments().await;
        eprintln!("\n{error:#}");
        played?;
    }
    if stay {
        println!("\nEverything stays up until Ctrl-C:");
        println!("  Gitea       {}   ({} / {})", stage.gitea.url(), author.login, author.password);
        println!("  previews    http://127.0.0.1:{listen}/previews/1");
        println!("  kubeconfig  {}", stage.cluster.kubeconfig().display());
        tokio::signal::ctrl_c().await?;
    }
    stage.server.stop().await?;
    println!("\nThe whole story took {:.0} s, parts included.", begun.elapsed().as_secs_f64());
    Ok(())
}

/// As root, PostgreSQL runs as another user, who has to get to its folder.
fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))?)
}

fn ports() -> Result<[u16; 2]> {
    let listeners = [std::net::TcpListener::bind("127.0.0.1:0")?, std::net::TcpListener::bind("127.0.0.1:0")?];
    let port = |listener: &std::net::TcpListener| Ok::<_, std::io::Error>(listener.local_addr()?.port());
    Ok([port(&listeners[0])?, port(&listeners[1])?])
}

async fn people(options: &Options, gitea: &Gitea) -> Result<(User, User, User)> {
    let (owner, name) = options.repository.split_once('/').context("--repository is OWNER/NAME")?;
    let author = gitea.create_user(&options.author).await?;
    let approver = gitea.create_user(&options.approver).await?;
    let bot = gitea.create_user("bascule-bot").await?;
    gitea.create_organisation(gitea.admin(), owner).await?;
    gitea.create_repository(owner, name).await?;
    for person in [&author, &approver] {
        gitea.add_collaborator(&options.repository, person, Permission::Write).await?;
    }
    gitea.add_collaborator(&options.repository, &bot, Permission::Admin).await?;
    Ok((author, approver, bot))
}

impl Stage<'_> {
    async fn play(&self, config: &Path, hook: u64, listen: u16) -> Result<()> {
        self.first_set().await?;
        self.pull_request().await?;
        self.removal(hook).await?;
        self.direct_push().await?;
        self.proof(config, listen).await
    }

    fn say(&self, text: &str) {
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

    async fn commit(&self, branch: &str, message: &str, files: &[(String, String)]) -> Result<String> {
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

    async fn removal(&self, hook: u64) -> Result<()> {
        println!("\n3. Deliveries are lost, and the sweep finds what they would have told");
        let Options { author, approver, repository, .. } = self.options;
        let path = format!("/repos/{repository}/hooks/{hook}");
        self.gitea.api()?.patch(&path, json!({ "active": false })).await?;
        self.say("the webhook is switched off");
        self.branch("remove-legacy").await?;
        self.commit("remove-legacy", "Remove the legacy port", &files::without_legacy(self.options)).await?;
        let number = self.author.open_pull(repository, "remove-legacy", "Remove the legacy port").await?;
        let text = self.comment_with(number, &["legacy", "removes"]).await?;
        self.say(&format!("{author} opened #{number}; the sweep found it, and the preview names what goes"));
        let line = approve_line(&text, "production")?;
        self.approver.comment(repository, number, &line).await?;
        self.status(number, "bascule/consent", "success").await?;
        self.say(&format!("{approver} consents: {line}"));
        self.author.merge(repository, number, "squash").await?;
        self.gone("/api/v1/namespaces/shop/services/legacy").await?;
        self.comment_with(number, &["healthy"]).await?;
        self.say("merged by squash, synced, and Service shop/legacy is gone from the cluster");
        self.gitea.api()?.patch(&path, json!({ "active": true })).await?;
        Ok(())
    }

    async fn direct_push(&self) -> Result<()> {
        println!("\n4. A direct push is held; taken back, it needs nothing");
        let Options { author, .. } = self.options;
        self.commit("main", "Five replicas, quickly", &files::direct(self.options, 5)).await?;
        let (issue, _) = self.held_issue("production").await?;
        self.say(&format!("{author} pushed five replicas to main: production is held, in issue #{issue}"));
        self.commit("main", "Revert: two replicas", &files::direct(self.options, 2)).await?;
        self.closed(issue).await?;
        let replicas = self.cluster.get("/apis/apps/v1/namespaces/shop/deployments/web").await?;
        ensure!(replicas["spec"]["replicas"] == json!(2), "production was synced to what nobody consented to");
        self.say("reverted: nothing is held any more, and production never had five");
        Ok(())
    }

    async fn proof(&self, config: &Path, listen: u16) -> Result<()> {
        println!("\n5. The record, and its proof");
        let token = self
            .bascule(config, listen, &["token", "create", "demo", "--scope", "read,audit", "--expires", "1d"])
            .await?;
        let token =
            token.split_whitespace().find(|word| word.starts_with("bsc_")).context("no token was printed")?.to_owned();
        let run = |arguments: &'static [&'static str]| self.client(listen, &token, arguments);
        print_quoted(&run(&["audit", "report", "deployments"]).await?);
        let verified = run(&["audit", "verify"]).await?;
        print_quoted(&verified);
        ensure!(!verified.to_lowercase().contains("changed"), "the log is not whole");
        self.say("the log is whole");
        Ok(())
    }

    /// Runs the command line on the server's host.
    async fn bascule(&self, config: &Path, _listen: u16, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(server::program()?);
        command.args(arguments).arg("--config").arg(config).env("DEMO_WEBHOOK_SECRET", "x").env("DEMO_TOKEN", "x");
        said(command).await
    }

    /// Runs the command line as a client of the server.
    async fn client(&self, listen: u16, token: &str, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(server::program()?);
        command.args(arguments).env("BASCULE_SERVER", format!("http://127.0.0.1:{listen}")).env("BASCULE_TOKEN", token);
        said(command).await
    }

    async fn branch(&self, name: &str) -> Result<()> {
        let path = format!("/repos/{}/branches", self.options.repository);
        self.author.post(&path, json!({ "new_branch_name": name, "old_branch_name": "main" })).await?;
        Ok(())
    }

    /// Our comment on a pull request or issue, once it has all of these.
    async fn comment_with(&self, number: u64, wanted: &[&str]) -> Result<String> {
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

    async fn held_issue(&self, environment: &str) -> Result<(u64, String)> {
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

    async fn closed(&self, issue: u64) -> Result<()> {
        self.until(&format!("issue #{issue} to be closed"), async || {
            let found = self.author.get(&format!("/repos/{}/issues/{issue}", self.options.repository)).await?;
            Ok((found["state"] == "closed").then_some(()))
        })
        .await
    }

    async fn status(&self, number: u64, context: &str, wanted: &str) -> Result<()> {
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

    async fn rolled_out(&self, namespace: &str, replicas: u64) -> Result<()> {
        self.until(&format!("{replicas} ready pods in {namespace}"), async || {
            let found = self.cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).await;
            let ready = found.ok().and_then(|found| found["status"]["readyReplicas"].as_u64());
            Ok((ready == Some(replicas)).then_some(()))
        })
        .await
    }

    async fn image_is(&self, namespace: &str, image: &str) -> Result<()> {
        self.until(&format!("{image} in {namespace}"), async || {
            let found = self.cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).await?;
            Ok((found["spec"]["template"]["spec"]["containers"][0]["image"] == image).then_some(()))
        })
        .await
    }

    async fn gone(&self, path: &str) -> Result<()> {
        self.until(&format!("{path} to be gone"), async || Ok(self.cluster.get(path).await.is_err().then_some(())))
            .await
    }

    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
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

async fn said(mut command: tokio::process::Command) -> Result<String> {
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}{}", text, String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// The line the comment prints for an environment.
fn approve_line(comment: &str, environment: &str) -> Result<String> {
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

fn print_quoted(text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        println!("          │ {line}");
    }
}

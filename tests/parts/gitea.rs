//! A Gitea of one's own, and who and what is in it.

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::folder::Folder;
use super::gitea_api::{GiteaApi, Permission};
use super::gitea_settings::app_ini;
use super::launch::Launch;
use super::ports::{again_if_taken, free_port};
use super::process::Process;
use super::progress::Progress;
use super::tools;

const ADMIN: &str = "root";

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) login: String,
    pub(crate) password: String,
    pub(crate) token: String,
}

/// A forge that ends with this value.
#[derive(Debug)]
pub(crate) struct Gitea {
    /// Before the folder, so that it ends before its files do.
    server: Mutex<Option<Process>>,
    port: u16,
    admin: User,
    folder: Folder,
}

impl Gitea {
    pub(crate) async fn start(progress: &Progress) -> Result<Self> {
        progress.of("Gitea", Self::create()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whom everything is allowed.
    pub(crate) fn admin(&self) -> &User {
        &self.admin
    }

    pub(crate) fn admin_token(&self) -> &str {
        &self.admin.token
    }

    /// The API as the administrator sees it.
    pub(crate) fn api(&self) -> Result<GiteaApi> {
        self.api_of(&self.admin)
    }

    /// The API as this user sees it.
    pub(crate) fn api_of(&self, user: &User) -> Result<GiteaApi> {
        GiteaApi::new(&self.url(), &user.token)
    }

    /// Where `git` clones `owner/name` from, and pushes to, as this user.
    pub(crate) fn git_url(&self, user: &User, repository: &str) -> String {
        format!("http://{}:{}@127.0.0.1:{}/{repository}.git", user.login, user.token, self.port)
    }

    pub(crate) async fn create_user(&self, login: &str) -> Result<User> {
        let password = Uuid::new_v4().simple().to_string();
        let user = json!({
            "username": login,
            "email": format!("{login}@example.com"),
            "password": password,
            "must_change_password": false,
        });
        self.api()?.post("/admin/users", user).await?;
        let token = self.api()?.create_token(login, &password).await?;
        Ok(User { login: login.to_owned(), password, token })
    }

    /// A new organisation of this user's.
    pub(crate) async fn create_organisation(&self, owner: &User, name: &str) -> Result<()> {
        self.api_of(owner)?.post("/orgs", json!({ "username": name })).await.map(drop)
    }

    /// A new team of an organisation, for all its repositories.
    pub(crate) async fn create_team(
        &self,
        organisation: &str,
        name: &str,
        permission: Permission,
        members: &[&User],
    ) -> Result<()> {
        let units = ["repo.code", "repo.issues", "repo.pulls"];
        let team = json!({
            "name": name,
            "permission": permission.word(),
            "includes_all_repositories": true,
            "units_map": units.map(|unit| (unit, permission.word())).into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let team = self.api()?.post(&format!("/orgs/{organisation}/teams"), team).await?;
        for member in members {
            self.api()?.put(&format!("/teams/{}/members/{}", team["id"], member.login), json!({})).await?;
        }
        Ok(())
    }

    /// A new repository of a user or an organisation, with one commit on `main`; its `owner/name`.
    pub(crate) async fn create_repository(&self, owner: &str, name: &str) -> Result<String> {
        let repository = json!({ "name": name, "auto_init": true, "default_branch": "main" });
        self.api()?.post(&format!("/admin/users/{owner}/repos"), repository).await?;
        Ok(format!("{owner}/{name}"))
    }

    /// Lets a user into `owner/name`.
    pub(crate) async fn add_collaborator(&self, repository: &str, user: &User, permission: Permission) -> Result<()> {
        let path = format!("/repos/{repository}/collaborators/{}", user.login);
        self.api()?.put(&path, json!({ "permission": permission.word() })).await.map(drop)
    }

    /// Has every event of `owner/name` delivered to `url`, signed with `secret`; the hook's id.
    pub(crate) async fn add_hook(&self, repository: &str, url: &str, secret: &str) -> Result<u64> {
        let hook = json!({
            "type": "gitea",
            "active": true,
            "events": EVENTS,
            "config": { "url": url, "content_type": "json", "secret": secret },
        });
        let hook = self.api()?.post(&format!("/repos/{repository}/hooks"), hook).await?;
        hook["id"].as_u64().context("the new hook has no id")
    }

    /// A shell script that is `gitea` for whoever types it on this host.
    pub(crate) fn command(&self) -> Result<String> {
        let (folder, program) = (self.folder.path().display(), tools::program("gitea")?);
        Ok(format!(
            "GITEA_WORK_DIR={folder} GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true exec {} --config {folder}/app.ini \"$@\"",
            program.display()
        ))
    }

    /// Ends it as a crash would.
    pub(crate) async fn stop(&self) -> Result<()> {
        match self.server.lock().await.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// Starts it again, at the same port, with all it had.
    pub(crate) async fn start_again(&self) -> Result<()> {
        let mut server = self.server.lock().await;
        if server.is_none() {
            *server = Some(again_if_taken(async || self.serve().await).await?);
        }
        Ok(())
    }

    /// The ids of the processes that run, for measurements.
    pub(crate) async fn process_ids(&self) -> Vec<u32> {
        self.server.lock().await.iter().map(Process::id).collect()
    }

    async fn create() -> Result<Self> {
        let folder = Folder::new("gitea")?;
        let password = Uuid::new_v4().simple().to_string();
        let admin = User { login: ADMIN.to_owned(), password, token: String::new() };
        let mut gitea = Self { server: Mutex::new(None), port: free_port()?, admin, folder };
        gitea.configure()?;
        gitea.program(["migrate"])?.run().await?;
        gitea.create_admin().await?;

        let mut attempts = 0;
        let server = again_if_taken(async || {
            attempts += 1;
            if attempts > 1 {
                gitea.port = free_port()?;
                gitea.configure()?;
            }
            gitea.serve().await
        })
        .await?;
        gitea.server = Mutex::new(Some(server));
        Ok(gitea)
    }

    fn configure(&self) -> Result<()> {
        // The folder that holds the templates and options.
        let static_root = tools::shared("gitea")?;
        self.folder.write("app.ini", app_ini(self.folder.path(), &static_root, self.port)).map(drop)
    }

    async fn create_admin(&mut self) -> Result<()> {
        let address = format!("{ADMIN}@example.com");
        let create = ["admin", "user", "create", "--admin", "--must-change-password=false", "--username", ADMIN];
        let rest = ["--email", &address, "--password", &self.admin.password];
        self.program(create)?.arguments(rest).run().await?;
        let token = ["admin", "user", "generate-access-token", "--raw", "--scopes", "all", "--username", ADMIN];
        let printed = self.program(token)?.run().await?;
        // Its log is written beside it, and warnings come before or after.
        let is_token = |line: &&str| line.len() == 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(token) = printed.lines().map(str::trim).find(is_token) else {
            bail!("gitea printed no token but: {printed}");
        };
        self.admin.token = token.to_owned();
        Ok(())
    }

    async fn serve(&self) -> Result<Process> {
        let mut server = Process::start(&self.program(["web"])?)?;
        // As the administrator: nobody else's Gitea knows this token.
        let api = self.api()?;
        server.until_ready(async || api.get("/user").await.map(drop)).await?;
        Ok(server)
    }

    fn program<const N: usize>(&self, arguments: [&str; N]) -> Result<Launch<'_>> {
        let settings = self.folder.path().join("app.ini").display().to_string();
        let mut launch = Launch::new("gitea", self.folder.path())?.arguments(["--config".to_owned(), settings]);
        launch.environment = vec![
            ("GITEA_WORK_DIR", self.folder.path().display().to_string()),
            // It wants to read this in its settings and here before it runs as root.
            ("GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT", "true".to_owned()),
        ];
        Ok(launch.arguments(arguments))
    }
}

/// All that a pull request can live through.
const EVENTS: [&str; 14] = [
    "push",
    "create",
    "delete",
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_assign",
    "pull_request_label",
    "pull_request_comment",
    "pull_request_review_approved",
    "pull_request_review_rejected",
    "pull_request_review_comment",
    "pull_request_sync",
    "repository",
];

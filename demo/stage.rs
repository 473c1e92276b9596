//! The stage: the real parts, the people and their repository, and the server beside them.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::Options;
use crate::files::{self, Places};
use crate::parts::{ControlPlane, Gitea, GiteaApi, Permission, Progress, Rollouts, User};
use crate::server::Server;

/// In the server's folder.
pub(crate) const CONFIG: &str = "bascule.toml";
/// In the server's folder.
pub(crate) const DATA: &str = "data";

/// Everything that runs while the story is told, and who is in it.
pub(crate) struct Stage<'a> {
    pub(crate) options: &'a Options,
    pub(crate) gitea: Gitea,
    pub(crate) cluster: ControlPlane,
    pub(crate) author: GiteaApi,
    pub(crate) approver: GiteaApi,
    pub(crate) author_user: User,
    pub(crate) server: Server,
    /// Of the server's webhooks, API and pages.
    pub(crate) listen: u16,
    /// The webhook's id on Gitea.
    pub(crate) hook: u64,
    pub(crate) begun: Instant,
    /// What the command line shows to the server.
    pub(crate) token: OnceCell<String>,
    /// What the server is told and keeps; removed at the end.
    pub(crate) folder: TempDir,
}

impl Stage<'_> {
    /// Starts the parts, makes the people and the repository, and the server beside them.
    pub(crate) async fn set(options: &Options) -> Result<Stage<'_>> {
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
        let config = folder.path().join(CONFIG);
        let data = folder.path().join(DATA);
        let (application, oauth) = application(&gitea, &bot, listen).await?;
        let places = Places {
            data: &data,
            gitea: &gitea.url(),
            kubeconfig: cluster.kubeconfig(),
            application: &application,
            listen,
            admin,
            repository: &options.repository,
            author: &options.author,
            approver: &options.approver,
        };
        std::fs::write(&config, files::server(&places))?;
        let secret = "demo-webhook-secret-0123456789abcdef";
        println!("  starting Bascule with its embedded PostgreSQL");
        let secrets =
            [("DEMO_WEBHOOK_SECRET", secret), ("DEMO_TOKEN", bot.token.as_str()), ("DEMO_OAUTH", oauth.as_str())];
        let server = Server::start(&config, folder.path(), listen, secrets).await?;
        let hook =
            gitea.add_hook(&options.repository, &format!("http://127.0.0.1:{listen}/webhooks/work"), secret).await?;
        Ok(Stage {
            options,
            author: gitea.api_of(&author)?,
            approver: gitea.api_of(&approver)?,
            author_user: author,
            gitea,
            cluster,
            server,
            listen,
            hook,
            begun,
            token: OnceCell::new(),
            folder,
        })
    }
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

/// Registers what people sign in to the server with: its id and its secret.
async fn application(gitea: &Gitea, bot: &User, listen: u16) -> Result<(String, String)> {
    let application = serde_json::json!({ "name": "Bascule", "confidential_client": true,
        "redirect_uris": [format!("http://127.0.0.1:{listen}/sign-in/work/callback")] });
    let made = gitea.api_of(bot)?.post("/user/applications/oauth2", application).await?;
    let said = |key: &str| made[key].as_str().map(str::to_owned).context("Gitea made no application");
    Ok((said("client_id")?, said("client_secret")?))
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

//! From nothing to a first preview, as `docs/gitea.md`, `docs/github.md` and `docs/gitlab.md` say: on a real Gitea, and on the
//! forge of the tests.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use bascule::clock::Clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Document;
use crate::fake::forge::{App, FakeForge, Pr, Right, Shop, TOKEN, Tongue};
use crate::parts::{ControlPlane, Gitea, Permission, Progress};
use crate::plane::on_plane;
use crate::support::server::Server;

/// What the newcomer's repository has before.
const WEB: (&str, &str) = (
    "deploy/production/web.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: web }\ndata: { greeting: hello }\n",
);

impl Document {
    /// The reader's own address, which they write into the server's file.
    fn listens_somewhere(&mut self, plane: &ControlPlane) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.sets("BASCULE__SERVER__LISTEN", format!("127.0.0.1:{port}"));
        self.calls("https://bascule.example.com", format!("http://127.0.0.1:{port}"));
        self.calls("/etc/bascule/prod.kubeconfig", plane.kubeconfig().display().to_string());
    }

    /// The server that the page starts next.
    fn server(&mut self, section: &str) -> Server {
        self.starts(section, "bascule serve --config ~/bascule/bascule.toml");
        Server::start(&self.folder(), &self.environment())
    }

    /// The file that the reader pushed.
    fn rules(&self) -> String {
        std::fs::read_to_string(self.home.path().join("shop/.bascule.yaml")).unwrap()
    }
}

/// Asks until there is an answer, and gives up after a while.
async fn soon<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1_200 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} does not come");
}

/// What the page promises of the first comment.
fn is_the_first_preview(comment: &str) -> bool {
    comment.contains("proposal") && comment.contains("ConfigMap shop/web")
}

async fn has_its_namespace(plane: &ControlPlane) {
    plane.apply("apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n").await.unwrap();
}

#[test]
fn gitea_takes_a_newcomer_from_nothing_to_a_first_preview() {
    on_plane(async |plane| {
        let gitea = Gitea::start(&Progress::silent()).await.unwrap();
        let dev = gitea.create_user("dev").await.unwrap();
        gitea.create_organisation(gitea.admin(), "acme").await.unwrap();
        let shop = gitea.create_repository("acme", "shop").await.unwrap();
        gitea.add_collaborator(&shop, &dev, Permission::Write).await.unwrap();
        let author = gitea.api_of(&dev).unwrap();
        author.commit(&shop, "main", "The shop", &[(WEB.0, Some(WEB.1))]).await.unwrap();
        has_its_namespace(plane).await;

        let mut page = Document::open("gitea");
        page.has_program("gitea", &gitea.command().unwrap());
        page.calls("https://git.example.com/acme/shop.git", gitea.git_url(&dev, &shop));
        page.calls("https://git.example.com", gitea.url());
        page.listens_somewhere(plane);
        page.follow("1. What it runs on");
        page.follow("2. An account of its own");
        // As the page says, with the mouse.
        let path = format!("/repos/{shop}/collaborators/bascule");
        gitea.api().unwrap().put(&path, json!({ "permission": "admin" })).await.unwrap();
        page.follow("3. The server's file");
        let _server = page.server("4. The server");
        let said = page.follow("4. The server");
        assert!(said.contains("acme/shop: we may what we need, and no more"), "{said}");
        assert!(said.contains("acme/shop: no webhook: made one to"), "{said}");
        page.follow("5. The repository");
        page.ends();
        let number = author.open_pull(&shop, "first-preview", "Deploy with Bascule").await.unwrap();
        let path = format!("/repos/{shop}/issues/{number}/comments");
        soon("the first preview", async || {
            let comments = author.get(&path).await.unwrap();
            let ours = |one: &&serde_json::Value| one["user"]["login"] == "bascule";
            let ours = comments.as_array().unwrap().iter().find(ours)?;
            is_the_first_preview(ours["body"].as_str().unwrap()).then_some(())
        })
        .await;
    });
}

/// A forge of the tests with the newcomer's repository.
async fn with_the_shop(tongue: Tongue) -> (FakeForge, Shop) {
    let forge = FakeForge::that_speaks(tongue).await;
    let shop = forge.repository("acme/shop", &[WEB]).await;
    forge.lets("dev", &shop, Right::Write);
    let clock = Clock::system();
    forge.shares(&clock);
    // Its tokens and ours are good by the same time.
    forge.waits(clock.now().duration_since("2026-01-05T09:01:00Z".parse().unwrap()));
    (forge, shop)
}

/// Follows the page to its end, on a forge of the tests; our first comment.
async fn to_the_first_preview(mut page: Document, forge: &FakeForge, shop: &Shop, plane: &ControlPlane) -> String {
    const SECTION: &str = "From nothing to a first preview";
    let cloned = format!("{}/acme/shop.git", forge.url());
    // This forge shows its repositories to Git and takes nothing: what is pushed goes into a folder, and the pull request is
    // opened with what was pushed.
    let pushed = page.home.path().join("pushed.git");
    page.types(&format!("git init --quiet --bare {}", pushed.display()));
    for (name, value) in [
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", &format!("url.{}.pushInsteadOf", pushed.display())),
        ("GIT_CONFIG_VALUE_0", &cloned),
        ("GIT_CONFIG_KEY_1", "http.extraHeader"),
        ("GIT_CONFIG_VALUE_1", &format!("Authorization: Basic {}", STANDARD.encode(format!("dev:{TOKEN}")))),
    ] {
        page.sets(name, value);
    }
    page.names.insert(0, (page.address_of_the_shop(), cloned));
    page.listens_somewhere(plane);
    has_its_namespace(plane).await;
    page.follow(SECTION);
    let _server = page.server(SECTION);
    let said = page.follow(SECTION);
    page.ends();
    assert!(said.contains("acme/shop: we may what we need, and no more"), "{said}");
    let pr: Pr = forge.opens_pull("dev", shop, &[(".bascule.yaml", &page.rules())]).await;
    soon("the first preview", async || Some(forge.comment(&pr)).filter(|comment| is_the_first_preview(comment))).await
}

impl Document {
    /// What the page clones.
    fn address_of_the_shop(&self) -> &'static str {
        match self.name {
            "github" => "https://github.com/acme/shop.git",
            _ => "https://gitlab.com/acme/shop.git",
        }
    }
}

/// The permissions that the page's table asks for, as the API spells them.
fn asked_for() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/github.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("| repository |") || line.starts_with("| organization |"));
    let read = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = match cells[2] {
            "Webhooks" => "repository_hooks".to_owned(),
            "Commit statuses" => "statuses".to_owned(),
            title => title.to_lowercase().replace(' ', "_"),
        };
        (name, if cells[3] == "Read-only" { "read".to_owned() } else { "write".to_owned() })
    };
    rows.map(read).collect()
}

#[test]
fn github_takes_a_newcomer_from_nothing_to_a_first_preview() {
    on_plane(async |plane| {
        let (forge, shop) = with_the_shop(Tongue::GitHub).await;
        let permissions = asked_for();
        let permissions: Vec<(&str, &str)> =
            permissions.iter().map(|(name, level)| (name.as_str(), level.as_str())).collect();
        let app: App = forge.has_app("acme", &permissions);
        let mut page = Document::open("github");
        let (key, secret) = (page.home.path().join("app.pem"), page.home.path().join("gh.secret"));
        std::fs::write(&key, &app.private_key).unwrap();
        std::fs::write(&secret, Tongue::GitHub.secret()).unwrap();
        page.calls("https://github.com", forge.url());
        page.calls("123456", app.id.to_string());
        page.calls("/etc/bascule/app.pem", key.display().to_string());
        page.calls("/etc/bascule/gh.secret", secret.display().to_string());
        to_the_first_preview(page, &forge, &shop, plane).await;
    });
}

#[test]
fn gitlab_takes_a_newcomer_from_nothing_to_a_first_preview() {
    on_plane(async |plane| {
        let (forge, shop) = with_the_shop(Tongue::GitLab).await;
        let mut page = Document::open("gitlab");
        for (name, text) in [("lab.token", TOKEN.to_owned()), ("lab.secret", Tongue::GitLab.secret())] {
            let path = page.home.path().join(name);
            std::fs::write(&path, text).unwrap();
            page.calls(
                if name == "lab.token" { "/etc/bascule/lab.token" } else { "/etc/bascule/lab.secret" },
                path.display().to_string(),
            );
        }
        page.calls("https://gitlab.com", forge.url());
        to_the_first_preview(page, &forge, &shop, plane).await;
    });
}

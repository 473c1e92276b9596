//! People who sign in through their forge: what they see, how a sign-in ends, and who does not get in.

mod attacks;
mod browser;
mod command_line;
mod ends;
mod gitea;
mod orphans;
mod sight;

use std::net::SocketAddr;

use bascule::app;
use bascule::audit;
use bascule::clock::Clock;
use bascule::config::{self, Environ};
use bascule::queue::Bell;
use bascule::web::token::{self, Scope};
use jiff::SignedDuration;
use sqlx::AssertSqlSafe;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::browser::{Browser, Seen};
use crate::fake::forge::{FakeForge, Right, SECRET, Shop, TOKEN, Tongue};
use crate::support::database::Database;

/// A server with two repositories of a forge, and people.
struct House {
    forge: FakeForge,
    shop: Shop,
    vault: Shop,
    database: Database,
    clock: Clock,
    url: String,
    _serving: JoinSet<()>,
}

impl House {
    /// Alice reads the shop, and nothing of the vault; Bob reads the vault.
    async fn new() -> Self {
        Self::on(Tongue::Gitea).await
    }

    async fn on(tongue: Tongue) -> Self {
        let forge = FakeForge::that_speaks(tongue).await;
        let shop = forge.repository("acme/shop", &[("a", "1")]).await;
        let vault = forge.repository("acme/vault", &[("a", "1")]).await;
        forge.lets("alice", &shop, Right::Read);
        forge.lets("alice", &vault, Right::None);
        forge.lets("bob", &shop, Right::None);
        forge.lets("bob", &vault, Right::Read);
        let serving = serve(listens().await, (tongue.kind(), &forge.url(), TOKEN), ("bascule", "elucsab")).await;
        forge.application("bascule", &format!("{}/sign-in/work/callback", serving.url));
        let house = Self {
            forge,
            shop,
            vault,
            database: serving.database,
            clock: serving.clock,
            url: serving.url,
            _serving: serving.tasks,
        };
        for (n, shop) in [(1, &house.shop), (2, &house.vault)] {
            house.remembers(n, shop).await;
        }
        house
    }

    /// Stores one of everything about a repository: environment `n`, preview `n`, job `n` and so on.
    async fn remembers(&self, n: i64, shop: &Shop) {
        let statements = format!(
            r#"
            INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', {id}, '{name}', 'main');
            INSERT INTO rendered_set (digest, target, hashes) VALUES (decode(repeat('01', 32), 'hex'), '{{}}', '[]')
                ON CONFLICT DO NOTHING;
            INSERT INTO environment (repository_id, name, cluster, namespace, branch)
                SELECT id, 'production{n}', 'prod{n}', 'shop{n}', 'main' FROM repository WHERE forge_id = {id};
            INSERT INTO deployment (id, environment_id, number, commit_sha, set_digest, from_set, change_digest, pulls,
                                    approvals, state, trace, fence, finished_at)
                SELECT gen_random_uuid(), e.id, 1, repeat('c', 40), decode(repeat('01', 32), 'hex'), NULL,
                       decode(repeat('a1', 32), 'hex'), '[1]', '[]', 'healthy', gen_random_uuid(), 1, now()
                FROM environment e WHERE e.name = 'production{n}';
            INSERT INTO preview (repository_id, pull_number, head_sha, base_sha, page, looks, trace)
                SELECT id, 1, repeat('a', 40), repeat('a', 40), '{{"subject":{{"kind":"pull","head":"{head}","into":"main"}},
                       "outcome":{{"kind":"untouched"}},"notes":["of {name}"]}}', '{{}}', gen_random_uuid()
                FROM repository WHERE forge_id = {id};
            INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state, repositories)
                VALUES ('0000000{n}-0000-7000-8000-00000000000d', 'work', 'd{n}', 'push', '{{}}', '\x00', gen_random_uuid(),
                        'quarantined', '[{id}]');
            INSERT INTO job (kind, key, lane, share, payload, trace, state, ended_at, attempt, error)
                VALUES ('attend_pull', 'work/{id}#1', 'default', 'work/{id}', '{{}}', gen_random_uuid(), 'failed', now(), 12,
                        'gave up on {name}');
            "#,
            id = shop.id,
            name = shop.name,
            head = "a".repeat(40)
        );
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&self.database.owner).await.unwrap();
    }

    /// A browser in which this person is signed in.
    async fn signs_in(&self, login: &str) -> Browser {
        let mut browser = Browser::of(login);
        let landed = browser.follow(&self.at("/sign-in/work")).await;
        assert!(landed.text.contains(&format!("work/{login} (")), "{}", landed.text);
        browser
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn machine(&self, scopes: &[Scope]) -> String {
        token::create(&self.database.pool, &self.clock, "machine", scopes, SignedDuration::from_hours(24))
            .await
            .unwrap()
    }

    /// What the log says of people, oldest first: who did what to whom, and why.
    async fn log(&self) -> Vec<String> {
        let mut connection = self.database.pool.acquire().await.unwrap();
        let rows = audit::read::after(&mut connection, 0, 1_000).await.unwrap();
        let number = regex::Regex::new(r" \(\d+\)").unwrap();
        let said = |row: audit::row::Row| format!("{} {} {} ({})", row.actor, row.action, row.subject, row.cause);
        rows.into_iter().map(|row| number.replace_all(&said(row), "").into_owned()).collect()
    }
}

/// A running server.
struct Serving {
    database: Database,
    clock: Clock,
    url: String,
    tasks: JoinSet<()>,
}

/// Where a server is going to answer.
async fn listens() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A server whose forge `work` is at this address, with an application of ours there.
async fn serve(
    (listener, url): (TcpListener, String),
    (kind, forge, token): (&str, &str, &str),
    (client_id, client_secret): (&str, &str),
) -> Serving {
    let file = format!(
        "version = 1\n[server]\npublic_url = \"{url}\"\n[forge.work]\nkind = \"{kind}\"\nurl = \"{forge}\"\n\
         webhook_secrets = [{{ env = \"S\" }}]\ntoken = {{ env = \"T\" }}\n\
         sign_in = {{ client_id = \"{client_id}\", client_secret = {{ env = \"O\" }} }}\n"
    );
    let environ = Environ::from_iter([("S", SECRET), ("T", token), ("O", client_secret)]);
    let server = config::parse("bascule.toml", &file, &environ).unwrap().server;
    let database = Database::new().await;
    let clock = Clock::manual("2026-01-05T09:00:00Z".parse().unwrap());
    let forges = app::forges(&server, &clock, &app::SharedBudget::new(database.pool.clone(), clock.clone())).unwrap();
    let people = app::People::new(&server, &forges, &clock).unwrap();
    let endpoints = app::endpoints(&server).into();
    let bell = Bell::new("a server");
    let (routes, committer) =
        app::public_router(&server, endpoints, &database.pool, &clock, &bell, vec![1; 32], people);
    let mut tasks = JoinSet::new();
    tasks.spawn(committer.run());
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tasks.spawn(async move { axum::serve(listener, service).await.unwrap() });
    Serving { database, clock, url, tasks }
}

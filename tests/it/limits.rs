//! Two servers and one account of a forge that counts: what one is told, both obey.

use std::sync::Arc;
use std::time::Duration;

use bascule::app::SharedBudget;
use bascule::clock::Clock;
use bascule::forge::budget::Urgency;
use bascule::forge::{Fate, Forge, ForgeError, Kind, RepositoryAt, Settings, SignIn};
use jiff::SignedDuration;
use sqlx::PgPool;

use crate::fake::forge::{FakeForge, Pr, TOKEN, Tongue};
use crate::support::database::Database;

/// Two servers, as their forge sees them.
struct Servers {
    fake: FakeForge,
    clock: Clock,
    both: [Forge; 2],
    at: RepositoryAt,
    pull: Pr,
    _database: Database,
}

impl Servers {
    async fn new(limits: [u32; 3]) -> Self {
        let fake = FakeForge::that_speaks(Tongue::GitHub).await;
        let shop = fake.repository("acme/shop", &[("README.md", "# shop\n")]).await;
        let pull = fake.opens_pull("dev", &shop, &[("README.md", "# Shop\n")]).await;
        let (database, clock) = (Database::new().await, Clock::manual("2026-01-05T09:00:03Z".parse().unwrap()));
        fake.enforces(&clock, limits);
        let pools = [database.pool.clone(), PgPool::connect_lazy(&database.server_url()).unwrap()];
        let server = |pool: PgPool| {
            let settings = Settings {
                name: "work".parse().unwrap(),
                url: fake.url(),
                sign_in: SignIn::Token(TOKEN.to_owned().into()),
                ca_pem: None,
                answer_within: Duration::from_secs(60),
            };
            let budget = Arc::new(SharedBudget::new(pool, clock.clone()));
            Forge::new(Kind::GitHub, settings, clock.clone()).unwrap().within(budget)
        };
        let both = pools.map(server);
        let at = RepositoryAt { id: shop.id, name: shop.name.parse().unwrap() };
        Self { fake, clock, both, at, pull, _database: database }
    }

    async fn comments(&self, server: usize) -> Result<(), ForgeError> {
        self.both[server].create_comment(&self.at, self.pull.number, "a preview").await.map(drop)
    }
}

fn wait(error: &ForgeError) -> Duration {
    let Fate::Retry { after: Some(after) } = error.fate else { panic!("{error}") };
    after
}

#[tokio::test]
async fn two_servers_write_a_thousand_comments_within_the_limits_of_their_account() {
    let t = Servers::new([900, 80, 500]).await;
    let begun = t.clock.now();
    let (mut written, mut waits) = (0, 0);
    while written < 1_000 {
        let at_once = (0..16.min(1_000 - written)).map(|n| t.comments(n % 2));
        let said = futures::future::join_all(at_once).await;
        written += said.iter().filter(|one| one.is_ok()).count();
        let shortest = said.iter().filter_map(|one| one.as_ref().err()).map(wait).min();
        if let Some(shortest) = shortest.filter(|_| said.iter().all(Result::is_err)) {
            if waits == 0 {
                // What is said of a sync does not wait for previews.
                Urgency::Sync.during(t.comments(0)).await.unwrap();
            }
            waits += 1;
            t.clock.advance(SignedDuration::try_from(shortest).unwrap());
        }
    }
    assert_eq!(t.fake.refusals(), (0, 0), "nothing was over a limit");
    let took = t.clock.now().duration_since(begun);
    assert!(took <= SignedDuration::from_mins(125), "two hours are what 500 an hour take: {took:#}");
    assert!(waits < 60, "who waits comes back when there is room: {waits}");
}

#[tokio::test]
async fn what_one_server_is_refused_no_server_asks_for() {
    // Less than GitHub says, as if somebody else used the account, too.
    let t = Servers::new([900, 3, 500]).await;
    for _ in 0..3 {
        t.comments(0).await.unwrap();
    }
    assert_eq!(wait(&t.comments(0).await.unwrap_err()).as_secs(), 60, "a refusal without a time is a minute");
    let other = t.both[1].pull(&t.at, t.pull.number).await.unwrap_err();
    assert!(other.to_string().contains("asked for a pause that is not over"), "{other}");
    assert!(t.comments(1).await.is_err() && t.comments(0).await.is_err());
    assert_eq!(t.fake.refusals(), (1, 0), "the first refusal is the last call until its minute is over");

    // Somebody else was faster.
    t.clock.advance(SignedDuration::from_secs(61));
    t.fake.enforces(&t.clock, [900, 0, 500]);
    assert_eq!(wait(&t.comments(1).await.unwrap_err()).as_secs(), 120, "and twice as long for both");
    t.clock.advance(SignedDuration::from_secs(61));
    assert!(t.comments(0).await.is_err());
    assert_eq!(t.fake.refusals(), (1, 0));
    t.clock.advance(SignedDuration::from_secs(60));
    t.fake.enforces(&t.clock, [900, 3, 500]);
    t.comments(0).await.unwrap();
    t.fake.enforces(&t.clock, [900, 0, 500]);
    assert_eq!(
        wait(&t.comments(1).await.unwrap_err()).as_secs(),
        60,
        "once it went well, it begins with a minute again"
    );
}

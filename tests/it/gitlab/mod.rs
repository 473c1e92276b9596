//! GitLab's client: what it makes of answers, which fate each failure has, and that it makes no call that is not
//! documented. The fake refuses what its table of GitLab's documentation does not have, here and in every story.

mod connect;
mod contract;
mod facts;
mod fates;

use bascule::clock::Clock;
use bascule::forge::{ANSWER_WITHIN, Forge, Kind, RepositoryAt, Settings, SignIn};

use crate::fake::forge::{FakeForge, Shop, TOKEN, Tongue};

/// A GitLab with the project `acme/shop`, and our account there.
struct Lab {
    fake: FakeForge,
    shop: Shop,
    at: RepositoryAt,
    forge: Forge,
}

impl Lab {
    async fn new() -> Self {
        let fake = FakeForge::that_speaks(Tongue::GitLab).await;
        let shop = fake.repository("acme/shop", &[("README.md", "# shop\n")]).await;
        let forge = client(&fake.url());
        let at = RepositoryAt { id: shop.id, name: shop.name.parse().unwrap() };
        Self { fake, shop, at, forge }
    }
}

fn client(url: &str) -> Forge {
    let settings = Settings {
        name: "lab".parse().unwrap(),
        url: url.to_owned(),
        sign_in: SignIn::Token(TOKEN.to_owned().into()),
        ca_pem: None,
        answer_within: ANSWER_WITHIN,
    };
    Forge::new(Kind::GitLab, settings, Clock::manual("2026-01-05T09:00:00Z".parse().unwrap())).unwrap()
}

//! GitHub's client, held to what GitHub itself publishes of its API.

mod app;
mod contract;
mod description;
mod facts;
mod fates;
mod manifest;
mod unchanged;
mod validated;
mod wire;

use bascule::clock::Clock;
use bascule::forge::{ANSWER_WITHIN, Fate, Forge, ForgeError, Kind, RepositoryAt, Settings, SignIn};

use self::wire::Wire;

const TOKEN: &str = "github_pat_secret";
/// The repository of the description's examples.
const HELLO: (i64, &str) = (1296269, "octocat/Hello-World");

fn client(wire: &Wire, sign_in: SignIn, clock: &Clock) -> Forge {
    let settings = Settings {
        name: "hub".parse().unwrap(),
        url: wire.url().to_owned(),
        sign_in,
        ca_pem: None,
        answer_within: ANSWER_WITHIN,
    };
    Forge::new(Kind::GitHub, settings, clock.clone()).unwrap()
}

fn clock() -> Clock {
    Clock::manual("2016-07-11T21:14:10Z".parse().unwrap())
}

/// By a token of an account.
async fn by_token() -> (Wire, Forge, RepositoryAt) {
    let wire = Wire::start().await;
    let forge = client(&wire, SignIn::Token(TOKEN.to_owned().into()), &clock());
    (wire, forge, hello())
}

fn hello() -> RepositoryAt {
    RepositoryAt { id: HELLO.0, name: HELLO.1.parse().unwrap() }
}

/// What the job is told, and what a person reads.
fn told(error: &ForgeError) -> String {
    let fate = match error.fate {
        Fate::Retry { after: None } => "retry".to_owned(),
        Fate::Retry { after: Some(after) } => format!("retry in {} s", after.as_secs()),
        Fate::Refused => "refused".to_owned(),
        Fate::Gone => "gone".to_owned(),
        Fate::Invalid => "invalid".to_owned(),
    };
    format!("{fate}: {error}")
}

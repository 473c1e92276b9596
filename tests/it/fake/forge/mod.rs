//! A stateful forge on a loopback socket, with real Git repositories behind it.
//!
//! What it keeps, and what people do there, is the same whatever forge it is; a [`Tongue`] answers the calls our client
//! makes in the shapes of one, and makes its deliveries (`forge_contract.rs` compares Gitea's with the real one's). It
//! serves `git fetch` through `git upload-pack`, and sends signed deliveries.
//! Its clock is its own and goes one second further with everything that happens, so that order is visible and no test
//! waits. The methods that tests use read as what people do.
//!
//! Who may what: everyone who is named has `write` until [`FakeForge::lets`] says otherwise; our own account,
//! `bascule`, owns the organisations.
#![allow(dead_code, unused_imports, reason = "a vocabulary; each story uses a part of it")]

mod git;
mod gitea;
mod github;
mod gitlab;
mod hook;
mod limits;
mod oauth;
mod opened;
mod people;
mod server;
mod state;
mod story;
mod talk;
mod tongue;
mod words;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::github::App;
pub(crate) use self::hook::{Delivering, Delivery};
pub(crate) use self::state::{CheckRun, Fault, Right, Says, State};
pub(crate) use self::story::{Merge, Pr, Queued, Shop};
pub(crate) use self::tongue::Tongue;

/// The token our account has.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
/// The secret deliveries are signed with.
pub(crate) const SECRET: &str = "a secret of sixteen or more";

/// Whether it is our account, or the one of our app.
fn is_us(login: &str) -> bool {
    ["bascule", "bascule[bot]"].contains(&login)
}

/// The forge. It ends with this value.
pub(crate) struct FakeForge {
    world: Arc<World>,
    port: u16,
    server: JoinSet<()>,
    stop: CancellationToken,
}

/// What its server and its people share.
pub(super) struct World {
    state: Mutex<State>,
    folder: tempfile::TempDir,
    client: reqwest::Client,
}

impl World {
    /// The state; never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl FakeForge {
    /// An empty Gitea that answers.
    pub(crate) async fn start() -> Self {
        Self::that_speaks(Tongue::Gitea).await
    }

    /// An empty forge that answers.
    pub(crate) async fn that_speaks(tongue: Tongue) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        #[expect(clippy::disallowed_methods, reason = "the sender of deliveries, to a server of the same test")]
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let world = Arc::new(World {
            state: Mutex::new(State::new(tongue, format!("http://127.0.0.1:{port}"))),
            folder: tempfile::tempdir().unwrap(),
            client,
        });
        let mut forge = Self { world, port, server: JoinSet::new(), stop: CancellationToken::new() };
        forge.serves(listener);
        forge
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Which forge it is.
    pub(crate) fn tongue(&self) -> Tongue {
        self.world.state().tongue
    }

    /// From now on every answer to us, `git fetch` too, is this, until [`Self::recovers`].
    pub(crate) fn breaks(&self, fault: Fault) {
        self.world.state().fault = Some((String::new(), fault));
    }

    /// Like [`Self::breaks`], for calls whose path contains `part` only; `info/refs` is of `git fetch`.
    pub(crate) fn breaks_at(&self, part: &str, fault: Fault) {
        self.world.state().fault = Some((part.to_owned(), fault));
    }

    /// The next call `POST /repos/acme/shop/issues` (say) is carried out, and its answer is this.
    pub(crate) fn loses_the_answer(&self, call: &str, fault: Fault) {
        self.world.state().lost = Some((call.to_owned(), fault));
    }

    /// Whether that has happened.
    pub(crate) fn has_lost_the_answer(&self) -> bool {
        self.world.state().lost.is_none()
    }

    /// Answers as it should again.
    pub(crate) fn recovers(&self) {
        self.world.state().fault = None;
    }

    /// Nobody listens on its port any more, until [`Self::returns`].
    pub(crate) async fn goes_away(&mut self) {
        self.stop.cancel();
        // Also of connections that were kept for the next call.
        while self.server.join_next().await.is_some() {}
    }

    /// It listens on the same port again, and knows what it knew.
    pub(crate) async fn returns(&mut self) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.serves(listener);
    }

    fn serves(&mut self, listener: tokio::net::TcpListener) {
        self.stop = CancellationToken::new();
        let app = Router::new().fallback(server::answer).with_state(self.world.clone());
        let stopped = self.stop.clone().cancelled_owned();
        self.server.spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap() });
    }

    /// How many API calls of our client there were since they were taken last.
    pub(crate) fn calls(&self) -> usize {
        self.world.state().calls.len()
    }

    /// The API calls of our client so far, `GET /repos/acme/shop/pulls/1`, and forgets them.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.world.state().calls)
    }

    /// How many commits of a large push were asked for side by side, at most.
    pub(crate) fn asked_at_once(&self) -> usize {
        self.world.state().at_once.most
    }

    /// How many calls our account has left in this hour, where they are counted.
    pub(crate) fn calls_left(&self) -> u32 {
        self.world.state().calls_left
    }

    /// The calls so far, as the forge's documentation has them.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.world.state().operations.iter().cloned().collect()
    }

    /// How often Git talked with it, and forgets it: each fetch of commits or of files is one conversation.
    pub(crate) fn take_fetches(&self) -> usize {
        std::mem::take(&mut self.world.state().fetches)
    }
}

//! What happened, and its deliveries: made as the forge's tongue makes them, sent when the test wants them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::state::{Activity, CheckRun, Comment, Moved, Review, State, Status};
use super::tongue::Tongue;
use super::{FakeForge, SECRET, World};

/// When deliveries are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivering {
    /// Each before the act that causes it is over.
    AtOnce,
    /// Kept until the test takes them.
    Kept,
    /// Never: lost on the way.
    Lost,
}

/// One delivery, signed.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) tongue: Tongue,
    pub(crate) id: String,
    pub(crate) event: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    /// The signature of its body, in hexadecimal digits.
    pub(crate) fn signature(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&self.body);
        hex::encode(mac.finalize().into_bytes())
    }
}

impl Delivery {
    /// The headers it has when it is sent at this time.
    pub(crate) fn headers_at(&self, at: jiff::Timestamp) -> Vec<(String, String)> {
        self.tongue.headers(self, at)
    }
}

/// One try to deliver something.
#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) id: i64,
    pub(super) at: jiff::Timestamp,
    pub(super) delivery: Delivery,
    /// `None`: by nobody.
    pub(super) answered: Option<u16>,
}

/// What happened, before anyone tells it.
pub(super) enum Happened<'a> {
    Pull {
        how: PullChange,
        by: &'a str,
        repository: i64,
        number: i64,
    },
    Review {
        how: ReviewChange,
        by: &'a str,
        review: &'a Review,
    },
    Comment {
        how: CommentChange,
        by: &'a str,
        comment: &'a Comment,
    },
    Pushed(Pushed<'a>),
    Repository {
        how: RepositoryChange,
        by: &'a str,
        repository: i64,
    },
    Status {
        by: &'a str,
        status: &'a Status,
    },
    Check {
        by: &'a str,
        run: &'a CheckRun,
    },
    /// A merge queue asks about a group: its branch and commit, and those it is to be merged into.
    GroupFormed {
        by: &'a str,
        repository: i64,
        group: (&'a str, &'a str),
        base: (&'a str, &'a str),
    },
    /// Somebody asks its app to run it again.
    CheckAgain {
        by: &'a str,
        run: &'a CheckRun,
    },
}

/// A branch is elsewhere. `None` is "it was not there" or "it is gone".
#[derive(Clone, Copy)]
pub(super) struct Pushed<'a> {
    pub(super) by: &'a str,
    pub(super) repository: i64,
    pub(super) branch: &'a str,
    pub(super) before: Option<&'a str>,
    pub(super) after: Option<&'a str>,
    pub(super) how: Moved,
}

/// What became of a pull request.
#[derive(Clone, Debug)]
pub(super) enum PullChange {
    Opened,
    /// The head it had.
    Pushed(String),
    /// Merged or not.
    Closed,
    Reopened,
    /// The branch it was for.
    Retargeted(String),
    /// The title it had.
    Titled(String),
    Drafted,
    Readied,
}

#[derive(Clone, Debug)]
pub(super) enum ReviewChange {
    Submitted,
    /// The text it had.
    Edited(String),
    Dismissed,
}

#[derive(Clone, Debug)]
pub(super) enum CommentChange {
    Created,
    /// The text it had.
    Edited(String),
    Deleted,
}

#[derive(Clone, Debug)]
pub(super) enum RepositoryChange {
    Created,
    /// The name it had, without its owner's.
    Renamed(String),
    Deleted,
}

/// What is said of it: event, its type (where the forge has one), body.
pub(super) type Told = (&'static str, &'static str, Value);

impl FakeForge {
    /// Where deliveries go: `http://…/webhooks/work`.
    pub(crate) fn hooks_to(&self, url: &str) {
        self.world.state().hook = Some(url.to_owned());
    }

    /// The address that its webhooks have in its answers: a proxy leads from there to where they go.
    pub(crate) fn hooks_are_called(&self, url: &str) {
        self.world.state().hook_name = Some(url.to_owned());
    }

    /// It signs its deliveries by the time of who hears them.
    pub(crate) fn shares(&self, clock: &bascule::clock::Clock) {
        self.world.state().clock = Some(clock.clone());
    }

    /// Nothing happened before now, by the clock that a real server has.
    pub(crate) fn is_of_today(&self) {
        let mut state = self.world.state();
        let long = bascule::clock::Clock::system().now().duration_since(state.now());
        state.waits(long);
    }

    /// From now on.
    pub(crate) fn delivers(&self, delivering: Delivering) {
        self.world.state().delivering = delivering;
    }

    /// Those kept since the last time, oldest first: to be sent in any order, twice, or not at all.
    pub(crate) fn take_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.world.state().kept)
    }

    /// Sends one; the answer's status, or `None` when nobody answers.
    pub(crate) async fn sends(&self, delivery: &Delivery) -> Option<u16> {
        send(&self.world, delivery).await
    }
}

impl World {
    /// Tells whoever wants to know what happened since the last time.
    pub(super) async fn tell_all(&self) {
        let (deliveries, delivering) = {
            let mut state = self.state();
            let untold = std::mem::take(&mut state.untold);
            let mut all: Vec<Delivery> = std::mem::take(&mut state.again);
            all.extend(untold.into_iter().map(|told| state.delivery(told)).collect::<Vec<_>>());
            (all, state.delivering)
        };
        for delivery in deliveries {
            let answered = match delivering {
                Delivering::Lost => None,
                Delivering::Kept => {
                    self.state().kept.push(delivery);
                    continue;
                }
                Delivering::AtOnce => send(self, &delivery).await,
            };
            self.state().log(delivery, answered);
        }
    }
}

impl State {
    fn delivery(&mut self, (event, event_type, body): Told) -> Delivery {
        let id = format!("00000000-0000-4000-8000-{:012}", self.id());
        Delivery { tongue: self.tongue, id, event, event_type, body: serde_json::to_vec_pretty(&body).unwrap() }
    }

    /// One try, and the status that it was answered with.
    fn log(&mut self, delivery: Delivery, answered: Option<u16>) {
        let (id, at) = (self.id(), self.now());
        self.tries.push(Try { id, at, delivery, answered });
    }

    /// Will be told, as it is now.
    pub(super) fn tell(&mut self, happened: &Happened<'_>) {
        let told = self.tongue.told(self, happened);
        self.untold.extend(told);
    }

    pub(super) fn tell_pull(&mut self, how: PullChange, by: &str, repository: i64, number: i64) {
        self.tell(&Happened::Pull { how, by, repository, number });
    }

    pub(super) fn tell_comment(&mut self, how: CommentChange, by: &str, comment: &Comment) {
        self.tell(&Happened::Comment { how, by, comment });
    }

    /// A branch moved: the list of activities, and the delivery.
    pub(super) fn tell_push(&mut self, pushed: &Pushed<'_>) {
        let (id, at) = (self.id(), self.tick());
        if !self.repository(pushed.repository).is_fork {
            self.tell(&Happened::Pushed(*pushed));
        }
        let [before, head] = [pushed.before, pushed.after].map(|commit| commit.map(str::to_owned));
        let (branch, by) = (pushed.branch.to_owned(), pushed.by.to_owned());
        self.activities.push(Activity {
            id,
            repository: pushed.repository,
            how: pushed.how,
            by,
            branch,
            before,
            head,
            at,
        });
    }
}

async fn send(world: &World, delivery: &Delivery) -> Option<u16> {
    let (url, at) = {
        let state = world.state();
        (state.hook.clone()?, state.clock.as_ref().map_or(state.now(), |clock| clock.now()))
    };
    let mut request = world.client.post(url).header("Content-Type", "application/json").body(delivery.body.clone());
    for (name, value) in delivery.tongue.headers(delivery, at) {
        request = request.header(name, value);
    }
    Some(request.send().await.ok()?.status().as_u16())
}

//! Order and duplicates do not matter: what real forges' deliveries leave behind is the same in whatever order they come,
//! however often, and under whatever ids they are sent again.
//!
//! A trace is all that one forge told of one story. Every trace has an endpoint of its own, so that many are sent side by
//! side to one door and one database, each in its own order.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use bascule::clock::Clock;
use bascule::db::deliveries::{NewDelivery, Stored};
use bascule::ids::{ForgeName, TraceId};
use bascule::queue::Bell;
use bascule::webhook::body::{self, InFlight, Limits};
use bascule::webhook::signature::Kind;
use bascule::webhook::store::{Intake, Store};
use bascule::webhook::{self, Endpoint};
use futures::future::join_all;
use sqlx::Executor as _;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::fake::forge::{Delivering, Delivery, FakeForge, Merge, Right, Tongue};
use crate::support::database::Database;
use crate::support::random::Random;

/// Where the random ones begin; `SHUFFLED_SEED=… cargo test` compiles another one in.
const SEED: &str = match option_env!("SHUFFLED_SEED") {
    Some(seed) => seed,
    None => "20261122",
};
/// Traces of each kind of forge; four kinds make five thousand.
const TRACES: usize = 1_250;
/// Traces under way at once: their deliveries share commits.
const BESIDE: usize = 75;
/// Of the traces of each kind, those that are sent as requests. What is read of a body is the same whenever it comes, so that the
/// others begin behind that: with what the door's own reader made of it.
const SENT: usize = 25;
/// As the server's configuration calls them.
pub(super) const KINDS: [(Kind, Tongue); 4] = [
    (Kind::Gitea, Tongue::Gitea),
    (Kind::Forgejo, Tongue::Gitea),
    (Kind::GitHub, Tongue::GitHub),
    (Kind::GitLab, Tongue::GitLab),
];

/// What a forge told of a pull request that lives through much: two people push to it by turns, also back to what the
/// other had pushed; what is said is edited, what is approved is dismissed; it is retargeted and merged.
pub(super) async fn told(tongue: Tongue) -> Vec<Delivery> {
    let forge = FakeForge::that_speaks(tongue).await;
    let shop = forge.repository("acme/shop", &[("a", "1")]).await;
    for login in ["dev", "lee", "kim"] {
        forge.lets(login, &shop, Right::Write);
    }
    forge.pushes_to("dev", &shop, "next", &[("b", "1")]).await;
    forge.delivers(Delivering::Kept);
    let pr = forge.opens_pull("dev", &shop, &[("a", "2")]).await;
    let first = forge.head(&pr);
    forge.pushes("kim", &pr, &[("a", "3")]).await;
    forge.resets("lee", &shop, &format!("change-{}", pr.number), &first).await;
    let review = forge.approves("lee", &pr).await;
    let comment = forge.comments("kim", &pr, "/bascule explain").await;
    forge.edits_comment("kim", comment, "/bascule approve").await;
    forge.dismisses(review).await;
    forge.retargets("dev", &pr, "next").await;
    forge.retargets("dev", &pr, "main").await;
    forge.merges("kim", &pr, Merge::Squash).await;
    forge.take_deliveries()
}

/// In another order, some twice, some again under another id.
fn shuffled(told: &[Delivery], random: &mut Random) -> Vec<Delivery> {
    let mut trace = told.to_vec();
    for _ in 0..random.below(5) {
        let again = told[random.below(told.len())].clone();
        let id = if random.below(2) == 0 { again.id.clone() } else { format!("again-{}-{}", random.next(), again.id) };
        trace.push(Delivery { id, ..again });
    }
    for at in (1..trace.len()).rev() {
        trace.swap(at, random.below(at + 1));
    }
    trace
}

/// What has to be the same, a line for each row; `{}` stands for the name of the trace's forge.
const ENDS: &str = "
    SELECT forge, string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT split_part(key, '/', 1) AS forge,
               concat_ws(' ', 'job', kind, lane, state, substr(key, strpos(key, '/')), payload - 'forge') AS line FROM job
        UNION ALL SELECT forge, concat_ws(' ', 'push', forge_id, branch, before_sha, after_sha, pusher - 'forge') FROM push
        UNION ALL SELECT forge, concat_ws(' ', 'edited', forge_id, comment_id) FROM comment_edit
        UNION ALL SELECT forge, 'delivery ' || state || ' ' || delivery_id FROM delivery WHERE delivery_id NOT LIKE 'again-%'
        UNION ALL SELECT DISTINCT forge, 'set aside' FROM delivery WHERE state = 'quarantined'
        UNION ALL SELECT forge, 'conflict' FROM delivery_conflict
    ) AS all_of_it GROUP BY forge";

pub(super) struct Gate {
    pub(super) database: Database,
    router: axum::Router,
    store: Store,
    room: InFlight,
    clock: Clock,
    _committing: JoinSet<()>,
}

impl Gate {
    /// A door with an endpoint for each trace under way.
    pub(super) async fn new() -> Self {
        let database = Database::new().await;
        let (store, committer) = webhook::store::new(database.pool.clone(), Bell::new("door"));
        let mut committing = JoinSet::new();
        committing.spawn(committer.run());
        let endpoints: BTreeMap<ForgeName, Endpoint> = KINDS
            .iter()
            .flat_map(|(kind, tongue)| (0..BESIDE).map(move |at| (name(*kind, at), *kind, *tongue)))
            .map(|(name, kind, tongue)| {
                let secrets = Arc::new(move || Some(vec![tongue.secret().into()]));
                (name.parse().unwrap(), Endpoint { kind, secrets })
            })
            .collect();
        let clock = Clock::system();
        let router = webhook::router(endpoints, store.clone(), clock.clone(), Limits::default());
        Self { database, router, store, room: InFlight::new(1 << 30), clock, _committing: committing }
    }

    /// Sends one trace, one delivery after the other.
    pub(super) async fn sends(&self, to: &str, trace: &[Delivery]) {
        for delivery in trace {
            let mut request = Request::post(format!("/webhooks/{to}")).header("content-type", "application/json");
            for (name, value) in delivery.headers_at(self.clock.now()) {
                request = request.header(name, value);
            }
            let request = request.body(Body::from(delivery.body.clone())).unwrap();
            let answer = self.router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 202, "{to}: {} {}", delivery.event, delivery.id);
        }
    }

    /// What the door's reader makes of a delivery to this endpoint.
    fn reads(&self, (kind, to): (Kind, &str), delivery: &Delivery) -> Intake {
        let event = delivery.event.strip_suffix(" Hook").unwrap_or(delivery.event).to_lowercase().replace(' ', "_");
        let forge: ForgeName = to.parse().unwrap();
        let trace = TraceId(self.clock.new_id());
        let told = webhook::tell((&forge, kind), &event, &delivery.body, trace);
        let row = NewDelivery {
            id: trace.0,
            forge,
            delivery_id: delivery.id.clone(),
            event,
            // What it says is read; what is kept of it is nobody's business here.
            body: Vec::new(),
            body_hash: [0; 32],
            trace,
            state: told.state,
            reason: told.reason,
            repositories: told.repositories.iter().map(|one| one.id).collect(),
        };
        let (repositories, push, jobs) = (told.repositories, told.push, told.jobs);
        Intake { delivery: row, repositories, push, edited: told.edited, by: told.by, again: told.again, jobs }
    }

    /// Stores one trace, one delivery after the other; `read` is of each delivery what the reader made of it.
    async fn stores(&self, read: &BTreeMap<String, Intake>, trace: &[Delivery]) {
        for delivery in trace {
            let mut intake = read[&original(&delivery.id)].clone();
            intake.delivery.id = self.clock.new_id();
            intake.delivery.delivery_id.clone_from(&delivery.id);
            let held = body::read(Body::empty(), Some(0), &Limits::default(), &self.room).await.unwrap();
            let stored = self.store.put(intake, held.room).await.unwrap();
            assert_ne!(stored, Stored::Conflict, "{}", delivery.id);
        }
    }

    /// What each forge left behind; and nothing of it is there any more.
    pub(super) async fn takes_ends(&self) -> BTreeMap<String, String> {
        let rows: Vec<(String, String)> = sqlx::query_as(ENDS).fetch_all(&self.database.owner).await.unwrap();
        let forget = "TRUNCATE job, push, comment_edit, delivery, delivery_conflict";
        self.database.owner.execute(forget).await.unwrap();
        rows.into_iter().collect()
    }
}

/// The id it came with first.
fn original(id: &str) -> String {
    id.strip_prefix("again-").and_then(|rest| rest.split_once('-')).map_or(id, |(_, first)| first).to_owned()
}

pub(super) fn name(kind: Kind, at: usize) -> String {
    format!("{}-{at}", format!("{kind:?}").to_lowercase())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_shuffled_and_doubled_traces_all_end_the_same() {
    println!("seed {SEED}");
    let mut random = Random(SEED.parse().expect("SHUFFLED_SEED is a number"));
    let gate = Gate::new().await;
    for (kind, tongue) in KINDS {
        let told = told(tongue).await;
        assert!(told.len() >= 10, "{kind:?}: {}", told.len());
        gate.sends(&name(kind, 0), &told).await;
        let reference = gate.takes_ends().await.remove(&name(kind, 0)).unwrap();
        println!("{kind:?}: {} deliveries\n{reference}", told.len());
        let names: Vec<String> = (0..BESIDE).map(|at| name(kind, at)).collect();
        let read = |to: &String| {
            let made = told.iter().map(|one| (one.id.clone(), gate.reads((kind, to), one)));
            made.collect::<BTreeMap<String, Intake>>()
        };
        let read: Vec<BTreeMap<String, Intake>> = names.iter().map(read).collect();
        let mut left = TRACES;
        while left > 0 {
            let count = if left == TRACES { SENT } else { left.min(BESIDE) };
            let traces: Vec<Vec<Delivery>> = (0..count).map(|_| shuffled(&told, &mut random)).collect();
            let each = names.iter().zip(&read).zip(&traces);
            if left == TRACES {
                join_all(each.map(|((name, _), trace)| gate.sends(name, trace))).await;
            } else {
                join_all(each.map(|((_, read), trace)| gate.stores(read, trace))).await;
            }
            left -= count;
            let ends = gate.takes_ends().await;
            for (name, trace) in names.iter().zip(&traces) {
                let order: Vec<String> = trace.iter().map(|one| format!("{} {}", one.event, one.id)).collect();
                let end = ends.get(name).map(String::as_str).unwrap_or_default();
                let diff = similar::TextDiff::from_lines(reference.as_str(), end).unified_diff().to_string();
                assert!(end == reference, "{kind:?}, seed {SEED}: in the order {order:#?}\n{diff}");
            }
        }
    }
}

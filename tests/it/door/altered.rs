//! Whatever stands in a field of a delivery that is rightly signed, it is taken, and kept as what it is: of every forge,
//! fields of what it tells are turned into what nobody expects there.

use futures::future::join_all;
use serde_json::{Map, Value, json};

use super::shuffled::{Gate, KINDS, name, told};
use crate::fake::forge::Delivery;
use crate::support::random::Random;

/// Where the random ones begin; `ALTERED_SEED=… cargo test` compiles another one in.
const SEED: &str = match option_env!("ALTERED_SEED") {
    Some(seed) => seed,
    None => "20261122",
};
/// Altered deliveries of each kind of forge.
const ALTERED: usize = 500;
/// Sent side by side.
const BESIDE: usize = 25;

/// What nobody expects.
fn surprises() -> Vec<Value> {
    let mut all = vec![
        Value::Null,
        json!([]),
        json!({}),
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(1e300),
        json!(""),
        json!("javascript:alert(1)"),
        json!("file:///etc/passwd"),
        json!("http://169.254.169.254/latest/meta-data"),
        json!("../../other/repository"),
        json!("\u{0}\u{7f}\u{202e}\n\r-rf"),
        json!("0".repeat(40)),
        json!("'; DROP TABLE delivery; --"),
        json!("x".repeat(20_000)),
        json!(vec![json!({ "id": 1 }); 2_000]),
    ];
    all.push((0..40).fold(json!(1), |inner, _| json!([inner])));
    all
}

/// Every place in it, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, inner)| (key.replace('~', "~0").replace('/', "~1"), inner)).collect()
        }
        Value::Array(all) => all.iter().enumerate().map(|(index, inner)| (index.to_string(), inner)).collect(),
        _ => Vec::new(),
    };
    for (key, inner) in inner {
        found.push(format!("{at}/{key}"));
        places(inner, &format!("{at}/{key}"), found);
    }
}

/// One to three fields are something else, or gone.
fn altered(delivery: &Delivery, surprises: &[Value], id: String, random: &mut Random) -> Delivery {
    let mut body: Value = serde_json::from_slice(&delivery.body).unwrap();
    for _ in 0..1 + random.below(3) {
        let mut all = Vec::new();
        places(&body, "", &mut all);
        // Half of them where everything hangs on it.
        let near: Vec<String> = all.iter().filter(|place| place.matches('/').count() <= 2).cloned().collect();
        let all = if random.below(2) == 0 && !near.is_empty() { near } else { all };
        if all.is_empty() {
            break;
        }
        let place = &all[random.below(all.len())];
        let (parent, key) = place.rsplit_once('/').unwrap();
        let gone = random.below(surprises.len() + 2);
        match (body.pointer_mut(parent), surprises.get(gone)) {
            (Some(Value::Object(fields)), None) => {
                drop(Map::remove(fields, &key.replace("~1", "/").replace("~0", "~")))
            }
            (Some(_), Some(surprise)) => *body.pointer_mut(place).unwrap() = surprise.clone(),
            (Some(_) | None, _) => {}
        }
    }
    Delivery { id, body: serde_json::to_vec(&body).unwrap(), ..delivery.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_field_says_its_delivery_is_taken_and_breaks_nothing() {
    println!("seed {SEED}");
    let mut random = Random(SEED.parse().expect("ALTERED_SEED is a number"));
    let (gate, surprises) = (Gate::new().await, surprises());
    for (kind, tongue) in KINDS {
        let told = told(tongue).await;
        let all: Vec<Delivery> = (0..ALTERED)
            .map(|at| altered(&told[random.below(told.len())], &surprises, format!("altered-{at}"), &mut random))
            .collect();
        // Each is answered 202, whatever it says.
        join_all(all.chunks(ALTERED / BESIDE).zip(0..).map(|(some, at)| {
            let name = name(kind, at);
            let gate = &gate;
            async move { gate.sends(&name, some).await }
        }))
        .await;
        let states = "SELECT state || ' ' || count(*) FROM delivery GROUP BY state ORDER BY state";
        let states: Vec<String> = sqlx::query_scalar(states).fetch_all(&gate.database.owner).await.unwrap();
        println!("{kind:?}: {states:?}");
        let set_aside = states.iter().find_map(|line| line.strip_prefix("quarantined ")?.parse::<usize>().ok());
        assert!(set_aside.is_some_and(|count| (ALTERED / 50..ALTERED).contains(&count)), "{kind:?}: {states:?}");
        // A reason is for a person: it holds nothing that moves their terminal. And a job holds numbers and names.
        let odd = "SELECT (SELECT count(*) FROM delivery WHERE reason ~ '[[:cntrl:]]')
                        + (SELECT count(*) FROM job WHERE payload::text ~ '(script:|passwd|meta-data|DROP)' AND kind <> 'follow_branch')";
        let odd: i64 = sqlx::query_scalar(odd).fetch_one(&gate.database.owner).await.unwrap();
        assert_eq!(odd, 0, "{kind:?}");
        gate.takes_ends().await;
    }
}

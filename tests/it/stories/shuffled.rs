//! One pull request after the other, each told in another order, with deliveries twice and others from long ago, while jobs
//! run in between: all end as the one that was told as it happened. So does one of which much was never told, once a sweep
//! comes by after days.

use std::fmt::Write as _;

use jiff::SignedDuration;

use super::files::{RULES, WEB, settings};
use super::replay::heard;
use super::town::Town;
use crate::fake::forge::{Delivering, Delivery, Merge, Pr};
use crate::support::random::Random;

/// Where the random ones begin; `SHUFFLED_SEED=… cargo test` compiles another one in.
const SEED: &str = match option_env!("SHUFFLED_SEED") {
    Some(seed) => seed,
    None => "20261122",
};
/// Shuffled tellings on each forge.
const TELLINGS: usize = 5;
/// Of the last of them some deliveries are lost.
const LOST: usize = 4;

/// How deliveries come.
enum Coming<'a> {
    AsItHappened,
    /// In any order; some twice, some from before, some under another id; and jobs run in between.
    Shuffled(&'a mut Random),
    /// The same, and one in four never. Days later a sweep comes by.
    Lost(&'a mut Random),
}

/// How long nothing else tells of what was lost, each of three times: eight days of one pull request, which is longer than
/// any forge keeps what it could not deliver.
const UNTOLD: SignedDuration = SignedDuration::from_hours(64);

/// Everything that was told since the last time is heard.
async fn hears(t: &mut Town, before: &mut Vec<Delivery>, coming: &mut Coming<'_>) {
    let mut told = t.forge.take_deliveries();
    let all: Vec<Delivery> = before.iter().chain(&told).cloned().collect();
    before.clone_from(&all);
    if let Coming::Shuffled(random) | Coming::Lost(random) = coming {
        for _ in 0..1 + random.below(4) {
            let again = all[random.below(all.len())].clone();
            let id = if random.below(2) == 0 { again.id.clone() } else { format!("again-{}", random.next()) };
            told.push(Delivery { id, ..again });
        }
        for at in (1..told.len()).rev() {
            told.swap(at, random.below(at + 1));
        }
    }
    if let Coming::Lost(random) = coming {
        told.retain(|_| random.below(4) != 0);
    }
    for delivery in &told {
        assert_eq!(t.forge.sends(delivery).await, Some(202), "{}", delivery.event);
        let works_now = match coming {
            Coming::AsItHappened => false,
            Coming::Shuffled(random) | Coming::Lost(random) => random.below(3) == 0,
        };
        if works_now && let Some(job) = t.claim().await {
            t.run(&job, &tokio_util::sync::CancellationToken::new()).await;
        }
    }
    t.run_jobs().await;
    if let Coming::Lost(_) = coming {
        t.forge.waits(UNTOLD);
        t.context.clock.advance(UNTOLD);
        t.sweeps().await;
    }
}

/// A pull request that makes `new` of `old`, from its opening to its deployment.
async fn lives(t: &mut Town, [old, new]: [&str; 2], before: &mut Vec<Delivery>, mut coming: Coming<'_>) -> String {
    let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", new))]).await;
    hears(t, before, &mut coming).await;
    t.forge.approves("lee", &pr).await;
    t.forge.comments("kim", &pr, "/bascule explain").await;
    let review = t.forge.approves("olga", &pr).await;
    t.forge.dismisses(review).await;
    t.forge.pushes("kim", &pr, &[("README.md", new)]).await;
    hears(t, before, &mut coming).await;
    t.forge.merges("dev", &pr, Merge::Squash).await;
    hears(t, before, &mut coming).await;
    end(t, &pr).await.replace(&format!("\"{old}\""), "OLD").replace(&format!("\"{new}\""), "NEW")
}

/// What is left of it on the forge, in the cluster and in memory, without its numbers.
async fn end(t: &Town, pr: &Pr) -> String {
    let numbers = regex::Regex::new(r"`#\d+`").unwrap();
    let mut text = format!("{}\n{}\n", numbers.replace_all(&t.comment(pr), "`#N`"), t.statuses(pr));
    writeln!(text, "{} comment of ours", t.forge.our_comments(pr.repository, pr.number).len()).unwrap();
    let tip = t.forge.tip(&t.shop, "main").unwrap();
    let at = "SELECT position_commit = $1 AND healthy_commit = $1 FROM environment WHERE name = 'production'";
    let is_there: bool = sqlx::query_scalar(at).bind(&tip).fetch_one(&t.database.owner).await.unwrap();
    writeln!(text, "production is at the tip: {is_there}, with {:?}", t.objects().await).unwrap();
    let given = "SELECT concat_ws(' ', person->>'login', source, v.reason, CASE WHEN u.approval_id IS NOT NULL THEN 'used' END, u.why_not)
                 FROM approval a LEFT JOIN approval_void v ON v.approval_id = a.id LEFT JOIN approval_use u ON u.approval_id = a.id
                 WHERE pull_number = $1 ORDER BY 1";
    let given: Vec<String> = sqlx::query_scalar(given).bind(pr.number).fetch_all(&t.database.owner).await.unwrap();
    writeln!(text, "{}", given.join("\n")).unwrap();
    let left = "SELECT (SELECT count(*) FROM hold) + (SELECT count(*) FROM job) + (SELECT count(*) FROM delivery WHERE state = 'quarantined')";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&t.database.owner).await.unwrap();
    writeln!(text, "{left} left").unwrap();
    text
}

#[test]
fn whatever_order_it_is_told_in_and_however_often_it_ends_the_same() {
    println!("seed {SEED}");
    heard(async |t| {
        let mut random = Random(SEED.parse().expect("SHUFFLED_SEED is a number"));
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.delivers(Delivering::Kept);
        let mut before = Vec::new();
        let reference = lives(t, ["1", "2"], &mut before, Coming::AsItHappened).await;
        let reference = reference.replace("web=2", "web=NEW");
        assert!(reference.contains("is at the tip: true") && reference.contains("lee review used"), "{reference}");
        for turn in 0..TELLINGS {
            let values = if turn % 2 == 0 { ["2", "1"] } else { ["1", "2"] };
            let coming = match turn {
                LOST.. => Coming::Lost(&mut random),
                _ => Coming::Shuffled(&mut random),
            };
            let end = lives(t, values, &mut before, coming).await;
            let end = end.replace(&format!("web={}", values[1]), "web=NEW");
            let diff = similar::TextDiff::from_lines(reference.as_str(), &end).unified_diff().to_string();
            assert!(end == reference, "{:?}, seed {SEED}, telling {turn}:\n{diff}", t.forge.tongue());
            assert!(t.troubles.is_empty(), "{:?}", t.troubles);
        }
    });
}

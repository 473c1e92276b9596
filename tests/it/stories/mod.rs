//! Stories of the whole server: the real door and worker, a real PostgreSQL and API server, and a forge on the wire.
//!
//! Each story is told twice by [`check`]: once with deliveries, and once with a door that answers 202 and stores
//! nothing, so that only sweeps find what happened. It is told again on other forges, as the [table] says. All tellings
//! have to end in the same [rows](Town::rows).
//!
//!     check(async |t| {
//!         t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
//!         let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
//!         t.run_jobs().await;
//!         …
//!     });

mod adopt;
mod app;
mod asked;
mod baselines;
mod branches;
mod charts;
mod checks;
mod claims;
mod clusters;
mod consent;
mod counted;
mod deleted;
mod deployments;
mod door;
mod doubts;
mod drift;
mod drift_attacked;
mod drift_told;
mod emergencies;
mod failures;
mod files;
mod first_sets;
mod freezes;
mod gate;
mod health;
mod held;
mod installation;
pub(crate) mod kills;
mod large;
mod limits;
mod log;
mod long_lists;
mod looks;
mod many;
mod merge_rules;
mod outages;
mod own_file;
mod own_words;
mod owners;
mod patterns;
mod policies;
mod pulls;
mod redelivery;
mod refusals;
mod renderers;
mod replay;
mod repositories;
mod restarts;
mod results;
mod reverts;
mod rewritten;
mod rollbacks;
mod rollbacks_alone;
mod rules;
mod several;
mod shared;
mod shuffled;
mod table;
mod thinned;
mod town;
mod trains;
mod unconsented;
mod verify;
mod windows;

use std::sync::atomic::{AtomicU32, Ordering};

use files::*;
use town::{Told, Town};

use crate::fake::forge::{Merge, Tongue};
use crate::plane::on_plane;
use crate::support::database::Database;

/// Tells a story with deliveries, then with sweeps alone, and on other forges; all have to end the same.
fn check<S: AsyncFn(&mut Town)>(story: S) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = table::name_of::<S>();
    // All tellings say the same to people.
    insta::allow_duplicates! { on_plane(async |plane| {
        let mut ends: Vec<(Tongue, Told, String)> = Vec::new();
        for (tongue, told) in table::tellings(name) {
            // A namespace of its own for each telling.
            let namespace = format!("shop-{}", NEXT.fetch_add(1, Ordering::SeqCst));
            let mut town = Box::pin(Town::on(Database::new().await, plane, &namespace, tongue, told)).await;
            Box::pin(story(&mut town)).await;
            town.run_jobs().await;
            assert!(town.troubles.is_empty(), "{tongue:?}, {told:?}: {:#?}", town.troubles);
            ends.push((tongue, told, town.rows().await));
        }
        for (other, heard, end) in &ends[1..] {
            // With the first telling of all, or of its own forge where each forge has its own words.
            let alike = |(tongue, ..): &&(Tongue, Told, String)| table::ends_alike(name, [*tongue, *other]);
            let (tongue, told, first) = ends.iter().find(alike).unwrap();
            let diff = similar::TextDiff::from_lines(first, end).unified_diff().to_string();
            assert!(first == end, "- {tongue:?}, {told:?}, + {other:?}, {heard:?}\n{diff}");
        }
    }) }
}

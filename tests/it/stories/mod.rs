//! Stories of the whole server: the real door and worker, a real PostgreSQL and API server, and a forge on the wire.
//!
//! Each story is told twice by [`check`]: once with deliveries, and once with a door that answers 202 and stores
//! nothing, so that only sweeps find what happened. Both have to end in the same [rows](Town::rows).
//!
//!     check(async |t| {
//!         t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
//!         let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
//!         t.run_jobs().await;
//!         …
//!     });

mod asked;
mod branches;
mod claims;
mod clusters;
mod consent;
mod counted;
mod deleted;
mod door;
mod failures;
mod files;
mod first_sets;
mod gate;
mod held;
pub(crate) mod kills;
mod large;
mod log;
mod long_lists;
mod looks;
mod outages;
mod own_file;
mod own_words;
mod patterns;
mod pulls;
mod refusals;
mod renderers;
mod replay;
mod repositories;
mod restarts;
mod results;
mod rewritten;
mod rules;
mod several;
mod town;
mod unconsented;

use std::sync::atomic::{AtomicU32, Ordering};

use files::*;
use town::{Told, Town};

use crate::fake::forge::Merge;
use crate::plane::on_plane;

/// Tells a story with deliveries, then with sweeps alone; both have to end the same.
fn check(story: impl AsyncFn(&mut Town)) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // Both tellings say the same to people.
    insta::allow_duplicates! { on_plane(async |plane| {
        let mut ends = Vec::new();
        for told in [Told::ByDeliveries, Told::BySweeps] {
            // A namespace of its own for each telling.
            let namespace = format!("shop-{}", NEXT.fetch_add(1, Ordering::SeqCst));
            let mut town = Box::pin(Town::new(plane, &namespace, told)).await;
            Box::pin(story(&mut town)).await;
            town.run_jobs().await;
            assert!(town.troubles.is_empty(), "{told:?}: {:#?}", town.troubles);
            ends.push(town.rows().await);
        }
        assert!(ends[0] == ends[1], "with deliveries:\n{}\n\nwith sweeps alone:\n{}", ends[0], ends[1]);
    }) }
}

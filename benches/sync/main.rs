//! `make bench-sync`: what a sync costs, beside what others ask of an API server for the same, in one interleaved run on one
//! machine.
//!
//! Ours is the real job on a real PostgreSQL and a real API server. `kubectl` is the program. What Flux and Argo CD ask is
//! replayed by a bare generator of requests, without anything they do besides: a GET and a dry run for each object,
//! 4 and 20 at a time. Only the ratios mean something elsewhere. No controllers run, so objects are config maps, which are
//! healthy as soon as they are there; the row of health writes a Deployment's status itself.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a program for the terminal")]

mod peers;
mod rows;
#[path = "../table/mod.rs"]
mod table;

#[path = "../../tests/parts/mod.rs"]
mod parts;
#[allow(dead_code, reason = "the tests' own, of which a part is used")]
#[path = "../../tests/it/sync/place.rs"]
mod place;
#[allow(dead_code, reason = "the same")]
#[path = "../../tests/it/support"]
mod support {
    pub(crate) mod database;
}

use clap::Parser;

/// What a sync costs, and what it costs without us.
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of objects.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    sizes: Vec<usize>,
    /// Five thousand, too, which is as many as an environment may have: some minutes.
    #[arg(long)]
    five_thousand: bool,
    /// Of each measure.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// As cargo calls it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let mut sizes = options.sizes.clone();
    sizes.extend(options.five_thousand.then_some(5_000));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let plane = parts::ControlPlane::start(&parts::Progress::silent(), parts::Rollouts::None).await.unwrap();
        let mut table = table::Table::of("objects");
        for objects in sizes {
            println!("\n{objects} objects");
            Box::pin(rows::measured(&plane, objects, options.runs, &mut table)).await;
        }
        Box::pin(rows::health(&plane, options.runs, &mut table)).await;
        table.print();
    });
}

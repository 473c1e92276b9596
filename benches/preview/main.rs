//! `make bench-preview`: what a preview costs, beside what people do without us, in one interleaved run on one machine.
//!
//! Ours is the real thing: a webhook to the real door, the real queue and worker, a real PostgreSQL, `git`, and a real API
//! server; only the forge is the tests' own, on the wire. Theirs are the programs themselves. Only the ratios mean
//! something elsewhere. A peer that would take minutes is run for some of the environments, and counted up (`≈`).
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a program for the terminal")]

mod objects;
mod peers;
mod rows;
mod stage;
#[path = "../table/mod.rs"]
mod table;

#[allow(dead_code, unused_imports, reason = "the tests' own, of which a part is used")]
#[path = "../../tests/it/fake/mod.rs"]
mod fake;
#[path = "../../tests/parts/mod.rs"]
mod parts;
#[allow(dead_code, reason = "the same")]
#[path = "../../tests/it/support"]
mod support {
    pub(crate) mod database;
}

use clap::Parser;

/// What a preview costs, and what it costs without us.
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of environments.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    sizes: Vec<usize>,
    /// Ten thousand, too; the cluster then has the objects of the first thousand.
    #[arg(long)]
    ten_thousand: bool,
    /// Of each measure.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds that one row may take of one program.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// As cargo calls it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let mut sizes = options.sizes.clone();
    sizes.extend(options.ten_thousand.then_some(10_000));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        println!("one object, two texts of it");
        objects::measured();
        let plane = parts::ControlPlane::start(&parts::Progress::silent(), parts::Rollouts::None).await.unwrap();
        let mut table = table::Table::of("environments");
        for environments in sizes {
            let stage = stage::Stage::new(&plane, environments).await;
            rows::measured(&stage, &options, &mut table).await;
            stage.ends().await;
        }
        table.print();
    });
}

//! `make bench-server`: what a whole running server costs and how soon it knows, in one run on one machine: `bascule serve` as
//! it is installed, with so many environments that are deployed and watched.
//!
//! The server is a process of its own, on a real PostgreSQL and a real API server; only the forge is the tests' own, on the
//! wire. Beside it, in a process of its own, a reflector of the `kube` crate holds the same objects, as most controllers
//! would. Only the ratios mean something elsewhere.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a program for the terminal")]

mod reflector;
mod rows;
mod running;
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

use std::path::PathBuf;

use clap::Parser;

/// What a running server costs, and how soon it knows.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Numbers of environments, of ten objects each.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    sizes: Vec<usize>,
    /// Of each measure of a time.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Minutes until everything has to be deployed.
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// The peer: holds the config maps of a namespace until its input ends.
    #[arg(long, hide = true, num_args = 2, value_names = ["KUBECONFIG", "NAMESPACE"])]
    reflector: Option<Vec<PathBuf>>,
    /// As cargo calls it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some([kubeconfig, namespace]) = options.reflector.as_deref() {
        return runtime.block_on(reflector::holds(kubeconfig, &namespace.display().to_string()));
    }
    runtime.block_on(async {
        let plane = parts::ControlPlane::start(&parts::Progress::silent(), parts::Rollouts::None).await.unwrap();
        let mut table = table::Table::of("environments");
        for environments in &options.sizes {
            println!("\n{environments} environments");
            Box::pin(rows::measured(&plane, *environments, &options, &mut table)).await;
        }
        table.print();
    });
}

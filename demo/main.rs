//! `make demo`: the whole story once, on a real Gitea, a real Kubernetes control plane and a real PostgreSQL. Pods are
//! simulated (kwok), everything else is what it says. Ends with 0, or at the first thing that is not as said.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program for the terminal")]

mod files;
mod keeping;
#[path = "../tests/parts/mod.rs"]
mod parts;
mod server;
mod stage;
mod story;
mod tamper;
mod wait;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;

/// Watch a pull request become a rollout, gated by an approval, recorded, and proven.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The repository's owner and name.
    #[arg(long, default_value = "acme/shop")]
    repository: String,
    /// Who opens the pull requests.
    #[arg(long, default_value = "dana")]
    author: String,
    /// Who may approve.
    #[arg(long, default_value = "lee")]
    approver: String,
    /// The image that runs first.
    #[arg(long, default_value = "registry.example/shop:1.0")]
    image: String,
    /// The image the first pull request brings.
    #[arg(long, default_value = "registry.example/shop:1.1")]
    next_image: String,
    /// End when the story ends, also on a terminal.
    #[arg(long)]
    end: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let told = runtime.block_on(story::tell(&options, std::io::stdout().is_terminal() && !options.end));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: NOT as said: {error:#}");
            ExitCode::FAILURE
        }
    }
}

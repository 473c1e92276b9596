//! The only place where everything meets.

use std::path::Path;
use std::process::ExitCode;

use bascule::cli::{self, Arguments, Command, print};
use bascule::config::{self, Environ};
use bascule::local;
use bascule::local::report::{Report, Verdict};
use bascule::policy;
use bascule::policy::Located;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(arguments) => run(arguments),
        Err(code) => code,
    }
}

fn run(Arguments { command }: Arguments) -> ExitCode {
    match command {
        Command::Init(init) => tell(local::init::init(&init.dir, config::FILE_NAME)),
        Command::Check(check) if check.live => {
            tell(Report::new(Verdict::CouldNot, "bascule: `check --live` is not in this version\n"))
        }
        Command::Check(check) => tell(local::check::check(check.path.as_deref(), config::FILE_NAME, &check_server)),
        Command::Schema(schema) => {
            print::say(match schema.of {
                cli::schema::Of::Server => config::SCHEMA,
                cli::schema::Of::Repository => policy::repository::SCHEMA,
            });
            ExitCode::SUCCESS
        }
        Command::Completions(completions) => {
            print::say(&completions.script());
            ExitCode::SUCCESS
        }
    }
}

/// A verdict goes to standard output, why there is none to standard error.
fn tell(report: Report) -> ExitCode {
    match report.verdict {
        Verdict::Good | Verdict::Bad => print::say(&report.text),
        Verdict::CouldNot => print::complain(&report.text),
    }
    report.verdict.into()
}

fn check_server(file: &Path) -> Result<String, Vec<Located>> {
    Ok(config::load(Some(file), &Environ::of_process())?.summary())
}

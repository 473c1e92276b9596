//! The only place where everything meets.

use std::path::Path;
use std::process::ExitCode;

use bascule::app;
use bascule::cli::diff::{Colour, Output};
use bascule::cli::{self, Arguments, Command, pager, print};
use bascule::config::{self, Environ};
use bascule::local;
use bascule::local::diff::{Ask, Diffed};
use bascule::local::report::{Report, Verdict};
use bascule::policy;
use bascule::policy::Located;
use bascule::preview::{self, Look};
use bascule::render::Programs;

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
        Command::Diff(diff) => show_diff(&diff),
        Command::Serve(serve) => served(serve.config.as_deref()),
        Command::Migrate(migrate) => migrated(migrate.config.as_deref()),
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

/// The preview of a local clone, as it was asked for.
fn show_diff(asked: &cli::diff::Diff) -> ExitCode {
    if asked.live {
        return tell(Report::new(Verdict::CouldNot, "bascule: `diff --live` is not in this version\n"));
    }
    let environ = Environ::of_process();
    let programs = Programs { search: environ.get("PATH").map(Into::into), ..Programs::default() };
    let ask = Ask {
        folder: asked.folder.clone(),
        base: asked.base.clone(),
        head: asked.head.clone(),
        environments: asked.environments.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let looked = match runtime {
        Ok(runtime) => runtime.block_on(local::diff::with_programs(&programs, &ask)),
        Err(error) => return tell(Report::new(Verdict::CouldNot, format!("bascule: {error}\n"))),
    };
    let Diffed { page, verdict } = match looked {
        Ok(diffed) => diffed,
        Err(error) => return tell(Report::new(Verdict::CouldNot, format!("bascule: {error}\n"))),
    };
    let colour = match asked.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => pager::is_watched() && environ.get("NO_COLOR").is_none_or(str::is_empty),
    };
    match asked.output {
        Output::Text => {
            let look = if colour { Look::Colour } else { Look::Plain };
            pager::show(&preview::terminal(&page, look), environ.get("PAGER"));
        }
        Output::Json => match serde_json::to_string_pretty(&page) {
            Ok(text) => print::say(&text),
            Err(error) => return tell(Report::new(Verdict::CouldNot, format!("bascule: {error}\n"))),
        },
        Output::Markdown => print::say(&preview::comment(&page, None, usize::MAX).text),
    }
    verdict.into()
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

/// Runs an asynchronous command that needs the server's file.
fn with_config<F>(file: Option<&Path>, command: impl FnOnce(config::Loaded, Environ) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<String>>,
{
    let environ = Environ::of_process();
    let loaded = match app::load(file, &environ) {
        Ok(loaded) => loaded,
        Err(complaints) => {
            print::complain(&complaints);
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::complain(&format!("bascule: no threads can be started: {error}\n"));
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(command(loaded, environ)) {
        Ok(said) => {
            print::say(&said);
            ExitCode::SUCCESS
        }
        Err(error) => {
            print::complain(&format!("bascule: {error:#}\n"));
            ExitCode::from(2)
        }
    }
}

fn served(file: Option<&Path>) -> ExitCode {
    app::log_to_stderr();
    with_config(file, |loaded, environ| async move { app::serve(loaded, &environ).await.map(|()| String::new()) })
}

fn migrated(file: Option<&Path>) -> ExitCode {
    with_config(file, |loaded, _| async move {
        let ran = app::migrate(&loaded.server).await?;
        Ok(if ran.is_empty() { "the database is of this version\n".to_owned() } else { format!("ran {ran:?}\n") })
    })
}

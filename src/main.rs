//! The only place where everything meets.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use bascule::audit::checkpoint::Checkpoints;
use bascule::cli::client::{Client, ClientError};
use bascule::cli::diff::{Colour, Output};
use bascule::cli::table::Said;
use bascule::cli::{self, Arguments, Command, pager, print};
use bascule::config::{self, Environ};
use bascule::local::diff::{Ask, Diffed};
use bascule::local::report::{Report, Verdict};
use bascule::manifest::Fingerprints;
use bascule::policy::{self, Located};
use bascule::preview::{self, Look};
use bascule::render::{Limits, Programs, Renderer};
use bascule::{app, audit, local, telemetry};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(arguments) => run(arguments),
        Err(code) => code,
    }
}

fn run(Arguments { command }: Arguments) -> ExitCode {
    match command {
        Command::Init(init) => tell(local::init::init(&init.dir, config::FILE_NAME)),
        Command::Check(check) => checked(&check),
        Command::Diff(diff) => show_diff(&diff),
        Command::Connect(connect) => connected(&connect),
        Command::Serve(serve) => served(&serve),
        Command::Agent(agent) => ran_agent(&agent),
        Command::Migrate(migrate) => migrated(migrate.config.as_deref()),
        Command::Login(login) => logged_in(&login),
        Command::Logout(logout) => logged_out(&logout),
        Command::Status(status) if status.watch => ask(async |client| status.watch(client).await),
        Command::Status(status) => ask(async |client| status.ask(client).await),
        Command::Drift(drift) => ask(async |client| drift.ask(client).await),
        Command::Heal(heal) => ask(async |client| heal.ask(client).await),
        Command::Adopt(adopt) => ask(async |client| adopt.ask(client).await),
        Command::Sync(sync) => ask(async |client| sync.ask(client).await),
        Command::Freeze(freeze) if freeze.of.everything => {
            with_config(freeze.of.config.clone().as_deref(), |loaded, _| app::host::freeze(loaded.server, freeze))
        }
        Command::Freeze(freeze) => ask(async |client| freeze.ask(client).await),
        Command::Unfreeze(unfreeze) if unfreeze.of.everything => {
            with_config(unfreeze.of.config.as_deref(), |loaded, _| app::host::unfreeze(loaded.server))
        }
        Command::Unfreeze(unfreeze) => ask(async |client| unfreeze.ask(client).await),
        Command::Emergency(emergency) => ask(async |client| emergency.ask(client).await),
        Command::Rollback(rollback) => ask(async |client| rollback.ask(client).await),
        Command::Resume(resume) => ask(async |client| resume.ask(client).await),
        Command::Wait(wait) => waited(&wait),
        Command::Environments(environments) => ask(async |client| environments.act.ask(client).await),
        Command::Clusters(clusters) => ask(async |client| clusters.act.ask(client).await),
        Command::History(history) => ask(async |client| history.ask(client).await),
        Command::Preview(preview) => ask(async |client| shown(preview.act.ask(client).await?)),
        Command::Audit(cli::audit::Audit { act: cli::audit::Act::Verify(verify) }) if verify.offline.is_some() => {
            verified_offline(&verify)
        }
        Command::Audit(audit) => ask(async |client| audit.act.ask(client).await),
        Command::Deliveries(deliveries) => ask(async |client| deliveries.act.ask(client).await),
        Command::Jobs(jobs) => ask(async |client| jobs.act.ask(client).await),
        Command::Repositories(cli::repositories::Repositories { config, act }) => {
            with_config(config.as_deref(), |loaded, _| app::host::repositories(loaded.server, act))
        }
        Command::Restored(cli::restored::Restored { config, act }) => {
            with_config(config.as_deref(), |loaded, _| app::host::restored(loaded.server, act))
        }
        Command::Token(cli::token::Token { config, act }) => {
            with_config(config.as_deref(), |loaded, _| app::host::tokens(loaded.server, act))
        }
        Command::Schema(schema) => {
            print::say(match schema.of {
                cli::schema::Of::Server => config::SCHEMA,
                cli::schema::Of::Repository => policy::repository::SCHEMA,
            });
            ExitCode::SUCCESS
        }
        Command::Judge(judge) => {
            match local::judge::judge(&judge.order, |name| print::complain(&format!("asking {name}\n"))) {
                Ok(answers) => {
                    print::say(&answers);
                    ExitCode::SUCCESS
                }
                Err(error) => could_not(error),
            }
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
    // A server's file that is not here, or not whole, is none: an environment that needs it says so.
    let kept = tempfile::tempdir();
    let registries = config::find(None).and_then(|file| {
        let loaded = config::load(Some(&file), &environ).ok()?;
        app::registries(&loaded.server, kept.as_ref().ok()?.path()).ok()
    });
    let ask = Ask {
        registries: registries.unwrap_or_default(),
        folder: asked.folder.clone(),
        base: asked.base.clone(),
        head: asked.head.clone(),
        environments: asked.environments.clone(),
        fingerprints: once(),
        schemas: local::schemas::folder(|name| environ.get(name)),
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

/// A key for what is shown together now: without a server's, nothing can be compared with what is shown elsewhere. A system
/// that gives no randomness shows nothing of hidden values.
fn once() -> Option<Fingerprints> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    Some(Fingerprints::once(key))
}

/// A verdict goes to standard output, why there is none to standard error.
fn tell(report: Report) -> ExitCode {
    match report.verdict {
        Verdict::Good | Verdict::Bad | Verdict::Denied => print::say(&report.text),
        Verdict::CouldNot => print::complain(&report.text),
    }
    report.verdict.into()
}

/// Both files; with `--live`, and when they are good, also what the server's file names.
fn checked(asked: &cli::check::Check) -> ExitCode {
    let report =
        local::check::check(asked.path.as_deref(), config::FILE_NAME, &check_server).and(policies_checked(asked));
    if !asked.live || report.verdict != Verdict::Good {
        return tell(report);
    }
    let environ = Environ::of_process();
    let files = local::check::files(asked.path.as_deref(), config::FILE_NAME);
    let server = files.iter().find(|file| file.extension().is_some_and(|extension| extension == "toml"));
    let live = async {
        match server {
            Some(file) => match config::load(Some(file), &environ) {
                Ok(loaded) => app::check::live(&loaded, &environ).await,
                Err(_) => Report::new(Verdict::CouldNot, "the server's file changed while it was checked\n"),
            },
            None => {
                let alone = format!("no {} here: no forge, cluster or database is asked\n", config::FILE_NAME);
                Report::new(Verdict::Good, alone).and(app::check::renderers(&environ).await)
            }
        }
    };
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => tell(report.and(runtime.block_on(live))),
        Err(error) => could_not(error.into()),
    }
}

/// The policies of the repository's file and of the server's floors, where they have some.
fn policies_checked(asked: &cli::check::Check) -> Report {
    let files = local::check::files(asked.path.as_deref(), config::FILE_NAME);
    let environ = Environ::of_process();
    let servers = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
    let floors = servers.filter_map(|file| config::load(Some(file), &environ).ok()).flat_map(|loaded| loaded.policed());
    let all: Vec<_> = local::check_policies::policed(&files).into_iter().chain(floors).collect();
    if all.is_empty() {
        return Report::new(Verdict::Good, "");
    }
    let checked = async {
        let scratch = tempfile::tempdir()?;
        let programs = Programs { search: environ.get("PATH").map(Into::into), ..Programs::default() };
        let renderer = Box::pin(Renderer::new(&programs, scratch.path(), Limits::default())).await;
        let mut report = Report::new(Verdict::Good, "");
        for policed in all {
            report = report.and(local::check_policies::check(policed, &renderer).await);
        }
        anyhow::Ok(report)
    };
    match tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(checked)) {
        Ok(report) => report,
        Err(error) => Report::new(Verdict::CouldNot, format!("bascule: {error:#}\n")),
    }
}

fn check_server(file: &Path) -> Result<String, Vec<Located>> {
    Ok(config::load(Some(file), &Environ::of_process())?.summary())
}

fn connected(asked: &cli::connect::Connect) -> ExitCode {
    use app::connect::Writing;
    let writing = match (asked.dry_run, asked.renew_secrets) {
        (true, _) => Writing::Nothing,
        (false, true) => Writing::EverySecret,
        (false, false) => Writing::WhatIsNotInOrder,
    };
    let loaded = match load(asked.config.as_deref(), &Environ::of_process()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match tokio::runtime::Runtime::new() {
        Ok(runtime) if asked.create_app => tell(runtime.block_on(created(&loaded, asked))),
        Ok(runtime) => tell(runtime.block_on(app::connect::connect(&loaded, &asked.forge, writing))),
        Err(error) => could_not(error.into()),
    }
}

/// A GitHub App, made with whoever sits at this machine's browser.
async fn created(loaded: &config::Loaded, asked: &cli::connect::Connect) -> Report {
    let creation = app::create_app::Creation {
        forge: asked.forge.clone(),
        url: asked.url.clone(),
        organization: asked.organization.clone(),
        directory: asked.directory.clone(),
        port: asked.port,
    };
    let tell = |address: &str| {
        print::complain(&format!("Open in a browser on this machine:\n  {address}\n"));
        if !asked.no_browser && cli::pager::is_watched() {
            cli::login::open(address);
        }
    };
    match app::told_to_stop() {
        Ok(stopped) => app::create_app::create(loaded, &creation, tell, stopped).await,
        Err(error) => Report::new(Verdict::CouldNot, format!("{error}\n")),
    }
}

/// The server's file; or what to exit with, every complaint already said.
fn load(file: Option<&Path>, environ: &Environ) -> Result<config::Loaded, ExitCode> {
    app::load(file, environ).map_err(|complaints| {
        print::complain(&complaints);
        ExitCode::from(2)
    })
}

/// Runs an asynchronous command that needs the server's file.
fn with_config<F>(file: Option<&Path>, command: impl FnOnce(config::Loaded, Environ) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<String>>,
{
    let environ = Environ::of_process();
    let loaded = match load(file, &environ) {
        Ok(loaded) => loaded,
        Err(code) => return code,
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

fn served(serve: &cli::serve::Serve) -> ExitCode {
    with_config(serve.config.as_deref(), |loaded, environ| async move {
        let is_json = serve.log_json || loaded.server.http.log_format == config::LogFormat::Json;
        telemetry::log(&serve.log, if is_json { telemetry::Format::Json } else { telemetry::Format::Text })?;
        app::serve(loaded, &environ).await.map(|()| String::new())
    })
}

fn ran_agent(agent: &cli::agent::Agent) -> ExitCode {
    let format = if agent.log_json { telemetry::Format::Json } else { telemetry::Format::Text };
    let run = || {
        telemetry::log(&agent.log, format)?;
        tokio::runtime::Runtime::new()?.block_on(app::agent::run(agent, &Environ::of_process()))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => could_not(error),
    }
}

fn migrated(file: Option<&Path>) -> ExitCode {
    with_config(file, |loaded, _| async move {
        let ran = app::migrate(&loaded.server).await?;
        Ok(if ran.is_empty() { "the database is of this version\n".to_owned() } else { format!("ran {ran:?}\n") })
    })
}

/// Asks a server.
fn asked<T>(question: impl AsyncFnOnce(&Client) -> Result<T, ClientError>) -> Result<T, ClientError> {
    finish(async { question(&Client::new(&Environ::of_process())?).await })
}

/// Runs what speaks with a server to its end.
fn finish<T>(act: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClientError::from)?.block_on(act)
}

/// Asks a server, and says what it answered: 0 good, 1 bad, 2 no answer.
fn ask(question: impl AsyncFnOnce(&Client) -> Result<Said, ClientError>) -> ExitCode {
    match asked(question) {
        Ok(said) => {
            print::say(&said.text);
            ExitCode::from(u8::from(!said.is_good))
        }
        Err(error) => could_not(error.into()),
    }
}

fn logged_in(login: &cli::login::Login) -> ExitCode {
    finished(login.run(&Environ::of_process()))
}

fn logged_out(logout: &cli::login::Logout) -> ExitCode {
    finished(logout.run(&Environ::of_process()))
}

/// Runs what signs in or out, and says what came of it.
fn finished(act: impl Future<Output = Result<Said, ClientError>>) -> ExitCode {
    match finish(act) {
        Ok(said) => {
            print::say(&said.text);
            ExitCode::SUCCESS
        }
        Err(error) => could_not(error.into()),
    }
}

/// Waits for a deployment: 0 healthy, 1 failed, 2 no answer, 3 too long, 4 held.
fn waited(wait: &cli::wait::Wait) -> ExitCode {
    match asked(async |client| wait.wait(client).await) {
        Ok(end) => ExitCode::from(end.code()),
        Err(error) => could_not(error.into()),
    }
}

fn could_not(error: anyhow::Error) -> ExitCode {
    print::complain(&format!("bascule: {error:#}"));
    ExitCode::from(2)
}

/// A preview as `bascule diff` writes one.
fn shown((output, page): (cli::preview::Output, serde_json::Value)) -> Result<Said, ClientError> {
    Ok(Said::good(match output {
        cli::preview::Output::Json => cli::table::json(&page),
        cli::preview::Output::Diff => {
            let page: preview::Page = serde_json::from_value(page).map_err(|_| {
                ClientError::Absent("the server's previews are of another version: use `--output json`".to_owned())
            })?;
            preview::terminal(&page, Look::Plain)
        }
    }))
}

/// Verifies an export without a server.
fn verified_offline(verify: &cli::audit::Verify) -> ExitCode {
    let report = || -> anyhow::Result<Said> {
        let export = verify.offline.as_ref().context("name the export")?;
        let (checkpoints, beside) = match &verify.checkpoints {
            Some(folder) => Checkpoints::read(folder).map(|(heads, key)| (heads, Some(key)))?,
            None => (Vec::new(), None),
        };
        let given = verify.public_key.as_ref().map(|given| hex::decode(given.trim()));
        let given = given.transpose().context("the public key is not hex")?;
        let key = given.or(beside).context("name the folder of the signed heads, or the public key")?;
        let file = std::fs::File::open(export).with_context(|| format!("cannot open {}", export.display()))?;
        let report = audit::offline::verify(std::io::BufReader::new(file), &checkpoints, &key)?;
        Ok(cli::audit::verified(verify.output, &serde_json::to_value(&report)?))
    };
    match report() {
        Ok(said) => {
            print::say(&said.text);
            ExitCode::from(u8::from(!said.is_good))
        }
        Err(error) => could_not(error),
    }
}

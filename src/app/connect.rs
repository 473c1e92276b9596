//! `bascule connect FORGE`: what our App or token may, and the webhooks of the granted repositories.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use secrecy::SecretString;

use super::assemble;
use super::check::{bad, could_not, find, forge_failed, good};
use crate::clock::Clock;
use crate::config::Loaded;
use crate::forge::{self, Forge, Holding, NewWebhook, Repository, Right, Webhook};
use crate::ids::ForgeName;
use crate::local::report::{Report, Verdict};
use crate::policy::repository_matches;

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Nothing: it is only shown.
    Nothing,
    /// What is missing or not in order.
    WhatIsNotInOrder,
    /// The same, and every secret.
    EverySecret,
}

/// Connects a forge of a server's file.
pub async fn connect(loaded: &Loaded, forge: &str, writing: Writing) -> Report {
    let server = &loaded.server;
    let Some((name, configured)) = server.forges.iter().find(|(name, _)| name.as_str() == forge) else {
        let known: Vec<&str> = server.forges.keys().map(ForgeName::as_str).collect();
        return could_not(format!("there is no [forge.{forge}] in the server's file; it has: {}", known.join(", ")));
    };
    let access = match assemble::access(name, configured, &Clock::system()) {
        Ok(access) => access,
        Err(error) => return bad(format!("forge {name}: {error:#}")),
    };
    let secret = match configured.webhook_secrets.first().map(|secret| secret.read()) {
        Some(Ok(secret)) => secret,
        Some(Err(error)) => return bad(format!("forge.{name}.webhook_secrets: {error}")),
        None => {
            return bad(format!("forge.{name}.webhook_secrets is empty: deliveries without a secret are not taken"));
        }
    };
    let url = format!("{}/webhooks/{name}", server.http.public_url);
    if is_loopback(&url) && !is_loopback(&configured.url) {
        return bad(format!(
            "webhooks would go to {url}, which is this machine for whoever calls it: set server.public_url to where \
             the forge reaches this server"
        ));
    }
    let ourselves = match access.forge.ourselves().await {
        Ok(account) => account,
        Err(error) => return forge_failed(&format!("forge {name}"), &error),
    };
    let mut report = good(format!("forge {name}: we are {} ({}) at {}", ourselves.login, ourselves.id, configured.url));
    let patterns: BTreeSet<&str> =
        server.platform.grants.values().flat_map(|grant| &grant.repositories).map(String::as_str).collect();
    let (granted, found) = repositories(&access.forge, name, &patterns).await;
    report = report.and(found);

    let connection = Connection { forge: &access.forge, url: &url, secret: &secret, writing };
    let mut said = Vec::new();
    for repository in &granted {
        report = report.and(connection.rights(repository, &mut said).await);
        let (of_it, goes_on) = connection.webhook(repository).await;
        report = report.and(of_it);
        if !goes_on {
            break;
        }
    }
    report
}

/// The granted repositories that are there, and what is to say of the others.
async fn repositories(forge: &Forge, name: &ForgeName, patterns: &BTreeSet<&str>) -> (Vec<Repository>, Report) {
    let mut report = Report::new(Verdict::Good, "");
    let prefix = format!("{name}/");
    let (with_star, exact): (Vec<&str>, Vec<&str>) = patterns
        .iter()
        .filter(|pattern| pattern.starts_with(&prefix) || pattern.contains(['*', '?']))
        .partition(|pattern| pattern.contains(['*', '?']));
    let mut names: BTreeSet<String> =
        exact.iter().filter_map(|one| one.strip_prefix(&prefix)).map(str::to_owned).collect();
    if !with_star.is_empty() {
        match forge.repositories().await {
            Ok(Some(all)) => {
                let all = all.iter().map(ToString::to_string);
                names.extend(
                    all.filter(|one| with_star.iter().any(|glob| repository_matches(glob, &format!("{prefix}{one}")))),
                );
            }
            Ok(None) => {}
            Err(error) => report = report.and(forge_failed("the repositories that patterns grant", &error)),
        }
    }
    let mut found = Vec::new();
    for name in names {
        match find(forge, &name).await {
            Ok(repository) => found.push(repository),
            Err(told) => report = report.and(told),
        }
    }
    if found.is_empty() && report.verdict == Verdict::Good {
        report = report.and(bad(format!("no repository of {name} is granted, or none is shown to us")));
    }
    (found, report)
}

/// What is wanted of one forge.
struct Connection<'a> {
    forge: &'a Forge,
    url: &'a str,
    secret: &'a SecretString,
    writing: Writing,
}

impl Connection<'_> {
    /// What is missing and what is too much, unless the repository before had exactly the same to say.
    async fn rights(&self, repository: &Repository, said: &mut Vec<Right>) -> Report {
        let name = &repository.at.name;
        let rights = match self.forge.rights(&repository.at).await {
            Ok(rights) if rights == *said => return Report::new(Verdict::Good, ""),
            Ok(rights) => rights,
            Err(error) => return forge_failed(&format!("  {name}: rights"), &error),
        };
        let of =
            |holding: Holding| rights.iter().filter(move |right| right.holding == holding).map(|right| &right.spelt);
        let mut report = Report::new(Verdict::Good, "");
        for spelt in of(Holding::Missing) {
            report = report.and(bad(format!("{name}: missing: {spelt}")));
        }
        for spelt in of(Holding::TooMuch) {
            report = report.and(good(format!("!    {name}: more than we need: {spelt}")));
        }
        let untold: Vec<&String> = of(Holding::NotTold).collect();
        if !untold.is_empty() {
            let mut text = format!("?    {name}: needed, and the forge does not tell whether they are there:\n");
            for spelt in untold {
                let _ = writeln!(text, "       {spelt}");
            }
            report = report.and(Report::new(Verdict::Good, text));
        }
        if rights.iter().all(|right| right.holding == Holding::AsNeeded) {
            report = report.and(good(format!("  {name}: we may what we need, and no more")));
        }
        *said = rights;
        report
    }

    /// The webhook of a repository, and whether others have one of their own.
    async fn webhook(&self, repository: &Repository) -> (Report, bool) {
        let name = &repository.at.name;
        let hooks = match self.forge.webhooks(&repository.at).await {
            Ok(hooks) => hooks,
            Err(error) if error.fate == forge::Fate::Refused || error.is_gone() => {
                let what = format!(
                    "{name}: our account may not see its webhooks: make it an administrator there for as long as this \
                     takes, or add one to {} by hand",
                    self.url
                );
                return (bad(what), true);
            }
            Err(error) => return (forge_failed(&format!("  {name}"), &error), true),
        };
        let of_app = hooks.iter().any(|hook| hook.id.is_none());
        // An App has one, wherever it leads now; another's webhook in a repository is nothing to us.
        let ours: Vec<&Webhook> = hooks.iter().filter(|hook| hook.url == self.url || hook.id.is_none()).collect();
        let mut report = match ours.first() {
            Some(hook) => self.see_to(repository, hook).await,
            None => match self.of_organisation(repository).await {
                Some(told) => told,
                None => self.put(repository, None, "no webhook").await,
            },
        };
        if ours.len() > 1 {
            let what = format!("!    {name}: {} webhooks lead to us: remove all but one in its settings", ours.len());
            report = report.and(good(what));
        }
        (report, !of_app)
    }

    /// What is to say of a webhook of the organisation that leads to us. It is of other repositories, too, so it is left
    /// to a person.
    async fn of_organisation(&self, repository: &Repository) -> Option<Report> {
        let (name, owner) = (&repository.at.name, repository.at.name.owner());
        // Not shown to us, or no organisation: then there is none that we know of.
        let hooks = self.forge.organisation_webhooks(owner).await.unwrap_or_default();
        let hook = hooks.into_iter().find(|hook| hook.url == self.url)?;
        let wrong = faults(&hook, self.url);
        Some(match wrong.is_empty() {
            true => good(format!("  {name}: the webhook of {owner} is told of it, too")),
            false => bad(format!("{name}: the webhook of {owner} {}: see to it in its settings", wrong.join(", "))),
        })
    }

    async fn see_to(&self, repository: &Repository, hook: &Webhook) -> Report {
        let name = &repository.at.name;
        let mut wrong = faults(hook, self.url);
        // Which events an App is told of is ticked on its page, by a person.
        if hook.id.is_none() && !hook.unheard.is_empty() {
            let unheard = wrong.pop().unwrap_or_default();
            let what = format!("the App's webhook {unheard}: tick them under “Permissions & events”");
            return bad(what).and(self.mend(repository, hook, &wrong).await);
        }
        if wrong.is_empty() && self.writing != Writing::EverySecret {
            let whose = if hook.id.is_none() { "the App".to_owned() } else { name.to_string() };
            return good(format!(
                "  {whose}: its webhook is in order, as far as the forge shows it: its secret it does not"
            ));
        }
        self.mend(repository, hook, &wrong).await
    }

    async fn mend(&self, repository: &Repository, hook: &Webhook, wrong: &[String]) -> Report {
        if wrong.is_empty() && self.writing != Writing::EverySecret {
            return Report::new(Verdict::Good, "");
        }
        let state = if wrong.is_empty() {
            "a webhook of which the forge does not show the secret".to_owned()
        } else {
            format!("a webhook that {}", wrong.join(", "))
        };
        self.put(repository, hook.id, &state).await
    }

    /// Writes it, unless that is only to be shown.
    async fn put(&self, repository: &Repository, instead_of: Option<i64>, state: &str) -> Report {
        let name = &repository.at.name;
        if self.writing == Writing::Nothing {
            return Report::new(Verdict::Bad, format!("  {name}: {state}: would make one to {}\n", self.url));
        }
        let wanted = NewWebhook { url: self.url, secret: self.secret };
        match self.forge.put_webhook(&repository.at, instead_of, wanted).await {
            Ok(()) => good(format!("  {name}: {state}: made one to {}", self.url)),
            Err(error) => forge_failed(&format!("{name}: {state}, and none can be made"), &error),
        }
    }
}

/// What is not as it has to be; the events last.
fn faults(hook: &Webhook, url: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if hook.url != url {
        wrong.push(if hook.url.is_empty() { "leads nowhere".to_owned() } else { format!("leads to {}", hook.url) });
    }
    if !hook.is_active {
        wrong.push("is switched off".to_owned());
    }
    if !hook.is_json {
        wrong.push("does not send JSON".to_owned());
    }
    if !hook.unheard.is_empty() {
        wrong.push(format!("is not told of {}", hook.unheard.join(", ")));
    }
    wrong
}

/// Whether an address means the machine of whoever uses it.
pub(super) fn is_loopback(url: &str) -> bool {
    let host = url.split("//").nth(1).unwrap_or(url).split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

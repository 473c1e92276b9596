//! What `bascule connect` asks for: webhooks, and what our App or token may.

use std::collections::BTreeMap;

use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{GitHub, Way, Whom, permissions, wire};
use crate::forge::error::Result;
use crate::forge::facts::{Holding, NewWebhook, RepositoryAt, Right, Webhook};
use crate::forge::http::Call;
use crate::forge::name::RepositoryName;

/// Nobody has more; a bound on a mistaken answer.
const MOST_WEBHOOKS: usize = 500;
/// More than these are granted by name.
const MOST_REPOSITORIES: usize = 10_000;

/// The events we act on.
pub(super) const HEARD: [&str; 6] =
    ["push", "delete", "pull_request", "pull_request_review", "issue_comment", "repository"];
/// Those that only environments with `consent.checks` need: asked for, and not insisted on.
pub(super) const OF_CHECKS: [&str; 2] = ["status", "check_run"];

impl GitHub {
    /// An App's deliveries come by its own webhook, from wherever it is installed.
    pub(crate) async fn webhooks(&self, at: &RepositoryAt) -> Result<Vec<Webhook>> {
        match &self.way {
            Way::Token(_) => self.webhooks_at(Whom::Repository(at), &self.path(at, &["hooks"]), "webhooks").await,
            Way::App(_) => {
                let call = Call { name: "webhooks", path: &["app", "hook", "config"], query: &[] };
                let config: wire::HookConfig = self.get(Whom::App, call).await?;
                let app: wire::AppJson = self.get(Whom::App, Call { name: "app", path: &["app"], query: &[] }).await?;
                Ok(vec![Webhook { is_active: !config.url.is_empty(), ..webhook(None, config, &app.events) }])
            }
        }
    }

    pub(crate) async fn organisation_webhooks(&self, organisation: &str) -> Result<Vec<Webhook>> {
        let path = ["orgs", organisation, "hooks"];
        match &self.way {
            Way::Token(_) => self.webhooks_at(Whom::Owner(organisation), &path, "organisation_webhooks").await,
            Way::App(_) => Ok(Vec::new()),
        }
    }

    async fn webhooks_at(&self, whom: Whom<'_>, path: &[&str], name: &'static str) -> Result<Vec<Webhook>> {
        let call = Call { name, path, query: &[] };
        let all: Vec<wire::WebhookJson> = self.all(whom, call, MOST_WEBHOOKS).await?;
        let known = |hook: wire::WebhookJson| Webhook {
            is_active: hook.active,
            ..webhook(Some(hook.id), hook.config, &hook.events)
        };
        Ok(all.into_iter().map(known).collect())
    }

    /// An App's events are ticked on its page: no call of the API does that.
    pub(crate) async fn put_webhook(
        &self,
        at: &RepositoryAt,
        instead_of: Option<i64>,
        wanted: NewWebhook<'_>,
    ) -> Result<()> {
        let config = json!({
            "url": wanted.url, "content_type": "json", "secret": wanted.secret.expose_secret(), "insecure_ssl": "0",
        });
        let name = "put_webhook";
        if let Way::App(_) = &self.way {
            let call = Call { name, path: &["app", "hook", "config"], query: &[] };
            return self.send(Method::PATCH, Whom::App, call, Some(&config)).await.map(drop);
        }
        let number = instead_of.map(|number| number.to_string());
        let mut path = self.path(at, &["hooks"]);
        path.extend(number.as_deref());
        let method = if number.is_some() { Method::PATCH } else { Method::POST };
        let events = [&HEARD[..], &OF_CHECKS].concat();
        let hook = json!({ "active": true, "events": events, "config": config });
        self.send(method, Whom::Repository(at), Call { name, path: &path, query: &[] }, Some(&hook)).await.map(drop)
    }

    pub(crate) async fn repositories(&self) -> Result<Option<Vec<RepositoryName>>> {
        if let Way::App(_) = &self.way {
            return Ok(None);
        }
        let call = Call { name: "repositories", path: &["user", "repos"], query: &[] };
        let all: Vec<wire::RepositoryJson> = self.all(Whom::Anyone, call, MOST_REPOSITORIES).await?;
        let named = all.into_iter().filter_map(|json| json.into_fact(&self.http.forge));
        Ok(Some(named.map(|repository| repository.at.name).collect()))
    }

    pub(crate) async fn rights(&self, at: &RepositoryAt) -> Result<Vec<Right>> {
        match &self.way {
            Way::App(app) => Ok(of_app(&app.permissions_at(&self.http, at.name.owner()).await?)),
            Way::Token(_) => {
                let call = Call { name: "ourselves", path: &["user"], query: &[] };
                let (headers, _) = self.send::<()>(Method::GET, Whom::Anyone, call, None).await?;
                // Only of classic tokens: a fine-grained one's permissions are told to nobody.
                let scopes = headers.get("x-oauth-scopes").and_then(|scopes| scopes.to_str().ok());
                Ok(scopes.map_or_else(of_fine_grained, of_classic))
            }
        }
    }
}

fn webhook(id: Option<i64>, config: wire::HookConfig, events: &[String]) -> Webhook {
    let is_told = |wanted: &&&'static str| events.iter().any(|event| event == *wanted || event == "*");
    let unheard = HEARD.iter().filter(|wanted| !is_told(wanted)).copied().collect();
    Webhook { id, url: config.url, is_active: true, is_json: config.content_type == "json", unheard }
}

fn of_app(given: &BTreeMap<String, String>) -> Vec<Right> {
    let rank = |level: &str| ["read", "write", "admin"].iter().position(|one| *one == level);
    let wanted: BTreeMap<&str, &str> = permissions::OWNER.iter().chain(permissions::REPOSITORY).copied().collect();
    let needed = wanted.iter().map(|(name, level)| {
        let has = given.get(*name).is_some_and(|has| rank(has) >= rank(level));
        let holding = if has { Holding::AsNeeded } else { Holding::Missing };
        Right { spelt: permissions::spelt(name, level), holding }
    });
    let beyond = given.iter().filter(|(name, has)| wanted.get(name.as_str()).is_none_or(|need| rank(has) > rank(need)));
    let beyond = beyond.map(|(name, has)| Right { spelt: permissions::spelt(name, has), holding: Holding::TooMuch });
    needed.chain(beyond).collect()
}

/// What a fine-grained token needs; whether it was given that, its first use shows.
fn of_fine_grained() -> Vec<Right> {
    let all = permissions::OWNER.iter().chain(permissions::REPOSITORY).collect::<std::collections::BTreeSet<_>>();
    // Check runs are made by Apps alone.
    let level = |name: &str, level: &'static str| if name == "checks" { "read" } else { level };
    let right = |&(name, most): &(&str, &'static str)| Right {
        spelt: permissions::spelt(name, level(name, most)),
        holding: Holding::NotTold,
    };
    all.into_iter().map(right).collect()
}

/// A classic token's `repo` is all of a repository; `read:org` shows who is in a team.
fn of_classic(told: &str) -> Vec<Right> {
    let have: Vec<&str> = told.split(',').map(str::trim).filter(|scope| !scope.is_empty()).collect();
    let enough: [(&str, &[&str]); 2] = [("repo", &["repo"]), ("read:org", &["read:org", "write:org", "admin:org"])];
    let spelt = |scope: &str| format!("the scope `{scope}` of a classic token");
    let needed = enough.iter().map(|(scope, by)| {
        let holding = if by.iter().any(|one| have.contains(one)) { Holding::AsNeeded } else { Holding::Missing };
        Right { spelt: spelt(scope), holding }
    });
    let beyond = have.iter().filter(|scope| !["repo", "read:org"].contains(scope));
    let beyond = beyond.map(|scope| Right { spelt: spelt(scope), holding: Holding::TooMuch });
    needed.chain(beyond).collect()
}

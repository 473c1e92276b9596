//! What `bascule connect` asks for: webhooks, and what our token may.

use std::collections::BTreeSet;

use reqwest::Method;
use secrecy::ExposeSecret;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Gitea, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Holding, NewWebhook, RepositoryAt, Right, Webhook};
use crate::forge::http::{As, Call};
use crate::forge::name::RepositoryName;

/// Nobody has more; a bound on a mistaken answer.
const MOST_WEBHOOKS: usize = 500;
/// More than these are granted by name.
const MOST_REPOSITORIES: usize = 10_000;

/// What a webhook is made with. `pull_request` stands for all that begins so; `status`, which `consent.checks` needs, is
/// passed over by versions that do not have it.
const ASKED_FOR: [&str; 6] = ["push", "delete", "pull_request", "issue_comment", "repository", "status"];
/// What it then is told of, as the API lists it, and we act on; by any of these names, which changed with the versions.
const HEARD: [&[&str]; 8] = [
    &["push"],
    &["delete"],
    &["pull_request"],
    &["pull_request_sync"],
    &["pull_request_comment"],
    &["pull_request_review", "pull_request_review_approved"],
    &["issue_comment"],
    &["repository"],
];

/// What our token needs. A `write` is a `read`, too.
const SCOPES: [&str; 4] = ["write:repository", "write:issue", "read:organization", "read:user"];
/// Calls that read what we have no business with, one for each scope we do not need. The first that is refused for its
/// scope says which scopes the token has.
const NOT_OURS: [&[&str]; 4] =
    [&["admin", "users"], &["notifications"], &["activitypub", "user-id", "0"], &["gitignore", "templates"]];

impl Gitea {
    pub(crate) async fn webhooks(&self, at: &RepositoryAt) -> Result<Vec<Webhook>> {
        self.webhooks_at(&self.path(at, &["hooks"]), "webhooks").await
    }

    pub(crate) async fn organisation_webhooks(&self, organisation: &str) -> Result<Vec<Webhook>> {
        self.webhooks_at(&["orgs", organisation, "hooks"], "organisation_webhooks").await
    }

    async fn webhooks_at(&self, path: &[&str], name: &'static str) -> Result<Vec<Webhook>> {
        let all: Vec<wire::WebhookJson> = self.http.get_all(Call { name, path, query: &[] }, MOST_WEBHOOKS).await?;
        Ok(all.into_iter().map(webhook).collect())
    }

    /// Gitea keeps the secret a webhook was made with, whatever an edit says: in its place another is made.
    pub(crate) async fn put_webhook(
        &self,
        at: &RepositoryAt,
        instead_of: Option<i64>,
        wanted: NewWebhook<'_>,
    ) -> Result<()> {
        let config = json!({ "url": wanted.url, "content_type": "json", "secret": wanted.secret.expose_secret() });
        let hook = json!({ "type": "gitea", "active": true, "events": ASKED_FOR, "config": config });
        let call = Call { name: "put_webhook", path: &self.path(at, &["hooks"]), query: &[] };
        let _: IgnoredAny = self.http.post(call, &hook).await?;
        if let Some(number) = instead_of.map(|number| number.to_string()) {
            let call = Call { name: "put_webhook", path: &self.path(at, &["hooks", &number]), query: &[] };
            self.http.send::<()>(Method::DELETE, &call, None, As::Ourselves).await?;
        }
        Ok(())
    }

    pub(crate) async fn repositories(&self) -> Result<Option<Vec<RepositoryName>>> {
        let call = Call { name: "repositories", path: &["user", "repos"], query: &[] };
        let all: Vec<wire::RepositoryJson> = self.http.get_all(call, MOST_REPOSITORIES).await?;
        let named = all.into_iter().filter_map(|json| json.into_fact(&self.http.forge));
        Ok(Some(named.map(|repository| repository.at.name).collect()))
    }

    pub(crate) async fn rights(&self, at: &RepositoryAt) -> Result<Vec<Right>> {
        let call = Call { name: "repository", path: &self.path(at, &[]), query: &[] };
        let ours: wire::OurPermissions = self.http.get(call).await?;
        let held = |has: bool| if has { Holding::AsNeeded } else { Holding::Missing };
        let mut rights = vec![
            Right { spelt: "write access to the repository".to_owned(), holding: held(ours.permissions.push) },
            Right {
                spelt: "to be an administrator of the repository".to_owned(),
                holding: held(ours.permissions.admin),
            },
        ];
        let scope = |scope: &str, holding| Right { spelt: format!("the token's scope `{scope}`"), holding };
        match self.scopes().await? {
            Scopes::All => rights.push(scope("all", Holding::TooMuch)),
            Scopes::NotTold => rights.extend(SCOPES.map(|needed| scope(needed, Holding::NotTold))),
            Scopes::These(have) => {
                let covers = |needed: &str| {
                    have.contains(needed)
                        || needed.strip_prefix("read:").is_some_and(|what| have.contains(&format!("write:{what}")))
                };
                rights.extend(SCOPES.map(|needed| scope(needed, held(covers(needed)))));
                let is_needed = |one: &str| {
                    let kind = one.split_once(':').map_or(one, |(_, kind)| kind);
                    SCOPES.iter().any(|needed| *needed == one || *needed == format!("write:{kind}"))
                };
                rights.extend(have.iter().filter(|one| !is_needed(one)).map(|one| scope(one, Holding::TooMuch)));
            }
        }
        Ok(rights)
    }

    /// Nothing tells a token its scopes but a refusal, so we ask for what we do not need.
    async fn scopes(&self) -> Result<Scopes> {
        for path in NOT_OURS {
            let refused =
                match self.http.get::<IgnoredAny>(Call { name: "scopes", path, query: &[("limit", "1")] }).await {
                    Err(error) if error.fate == Fate::Refused => error,
                    Err(error) if error.is_passing() => return Err(error),
                    Ok(_) | Err(_) => continue,
                };
            if let Some((_, told)) = refused.what.split_once("token scope=") {
                let told = told.split([')', ' ', ';']).next().unwrap_or_default();
                let have: BTreeSet<String> = told.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
                return Ok(if have.contains("all") { Scopes::All } else { Scopes::These(have) });
            }
            if refused.what.contains("required scope") {
                // Forgejo, and Gitea before 1.23, refuse without saying what the token has.
                return Ok(Scopes::NotTold);
            }
        }
        Ok(Scopes::All)
    }
}

/// What a token may.
enum Scopes {
    /// Whatever its account may.
    All,
    /// As Gitea lists them.
    These(BTreeSet<String>),
    NotTold,
}

fn webhook(hook: wire::WebhookJson) -> Webhook {
    let is_told = |names: &&[&'static str]| names.iter().any(|name| hook.events.iter().any(|event| event == name));
    let unheard = HEARD.iter().filter(|names| !is_told(names)).filter_map(|names| names.first().copied()).collect();
    Webhook {
        id: Some(hook.id),
        url: hook.config.url,
        is_active: hook.active,
        is_json: hook.config.content_type == "json",
        unheard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_asks_for_what_the_token_needs() {
        let text = include_str!("../../../docs/gitea.md");
        assert!(text.contains(&format!("--scopes {} ", SCOPES.join(","))));
        let rows: Vec<&str> = text.lines().filter(|line| line.contains("| `") && line.contains(":")).collect();
        let of = |scope: &str| rows.iter().any(|row| row.starts_with(&format!("| `{scope}` |")));
        assert!(SCOPES.iter().all(|scope| of(scope)), "each has its row");
    }
}

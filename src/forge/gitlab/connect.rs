//! What `bascule connect` asks for: webhooks, and what our token may.

use secrecy::ExposeSecret;
use serde_json::json;

use super::lists::List;
use super::{GitLab, parts, project, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Holding, NewWebhook, RepositoryAt, Right, Webhook};
use crate::forge::http::Call;
use crate::forge::name::RepositoryName;

/// Nobody has more; a bound on a mistaken answer.
const MOST_WEBHOOKS: usize = 500;
/// More than these are granted by name.
const MOST_REPOSITORIES: usize = 10_000;
/// Where the words for a level of access are: docs.gitlab.com/api/access_requests/#valid-access-levels.
const DEVELOPER: i64 = 30;
const MAINTAINER: i64 = 40;
const OWNER: i64 = 50;
/// What a signing token begins with; any other secret is the older kind, which is sent along as it is.
const SIGNING: &str = "whsec_";

impl GitLab {
    pub(crate) async fn webhooks(&self, at: &RepositoryAt) -> Result<Vec<Webhook>> {
        self.webhooks_at(project(at, &["hooks"]), "webhooks").await
    }

    /// Groups have webhooks where it is paid for; elsewhere this is an error.
    pub(crate) async fn organisation_webhooks(&self, organisation: &str) -> Result<Vec<Webhook>> {
        let path = ["v4", "groups", organisation, "hooks"].map(str::to_owned);
        self.webhooks_at(path.into(), "organisation_webhooks").await
    }

    async fn webhooks_at(&self, path: Vec<String>, name: &'static str) -> Result<Vec<Webhook>> {
        let list = List { name, path: &path, query: &[], most: MOST_WEBHOOKS };
        let all: Vec<wire::WebhookJson> = self.all(list).await?;
        Ok(all.into_iter().map(webhook).collect())
    }

    /// A webhook that was switched off for failing is switched on by this, too.
    pub(crate) async fn put_webhook(
        &self,
        at: &RepositoryAt,
        instead_of: Option<i64>,
        wanted: NewWebhook<'_>,
    ) -> Result<()> {
        let secret = wanted.secret.expose_secret();
        let key = if secret.starts_with(SIGNING) { "signing_token" } else { "token" };
        let hook = json!({
            "url": wanted.url, "push_events": true, "merge_requests_events": true, "note_events": true,
            "confidential_note_events": true,
            // Which `consent.checks` needs; not insisted on.
            "pipeline_events": true, key: secret,
        });
        let number = instead_of.map(|number| number.to_string());
        let mut path = project(at, &["hooks"]);
        path.extend(number.clone());
        let call = Call { name: "put_webhook", path: &parts(&path), query: &[] };
        let now: wire::WebhookJson = match number {
            Some(_) => self.put(call, &hook).await?,
            None => self.http.post(call, &hook).await?,
        };
        if key == "signing_token" && !now.signing_token_present {
            let what = "made the webhook and passed over its signing token, as it does while it has none: name a secret that \
                        does not begin with `whsec_` until its feature `webhook_signing_token` is there";
            return Err(self.http.error(Fate::Invalid, None, what.to_owned()));
        }
        Ok(())
    }

    pub(crate) async fn repositories(&self) -> Result<Option<Vec<RepositoryName>>> {
        let path = ["v4", "projects"].map(str::to_owned);
        let query = [("membership", "true"), ("simple", "true")];
        let list = List { name: "repositories", path: &path, query: &query, most: MOST_REPOSITORIES };
        let all: Vec<wire::ProjectJson> = self.all(list).await?;
        let named = all.into_iter().filter_map(|json| json.into_fact(&self.http.forge));
        Ok(Some(named.map(|repository| repository.at.name).collect()))
    }

    pub(crate) async fn rights(&self, at: &RepositoryAt) -> Result<Vec<Right>> {
        let path = project(at, &[]);
        let ours: wire::OurAccess = self.http.get(Call { name: "repository", path: &parts(&path), query: &[] }).await?;
        let level = ours.permissions.level();
        let role = |name: &str, holding| Right { spelt: format!("the role {name} in the project"), holding };
        let held = |least: i64| if level >= least { Holding::AsNeeded } else { Holding::Missing };
        let mut rights = vec![role("Developer", held(DEVELOPER))];
        match level {
            OWNER.. => rights.push(role("Owner", Holding::TooMuch)),
            // For `connect` itself, and for a look at the webhooks.
            _ => rights.push(role("Maintainer", held(MAINTAINER))),
        }
        // Whatever kind of token: docs.gitlab.com/api/personal_access_tokens, "self-inform".
        let call = Call { name: "token", path: &["v4", "personal_access_tokens", "self"], query: &[] };
        let scope = |scope: &str, holding| Right { spelt: format!("the token's scope `{scope}`"), holding };
        match self.http.get::<wire::TokenJson>(call).await {
            Ok(token) => {
                let has = token.scopes.iter().any(|one| one == "api");
                rights.push(scope("api", if has { Holding::AsNeeded } else { Holding::Missing }));
                let beyond = token.scopes.iter().filter(|one| *one != "api");
                rights.extend(beyond.map(|one| scope(one, Holding::TooMuch)));
            }
            // An OAuth application's token is none of these.
            Err(error) if !error.is_passing() => rights.push(scope("api", Holding::NotTold)),
            Err(error) => return Err(error),
        }
        Ok(rights)
    }
}

fn webhook(hook: wire::WebhookJson) -> Webhook {
    let told = [
        ("push_events", hook.push_events),
        ("merge_requests_events", hook.merge_requests_events),
        ("note_events", hook.note_events),
    ];
    Webhook {
        id: Some(hook.id),
        url: hook.url,
        // One that failed too often is switched off, for a while or for good (docs.gitlab.com, "auto-disabled webhooks").
        is_active: hook.alert_status.as_deref().is_none_or(|now| now == "executable"),
        is_json: true,
        unheard: told.into_iter().filter(|(_, is_told)| !is_told).map(|(name, _)| name).collect(),
    }
}

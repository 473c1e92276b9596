//! A GitHub App from a manifest: a page of GitHub's shows it to a person, who comes back with a code, and that is exchanged
//! for the App and its secrets, once and within the hour (docs.github.com, "Registering a GitHub App from a manifest").

use reqwest::{Method, Url};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::connect::{HEARD, OF_CHECKS};
use super::{ACCEPTED, HEADERS, api, permissions};
use crate::clock::Clock;
use crate::forge::error::{Fate, Result};
use crate::forge::http::{As, Call, Http, Manners, Settings, SettingsError};

/// The longest name an App has.
const LONGEST_NAME: usize = 34;
/// GitHub's codes have forty characters.
const LONGEST_CODE: usize = 200;

const MANNERS: Manners = Manners {
    scheme: "Bearer",
    accept: ACCEPTED,
    headers: HEADERS,
    key: "create-app",
    needed: |_| "a code that it gave less than an hour ago",
    limits: None,
};

/// What an App of ours is, before it is one.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What it is called; GitHub's page lets a person change that.
    pub name: &'a str,
    /// Where people find us.
    pub home: &'a str,
    /// Where its deliveries go.
    pub webhook: &'a str,
    /// Where people who sign in come back to.
    pub sign_in: &'a str,
    /// Where the person who makes it comes back to.
    pub redirect: &'a str,
}

/// An App, as GitHub made it.
#[derive(Debug)]
pub struct NewApp {
    /// Its number.
    pub id: u64,
    /// Where it is installed.
    pub install: String,
    /// As whom people sign in.
    pub client_id: String,
    /// What people sign in with, of ours.
    pub client_secret: SecretString,
    /// What its deliveries are signed with.
    pub webhook_secret: SecretString,
    /// What we sign with.
    pub private_key: SecretString,
}

/// Where Apps are made, on one instance.
#[derive(Debug)]
pub struct Manifest(Http);

#[derive(Deserialize)]
struct Made {
    id: u64,
    html_url: String,
    client_id: String,
    client_secret: String,
    webhook_secret: Option<String>,
    pem: String,
}

impl Manifest {
    /// Makes no call. Of the settings, what says who we are is not used: nobody is anybody yet.
    pub fn new(settings: &Settings, clock: Clock) -> std::result::Result<Self, SettingsError> {
        Ok(Self(Http::unsigned(settings, api, MANNERS, clock)?))
    }

    /// The page that a browser posts the manifest to, for an organisation or for the person's own account. `state` comes back.
    pub fn address(&self, organisation: Option<&str>, state: &str) -> String {
        let site = match organisation {
            Some(organisation) => self.0.site(&["organizations", organisation, "settings", "apps", "new"]),
            None => self.0.site(&["settings", "apps", "new"]),
        };
        let Ok(mut url) = Url::parse(&site) else { return site };
        url.query_pairs_mut().append_pair("state", state);
        url.into()
    }

    /// The App, with the permissions and events that we use and no more.
    pub fn text(wanted: &Wanted<'_>) -> Value {
        let permissions: serde_json::Map<String, Value> = permissions::OWNER
            .iter()
            .chain(permissions::REPOSITORY)
            .map(|(name, level)| ((*name).to_owned(), json!(level)))
            .collect();
        // What a merge queue asks; a repository's own webhook has its sweeps for that.
        let events = [&HEARD[..], &OF_CHECKS, &["merge_group"]].concat();
        json!({
            "name": wanted.name.chars().take(LONGEST_NAME).collect::<String>(),
            "url": wanted.home,
            "hook_attributes": { "url": wanted.webhook, "active": true },
            "redirect_url": wanted.redirect,
            "callback_urls": [wanted.sign_in],
            "public": false,
            "default_events": events,
            "default_permissions": permissions,
        })
    }

    /// Exchanges a code for the App. Neither an error nor the log has the code in it: it is good until it is used.
    pub async fn exchange(&self, code: &str) -> Result<NewApp> {
        let is_code = (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
        let refused =
            |fate, status| self.0.error(fate, status, "did not give an App for what was brought back".to_owned());
        if !is_code {
            return Err(refused(Fate::Invalid, None));
        }
        let call = Call { name: "create_app", path: &["app-manifests", code, "conversions"], query: &[] };
        // An unsigned client's own call is nobody's.
        let sent = self.0.send::<()>(Method::POST, &call, None, As::Ourselves).await;
        let (_, body) = sent.map_err(|error| refused(error.fate, error.status))?;
        let made: Made = serde_json::from_slice(&body).map_err(|_| refused(Fate::Invalid, None))?;
        let is_id =
            !made.client_id.is_empty() && made.client_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
        let is_ours = made.html_url.starts_with(&self.0.site(&[])) && !made.html_url.contains(char::is_whitespace);
        match made.webhook_secret {
            Some(webhook_secret) if made.id > 0 && is_id && is_ours => Ok(NewApp {
                id: made.id,
                install: format!("{}/installations/new", made.html_url.trim_end_matches('/')),
                client_id: made.client_id,
                client_secret: made.client_secret.into(),
                webhook_secret: webhook_secret.into(),
                private_key: made.pem.into(),
            }),
            Some(_) | None => Err(refused(Fate::Invalid, None)),
        }
    }
}

//! People who say through a forge who they are: the authorization code of OAuth 2 (RFC 6749) with a proof key (RFC 7636,
//! `S256`), of which we need one address and two calls. What the forge gives us for them is used once, to ask who they
//! are, and dropped: what they may see is asked under our own account.
//!
//! Written out rather than by a crate for the protocol: that one draws its own randomness, brings another generation of
//! digests, random sources and time, and the bounds, certificates and fates of these two calls are `http.rs`'s in any case.

use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::error::{Fate, Result};
use super::http::{As, Call, Http, Manners, Settings, SettingsError, authorization, extend};
use super::{Kind, github};
use crate::clock::Clock;
use crate::ids::Account;

/// The OAuth application of ours on one forge.
#[derive(Debug)]
pub struct Application {
    http: Http,
    manner: Manner,
    client_id: String,
    client_secret: SecretString,
}

/// How one kind of forge has people sign in.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// The page a person is sent to.
    authorize: &'static [&'static str],
    /// Where what they bring back is exchanged.
    token: &'static [&'static str],
    /// The least that lets us read who they are.
    scope: &'static str,
    /// Where its API is, by where its pages are.
    api: fn(&mut Url),
}

/// The one thing that differs from kind to kind.
fn manner(kind: Kind) -> Manner {
    match kind {
        Kind::Gitea | Kind::Forgejo => Manner {
            authorize: &["login", "oauth", "authorize"],
            token: &["login", "oauth", "access_token"],
            scope: "read:user",
            api: |url| extend(url, &["api", "v1"]),
        },
        // Who somebody is, is public there: no scope at all.
        Kind::GitHub => Manner {
            authorize: &["login", "oauth", "authorize"],
            token: &["login", "oauth", "access_token"],
            scope: "",
            api: github::api,
        },
        Kind::GitLab => Manner {
            authorize: &["oauth", "authorize"],
            token: &["oauth", "token"],
            scope: "read_user",
            api: |url| extend(url, &["api", "v4"]),
        },
    }
}

const MANNERS: Manners = Manners {
    scheme: "Bearer",
    accept: "application/json",
    headers: &[],
    key: "sign_in",
    needed: |_| "an OAuth application that this forge knows",
    limits: None,
};

/// One attempt of a person to sign in, as the forge sees it.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Where the forge sends them back to: exactly as registered there.
    pub redirect: &'a str,
    /// What they bring back.
    pub state: &'a str,
    /// The key whose digest the forge was shown.
    pub verifier: &'a str,
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Person {
    id: i64,
    login: Option<String>,
    /// GitLab's word for it; Gitea says both.
    username: Option<String>,
}

impl Application {
    /// Makes no call. Of the settings, what says who we are is not used: these calls are the person's.
    pub fn new(
        kind: Kind,
        settings: &Settings,
        (client_id, client_secret): (String, SecretString),
        clock: Clock,
    ) -> std::result::Result<Self, SettingsError> {
        let manner = manner(kind);
        let http = Http::unsigned(settings, manner.api, MANNERS, clock)?;
        Ok(Self { http, manner, client_id, client_secret })
    }

    /// The page of the forge that asks a person whether we may know who they are. `challenge` is the digest of the key.
    pub fn address(&self, redirect: &str, state: &str, challenge: &str) -> String {
        let site = self.http.site(self.manner.authorize);
        let Ok(mut url) = Url::parse(&site) else { return site };
        url.query_pairs_mut().extend_pairs([
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", redirect),
            ("response_type", "code"),
            ("state", state),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ]);
        if !self.manner.scope.is_empty() {
            url.query_pairs_mut().append_pair("scope", self.manner.scope);
        }
        url.into()
    }

    /// Who brought this code back. A code is good once, for us, for this redirect and for this key: the forge sees to it.
    pub async fn account(&self, code: &str, attempt: &Attempt<'_>) -> Result<Account> {
        let call = Call { name: "sign_in", path: self.manner.token, query: &[] };
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose_secret()),
            ("code", code),
            ("redirect_uri", attempt.redirect),
            ("code_verifier", attempt.verifier),
        ];
        let exchanged: Exchanged = self.http.form(call, &fields).await?;
        // GitHub says no with 200.
        let token = exchanged.access_token.filter(|_| exchanged.error.is_none());
        let signed = token.and_then(|token| authorization("Bearer", &SecretString::from(token)));
        let Some(signed) = signed else {
            return Err(self.http.error(Fate::Refused, None, "does not take what the person brought back".to_owned()));
        };
        let call = Call { name: "signed_in", path: &["user"], query: &[] };
        let answer = self.http.send::<()>(Method::GET, &call, None, As::Once(&signed)).await?;
        let person: Person = self.http.json(&call, &answer.1)?;
        let login = person.login.or(person.username).filter(|login| person.id > 0 && !login.is_empty());
        match login {
            Some(login) => Ok(Account { forge: self.http.forge.clone(), id: person.id, login }),
            None => Err(self.http.error(Fate::Invalid, None, "says that nobody signed in".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::{ANSWER_WITHIN, SignIn};

    #[test]
    fn a_person_is_sent_to_the_page_of_their_forge_and_no_secret_with_them() {
        let address = |kind, url: &str| {
            let settings = Settings {
                name: "work".parse().unwrap(),
                url: url.to_owned(),
                sign_in: SignIn::Token("our own".into()),
                ca_pem: None,
                answer_within: ANSWER_WITHIN,
            };
            let ours = ("a id".to_owned(), "hush".into());
            let application = Application::new(kind, &settings, ours, Clock::system()).unwrap();
            application.address("https://b.example/x", "s&t", "c")
        };
        let rest = "client_id=a+id&redirect_uri=https%3A%2F%2Fb.example%2Fx&response_type=code&state=s%26t\
                    &code_challenge=c&code_challenge_method=S256";
        for (kind, url, expected) in [
            (
                Kind::Gitea,
                "https://g.example/git",
                "https://g.example/git/login/oauth/authorize?REST&scope=read%3Auser",
            ),
            (Kind::Forgejo, "https://f.example", "https://f.example/login/oauth/authorize?REST&scope=read%3Auser"),
            (Kind::GitHub, "https://github.com", "https://github.com/login/oauth/authorize?REST"),
            (Kind::GitLab, "https://gitlab.com", "https://gitlab.com/oauth/authorize?REST&scope=read_user"),
        ] {
            assert_eq!(address(kind, url), expected.replace("REST", rest), "{kind:?}");
        }
    }
}

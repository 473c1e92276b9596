//! An answer that is not the one asked for: which fate it has, and what a person can do about it.

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};

use super::{As, Http};
use crate::forge::budget::{LONGEST_PAUSE, PAUSE};
use crate::forge::error::{Fate, ForgeError};

impl Http {
    /// Which fate an answer that is not the one asked for has.
    pub(super) async fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        (call, asked): (&str, &str),
        json: Option<&Vec<u8>>,
        whom: As<'_>,
    ) -> ForgeError {
        let code = status.as_u16();
        let exhausted = limit(headers, "remaining") == Some("0");
        let reset = || if exhausted { reset_of(headers, self.clock.now()) } else { None };
        let pause = asked_pause(headers, self.clock.now()).or_else(reset);
        let said = json.and_then(|body| message_of(body));
        let too_much = exhausted || pause.is_some() || said.as_deref().is_some_and(is_about_limits);
        let (fate, why) = match code {
            // The search has a small limit of its own, which says nothing about other calls.
            403 | 429 if exhausted && headers.get("x-ratelimit-resource").is_some_and(|of| of == "search") => {
                let after = Some(pause.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE).unsigned_abs());
                (Fate::Retry { after }, "asks us to search less")
            }
            429 => (self.pause(pause, whom).await, "asks us to slow down"),
            403 if too_much => (self.pause(pause, whom).await, "asks us to slow down"),
            408 | 425 | 500.. => match pause {
                Some(pause) => (self.pause(Some(pause), whom).await, "is failing"),
                None => (Fate::Retry { after: None }, "is failing"),
            },
            301 | 307 | 308 if self.is_our_api(headers) => (Fate::Gone, "has it under another name now"),
            // Something in front of the forge, or its sign-in page, is speaking: nothing can be concluded.
            _ if json.is_none() || status.is_redirection() => {
                (Fate::Retry { after: None }, "did not answer as its API")
            }
            401 => (Fate::Refused, "does not take our token"),
            403 => (Fate::Refused, "does not let our account do this"),
            404 | 410 => (Fate::Gone, "does not have it, or does not show it to our account"),
            _ => (Fate::Invalid, "does not take this request"),
        };
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        let needs = match code {
            401 if fate == Fate::Refused => {
                format!("; it needs a valid one, where `forge.{}.{}` says", self.forge, self.manners.key)
            }
            403 if fate == Fate::Refused => format!("; it needs {}", (self.manners.needed)(call)),
            _ => String::new(),
        };
        let what = format!("{why} ({asked} answered {code}{said}){needs}");
        ForgeError { at: date_of(headers), ..self.error(fate, Some(code), what) }
    }

    /// Nothing is asked for a while, by any server.
    async fn pause(&self, asked: Option<SignedDuration>, whom: As<'_>) -> Fate {
        Fate::Retry { after: Some(self.budget.pauses(self.purse(whom.account()), asked).await) }
    }

    /// A renamed repository is redirected to its new name; to a sign-in page, anything is.
    fn is_our_api(&self, headers: &HeaderMap) -> bool {
        let to = headers.get(LOCATION).and_then(|v| v.to_str().ok()).and_then(|to| self.base.join(to).ok());
        to.is_some_and(|to| {
            to.origin() == self.base.origin()
                && to.path().starts_with(&format!("{}/", self.base.path().trim_end_matches('/')))
        })
    }
}

/// `Retry-After`, in seconds or as a date.
fn asked_pause(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(at.duration_since(now))
}

/// The forge's clock.
fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(headers.get(DATE)?.to_str().ok()?.trim()).ok()?.timestamp())
}

/// What is said of a limit: GitHub's headers begin with `x-`, GitLab's do not.
pub(super) fn limit<'h>(headers: &'h HeaderMap, what: &str) -> Option<&'h str> {
    let names = [format!("x-ratelimit-{what}"), format!("ratelimit-{what}")];
    names.iter().find_map(|name| headers.get(name)?.to_str().ok())
}

/// When a limit that is used up is new again, in seconds since 1970.
fn reset_of(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    Some(reset_at(headers)?.duration_since(now))
}

/// The same as a time.
pub(super) fn reset_at(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::from_second(limit(headers, "reset")?.trim().parse().ok()?).ok()
}

/// GitHub tells of its secondary limits by 403 and these words, with or without a time.
fn is_about_limits(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["rate limit", "abuse detection"].iter().any(|words| said.contains(words))
}

/// Of the forge's own words. Gitea lists every scope of a token in one of its sentences.
const LONGEST_MESSAGE: usize = 400;

/// The forge's own words, short and on one line: they may quote what a stranger wrote. GitLab says some by field, and
/// those about tokens as OAuth does.
fn message_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Said {
        #[serde(alias = "error_description")]
        message: Option<serde_json::Value>,
        error: Option<String>,
    }
    let said: Said = serde_json::from_slice(body).ok()?;
    let text = match said.message {
        Some(serde_json::Value::String(text)) => text,
        Some(fields) => fields.to_string(),
        None => said.error?,
    };
    let inert = |c: char| if c.is_control() || c == '`' { ' ' } else { c };
    let short: String = text.chars().map(inert).take(LONGEST_MESSAGE).collect();
    Some(short).filter(|short| !short.trim().is_empty())
}

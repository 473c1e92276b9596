//! One call: counted, within its bounds, and only when there is room for it.

use reqwest::header::{AUTHORIZATION, HeaderMap, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::{As, Call, Http, LARGEST_ANSWER, is_json, refusal};
use crate::forge::budget::{Cost, Left, Purse, Short, Urgency};
use crate::forge::error::{Fate, ForgeError, Result};

impl Http {
    /// One call, as somebody. A GET may be answered by what was answered before, when the forge says that it is the same.
    pub(in crate::forge) async fn send<B: Serialize>(
        &self,
        method: Method,
        call: &Call<'_>,
        body: Option<&B>,
        whom: As<'_>,
    ) -> Result<(HeaderMap, Vec<u8>)> {
        let _seat = self.seat().await?;
        let purse = self.purse(whom.account());
        let spent = self.budget.take(purse, cost(&method, call), Urgency::now()).await;
        spent.map_err(|short| self.short(short, &format!("{} was not sent", self.place(call))))?;
        let begun = tokio::time::Instant::now();
        let outcome = self.exchange(method, call, body, whom).await;
        self.count(call, begun, &outcome);
        outcome
    }

    /// A place among the calls that run at once.
    pub(super) async fn seat(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let closing = |_| self.error(Fate::Retry { after: None }, None, "is closing".into());
        self.seats.acquire().await.map_err(closing)
    }

    async fn exchange<B: Serialize>(
        &self,
        method: Method,
        call: &Call<'_>,
        body: Option<&B>,
        whom: As<'_>,
    ) -> Result<(HeaderMap, Vec<u8>)> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(call.path),
            Err(()) => return Err(self.error(Fate::Invalid, None, "has no usable address".to_owned())),
        };
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let asked = format!("{method} {}", self.place(call));
        let key = if method == Method::GET { self.key(&url, whom) } else { None };
        let before = key.as_ref().and_then(|key| self.answered(key));
        let writes = (method != Method::GET).then(|| url.clone());
        let mut request = self.client.request(method, url);
        match whom {
            As::Ourselves => {}
            As::Installed { signed, .. } | As::Once(signed) => request = request.header(AUTHORIZATION, signed),
        }
        if let Some(before) = &before {
            request = request.header(IF_NONE_MATCH, &before.tag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await;
        // Whatever came of it: it may have been done.
        if let Some(url) = writes {
            self.forget(&url);
        }
        let answer = answer.map_err(|e| self.no_answer(&asked, e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = self.read_bounded(answer, &asked).await?;
        if let Some(before) = before.filter(|_| status == StatusCode::NOT_MODIFIED) {
            self.goes_well(whom, &headers).await;
            let forge = self.forge.as_str().to_owned();
            metrics::counter!("bascule_forge_unchanged_total", "forge" => forge, "call" => call.name).increment(1);
            return Ok((before.headers, before.body));
        }
        let is_json = is_json(&headers);
        if status.is_success() && (is_json || body.is_empty()) {
            self.goes_well(whom, &headers).await;
            if let Some(key) = key {
                self.keep(key, &headers, &body);
            }
            return Ok((headers, body));
        }
        Err(self.refusal(status, &headers, (call.name, &asked), is_json.then_some(&body), whom).await)
    }

    /// The body, given up as soon as it is larger than we would keep.
    pub(super) async fn read_bounded(&self, mut answer: reqwest::Response, asked: &str) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.no_answer(asked, e))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let what = format!("{asked}: the answer is larger than {LARGEST_ANSWER} bytes");
                return Err(self.error(Fate::Invalid, None, what));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) fn no_answer(&self, asked: &str, source: reqwest::Error) -> ForgeError {
        let why = if source.is_timeout() {
            "did not answer in time"
        } else if source.is_connect() {
            "cannot be reached"
        } else {
            "broke off its answer"
        };
        let source = source.without_url();
        ForgeError {
            source: Some(Box::new(source)),
            ..self.error(Fate::Retry { after: None }, None, format!("{why} ({asked})"))
        }
    }

    /// Whether there is room for this now, in the budget of an account.
    pub(in crate::forge) async fn room(&self, account: &str, cost: Cost) -> Result<()> {
        let said = self.budget.look(self.purse(account), cost, Urgency::now()).await;
        said.map_err(|short| self.short(short, "nothing is begun"))
    }

    pub(super) fn purse<'a>(&'a self, account: &'a str) -> Purse<'a> {
        Purse { forge: &self.forge, account, limits: self.manners.limits }
    }

    fn short(&self, short: Short, so: &str) -> ForgeError {
        match short {
            Short::Wait { wait, why } => self.error(Fate::Retry { after: Some(wait) }, None, format!("{why} ({so})")),
            Short::Unknown => {
                let what = format!("cannot be asked while nobody knows how much it takes ({so})");
                self.error(Fate::Retry { after: None }, None, what)
            }
        }
    }

    async fn goes_well(&self, whom: As<'_>, headers: &HeaderMap) {
        let number = |what| refusal::limit(headers, what).and_then(|said| said.trim().parse::<u32>().ok());
        let until = refusal::reset_at(headers);
        let left = number("remaining").zip(until).map(|(left, until)| {
            // The search has a small limit of its own, which says nothing about other calls.
            let is_of_all = headers.get("x-ratelimit-resource").is_none_or(|of| of == "core");
            (is_of_all, Left { left, of: number("limit").unwrap_or(left), until })
        });
        let left = left.filter(|(is_of_all, _)| *is_of_all).map(|(_, left)| left);
        if let Some(left) = left {
            let forge = self.forge.as_str().to_owned();
            metrics::gauge!("bascule_forge_limit_remaining", "forge" => forge).set(f64::from(left.left));
        }
        self.budget.went_well(self.purse(whom.account()), left).await;
    }
}

impl<'a> As<'a> {
    /// Whose limits it counts towards.
    pub(super) fn account(self) -> &'a str {
        match self {
            Self::Installed { at, .. } => at,
            Self::Ourselves | Self::Once(_) => "",
        }
    }
}

/// What creates a comment or an issue, which GitHub counts apart.
const CREATE: [&str; 2] = ["create_comment", "create_issue"];

fn cost(method: &Method, call: &Call<'_>) -> Cost {
    let points = if *method == Method::GET { 1 } else { 5 };
    Cost { points, creations: u32::from(CREATE.contains(&call.name)) }
}

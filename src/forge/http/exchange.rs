//! One call: counted, within its bounds, and only when no pause is asked for.

use reqwest::header::{AUTHORIZATION, HeaderMap, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::{As, Call, Http, LARGEST_ANSWER, is_json, refusal};
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
        self.respect_pause(call)?;
        let _seat = self.seat().await?;
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
            As::Installed(signed) | As::Once(signed) => request = request.header(AUTHORIZATION, signed),
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
        self.note_limit(&headers);
        let body = self.read_bounded(answer, &asked).await?;
        if let Some(before) = before.filter(|_| status == StatusCode::NOT_MODIFIED) {
            self.goes_well();
            let forge = self.forge.as_str().to_owned();
            metrics::counter!("bascule_forge_unchanged_total", "forge" => forge, "call" => call.name).increment(1);
            return Ok((before.headers, before.body));
        }
        let is_json = is_json(&headers);
        if status.is_success() && (is_json || body.is_empty()) {
            self.goes_well();
            if let Some(key) = key {
                self.keep(key, &headers, &body);
            }
            return Ok((headers, body));
        }
        Err(self.refusal(status, &headers, (call.name, &asked), is_json.then_some(&body)))
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

    fn note_limit(&self, headers: &HeaderMap) {
        if let Some(left) = refusal::limit(headers, "remaining").and_then(|left| left.parse::<f64>().ok()) {
            metrics::gauge!("bascule_forge_limit_remaining", "forge" => self.forge.as_str().to_owned()).set(left);
        }
    }
}

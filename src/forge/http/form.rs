//! What is sent to a forge's own pages as a browser would: a form, answered with JSON.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

use super::{As, Call, Http, Manners, Settings, SettingsError, extend, is_json};
use crate::clock::Clock;
use crate::forge::error::Result;

/// How OAuth wants it.
const FORM: &str = "application/x-www-form-urlencoded";

impl Http {
    /// A client for calls that are somebody else's: nothing says that they are ours.
    pub(in crate::forge) fn unsigned(
        settings: &Settings,
        api: impl FnOnce(&mut Url),
        manners: Manners,
        clock: Clock,
    ) -> std::result::Result<Self, SettingsError> {
        Self::signed_by(None, settings, api, manners, clock)
    }

    /// POST of a form to a page of the forge, and the JSON that comes back. What it holds is in no address and no error.
    pub(in crate::forge) async fn form<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        fields: &[(&str, &str)],
    ) -> Result<T> {
        let _seat = self.seat().await?;
        let begun = tokio::time::Instant::now();
        let outcome = self.exchanged(&call, fields).await;
        self.count(&call, begun, &outcome);
        self.json(&call, &outcome?)
    }

    async fn exchanged(&self, call: &Call<'_>, fields: &[(&str, &str)]) -> Result<Vec<u8>> {
        let mut url = self.site.clone();
        extend(&mut url, call.path);
        let asked = format!("{} {}", Method::POST, self.place(call));
        let body = encoded(&self.site, fields);
        let request = self.client.post(url).header(CONTENT_TYPE, HeaderValue::from_static(FORM)).body(body);
        let answer = request.send().await.map_err(|e| self.no_answer(&asked, e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = self.read_bounded(answer, &asked).await?;
        let is_json = is_json(&headers);
        if status.is_success() && is_json {
            return Ok(body);
        }
        Err(self.refusal(status, &headers, (call.name, &asked), is_json.then_some(&body), As::Ourselves).await)
    }
}

/// Fields as a query writes them, which is how a form does.
fn encoded(site: &Url, fields: &[(&str, &str)]) -> String {
    let mut url = site.clone();
    url.query_pairs_mut().clear().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

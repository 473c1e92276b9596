//! Requests to the parts, with errors that say what was asked and answered.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::Value;

/// A client for loopback: no proxy of the machine's, and only the certificates given.
#[expect(clippy::disallowed_methods, reason = "the product's clients are what is tested; this one only prepares")]
pub(super) fn client(certificates: Vec<Certificate>) -> Result<Client> {
    let mut builder = Client::builder().no_proxy().timeout(Duration::from_secs(30));
    if !certificates.is_empty() {
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().context("no HTTP client can be made")
}

/// Sends it, and returns the JSON of a good answer; an empty one is null.
pub(super) async fn answer(request: RequestBuilder) -> Result<Value> {
    let (client, request) = request.build_split();
    let request = request?;
    let asked = format!("{} {}", request.method(), request.url());
    let response = client.execute(request).await.with_context(|| asked.clone())?;
    let status = response.status();
    let body = response.text().await.with_context(|| asked.clone())?;
    if !status.is_success() {
        bail!("{asked} answered {status}: {}", body.trim());
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

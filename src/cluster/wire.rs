//! One request and its answer: bounded in time and size, and counted. The only place that knows HTTP.

use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::http::{Method, Request, header};
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use super::error::{ClusterError, refusal};
use super::tunnel::Until;
use super::{Cluster, Inner};
use crate::manifest::without_secrets;

/// How long a write may take. A worker's lease must outlast it, so that no write of ours is on its way when another
/// worker takes over; the server is told, and gives up by itself.
pub const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// How long a read may take: a list of many objects is slow and harmless.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// How large an answer may be: a page of the largest objects a server holds (1.5 MiB each) stays below it.
pub(super) const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

pub(super) const JSON: &str = "application/json";
pub(super) const ONE_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
pub(super) const LIST_METADATA: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// A request that writes: its method, media type and body.
pub(super) struct Sent<'a> {
    pub(super) method: Method,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// The object it is about: an answer may quote it, and the values of a Secret are hidden in what is kept of that.
    pub(super) about: Option<&'a Value>,
}

/// An answer that is a success.
pub(super) struct Told {
    pub(super) body: Value,
    /// What the server, or a policy or webhook of it, warns of.
    pub(super) warnings: Vec<String>,
}

impl Cluster {
    /// Reads JSON.
    pub(super) async fn read_json(&self, path: &str, accept: &'static str) -> Result<Value, ClusterError> {
        self.0.counts.reads.fetch_add(1, Ordering::Relaxed);
        let request = Request::builder().method(Method::GET).uri(path).header(header::ACCEPT, accept);
        Ok(self.0.exchange(request.body(Body::empty()), READ_LIMIT, None).await?.body)
    }

    /// Reads text: a log has no other form. What is not UTF-8 is replaced.
    pub(super) async fn read_text(&self, path: &str) -> Result<String, ClusterError> {
        self.0.counts.reads.fetch_add(1, Ordering::Relaxed);
        let request = Request::builder().method(Method::GET).uri(path);
        let (_, body) = self.0.fetch(request.body(Body::empty()), READ_LIMIT, None).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Writes, or tries to.
    pub(super) async fn write(&self, path: &str, sent: Sent<'_>) -> Result<Told, ClusterError> {
        self.0.counts.writes.fetch_add(1, Ordering::Relaxed);
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}timeout={}s", WRITE_LIMIT.as_secs());
        let request = Request::builder()
            .method(sent.method)
            .uri(path)
            .header(header::ACCEPT, JSON)
            .header(header::CONTENT_TYPE, sent.content_type);
        self.0.exchange(request.body(Body::from(sent.body)), WRITE_LIMIT, sent.about).await
    }
}

impl Inner {
    async fn exchange(
        &self,
        request: Result<Request<Body>, hyper::http::Error>,
        limit: Duration,
        about: Option<&Value>,
    ) -> Result<Told, ClusterError> {
        let (headers, body) = self.fetch(request, limit, about).await?;
        let body = serde_json::from_slice(&body).map_err(|_| ClusterError::unreadable("it is not JSON"))?;
        Ok(Told { body, warnings: warnings(&headers, about) })
    }

    /// The headers and bytes of an answer that is a success.
    async fn fetch(
        &self,
        request: Result<Request<Body>, hyper::http::Error>,
        limit: Duration,
        about: Option<&Value>,
    ) -> Result<(header::HeaderMap, Bytes), ClusterError> {
        let mut request = request.map_err(|error| ClusterError::Refused { status: 0, message: error.to_string() })?;
        let end = Instant::now() + limit;
        request.extensions_mut().insert(Until(end));
        let is_read = request.method() == Method::GET;
        let mut leave = None;
        // Waiting for a slot is part of the limit: a permit to write was given before it, and does not wait.
        let exchange = async {
            let slot = self.slots.acquire().await;
            let _slot = slot.map_err(|_| ClusterError::Unreachable("it is shut".to_owned()))?;
            leave = Some(self.breaker.ask(Instant::now())?);
            let answer = self.client.send(request).await.map_err(|error| unreachable(&error))?;
            self.breaker.answered();
            leave = None;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await;
            let body = body
                .map_err(|error| ClusterError::Unreachable(format!("its answer broke off: {}", innermost(&*error))))?;
            Ok((head, body.to_bytes()))
        };
        let answer = before(end, exchange).await.unwrap_or(Err(ClusterError::Timeout(limit)));
        match (&answer, &leave) {
            (Err(ClusterError::Unreachable(why)), Some(leave)) => self.breaker.unanswered(leave, why, Instant::now()),
            // A write may hang at a webhook of somebody, and the cluster is well.
            (Err(error @ ClusterError::Timeout(_)), Some(leave)) if is_read => {
                self.breaker.unanswered(leave, &error.to_string(), Instant::now());
            }
            _ => {}
        }
        let (head, body) = answer?;
        if head.status.is_success() {
            return Ok((head.headers, body));
        }
        let after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(refusal(head.status.as_u16(), &body, after.map(Duration::from_secs), about))
    }
}

/// The work, if it ends before then. The clock is looked at before the work goes on, not after: of a process that stood still past
/// the end, what was about to be sent then is never sent.
pub(super) async fn before<T>(end: Instant, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let in_time = std::future::poll_fn(|context| {
        if Instant::now() >= end { Poll::Ready(None) } else { work.as_mut().poll(context).map(Some) }
    });
    tokio::time::timeout_at(end, in_time).await.ok().flatten()
}

/// Warnings that are kept of one answer.
const WARNINGS: usize = 10;
/// Characters that are kept of one.
const WARNING: usize = 300;

/// `299 - "text"`, of which the text is somebody else's. What is secret is hidden before it is cut: half a value is one too.
fn warnings(headers: &header::HeaderMap, about: Option<&Value>) -> Vec<String> {
    let read = |value: &header::HeaderValue| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let quoted = value.split_once('"').and_then(|(_, text)| text.trim_end().strip_suffix('"')).unwrap_or(&value);
        let text = quoted.replace("\\\"", "\"").replace("\\\\", "\\");
        without_secrets(&text, about).chars().take(WARNING).collect()
    };
    headers.get_all(header::WARNING).iter().take(WARNINGS).map(read).collect()
}

/// Nobody answered.
pub(super) fn unreachable(error: &(dyn std::error::Error + 'static)) -> ClusterError {
    ClusterError::Unreachable(innermost(error))
}

/// The innermost reason: those around it only say that something failed.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// A path segment that holds a name.
pub(super) fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stood_still_past_its_time_does_not_go_on() {
        let went_on = std::sync::atomic::AtomicBool::new(false);
        // A time that is over before the first look: as for a process that stood still.
        let late = before(Instant::now(), async { went_on.store(true, Ordering::SeqCst) }).await;
        assert_eq!((late, went_on.load(Ordering::SeqCst)), (None, false));
        assert_eq!(before(Instant::now() + Duration::from_secs(5), async { 7 }).await, Some(7));
    }

    #[test]
    fn a_warning_is_read_without_its_frame() {
        let mut headers = header::HeaderMap::new();
        headers.append(header::WARNING, r#"299 - "spec.x: is \"old\"""#.parse().unwrap());
        headers.append(header::WARNING, "299 - plain".parse().unwrap());
        assert_eq!(warnings(&headers, None), [r#"spec.x: is "old""#, "299 - plain"]);
    }

    #[test]
    fn a_secret_that_is_longer_than_what_is_kept_is_hidden_whole() {
        let value = "s3cret".repeat(WARNING);
        let about = serde_json::json!({"kind": "Secret", "stringData": {"token": value}});
        let mut headers = header::HeaderMap::new();
        headers.append(header::WARNING, format!("299 - \"{value} is long\"").parse().unwrap());
        assert_eq!(warnings(&headers, Some(&about)), ["(redacted) is long"]);
    }

    #[test]
    fn a_name_stays_within_its_segment() {
        assert_eq!(segment("system:node/../x?y"), "system%3Anode%2F..%2Fx%3Fy");
        assert_eq!(segment("web-1.a"), "web-1.a");
    }
}

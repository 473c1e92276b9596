//! The agent's end of a tunnel: takes the server's requests, and sends on what is one of the Kubernetes API, as its own account.
//!
//! Absent on purpose: a way to run anything in a pod or to reach one (`exec`, `attach`, `portforward`, `proxy`), to make a token of an
//! account, to reach anything but its own API server, and any header by which the server could say more than on whose behalf it asks.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::Body;
use serde_json::json;
use tokio::time::Instant;

use super::connection::{IMPERSONATE, Identity, Kubeconfig, client};
use super::error::ClusterError;
use super::tunnel::{AWAY, DEADLINE, PING, PONG};
use super::wire;
use crate::ids::ClusterName;

/// Subresources that give more than objects.
const NEVER: [&str; 5] = ["attach", "exec", "portforward", "proxy", "token"];
/// What the server may say with a request.
const SAID: [HeaderName; 4] = [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT, IMPERSONATE];
/// Requests at once, of which most are watches: one for each kind in each namespace, where nothing wider is permitted.
const STREAMS: u32 = 16_384;
/// Bytes of a request's body. An object may have 1.5 MiB, and an apply is one object.
const LARGEST: usize = 8 << 20;
/// Bytes of a request's headers.
const HEADERS: u32 = 16 << 10;

/// The agent of one cluster.
#[derive(Clone)]
pub struct Agent {
    client: kube::Client,
    name: ClusterName,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Agent({})", self.name)
    }
}

impl Agent {
    /// Of the cluster that this server calls `name`, reached by this way of ours.
    ///
    /// # Errors
    /// [`ClusterError::Configuration`], naming the file.
    pub async fn new(name: ClusterName, from: &Kubeconfig) -> Result<Self, ClusterError> {
        Ok(Self { client: client(&name, from, &Identity::Own).await?, name })
    }

    /// Serves a server's requests until the connection breaks, or `end`: then those that run may end. `sent` is an instant before
    /// the request for the tunnel was sent.
    ///
    /// # Errors
    /// How the connection ended.
    pub async fn serve<T>(&self, stream: T, sent: Instant, end: impl Future<Output = ()>) -> Result<(), hyper::Error>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let agent = self.clone();
        let service = hyper::service::service_fn(move |request| {
            let agent = agent.clone();
            async move { Ok::<_, Infallible>(agent.answer(request, sent).await) }
        });
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADERS)
            .serve_connection(stream, service);
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            ended = serving.as_mut() => return ended,
            () = end => serving.as_mut().graceful_shutdown(),
        }
        // Watches have no end of their own.
        tokio::time::timeout(wire::WRITE_LIMIT, serving).await.unwrap_or(Ok(()))
    }

    async fn answer(&self, request: Request<Incoming>, sent: Instant) -> Answer {
        if let Err(why) = is_served(request.method(), request.uri().path()) {
            return refuse(StatusCode::FORBIDDEN, "Forbidden", why);
        }
        let until = match deadline(request.method(), request.headers()) {
            Ok(until) => until.map(|until| sent + until),
            Err(why) => return refuse(StatusCode::BAD_REQUEST, "BadRequest", why),
        };
        let (head, body) = request.into_parts();
        // Whole before it is sent: what is cut off is no request, and nothing is waited for between the look at the clock and the send.
        let Ok(body) = Limited::new(body, LARGEST).collect().await else {
            return refuse(StatusCode::BAD_REQUEST, "BadRequest", "the request broke off, or is too large");
        };
        let mut onward = Request::new(Body::from(body.to_bytes().to_vec()));
        *onward.method_mut() = head.method;
        *onward.uri_mut() = match head.uri.into_parts().path_and_query {
            Some(path) => Uri::from(path),
            None => return refuse(StatusCode::BAD_REQUEST, "BadRequest", "the request has no path"),
        };
        *onward.headers_mut() = said(&head.headers);
        let exchange = self.client.send(onward);
        let answer = match until {
            None => exchange.await,
            Some(until) => match wire::before(until, exchange).await {
                Some(answer) => answer,
                None => return refuse(StatusCode::GATEWAY_TIMEOUT, "Timeout", "the agent has had no answer in time"),
            },
        };
        match answer {
            Ok(answer) => answer.map(Either::Left),
            Err(error) => {
                let why = wire::innermost(&error);
                let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &why);
                let plain: String = why.chars().filter(|c| matches!(c, ' '..='~')).collect();
                answer.headers_mut().extend(HeaderValue::try_from(plain).ok().map(|why| (AWAY, why)));
                answer
            }
        }
    }
}

type Answer = Response<Either<Body, Full<Bytes>>>;

fn said(headers: &HeaderMap) -> HeaderMap {
    let said = |name: HeaderName| Some((name.clone(), headers.get(&name)?.clone()));
    SAID.into_iter().filter_map(said).collect()
}

/// Until when it may be sent, since the tunnel was asked for; `None`: it only reads.
fn deadline(method: &Method, headers: &HeaderMap) -> Result<Option<Duration>, &'static str> {
    if method == Method::GET {
        return Ok(None);
    }
    let said = headers.get(DEADLINE).and_then(|value| value.to_str().ok()?.parse().ok());
    said.map(|millis| Some(Duration::from_millis(millis))).ok_or("a write without a deadline is not sent")
}

/// Whether a path is one of the Kubernetes API, as it is written: `..`, doubled slashes and an escape where none belongs are tricks.
fn is_served(method: &Method, path: &str) -> Result<(), &'static str> {
    if ![Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method) {
        return Err("the agent does not send on requests of this method");
    }
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let is_odd = |one: &&str| matches!(*one, "" | "." | "..") || one.to_ascii_lowercase().contains("%2");
    if segments.iter().any(is_odd) {
        return Err("the agent serves the Kubernetes API alone");
    }
    let rest = match &segments[..] {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        ["version" | "api" | "apis"] | ["apis", _] | ["openapi", ..] => &[],
        _ => return Err("the agent serves the Kubernetes API alone"),
    };
    // `namespaces/N/pods/P/exec`, `nodes/N/proxy`. An object may be called so, and a name alone may be escaped.
    let (kind, below) = match rest {
        ["namespaces", _, kind, _, below @ ..] => (*kind, below),
        [kind, _, below @ ..] => (*kind, below),
        _ => return Ok(()),
    };
    let is_never = |one: &&str| NEVER.contains(one) || one.contains('%');
    if kind == "proxy" || kind.contains('%') || below.iter().any(is_never) {
        return Err("the agent reaches into no pod, node or service, and makes no tokens");
    }
    Ok(())
}

fn refuse(status: StatusCode, reason: &str, message: &str) -> Answer {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": message, "code": status.as_u16() });
    let mut answer = Response::new(Either::Right(Full::new(Bytes::from(body.to_string()))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(method: &Method, path: &str) -> bool {
        is_served(method, path).is_ok()
    }

    #[test]
    fn the_kubernetes_api_is_served_as_a_server_asks_it() {
        for path in [
            "/version",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/apps/v1",
            "/openapi/v3/apis/apps/v1",
            "/api/v1/configmaps",
            "/api/v1/namespaces/kube-system",
            "/api/v1/namespaces/a/configmaps/b",
            "/api/v1/namespaces/a/pods/b/log",
            "/api/v1/namespaces/a/pods/exec",
            "/apis/apps/v1/namespaces/a/deployments/b/status",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles/system%3Aproxy",
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        ] {
            assert!(is(&Method::GET, path) && is(&Method::POST, path), "{path}");
        }
    }

    #[test]
    fn what_reaches_into_something_or_is_a_trick_is_not() {
        for path in [
            "",
            "/",
            "/healthz",
            "/metrics",
            "/logs/kube-apiserver.log",
            "//api/v1/pods",
            "/api/v1/../../metrics",
            "/api/v1/namespaces/a/pods/b/../c/exec",
            "/api/v1/namespaces/a//pods/b",
            "/api/v1/namespaces/a/pods/b/exec",
            "/api/v1/namespaces/a/pods/b/attach",
            "/api/v1/namespaces/a/pods/b/portforward",
            "/api/v1/namespaces/a/pods/b/proxy/x/y",
            "/api/v1/namespaces/a/pods/b/e%78ec",
            "/api/v1/namespaces/a/pods/b%2Fexec",
            "/api/v1/namespaces/a/p%6Fds/b/exec",
            "/api/v1/namespaces/a/services/b/proxy",
            "/api/v1/namespaces/a/serviceaccounts/b/token",
            "/api/v1/nodes/n/proxy/run",
            "/api/v1/proxy/nodes/n",
            "/api/v1/namespaces/a%2F../pods",
        ] {
            assert!(!is(&Method::GET, path) && !is(&Method::POST, path), "{path}");
        }
        assert!(!is(&Method::CONNECT, "/api/v1/pods") && !is(&Method::OPTIONS, "/api/v1/pods"));
    }

    #[test]
    fn only_what_reads_needs_no_deadline() {
        let with = |value: &str| HeaderMap::from_iter([(DEADLINE, HeaderValue::from_str(value).unwrap())]);
        assert_eq!(deadline(&Method::GET, &HeaderMap::new()), Ok(None));
        assert_eq!(deadline(&Method::PATCH, &with("1500")), Ok(Some(Duration::from_millis(1_500))));
        for bad in ["", "-1", "soon", "99999999999999999999999"] {
            deadline(&Method::PATCH, &with(bad)).unwrap_err();
        }
        deadline(&Method::DELETE, &HeaderMap::new()).unwrap_err();
    }
}

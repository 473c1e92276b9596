//! A cluster that we cannot reach: its agent dials us, and our requests go back through the connection it made.
//!
//! ```text
//!   agent ── GET /api/v1/agents/NAME, Upgrade ──▶ server        who dials
//!   agent ◀── HTTP/2: requests of the Kubernetes API ── server   who asks
//! ```
//!
//! The server holds no credential of the cluster, and yet judges consent, takes its lease and writes its log where it always
//! does: nothing above this file knows that there is an agent. A write carries until when it may be sent, in milliseconds since the
//! tunnel began by *our* clock, which is when we give it up; the agent counts from before it sent its request for a tunnel, so that its count is never behind
//! ours and no clocks have to agree.
//!
//! What comes back is of somebody who has the agent's token, which is less than the cluster's administrator: it is bounded here.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::http::uri::PathAndQuery;
use hyper::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::Body;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::wire::ANSWER_LIMIT;
use crate::ids::ClusterName;

/// Until when a write may be sent on, in milliseconds since the tunnel began.
pub(super) const DEADLINE: HeaderName = HeaderName::from_static("bascule-deadline-ms");
/// In an answer of the agent itself: why its API server gave none.
pub(super) const AWAY: HeaderName = HeaderName::from_static("bascule-away");
/// Both ends ask whether the other is there this often, …
pub(super) const PING: Duration = Duration::from_secs(5);
/// … and end the tunnel when no answer came for so long.
pub(super) const PONG: Duration = Duration::from_secs(5);
/// Bytes of an answer's headers.
const HEADERS: u32 = 64 << 10;
/// Bytes of one answer that wait to be read here, so that one watch that is slow does not hold up the others, …
const WINDOW: u32 = 1 << 20;
/// … and of all of a tunnel.
const WINDOWS: u32 = 64 << 20;
/// For how long a request waits for an agent to come back, when there was one, or we have just started: an agent comes back within
/// a second or two, and nobody is to be told of that.
const RETURN: Duration = Duration::from_secs(3);
/// Bytes of answers of one cluster that are being read at once. Sixteen requests of ours are on their way there, and watches, of which
/// a line counts.
const READ_AT_ONCE: usize = 256 << 20;
/// Agents of one cluster at once: those of a rolling update, and one whose end nobody noticed yet.
const SPARES: usize = 4;

/// Why a request did not go through.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    #[error("no agent of cluster `{0}` is connected to this server")]
    Nobody(ClusterName),
    #[error("the connection of the agent of cluster `{0}` broke off: {1}")]
    Broke(ClusterName, String),
    #[error("its agent is connected, and cannot reach it: {0}")]
    Away(String),
    #[error("it has no path, or no end")]
    Unfit,
    #[error("the agent of cluster `{0}` answers without end")]
    Endless(ClusterName),
}

/// An agent that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Since when, for people.
    pub since: jiff::Timestamp,
    /// Its version of Bascule.
    pub version: String,
    /// The name of the token it came with.
    pub token: String,
}

struct Open {
    number: u64,
    began: Instant,
    send: SendRequest<Body>,
    about: Connected,
    end: CancellationToken,
}

/// The tunnels of one cluster that are open now. It outlives reloads.
pub struct Tunnels {
    cluster: ClusterName,
    state: Mutex<State>,
    opened: Notify,
    /// Bytes of answers that are being read.
    reading: AtomicUsize,
}

struct State {
    next: u64,
    open: Vec<Open>,
    /// When the last one closed; at first, when we began.
    closed: Instant,
}

/// Takes a tunnel out when it ends, however it does.
struct Listed<'t>(&'t Tunnels, u64);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open.retain(|one| one.number != self.1);
        state.closed = Instant::now();
    }
}

/// When a write is given up, as an extension of its request: an agent is not to send it on later than that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until(pub(super) Instant);

impl std::fmt::Debug for Tunnels {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tunnels({})", self.cluster)
    }
}

impl Tunnels {
    /// Of a cluster whose agent has not dialled yet.
    pub fn new(cluster: ClusterName) -> Self {
        let state = State { next: 0, open: Vec::new(), closed: Instant::now() };
        Self { cluster, state: Mutex::new(state), opened: Notify::new(), reading: AtomicUsize::new(0) }
    }

    /// Carries requests through this connection until it breaks, or `end`. `began` is when the agent's request for a tunnel had
    /// been read: not before anything that the agent did until it sent that.
    ///
    /// The newest tunnel is used, since it is the one that a rolling update keeps; those before stay as spares until their agents leave.
    ///
    /// # Errors
    /// How the connection ended, if not by `end`.
    pub async fn carry<T>(
        &self,
        stream: T,
        began: Instant,
        about: Connected,
        end: CancellationToken,
    ) -> Result<(), hyper::Error>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        // The connection runs in a task of its own, and goes on while a watch reads from it: it is cut when this ends, however it does.
        let cut = CancellationToken::new();
        let stream = Severable { stream, cut: Box::pin(cut.clone().cancelled_owned()) };
        let _cut = cut.drop_guard();
        let (send, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .max_header_list_size(HEADERS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOWS)
            .handshake(stream)
            .await?;
        let _listed = self.add(Open { number: 0, began, send, about, end: end.clone() });
        tokio::select! {
            ended = connection => ended,
            () = end.cancelled() => Ok(()),
        }
    }

    /// The agents that are connected, the one that is used last.
    pub fn connected(&self) -> Vec<Connected> {
        self.state().open.iter().map(|open| open.about.clone()).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut open: Open) -> Listed<'_> {
        let mut state = self.state();
        state.next += 1;
        open.number = state.next;
        state.open.push(open);
        if state.open.len() > SPARES {
            state.open.remove(0).end.cancel();
        }
        self.opened.notify_waiters();
        Listed(self, state.next)
    }

    /// The tunnel that is used now; else until when it is worth waiting for one.
    fn newest(&self) -> Result<(Instant, SendRequest<Body>), Instant> {
        let state = self.state();
        let open = state.open.iter().rev().find(|open| !open.send.is_closed());
        open.map(|open| (open.began, open.send.clone())).ok_or(state.closed + RETURN)
    }

    async fn tunnel(&self) -> Result<(Instant, SendRequest<Body>), TunnelError> {
        loop {
            let opened = self.opened.notified();
            match self.newest() {
                Ok(tunnel) => return Ok(tunnel),
                Err(until) => {
                    let nobody = |_| TunnelError::Nobody(self.cluster.clone());
                    tokio::time::timeout_at(until, opened).await.map_err(nobody)?;
                }
            }
        }
    }

    /// Sends a request through the newest tunnel.
    pub(super) async fn send(self: Arc<Self>, mut request: Request<Body>) -> Result<Response<Bounded>, TunnelError> {
        let until = request.extensions().get().map(|Until(until)| *until);
        let (began, mut send) = self.tunnel().await?;
        let broke = |error: hyper::Error| TunnelError::Broke(self.cluster.clone(), error.to_string());
        let is_write = request.method() != Method::GET;
        let path = request.uri().path_and_query().cloned().ok_or(TunnelError::Unfit)?;
        let is_watch = !is_write && is_watch(&path);
        // HTTP/2 names a host; the agent knows whom it asks.
        let uri = Uri::builder().scheme("http").authority("agent").path_and_query(path).build();
        *request.uri_mut() = uri.map_err(|_| TunnelError::Unfit)?;
        send.ready().await.map_err(broke)?;
        if is_write {
            let until = until.ok_or(TunnelError::Unfit)?.saturating_duration_since(began).as_millis();
            // A count of milliseconds that does not fit is no time at all.
            request.headers_mut().insert(DEADLINE, HeaderValue::from(u64::try_from(until).unwrap_or(0)));
        }
        let answer = send.send_request(request).await.map_err(broke)?;
        if let Some(why) = answer.headers().get(AWAY) {
            return Err(TunnelError::Away(String::from_utf8_lossy(why.as_bytes()).into_owned()));
        }
        Ok(answer.map(|body| Bounded { body, tunnels: self.clone(), is_watch, seen: 0 }))
    }
}

/// A connection that can be cut from outside.
struct Severable<T> {
    stream: T,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<T> Severable<T> {
    /// What there is of the connection, unless it is cut: then whoever waits is woken, too.
    fn whole(&mut self, context: &mut Context<'_>) -> io::Result<&mut T> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(&mut self.stream),
        }
    }
}

impl<T: Read + Unpin> Read for Severable<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.whole(context)?).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for Severable<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.whole(context)?).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.whole(context)?).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.whole(context)?).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.whole(context)?).poll_write_vectored(context, pieces)
    }
}

/// Whether an answer goes on for as long as nobody ends it.
fn is_watch(path: &PathAndQuery) -> bool {
    let asked = |pair: &str| matches!(pair, "watch=true" | "watch=1" | "follow=true");
    path.query().is_some_and(|query| query.split('&').any(asked))
}

/// An answer that does not fill our memory: so many bytes of it, or of each line of a watch.
pub(super) struct Bounded {
    body: Incoming,
    tunnels: Arc<Tunnels>,
    is_watch: bool,
    /// Of the answer so far, or of its line.
    seen: usize,
}

impl Bounded {
    /// Counts what has come.
    fn see(&mut self, data: &[u8]) -> Result<(), TunnelError> {
        let line_ends = if self.is_watch { data.iter().rposition(|byte| *byte == b'\n') } else { None };
        let seen = line_ends.map_or(self.seen + data.len(), |end| data.len() - end - 1);
        let reading = &self.tunnels.reading;
        reading.fetch_sub(self.seen, Ordering::Relaxed);
        let others = reading.fetch_add(seen, Ordering::Relaxed);
        self.seen = seen;
        if seen > ANSWER_LIMIT || others + seen > READ_AT_ONCE {
            return Err(TunnelError::Endless(self.tunnels.cluster.clone()));
        }
        Ok(())
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        self.tunnels.reading.fetch_sub(self.seen, Ordering::Relaxed);
    }
}

impl hyper::body::Body for Bounded {
    type Data = Bytes;
    type Error = TunnelError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TunnelError>>> {
        let Some(frame) = std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                return Poll::Ready(Some(Err(TunnelError::Broke(self.tunnels.cluster.clone(), error.to_string()))));
            }
        };
        let counted = frame.data_ref().cloned().map_or(Ok(()), |data| self.see(&data));
        Poll::Ready(Some(counted.map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

//! The server: `git fetch`, every way of failing, and the tongue that answers a call.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, Response, StatusCode, header};
use base64::Engine as _;
use futures::StreamExt as _;
use serde_json::Value;

use super::git::Bare;
use super::state::{AtOnce, Fault, State};
use super::tongue::Tongue;
use super::{World, github, limits, oauth, opened};

/// One API call, as the tongues want it.
pub(super) struct Call {
    pub(super) method: String,
    /// Below the API's own place.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.body[key].as_str().unwrap_or_default().to_owned()
    }

    /// A number of the query.
    pub(super) fn number(&self, key: &str) -> Option<usize> {
        self.query.get(key).and_then(|value| value.parse().ok())
    }
}

pub(super) async fn answer(Shared(world): Shared<Arc<World>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let is_packed = parts.headers.get("content-encoding").is_some_and(|how| how == "gzip");
    let body = if is_packed { unpacked(&body) } else { body };
    let path: Vec<String> = parts.uri.path().split('/').skip(1).map(decoded).collect();
    let query = parts.uri.query().unwrap_or_default();
    let tongue = world.state().tongue;
    let api: Vec<String> = tongue.api().iter().map(|part| (*part).to_owned()).collect();
    let rest = path.strip_prefix(api.as_slice());
    if is_of_many(&world.state(), parts.uri.path(), &body) {
        {
            let AtOnce { now, most } = &mut world.state().at_once;
            *now += 1;
            *most = (*most).max(*now);
        }
        // Whoever asks side by side has asked by then.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
        world.state().at_once.now -= 1;
    }
    let (wrote, fault, refused) = {
        let mut state = world.state();
        let (method, place) = match rest {
            Some(rest) => tongue.called(&state, parts.method.as_str(), rest),
            None => (parts.method.to_string(), path.join("/")),
        };
        let wrote = format!("{method} {place}");
        if rest.is_some() {
            state.calls.push(wrote.clone());
        }
        let fault = state.fault.clone().filter(|(part, _)| place.contains(part.as_str()));
        let refused = rest.and_then(|_| limits::refused(&mut state, &method, &place));
        (wrote, fault, refused)
    };
    if let Some(refused) = refused {
        return refused;
    }
    if let Some((_, fault)) = fault {
        let now = world.state().now();
        return broken(tongue, now, fault).await;
    }
    let call = Call {
        method: parts.method.to_string(),
        path: rest.unwrap_or(&path).to_vec(),
        query: reqwest::Url::parse(&format!("http://x/?{query}")).unwrap().query_pairs().into_owned().collect(),
        headers: parts.headers,
        body: if rest.is_some() { serde_json::from_slice(&body).unwrap_or(Value::Null) } else { Value::Null },
    };
    if let Some(answered) = oauth::answer(&world, &call, rest.is_some(), &body) {
        return answered;
    }
    if rest.is_none() {
        return git(&world, &call, query, body).await;
    }
    let answer = tongue.answer(&world, call).await;
    let (lost, now) = {
        let mut state = world.state();
        (state.lost.take_if(|(of, _)| *of == wrote), state.now())
    };
    match lost {
        Some((_, fault)) => broken(tongue, now, fault).await,
        None => answer,
    }
}

/// Whether it asks for one of many commits that were pushed together, but the newest, of which there is more to ask.
fn is_of_many(state: &State, path: &str, body: &[u8]) -> bool {
    let older = state.brought.values().flat_map(|commits| &commits[1..]);
    let older: Vec<&String> = older.collect();
    !older.is_empty() && {
        let text = format!("{path} {}", String::from_utf8_lossy(body));
        older.iter().any(|sha| text.contains(sha.as_str()))
    }
}

/// As `git` packs what it wants when that is much.
fn unpacked(body: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain.into()
}

async fn git(world: &World, call: &Call, query: &str, body: Bytes) -> Response<Body> {
    let tongue = world.state().tongue;
    if call.path.ends_with(&["info".to_owned(), "refs".to_owned()]) {
        world.state().fetches += 1;
    }
    let basic = call.header("authorization").trim_start_matches("Basic ");
    let basic = base64::engine::general_purpose::STANDARD.decode(basic).unwrap_or_default();
    // Any user name will do.
    let token = String::from_utf8_lossy(&basic).split_once(':').map(|(_, token)| token.to_owned());
    let Some(by) = token.filter(|token| world.state().knows(token)) else {
        return tongue.refusal(StatusCode::UNAUTHORIZED, "who are you?");
    };
    let id = match &call.path[..] {
        [owner, name, ..] => by_name(&world.state(), &format!("{owner}/{}", name.trim_end_matches(".git"))),
        _ => None,
    };
    let Some(id) = id else { return tongue.refusal(StatusCode::NOT_FOUND, "no such repository") };
    let bare = Bare::at(world.folder.path(), id);
    let rest = call.path[2..].join("/");
    if query == "service=git-receive-pack" || rest == "git-receive-pack" {
        return opened::pushes(world, id, &by, &rest, body.to_vec()).await;
    }
    bare.serve(&rest, query, call.header("git-protocol"), body.to_vec()).await
}

/// The repository that has this name now.
pub(super) fn by_name(state: &State, name: &str) -> Option<i64> {
    state
        .repositories
        .iter()
        .find(|found| found.name.eq_ignore_ascii_case(name) && !found.is_deleted)
        .map(|found| found.id)
}

/// As a broken one answers.
async fn broken(tongue: Tongue, now: jiff::Timestamp, fault: Fault) -> Response<Body> {
    let page = |status: u16, kind: &str, body: Body| {
        Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(body).unwrap()
    };
    match fault {
        Fault::Status(status) => tongue.refusal(StatusCode::from_u16(status).unwrap(), "as you wished"),
        Fault::Html(status) => page(status, "text/html", Body::from("<html><title>Sign in</title></html>")),
        Fault::SlowDown(seconds) => tongue.too_many(seconds),
        Fault::UsedUp(seconds) => github::used_up(now.as_second() + seconds),
        Fault::BreaksOff => {
            let chunks: [Result<Bytes, std::io::Error>; 2] =
                [Ok(Bytes::from("{\"id\":")), Err(std::io::Error::other("gone"))];
            page(200, "application/json", Body::from_stream(futures::stream::iter(chunks)))
        }
        Fault::Hangs => std::future::pending().await,
        Fault::Endless => {
            let chunk = Bytes::from(" ".repeat(1 << 16));
            let chunks = futures::stream::repeat(chunk).map(Ok::<_, std::io::Error>);
            page(200, "application/json", Body::from_stream(chunks))
        }
        Fault::OtherShape => page(200, "application/json", Body::from("{\"surprise\":[1,2,3]}")),
        Fault::Redirects(to) => {
            let mut response = page(302, "text/html", Body::from("elsewhere"));
            response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
            response
        }
    }
}

/// `%2F` and the like.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex::decode([*high, *low]).is_ok() => {
                bytes.extend(hex::decode([*high, *low]).unwrap());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

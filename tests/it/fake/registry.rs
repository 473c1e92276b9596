//! A registry of charts on loopback, that speaks both ways: an index of files, as `helm repo index` makes it, and OCI, with
//! what `helm push` sends.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bascule::ids::RegistryName;
use bascule::registry::{Registries, Registry, Settings};
use base64::Engine as _;
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::parts::program;

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Index,
    Oci,
}

/// What it does instead of answering.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status.
    Status(u16),
    /// A page for people.
    Page,
    /// It stops in the middle.
    Half,
    /// Something else than was asked for.
    Other,
    /// It sends to another place for what it has.
    SendsTo(String),
}

/// A registry. It ends with this value.
pub(crate) struct FakeRegistry {
    pub(crate) host: String,
    inside: Arc<Mutex<Inside>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Inside {
    host: String,
    /// By name and version.
    charts: BTreeMap<(String, String), Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
    fault: Option<Fault>,
    /// Wanted of everybody.
    password: Option<String>,
    asked: Vec<String>,
    /// What was shown with each.
    shown: Vec<String>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A chart as `helm package` packs it.
pub(crate) fn packed(name: &str, version: &str, template: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join(name);
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: {version}\n")).unwrap();
    std::fs::write(chart.join("templates/web.yaml"), template).unwrap();
    let done = Command::new(program("helm").unwrap())
        .args(["package", "--destination"])
        .args([folder.path(), &chart])
        .env("HOME", folder.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(folder.path().join(format!("{name}-{version}.tgz"))).unwrap()
}

impl FakeRegistry {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let inside = Arc::new(Mutex::new(Inside { host: host.clone(), ..Inside::default() }));
        let routes = Router::new().fallback(answer).with_state(inside.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { host, inside, _serving: serving }
    }

    fn inside<T>(&self, act: impl FnOnce(&mut Inside) -> T) -> T {
        act(&mut self.inside.lock().unwrap())
    }

    /// From now on it has this, under this name and version.
    pub(crate) fn has(&self, name: &str, version: &str, archive: Vec<u8>) {
        self.inside(|inside| inside.charts.insert((name.to_owned(), version.to_owned()), archive));
    }

    pub(crate) fn fails(&self, fault: Option<Fault>) {
        self.inside(|inside| inside.fault = fault);
    }

    pub(crate) fn wants(&self, password: &str) {
        self.inside(|inside| inside.password = Some(password.to_owned()));
    }

    /// What it was asked for since it was asked so last.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.inside(|inside| std::mem::take(&mut inside.asked))
    }

    /// What it was shown since it was asked so last.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.inside(|inside| std::mem::take(&mut inside.shown))
    }

    pub(crate) fn settings(&self, way: Way) -> Settings {
        let name: RegistryName = "charts".parse().unwrap();
        let url = match way {
            Way::Index => format!("http://{}/index", self.host),
            Way::Oci => format!("oci://{}/acme", self.host),
        };
        Settings {
            name,
            url,
            plain_http: way == Way::Oci,
            credentials: None,
            ca_pem: None,
            hosts: [].into(),
            token_host: None,
        }
    }

    /// A server's registries, with this one as `charts`.
    pub(crate) fn alone(&self, way: Way, folder: &std::path::Path) -> Registries {
        let registry = Registry::new(&self.settings(way), folder.to_owned()).unwrap();
        Registries::new([("charts".parse().unwrap(), registry)].into())
    }
}

/// Name and password, as this server comes.
pub(crate) fn credentials(password: &str) -> Option<(String, SecretString)> {
    Some(("bascule".to_owned(), password.into()))
}

impl Inside {
    /// What `helm push` stores of a chart: config, layer and the manifest that names them.
    fn pushed(&mut self, name: &str, version: &str) -> Option<Vec<u8>> {
        let archive = self.charts.get(&(name.to_owned(), version.to_owned()))?.clone();
        let config = json!({ "name": name, "version": version, "apiVersion": "v2" }).to_string().into_bytes();
        let part =
            |media: &str, bytes: &[u8]| json!({ "mediaType": media, "digest": digest(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "config": part("application/vnd.cncf.helm.config.v1+json", &config),
            "layers": [part("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &archive)],
        });
        let manifest = manifest.to_string().into_bytes();
        for bytes in [config, archive, manifest.clone()] {
            self.blobs.insert(digest(&bytes), bytes);
        }
        Some(manifest)
    }

    fn index(&self) -> String {
        let mut text = "apiVersion: v1\nentries:\n".to_owned();
        let mut last = "";
        for ((name, version), archive) in &self.charts {
            if name != last {
                text += &format!("  {name}:\n");
                last = name;
            }
            let digest = hex::encode(Sha256::digest(archive));
            text += &format!(
                "  - name: {name}\n    version: {version}\n    digest: {digest}\n    urls: [{name}-{version}.tgz]\n"
            );
        }
        text
    }

    fn tags(&self, wanted: &str) -> Vec<String> {
        self.charts.keys().filter(|(name, _)| name == wanted).map(|(_, version)| version.replace('+', "_")).collect()
    }

    fn found(&mut self, path: &str) -> Option<Vec<u8>> {
        if path == "/index/index.yaml" {
            return Some(self.index().into_bytes());
        }
        if let Some(file) = path.strip_prefix("/index/") {
            let is_it = |(name, version): &(String, String)| format!("{name}-{version}.tgz") == file;
            return self.charts.iter().find(|(key, _)| is_it(key)).map(|(_, archive)| archive.clone());
        }
        let rest = path.strip_prefix("/v2/")?;
        if rest.is_empty() {
            return Some(b"{}".to_vec());
        }
        let rest = rest.strip_prefix("acme/")?;
        let (name, what) = rest.split_once('/')?;
        match what.split_once('/')? {
            ("tags", "list") => Some(json!({ "name": name, "tags": self.tags(name) }).to_string().into_bytes()),
            ("manifests", reference) if reference.starts_with("sha256:") => self.blobs.get(reference).cloned(),
            ("manifests", tag) => self.pushed(name, tag),
            ("blobs", digest) => self.blobs.get(digest).cloned(),
            _ => None,
        }
    }

    fn refuses(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let password = self.password.as_ref()?;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("bascule:{password}"));
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let wanted = if path.starts_with("/v2") { "Bearer of-bascule".to_owned() } else { format!("Basic {basic}") };
        if shown == wanted {
            return None;
        }
        let challenge =
            format!("Bearer realm=\"http://{}/token\",service=\"fake\",scope=\"repository:x:pull\"", self.host);
        Some((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response())
    }
}

async fn answer(State(inside): State<Arc<Mutex<Inside>>>, request: Request) -> Response {
    let mut inside = inside.lock().unwrap();
    let path = request.uri().path().to_owned();
    inside.asked.push(path.clone());
    let shown = request.headers().get(header::AUTHORIZATION).map_or("nothing", |value| value.to_str().unwrap());
    let shown = shown.to_owned();
    inside.shown.push(shown);
    if let Some(refused) = inside.refuses(&path, request.headers()) {
        return refused;
    }
    if path == "/token" {
        return axum::Json(json!({ "token": "of-bascule", "expires_in": 60 })).into_response();
    }
    match inside.fault.clone() {
        Some(Fault::Status(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::Page) => return axum::response::Html("<!doctype html><p>Welcome").into_response(),
        Some(Fault::Half) => {
            // Enough to be sent before it is noticed that there is no more.
            let half = vec![b'x'; 500_000];
            let body = Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>(half)]));
            return ([(header::CONTENT_LENGTH, "1000000")], body).into_response();
        }
        Some(Fault::SendsTo(place)) => return (StatusCode::FOUND, [(header::LOCATION, place + &path)]).into_response(),
        Some(Fault::Other) if path.contains(".tgz") || path.contains("/blobs/") || path.contains("sha256:") => {
            return b"\x1f\x8bsomething else".to_vec().into_response();
        }
        Some(Fault::Other) | None => {}
    }
    match inside.found(&path) {
        Some(found) => found.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

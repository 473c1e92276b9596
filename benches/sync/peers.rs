//! What others ask of an API server, without what they do besides.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::parts::ControlPlane;

/// Sends requests with nothing around them, so many at a time.
pub(crate) struct Generator<'p> {
    plane: &'p ControlPlane,
    client: Client,
    namespace: String,
}

/// One config map.
pub(crate) fn object(namespace: &str, number: usize, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name(number), "namespace": namespace, "labels": { "app": "shop", "team": "checkout" } },
        "data": { "value": value, "text": "x".repeat(600) } })
}

fn name(number: usize) -> String {
    format!("a{number:05}")
}

/// All of them, as a file says them.
pub(crate) fn manifests(namespace: &str, objects: usize, value: &str) -> String {
    (0..objects).map(|number| format!("---\n{}\n", object(namespace, number, value))).collect()
}

impl<'p> Generator<'p> {
    pub(crate) async fn new(plane: &'p ControlPlane, namespace: &str) -> Self {
        plane.kubectl(&["create", "namespace", namespace]).await.unwrap();
        let certificate = reqwest::Certificate::from_pem(plane.ca().as_bytes()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
        Self { plane, client, namespace: namespace.to_owned() }
    }

    async fn asks(&self, method: Method, place: String, body: Option<Value>) -> reqwest::Result<String> {
        let url = format!("{}/api/v1/namespaces/{}/configmaps{place}", self.plane.url(), self.namespace);
        let mut request = self.client.request(method, url).bearer_auth(self.plane.token());
        if let Some(body) = body {
            request = request.header("content-type", "application/apply-patch+yaml").body(body.to_string());
        }
        request.send().await?.error_for_status()?.text().await
    }

    /// A server-side apply of each, so wide.
    pub(crate) async fn applies(&self, objects: usize, value: &str, width: usize) -> Duration {
        let begun = Instant::now();
        let all = stream::iter(0..objects).map(|number| {
            let place = format!("/{}?fieldManager=bare&force=true", name(number));
            self.asks(Method::PATCH, place, Some(object(&self.namespace, number, value)))
        });
        all.buffer_unordered(width).try_for_each(async |_| Ok(())).await.unwrap();
        begun.elapsed()
    }

    /// A GET and a dry run of each, so wide: what Flux and Argo CD ask for objects that did not change.
    pub(crate) async fn looks_at_each(&self, objects: usize, value: &str, width: usize) -> Duration {
        let begun = Instant::now();
        let all = stream::iter(0..objects).map(|number| async move {
            self.asks(Method::GET, format!("/{}", name(number)), None).await?;
            let place = format!("/{}?fieldManager=bare&force=true&dryRun=All", name(number));
            self.asks(Method::PATCH, place, Some(object(&self.namespace, number, value))).await
        });
        all.buffer_unordered(width).try_for_each(async |_| Ok(())).await.unwrap();
        begun.elapsed()
    }

    /// A list of all, five hundred a page: what it costs to know anything at all after a start.
    pub(crate) async fn lists(&self) -> Duration {
        let begun = Instant::now();
        let mut next = String::new();
        loop {
            let text = self.asks(Method::GET, format!("?limit=500&continue={next}"), None).await.unwrap();
            let page: Value = serde_json::from_str(&text).unwrap();
            next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                return begun.elapsed();
            }
        }
    }
}

/// `kubectl apply --server-side` of a file.
pub(crate) async fn kubectl(plane: &ControlPlane, file: &Path) -> Duration {
    let begun = Instant::now();
    plane.kubectl(&["apply", "--server-side", "-f", &file.to_string_lossy()]).await.unwrap();
    begun.elapsed()
}

/// The file, written.
pub(crate) fn file(folder: &Path, namespace: &str, objects: usize, value: &str) -> PathBuf {
    let file = folder.join(format!("{value}.yaml"));
    std::fs::write(&file, manifests(namespace, objects, value)).unwrap();
    file
}

/// Processor time that a process and the children it has waited for have used: `utime`, `stime`, `cutime` and `cstime` of
/// `/proc/PID/stat` (proc(5)), in ticks of a hundredth of a second.
pub(crate) fn processor(process: u32) -> Used {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is a name that may hold spaces.
    let fields: Vec<u64> = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    let at = |field: usize| Duration::from_millis(10 * fields.get(field - 3).copied().unwrap_or(0));
    Used { own: at(14) + at(15), children: at(16) + at(17) }
}

/// Processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) own: Duration,
    pub(crate) children: Duration,
}

//! What a watch tells, by a server that has no streaming lists and forgets where a watch was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bascule::cluster::{Cluster, Identity, Kubeconfig, Resource, Scope, Sighted};
use bascule::manifest::HashKey;
use bascule::sync::fold::{Due, Fold};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How often a list and a watch were asked for.
#[derive(Default)]
struct Asked {
    streams: AtomicUsize,
    lists: AtomicUsize,
    watches: AtomicUsize,
}

fn metadata(name: &str, version: &str) -> Value {
    json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": version } })
}

async fn answer(State(asked): State<Arc<Asked>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    if query.contains("sendInitialEvents") {
        asked.streams.fetch_add(1, Ordering::SeqCst);
        let refusal = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled" });
        return (axum::http::StatusCode::UNPROCESSABLE_ENTITY, axum::Json(refusal)).into_response();
    }
    if !query.contains("watch=true") {
        let version = (asked.lists.fetch_add(1, Ordering::SeqCst) + 1).to_string();
        let list = json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": { "resourceVersion": version }, "items": [metadata("web", &version)] });
        return axum::Json(list).into_response();
    }
    // A change, and then that the version is too old: within a good answer, as a server says it.
    let events = [
        json!({ "type": "MODIFIED", "object": metadata("web", "7") }),
        json!({ "type": "DELETED", "object": metadata("web", "8") }),
        json!({ "type": "ERROR", "object": { "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
            "reason": "Expired", "message": "too old resource version: 1 (2072)" } }),
    ];
    let first = asked.watches.fetch_add(1, Ordering::SeqCst) == 0;
    let text: String = if first { events.iter().map(|event| format!("{event}\n")).collect() } else { String::new() };
    let rest = futures::stream::iter([Ok::<_, std::io::Error>(text)]).chain(futures::stream::pending());
    axum::body::Body::from_stream(rest).into_response()
}

/// A cluster of this server, and its config maps.
async fn serves(routes: Router) -> (Cluster, Resource, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{ name: x, cluster: {{ server: 'http://127.0.0.1:{port}' }} }}]\n\
         contexts: [{{ name: x, context: {{ cluster: x, user: x }} }}]\nusers: [{{ name: x, user: {{}} }}]\n"
    );
    let kubeconfig = Kubeconfig::Text(text.into());
    let cluster = Cluster::connect("x".parse().unwrap(), &kubeconfig, &Identity::Own).await.unwrap();
    let resource = Resource {
        api_version: "v1".to_owned(),
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        plural: "configmaps".to_owned(),
        namespaced: true,
    };
    (cluster, resource, serving)
}

#[tokio::test]
async fn what_is_too_old_is_told_anew_and_a_server_without_streaming_lists_is_asked_for_one_list() {
    let asked = Arc::new(Asked::default());
    let (cluster, resource, _serving) = serves(Router::new().fallback(answer).with_state(asked.clone())).await;
    let told = cluster.observe(&resource, &Scope::Namespace("shop".to_owned()), &HashKey::new([1; 32]));
    let told: Vec<String> = told
        .take(10)
        .map(|one| match one {
            Sighted::Began => "began".to_owned(),
            Sighted::Seen(key, seen) => format!("{key} at {}, ours: {}", seen.resource_version, seen.is_ours),
            Sighted::Gone(key) => format!("{key} gone"),
            Sighted::Whole => "whole".to_owned(),
            Sighted::Trouble { why, cause } => format!("{why}: {cause:?}"),
            Sighted::NoStreams => "no streams".to_owned(),
        })
        .collect()
        .await;
    insta::assert_snapshot!(told.join("\n"), @r"
    no streams
    began
    ConfigMap shop/web at 1, ours: false
    whole
    ConfigMap shop/web at 7, ours: false
    ConfigMap shop/web gone
    too old resource version: 1 (2072): Passing
    began
    ConfigMap shop/web at 2, ours: false
    whole
    ");
    let counts = [&asked.streams, &asked.lists].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [1, 2], "a list each time, and no stream is tried again");
}

/// Changes that a watch tells at once, of one object of ours and of strangers.
const BURST: usize = 10_000;

async fn burst(request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let ours = |version: usize| {
        let mut web = metadata("web", &version.to_string());
        web["metadata"]["annotations"] = json!({ "bascule.dev/environment": "work/1/production" });
        web
    };
    if query.contains("sendInitialEvents") {
        let done = json!({ "k8s.io/initial-events-end": "true" });
        let mark = json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": { "resourceVersion": "1", "annotations": done } });
        let begin = [json!({ "type": "ADDED", "object": ours(1) }), json!({ "type": "BOOKMARK", "object": mark })];
        let changes = (2..BURST + 2).map(|version| match version % 2 {
            0 => json!({ "type": "MODIFIED", "object": ours(version) }),
            _ => json!({ "type": "ADDED", "object": metadata(&format!("stranger-{version}"), &version.to_string()) }),
        });
        let text: Vec<_> =
            begin.into_iter().chain(changes).map(|event| Ok::<_, std::io::Error>(format!("{event}\n"))).collect();
        return axum::body::Body::from_stream(futures::stream::iter(text).chain(futures::stream::pending()))
            .into_response();
    }
    axum::http::StatusCode::BAD_REQUEST.into_response()
}

#[tokio::test]
async fn ten_thousand_changes_are_one_object_to_look_at_and_strangers_take_no_room() {
    let (cluster, resource, _serving) = serves(Router::new().fallback(burst)).await;
    let mut told = cluster.observe(&resource, &Scope::Namespace("shop".to_owned()), &HashKey::new([1; 32]));
    let (mut fold, mut changes) = (Fold::default(), 0);
    while changes < BURST {
        match told.next().await.unwrap() {
            Sighted::Began => fold.begins(),
            Sighted::Seen(key, sighting) => {
                changes += usize::from(sighting.resource_version != "1");
                fold.sees(key, sighting);
            }
            Sighted::Whole => {
                fold.is_told();
                assert_eq!(fold.compare(&[]), []);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fold.len(), 1);
    let Due::These(due) = fold.due() else { panic!("{:?}", fold.due()) };
    assert_eq!(due.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ConfigMap shop/web"]);
}

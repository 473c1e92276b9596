//! Both ends of a tunnel in one process, with an API server that writes down what it is asked.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bascule::cluster::{Cluster, Fate, Identity, Onto, Resource, Write};
use bascule::ids::ObjectKey;
use bascule::manifest::HashKey;
use hyper_util::rt::TokioIo;
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::{Recording, Tunnel, about, kubeconfig};

const ON_TIME: Duration = Duration::ZERO;

fn resource() -> Resource {
    Resource {
        group: String::new(),
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        plural: "configmaps".to_owned(),
        namespaced: true,
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { group: String::new(), kind: "ConfigMap".into(), namespace: Some("b".into()), name: name.into() }
}

async fn applies(cluster: &Cluster) -> Result<(), bascule::cluster::ClusterError> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}});
    let (resource, key) = (resource(), key("a"));
    let write =
        Write { resource: &resource, key: &key, object: &object, owner: "work/1/shop@server", onto: &Onto::Nothing };
    cluster.apply(write, &HashKey::new([7; 32])).await.map(drop)
}

#[tokio::test]
async fn the_api_is_asked_what_the_server_asked_by_the_agents_account_and_on_whose_behalf_the_server_says() {
    let (api, mut tunnel) = (Recording::start().await, Tunnel::none());
    tunnel.dials(&api.kubeconfig, "one", ON_TIME).await;
    let cluster = tunnel.cluster(&Identity::Impersonated("system:serviceaccount:b:deployer".to_owned())).await.unwrap();

    assert_eq!(cluster.version().await.unwrap(), "v1.99.0");
    applies(&cluster).await.unwrap();
    let asked = api.asked.lock().unwrap().clone();
    let shown: Vec<String> = asked
        .iter()
        .map(|asked| {
            let mut headers: Vec<String> = asked
                .headers
                .iter()
                .filter(|(name, _)| *name != "host" && *name != "user-agent")
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            headers.sort();
            format!("{}\n  {}\n  body: {}", asked.line, headers.join("\n  "), asked.body)
        })
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    GET /version
      accept: application/json
      authorization: Bearer of-the-agent
      impersonate-user: system:serviceaccount:b:deployer
      body: 
    PATCH /api/v1/namespaces/b/configmaps/a?fieldManager=bascule&fieldValidation=Strict&force=false&timeout=5s
      accept: application/json
      authorization: Bearer of-the-agent
      content-length: 163
      content-type: application/apply-patch+yaml
      impersonate-user: system:serviceaccount:b:deployer
      body: {"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"bascule.dev/environment":"work/1/shop@server"},"name":"a","namespace":"b","resourceVersion":"1"}}
    "#);
}

/// What an API server is asked of the cluster's own, and not of a person's: nothing of the server's end names it.
#[tokio::test]
async fn a_write_that_the_agent_has_too_late_is_never_sent_and_a_read_is() {
    let (api, mut tunnel) = (Recording::start().await, Tunnel::none());
    // As if the way there had taken longer than a write may.
    tunnel.dials(&api.kubeconfig, "one", Duration::from_secs(6)).await;
    let cluster = tunnel.cluster(&Identity::Own).await.unwrap();
    let late = applies(&cluster).await.unwrap_err();
    assert!(matches!(late.fate(), Fate::Retry { .. }), "{late}");
    assert_eq!(api.lines(), [""; 0]);
    cluster.version().await.unwrap();
    assert_eq!(api.lines(), ["GET /version"]);
}

#[tokio::test]
async fn without_an_agent_the_cluster_is_away_and_one_that_comes_back_at_once_is_waited_for() {
    let (api, mut tunnel) = (Recording::start().await, Tunnel::none());
    let cluster = tunnel.cluster(&Identity::Own).await.unwrap();
    let waiting = cluster.clone();
    let asking = async move { waiting.version().await };
    let (version, ()) = tokio::join!(asking, tunnel.dials(&api.kubeconfig, "one", ON_TIME));
    assert_eq!(version.unwrap(), "v1.99.0");

    tunnel.end.cancel();
    while tunnel.running.join_next().await.is_some() {}
    assert_eq!(tunnel.tunnels.connected(), []);
    let away = cluster.version().await.unwrap_err();
    assert_eq!(away.fate(), Fate::Away);
    assert_snapshot!(away, @"the cluster cannot be reached: no agent of cluster `far` is connected to this server");
}

/// A token that was revoked is not to be good for what was begun with it.
#[tokio::test]
async fn what_is_being_answered_ends_with_the_tunnel() {
    let (api, mut tunnel) = (Recording::start().await, Tunnel::none());
    tunnel.dials(&api.kubeconfig, "one", ON_TIME).await;
    let cluster = tunnel.cluster(&Identity::Own).await.unwrap();
    let ends = async {
        while api.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        tunnel.end.cancel();
    };
    let (resource, silent) = (resource(), key("silent"));
    let (ended, ()) = tokio::join!(cluster.get(&resource, &silent), ends);
    let ended = ended.unwrap_err();
    assert_eq!(ended.fate(), Fate::Away, "{ended}");
    while tunnel.running.join_next().await.is_some() {}
}

#[tokio::test]
async fn an_agent_that_cannot_reach_its_own_api_says_so() {
    let mut tunnel = Tunnel::none();
    let closed = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
    tunnel.dials(&kubeconfig(closed), "one", ON_TIME).await;
    let away = tunnel.cluster(&Identity::Own).await.unwrap().version().await.unwrap_err();
    assert_eq!(away.fate(), Fate::Away);
    assert_snapshot!(away, @"the cluster cannot be reached: its agent is connected, and cannot reach it: Connection refused (os error 111)");
}

#[tokio::test]
async fn the_newest_tunnel_is_used_the_ones_before_are_spares_and_a_fifth_ends_the_first() {
    let mut tunnel = Tunnel::none();
    let mut apis = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        let api = Recording::start().await;
        tunnel.dials(&api.kubeconfig, name, ON_TIME).await;
        apis.push(api);
    }
    let cluster = tunnel.cluster(&Identity::Own).await.unwrap();
    cluster.version().await.unwrap();
    let asked: Vec<usize> = apis.iter().map(|api| api.lines().len()).collect();
    assert_eq!(asked, [0, 0, 0, 0, 1]);
    let ended = tunnel.running.join_next().await.unwrap().unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    let names = || tunnel.tunnels.connected().into_iter().map(|one| one.token).collect::<Vec<_>>();
    while names().len() > 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(names(), ["two", "three", "four", "five"]);
}

/// An agent's end whose words get lost from now on, while it hears everything: a partition in one direction.
struct OneWay {
    stream: tokio::io::DuplexStream,
    is_lost: Arc<AtomicBool>,
}

impl AsyncRead for OneWay {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for OneWay {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_lost.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A write arrives, and its answer never does: nobody knows, so it is told as that, and the tunnel is given up for one that answers.
#[tokio::test]
async fn a_partition_in_one_direction_ends_the_tunnel_and_a_spare_takes_over() {
    let (api, spare) = (Recording::start().await, Recording::start().await);
    let mut tunnel = Tunnel::none();
    tunnel.dials(&spare.kubeconfig, "spare", ON_TIME).await;
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let is_lost = Arc::new(AtomicBool::new(false));
    let theirs = OneWay { stream: theirs, is_lost: is_lost.clone() };
    tunnel.dials_through((ours, theirs), &api.kubeconfig, "newest", ON_TIME).await;
    let cluster = tunnel.cluster(&Identity::Own).await.unwrap();
    cluster.version().await.unwrap();
    is_lost.store(true, Ordering::SeqCst);
    let unsure = applies(&cluster).await.unwrap_err();
    assert!(matches!(unsure.fate(), Fate::Retry { .. } | Fate::Away), "{unsure}");
    assert_eq!(api.lines().len(), 2, "it was sent, once");
    tunnel.running.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(tunnel.tunnels.connected().len(), 1);
    cluster.version().await.unwrap();
    assert_eq!((api.lines().len(), spare.lines()), (2, vec!["GET /version".to_owned()]));
}

/// Whoever has the token of one cluster may try to end the server by what it answers.
#[tokio::test]
async fn an_answer_without_end_ends_and_so_does_what_is_no_tunnel_at_all() {
    let (api, mut tunnel) = (Recording::start().await, Tunnel::none());
    tunnel.dials(&api.kubeconfig, "one", ON_TIME).await;
    let cluster = tunnel.cluster(&Identity::Own).await.unwrap();
    let endless = cluster.get(&resource(), &key("endless")).await.unwrap_err();
    assert_snapshot!(endless, @"the cluster cannot be reached: its answer broke off: the agent of cluster `far` answers without end");
    cluster.version().await.expect("the tunnel is as good as before");

    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 4096], b""] {
        let tunnels = bascule::cluster::tunnel::Tunnels::new(super::cluster_name());
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        theirs.write_all(garbage).await.unwrap();
        theirs.shutdown().await.unwrap();
        let began = tokio::time::Instant::now();
        let carried = tunnels.carry(TokioIo::new(ours), began, about("x"), tokio_util::sync::CancellationToken::new());
        let _ended_somehow = tokio::time::timeout(Duration::from_secs(30), carried).await.expect("it ends");
        assert_eq!(tunnels.connected(), []);
    }
}

#[tokio::test]
async fn a_watch_that_nobody_reads_holds_up_nobody_else() {
    let (api, mut tunnel) = (Recording::start().await, Tunnel::none());
    tunnel.dials(&api.kubeconfig, "one", ON_TIME).await;
    let cluster = tunnel.cluster(&Identity::Own).await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..8 {
        let cluster = cluster.clone();
        slow.push(Box::pin(async move { cluster.get(&resource(), &key("endless")).await }));
    }
    for one in &mut slow {
        // Asked, and then left alone.
        let _ = futures::poll!(one.as_mut());
    }
    while api.lines().len() < 8 {
        for one in &mut slow {
            let _ = futures::poll!(one.as_mut());
        }
        tokio::task::yield_now().await;
    }
    let _: Value = serde_json::to_value(cluster.version().await.unwrap()).unwrap();
}

//! One control plane for all tests that can share one: each test has namespaces of its own.

use std::future::Future;
use std::path::Path;
use std::sync::LazyLock;

use bascule::cluster::Kubeconfig;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::parts::{ControlPlane, Progress, Rollouts};

/// Lives as long as the test binary, because the control plane's client belongs to it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
static ROLLING: OnceCell<ControlPlane> = OnceCell::const_new();

/// Runs a test against the shared control plane: status is what the test writes, and nothing else moves.
pub(crate) fn on_plane<F: Future<Output = ()>>(test: impl FnOnce(&'static ControlPlane) -> F) {
    RUNTIME.block_on(async { test(shared().await).await });
}

/// The control plane of [`on_plane`]; within it.
pub(crate) async fn shared() -> &'static ControlPlane {
    let start = || async { ControlPlane::start(&Progress::silent(), Rollouts::None).await.unwrap() };
    PLANE.get_or_init(start).await
}

/// Runs a test against the shared control plane on which pods are scheduled, become ready and end.
pub(crate) fn on_rolling_plane<F: Future<Output = ()>>(test: impl FnOnce(&'static ControlPlane) -> F) {
    RUNTIME.block_on(async {
        let start = || async { ControlPlane::start(&Progress::silent(), Rollouts::Simulated).await.unwrap() };
        test(ROLLING.get_or_init(start).await).await;
    });
}

/// Runs a test against a control plane of its own, which it may stop.
pub(crate) fn on_own_plane<F: Future<Output = ()>>(test: impl FnOnce(ControlPlane) -> F) {
    RUNTIME.block_on(async {
        test(ControlPlane::start(&Progress::silent(), Rollouts::None).await.unwrap()).await;
    });
}

/// What a pod that runs as this user is given: the way to the API, and a folder with certificates and a token.
pub(crate) fn pod_of(plane: &ControlPlane, account: &Path, user: &str, groups: &[&str]) -> Kubeconfig {
    std::fs::write(account.join("ca.crt"), plane.ca()).unwrap();
    std::fs::write(account.join("token"), plane.token_for(user, groups)).unwrap();
    let url = reqwest::Url::parse(&plane.url()).unwrap();
    let host = url.host_str().unwrap().to_owned();
    Kubeconfig::Pod { host, port: url.port().unwrap(), account: account.to_owned() }
}

//! From a kubeconfig to a connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::http::{HeaderName, HeaderValue, Request, header};
use kube::client::Body;
use kube::config::{self, KubeConfigOptions};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::sync::{OnceCell, RwLock, Semaphore};

use crate::ids::ClusterName;

use super::breaker::Breaker;
use super::error::ClusterError;
use super::tunnel::Tunnels;
use super::{Cluster, Counts, Inner, TRIALS, WIDTH};

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// On whose behalf a request is made.
pub(super) const IMPERSONATE: HeaderName = HeaderName::from_static("impersonate-user");

/// Where the way into a cluster is written.
#[derive(Clone)]
pub enum Kubeconfig {
    /// In a file, read again when it changes; paths in it are relative to it.
    File(PathBuf),
    /// Given as it is.
    Text(SecretString),
    /// In our own pod: what the kubelet tells it.
    Pod {
        /// The name or address of the cluster's API.
        host: String,
        /// Its port.
        port: u16,
        /// The folder with `token`, which is read again as the kubelet renews it, and `ca.crt`.
        account: PathBuf,
    },
    /// Nowhere: an agent in the cluster dials us.
    Agent(Arc<Tunnels>),
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(out, "Kubeconfig({})", path.display()),
            Self::Text(_) => out.write_str("Kubeconfig(…)"),
            Self::Pod { host, port, account } => write!(out, "Kubeconfig({host}:{port}, {})", account.display()),
            Self::Agent(_) => out.write_str("Kubeconfig(an agent)"),
        }
    }
}

/// As whom requests are made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// As the user of the kubeconfig.
    Own,
    /// As this user, on behalf of whom the kubeconfig's user may act.
    Impersonated(String),
}

impl Identity {
    /// As this user, or as ourselves when none is named.
    pub fn of(user: Option<String>) -> Self {
        user.map_or(Self::Own, Self::Impersonated)
    }
}

impl Cluster {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`ClusterError::Configuration`], naming the cluster and the file.
    pub async fn connect(name: ClusterName, from: &Kubeconfig, identity: &Identity) -> Result<Self, ClusterError> {
        Self::connect_behind(Arc::default(), name, from, identity).await
    }

    /// The same, to a cluster that others ask, too.
    pub(super) async fn connect_behind(
        breaker: Arc<Breaker>,
        name: ClusterName,
        from: &Kubeconfig,
        identity: &Identity,
    ) -> Result<Self, ClusterError> {
        let client = match from {
            Kubeconfig::Agent(tunnels) => through(tunnels.clone(), identity)?,
            Kubeconfig::File(_) | Kubeconfig::Text(_) | Kubeconfig::Pod { .. } => client(&name, from, identity).await?,
        };
        Ok(Self(Arc::new(Inner {
            name,
            client,
            slots: Semaphore::new(WIDTH),
            trials: Semaphore::new(TRIALS),
            served: RwLock::new(None),
            uid: OnceCell::new(),
            counts: Counts::default(),
            breaker,
        })))
    }
}

/// What we say we are.
const OURSELVES: HeaderValue = HeaderValue::from_static(concat!("bascule/", env!("CARGO_PKG_VERSION")));

/// A client of the API server that a kubeconfig names.
pub(super) async fn client(
    name: &ClusterName,
    from: &Kubeconfig,
    identity: &Identity,
) -> Result<kube::Client, ClusterError> {
    let bad = |error: &dyn std::fmt::Display| {
        ClusterError::Configuration(format!("the kubeconfig of cluster `{name}` cannot be used: {error}"))
    };
    let kubeconfig = match from {
        Kubeconfig::File(file) => config::Kubeconfig::read_from(file),
        Kubeconfig::Text(text) => config::Kubeconfig::from_yaml(text.expose_secret()),
        Kubeconfig::Pod { host, port, account } => config::Kubeconfig::from_yaml(&of_pod(host, *port, account)),
        Kubeconfig::Agent(_) => return Err(bad(&"it has none")),
    };
    let kubeconfig = kubeconfig.map_err(|error| bad(&error))?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| bad(&error))?;
    config.connect_timeout = Some(CONNECT_LIMIT);
    // Limits of our own surround every request; a watch is quiet for as long as nothing happens.
    config.read_timeout = None;
    config.write_timeout = Some(super::wire::WRITE_LIMIT);
    // Its 15 attempts over minutes would write without a look at the lease.
    config.default_retry = false;
    config.headers.push((header::USER_AGENT, OURSELVES));
    if let Identity::Impersonated(user) = identity {
        config.auth_info.impersonate = Some(user.clone());
    }
    kube::Client::try_from(config).map_err(|error| bad(&error))
}

/// A client whose requests an agent of the tunnels' cluster sends on.
fn through(tunnels: Arc<Tunnels>, identity: &Identity) -> Result<kube::Client, ClusterError> {
    let user = match identity {
        Identity::Own => None,
        Identity::Impersonated(user) => {
            let bad = |_| ClusterError::Configuration(format!("`{user}` is no user whom a request can name"));
            Some(HeaderValue::from_str(user).map_err(bad)?)
        }
    };
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, OURSELVES);
        if let Some(user) = &user {
            headers.insert(IMPERSONATE, user.clone());
        }
        tunnels.clone().send(request)
    });
    Ok(kube::Client::new(service, "default"))
}

/// The same as the file a person would write: paths, and no content, so that what is renewed is read again.
fn of_pod(host: &str, port: u16, account: &Path) -> String {
    // An IPv6 address is told bare.
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let file = |name: &str| account.join(name).display().to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "pod",
        "contexts": [{ "name": "pod", "context": { "cluster": "pod", "user": "pod" } }],
        "clusters": [{ "name": "pod", "cluster": {
            "server": format!("https://{host}:{port}"), "certificate-authority": file("ca.crt") } }],
        "users": [{ "name": "pod", "user": { "tokenFile": file("token") } }],
    })
    .to_string()
}

//! The parts of a server, put together and not yet running: what jobs are given, and what the public listener serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use sqlx::PgPool;

use crate::clock::Clock;
use crate::cluster::{Clusters, Kubeconfig};
use crate::config::{Environ, ForgeKind, Secret, Server};
use crate::db::installation;
use crate::db::seal::{Seal, derive};
use crate::forge::{self, Forge};
use crate::git;
use crate::jobs::{self, ForgeAccess};
use crate::manifest::HashKey;
use crate::queue::Bell;
use crate::render::{Limits, Programs, Renderer};
use crate::web;
use crate::webhook::signature::Kind;
use crate::webhook::{self, Endpoint, store};

/// The door and the windows, for the public listener; and the task that commits what the door takes.
pub fn public_router(
    server: &Server,
    pool: &PgPool,
    clock: &Clock,
    bell: &Bell,
    public_key: Vec<u8>,
) -> (Router, store::Committer) {
    let (door, committer) = store::new(pool.clone(), bell.clone());
    let door = webhook::router(endpoints(server), door, clock.clone(), webhook::body::Limits::default());
    let windows = web::router(web::State {
        pool: pool.clone(),
        clock: clock.clone(),
        bell: bell.clone(),
        checkpoints: server.audit.checkpoints.clone(),
        public_key,
        public_url: server.http.public_url.clone(),
    });
    (windows.merge(door), committer)
}

/// What every job is given. The database has to be of this version; `key` is the server's, and has to be the one its stored
/// sets were sealed with.
///
/// # Errors
/// What cannot be had, with what to do.
pub async fn context(
    server: &Server,
    environ: &Environ,
    clock: &Clock,
    key: &[u8; 32],
    pool: &PgPool,
    bell: &Bell,
) -> anyhow::Result<jobs::Context> {
    let installation = {
        let mut conn = pool.acquire().await?;
        installation::open(&mut conn, &derive(key, "bascule installation check 1")).await?
    };
    let data = &server.database.data_dir;
    let (mirrors, scratch) = (data.join("mirrors"), data.join("boxes"));
    for folder in [&mirrors, &scratch] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let search = environ.get("PATH").map(std::ffi::OsString::from);
    let programs = Programs { search: search.clone(), ..Programs::default() };
    let renderer = Renderer::new(&programs, &std::fs::canonicalize(&scratch)?, Limits::default()).await;
    for (name, found) in [("helm", renderer.helm()), ("kustomize", renderer.kustomize())] {
        match found {
            Ok(_) => {}
            Err(why) => tracing::warn!(program = name, why, "environments that need it will not render"),
        }
    }
    let mut forges = BTreeMap::new();
    for (name, forge) in &server.forges {
        forges.insert(name.clone(), access(name, forge, clock)?);
    }
    let mut clusters = BTreeMap::new();
    for (name, cluster) in &server.clusters {
        if let Some(file) = &cluster.kubeconfig {
            clusters.insert(name.clone(), Kubeconfig::File(file.clone()));
        }
    }
    let parts = jobs::Parts {
        pool: pool.clone(),
        bell: bell.clone(),
        clock: clock.clone(),
        forges,
        clusters: Clusters::new(clusters),
        git: git::Program::find(&program("git", search.as_deref())?).await?,
        mirrors: std::fs::canonicalize(&mirrors)?,
        renderer,
        hash_key: HashKey::new(derive(key, "bascule object hashes 1")),
        seal: Seal::new(key),
        public_url: server.http.public_url.clone(),
        installation,
    };
    Ok(jobs::Context::new(parts, server.platform.clone()))
}

/// A program in the folders of `PATH`.
fn program(name: &str, search: Option<&std::ffi::OsStr>) -> anyhow::Result<std::path::PathBuf> {
    let found =
        search.into_iter().flat_map(std::env::split_paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("`{name}` is not on PATH: install it (Debian: apt-get install {name})"))
}

fn access(name: &crate::ids::ForgeName, forge: &crate::config::Forge, clock: &Clock) -> anyhow::Result<ForgeAccess> {
    let token = forge.token.read().with_context(|| format!("forge.{name}.token"))?;
    let ca_pem = match &forge.ca_file {
        Some(file) => Some(std::fs::read(file).with_context(|| format!("forge.{name}.ca_file {}", file.display()))?),
        None => None,
    };
    let kind = match forge.kind {
        ForgeKind::Gitea => forge::Kind::Gitea,
        ForgeKind::Forgejo => forge::Kind::Forgejo,
    };
    let settings = forge::Settings {
        name: name.clone(),
        url: forge.url.clone(),
        token: token.clone(),
        ca_pem,
        answer_within: forge::ANSWER_WITHIN,
    };
    let client = Forge::new(kind, settings, clock.clone())?;
    let ourselves = std::sync::OnceLock::new();
    Ok(ForgeAccess { forge: client, url: forge.url.clone(), token, ca_file: forge.ca_file.clone(), ourselves })
}

fn endpoints(server: &Server) -> BTreeMap<crate::ids::ForgeName, Endpoint> {
    let endpoint = |forge: &crate::config::Forge| {
        let kind = match forge.kind {
            ForgeKind::Gitea => Kind::Gitea,
            ForgeKind::Forgejo => Kind::Forgejo,
        };
        let secrets: Vec<Secret> = forge.webhook_secrets.clone();
        let read = move || secrets.iter().map(|secret| secret.read().ok()).collect::<Option<Vec<_>>>();
        Endpoint { kind, secrets: Arc::new(read) }
    };
    server.forges.iter().map(|(name, forge)| (name.clone(), endpoint(forge))).collect()
}

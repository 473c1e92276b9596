//! What every job is given: the ways into the world, and the rules as last loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretString;
use sqlx::PgPool;

use crate::clock::Clock;
use crate::cluster::Clusters;
use crate::db::seal::Seal;
use crate::forge::Forge;
use crate::git;
use crate::ids::{Account, ForgeName};
use crate::manifest::HashKey;
use crate::policy::rules::Platform;
use crate::queue::Bell;
use crate::render::Renderer;

/// One configured forge.
#[derive(Debug)]
pub struct ForgeAccess {
    /// Its client.
    pub forge: Forge,
    /// Its configured address.
    pub url: String,
    /// The account's token, for `git`.
    pub token: SecretString,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The account we are there: what tells our comments from those of others. Asked once.
    pub ourselves: std::sync::OnceLock<Account>,
}

/// Shared by all jobs of a process.
#[derive(Debug)]
pub struct Context {
    /// The database, as the running server's role.
    pub pool: PgPool,
    /// Rung after a commit that enqueued something.
    pub bell: Bell,
    /// Time and new ids.
    pub clock: Clock,
    /// By name.
    pub forges: BTreeMap<ForgeName, ForgeAccess>,
    /// By name.
    pub clusters: Clusters,
    /// The `git` program.
    pub git: git::Program,
    /// Where mirrors are kept.
    pub mirrors: PathBuf,
    /// Renders in its box.
    pub renderer: Renderer,
    /// Hashes objects.
    pub hash_key: HashKey,
    /// Seals stored objects.
    pub seal: Seal,
    /// Where our pages are, without a trailing slash.
    pub public_url: String,
    /// The installation's own id: part of the owner annotation.
    pub installation: uuid::Uuid,
    platform: RwLock<Arc<Platform>>,
}

/// All that a [`Context`] is made of, beside the rules.
#[derive(Debug)]
pub struct Parts {
    /// See [`Context::pool`].
    pub pool: PgPool,
    /// See [`Context::bell`].
    pub bell: Bell,
    /// See [`Context::clock`].
    pub clock: Clock,
    /// See [`Context::forges`].
    pub forges: BTreeMap<ForgeName, ForgeAccess>,
    /// See [`Context::clusters`].
    pub clusters: Clusters,
    /// See [`Context::git`].
    pub git: git::Program,
    /// See [`Context::mirrors`].
    pub mirrors: PathBuf,
    /// See [`Context::renderer`].
    pub renderer: Renderer,
    /// See [`Context::hash_key`].
    pub hash_key: HashKey,
    /// See [`Context::seal`].
    pub seal: Seal,
    /// See [`Context::public_url`].
    pub public_url: String,
    /// See [`Context::installation`].
    pub installation: uuid::Uuid,
}

impl Context {
    /// Puts it together.
    pub fn new(parts: Parts, platform: Platform) -> Self {
        let Parts {
            pool,
            bell,
            clock,
            forges,
            clusters,
            git,
            mirrors,
            renderer,
            hash_key,
            seal,
            public_url,
            installation,
        } = parts;
        let platform = RwLock::new(Arc::new(platform));
        Self {
            pool,
            bell,
            clock,
            forges,
            clusters,
            git,
            mirrors,
            renderer,
            hash_key,
            seal,
            public_url,
            installation,
            platform,
        }
    }

    /// The platform's rules as last loaded. A job takes them once, so that it is judged by one version of them.
    pub fn platform(&self) -> Arc<Platform> {
        self.platform.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the platform's rules.
    pub fn set_platform(&self, platform: Platform) {
        *self.platform.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(platform);
    }
}

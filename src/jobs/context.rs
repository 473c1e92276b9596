//! What every job is given: the ways into the world, and the rules as last loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::PgPool;

use super::gather::memory::Memory;
use super::step::Observer;
use crate::clock::Clock;
use crate::cluster::Clusters;
use crate::db::seal::Seal;
use crate::forge::Forge;
use crate::forge::budget::Budget;
use crate::git;
use crate::ids::{Account, ForgeName};
use crate::manifest::HashKey;
use crate::policy::rules::Platform;
use crate::prometheus::Servers;
use crate::queue::Bell;
use crate::registry::Registries;
use crate::render::{Renderer, Unsealer};

/// One configured forge.
#[derive(Debug)]
pub struct ForgeAccess {
    /// Its client.
    pub forge: Forge,
    /// Its configured address.
    pub url: String,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The account we are there: what tells our comments from those of others. Asked once.
    pub ourselves: std::sync::OnceLock<Account>,
}

impl ForgeAccess {
    /// The same, living within a budget that others share.
    pub fn within(self, budget: Arc<dyn Budget>) -> Self {
        Self { forge: self.forge.within(budget), ..self }
    }
}

/// Shared by all jobs of a process. Cheap to clone: a reload makes a new one of the old one's parts, and each job keeps
/// the one it began with, so that it is judged by one version of the rules.
#[derive(Debug, Clone)]
pub struct Context {
    /// The database, as the running server's role.
    pub pool: PgPool,
    /// Rung after a commit that enqueued something.
    pub bell: Bell,
    /// Time and new ids.
    pub clock: Clock,
    /// By name.
    pub forges: BTreeMap<ForgeName, Arc<ForgeAccess>>,
    /// By name.
    pub clusters: Arc<Clusters>,
    /// Where charts come from.
    pub registries: Registries,
    /// Who is asked whether what was deployed does well.
    pub prometheus: Servers,
    /// The `git` program.
    pub git: git::Program,
    /// Where mirrors are kept.
    pub mirrors: PathBuf,
    /// Renders in its box.
    pub renderer: Arc<Renderer>,
    /// Opens sealed Secrets.
    pub unsealer: Arc<Unsealer>,
    /// Hashes objects.
    pub hash_key: HashKey,
    /// Seals stored objects.
    pub seal: Arc<Seal>,
    /// Where our pages are, without a trailing slash.
    pub public_url: String,
    /// The installation's own id: part of the owner annotation.
    pub installation: uuid::Uuid,
    /// The platform's rules as last loaded.
    pub platform: Arc<Platform>,
    /// Told of every step of every job.
    pub observer: Observer,
    /// What jobs found out of trees, and need not find out again.
    pub memory: Arc<Memory>,
}

//! Which kinds are namespaced, as each environment's cluster tells: asked once a job, as the one who would write there.

use std::collections::BTreeMap;

use tokio::sync::Mutex;

use crate::cluster::{ClusterError, Identity};
use crate::ids::ClusterName;
use crate::jobs::error::{ClusterAway, JobError};
use crate::jobs::gather::repository::Repository;
use crate::manifest::{Scope, Scopes};
use crate::policy::rules::{Environment, SyncMode};
use crate::render::Capabilities;

/// What is done about a cluster that does not say what it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jobs) enum WhenAway {
    /// Nothing goes on without it: what is judged has to be what is synced.
    Stop,
    /// What is built in is known, and of the rest nothing is claimed: the reader is told.
    Tell,
}

/// What clusters said, as whom they were asked.
pub(in crate::jobs) struct KnownScopes<'r> {
    repository: &'r Repository<'r>,
    when_away: WhenAway,
    known: Mutex<BTreeMap<Asked, Served>>,
    /// What charts are told of them.
    told: Mutex<BTreeMap<Asked, Option<Capabilities>>>,
}

type Asked = (ClusterName, Identity);

/// What a cluster serves, or why it did not say.
struct Served {
    scopes: Scopes,
    away: Option<String>,
}

impl<'r> KnownScopes<'r> {
    pub(in crate::jobs) fn new(repository: &'r Repository<'r>, when_away: WhenAway) -> Self {
        Self { repository, when_away, known: Mutex::default(), told: Mutex::default() }
    }

    /// Of an environment's cluster; one that is never synced needs none.
    pub(in crate::jobs) async fn of(&self, environment: &Environment) -> Result<Scopes, JobError> {
        if environment.sync.mode == SyncMode::None {
            return Ok(Scopes::without_cluster());
        }
        let asked = self.asked(environment);
        let mut known = self.known.lock().await;
        if let Some(served) = known.get(&asked) {
            return Ok(served.scopes.clone());
        }
        let served = match (self.discovered(&asked).await, self.when_away) {
            (Ok(scopes), _) => Served { scopes, away: None },
            (Err(error), WhenAway::Tell) => {
                Served { scopes: Scopes::discovered(std::iter::empty()), away: Some(error.to_string()) }
            }
            (Err(error), WhenAway::Stop) => {
                let (environment, cluster) = (environment.name.clone(), asked.0);
                return Err(JobError::ClusterAway(ClusterAway { environment, cluster, why: error.to_string() }));
            }
        };
        let scopes = served.scopes.clone();
        known.insert(asked, served);
        Ok(scopes)
    }

    /// What a chart that asks is told of the environment's cluster; nothing, where that is never synced, or is away and a
    /// preview is shown all the same.
    pub(in crate::jobs) async fn capabilities(
        &self,
        environment: &Environment,
    ) -> Result<Option<Capabilities>, JobError> {
        if environment.sync.mode == SyncMode::None || self.away(environment).await.is_some() {
            return Ok(None);
        }
        let asked = self.asked(environment);
        let mut told = self.told.lock().await;
        if let Some(known) = told.get(&asked) {
            return Ok(known.clone());
        }
        let found = match (self.told_by(&asked).await, self.when_away) {
            (Ok(found), _) => found,
            (Err(_), WhenAway::Tell) => None,
            (Err(error), WhenAway::Stop) => {
                let (environment, cluster) = (environment.name.clone(), asked.0);
                return Err(JobError::ClusterAway(ClusterAway { environment, cluster, why: error.to_string() }));
            }
        };
        told.insert(asked, found.clone());
        Ok(found)
    }

    async fn told_by(&self, (name, identity): &Asked) -> Result<Option<Capabilities>, ClusterError> {
        let cluster = self.repository.context.clusters.get(name, identity).await?;
        let (version, served) = (cluster.version().await?, cluster.served().await?);
        Ok(Capabilities::new(&version, served.versions()))
    }

    /// Why the environment's cluster did not say, when it was asked.
    pub(in crate::jobs) async fn away(&self, environment: &Environment) -> Option<String> {
        self.known.lock().await.get(&self.asked(environment)).and_then(|served| served.away.clone())
    }

    /// As whom an environment's cluster is asked before its objects are known: the first grant that reaches its target
    /// says so.
    fn asked(&self, environment: &Environment) -> Asked {
        let target = &environment.target;
        let granted = self.repository.platform.grants_reaching(&self.repository.granted_name(), target);
        let user = granted.first().and_then(|granted| granted.grant.acts_as(&target.namespace));
        (target.cluster.clone(), Identity::of(user))
    }

    async fn discovered(&self, (name, identity): &Asked) -> Result<Scopes, ClusterError> {
        let served = self.repository.context.clusters.get(name, identity).await?.served().await?;
        let scope = |namespaced| if namespaced { Scope::Namespaced } else { Scope::Cluster };
        Ok(Scopes::discovered(served.kinds().map(|(kind, namespaced)| (kind, scope(namespaced)))))
    }
}

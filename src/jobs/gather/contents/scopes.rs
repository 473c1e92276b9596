//! Which kinds are namespaced, as each environment's cluster tells: asked once a job, as the one who would write there.

use std::collections::BTreeMap;

use tokio::sync::Mutex;

use crate::cluster::{ClusterError, Identity};
use crate::ids::ClusterName;
use crate::jobs::error::{ClusterAway, JobError};
use crate::jobs::gather::repository::Repository;
use crate::manifest::{Scope, Scopes};
use crate::policy::rules::{Environment, SyncMode};

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
}

type Asked = (ClusterName, Identity);

/// What a cluster serves, or why it did not say.
struct Served {
    scopes: Scopes,
    away: Option<String>,
}

impl<'r> KnownScopes<'r> {
    pub(in crate::jobs) fn new(repository: &'r Repository<'r>, when_away: WhenAway) -> Self {
        Self { repository, when_away, known: Mutex::default() }
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

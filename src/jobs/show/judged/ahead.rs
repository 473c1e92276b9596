//! What is found out of all environments at once, before each is looked at: for a thousand of them, a question each would be
//! most of what a preview costs.

use std::collections::BTreeMap;

use super::Scene;
use crate::cluster::Identity;
use crate::db::environments;
use crate::ids::EnvironmentName;
use crate::jobs::error::JobError;
use crate::jobs::gather::live::Origin;
use crate::jobs::gather::touched::Touched;
use crate::policy::rules::SyncMode;

impl Scene<'_> {
    /// Those that render and claim nothing of another's, as they are stored.
    pub(super) async fn knows(self, touched: &BTreeMap<EnvironmentName, Touched>) -> Result<Self, JobError> {
        let default = &self.repository.row.default_branch;
        let renders =
            touched.iter().filter(|(name, one)| one.new_content().is_some() && !self.claims.contains_key(*name));
        let blocks = renders.filter_map(|(_, one)| one.new.as_ref());
        let named: Vec<_> = blocks.map(|(block, _)| (block, block.branch.as_deref().unwrap_or(default))).collect();
        let mut conn = self.repository.context.pool.acquire().await?;
        let known = environments::all_known(&mut conn, self.repository.row.id, &named).await?;
        Ok(Self { known: known.into_iter().map(|one| (one.name.clone(), one)).collect(), ..self })
    }

    /// What they will ask their clusters for, so that those who share a namespace look at it once.
    pub(super) fn expects(&self, touched: &BTreeMap<EnvironmentName, Touched>) {
        if self.origin == Origin::Fork {
            return;
        }
        let (platform, name) = (&self.repository.platform, self.repository.granted_name());
        let asks = touched.values().filter_map(|one| {
            let (block, _) = one.new.as_ref().filter(|(block, _)| block.sync.mode != SyncMode::None)?;
            let (old, new) = (one.old_content()?, one.new_content()?);
            if old.digest == new.digest {
                return None;
            }
            let target = &block.target;
            let (granted, _) = platform.grant_meant(&name, target, new.objects())?;
            let identity = Identity::of(granted.grant.acts_as(&target.namespace));
            Some((&target.cluster, identity, old.objects().chain(new.objects())))
        });
        self.patience.lists().expect(asks);
    }
}

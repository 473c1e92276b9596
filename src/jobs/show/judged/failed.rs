//! Environments of which there is nothing to consent to.

use super::{Made, Scene};
use crate::db::sets;
use crate::ids::ObjectKey;
use crate::jobs::error::JobError;
use crate::jobs::gather::contents::SetAt;
use crate::jobs::show::rows;
use crate::policy::rules::Environment;
use crate::preview::EnvironmentRow;

impl Scene<'_> {
    /// Second claims, each with the object's file, which a remembered set does not know.
    pub(super) async fn claimed(
        &self,
        block: &Environment,
        claims: &[(ObjectKey, String)],
    ) -> Result<Vec<String>, JobError> {
        let set = self.contents.afresh(block, self.merged).await?.ok();
        let file = |key: &ObjectKey| set.as_ref().and_then(|set| set.objects.get(key)?.file.as_deref());
        let told = |(key, why): &(ObjectKey, String)| match file(key) {
            Some(file) => format!("{file}: {key} {why}"),
            None => format!("{key} {why}"),
        };
        Ok(claims.iter().map(told).collect())
    }

    /// An environment that has no set. In a proposal, one that renders and is not granted still says what it would own.
    pub(super) async fn failed(&self, block: &Environment, mut errors: Vec<String>) -> Result<Made, JobError> {
        let away = self.contents.away(block).await;
        if let Some(why) = &away {
            errors.push(format!("the cluster `{}` did not say what it serves: {why}", block.target.cluster));
        }
        let row = rows::failed(block, errors.clone(), Vec::new());
        let mut made = Made { row: Some(row), away, ..Made::default() };
        if !self.is_proposal {
            return Ok(made);
        }
        if let SetAt::Set(content) = self.contents.set_beyond_grants(block, self.merged).await? {
            let mut conn = self.repository.context.pool.acquire().await?;
            let set = sets::load(&mut conn, &content.digest, &self.repository.context.seal).await?;
            drop(conn);
            let looked = self.look(&self.known(block).await?, block, &set).await?;
            made.away = made.away.or(looked.away);
            let row = rows::failed(block, errors, rows::named(&set, &looked.live));
            made.row = Some(EnvironmentRow { unasked: looked.unasked, ..row });
        }
        Ok(made)
    }
}

//! The text of a repository's policies, read where its rules are read.

use std::collections::BTreeMap;

use super::Contents;
use crate::git::Tree;
use crate::jobs::error::JobError;
use crate::policy::code::order::{Answer, Order};
use crate::policy::health::{WrittenHealth, expressions, faulty as faulty_health};
use crate::policy::policies::{Written, faulty, rego_paths, with_rego};
use crate::policy::{Expanded, Located};

impl Contents<'_> {
    /// What is wrong with the health rules of the file: one that cannot be asked closes the gate, too.
    pub(super) async fn faults_of_health(
        &self,
        rules: &BTreeMap<String, WrittenHealth>,
    ) -> Result<Vec<Located>, JobError> {
        let answers = self.repository.context.renderer.judge(&Order::Expressions(expressions(rules))).await?;
        Ok(faulty_health(rules, &Answer::faults(answers)))
    }

    /// Gives the environments the policies of the file with their text. One that is not there, or cannot be asked, closes the
    /// gate as a fault of the file does: a commit that has one has no set.
    pub(super) async fn with_policies(
        &self,
        blocks: &Tree,
        policies: &BTreeMap<String, Written>,
        mut expanded: Vec<Expanded>,
    ) -> Result<Result<Vec<Expanded>, Vec<Located>>, JobError> {
        if policies.is_empty() {
            return Ok(Ok(expanded));
        }
        let mut texts = BTreeMap::new();
        for path in rego_paths(policies) {
            texts.insert(path.to_owned(), blocks.rego(path).await?);
        }
        let complaints = with_rego(&mut expanded, policies, &texts);
        if !complaints.is_empty() {
            return Ok(Err(complaints));
        }
        let Some(one) = expanded.first() else { return Ok(Ok(expanded)) };
        let sources = one.environment.policies.iter().map(|(name, policy)| (name.clone(), policy.source.clone()));
        let answers = self.repository.context.renderer.judge(&Order::Read(sources.collect())).await?;
        let complaints = faulty(policies, &Answer::faults(answers));
        Ok(if complaints.is_empty() { Ok(expanded) } else { Err(complaints) })
    }
}

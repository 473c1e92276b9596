//! Commit statuses, which GitLab keeps as jobs of pipelines.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::lists::List;
use super::{GitLab, parts, project, wire};
use crate::forge::error::{ForgeError, Result};
use crate::forge::facts::{CommitCheck, CommitStatus, NewStatus, RepositoryAt, StatusState};
use crate::forge::http::Call;
use crate::ids::CommitId;

/// Statuses and jobs of one commit: those of its newest pipelines.
const MOST_STATUSES: usize = 5_000;
/// Merge requests that have one commit.
const MOST_PULLS: usize = 1_000;

impl GitLab {
    /// What GitLab does not take of it, by `Ci::CreateCommitStatusService`:
    /// - "pending" of what is pending. The status is what it should be then; its words stay as they are.
    /// - A commit that is on no branch: of a fork, or of a branch that was deleted when it was merged. It is told again
    ///   with the reference that the merge request has here. Nothing was written by the first try.
    pub(crate) async fn set_status(&self, at: &RepositoryAt, commit: &CommitId, status: &NewStatus) -> Result<()> {
        let told = match self.tell_status(at, commit, status, None).await {
            Err(error) if is_about_references(&error) => match self.reference_of(at, commit).await? {
                Some(reference) => self.tell_status(at, commit, status, Some(&reference)).await,
                None => Err(error),
            },
            told => told,
        };
        match told {
            Err(error) if status.state == StatusState::Pending && is_pending_already(&error) => Ok(()),
            told => told,
        }
    }

    async fn tell_status(
        &self,
        at: &RepositoryAt,
        commit: &CommitId,
        status: &NewStatus,
        reference: Option<&str>,
    ) -> Result<()> {
        let path = project(at, &["statuses", commit.as_str()]);
        let state = match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            // There is no other word for what could not be found out.
            StatusState::Failure | StatusState::Error => "failed",
        };
        let mut body = json!({ "name": status.context, "state": state, "description": status.description });
        if let Some(url) = &status.target_url {
            body["target_url"] = url.as_str().into();
        }
        if let Some(reference) = reference {
            body["ref"] = reference.into();
        }
        let call = Call { name: "set_status", path: &parts(&path), query: &[] };
        let _: Value = self.http.post(call, &body).await?;
        Ok(())
    }

    /// Of the newest merge request that has this commit, and that is in this project.
    async fn reference_of(&self, at: &RepositoryAt, commit: &CommitId) -> Result<Option<String>> {
        let path = project(at, &["repository", "commits", commit.as_str(), "merge_requests"]);
        let list = List { name: "commit_pulls", path: &path, query: &[], most: MOST_PULLS };
        let pulls: Vec<wire::PullAt> = self.all(list).await?;
        let newest = pulls.iter().filter(|pull| pull.project_id == at.id).map(|pull| pull.iid).max();
        Ok(newest.map(|iid| format!("refs/merge-requests/{iid}/head")))
    }

    /// The newest status of each context, by context; jobs of GitLab's own pipelines are among them.
    pub(crate) async fn statuses(&self, at: &RepositoryAt, commit: &CommitId) -> Result<Vec<CommitStatus>> {
        let path = project(at, &["repository", "commits", commit.as_str(), "statuses"]);
        let list = List { name: "statuses", path: &path, query: &[], most: MOST_STATUSES };
        let mut all: Vec<wire::StatusJson> = self.whole(list, |status: &wire::StatusJson| status.id).await?;
        all.sort_by(|a, b| a.name.cmp(&b.name).then(b.id.cmp(&a.id)));
        all.dedup_by(|later, kept| later.name == kept.name);
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    /// The same of these names: a job of a pipeline is a status there. One that was skipped did not succeed.
    pub(crate) async fn checks(
        &self,
        at: &RepositoryAt,
        commit: &CommitId,
        names: &BTreeSet<String>,
    ) -> Result<Vec<CommitCheck>> {
        let all = self.statuses(at, commit).await?.into_iter().filter(|status| names.contains(&status.context));
        Ok(all.map(CommitCheck::from).collect())
    }
}

fn is_about_references(error: &ForgeError) -> bool {
    error.is_gone() && error.what.contains("References for commit")
}

fn is_pending_already(error: &ForgeError) -> bool {
    error.status == Some(400) && error.what.contains("Cannot transition status via :enqueue from :pending")
}

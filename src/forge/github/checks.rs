//! Check runs, which only an App can make: what is said beside a commit with more than one line.

use serde_json::{Value, json};

use super::{GitHub, Way, Whom, lists, wire};
use crate::forge::error::Result;
use crate::forge::facts::{RepositoryAt, StatusState};
use crate::forge::http::Call;
use crate::forge::shown::{Mark, NewCheck};
use crate::ids::CommitId;

impl GitHub {
    /// Whether we are an App that was given the right to.
    pub(crate) async fn may_check(&self, at: &RepositoryAt) -> Result<bool> {
        let Way::App(app) = &self.way else { return Ok(false) };
        let token = app.for_repository(&self.http, at.id, at.name.owner()).await?;
        Ok(token.permissions.get("checks").is_some_and(|level| level == "write"))
    }

    /// Its number.
    pub(crate) async fn create_check(&self, at: &RepositoryAt, commit: &CommitId, check: &NewCheck) -> Result<i64> {
        let path = self.path(at, &["check-runs"]);
        let mut body = body(check);
        body["name"] = (&*check.status.context).into();
        body["head_sha"] = commit.as_str().into();
        body["external_id"] = mark_of(check.round).into();
        body["output"]["annotations"] = check.marks.iter().map(annotation).collect();
        let call = Call { name: "create_check", path: &path, query: &[] };
        let run: wire::CheckRunJson = self.post(at, call, &body).await?;
        Ok(run.id)
    }

    /// The same words in one that is there; its marks stay.
    pub(crate) async fn edit_check(&self, at: &RepositoryAt, number: i64, check: &NewCheck) -> Result<()> {
        let number = number.to_string();
        let path = self.path(at, &["check-runs", &number]);
        let call = Call { name: "edit_check", path: &path, query: &[] };
        let _: wire::CheckRunJson = self.patch(at, call, &body(check)).await?;
        Ok(())
    }

    /// Ours of this round, if there is one.
    pub(crate) async fn find_check(
        &self,
        at: &RepositoryAt,
        commit: &CommitId,
        name: &str,
        round: i32,
    ) -> Result<Option<i64>> {
        let Way::App(app) = &self.way else { return Ok(None) };
        let path = self.path(at, &["commits", commit.as_str(), "check-runs"]);
        let ours = app.id.to_string();
        let query = [("check_name", name), ("app_id", ours.as_str()), ("filter", "all"), ("per_page", lists::PAGE)];
        let call = Call { name: "check_runs", path: &path, query: &query };
        let runs: wire::CheckRuns = self.get(Whom::Repository(at), call).await?;
        let mark = mark_of(round);
        let ours = runs.check_runs.into_iter().filter(|run| run.external_id.as_deref() == Some(&mark));
        Ok(ours.map(|run| run.id).max())
    }
}

fn mark_of(round: i32) -> String {
    format!("bascule {round}")
}

fn body(check: &NewCheck) -> Value {
    let status = &check.status;
    let mut body = json!({ "output": { "title": status.description, "summary": check.summary } });
    match status.state {
        StatusState::Pending => body["status"] = "in_progress".into(),
        StatusState::Success | StatusState::Failure | StatusState::Error => {
            body["status"] = "completed".into();
            // There is no word for what could not be found out that lets nothing pass.
            body["conclusion"] = if status.state == StatusState::Success { "success" } else { "failure" }.into();
        }
    }
    if let Some(url) = &status.target_url {
        body["details_url"] = url.as_str().into();
    }
    body
}

fn annotation(mark: &Mark) -> Value {
    json!({
        "path": mark.path, "start_line": mark.line, "end_line": mark.line,
        "annotation_level": if mark.is_warning { "warning" } else { "failure" }, "message": mark.message,
    })
}

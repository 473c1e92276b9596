//! Merge requests.
//!
//! Their `updated_at` moves once a minute at most, and not with a push of somebody who approved. So a list of open ones
//! counts the approvals of each, too: what was said and who approves is what a sweep compares.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::lists::List;
use super::{GitLab, parts, place, project, wire};
use crate::forge::CLOSED_PAGES;
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Closed, NewPull, Pull, PullPush, Push, RepositoryAt};
use crate::forge::http::Call;
use crate::ids::{CommitId, Iid};

/// Open merge requests of one project.
const MOST_OPEN: usize = 5_000;
/// Commits of one merge request.
const MOST_COMMITS: usize = 5_000;
/// Merge requests that have one commit.
const MOST_WITH_A_COMMIT: usize = 1_000;

const APPROVALS: &str = "query($project: ID!, $after: String) { project(fullPath: $project) { \
    mergeRequests(state: opened, first: 100, after: $after) { pageInfo { hasNextPage endCursor } \
    nodes { iid approvedBy { nodes { id } } } } } }";

impl GitLab {
    pub(crate) async fn pull(&self, at: &RepositoryAt, number: i64) -> Result<Pull> {
        let json = self.pull_json(at, number).await?;
        let facts = json.into_fact(&self.http.forge);
        // It is made in the background, and shown before that has ended.
        let what = || format!("has not looked at merge request !{number} itself yet");
        facts.ok_or_else(|| self.http.error(Fate::Retry { after: None }, None, what()))
    }

    async fn pull_json(&self, at: &RepositoryAt, number: i64) -> Result<wire::PullJson> {
        let Iid::MergeRequest(_) = Iid::of(number) else {
            return Err(self.http.error(Fate::Gone, None, format!("has no merge request {number}")));
        };
        let path = place(at, number, &[]);
        self.http.get(Call { name: "pull", path: &parts(&path), query: &[] }).await
    }

    /// It is made in the background: for a while it has no commits.
    pub(crate) async fn create_pull(&self, at: &RepositoryAt, new: &NewPull) -> Result<i64> {
        let path = project(at, &["merge_requests"]);
        let body = json!({
            "title": new.title, "description": new.body, "source_branch": new.head_branch,
            "target_branch": new.base_branch, "remove_source_branch": true,
        });
        let call = Call { name: "create_pull", path: &parts(&path), query: &[] };
        let json: wire::IidJson = self.http.post(call, &body).await?;
        Ok(json.iid)
    }

    /// All open ones, oldest first, so that one that is opened meanwhile moves none to another page.
    pub(crate) async fn open_pulls(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        let path = project(at, &["merge_requests"]);
        let query = [("scope", "all"), ("state", "opened"), ("order_by", "created_at"), ("sort", "asc")];
        let list = List { name: "open_pulls", path: &path, query: &query, most: MOST_OPEN };
        let all: Vec<wire::PullJson> = self.all(list).await?;
        let approvals = if all.is_empty() { BTreeMap::new() } else { self.approvals_counted(at).await? };
        let counted = |mut pull: Pull| {
            pull.comments += approvals.get(&pull.number).copied().unwrap_or_default();
            pull
        };
        Ok(all.into_iter().filter_map(|json| json.into_fact(&self.http.forge)).map(counted).collect())
    }

    /// How many approve each open one.
    async fn approvals_counted(&self, at: &RepositoryAt) -> Result<BTreeMap<i64, u64>> {
        let (mut counted, mut after) = (BTreeMap::new(), Value::Null);
        for _ in 0..=MOST_OPEN / 100 {
            let variables = json!({ "project": at.name.to_string(), "after": after });
            let found = self.graphql("open_approvals", APPROVALS, variables).await?;
            let page = &found["project"]["mergeRequests"];
            for pull in page["nodes"].as_array().into_iter().flatten() {
                // A number, in words.
                let number = pull["iid"].as_str().and_then(|iid| iid.parse().ok());
                let approvals = pull["approvedBy"]["nodes"].as_array().map_or(0, Vec::len);
                counted.extend(number.map(|number: i64| (number, u64::try_from(approvals).unwrap_or_default())));
            }
            match page["pageInfo"]["hasNextPage"].as_bool() {
                Some(true) => after = page["pageInfo"]["endCursor"].clone(),
                _ => break,
            }
        }
        Ok(counted)
    }

    /// The closed and the merged ones that changed last, newest first: a page of each.
    pub(crate) async fn closed_pulls_changed_last(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        let mut all = Vec::new();
        for state in ["merged", "closed"] {
            all.extend(self.closed_page(at, "closed_pulls_changed_last", state, None, 1).await?.0);
        }
        all.sort_by_key(|json| std::cmp::Reverse(json.updated_at));
        Ok(all.into_iter().filter_map(|json| json.into_fact(&self.http.forge)).collect())
    }

    async fn closed_page(
        &self,
        at: &RepositoryAt,
        name: &'static str,
        state: &str,
        since: Option<Timestamp>,
        page: usize,
    ) -> Result<(Vec<wire::PullJson>, bool)> {
        let path = project(at, &["merge_requests"]);
        let since = since.map(|since| since.to_string());
        let mut query = vec![("scope", "all"), ("state", state), ("order_by", "updated_at"), ("sort", "desc")];
        query.extend(since.as_deref().map(|since| ("updated_after", since)));
        self.page(List { name, path: &path, query: &query, most: usize::MAX }, page).await
    }

    /// A stretch of those closed or merged at `since` or later.
    ///
    /// They are sorted by when they last changed, which is never before they were closed. One that changes while a page
    /// is turned goes to the first page, which is read again.
    pub(crate) async fn pulls_closed_since(
        &self,
        at: &RepositoryAt,
        since: Timestamp,
        from_page: usize,
    ) -> Result<Closed> {
        let mut found: BTreeMap<i64, wire::PullJson> = BTreeMap::new();
        let mut goes_on_at = None;
        // No time is before 1970 for GitLab.
        let after = since.max(Timestamp::UNIX_EPOCH);
        for state in ["merged", "closed"] {
            for page in from_page.. {
                if page >= from_page.saturating_add(CLOSED_PAGES) {
                    goes_on_at = Some(page);
                    break;
                }
                let (listed, goes_on) = self.closed_page(at, "closed_pulls", state, Some(after), page).await?;
                take(&mut found, listed, since);
                if !goes_on {
                    break;
                }
            }
            if goes_on_at.is_some() || found.len() > 100 {
                let (listed, _) = self.closed_page(at, "closed_pulls", state, Some(after), 1).await?;
                take(&mut found, listed, since);
            }
        }
        let mut listed: Vec<wire::PullJson> = found.into_values().collect();
        listed.sort_by_key(|json| std::cmp::Reverse(json.closed_at()));
        let newest = listed.first().map(wire::PullJson::closed_at);
        let pulls = listed.into_iter().filter_map(|json| json.into_fact(&self.http.forge)).collect();
        Ok(Closed { pulls, newest, goes_on_at })
    }

    /// The commits of its head that its base has not, newest first.
    pub(crate) async fn pull_commits(&self, at: &RepositoryAt, number: i64) -> Result<Vec<CommitId>> {
        let path = place(at, number, &["commits"]);
        let list = List { name: "pull_commits", path: &path, query: &[], most: MOST_COMMITS };
        let all: Vec<wire::CommitAt> = self.all(list).await?;
        Ok(all.into_iter().map(|commit| commit.id).collect())
    }

    /// By the commits that GitLab files under a merge request: its own, what it was merged as (`merged_commit_sha`, which no
    /// attribute shows), and what a train made on the way there. The newest of the latter is asked for first.
    pub(crate) async fn pull_merged_as(
        &self,
        at: &RepositoryAt,
        branch: &str,
        commit: &CommitId,
    ) -> Result<Option<Pull>> {
        let path = project(at, &["repository", "commits", commit.as_str(), "merge_requests"]);
        let list = List { name: "commit_pulls", path: &path, query: &[], most: MOST_WITH_A_COMMIT };
        let all: Vec<wire::PullJson> = match self.all(list).await {
            Ok(all) => all,
            Err(error) if error.is_gone() => return Ok(None),
            Err(error) => return Err(error),
        };
        for json in all {
            let Some(pull) = json.into_fact_merged_as(&self.http.forge, (at.id, branch), commit) else { continue };
            if !self.pull_commits(at, pull.number).await?.contains(commit) {
                return Ok(Some(pull));
            }
        }
        Ok(None)
    }

    /// Pushes to a head in another project, oldest first, as far as that shows them to us; what it does not show was
    /// pushed by nobody known. Of a head in the project itself, [`Self::pushes`] tells them all.
    pub(crate) async fn pull_pushes(&self, at: &RepositoryAt, pull: &Pull) -> Result<Vec<PullPush>> {
        if !pull.from_fork {
            return Ok(Vec::new());
        }
        let Some(fork) = self.pull_json(at, pull.number).await?.source_project_id else { return Ok(Vec::new()) };
        let told = match self.pushes_in(fork, None).await {
            Ok(told) => told,
            Err(error) if error.is_passing() => return Err(error),
            Err(_) => return Ok(Vec::new()),
        };
        let told = told.into_iter().filter(|push| push.branch == pull.head_branch).collect::<Vec<_>>();
        // What the push that made the branch brought is told by nothing but the merge request's own commits.
        let mut own = Vec::new();
        if told.iter().any(|push| push.before.is_none() && push.after.is_some()) {
            own = self.pull_commits(at, pull.number).await?;
            own.reverse();
        }
        Ok(told.into_iter().rev().filter_map(|push| pull_push(push, &own)).collect())
    }
}

fn take(found: &mut BTreeMap<i64, wire::PullJson>, listed: Vec<wire::PullJson>, since: Timestamp) {
    for json in listed.into_iter().filter(|json| json.closed_at() >= since) {
        found.insert(json.iid, json);
    }
}

/// `own` are the merge request's commits, oldest first.
fn pull_push(push: Push, own: &[CommitId]) -> Option<PullPush> {
    let after = push.after?;
    let is_forced = push.before.is_some();
    let commits = match push.before {
        // Nothing is told of those in between. As of a forced one: where the head was, and where it is.
        Some(before) => vec![before, after],
        None => {
            let brought = own.iter().position(|commit| *commit == after).map_or(&[][..], |last| &own[..last]);
            brought.iter().cloned().chain([after]).collect()
        }
    };
    Some(PullPush { commits, is_forced, pusher: push.pusher, at: push.at })
}

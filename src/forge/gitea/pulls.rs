//! Pull requests and reviews.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{Gitea, wire};
use crate::forge::CLOSED_PAGES;
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Closed, NewPull, Pull, PullPush, RepositoryAt, Review};
use crate::forge::http::Call;
use crate::ids::CommitId;

/// Open pull requests of one repository.
const MOST_OPEN: usize = 5_000;
/// Reviews and pushes of one pull request.
const MOST_IN_A_PULL: usize = 5_000;

impl Gitea {
    pub(crate) async fn pull(&self, at: &RepositoryAt, number: i64) -> Result<Pull> {
        let path = self.path(at, &["pulls"]);
        let number = number.to_string();
        let path: Vec<&str> = path.into_iter().chain([number.as_str()]).collect();
        let json: wire::PullJson = self.http.get(Call { name: "pull", path: &path, query: &[] }).await?;
        self.of_this_repository(at, json)
    }

    /// A title that begins as a draft's does would make it one; ours does not.
    pub(crate) async fn create_pull(&self, at: &RepositoryAt, new: &NewPull) -> Result<i64> {
        let path = self.path(at, &["pulls"]);
        let body = json!({ "title": new.title, "body": new.body, "head": new.head_branch, "base": new.base_branch });
        let json: wire::NumberJson =
            self.http.post(Call { name: "create_pull", path: &path, query: &[] }, &body).await?;
        Ok(json.number)
    }

    /// All open ones, oldest first, so that one that is opened meanwhile moves none to another page.
    pub(crate) async fn open_pulls(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        let path = self.path(at, &["pulls"]);
        let query = [("state", "open"), ("sort", "oldest")];
        let all = self.http.get_all(Call { name: "open_pulls", path: &path, query: &query }, MOST_OPEN).await?;
        all.into_iter().map(|json| self.of_this_repository(at, json)).collect()
    }

    /// The closed ones that changed last, newest first: a page of them.
    pub(crate) async fn closed_pulls_changed_last(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        let path = self.path(at, &["pulls"]);
        let query = [("state", "closed"), ("sort", "recentupdate")];
        let call = Call { name: "closed_pulls_changed_last", path: &path, query: &query };
        let (found, _) = self.http.get_page::<wire::PullJson>(call, 1).await?;
        found.into_iter().map(|json| self.of_this_repository(at, json)).collect()
    }

    /// A stretch of those closed or merged at `since` or later, newest first.
    pub(crate) async fn pulls_closed_since(
        &self,
        at: &RepositoryAt,
        since: Timestamp,
        from_page: usize,
    ) -> Result<Closed> {
        let path = self.path(at, &["pulls"]);
        let query = [("state", "closed"), ("sort", "recentclose")];
        let mut closed = Closed { pulls: Vec::new(), newest: None, goes_on_at: None };
        for page in from_page..from_page.saturating_add(CLOSED_PAGES) {
            let call = Call { name: "closed_pulls", path: &path, query: &query };
            let (found, _) = self.http.get_page::<wire::PullJson>(call, page).await?;
            let ended = found.last().is_none_or(|oldest| oldest.closed_at() < since);
            for json in found.into_iter().filter(|json| json.closed_at() >= since) {
                closed.newest.get_or_insert(json.closed_at());
                closed.pulls.push(self.of_this_repository(at, json)?);
            }
            if ended {
                return Ok(closed);
            }
        }
        closed.goes_on_at = Some(from_page.saturating_add(CLOSED_PAGES));
        Ok(closed)
    }

    /// A name can come to mean another repository between two calls.
    fn of_this_repository(&self, at: &RepositoryAt, json: wire::PullJson) -> Result<Pull> {
        if json.base.repo_id == at.id {
            Ok(json.into_fact(&self.http.forge))
        } else {
            let what = format!("has another repository (number {}) at {} now", json.base.repo_id, at.name);
            Err(self.http.error(Fate::Gone, None, what))
        }
    }

    /// Submitted reviews, oldest first.
    ///
    /// The list has the time at which each was begun, and one that moves when it is submitted, dismissed or undismissed.
    /// Where the two differ, the timeline is read: it shows the text of a review from when it was submitted, for ever.
    pub(crate) async fn reviews(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Review>> {
        let digits = number.to_string();
        let path = self.path(at, &["pulls", &digits, "reviews"]);
        let all: Vec<wire::ReviewJson> =
            self.http.get_all(Call { name: "reviews", path: &path, query: &[] }, MOST_IN_A_PULL).await?;
        let mut reviews: Vec<Review> = all.into_iter().filter_map(|json| json.into_fact(&self.http.forge)).collect();
        if reviews.iter().all(|review| review.given_at == review.given_until) {
            return Ok(reviews);
        }
        let timeline = self.timeline(at, number, "review_times").await?.into_iter();
        let texts = timeline.filter(|entry| entry.kind == "review").map(|entry| (entry.id, entry.created_at));
        let texts: BTreeMap<i64, Timestamp> = texts.collect();
        for review in &mut reviews {
            if let Some(submitted) = review.comment.and_then(|comment| texts.get(&comment)) {
                review.was_submitted_at(*submitted);
            }
        }
        Ok(reviews)
    }

    /// The commits of its head that its base has not, newest first.
    pub(crate) async fn pull_commits(&self, at: &RepositoryAt, number: i64) -> Result<Vec<CommitId>> {
        let number = number.to_string();
        let path = self.path(at, &["pulls", &number, "commits"]);
        let query = [("verification", "false"), ("files", "false")];
        let all: Vec<wire::CommitJson> =
            self.http.get_all(Call { name: "pull_commits", path: &path, query: &query }, MOST_IN_A_PULL).await?;
        Ok(all.into_iter().map(|commit| commit.sha).collect())
    }

    /// Pushes to its head, wherever that is, oldest first. The timeline is not a whole record: a forced push removes
    /// what it replaced, and what was there at the opening is told as the opener's push, whoever made it. That first
    /// entry is believed of the opener's own fork only.
    pub(crate) async fn pull_pushes(&self, at: &RepositoryAt, pull: &Pull) -> Result<Vec<PullPush>> {
        let timeline = self.timeline(at, pull.number, "pull_pushes").await?;
        let mut pushes: Vec<PullPush> = timeline.into_iter().filter_map(|entry| self.pull_push(entry)).collect();
        let own_fork = pull.from_fork && pull.author.is_some() && pull.author == pull.head_owner;
        let opening = usize::from(!own_fork).min(pushes.len());
        Ok(pushes.split_off(opening))
    }

    /// Everything that happened in a pull request, oldest first; what the forge removes from it is not in it.
    async fn timeline(&self, at: &RepositoryAt, number: i64, name: &'static str) -> Result<Vec<wire::TimelineJson>> {
        let number = number.to_string();
        let path = self.path(at, &["issues", &number, "timeline"]);
        let mut all = Vec::new();
        for page in 1..=MOST_IN_A_PULL / crate::forge::http::PAGE {
            let call = Call { name, path: &path, query: &[] };
            // Its count is of the page, not of the whole.
            let (found, _) = self.http.get_page::<wire::TimelineJson>(call, page).await?;
            if found.is_empty() {
                return Ok(all);
            }
            all.extend(found);
        }
        Err(self.unusable("has a longer timeline of the pull request than we read".to_owned()))
    }

    fn pull_push(&self, entry: wire::TimelineJson) -> Option<PullPush> {
        if entry.kind != "pull_push" {
            return None;
        }
        let body: wire::PullPushJson = serde_json::from_str(&entry.body).ok()?;
        Some(PullPush {
            commits: body.commit_ids.unwrap_or_default(),
            is_forced: body.is_force_push,
            pusher: wire::account(&self.http.forge, entry.user),
            at: entry.created_at,
        })
    }
}

//! Pull requests and reviews.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;

use super::{GitHub, Whom, wire};
use crate::forge::CLOSED_PAGES;
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Closed, NewPull, Pull, PullPush, Push, RepositoryAt, Review, Verdict};
use crate::forge::http::Call;
use crate::forge::name::RepositoryName;
use crate::ids::CommitId;

/// Open pull requests of one repository.
const MOST_OPEN: usize = 5_000;
/// Reviews and events of one pull request.
const MOST_IN_A_PULL: usize = 5_000;
/// GitHub shows no more commits of a pull request than these.
const COMMITS_SHOWN: usize = 250;

impl GitHub {
    pub(crate) async fn pull(&self, at: &RepositoryAt, number: i64) -> Result<Pull> {
        let json = self.pull_json(at, number).await?;
        self.of_this_repository(at, json)
    }

    async fn pull_json(&self, at: &RepositoryAt, number: i64) -> Result<wire::PullJson> {
        let number = number.to_string();
        let path = self.path(at, &["pulls", &number]);
        self.get(Whom::Repository(at), Call { name: "pull", path: &path, query: &[] }).await
    }

    pub(crate) async fn create_pull(&self, at: &RepositoryAt, new: &NewPull) -> Result<i64> {
        let path = self.path(at, &["pulls"]);
        let body = json!({ "title": new.title, "body": new.body, "head": new.head_branch, "base": new.base_branch });
        let json: wire::NumberJson =
            self.post(at, Call { name: "create_pull", path: &path, query: &[] }, &body).await?;
        Ok(json.number)
    }

    /// All open ones, oldest first, so that one that is opened meanwhile moves none to another page.
    pub(crate) async fn open_pulls(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        let path = self.path(at, &["pulls"]);
        let query = [("state", "open"), ("sort", "created"), ("direction", "asc")];
        let call = Call { name: "open_pulls", path: &path, query: &query };
        let all: Vec<wire::PullJson> = self.all(Whom::Repository(at), call, MOST_OPEN).await?;
        all.into_iter().map(|json| self.of_this_repository(at, json)).collect()
    }

    /// The closed ones that changed last, newest first: a page of them.
    pub(crate) async fn closed_pulls_changed_last(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        let (found, _) = self.closed_page(at, "closed_pulls_changed_last", 1).await?;
        found.into_iter().map(|json| self.of_this_repository(at, json)).collect()
    }

    async fn closed_page(
        &self,
        at: &RepositoryAt,
        name: &'static str,
        page: usize,
    ) -> Result<(Vec<wire::PullJson>, bool)> {
        let path = self.path(at, &["pulls"]);
        let query = [("state", "closed"), ("sort", "updated"), ("direction", "desc")];
        self.page(Whom::Repository(at), Call { name, path: &path, query: &query }, page).await
    }

    /// A stretch of those closed or merged at `since` or later.
    ///
    /// GitHub sorts them by when they last changed, which is never before they were closed. One that changes while a page
    /// is turned goes to the first page, which is read again until nothing there is new.
    pub(crate) async fn pulls_closed_since(
        &self,
        at: &RepositoryAt,
        since: Timestamp,
        from_page: usize,
    ) -> Result<Closed> {
        let mut found: BTreeMap<i64, wire::PullJson> = BTreeMap::new();
        let (mut goes_on_at, mut page) = (None, from_page);
        loop {
            let (listed, more) = self.closed_page(at, "closed_pulls", page).await?;
            let ended = !more || listed.last().is_none_or(|oldest| oldest.updated_at < since);
            take(&mut found, listed, since);
            page += 1;
            if ended {
                break;
            }
            if page >= from_page.saturating_add(CLOSED_PAGES) {
                goes_on_at = Some(page);
                break;
            }
        }
        if page > 2 {
            let (listed, _) = self.closed_page(at, "closed_pulls", 1).await?;
            take(&mut found, listed, since);
        }
        let mut listed: Vec<wire::PullJson> = found.into_values().collect();
        listed.sort_by_key(|json| std::cmp::Reverse(json.closed_at()));
        let newest = listed.first().map(wire::PullJson::closed_at);
        let pulls = listed.into_iter().map(|json| self.of_this_repository(at, json)).collect::<Result<_>>()?;
        Ok(Closed { pulls, newest, goes_on_at })
    }

    /// A name can come to mean another repository between two calls.
    fn of_this_repository(&self, at: &RepositoryAt, json: wire::PullJson) -> Result<Pull> {
        match json.repository() {
            Some(id) if id == at.id => Ok(json.into_fact(&self.http.forge)),
            Some(other) => {
                let what = format!("has another repository (number {other}) at {} now", at.name);
                Err(self.http.error(Fate::Gone, None, what))
            }
            None => Err(self.unusable("does not say whose pull request it shows".to_owned())),
        }
    }

    /// Submitted reviews, oldest first. What a dismissed one had said is told by the events alone, and whether the text of one
    /// was edited by the timeline alone; each is read when there is such a review.
    pub(crate) async fn reviews(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Review>> {
        let number = number.to_string();
        let path = self.path(at, &["pulls", &number, "reviews"]);
        let call = Call { name: "reviews", path: &path, query: &[] };
        let whom = Whom::Repository(at);
        let all: Vec<wire::ReviewJson> =
            self.whole(whom, call, MOST_IN_A_PULL, |review: &wire::ReviewJson| review.id).await?;
        let mut said: BTreeMap<i64, Verdict> = BTreeMap::new();
        if all.iter().any(|review| review.state == "DISMISSED") {
            let path = self.path(at, &["issues", &number, "events"]);
            let call = Call { name: "review_dismissals", path: &path, query: &[] };
            let events: Vec<wire::EventJson> = self.all(whom, call, MOST_IN_A_PULL).await?;
            said.extend(events.into_iter().filter_map(wire::EventJson::dismissed));
        }
        let mut untouched: BTreeSet<i64> = BTreeSet::new();
        if all.iter().any(wire::ReviewJson::is_command) {
            let path = self.path(at, &["issues", &number, "timeline"]);
            let call = Call { name: "review_texts", path: &path, query: &[] };
            let timeline: Vec<wire::TimelineJson> = self.all(whom, call, MOST_IN_A_PULL).await?;
            untouched.extend(timeline.into_iter().filter_map(wire::TimelineJson::untouched_review));
        }
        let fact = |review: wire::ReviewJson| {
            let (was, is_first_text) = (said.get(&review.id).copied(), untouched.contains(&review.id));
            review.into_fact(&self.http.forge, was, is_first_text)
        };
        Ok(all.into_iter().filter_map(fact).collect())
    }

    /// The commits of its head that its base has not, newest first.
    pub(crate) async fn pull_commits(&self, at: &RepositoryAt, number: i64) -> Result<Vec<CommitId>> {
        let number = number.to_string();
        let path = self.path(at, &["pulls", &number, "commits"]);
        let call = Call { name: "pull_commits", path: &path, query: &[] };
        let all: Vec<wire::CommitAt> = self.all(Whom::Repository(at), call, COMMITS_SHOWN).await?;
        if all.len() >= COMMITS_SHOWN {
            return Err(self.unusable(format!("shows {COMMITS_SHOWN} commits of a pull request and no more")));
        }
        Ok(all.into_iter().map(|commit| commit.sha).rev().collect())
    }

    /// Pushes to the head of a pull request from a fork, oldest first. A fork that does not show us what happened in it leaves
    /// them by nobody known. Of a head in the repository itself, [`Self::pushes`] tells them all.
    pub(crate) async fn pull_pushes(&self, at: &RepositoryAt, pull: &Pull) -> Result<Vec<PullPush>> {
        if !pull.from_fork {
            return Ok(Vec::new());
        }
        let json = self.pull_json(at, pull.number).await?;
        let Some(fork) = json.head_repository().and_then(|name| name.parse::<RepositoryName>().ok()) else {
            return Ok(Vec::new());
        };
        let path = ["repos", fork.owner(), fork.name(), "activity"];
        let told = match self.activity(Whom::Repository(at), &path, Some(&pull.head_branch), None).await {
            Ok(told) => told,
            Err(error) if error.is_passing() => return Err(error),
            Err(_) => return Ok(Vec::new()),
        };
        // What the push that made the branch brought is told by nothing but the pull request's own commits.
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
        found.insert(json.number(), json);
    }
}

/// `own` are the pull request's commits, oldest first.
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

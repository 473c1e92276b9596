//! Repositories, branches, and who pushed what to them.

use jiff::Timestamp;
use reqwest::Method;

use super::app::{App, Token};
use super::{GitHub, Way, Whom, lists, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Branch, CommitPeople, Push, Repository, RepositoryAt};
use crate::forge::http::Call;
use crate::forge::name::RepositoryName;
use crate::ids::CommitId;

/// More branches than this are not listed by anyone's sweep; the repository needs tidying first.
const MOST_BRANCHES: usize = 10_000;
/// Pages of activity read back at most: 2,500 pushes since the last look.
const MOST_ACTIVITY_PAGES: usize = 25;

impl GitHub {
    pub(crate) async fn repository_by_name(&self, name: &RepositoryName) -> Result<Repository> {
        let path = ["repos", name.owner(), name.name()];
        let call = Call { name: "repository", path: &path, query: &[] };
        // Its number is not known, so this token of an App is not for it alone; it may only look.
        self.repository(self.get(Whom::Owner(name.owner()), call).await?)
    }

    pub(crate) async fn repository_by_id(&self, id: i64) -> Result<Repository> {
        match &self.way {
            Way::Token(_) => {
                let digits = id.to_string();
                let call = Call { name: "repository", path: &["repositories", &digits], query: &[] };
                self.repository(self.get(Whom::Anyone, call).await?)
            }
            Way::App(app) => {
                let (token, name) = app.for_number(&self.http, id).await?;
                match self.of_number(id, &name, &token).await {
                    // It has another name, or was taken from us, since the token was given.
                    Err(error) if token.is_kept && (error.is_gone() || error.status == Some(401)) => {
                        self.of_number_anew(app, id, &token).await
                    }
                    found => found,
                }
            }
        }
    }

    async fn of_number_anew(&self, app: &App, id: i64, token: &Token) -> Result<Repository> {
        app.forget(token).await;
        let (token, name) = app.for_number(&self.http, id).await?;
        self.of_number(id, &name, &token).await
    }

    async fn of_number(&self, id: i64, name: &str, token: &Token) -> Result<Repository> {
        let name: RepositoryName = name.parse().map_err(|_| self.unnameable())?;
        let path = ["repos", name.owner(), name.name()];
        let call = Call { name: "repository", path: &path, query: &[] };
        let (_, body) = self.http.send::<()>(Method::GET, &call, None, token.shown()).await?;
        let json: wire::RepositoryJson = self.http.json(&call, &body)?;
        if json.id != id {
            let what = format!("has another repository (number {}) at {name} now", json.id);
            return Err(self.http.error(Fate::Gone, None, what));
        }
        self.repository(json)
    }

    fn repository(&self, json: wire::RepositoryJson) -> Result<Repository> {
        json.into_fact(&self.http.forge).ok_or_else(|| self.unnameable())
    }

    fn unnameable(&self) -> crate::forge::ForgeError {
        self.unusable("names a repository in a way we cannot ask for".to_owned())
    }

    pub(crate) async fn branches(&self, at: &RepositoryAt) -> Result<Vec<Branch>> {
        let call = Call { name: "branches", path: &self.path(at, &["branches"]), query: &[] };
        let all: Vec<wire::BranchJson> = self.all(Whom::Repository(at), call, MOST_BRANCHES).await?;
        Ok(all.into_iter().map(|branch| Branch { name: branch.name, tip: branch.commit.sha }).collect())
    }

    pub(crate) async fn branch(&self, at: &RepositoryAt, name: &str) -> Result<Branch> {
        let plain = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !plain {
            return Err(self.http.error(Fate::Gone, None, "cannot have a branch of that name".to_owned()));
        }
        let call = Call { name: "branch", path: &self.path(at, &["branches", name]), query: &[] };
        let branch: wire::BranchJson = self.get(Whom::Repository(at), call).await?;
        Ok(Branch { name: branch.name, tip: branch.commit.sha })
    }

    /// Pushes since `since`, newest first; of a very busy repository the newest 2,500 only.
    pub(crate) async fn pushes(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Push>> {
        self.activity(Whom::Repository(at), &self.path(at, &["activity"]), None, Some(since)).await
    }

    /// What a repository tells of pushes to it, newest first: all, or those to one branch.
    pub(super) async fn activity(
        &self,
        whom: Whom<'_>,
        path: &[&str],
        branch: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<Vec<Push>> {
        let reference = branch.map(|branch| format!("refs/heads/{branch}"));
        let (mut pushes, mut after) = (Vec::new(), None::<String>);
        for _ in 0..MOST_ACTIVITY_PAGES {
            let mut query = vec![("per_page", lists::PAGE), ("direction", "desc")];
            query.extend(reference.as_deref().map(|reference| ("ref", reference)));
            query.extend(after.as_deref().map(|after| ("after", after)));
            let call = Call { name: "pushes", path, query: &query };
            let (headers, body) = self.send::<()>(Method::GET, whom, call, None).await?;
            let found: Vec<wire::ActivityJson> = self.http.json(&call, &body)?;
            let is_early = |entry: &wire::ActivityJson| since.is_some_and(|since| entry.timestamp < since);
            let ended = found.last().is_none_or(is_early);
            let found = found.into_iter().filter(|entry| !is_early(entry));
            pushes.extend(found.filter_map(|entry| entry.into_fact(&self.http.forge)));
            // The next page by its place in the list: the rest of the address is not for us to follow.
            let next = lists::next(&headers).into_iter().flatten().find(|(key, _)| key == "after");
            match next {
                Some((_, place)) if !ended => after = Some(place),
                _ => break,
            }
        }
        Ok(pushes)
    }

    pub(crate) async fn commit_people(&self, at: &RepositoryAt, commit: &CommitId) -> Result<CommitPeople> {
        let path = self.path(at, &["commits", commit.as_str()]);
        // The pages are of the files it changed, of which we want none.
        let call = Call { name: "commit", path: &path, query: &[("per_page", "1")] };
        let found: wire::CommitJson = self.get(Whom::Repository(at), call).await?;
        let who = |writer: Option<wire::Writer>| wire::account(&self.http.forge, writer.and_then(wire::Writer::user));
        Ok(CommitPeople { author: who(found.author), committer: who(found.committer) })
    }
}

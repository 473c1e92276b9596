//! Projects, branches, and who pushed what to them.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::graphql::number;
use super::lists::List;
use super::{GitLab, parts, project, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Branch, CommitPeople, Push, Repository, RepositoryAt};
use crate::forge::http::Call;
use crate::forge::name::RepositoryName;
use crate::ids::{Account, CommitId};

/// More branches than this are not listed by anyone's sweep; the repository needs tidying first.
const MOST_BRANCHES: usize = 10_000;
/// Pages of events read back at most: 2,500 pushes since the last look.
const MOST_EVENT_PAGES: usize = 25;
/// `after` is a day, and that day is left out (docs.gitlab.com/api/events); by the clock of whichever place.
const DAYS_BEFORE: SignedDuration = SignedDuration::from_hours(48);

/// Of the root folder, the last commit is the commit itself (`Resolvers::LastCommitResolver`).
const COMMIT: &str = "query($project: ID!, $commit: String!) { project(fullPath: $project) { repository { \
    tree(ref: $commit) { lastCommit { sha authorEmail committerEmail author { id username } } } } } }";

impl GitLab {
    pub(crate) async fn repository_by_name(&self, name: &RepositoryName) -> Result<Repository> {
        // Its slashes are written `%2F` in the address.
        let name = name.to_string();
        let call = Call { name: "repository", path: &["v4", "projects", &name], query: &[] };
        self.repository(self.http.get(call).await?)
    }

    pub(crate) async fn repository_by_id(&self, id: i64) -> Result<Repository> {
        self.repository(self.project_json(id).await?)
    }

    pub(super) async fn project_json(&self, id: i64) -> Result<wire::ProjectJson> {
        let id = id.to_string();
        self.http.get(Call { name: "repository", path: &["v4", "projects", &id], query: &[] }).await
    }

    fn repository(&self, json: wire::ProjectJson) -> Result<Repository> {
        json.into_fact(&self.http.forge)
            .ok_or_else(|| self.unusable("names a project in a way we cannot ask for".to_owned()))
    }

    pub(crate) async fn branches(&self, at: &RepositoryAt) -> Result<Vec<Branch>> {
        let path = project(at, &["repository", "branches"]);
        let list = List { name: "branches", path: &path, query: &[], most: MOST_BRANCHES };
        let all: Vec<wire::BranchJson> = self.all(list).await?;
        Ok(all.into_iter().map(|branch| Branch { name: branch.name, tip: branch.commit.id }).collect())
    }

    pub(crate) async fn branch(&self, at: &RepositoryAt, name: &str) -> Result<Branch> {
        let plain = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !plain {
            return Err(self.http.error(Fate::Gone, None, "cannot have a branch of that name".to_owned()));
        }
        let path = project(at, &["repository", "branches", name]);
        let call = Call { name: "branch", path: &parts(&path), query: &[] };
        let branch: wire::BranchJson = self.http.get(call).await?;
        Ok(Branch { name: branch.name, tip: branch.commit.id })
    }

    /// Pushes since `since`, newest first; of a very busy project the newest 2,500 only. A push of many branches at once
    /// tells of none of them (`push_data.ref_count`): these are by nobody known.
    pub(crate) async fn pushes(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Push>> {
        self.pushes_in(at.id, Some(since)).await
    }

    pub(super) async fn pushes_in(&self, id: i64, since: Option<Timestamp>) -> Result<Vec<Push>> {
        let path = ["v4", "projects", &id.to_string(), "events"].map(str::to_owned);
        let day = since.and_then(|since| since.checked_sub(DAYS_BEFORE).ok()).map(|day| day.strftime("%F").to_string());
        let mut query = vec![("action", "pushed"), ("sort", "desc")];
        query.extend(day.as_deref().map(|day| ("after", day)));
        let list = List { name: "pushes", path: &path, query: &query, most: usize::MAX };
        let mut pushes = Vec::new();
        for page in 1..=MOST_EVENT_PAGES {
            let (found, goes_on) = self.page::<wire::EventJson>(list, page).await?;
            let is_early = |event: &wire::EventJson| since.is_some_and(|since| event.created_at < since);
            let ended = found.last().is_none_or(is_early);
            let found = found.into_iter().filter(|event| !is_early(event));
            pushes.extend(found.filter_map(|event| event.into_fact(&self.http.forge)));
            if ended || !goes_on {
                break;
            }
        }
        Ok(pushes)
    }

    /// GitLab maps the author by every address that the account has confirmed, shown or not. It says nothing of the
    /// committer, who is mostly the same; another one is known as far as the address is shown to us.
    pub(crate) async fn commit_people(&self, at: &RepositoryAt, commit: &CommitId) -> Result<CommitPeople> {
        let variables = json!({ "project": at.name.to_string(), "commit": commit.as_str() });
        let found = self.graphql("commit", COMMIT, variables).await?;
        let commit_found = &found["project"]["repository"]["tree"]["lastCommit"];
        if commit_found["sha"] != commit.as_str() {
            return Err(self.http.error(Fate::Gone, None, format!("does not show commit {commit} to our account")));
        }
        let email = |key: &str| commit_found[key].as_str().unwrap_or_default().to_owned();
        let (wrote, committed) = (email("authorEmail"), email("committerEmail"));
        let named = &commit_found["author"];
        let author = match (number(&named["id"]), named["username"].as_str()) {
            (Some(id), Some(login)) => {
                let user = wire::User { id, username: login.to_owned(), ..wire::User::default() };
                wire::account(&self.http.forge, Some(user))
            }
            _ => self.account_by(&wrote).await?,
        };
        let committer =
            if committed.eq_ignore_ascii_case(&wrote) { author.clone() } else { self.account_by(&committed).await? };
        Ok(CommitPeople { author, committer })
    }

    async fn account_by(&self, email: &str) -> Result<Option<Account>> {
        if email.is_empty() { Ok(None) } else { self.account_by_email(email).await }
    }
}

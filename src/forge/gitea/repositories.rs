//! Repositories, branches, and who pushed what to them.

use jiff::Timestamp;

use super::{Gitea, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{Branch, CommitPeople, Push, Repository, RepositoryAt};
use crate::forge::http::Call;
use crate::forge::name::RepositoryName;
use crate::ids::CommitId;

/// More branches than this are not listed by anyone's sweep; the repository needs tidying first.
const MOST_BRANCHES: usize = 5_000;
/// Pages of activities read back at most: 2,500 pushes, comments and merges since the last look.
const MOST_ACTIVITY_PAGES: usize = 50;

impl Gitea {
    pub(crate) async fn repository_by_name(&self, name: &RepositoryName) -> Result<Repository> {
        let path = ["repos", name.owner(), name.name()];
        self.repository(&path).await
    }

    pub(crate) async fn repository_by_id(&self, id: i64) -> Result<Repository> {
        self.repository(&["repositories", &id.to_string()]).await
    }

    async fn repository(&self, path: &[&str]) -> Result<Repository> {
        let json: wire::RepositoryJson = self.http.get(Call { name: "repository", path, query: &[] }).await?;
        json.into_fact(&self.http.forge)
            .ok_or_else(|| self.unusable("names a repository in a way we cannot ask for".into()))
    }

    pub(crate) async fn branches(&self, at: &RepositoryAt) -> Result<Vec<Branch>> {
        let call = Call { name: "branches", path: &self.path(at, &["branches"]), query: &[] };
        let all: Vec<wire::BranchJson> = self.http.get_all(call, MOST_BRANCHES).await?;
        Ok(all.into_iter().map(|branch| Branch { name: branch.name, tip: branch.commit.id }).collect())
    }

    pub(crate) async fn branch(&self, at: &RepositoryAt, name: &str) -> Result<Branch> {
        let plain = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !plain {
            return Err(self.http.error(Fate::Gone, None, "cannot have a branch of that name".to_owned()));
        }
        let mut path = self.path(at, &["branches"]);
        path.extend(name.split('/'));
        let branch: wire::BranchJson = self.http.get(Call { name: "branch", path: &path, query: &[] }).await?;
        Ok(Branch { name: branch.name, tip: branch.commit.id })
    }

    /// Pushes since `since`, newest first; of a very busy repository the newest 2,500 activities' only. People who hide their activity are missing here unless our account is a
    /// site administrator: their pushes are by nobody known.
    pub(crate) async fn pushes(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Push>> {
        let call = Call { name: "pushes", path: &self.path(at, &["activities", "feeds"]), query: &[] };
        let mut pushes = Vec::new();
        for page in 1..=MOST_ACTIVITY_PAGES {
            let (found, _) = self.http.get_page::<wire::ActivityJson>(call, page).await?;
            let ended = found.last().is_none_or(|oldest| oldest.created < since);
            pushes
                .extend(found.into_iter().filter(|entry| entry.created >= since).filter_map(|entry| self.push(entry)));
            if ended {
                break;
            }
        }
        Ok(pushes)
    }

    fn push(&self, entry: wire::ActivityJson) -> Option<Push> {
        let (before, after) = match entry.op_type.as_str() {
            "commit_repo" | "mirror_sync_push" => {
                // The first entry of a new branch has no content; the next one tells its head.
                let pushed: wire::PushedJson = serde_json::from_str(&entry.content).ok()?;
                (pushed.before(), Some(pushed.head?.sha))
            }
            "delete_branch" => (None, None),
            _ => return None,
        };
        let branch = entry.ref_name.strip_prefix("refs/heads/").unwrap_or(&entry.ref_name).to_owned();
        Some(Push { branch, before, after, pusher: wire::account(&self.http.forge, entry.act_user), at: entry.created })
    }

    pub(crate) async fn commit_people(&self, at: &RepositoryAt, commit: &CommitId) -> Result<CommitPeople> {
        let path = self.path(at, &["git", "commits", commit.as_str()]);
        let query = [("stat", "false"), ("verification", "false"), ("files", "false")];
        let found: wire::CommitJson = self.http.get(Call { name: "commit", path: &path, query: &query }).await?;
        Ok(CommitPeople {
            author: wire::account(&self.http.forge, found.author),
            committer: wire::account(&self.http.forge, found.committer),
        })
    }
}

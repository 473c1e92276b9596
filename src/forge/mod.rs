//! The forges: what we ask of them and tell them, behind one enum, with errors told by their fate.
//!
//! Nothing is answered from memory here but who we are: whoever decides reads the truth when it decides. (What a forge says
//! is unchanged since we asked last is not sent again, see `http/kept.rs`.) No call is repeated here:
//! an error says whether to come back, and whoever works (a job with its stored backoff) comes back. A call that
//! writes and gets no answer may have written; the writer looks before it writes again.

pub mod budget;
mod error;
mod facts;
mod gitea;
mod github;
mod gitlab;
mod http;
mod log;
mod name;
mod rules;
mod shown;
mod sign_in;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

pub use self::error::{Fate, ForgeError, Result};
pub use self::facts::{
    AccountKind, Branch, Closed, Comment, CommitCheck, CommitPeople, CommitStatus, Holding, Issue, NewPull, NewStatus,
    NewWebhook, Pull, PullPush, PullState, Push, Reaction, Repository, RepositoryAt, Review, Right, Standing,
    StatusState, User, Verdict, Webhook,
};
pub use self::gitea::Gitea;
pub use self::github::{GitHub, Manifest, NewApp, Wanted};
pub use self::gitlab::GitLab;
pub use self::http::{ANSWER_WITHIN, Settings, SettingsError, SignIn};
pub use self::log::{DeliveryLog, DeliveryLogs, DeliveryTries, DeliveryTry};
pub use self::name::{NotAName, RepositoryName};
pub use self::rules::MergeRule;
pub use self::shown::{DeploymentState, DeploymentWord, Mark, NewCheck, NewDeployment};
pub use self::sign_in::{Application, Attempt};
use crate::clock::Clock;
use crate::ids::{Account, CommitId, ForgeName, Iid};
use crate::policy::rules::Role;

/// Which software a forge runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Gitea 1.20 or newer.
    Gitea,
    /// Forgejo; its API differs from Gitea's in nothing we use.
    Forgejo,
    /// github.com, or GitHub Enterprise.
    GitHub,
    /// gitlab.com, or a GitLab of one's own.
    GitLab,
}

/// A configured forge, as one account of ours sees it.
#[derive(Debug)]
pub enum Forge {
    /// Gitea or Forgejo.
    Gitea(Gitea),
    /// GitHub.
    GitHub(GitHub),
    /// GitLab.
    GitLab(GitLab),
}

/// Pages of closed pull requests read in one stretch: a thousand of them or more, in a fraction of the time for which the
/// facts of a judgement are good.
pub const CLOSED_PAGES: usize = 20;

/// Asks the client of whichever forge it is: they have the same methods, so that another forge is one arm here.
macro_rules! asked {
    ($forge:ident, $client:ident => $call:expr) => {
        match $forge {
            Forge::Gitea($client) => $call,
            Forge::GitHub($client) => $call,
            Forge::GitLab($client) => $call,
        }
    };
}

impl Forge {
    /// A client; makes no call.
    pub fn new(kind: Kind, settings: Settings, clock: Clock) -> std::result::Result<Self, SettingsError> {
        match kind {
            Kind::Gitea | Kind::Forgejo => Gitea::new(settings, clock).map(Self::Gitea),
            Kind::GitHub => GitHub::new(settings, clock).map(Self::GitHub),
            Kind::GitLab => GitLab::new(settings, clock).map(Self::GitLab),
        }
    }

    /// The same, living within a budget that others share.
    pub fn within(mut self, budget: Arc<dyn budget::Budget>) -> Self {
        let forge = &mut self;
        asked!(forge, client => client.within(budget));
        self
    }

    /// Whether there is room for this among what an owner's repositories may cost, now.
    pub async fn room(&self, owner: &str, cost: budget::Cost) -> Result<()> {
        match self {
            Self::GitHub(forge) => forge.http().room(&forge.account(owner), cost).await,
            Self::Gitea(_) | Self::GitLab(_) => asked!(self, forge => forge.http().room("", cost).await),
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ForgeName {
        asked!(self, forge => &forge.http().forge)
    }

    /// A repository's name, as repositories are called there: `owner/name`.
    ///
    /// # Errors
    /// No repository of it can have this name.
    pub fn repository_name(&self, text: &str) -> std::result::Result<RepositoryName, NotAName> {
        match self {
            Self::Gitea(_) | Self::GitHub(_) => text.parse(),
            Self::GitLab(_) => RepositoryName::in_groups(text),
        }
    }

    /// How people there write a pull request or an issue: `#12`.
    pub fn place(&self, number: i64) -> String {
        match self {
            Self::Gitea(_) | Self::GitHub(_) => format!("#{number}"),
            Self::GitLab(_) => Iid::of(number).to_string(),
        }
    }

    /// Where `git` fetches a repository from, made from the configured address; without credentials.
    pub fn clone_url(&self, name: &RepositoryName) -> String {
        let file = format!("{}.git", name.name());
        let path: Vec<&str> = name.owner().split('/').chain([file.as_str()]).collect();
        asked!(self, forge => forge.http().site(&path))
    }

    /// What `git` fetches this repository with now: good for a while, and to be asked for anew.
    pub async fn git_token(&self, at: &RepositoryAt) -> Result<SecretString> {
        asked!(self, forge => forge.git_token(at).await)
    }

    /// The account our token belongs to; what it writes is not by a person.
    pub async fn ourselves(&self) -> Result<Account> {
        asked!(self, forge => forge.ourselves().await)
    }

    /// The repository that has this name now. Compare its number with the one remembered: a name can be taken by another.
    pub async fn repository_by_name(&self, name: &RepositoryName) -> Result<Repository> {
        asked!(self, forge => forge.repository_by_name(name).await)
    }

    /// The repository with this number, whatever its name is now.
    pub async fn repository_by_id(&self, id: i64) -> Result<Repository> {
        asked!(self, forge => forge.repository_by_id(id).await)
    }

    /// All branches.
    pub async fn branches(&self, at: &RepositoryAt) -> Result<Vec<Branch>> {
        asked!(self, forge => forge.branches(at).await)
    }

    /// The webhooks of a repository; refused where our account is no administrator of it.
    pub async fn webhooks(&self, at: &RepositoryAt) -> Result<Vec<Webhook>> {
        asked!(self, forge => forge.webhooks(at).await)
    }

    /// The webhooks of an organisation, which its repositories' deliveries take, too.
    pub async fn organisation_webhooks(&self, organisation: &str) -> Result<Vec<Webhook>> {
        asked!(self, forge => forge.organisation_webhooks(organisation).await)
    }

    /// Makes a webhook of a repository, or of our App, or brings the one numbered `instead_of` into order, its secret
    /// included. An error may mean that it was made all the same: look before making another.
    pub async fn put_webhook(&self, at: &RepositoryAt, instead_of: Option<i64>, wanted: NewWebhook<'_>) -> Result<()> {
        asked!(self, forge => forge.put_webhook(at, instead_of, wanted).await)
    }

    /// What we need for a repository and what we have beside it, as far as the forge tells without anything being
    /// written; in the order of [`Holding`].
    pub async fn rights(&self, at: &RepositoryAt) -> Result<Vec<Right>> {
        let mut rights = asked!(self, forge => forge.rights(at).await)?;
        rights.sort_by(|a, b| (a.holding, &a.spelt).cmp(&(b.holding, &b.spelt)));
        Ok(rights)
    }

    /// The repositories that are shown to our account because it works on them; `None` where that need not be known, since
    /// one webhook is told of all (a GitHub App).
    pub async fn repositories(&self) -> Result<Option<Vec<RepositoryName>>> {
        asked!(self, forge => forge.repositories().await)
    }

    /// The repositories that our App was given, wherever it is installed; none where we are no App.
    pub async fn installed(&self) -> Result<Vec<Repository>> {
        match self {
            Self::GitHub(forge) => forge.installed().await,
            Self::Gitea(_) | Self::GitLab(_) => Ok(Vec::new()),
        }
    }

    /// One branch; gone when it is deleted.
    pub async fn branch(&self, at: &RepositoryAt, name: &str) -> Result<Branch> {
        asked!(self, forge => forge.branch(at, name).await)
    }

    /// Pushes to its branches at `since` (forge time) or later, newest first, as far as the forge keeps and shows them.
    /// A head whose push is not here was pushed by nobody known.
    pub async fn pushes(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Push>> {
        asked!(self, forge => forge.pushes(at, since).await)
    }

    /// The accounts of a commit's author and committer.
    pub async fn commit_people(&self, at: &RepositoryAt, commit: &CommitId) -> Result<CommitPeople> {
        asked!(self, forge => forge.commit_people(at, commit).await)
    }

    /// One pull request.
    pub async fn pull(&self, at: &RepositoryAt, number: i64) -> Result<Pull> {
        asked!(self, forge => forge.pull(at, number).await)
    }

    /// Opens a pull request of ours; its number. An error may mean that it was opened all the same: look before opening
    /// another.
    pub async fn create_pull(&self, at: &RepositoryAt, new: &NewPull) -> Result<i64> {
        asked!(self, forge => forge.create_pull(at, new).await)
    }

    /// All open pull requests: one call for each fifty.
    pub async fn open_pulls(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        asked!(self, forge => forge.open_pulls(at).await)
    }

    /// The closed and merged pull requests that changed last, newest first: one call, one page.
    pub async fn closed_pulls_changed_last(&self, at: &RepositoryAt) -> Result<Vec<Pull>> {
        asked!(self, forge => forge.closed_pulls_changed_last(at).await)
    }

    /// Comments of all pull requests and issues that were written or edited at `since` (forge time) or later. One call
    /// when there are few.
    pub async fn comments_changed_since(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Comment>> {
        asked!(self, forge => forge.comments_changed_since(at, since).await)
    }

    /// Pull requests closed or merged at `since` (forge time) or later, newest first: one call when there are few, and
    /// never more than [`CLOSED_PAGES`]. `from_page` is 1, or where an earlier stretch says that it goes on.
    pub async fn pulls_closed_since(&self, at: &RepositoryAt, since: Timestamp, from_page: usize) -> Result<Closed> {
        asked!(self, forge => forge.pulls_closed_since(at, since, from_page).await)
    }

    /// Submitted reviews, oldest first. A deleted review is not among them any more.
    pub async fn reviews(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Review>> {
        asked!(self, forge => forge.reviews(at, number).await)
    }

    /// Commits of its head that its base has not, newest first.
    pub async fn pull_commits(&self, at: &RepositoryAt, number: i64) -> Result<Vec<CommitId>> {
        asked!(self, forge => forge.pull_commits(at, number).await)
    }

    /// Whether [`Self::pull_merged_as`] asks anything.
    pub fn has_trains(&self) -> bool {
        matches!(self, Self::GitLab(_))
    }

    /// The pull request that was merged into a branch as this commit, where nothing but the commit says so: a merge train of
    /// GitLab's rebases what it fast-forwards to, and the merge request goes on naming its own head.
    pub async fn pull_merged_as(&self, at: &RepositoryAt, branch: &str, commit: &CommitId) -> Result<Option<Pull>> {
        match self {
            Self::GitLab(forge) => forge.pull_merged_as(at, branch, commit).await,
            Self::Gitea(_) | Self::GitHub(_) => Ok(None),
        }
    }

    /// Pushes to a pull request's head, also in a fork; not a whole record: of a head in the repository itself, what
    /// was there at the opening is not in it, and [`Self::pushes`] tells it.
    pub async fn pull_pushes(&self, at: &RepositoryAt, pull: &Pull) -> Result<Vec<PullPush>> {
        asked!(self, forge => forge.pull_pushes(at, pull).await)
    }

    /// All comments of a pull request or issue, oldest first, without the texts of reviews.
    pub async fn comments(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Comment>> {
        asked!(self, forge => forge.comments(at, number).await)
    }

    /// One comment of a pull request or issue; gone when it is deleted.
    pub async fn comment(&self, at: &RepositoryAt, number: i64, comment: i64) -> Result<Comment> {
        asked!(self, forge => forge.comment(at, number, comment).await)
    }

    /// Writes a comment. An error may mean that it was written all the same: look before writing again.
    pub async fn create_comment(&self, at: &RepositoryAt, number: i64, body: &str) -> Result<Comment> {
        asked!(self, forge => forge.create_comment(at, number, body).await)
    }

    /// Replaces the text of a comment of ours; gone when it is deleted.
    pub async fn edit_comment(&self, at: &RepositoryAt, number: i64, comment: i64, body: &str) -> Result<Comment> {
        asked!(self, forge => forge.edit_comment(at, number, comment, body).await)
    }

    /// Answers a comment with a reaction; again is the same as once.
    pub async fn react(&self, at: &RepositoryAt, number: i64, comment: i64, reaction: Reaction) -> Result<()> {
        asked!(self, forge => forge.react(at, number, comment, reaction).await)
    }

    /// One issue.
    pub async fn issue(&self, at: &RepositoryAt, number: i64) -> Result<Issue> {
        asked!(self, forge => forge.issue(at, number).await)
    }

    /// All open issues, no pull requests, that an account opened.
    pub async fn open_issues_of(&self, at: &RepositoryAt, login: &str) -> Result<Vec<Issue>> {
        asked!(self, forge => forge.open_issues_of(at, login).await)
    }

    /// Opens an issue. An error may mean that it was opened all the same.
    pub async fn create_issue(&self, at: &RepositoryAt, title: &str, body: &str) -> Result<Issue> {
        asked!(self, forge => forge.create_issue(at, title, body).await)
    }

    /// Makes title, text and state of an issue what they are in `issue`.
    pub async fn edit_issue(&self, at: &RepositoryAt, issue: &Issue) -> Result<Issue> {
        asked!(self, forge => forge.edit_issue(at, issue).await)
    }

    /// Sets a commit status.
    pub async fn set_status(&self, at: &RepositoryAt, commit: &CommitId, status: &NewStatus) -> Result<()> {
        asked!(self, forge => forge.set_status(at, commit, status).await)
    }

    /// What is asked of it is not there on such a forge.
    fn has_none(&self, what: &str) -> ForgeError {
        asked!(self, forge => forge.http().error(Fate::Invalid, None, format!("has no {what}")))
    }

    /// The newest status of each context on a commit.
    pub async fn statuses(&self, at: &RepositoryAt, commit: &CommitId) -> Result<Vec<CommitStatus>> {
        asked!(self, forge => forge.statuses(at, commit).await)
    }

    /// What is reported of a commit under these names, by whomever; several of one name are each told.
    pub async fn checks(
        &self,
        at: &RepositoryAt,
        commit: &CommitId,
        names: &BTreeSet<String>,
    ) -> Result<Vec<CommitCheck>> {
        asked!(self, forge => forge.checks(at, commit, names).await)
    }

    /// The right an account has on a repository now; `None` is none, or no such account.
    pub async fn permission(&self, at: &RepositoryAt, login: &str) -> Result<Option<Role>> {
        asked!(self, forge => forge.permission(at, login).await)
    }

    /// Whether an account is in a team, `organisation/team`, now. A team that is gone or not shown to us is an error,
    /// never `false`.
    pub async fn is_team_member(&self, team: &str, login: &str) -> Result<bool> {
        asked!(self, forge => forge.is_team_member(team, login).await)
    }

    /// An account: its number, whether it is a person, whether it may act. Gone when there is none of that login.
    pub async fn user(&self, login: &str) -> Result<User> {
        asked!(self, forge => forge.user(login).await)
    }

    /// The account that shows this address to us.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>> {
        asked!(self, forge => forge.account_by_email(email).await)
    }
}
